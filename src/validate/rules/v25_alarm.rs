//! V25: what the device itself calls an alarm.

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity};
use crate::domain::reading::{Alarm, Reading};

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&ALARMS];

static ALARMS: Sentence = Sentence {
    rule: RuleId::V25,
    key: "alarms",
    zh: "表具告警:{alarms}",
    en: "the device reports {alarms}",
};

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
    reading.alarms.iter().next()?;
    let severity = if reading.alarms.iter().any(touches_totals) {
        Severity::Suspect
    } else {
        Severity::Info
    };
    let args = [Arg::terms("alarms", reading.alarms.iter().map(Alarm::key))];
    let (meter, at) = (&reading.meter, reading.sampled_at);
    Some(Finding::new(&ALARMS, severity, meter, at, args))
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
        assert_eq!(finding.message_en(), "the device reports battery low");
        reading.alarms = reading.alarms.with(Alarm::Magnetic);
        let finding = check(&reading).unwrap();
        assert_eq!(finding.severity, Severity::Suspect);
        assert_eq!(
            finding.message_en(),
            "the device reports battery low, magnetic interference"
        );
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
