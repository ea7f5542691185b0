//! How often each rule finds something, by customer class and zone.
//!
//! A share is the part of the meter days (gas days of a meter that have a curve) on which the rule
//! found something; a rule with a great share is a rule nobody reads. Findings of zones and customers
//! count beside the meters of their zone or class.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::domain::finding::{RuleId, Subject};
use crate::domain::id::{MeterId, ZoneId};
use crate::domain::registry::Registry;

/// Findings of a rule on a gas day of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayCount {
    /// Rule.
    pub rule: RuleId,
    /// Whose.
    pub subject: Subject,
    /// When.
    pub day: GasDay,
    /// How many.
    pub count: u64,
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// First gas day.
    pub from: GasDay,
    /// The one after the last.
    pub to: GasDay,
    /// Findings, each rule, subject and day once.
    pub findings: Vec<DayCount>,
    /// Gas days with a curve, by meter.
    pub meter_days: BTreeMap<MeterId, u64>,
}

/// What a row is of beside its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    /// Of one customer class.
    pub by_class: bool,
    /// Of one zone.
    pub by_zone: bool,
}

/// How often a rule found something.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleStat {
    /// Rule.
    pub rule: RuleId,
    /// Class, if rows are split by it; none also for gate meters.
    pub class: Option<CustomerClass>,
    /// Zone, if rows are split by it.
    pub zone: Option<ZoneId>,
    /// Findings.
    pub findings: u64,
    /// Meters, zones or customers that have one.
    pub subjects: usize,
    /// Subject days that have one.
    pub days_found: u64,
    /// Gas days of all meters of the class and zone that have a curve.
    pub meter_days: u64,
    /// Findings on each gas day of the range.
    pub by_day: Vec<u64>,
}

impl RuleStat {
    /// The part of the meter days that has a finding; none without any.
    pub fn share(&self) -> Option<f64> {
        (self.meter_days > 0).then(|| self.days_found as f64 / self.meter_days as f64)
    }

    /// Findings of the later half of the range over those of the earlier; none if the earlier had
    /// none. The middle day of an odd range belongs to neither.
    pub fn trend(&self) -> Option<f64> {
        let half = self.by_day.len() / 2;
        let sum = |days: Option<&[u64]>| days.unwrap_or_default().iter().sum::<u64>() as f64;
        let earlier = sum(self.by_day.get(..half));
        let later = sum(self.by_day.get(self.by_day.len() - half..));
        (earlier > 0.0).then(|| later / earlier)
    }
}

type Group = (Option<CustomerClass>, Option<ZoneId>);

/// The statistics of every rule that found something, in the order of the catalogue.
pub fn rule_stats(registry: &Registry, counts: &Counts, split: Split) -> Vec<RuleStat> {
    let group_of = |class: Option<CustomerClass>, zone: Option<&ZoneId>| -> Group {
        (
            class.filter(|_| split.by_class),
            zone.filter(|_| split.by_zone).cloned(),
        )
    };
    let of_meter = |id: &MeterId| {
        registry.meters.get(id).map_or((None, None), |meter| {
            let class = registry.customer_of(meter).map(|customer| customer.class);
            group_of(class, Some(&meter.zone))
        })
    };
    let of_subject = |subject: &Subject| match subject {
        Subject::Meter(id) => of_meter(id),
        Subject::Zone(id) => group_of(None, Some(id)),
        Subject::Customer(id) => registry.customers.get(id).map_or((None, None), |customer| {
            group_of(Some(customer.class), Some(&customer.zone))
        }),
    };
    let mut meter_days: BTreeMap<Group, u64> = BTreeMap::new();
    for (meter, days) in &counts.meter_days {
        *meter_days.entry(of_meter(meter)).or_default() += days;
    }
    let days = usize::try_from(counts.to.days_since(counts.from)).unwrap_or(0);
    let mut rows: BTreeMap<(RuleId, Group), (RuleStat, BTreeSet<&Subject>)> = BTreeMap::new();
    for found in &counts.findings {
        let group = of_subject(&found.subject);
        let (row, subjects) = rows.entry((found.rule, group.clone())).or_insert_with(|| {
            let row = RuleStat {
                rule: found.rule,
                class: group.0,
                zone: group.1.clone(),
                findings: 0,
                subjects: 0,
                days_found: 0,
                meter_days: meter_days.get(&group).copied().unwrap_or(0),
                by_day: vec![0; days],
            };
            (row, BTreeSet::new())
        });
        row.findings += found.count;
        row.days_found += 1;
        let index = usize::try_from(found.day.days_since(counts.from)).ok();
        if let Some(day) = index.and_then(|index| row.by_day.get_mut(index)) {
            *day += found.count;
        }
        subjects.insert(&found.subject);
    }
    rows.into_values()
        .map(|(row, subjects)| RuleStat {
            subjects: subjects.len(),
            ..row
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::registry::RegistryParts;
    use crate::validate::rules::testing::{Case, meter};

    fn registry() -> Registry {
        let customer = Case::flat(1.0).customer;
        let of = |id: &str, zone: &str, has_customer: bool| crate::domain::meter::Meter {
            id: id.into(),
            zone: zone.into(),
            customer: has_customer.then(|| customer.id.clone()),
            ..meter()
        };
        let meters = vec![of("a", "z", true), of("b", "z", true), of("g", "y", false)];
        Registry::new(RegistryParts {
            customers: vec![customer.clone()],
            meters,
            ..crate::validate::rules::testing::parts()
        })
    }

    fn count(rule: RuleId, subject: Subject, day: &str, count: u64) -> DayCount {
        DayCount {
            rule,
            subject,
            day: day.parse().unwrap(),
            count,
        }
    }

    fn counts() -> Counts {
        let (a, b, g) = (
            Subject::from(&MeterId::from("a")),
            Subject::from(&MeterId::from("b")),
            Subject::from(&MeterId::from("g")),
        );
        Counts {
            from: "2026-11-01".parse().unwrap(),
            to: "2026-11-05".parse().unwrap(),
            findings: vec![
                count(RuleId::V21, a.clone(), "2026-11-01", 2),
                count(RuleId::V21, a, "2026-11-03", 1),
                count(RuleId::V21, b, "2026-11-04", 3),
                count(RuleId::V21, g, "2026-11-04", 1),
                count(RuleId::V15, (&ZoneId::from("z")).into(), "2026-11-02", 1),
            ],
            meter_days: [("a".into(), 4), ("b".into(), 4), ("g".into(), 2)].into(),
        }
    }

    #[test]
    fn a_rule_is_counted_by_findings_meters_and_days() {
        let stats = rule_stats(&registry(), &counts(), Split::default());
        let rules: Vec<RuleId> = stats.iter().map(|row| row.rule).collect();
        assert_eq!(rules, [RuleId::V15, RuleId::V21]);
        let gaps = &stats[1];
        assert_eq!((gaps.findings, gaps.subjects, gaps.days_found), (7, 3, 4));
        assert_eq!(gaps.by_day, [2, 0, 1, 4]);
        assert!((gaps.share().unwrap() - 0.4).abs() < 1e-12, "4 of 10");
        assert!((gaps.trend().unwrap() - 2.5).abs() < 1e-12, "5 after 2");
    }

    #[test]
    fn classes_and_zones_have_their_own_meter_days() {
        let split = Split {
            by_class: true,
            by_zone: true,
        };
        let stats = rule_stats(&registry(), &counts(), split);
        let rows: Vec<_> = stats
            .iter()
            .map(|row| {
                let zone = row.zone.as_ref().unwrap().as_str();
                (row.rule, row.class, zone, row.findings, row.meter_days)
            })
            .collect();
        let industrial = Some(CustomerClass::Industrial);
        assert_eq!(
            rows,
            [
                (RuleId::V15, None, "z", 1, 0),
                (RuleId::V21, None, "y", 1, 2),
                (RuleId::V21, industrial, "z", 6, 8),
            ]
        );
        assert_eq!(stats[0].share(), None, "no meter is of a zone alone");
        assert_eq!(stats[1].trend(), None, "nothing before");
    }
}
