//! Tokens of the HTTP push: `id:sha256:<hex>[:devices=…][:gateways=…]`.
//!
//! A token is 256 random bits, so one round of SHA-256 protects it as well as many would.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::file::{CredentialError, Credentials, LineProblem};
use super::rights::Rights;
use super::{is_same, lines, random, sha256};

/// Longest token, characters: much less is looked at by anyone's client.
const TOKEN_MAX: usize = 256;

/// One line of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    id: String,
    digest: [u8; 32],
    rights: Rights,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("id", &self.id)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// The operator of this machine, who may speak for every device.
    pub fn local(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            digest: [0; 32],
            rights: Rights::all(),
        }
    }

    /// Its name; never the secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it may speak for.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }
}

/// The tokens in force.
#[derive(Debug)]
pub struct Tokens(BTreeMap<String, Arc<Token>>);

impl Credentials for Tokens {
    const KEY: &'static str = "[push] tokens_file";
    const FORM: &'static str = "`id:sha256:<64 hexadecimal digits>` as `qiliang credentials token` prints it, then `:devices=A,B` or `:gateways=G` if it may speak for others than the device of its own name";

    fn parse(text: &str) -> Result<Self, Vec<LineProblem>> {
        let mut tokens: BTreeMap<String, Arc<Token>> = BTreeMap::new();
        let mut problems = Vec::new();
        for (line, text) in lines(text) {
            match token(text) {
                Ok(token) if tokens.contains_key(&token.id) => problems.push(LineProblem {
                    line,
                    reason: "names a token a second time",
                }),
                Ok(token) => {
                    tokens.insert(token.id.clone(), Arc::new(token));
                }
                Err(reason) => problems.push(LineProblem { line, reason }),
            }
        }
        if tokens.is_empty() && problems.is_empty() {
            problems.push(LineProblem {
                line: 1,
                reason: "the file names no token",
            });
        }
        if problems.is_empty() {
            Ok(Self(tokens))
        } else {
            Err(problems)
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

fn is_sound_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn token(line: &str) -> Result<Token, &'static str> {
    let (login, rights) = Rights::split(line);
    let mut parts = login.split(':');
    let id = parts.next().unwrap_or_default();
    if !is_sound_id(id) {
        return Err("does not begin with a token's id of letters, digits, - and _");
    }
    let digest = match (parts.next(), parts.next(), parts.next()) {
        (Some("sha256"), Some(digest), None) => {
            let mut bytes = [0; 32];
            hex::decode_to_slice(digest, &mut bytes)
                .map_err(|_| "has no SHA-256 of 64 hexadecimal digits after `id:sha256:`")?;
            bytes
        }
        _ => return Err("is not `id:sha256:<hex>`; a token itself never stands in the file"),
    };
    let rights = Rights::parse(id, rights)?;
    if rights.has_topics() {
        return Err("has topics=, which is for MQTT users; use devices= or gateways=");
    }
    Ok(Token {
        id: id.to_owned(),
        digest,
        rights,
    })
}

impl Tokens {
    /// The token that someone shows as `id.secret`.
    pub fn find(&self, shown: &str) -> Option<Arc<Token>> {
        if shown.len() > TOKEN_MAX {
            return None;
        }
        let (id, _) = shown.split_once('.')?;
        let token = self.0.get(id)?;
        is_same(&token.digest, &sha256(shown.as_bytes())).then(|| Arc::clone(token))
    }
}

/// A new token: what its holder shows, and the line for the file.
///
/// # Errors
/// No random bytes; or the id is none.
pub fn new_token(id: &str, rights: &str) -> Result<(String, String), CredentialError> {
    let shown = format!("{id}.{}", hex::encode(random::<32>()?));
    let line = format!(
        "{id}:sha256:{}{rights}",
        hex::encode(sha256(shown.as_bytes()))
    );
    match token(&line) {
        Ok(_) => Ok((shown, line)),
        Err(reason) => Err(CredentialError::Lines {
            key: Tokens::KEY,
            form: Tokens::FORM,
            path: "the new line".into(),
            problems: vec![LineProblem { line: 1, reason }],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::DeviceId;

    #[test]
    fn a_new_token_is_found_by_what_is_shown_and_by_nothing_else() {
        let (shown, line) = new_token("gw-1", ":devices=A,B").unwrap();
        let tokens = Tokens::parse(&format!("# tokens\n{line}\n")).unwrap();
        let token = tokens.find(&shown).unwrap();
        assert_eq!(token.id(), "gw-1");
        assert!(token.rights().may_speak_for(&DeviceId::from("B"), None));
        assert!(!token.rights().may_speak_for(&DeviceId::from("C"), None));
        assert!(!line.contains(shown.split('.').nth(1).unwrap()));
        let (other, _) = new_token("gw-1", "").unwrap();
        for wrong in [
            other.as_str(),
            "gw-1",
            "gw-1.",
            "",
            ".",
            line.as_str(),
            shown.strip_suffix(|_: char| true).unwrap(),
            &"x.".repeat(1_000),
        ] {
            assert!(tokens.find(wrong).is_none(), "{wrong}");
        }
        assert!(!format!("{token:?}").contains("digest"));
    }

    #[test]
    fn bad_lines_are_all_told() {
        let digest = "0".repeat(64);
        let text = format!(
            "a:{digest}\nb:sha256:12\nc.d:sha256:{digest}\ne:sha256:{digest}\ne:sha256:{digest}\n\
             f:sha256:{digest}:topics=a\nsecret\n"
        );
        let problems = Tokens::parse(&text).unwrap_err();
        let lines: Vec<usize> = problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [1, 2, 3, 5, 6, 7]);
        assert!(new_token("a b", "").is_err());
        assert!(new_token("a", ":topics=x").is_err());
        assert!(Tokens::parse("\n").is_err());
    }
}
