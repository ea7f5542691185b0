//! Who may speak for which devices: users with passwords or certificates (MQTT), tokens (HTTP).
//!
//! Both files are lines of text, secrets in them hashed, read at the start and again at SIGHUP; a
//! file that has become wrong is told and the old content stays in force.

#![warn(clippy::indexing_slicing)]

mod file;
mod password;
mod rights;
mod tokens;
mod users;

pub use self::file::{CredentialError, CredentialFile, Credentials, LineProblem};
pub use self::password::hash_password;
pub use self::rights::{Denied, Rights};
pub use self::tokens::{Token, Tokens, new_token};
pub use self::users::{User, Users};

/// Random bytes of the operating system's generator, as OpenSSL hands them out.
///
/// # Errors
/// The generator has no entropy; nothing secret can be made then.
pub fn random<const N: usize>() -> Result<[u8; N], CredentialError> {
    let mut bytes = [0; N];
    openssl::rand::rand_bytes(&mut bytes).map_err(|source| CredentialError::Random { source })?;
    Ok(bytes)
}

/// Whether two secrets are the same, in a time that does not tell how much of them is.
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && openssl::memcmp::eq(a, b)
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes).into()
}

/// The lines of a credentials file that say something, numbered from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_end_matches('\r')))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}
