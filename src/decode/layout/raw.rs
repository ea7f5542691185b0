//! The tables of a layout as a profile writes them.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::check::CheckKind;
use super::place::{Kind, Order};
use crate::domain::reading::Alarm;

/// `[layout]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLayout {
    pub(super) size: Option<Spanned<usize>>,
    pub(super) size_max: Option<Spanned<usize>>,
    #[serde(default)]
    pub(super) order: Order,
    pub(super) device: Option<Spanned<RawDevice>>,
    #[serde(default)]
    pub(super) check: Vec<Spanned<RawCheck>>,
}

/// The plain keys of a `[[message]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMessage {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) when: Vec<Spanned<RawWhen>>,
    pub(super) size: Option<Spanned<usize>>,
    pub(super) size_max: Option<Spanned<usize>>,
    pub(super) time: Option<Spanned<RawTime>>,
    pub(super) clock: Option<Spanned<RawTime>>,
}

/// What shows the kind of a message: bytes at a place, or the port it came on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWhen {
    pub(super) at: Option<i64>,
    pub(super) bytes: Option<String>,
    pub(super) port: Option<u64>,
}

/// Where the device's name is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDevice {
    pub(super) at: i64,
    pub(super) bytes: usize,
    #[serde(rename = "type")]
    pub(super) kind: NameKind,
    pub(super) order: Option<Order>,
    #[serde(default)]
    pub(super) trim_zeros: bool,
}

/// How a device's name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NameKind {
    /// Characters; spaces, NUL and `FFh` around them are no part of it.
    Ascii,
    /// Decimal digits, two in a byte.
    Bcd,
    /// Bytes, shown as lower-case hexadecimal.
    Hex,
}

/// A `[[layout.check]]` or `[[message.check]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCheck {
    pub(super) kind: CheckKind,
    pub(super) at: i64,
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
    pub(super) order: Option<Order>,
    #[serde(rename = "type")]
    pub(super) number: Option<Kind>,
    pub(super) bytes: Option<String>,
    #[serde(default)]
    pub(super) plus: i64,
}

/// A number that belongs to another: the digits behind the point, those above a field's own, the
/// count of an array, a total that increments start from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPart {
    pub(super) at: i64,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) bytes: Option<usize>,
    pub(super) order: Option<Order>,
    pub(super) decimals: Option<i8>,
    pub(super) times: Option<u64>,
    pub(super) is: Option<BaseIs>,
}

/// Which total increments are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BaseIs {
    /// The one a step before the first increment ends.
    Before,
    /// The one at the end of the last increment.
    After,
}

/// A `[[message.field]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawField {
    pub(super) name: Spanned<String>,
    pub(super) unit: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) optional: bool,
    pub(super) at: i64,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) bytes: Option<usize>,
    pub(super) order: Option<Order>,
    pub(super) bit: Option<u32>,
    pub(super) width: Option<u32>,
    pub(super) minus_nibble: Option<Spanned<u8>>,
    pub(super) decimals: Option<Spanned<i8>>,
    pub(super) fraction: Option<Spanned<RawPart>>,
    pub(super) high: Option<Spanned<RawPart>>,
    pub(super) scale: Option<Spanned<f64>>,
    pub(super) offset: Option<Spanned<f64>>,
    #[serde(default)]
    pub(super) none: Vec<Spanned<String>>,
    pub(super) values: Option<Spanned<BTreeMap<String, f64>>>,
    #[serde(default)]
    pub(super) inexact: bool,
}

/// A `[[message.alarm]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlarm {
    pub(super) at: i64,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) order: Option<Order>,
    #[serde(default)]
    pub(super) bits: BTreeMap<Spanned<String>, Alarm>,
    #[serde(default)]
    pub(super) codes: BTreeMap<Spanned<String>, Alarm>,
}

/// A time in the frame, or one counted from the message's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTime {
    pub(super) of: Option<Of>,
    pub(super) at: Option<i64>,
    pub(super) format: Option<Spanned<String>>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Kind>,
    pub(super) order: Option<Order>,
    pub(super) epoch: Option<Spanned<String>>,
    pub(super) utc_offset: Option<Spanned<String>>,
    pub(super) floor_s: Option<i64>,
    #[serde(default)]
    pub(super) plus_s: i64,
}

/// What a time is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Of {
    /// The message's `time`.
    Time,
    /// The message's `clock`.
    Clock,
}

/// A `[[message.backfill]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackfill {
    pub(super) name: Spanned<String>,
    pub(super) unit: Option<Spanned<String>>,
    pub(super) at: i64,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) bytes: Option<usize>,
    pub(super) order: Option<Order>,
    pub(super) decimals: Option<Spanned<i8>>,
    pub(super) fraction: Option<Spanned<RawPart>>,
    #[serde(default)]
    pub(super) none: Vec<Spanned<String>>,
    pub(super) count: Option<Spanned<usize>>,
    pub(super) count_at: Option<Spanned<RawPart>>,
    pub(super) count_max: Option<Spanned<usize>>,
    /// Bytes from one total to the next.
    pub(super) stride: Option<Spanned<usize>>,
    pub(super) step_s: Spanned<u32>,
    #[serde(default)]
    pub(super) newest_first: bool,
    pub(super) first: Option<Spanned<RawTime>>,
    pub(super) last: Option<Spanned<RawTime>>,
    /// The totals are increments from this one.
    pub(super) base: Option<Spanned<RawPart>>,
}
