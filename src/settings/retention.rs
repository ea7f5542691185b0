//! `[retention]`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::customer::CustomerClass;

/// The month under way, the one that is being settled, and one to dispute it, days.
const READINGS_DAYS_MIN: u32 = 92;
/// The same month of last year, with the four weeks before it that rules compare with, days.
const CURVES_DAYS_MIN: u32 = 430;
/// Days that curves stay after their readings: the history that rules compare the oldest computable
/// curve with.
const CURVES_AFTER_READINGS_DAYS: u32 = 31;

/// `[retention]`: for how many gas days readings, curves and findings stay; 0 for ever. Rejected frames
/// have `[rejects]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSettings {
    /// Readings, with the values that contradicted them.
    pub readings_days: u32,
    /// Load curves.
    pub curves_days: u32,
    /// Findings of the rules.
    pub findings_days: u32,
    /// Other lengths for the meters of customers of a class.
    #[serde(default)]
    pub class: BTreeMap<CustomerClass, ClassRetention>,
}

/// `[retention.class.<class>]`; what is left out is as for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassRetention {
    /// Readings.
    #[serde(default)]
    pub readings_days: Option<u32>,
    /// Load curves.
    #[serde(default)]
    pub curves_days: Option<u32>,
    /// Findings of the rules.
    #[serde(default)]
    pub findings_days: Option<u32>,
}

/// For how many gas days something stays; none: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptDays {
    /// Readings.
    pub readings: Option<u32>,
    /// Load curves.
    pub curves: Option<u32>,
    /// Findings.
    pub findings: Option<u32>,
}

impl RetentionSettings {
    /// What holds for meters of a class, or of no customer (gate stations, zones).
    pub fn of(&self, class: Option<CustomerClass>) -> KeptDays {
        let own = class.and_then(|class| self.class.get(&class));
        let days = |own: Option<u32>, all: u32| Some(own.unwrap_or(all)).filter(|days| *days > 0);
        KeptDays {
            readings: days(own.and_then(|own| own.readings_days), self.readings_days),
            curves: days(own.and_then(|own| own.curves_days), self.curves_days),
            findings: days(own.and_then(|own| own.findings_days), self.findings_days),
        }
    }

    /// What is wrong: key, message, remedy.
    pub(super) fn problems(&self) -> Vec<(String, String, &'static str)> {
        let mut out = problems_of("", self.of(None));
        for class in self.class.keys() {
            let prefix = format!("class.{}.", class.key());
            let of_class = problems_of(&prefix, self.of(Some(*class)));
            out.extend(of_class);
        }
        out
    }
}

fn problems_of(prefix: &str, kept: KeptDays) -> Vec<(String, String, &'static str)> {
    let mut out = Vec::new();
    let mut add = |key: &str, message: String, remedy| {
        let path = format!("{prefix}{key}");
        out.push((
            path.clone(),
            format!("`retention.{path}` {message}"),
            remedy,
        ));
    };
    if let Some(days) = kept.readings.filter(|days| *days < READINGS_DAYS_MIN) {
        add(
            "readings_days",
            format!("is {days}, less than {READINGS_DAYS_MIN}"),
            "write 0 (for ever) or at least 92: a month that is not settled yet is computed from them",
        );
    }
    if let Some(days) = kept.curves.filter(|days| *days < CURVES_DAYS_MIN) {
        add(
            "curves_days",
            format!("is {days}, less than {CURVES_DAYS_MIN}"),
            "write 0 (for ever) or at least 430: they are compared with the same month of last year",
        );
    }
    // What is computed from readings would come again as long as these are there.
    let outlives = |kept_days: Option<u32>, more: u32| match (kept_days, kept.readings) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(days), Some(readings)) => days >= readings + more,
    };
    if !outlives(kept.curves, CURVES_AFTER_READINGS_DAYS) {
        add(
            "curves_days",
            "is less than 31 days more than `readings_days`".into(),
            "write 0 (for ever), or at least 31 more than readings_days: curves are computed from readings and judged by the four weeks before",
        );
    }
    if !outlives(kept.findings, 0) {
        add(
            "findings_days",
            "is less than `readings_days`".into(),
            "write 0 (for ever), or at least readings_days: findings come again as long as there are readings",
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> RetentionSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_class_has_its_own_lengths_and_those_of_all_for_the_rest() {
        let settings = parse(
            "readings_days = 1100\ncurves_days = 0\nfindings_days = 1100\n\
             [class.residential_cooking]\nreadings_days = 400\n[class.power]\nreadings_days = 0\nfindings_days = 0\n",
        );
        assert_eq!(settings.problems(), []);
        let home = settings.of(Some(CustomerClass::ResidentialCooking));
        assert_eq!(
            (home.readings, home.curves, home.findings),
            (Some(400), None, Some(1_100))
        );
        let power = settings.of(Some(CustomerClass::Power));
        assert_eq!((power.readings, power.findings), (None, None));
        assert_eq!(settings.of(None).readings, Some(1_100));
    }

    #[test]
    fn what_a_settlement_or_a_computation_needs_is_not_dropped() {
        let paths = |text: &str| -> Vec<String> {
            parse(text).problems().into_iter().map(|p| p.0).collect()
        };
        assert_eq!(
            paths("readings_days = 91\ncurves_days = 0\nfindings_days = 0\n"),
            ["readings_days"]
        );
        assert_eq!(
            paths("readings_days = 420\ncurves_days = 429\nfindings_days = 419\n"),
            ["curves_days", "curves_days", "findings_days"]
        );
        // Readings that stay for ever give back what is dropped of curves.
        assert_eq!(
            paths("readings_days = 0\ncurves_days = 800\nfindings_days = 0\n"),
            ["curves_days"]
        );
        assert_eq!(
            paths(
                "readings_days = 400\ncurves_days = 0\nfindings_days = 500\n[class.power]\nreadings_days = 600\n"
            ),
            ["class.power.findings_days"]
        );
    }
}
