//! Load curves: totals differenced, cut at hour boundaries, gaps filled register-bounded first.
//!
//! A curve depends on the totals of its gas day and on three totals on either side: the nearest
//! that bounds it, one more in case that one is an outlier, and one more to tell. Whoever marks
//! days for computing again relies on this (`AROUND`).
//!
//! Beyond that, a gap of at most [`PROFILE_GAP`] is spread by the meter's own *measured* hours of the
//! [`PROFILE_DAYS`] gas days before the one it begins on. Measured hours depend on totals alone, never
//! on a spread, so the order of computing cannot matter; and a day depends on hours at most 28 days
//! before it, which is how far whoever computes a day again looks ahead.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::{Calendar, DayType, GasDay, GasDayClock};
use crate::domain::edit::CurveEdit;
use crate::domain::finding::{Finding, Quality};
use crate::domain::meter::{Meter, MeterExchange, SettlementTotal};
use crate::domain::quantity::StdVolume;
use crate::domain::reading::{Item, Reading};
use crate::domain::series::LoadCurve;
use crate::validate::convert::interval::ZoneConversion;
use crate::validate::interval::{Advance, Totaliser, outliers};
use crate::validate::points::TotalPoint;
use crate::validate::rules::{
    v01_duplicate, v04_decreasing_total, v05_rollover, v06_over_capacity, v11_stuck, v16_sibling,
    v21_gap,
};
use crate::validate::spread::spread;

/// Totals on either side of a day that its curve can depend on.
pub const AROUND: usize = 3;

/// Longest interval that crosses an hour boundary and still counts as measured: an hourly report
/// that came a quarter of an hour late.
const MEASURED_MAX: TimeDelta = TimeDelta::minutes(75);
/// Longest interval that is spread. Beyond it a spread says nothing of any day.
const SPREAD_MAX: TimeDelta = TimeDelta::days(400);
/// Longest gap that is spread by the meter's own profile; a longer one is spread by time.
pub const PROFILE_GAP: TimeDelta = TimeDelta::days(7);
/// Gas days before a gap whose measured hours make its profile. With [`PROFILE_GAP`] this is 28 days.
pub const PROFILE_DAYS: i64 = 21;
/// Measured values of an hour that its profile needs.
const PROFILE_MIN: i64 = 2;
/// A part of the profile's mean that is added to every hour, so that an hour in which nothing was ever
/// seen to flow is not ruled out.
const PROFILE_FLOOR: i64 = 20;
const HOUR_MS: i64 = 3_600_000;

/// What a meter's curves are computed with.
#[derive(Debug, Clone, Copy)]
pub struct CurveRules<'a> {
    /// The meter.
    pub meter: &'a Meter,
    /// Exchanges in time order; those of other meters are passed over.
    pub exchanges: &'a [MeterExchange],
    /// Converts intervals of a working total by the state of the gas at their ends.
    pub conversion: Option<&'a ZoneConversion>,
    /// Working days and holidays; without it, Saturdays and Sundays only.
    pub calendar: Option<&'a Calendar>,
    /// Curves of the 28 gas days before those that are built, in order.
    pub history: &'a [LoadCurve],
    /// Decisions about this meter's hours, in the order in which they were taken.
    pub edits: &'a [CurveEdit],
}

impl<'a> CurveRules<'a> {
    /// No exchanges, the fixed factor, no history.
    pub const fn plain(meter: &'a Meter) -> Self {
        Self {
            meter,
            exchanges: &[],
            conversion: None,
            calendar: None,
            history: &[],
            edits: &[],
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
        conversion: rules.conversion,
    };
    let mut days = Days::new(rules, clock, from, to);
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
            days.interval(totaliser, a, b);
        }
    }
    days.spread_gaps();
    days.finish()
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

/// The hours of some gas days while they fill.
struct Days<'a> {
    rules: &'a CurveRules<'a>,
    clock: GasDayClock,
    from: GasDay,
    to: GasDay,
    first_hour: i64,
    cells: Vec<Cell>,
    /// What the decisions in force say of an hour.
    edited: BTreeMap<i64, StdVolume>,
    /// Bounded gaps that wait until every measured hour is known.
    gaps: Vec<Gap>,
    /// How the intervals that begin on each day were converted.
    conversions: BTreeMap<GasDay, v16_sibling::Conversions>,
    findings: Vec<Finding>,
}

/// A bounded gap with its volume.
#[derive(Clone, Copy)]
struct Gap {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    units: i64,
}

#[derive(Clone, Copy)]
struct Cell {
    units: i64,
    covered_ms: i64,
    quality: Quality,
}

impl<'a> Days<'a> {
    fn new(rules: &'a CurveRules<'a>, clock: GasDayClock, from: GasDay, to: GasDay) -> Self {
        let empty = Cell {
            units: 0,
            covered_ms: 0,
            quality: Quality::Measured,
        };
        let days = usize::try_from(to.days_since(from)).unwrap_or(0);
        let mut edited = BTreeMap::new();
        for edit in rules.edits.iter().filter(|edit| edit.revoked.is_none()) {
            let start = hour_of(clock.start_of(edit.day));
            for (hour, volume) in &edit.hours {
                edited.insert(start + i64::from(*hour), *volume);
            }
        }
        Self {
            rules,
            clock,
            from,
            to,
            first_hour: hour_of(clock.start_of(from)),
            cells: vec![empty; days * 24],
            edited,
            gaps: Vec::new(),
            conversions: BTreeMap::new(),
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

    fn interval(&mut self, totaliser: Totaliser<'_>, a: &TotalPoint, b: &TotalPoint) {
        let last_hour = self.first_hour + i64::try_from(self.cells.len()).unwrap_or(0);
        if hour_of(b.at) < self.first_hour || hour_of(a.at) > last_hour {
            return;
        }
        let meter = self.rules.meter;
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
                is_by_state,
            } => {
                if self.rules.conversion.is_some() && meter.settlement == SettlementTotal::Work {
                    let of_day = self.conversions.entry(self.clock.day_of(a.at)).or_default();
                    of_day.add(a.at, is_by_state);
                }
                if is_rollover {
                    self.find(Some(v05_rollover::finding(&meter.id, a, b)));
                }
                self.find(v21_gap::check(meter, a, b));
                let quality = quality_of(a, b);
                if quality == Quality::Estimated {
                    self.gaps.push(Gap {
                        from: a.at,
                        to: b.at,
                        units: std_units,
                    });
                } else {
                    self.volume(a, b, std_units, quality);
                }
            }
        }
    }

    /// Divides a volume over the hours of an interval by time, and keeps those of the days.
    fn volume(&mut self, a: &TotalPoint, b: &TotalPoint, units: i64, quality: Quality) {
        if hour_of(a.at) == hour_of(b.at - TimeDelta::milliseconds(1)) {
            // By far the most intervals lie within one hour.
            let ms = (b.at - a.at).num_milliseconds();
            self.cover_hour(hour_of(a.at), ms, quality, units);
            return;
        }
        let spans = hour_spans(a.at, b.at);
        let weights: Vec<u64> = spans.iter().map(|(_, ms)| ms.cast_unsigned()).collect();
        self.parts(&spans, quality, &spread(units, &weights));
    }

    /// Spreads the gaps by the profile of what was measured before each (E1).
    fn spread_gaps(&mut self) {
        let mut profiles: BTreeMap<GasDay, Option<Profile>> = BTreeMap::new();
        for gap in std::mem::take(&mut self.gaps) {
            let spans = hour_spans(gap.from, gap.to);
            let profile = if gap.to - gap.from <= PROFILE_GAP {
                let day = self.clock.day_of(gap.from);
                let of_day = profiles.entry(day).or_insert_with(|| self.profile(day));
                of_day.as_ref()
            } else {
                None
            };
            let weights: Vec<u64> = spans
                .iter()
                .map(|(hour, ms)| {
                    let weight = profile.map_or(1, |profile| {
                        let (day, index) = self.place_of(*hour);
                        profile.weight(self.is_workday(day), index)
                    });
                    ms.cast_unsigned().saturating_mul(weight)
                })
                .collect();
            self.parts(&spans, Quality::Estimated, &spread(gap.units, &weights));
        }
    }

    fn parts(&mut self, spans: &[(i64, i64)], quality: Quality, parts: &[i64]) {
        for ((hour, ms), units) in spans.iter().zip(parts) {
            self.cover_hour(*hour, *ms, quality, *units);
        }
    }

    /// Gas day and index of an hour since 1970.
    fn place_of(&self, hour: i64) -> (GasDay, usize) {
        let from_first = hour - self.first_hour;
        let index = usize::try_from(from_first.rem_euclid(24)).unwrap_or(0);
        (self.from.plus(from_first.div_euclid(24)), index)
    }

    fn is_workday(&self, day: GasDay) -> bool {
        match self.rules.calendar {
            Some(calendar) => calendar.day_type(day.0) == DayType::Workday,
            None => Calendar::default().day_type(day.0) == DayType::Workday,
        }
    }

    /// The volume of an hour if it is measured: whatever was spread or decided does not count.
    fn measured(&self, day: GasDay, index: usize) -> Option<i64> {
        let is_measured = |quality: Quality| quality <= Quality::Validated;
        if day < self.from {
            let at = self
                .rules
                .history
                .binary_search_by_key(&day, |c| c.day)
                .ok()?;
            let curve = self.rules.history.get(at)?;
            return is_measured(*curve.quality.get(index)?)
                .then(|| curve.hours.get(index).map(|volume| volume.units()))?;
        }
        let hour = day.days_since(self.from) * 24 + i64::try_from(index).ok()?;
        let cell = self.cells.get(usize::try_from(hour).ok()?)?;
        let is_whole = cell.covered_ms == HOUR_MS && is_measured(cell.quality);
        let is_edited = self.edited.contains_key(&(self.first_hour + hour));
        (is_whole && !is_edited).then_some(cell.units)
    }

    /// The meter's own hours before a day, by working day or not; none if an hour was never measured.
    fn profile(&self, day: GasDay) -> Option<Profile> {
        let mut sums = [[(0_i64, 0_i64); 24]; 2];
        for back in 1..=PROFILE_DAYS {
            let before = day.plus(-back);
            let [off, worked] = &mut sums;
            let of_kind = if self.is_workday(before) { worked } else { off };
            for (index, (sum, count)) in of_kind.iter_mut().enumerate() {
                if let Some(units) = self.measured(before, index) {
                    *sum += units;
                    *count += 1;
                }
            }
        }
        Profile::of(&sums)
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

    fn finish(mut self) -> Vec<(LoadCurve, Vec<Finding>)> {
        let meter = self.rules.meter;
        for conversions in std::mem::take(&mut self.conversions).into_values() {
            self.find(v16_sibling::fixed_factor(meter, &conversions));
        }
        self.findings
            .sort_by(|x, y| (x.at, x.rule, &x.message).cmp(&(y.at, y.rule, &y.message)));
        let mut findings = std::mem::take(&mut self.findings).into_iter().peekable();
        let mut curves = Vec::new();
        let (mut day, mut at) = (self.from, self.first_hour);
        for cells in self.cells.chunks_exact(24) {
            let mut curve = LoadCurve::missing(meter.id.clone(), day);
            let hours = curve.hours.iter_mut().zip(&mut curve.quality);
            for (cell, (volume, quality)) in cells.iter().zip(hours) {
                // An hour with an open end has no volume yet, however much of it is covered.
                if let Some(edited) = self.edited.get(&at) {
                    *quality = Quality::Edited;
                    *volume = *edited;
                } else if cell.covered_ms == HOUR_MS {
                    *quality = cell.quality;
                    if quality.has_volume() {
                        *volume = StdVolume::from_units(cell.units);
                    }
                }
                at += 1;
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

/// Mean measured volume of each hour, of days off and of working days.
struct Profile {
    weights: [[u64; 24]; 2],
}

impl Profile {
    /// From sum and count of each hour. An hour that one kind of day has not seen often enough is taken
    /// from all days.
    fn of(sums: &[[(i64, i64); 24]; 2]) -> Option<Self> {
        let [off, worked] = sums;
        let mut means = [[0_i64; 24]; 2];
        for (of_kind, kind) in means.iter_mut().zip(sums) {
            let hours = of_kind.iter_mut().zip(kind).zip(off.iter().zip(worked));
            for ((mean, (sum, count)), (off, worked)) in hours {
                let (sum, count) = if *count >= PROFILE_MIN {
                    (*sum, *count)
                } else {
                    (off.0 + worked.0, off.1 + worked.1)
                };
                if count < PROFILE_MIN {
                    return None;
                }
                *mean = (sum / count).max(0);
            }
        }
        let weights = means.map(|of_kind| {
            let floor = of_kind.iter().sum::<i64>() / 24 / PROFILE_FLOOR;
            of_kind.map(|mean| (mean + floor).cast_unsigned())
        });
        Some(Self { weights })
    }

    fn weight(&self, is_workday: bool, index: usize) -> u64 {
        let of_kind = self.weights.get(usize::from(is_workday));
        of_kind.and_then(|w| w.get(index)).copied().unwrap_or(0)
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

#[cfg(test)]
mod tests;
