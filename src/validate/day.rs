//! Rules that judge a whole gas day: its curve against the days before it, and its readings
//! against each other.
//!
//! What they find is a function of readings, registry, calendar and limits. The curves of
//! [`HISTORY_DAYS`] days before count, so whoever computes a day again judges as many days after
//! it again.

use crate::domain::calendar::{Calendar, DayType, GasDayClock};
use crate::domain::customer::Customer;
use crate::domain::filing::ProductionChange;
use crate::domain::finding::{Arg, Finding, Sentence, Severity};
use crate::domain::meter::{Meter, MeterRole};
use crate::domain::quantity::ReferenceConditions;
use crate::domain::reading::Reading;
use crate::domain::series::LoadCurve;
use crate::validate::limits::Limits;
use crate::validate::rules::{
    v07_spike, v08_day_ratio, v09_high_low, v10_zero_use, v12_continuous_flow, v13_valve_closed,
    v14_sum, v16_sibling, v17_factor, v19_scale, v20_gauge_abs, v22_estimation, v23_turndown,
    v24_communication,
};

/// Gas days before a day whose curves its findings can depend on.
pub const HISTORY_DAYS: i64 = 28;

/// A gas day of a meter, and what it is judged by.
#[derive(Debug, Clone, Copy)]
pub struct DayFacts<'a> {
    /// The meter.
    pub meter: &'a Meter,
    /// Whose it is.
    pub customer: Option<&'a Customer>,
    /// What the customer told beforehand.
    pub changes: &'a [ProductionChange],
    /// Atmosphere of the meter's zone, kPa absolute.
    pub atmosphere_kpa: f64,
    /// Reference conditions of the company.
    pub reference: ReferenceConditions,
    /// Working days and holidays.
    pub calendar: &'a Calendar,
    /// Gas days.
    pub clock: GasDayClock,
    /// What counts as unusual.
    pub limits: &'a Limits,
    /// The day.
    pub curve: &'a LoadCurve,
    /// The [`HISTORY_DAYS`] days before it, in order; days without a curve are left out.
    pub history: &'a [LoadCurve],
    /// Readings sampled on the day, in time order.
    pub readings: &'a [Reading],
    /// The same and those sampled at its very end, which hold the day's frozen totals.
    pub readings_to_end: &'a [Reading],
}

impl DayFacts<'_> {
    /// A finding of the day as a whole, at its start.
    pub(super) fn finding(
        &self,
        sentence: &'static Sentence,
        severity: Severity,
        args: impl Into<Vec<Arg>>,
    ) -> Finding {
        let at = self.clock.start_of(self.curve.day);
        Finding::new(sentence, severity, &self.meter.id, at, args)
    }

    /// The kind of the day a curve is of.
    pub(super) fn type_of(&self, curve: &LoadCurve) -> DayType {
        self.calendar.day_type(curve.day.0)
    }

    /// Whether the customer told that a day would differ.
    pub(super) fn is_announced(&self, curve: &LoadCurve) -> bool {
        let day = curve.day.0;
        self.changes
            .iter()
            .any(|change| change.from_on <= day && day <= change.to_on)
    }

    /// Whether the customer told that it would stand still.
    pub(super) fn is_announced_idle(&self, curve: &LoadCurve) -> bool {
        let day = curve.day.0;
        self.changes
            .iter()
            .any(|change| change.kind.is_idle() && change.from_on <= day && day <= change.to_on)
    }
}

/// What the day rules find, in order of time and rule.
pub fn check_day(facts: &DayFacts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.meter.role == MeterRole::Customer {
        findings.extend(v07_spike::check(facts));
        findings.extend(v08_day_ratio::check(facts));
        findings.extend(v09_high_low::check(facts));
        findings.extend(v10_zero_use::check(facts));
        findings.extend(v12_continuous_flow::check(facts));
        findings.extend(v19_scale::check(facts));
    }
    findings.extend(v22_estimation::check(facts));
    findings.extend(v23_turndown::check(facts));
    findings.extend(v13_valve_closed::check(facts.meter, facts.readings));
    findings.extend(v14_sum::check(
        facts.meter,
        facts.readings_to_end,
        facts.limits.v14_share,
    ));
    findings.extend(v16_sibling::check(facts.meter, facts.readings));
    findings.extend(v17_factor::check(
        facts.meter,
        facts.readings,
        facts.atmosphere_kpa,
        facts.reference,
        facts.limits.v17_tolerance,
    ));
    findings.extend(v20_gauge_abs::check(
        facts.meter,
        facts.readings,
        facts.atmosphere_kpa,
    ));
    findings.extend(v24_communication::check(
        facts.meter,
        facts.readings,
        facts.limits.v24_rsrp_dbm,
    ));
    Finding::sort(&mut findings);
    findings
}

/// The volume of a complete day, m³.
pub(super) fn volume_of(curve: &LoadCurve) -> Option<f64> {
    curve.is_complete().then(|| curve.volume().to_f64())
}

/// The middle of some values; of an even number, the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = middle.checked_sub(1).and_then(|i| values.get(i))?;
    Some(f64::midpoint(*lower, upper))
}

#[cfg(test)]
mod tests;
