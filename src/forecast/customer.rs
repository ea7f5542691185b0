//! One customer: the model of its days, and what it filed beside what it used.

use std::collections::BTreeMap;

use crate::domain::calendar::{Calendar, GasDay};
use crate::domain::demand::{Band, DemandNode, quantile_of_sorted};
use crate::forecast::features::calendar::DayTraits;
use crate::forecast::memory::SeriesLessons;
use crate::forecast::models::daily::DailyOptions;
use crate::forecast::models::series::DailySeries;
use crate::forecast::weather::{ForecastSkill, WeatherAhead, ZoneWeather};

const HISTORY_DAYS_MAX: usize = 2_200;

/// Complete gas days of a customer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KnownDays {
    /// m³, in any order.
    pub days: Vec<(GasDay, f64)>,
    /// Standard deviations of days that were partly estimated, m³: these count by that.
    pub deviations: BTreeMap<GasDay, f64>,
}

/// What a customer filed, and how its earlier plans compared with what it used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanRecord<'a> {
    /// Planned volume of the day asked for, m³.
    pub planned_m3: f64,
    /// Earlier days: planned and used, m³, known at the origin.
    pub past: &'a [(GasDay, f64, f64)],
    /// Bias of the industry, [`IndustryBias::without`].
    pub of_industry: f64,
}

/// Relative bias of a customer's plans, and how the used volumes scatter around the corrected plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanBias {
    /// Used volume is planned × (1 + bias); shrunk toward that of the industry when few plans are known.
    pub bias: f64,
    /// P10 and P90 of used ÷ corrected plan; none with fewer than 20 plans.
    pub spread: Option<(f64, f64)>,
}

/// Days of plans that are looked at (six months).
const PLAN_DAYS: i64 = 183;
/// Plans as many as would move the bias half way from that of the industry.
const PLANS_HALF: f64 = 20.0;
/// The industry's bias is held to 0 like one more customer whose plans are kept to the letter.
const INDUSTRY_HELD: f64 = 1.0;

/// Planned and used volume of the plans that count on `day`.
fn recent(day: GasDay, past: &[(GasDay, f64, f64)]) -> Vec<(f64, f64)> {
    past.iter()
        .filter(|(on, planned, used)| {
            let age = day.days_since(*on);
            (1..=PLAN_DAYS).contains(&age) && *planned > 0.0 && used.is_finite()
        })
        .map(|(_, planned, used)| (*planned, *used))
        .collect()
}

/// A customer's own bias and how much it counts, n / (n + 20).
fn own_bias(recent: &[(f64, f64)]) -> Option<(f64, f64)> {
    let planned: f64 = recent.iter().map(|(p, _)| p).sum();
    let used: f64 = recent.iter().map(|(_, u)| u).sum();
    let count = recent.len() as f64;
    (planned > 0.0).then(|| (used / planned - 1.0, count / (count + PLANS_HALF)))
}

/// The bias of a customer's plans over the six months before `day`.
///
/// `bias = (Σ used / Σ planned − 1) · w + of_industry · (1 − w)`, w = n / (n + 20), n the number of plans.
///
/// # Source
/// METHODS.md, "Filed plans"; worked example: `a_plan_is_corrected_by_half_the_bias_after_twenty`.
pub fn plan_bias(day: GasDay, past: &[(GasDay, f64, f64)], of_industry: f64) -> PlanBias {
    let recent = recent(day, past);
    let Some((own, weight)) = own_bias(&recent) else {
        return PlanBias {
            bias: of_industry,
            spread: None,
        };
    };
    let bias = own * weight + of_industry * (1.0 - weight);
    let mut ratios: Vec<f64> = recent
        .iter()
        .map(|(p, u)| u / (p * (1.0 + bias)).max(f64::MIN_POSITIVE))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let spread = (ratios.len() >= 20).then(|| {
        (
            quantile_of_sorted(&ratios, 0.1),
            quantile_of_sorted(&ratios, 0.9),
        )
    });
    PlanBias { bias, spread }
}

/// What the plans of each industry's customers were worth.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IndustryBias {
    /// Sum of weights and of weighted biases by division.
    by: BTreeMap<String, (f64, f64)>,
    day: Option<GasDay>,
}

/// Division of GB/T 4754 (大类): a letter and two digits of a longer code; any other text stands for itself.
fn division(industry: &str) -> &str {
    let mut chars = industry.chars();
    let is_letter = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    let is_code = is_letter && chars.clone().count() >= 2 && chars.all(|c| c.is_ascii_digit());
    industry.get(..3).filter(|_| is_code).unwrap_or(industry)
}

impl IndustryBias {
    /// Of customers' industries and earlier plans as of `day`; a customer without an industry is in none.
    pub fn of<'a>(
        day: GasDay,
        customers: impl Iterator<Item = (&'a str, &'a [(GasDay, f64, f64)])>,
    ) -> Self {
        let mut by: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for (industry, past) in customers.filter(|(industry, _)| !industry.is_empty()) {
            if let Some((bias, weight)) = own_bias(&recent(day, past)) {
                let sums = by.entry(division(industry).to_owned()).or_default();
                sums.0 += weight;
                sums.1 += weight * bias;
            }
        }
        Self { by, day: Some(day) }
    }

    /// Mean bias of an industry's other customers: Σ w·bias / (Σ w + 1), w as in [`plan_bias`]; `past` are the
    /// plans of the customer that asks. 0 where there are no others.
    pub fn without(&self, industry: &str, past: &[(GasDay, f64, f64)]) -> f64 {
        let (mut weights, mut biases) =
            self.by.get(division(industry)).copied().unwrap_or_default();
        let own = self.day.and_then(|day| own_bias(&recent(day, past)));
        if let Some((bias, weight)) = own.filter(|_| !industry.is_empty()) {
            weights -= weight;
            biases -= weight * bias;
        }
        if weights < 1e-9 {
            return 0.0;
        }
        biases / (weights + INDUSTRY_HELD)
    }
}

/// A customer's series with the model of it, and what it may know of the days ahead.
pub(super) struct CustomerModel {
    pub(super) lessons: SeriesLessons,
    pub(super) ahead: WeatherAhead,
    pub(super) given: Vec<f64>,
}

/// The model of a customer's days, the same as the city's nodes have.
///
/// None if no day is known.
pub(super) fn daily_model(
    history: &KnownDays,
    weather: Option<&ZoneWeather>,
    calendar: &Calendar,
    node: &DemandNode,
    (skill, reads_climate): (ForecastSkill, bool),
    horizon: usize,
) -> Option<CustomerModel> {
    let known: BTreeMap<GasDay, f64> = history.days.iter().copied().collect();
    let (first, last) = (known.keys().next()?, known.keys().next_back()?);
    let span = usize::try_from(last.days_since(*first)).unwrap_or(0) + 1;
    let first = first.plus(i64::try_from(span.saturating_sub(HISTORY_DAYS_MAX)).unwrap_or(0));
    let span = span.min(HISTORY_DAYS_MAX);
    let traits = DayTraits::span_of(calendar, node, first, span + horizon + 2);
    let temperature = |i: usize| {
        let weather = weather?;
        let observed = weather.observed.get(&traits[i].day);
        observed
            .or_else(|| weather.forecast.get(&traits[i].day))
            .copied()
    };
    let temperature = |i: usize| temperature(i).unwrap_or(f64::NAN);
    let given: Vec<f64> = (span..span + horizon).map(temperature).collect();
    let observed: Vec<f64> = (0..span).map(temperature).collect();
    let has_weather = observed.iter().any(|t| t.is_finite());
    let ahead = if has_weather {
        WeatherAhead::Forecast(skill)
    } else {
        WeatherAhead::None
    };
    let deviations = &history.deviations;
    let deviation = |i: usize| deviations.get(&traits[i].day).copied();
    let series = DailySeries {
        deviations: if deviations.is_empty() {
            Vec::new()
        } else {
            (0..span).map(|i| deviation(i).unwrap_or(0.0)).collect()
        },
        values: (0..span)
            .map(|i| known.get(&traits[i].day).copied().unwrap_or(f64::NAN))
            .collect(),
        temperatures: if has_weather { observed } else { Vec::new() },
        climate: Vec::new(),
        traits,
    };
    let series = match weather {
        Some(weather) if reads_climate => series.with_climate(&weather.observed),
        _ => series,
    };
    Some(CustomerModel {
        lessons: SeriesLessons::new(series, DailyOptions::chinese()),
        ahead,
        given,
    })
}

/// Band of one customer's gas day; a filed plan, corrected by the customer's own bias, takes the
/// place of the expectation of its own band.
///
/// Without a plan it is that band.
pub fn with_plan(own: Option<Band>, day: GasDay, plan: Option<PlanRecord<'_>>) -> Option<Band> {
    let Some(plan) = plan.filter(|p| p.planned_m3.is_finite() && p.planned_m3 >= 0.0) else {
        return own;
    };
    let PlanBias { bias, spread } = plan_bias(day, plan.past, plan.of_industry);
    let p50 = (plan.planned_m3 * (1.0 + bias)).max(0.0);
    Some(match (spread, own) {
        (Some((low, high)), _) => band(p50 * low.min(1.0), p50, p50 * high.max(1.0)),
        (None, Some(own)) => {
            // Too few plans to know how they scatter: as wide as the model's own band.
            let (p10, mid, p90) = (own.p10_m3 as f64, own.p50_m3 as f64, own.p90_m3 as f64);
            band(p50 + p10 - mid, p50, p50 + p90 - mid)
        }
        (None, None) => band(p50, p50, p50),
    })
}

/// Whole m³, in order.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a customer's day is far below 2^53 m³"
)]
pub(super) fn band(p10: f64, p50: f64, p90: f64) -> Band {
    let whole = |v: f64| v.max(0.0).round() as i64;
    let p50_m3 = whole(p50);
    Band {
        p10_m3: whole(p10).min(p50_m3),
        p50_m3,
        p90_m3: whole(p90).max(p50_m3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(i: i64) -> GasDay {
        GasDay("2026-01-05".parse().unwrap()).plus(i) // a Monday
    }

    #[test]
    fn a_plan_is_corrected_by_half_the_bias_after_twenty() {
        // Twenty plans of 100, each used 110: bias 0.1 · 20 / 40 = 0.05.
        let past: Vec<(GasDay, f64, f64)> = (0..20).map(|i| (day(i), 100.0, 110.0)).collect();
        let found = plan_bias(day(20), &past, 0.0);
        assert!((found.bias - 0.05).abs() < 1e-12);
        let plan = PlanRecord {
            planned_m3: 1_000.0,
            past: &past,
            of_industry: 0.0,
        };
        let band = with_plan(None, day(20), Some(plan)).unwrap();
        assert_eq!(band.p50_m3, 1_050);
        assert_eq!(
            band.p90_m3, 1_100,
            "what was used lies above the half-corrected plan"
        );
        // Plans of the day itself or of last year say nothing.
        let stale = [(day(20), 100.0, 500.0), (day(-300), 100.0, 500.0)];
        assert_eq!(
            plan_bias(day(20), &stale, 0.0),
            PlanBias {
                bias: 0.0,
                spread: None
            }
        );
    }

    #[test]
    fn few_plans_are_worth_what_those_of_the_industry_were() {
        let plans = |count: i64, used: f64| -> Vec<(GasDay, f64, f64)> {
            (1..=count).map(|i| (day(-i), 100.0, used)).collect()
        };
        // Two kilns with eighty plans each count 0.8: one used 10 % more, one 20 %; a bakery half.
        let (first, second, bakery) = (plans(80, 110.0), plans(80, 120.0), plans(80, 50.0));
        let young = plans(5, 100.0);
        let all = [
            ("C307", &first[..]),
            ("C30", &second[..]),
            ("C141", &bakery[..]),
            ("C3071", &young[..]),
            ("", &bakery[..]),
        ];
        let industries = IndustryBias::of(day(0), all.into_iter());
        // Σ w·b = 0.8·0.1 + 0.8·0.2 = 0.24 of Σ w + 1 = 2.6, the asking customer's own not in it.
        let of_kilns = industries.without("C3071", &young);
        assert!((of_kilns - 0.24 / 2.6).abs() < 1e-12, "{of_kilns}");
        // Five plans that were kept: a fifth of its own, four fifths of the industry's.
        let bias = plan_bias(day(0), &young, of_kilns).bias;
        assert!((bias - 0.8 * 0.24 / 2.6).abs() < 1e-12, "{bias}");
        // One that never filed is corrected by the industry alone, and not by its own industry of one.
        assert!((plan_bias(day(0), &[], of_kilns).bias - of_kilns).abs() < 1e-12);
        assert!(industries.without("C141", &bakery).abs() < f64::EPSILON);
        assert!(industries.without("", &young).abs() < f64::EPSILON);
    }
}
