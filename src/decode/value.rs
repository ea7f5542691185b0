//! From what a device writes to values: exact totals and finite telemetry.

use std::str::FromStr as _;

use crate::decode::code::reject;
use crate::domain::frame::RejectReason;
use crate::domain::quantity::StdVolume;
use crate::domain::reading::Item;

/// Largest total a float can carry to four decimals without doubt: fifteen significant digits.
const FLOAT_TOTAL_MAX_M3: f64 = 1e11;

/// Implied decimals a profile may state; beyond four they are cut.
pub(super) const DECIMALS: std::ops::RangeInclusive<i8> = -3..=9;

/// A rejection that names the field.
pub(super) fn fault(code: &str, item: Item, what: impl std::fmt::Display) -> RejectReason {
    RejectReason::new(code, format!("field `{}` {what}", item.key()))
}

/// An exact total from decimal text, units of 1e-4 m³.
pub(super) fn exact_from_text(item: Item, text: &str) -> Result<i64, RejectReason> {
    // The text itself is payload and stays out of the message.
    let volume = StdVolume::from_str(text).map_err(|error| {
        fault(
            reject::INEXACT,
            item,
            format_args!("is no exact volume: {}", error.reason),
        )
    })?;
    not_negative(item, volume.units())
}

/// An exact total from a JSON float, taken only where four decimals say it exactly.
pub(super) fn exact_from_float(item: Item, m3: f64) -> Result<i64, RejectReason> {
    if !m3.is_finite() || m3.abs() >= FLOAT_TOTAL_MAX_M3 {
        return Err(fault(
            reject::INEXACT,
            item,
            "is a float beyond 1e11 m³, where four decimals are no longer exact; send a decimal string",
        ));
    }
    // The shortest text that reads back as the same float: what the sender meant.
    let text = format!("{m3}");
    let volume = StdVolume::from_str(&text).map_err(|_| {
        fault(
            reject::INEXACT,
            item,
            "is a float that four decimals do not say exactly; send a decimal string",
        )
    })?;
    not_negative(item, volume.units())
}

/// An exact total from a number as JSON text, under the same rule as a float: below 1e11 m³, and
/// four decimals say it. No digit is lost on the way.
pub(super) fn exact_from_number(item: Item, written: &str) -> Result<i64, RejectReason> {
    let m3: f64 = written.parse().unwrap_or(f64::NAN);
    if written.contains(['e', 'E']) || !m3.is_finite() || m3.abs() >= FLOAT_TOTAL_MAX_M3 {
        return exact_from_float(item, m3);
    }
    let volume = StdVolume::from_str(written).map_err(|_| {
        fault(
            reject::INEXACT,
            item,
            "is a float that four decimals do not say exactly; send a decimal string",
        )
    })?;
    not_negative(item, volume.units())
}

/// An exact total from a decimal fraction, digits · 10^exponent.
pub(super) fn exact_from_decimal(
    item: Item,
    digits: i64,
    exponent: i64,
) -> Result<i64, RejectReason> {
    // Trailing zeros say nothing: 1000 · 10^-5 is 0.01.
    let (mut digits, mut exponent) = (i128::from(digits), exponent);
    while exponent < -4 && digits != 0 && digits % 10 == 0 {
        digits /= 10;
        exponent += 1;
    }
    if digits == 0 {
        return Ok(0);
    }
    match i8::try_from(exponent) {
        Ok(exponent @ -4..=15) => exact_from_count(item, digits, -exponent),
        _ if exponent > 0 => Err(fault(reject::RANGE, item, "is too large for a total")),
        _ => Err(fault(
            reject::INEXACT,
            item,
            "is a decimal fraction of more than four decimals",
        )),
    }
}

/// An exact total from a whole number with `decimals` implied decimals.
///
/// Decimals beyond the fourth are cut, not rounded, so that a total never runs ahead of the meter.
pub(super) fn exact_from_count(item: Item, count: i128, decimals: i8) -> Result<i64, RejectReason> {
    let shift = i32::from(decimals) - 4;
    let factor = 10_i128.pow(shift.unsigned_abs().min(19));
    let units = if shift >= 0 {
        Some(count / factor)
    } else {
        count.checked_mul(factor)
    };
    let units = units
        .and_then(|u| i64::try_from(u).ok())
        .ok_or_else(|| fault(reject::RANGE, item, "is too large for a total"))?;
    not_negative(item, units)
}

/// An exact total from a device's own double, to the nearest 1e-4 m³.
#[expect(
    clippy::cast_possible_truncation,
    reason = "bounded by FLOAT_TOTAL_MAX_M3, far inside i64"
)]
pub(super) fn exact_from_double(item: Item, m3: f64) -> Result<i64, RejectReason> {
    if !m3.is_finite() || m3.abs() >= FLOAT_TOTAL_MAX_M3 {
        return Err(fault(
            reject::RANGE,
            item,
            "is not a finite total below 1e11 m³",
        ));
    }
    not_negative(item, (m3 * 10_000.0).round() as i64)
}

fn not_negative(item: Item, units: i64) -> Result<i64, RejectReason> {
    if units < 0 {
        Err(fault(
            reject::RANGE,
            item,
            "is negative; a total counts up from zero",
        ))
    } else {
        Ok(units)
    }
}

/// Telemetry, scaled and finite.
pub(super) fn scaled(item: Item, raw: f64, scale: f64, offset: f64) -> Result<f64, RejectReason> {
    let value = raw * scale + offset;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(fault(reject::RANGE, item, "is not a finite number"))
    }
}

/// The double nearest to the shortest decimal text of a float: 21.649, not 21.64900016784668.
pub(super) fn widen(value: f32) -> f64 {
    format!("{value}")
        .parse()
        .unwrap_or_else(|_| f64::from(value))
}

/// The two decimal digits of a BCD byte.
pub(super) fn bcd_byte(byte: u8) -> Option<u8> {
    let (high, low) = (byte >> 4, byte & 0x0F);
    (high < 10 && low < 10).then_some(high * 10 + low)
}

/// The number of big-endian BCD bytes, at most nine of them.
pub(super) fn bcd(bytes: impl IntoIterator<Item = u8>) -> Option<u64> {
    bytes.into_iter().try_fold(0_u64, |sum, byte| {
        sum.checked_mul(100)?
            .checked_add(u64::from(bcd_byte(byte)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_float_total_counts_only_where_four_decimals_say_it() {
        let take = |m3| exact_from_float(Item::TotalStd, m3);
        assert_eq!(take(3_586_401.111_6), Ok(35_864_011_116));
        assert_eq!(take(7.0), Ok(70_000));
        assert_eq!(take(0.1 + 0.2).unwrap_err().code, reject::INEXACT);
        assert_eq!(take(1.000_01).unwrap_err().code, reject::INEXACT);
        assert_eq!(take(1e11).unwrap_err().code, reject::INEXACT);
        assert_eq!(take(f64::NAN).unwrap_err().code, reject::INEXACT);
        assert_eq!(take(-1.0).unwrap_err().code, reject::RANGE);
    }

    #[test]
    fn implied_decimals_beyond_the_fourth_are_cut() {
        let take = |count, decimals| exact_from_count(Item::TotalWork, count, decimals);
        assert_eq!(take(12_345_678, 2), Ok(1_234_567_800));
        assert_eq!(take(122_856_864_222, 4), Ok(122_856_864_222));
        assert_eq!(take(1_234_599, 6), Ok(12_345));
        assert_eq!(take(5, -3), Ok(50_000_000));
        assert_eq!(
            take(i128::from(u64::MAX), 0).unwrap_err().code,
            reject::RANGE
        );
        assert_eq!(take(-1, 0).unwrap_err().code, reject::RANGE);
    }

    #[test]
    fn a_number_as_text_counts_by_its_own_digits() {
        let take = |written| exact_from_number(Item::TotalStd, written);
        assert_eq!(take("3586401.1116"), Ok(35_864_011_116));
        assert_eq!(take("88.06250000000000000000"), Ok(880_625));
        assert_eq!(take("1.5e3"), Ok(15_000_000));
        assert_eq!(
            take("0.30000000000000004").unwrap_err().code,
            reject::INEXACT
        );
        // A double would take this for 1.
        assert_eq!(
            take("1.00000000000000000001").unwrap_err().code,
            reject::INEXACT
        );
        assert_eq!(take("100000000000.5").unwrap_err().code, reject::INEXACT);
        assert_eq!(
            take("18446744073709551615").unwrap_err().code,
            reject::INEXACT
        );
        assert_eq!(take("1e999").unwrap_err().code, reject::INEXACT);
        assert_eq!(take("-1.5").unwrap_err().code, reject::RANGE);
    }

    #[test]
    fn a_decimal_fraction_is_exact_or_refused() {
        let take = |digits, exponent| exact_from_decimal(Item::TotalStd, digits, exponent);
        assert_eq!(take(35_864_011_116, -4), Ok(35_864_011_116));
        assert_eq!(take(5, 3), Ok(50_000_000));
        assert_eq!(take(1_000, -5), Ok(100));
        assert_eq!(take(0, i64::MIN), Ok(0));
        assert_eq!(take(1, -5).unwrap_err().code, reject::INEXACT);
        assert_eq!(take(1, i64::MIN).unwrap_err().code, reject::INEXACT);
        assert_eq!(take(i64::MAX, 15).unwrap_err().code, reject::RANGE);
        assert_eq!(take(1, 16).unwrap_err().code, reject::RANGE);
        assert_eq!(take(1, i64::MAX).unwrap_err().code, reject::RANGE);
        assert_eq!(take(-1, 0).unwrap_err().code, reject::RANGE);
    }

    #[test]
    fn bcd_takes_decimal_digits_only() {
        assert_eq!(bcd([0x12, 0x28, 0x56]), Some(122_856));
        assert_eq!(bcd([0x1A]), None);
        assert_eq!(bcd([0xFF; 2]), None);
    }

    proptest! {
        #[test]
        fn a_widened_float_is_still_the_same_float(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            if value.is_finite() {
                #[expect(clippy::cast_possible_truncation, reason = "the round trip under test")]
                let back = widen(value) as f32;
                prop_assert_eq!(back.to_bits(), value.to_bits());
            }
        }

        #[test]
        fn every_total_of_four_decimals_survives_a_float(units in 0_i64..1_000_000_000_000_000) {
            let text = StdVolume::from_units(units).to_string();
            let float: f64 = text.parse().unwrap();
            prop_assert_eq!(exact_from_float(Item::TotalStd, float), Ok(units));
        }
    }
}
