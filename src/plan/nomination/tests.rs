use super::*;
use crate::domain::contract::{ContractComponent, ContractComponentKind, DeviationTerms};
use crate::domain::registry::RegistryParts;
use crate::plan::explain::{self, DayLimits};
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
        calendar: &fixture::calendar(),
        day: day.parse().unwrap(),
        forecast,
        breakdown: None,
        taken: &taken,
        delivered_yesterday_m3: &yesterday,
        bought_today_m3: None,
        unaccounted_ratio: 0.025,
        sequence: 1,
        version: 1,
        submission_no: 1,
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
fn a_source_that_bears_others_is_not_given_the_hundredth_quantile() {
    let registry = fixture::registry();
    let mut line = sample().lines.remove(0);
    let contract = registry
        .contracts
        .iter()
        .find(|c| c.id == line.contract)
        .unwrap();
    let mut said = |quantile, p95_m3| {
        (line.quantile, line.p95_m3) = (quantile, p95_m3);
        explain::nomination(&line, contract, DayLimits::default())
    };
    let (zh, en) = said(0.63, 500_000);
    assert!(zh.contains("为该气源需求的63%分位"), "{zh}");
    assert!(
        en.contains("is the 63 % quantile of its source's demand"),
        "{en}"
    );
    let (zh, en) = said(1.0, 500_000);
    assert!(
        zh.contains("高于该气源需求的所有情景") && !zh.contains("分位"),
        "{zh}"
    );
    assert!(
        en.contains("is above every scenario") && !en.contains("quantile"),
        "{en}"
    );
    let (zh, en) = said(0.0, 500_000);
    assert!(zh.contains("低于该气源需求的所有情景"), "{zh}");
    assert!(en.contains("is below every scenario"), "{en}");
    let (zh, en) = said(1.0, 0);
    assert!(zh.contains("该气源当日预计无需求"), "{zh}");
    assert!(en.contains("no demand is expected"), "{en}");
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
    n.edit(&id, far, None).unwrap();
    assert_eq!(n.lines[0].hours_m3.iter().sum::<i64>(), far);
    let codes = |n: &Nomination| -> Vec<&str> { n.checks().iter().map(|c| c.code).collect() };
    assert!(codes(&n).contains(&"nomination.reason_missing"));
    n.edit(&id, far, Some("寒潮提前".into())).unwrap();
    assert!(!codes(&n).contains(&"nomination.reason_missing"));
    n.edit(&id, 10, Some("试".into())).unwrap();
    assert!(codes(&n).contains(&"nomination.below_take_min"));
    assert!(codes(&n).contains(&"nomination.outside_band"));
    n.lines[0].hours_m3[3] += 7;
    assert!(codes(&n).contains(&"nomination.hours_differ"));
    assert_eq!(
        n.edit(&"nobody".into(), 1, None),
        Err(EditError::UnknownContract("nobody".into()))
    );
}

#[test]
fn what_was_not_suggested_is_spread_over_the_day_as_the_city_uses_it() {
    let mut n = sample();
    let id = n.lines[0].contract.clone();
    for line in &mut n.lines {
        (line.suggested_m3, line.nominated_m3, line.hours_m3) = (0, 0, [0; 24]);
    }
    // Nothing anywhere: every hour alike, and not all of it in 08–09.
    n.edit(&id, 240_000, Some("气源切换".into())).unwrap();
    assert_eq!(n.lines[0].hours_m3, [10_000; 24]);
    // The shape of the others, as far as the largest flow lets it.
    let mut n = sample();
    (n.lines[0].suggested_m3, n.lines[0].nominated_m3) = (0, 0);
    n.lines[0].hours_m3 = [0; 24];
    let mut other = [1_000; 24];
    other[9] = 3_000;
    n.lines[1].hours_m3 = other;
    n.lines[0].flow_max_m3h = None;
    n.edit(&id, 26_000, Some("气源切换".into())).unwrap();
    assert_eq!(n.lines[0].hours_m3, other);
    n.lines[0].flow_max_m3h = Some(1_100);
    n.edit(&id, 26_000, None).unwrap();
    assert!(n.lines[0].hours_m3.iter().all(|h| *h <= 1_100));
    assert_eq!(n.lines[0].hours_m3.iter().sum::<i64>(), 26_000);
    let before = n.clone();
    for m3 in [-1, 1_100 * 24 + 1, 30_000] {
        assert!(matches!(
            n.edit(&id, m3, None),
            Err(EditError::OutOfReach { .. })
        ));
        assert_eq!(n, before, "a refused edit changes nothing");
    }
    // A largest flow of 1,100.5 m³/h: what was suggested of it can be nominated, and no more.
    n.lines[0].suggested_m3 = 26_412;
    n.edit(&id, 26_412, None).unwrap();
    assert!(n.lines[0].hours_m3.iter().all(|h| *h <= 1_101));
    assert_eq!(
        n.edit(&id, 26_413, None),
        Err(EditError::OutOfReach {
            nominated_m3: 26_413,
            most_m3: 26_412
        })
    );
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

fn after(parts: RegistryParts, taken_m3: i64) -> Nomination {
    let taken = BTreeMap::from([("HT-2026-01".into(), MonthTake { taken_m3, days: 20 })]);
    nominate(&NominateInput {
        registry: &Registry::new(parts),
        calendar: &fixture::calendar(),
        day: "2026-11-21".parse().unwrap(),
        forecast: &fixture::forecast(10, 1.0),
        breakdown: None,
        taken: &taken,
        delivered_yesterday_m3: &BTreeMap::new(),
        bought_today_m3: None,
        unaccounted_ratio: 0.0,
        sequence: 1,
        version: 1,
        submission_no: 1,
        made_at: fixture::at("2026-11-20T09:00:00+08:00"),
        prepared_by: String::new(),
    })
    .unwrap()
}

/// The fixture's contracts without market gas.
fn without_market() -> RegistryParts {
    let mut parts = fixture::parts();
    for contract in &mut parts.contracts {
        let is_within = |c: &ContractComponent| c.kind != ContractComponentKind::Market;
        contract.components.retain(is_within);
    }
    parts.contracts[1].is_swing = false;
    parts
}

#[test]
fn an_exhausted_month_is_nominated_at_what_it_costs() {
    let early = after(without_market(), 2_000_000);
    let n = after(without_market(), 14_500_000);
    let line = &n.lines[0];
    assert_eq!(line.remaining_average_m3, Some(0));
    assert_eq!(line.take_min_m3, 0);
    // The city draws its gas whatever is left; what is not nominated costs the deviation beside.
    assert_eq!(line.suggested_m3, early.lines[0].suggested_m3);
    assert!(
        line.suggested_m3 > line.forecast.p50_m3 * 9 / 10,
        "{line:?}"
    );
    assert!(
        line.reason_zh.contains("本月合同余量0.00万m³，其中"),
        "{}",
        line.reason_zh
    );
    assert!(
        line.reason_en.contains("the month has 0.00"),
        "{}",
        line.reason_en
    );
    assert!(!early.lines[0].reason_zh.contains("余量"));
    // It costs the over-take of the month on everything that is expected.
    let dearer = n.expected_yuan - early.expected_yuan;
    let demand = line.forecast.p50_m3 as f64;
    assert!(
        (dearer / (1.2 * demand) - 1.0).abs() < 0.05,
        "{dearer} {demand}"
    );
}

/// What a nomination solves.
fn problem_of(input: &NominateInput<'_>) -> Problem {
    let carried = Carried::default();
    let over =
        |days| Supply::over(input.forecast, days, input.unaccounted_ratio, &carried).unwrap();
    let supply = over(vec![input.day]);
    let contracts = contracts_of(input, &supply).unwrap();
    let before = over(open_days_before(input));
    day_problem(input, &supply, &before, &contracts).unwrap()
}

#[test]
fn every_open_day_before_the_nominated_one_is_taken_off_the_month() {
    let (registry, forecast) = (fixture::registry(), fixture::forecast(16, 1.0));
    let left = |day: &str, taken: MonthTake| {
        let taken = BTreeMap::from([("HT-2026-01".into(), taken)]);
        let input = NominateInput {
            registry: &registry,
            calendar: &fixture::calendar(),
            day: day.parse().unwrap(),
            forecast: &forecast,
            breakdown: None,
            bought_today_m3: None,
            taken: &taken,
            delivered_yesterday_m3: &BTreeMap::new(),
            unaccounted_ratio: 0.0,
            sequence: 1,
            version: 1,
            submission_no: 1,
            made_at: fixture::at("2026-11-20T09:00:00+08:00"),
            prepared_by: String::new(),
        };
        problem_of(&input).contracts[0].month_left_m3
    };
    let day = |day: &str| {
        let days = vec![day.parse().unwrap()];
        let supply = Supply::over(&forecast, days, 0.0, &Carried::default()).unwrap();
        source_m3(&supply, &"pipe".into()) as f64
    };
    // Nineteen days of November are closed, the twentieth runs.
    let closed = MonthTake {
        taken_m3: 9_000_000,
        days: 19,
    };
    let open = day("2026-11-20");
    let is =
        |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    is(left("2026-11-20", closed), 5_500_000.0);
    is(left("2026-11-21", closed), 5_500_000.0 - open);
    let open = open + day("2026-11-21") + day("2026-11-22");
    is(left("2026-11-23", closed), 5_500_000.0 - open);
    // Of a month to come only its own days count.
    let none = MonthTake {
        taken_m3: 0,
        days: 0,
    };
    let open = day("2026-12-01") + day("2026-12-02");
    is(left("2026-12-03", none), 14_500_000.0 - open);
    is(left("2026-12-01", none), 14_500_000.0);
}

#[test]
fn a_bound_that_binds_is_named() {
    let bound = |change: fn(&mut DeviationTerms)| {
        let mut parts = without_market();
        change(&mut parts.contracts[0].deviation);
        after(parts, 2_000_000).lines.remove(0)
    };
    for (change, zh) in [
        (
            (|t| t.take_day_max_ratio = 0.9) as fn(&mut DeviationTerms),
            "受日最大提取量43.50万m³限制",
        ),
        (
            |t| t.take_day_min_ratio = 1.1,
            "受日最小提取量53.17万m³限制",
        ),
        (
            |t| t.flow_max_m3h = 17_000.0,
            "受最大瞬时流量折算的日量40.80万m³限制",
        ),
    ] {
        let line = bound(change);
        assert!(line.reason_zh.contains(zh), "{}", line.reason_zh);
        assert!(line.reason_en.contains("which binds"), "{}", line.reason_en);
    }
    assert!(!bound(|_| ()).reason_zh.contains('受'));
}

#[test]
fn an_unknown_month_is_said_to_be() {
    let n = after(without_market(), 2_000_000);
    assert_eq!(n.lines[0].remark, "");
    assert_eq!(n.lines[1].remark, "本月已提取量不全，未计本月合同余量");
}
