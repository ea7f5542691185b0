//! From one total to the next: how much gas, or why it cannot be said.

use crate::domain::meter::{Meter, MeterExchange, SettlementTotal};
use crate::validate::convert::interval::ZoneConversion;
use crate::validate::points::TotalPoint;
use crate::validate::rules::{v05_rollover, v06_over_capacity};

/// Decimal places to which a fixed factor is taken.
const FACTOR_SCALE: f64 = 1e9;

/// How a total advanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advance {
    /// By so much standard volume, units of 1e-4 m³.
    By {
        /// Standard volume.
        std_units: i64,
        /// Across a rollover.
        is_rollover: bool,
        /// Converted by the pressure and temperature of its own ends.
        is_by_state: bool,
    },
    /// It went back.
    Reverse,
    /// Further than the meter can count.
    OverCapacity,
}

impl Advance {
    pub(super) fn is_ok(self) -> bool {
        matches!(self, Self::By { .. })
    }
}

/// What turns totals of one meter into volumes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totaliser<'a> {
    pub(super) meter: &'a Meter,
    /// In time order; those of other meters are passed over.
    pub(super) exchanges: &'a [MeterExchange],
    /// What gives intervals of a working total their own factor.
    pub(super) conversion: Option<&'a ZoneConversion>,
}

impl Totaliser<'_> {
    /// How the total advanced from one point to a later one.
    ///
    /// An exchange after `from` and not after `to` continues the old meter to its last total and
    /// the new one from its first.
    pub(super) fn advance(&self, from: &TotalPoint, to: &TotalPoint) -> Advance {
        let limit = v06_over_capacity::limit(self.meter, from, to);
        let mut sum = Sum {
            factor: self.interval_factor(from, to),
            ..Sum::default()
        };
        let mut start = from.units;
        for exchange in self.exchanges.iter().filter(|exchange| {
            exchange.meter == self.meter.id
                && from.at < exchange.exchanged_at
                && exchange.exchanged_at <= to.at
        }) {
            if !self.step(&mut sum, start, exchange.old_total.units(), limit) {
                return Advance::Reverse;
            }
            start = exchange.new_total.units();
        }
        if !self.step(&mut sum, start, to.units, limit) {
            return Advance::Reverse;
        }
        if sum.register > limit {
            return Advance::OverCapacity;
        }
        Advance::By {
            std_units: sum.std_units,
            is_rollover: sum.is_rollover,
            is_by_state: sum.factor.is_some(),
        }
    }

    /// The factor of an interval: the mean of those at its two ends, or the one that is known.
    fn interval_factor(&self, from: &TotalPoint, to: &TotalPoint) -> Option<i64> {
        if self.meter.settlement == SettlementTotal::Std {
            return None;
        }
        let conversion = self.conversion?;
        // The gas of the interval's start at both ends: it is one gas.
        let of = |point: &TotalPoint| conversion.factor(from.at, point.state?);
        match (of(from), of(to)) {
            (Some(a), Some(b)) => Some((a + b + 1) / 2),
            (a, b) => a.or(b),
        }
    }

    /// Adds the way of one totaliser; false if it went back.
    fn step(&self, sum: &mut Sum, from: i64, to: i64, limit: i64) -> bool {
        let digits = self.meter.total_digits;
        if to >= from {
            sum.register = sum.register.saturating_add(to.saturating_sub(from));
            sum.std_units += match sum.factor {
                Some(factor) => scaled(to - from, factor, ZoneConversion::scale()),
                None => self.standard(to) - self.standard(from),
            };
            return true;
        }
        match v05_rollover::across(digits, from, to).zip(v05_rollover::modulus(digits)) {
            Some((register, modulus)) if register <= limit => {
                sum.register = sum.register.saturating_add(register);
                sum.std_units += match sum.factor {
                    Some(factor) => scaled(register, factor, ZoneConversion::scale()),
                    None => self.standard(modulus) - self.standard(from) + self.standard(to),
                };
                sum.is_rollover = true;
                true
            }
            _ => false,
        }
    }

    /// The standard volume a totaliser's reading stands for, half away from zero.
    ///
    /// The reading is converted and differences are taken afterwards: with one fixed factor they
    /// telescope, so the hours of any period sum to the period's register difference times the
    /// factor, however many readings lie between.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a factor is far below 1e9, and 1e9 times it far below 2^63"
    )]
    fn standard(&self, units: i64) -> i64 {
        if self.meter.settlement == SettlementTotal::Std {
            return units;
        }
        let factor = (self.meter.fixed_factor * FACTOR_SCALE).round() as i64;
        scaled(units, factor, FACTOR_SCALE as i64)
    }
}

/// `units` times `factor` parts of `scale`, half away from zero.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a total times a factor is far below 2^127, and the result is clamped"
)]
fn scaled(units: i64, factor: i64, scale: i64) -> i64 {
    let scale = i128::from(scale);
    let product = i128::from(units) * i128::from(factor);
    let half = if product >= 0 { scale / 2 } else { -scale / 2 };
    ((product + half) / scale).clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
}

#[derive(Default)]
struct Sum {
    /// The interval's own factor, if it has one.
    factor: Option<i64>,
    register: i64,
    std_units: i64,
    is_rollover: bool,
}

/// Which points are single outliers: their neighbours agree with each other but not with them.
///
/// Depends on two points on either side and never marks two that follow each other: of two
/// candidates side by side the one that disagrees with more neighbours goes, of equals none.
pub(super) fn outliers(totaliser: Totaliser<'_>, points: &[TotalPoint]) -> Vec<bool> {
    let is_ok: Vec<bool> = points
        .windows(2)
        .map(|pair| match pair {
            [a, b] => totaliser.advance(a, b).is_ok(),
            _ => true,
        })
        .collect();
    let failed = |index: usize| u8::from(!is_ok.get(index).copied().unwrap_or(true));
    let scores: Vec<u8> = (0..points.len())
        .map(|index| {
            let Some(before) = index.checked_sub(1) else {
                return 0;
            };
            let score = failed(before) + failed(index);
            let around = points.get(before).zip(points.get(index + 1));
            match around {
                Some((a, b)) if score > 0 && totaliser.advance(a, b).is_ok() => score,
                _ => 0,
            }
        })
        .collect();
    let score = |index: Option<usize>| index.and_then(|i| scores.get(i)).copied().unwrap_or(0);
    (0..points.len())
        .map(|index| {
            let own = score(Some(index));
            own > score(index.checked_sub(1)) && own > score(Some(index + 1))
        })
        .collect()
}
