use std::collections::BTreeMap;

use super::*;
use crate::domain::contract::ContractComponentKind as Kind;
use crate::plan::fixture;

pub(crate) fn made(
    registry: &Registry,
    forecast: &DemandForecast,
) -> Result<Declaration, PlanError> {
    let calendar = fixture::calendar();
    let history = fixture::history();
    let breakdown = fixture::breakdown(forecast);
    let temperatures = BTreeMap::from([("2026-12-01".parse().unwrap(), -2.5)]);
    declare(DeclareInput {
        registry,
        calendar: &calendar,
        month: "2026-12".parse().unwrap(),
        forecast,
        history: &history,
        temperatures: &temperatures,
        large_consumers: vec![fixture::large_consumer()],
        breakdown: Some(&breakdown),
        factors: &[fixture::factor()],
        background: Some(fixture::background_known()),
        unaccounted_ratio: 0.025,
        sequence: 1,
        version: 1,
        submission_no: 1,
        change_reason: None,
        made_at: fixture::at("2026-11-20T09:00:00+08:00"),
        prepared_by: "计划员".into(),
    })
}

fn sample() -> Declaration {
    made(&fixture::registry(), &fixture::forecast(62, 1.0)).unwrap()
}

fn has_one_total(d: &Declaration) {
    let p50 = d.total.forecast.p50_m3;
    let declared = d.total.declared_m3;
    assert!(p50 > 10_000_000, "{p50}");
    let components = || d.contracts.iter().flat_map(|c| &c.components);
    assert_eq!(components().map(|c| c.forecast.p50_m3).sum::<i64>(), p50);
    assert_eq!(components().map(|c| c.declared_m3).sum::<i64>(), declared);
    assert_eq!(d.days.iter().map(|x| x.forecast.p50_m3).sum::<i64>(), p50);
    assert_eq!(
        d.days.iter().flat_map(|x| &x.declared_m3).sum::<i64>(),
        declared
    );
    assert_eq!(
        d.structure.iter().map(|x| x.forecast.p50_m3).sum::<i64>(),
        p50
    );
    assert_eq!(
        d.structure.iter().map(|x| x.declared_m3).sum::<i64>(),
        declared
    );
    assert_eq!(
        d.slots.slots.iter().flat_map(|x| x.p50_m3).sum::<i64>(),
        p50
    );
    assert_eq!(
        d.slots.slots.iter().map(|x| x.declared_m3).sum::<i64>(),
        declared
    );
    assert_eq!(
        d.slots.hours.iter().flat_map(|x| x.p50_m3).sum::<i64>(),
        p50
    );
    let tables = d.parts.as_ref().unwrap();
    assert_eq!(tables.sold().total_m3() + tables.loss_m3, p50);
    for (line, of_class) in tables.classes.iter().zip(&d.structure) {
        assert_eq!(line.parts.total_m3(), of_class.forecast.p50_m3);
    }
    let plans: i64 = tables.plans.iter().map(|line| line.m3).sum();
    assert_eq!(plans, tables.sold().planned_m3);
    let projects: i64 = tables.projects.iter().map(|line| line.m3).sum();
    assert_eq!(projects + tables.unlisted_m3, tables.sold().new_m3);
}

#[test]
fn all_tables_have_the_same_total() {
    let d = sample();
    has_one_total(&d);
    let p50 = d.total.forecast.p50_m3;
    // The loss line is 2.5 % of what is bought.
    let loss = d.structure.last().unwrap();
    assert_eq!(loss.class, CustomerClass::Unaccounted);
    let ratio = loss.forecast.p50_m3 as f64 / p50 as f64;
    assert!((ratio - 0.025).abs() < 1e-5, "{ratio}");
}

#[test]
fn gas_of_others_is_not_bought_but_shown() {
    let before = sample();
    for mode in [SaleMode::Wheeling, SaleMode::Agency] {
        let mut parts = fixture::parts();
        let works = parts.customers.iter_mut().find(|c| c.id == "I1".into());
        works.unwrap().sale_mode = mode;
        let d = made(&Registry::new(parts), &fixture::forecast(62, 1.0)).unwrap();
        has_one_total(&d);
        // I1 has a plan of 15 000 m³ for each of the 31 days; its loss on the way stays ours.
        let plan = 31 * 15_000;
        assert_eq!(
            before.total.forecast.p50_m3 - d.total.forecast.p50_m3,
            plan,
            "{mode:?}"
        );
        let loss = |d: &Declaration| d.structure.last().unwrap().forecast.p50_m3;
        assert_eq!(loss(&d), loss(&before));
        assert!(d.total.declared_m3 < before.total.declared_m3);
        // Its band goes with it.
        let wide = |q: Quantiles| q.p90_m3 - q.p10_m3;
        assert!(wide(d.total.forecast) < wide(before.total.forecast));
        let [line] = d.carried.as_slice() else {
            panic!("{:?}", d.carried)
        };
        assert_eq!(
            (line.class, line.customers, line.p50_m3, line.day_max_m3),
            (CustomerClass::Industrial, 1, plan, 15_000)
        );
        assert!((625..=640).contains(&line.hour_max_m3h), "{line:?}");
        assert!(d.parts.unwrap().plans.is_empty());
    }
    assert!(before.carried.is_empty());
    assert!(!serde_json::to_string(&before).unwrap().contains("carried"));
}

#[test]
fn the_wheeling_class_is_not_bought() {
    let mut forecast = fixture::forecast(62, 1.0);
    let p50 = |d: &Declaration, class| {
        let line = d.structure.iter().find(|line| line.class == class);
        line.unwrap().forecast.p50_m3
    };
    let before = sample();
    for node in &mut forecast.nodes {
        if node.node.class == CustomerClass::Commercial {
            node.node.class = CustomerClass::Wheeling;
        }
    }
    forecast.cube = crate::domain::demand::DemandCube::publish(&forecast.nodes, &forecast.shares);
    let d = made(&fixture::registry(), &forecast).unwrap();
    has_one_total(&d);
    assert_eq!(p50(&d, CustomerClass::Wheeling), 0);
    let moved = p50(&before, CustomerClass::Commercial);
    let less = before.total.forecast.p50_m3 - d.total.forecast.p50_m3;
    assert!((less - moved).abs() <= 31, "{less} {moved}");
    assert!((d.carried[0].p50_m3 - moved).abs() <= 31);
}

#[test]
fn a_year_that_is_not_known_is_said_to_be() {
    let d = sample();
    let o = &d.optimum;
    assert!(
        o.reason_zh
            .contains("合同HT-LNG自2026-04-01起的合同年内有4天交割量缺失")
    );
    assert!(
        o.reason_en
            .contains("the delivery of 4 days of its contract year since 2026-04-01 is unknown")
    );
    assert!(!o.reason_zh.contains("合同HT-2026-01自"));
    assert!(d.contracts[1].remark.contains("4天交割量缺失"));
    assert!(!d.contracts[0].remark.contains("缺失"));
    // A contract without take-or-pay does not mind.
    let mut parts = fixture::parts();
    parts.contracts[1].deviation.take_or_pay_ratio = 0.0;
    let free = made(&Registry::new(parts), &fixture::forecast(62, 1.0)).unwrap();
    assert!(!free.optimum.reason_zh.contains("缺失"));
}

#[test]
fn a_gap_names_what_its_own_source_has() {
    let d = made(&fixture::registry(), &fixture::forecast(62, 1.35)).unwrap();
    // I1 may be cut by 120 000 m³; its zone has 93 % pipeline gas.
    let interruptible: Vec<i64> = d.gaps.iter().map(|g| g.interruptible_m3).collect();
    assert_eq!(interruptible, [111_600, 8_400]);
    let moved: i64 = d.gaps.iter().map(|g| g.swing_m3).sum();
    assert!((moved - d.optimum.moved_m3).abs() <= 1);
    // The swing contract does not help itself.
    assert_eq!(d.gaps[1].swing_m3, 0);
}

#[test]
fn the_four_parts_end_on_the_same_total_and_each_list_on_its_part() {
    let d = sample();
    let tables = d.parts.as_ref().unwrap();
    let sold = tables.sold();
    assert_eq!(sold.total_m3() + tables.loss_m3, d.total.forecast.p50_m3);
    for (line, of_class) in tables.classes.iter().zip(&d.structure) {
        assert_eq!(line.class, of_class.class);
        assert_eq!(line.parts.total_m3(), of_class.forecast.p50_m3);
    }
    assert_eq!(
        tables.declared.total_m3() + tables.declared_loss_m3,
        d.total.declared_m3
    );
    let plans: i64 = tables.plans.iter().map(|line| line.m3).sum();
    assert_eq!(plans, sold.planned_m3);
    let projects: i64 = tables.projects.iter().map(|line| line.m3).sum();
    assert_eq!(projects + tables.unlisted_m3, sold.new_m3);
    assert_eq!(tables.unlisted_m3, 0);
    let factors: i64 = tables.factors.iter().map(|line| line.m3).sum();
    assert_eq!(factors + tables.changes_m3, sold.other_m3);
    // None of them is empty, and who said so is there.
    assert!(plans > 0 && projects > 0 && factors < 0, "{tables:?}");
    let factor = &tables.factors[0];
    assert_eq!((factor.person.as_str(), factor.m3), ("调度长", -31 * 2_000));
    let plan = &tables.plans[0];
    assert_eq!((plan.customer.as_str(), plan.days), ("I1", 31));
    let project = &tables.projects[0];
    assert_eq!(project.contact, "乙");
    assert!((project.later_m3_per_day - 0.6 * 10_000.0 * 0.85).abs() < 1e-9);
}

#[test]
fn a_project_that_left_the_registry_is_not_lost_from_the_sum() {
    let mut parts = fixture::parts();
    parts.new_connections.clear();
    let d = made(&Registry::new(parts), &fixture::forecast(62, 1.0)).unwrap();
    let tables = d.parts.as_ref().unwrap();
    assert!(tables.projects.is_empty());
    assert_eq!(tables.unlisted_m3, tables.sold().new_m3);
    assert!(tables.unlisted_m3 > 0);
}

#[test]
fn a_document_without_parts_keeps_its_hash() {
    let mut d = sample();
    d.parts = None;
    let text = serde_json::to_string(&d).unwrap();
    assert!(!text.contains("\"parts\""));
    let again: Declaration = serde_json::from_str(&text).unwrap();
    assert_eq!(again.content_hash().unwrap(), d.content_hash().unwrap());
}

#[test]
fn each_contract_adds_up_and_keeps_its_daily_bounds() {
    let d = sample();
    for (k, line) in d.contracts.iter().enumerate() {
        let days: Vec<i64> = d.days.iter().map(|x| x.declared_m3[k]).collect();
        assert_eq!(days.iter().sum::<i64>(), line.declared_m3);
        assert_eq!(days.iter().max(), Some(&line.day_max_m3));
        assert_eq!(
            line.components.iter().map(|c| c.declared_m3).sum::<i64>(),
            line.declared_m3
        );
    }
    let pipe = &d.contracts[0];
    let average = pipe.contract_month_m3 as f64 / 31.0;
    assert!(pipe.day_min_m3 as f64 >= (0.6 * average).floor());
    let has_market = pipe
        .components
        .iter()
        .any(|c| c.component == Kind::Market && c.declared_m3 > 0);
    assert!(has_market || pipe.day_max_m3 as f64 <= (1.2 * average).ceil());
}

#[test]
fn residential_gas_is_matched_to_residential_use() {
    let d = sample();
    let pipe = &d.contracts[0];
    assert_eq!(pipe.components[0].component, Kind::Residential);
    assert!(pipe.components[0].declared_m3 <= 7_000_000);
    // In merit order market gas comes last and only when the rest is used up.
    let market = pipe.components.last().unwrap();
    assert_eq!(market.component, Kind::Market);
    if market.declared_m3 > 0 {
        assert_eq!(pipe.components[1].declared_m3, 6_000_000);
    }
}

#[test]
fn the_reason_has_numbers_and_every_alternative_costs_more() {
    let d = sample();
    let o = &d.optimum;
    assert!(
        o.reason_zh
            .contains(&crate::plan::explain::wan(d.total.declared_m3 as f64)),
        "{}",
        o.reason_zh
    );
    assert!(o.reason_en.starts_with("Declare "), "{}", o.reason_en);
    assert!(o.alternatives.len() > 10);
    for other in &o.alternatives {
        // Whole m³ move the optimum by less than one m³ a contract.
        assert!(other.extra_yuan >= -20.0, "{other:?}");
    }
    assert!(o.alternatives.is_sorted_by_key(|a| a.declared_m3));
    assert!(o.alternatives.first().unwrap().extra_yuan > 1_000.0);
    let sum = o.purchase_yuan + o.over_take_yuan + o.under_take_yuan + o.take_or_pay_yuan;
    assert!((sum - o.expected_yuan).abs() < 0.05);
    assert!((0.0..=1.0).contains(&o.quantile));
}

#[test]
fn a_short_forecast_is_refused_with_numbers() {
    let error = made(&fixture::registry(), &fixture::forecast(30, 1.0)).unwrap_err();
    assert_eq!(error.code(), "plan.horizon_too_short");
    let message = error.to_string();
    assert!(message.contains("12 days are missing"), "{message}");
    assert!(message.contains("2026-12-01 to 2026-12-31"), "{message}");
}

#[test]
fn contradicting_contract_terms_are_named() {
    let mut parts = fixture::parts();
    parts.contracts[0].deviation.flow_max_m3h = 1_000.0;
    let error = made(&Registry::new(parts), &fixture::forecast(62, 1.0)).unwrap_err();
    assert_eq!(error.code(), "plan.infeasible");
    assert_eq!(error.conflict().len(), 2, "{error:?}");
    assert!(error.conflict().iter().all(|c| c.contains("HT-2026-01")));
}

#[test]
fn a_source_without_contract_is_named() {
    let mut parts = fixture::parts();
    parts.contracts.pop();
    let error = made(&Registry::new(parts), &fixture::forecast(62, 1.0)).unwrap_err();
    assert_eq!(error.code(), "plan.source_without_contract");
    assert!(error.to_string().contains("source lng"), "{error}");
    let mut parts = fixture::parts();
    parts.contracts[1].source = "pipe".into();
    let error = made(&Registry::new(parts), &fixture::forecast(62, 1.0)).unwrap_err();
    assert_eq!(error.code(), "plan.several_contracts");
}

#[test]
fn the_document_round_trips_and_its_hash_names_the_version() {
    let d = sample();
    let json = serde_json::to_string(&d).unwrap();
    let back: Declaration = serde_json::from_str(&json).unwrap();
    assert_eq!(back, d);
    assert_eq!(
        back.content_hash().unwrap(),
        sample().content_hash().unwrap()
    );
    let mut changed = d.clone();
    changed.days[0].declared_m3[0] += 1;
    assert_ne!(changed.content_hash().unwrap(), d.content_hash().unwrap());
    assert_eq!(d.decl_no, "SB-202612-某燃-001");
    assert_eq!(d.file_name(), "某燃_2026年12月用气计划申报表_V1.xlsx");
    assert_eq!(d.due_on.to_string(), "2026-11-20");
}

#[test]
fn a_cold_month_declares_market_gas_and_shows_the_gap() {
    let d = made(&fixture::registry(), &fixture::forecast(62, 1.35)).unwrap();
    let gap = &d.gaps[0];
    assert!(gap.gap_p50_m3 > 0);
    assert!(gap.market_m3 + gap.swing_m3 > 0, "{gap:?}");
    let mild = made(&fixture::registry(), &fixture::forecast(62, 0.75)).unwrap();
    assert!(mild.gaps[0].gap_p50_m3 < 0);
}

#[test]
fn a_plan_is_adopted_only_within_the_band() {
    let band = Quantiles {
        p10_m3: 90,
        p50_m3: 100,
        p90_m3: 110,
    };
    let adopt = |filed| LargeConsumerLine::adopt(filed, Some(97), Some(band));
    assert_eq!(adopt(Some(95)), (95, AdoptedBasis::CustomerPlan));
    assert_eq!(adopt(Some(150)), (100, AdoptedBasis::Forecast));
    assert_eq!(adopt(None), (100, AdoptedBasis::Forecast));
}

#[test]
fn a_customer_known_by_its_plan_alone_is_adopted_at_what_the_plan_is_worth() {
    let adopt = |filed, corrected| LargeConsumerLine::adopt(filed, corrected, None);
    assert_eq!(
        adopt(Some(930_000), Some(930_000)),
        (930_000, AdoptedBasis::CustomerPlan)
    );
    // Plans for a part of the month.
    assert_eq!(
        adopt(None, Some(300_000)),
        (300_000, AdoptedBasis::CustomerPlan)
    );
    assert_eq!(adopt(None, None), (0, AdoptedBasis::Forecast));
}
