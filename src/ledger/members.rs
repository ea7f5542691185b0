//! Who is on the ledger (入台账), and on what basis.

use std::collections::BTreeMap;

use crate::domain::customer::Customer;
use crate::domain::id::CustomerId;
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;

/// When a customer belongs on the ledger. domain.md §1.1, S1-4.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EntryRule {
    /// Use of a year from which on a customer enters, this volume included.
    pub annual_min: StdVolume,
    /// Design flow above which a customer enters, m³/h; this flow itself does not.
    pub design_flow_min_m3h: f64,
    /// Part of the company's volume from which on a customer enters, this part included.
    pub share_min: f64,
}

impl Default for EntryRule {
    fn default() -> Self {
        Self {
            annual_min: StdVolume::from_m3(5_000_000),
            design_flow_min_m3h: 50.0,
            share_min: 0.005,
        }
    }
}

/// Customers that belong on the ledger by the rule or by hand, in order, each with its basis.
///
/// Protected classes (居民、采暖、公福居民价) never enter by rule, only by hand. Leaving is a
/// decision, never automatic: see [`members_kept`].
pub fn members(
    registry: &Registry,
    annual_use: &BTreeMap<CustomerId, StdVolume>,
    rule: EntryRule,
) -> Vec<(CustomerId, String)> {
    let company: StdVolume = annual_use.values().sum();
    registry
        .customers
        .values()
        .filter_map(|customer| {
            let annual = annual_use.get(&customer.id).copied();
            let basis = basis(customer, annual, company, rule);
            (!basis.is_empty()).then(|| (customer.id.clone(), basis))
        })
        .collect()
}

/// The members of now together with those of before that are no longer among them: these stay
/// until someone decides otherwise, and their basis says so. Only who has left the registry leaves.
pub fn members_kept(
    before: &[(CustomerId, String)],
    now: Vec<(CustomerId, String)>,
    registry: &Registry,
) -> Vec<(CustomerId, String)> {
    const KEPT: &str = "待定是否出台账，原依据: ";
    let mut all: BTreeMap<CustomerId, String> = before
        .iter()
        .filter(|(id, _)| registry.customers.contains_key(id))
        .map(|(id, basis)| {
            let basis = basis.strip_prefix(KEPT).unwrap_or(basis);
            (id.clone(), format!("{KEPT}{basis}"))
        })
        .collect();
    all.extend(now);
    all.into_iter().collect()
}

fn basis(
    customer: &Customer,
    annual: Option<StdVolume>,
    company: StdVolume,
    rule: EntryRule,
) -> String {
    let mut reasons = Vec::new();
    let by_rule = !customer.class.is_protected();
    if let Some(annual) = annual.filter(|_| by_rule) {
        if annual >= rule.annual_min {
            reasons.push(format!(
                "年用气 {}万m³ ≥ {}万m³",
                wan(annual),
                wan(rule.annual_min)
            ));
        }
        let share = if company > StdVolume::ZERO {
            annual.to_f64() / company.to_f64()
        } else {
            0.0
        };
        if share >= rule.share_min {
            reasons.push(format!(
                "占公司气量 {:.2}% ≥ {:.2}%",
                share * 100.0,
                rule.share_min * 100.0
            ));
        }
    }
    if by_rule && customer.design_flow_m3h > rule.design_flow_min_m3h {
        reasons.push(format!(
            "设计小时流量 {} m³/h > {} m³/h",
            customer.design_flow_m3h, rule.design_flow_min_m3h
        ));
    }
    if !customer.ledger_reason.is_empty() {
        reasons.push(format!("人工: {}", customer.ledger_reason));
    }
    reasons.join("；")
}

/// 万m³ with two decimals.
fn wan(volume: StdVolume) -> String {
    format!("{:.2}", volume.to_f64() / 10_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::customer::CustomerClass;
    use crate::ledger::entry::fixture::{customer, registry};

    fn uses(of: &[(&str, &str)]) -> BTreeMap<CustomerId, StdVolume> {
        of.iter()
            .map(|(id, m3)| (CustomerId::from(*id), m3.parse().unwrap()))
            .collect()
    }

    fn ids(members: &[(CustomerId, String)]) -> Vec<&str> {
        members.iter().map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn each_way_in_has_its_own_bound() {
        let of = |id: &str, flow: f64, reason: &str| {
            let mut customer = customer(id);
            customer.design_flow_m3h = flow;
            customer.ledger_reason = reason.into();
            customer
        };
        let city = registry(
            vec![
                of("annual", 50.0, ""),
                of("annual-short", 50.0, ""),
                of("flow", 50.01, ""),
                of("hand", 1.0, "重点项目"),
                of("none", 50.0, ""),
                of("share", 50.0, ""),
                of("share-short", 50.0, ""),
            ],
            vec![],
        );
        // Half a percent of a company of 840,000,000 is 4,200,000 m³.
        let annual = uses(&[
            ("annual", "5000000"),
            ("annual-short", "4199999.9999"),
            ("rest", "822800000.0002"),
            ("share", "4200000"),
            ("share-short", "3799999.9999"),
        ]);
        assert_eq!(
            annual.values().sum::<StdVolume>().to_string(),
            "840000000.0000"
        );
        let found = members(&city, &annual, EntryRule::default());
        assert_eq!(ids(&found), ["annual", "flow", "hand", "share"]);
        let basis: Vec<&str> = found.iter().map(|(_, b)| b.as_str()).collect();
        assert_eq!(
            basis[0],
            "年用气 500.00万m³ ≥ 500.00万m³；占公司气量 0.60% ≥ 0.50%"
        );
        assert_eq!(basis[1], "设计小时流量 50.01 m³/h > 50 m³/h");
        assert_eq!(basis[2], "人工: 重点项目");
        assert_eq!(basis[3], "占公司气量 0.50% ≥ 0.50%");
    }

    #[test]
    fn protected_classes_enter_by_hand_only() {
        let protected = CustomerClass::ALL.into_iter().filter(|c| c.is_protected());
        let customers = |reason: &str| -> Vec<Customer> {
            protected
                .clone()
                .map(|class| {
                    let mut one = customer(class.key());
                    one.class = class;
                    one.design_flow_m3h = 900.0;
                    one.ledger_reason = reason.into();
                    one
                })
                .collect()
        };
        let annual = uses(&[("residential_cooking", "90000000")]);
        let rule = EntryRule::default();
        let none = members(&registry(customers(""), vec![]), &annual, rule);
        assert_eq!(none, []);
        let by_hand = members(&registry(customers("供热站"), vec![]), &annual, rule);
        assert_eq!(by_hand.len(), protected.count());
        assert!(by_hand.iter().all(|(_, basis)| basis == "人工: 供热站"));
    }

    #[test]
    fn who_no_longer_meets_the_rule_stays_and_is_marked_once() {
        let mut small = customer("small");
        small.design_flow_m3h = 10.0;
        let mut large = customer("large");
        large.design_flow_m3h = 100.0;
        let city = registry(vec![small, large], vec![]);
        let before = vec![
            (CustomerId::from("gone"), "x".to_owned()),
            (CustomerId::from("small"), "年用气".to_owned()),
        ];
        let now = || members(&city, &BTreeMap::new(), EntryRule::default());
        let once = members_kept(&before, now(), &city);
        let twice = members_kept(&once, now(), &city);
        assert_eq!(once, twice);
        assert_eq!(ids(&once), ["large", "small"]);
        assert_eq!(once[1].1, "待定是否出台账，原依据: 年用气");
        assert!(once[0].1.starts_with("设计小时流量 100"));
    }
}
