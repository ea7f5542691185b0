//! Days that are not known, and changes that are over: neither counts as nothing.

use super::tests::{Case, codes, near, on, v};
use super::*;
use crate::domain::filing::ChangeKind;
use crate::ledger::entry::fixture::at;

/// Told on 1 November.
fn change(kind: ChangeKind, from: &str, to: &str) -> ProductionChange {
    ProductionChange {
        customer: "c1".into(),
        kind,
        from_on: on(from).0,
        to_on: on(to).0,
        delta_m3_per_day: -1_000.0,
        confidence: 1.0,
        source: "电话".into(),
        available_at: at("2026-11-01T00:00:00+08:00"),
    }
}

/// Metered since October with 1,000 m³ a day.
fn since_october(contract: &str) -> Case {
    let mut case = Case::new();
    case.days("2026-10-01"..="2026-11-19", "1000");
    case.customer().contract_annual = v(contract);
    case
}

#[test]
fn a_year_metered_since_october_is_no_year_of_fifty_days() {
    let row = since_october("365000").row();
    assert_eq!(row.year_to_date_m3, v("50000"));
    assert_eq!(row.year_days_unknown, 273);
    assert_eq!(
        (row.price_tier, row.discount_floor_yuan_per_m3),
        (None, None)
    );
    assert_eq!((row.to_next_tier_m3, row.next_tier_on), (None, None));
    // What is known does not say that it takes too little.
    assert_eq!(codes(&row), []);
    // And what is known says that it takes too much, at the least.
    let row = since_october("60000").row();
    assert_eq!(codes(&row), [("A201", Level::Orange)]);
    let message = &row.findings[0].message_zh;
    assert!(message.contains("超提至少 32000 m³"), "{message}");
    assert!(message.contains("当年 273 天用量未知"), "{message}");
    assert!(
        row.findings[0]
            .message_en
            .contains("at least 32000 m³ over")
    );
    // Connected in October, it has used nothing before.
    let mut new = since_october("365000");
    new.customer().connected_on = "2026-10-01".parse().unwrap();
    let row = new.row();
    assert_eq!(
        (row.year_days_unknown, row.price_tier),
        (0, Some(PriceTier::Tier0))
    );
    assert_eq!(row.to_next_tier_m3, Some(v("4950000")));
    assert_eq!(codes(&row), [("A207", Level::Yellow)]);
}

#[test]
fn a_dropped_day_leaves_the_tier_open_only_where_it_can_decide() {
    let mut case = Case::new().quiet_year();
    case.days("2026-02-01"..="2026-02-01", "9990050");
    let drop = |case: &mut Case, day: &str| {
        let days = case.daily.get_mut(&CustomerId::from("c1")).unwrap();
        assert!(days.remove(&on(day)).is_some());
    };
    // The meter passes 28,800 m³ a day at most: 10 million may have been reached.
    drop(&mut case, "2026-03-05");
    let row = case.row();
    assert_eq!((row.price_tier, row.year_days_unknown), (None, 1));
    assert_eq!(row.discount_floor_yuan_per_m3, None);
    // What is certain is told: at least 0.05.
    case.customer().agreed_discount = YuanPerM3("0.0400".parse().unwrap());
    assert!(codes(&case.row()).contains(&("A208", Level::Yellow)));
    // In the middle of a tier one day decides nothing.
    case.days("2026-02-01"..="2026-02-01", "7000000");
    let row = case.row();
    assert_eq!(
        (row.price_tier, row.year_days_unknown),
        (Some(PriceTier::Tier1), 1)
    );
    assert_eq!(row.to_next_tier_m3, None, "by how much is not known");
}

#[test]
fn a_day_of_the_month_that_is_not_known_is_expected_as_any_other() {
    let mut case = Case::new().quiet_year();
    case.days("2026-10-21"..="2026-11-19", "1000");
    case.customer().contract_annual = v("360000");
    let days = case.daily.get_mut(&CustomerId::from("c1")).unwrap();
    days.remove(&on("2026-11-03"));
    let row = case.row();
    assert_eq!(
        (row.month_to_date_m3, row.month_days_unknown),
        (v("18000"), 1)
    );
    assert_eq!(row.month_plan_ratio, None);
    // 30 days of 1,000 m³ are a twelfth of the contract.
    assert!(near(row.month_expected_deviation_m3, 0.0), "{row:?}");
}

#[test]
fn a_stop_that_ended_with_the_day_explains_it() {
    let base = |m3: &str| {
        let mut case = Case::new();
        case.days("2026-10-21"..="2026-11-18", "1000");
        case.days("2026-11-19"..="2026-11-19", m3);
        case
    };
    let of = |m3: &str, changes: Vec<ProductionChange>| {
        let mut case = base(m3);
        case.registry.production_changes = changes;
        codes(&case.row())
    };
    let (on_19, on_18) = ("2026-11-19", "2026-11-18");
    assert_eq!(of("0", vec![]), [("A101", Level::Yellow)]);
    for kind in [
        ChangeKind::Shutdown,
        ChangeKind::Holiday,
        ChangeKind::Fuel,
        ChangeKind::Reduce,
    ] {
        let found = of("0", vec![change(kind, on_19, on_19)]);
        assert_eq!(found, [("A101", Level::Blue)], "{kind:?}");
    }
    // What begins today says nothing of yesterday, and hides nothing that did.
    let today = || change(ChangeKind::Expand, "2026-11-20", "2026-11-30");
    assert_eq!(of("0", vec![today()]), [("A101", Level::Yellow)]);
    let both = vec![change(ChangeKind::Shutdown, on_19, on_19), today()];
    assert_eq!(of("0", both), [("A101", Level::Blue)]);
    // A stop explains less, not more; that it is over explains more.
    let stop = change(ChangeKind::Shutdown, on_19, on_19);
    assert_eq!(of("1600", vec![stop]), [("A101", Level::Yellow)]);
    let over = change(ChangeKind::Shutdown, on_18, on_18);
    assert_eq!(of("1600", vec![over]), [("A101", Level::Blue)]);
    let resume = change(ChangeKind::Resume, on_19, on_19);
    assert_eq!(of("1600", vec![resume]), [("A101", Level::Blue)]);
}

#[test]
fn days_without_gas_in_a_stop_that_ended_with_them_are_no_silence() {
    for (kind, is_told) in [(ChangeKind::Fuel, false), (ChangeKind::Reduce, true)] {
        let mut case = Case::new();
        case.days("2026-11-17"..="2026-11-19", "0");
        case.plan("2026-11-19", "900", "2026-11-10T09:00:00+08:00");
        let stop = change(kind, "2026-11-17", "2026-11-19");
        case.registry.production_changes.push(stop);
        let told = codes(&case.row()).iter().any(|(code, _)| *code == "A102");
        assert_eq!(told, is_told, "{kind:?}");
    }
}
