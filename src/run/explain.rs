//! Why a newer run says something else than an older one, gas day by gas day, in words and parts.
//!
//! Both runs keep what they were made from, so the parts are not estimated: the older run is made
//! again with one kind of input after the other taken from the newer, and what each exchange moves
//! is its contribution. The contributions add up to the change exactly, in whole m³.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::domain::calendar::GasDay;
use crate::domain::demand::{DemandForecast, DemandView};
use crate::domain::id::RunId;
use crate::domain::language::Language;
use crate::forecast::engine;
use crate::forecast::request::ForecastRequest;
use crate::run::app::App;
use crate::run::runs;

/// Days explained at most, from the newer run's first.
const DAYS_MAX: usize = 31;

/// What moved the total of one gas day, whole m³; the five parts sum to `newer_m3 − older_m3`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DayChange {
    /// Gas day.
    pub day: GasDay,
    /// P50 of the older run.
    pub older_m3: i64,
    /// P50 of the newer run.
    pub newer_m3: i64,
    /// Other weather: newer observations and forecast.
    pub temperature_m3: i64,
    /// Another calendar.
    pub calendar_m3: i64,
    /// Filed plans, production changes, projects and named factors: new, withdrawn or altered.
    pub plans_m3: i64,
    /// What was metered since: the level, and hours of the day under way.
    pub level_m3: i64,
    /// Settings, customers and program.
    pub other_m3: i64,
    /// Mean temperature of the day as the newer run sees it, less as the older did, K; none where
    /// one of them had climatology only.
    pub temperature_change_k: Option<f64>,
}

/// A change between two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunChange {
    /// Older run.
    pub older: RunId,
    /// Newer run.
    pub newer: RunId,
    /// Days both reach, in order.
    pub days: Vec<DayChange>,
}

fn total(run: &DemandForecast, day: GasDay) -> Option<i64> {
    let index = run.day_index(day)?;
    Some(run.cube.day_m3(run.clock, &DemandView::total(), index))
}

/// The newer run's weather as an older origin may take it: days since observed stand as forecast.
fn with_weather_of(older: &ForecastRequest, newer: &ForecastRequest) -> ForecastRequest {
    let mut out = older.clone();
    let today = older.clock.day_of(older.origin_at);
    for (zone, weather) in &mut out.weather {
        let Some(later) = newer.weather.get(zone) else {
            continue;
        };
        weather.forecast = later
            .observed
            .range(today..)
            .chain(&later.forecast)
            .map(|(day, temperature)| (*day, *temperature))
            .collect();
        weather.observed = later
            .observed
            .range(..today)
            .map(|(day, temperature)| (*day, *temperature))
            .collect();
        weather.issued_at = later.issued_at;
    }
    out
}

/// Plans, production changes, projects and factors of the newer run; what its large consumers used
/// since is level, not plan.
fn take_plans(step: &mut ForecastRequest, newer: &ForecastRequest) {
    step.effects.clone_from(&newer.effects);
    let before = std::mem::replace(&mut step.parts, newer.parts.clone());
    for consumer in &mut step.parts.consumers {
        let own = before
            .consumers
            .iter()
            .find(|c| c.customer == consumer.customer);
        if let Some(own) = own {
            consumer.days.clone_from(&own.days);
        }
    }
}

/// Change of the zones' mean temperature by day, K.
fn temperature_changes(older: &ForecastRequest, newer: &ForecastRequest) -> BTreeMap<GasDay, f64> {
    let mut sums: BTreeMap<GasDay, (f64, f64)> = BTreeMap::new();
    for (zone, weather) in &newer.weather {
        let Some(before) = older.weather.get(zone) else {
            continue;
        };
        for (day, temperature) in &weather.forecast {
            if let Some(was) = before.forecast.get(day) {
                let sum = sums.entry(*day).or_default();
                sum.0 += temperature - was;
                sum.1 += 1.0;
            }
        }
    }
    sums.into_iter()
        .map(|(day, (sum, count))| (day, sum / count))
        .collect()
}

/// Explains the change from one kept run to another.
///
/// # Errors
/// A run that is not kept, or whose inputs are not.
pub fn explain(app: &App, older: &RunId, newer: &RunId) -> anyhow::Result<RunChange> {
    let (old_run, mut old) = runs::kept(app, older)?;
    let (new_run, mut new) = runs::kept(app, newer)?;
    // Days are explained.
    (old.months, new.months) = (None, None);
    // What these runs learn beyond what is known serves the next of them, and nobody else.
    let memory = app.memory.aside();
    let run = |request: &ForecastRequest| engine::run_with(request, &memory).map(|r| r.forecast);
    let again = run(&old)?;
    let step_weather = with_weather_of(&old, &new);
    let mut step_calendar = step_weather.clone();
    step_calendar.calendar = new.calendar.clone();
    let mut step_plans = step_calendar.clone();
    take_plans(&mut step_plans, &new);
    let mut step_level = new.clone();
    step_level.draws = old.draws;
    step_level.seed = old.seed;
    step_level.weather_skill = old.weather_skill;
    step_level.capacities.clone_from(&old.capacities);
    let of_customers = &old.customer_capacities;
    step_level.customer_capacities.clone_from(of_customers);
    // A day whose inputs of a kind are the same needs no run: it would say the same.
    let weather = run(&step_weather)?;
    let calendar = if old.calendar == new.calendar {
        weather.clone()
    } else {
        run(&step_calendar)?
    };
    let plans = if old.effects == new.effects && old.parts == step_plans.parts {
        calendar.clone()
    } else {
        run(&step_plans)?
    };
    let level = run(&step_level)?;
    let changes = temperature_changes(&old, &new);
    let days = new_run
        .days
        .iter()
        .take(DAYS_MAX)
        .filter_map(|day| {
            let of = |run: &DemandForecast| total(run, *day);
            let (older_m3, newer_m3) = (of(&old_run)?, of(&new_run)?);
            let steps = [&again, &weather, &calendar, &plans, &level].map(of);
            let [
                Some(again),
                Some(weather),
                Some(calendar),
                Some(plans),
                Some(level),
            ] = steps
            else {
                return None;
            };
            Some(DayChange {
                day: *day,
                older_m3,
                newer_m3,
                temperature_m3: weather - again,
                calendar_m3: calendar - weather,
                plans_m3: plans - calendar,
                level_m3: level - plans,
                other_m3: (newer_m3 - level) + (again - older_m3),
                temperature_change_k: changes.get(day).copied(),
            })
        })
        .collect();
    Ok(RunChange {
        older: older.clone(),
        newer: newer.clone(),
        days,
    })
}

impl DayChange {
    /// One sentence, largest part first; parts below a ten-thousandth of the day are left out.
    pub fn sentence(&self, language: Language) -> String {
        let wan = |m3: i64| format!("{:+.4}", m3 as f64 / 10_000.0);
        let names = match language {
            Language::Zh => ["气温", "日历", "计划", "用气水平", "其他"],
            Language::En => ["temperature", "calendar", "plans", "level", "other"],
        };
        let mut parts: Vec<(&str, i64)> = names.into_iter().zip(self.parts()).collect();
        parts.sort_by_key(|(_, m3)| -m3.abs());
        let small = (self.newer_m3.abs() / 10_000).max(1);
        let said: Vec<String> = parts
            .into_iter()
            .filter(|(_, m3)| m3.abs() >= small)
            .map(|(name, m3)| match self.temperature_change_k {
                Some(kelvin) if name == names[0] => {
                    let unit = match language {
                        Language::Zh => "℃",
                        Language::En => " K",
                    };
                    format!("{name}({kelvin:+.1}{unit}){}", wan(m3))
                }
                _ => format!("{name} {}", wan(m3)),
            })
            .collect();
        let change = wan(self.newer_m3 - self.older_m3);
        match (language, said.is_empty()) {
            (Language::Zh, true) => format!("{}:预测未变", self.day),
            (Language::En, true) => format!("{}: unchanged", self.day),
            (Language::Zh, false) => {
                format!("{}:预测变化 {change} 万m³,其中{}", self.day, said.join(",")) // 万m³
            }
            (Language::En, false) => {
                format!("{}: {change} 万m³, of which {}", self.day, said.join(", "))
            }
        }
    }

    /// Temperature, calendar, plans, level, other.
    pub fn parts(&self) -> [i64; 5] {
        [
            self.temperature_m3,
            self.calendar_m3,
            self.plans_m3,
            self.level_m3,
            self.other_m3,
        ]
    }
}

impl RunChange {
    /// One sentence a day.
    pub fn sentences(&self, language: Language) -> Vec<String> {
        self.days.iter().map(|day| day.sentence(language)).collect()
    }
}

impl fmt::Display for RunChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "from {} to {}", self.older, self.newer)?;
        for sentence in self.sentences(Language::Zh) {
            writeln!(f, "{sentence}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> DayChange {
        DayChange {
            day: "2026-12-01".parse().unwrap(),
            older_m3: 500_000,
            newer_m3: 531_000,
            temperature_m3: 30_000,
            calendar_m3: 0,
            plans_m3: -1_000,
            level_m3: 2_000,
            other_m3: 0,
            temperature_change_k: Some(-5.04),
        }
    }

    #[test]
    fn a_change_is_said_with_its_largest_part_first() {
        assert_eq!(
            change().sentence(Language::Zh),
            "2026-12-01:预测变化 +3.1000 万m³,其中气温(-5.0℃)+3.0000,用气水平 +0.2000,计划 -0.1000"
        );
        assert_eq!(
            change().sentence(Language::En),
            "2026-12-01: +3.1000 万m³, of which temperature(-5.0 K)+3.0000, level +0.2000, plans -0.1000"
        );
        assert_eq!(change().parts().iter().sum::<i64>(), 31_000);
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        let mut same = change();
        same.newer_m3 = same.older_m3;
        same.temperature_m3 = 0;
        same.plans_m3 = 0;
        same.level_m3 = 0;
        assert_eq!(same.sentence(Language::En), "2026-12-01: unchanged");
    }
}
