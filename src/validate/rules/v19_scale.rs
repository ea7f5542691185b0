//! V19: the day is a power of ten away from the days before.
//!
//! The volume is held against the median of the complete days with use in the four weeks before, of
//! which there must be seven that agree within a fifth (MAD / median ≤ 0.2). Flagged when
//! |log10(day / median) − k| ≤ 0.08 for a whole k other than 0: 0.83 to 1.2 times 10^k.

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::validate::day::{DayFacts, median, volume_of};

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&POWER];

static POWER: Sentence = Sentence {
    rule: RuleId::V19,
    key: "power",
    zh: "当日 {day:1},约为通常 {usual:1} 的 10^{power:0} 倍;请检查配置中的单位与小数位",
    en: "{day:1} is about 10^{power:0} times the usual {usual:1}; check unit and decimal point of the profile",
};

const DAYS_MIN: usize = 7;
const STEADY_MAX: f64 = 0.2;
const LOG_TOLERANCE: f64 = 0.08;

/// Checks a complete day with use.
pub fn check(facts: &DayFacts<'_>) -> Option<Finding> {
    let day = volume_of(facts.curve).filter(|m3| *m3 > 0.0)?;
    let known: Vec<f64> = facts
        .history
        .iter()
        .filter_map(volume_of)
        .filter(|m3| *m3 > 0.0)
        .collect();
    if known.len() < DAYS_MIN {
        return None;
    }
    let middle = median(known.clone())?;
    let power = (day / middle).log10();
    let whole = power.round();
    // Asked first: it is seldom so.
    if whole.abs() < 0.5 || (power - whole).abs() > LOG_TOLERANCE {
        return None;
    }
    let mad = median(known.iter().map(|m3| (m3 - middle).abs()).collect())?;
    if mad > STEADY_MAX * middle || facts.is_announced(facts.curve) {
        return None;
    }
    let args = [
        Arg::number("day", day, Unit::M3),
        Arg::number("power", whole, Unit::One),
        Arg::number("usual", middle, Unit::M3),
    ];
    Some(facts.finding(&POWER, Severity::Suspect, args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::rules::testing::Case;

    #[test]
    fn ten_times_and_a_tenth_are_found() {
        let case = |hour_m3| Case::flat(hour_m3).after_flat(&[2.0; 8]);
        let found = check(&case(20.0).facts()).unwrap();
        assert!(
            found
                .message_en()
                .starts_with("480.0 m³ is about 10^1 times the usual 48.0 m³"),
            "{}",
            found.message_en()
        );
        assert!(
            check(&case(0.2).facts())
                .unwrap()
                .message_en()
                .contains("10^-1")
        );
        assert_eq!(check(&case(2.0).facts()), None);
        assert_eq!(check(&case(12.0).facts()), None, "six times is growth");
    }

    #[test]
    fn a_customer_without_habits_is_passed_over() {
        let unsteady = Case::flat(20.0).after_flat(&[0.5, 2.0, 4.0, 0.7, 2.0, 3.9, 8.0, 1.0]);
        assert_eq!(check(&unsteady.facts()), None);
        assert_eq!(check(&Case::flat(20.0).after_flat(&[2.0; 6]).facts()), None);
    }
}
