//! A problem found in what people wrote: configuration, profiles, registry.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// What is wrong, where, and what to do; `qiliang check` lists all of them at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// File.
    pub file: PathBuf,
    /// Line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// Stable code, `registry.unknown_zone`; key of the Chinese sentence.
    pub code: &'static str,
    /// What is wrong, lower case, no full stop.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// A warning does not keep the program from starting.
    pub is_warning: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.is_warning { "warning: " } else { "" };
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(
            f,
            ": {level}{}; {} [{}]",
            self.message, self.remedy, self.code
        )
    }
}
