//! Reads JSON text from front to back, once: what a pointer names goes to its slot, everything else
//! is checked and passed over. No tree is built, no key is copied.
//!
//! All of RFC 8259 is held: grammar, UTF-8, paired surrogates. Beyond it a key may not be there
//! twice in one object, nesting is bounded, and the text is one object.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::decode::code::reject;
use crate::decode::message::{Node, Paths, Step};
use crate::domain::frame::RejectReason;

/// Keys of one object at most.
const KEYS_MAX: usize = 256;

/// Keys no pointer names that are remembered without an allocation.
const KEYS_INLINE: usize = 16;

/// Most digits that fit 64 bits whatever they are.
const DIGITS_SURE: usize = 18;

/// Puts the values of a frame into their slots.
///
/// # Errors
/// `decode.truncated`, `decode.json_syntax` or `decode.json_depth`.
pub(in crate::decode) fn scan<'a>(
    bytes: &'a [u8],
    depth_max: usize,
    paths: &Paths,
    slots: &mut [Node<'a>],
) -> Result<(), RejectReason> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => return Err(ends_early(bytes)),
        Err(error) => {
            return Err(RejectReason::new(
                reject::JSON,
                format!("no JSON: byte {} is no UTF-8", error.valid_up_to()),
            ));
        }
    };
    let mut scanner = Scanner {
        text,
        bytes,
        at: 0,
        depth_left: depth_max,
        slots,
    };
    scanner
        .document(paths.root())
        .map_err(|fault| match fault {
            Fault::Ends => ends_early(bytes),
            Fault::Depth => RejectReason::new(
                reject::DEPTH,
                format!("JSON is nested deeper than {depth_max} levels; raise depth_max if the device means it"),
            ),
            Fault::Keys => RejectReason::new(
                reject::JSON,
                format!(
                    "JSON object has a key twice or more than {KEYS_MAX} keys, at byte {}",
                    scanner.at
                ),
            ),
            Fault::NoObject(kind) => RejectReason::new(
                reject::JSON,
                format!("the payload is {kind}; expected a JSON object"),
            ),
            Fault::Syntax(wanted) => RejectReason::new(
                reject::JSON,
                format!("no JSON: expected {wanted} at byte {}", scanner.at),
            ),
        })
}

fn ends_early(bytes: &[u8]) -> RejectReason {
    RejectReason::new(
        reject::TRUNCATED,
        format!("JSON ends early, after {} bytes", bytes.len()),
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Ends,
    Depth,
    Keys,
    NoObject(&'static str),
    Syntax(&'static str),
}

struct Scanner<'a, 's> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth_left: usize,
    slots: &'s mut [Node<'a>],
}

impl<'a> Scanner<'a, '_> {
    fn document(&mut self, root: &Step) -> Result<(), Fault> {
        self.space();
        let node = self.value(Some(root), false)?;
        self.space();
        if self.at < self.bytes.len() {
            return Err(Fault::Syntax("nothing after the end"));
        }
        match node {
            Node::Object => Ok(()),
            other => Err(Fault::NoObject(other.kind())),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// A value and, if `step` has a slot, its way there. Texts and numbers are only made where
    /// someone keeps them.
    fn value(&mut self, step: Option<&Step>, keep: bool) -> Result<Node<'a>, Fault> {
        let slot = step.and_then(Step::slot);
        let keep_here = keep || slot.is_some();
        let node = match self.peek().ok_or(Fault::Ends)? {
            b'{' => {
                self.deeper(|scanner| scanner.object(step))?;
                Node::Object
            }
            b'[' => self.deeper(|scanner| scanner.list(step, keep_here))?,
            b'"' => {
                let text = self.string()?;
                if keep_here {
                    Node::Text(text)
                } else {
                    Node::Text(Cow::Borrowed(""))
                }
            }
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.word("true", Node::Bool(true))?,
            b'f' => self.word("false", Node::Bool(false))?,
            b'n' => self.word("null", Node::Null)?,
            _ => return Err(Fault::Syntax("a value")),
        };
        let Some(place) = slot.and_then(|slot| self.slots.get_mut(slot)) else {
            return Ok(node);
        };
        if keep {
            // Named by a pointer of its own and part of an array that is kept.
            *place = node.clone();
            return Ok(node);
        }
        let kind = match &node {
            Node::Object => Node::Object,
            _ => Node::Null,
        };
        *place = node;
        Ok(kind)
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or(Fault::Depth)?;
        self.at += 1;
        let read = read(self)?;
        self.depth_left += 1;
        Ok(read)
    }

    fn object(&mut self, step: Option<&Step>) -> Result<(), Fault> {
        let mut seen = Seen::default();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek().ok_or(Fault::Ends)? != b'"' {
                return Err(Fault::Syntax("a key"));
            }
            let key = self.string()?;
            let found = step.and_then(|step| step.key(&key));
            if !seen.is_new(key, found.map(|(number, _)| number)) {
                return Err(Fault::Keys);
            }
            self.space();
            if self.peek().ok_or(Fault::Ends)? != b':' {
                return Err(Fault::Syntax("a colon"));
            }
            self.at += 1;
            self.space();
            self.value(found.map(|(_, step)| step), false)?;
            self.space();
            match self.peek().ok_or(Fault::Ends)? {
                b',' => {
                    self.at += 1;
                    self.space();
                }
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Fault::Syntax("a comma or the object's end")),
            }
        }
    }

    fn list(&mut self, step: Option<&Step>, keep: bool) -> Result<Node<'a>, Fault> {
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::List(items));
        }
        let mut index = 0;
        loop {
            let item = self.value(step.and_then(|step| step.element(index)), keep)?;
            if keep {
                items.push(item);
            }
            index += 1;
            self.space();
            match self.peek().ok_or(Fault::Ends)? {
                b',' => {
                    self.at += 1;
                    self.space();
                }
                b']' => {
                    self.at += 1;
                    return Ok(Node::List(items));
                }
                _ => return Err(Fault::Syntax("a comma or the array's end")),
            }
        }
    }

    fn word(&mut self, word: &'static str, node: Node<'a>) -> Result<Node<'a>, Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(node);
        }
        if word.as_bytes().starts_with(rest) {
            return Err(Fault::Ends);
        }
        Err(Fault::Syntax("true, false or null"))
    }

    /// Digits from here, at least one.
    fn digits(&mut self) -> Result<(), Fault> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > from {
            return Ok(());
        }
        match self.peek() {
            None => Err(Fault::Ends),
            Some(_) => Err(Fault::Syntax("a digit")),
        }
    }

    fn number(&mut self) -> Result<Node<'a>, Fault> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut is_whole = true;
        if self.peek() == Some(b'.') {
            is_whole = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            is_whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let written = self.text.get(from..self.at).unwrap_or_default();
        Ok(if is_whole {
            whole(written).map_or(Node::Number(written), Node::Int)
        } else {
            Node::Number(written)
        })
    }

    /// A string, borrowed unless it has escapes. The quote that opens it is here.
    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let from = self.at;
        loop {
            match self.peek().ok_or(Fault::Ends)? {
                b'"' => {
                    let text = self.text.get(from..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                b'\\' => return self.escaped(from).map(Cow::Owned),
                0..=0x1F => return Err(Fault::Syntax("no bare control character in a string")),
                _ => self.at += 1,
            }
        }
    }

    /// A string with escapes; the first of them is here.
    fn escaped(&mut self, from: usize) -> Result<String, Fault> {
        let mut text = self.text.get(from..self.at).unwrap_or_default().to_owned();
        loop {
            let plain = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1F)) {
                self.at += 1;
            }
            text.push_str(self.text.get(plain..self.at).unwrap_or_default());
            match self.peek().ok_or(Fault::Ends)? {
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(Fault::Syntax("no bare control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let letter = self.peek().ok_or(Fault::Ends)?;
        self.at += 1;
        Ok(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(Fault::Syntax("an escape")),
        })
    }

    fn unicode(&mut self) -> Result<char, Fault> {
        const LONE: Fault = Fault::Syntax("a surrogate in a pair");
        let unit = self.hex4()?;
        let code = match unit {
            0xD800..=0xDBFF => {
                for wanted in [b'\\', b'u'] {
                    if self.peek().ok_or(Fault::Ends)? != wanted {
                        return Err(LONE);
                    }
                    self.at += 1;
                }
                let low = self.hex4()?;
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return Err(LONE);
                }
                0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
            }
            unit => unit,
        };
        char::from_u32(code).ok_or(LONE)
    }

    fn hex4(&mut self) -> Result<u32, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.peek().ok_or(Fault::Ends)?)
                .to_digit(16)
                .ok_or(Fault::Syntax("four hexadecimal digits"))?;
            unit = unit << 4 | digit;
            self.at += 1;
        }
        Ok(unit)
    }
}

/// A whole number that fits 64 bits.
fn whole(written: &str) -> Option<i64> {
    let digits = written.strip_prefix('-').unwrap_or(written);
    if digits.len() > DIGITS_SURE {
        return written.parse().ok();
    }
    let number = digits
        .bytes()
        .fold(0_i64, |sum, digit| sum * 10 + i64::from(digit & 0x0F));
    Some(if digits.len() < written.len() {
        -number
    } else {
        number
    })
}

/// The keys of one object so far.
#[derive(Default)]
struct Seen<'a> {
    count: usize,
    /// Those a pointer names, by their number.
    named: [u64; KEYS_MAX / 64],
    /// The first of the others.
    few: [&'a str; KEYS_INLINE],
    few_count: usize,
    /// The rest, and those with escapes.
    more: BTreeSet<Cow<'a, str>>,
}

impl<'a> Seen<'a> {
    /// Takes a key; false where it is there already or one too many.
    fn is_new(&mut self, key: Cow<'a, str>, named: Option<usize>) -> bool {
        self.count += 1;
        if self.count > KEYS_MAX {
            return false;
        }
        if let Some(number) = named
            && let Some(word) = self.named.get_mut(number / 64)
        {
            let bit = 1 << (number % 64);
            let is_new = *word & bit == 0;
            *word |= bit;
            return is_new;
        }
        let few = self.few.get(..self.few_count).unwrap_or_default();
        if few.contains(&key.as_ref()) {
            return false;
        }
        match (key, self.few.get_mut(self.few_count)) {
            (Cow::Borrowed(key), Some(place))
                if self.more.is_empty() || !self.more.contains(key) =>
            {
                *place = key;
                self.few_count += 1;
                true
            }
            (key, _) => self.more.insert(key),
        }
    }
}
