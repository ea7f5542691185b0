//! Peaks in the forecast: hours well above the daily peaks of late, or days that probably exceed
//! what was nominated.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::{Calendar, GasDay};
use crate::domain::contract::{ContractComponentKind, SupplyContract};
use crate::domain::demand::{DemandForecast, DemandView};
use crate::domain::quantity::{Yuan, YuanPerM3};
use crate::domain::registry::Registry;
use crate::domain::slot::{SlotLevel, SlotTable};

/// Days whose peak hours are averaged.
pub const LOOK_BACK_DAYS: usize = 30;

/// What peaks are found from.
#[derive(Debug)]
pub struct PeakInput<'a> {
    /// Forecast; its hourly days are searched.
    pub forecast: &'a DemandForecast,
    /// Time slots of the company.
    pub slots: &'a SlotTable,
    /// Largest hour of each of the last days, m³/h, latest last; the last 30 count.
    pub recent_peaks_m3h: &'a [f64],
    /// Nominated for a day in all, loss included, m³, where it is.
    pub nominated_m3: &'a BTreeMap<GasDay, i64>,
    /// Loss and own use, part of what is bought: the forecast is of what is sold.
    pub unaccounted_ratio: f64,
    /// Registry: contracts, for the band and the price of what is beyond.
    pub registry: &'a Registry,
    /// Calendar, for pricing seasons.
    pub calendar: &'a Calendar,
    /// An hour is a peak above the mean of the last daily peaks by this part.
    pub peak_ratio: f64,
    /// A day is a peak if it exceeds nomination and band with at least this probability.
    pub exceed_probability: f64,
    /// Only windows that start after this instant.
    pub after: DateTime<Utc>,
}

/// Why a window is a peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeakReason {
    /// Hours above the daily peaks of late.
    AboveRecentPeaks,
    /// The day probably exceeds the nomination and its band.
    AboveNomination,
}

/// Consecutive peak hours.
#[derive(Debug, Clone, PartialEq)]
pub struct PeakWindow {
    /// Gas day.
    pub day: GasDay,
    /// First hour of the gas day.
    pub from_hour: usize,
    /// Last hour of the gas day, excluded.
    pub to_hour: usize,
    /// Start.
    pub from_at: DateTime<Utc>,
    /// End, excluded.
    pub to_at: DateTime<Utc>,
    /// Why.
    pub reason: PeakReason,
    /// P50 of the window, m³.
    pub p50_m3: i64,
    /// P50 of the whole day, m³.
    pub day_p50_m3: i64,
    /// Largest hour, m³/h.
    pub peak_m3h: i64,
    /// What the hours are measured against, m³/h; the mean hour of the day for a day above its
    /// nomination.
    pub threshold_m3h: f64,
    /// Probability that the day exceeds nomination and band, where there is a nomination.
    pub exceed_probability: Option<f64>,
    /// Volume at stake that would be bought at market price, m³.
    pub market_m3: f64,
    /// Market price above contract price, 元/m³.
    pub price_gap: YuanPerM3,
    /// Money at stake.
    pub at_stake: Yuan,
}

impl PeakWindow {
    /// Hours.
    pub fn hours(&self) -> usize {
        self.to_hour - self.from_hour
    }
}

/// Market price above contract price on a day, 元/m³: cheapest market gas on offer less the
/// dearest component of the contract with the largest monthly quantity. Where no contract offers
/// market gas, that contract's over-take charge. Never negative.
pub fn price_gap(registry: &Registry, calendar: &Calendar, day: GasDay) -> YuanPerM3 {
    let month = day.month();
    let valid: Vec<&SupplyContract> = registry
        .contracts
        .iter()
        .filter(|c| c.valid_from <= day.0 && day.0 <= c.valid_to)
        .collect();
    let main = valid
        .iter()
        .max_by_key(|c| (c.month_quantity(month), std::cmp::Reverse(c.id.clone())));
    let Some(main) = main else {
        return YuanPerM3::default();
    };
    let prices = |contract: &SupplyContract, of_market: bool| -> Vec<Decimal> {
        let season = registry.price_season(contract, calendar);
        let components = contract.components.iter();
        components
            .filter(|c| (c.kind == ContractComponentKind::Market) == of_market)
            .map(|c| c.price_on(day, &season).0)
            .collect()
    };
    let contract_price = prices(main, false).into_iter().max().unwrap_or_default();
    let market = valid.iter().flat_map(|c| prices(c, true)).min();
    YuanPerM3(match market {
        Some(price) => (price - contract_price).max(Decimal::ZERO),
        None => main.deviation.over_take_yuan_per_m3.0,
    })
}

fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    Some(values.iter().sum::<f64>() / values.len() as f64)
}

/// The smallest band of the contracts in force: the first to be exceeded.
fn band_ratio(contracts: &[SupplyContract], day: GasDay) -> f64 {
    contracts
        .iter()
        .filter(|c| c.valid_from <= day.0 && day.0 <= c.valid_to)
        .map(|c| c.deviation.band_ratio)
        .fold(f64::INFINITY, f64::min)
        .clamp(0.0, 1.0)
}

/// Finds the peaks of the hourly days, in time order.
pub fn find(input: &PeakInput<'_>) -> Vec<PeakWindow> {
    let forecast = input.forecast;
    let from = input.recent_peaks_m3h.len().saturating_sub(LOOK_BACK_DAYS);
    let recent = mean(input.recent_peaks_m3h.get(from..).unwrap_or_default());
    let view = DemandView::total();
    let mut windows = Vec::new();
    for (index, day) in forecast.days.iter().enumerate().take(forecast.hourly_days) {
        let hours: Vec<i64> = (0..24)
            .map(|hour| forecast.cube.hour_m3(&view, index, hour))
            .collect();
        let bought_per_sold = 1.0 / (1.0 - input.unaccounted_ratio.clamp(0.0, 0.5));
        let draws: Vec<f64> = forecast
            .draws(&view, &[index])
            .into_iter()
            .map(|sold| sold * bought_per_sold)
            .collect();
        let exceed = input
            .nominated_m3
            .get(day)
            .filter(|_| !draws.is_empty())
            .map(|nominated| {
                let most = *nominated as f64 * (1.0 + band_ratio(&input.registry.contracts, *day));
                let above = draws.iter().filter(|d| **d > most).count() as f64;
                let excess = draws.iter().map(|d| (d - most).max(0.0)).sum::<f64>();
                let count = draws.len() as f64;
                (above / count, excess / count)
            });
        let threshold = recent.map(|r| r * (1.0 + input.peak_ratio));
        let day_mean = hours.iter().sum::<i64>() as f64 / 24.0;
        let is_day_peak = exceed.is_some_and(|(p, _)| p >= input.exceed_probability);
        let reason_of = |hour: usize, value: i64| {
            if threshold.is_some_and(|t| value as f64 > t) {
                return Some(PeakReason::AboveRecentPeaks);
            }
            let slot = input.slots.index_of(forecast.clock.civil_hour(hour));
            let is_peak_slot = input
                .slots
                .0
                .get(slot)
                .is_some_and(|s| s.level == SlotLevel::Peak);
            (is_day_peak && is_peak_slot && value as f64 > day_mean)
                .then_some(PeakReason::AboveNomination)
        };
        let reasons: Vec<Option<PeakReason>> = hours
            .iter()
            .enumerate()
            .map(|(hour, value)| reason_of(hour, *value))
            .collect();
        let in_windows: i64 = hours
            .iter()
            .zip(&reasons)
            .filter(|(_, reason)| reason.is_some())
            .map(|(value, _)| value)
            .sum();
        for (from_hour, to_hour) in runs(&reasons) {
            let of_window = hours.get(from_hour..to_hour).unwrap_or_default();
            let has_recent = reasons
                .get(from_hour..to_hour)
                .is_some_and(|r| r.contains(&Some(PeakReason::AboveRecentPeaks)));
            let (reason, threshold_m3h) = if has_recent {
                (PeakReason::AboveRecentPeaks, threshold.unwrap_or(day_mean))
            } else {
                (PeakReason::AboveNomination, day_mean)
            };
            let above: f64 = of_window
                .iter()
                .map(|v| (*v as f64 - threshold_m3h).max(0.0))
                .sum();
            // What exceeds the nomination is bought beyond the contract, each window its part of
            // it; without a nomination the volume above the peaks of late stands for it.
            let part = of_window.iter().sum::<i64>() as f64 / in_windows.max(1) as f64;
            let market_m3 = exceed.map_or(above, |(_, excess)| excess * part);
            let gap = price_gap(input.registry, input.calendar, *day);
            let start = forecast.clock.start_of(*day);
            let at =
                |hour: usize| start + chrono::TimeDelta::hours(i64::try_from(hour).unwrap_or(0));
            windows.push(PeakWindow {
                day: *day,
                from_hour,
                to_hour,
                from_at: at(from_hour),
                to_at: at(to_hour),
                reason,
                p50_m3: of_window.iter().sum(),
                day_p50_m3: hours.iter().sum(),
                peak_m3h: of_window.iter().copied().max().unwrap_or(0),
                threshold_m3h,
                exceed_probability: exceed.map(|(p, _)| p),
                market_m3,
                price_gap: gap,
                at_stake: Yuan::from_f64(market_m3 * gap.to_f64()),
            });
        }
    }
    windows.retain(|w| w.from_at > input.after);
    windows
}

/// Runs of hours that have a reason, as half-open ranges.
fn runs(reasons: &[Option<PeakReason>]) -> Vec<(usize, usize)> {
    let mut out: Vec<(usize, usize)> = Vec::new();
    for (hour, reason) in reasons.iter().enumerate() {
        if reason.is_none() {
            continue;
        }
        match out.last_mut() {
            Some((_, to)) if *to == hour => *to = hour + 1,
            _ => out.push((hour, hour + 1)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture;

    fn found(recent: &[f64], nominated: &BTreeMap<GasDay, i64>, after: &str) -> Vec<PeakWindow> {
        found_with_loss(recent, nominated, after, 0.0)
    }

    fn found_with_loss(
        recent: &[f64],
        nominated: &BTreeMap<GasDay, i64>,
        after: &str,
        unaccounted_ratio: f64,
    ) -> Vec<PeakWindow> {
        let forecast = fixture::forecast(10, 1.0);
        let registry = fixture::registry();
        find(&PeakInput {
            forecast: &forecast,
            slots: &registry.company.slots,
            recent_peaks_m3h: recent,
            nominated_m3: nominated,
            unaccounted_ratio,
            registry: &registry,
            calendar: &fixture::calendar(),
            peak_ratio: 0.05,
            exceed_probability: 0.3,
            after: fixture::at(after),
        })
    }

    #[test]
    fn hours_above_the_peaks_of_late_are_merged_into_windows() {
        let windows = found(
            &[28_000.0; 30],
            &BTreeMap::new(),
            "2026-11-20T08:30:00+08:00",
        );
        assert!(!windows.is_empty());
        for w in &windows {
            assert_eq!(w.reason, PeakReason::AboveRecentPeaks);
            assert!(w.peak_m3h as f64 > 28_000.0 * 1.05);
            assert!(w.market_m3 > 0.0 && w.at_stake.to_f64() > 0.0);
            // The evening peak of the city: 17:00 to 21:00.
            assert_eq!((w.from_hour, w.to_hour), (9, 13), "{w:?}");
            assert_eq!(w.to_at - w.from_at, chrono::TimeDelta::hours(4));
        }
        assert!(windows.is_sorted_by_key(|w| w.from_at));
    }

    #[test]
    fn only_the_last_thirty_days_count() {
        let mut recent = vec![1.0; 40];
        recent.extend([1e9; 30]);
        assert!(found(&recent, &BTreeMap::new(), "2026-11-20T08:30:00+08:00").is_empty());
    }

    #[test]
    fn a_day_that_probably_exceeds_its_nomination_is_a_peak_in_its_peak_slots() {
        let day: GasDay = "2026-11-21".parse().unwrap();
        let low = BTreeMap::from([(day, 400_000)]);
        let windows = found(&[1e9; 30], &low, "2026-11-20T08:30:00+08:00");
        assert!(windows.iter().all(|w| w.day == day));
        assert!(
            windows
                .iter()
                .all(|w| w.reason == PeakReason::AboveNomination)
        );
        assert!(windows.iter().any(|w| w.exceed_probability.unwrap() > 0.9));
        let high = BTreeMap::from([(day, 900_000)]);
        assert!(found(&[1e9; 30], &high, "2026-11-20T08:30:00+08:00").is_empty());
    }

    #[test]
    fn what_is_sold_is_held_against_what_was_bought_with_its_loss() {
        let forecast = fixture::forecast(10, 1.0);
        let day = forecast.days[1];
        let mut sold = forecast.draws(&DemandView::total(), &[1]);
        sold.sort_by(f64::total_cmp);
        let median = sold[sold.len() / 2];
        let band = band_ratio(&fixture::registry().contracts, day);
        // Nominated is the median of what must be bought at 4 % of loss: no more than half the
        // futures exceed nomination and band, and without the band exactly half do.
        let nominated = format!("{:.0}", median / 0.96 / (1.0 + band));
        let nominated: i64 = nominated.parse().unwrap();
        let nominated = BTreeMap::from([(day, nominated)]);
        let after = "2026-11-20T08:30:00+08:00";
        let with = found_with_loss(&[1e9; 30], &nominated, after, 0.04);
        let probability = with[0].exceed_probability.unwrap();
        assert!((0.4..=0.6).contains(&probability), "{probability}");
        let of_day: f64 = with.iter().map(|w| w.market_m3).sum();
        let excess = sold
            .iter()
            .map(|d| (d / 0.96 - median / 0.96).max(0.0))
            .sum::<f64>()
            / sold.len() as f64;
        assert!((of_day / excess - 1.0).abs() < 1e-3, "{of_day} {excess}");
        // As if nothing were lost the day hardly ever exceeds what was bought for it.
        let without = found_with_loss(&[1e9; 30], &nominated, after, 0.0);
        assert!(
            without
                .iter()
                .all(|w| w.exceed_probability.unwrap() < probability),
            "{without:?}"
        );
    }

    #[test]
    fn what_has_begun_is_too_late() {
        let windows = found(
            &[28_000.0; 30],
            &BTreeMap::new(),
            "2026-11-25T18:00:00+08:00",
        );
        assert!(
            windows
                .iter()
                .all(|w| w.from_at > fixture::at("2026-11-25T18:00:00+08:00"))
        );
    }

    #[test]
    fn the_gap_is_market_less_contract_price() {
        let registry = fixture::registry();
        let day: GasDay = "2026-12-01".parse().unwrap();
        // 4.10 market less 3.05 peak shaving.
        let calendar = fixture::calendar();
        assert_eq!(price_gap(&registry, &calendar, day).to_string(), "1.0500");
        let mut parts = fixture::parts();
        parts.contracts.clear();
        let none = price_gap(&Registry::new(parts), &calendar, day);
        assert_eq!(none.to_string(), "0.0000");
    }
}
