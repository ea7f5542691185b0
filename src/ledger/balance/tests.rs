use std::collections::BTreeMap;

use super::*;
use crate::domain::finding::Quality;
use crate::ledger::entry::fixture;

fn day(index: i64) -> GasDay {
    "2026-01-10".parse::<GasDay>().unwrap().plus(index)
}

fn curve(meter: &str, index: i64, units_an_hour: i64) -> LoadCurve {
    let mut curve = LoadCurve::missing(meter.into(), day(index));
    curve.hours = [StdVolume::from_units(units_an_hour); 24];
    curve.quality = [Quality::Measured; 24];
    curve
}

fn gate() -> Meter {
    Meter {
        customer: None,
        role: MeterRole::Gate,
        ..fixture::meter("gate", "none")
    }
}

/// A diaphragm meter whose fixed factor takes 20 °C for granted.
fn diaphragm() -> Meter {
    Meter {
        kind: MeterKind::Diaphragm,
        settlement: SettlementTotal::Work,
        fixed_factor: (101.325 + 2.5) / 101.325,
        ..fixture::meter("home", "E1")
    }
}

fn registry(more: Vec<Meter>) -> Registry {
    let mut meters = vec![gate(), fixture::meter("works", "E1"), diaphragm()];
    meters.extend(more);
    fixture::registry(vec![fixture::customer("E1")], meters)
}

fn temperatures(celsius: f64) -> BTreeMap<ZoneId, BTreeMap<GasDay, f64>> {
    let days = (0..10).map(|index| (day(index), celsius)).collect();
    BTreeMap::from([("north".into(), days)])
}

fn balance(
    registry: &Registry,
    curves: &[LoadCurve],
    temperatures: &BTreeMap<ZoneId, BTreeMap<GasDay, f64>>,
) -> Balance {
    let mut builder = BalanceBuilder::new(registry, curves, temperatures);
    for curve in curves {
        builder.add(curve);
    }
    builder.finish()
}

#[test]
fn the_difference_is_exact() {
    let registry = registry(vec![]);
    let curves: Vec<_> = (0..3)
        .flat_map(|i| {
            [
                curve("gate", i, 1_000_003),
                curve("works", i, 600_001),
                curve("home", i, 300_001),
            ]
        })
        .collect();
    let got = balance(&registry, &curves, &temperatures(5.0)).total;
    assert_eq!(got.days, 3);
    assert_eq!(got.gate, StdVolume::from_units(72 * 1_000_003));
    assert_eq!(got.unaccounted(), StdVolume::from_units(72 * 100_001));
    let ratio = got.unaccounted_ratio().unwrap();
    assert!((ratio - 0.100_001 / 1.000_003).abs() < 1e-6, "{ratio}");
    assert_eq!((got.filled_days, got.silent_meters), (0, 0));
}

#[test]
fn meters_sum_to_their_zone_and_line_pack_is_taken_off() {
    let registry = registry(vec![fixture::meter("mute", "E1")]);
    let mut curves = Vec::new();
    for index in 0..3 {
        curves.push(curve("gate", index, 1_000_003));
        curves.push(curve("works", index, 600_001));
        if index != 1 {
            curves.push(curve("home", index, 300_001));
        }
    }
    let got = balance(&registry, &curves, &temperatures(5.0));
    let of = |id: &str| got.meters.iter().find(|m| m.meter.as_str() == id).unwrap();
    assert!(of("gate").is_gate && !of("works").is_gate);
    assert_eq!(of("gate").measured, got.total.gate);
    let customers = || got.meters.iter().filter(|meter| !meter.is_gate);
    let measured: StdVolume = customers().map(|meter| meter.measured).sum();
    let filled: StdVolume = customers().map(|meter| meter.filled).sum();
    assert_eq!((measured, filled), (got.total.metered, got.total.filled));
    assert_eq!((of("home").days, of("home").filled_days), (2, 1));
    assert_eq!((of("mute").days, of("mute").filled_days), (0, 3));
    assert_eq!(of("mute").normalised, None);
    assert_eq!(got.total.unaccounted_less_pack(), None);

    let pack = (StdVolume::from_units(-24_000), 2);
    let plain = got.total;
    let got = got.with_line_pack(&BTreeMap::from([("north".into(), pack)]));
    assert_eq!(got.total.line_pack_days, 2);
    assert_eq!(
        got.total.unaccounted_less_pack(),
        Some(plain.unaccounted() + StdVolume::from_units(24_000))
    );
    assert_eq!(got.total.unaccounted(), plain.unaccounted());
}

#[test]
fn cold_gas_in_uncorrected_meters_is_told_from_a_loss() {
    let registry = registry(vec![]);
    // All gas goes through the diaphragm meter at 5 °C; nothing is lost.
    let true_factor = 103.825 / 101.325 * 293.15 / 278.15;
    let through_the_gate = 10_000_000.0 * true_factor / diaphragm().fixed_factor;
    #[expect(clippy::cast_possible_truncation, reason = "eight digits")]
    let curves = [
        curve("gate", 0, through_the_gate.round() as i64),
        curve("works", 0, 0),
        curve("home", 0, 10_000_000),
    ];
    let got = balance(&registry, &curves, &temperatures(5.0)).total;
    let plain = got.unaccounted_ratio().unwrap();
    let normalised = got.unaccounted_normalised_ratio().unwrap();
    assert!((plain - 0.0512).abs() < 1e-3, "{plain}");
    assert!(normalised.abs() < 1e-6, "{normalised}");
    // The worked example, against working volume.
    let factor = ambient_factor(ReferenceConditions::CHINA, 101.325, 5.0);
    assert!((factor - 1.0799).abs() < 1e-4, "{factor}");
}

#[test]
fn an_unknown_temperature_leaves_the_plain_difference_alone() {
    let registry = registry(vec![]);
    let curves = [
        curve("gate", 0, 100),
        curve("works", 0, 60),
        curve("home", 0, 30),
    ];
    let got = balance(&registry, &curves, &BTreeMap::new()).total;
    assert_eq!(got.unaccounted(), StdVolume::from_units(240));
    assert_eq!(got.unaccounted_normalised(), None);
}

#[test]
fn gaps_are_filled_in_sight_and_silence_is_counted() {
    let newcomer = Meter {
        installed_on: day(1).0,
        ..fixture::meter("new", "E1")
    };
    let registry = registry(vec![fixture::meter("mute", "E1"), newcomer]);
    let mut open = curve("home", 1, 30);
    open.quality[23] = Quality::Missing;
    let curves = [
        curve("gate", 0, 100),
        curve("works", 0, 60),
        curve("home", 0, 30),
        curve("gate", 1, 100),
        curve("works", 1, 60),
        open,
        curve("new", 1, 5),
        // A day without the gate counts for nothing.
        curve("works", 2, 60),
    ];
    let got = balance(&registry, &curves, &temperatures(20.0)).total;
    assert_eq!(got.days, 2);
    assert_eq!(got.metered, StdVolume::from_units(24 * 155));
    assert_eq!(got.filled, StdVolume::from_units(24 * 30));
    assert_eq!((got.filled_days, got.silent_meters), (1, 1));
    assert_eq!(got.unaccounted(), StdVolume::from_units(24 * 15));
}

#[test]
fn what_was_taken_away_is_not_filled_afterwards() {
    let closed = |last: i64| {
        let gone = Meter {
            removed_on: Some(day(last).0),
            ..fixture::meter("gone", "E1")
        };
        let curves: Vec<LoadCurve> = (0..4)
            .flat_map(|index| {
                let all = [("gate", 100), ("works", 60), ("home", 30)];
                all.map(|(meter, units)| curve(meter, index, units))
            })
            .chain([curve("gone", 0, 5)])
            .collect();
        let got = balance(&registry(vec![gone]), &curves, &temperatures(20.0)).total;
        assert_eq!(got.metered, StdVolume::from_units(24 * (4 * 90 + 5)));
        (got.filled_days, got.filled.units() / 24)
    };
    // Whole on its last day; silent on the last one, or on two before it.
    assert_eq!(closed(0), (0, 0));
    assert_eq!(closed(1), (0, 0));
    assert_eq!(closed(3), (2, 10));
}

#[test]
fn a_gate_is_waited_for_while_it_is_there() {
    let second = Meter {
        id: "second".into(),
        installed_on: day(1).0,
        removed_on: Some(day(2).0),
        ..gate()
    };
    let curves: Vec<LoadCurve> = (0..4)
        .flat_map(|index| [curve("gate", index, 100), curve("works", index, 60)])
        .chain([curve("second", 2, 7), curve("second", 3, 7)])
        .collect();
    let got = balance(&registry(vec![second]), &curves, &temperatures(20.0)).total;
    // Not known on its first day; after its last, what it says is nobody's.
    assert_eq!(got.days, 3);
    assert_eq!(got.gate, StdVolume::from_units(24 * 307));
}

#[test]
fn no_gate_no_balance() {
    let registry = registry(vec![]);
    let got = balance(&registry, &[curve("works", 0, 60)], &temperatures(5.0));
    assert!(got.zones.is_empty());
    assert_eq!(got.total.unaccounted_ratio(), None);
}
