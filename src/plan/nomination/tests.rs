use super::*;
use crate::plan::fixture;

pub(crate) fn made(
    registry: &Registry,
    forecast: &DemandForecast,
    day: &str,
) -> Result<Nomination, PlanError> {
    let taken = BTreeMap::from([(
        "HT-2026-01".into(),
        MonthTake {
            taken_m3: 9_000_000,
            days: 19,
        },
    )]);
    let yesterday = BTreeMap::from([("HT-2026-01".into(), 470_000)]);
    nominate(&NominateInput {
        registry,
        day: day.parse().unwrap(),
        forecast,
        taken: &taken,
        delivered_yesterday_m3: &yesterday,
        unaccounted_ratio: 0.025,
        sequence: 1,
        version: 1,
        made_at: fixture::at("2026-11-20T09:00:00+08:00"),
        prepared_by: "调度员".into(),
    })
}

fn sample() -> Nomination {
    made(
        &fixture::registry(),
        &fixture::forecast(10, 1.0),
        "2026-11-21",
    )
    .unwrap()
}

#[test]
fn the_remaining_average_of_the_worked_example() {
    let average = remaining_average(1500.0, 612.5, 12, 30).unwrap();
    assert!((average - 49.305_6).abs() < 5e-5, "{average}");
    assert_eq!(remaining_average(1500.0, 1500.0, 30, 30), None);
}

#[test]
fn hours_add_up_and_limits_hold() {
    let n = sample();
    assert_eq!(n.lines.len(), 2);
    for line in &n.lines {
        assert_eq!(line.hours_m3.iter().sum::<i64>(), line.nominated_m3);
        assert_eq!(line.nominated_m3, line.suggested_m3);
        assert!(line.nominated_m3 >= line.take_min_m3);
        assert!(
            line.checks().iter().all(|c| !c.is_error),
            "{:?}",
            line.checks()
        );
        assert!((0.0..=1.0).contains(&line.quantile));
        assert!(!line.reason_zh.is_empty() && !line.reason_en.is_empty());
    }
    let pipe = &n.lines[0];
    // 1450 万m³ less 900 over 11 days left of November.
    assert_eq!(pipe.remaining_average_m3, Some(500_000));
    assert_eq!(pipe.month_average_m3, 483_333);
    assert_eq!(pipe.delivered_yesterday_m3, Some(470_000));
    assert!(pipe.today_m3.is_some());
    assert_eq!(n.lines[1].remaining_average_m3, None);
}

#[test]
fn the_first_hour_is_eight_to_nine_and_deadlines_are_the_day_before() {
    let n = sample();
    assert_eq!(n.period_from, fixture::at("2026-11-21T08:00:00+08:00"));
    assert_eq!(n.due_at, fixture::at("2026-11-20T10:00:00+08:00"));
    assert_eq!(n.due_hard_at, fixture::at("2026-11-20T11:30:00+08:00"));
    assert_eq!(n.change_due_at, fixture::at("2026-11-21T14:00:00+08:00"));
    assert_eq!(n.nomination_no, "RZ-20261121-某燃-001");
    // 08:00 is a morning peak hour of the city, 00:00 is not.
    let pipe = &n.lines[0];
    assert!(pipe.hours_m3[0] > pipe.hours_m3[16]);
}

#[test]
fn no_hour_exceeds_the_largest_flow() {
    let mut parts = fixture::parts();
    parts.contracts[0].deviation.flow_max_m3h = 20_500.0;
    let n = made(
        &Registry::new(parts),
        &fixture::forecast(10, 1.0),
        "2026-11-21",
    )
    .unwrap();
    let pipe = &n.lines[0];
    assert!(
        pipe.hours_m3.iter().all(|h| *h <= 20_501),
        "{:?}",
        pipe.hours_m3
    );
    assert_eq!(pipe.hours_m3.iter().sum::<i64>(), pipe.nominated_m3);
}

#[test]
fn an_edit_beyond_five_percent_needs_a_reason() {
    let mut n = sample();
    let id = n.lines[0].contract.clone();
    let far = n.lines[0].suggested_m3 * 110 / 100;
    assert!(n.edit(&id, far, None));
    assert_eq!(n.lines[0].hours_m3.iter().sum::<i64>(), far);
    let codes = |n: &Nomination| -> Vec<&str> { n.checks().iter().map(|c| c.code).collect() };
    assert!(codes(&n).contains(&"nomination.reason_missing"));
    n.edit(&id, far, Some("寒潮提前".into()));
    assert!(!codes(&n).contains(&"nomination.reason_missing"));
    n.edit(&id, 10, Some("试".into()));
    assert!(codes(&n).contains(&"nomination.below_take_min"));
    assert!(codes(&n).contains(&"nomination.outside_band"));
    n.lines[0].hours_m3[3] += 7;
    assert!(codes(&n).contains(&"nomination.hours_differ"));
    assert!(!n.edit(&"nobody".into(), 1, None));
}

#[test]
fn a_day_out_of_reach_is_refused() {
    let error = made(
        &fixture::registry(),
        &fixture::forecast(10, 1.0),
        "2026-12-21",
    )
    .unwrap_err();
    assert_eq!(error.code(), "plan.horizon_too_short");
}

#[test]
fn an_exhausted_month_is_covered_beyond_the_contract() {
    let taken = BTreeMap::from([(
        "HT-2026-01".into(),
        MonthTake {
            taken_m3: 14_500_000,
            days: 19,
        },
    )]);
    let n = nominate(&NominateInput {
        registry: &fixture::registry(),
        day: "2026-11-21".parse().unwrap(),
        forecast: &fixture::forecast(10, 1.0),
        taken: &taken,
        delivered_yesterday_m3: &BTreeMap::new(),
        unaccounted_ratio: 0.0,
        sequence: 1,
        version: 1,
        made_at: fixture::at("2026-11-20T09:00:00+08:00"),
        prepared_by: String::new(),
    })
    .unwrap();
    assert_eq!(n.lines[0].remaining_average_m3, Some(0));
    assert_eq!(n.lines[0].take_min_m3, 0);
}
