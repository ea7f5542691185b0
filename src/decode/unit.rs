//! Field names and units: a profile writes both, the program joins them, so that they cannot part.

use crate::domain::reading::Item;

/// One name a profile may use: `total_std` and `m3` make `total_std_m3`.
struct Known {
    item: Item,
    name: &'static str,
    /// None for items without a unit, whose key is the bare name.
    unit: Option<&'static str>,
}

const fn name(item: Item, name: &'static str, unit: Option<&'static str>) -> Known {
    Known { item, name, unit }
}

const NAMES: [Known; 23] = [
    name(Item::TotalStd, "total_std", Some("m3")),
    name(Item::TotalWork, "total_work", Some("m3")),
    name(Item::TotalDisturbed, "total_disturbed", Some("m3")),
    name(Item::TotalStdSecond, "total_std_second", Some("m3")),
    name(Item::TotalWorkSecond, "total_work_second", Some("m3")),
    name(Item::FlowStd, "flow_std", Some("m3h")),
    name(Item::FlowWork, "flow_work", Some("m3h")),
    name(Item::Temperature, "temperature", Some("c")),
    name(Item::PressureAbs, "pressure_abs", Some("kpa")),
    name(Item::PressureGauge, "pressure_gauge", Some("kpa")),
    name(Item::ZFactor, "z_factor", None),
    name(Item::ConversionFactor, "conversion_factor", None),
    name(Item::BatteryVoltage, "battery", Some("v")),
    name(Item::Rsrp, "rsrp", Some("dbm")),
    name(Item::ReportSeq, "report_seq", None),
    name(Item::Valve, "valve", None),
    name(Item::ZBase, "z_base", None),
    name(Item::CalorificValue, "calorific_value", Some("mj_per_m3")),
    name(Item::BasePressure, "base_pressure", Some("kpa")),
    name(Item::BaseTemperature, "base_temperature", Some("c")),
    name(Item::ConfigCrc, "config_crc", None),
    name(Item::Snr, "snr", Some("db")),
    name(Item::BatteryLevel, "battery_level", Some("percent")),
];

/// What to write where a device counts in another unit than the program.
fn conversion(unit: &str, wanted: &str) -> Option<&'static str> {
    Some(match (unit.to_ascii_lowercase().as_str(), wanted) {
        ("mpa", "kpa") => "scale = 1000",
        ("bar", "kpa") => "scale = 100",
        ("mbar" | "hpa", "kpa") => "scale = 0.1",
        ("pa", "kpa") | ("mv", "v") | ("l/h" | "lh", "m3h") => "scale = 0.001",
        ("k", "c") => "offset = -273.15",
        ("l" | "dm3", "m3") => "decimals = 3",
        _ => return None,
    })
}

/// What is wrong with a name or its unit, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NameFault {
    /// Message and remedy about the name.
    Name(String, String),
    /// Message and remedy about the unit.
    Unit(String, String),
}

/// The item of a name and a unit, or everything wrong with them.
pub(super) fn item_of(field: &str, unit: Option<&str>) -> Result<Item, Vec<NameFault>> {
    if let Some(known) = NAMES.iter().find(|n| n.name == field) {
        return match check_unit(field, unit, known.unit) {
            None => Ok(known.item),
            Some(fault) => Err(vec![fault]),
        };
    }
    let prefix = format!("{field}_");
    let near: Vec<&Known> = NAMES
        .iter()
        .filter(|n| n.name.starts_with(&prefix))
        .collect();
    let mut faults = Vec::new();
    if let Some(first) = near.first()
        && near.iter().all(|n| n.unit == first.unit)
    {
        faults.extend(check_unit(field, unit, first.unit));
    }
    let choices: Vec<&str> = if near.is_empty() {
        NAMES.iter().map(|n| n.name).collect()
    } else {
        near.iter().map(|n| n.name).collect()
    };
    let joined = NAMES
        .iter()
        .find(|n| n.item.key() == field)
        .map(|n| (n.name, n.unit.unwrap_or_default()));
    let remedy = match joined {
        Some((name, unit)) => format!("write name = \"{name}\" and unit = \"{unit}\""),
        None => format!("write {}", one_of(&choices)),
    };
    faults.push(NameFault::Name(
        format!("field `{field}` is no name of the program"),
        remedy,
    ));
    Err(faults)
}

fn check_unit(field: &str, unit: Option<&str>, wanted: Option<&str>) -> Option<NameFault> {
    match (unit, wanted) {
        (None, Some(wanted)) => Some(NameFault::Unit(
            format!("field `{field}` has no unit"),
            format!("add {wanted}"),
        )),
        (Some(unit), Some(wanted)) if unit != wanted => Some(NameFault::Unit(
            format!("field `{field}` has the unit `{unit}`"),
            match conversion(unit, wanted) {
                Some(how) => format!("write {wanted} and {how}"),
                None => format!("write {wanted}"),
            },
        )),
        (Some(unit), None) => Some(NameFault::Unit(
            format!("field `{field}` has the unit `{unit}` but is a bare number"),
            "remove the unit".to_owned(),
        )),
        _ => None,
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn one_of(choices: &[&str]) -> String {
    match choices {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_unit_make_the_key_of_every_item() {
        for item in Item::ALL {
            let name = NAMES.iter().find(|n| n.item == item).unwrap();
            let key = match name.unit {
                Some(unit) => format!("{}_{unit}", name.name),
                None => name.name.to_owned(),
            };
            assert_eq!(key, item.key());
            assert_eq!(item_of(name.name, name.unit), Ok(item));
        }
    }

    #[test]
    fn a_missing_unit_is_named_with_its_remedy() {
        assert_eq!(
            item_of("flow_std", None),
            Err(vec![NameFault::Unit(
                "field `flow_std` has no unit".into(),
                "add m3h".into()
            )])
        );
    }

    #[test]
    fn half_a_name_is_told_both_faults() {
        assert_eq!(
            item_of("flow", None),
            Err(vec![
                NameFault::Unit("field `flow` has no unit".into(), "add m3h".into()),
                NameFault::Name(
                    "field `flow` is no name of the program".into(),
                    "write flow_std or flow_work".into()
                ),
            ])
        );
    }

    #[test]
    fn another_unit_comes_with_its_conversion() {
        assert_eq!(
            item_of("pressure_abs", Some("MPa")),
            Err(vec![NameFault::Unit(
                "field `pressure_abs` has the unit `MPa`".into(),
                "write kpa and scale = 1000".into()
            )])
        );
        assert_eq!(
            item_of("valve", Some("m3")),
            Err(vec![NameFault::Unit(
                "field `valve` has the unit `m3` but is a bare number".into(),
                "remove the unit".into()
            )])
        );
    }

    #[test]
    fn a_name_that_already_holds_its_unit_is_split() {
        let faults = item_of("total_std_m3", Some("m3")).unwrap_err();
        assert_eq!(
            faults,
            vec![NameFault::Name(
                "field `total_std_m3` is no name of the program".into(),
                "write name = \"total_std\" and unit = \"m3\"".into()
            )]
        );
    }
}
