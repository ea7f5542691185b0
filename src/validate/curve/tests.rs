use proptest::prelude::*;

use super::*;
use crate::domain::finding::RuleId;
use crate::domain::frame::Transport;
use crate::domain::quantity::WorkVolume;
use crate::domain::reading::{Alarm, AlarmSet, ItemValue};
use crate::validate::convert::interval::MeteredState;
use crate::validate::points::expand;
use crate::validate::rules::testing::{at, day, frozen, meter, rules_of, sequence, total};

fn point(minute: i64, units: i64) -> TotalPoint {
    TotalPoint {
        at: at(0) + TimeDelta::minutes(minute),
        units,
        is_frozen: false,
        is_suspect: false,
        contradicted_by: None,
        transport: Transport::Mqtt,
        factor: None,
        state: None,
    }
}

fn curve_of(rules: &CurveRules<'_>, points: &[TotalPoint]) -> (LoadCurve, Vec<Finding>) {
    build(rules, GasDayClock::default(), day(), points)
}

#[test]
fn an_interval_across_an_hour_is_divided_by_time() {
    let meter = meter();
    let points = [
        point(0, 0),
        point(50, 500),
        point(70, 700),
        point(120, 1_200),
    ];
    let (curve, findings) = curve_of(&CurveRules::plain(&meter), &points);
    assert_eq!(findings, []);
    assert_eq!(curve.hours[0].units(), 600);
    assert_eq!(curve.hours[1].units(), 600);
    assert_eq!(curve.quality[..2], [Quality::Measured; 2]);
}

#[test]
fn an_hour_with_an_open_end_is_missing() {
    let meter = meter();
    let points = [
        point(20, 0),
        point(60, 400),
        point(120, 900),
        point(150, 1_000),
    ];
    let (curve, _) = curve_of(&CurveRules::plain(&meter), &points);
    assert_eq!(
        curve.quality[..3],
        [Quality::Missing, Quality::Measured, Quality::Missing]
    );
    assert_eq!(curve.volume().units(), 500);
    assert_eq!(curve.hours_known(), 1);
}

#[test]
fn no_points_no_curve_no_findings() {
    let meter = meter();
    let (curve, findings) = curve_of(&CurveRules::plain(&meter), &[]);
    assert_eq!(curve, LoadCurve::missing("m".into(), day()));
    assert_eq!(findings, []);
}

#[test]
fn a_frozen_array_gives_backfilled_hours() {
    let mut meter = meter();
    meter.settlement = SettlementTotal::Std;
    let totals: Vec<Option<i64>> = (0..=24).map(|h| Some(100 + h)).collect();
    let points = expand(&[frozen(25, 0, &totals)], Item::TotalStd);
    let (curve, findings) = curve_of(&CurveRules::plain(&meter), &points);
    assert_eq!(findings, []);
    assert!(curve.is_complete());
    assert_eq!(curve.quality, [Quality::Backfilled; 24]);
    assert_eq!(curve.volume(), StdVolume::from_m3(24));
}

#[test]
fn an_exchange_continues_with_the_new_meter() {
    let meter = meter();
    let exchange = MeterExchange {
        meter: "m".into(),
        exchanged_at: at(1) + TimeDelta::minutes(30),
        old_total: WorkVolume::from_m3(1_020),
        new_total: WorkVolume::from_m3(3),
    };
    let others = MeterExchange {
        meter: "other".into(),
        ..exchange.clone()
    };
    let exchanges = [others, exchange];
    let rules = CurveRules {
        exchanges: &exchanges,
        ..CurveRules::plain(&meter)
    };
    let points = [
        point(0, 10_000_000),
        point(60, 10_100_000),
        point(120, 150_000),
        point(180, 250_000),
    ];
    let (curve, findings) = curve_of(&rules, &points);
    assert_eq!(findings, []);
    // 1 010 → 1 020 on the old meter, 3 → 15 on the new one.
    assert_eq!(curve.hours[1], StdVolume::from_m3(22));
    assert_eq!(curve.hours[2], StdVolume::from_m3(10));
}

#[test]
fn a_working_total_is_converted_without_drift() {
    let mut meter = meter();
    meter.fixed_factor = 1.023_7;
    let points: Vec<_> = (0..=1_440)
        .map(|minute| point(minute, minute * 7))
        .collect();
    let (by_minute, _) = curve_of(&CurveRules::plain(&meter), &points);
    let (by_day, _) = curve_of(&CurveRules::plain(&meter), &[points[0], points[1_440]]);
    assert_eq!(by_minute.volume(), by_day.volume());
    assert_eq!(
        by_minute.volume().units(),
        10_319,
        "10 080 · 1.0237 = 10 318.9"
    );
}

/// Three days before the test's, measured: 1 m³ in even hours, 3 m³ in odd ones.
fn measured_before() -> Vec<LoadCurve> {
    (1..=3)
        .rev()
        .map(|back| LoadCurve {
            hours: std::array::from_fn(|hour| {
                StdVolume::from_m3(if hour % 2 == 0 { 1 } else { 3 })
            }),
            quality: [Quality::Measured; 24],
            ..LoadCurve::missing("m".into(), day().plus(-back))
        })
        .collect()
}

#[test]
fn a_gap_follows_what_the_meter_measured_before() {
    let meter = meter();
    let history = measured_before();
    let rules = CurveRules {
        history: &history,
        ..CurveRules::plain(&meter)
    };
    let gap = [point(0, 0), point(240, 84_000)];
    let (curve, _) = curve_of(&rules, &gap);
    let units: Vec<_> = curve.hours[..5].iter().map(|v| v.units()).collect();
    // Weights 1 and 3 with a twentieth of their mean of 2 added: 1.1 and 3.1 of 8.4.
    assert_eq!(units, [11_000, 31_000, 11_000, 31_000, 0]);
    assert_eq!(curve.quality[..4], [Quality::Estimated; 4]);
    // What was spread itself, or decided, is no measure.
    for quality in [Quality::Estimated, Quality::Suspect, Quality::Edited] {
        let spread: Vec<LoadCurve> = history
            .iter()
            .map(|curve| LoadCurve {
                quality: [quality; 24],
                ..curve.clone()
            })
            .collect();
        let rules = CurveRules {
            history: &spread,
            ..rules
        };
        let (flat, _) = curve_of(&rules, &gap);
        assert_eq!(flat.hours[0].units(), 21_000);
    }
}

#[test]
fn a_decision_stands_above_the_totals_until_it_is_taken_back() {
    let meter = meter();
    let mut edits = vec![CurveEdit {
        id: 1,
        meter: "m".into(),
        day: day(),
        hours: [(1, StdVolume::from_units(77)), (5, StdVolume::ZERO)].into(),
        who: "li".into(),
        reason: "meter stood".into(),
        at: at(30),
        revoked: None,
    }];
    let points = [point(0, 0), point(60, 500), point(120, 1_000)];
    let with = |edits: &[CurveEdit]| {
        let rules = CurveRules {
            edits,
            ..CurveRules::plain(&meter)
        };
        curve_of(&rules, &points).0
    };
    let curve = with(&edits);
    assert_eq!(
        curve.hours[..2]
            .iter()
            .map(|v| v.units())
            .collect::<Vec<_>>(),
        [500, 77]
    );
    assert_eq!(curve.quality[1], Quality::Edited);
    assert_eq!(curve.quality[5], Quality::Edited, "also where no total is");
    // The later decision counts.
    edits.push(CurveEdit {
        id: 2,
        hours: [(1, StdVolume::from_units(88))].into(),
        ..edits[0].clone()
    });
    assert_eq!(with(&edits).hours[1].units(), 88);
    for edit in &mut edits {
        edit.revoked = Some(crate::domain::edit::Revocation {
            who: "li".into(),
            reason: "it ran".into(),
            at: at(40),
        });
    }
    assert_eq!(with(&edits), with(&[]));
}

#[test]
fn each_interval_of_a_working_total_has_the_factor_of_its_ends() {
    let meter = Meter {
        fixed_factor: 2.0,
        ..meter()
    };
    let conversion = ZoneConversion::new(
        None,
        &[],
        GasDayClock::default(),
        crate::domain::quantity::ReferenceConditions::CHINA,
    );
    let rules = CurveRules {
        conversion: Some(&conversion),
        ..CurveRules::plain(&meter)
    };
    // At 20 °C the factor of an ideal gas is the absolute pressure over 101.325 kPa.
    let with = |minute, units, pressure_kpa: f64| TotalPoint {
        state: Some(MeteredState {
            pressure_kpa,
            is_gauge: false,
            temperature_c: 20.0,
        }),
        ..point(minute, units)
    };
    let points = [
        with(0, 0, 101.325),
        with(60, 1_000, 303.975),
        point(120, 2_000),
        point(180, 3_000),
    ];
    let (curve, findings) = curve_of(&rules, &points);
    let units: Vec<_> = curve.hours[..3].iter().map(|v| v.units()).collect();
    // The mean of 1 and 3; that of the one end that has a state; the fixed factor.
    assert_eq!(units, [2_000, 3_000, 2_000]);
    assert_eq!(rules_of(&findings), [RuleId::V16]);
    assert_eq!(
        findings[0].message_en(),
        "1 of 3 intervals of the day have no pressure and temperature to convert them by; \
         the fixed factor 2 was used"
    );
    // A standard total is never converted.
    let std_meter = crate::validate::rules::testing::std_meter();
    let rules = CurveRules {
        meter: &std_meter,
        ..rules
    };
    assert_eq!(curve_of(&rules, &points).0.hours[0].units(), 1_000);
}

/// 300 kPa absolute: C = 2.9608 at 20 °C; at −127 °C, where a broken probe stands, it would be 5.9387.
#[test]
fn nothing_is_converted_by_a_sensor_that_cannot_be_believed() {
    let meter = Meter {
        fixed_factor: 2.0,
        ..meter()
    };
    let conversion = ZoneConversion::new(
        None,
        &[],
        GasDayClock::default(),
        crate::domain::quantity::ReferenceConditions::CHINA,
    );
    let rules = CurveRules {
        conversion: Some(&conversion),
        ..CurveRules::plain(&meter)
    };
    let reading = |hour: i64, kpa: f64, celsius: f64, alarm: Option<Alarm>| {
        let mut reading = total(hour, 0);
        reading.values = vec![
            (Item::TotalWork, ItemValue::Exact(hour * 100 * 10_000)),
            (Item::PressureAbs, ItemValue::Float(kpa)),
            (Item::Temperature, ItemValue::Float(celsius)),
        ];
        reading.alarms = alarm.map_or(AlarmSet::default(), |alarm| AlarmSet::default().with(alarm));
        reading
    };
    let sound = reading(0, 300.0, 20.0, None);
    for broken in [
        reading(1, 300.0, -127.0, None),
        reading(1, 30_000.0, 20.0, None),
        reading(1, 310.0, 25.0, Some(Alarm::TemperatureSensor)),
        reading(1, 310.0, 25.0, Some(Alarm::PressureSensor)),
    ] {
        // The factor of the end that can be believed; where none can, the fixed one. Both are marked.
        let points = expand(
            &[sound.clone(), broken.clone(), {
                let mut later = broken;
                later.sampled_at = at(2);
                later.values[0].1 = ItemValue::Exact(200 * 10_000);
                later
            }],
            Item::TotalWork,
        );
        let (curve, findings) = curve_of(&rules, &points);
        assert_eq!(curve.hours[0], "296.0770".parse().unwrap());
        assert_eq!(curve.hours[1], StdVolume::from_m3(200));
        assert_eq!(curve.quality[..2], [Quality::Suspect; 2]);
        assert_eq!(rules_of(&findings), [RuleId::V16]);
    }
    // An alarm about something else changes nothing.
    let low = reading(1, 300.0, 20.0, Some(Alarm::BatteryLow));
    let (curve, _) = curve_of(&rules, &expand(&[sound, low], Item::TotalWork));
    assert_eq!(curve.hours[0], "296.0770".parse().unwrap());
    assert_eq!(curve.quality[0], Quality::Measured);
}

#[test]
fn a_contradicted_total_makes_its_hours_suspect() {
    let mut meter = meter();
    meter.settlement = SettlementTotal::Std;
    let rows = [
        frozen(4, 0, &[Some(1), Some(2), Some(3)]),
        frozen(5, 1, &[Some(2), Some(4), Some(5)]),
    ];
    let points = expand(&rows, Item::TotalStd);
    let (curve, findings) = curve_of(&CurveRules::plain(&meter), &points);
    assert_eq!(rules_of(&findings), [RuleId::V01]);
    assert_eq!(
        curve.quality[..3],
        [Quality::Backfilled, Quality::Suspect, Quality::Suspect]
    );
    assert_eq!(curve.volume(), StdVolume::from_m3(4));
}

#[test]
fn an_unknown_reset_costs_one_interval_and_no_more() {
    let (curve, findings) = sequence(
        &meter(),
        &[(0, 5_000), (1, 5_010), (2, 1), (3, 11), (4, 21)],
    );
    assert_eq!(rules_of(&findings), [RuleId::V04]);
    assert_eq!(curve.quality[1], Quality::Invalid);
    assert_eq!(curve.volume(), StdVolume::from_m3(30));
}

#[test]
fn a_silence_of_years_is_not_spread() {
    let meter = meter();
    let years = 3 * 366 * 24 * 60;
    let (curve, findings) = curve_of(&CurveRules::plain(&meter), &[point(0, 0), point(years, 9)]);
    assert_eq!(rules_of(&findings), [RuleId::V21]);
    assert_eq!(curve.hours_known(), 0);
}

proptest! {
    #[test]
    fn hours_sum_to_the_register_difference_across_days(
        steps in prop::collection::vec((1_i64..900, 0_i64..30_000), 1..120),
        start_minute in 0_i64..60,
        factor_millis in 800_i64..1_300,
        digits in 5_u32..9,
        start_units in 0_i64..1_000_000_000,
    ) {
        let mut meter = meter();
        meter.total_digits = digits;
        meter.fixed_factor = factor_millis as f64 / 1e3;
        let modulus = 10_i64.pow(digits) * 10_000;
        // The register starts on a whole hour, so that the first hour is bounded, and rolls over.
        let mut minute = start_minute * 60;
        let mut total = start_units;
        let mut points = vec![point(minute, total % modulus)];
        for (minutes, units) in &steps {
            minute += minutes;
            total += units;
            points.push(point(minute, total % modulus));
        }
        minute += (60 - minute % 60) % 60 + 60;
        points.push(point(minute, total % modulus));
        let clock = GasDayClock::default();
        let days = minute / 1_440 + 1;
        let rules = CurveRules::plain(&meter);
        let all = build_days(&rules, clock, day(), day().plus(days), &points);
        let sum: i64 = all.iter().map(|(curve, _)| curve.volume().units()).sum();
        let std = |units: i64| (i128::from(units) * i128::from(factor_millis) + 500) / 1_000;
        // Across a rollover the way is cut at the modulus, which is a whole number of units.
        let whole_turns = i128::from(total / modulus - start_units / modulus);
        let expected = std(total % modulus) - std(start_units % modulus)
            + whole_turns * std(modulus);
        prop_assert_eq!(i128::from(sum), expected);
        for (index, (curve, findings)) in all.iter().enumerate() {
            let day = day().plus(i64::try_from(index).unwrap());
            let (start, end) = (clock.start_of(day), clock.end_of(day));
            // A day alone, with three totals on either side, is the same to the bit.
            let first = points.partition_point(|p| p.at < start).saturating_sub(AROUND);
            let last = (points.partition_point(|p| p.at < end) + AROUND).min(points.len());
            let rules = CurveRules { history: &before(&all, index), ..rules };
            let (alone, found) = build(&rules, clock, day, &points[first..last]);
            prop_assert_eq!(&alone, curve);
            prop_assert_eq!(&found, findings);
        }
    }

    #[test]
    fn three_totals_on_either_side_decide_whatever_the_totals_say(
        totals in prop::collection::vec((1_i64..400, 0_i64..12, any::<bool>()), 3..60),
        shifted in 0_usize..3,
    ) {
        // Few distinct totals in any order: dips, spikes, resets and rollovers in every mixture.
        let meter = meter();
        let mut minute = 0;
        let points: Vec<TotalPoint> = totals
            .iter()
            .map(|(minutes, level, is_high)| {
                minute += minutes;
                point(minute, level * 500_000 + if *is_high { 990_000_000 } else { 0 })
            })
            .collect();
        let clock = GasDayClock::default();
        let rules = CurveRules::plain(&meter);
        let days = minute / 1_440 + 1;
        let all = build_days(&rules, clock, day(), day().plus(days), &points);
        for (index, (curve, findings)) in all.iter().enumerate() {
            let day = day().plus(i64::try_from(index).unwrap());
            let first = points.partition_point(|p| p.at < clock.start_of(day));
            let last = points.partition_point(|p| p.at < clock.end_of(day));
            let first = first.saturating_sub(AROUND + shifted);
            let last = (last + AROUND + shifted).min(points.len());
            let rules = CurveRules { history: &before(&all, index), ..rules };
            let (alone, found) = build(&rules, clock, day, &points[first..last]);
            prop_assert_eq!(&alone, curve);
            prop_assert_eq!(&found, findings);
        }
    }

    #[test]
    fn a_profile_reaches_back_four_weeks_and_no_further(
        hours in prop::collection::vec((0_i64..90, any::<bool>()), 24 * 40..24 * 45),
        gaps in prop::collection::vec((0_usize..24 * 40, 2_usize..24 * 6), 1..5),
        state_kpa in prop::collection::vec(90.0_f64..500.0, 24 * 45),
        edited in 0_i64..40,
    ) {
        let meter = meter();
        let clock = GasDayClock::default();
        let conversion = ZoneConversion::new(
            None,
            &[],
            clock,
            crate::domain::quantity::ReferenceConditions::CHINA,
        );
        let edits = [CurveEdit {
            id: 1,
            meter: "m".into(),
            day: day().plus(edited),
            hours: (0..24).map(|hour| (hour, StdVolume::from_units(5))).collect(),
            who: "li".into(),
            reason: "r".into(),
            at: at(0),
            revoked: None,
        }];
        let rules = CurveRules {
            conversion: Some(&conversion),
            edits: &edits,
            ..CurveRules::plain(&meter)
        };
        let mut total = 0;
        let points: Vec<TotalPoint> = hours
            .iter()
            .zip(&state_kpa)
            .enumerate()
            .filter_map(|(index, ((m3, has_state), pressure_kpa))| {
                total += m3 * 10_000;
                let is_gap = |gap: &(usize, usize)| (gap.0..gap.0 + gap.1).contains(&index);
                let state = MeteredState {
                    pressure_kpa: *pressure_kpa,
                    is_gauge: false,
                    temperature_c: 5.0,
                };
                (!gaps.iter().any(is_gap)).then(|| TotalPoint {
                    state: has_state.then_some(state),
                    ..point(i64::try_from(index).unwrap() * 60, total)
                })
            })
            .collect();
        let all = build_days(&rules, clock, day(), day().plus(46), &points);
        for (index, (curve, findings)) in all.iter().enumerate() {
            let day = day().plus(i64::try_from(index).unwrap());
            let first = points.partition_point(|p| p.at < clock.start_of(day)).saturating_sub(AROUND);
            let last = points.partition_point(|p| p.at < clock.end_of(day)) + AROUND;
            let rules = CurveRules { history: &before(&all, index), ..rules };
            let last = last.min(points.len());
            let (alone, found) = build(&rules, clock, day, &points[first..last]);
            prop_assert_eq!(&alone, curve);
            prop_assert_eq!(&found, findings);
        }
    }
}

/// The curves of the 28 days before one of many.
fn before(all: &[(LoadCurve, Vec<Finding>)], index: usize) -> Vec<LoadCurve> {
    let from = index.saturating_sub(28);
    all[from..index]
        .iter()
        .map(|(curve, _)| curve.clone())
        .collect()
}
