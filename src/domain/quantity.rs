//! Quantities as newtypes: mixing working with standard volume, or gauge with absolute
//! pressure, does not compile.
//!
//! Volumes are exact fixed-point numbers in units of 1e-4 m³ (ADR 0002): sums never drift,
//! comparison is exact, and 0.0001 万m³ (one cubic metre) is ten thousand units.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Fixed-point units in one cubic metre.
pub const UNITS_PER_M3: i64 = 10_000;

/// A text that is not an exact volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a volume in m³: {reason}")]
pub struct VolumeParseError {
    /// The text as given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

fn parse_units(text: &str) -> Result<i64, VolumeParseError> {
    let fail = |reason| VolumeParseError {
        text: text.chars().take(40).collect(),
        reason,
    };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fail(
            "write decimal digits, for example 1234.5678, without exponent or separators",
        ));
    }
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fail(
            "the part after the point has a character that is no digit",
        ));
    }
    let kept = fraction.trim_end_matches('0');
    if kept.len() > 4 {
        return Err(fail("more than four decimals cannot be kept exactly"));
    }
    let whole: i64 = whole.parse().map_err(|_| fail("the number is too large"))?;
    let mut part: i64 = 0;
    for index in 0..4 {
        let digit = kept
            .as_bytes()
            .get(index)
            .map_or(0, |b| i64::from(b - b'0'));
        part = part * 10 + digit;
    }
    let units = whole
        .checked_mul(UNITS_PER_M3)
        .and_then(|u| u.checked_add(part))
        .ok_or_else(|| fail("the number is too large"))?;
    Ok(if negative { -units } else { units })
}

macro_rules! fixed_volume {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// # Units
        /// m³, held as whole units of 1e-4 m³. JSON carries it as a string with four decimals.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(i64);

        impl $name {
            /// No gas at all.
            pub const ZERO: Self = Self(0);

            /// From whole units of 1e-4 m³.
            pub const fn from_units(units: i64) -> Self {
                Self(units)
            }

            /// Whole units of 1e-4 m³.
            pub const fn units(self) -> i64 {
                self.0
            }

            /// From whole cubic metres.
            pub const fn from_m3(m3: i64) -> Self {
                Self(m3 * UNITS_PER_M3)
            }

            /// The nearest volume to `m3` cubic metres, half away from zero; non-finite gives zero.
            #[expect(clippy::cast_possible_truncation, reason = "volumes stay far below 2^53 units")]
            pub fn from_f64(m3: f64) -> Self {
                if m3.is_finite() {
                    Self((m3 * 10_000.0).round() as i64)
                } else {
                    Self(0)
                }
            }

            /// Cubic metres, for statistics and models; not for sums that are signed.
            pub fn to_f64(self) -> f64 {
                self.0 as f64 / 10_000.0
            }

            /// Exact decimal cubic metres.
            pub fn to_decimal(self) -> Decimal {
                Decimal::new(self.0, 4)
            }

            /// Rounded half away from zero to whole cubic metres, the last digit of 0.0001 万m³.
            pub const fn round_m3(self) -> i64 {
                let half = UNITS_PER_M3 / 2;
                if self.0 >= 0 {
                    (self.0 + half) / UNITS_PER_M3
                } else {
                    (self.0 - half) / UNITS_PER_M3
                }
            }

            /// True for exactly zero.
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let sign = if self.0 < 0 { "-" } else { "" };
                let units = self.0.unsigned_abs();
                let scale = UNITS_PER_M3.unsigned_abs();
                write!(f, "{sign}{}.{:04}", units / scale, units % scale)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = VolumeParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_units(text).map(Self)
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                self.0 -= other.0;
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                Self(iter.map(|v| v.0).sum())
            }
        }

        impl<'a> Sum<&'a $name> for $name {
            fn sum<I: Iterator<Item = &'a Self>>(iter: I) -> Self {
                Self(iter.map(|v| v.0).sum())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

fixed_volume!(
    /// Volume at the contract's reference conditions (标况体积; in China 20 °C, 101.325 kPa).
    StdVolume
);
fixed_volume!(
    /// Volume at metering conditions (工况体积).
    WorkVolume
);

macro_rules! measured {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub f64);
    };
}

measured!(
    /// Absolute pressure (绝对压力), kPa.
    AbsPressure
);
measured!(
    /// Temperature, °C.
    Temperature
);
measured!(
    /// Flow at reference conditions (标况流量), m³/h.
    StdFlow
);
measured!(
    /// Flow at metering conditions (工况流量), m³/h.
    WorkFlow
);

impl Temperature {
    /// Kelvin.
    pub fn kelvin(self) -> f64 {
        self.0 + 273.15
    }
}

/// The temperature and pressure a standard volume refers to (标准参比条件); contract data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceConditions {
    /// Reference temperature, °C.
    pub temperature_c: f64,
    /// Reference pressure, kPa absolute.
    pub pressure_kpa: f64,
}

impl ReferenceConditions {
    /// Chinese trade: 20 °C, 101.325 kPa (GB/T 19205).
    pub const CHINA: Self = Self {
        temperature_c: 20.0,
        pressure_kpa: 101.325,
    };
    /// Normal conditions: 0 °C, 101.325 kPa (ISO 13443).
    pub const NORMAL: Self = Self {
        temperature_c: 0.0,
        pressure_kpa: 101.325,
    };
    /// Standard reference conditions of natural gas elsewhere: 15 °C, 101.325 kPa (ISO 13443).
    pub const ISO: Self = Self {
        temperature_c: 15.0,
        pressure_kpa: 101.325,
    };

    /// As it stands beside a unit on Chinese forms: `20℃，101.325kPa`.
    pub fn zh(self) -> String {
        format!("{}℃，{}kPa", self.temperature_c, self.pressure_kpa)
    }

    /// As it stands beside a unit in English: `20 °C, 101.325 kPa`.
    pub fn en(self) -> String {
        format!("{} °C, {} kPa", self.temperature_c, self.pressure_kpa)
    }
}

impl Default for ReferenceConditions {
    fn default() -> Self {
        Self::CHINA
    }
}

/// The factor C = (P/P₀)·(T₀/T)·K that turns working volume into standard volume.
///
/// `k_ratio` is Z₀/Z; 1.0 is the ideal gas, good to 1 % at distribution pressure.
///
/// # Source
/// METHODS.md, "Volume conversion".
pub fn conversion_factor(
    pressure: AbsPressure,
    temperature: Temperature,
    k_ratio: f64,
    reference: ReferenceConditions,
) -> f64 {
    (pressure.0 / reference.pressure_kpa)
        * (Temperature(reference.temperature_c).kelvin() / temperature.kelvin())
        * k_ratio
}

/// Money (元), exact; a line is rounded once to 0.01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Yuan(pub Decimal);

/// A price, 元/m³, kept to four decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct YuanPerM3(pub Decimal);

impl YuanPerM3 {
    /// What `volume` costs, rounded half away from zero to 0.01 元.
    pub fn cost_of(self, volume: StdVolume) -> Yuan {
        Yuan(
            (self.0 * volume.to_decimal())
                .round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero),
        )
    }

    /// For the solver.
    pub fn to_f64(self) -> f64 {
        self.0.to_f64().unwrap_or(0.0)
    }
}

impl Yuan {
    /// From the solver or a statistic, rounded half away from zero to 0.01 元; non-finite gives zero.
    pub fn from_f64(yuan: f64) -> Self {
        Self(
            Decimal::from_f64_retain(yuan)
                .unwrap_or_default()
                .round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero),
        )
    }

    /// For statistics.
    pub fn to_f64(self) -> f64 {
        self.0.to_f64().unwrap_or(0.0)
    }
}

impl Add for Yuan {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sum for Yuan {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        Self(iter.map(|y| y.0).sum())
    }
}

impl fmt::Display for Yuan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

impl fmt::Display for YuanPerM3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4}", self.0)
    }
}

/// Rounds `values` to whole numbers whose sum is exactly `total`, by largest remainder.
///
/// Ties go to the earlier position, so the result is the same on every run. Negative or
/// non-finite values count as zero; with no weight at all the total goes to the first cell.
///
/// # Source
/// METHODS.md, "Rounding that adds up".
#[expect(
    clippy::cast_possible_truncation,
    reason = "cells are city volumes in m³, far below 2^53"
)]
pub fn round_to_total(values: &[f64], total: i64) -> Vec<i64> {
    if values.is_empty() {
        return Vec::new();
    }
    let clean: Vec<f64> = values
        .iter()
        .map(|v| if v.is_finite() && *v > 0.0 { *v } else { 0.0 })
        .collect();
    let sum: f64 = clean.iter().sum();
    let mut out = vec![0_i64; clean.len()];
    if sum <= 0.0 {
        if let Some(first) = out.first_mut() {
            *first = total;
        }
        return out;
    }
    let scale = total as f64 / sum;
    let mut remainders: Vec<(f64, usize)> = Vec::with_capacity(clean.len());
    for (index, (value, cell)) in clean.iter().zip(out.iter_mut()).enumerate() {
        let exact = value * scale;
        *cell = exact.floor() as i64;
        remainders.push((exact - exact.floor(), index));
    }
    let mut left = total - out.iter().sum::<i64>();
    remainders.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    // Floating scale can leave a unit or two more than there are cells; the ring handles it.
    for (_, index) in remainders.iter().cycle() {
        if left == 0 {
            break;
        }
        let step = left.signum();
        if let Some(cell) = out.get_mut(*index) {
            *cell += step;
        }
        left -= step;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn converts_the_worked_example() {
        // Gas 1 of ISO 12213-2 at 200 kPa gauge and 15 °C: C = 3.038757 with Z₀/Z = 1.004399.
        let factor = conversion_factor(
            AbsPressure(200.0 + 101.325),
            Temperature(15.0),
            1.004_399,
            ReferenceConditions::CHINA,
        );
        assert!((factor - 3.038_757).abs() < 1e-5, "{factor}");
    }

    #[test]
    fn a_volume_reads_and_prints_exactly() {
        let v: StdVolume = "3586401.1116".parse().unwrap();
        assert_eq!(v.units(), 35_864_011_116);
        assert_eq!(v.to_string(), "3586401.1116");
        assert_eq!("-0.5".parse::<StdVolume>().unwrap().to_string(), "-0.5000");
        assert_eq!("7".parse::<StdVolume>().unwrap(), StdVolume::from_m3(7));
        for bad in [
            "",
            "1e5",
            "1,000",
            "1.00001",
            "99999999999999999999",
            ".5",
            "1.a",
            "NaN",
        ] {
            assert!(bad.parse::<StdVolume>().is_err(), "{bad}");
        }
    }

    #[test]
    fn money_rounds_once_half_away_from_zero() {
        let price = YuanPerM3("2.3450".parse().unwrap());
        assert_eq!(price.cost_of(StdVolume::from_m3(1)).to_string(), "2.35");
        assert_eq!(price.cost_of(StdVolume::from_m3(-1)).to_string(), "-2.35");
    }

    #[test]
    fn largest_remainder_breaks_ties_by_position() {
        assert_eq!(round_to_total(&[1.0, 1.0, 1.0], 10), vec![4, 3, 3]);
        assert_eq!(round_to_total(&[0.0, 0.0], 3), vec![3, 0]);
    }

    proptest! {
        #[test]
        fn text_round_trips(units in -9_000_000_000_000_000_i64..9_000_000_000_000_000) {
            let v = StdVolume::from_units(units);
            prop_assert_eq!(v.to_string().parse::<StdVolume>().unwrap(), v);
        }

        #[test]
        fn rounding_keeps_the_total(values in prop::collection::vec(0.0..1e6_f64, 1..60), total in 0_i64..10_000_000) {
            let cells = round_to_total(&values, total);
            prop_assert_eq!(cells.iter().sum::<i64>(), total);
            let sum: f64 = values.iter().sum();
            if sum > 1.0 {
                for (cell, value) in cells.iter().zip(&values) {
                    prop_assert!((*cell as f64 - value * total as f64 / sum).abs() <= 1.0 + 1e-6);
                }
            }
        }
    }
}
