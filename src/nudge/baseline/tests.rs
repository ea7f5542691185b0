use super::*;
use crate::domain::quantity::StdVolume;
use crate::plan::fixture;

/// `level` m³/h in every hour of the 60 days up to and with 2026-11-20.
pub(crate) fn flat(level: f64) -> HourlyUse {
    let last: GasDay = "2026-11-20".parse().unwrap();
    (0..60)
        .map(|i| (last.plus(-i), [Some(level); 24]))
        .collect()
}

pub(crate) fn frozen(history: &HourlyUse, day: &str) -> Result<Baseline, BaselineError> {
    let day: GasDay = day.parse().unwrap();
    freeze(&BaselineInput {
        customer: &"I1".into(),
        history,
        calendar: &fixture::calendar(),
        day,
        hours: 9..13,
        excluded: &BTreeSet::from(["2026-11-18".parse().unwrap()]),
        adjustment: Some((day.plus(-1), 4..7)),
        frozen_at: fixture::at("2026-11-22T16:00:00+08:00"),
    })
}

/// 1000 m³/h on like days, 1000 × `ratio` in the adjustment hours of 2026-11-22 (a Sunday).
pub(crate) fn worked(ratio: f64) -> HourlyUse {
    let mut history = flat(1000.0);
    history.insert("2026-11-21".parse().unwrap(), [Some(1000.0); 24]);
    history.insert("2026-11-22".parse().unwrap(), [Some(1000.0 * ratio); 24]);
    history
}

#[test]
fn the_adjustment_is_capped() {
    let baseline = frozen(&worked(1.15), "2026-11-23").unwrap();
    assert!((baseline.adjustment - 1.15).abs() < 1e-12);
    assert!((baseline.volume_m3() - 4600.0).abs() < 1e-9);
    let baseline = frozen(&worked(1.35), "2026-11-23").unwrap();
    assert!((baseline.adjustment_found.unwrap() - 1.35).abs() < 1e-12);
    assert!((baseline.volume_m3() - 4800.0).abs() < 1e-9);
    let low = frozen(&worked(0.2), "2026-11-23").unwrap();
    assert!((low.adjustment - 0.8).abs() < 1e-12);
}

#[test]
fn like_days_are_of_the_same_kind_and_not_excluded() {
    let baseline = frozen(&worked(1.0), "2026-11-23").unwrap();
    assert_eq!(baseline.days.len(), DAYS);
    let calendar = fixture::calendar();
    for day in &baseline.days {
        assert_eq!(calendar.day_type(day.0), DayType::Workday);
        assert_ne!(day.to_string(), "2026-11-18");
        assert!(day.to_string().as_str() < "2026-11-22");
    }
    let weekend = frozen(&flat(1000.0), "2026-11-21").unwrap();
    assert!(
        weekend
            .days
            .iter()
            .all(|d| calendar.day_type(d.0) != DayType::Workday)
    );
}

#[test]
fn too_little_history_is_an_error_with_numbers() {
    let mut history = flat(1000.0);
    let keep: GasDay = "2026-11-17".parse().unwrap();
    history.retain(|day, _| *day > keep);
    let error = frozen(&history, "2026-11-23").unwrap_err();
    assert_eq!(error, BaselineError::TooFewDays { have: 2, need: 5 });
    assert!(error.to_string().contains("2 like days"), "{error}");
}

#[test]
fn a_day_with_a_missing_hour_does_not_count() {
    let mut history = worked(1.0);
    let day: GasDay = "2026-11-20".parse().unwrap();
    history.get_mut(&day).unwrap()[10] = None;
    let baseline = frozen(&history, "2026-11-23").unwrap();
    assert!(!baseline.days.contains(&day));
}

#[test]
fn the_hash_follows_the_inputs() {
    let a = frozen(&worked(1.0), "2026-11-23").unwrap();
    let again = frozen(&worked(1.0), "2026-11-23").unwrap();
    assert_eq!(a.inputs_sha256, again.inputs_sha256);
    let mut changed = worked(1.0);
    changed.get_mut(&a.days[3]).unwrap()[9] = Some(1000.5);
    let b = frozen(&changed, "2026-11-23").unwrap();
    assert_ne!(a.inputs_sha256, b.inputs_sha256);
}

fn day(text: &str) -> GasDay {
    text.parse().unwrap()
}

/// A weekend's history: 600 m³/h, 150 on public holidays, 0 on `idle` days.
fn weekends(idle: &[&str]) -> (HourlyUse, BTreeSet<GasDay>) {
    let calendar = fixture::calendar();
    let idle: BTreeSet<GasDay> = idle.iter().map(|text| day(text)).collect();
    let history = (1..=60)
        .map(|back| {
            let of = day("2026-10-17").plus(-back);
            let level = if idle.contains(&of) {
                0.0
            } else if calendar.day_type(of.0) == DayType::Holiday {
                150.0
            } else {
                600.0
            };
            (of, [Some(level); 24])
        })
        .collect();
    (history, idle)
}

fn on_the_saturday(
    history: &HourlyUse,
    excluded: &BTreeSet<GasDay>,
    adjustment: Option<(GasDay, Range<usize>)>,
) -> Baseline {
    freeze(&BaselineInput {
        customer: &"I1".into(),
        history,
        calendar: &fixture::calendar(),
        day: day("2026-10-17"),
        hours: 9..13,
        excluded,
        adjustment,
        frozen_at: fixture::at("2026-10-16T16:00:00+08:00"),
    })
    .unwrap()
}

#[test]
fn the_saturday_after_the_national_day_is_not_measured_by_the_holidays() {
    let (history, _) = weekends(&[]);
    let baseline = on_the_saturday(&history, &BTreeSet::new(), None);
    let calendar = fixture::calendar();
    for of in &baseline.days {
        assert_eq!(calendar.day_type(of.0), DayType::Weekend, "{of}");
    }
    assert!((baseline.mean_m3h() - 600.0).abs() < 1e-9, "{baseline:?}");
    assert!(baseline.noise_m3 < 1e-9);
}

#[test]
fn a_shutdown_leaves_no_zero_in_the_mean() {
    let days = ["2026-09-12", "2026-09-13"];
    let (history, idle) = weekends(&days);
    let baseline = on_the_saturday(&history, &idle, None);
    assert!(baseline.days.iter().all(|of| !idle.contains(of)));
    assert!((baseline.mean_m3h() - 600.0).abs() < 1e-9, "{baseline:?}");
}

#[test]
fn a_holiday_or_a_stop_on_the_day_of_the_message_adjusts_nothing() {
    let (mut history, mut excluded) = weekends(&[]);
    history.insert(day("2026-10-16"), [Some(0.0); 24]);
    let told = Some((day("2026-10-16"), 4..7));
    let on_a_stop = on_the_saturday(&history, &excluded, told.clone());
    assert!(
        (on_a_stop.adjustment - 0.8).abs() < 1e-9,
        "before it is known"
    );
    excluded.insert(day("2026-10-16"));
    let known = on_the_saturday(&history, &excluded, told);
    assert_eq!(known.adjustment_found, None);
    assert!((known.mean_m3h() - 600.0).abs() < 1e-9);
    let on_a_holiday = freeze(&BaselineInput {
        customer: &"I1".into(),
        history: &history,
        calendar: &fixture::calendar(),
        day: day("2026-10-08"),
        hours: 9..13,
        excluded: &BTreeSet::new(),
        adjustment: Some((day("2026-10-07"), 4..7)),
        frozen_at: fixture::at("2026-10-07T16:00:00+08:00"),
    })
    .unwrap();
    assert_eq!(on_a_holiday.adjustment_found, None);
}

#[test]
fn the_whole_day_is_frozen_with_the_window() {
    let mut history = worked(1.15);
    for hours in history
        .values_mut()
        .filter(|hours| hours[0] == Some(1000.0))
    {
        hours[20] = Some(400.0);
    }
    let baseline = frozen(&history, "2026-11-23").unwrap();
    assert_eq!(baseline.day_m3h.len(), 24);
    assert!((baseline.day_m3h[9] - baseline.hours_m3h[0]).abs() < 1e-9);
    assert!((baseline.day_m3h[20] - 460.0).abs() < 1e-9);
    // Days of which another hour is missing still tell of the window, not of the day.
    for hours in history.values_mut() {
        hours[23] = None;
    }
    let baseline = frozen(&history, "2026-11-23").unwrap();
    assert_eq!(baseline.days.len(), DAYS);
    assert_eq!(baseline.day_m3h, Vec::<f64>::new());
}

pub(crate) fn meter(id: &str, installed_on: &str) -> Meter {
    Meter {
        id: id.into(),
        device: id.into(),
        customer: Some("I1".into()),
        zone: "north".into(),
        role: crate::domain::meter::MeterRole::Customer,
        kind: crate::domain::meter::MeterKind::Turbine,
        profile: "qiliang/json-push".into(),
        settlement: crate::domain::meter::SettlementTotal::Std,
        total_digits: 9,
        flow_max_m3h: 1000.0,
        fixed_factor: 1.0,
        period_s: 900,
        gateway: None,
        unit: 0,
        installed_on: installed_on.parse().unwrap(),
        removed_on: None,
        corrected_at: None,
        corrector_method: None,
    }
}

pub(crate) fn curve(meter: &str, of: GasDay, m3h: i64) -> LoadCurve {
    let mut curve = LoadCurve::missing(MeterId::from(meter), of);
    curve.hours = [StdVolume::from_m3(m3h); 24];
    curve.quality = [Quality::Measured; 24];
    curve
}

#[test]
fn estimated_hours_prove_nothing() {
    let of = day("2026-11-20");
    let meters = [meter("M1", "2020-01-01"), meter("M2", "2020-01-01")];
    let mut two = curve("M2", of, 10);
    two.quality[3] = Quality::Estimated;
    let meters: Vec<&Meter> = meters.iter().collect();
    let use_of = hourly_use(&meters, &[curve("M1", of, 10), two.clone()]);
    assert_eq!(use_of[&of][0], Some(20.0));
    assert_eq!(use_of[&of][3], None);
    let hours = hours_of(&meters, of, [&curve("M1", of, 10), &two]);
    assert_eq!(hours[3].m3h, Some(20.0));
    assert_eq!(hours[3].quality, HourQuality::Estimated);
}

#[test]
fn a_silent_meter_is_missing_and_never_zero() {
    let of = day("2026-11-20");
    let (one, two) = (meter("M1", "2020-01-01"), meter("M2", "2020-01-01"));
    let both = [&one, &two];
    // M2 sent nothing all day: no curve.
    let use_of = hourly_use(&both, &[curve("M1", of, 500)]);
    assert_eq!(use_of[&of], [None; 24]);
    let hours = hours_of(&both, of, [&curve("M1", of, 500)]);
    assert!(
        hours
            .iter()
            .all(|h| h.m3h.is_none() && h.quality == HourQuality::Missing)
    );
    // Before it was installed it had nothing to send.
    let later = meter("M2", "2026-11-21");
    let use_of = hourly_use(&[&one, &later], &[curve("M1", of, 500)]);
    assert_eq!(use_of[&of], [Some(500.0); 24]);
    assert_eq!(
        hours_of(&[], of, [&curve("M1", of, 500)])[0].quality,
        HourQuality::Missing
    );
}
