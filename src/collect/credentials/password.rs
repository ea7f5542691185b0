//! Passwords as `mosquitto_passwd` writes them: `$7$<iterations>$<salt>$<hash>`, PBKDF2 with
//! HMAC-SHA-512, salt and hash in base64. So a mosquitto password file is a users file of ours.

use openssl::hash::MessageDigest;
use openssl::pkcs5::pbkdf2_hmac;

use super::file::CredentialError;
use super::{is_same, random};

/// What we write: OWASP's figure for this hash. Files made by mosquitto have 101.
const ITERATIONS: usize = 210_000;

/// More would let a line in the file stop a core for seconds.
const ITERATIONS_MAX: usize = 10_000_000;

/// Bytes of a salt and of a hash that we write.
const SALT_LEN: usize = 12;
const HASH_LEN: usize = 64;

/// A password's hash.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hashed {
    iterations: usize,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Hashed {
    /// Reads what comes after `$7$`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('$');
        let iterations = parts.next()?.parse().ok()?;
        let salt = openssl::base64::decode_block(parts.next()?).ok()?;
        let hash = openssl::base64::decode_block(parts.next()?).ok()?;
        let is_sound = parts.next().is_none()
            && (1..=ITERATIONS_MAX).contains(&iterations)
            && !salt.is_empty()
            && (16..=HASH_LEN).contains(&hash.len());
        is_sound.then_some(Self {
            iterations,
            salt,
            hash,
        })
    }

    /// Takes as long as `ITERATIONS` and admits nobody.
    pub(super) fn decoy() -> Self {
        Self {
            iterations: ITERATIONS,
            salt: vec![0; SALT_LEN],
            hash: vec![0; HASH_LEN],
        }
    }

    /// Whether this is the password. Slow on purpose: call it off the runtime.
    pub(super) fn is(&self, password: &str) -> bool {
        let mut hash = vec![0; self.hash.len()];
        derive(password, &self.salt, self.iterations, &mut hash).is_ok()
            && is_same(&hash, &self.hash)
    }
}

fn derive(
    password: &str,
    salt: &[u8],
    iterations: usize,
    hash: &mut [u8],
) -> Result<(), openssl::error::ErrorStack> {
    pbkdf2_hmac(
        password.as_bytes(),
        salt,
        iterations,
        MessageDigest::sha512(),
        hash,
    )
}

/// A password as it stands in a users file.
///
/// # Errors
/// OpenSSL has no random bytes or no SHA-512.
pub fn hash_password(password: &str) -> Result<String, CredentialError> {
    let salt = random::<SALT_LEN>()?;
    let mut hash = [0; HASH_LEN];
    derive(password, &salt, ITERATIONS, &mut hash)
        .map_err(|source| CredentialError::Hash { source })?;
    Ok(format!(
        "$7${ITERATIONS}${}${}",
        openssl::base64::encode_block(&salt),
        openssl::base64::encode_block(&hash)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hashed_password_admits_itself_only_and_never_looks_the_same_twice() {
        let (one, two) = (
            hash_password("m3ter").unwrap(),
            hash_password("m3ter").unwrap(),
        );
        assert_ne!(one, two);
        for text in [one, two] {
            let hashed = Hashed::parse(text.strip_prefix("$7$").unwrap()).unwrap();
            assert!(hashed.is("m3ter"));
            assert!(!hashed.is("m3teR") && !hashed.is(""));
        }
        assert!(!Hashed::decoy().is(""));
    }

    #[test]
    fn hashes_that_are_none_are_refused() {
        for text in [
            "",
            "101",
            "101$$",
            "0$c2FsdHNhbHQ=$AAAAAAAAAAAAAAAAAAAAAA==",
            "99999999999$c2FsdA==$AAAAAAAAAAAAAAAAAAAAAA==",
            "101$c2FsdA==$AAAA",
            "101$c2FsdA==$AAAAAAAAAAAAAAAAAAAAAA==$x",
        ] {
            assert!(Hashed::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_fall_over(text in ".{0,80}") {
            Hashed::parse(&text);
        }
    }
}
