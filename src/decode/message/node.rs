//! The values a frame holds, whatever it is written in: nothing is copied that can be borrowed, and
//! no number is rounded before it is known what it is of.

use std::borrow::Cow;

use super::path::Pointer;

/// A value.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::decode) enum Node<'a> {
    /// Nothing, or `null`.
    #[default]
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number that fits.
    Int(i64),
    /// A number as JSON text, with point or exponent or beyond 64 bits.
    Number(&'a str),
    /// A binary single or half; its decimals are not what the sender meant.
    Single(f32),
    /// A binary double.
    Double(f64),
    /// A decimal fraction: `digits` · 10^`exponent`.
    Decimal {
        /// Mantissa.
        digits: i64,
        /// Power of ten.
        exponent: i64,
    },
    /// A string.
    Text(Cow<'a, str>),
    /// A string of bytes.
    Bytes,
    /// An array.
    List(Vec<Node<'a>>),
    /// An object; what is in it has slots of its own.
    Object,
}

impl Node<'_> {
    /// What it is, for messages.
    pub(in crate::decode) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_)
            | Self::Number(_)
            | Self::Single(_)
            | Self::Double(_)
            | Self::Decimal { .. } => "a number",
            Self::Text(_) => "a string",
            Self::Bytes => "a byte string",
            Self::List(_) => "an array",
            Self::Object => "an object",
        }
    }
}

/// The values of one frame that pointers name.
#[derive(Debug, Clone, Copy)]
pub(in crate::decode) struct Slots<'s, 'a>(pub(in crate::decode) &'s [Node<'a>]);

impl<'s, 'a> Slots<'s, 'a> {
    /// The value a pointer points to; `null` counts as absent.
    pub(in crate::decode) fn get(self, at: &Pointer) -> Option<&'s Node<'a>> {
        self.0.get(at.slot()).filter(|node| **node != Node::Null)
    }

    /// The text a pointer points to.
    pub(in crate::decode) fn text(self, at: &Pointer) -> Option<&'s str> {
        match self.get(at) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }
}
