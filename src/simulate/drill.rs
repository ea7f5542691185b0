//! Drills: one fault of the kind of each validation rule, put into the frames of the city.
//!
//! A drill is data: which rule it is for, which meter, from when until when, and what is done to the
//! frames. The same city has the same drills. Rules whose fault is part of the city's script (rollover,
//! two totals that disagree) have none here.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::finding::RuleId;
use crate::domain::frame::RawFrame;
use crate::domain::meter::{Meter, MeterRole};
use crate::domain::quantity::StdVolume;
use crate::simulate::city::{City, Totals};
use crate::simulate::load::LoadKind;
use crate::simulate::site::Wire;
use crate::simulate::stream::{FrameKind, SimFrame};
use crate::simulate::wire;

/// What is done to a meter's frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tamper {
    /// Every total from the start on is off by so much, m³.
    Shift(f64),
    /// What flows from start to end is so many times as much.
    Scale(f64),
    /// So much more flows every hour from start to end, m³/h.
    Add(f64),
    /// Only frozen totals say that so many times as much flowed.
    FrozenScale(f64),
    /// A number of a JSON reading is multiplied and moved.
    Number(&'static str, f64, f64),
    /// A field of a JSON reading says this.
    Text(&'static str, &'static str),
    /// Alarms of a JSON reading.
    Alarm(&'static str),
    /// Every second JSON reading lacks a field.
    Lacks(&'static str),
    /// The device's clock is so many days ahead.
    Ahead(i64),
    /// Frames come twice, with a total that is so much greater the second time, m³.
    Twice(f64),
    /// Frames are lost.
    Lost,
    /// The registry says that the meter is so many times as large.
    Oversized(f64),
}

/// A fault for a rule to find.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drill {
    /// The rule that should.
    pub rule: RuleId,
    /// Position of the meter among [`City::sites`].
    pub site: usize,
    /// From when.
    pub from_at: DateTime<Utc>,
    /// Until when, excluded.
    pub to_at: DateTime<Utc>,
    /// What is done.
    pub tamper: Tamper,
}

impl City {
    /// A drill for each rule that has a fault to drill, within the last gas days of history.
    #[expect(clippy::too_many_lines, reason = "a table, one entry a rule")]
    pub fn drills(&self) -> Vec<Drill> {
        let clock = GasDayClock::default();
        let today = self.config().today();
        let mut drills = Vec::new();
        let mut add = |rule, site: Option<usize>, back: i64, hours: (i64, i64), tamper| {
            let start = clock.start_of(today.plus(-back));
            if let Some(site) = site {
                drills.push(Drill {
                    rule,
                    site,
                    from_at: start + TimeDelta::hours(hours.0),
                    to_at: start + TimeDelta::hours(hours.1),
                    tamper,
                });
            }
        };
        let find = |keep: &dyn Fn(usize) -> bool, skip: usize| {
            (0..self.sites().len())
                .filter(|site| self.sites()[*site].meter.role == MeterRole::Customer && keep(*site))
                .nth(skip)
        };
        let is_json = |site: usize| self.sites()[site].wire == Wire::Json;
        let is_steady = |site: usize| {
            let customer = self.sites()[site].customer;
            customer.is_some_and(|c| !self.script().has_events(c) && !self.is_new_plant(c))
        };
        // Three in four enterprises file plans.
        let declares = |site: usize| self.sites()[site].customer.is_some_and(|c| c % 4 != 3);
        // Correctors that push JSON, with telemetry; meters without a corrector.
        let pushing = |site: usize| is_json(site) && self.sites()[site].gauge_kpa > 0.0;
        let steady = |site: usize| pushing(site) && is_steady(site);
        let plain = |site: usize| {
            let is_shop = matches!(
                self.sites()[site].kind,
                Some(LoadKind::Commercial | LoadKind::Public)
            );
            is_json(site) && self.sites()[site].gauge_kpa <= 0.0 && is_shop
        };
        let polled = |site: usize| self.sites()[site].wire == Wire::Modbus;
        let home =
            |site: usize| is_json(site) && self.sites()[site].kind == Some(LoadKind::Cooking);
        let gate = self
            .sites()
            .iter()
            .position(|site| site.meter.role == MeterRole::Gate);
        let pusher = find(&steady, 0);
        add(RuleId::V01, pusher, 9, (3, 4), Tamper::Twice(1.0));
        add(RuleId::V02, pusher, 9, (6, 7), Tamper::Ahead(30));
        add(
            RuleId::V03,
            pusher,
            9,
            (9, 10),
            Tamper::Number("t_c", 0.0, 85.0),
        );
        add(
            RuleId::V11,
            pusher,
            8,
            (2, 6),
            Tamper::Number("q_std", 0.0, 123.0),
        );
        add(
            RuleId::V13,
            pusher,
            8,
            (9, 11),
            Tamper::Text("valve", "closed"),
        );
        add(RuleId::V16, pusher, 7, (2, 4), Tamper::Lacks("t_c"));
        add(
            RuleId::V17,
            pusher,
            7,
            (6, 8),
            Tamper::Number("corr", 1.05, 0.0),
        );
        add(
            RuleId::V20,
            pusher,
            6,
            (4, 12),
            Tamper::Number("p_kpa_abs", 1.0, -101.325),
        );
        add(
            RuleId::V24,
            pusher,
            5,
            (0, 24),
            Tamper::Number("rsrp", 0.0, -125.0),
        );
        add(RuleId::V25, pusher, 4, (5, 6), Tamper::Alarm("magnetic"));
        add(
            RuleId::V14,
            find(&steady, 1),
            5,
            (0, 24),
            Tamper::FrozenScale(1.05),
        );
        add(
            RuleId::V08,
            find(&steady, 2),
            3,
            (0, 24),
            Tamper::Scale(1.9),
        );
        add(
            RuleId::V26,
            find(&|site| steady(site) && declares(site), 3),
            4,
            (0, 24),
            Tamper::Scale(1.3),
        );
        add(
            RuleId::V10,
            find(&steady, 3),
            9,
            (0, 192),
            Tamper::Scale(0.0),
        );
        add(
            RuleId::V19,
            find(&steady, 5),
            4,
            (0, 24),
            Tamper::Scale(0.1),
        );
        add(
            RuleId::V04,
            find(&home, 4),
            4,
            (5, 24),
            Tamper::Shift(-800.0),
        );
        add(
            RuleId::V06,
            find(&home, 5),
            4,
            (5, 24),
            Tamper::Shift(400_000.0),
        );
        add(RuleId::V09, find(&plain, 0), 4, (0, 24), Tamper::Scale(4.0));
        add(RuleId::V07, find(&plain, 1), 4, (6, 7), Tamper::Scale(30.0));
        add(RuleId::V12, find(&plain, 2), 4, (0, 24), Tamper::Add(150.0));
        add(RuleId::V21, find(&polled, 0), 4, (5, 11), Tamper::Lost);
        add(RuleId::V22, find(&polled, 1), 8, (1, 143), Tamper::Lost);
        add(
            RuleId::V23,
            find(&|site| self.sites()[site].wire == Wire::Cjt188, 0),
            30,
            (0, 720),
            Tamper::Oversized(60.0),
        );
        add(RuleId::V15, gate, 4, (0, 24), Tamper::Scale(1.15));
        drills
    }

    /// What an archive holds of `[from, to)`, with every reading that meters pushed in the last gas
    /// days from `live_from` on, after the drills; in order of arrival but for what comes twice.
    pub fn drilled_frames<'a>(
        &'a self,
        (from, live_from, to): (DateTime<Utc>, DateTime<Utc>, DateTime<Utc>),
        drills: &'a [Drill],
    ) -> impl Iterator<Item = RawFrame> + 'a {
        let live = self
            .live_frames(live_from, to)
            .filter(|frame| frame.kind == FrameKind::Reading);
        self.archive(from, to)
            .chain(live)
            .flat_map(move |frame| self.tampered(frame, drills))
            .map(SimFrame::into_history)
    }

    fn tampered(&self, frame: SimFrame, drills: &[Drill]) -> Vec<SimFrame> {
        let site = self.site_of(&frame.device);
        let is_good = !matches!(frame.kind, FrameKind::Garbage | FrameKind::Unknown);
        let mut frames = vec![frame];
        for drill in drills {
            if Some(drill.site) == site && is_good {
                frames = frames
                    .into_iter()
                    .flat_map(|frame| drill.apply(self, frame))
                    .collect();
            }
        }
        frames
    }
}

impl Drill {
    /// The meter as the registry has it under the drill.
    #[must_use]
    pub fn meter(&self, mut meter: Meter) -> Meter {
        if let Tamper::Oversized(times) = self.tamper {
            meter.flow_max_m3h *= times;
        }
        meter
    }

    fn is_on(&self, at: DateTime<Utc>) -> bool {
        self.from_at <= at && at < self.to_at
    }

    fn apply(&self, city: &City, mut frame: SimFrame) -> Vec<SimFrame> {
        match self.tamper {
            Tamper::Lost if self.is_on(frame.sampled_at) => return Vec::new(),
            Tamper::Shift(_) | Tamper::Scale(_) | Tamper::Add(_) => self.retotal(city, &mut frame),
            Tamper::FrozenScale(_) if frame.kind == FrameKind::Frozen => {
                self.retotal(city, &mut frame);
            }
            Tamper::Twice(m3) if self.is_on(frame.sampled_at) => {
                let mut again = frame.clone();
                edit(&mut again, |reading| {
                    add_m3(reading.get_mut("std_m3"), m3);
                });
                return vec![frame, again];
            }
            _ if self.is_on(frame.sampled_at) && frame.kind == FrameKind::Reading => {
                let at = frame.sampled_at;
                edit(&mut frame, |reading| self.reword(at, reading));
            }
            _ => {}
        }
        vec![frame]
    }

    /// A JSON reading that says something else.
    fn reword(&self, at: DateTime<Utc>, reading: &mut Value) {
        match self.tamper {
            Tamper::Number(field, times, plus) => {
                if let Some(value) = reading.get(field).and_then(Value::as_f64) {
                    reading[field] = json!(value * times + plus);
                }
            }
            Tamper::Text(field, text) => reading[field] = json!(text),
            Tamper::Alarm(alarm) => reading["alarms"] = json!([alarm]),
            Tamper::Lacks(field) => {
                if let Some(fields) = reading.as_object_mut()
                    && (at.timestamp() / 900) % 2 == 1
                {
                    fields.remove(field);
                }
            }
            Tamper::Ahead(days) => {
                let ahead = at + TimeDelta::days(days);
                reading["ts"] = json!(ahead.to_rfc3339());
            }
            _ => {}
        }
    }

    /// What the totaliser shows in addition at an instant, units of the settlement total.
    fn extra_units(&self, city: &City, at: DateTime<Utc>) -> i64 {
        let is_over = matches!(self.tamper, Tamper::FrozenScale(_)) && at > self.to_at;
        if at <= self.from_at || is_over {
            return 0;
        }
        let until = at.min(self.to_at);
        let through = city.true_units(self.site, until) - city.true_units(self.site, self.from_at);
        let extra_m3 = match self.tamper {
            Tamper::Shift(m3) => m3,
            Tamper::Scale(times) | Tamper::FrozenScale(times) => {
                (times - 1.0) * StdVolume::from_units(through).to_f64()
            }
            Tamper::Add(m3h) => m3h * (until - self.from_at).num_seconds() as f64 / 3_600.0,
            _ => 0.0,
        };
        StdVolume::from_f64(extra_m3).units()
    }

    fn retotal(&self, city: &City, frame: &mut SimFrame) {
        let at = frame.sampled_at;
        let extra = |at| StdVolume::from_units(self.extra_units(city, at)).to_f64();
        let factor = city
            .day_index(GasDayClock::default().day_of(at))
            .map_or(1.0, |day| city.conditions(self.site, day).factor);
        match (city.sites()[self.site].wire, frame.kind) {
            (Wire::Json, FrameKind::Frozen) => {
                let start = GasDayClock::default().start_of(day_before(at));
                edit(frame, |frozen| {
                    let hours = frozen.get_mut("hourly").and_then(Value::as_array_mut);
                    for (hour, total) in (1_i64..).zip(hours.into_iter().flatten()) {
                        add_m3(Some(total), extra(start + TimeDelta::hours(hour)));
                    }
                    add_m3(frozen.get_mut("std_m3"), extra(at));
                });
            }
            (Wire::Json, _) => edit(frame, |reading| {
                add_m3(reading.get_mut("std_m3"), extra(at));
                add_m3(reading.get_mut("work_m3"), extra(at) / factor);
            }),
            (Wire::Modbus, _) => {
                let Totals {
                    std_units,
                    work_units,
                } = city.shown(self.site, at);
                let shown = Totals {
                    std_units: std_units + self.extra_units(city, at),
                    work_units: work_units + StdVolume::from_f64(extra(at) / factor).units(),
                };
                frame.bytes = wire::snapshot_of(city, self.site, at, shown);
            }
            (Wire::Cjt188, _) => {}
        }
    }
}

/// The gas day that ends at an instant.
fn day_before(at: DateTime<Utc>) -> GasDay {
    GasDayClock::default().day_of(at).plus(-1)
}

/// Changes a frame's JSON; a frame that has none stays as it is.
fn edit(frame: &mut SimFrame, change: impl FnOnce(&mut Value)) {
    if let Ok(mut value) = serde_json::from_slice::<Value>(&frame.bytes) {
        change(&mut value);
        frame.bytes = Bytes::from(value.to_string());
    }
}

fn add_m3(total: Option<&mut Value>, m3: f64) {
    let Some(total) = total else { return };
    let known: Option<StdVolume> = total.as_str().and_then(|text| text.parse().ok());
    if let Some(known) = known {
        *total = json!((known + StdVolume::from_f64(m3)).to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::simulate::city::CityConfig;

    fn city() -> City {
        City::new(CityConfig {
            meters: 120,
            history_days: 30,
            live_days: 5,
            ..CityConfig::default()
        })
    }

    #[test]
    fn every_rule_but_those_the_script_has_a_fault_for_is_drilled_once() {
        let city = city();
        let drilled: BTreeSet<RuleId> = city.drills().iter().map(|drill| drill.rule).collect();
        let missing: Vec<RuleId> = RuleId::ALL
            .into_iter()
            .filter(|rule| !drilled.contains(rule))
            .collect();
        assert_eq!(missing, [RuleId::V05, RuleId::V18]);
        assert_eq!(city.drills(), city.drills());
    }

    #[test]
    fn frames_outside_a_drill_are_as_they_were() {
        let city = city();
        let to = city.config().now_at;
        let span = (to - TimeDelta::days(8), to - TimeDelta::days(8), to);
        let drills: Vec<Drill> = city
            .drills()
            .into_iter()
            .filter(|drill| drill.rule == RuleId::V17)
            .collect();
        let clean: Vec<RawFrame> = city.drilled_frames(span, &[]).collect();
        let drilled: Vec<RawFrame> = city.drilled_frames(span, &drills).collect();
        assert_eq!(clean.len(), drilled.len());
        let meter = &city.sites()[drills[0].site].meter.device;
        let mut changed = 0;
        for (before, after) in clean.iter().zip(&drilled) {
            if before != after {
                assert_eq!(before.device.as_ref(), Some(meter));
                changed += 1;
            }
        }
        // Two hours of a reading every quarter.
        assert!((1..=9).contains(&changed), "{changed}");
    }
}
