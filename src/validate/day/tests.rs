use proptest::prelude::*;

use super::*;
use crate::domain::finding::Quality;
use crate::domain::quantity::StdVolume;
use crate::domain::reading::{Item, ItemValue};
use crate::validate::rules::testing::{Case, total};

/// A day of hourly reports with everything a corrector says, all of it consistent.
fn steady_readings(hour_m3: i64, pressure: f64) -> Vec<Reading> {
    (0..24)
        .map(|hour| {
            let mut reading = total(hour, hour * hour_m3);
            let ripple = f64::from(u8::try_from(hour % 3).unwrap()) * 0.1;
            let pressure = pressure + ripple;
            let factor = pressure / 101.325 * 293.15 / 288.15;
            for (item, value) in [
                (Item::PressureAbs, pressure),
                (Item::Temperature, 15.0),
                (Item::ZFactor, 1.0),
                (Item::ZBase, 1.0),
                (Item::ConversionFactor, factor),
                (Item::Rsrp, -90.0),
                (Item::Valve, 0.0),
            ] {
                reading.values.push((item, ItemValue::Float(value)));
            }
            reading
        })
        .collect()
}

proptest! {
    #[test]
    fn clean_steady_days_are_never_flagged(
        hour_m3 in 5_i64..90,
        days in 0_usize..28,
        ahead in 0_i64..14,
        pressure in 102.0_f64..900.0,
    ) {
        let flow = hour_m3 as f64;
        let day = crate::validate::rules::testing::day().plus(ahead).to_string();
        let mut case = Case::flat(flow).after_flat(&vec![flow; days]).on(&day);
        case.readings = steady_readings(hour_m3, pressure);
        prop_assert_eq!(check_day(&case.facts()), vec![]);
    }

    #[test]
    fn no_day_makes_a_rule_panic_and_findings_are_in_order(
        hours in prop::collection::vec((any::<i32>(), 0_u8..9), 24 * 5),
        values in prop::collection::vec((1_u8..28, any::<f64>(), any::<i64>()), 0..80),
        flow_max in prop_oneof![Just(0.0), Just(f64::MAX), 0.0_f64..1e4],
    ) {
        let mut case = Case::flat(1.0).after_flat(&[1.0; 4]);
        let mut cells = hours.iter();
        for curve in case.history.iter_mut().chain([&mut case.curve]) {
            for (volume, quality) in curve.hours.iter_mut().zip(&mut curve.quality) {
                let (units, code) = cells.next().unwrap();
                *volume = StdVolume::from_units(i64::from(*units));
                *quality = Quality::from_code(*code);
            }
        }
        case.readings = (0..20).map(|hour| total(hour, hour)).collect();
        for (index, (code, float, exact)) in values.iter().enumerate() {
            let Some(item) = Item::from_code(*code) else { continue };
            let value = if item.is_exact() {
                ItemValue::Exact(*exact)
            } else {
                ItemValue::Float(if float.is_finite() { *float } else { 0.0 })
            };
            case.readings[index % 20].values.push((item, value));
        }
        let mut facts = case.facts();
        let meter = Meter { flow_max_m3h: flow_max, ..facts.meter.clone() };
        facts.meter = &meter;
        let found = check_day(&facts);
        prop_assert!(found.is_sorted_by_key(|finding| (finding.at, finding.rule)));
        let is_whole = found.iter().all(|finding| !finding.message_en().contains('{'));
        prop_assert!(is_whole);
    }
}
