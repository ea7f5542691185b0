//! Load curves: totals differenced, cut at hour boundaries, gaps filled register-bounded first.
//!
//! A curve depends on the totals of its gas day and on three totals on either side: the nearest
//! that bounds it, one more in case that one is an outlier, and one more to tell. Whoever marks
//! days for computing again relies on this (`AROUND`).

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::finding::{Finding, Quality};
use crate::domain::meter::{Meter, MeterExchange, SettlementTotal};
use crate::domain::quantity::StdVolume;
use crate::domain::reading::{Item, Reading};
use crate::domain::series::LoadCurve;
use crate::validate::interval::{Advance, Totaliser, outliers};
use crate::validate::points::TotalPoint;
use crate::validate::rules::{
    v01_duplicate, v04_decreasing_total, v05_rollover, v06_over_capacity, v11_stuck, v21_gap,
};
use crate::validate::spread::spread;

/// Totals on either side of a day that its curve can depend on.
pub const AROUND: usize = 3;

/// Longest interval that crosses an hour boundary and still counts as measured: an hourly report
/// that came a quarter of an hour late.
const MEASURED_MAX: TimeDelta = TimeDelta::minutes(75);
/// Longest interval that is spread. Beyond it a spread says nothing of any day.
const SPREAD_MAX: TimeDelta = TimeDelta::days(400);
const HOUR_MS: i64 = 3_600_000;

/// What a meter's curves are computed with.
#[derive(Debug, Clone, Copy)]
pub struct CurveRules<'a> {
    /// The meter.
    pub meter: &'a Meter,
    /// Exchanges in time order; those of other meters are passed over.
    pub exchanges: &'a [MeterExchange],
    /// Relative use by hour of the gas day, to spread gaps with; flat if none. It must not depend
    /// on other curves, or the order of computing would matter.
    pub shape: Option<&'a [f64; 24]>,
}

impl<'a> CurveRules<'a> {
    /// No exchanges, flat gaps.
    pub const fn plain(meter: &'a Meter) -> Self {
        Self {
            meter,
            exchanges: &[],
            shape: None,
        }
    }

    /// The item its curves are made from.
    pub const fn item(&self) -> Item {
        settlement_item(self.meter)
    }
}

/// The item a meter's curves are made from.
pub const fn settlement_item(meter: &Meter) -> Item {
    match meter.settlement {
        SettlementTotal::Std => Item::TotalStd,
        SettlementTotal::Work => Item::TotalWork,
    }
}

/// The curve of one gas day, and what the sequence rules found, in order of time and rule.
///
/// `points` are in time order, one per instant, with `AROUND` of them before and after the day
/// where there are so many.
pub fn build(
    rules: &CurveRules<'_>,
    clock: GasDayClock,
    day: GasDay,
    points: &[TotalPoint],
) -> (LoadCurve, Vec<Finding>) {
    build_days(rules, clock, day, day.plus(1), points)
        .pop()
        .unwrap_or_else(|| (LoadCurve::missing(rules.meter.id.clone(), day), Vec::new()))
}

/// The curves of the gas days `[from, to)` at once; each the same as `build` gives.
pub fn build_days(
    rules: &CurveRules<'_>,
    clock: GasDayClock,
    from: GasDay,
    to: GasDay,
    points: &[TotalPoint],
) -> Vec<(LoadCurve, Vec<Finding>)> {
    let totaliser = Totaliser {
        meter: rules.meter,
        exchanges: rules.exchanges,
    };
    let mut days = Days::new(clock, from, to);
    let is_outlier = outliers(totaliser, points);
    let mut kept: Vec<&TotalPoint> = Vec::with_capacity(points.len());
    for (index, (point, is_outlier)) in points.iter().zip(&is_outlier).enumerate() {
        days.find(v01_duplicate::check(&rules.meter.id, point));
        if *is_outlier {
            let before = index.checked_sub(1).and_then(|i| points.get(i));
            let is_dip = before.is_some_and(|b| totaliser.advance(b, point) == Advance::Reverse);
            days.find(Some(if is_dip {
                v04_decreasing_total::outlier(&rules.meter.id, point)
            } else {
                v06_over_capacity::outlier(&rules.meter.id, point)
            }));
        } else {
            kept.push(point);
        }
    }
    for pair in kept.windows(2) {
        if let [a, b] = pair {
            days.interval(rules, totaliser, a, b);
        }
    }
    days.finish(rules.meter)
}

/// Findings of the rules that look at samples rather than totals, of readings in time order; only
/// those sampled on the day count.
pub fn sample_findings(
    meter: &Meter,
    clock: GasDayClock,
    day: GasDay,
    readings: &[Reading],
) -> Vec<Finding> {
    v11_stuck::check(meter, readings_of(clock, day, readings))
}

/// Those of some readings in time order that were sampled on a gas day.
pub fn readings_of(clock: GasDayClock, day: GasDay, readings: &[Reading]) -> &[Reading] {
    let (start, end) = (clock.start_of(day), clock.end_of(day));
    let first = readings.partition_point(|reading| reading.sampled_at < start);
    let last = readings.partition_point(|reading| reading.sampled_at < end);
    readings.get(first..last).unwrap_or_default()
}

/// The same, and those sampled at the very end of the gas day.
pub fn readings_to_end(clock: GasDayClock, day: GasDay, readings: &[Reading]) -> &[Reading] {
    let (start, end) = (clock.start_of(day), clock.end_of(day));
    let first = readings.partition_point(|reading| reading.sampled_at < start);
    let last = readings.partition_point(|reading| reading.sampled_at <= end);
    readings.get(first..last).unwrap_or_default()
}

/// The hours of some gas days while they fill.
struct Days {
    clock: GasDayClock,
    from: GasDay,
    to: GasDay,
    first_hour: i64,
    cells: Vec<Cell>,
    findings: Vec<Finding>,
}

#[derive(Clone, Copy)]
struct Cell {
    units: i64,
    covered_ms: i64,
    quality: Quality,
}

impl Days {
    fn new(clock: GasDayClock, from: GasDay, to: GasDay) -> Self {
        let empty = Cell {
            units: 0,
            covered_ms: 0,
            quality: Quality::Measured,
        };
        let days = usize::try_from(to.days_since(from)).unwrap_or(0);
        Self {
            clock,
            from,
            to,
            first_hour: hour_of(clock.start_of(from)),
            cells: vec![empty; days * 24],
            findings: Vec::new(),
        }
    }

    /// Keeps a finding if it belongs to one of the days.
    fn find(&mut self, finding: Option<Finding>) {
        if let Some(finding) = finding {
            let day = self.clock.day_of(finding.at);
            if self.from <= day && day < self.to {
                self.findings.push(finding);
            }
        }
    }

    fn interval(
        &mut self,
        rules: &CurveRules<'_>,
        totaliser: Totaliser<'_>,
        a: &TotalPoint,
        b: &TotalPoint,
    ) {
        let last_hour = self.first_hour + i64::try_from(self.cells.len()).unwrap_or(0);
        if hour_of(b.at) < self.first_hour || hour_of(a.at) > last_hour {
            return;
        }
        let meter = rules.meter;
        match totaliser.advance(a, b) {
            Advance::Reverse => {
                self.find(Some(v04_decreasing_total::finding(&meter.id, a, b)));
                self.cover(a, b, Quality::Invalid, None);
            }
            Advance::OverCapacity => {
                self.find(Some(v06_over_capacity::finding(meter, a, b)));
                self.cover(a, b, Quality::Invalid, None);
            }
            Advance::By { .. } if b.at - a.at > SPREAD_MAX => {
                self.find(v21_gap::check(meter, a, b));
            }
            Advance::By {
                std_units,
                is_rollover,
            } => {
                if is_rollover {
                    self.find(Some(v05_rollover::finding(&meter.id, a, b)));
                }
                self.find(v21_gap::check(meter, a, b));
                let quality = quality_of(a, b);
                let shape = if quality == Quality::Estimated {
                    rules.shape
                } else {
                    None
                };
                self.volume(a, b, std_units, quality, shape);
            }
        }
    }

    /// Spreads a volume over the hours of an interval, all of them, and keeps those of the days.
    fn volume(
        &mut self,
        a: &TotalPoint,
        b: &TotalPoint,
        units: i64,
        quality: Quality,
        shape: Option<&[f64; 24]>,
    ) {
        if hour_of(a.at) == hour_of(b.at - TimeDelta::milliseconds(1)) {
            // By far the most intervals lie within one hour.
            let ms = (b.at - a.at).num_milliseconds();
            self.cover_hour(hour_of(a.at), ms, quality, units);
            return;
        }
        let spans = hour_spans(a.at, b.at);
        let weights: Vec<u64> = spans
            .iter()
            .map(|(hour, ms)| ms.cast_unsigned() * shape_weight(self.clock, shape, *hour))
            .collect();
        let parts = spread(units, &weights);
        self.cover(a, b, quality, Some(&parts));
    }

    /// Marks the hours of an interval as covered, with the parts of its volume if it has one.
    fn cover(&mut self, a: &TotalPoint, b: &TotalPoint, quality: Quality, parts: Option<&[i64]>) {
        for (index, (hour, ms)) in hour_spans(a.at, b.at).into_iter().enumerate() {
            let units = parts.and_then(|p| p.get(index)).copied().unwrap_or(0);
            self.cover_hour(hour, ms, quality, units);
        }
    }

    fn cover_hour(&mut self, hour: i64, ms: i64, quality: Quality, units: i64) {
        let cell = usize::try_from(hour - self.first_hour)
            .ok()
            .and_then(|cell| self.cells.get_mut(cell));
        if let Some(cell) = cell {
            cell.covered_ms += ms;
            cell.quality = cell.quality.max(quality);
            cell.units += units;
        }
    }

    fn finish(mut self, meter: &Meter) -> Vec<(LoadCurve, Vec<Finding>)> {
        Finding::sort(&mut self.findings);
        let mut findings = std::mem::take(&mut self.findings).into_iter().peekable();
        let mut curves = Vec::new();
        let mut day = self.from;
        for cells in self.cells.chunks_exact(24) {
            let mut curve = LoadCurve::missing(meter.id.clone(), day);
            let hours = curve.hours.iter_mut().zip(&mut curve.quality);
            for (cell, (volume, quality)) in cells.iter().zip(hours) {
                // An hour with an open end has no volume yet, however much of it is covered.
                if cell.covered_ms == HOUR_MS {
                    *quality = cell.quality;
                    if quality.has_volume() {
                        *volume = StdVolume::from_units(cell.units);
                    }
                }
            }
            let mut of_day = Vec::new();
            let end = self.clock.end_of(day);
            while let Some(finding) = findings.next_if(|finding| finding.at < end) {
                of_day.push(finding);
            }
            curves.push((curve, of_day));
            day = day.plus(1);
        }
        curves
    }
}

/// Measured where each touched hour has a total inside or at its edge; else bounded on both sides.
fn quality_of(a: &TotalPoint, b: &TotalPoint) -> Quality {
    let hours = hour_of(b.at - TimeDelta::milliseconds(1)) - hour_of(a.at) + 1;
    if hours > 2 || (hours == 2 && b.at - a.at > MEASURED_MAX) {
        return Quality::Estimated;
    }
    if a.is_suspect || b.is_suspect {
        return Quality::Suspect;
    }
    if a.is_frozen || b.is_frozen {
        return Quality::Backfilled;
    }
    Quality::Measured
}

/// Whole hours since 1970; every gas day starts on one.
fn hour_of(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis().div_euclid(HOUR_MS)
}

/// The hours an interval touches, with the milliseconds it has of each.
fn hour_spans(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<(i64, i64)> {
    let (from, to) = (from.timestamp_millis(), to.timestamp_millis());
    let mut spans = Vec::new();
    let mut at = from;
    while at < to {
        let hour = at.div_euclid(HOUR_MS);
        let end = ((hour + 1) * HOUR_MS).min(to);
        spans.push((hour, end - at));
        at = end;
    }
    spans
}

/// The weight of an hour of the gas day, in parts of a million of the greatest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and a million"
)]
fn shape_weight(clock: GasDayClock, shape: Option<&[f64; 24]>, hour: i64) -> u64 {
    let Some(shape) = shape else { return 1 };
    let greatest = shape.iter().copied().fold(0.0_f64, f64::max);
    if !(greatest > 0.0 && greatest.is_finite()) {
        return 1;
    }
    let index = (hour + 8 - i64::from(clock.start_hour)).rem_euclid(24);
    let weight = usize::try_from(index)
        .ok()
        .and_then(|index| shape.get(index))
        .copied()
        .unwrap_or(0.0);
    (weight.clamp(0.0, greatest) / greatest * 1e6).round() as u64
}

#[cfg(test)]
mod tests;
