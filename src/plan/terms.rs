//! Contracts as the solver sees them: one month, or one gas day.

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::contract::{ContractComponentKind, SupplyContract};
use crate::domain::season::Season;
use crate::plan::problem::{ComponentTerms, ContractTerms, Limit, LimitScope, LimitSense};

/// Months of the contract year a month belongs to, from the contract's first month on.
fn contract_year(contract: &SupplyContract, month: GasMonth) -> Vec<GasMonth> {
    let start = contract.valid_from;
    let first_month = {
        use chrono::Datelike as _;
        start.month()
    };
    let year = if month.month >= first_month {
        month.year
    } else {
        month.year - 1
    };
    let mut at = GasMonth {
        year,
        month: first_month,
    };
    let mut months = Vec::new();
    for _ in 0..12 {
        if at.first_day().0 <= contract.valid_to {
            months.push(at);
        }
        at = at.next();
    }
    months
}

/// First gas day of the contract year a month belongs to: every twelve months from the contract's first
/// month on.
pub fn contract_year_from(contract: &SupplyContract, month: GasMonth) -> GasDay {
    let first = contract_year(contract, month).first().copied();
    let first = first.unwrap_or(month).first_day();
    first.max(GasDay(contract.valid_from))
}

/// Contract quantity of the contract year a month belongs to, without market gas, m³ (年合同量).
pub fn contract_annual_m3(contract: &SupplyContract, month: GasMonth) -> f64 {
    contract_year(contract, month)
        .into_iter()
        .map(|m| contract.month_quantity(m).to_f64())
        .sum()
}

/// Volume of `month` that will be paid whether taken or not, m³: what the rest of the contract
/// year can no longer take up. Zero where the volume taken so far is unknown.
fn take_or_pay_m3(contract: &SupplyContract, month: GasMonth, taken_m3: Option<i64>) -> f64 {
    let Some(taken) = taken_m3 else {
        return 0.0;
    };
    let owed = contract.deviation.take_or_pay_ratio * contract_annual_m3(contract, month);
    let later: f64 = contract_year(contract, month)
        .into_iter()
        .filter(|m| *m > month)
        .map(|m| contract.month_quantity(m).to_f64())
        .sum();
    (owed - taken as f64 - later).max(0.0)
}

fn finite_or_free(m3: f64) -> f64 {
    if m3 > 0.0 { m3 } else { f64::INFINITY }
}

/// Bounds of what may be declared within the contract, with their reasons.
fn limits(
    contract: &SupplyContract,
    at: usize,
    quantity: f64,
    least_at_most_m3: f64,
    hours: f64,
    span: &str,
) -> Vec<Limit> {
    let terms = &contract.deviation;
    let mut out = Vec::new();
    if terms.take_day_min_ratio > 0.0 && quantity > 0.0 {
        let least = (terms.take_day_min_ratio * quantity).min(least_at_most_m3);
        out.push(Limit {
            label: format!(
                "contract {}: {least:.0} m³ at least must be taken in the {span} ({:.0} % of its contract quantity, as far as any is left)",
                contract.id,
                terms.take_day_min_ratio * 100.0
            ),
            contract: at,
            scope: LimitScope::WithinContract,
            sense: LimitSense::AtLeast,
            m3: least,
        });
    }
    if terms.flow_max_m3h > 0.0 {
        let most = terms.flow_max_m3h * hours;
        out.push(Limit {
            label: format!(
                "contract {}: {:.0} m³/h at delivery point {} are {most:.0} m³ in the {span}",
                contract.id, terms.flow_max_m3h, contract.delivery_point
            ),
            contract: at,
            scope: LimitScope::Declared,
            sense: LimitSense::AtMost,
            m3: most,
        });
    }
    out
}

/// A contract in a month, as contract number `at` of the problem; `season` is when its high price holds.
pub fn month_terms(
    contract: &SupplyContract,
    at: usize,
    month: GasMonth,
    season: &Season,
    taken_m3: Option<i64>,
) -> (ContractTerms, Vec<Limit>) {
    let quantity = contract.month_quantity(month).to_f64();
    let hours = 24.0 * month.days().len() as f64;
    let components = contract
        .components
        .iter()
        .map(|component| {
            let agreed = component.month_quantity(month).to_f64();
            ComponentTerms {
                kind: component.kind,
                available_m3: if component.kind == ContractComponentKind::Market {
                    finite_or_free(agreed)
                } else {
                    agreed
                },
                price: component.price_in(month, season).to_f64(),
            }
        })
        .collect();
    let terms = ContractTerms {
        id: contract.id.clone(),
        is_swing: contract.is_swing,
        components,
        band_ratio: contract.deviation.band_ratio.clamp(0.0, 1.0),
        over_take: contract.deviation.over_take_yuan_per_m3.to_f64(),
        under_take: contract.deviation.under_take_yuan_per_m3.to_f64(),
        take_max_m3: finite_or_free(contract.deviation.take_day_max_ratio * quantity),
        delivered_max_m3: finite_or_free(contract.deviation.flow_max_m3h * hours),
        take_or_pay_m3: take_or_pay_m3(contract, month, taken_m3),
        month_left_m3: f64::INFINITY,
    };
    (
        terms,
        limits(contract, at, quantity, quantity, hours, "month"),
    )
}

/// A contract on one gas day.
///
/// Within the contract there is one component at the day's average price up to the largest daily take.
/// What the month has left does not bound it: gas beyond that is over-take of the month, whether nominated
/// or not, and costs as much more.
pub fn day_terms(
    contract: &SupplyContract,
    at: usize,
    day: GasDay,
    season: &Season,
    remaining_m3: Option<f64>,
) -> (ContractTerms, Vec<Limit>) {
    let month = day.month();
    let quantity = contract.month_quantity(month).to_f64();
    let average = quantity / month.days().len() as f64;
    let most = contract.deviation.take_day_max_ratio * average;
    let left = remaining_m3.map_or(f64::INFINITY, |m3| m3.max(0.0));
    let mut components = Vec::new();
    if quantity > 0.0 {
        let value: f64 = contract
            .components
            .iter()
            .filter(|c| c.kind != ContractComponentKind::Market)
            .map(|c| c.month_quantity(month).to_f64() * c.price_on(day, season).to_f64())
            .sum();
        components.push(ComponentTerms {
            kind: ContractComponentKind::Balanced1,
            available_m3: finite_or_free(most),
            price: value / quantity,
        });
    }
    for market in contract
        .components
        .iter()
        .filter(|c| c.kind == ContractComponentKind::Market)
    {
        components.push(ComponentTerms {
            kind: market.kind,
            available_m3: f64::INFINITY,
            price: market.price_on(day, season).to_f64(),
        });
    }
    let terms = ContractTerms {
        id: contract.id.clone(),
        is_swing: contract.is_swing,
        components,
        band_ratio: contract.deviation.band_ratio.clamp(0.0, 1.0),
        over_take: contract.deviation.over_take_yuan_per_m3.to_f64(),
        under_take: contract.deviation.under_take_yuan_per_m3.to_f64(),
        take_max_m3: finite_or_free(most),
        delivered_max_m3: finite_or_free(contract.deviation.flow_max_m3h * 24.0),
        take_or_pay_m3: 0.0,
        month_left_m3: left,
    };
    (terms, limits(contract, at, average, left, 24.0, "day"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::Calendar;
    use crate::domain::registry::Registry;
    use crate::domain::season::Place;
    use crate::plan::fixture;

    fn price_in(registry: &Registry, calendar: &Calendar, month: &str) -> f64 {
        let contract = &registry.contracts[0];
        let season = registry.price_season(contract, calendar);
        let (terms, _) = month_terms(contract, 0, month.parse().unwrap(), &season, None);
        terms.components[0].price
    }

    fn price_on(registry: &Registry, calendar: &Calendar, day: &str) -> f64 {
        let contract = &registry.contracts[0];
        let season = registry.price_season(contract, calendar);
        let (terms, _) = day_terms(contract, 0, day.parse().unwrap(), &season, None);
        terms.components[0].price
    }

    /// Residential gas is 2.10 in the season and 1.90 without it.
    #[test]
    fn prices_follow_the_contract_then_the_place_then_november_to_march() {
        let mut registry = fixture::registry();
        let plain = fixture::calendar();
        let prices = |registry: &Registry, calendar: &Calendar| {
            ["2026-10", "2026-11", "2026-12", "2027-03", "2027-04"]
                .map(|month| format!("{:.4}", price_in(registry, calendar, month)))
        };
        assert_eq!(
            prices(&registry, &plain),
            ["1.9000", "2.1000", "2.1000", "2.1000", "1.9000"]
        );
        let place = |pricing: &str| -> Calendar {
            let place: Place = toml::from_str(&format!("name = \"city\"\n{pricing}")).unwrap();
            fixture::calendar().with_places(vec![place])
        };
        // Fourteen days of November at the low price, sixteen at the high one; fifteen and sixteen of March.
        let city = place("pricing = { from = \"11-15\", to = \"03-15\" }");
        assert_eq!(
            prices(&registry, &city),
            ["1.9000", "2.0067", "2.1000", "1.9968", "1.9000"]
        );
        // One retail price all the year says nothing of the supplier's.
        assert_eq!(
            prices(&registry, &place("")),
            ["1.9000", "2.1000", "2.1000", "2.1000", "1.9000"]
        );
        let own = "from = \"12-01\"\nto = \"02-28\"";
        registry.contracts[0].season = Some(toml::from_str(own).unwrap());
        assert_eq!(
            prices(&registry, &city),
            ["1.9000", "1.9000", "2.1000", "1.9000", "1.9000"]
        );
    }

    #[test]
    fn the_price_of_a_day_is_that_of_the_day() {
        let registry = fixture::registry();
        let mut city: Place = toml::from_str("name = \"city\"").unwrap();
        let season = "from = \"11-15\"\nto = \"03-15\"";
        city.pricing = Some(toml::from_str(season).unwrap());
        let calendar = fixture::calendar().with_places(vec![city]);
        let before = price_on(&registry, &calendar, "2026-11-14");
        assert!((before - 1.9).abs() < 1e-9, "{before}");
        // 700 at 2.10, 600 at 2.45, 150 at 3.05 of 1450.
        let within = price_on(&registry, &calendar, "2026-11-15");
        let mean = (700.0 * 2.10 + 600.0 * 2.45 + 150.0 * 3.05) / 1450.0;
        assert!((within - mean).abs() < 1e-9, "{within} {mean}");
    }
}
