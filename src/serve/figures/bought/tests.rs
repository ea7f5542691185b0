use super::*;
use crate::domain::customer::SaleMode;
use crate::domain::demand::{DemandForecast, DemandView};
use crate::serve::figures::fixture;
use crate::serve::figures::supply::Supply as Gates;
use crate::serve::figures::today::carried_hours;

const RATIO: f64 = 0.04;

fn today() -> GasDay {
    fixture::day("2026-11-21")
}

/// Three parts pipe and one LNG in the first half of the day, pipe alone in the second.
fn nomination() -> NominatedDay {
    let hours =
        |first: i64, second: i64| std::array::from_fn(|h| if h < 12 { first } else { second });
    NominatedDay {
        nominated: BTreeMap::from([("lng".into(), 1_200), ("pipe".into(), 8_640)]),
        suggested: BTreeMap::new(),
        hours: BTreeMap::from([
            ("lng".into(), hours(100, 0)),
            ("pipe".into(), hours(300, 420)),
        ]),
    }
}

/// 12:20 of the gas day 2026-11-21: four hours are in, and the gates of all days before.
pub(crate) fn facts(registry: &Registry) -> BoughtFacts {
    let first = today().month().first_day();
    let past: Vec<LoadCurve> = (0..20)
        .flat_map(|i| fixture::gate_curves(registry, first.plus(i), 24))
        .collect();
    let gates = Gates::of_curves(registry, &past);
    let of_day = |day: GasDay| {
        let of_source =
            |source: &SourceId| Some((source.clone(), gates.source_day_m3(source, day)?));
        let of_day: Option<_> = registry.sources.keys().map(of_source).collect();
        (day, of_day.unwrap())
    };
    BoughtFacts {
        now: fixture::at("2026-11-21T12:20:00+08:00"),
        unaccounted_ratio: RATIO,
        delivered: (0..20).map(|i| of_day(first.plus(i))).collect(),
        gates: fixture::gate_curves(registry, today(), 4),
        carried: BTreeMap::new(),
        nominated: Some(nomination()),
    }
}

fn run(registry: &Registry) -> DemandForecast {
    fixture::forecast(registry, "2026-11-21T09:00:00+08:00", 41)
}

fn measured(registry: &Registry, hours: usize) -> i64 {
    let gates = fixture::gate_curves(registry, today(), 24);
    let hours = gates.iter().flat_map(|c| c.hours.iter().take(hours));
    hours.map(|v| v.round_m3()).sum()
}

/// P50 of the hours from `from` on, of all or of a class, as used.
fn used_ahead(run: &DemandForecast, from: usize) -> f64 {
    let nodes = run.nodes.iter();
    nodes.flat_map(|n| n.p50_m3[0][from..].to_vec()).sum()
}

#[test]
fn a_day_is_what_the_gates_measured_and_what_must_be_bought_with_its_loss() {
    let registry = fixture::registry();
    let (facts, run) = (facts(&registry), run(&registry));
    let bought = Bought::new(&registry, &facts, Some((&run, None)));
    let known = measured(&registry, 4);
    assert_eq!(bought.taken_m3, Some(known));
    assert_eq!((bought.taken_hours(), bought.taken_through()), (4, 4));
    let expected = bought.expected().unwrap();
    let ahead = used_ahead(&run, 4) / (1.0 - RATIO);
    assert!((expected.band.p50_m3 as f64 - known as f64 - ahead).abs() < 12.0);
    // What has happened has no band: the draws differ by the open hours alone, with their loss.
    let (least, most) = (expected.draws[0], expected.draws[20]);
    assert!((most - least - 0.2 * ahead).abs() < 12.0, "{least} {most}");
    // Customers' meters would say less by the loss.
    let used: f64 = run.draws(&DemandView::total(), &[0]).iter().sum::<f64>() / 21.0;
    assert!(bought.day_band(today().plus(1), None).unwrap().p50_m3 as f64 > used);
}

#[test]
fn gas_carried_for_others_is_neither_taken_nor_expected() {
    let mut registry = fixture::registry();
    registry.customers.get_mut("C4").unwrap().class =
        crate::domain::customer::CustomerClass::Wheeling;
    let mut facts = facts(&registry);
    let run = run(&registry);
    let plain = Bought::new(&registry, &facts, Some((&run, None)));
    let (taken, expected) = (
        plain.taken_m3.unwrap(),
        plain.expected().unwrap().band.p50_m3,
    );
    let curves = fixture::customer_curves(&registry, today(), 4);
    facts.carried = carried_hours(&registry, today(), facts.now, &curves, &[]);
    let c4 = curves.iter().find(|c| c.meter == "M4".into()).unwrap();
    let of_others: i64 = c4.hours[..4].iter().map(|v| v.round_m3()).sum();
    assert!(of_others > 0);
    let own = Bought::new(&registry, &facts, Some((&run, None)));
    assert_eq!(own.taken_m3, Some(taken - of_others));
    assert_eq!(own.expected().unwrap().band.p50_m3, expected - of_others);
    // An agency's customer is carried as well.
    registry.customers.get_mut("C4").unwrap().sale_mode = SaleMode::Agency;
    registry.customers.get_mut("C4").unwrap().class =
        crate::domain::customer::CustomerClass::Industrial;
    let again = carried_hours(&registry, today(), facts.now, &curves, &[]);
    assert_eq!(again, facts.carried);
    // An hour its meter has not reported counts as the day before.
    let earlier = fixture::customer_curves(&registry, today().plus(-1), 24);
    let filled = carried_hours(&registry, today(), facts.now, &[], &[earlier]);
    assert_eq!(filled, facts.carried);
}

#[test]
fn the_pace_is_against_the_nominated_hours_that_are_in() {
    let registry = fixture::registry();
    let mut facts = facts(&registry);
    let of = |facts: &BoughtFacts| {
        let bought = Bought::new(&registry, facts, None);
        (
            bought.due_m3(None).unwrap(),
            bought.taken_by_source.clone(),
            bought.split,
        )
    };
    let (due, by_source, split) = of(&facts);
    assert_eq!(due, 4 * 400);
    assert_eq!(split, SourceSplit::Nomination);
    // Each hour is split as it was nominated: a quarter is LNG, whatever the shares say.
    let taken = measured(&registry, 4);
    assert!((by_source["lng"] as f64 - 0.25 * taken as f64).abs() <= 1.0);
    assert_eq!(by_source.values().sum::<i64>(), taken);
    // A gate that lags by an hour takes that hour off both sides.
    facts.gates[0].quality[3] = crate::domain::finding::Quality::Missing;
    assert_eq!(of(&facts).0, 3 * 400);
    facts.nominated = None;
    let bought = Bought::new(&registry, &facts, None);
    assert_eq!(
        (bought.due_m3(None), bought.split),
        (None, SourceSplit::Shares)
    );
    let sum: i64 = bought.taken_by_source.values().sum();
    assert_eq!(Some(sum), bought.taken_m3);
    assert!(bought.taken_by_source["lng"] > 0);
}

#[test]
fn before_the_first_hour_nothing_is_taken_and_later_silent_gates_are_unknown() {
    let registry = fixture::registry();
    let mut facts = facts(&registry);
    facts.gates.clear();
    facts.now = fixture::at("2026-11-21T08:31:00+08:00");
    let bought = Bought::new(&registry, &facts, None);
    assert_eq!((bought.taken_m3, bought.taken_hours()), (Some(0), 0));
    assert_eq!(bought.due_m3(None), Some(0));
    assert_eq!(
        bought.taken_through_at(&registry),
        fixture::at("2026-11-21T08:00:00+08:00")
    );
    facts.now = fixture::at("2026-11-21T12:20:00+08:00");
    assert_eq!(Bought::new(&registry, &facts, None).taken_m3, None);
    let mut without = fixture::registry();
    without
        .meters
        .retain(|_, meter| meter.role != MeterRole::Gate);
    facts.now = fixture::at("2026-11-21T08:31:00+08:00");
    assert_eq!(Bought::new(&without, &facts, None).taken_m3, None);
}

#[test]
fn a_month_is_its_closed_days_and_what_must_be_bought_and_a_gap_makes_it_unknown() {
    let registry = fixture::registry();
    let (mut facts, run) = (facts(&registry), run(&registry));
    let month = today().month();
    let gates: i64 = fixture::gate_curves(&registry, today(), 24)
        .iter()
        .map(|c| c.volume().round_m3())
        .sum();
    {
        let bought = Bought::new(&registry, &facts, Some((&run, None)));
        assert_eq!(bought.delivered_in_m3(month, None), Some(20 * gates));
        assert_eq!(bought.delivered_in_m3(month.next(), None), Some(0));
        let ahead = bought.ahead_in(month, None).unwrap().p50_m3;
        let later = 9.0 * used_ahead(&run, 0) / (1.0 - RATIO);
        let of_today = bought.expected().unwrap().band.p50_m3;
        assert!((ahead as f64 - later - of_today as f64).abs() < 20.0);
        // By source it adds up.
        let of = |source: &str| bought.ahead_in(month, Some(&source.into())).unwrap().p50_m3;
        assert_eq!(of("pipe") + of("lng"), ahead);
        // The run ends with the year: it says nothing of the whole of January.
        assert!(bought.ahead_in(month.next(), None).is_some());
        assert_eq!(bought.ahead_in(month.next().next(), None), None);
    }
    facts.delivered.remove(&today().plus(-9));
    let bought = Bought::new(&registry, &facts, Some((&run, None)));
    assert_eq!(bought.delivered_in_m3(month, None), None);
}
