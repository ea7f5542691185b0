use super::*;
use crate::serve::figures::bought::{self, BoughtFacts};
use crate::serve::figures::fixture;
use crate::serve::figures::today::today;

struct City {
    registry: Registry,
    run: Run,
    before: Run,
    history: Cells,
    today: Today,
    bought: BoughtFacts,
    now: DateTime<Utc>,
}

fn city() -> City {
    let registry = fixture::registry();
    let day = fixture::day("2026-11-21");
    let now = fixture::at("2026-11-21T12:20:00+08:00");
    let demand = fixture::demand(&registry, fixture::day("2026-11-01"), 20);
    City {
        run: Run::new(fixture::forecast(
            &registry,
            "2026-11-21T09:00:00+08:00",
            41,
        )),
        before: Run::new(fixture::forecast(
            &registry,
            "2026-11-20T07:00:00+08:00",
            41,
        )),
        history: Cells::of_demand(&demand, &registry),
        today: today(
            &registry,
            day,
            now,
            &fixture::customer_curves(&registry, day, 4),
            &[],
        ),
        bought: bought::tests::facts(&registry),
        registry,
        now,
    }
}

fn view(city: &City, horizon: Horizon, by: Dimension, key: Option<&str>) -> Option<ForecastView> {
    let of_run = (&city.run.forecast, None);
    let bought = Bought::new(&city.registry, &city.bought, Some(of_run));
    let facts = ForecastFacts {
        now: city.now,
        registry: &city.registry,
        run: &city.run,
        history: &city.history,
        today: &city.today,
        bought: &bought,
        run_before_yesterday: Some(&city.before),
        quality: &[],
        learning: &BTreeMap::from([("F0".into(), vec!["north/industrial".to_owned()])]),
    };
    forecast_view(&facts, ForecastQuestion { horizon, by, key })
}

#[test]
fn series_of_every_dimension_sum_to_the_total_point_by_point() {
    let city = city();
    for horizon in [Horizon::Hourly, Horizon::Daily] {
        let whole = view(&city, horizon, Dimension::Total, None).unwrap();
        assert!(whole.series.is_empty() && whole.table.is_empty());
        assert_eq!(
            whole.total.len(),
            if horizon == Horizon::Hourly { 168 } else { 41 }
        );
        for by in [Dimension::Source, Dimension::Class, Dimension::Slot] {
            let split = view(&city, horizon, by, None).unwrap();
            assert_eq!(split.total, whole.total);
            for (index, point) in whole.total.iter().enumerate() {
                let sum: i64 = split.series.iter().map(|s| s.points[index].p50_m3).sum();
                assert_eq!(sum, point.band.p50_m3, "{horizon:?} {by:?} {index}");
                assert!(point.band.p10_m3 <= point.band.p50_m3);
                assert!(point.band.p50_m3 <= point.band.p90_m3);
            }
            let tomorrow: i64 = split.table.iter().map(|r| r.tomorrow.p50_m3).sum();
            assert_eq!(tomorrow, split.cards.tomorrow.band.p50_m3);
            let yesterday: i64 = split.table.iter().filter_map(|r| r.yesterday_m3).sum();
            assert_eq!(Some(yesterday), split.cards.yesterday.actual_m3);
            let share: f64 = split.table.iter().map(|r| r.share).sum();
            assert!((share - 1.0).abs() < 1e-9);
        }
    }
}

#[test]
fn one_member_by_key_is_the_member_s_series() {
    let city = city();
    let split = view(&city, Horizon::Daily, Dimension::Class, None).unwrap();
    let one = view(&city, Horizon::Daily, Dimension::Class, Some("industrial")).unwrap();
    let series = split.series.iter().find(|s| s.key == "industrial").unwrap();
    let points: Vec<Band> = one.total.iter().map(|p| p.band).collect();
    assert_eq!(points, series.points);
    assert_eq!(one.labels.len(), 1);
    assert!(view(&city, Horizon::Daily, Dimension::Class, Some("nobody")).is_none());
    assert!(view(&city, Horizon::Daily, Dimension::Total, Some("x")).is_none());
}

#[test]
fn the_naive_forecast_is_the_same_weekday_known_at_the_origin() {
    let city = city();
    let daily = view(&city, Horizon::Daily, Dimension::Total, None).unwrap();
    let total = DemandView::total();
    let actual = |text: &str| city.history.day_m3(&total, fixture::day(text));
    assert_eq!(daily.total[0].naive_m3, actual("2026-11-14"));
    assert_eq!(daily.total[6].naive_m3, actual("2026-11-20"));
    assert_eq!(daily.total[7].naive_m3, actual("2026-11-14"));
    let hourly = view(&city, Horizon::Hourly, Dimension::Total, None).unwrap();
    let naive: Option<i64> = hourly.total[..24].iter().map(|p| p.naive_m3).sum();
    assert_eq!(naive, daily.total[0].naive_m3);
    assert_eq!(
        hourly
            .total
            .iter()
            .filter(|p| p.actual_m3.is_some())
            .count(),
        4
    );
}

#[test]
fn history_ends_where_knowledge_ends() {
    let city = city();
    let daily = view(&city, Horizon::Daily, Dimension::Total, None).unwrap();
    assert_eq!(daily.history.len(), 14);
    assert_eq!(daily.history[13].gas_day, fixture::day("2026-11-20"));
    let hourly = view(&city, Horizon::Hourly, Dimension::Total, None).unwrap();
    // From 13:00 two days ago (12:20 is inside 12:00) to 12:00 today.
    assert_eq!(
        hourly.history.first().unwrap().at,
        "2026-11-19T13:00:00+08:00"
    );
    assert_eq!(
        hourly.history.last().unwrap().at,
        "2026-11-21T11:00:00+08:00"
    );
    assert_eq!(hourly.history.len(), 47);
}

#[test]
fn a_month_is_what_was_and_what_is_expected() {
    let city = city();
    let daily = view(&city, Horizon::Daily, Dimension::Total, None).unwrap();
    let total = DemandView::total();
    let november = &daily.month[0];
    let taken: i64 = city
        .history
        .days()
        .filter_map(|d| city.history.day_m3(&total, d))
        .sum();
    assert_eq!(november.used_m3, Some(taken));
    let remaining: i64 = daily.total[..10].iter().map(|p| p.band.p50_m3).sum();
    assert_eq!(november.remaining.p50_m3, remaining);
    assert_eq!(november.expected.unwrap().p50_m3, taken + remaining);
    assert_eq!(daily.month[1].used_m3, Some(0));
}

#[test]
fn a_month_beside_its_contract_is_what_is_bought() {
    let mut city = city();
    let of = |city: &City, by, key| view(city, Horizon::Daily, by, key).unwrap().month;
    let whole = of(&city, Dimension::Total, None)[0].bought.unwrap();
    assert_eq!(whole.contract_m3, Some(180_000));
    let delivered: i64 = city
        .bought
        .delivered
        .values()
        .flat_map(|d| d.values())
        .sum();
    assert_eq!(whole.taken_m3, Some(delivered));
    let (expected, ahead) = (whole.expected.unwrap(), whole.remaining.unwrap());
    assert_eq!(expected.p50_m3, delivered + ahead.p50_m3);
    assert_eq!(whole.gap_m3, Some(expected.p50_m3 - 180_000));
    // Its loss is in it: it is more than what customers are expected to use.
    let used = of(&city, Dimension::Total, None)[0].remaining.p50_m3;
    assert!(ahead.p50_m3 > used);
    let of_source = of(&city, Dimension::Source, Some("pipe"))[0]
        .bought
        .unwrap();
    assert_eq!(of_source.contract_m3, Some(90_000));
    assert!(of_source.taken_m3.unwrap() < delivered);
    // Nothing is bought for a class or a slot.
    assert_eq!(
        of(&city, Dimension::Class, Some("industrial"))[0].bought,
        None
    );
    // A closed day that is not known makes the month unknown, not smaller.
    city.bought.delivered.remove(&fixture::day("2026-11-09"));
    let mut demand = fixture::demand(&city.registry, fixture::day("2026-11-01"), 20);
    demand.retain(|one| one.day != fixture::day("2026-11-09"));
    city.history = Cells::of_demand(&demand, &city.registry);
    let month = &of(&city, Dimension::Total, None)[0];
    let bought = month.bought.unwrap();
    assert_eq!((month.used_m3, month.expected), (None, None));
    assert_eq!(
        (bought.taken_m3, bought.expected, bought.gap_m3),
        (None, None, None)
    );
}

#[test]
fn yesterday_s_card_compares_with_the_run_made_before_it() {
    let city = city();
    let daily = view(&city, Horizon::Daily, Dimension::Total, None).unwrap();
    let card = &daily.cards.yesterday;
    assert_eq!(card.day, fixture::day("2026-11-20"));
    assert_eq!(
        card.forecast_m3,
        city.before.cells.day_m3(&DemandView::total(), card.day)
    );
    assert!(card.forecast_m3.is_some());
}

#[test]
fn each_node_says_its_method_and_they_sum_to_tomorrow() {
    let mut city = city();
    city.run.forecast.nodes[0].model = "class_profile".to_owned();
    let view = view(&city, Horizon::Daily, Dimension::Total, None).unwrap();
    let nodes = &city.run.forecast.nodes;
    assert_eq!(view.methods.len(), nodes.len());
    let first = &view.methods[0];
    assert_eq!(first.zone, nodes[0].node.zone.to_string());
    assert_eq!(first.class, nodes[0].node.class.key());
    assert_eq!(first.model, "class_profile");
    assert!(view.methods[1..].iter().all(|m| m.model == nodes[1].model));
    let sum: i64 = view.methods.iter().map(|m| m.p50_m3.unwrap()).sum();
    let tomorrow = view.cards.tomorrow.band.p50_m3;
    let rounding = i64::try_from(nodes.len()).unwrap();
    assert!((sum - tomorrow).abs() <= rounding, "{sum} and {tomorrow}");
    let far = methods(
        &city.registry,
        &city.run.forecast,
        fixture::day("2030-01-01"),
    );
    assert!(far.iter().all(|m| m.p50_m3.is_none()));
}
