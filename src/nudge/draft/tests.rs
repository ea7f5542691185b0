use proptest::prelude::*;

use super::*;
use crate::domain::customer::{Customer, CustomerClass};
use crate::domain::registry::Registry;
use crate::nudge::baseline::tests::flat;
use crate::nudge::peak::{self, PeakInput};
use crate::nudge::policy::tests::policy;
use crate::plan::fixture;

pub(crate) fn drafted(
    customers: Vec<Customer>,
    sent: &[SentRecord],
    opted_out: &BTreeSet<CustomerId>,
    known: &BTreeSet<String>,
    now: &str,
) -> Considered {
    let mut parts = fixture::parts();
    parts.customers = customers;
    let registry = Registry::new(parts);
    let forecast = fixture::forecast(10, 1.0);
    let now = fixture::at(now);
    let windows = peak::find(&PeakInput {
        forecast: &forecast,
        slots: &registry.company.slots,
        recent_peaks_m3h: &[28_000.0; 30],
        nominated_m3: &BTreeMap::new(),
        unaccounted_ratio: 0.0,
        registry: &registry,
        calendar: &fixture::calendar(),
        peak_ratio: 0.05,
        exceed_probability: 0.3,
        after: now,
    });
    assert!(!windows.is_empty());
    let history: BTreeMap<CustomerId, HourlyUse> = registry
        .customers
        .keys()
        .map(|id| (id.clone(), flat(960.0)))
        .collect();
    consider(&NudgeInput {
        registry: &registry,
        calendar: &fixture::calendar(),
        forecast: &forecast,
        windows: &windows,
        history: &history,
        excluded: &BTreeMap::new(),
        response_rates: &BTreeMap::from([("I2".into(), 0.9)]),
        temperatures: &BTreeMap::from([("2026-11-21".parse().unwrap(), -3.0)]),
        sent,
        opted_out,
        known,
        policy: &policy(),
        drafts_max: 10,
        now,
    })
}

fn none() -> (BTreeSet<CustomerId>, BTreeSet<String>) {
    (BTreeSet::new(), BTreeSet::new())
}

pub(crate) fn sample() -> Considered {
    let (out, known) = none();
    drafted(
        fixture::parts().customers,
        &[],
        &out,
        &known,
        "2026-11-20T15:00:00+08:00",
    )
}

#[test]
fn drafts_are_ranked_and_everyone_else_has_a_reason() {
    let considered = sample();
    let ids: Vec<&str> = considered
        .nudges
        .iter()
        .map(|n| n.customer.as_str())
        .collect();
    assert_eq!(ids, ["I2", "C1", "I1"]);
    assert_eq!(considered.passed_over.len(), 2);
    assert!(matches!(
        considered.passed_over[&CustomerId::from("R1")],
        PassedOver::Refused(Refusal::ProtectedClass { .. })
    ));
    let n = &considered.nudges[0];
    assert_eq!(n.state, NudgeState::Draft);
    assert_eq!(n.ask_m3h, 300);
    assert_eq!(n.avoided_m3, 1200);
    // 1200 m³ × 1.05 元/m³.
    assert_eq!(n.benefit.to_string(), "1260.00");
    assert_eq!(n.formula, "NB-1");
    assert!((n.baseline.mean_m3h() - 960.0).abs() < 1e-9);
    assert_eq!(n.baseline.inputs_sha256.len(), 64);
    assert!(n.expires_at <= n.window_from);
    let json = serde_json::to_string(n).unwrap();
    assert_eq!(&serde_json::from_str::<Nudge>(&json).unwrap(), n);
}

#[test]
fn the_same_draft_is_not_made_twice() {
    let first = sample();
    let known: BTreeSet<String> = first.nudges.iter().map(|n| n.id.clone()).collect();
    assert_eq!(known.len(), first.nudges.len());
    let again = drafted(
        fixture::parts().customers,
        &[],
        &BTreeSet::new(),
        &known,
        "2026-11-20T15:00:00+08:00",
    );
    assert!(again.nudges.iter().all(|n| !known.contains(&n.id)));
}

#[test]
fn a_draft_made_at_night_waits_for_the_morning() {
    let (out, known) = none();
    let c = drafted(
        fixture::parts().customers,
        &[],
        &out,
        &known,
        "2026-11-20T23:00:00+08:00",
    );
    assert!(!c.nudges.is_empty());
    for n in &c.nudges {
        assert_eq!(n.send_after, fixture::at("2026-11-21T07:30:00+08:00"));
        assert!(n.window_from >= n.send_after + NOTICE_MIN);
    }
}

#[test]
fn without_history_there_is_no_baseline_and_no_draft() {
    let mut customer = fixture::customer("NEW", CustomerClass::Industrial, 8);
    customer.flow_min_safe_m3h = 5_000.0;
    let (out, known) = none();
    let c = drafted(
        vec![customer],
        &[],
        &out,
        &known,
        "2026-11-20T15:00:00+08:00",
    );
    assert!(c.nudges.is_empty());
    assert!(matches!(
        c.passed_over[&CustomerId::from("NEW")],
        PassedOver::NothingToAsk {
            mean_m3h: 960,
            flow_min_safe_m3h: 5000
        }
    ));
}

prop_compose! {
    fn any_customer()(
        id in 0_usize..6,
        class in 0_usize..13,
        rank in 1_u8..=9,
        opted in any::<bool>(),
        shiftable in 0.0..4_000.0_f64,
        safe in 0.0..1_200.0_f64,
    ) -> Customer {
        let mut c = fixture::customer(&format!("K{id}"), CustomerClass::ALL[class], rank);
        c.is_nudge_opted_in = opted;
        c.shiftable_m3_per_day = shiftable;
        c.flow_min_safe_m3h = safe;
        c
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nobody_protected_held_or_opted_out_is_drafted(
        customers in prop::collection::vec(any_customer(), 1..8),
        out in prop::collection::btree_set(0_usize..6, 0..3),
        told in prop::collection::btree_set(0_usize..6, 0..3),
    ) {
        let opted_out: BTreeSet<CustomerId> =
            out.iter().map(|i| CustomerId::new(format!("K{i}"))).collect();
        let sent: Vec<SentRecord> = told.iter().map(|i| SentRecord {
            customer: CustomerId::new(format!("K{i}")),
            sent_at: fixture::at("2026-11-20T09:00:00+08:00"),
        }).collect();
        let by_id: BTreeMap<CustomerId, Customer> =
            customers.iter().map(|c| (c.id.clone(), c.clone())).collect();
        let c = drafted(customers, &sent, &opted_out, &BTreeSet::new(), "2026-11-20T15:00:00+08:00");
        let mut seen = BTreeSet::new();
        for n in &c.nudges {
            let customer = &by_id[&n.customer];
            prop_assert!(!customer.class.is_protected() && customer.protection_rank > 5);
            prop_assert!(customer.is_nudge_opted_in);
            prop_assert!(!opted_out.contains(&n.customer));
            prop_assert!(sent.iter().all(|s| s.customer != n.customer));
            prop_assert!(seen.insert(n.customer.clone()), "asked twice");
            let lowest = n.baseline.hours_m3h.iter().copied().fold(f64::INFINITY, f64::min);
            prop_assert!(lowest - n.ask_m3h as f64 >= customer.flow_min_safe_m3h - 1e-6);
            prop_assert!(n.avoided_m3 as f64 <= customer.shiftable_m3_per_day + 1e-6);
        }
    }
}
