//! V26: a customer used more or less than it declared.
//!
//! Flagged when |used − declared| > 5 % of the declared volume; 5 % itself passes. In whole units of
//! 1e-4 m³, so that the bound is exact. The ledger's alert of the same matter asks here.

use chrono::{DateTime, Utc};

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::id::CustomerId;
use crate::domain::quantity::StdVolume;

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&DEVIATION];

static DEVIATION: Sentence = Sentence {
    rule: RuleId::V26,
    key: "deviation",
    zh: "实际 {used},申报 {declared},偏差 {percent:1},超出 ±{allowed}",
    en: "{used} used, {declared} declared: {percent:1} off, beyond ±{allowed}",
};

/// Bound of the deviation, %.
const ALLOWED_PERCENT: i64 = 5;

/// How far a day's use is off its declared volume, %, if that is beyond the bound; none without a
/// plan to use gas.
pub fn deviation_percent(used: StdVolume, declared: StdVolume) -> Option<f64> {
    let (used, declared) = (i128::from(used.units()), i128::from(declared.units()));
    let is_off =
        declared > 0 && 100 * (used - declared).abs() > i128::from(ALLOWED_PERCENT) * declared;
    is_off.then(|| (used - declared) as f64 / declared as f64 * 100.0)
}

/// Checks a complete day of a customer; `at` is its start.
pub fn check(
    customer: &CustomerId,
    at: DateTime<Utc>,
    used: StdVolume,
    declared: StdVolume,
) -> Option<Finding> {
    let percent = deviation_percent(used, declared)?;
    let args = [
        Arg::volume("used", used.units()),
        Arg::volume("declared", declared.units()),
        Arg::number("percent", percent, Unit::Percent),
        Arg::number("allowed", ALLOWED_PERCENT as f64, Unit::Percent),
    ];
    Some(Finding::new(&DEVIATION, Severity::Info, customer, at, args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::rules::testing::at;

    fn v(m3: &str) -> StdVolume {
        m3.parse().unwrap()
    }

    #[test]
    fn five_percent_passes_and_the_smallest_amount_more_does_not() {
        assert_eq!(deviation_percent(v("105"), v("100")), None);
        assert_eq!(deviation_percent(v("95"), v("100")), None);
        assert!(deviation_percent(v("105.0001"), v("100")).is_some());
        assert!(deviation_percent(v("94.9999"), v("100")).is_some());
        assert_eq!(deviation_percent(v("5"), v("0")), None, "nothing declared");
    }

    #[test]
    fn the_finding_is_of_the_customer_and_has_both_volumes() {
        let finding = check(&"c".into(), at(0), v("88"), v("100")).unwrap();
        assert_eq!(
            finding.message_en(),
            "88.0000 m³ used, 100.0000 m³ declared: -12.0 % off, beyond ±5 %"
        );
        assert_eq!(finding.subject.as_str(), "c");
        assert_eq!(finding.subject.meter(), None);
    }
}
