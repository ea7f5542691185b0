//! Who may connect: `user:password` lines, compared in constant time.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A line of the users file that names no user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersProblem {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong with it; never its content.
    pub reason: &'static str,
}

impl fmt::Display for UsersProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// Digests of the users' names and passwords.
pub(super) struct Users(Vec<([u8; 32], [u8; 32])>);

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.0.len())
    }
}

impl Users {
    /// Reads the file's text; empty lines and lines that start with `#` are skipped.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<UsersProblem>> {
        let mut users: Vec<([u8; 32], [u8; 32])> = Vec::new();
        let mut problems = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut problem = |reason| {
                problems.push(UsersProblem {
                    line: index + 1,
                    reason,
                });
            };
            match line.split_once(':') {
                None => problem("has no `:` between user and password"),
                Some(("", _)) => problem("has no user before the `:`"),
                Some((_, "")) => problem("has no password after the `:`"),
                Some((user, password)) => {
                    let user = digest(user);
                    if users.iter().any(|(other, _)| *other == user) {
                        problem("names a user a second time");
                    } else {
                        users.push((user, digest(password)));
                    }
                }
            }
        }
        if users.is_empty() && problems.is_empty() {
            problems.push(UsersProblem {
                line: 1,
                reason: "the file names no user",
            });
        }
        if problems.is_empty() {
            Ok(Self(users))
        } else {
            Err(problems)
        }
    }

    /// Whether these are a user and that user's password. Takes the same time whichever is wrong,
    /// and however much of it is right.
    pub(super) fn admits(&self, user: &str, password: &str) -> bool {
        let (user, password) = (digest(user), digest(password));
        let mut is_admitted = false;
        for (known_user, known_password) in &self.0 {
            is_admitted |= is_equal(known_user, &user) & is_equal(known_password, &password);
        }
        is_admitted
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn is_equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0_u8, |sum, (x, y)| sum | (x ^ y));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_pair_is_admitted() {
        let users = Users::parse("# meters\nnorth:s3:cret\r\n\nsouth:other\n").unwrap();
        assert!(users.admits("north", "s3:cret"));
        assert!(users.admits("south", "other"));
        for (user, password) in [
            ("north", "other"),
            ("south", "s3:cret"),
            ("north", ""),
            ("", ""),
            ("# meters", ""),
            ("north:s3", "cret"),
        ] {
            assert!(!users.admits(user, password), "{user}:{password}");
        }
        assert_eq!(format!("{users:?}"), "Users(2)");
    }

    #[test]
    fn bad_lines_are_all_told_without_their_content() {
        let problems = Users::parse("hunter2\n:x\ny:\na:1\na:2\n").unwrap_err();
        let lines: Vec<usize> = problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [1, 2, 3, 5]);
        assert!(!problems.iter().any(|p| p.to_string().contains("hunter2")));
        assert_eq!(Users::parse("# none\n").unwrap_err().len(), 1);
    }
}
