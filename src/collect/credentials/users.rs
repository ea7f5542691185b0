//! Users of the MQTT listener: `user:password[:devices=…][:topics=…]`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::file::{Credentials, LineProblem};
use super::password::Hashed;
use super::rights::Rights;
use super::{is_same, lines, random, sha256};

/// What proves a user.
#[derive(Clone, PartialEq, Eq)]
enum Secret {
    /// `-`: a client certificate alone.
    Certificate,
    /// As it stands in the file; kept as its digest.
    Plain([u8; 32]),
    /// `$7$…`.
    Hashed(Hashed),
}

/// One line of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    name: String,
    secret: Secret,
    rights: Rights,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}

impl User {
    /// Who is known by a certificate and in no file: may speak for the device of that name.
    pub fn of_certificate(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            secret: Secret::Certificate,
            // Without a word there is nothing that could be wrong.
            rights: Rights::parse(name, "").unwrap_or_default(),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may speak for.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }
}

/// The users in force.
///
/// Checking a hashed password takes a tenth of a second on purpose. One that was right is
/// remembered as a keyed digest, so that meters that reconnect do not cost that each time.
pub struct Users {
    by_name: BTreeMap<String, Arc<User>>,
    is_hashed: bool,
    key: [u8; 32],
    verified: Mutex<BTreeMap<String, [u8; 32]>>,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.by_name.len())
    }
}

impl Credentials for Users {
    const KEY: &'static str = "[mqtt.listen] users_file";
    const FORM: &'static str = "`user:password`, the password best as `qiliang credentials password` hashes it or `-` for a certificate, then `:devices=A,B` or `:topics=a/b/#` if it may speak for others than the device of its own name";

    fn parse(text: &str) -> Result<Self, Vec<LineProblem>> {
        let mut by_name: BTreeMap<String, Arc<User>> = BTreeMap::new();
        let mut problems = Vec::new();
        for (line, text) in lines(text) {
            match user(text) {
                Ok(user) if by_name.contains_key(&user.name) => problems.push(LineProblem {
                    line,
                    reason: "names a user a second time",
                }),
                Ok(user) => {
                    by_name.insert(user.name.clone(), Arc::new(user));
                }
                Err(reason) => problems.push(LineProblem { line, reason }),
            }
        }
        if by_name.is_empty() && problems.is_empty() {
            problems.push(LineProblem {
                line: 1,
                reason: "the file names no user",
            });
        }
        let Ok(key) = random() else {
            problems.push(LineProblem {
                line: 1,
                reason: "the system gives no random bytes, so passwords cannot be compared safely",
            });
            return Err(problems);
        };
        if problems.is_empty() {
            let is_hashed = by_name
                .values()
                .any(|user| matches!(user.secret, Secret::Hashed(_)));
            Ok(Self {
                by_name,
                is_hashed,
                key,
                verified: Mutex::default(),
            })
        } else {
            Err(problems)
        }
    }

    fn len(&self) -> usize {
        self.by_name.len()
    }

    fn plain(&self) -> usize {
        self.by_name
            .values()
            .filter(|user| matches!(user.secret, Secret::Plain(_)))
            .count()
    }
}

fn user(line: &str) -> Result<User, &'static str> {
    let (login, rights) = Rights::split(line);
    let (name, password) = login
        .split_once(':')
        .ok_or("has no `:` between user and password")?;
    if name.is_empty() {
        return Err("has no user before the `:`");
    }
    let secret = match password {
        "" => return Err("has no password after the `:`"),
        "-" => Secret::Certificate,
        text if text.starts_with("$7$") => {
            let hashed = text.strip_prefix("$7$").and_then(Hashed::parse);
            Secret::Hashed(
                hashed.ok_or(
                    "has a damaged hash; make it anew with `qiliang credentials password`",
                )?,
            )
        }
        text if text.starts_with("$6$") || text.starts_with("$argon2") => {
            return Err(
                "has a hash of another kind than $7$ (PBKDF2-SHA512); make it anew with `qiliang credentials password`",
            );
        }
        text => Secret::Plain(sha256(text.as_bytes())),
    };
    let rights = Rights::parse(name, rights)?;
    if rights.has_gateways() {
        return Err("has gateways=, which is for tokens; use topics= or devices=");
    }
    Ok(User {
        name: name.to_owned(),
        secret,
        rights,
    })
}

impl Users {
    /// The user, if the password is the user's. May take a tenth of a second: call it off the
    /// runtime. Someone unknown takes as long as someone known.
    pub fn admit(&self, name: &str, password: &str) -> Option<Arc<User>> {
        let found = self.by_name.get(name);
        let is_right = match found.map(|user| &user.secret) {
            Some(Secret::Plain(digest)) => is_same(digest, &sha256(password.as_bytes())),
            Some(Secret::Hashed(hashed)) => {
                self.is_verified(name, password) || {
                    let is_right = hashed.is(password);
                    if is_right {
                        self.remember(name, password);
                    }
                    is_right
                }
            }
            Some(Secret::Certificate) | None => {
                if self.is_hashed {
                    Hashed::decoy().is(password);
                }
                false
            }
        };
        found.filter(|_| is_right).map(Arc::clone)
    }

    /// Whether `admit` will answer without the long computation.
    pub fn is_quick(&self, name: &str, password: &str) -> bool {
        !self.is_hashed
            || match self.by_name.get(name).map(|user| &user.secret) {
                Some(Secret::Plain(_)) => true,
                Some(Secret::Hashed(_)) => self.is_verified(name, password),
                Some(Secret::Certificate) | None => false,
            }
    }

    /// The user of a certificate: the first of its names that is in the file.
    pub fn of_names(&self, names: &[String]) -> Option<Arc<User>> {
        names
            .iter()
            .find_map(|name| self.by_name.get(name))
            .map(Arc::clone)
    }

    /// The user as the file has it now, if it still has exactly this one.
    pub fn is_unchanged(&self, user: &User) -> bool {
        self.by_name
            .get(&user.name)
            .is_some_and(|now| **now == *user)
    }

    fn digest(&self, name: &str, password: &str) -> [u8; 32] {
        let mut keyed = self.key.to_vec();
        keyed.extend_from_slice(&(name.len() as u64).to_be_bytes());
        keyed.extend_from_slice(name.as_bytes());
        keyed.extend_from_slice(password.as_bytes());
        keyed.extend_from_slice(&self.key);
        sha256(&keyed)
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, [u8; 32]>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_verified(&self, name: &str, password: &str) -> bool {
        let digest = self.digest(name, password);
        self.verified()
            .get(name)
            .is_some_and(|known| is_same(known, &digest))
    }

    fn remember(&self, name: &str, password: &str) {
        let digest = self.digest(name, password);
        self.verified().insert(name.to_owned(), digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::credentials::hash_password;
    use crate::domain::id::DeviceId;
    use proptest::prelude::*;

    #[test]
    fn only_the_right_pair_is_admitted() {
        let hashed = hash_password("dee:p").unwrap();
        let text =
            format!("# meters\nnorth:s3:cret\r\n\nsouth:other\nTX-9:{hashed}\nTX-8:-:devices=A\n");
        let users = Users::parse(&text).unwrap();
        assert!(users.admit("north", "s3:cret").is_some());
        assert!(users.admit("south", "other").is_some());
        for (user, password) in [
            ("north", "other"),
            ("south", "s3:cret"),
            ("north", ""),
            ("", ""),
            ("# meters", ""),
            ("north:s3", "cret"),
            ("TX-9", "dee"),
            ("TX-9", hashed.as_str()),
            ("TX-8", "-"),
            ("TX-8", ""),
        ] {
            assert!(users.admit(user, password).is_none(), "{user}:{password}");
        }
        assert!(!users.is_quick("TX-9", "dee:p"));
        assert!(users.admit("TX-9", "dee:p").is_some());
        assert!(users.is_quick("TX-9", "dee:p") && !users.is_quick("TX-9", "dee"));
        assert!(users.admit("TX-9", "dee").is_none());
        assert_eq!(format!("{users:?}"), "Users(4)");
        assert_eq!(users.plain(), 2);
    }

    #[test]
    fn a_line_that_mosquitto_passwd_wrote_is_understood() {
        // mosquitto_passwd 2.0.11, password `meter`.
        let line = mosquitto_line();
        let users = Users::parse(&line).unwrap();
        assert!(users.admit("TX-1", "meter").is_some());
        assert!(users.admit("TX-1", "metre").is_none());
    }

    fn mosquitto_line() -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("passwords");
        let made = std::process::Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(&file)
            .args(["TX-1", "meter"])
            .output();
        match made {
            Ok(output) if output.status.success() => std::fs::read_to_string(&file).unwrap(),
            _ => panic!("mosquitto_passwd is needed: apt-get install mosquitto"),
        }
    }

    #[test]
    fn bad_lines_are_all_told_without_their_content() {
        let text = "hunter2\n:x\ny:\na:1\na:2\nb:$7$1$x\nc:$6$x$y\nd:1:gateways=G\ne:1:devices=\n";
        let problems = Users::parse(text).unwrap_err();
        let lines: Vec<usize> = problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [1, 2, 3, 5, 6, 7, 8, 9]);
        assert!(!problems.iter().any(|p| p.to_string().contains("hunter2")));
        assert_eq!(Users::parse("# none\n").unwrap_err().len(), 1);
    }

    #[test]
    fn a_certificate_names_its_user_by_any_of_its_names() {
        let users = Users::parse("gw1.example:-:devices=A,B\n").unwrap();
        let names = ["CN-1".to_owned(), "gw1.example".to_owned()];
        let user = users.of_names(&names).unwrap();
        assert_eq!(user.name(), "gw1.example");
        assert!(user.rights().may_speak_for(&DeviceId::from("B"), None));
        assert!(users.of_names(&["CN-1".to_owned()]).is_none());
        let stranger = User::of_certificate("TX-1");
        assert!(
            stranger
                .rights()
                .may_speak_for(&DeviceId::from("TX-1"), None)
        );
        assert!(
            !stranger
                .rights()
                .may_speak_for(&DeviceId::from("TX-2"), None)
        );
    }

    #[test]
    fn a_user_whose_line_changed_is_noticed() {
        let before = Users::parse("a:1\nb:2\n").unwrap();
        let user = before.admit("a", "1").unwrap();
        assert!(Users::parse("a:1\n").unwrap().is_unchanged(&user));
        assert!(!Users::parse("a:2\n").unwrap().is_unchanged(&user));
        assert!(!Users::parse("a:1:devices=*\n").unwrap().is_unchanged(&user));
        assert!(!Users::parse("b:1\n").unwrap().is_unchanged(&user));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_fall_over(text in "[a:$7\\n=,#+/ devicstopg-]{0,120}") {
            Users::parse(&text).ok();
        }
    }
}
