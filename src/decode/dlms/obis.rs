//! What an object is by its OBIS code, and what its unit is worth in ours.
//!
//! # Source
//! EN 13757-1 (gas, medium 7); IEC 62056-6-2, table of units; domain.md §3.6.

use std::fmt;

use crate::domain::reading::Item;

const ABSTRACT: u8 = 0;
const GAS: u8 = 7;

/// An OBIS code, A to F.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Obis(pub(super) [u8; 6]);

impl Obis {
    /// `7-0:13.2.0`, with `.255` or `*255` behind it or without.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (medium, rest) = text.split_once('-')?;
        let (channel, rest) = rest.split_once(':')?;
        let mut parts = rest.split(['.', '*']);
        let mut next = || parts.next()?.parse::<u8>().ok();
        let value = [next()?, next()?, next()?];
        let last = match parts.next() {
            Some(text) => text.parse().ok()?,
            None => 255,
        };
        if parts.next().is_some() {
            return None;
        }
        let [quantity, processing, tariff] = value;
        Some(Self([
            medium.parse().ok()?,
            channel.parse().ok()?,
            quantity,
            processing,
            tariff,
            last,
        ]))
    }

    /// From an octet string of six bytes.
    pub(super) fn from_octets(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Whether an item can be read from it; if not, what to do. So a converted volume is never
    /// taken for one at metering conditions and converted once more, nor the other way about.
    pub(super) fn holds(self, item: Item) -> Result<(), String> {
        let [medium, _, c, d, _, _] = self.0;
        let items = match medium {
            GAS => gas(c, d),
            // Counters, batteries, valves, radio: the code says nothing of gas.
            ABSTRACT if is_condition(item) => &[],
            ABSTRACT => return Ok(()),
            _ => {
                return Err(format!(
                    "{self} is no object of a gas meter; its code begins with 7"
                ));
            }
        };
        if items.contains(&item) {
            Ok(())
        } else {
            Err(match items {
                [] => format!(
                    "{self} holds no value of the program; 7-0:3.0.0 is the total at metering conditions, 7-0:13.2.0 the converted one"
                ),
                [first, ..] => format!("{self} is {}; read that from it", first.key()),
            })
        }
    }
}

impl fmt::Display for Obis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [medium, channel, quantity, processing, tariff, last] = self.0;
        write!(out, "{medium}-{channel}:{quantity}.{processing}.{tariff}")?;
        if last == 255 {
            Ok(())
        } else {
            write!(out, ".{last}")
        }
    }
}

/// Items that are of the gas itself: only a code of medium 7 holds them.
const fn is_condition(item: Item) -> bool {
    matches!(
        item,
        Item::TotalStd
            | Item::TotalWork
            | Item::TotalDisturbed
            | Item::TotalStdSecond
            | Item::TotalWorkSecond
            | Item::FlowStd
            | Item::FlowWork
            | Item::Temperature
            | Item::PressureAbs
            | Item::PressureGauge
            | Item::ZFactor
            | Item::ConversionFactor
            | Item::ZBase
            | Item::CalorificValue
            | Item::BasePressure
            | Item::BaseTemperature
    )
}

/// Items of a gas code, by its groups C and D; D is 0 at metering conditions and 2 at base
/// conditions.
const fn gas(c: u8, d: u8) -> &'static [Item] {
    match (c, d) {
        // Forward undisturbed and absolute volume, of the meter and of the converter.
        (1 | 3 | 11 | 13, 0) => &[Item::TotalWork, Item::TotalWorkSecond],
        (11 | 13, 2) => &[Item::TotalStd, Item::TotalStdSecond],
        // Disturbed: counted under an alarm.
        (12, 2) => &[Item::TotalDisturbed],
        (41, 0) => &[Item::Temperature],
        (41, 2) => &[Item::BaseTemperature],
        (42, 0) => &[Item::PressureAbs],
        (42, 2) => &[Item::BasePressure],
        (43, 0) => &[Item::FlowWork],
        (43, 2) => &[Item::FlowStd],
        (51 | 52, _) => &[Item::ConversionFactor],
        (53, 0) => &[Item::ZFactor],
        (53, 2) => &[Item::ZBase],
        (54, _) => &[Item::CalorificValue],
        _ => &[],
    }
}

/// Scaler and unit as an object says them: value × 10^scaler, in the unit of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) scaler: i8,
    pub(super) code: u8,
}

impl Unit {
    /// Implied decimals in m³ of a total in this unit; none if it is no volume of this kind.
    pub(super) fn decimals(self, item: Item) -> Option<i8> {
        let litre = match (self.code, item) {
            // Volume; corrected volume only for what is converted.
            (13, _) | (14, Item::TotalStd | Item::TotalDisturbed) => 0,
            (19, _) => 3,
            _ => return None,
        };
        self.scaler.checked_neg()?.checked_add(litre)
    }

    /// Telemetry in the item's unit; none if this unit is of another quantity.
    pub(super) fn telemetry(self, item: Item, raw: f64) -> Option<f64> {
        let (multiplier, divisor, offset) = match (item, self.code) {
            (Item::Temperature | Item::BaseTemperature, 9)
            | (Item::FlowWork | Item::FlowStd, 15)
            | (Item::FlowStd, 16)
            | (Item::TotalWorkSecond | Item::TotalStdSecond, 13)
            | (Item::TotalStdSecond, 14)
            | (Item::BatteryVoltage, 35)
            | (Item::BatteryLevel, 56)
            | (Item::Rsrp, 70)
            | (Item::Snr, 72)
            | (
                Item::ZFactor
                | Item::ZBase
                | Item::ConversionFactor
                | Item::ReportSeq
                | Item::ConfigCrc
                | Item::BatteryLevel,
                255,
            ) => (1.0, 1.0, 0.0),
            (Item::Temperature | Item::BaseTemperature, 52) => (1.0, 1.0, -273.15),
            (Item::PressureAbs | Item::BasePressure, 23) => (1.0, 1e3, 0.0),
            (Item::PressureAbs | Item::BasePressure, 24) => (1e2, 1.0, 0.0),
            (Item::FlowWork | Item::FlowStd, 17) | (Item::FlowStd, 18) => (1.0, 24.0, 0.0),
            (Item::CalorificValue, 61) => (1.0, 1e6, 0.0),
            (Item::CalorificValue, 60) => (3.6, 1e3, 0.0),
            _ => return None,
        };
        // A division by a power of ten is exact where a multiplication by its inverse is not.
        let power = 10_f64.powi(i32::from(self.scaler.unsigned_abs()));
        let scaled = if self.scaler < 0 {
            raw / power
        } else {
            raw * power
        };
        Some(scaled * multiplier / divisor + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Obis {
        Obis::parse(text).unwrap()
    }

    #[test]
    fn codes_are_read_and_shown() {
        assert_eq!(code("7-0:13.2.0").0, [7, 0, 13, 2, 0, 255]);
        assert_eq!(code("7-0:13.2.0.255"), code("7-0:13.2.0*255"));
        assert_eq!(code("7-1:99.99.3*1").to_string(), "7-1:99.99.3.1");
        for wrong in [
            "7-0:13.2",
            "7:13.2.0",
            "7-0:13.2.256",
            "7-0:13.2.0.255.1",
            "",
        ] {
            assert_eq!(Obis::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn totals_are_typed_by_their_code() {
        let exact = |text: &str| -> Vec<Item> {
            Item::ALL
                .into_iter()
                .filter(|i| i.is_exact() && code(text).holds(*i).is_ok())
                .collect()
        };
        assert_eq!(exact("7-0:3.0.0"), [Item::TotalWork]);
        assert_eq!(exact("7-0:13.2.0"), [Item::TotalStd]);
        assert_eq!(exact("7-0:12.2.0"), [Item::TotalDisturbed]);
        // Corrected for the meter's error, but not converted: neither.
        assert_eq!(exact("7-0:3.1.0"), []);
        assert_eq!(exact("1-0:1.8.0"), []);
        assert_eq!(exact("0-0:96.1.0"), []);
        let remedy = code("7-0:3.0.0").holds(Item::TotalStd).unwrap_err();
        assert_eq!(remedy, "7-0:3.0.0 is total_work_m3; read that from it");
    }

    #[test]
    fn units_are_converted_exactly() {
        let unit = |scaler, code| Unit { scaler, code };
        assert_eq!(unit(-3, 13).decimals(Item::TotalWork), Some(3));
        assert_eq!(unit(0, 19).decimals(Item::TotalWork), Some(3));
        assert_eq!(unit(-1, 19).decimals(Item::TotalStd), Some(4));
        assert_eq!(
            unit(-3, 14).decimals(Item::TotalWork),
            None,
            "a corrected volume"
        );
        assert_eq!(unit(i8::MIN, 13).decimals(Item::TotalWork), None);
        assert_eq!(unit(-3, 30).decimals(Item::TotalWork), None, "watt-hours");
        assert_eq!(
            unit(-2, 24).telemetry(Item::PressureAbs, 301.0),
            Some(301.0)
        );
        assert_eq!(
            unit(0, 23).telemetry(Item::PressureAbs, 101_325.0),
            Some(101.325)
        );
        assert_eq!(
            unit(-2, 52).telemetry(Item::Temperature, 28_815.0),
            Some(15.0)
        );
        assert_eq!(unit(0, 23).telemetry(Item::Temperature, 1.0), None);
    }
}
