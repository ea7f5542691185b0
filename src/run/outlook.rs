//! Peaks, the design day and days alike, from the stores.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::demand::{DemandForecast, DemandView};
use crate::domain::registry::Registry;
use crate::forecast::outlook::design_day::{self, DesignDay, NoDesignDay, effective_days};
use crate::forecast::outlook::peaks::{Peak, peak_day, peak_hour};
use crate::forecast::outlook::similar::{DayFacts, similar_days};
use crate::forecast::weather::ZoneWeather;
use crate::run::app::App;
use crate::run::facts;
use crate::serve::actions::ActionError;
use crate::serve::api::outlook::{
    DesignDayView, OutlookView, PeakView, SimilarDayView, SimilarView,
};
use crate::store::error::StoreError;

/// Years of weather looked for.
const WEATHER_YEARS: i64 = 40;
const SEED: u64 = 20;

/// Peaks of the latest run, and the design day.
///
/// # Errors
/// There is no run yet, or what the stores say.
pub fn outlook(app: &App) -> Result<OutlookView, ActionError> {
    let now = app.clock.now();
    let run = app
        .book
        .forecast_run_known_at(now)
        .map_err(|error| failed(&error.into()))?;
    let Some(run) = run else {
        return Err(ActionError::NotFound {
            code: "forecast.none_yet",
            message: "no forecast has been made yet; the first run starts when a few weeks of demand are known".into(),
        });
    };
    let today = app.today();
    let total = DemandView::total();
    let design = design_day(app).map_err(|error| failed(&error))?;
    let missing = design.as_ref().err().copied();
    Ok(OutlookView {
        run_id: run.run_id.to_string(),
        peak_day: peak_day(&run, &total, today).map(|peak| peak_view(&run, &peak)),
        peak_hour: peak_hour(&run, &total, today).map(|peak| peak_view(&run, &peak)),
        design_day: design.ok().map(|day| DesignDayView {
            one_in_20_m3: day.one_in_20_m3,
            one_in_2_m3: day.one_in_2_m3,
            one_in_20_c: day.one_in_20_c,
            m3_per_kelvin: day.m3_per_kelvin,
            winters: day.winters,
            years: vec![day.years.0, day.years.1],
            is_extrapolated: day.is_extrapolated,
            demand_days: day.demand_days,
        }),
        missing_zh: missing.map(missing_zh),
        missing_en: missing.map(missing_en),
    })
}

fn failed(error: &anyhow::Error) -> ActionError {
    ActionError::Failed {
        code: "run.forecast",
        message: "this could not be done".into(),
        cause: format!("{error:#}"),
    }
}

fn missing_zh(why: NoDesignDay) -> String {
    match why {
        NoDesignDay::WintersMissing { have } => format!(
            "只有 {have} 个冬季的气温,至少需要 {} 个;请导入历史气温",
            design_day::WINTERS_MIN
        ),
        NoDesignDay::DemandMissing { have } => format!(
            "只有 {have} 天气量与气温,至少需要 {} 天",
            design_day::DEMAND_DAYS_MIN
        ),
    }
}

fn missing_en(why: NoDesignDay) -> String {
    match why {
        NoDesignDay::WintersMissing { have } => format!(
            "{have} winters of weather are known, {} are needed; import past temperatures",
            design_day::WINTERS_MIN
        ),
        NoDesignDay::DemandMissing { have } => format!(
            "{have} days of demand with their temperature are known, {} are needed",
            design_day::DEMAND_DAYS_MIN
        ),
    }
}

fn peak_view(run: &DemandForecast, peak: &Peak) -> PeakView {
    PeakView {
        gas_day: peak.day,
        civil_hour: peak.hour.map(|hour| run.clock.civil_hour(hour)),
        probability: peak.probability,
        p50_m3: peak.p50_m3,
        p90_m3: peak.p90_m3,
        p99_m3: peak.p99_m3,
        days: peak.days,
    }
}

/// The 1-in-20 design day from all weather and demand known now; why not, if there is none.
///
/// # Errors
/// What the stores say.
pub fn design_day(app: &App) -> anyhow::Result<Result<DesignDay, NoDesignDay>> {
    let registry = app.registry();
    let now = app.clock.now();
    let today = app.today();
    let demand = day_totals(app, today)?;
    let from = app
        .gas_day_clock()
        .start_of(today.plus(-366 * WEATHER_YEARS));
    let temperatures = observed(app, &registry, from, now)?;
    Ok(design_day::design_day(
        &app.calendar(),
        &demand,
        &temperatures,
        SEED,
    ))
}

pub(super) fn day_totals(app: &App, today: GasDay) -> Result<BTreeMap<GasDay, f64>, StoreError> {
    let mut out: BTreeMap<GasDay, f64> = BTreeMap::new();
    for day in facts::whole_days(app, today.plus(-facts::HISTORY_DAYS), today)? {
        *out.entry(day.day).or_default() += day.volume_m3();
    }
    Ok(out)
}

/// Observed daily means, averaged over the zones.
fn observed(
    app: &App,
    registry: &Registry,
    from: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<BTreeMap<GasDay, f64>, StoreError> {
    let mut weather = BTreeMap::new();
    for zone in registry.zones.values() {
        let points = app
            .book
            .observed_of(&zone.weather_station, from, now, now)?;
        let of_zone = ZoneWeather::from_points(app.gas_day_clock(), now, &points, &[], None);
        weather.insert(zone.id.clone(), of_zone);
    }
    Ok(facts::mean_temperatures(&weather))
}

/// Past days like a day to come.
///
/// # Errors
/// What the stores say.
pub fn similar(app: &App, day: GasDay, count: usize) -> Result<SimilarView, ActionError> {
    similar_view(app, day, count).map_err(|error| failed(&error))
}

fn similar_view(app: &App, day: GasDay, count: usize) -> anyhow::Result<SimilarView> {
    let registry = app.registry();
    let now = app.clock.now();
    let weather = facts::weather_at(app, &registry, now)?;
    let effective = effective_days(&facts::mean_temperatures(&weather));
    let mut hours: BTreeMap<GasDay, [f64; 24]> = BTreeMap::new();
    let today = app.today();
    for one in facts::whole_days(app, today.plus(-facts::HISTORY_DAYS), today)? {
        let of_day = hours.entry(one.day).or_insert([0.0; 24]);
        for (sum, m3) in of_day.iter_mut().zip(one.hours_m3) {
            *sum += m3;
        }
    }
    let calendar = app.calendar();
    let facts_of = |day: GasDay| DayFacts {
        day,
        effective_c: effective.get(&day).copied(),
    };
    let past: Vec<DayFacts> = hours.keys().map(|day| facts_of(*day)).collect();
    let days = similar_days(&calendar, facts_of(day), &past, count)
        .into_iter()
        .map(|found| {
            let of_day = hours.get(&found.day).copied().unwrap_or([0.0; 24]);
            SimilarDayView {
                gas_day: found.day,
                distance: found.distance,
                temperature_k: found.temperature_k,
                by_temperature: found.by_temperature,
                by_day_type: found.by_day_type,
                by_season: found.by_season,
                by_festival: found.by_festival,
                by_age: found.by_age,
                effective_c: effective.get(&found.day).copied(),
                holiday: calendar.holiday_name(found.day.0).map(str::to_owned),
                used_m3: whole(of_day.iter().sum()),
                hours_m3: of_day.into_iter().map(whole).collect(),
            }
        })
        .collect();
    Ok(SimilarView {
        gas_day: day,
        effective_c: effective.get(&day).copied(),
        days,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 m³"
)]
fn whole(m3: f64) -> i64 {
    m3.round() as i64
}
