use super::*;
use crate::serve::figures::fixture;

/// 12:20 of the gas day 2026-11-21: four hours are over.
pub(crate) fn facts() -> Facts {
    let registry = fixture::registry();
    let day = fixture::day("2026-11-21");
    let run = Run::new(fixture::forecast(
        &registry,
        "2026-11-21T09:00:00+08:00",
        41,
    ));
    let first = day.month().first_day();
    let bought = crate::serve::figures::bought::tests::facts(&registry);
    Facts {
        now: bought.now,
        time_factor: 1.0,
        curves_today: fixture::customer_curves(&registry, day, 4),
        curves_earlier: vec![fixture::customer_curves(&registry, day.plus(-1), 24)],
        bought,
        demand: fixture::demand(&registry, first, 20),
        run: Some(Arc::new(run)),
        weather: Vec::new(),
        nominated_tomorrow: Some(NominatedDay {
            suggested: BTreeMap::from([("pipe".into(), 9_100)]),
            ..NominatedDay::default()
        }),
        heard: BTreeMap::from([
            ("M1".into(), fixture::at("2026-11-21T12:10:00+08:00")),
            ("M2".into(), fixture::at("2026-11-21T11:40:00+08:00")),
        ]),
        counts: CollectCounts::default(),
        rate_per_s: 0.0,
        ledger: Arc::new(Vec::new()),
        alerts: AlertCounts::default(),
        registry: Arc::new(registry),
    }
}

#[test]
fn parts_sum_to_the_headline() {
    let facts = facts();
    let page = overview(&facts);
    let kpi = &page.kpi;
    let hours: i64 = page.today.hours.iter().filter_map(|h| h.actual_m3).sum();
    assert_eq!(kpi.used_m3, Some(hours));
    for (index, hour) in page.today.hours.iter().enumerate() {
        let by_class: Option<i64> = page.classes.iter().map(|c| c.hours[index].actual_m3).sum();
        assert_eq!(by_class, hour.actual_m3, "hour {index}");
        let p50: Option<i64> = page.classes.iter().map(|c| c.hours[index].p50_m3).sum();
        assert_eq!(p50, hour.band.map(|b| b.p50_m3), "hour {index}");
    }
    let expected: i64 = page.classes.iter().map(|c| c.today.unwrap().p50_m3).sum();
    assert_eq!(Some(expected), kpi.expected_day.map(|b| b.p50_m3));
    let yesterday: i64 = page.classes.iter().filter_map(|c| c.yesterday_m3).sum();
    assert_eq!(Some(yesterday), kpi.yesterday_m3);
    let tomorrow: i64 = page
        .sources
        .iter()
        .map(|s| s.tomorrow.unwrap().p50_m3)
        .sum();
    assert_eq!(Some(tomorrow), kpi.bought_tomorrow.map(|b| b.p50_m3));
    let bought: Vec<_> = page.today.hours.iter().map(|h| h.bought_m3).collect();
    assert_eq!(
        kpi.taken_m3,
        bought.iter().copied().flatten().reduce(|a, b| a + b)
    );
    let of_day = page.today.hours.iter().map(|h| {
        let expected = h.bought_band.map(|band| band.p50_m3);
        h.bought_m3.or(expected).unwrap()
    });
    assert_eq!(kpi.bought_day.map(|b| b.p50_m3), Some(of_day.sum()));
    let due: Option<i64> = page.sources.iter().map(|s| s.due_m3).sum();
    assert_eq!(due, kpi.due_m3);
    let pace: Option<i64> = page.sources.iter().map(|s| s.pace_m3).sum();
    assert_eq!(pace, kpi.pace_m3);
    let taken: i64 = page.sources.iter().filter_map(|s| s.taken_m3).sum();
    assert_eq!(Some(taken), kpi.taken_m3);
    let month: i64 = page.sources.iter().filter_map(|s| s.month_taken_m3).sum();
    assert_eq!(Some(month), kpi.month_taken_m3);
    let contract: i64 = page
        .sources
        .iter()
        .filter_map(|s| s.month_contract_m3)
        .sum();
    assert_eq!(Some(contract), kpi.month_contract_m3);
    assert_eq!(kpi.nominated_m3, Some(9_840));
    assert_eq!(kpi.remaining_m3, Some(9_840 - taken));
    let heat = page.heatmap.last().unwrap();
    assert_eq!(heat.day, page.gas_day);
    let heat: i64 = heat.hours.iter().flatten().sum();
    assert_eq!(Some(heat), kpi.expected_day.map(|b| b.p50_m3));
    let before = &page.heatmap[page.heatmap.len() - 2];
    assert_eq!(
        before.hours.iter().flatten().sum::<i64>(),
        kpi.yesterday_m3.unwrap()
    );
}

#[test]
fn the_clock_of_the_day_and_the_meters_are_right() {
    let page = overview(&facts());
    assert_eq!(page.now, "2026-11-21T12:20:00+08:00");
    assert_eq!(page.remaining_s, 19 * 3600 + 40 * 60);
    assert!((page.gas_day_progress - 260.0 / 1440.0).abs() < 1e-12);
    assert_eq!(page.today.hours[0].civil_hour, 8);
    assert_eq!(page.today.hours[0].quality.as_deref(), Some("measured"));
    assert_eq!(
        page.today
            .hours
            .iter()
            .filter(|h| h.actual_m3.is_some())
            .count(),
        4
    );
    // M1 spoke ten minutes ago, M2 forty; the period is fifteen.
    assert_eq!(
        page.meters,
        MeterCounts {
            expected: 6,
            reporting: 1,
            silent: 5
        }
    );
    assert_eq!(page.heatmap.len(), 15);
    assert_eq!(page.sources[1].suggested_m3, Some(9_100));
    let average = page.kpi.remaining_avg_dcq_m3.unwrap();
    let before = page.kpi.month_taken_m3.unwrap() - page.kpi.taken_m3.unwrap();
    assert!((average - (180_000 - before) as f64 / 10.0).abs() < 1e-9);
}

#[test]
fn the_probability_of_taking_too_much_falls_with_what_was_nominated() {
    let mut facts = facts();
    let mut probability = |m3: i64| {
        facts.bought.nominated = Some(NominatedDay {
            nominated: BTreeMap::from([("pipe".into(), m3)]),
            ..NominatedDay::default()
        });
        overview(&facts).kpi.over_probability.unwrap()
    };
    let p50 = {
        let run = Run::new(fixture::forecast(
            &fixture::registry(),
            "2026-11-21T09:00:00+08:00",
            2,
        ));
        run.day_band(&DemandView::total(), fixture::day("2026-11-21"))
            .unwrap()
            .p50_m3
    };
    assert!((probability(1) - 1.0).abs() < 1e-12);
    assert!(probability(10 * p50) < 1e-12);
    assert!(probability(p50) >= probability(p50 + 500));
}

#[test]
fn with_nothing_known_everything_is_null_and_nothing_is_zero() {
    let mut facts = facts();
    facts.curves_today.clear();
    facts.curves_earlier.clear();
    facts.bought.gates.clear();
    facts.bought.delivered.clear();
    facts.demand.clear();
    facts.run = None;
    facts.bought.nominated = None;
    facts.nominated_tomorrow = None;
    let page = overview(&facts);
    let contract = page.kpi.month_contract_m3;
    assert_eq!(
        page.kpi,
        Kpi {
            month_contract_m3: contract,
            ..Kpi::default()
        }
    );
    assert!(
        page.today
            .hours
            .iter()
            .all(|h| h.actual_m3.is_none() && h.band.is_none())
    );
    assert!(
        page.heatmap
            .iter()
            .all(|d| d.hours.iter().all(Option::is_none))
    );
    assert!(
        page.classes
            .iter()
            .all(|c| c.today.is_none() && c.yesterday_m3.is_none())
    );
    assert!(
        page.sources
            .iter()
            .all(|s| s.taken_m3.is_none() && s.tomorrow.is_none())
    );
}
