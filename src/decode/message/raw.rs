//! The tables of messages as a profile writes them.

use serde::Deserialize;
use toml::Spanned;

/// `[json]` and `[cbor]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTree {
    pub(super) size_max_bytes: Option<usize>,
    pub(super) depth_max: Option<usize>,
    pub(super) device: Option<Spanned<String>>,
}

/// The plain keys of a `[[message]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMessage {
    pub(super) name: Spanned<String>,
    pub(super) when: Spanned<String>,
    pub(super) time: Spanned<RawTime>,
    pub(super) clock: Option<Spanned<RawTime>>,
}

/// A time: a stamp, or a day and the time of day at which it is cut.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::decode) struct RawTime {
    pub(super) at: Option<Spanned<String>>,
    pub(super) format: Option<RawFormat>,
    pub(super) day: Option<Spanned<String>>,
    pub(super) cut: Option<Spanned<String>>,
    pub(super) cut_default: Option<Spanned<String>>,
    pub(super) utc_offset: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) plus_s: i64,
}

/// How a stamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawFormat {
    /// RFC 3339 with an explicit offset.
    Rfc3339,
    /// `YYYY-MM-DD hh:mm:ss`, Beijing.
    Beijing,
    /// `YYYY-MM-DD hh:mm:ss` at the offset that `utc_offset` states.
    Civil,
    /// Seconds since 1970 UTC.
    UnixS,
    /// Milliseconds since 1970 UTC.
    UnixMs,
}

/// A `[[message.backfill]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackfill {
    pub(super) name: Spanned<String>,
    pub(super) unit: Option<Spanned<String>>,
    pub(super) at: Spanned<String>,
    pub(super) count: Option<Spanned<usize>>,
    pub(super) count_max: Option<Spanned<usize>>,
    pub(super) first: Option<Spanned<RawTime>>,
    pub(super) last: Option<Spanned<RawTime>>,
    pub(super) step_s: Spanned<u32>,
    #[serde(default)]
    pub(super) newest_first: bool,
    #[serde(default)]
    pub(super) optional: bool,
    #[serde(default)]
    pub(super) decimals: Option<Spanned<i8>>,
}
