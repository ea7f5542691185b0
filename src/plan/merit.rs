//! Merit order (调用顺序): which component a volume belongs to, cheapest first.
//!
//! Residential gas goes to households and public service at the household price and to nobody
//! else; the other components follow by price; market gas comes last whatever it costs, since it
//! is bought beyond the contract. Beyond what the month has left, the contract's own gas costs its
//! over-take too, and market gas comes first where it costs less than that.

use crate::domain::contract::ContractComponentKind;
use crate::plan::problem::{ComponentTerms, ContractTerms};

/// Positions of the components in merit order.
pub fn merit_order(components: &[ComponentTerms]) -> Vec<usize> {
    let rank = |c: &ComponentTerms| match c.kind {
        ContractComponentKind::Residential => 0,
        ContractComponentKind::Market => 2,
        _ => 1,
    };
    let mut order: Vec<(usize, &ComponentTerms)> = components.iter().enumerate().collect();
    order.sort_by(|a, b| {
        rank(a.1)
            .cmp(&rank(b.1))
            .then(a.1.price.total_cmp(&b.1.price))
            .then(a.1.kind.cmp(&b.1.kind))
    });
    order.into_iter().map(|(at, _)| at).collect()
}

/// Splits a volume over the components of a contract in merit order, m³.
///
/// `residential_m3` is the use that the residential component is matched to; what it has beyond
/// that is called on after the other components and before market gas. What exceeds everything
/// stays with the last in order, so that the parts always add up to `volume_m3`.
pub fn fill(terms: &ContractTerms, volume_m3: f64, residential_m3: f64) -> Vec<f64> {
    let order = merit_order(&terms.components);
    let is = |at: usize, kind| terms.components.get(at).is_some_and(|c| c.kind == kind);
    let (market, within): (Vec<usize>, Vec<usize>) = order
        .iter()
        .partition(|at| is(**at, ContractComponentKind::Market));
    let residential: Vec<usize> = within
        .iter()
        .copied()
        .filter(|at| is(*at, ContractComponentKind::Residential))
        .collect();
    let mut parts = vec![0.0; terms.components.len()];
    let mut left = volume_m3.max(0.0);
    let mut within_left = terms.take_max_m3.min(terms.month_left_m3.max(0.0));
    let mut give = |at: usize, most: f64, budget: &mut f64| {
        let available = terms.components.get(at).map_or(0.0, |c| c.available_m3);
        if let Some(cell) = parts.get_mut(at) {
            let part = left
                .min(most)
                .min(*budget)
                .min((available - *cell).max(0.0));
            *cell += part;
            *budget -= part;
            left -= part;
        }
    };
    for at in within.iter().copied() {
        let matched = if is(at, ContractComponentKind::Residential) {
            residential_m3.max(0.0)
        } else {
            f64::INFINITY
        };
        give(at, matched, &mut within_left);
    }
    for at in &residential {
        give(*at, f64::INFINITY, &mut within_left);
    }
    let beyond_month = terms.contract_price() + terms.over_take;
    let (cheap, dear): (Vec<usize>, Vec<usize>) = market.iter().partition(|at| {
        let component = terms.components.get(**at);
        component.is_some_and(|c| c.price < beyond_month)
    });
    let (mut unbounded, mut over_left) = (f64::INFINITY, 0.0);
    if terms.take_max_m3 > terms.month_left_m3 {
        over_left = terms.take_max_m3 - terms.month_left_m3.max(0.0);
    }
    for at in cheap {
        give(at, f64::INFINITY, &mut unbounded);
    }
    let others = within.iter().filter(|at| !residential.contains(at));
    for at in others.chain(&residential) {
        give(*at, f64::INFINITY, &mut over_left);
    }
    for at in dear {
        give(at, f64::INFINITY, &mut unbounded);
    }
    if let Some(cell) = order.last().and_then(|at| parts.get_mut(*at)) {
        *cell += left;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::ContractComponentKind as Kind;
    use proptest::prelude::*;

    fn terms() -> ContractTerms {
        let component = |kind, available_m3, price| ComponentTerms {
            kind,
            available_m3,
            price,
        };
        ContractTerms {
            id: "C".into(),
            is_swing: false,
            components: vec![
                component(Kind::Market, f64::INFINITY, 1.5),
                component(Kind::PeakShaving, 30.0, 3.1),
                component(Kind::Balanced1, 50.0, 2.2),
                component(Kind::Residential, 40.0, 2.4),
            ],
            band_ratio: 0.05,
            over_take: 1.0,
            under_take: 0.3,
            take_max_m3: 200.0,
            delivered_max_m3: 1000.0,
            take_or_pay_m3: 0.0,
            month_left_m3: f64::INFINITY,
        }
    }

    #[test]
    fn beyond_the_month_market_gas_comes_first_where_it_costs_less() {
        // 60 of the month are left, 120 may be taken: 50 balanced and 10 peak shaving. Then market gas at
        // 1.5 instead of 3.1 and 1.0 for over-take.
        let mut terms = terms();
        terms.month_left_m3 = 60.0;
        assert_eq!(fill(&terms, 100.0, 0.0), vec![40.0, 10.0, 50.0, 0.0]);
        terms.components[0].price = 4.2;
        assert_eq!(fill(&terms, 100.0, 0.0), vec![0.0, 30.0, 50.0, 20.0]);
        assert_eq!(fill(&terms, 130.0, 0.0), vec![10.0, 30.0, 50.0, 40.0]);
    }

    #[test]
    fn residential_gas_is_matched_and_market_gas_comes_last() {
        // 25 residential users' gas, 50 balanced, 30 peak shaving, 15 market although it is cheap.
        assert_eq!(fill(&terms(), 100.0, 25.0), vec![0.0, 25.0, 50.0, 25.0]);
        // The unmatched 15 of residential gas come before market gas.
        assert_eq!(fill(&terms(), 130.0, 25.0), vec![10.0, 30.0, 50.0, 40.0]);
        assert_eq!(fill(&terms(), 60.0, 100.0), vec![0.0, 0.0, 20.0, 40.0]);
    }

    proptest! {
        #[test]
        fn the_parts_add_up(volume in 0.0..500.0_f64, residential in 0.0..80.0_f64) {
            let parts = fill(&terms(), volume, residential);
            prop_assert!((parts.iter().sum::<f64>() - volume).abs() < 1e-9);
            prop_assert!(parts.iter().all(|p| *p >= 0.0));
            prop_assert!(parts[3] <= residential + 1e-9 || parts[1] + parts[2] > 80.0 - 1e-9);
            prop_assert!(parts[0] < 1e-9 || parts[1] + parts[2] + parts[3] > 120.0 - 1e-9);
        }
    }
}
