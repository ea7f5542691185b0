//! `[modbus]` and what fields say of registers, as it is written.

use serde::Deserialize;
use toml::Spanned;

use super::order::Permutation;

/// The registers behind the point of an integer and fraction pair.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::decode) struct RawFraction {
    pub(in crate::decode) register: u16,
    #[serde(rename = "type")]
    pub(in crate::decode) kind: RegisterType,
    pub(in crate::decode) decimals: Option<i8>,
    pub(in crate::decode) order: Option<ByteOrder>,
}

/// `[modbus]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::decode) struct RawModbus {
    #[serde(default = "default_function")]
    pub(in crate::decode) function: u8,
    #[serde(default = "default_registers_max")]
    pub(in crate::decode) registers_max: u16,
    #[serde(default = "default_gap_max")]
    pub(in crate::decode) gap_max: u16,
    #[serde(default)]
    pub(in crate::decode) pause_ms: u64,
    pub(in crate::decode) timeout_ms: Option<u64>,
    #[serde(default)]
    pub(in crate::decode) address_base: u16,
    pub(in crate::decode) device: Option<Spanned<RawDevice>>,
    #[serde(default = "default_retry_exceptions")]
    pub(in crate::decode) retry_exceptions: Vec<u8>,
    #[serde(default)]
    pub(in crate::decode) order: ByteOrder,
    #[serde(default)]
    pub(in crate::decode) block: Vec<Spanned<RawBlock>>,
    pub(in crate::decode) clock: Option<Spanned<RawClock>>,
}

const fn default_function() -> u8 {
    3
}
const fn default_registers_max() -> u16 {
    125
}
const fn default_gap_max() -> u16 {
    8
}
fn default_retry_exceptions() -> Vec<u8> {
    // Acknowledge and Server Device Busy: the answer is "not now", not "no".
    vec![5, 6]
}

/// A `[[modbus.block]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::decode) struct RawBlock {
    pub(in crate::decode) function: Option<u8>,
    pub(in crate::decode) start: u16,
    pub(in crate::decode) count: u16,
}

/// `[modbus.clock]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::decode) struct RawClock {
    pub(in crate::decode) function: Option<u8>,
    pub(in crate::decode) register: u16,
    pub(in crate::decode) format: ClockFormat,
    pub(in crate::decode) order: Option<ByteOrder>,
}

/// How a device's clock lies in registers; civil forms are Beijing time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::decode) enum ClockFormat {
    /// Three registers of BCD: YY MM DD hh mm ss.
    Bcd,
    /// Six registers: year, month, day, hour, minute, second; a year below 100 is of this century.
    Fields,
    /// Two registers: seconds since 1970 UTC.
    UnixS,
}

/// What a run of registers holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::decode) enum RegisterType {
    /// One register, unsigned.
    U16,
    /// One register, signed.
    I16,
    /// Two registers, unsigned.
    U32,
    /// Two registers, signed.
    I32,
    /// Four registers, unsigned.
    U64,
    /// Four registers, signed.
    I64,
    /// Two registers, IEEE 754.
    F32,
    /// Four registers, IEEE 754.
    F64,
    /// Packed decimal digits, one to four registers.
    Bcd,
}

/// In which order a device sends the bytes of a number; A is the most significant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(in crate::decode) enum ByteOrder {
    /// As Modbus means it.
    #[default]
    #[serde(rename = "ABCD")]
    Abcd,
    /// Words swapped.
    #[serde(rename = "CDAB")]
    Cdab,
    /// Bytes within words swapped.
    #[serde(rename = "BADC")]
    Badc,
    /// Both.
    #[serde(rename = "DCBA")]
    Dcba,
    /// Any other, written out: `CDABGHEF`.
    #[serde(untagged)]
    Other(Permutation),
}

/// The higher digits of a total in registers of their own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::decode) struct RawHigh {
    pub(super) register: u16,
    #[serde(rename = "type")]
    pub(super) kind: RegisterType,
    pub(super) words: Option<u16>,
    pub(super) exponent: u8,
    pub(super) order: Option<ByteOrder>,
}

/// A run of bits of a number.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::decode) struct RawBits {
    pub(super) first: u32,
    pub(super) count: u32,
}

/// `[modbus.device]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::decode) struct RawDevice {
    pub(super) function: Option<u8>,
    pub(super) register: u16,
    pub(super) words: u16,
    #[serde(rename = "type", default)]
    pub(super) kind: NameType,
    #[serde(default)]
    pub(super) bytes: NameBytes,
    pub(super) order: Option<ByteOrder>,
}

/// How a name is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NameType {
    /// Text, ended by a zero byte or the last register; blanks around it do not count.
    #[default]
    Ascii,
    /// Packed decimal digits, leading zeros included.
    Bcd,
    /// A whole number of one, two or four registers.
    Number,
}

/// Which bytes of a register hold text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NameBytes {
    /// Two characters in each register.
    #[default]
    Both,
    /// One, in the more significant byte.
    High,
    /// One, in the less significant byte.
    Low,
}
