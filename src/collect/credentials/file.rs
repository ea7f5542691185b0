//! A file of credentials that can be read again while it is in use.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tracing::{info, warn};

/// Largest file: some 100,000 lines.
const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineProblem {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong with it and what to do; never its content.
    pub reason: &'static str,
}

impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("{key} {} cannot be read; create it with mode 0600, lines of {form}", path.display())]
    Unreadable {
        /// The setting.
        key: &'static str,
        /// What a line looks like.
        form: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Lines that cannot be used, all of them.
    #[error("{key} {}: {}; a line is {form}", path.display(), list(problems))]
    Lines {
        /// The setting.
        key: &'static str,
        /// What a line looks like.
        form: &'static str,
        /// The file.
        path: PathBuf,
        /// All of them.
        problems: Vec<LineProblem>,
    },
    /// No random bytes.
    #[error("the system gives no random bytes for a secret")]
    Random {
        /// Why.
        #[source]
        source: openssl::error::ErrorStack,
    },
    /// The password cannot be hashed.
    #[error("the password cannot be hashed")]
    Hash {
        /// Why.
        #[source]
        source: openssl::error::ErrorStack,
    },
}

impl CredentialError {
    /// Stable code, the key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "collect.credentials_file",
            Self::Lines { .. } => "collect.credentials_lines",
            Self::Random { .. } => "collect.credentials_random",
            Self::Hash { .. } => "collect.credentials_hash",
        }
    }
}

fn list(problems: &[LineProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join(", ")
}

/// What a credentials file holds.
pub trait Credentials: Sized {
    /// The setting that names the file.
    const KEY: &'static str;
    /// What a line looks like.
    const FORM: &'static str;

    /// Reads the text.
    ///
    /// # Errors
    /// Every line that cannot be used.
    fn parse(text: &str) -> Result<Self, Vec<LineProblem>>;

    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Passwords that stand in the file as they are.
    fn plain(&self) -> usize {
        0
    }
}

/// Credentials in force, and the file they come from.
#[derive(Debug)]
pub struct CredentialFile<T> {
    path: PathBuf,
    held: RwLock<Arc<T>>,
}

impl<T: Credentials> CredentialFile<T> {
    /// Reads the file. Blocks.
    ///
    /// # Errors
    /// `Unreadable`, or `Lines` with every line that cannot be used.
    pub fn load(path: &Path) -> Result<Self, CredentialError> {
        let held = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            held: RwLock::new(Arc::new(held)),
        })
    }

    /// What is in force now.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again; what was in force stays if it is wrong now. Blocks.
    ///
    /// # Errors
    /// As `load`.
    pub fn reload(&self) -> Result<(), CredentialError> {
        let new = read::<T>(&self.path)?;
        info!(
            "Read {} {} again: {} entries",
            T::KEY,
            self.path.display(),
            new.len()
        );
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }
}

fn read<T: Credentials>(path: &Path) -> Result<T, CredentialError> {
    let unreadable = |source| CredentialError::Unreadable {
        key: T::KEY,
        form: T::FORM,
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    let mut text = String::new();
    file.take(FILE_MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let held = T::parse(&text).map_err(|problems| CredentialError::Lines {
        key: T::KEY,
        form: T::FORM,
        path: path.to_owned(),
        problems,
    })?;
    if mode & 0o004 != 0 {
        warn!(
            "{} {} can be read by every user of this machine; chmod 600 it",
            T::KEY,
            path.display()
        );
    }
    if held.plain() > 0 {
        warn!(
            "{} {} holds {} passwords in plain text; `qiliang credentials password <user>` makes hashed lines",
            T::KEY,
            path.display(),
            held.plain()
        );
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::credentials::Users;

    #[test]
    fn a_file_that_has_become_wrong_leaves_the_old_content_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        fs::write(&path, "a:1\n").unwrap();
        let file: CredentialFile<Users> = CredentialFile::load(&path).unwrap();
        fs::write(&path, "hunter2\n:x\n").unwrap();
        let error = file.reload().unwrap_err();
        assert_eq!(error.code(), "collect.credentials_lines");
        let text = error.to_string();
        assert!(
            text.contains("line 1") && text.contains("line 2") && !text.contains("hunter2"),
            "{text}"
        );
        assert!(file.get().admit("a", "1").is_some());
        fs::write(&path, "b:2\n").unwrap();
        file.reload().unwrap();
        assert!(file.get().admit("a", "1").is_none());
        assert!(file.get().admit("b", "2").is_some());
        fs::remove_file(&path).unwrap();
        assert_eq!(
            file.reload().unwrap_err().code(),
            "collect.credentials_file"
        );
        assert!(file.get().admit("b", "2").is_some());
    }
}
