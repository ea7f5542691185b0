//! The rule catalogue (domain.md §4.3): one rule, one file. Rules return findings; nothing is
//! dropped.
//!
//! Entry rules (V02, V03, V18, V25) look at one reading. Sequence rules (V01 between rows, V04,
//! V05, V06, V11, V21) look at neighbours. Day rules (V07 to V10, V12 to V14, V16, V17, V19, V20, V22
//! to V24) look at a gas day and those before it. V01 within one row is found by the journal, which
//! alone sees both values. V15 looks at a zone and V26 at a customer; whoever computes the balance or
//! keeps the ledger feeds them.
//!
//! What a rule says stands beside its formula, as sentences with places for numbers.

pub mod v01_duplicate;
pub mod v02_time;
pub mod v03_range;
pub mod v04_decreasing_total;
pub mod v05_rollover;
pub mod v06_over_capacity;
pub mod v07_spike;
pub mod v08_day_ratio;
pub mod v09_high_low;
pub mod v10_zero_use;
pub mod v11_stuck;
pub mod v12_continuous_flow;
pub mod v13_valve_closed;
pub mod v14_sum;
pub mod v15_mass_balance;
pub mod v16_sibling;
pub mod v17_factor;
pub mod v18_dual_representation;
pub mod v19_scale;
pub mod v20_gauge_abs;
pub mod v21_gap;
pub mod v22_estimation;
pub mod v23_turndown;
pub mod v24_communication;
pub mod v25_alarm;
pub mod v26_plan_deviation;

use crate::domain::finding::{RuleId, Sentence};

/// What a rule can say.
pub const fn sentences(rule: RuleId) -> &'static [&'static Sentence] {
    match rule {
        RuleId::V01 => v01_duplicate::SENTENCES,
        RuleId::V02 => v02_time::SENTENCES,
        RuleId::V03 => v03_range::SENTENCES,
        RuleId::V04 => v04_decreasing_total::SENTENCES,
        RuleId::V05 => v05_rollover::SENTENCES,
        RuleId::V06 => v06_over_capacity::SENTENCES,
        RuleId::V07 => v07_spike::SENTENCES,
        RuleId::V08 => v08_day_ratio::SENTENCES,
        RuleId::V09 => v09_high_low::SENTENCES,
        RuleId::V10 => v10_zero_use::SENTENCES,
        RuleId::V11 => v11_stuck::SENTENCES,
        RuleId::V12 => v12_continuous_flow::SENTENCES,
        RuleId::V13 => v13_valve_closed::SENTENCES,
        RuleId::V14 => v14_sum::SENTENCES,
        RuleId::V15 => v15_mass_balance::SENTENCES,
        RuleId::V16 => v16_sibling::SENTENCES,
        RuleId::V17 => v17_factor::SENTENCES,
        RuleId::V18 => v18_dual_representation::SENTENCES,
        RuleId::V19 => v19_scale::SENTENCES,
        RuleId::V20 => v20_gauge_abs::SENTENCES,
        RuleId::V21 => v21_gap::SENTENCES,
        RuleId::V22 => v22_estimation::SENTENCES,
        RuleId::V23 => v23_turndown::SENTENCES,
        RuleId::V24 => v24_communication::SENTENCES,
        RuleId::V25 => v25_alarm::SENTENCES,
        RuleId::V26 => v26_plan_deviation::SENTENCES,
    }
}

/// A sentence of a rule by its key.
pub fn sentence(rule: RuleId, key: &str) -> Option<&'static Sentence> {
    sentences(rule)
        .iter()
        .copied()
        .find(|sentence| sentence.key == key)
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_speaks_both_languages_with_the_same_numbers() {
        for rule in RuleId::ALL {
            assert!(!sentences(rule).is_empty(), "{}", rule.key());
            for said in sentences(rule) {
                let name = format!("{}.{}", rule.key(), said.key);
                assert_eq!(said.rule, rule, "{name}");
                let [zh, en] = said.places();
                assert_eq!(zh, en, "{name}");
                assert!(!zh.is_empty(), "{name} has numbers");
                let is_chinese = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
                assert!(said.zh.chars().any(is_chinese), "{name}");
                assert!(!said.en.chars().any(is_chinese), "{name}");
                assert_eq!(sentence(rule, said.key), Some(*said), "keys are unique");
            }
        }
    }
}
