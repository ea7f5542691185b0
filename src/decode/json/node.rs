//! A JSON tree that borrows from the frame: no copy of a key or a plain string, bounded depth,
//! no key twice.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use crate::decode::code::reject;
use crate::domain::frame::RejectReason;

/// Keys of one object at most: finding a key twice costs the square of it.
const KEYS_MAX: usize = 256;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node<'a> {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number that fits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Node<'a>>),
    /// An object, in the order of the text.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl Node<'_> {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// A JSON pointer (RFC 6901), split once when the profile is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    text: String,
    steps: Vec<(String, Option<usize>)>,
}

impl Pointer {
    /// From its text, which starts with `/`.
    pub(super) fn new(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('/')?;
        let steps = rest
            .split('/')
            .map(|step| {
                let step = step.replace("~1", "/").replace("~0", "~");
                let index = step.parse().ok();
                (step, index)
            })
            .collect();
        Some(Self {
            text: text.to_owned(),
            steps,
        })
    }

    /// The value it points to; a `null` counts as absent.
    pub(super) fn find<'n, 'a>(&self, root: &'n Node<'a>) -> Option<&'n Node<'a>> {
        let mut node = root;
        for (key, index) in &self.steps {
            node = match node {
                Node::Object(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v)?,
                Node::List(items) => items.get((*index)?)?,
                _ => return None,
            };
        }
        (*node != Node::Null).then_some(node)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a tree was refused, beyond syntax.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    None,
    Depth,
    Keys,
}

struct Seed<'c> {
    depth_left: usize,
    refusal: &'c Cell<Refusal>,
}

impl Seed<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth_left == 0 {
            self.refusal.set(Refusal::Depth);
            return Err(E::custom("nested too deep"));
        }
        Ok(Seed {
            depth_left: self.depth_left - 1,
            refusal: self.refusal,
        })
    }
}

impl<'de> DeserializeSeed<'de> for &Seed<'_> {
    type Value = Node<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(i64::try_from(value).map_or(Node::Float(value as f64), Node::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node<'de>, E> {
        Ok(Node::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(&seed)? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut entries: Vec<(Cow<'de, str>, Node<'de>)> = Vec::with_capacity(16);
        while let Some(key) = access.next_key_seed(KeySeed)? {
            if entries.len() >= KEYS_MAX || entries.iter().any(|(known, _)| *known == key) {
                self.refusal.set(Refusal::Keys);
                return Err(A::Error::custom("a key twice or too many"));
            }
            entries.push((key, access.next_value_seed(&seed)?));
        }
        Ok(Node::Object(entries))
    }
}

/// Borrows a key where it has no escapes.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

/// Reads one JSON object, and nothing after it.
///
/// # Errors
/// `decode.truncated`, `decode.json_syntax` or `decode.json_depth`.
pub(super) fn parse(bytes: &[u8], depth_max: usize) -> Result<Node<'_>, RejectReason> {
    let refusal = Cell::new(Refusal::None);
    let seed = Seed {
        depth_left: depth_max,
        refusal: &refusal,
    };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let node = (&seed)
        .deserialize(&mut reader)
        .and_then(|node| reader.end().map(|()| node))
        .map_err(|error| match refusal.get() {
            Refusal::Depth => RejectReason::new(
                reject::DEPTH,
                format!("JSON is nested deeper than {depth_max} levels; raise json.depth_max if the device means it"),
            ),
            Refusal::Keys => RejectReason::new(
                reject::JSON,
                format!(
                    "JSON object has a key twice or more than {KEYS_MAX} keys, line {} column {}",
                    error.line(),
                    error.column()
                ),
            ),
            Refusal::None if error.is_eof() => RejectReason::new(
                reject::TRUNCATED,
                format!("JSON ends early, after {} bytes", bytes.len()),
            ),
            Refusal::None => RejectReason::new(reject::JSON, format!("no JSON: {error}")),
        })?;
    match node {
        Node::Object(_) => Ok(node),
        other => Err(RejectReason::new(
            reject::JSON,
            format!("the payload is {}; expected a JSON object", other.kind()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_borrowed_and_escaped_text_is_not() {
        let node = parse(br#"{"a":"plain","b":"es\tcaped"}"#, 4).unwrap();
        let find = |text: &str| Pointer::new(text).unwrap().find(&node).cloned();
        assert!(matches!(
            find("/a"),
            Some(Node::Text(Cow::Borrowed("plain")))
        ));
        assert!(matches!(find("/b"), Some(Node::Text(Cow::Owned(_)))));
    }

    #[test]
    fn pointers_reach_into_arrays_and_escaped_keys() {
        let node = parse(br#"{"a/b":{"m~n":[1,2.5,null]}}"#, 4).unwrap();
        let find = |text: &str| Pointer::new(text).unwrap().find(&node).cloned();
        assert_eq!(find("/a~1b/m~0n/1"), Some(Node::Float(2.5)));
        assert_eq!(find("/a~1b/m~0n/2"), None);
        assert_eq!(find("/a~1b/m~0n/9"), None);
        assert_eq!(Pointer::new("dev"), None);
    }

    #[test]
    fn hostile_trees_are_refused_by_name() {
        let code = |text: &str| parse(text.as_bytes(), 4).unwrap_err().code;
        assert_eq!(code(r#"{"a":1,"a":2}"#), reject::JSON);
        assert_eq!(code(&"[".repeat(100_000)), reject::DEPTH);
        assert_eq!(code(r#"{"a":{"b":{"c":{"d":{}}}}}"#), reject::DEPTH);
        assert_eq!(code("[]"), reject::JSON);
        assert_eq!(code("{} {}"), reject::JSON);
        assert_eq!(code(r#"{"a":"#), reject::TRUNCATED);
        assert_eq!(code(""), reject::TRUNCATED);
        let many: Vec<String> = (0..300).map(|i| format!("\"k{i}\":0")).collect();
        assert_eq!(code(&format!("{{{}}}", many.join(","))), reject::JSON);
    }
}
