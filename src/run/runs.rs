//! Forecast runs that can be made again: what a run was made from is kept with it, and
//! [`reproduce`] makes it anew from that, bit for bit, and says what has changed since.
//!
//! A run's inputs are cut into parts kept by content (demand by gas month, weather by zone), so a
//! run costs what is new in it.

mod reproducing;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::breakdown::Breakdown;
use crate::domain::calendar::{Calendar, CalendarYear, GasDay, GasDayClock, GasMonth};
use crate::domain::demand::{DemandDay, DemandForecast};
use crate::domain::id::{CustomerId, RunId, ZoneId};
use crate::domain::months::MonthlyOutlook;
use crate::domain::season::Place;
use crate::forecast::engine::{self, EngineRun};
use crate::forecast::memory::{Learning, Memory};
use crate::forecast::models::daily::Weighing;
use crate::forecast::request::{ConsumerInput, ForecastRequest};
use crate::forecast::weather::{ForecastSkill, ZoneWeather};
use crate::run::app::App;
use crate::store::book::RunPart;

pub use reproducing::{Reproduction, reproduce};

const SETTINGS: &str = "settings";
const VERSIONS: &str = "versions";
const CALENDAR: &str = "calendar";
const PLACES: &str = "places";
const TODAY_HOURS: &str = "today_hours";
const SHARES: &str = "shares";
const EFFECTS: &str = "effects";
const CONSUMERS: &str = "consumers";
const PROJECTS: &str = "projects";
const FACTORS: &str = "factors";
const CAPACITIES: &str = "capacities";
const CUSTOMER_CAPACITIES: &str = "customer_capacities";
const WEIGHING: &str = "weighing";
const CLIMATE: &str = "climate";
const MONTHS: &str = "months";
/// How estimated days count less, as [`WEIGHING`] keeps it.
const IN_FITS: u8 = 1;
const IN_ALL: u8 = 2;
const CONSUMER: &str = "consumer ";
/// Biases of industries that plans are shrunk toward, by customer.
const PLAN_PRIORS: &str = "plan_priors";
const DEVIATIONS: &str = "deviations ";
const DEMAND: &str = "demand ";
const OBSERVED: &str = "observed ";
/// Temperatures of earlier years, a part for each, so that a run costs the year under way.
const EARLIER: &str = "earlier ";
const FORECAST: &str = "weather ";

/// What is neither data nor version.
#[derive(Debug, Serialize, Deserialize)]
struct RunSettings {
    run_id: RunId,
    origin_at: DateTime<Utc>,
    clock: GasDayClock,
    skill: ForecastSkill,
    horizon_days: usize,
    hourly_days: usize,
    draws: usize,
    seed: u64,
}

/// Cuts a request into parts.
///
/// # Errors
/// A part that cannot be encoded, which would be a bug.
pub fn parts_of(request: &ForecastRequest) -> anyhow::Result<Vec<RunPart>> {
    let mut parts = Vec::new();
    let mut add = |name: String, body: Result<Vec<u8>, postcard::Error>| {
        let body = body.with_context(|| format!("cannot encode `{name}`"))?;
        parts.push(RunPart { name, body });
        anyhow::Ok(())
    };
    let settings = RunSettings {
        run_id: request.run_id.clone(),
        origin_at: request.origin_at,
        clock: request.clock,
        skill: request.weather_skill,
        horizon_days: request.horizon_days,
        hourly_days: request.hourly_days,
        draws: request.draws,
        seed: request.seed,
    };
    add(SETTINGS.into(), postcard::to_stdvec(&settings))?;
    add(VERSIONS.into(), postcard::to_stdvec(&request.inputs))?;
    let years: Vec<&CalendarYear> = request.calendar.years().collect();
    add(CALENDAR.into(), postcard::to_stdvec(&years))?;
    if !request.calendar.places().is_empty() {
        add(
            PLACES.into(),
            postcard::to_stdvec(request.calendar.places()),
        )?;
    }
    add(
        TODAY_HOURS.into(),
        postcard::to_stdvec(&request.today_hours),
    )?;
    add(SHARES.into(), postcard::to_stdvec(&request.shares))?;
    add(EFFECTS.into(), postcard::to_stdvec(&request.effects))?;
    if let Some(capacities) = &request.capacities {
        add(CAPACITIES.into(), postcard::to_stdvec(capacities))?;
    }
    if let Some(capacities) = &request.customer_capacities {
        add(CUSTOMER_CAPACITIES.into(), postcard::to_stdvec(capacities))?;
    }
    let known = &request.parts;
    // A customer's days are a part of their own, so that plans filed by the hour cost no history.
    let without_days: Vec<ConsumerInput> = known
        .consumers
        .iter()
        .map(|consumer| ConsumerInput {
            days: Vec::new(),
            ..consumer.clone()
        })
        .collect();
    add(CONSUMERS.into(), postcard::to_stdvec(&without_days))?;
    add(PROJECTS.into(), postcard::to_stdvec(&known.projects))?;
    add(FACTORS.into(), postcard::to_stdvec(&known.factors))?;
    for consumer in known.consumers.iter().filter(|c| !c.days.is_empty()) {
        let name = format!("{CONSUMER}{}", consumer.customer);
        add(name, postcard::to_stdvec(&consumer.days))?;
    }
    // Without past plans there are none; runs of earlier programs knew of none.
    let priors = known.consumers.iter().filter(|c| c.plan_prior != 0.0);
    let priors: BTreeMap<&CustomerId, f64> = priors.map(|c| (&c.customer, c.plan_prior)).collect();
    if !priors.is_empty() {
        add(PLAN_PRIORS.into(), postcard::to_stdvec(&priors))?;
    }
    // Days that were all measured have none; runs of earlier programs knew of none.
    for consumer in known.consumers.iter().filter(|c| !c.deviations.is_empty()) {
        let name = format!("{DEVIATIONS}{}", consumer.customer);
        add(name, postcard::to_stdvec(&consumer.deviations))?;
    }
    // Without estimates it makes no difference; runs of earlier programs did not weigh them, or in fits alone
    // and then without a word of those of customers.
    let is_estimated = request.demand.iter().any(|day| day.uncertainty_m3 > 0.0);
    let is_all = request.weighing == Weighing::All;
    let of_customers = known.consumers.iter().any(|c| !c.deviations.is_empty());
    if request.weighs_estimates && (is_estimated || is_all && of_customers) {
        let way = if is_all { IN_ALL } else { IN_FITS };
        add(WEIGHING.into(), postcard::to_stdvec(&way))?;
    }
    let mut months: BTreeMap<GasMonth, Vec<&DemandDay>> = BTreeMap::new();
    for day in &request.demand {
        months.entry(day.day.month()).or_default().push(day);
    }
    for (month, days) in months {
        add(format!("{DEMAND}{month}"), postcard::to_stdvec(&days))?;
    }
    // Runs of earlier programs had weather of their own days, and knew of no months.
    if request.reads_climate {
        add(CLIMATE.into(), postcard::to_stdvec(&request.reads_climate))?;
    }
    if let Some(months) = &request.months {
        add(MONTHS.into(), postcard::to_stdvec(months))?;
    }
    for (zone, weather) in &request.weather {
        add_weather(&mut add, request, zone, weather)?;
    }
    Ok(parts)
}

/// Weather of a zone; where climatology knows all of it, each year before the last is a part.
fn add_weather(
    add: &mut impl FnMut(String, Result<Vec<u8>, postcard::Error>) -> anyhow::Result<()>,
    request: &ForecastRequest,
    zone: &ZoneId,
    weather: &ZoneWeather,
) -> anyhow::Result<()> {
    let mut observed = &weather.observed;
    let recent: BTreeMap<GasDay, f64>;
    if request.reads_climate {
        let last = request.clock.day_of(request.origin_at).month().year - 1;
        let mut years: BTreeMap<i32, BTreeMap<GasDay, f64>> = BTreeMap::new();
        for (day, celsius) in &weather.observed {
            let year = day.month().year.min(last);
            years.entry(year).or_default().insert(*day, *celsius);
        }
        recent = years.remove(&last).unwrap_or_default();
        observed = &recent;
        for (year, days) in years {
            add(
                format!("{EARLIER}{year} {zone}"),
                postcard::to_stdvec(&days),
            )?;
        }
    }
    add(format!("{OBSERVED}{zone}"), postcard::to_stdvec(observed))?;
    let ahead = (&weather.forecast, &weather.issued_at);
    add(format!("{FORECAST}{zone}"), postcard::to_stdvec(&ahead))
}

/// One digest over all parts, hex: two runs with the same one were made from the same.
pub fn digest_of(parts: &[RunPart]) -> String {
    let mut hash = Sha256::new();
    let sorted: BTreeMap<&str, &[u8]> = parts
        .iter()
        .filter(|part| part.name != SETTINGS)
        .map(|part| (part.name.as_str(), part.body.as_slice()))
        .collect();
    for (name, body) in sorted {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((body.len() as u64).to_le_bytes());
        hash.update(body);
    }
    hex::encode(hash.finalize())
}

fn decode<T: DeserializeOwned>(part: &RunPart) -> anyhow::Result<T> {
    postcard::from_bytes(&part.body)
        .with_context(|| format!("part `{}` of the run cannot be decoded", part.name))
}

/// Puts a request together again.
///
/// # Errors
/// A part that is missing, or written by another version of the program in another form.
pub fn request_of(parts: &[RunPart]) -> anyhow::Result<ForecastRequest> {
    let part = |name: &str| {
        parts
            .iter()
            .find(|part| part.name == name)
            .with_context(|| format!("the run has no part `{name}`"))
    };
    let settings: RunSettings = decode(part(SETTINGS)?)?;
    let years: Vec<CalendarYear> = decode(part(CALENDAR)?)?;
    let places: Vec<Place> = part(PLACES).map_or_else(|_| Ok(Vec::new()), decode)?;
    let mut request = ForecastRequest::new(
        settings.run_id,
        settings.origin_at,
        settings.clock,
        Calendar::new(years).with_places(places),
    );
    request.weather_skill = settings.skill;
    request.horizon_days = settings.horizon_days;
    request.hourly_days = settings.hourly_days;
    request.draws = settings.draws;
    request.seed = settings.seed;
    request.inputs = decode(part(VERSIONS)?)?;
    request.today_hours = decode(part(TODAY_HOURS)?)?;
    request.shares = decode(part(SHARES)?)?;
    request.effects = decode(part(EFFECTS)?)?;
    // Runs of earlier programs knew none of these.
    if part(CONSUMERS).is_ok() {
        request.parts.consumers = decode(part(CONSUMERS)?)?;
        request.parts.projects = decode(part(PROJECTS)?)?;
        request.parts.factors = decode(part(FACTORS)?)?;
    }
    request.capacities = part(CAPACITIES).ok().map(decode).transpose()?;
    let of_customers = part(CUSTOMER_CAPACITIES).ok().map(decode);
    request.customer_capacities = of_customers.transpose()?;
    request.reads_climate = part(CLIMATE).is_ok();
    request.months = part(MONTHS).ok().map(decode).transpose()?;
    let way: Option<u8> = part(WEIGHING).ok().map(decode).transpose()?;
    request.weighs_estimates = way.is_some();
    request.weighing = if way == Some(IN_ALL) {
        Weighing::All
    } else {
        Weighing::Fits
    };
    let priors = part(PLAN_PRIORS).ok().map(decode).transpose()?;
    let mut priors: BTreeMap<CustomerId, f64> = priors.unwrap_or_default();
    for consumer in &mut request.parts.consumers {
        consumer.plan_prior = priors.remove(&consumer.customer).unwrap_or(0.0);
        if let Ok(days) = part(&format!("{CONSUMER}{}", consumer.customer)) {
            consumer.days = decode(days)?;
        }
        if let Ok(deviations) = part(&format!("{DEVIATIONS}{}", consumer.customer)) {
            consumer.deviations = decode(deviations)?;
        }
    }
    for part in parts {
        if part.name.starts_with(DEMAND) {
            request.demand.extend(decode::<Vec<DemandDay>>(part)?);
        } else if let Some(zone) = part.name.strip_prefix(OBSERVED) {
            let of_zone: &mut ZoneWeather = request.weather.entry(zone.into()).or_default();
            of_zone.observed.append(&mut decode(part)?);
        } else if let Some((_, zone)) = part
            .name
            .strip_prefix(EARLIER)
            .and_then(|name| name.split_once(' '))
        {
            let of_zone: &mut ZoneWeather = request.weather.entry(zone.into()).or_default();
            of_zone.observed.append(&mut decode(part)?);
        } else if let Some(zone) = part.name.strip_prefix(FORECAST) {
            let of_zone: &mut ZoneWeather = request.weather.entry(zone.into()).or_default();
            (of_zone.forecast, of_zone.issued_at) = decode(part)?;
        }
    }
    Ok(request)
}

/// Makes a run and names what it was made from; the parts are kept with it. What the memory knows of
/// the same past need not be learnt again, and makes no difference to the run.
///
/// # Errors
/// Too little history.
pub fn make(mut request: ForecastRequest, memory: &Memory) -> anyhow::Result<Made> {
    let parts = parts_of(&request)?;
    request.inputs.push(("inputs".into(), digest_of(&parts)));
    let EngineRun {
        forecast,
        breakdown,
        months,
        learning,
    } = engine::run_with(&request, memory)?;
    Ok(Made {
        forecast,
        breakdown,
        months,
        parts,
        learning,
    })
}

/// A run that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// The run.
    pub forecast: DemandForecast,
    /// What it consists of.
    pub breakdown: Breakdown,
    /// The months ahead, where they were asked for.
    pub months: Option<MonthlyOutlook>,
    /// What it was made from.
    pub parts: Vec<RunPart>,
    /// Which of its regressions it learnt, and which earlier runs did.
    pub learning: Learning,
}

/// Why a run cannot be looked into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunMissing {
    /// There is none of this name.
    #[error("there is no run `{id}`; GET /api/v1/forecast/runs lists those that are kept")]
    Run {
        /// The name.
        id: RunId,
    },
    /// It is kept, what it was made from is not.
    #[error(
        "what run `{id}` was made from was not kept: it was made by an earlier version; \
         runs made from now on can be reproduced"
    )]
    Inputs {
        /// The name.
        id: RunId,
    },
}

/// A kept run, and the request it was made from as it stood before [`make`].
///
/// # Errors
/// There is no such run, or its inputs were not kept.
pub fn kept(app: &App, id: &RunId) -> anyhow::Result<(Arc<DemandForecast>, ForecastRequest)> {
    let Some(run) = app.book.forecast_run(id)? else {
        return Err(RunMissing::Run { id: id.clone() }.into());
    };
    let parts = app.book.run_parts(id)?;
    if parts.is_empty() {
        return Err(RunMissing::Inputs { id: id.clone() }.into());
    }
    Ok((run, request_of(&parts)?))
}
