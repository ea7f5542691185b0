use proptest::prelude::*;

use super::*;
use crate::domain::contract::ContractComponentKind as Kind;
use crate::plan::problem::{ComponentTerms, ContractTerms, Limit, LimitScope, Scenario};

fn component(kind: Kind, available_m3: f64, price: f64) -> ComponentTerms {
    ComponentTerms {
        kind,
        available_m3,
        price,
    }
}

fn contract(components: Vec<ComponentTerms>, band_ratio: f64) -> ContractTerms {
    ContractTerms {
        id: "HT-1".into(),
        is_swing: false,
        components,
        band_ratio,
        over_take: 1.20,
        under_take: 0.35,
        take_max_m3: f64::INFINITY,
        delivered_max_m3: f64::INFINITY,
        take_or_pay_m3: 0.0,
        month_left_m3: f64::INFINITY,
    }
}

fn scenarios(demands: &[f64]) -> Vec<Scenario> {
    demands
        .iter()
        .map(|d| Scenario {
            demand_m3: vec![*d],
            residential_m3: vec![0.0],
        })
        .collect()
}

/// D ∈ {90, 95, 100, 105, 110}, over-take 1.20, under-take 0.35; gas itself costs nothing, so that
/// only the deviation is seen.
fn worked(band_ratio: f64) -> Problem {
    Problem {
        contracts: vec![contract(
            vec![component(Kind::Balanced1, f64::INFINITY, 0.0)],
            band_ratio,
        )],
        limits: Vec::new(),
        scenarios: scenarios(&[90.0, 95.0, 100.0, 105.0, 110.0]),
    }
}

fn cost_at(problem: &Problem, declared: f64) -> f64 {
    expected_cost(problem, &vec![vec![declared]]).total_yuan()
}

#[test]
fn the_worked_example_without_a_band() {
    let problem = worked(0.0);
    for (declared, yuan) in [
        (90.0, 12.00),
        (95.0, 7.55),
        (100.0, 4.65),
        (105.0, 3.30),
        (110.0, 3.50),
    ] {
        assert!(
            (cost_at(&problem, declared) - yuan).abs() < 1e-9,
            "{declared}"
        );
    }
    let solution = solve(&problem).unwrap();
    assert!(
        (solution.quantities[0][0] - 105.0).abs() < 1e-9,
        "{solution:?}"
    );
    assert!((solution.cost.total_yuan() - 3.30).abs() < 1e-9);
    assert!((solution.program_yuan - 3.30).abs() < 1e-4);
}

#[test]
fn the_worked_example_with_a_band_of_five_percent() {
    let problem = worked(0.05);
    for (declared, yuan) in [(100.0, 1.55), (105.0, 1.015), (110.0, 1.995)] {
        assert!(
            (cost_at(&problem, declared) - yuan).abs() < 1e-9,
            "{declared}"
        );
    }
    // On a grid of 0.1 the optimum is 104.8.
    let grid: Vec<(f64, f64)> = (900..=1100)
        .map(|i| f64::from(i) / 10.0)
        .map(|q| (q, cost_at(&problem, q)))
        .collect();
    let best = grid.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!((best.0 - 104.8).abs() < 1e-9);
    assert!((best.1 - 0.9884).abs() < 1e-9);
    // The program is not bound to the grid: 110 / 1.05 = 104.7619…
    let solution = solve(&problem).unwrap();
    assert!(
        (solution.quantities[0][0] - 110.0 / 1.05).abs() < 1e-9,
        "{solution:?}"
    );
    assert!(solution.cost.total_yuan() <= best.1);
}

#[test]
fn contradicting_limits_are_named_and_no_others() {
    let mut problem = worked(0.0);
    let limit = |label: &str, sense, m3| Limit {
        label: label.into(),
        contract: 0,
        scope: LimitScope::Declared,
        sense,
        m3,
    };
    problem.limits = vec![
        limit("harmless", LimitSense::AtLeast, 10.0),
        limit("minimum take 80", LimitSense::AtLeast, 80.0),
        limit("ration 60", LimitSense::AtMost, 60.0),
        limit("pipe 500", LimitSense::AtMost, 500.0),
    ];
    let Err(SolveError::Infeasible { conflict }) = solve(&problem) else {
        panic!("must be infeasible");
    };
    assert_eq!(conflict, ["minimum take 80", "ration 60"]);
    problem.limits.remove(2);
    problem.contracts[0].components[0].available_m3 = 5.0;
    let message = solve(&problem).unwrap_err().to_string();
    assert!(message.contains("has at most 5 m³"), "{message}");
}

#[test]
fn nothing_to_solve_is_an_error_with_numbers() {
    let message = solve(&Problem::default()).unwrap_err().to_string();
    assert!(message.contains("0 contracts and 0 scenarios"), "{message}");
}

#[test]
fn take_or_pay_pulls_nothing_into_the_declaration_but_is_priced() {
    let mut problem = worked(0.0);
    problem.contracts[0].components[0].price = 2.0;
    problem.contracts[0].take_or_pay_m3 = 100.0;
    let cost = solve(&problem).unwrap().cost;
    // 10 m³ short once and 5 m³ short once in five futures, at 2 元/m³.
    assert!((cost.take_or_pay_yuan - 6.0).abs() < 1e-6, "{cost:?}");
}

#[test]
fn beyond_the_month_gas_is_declared_and_pays_its_over_take() {
    // Nothing left of the month, gas at 2.00 and over-take at 1.20 whether declared or not: the deviation
    // of the day decides, as in the worked example.
    let mut problem = worked(0.0);
    problem.contracts[0].components[0].price = 2.0;
    let inside = solve(&problem).unwrap();
    problem.contracts[0].month_left_m3 = 0.0;
    let beyond = solve(&problem).unwrap();
    assert!((contract_totals(&beyond.quantities)[0] - 105.0).abs() < 1e-6);
    assert_eq!(beyond.quantities, inside.quantities);
    assert!((beyond.cost.over_take_yuan - inside.cost.over_take_yuan - 120.0).abs() < 1e-6);
    assert!((beyond.cost.purchase_yuan - inside.cost.purchase_yuan).abs() < 1e-6);
    // 100 left: over-take of the month on the 5 and 10 m³ of two futures.
    problem.contracts[0].month_left_m3 = 100.0;
    let some = expected_cost(&problem, &inside.quantities);
    assert!((some.over_take_yuan - inside.cost.over_take_yuan - 1.2 * 3.0).abs() < 1e-6);
}

#[test]
fn the_swing_contract_takes_over_what_is_dearer_elsewhere() {
    let mut pipeline = contract(vec![component(Kind::Balanced1, 100.0, 2.0)], 0.0);
    pipeline.delivered_max_m3 = 130.0;
    pipeline.take_max_m3 = 100.0;
    let mut lng = contract(vec![component(Kind::Market, f64::INFINITY, 4.0)], 0.0);
    lng.id = "LNG".into();
    lng.is_swing = true;
    let problem = Problem {
        contracts: vec![pipeline, lng],
        limits: Vec::new(),
        scenarios: vec![
            Scenario {
                demand_m3: vec![150.0, 10.0],
                residential_m3: vec![0.0, 0.0],
            };
            3
        ],
    };
    let solution = solve(&problem).unwrap();
    assert!((solution.cost.moved_m3 - 50.0).abs() < 1e-6, "{solution:?}");
    // All of it for the pipeline.
    assert!((solution.cost.moved_from_m3[0] - 50.0).abs() < 1e-6);
    assert!(solution.cost.moved_from_m3[1].abs() < 1e-9);
    assert!(solution.cost.unserved_m3 < 1e-6);
    assert!(
        (solution.quantities[1][0] - 60.0).abs() < 1e-3,
        "{solution:?}"
    );
}

prop_compose! {
    fn any_problem()(
        demands in prop::collection::vec((50.0..150.0_f64, 0.0..40.0_f64, 0.0..60.0_f64), 2..12),
        band in 0.0..0.12_f64,
        available in (10.0..40.0_f64, 40.0..120.0_f64),
        prices in (1.5..2.5_f64, 1.5..3.0_f64, 3.2..5.0_f64, 2.5..6.0_f64),
        charges in (0.2..2.0_f64, 0.05..0.8_f64),
        top in 0.0..100.0_f64,
        left in prop::option::of(-5.0..150.0_f64),
        has_swing in any::<bool>(),
    ) -> Problem {
        let mut main = contract(vec![
            component(Kind::Residential, available.0, prices.0),
            component(Kind::Balanced1, available.1, prices.1),
            component(Kind::Market, f64::INFINITY, prices.2),
        ], band);
        main.over_take = charges.0;
        main.under_take = charges.1;
        main.take_max_m3 = 1.1 * (available.0 + available.1);
        main.delivered_max_m3 = 140.0;
        main.take_or_pay_m3 = top;
        main.month_left_m3 = left.unwrap_or(f64::INFINITY);
        let mut lng = contract(vec![component(Kind::Market, f64::INFINITY, prices.3)], 0.02);
        lng.id = "LNG".into();
        lng.is_swing = has_swing;
        Problem {
            contracts: vec![main, lng],
            limits: vec![Limit {
                label: "minimum take".into(),
                contract: 0,
                scope: LimitScope::WithinContract,
                sense: LimitSense::AtLeast,
                m3: 0.4 * (available.0 + available.1),
            }],
            scenarios: demands.into_iter().map(|(a, b, r)| Scenario {
                demand_m3: vec![a, b],
                residential_m3: vec![r, 0.0],
            }).collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_limit_holds_and_exact_pricing_agrees_with_the_program(problem in any_problem()) {
        let solution = solve(&problem).unwrap();
        prop_assert!(problem.violation_m3(&solution.quantities) < 1e-4);
        // Two ways to the same number: the program's objective and the exact pricing.
        let gap = solution.cost.objective() - solution.program_yuan;
        let scale = 1.0 + solution.program_yuan.abs();
        prop_assert!(gap.abs() < 2e-5 * scale, "{} {}", solution.cost.objective(), solution.program_yuan);
    }

    #[test]
    fn nothing_else_is_cheaper(problem in any_problem(), factor in 0.7..1.3_f64, k in 0_usize..2) {
        let solution = solve(&problem).unwrap();
        let mut other = solution.quantities.clone();
        let total: f64 = other[k].iter().sum();
        other[k] = fill(&problem.contracts[k], total * factor, f64::INFINITY);
        if problem.violation_m3(&other) <= 0.0 {
            let yuan = expected_cost(&problem, &other).objective();
            prop_assert!(yuan >= solution.cost.objective() - 1e-6 * (1.0 + yuan.abs()));
        }
    }

    #[test]
    fn another_limit_never_lowers_the_cost(problem in any_problem(), at_most in 60.0..140.0_f64) {
        let free = solve(&problem).unwrap().cost.objective();
        let mut bound = problem;
        bound.limits.push(Limit {
            label: "ration".into(),
            contract: 0,
            scope: LimitScope::Declared,
            sense: LimitSense::AtMost,
            m3: at_most,
        });
        match solve(&bound) {
            Ok(solution) => prop_assert!(
                solution.cost.objective() >= free - 1e-6 * (1.0 + free.abs())
            ),
            Err(SolveError::Infeasible { conflict }) => prop_assert!(conflict.iter().any(|c| c == "ration")),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn the_order_of_scenarios_does_not_matter(problem in any_problem()) {
        let mut turned = problem.clone();
        turned.scenarios.reverse();
        let a = solve(&problem).unwrap().cost.objective();
        let b = solve(&turned).unwrap().cost.objective();
        prop_assert!((a - b).abs() < 1e-6 * (1.0 + a.abs()));
    }
}
