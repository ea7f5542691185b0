//! V25: what the device itself calls an alarm.

use crate::domain::finding::{Finding, RuleId, Severity};
use crate::domain::reading::{Alarm, Reading};

/// Alarms under which the totals themselves are in doubt.
const fn touches_totals(alarm: Alarm) -> bool {
    matches!(
        alarm,
        Alarm::Magnetic
            | Alarm::Removed
            | Alarm::ReverseFlow
            | Alarm::MeteringFault
            | Alarm::TemperatureSensor
            | Alarm::PressureSensor
            | Alarm::ValveLeak
    )
}

/// Checks one reading.
pub fn check(reading: &Reading) -> Option<Finding> {
    let names: Vec<String> = reading.alarms.iter().map(key).collect();
    if names.is_empty() {
        return None;
    }
    let severity = if reading.alarms.iter().any(touches_totals) {
        Severity::Suspect
    } else {
        Severity::Info
    };
    Some(Finding {
        rule: RuleId::V25,
        severity,
        meter: reading.meter.clone(),
        at: reading.sampled_at,
        message: format!("the device reports {}", names.join(", ")),
    })
}

/// The alarm's word in JSON and locale files.
fn key(alarm: Alarm) -> String {
    serde_json::to_value(alarm)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_else(|| format!("{alarm:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::AlarmSet;
    use crate::validate::rules::testing::total;

    #[test]
    fn a_low_battery_is_worth_knowing_and_a_magnet_makes_suspect() {
        let mut reading = total(1, 5);
        reading.alarms = AlarmSet::default().with(Alarm::BatteryLow);
        let finding = check(&reading).unwrap();
        assert_eq!(finding.severity, Severity::Info);
        assert_eq!(finding.message, "the device reports battery_low");
        reading.alarms = reading.alarms.with(Alarm::Magnetic);
        let finding = check(&reading).unwrap();
        assert_eq!(finding.severity, Severity::Suspect);
        assert_eq!(finding.message, "the device reports battery_low, magnetic");
    }

    #[test]
    fn no_alarm_no_finding() {
        assert_eq!(check(&total(1, 5)), None);
    }

    #[test]
    fn bits_that_mean_nothing_here_are_a_gap_not_an_alarm() {
        let mut reading = total(1, 5);
        reading.alarms = AlarmSet(1 << 20);
        assert_eq!(check(&reading), None);
    }
}
