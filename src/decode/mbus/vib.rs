//! Value information: the quantity of a record and the step from its number to the program's unit.
//!
//! # Source
//! EN 13757-3:2018, tables 10 (primary VIF), 12 (`FDh`), 14 (`FBh`), 15 (combinable VIFE), 17 (errors).

use serde::Deserialize;

/// What a record measures. The program's unit is in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::decode) enum Quantity {
    /// Volume (m³).
    Volume,
    /// Volume flow (m³/h).
    Flow,
    /// Flow temperature (°C), where most gas meters put that of the gas.
    FlowTemperature,
    /// Return temperature (°C).
    ReturnTemperature,
    /// External temperature (°C).
    ExternalTemperature,
    /// Pressure (kPa).
    Pressure,
    /// Energy (MJ).
    Energy,
    /// Voltage (V).
    Voltage,
    /// A bare number.
    Dimensionless,
    /// Error flags, bits.
    ErrorFlags,
    /// Digital output, bits: the valve of some meters.
    DigitalOutput,
    /// Digital input, bits.
    DigitalInput,
    /// Number of the report.
    AccessNumber,
    /// Received signal (dBm).
    Rssi,
    /// Date (type G).
    #[serde(skip)]
    Date,
    /// Date and time (types F, I), time (type J).
    #[serde(skip)]
    DateTime,
    /// Age of the values (s).
    #[serde(skip)]
    Age,
    /// Interval between storage numbers (s).
    #[serde(skip)]
    StorageInterval,
    /// Whatever the program has no use for.
    #[serde(skip)]
    Unknown,
}

/// At which conditions a volume or flow is meant; base values of pressure and temperature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::decode) enum Conditions {
    /// The telegram does not say.
    #[default]
    Unstated,
    /// Uncorrected, at metering conditions (VIFE 3Ah).
    Metering,
    /// At base conditions (VIFE 3Eh).
    Base,
}

/// Which contributions a totaliser counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::decode) enum Direction {
    /// Whatever the meter counts.
    #[default]
    Any,
    /// Only forward flow (VIFE 3Bh).
    Forward,
    /// Only backward flow (VIFE 3Ch).
    Backward,
}

/// Which form of load profile a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Compact {
    /// Values after the base value (VIFE 1Fh).
    Forward,
    /// Values before the base value (VIFE 13h).
    Backward,
}

/// A record's value information, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Vib {
    pub(in crate::decode) quantity: Quantity,
    /// Value = number × `times` × 10^`exponent`, in the program's unit.
    pub(in crate::decode) times: i64,
    pub(in crate::decode) exponent: i16,
    pub(in crate::decode) conditions: Conditions,
    pub(in crate::decode) direction: Direction,
    pub(in crate::decode) per_m3: bool,
    pub(in crate::decode) compact: Option<Compact>,
    /// The meter says that the record is in error (VIFE 01h to 1Ch).
    pub(in crate::decode) error: Option<u8>,
    /// A VIFE says that the value is something else than its VIF alone; no field takes it.
    pub(in crate::decode) other_meaning: bool,
    manufacturer: bool,
}

impl Vib {
    /// A quantity the program has no use for.
    pub(in crate::decode) const UNKNOWN: Self = Self::of(Quantity::Unknown, 1, 0);

    const fn of(quantity: Quantity, times: i64, exponent: i16) -> Self {
        Self {
            quantity,
            times,
            exponent,
            conditions: Conditions::Unstated,
            direction: Direction::Any,
            per_m3: false,
            compact: None,
            error: None,
            other_meaning: false,
            manufacturer: false,
        }
    }

    /// The primary table, without the extension bit.
    pub(in crate::decode) fn of_primary(vif: u8) -> Self {
        let low = |bits: u8| i16::from(vif & bits);
        let seconds = |unit: u8| match unit {
            0 => 1,
            1 => 60,
            2 => 3_600,
            _ => 86_400,
        };
        match vif {
            // 10^(n−3) Wh; 1 Wh is 0.0036 MJ.
            0x00..=0x07 => Self::of(Quantity::Energy, 36, low(7) - 7),
            // 10^n J.
            0x08..=0x0F => Self::of(Quantity::Energy, 1, low(7) - 6),
            0x10..=0x17 => Self::of(Quantity::Volume, 1, low(7) - 6),
            0x38..=0x3F => Self::of(Quantity::Flow, 1, low(7) - 6),
            // 10^(n−7) m³/min and 10^(n−9) m³/s.
            0x40..=0x47 => Self::of(Quantity::Flow, 60, low(7) - 7),
            0x48..=0x4F => Self::of(Quantity::Flow, 3_600, low(7) - 9),
            0x58..=0x5B => Self::of(Quantity::FlowTemperature, 1, low(3) - 3),
            0x5C..=0x5F => Self::of(Quantity::ReturnTemperature, 1, low(3) - 3),
            0x64..=0x67 => Self::of(Quantity::ExternalTemperature, 1, low(3) - 3),
            // 10^(n−3) bar; 1 bar is 100 kPa.
            0x68..=0x6B => Self::of(Quantity::Pressure, 1, low(3) - 1),
            0x6C => Self::of(Quantity::Date, 1, 0),
            0x6D => Self::of(Quantity::DateTime, 1, 0),
            0x74..=0x77 => Self::of(Quantity::Age, seconds(vif & 3), 0),
            0x7F => Self {
                manufacturer: true,
                other_meaning: true,
                ..Self::UNKNOWN
            },
            _ => Self::UNKNOWN,
        }
    }

    /// The table behind `FDh`.
    pub(in crate::decode) fn of_fd(code: u8) -> Self {
        match code {
            0x08 => Self::of(Quantity::AccessNumber, 1, 0),
            0x17 => Self::of(Quantity::ErrorFlags, 1, 0),
            0x1A => Self::of(Quantity::DigitalOutput, 1, 0),
            0x1B => Self::of(Quantity::DigitalInput, 1, 0),
            0x24 => Self::of(Quantity::StorageInterval, 1, 0),
            0x25 => Self::of(Quantity::StorageInterval, 60, 0),
            0x26 => Self::of(Quantity::StorageInterval, 3_600, 0),
            0x27 => Self::of(Quantity::StorageInterval, 86_400, 0),
            0x3A => Self::of(Quantity::Dimensionless, 1, 0),
            0x40..=0x4F => Self::of(Quantity::Voltage, 1, i16::from(code & 0x0F) - 9),
            0x71 => Self::of(Quantity::Rssi, 1, 0),
            _ => Self::UNKNOWN,
        }
    }

    /// The table behind `FBh`.
    pub(in crate::decode) fn of_fb(code: u8) -> Self {
        match code {
            // 10^(n+2) m³.
            0x10 | 0x11 => Self::of(Quantity::Volume, 1, i16::from(code & 1) + 2),
            // 0.1 cubic feet; one is exactly 0.028316846592 m³.
            0x21 => Self::of(Quantity::Volume, 28_316_846_592, -13),
            _ => Self::UNKNOWN,
        }
    }

    /// Adds a combinable VIFE, without the extension bit.
    pub(in crate::decode) fn combine(&mut self, vife: u8) {
        if self.manufacturer {
            return;
        }
        match vife {
            0x00 => {}
            0x13 => self.compact = Some(Compact::Backward),
            0x1F => self.compact = Some(Compact::Forward),
            0x01..=0x0F | 0x15..=0x1C => self.error = Some(vife),
            0x2D => self.per_m3 = true,
            0x3A => self.conditions = Conditions::Metering,
            0x3B => self.direction = Direction::Forward,
            0x3C => self.direction = Direction::Backward,
            0x3E => self.conditions = Conditions::Base,
            // Multiplied by 10^(n−6), and by 10^3.
            0x70..=0x77 => self.exponent += i16::from(vife & 7) - 6,
            0x7D => self.exponent += 3,
            0x7F => {
                self.manufacturer = true;
                self.other_meaning = true;
            }
            // Averages, deviations, limits, durations, dates of events, counts per pulse, additive
            // corrections, future values: not the value of the VIF itself.
            _ => self.other_meaning = true,
        }
    }
}

/// What a meter means by the error of a record.
pub(in crate::decode) const fn error_text(error: u8) -> &'static str {
    match error {
        0x01..=0x0A => "does not have such a record (DIF error)",
        0x0B..=0x0E => "does not have such a unit (VIF error)",
        0x0F => "cannot do what was asked",
        0x15 => "has no value now",
        0x16 => "has an overflow",
        0x17 => "has an underflow",
        0x18 => "has an error in this value",
        _ => "ended the record early",
    }
}
