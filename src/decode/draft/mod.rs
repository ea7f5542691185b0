//! Drafts of profiles from captured frames, for a person to finish.
//!
//! Frames are told apart by their shape here and nowhere else: what a device is decoded with is
//! bound in the registry and never guessed. A draft says `verified = false`, leaves every doubtful
//! field commented out, and asserts what each captured frame decodes to now.

mod capture;
mod json;
mod render;

use std::fmt::Write as _;
use std::path::Path;

pub use self::capture::{Captured, frames};
use crate::decode::context::DecodeContext;
use crate::decode::profile::DeviceProfile;
use crate::domain::id::ProfileId;
use crate::domain::key::KeyRing;

/// Frames asserted in a draft at most; more would hide the profile.
const TESTS_MAX: usize = 50;

/// What a person may say in advance.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// JSON pointer of the total.
    pub total: Option<String>,
    /// JSON pointer of the time.
    pub time: Option<String>,
}

/// A draft that loads.
#[derive(Debug)]
pub struct Draft {
    /// The profile's text.
    pub text: String,
    /// What the frames look like.
    pub kind: &'static str,
    /// Frames that decode with the draft.
    pub decoded: usize,
    /// Frames the draft refuses, each with a test that says so.
    pub refused: usize,
}

/// Why there is no draft.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The capture holds no frame.
    #[error(
        "the capture holds no frame; write one frame a line (JSON or hexadecimal), or one binary frame"
    )]
    Empty,
    /// No shape is known.
    #[error(
        "the frames have no shape that is known here ({known}); write the profile by hand after \
         device-profiles/README.md"
    )]
    Unknown {
        /// Shapes that are.
        known: String,
    },
    /// The frames are of more than one shape.
    #[error(
        "frame {number} is {found}, the first one {first}; put each kind into a file of its own"
    )]
    Mixed {
        /// Number of the frame, from 1.
        number: usize,
        /// Its shape.
        found: &'static str,
        /// Shape of the first.
        first: &'static str,
    },
    /// The shape is known, but this program cannot decode it.
    #[error("the frames are {kind}, for which there is no codec to draft with")]
    NoCodec {
        /// The shape.
        kind: &'static str,
    },
    /// The frames lack what a profile needs.
    #[error("{0}")]
    Lacks(String),
    /// The draft does not load; a bug here.
    #[error("the draft does not load: {0}; report it with the capture")]
    Broken(String),
}

/// A shape of frames and how a profile for it begins. A new codec is a row in [`KINDS`].
struct Kind {
    /// For people.
    name: &'static str,
    /// Whether bytes have the shape.
    fits: fn(&[u8]) -> bool,
    /// The profile from `codec = …` on, without tests; none where there is no codec.
    body: Option<Body>,
}

/// Writes the part of a profile that depends on its codec.
type Body = fn(&[Captured], &Hints) -> Result<String, DraftError>;

/// In the order in which they are asked: the strictest first.
const KINDS: &[Kind] = &[
    Kind {
        name: "JSON objects",
        fits: json::fits,
        body: Some(json::body),
    },
    Kind {
        name: "P1 telegrams",
        fits: is_p1,
        body: None,
    },
    Kind {
        name: "CJ/T 188 frames",
        fits: is_cjt188,
        body: Some(cjt188_body),
    },
    Kind {
        name: "M-Bus long frames",
        fits: is_mbus,
        body: None,
    },
    Kind {
        name: "CBOR maps",
        fits: is_cbor_map,
        body: None,
    },
];

/// Drafts a profile.
///
/// # Errors
/// Why there is none, with what to do.
pub fn draft(id: &ProfileId, captured: &[Captured], hints: &Hints) -> Result<Draft, DraftError> {
    let kind = kind_of(captured)?;
    let body = kind.body.ok_or(DraftError::NoCodec { kind: kind.name })?;
    let mut text = format!(
        "# Drafted from {} captured frame(s) that look like {}. Before a meter is bound to it: choose\n\
         # among the candidates, hold the readings against the meter's display, then set verified.\n\n\
         id = {}\nverified = false\ndescription = \"draft: say which model and firmware it is for\"\n\
         transport = \"mqtt\"\n",
        captured.len(),
        kind.name,
        render::quoted(id.as_str()),
    );
    text.push_str(&body(captured, hints)?);
    let file = Path::new(id.as_str());
    // Any test makes the file complete; it is not run yet.
    let bare =
        format!("{text}\n[[test]]\nname = \"none\"\nhex = \"00\"\nreject = \"decode.truncated\"\n");
    let profile = DeviceProfile::parse_unproven(file, &bare).map_err(broken)?;
    let (mut decoded, mut refused) = (0, 0);
    for (index, frame) in captured.iter().take(TESTS_MAX).enumerate() {
        let context = DecodeContext {
            received_at: frame.received_at.unwrap_or_default(),
            device: None,
            keys: KeyRing::EMPTY,
        };
        let outcome = profile.decode(&frame.bytes, &context);
        match &outcome {
            Ok(_) => decoded += 1,
            Err(_) => refused += 1,
        }
        write!(text, "{}", render::test(index + 1, frame, &outcome)).ok();
    }
    DeviceProfile::parse(file, &text).map_err(broken)?;
    Ok(Draft {
        text,
        kind: kind.name,
        decoded,
        refused,
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` wants"
)]
fn broken(problems: Vec<crate::domain::problem::Problem>) -> DraftError {
    let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
    DraftError::Broken(list.join("; "))
}

fn kind_of(captured: &[Captured]) -> Result<&'static Kind, DraftError> {
    let shape = |bytes: &[u8]| KINDS.iter().find(|kind| (kind.fits)(bytes));
    let first = captured.first().ok_or(DraftError::Empty)?;
    let unknown = || DraftError::Unknown {
        known: KINDS.iter().map(|k| k.name).collect::<Vec<_>>().join(", "),
    };
    let kind = shape(&first.bytes).ok_or_else(unknown)?;
    for (index, frame) in captured.iter().enumerate() {
        let found = shape(&frame.bytes).map_or("of no known shape", |k| k.name);
        if found != kind.name {
            return Err(DraftError::Mixed {
                number: index + 1,
                found,
                first: kind.name,
            });
        }
    }
    Ok(kind)
}

/// `/…!CRC`: identification line to end mark.
fn is_p1(bytes: &[u8]) -> bool {
    bytes.trim_ascii().starts_with(b"/") && bytes.contains(&b'!')
}

/// Wake-up bytes, 68h, type, seven address bytes, control, length, data, checksum, 16h.
fn is_cjt188(bytes: &[u8]) -> bool {
    let frame = skip_wake_up(bytes);
    let (Some(0x68), Some(length), Some(0x16)) = (frame.first(), frame.get(10), frame.last())
    else {
        return false;
    };
    frame.len() == 13 + usize::from(*length) && checksum_holds(frame, 0)
}

fn skip_wake_up(bytes: &[u8]) -> &[u8] {
    let from = bytes.iter().take_while(|b| **b == 0xFE).count();
    bytes.get(from..).unwrap_or_default()
}

/// 68h, length twice, 68h, data, checksum, 16h.
fn is_mbus(bytes: &[u8]) -> bool {
    match bytes {
        [0x68, length, again, 0x68, .., 0x16] => {
            length == again && bytes.len() == 6 + usize::from(*length) && checksum_holds(bytes, 4)
        }
        _ => false,
    }
}

/// The last byte but one is the sum of those before it.
fn checksum_holds(frame: &[u8], from: usize) -> bool {
    let end = frame.len().saturating_sub(2);
    let sum = frame
        .get(from..end)
        .unwrap_or_default()
        .iter()
        .fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    frame.get(end) == Some(&sum)
}

/// A map whose first key is a text or a small number.
fn is_cbor_map(bytes: &[u8]) -> bool {
    matches!(bytes, [0xA1..=0xBF, 0x00..=0x37 | 0x60..=0x7B, ..])
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a row in `KINDS`")]
fn cjt188_body(_: &[Captured], _: &Hints) -> Result<String, DraftError> {
    Ok(r#"codec = "cjt188"

# If the device sends the frame as text:
# [envelope]
# kind = "hex"

[[field]]
name = "total_work"        # or total_std if the meter corrects by temperature
unit = "m3"
at = "current_total"

# Candidates: the status word, low byte first; vendors differ in its bits.
# [[field]]
# name = "valve"
# at = "status"
# mask = 0x0003
# values = { 0 = 0, 1 = 1, 3 = 2 }
# optional = true
#
# [[alarm]]
# at = "status"
# bits = { 2 = "battery_low" }
"#
    .to_owned())
}

#[cfg(test)]
mod tests;
