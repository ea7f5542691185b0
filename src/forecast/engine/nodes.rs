//! From the request's days to one forecast per node: history, weather, model ladder, hour shapes.

use std::collections::BTreeMap;

use super::cold_start::HandOver;
use super::label;
use super::ladder::{Climber, MEAN_DAYS_MIN, Rung, climb};
use super::pooling::Priors;
use super::shares::{BookKeys, ShareErrors, shares_ahead};
use crate::domain::calendar::GasDay;
use crate::domain::demand::DemandNode;
use crate::forecast::ForecastError;
use crate::forecast::features::calendar::DayTraits;
use crate::forecast::memory::{Recall, SeriesLessons};
use crate::forecast::models::daily::{DailyOptions, REGRESSION};
use crate::forecast::models::paths::ResidualPath;
use crate::forecast::models::rare_days::{ClassPrior, Evidence, PerColumn};
use crate::forecast::models::seasonal_naive;
use crate::forecast::models::series::DailyForecast;
use crate::forecast::models::series::DailySeries;
use crate::forecast::models::shape::{ShapeBook, ShapeDay};
use crate::forecast::parts::TakenOut;
use crate::forecast::request::{ForecastRequest, ModelChoice};
use crate::forecast::weather::WeatherAhead;

/// A day's volume counts as known if so much of it stands on measured hours.
const COVERAGE_MIN: f64 = 0.5;
/// Days of a node that are read, six years.
const HISTORY_DAYS_MAX: i64 = 2_200;
/// Below so many days another node of the class is the better guide.
const OWN_PATTERN_DAYS: usize = 28;

/// Complete days of one node before the origin's gas day.
pub(super) struct History {
    pub(super) node: DemandNode,
    days: BTreeMap<GasDay, [f64; 24]>,
    /// Standard deviations of days that are partly estimated, m³.
    deviations: BTreeMap<GasDay, f64>,
}

impl History {
    pub(super) fn collect(
        request: &ForecastRequest,
        today: GasDay,
    ) -> Result<Vec<Self>, ForecastError> {
        let mut nodes: BTreeMap<&DemandNode, Self> = BTreeMap::new();
        let empty = |node: &DemandNode| Self {
            node: node.clone(),
            days: BTreeMap::new(),
            deviations: BTreeMap::new(),
        };
        let earliest = today.plus(-HISTORY_DAYS_MAX);
        for day in request
            .demand
            .iter()
            .filter(|d| d.day < today && d.day >= earliest)
        {
            if !day.volume_m3().is_finite() {
                return Err(ForecastError::NotFinite {
                    series: label(&day.node),
                    day: day.day,
                });
            }
            let of_node = nodes.entry(&day.node).or_insert_with(|| empty(&day.node));
            if request.weighs_estimates && day.uncertainty_m3 > 0.0 {
                of_node.deviations.insert(day.day, day.deviation_m3());
            }
            let is_known = day.coverage >= COVERAGE_MIN;
            if is_known && of_node.days.insert(day.day, day.hours_m3).is_some() {
                return Err(ForecastError::DuplicateDay {
                    series: label(&day.node),
                    day: day.day,
                });
            }
        }
        let to_come = today.plus(i64::try_from(request.horizon_days).unwrap_or(0));
        let connected = request.capacities.iter().flatten();
        let connected = connected.filter(|(_, of)| of.m3h_on(to_come) > 0.0);
        for node in request
            .today_hours
            .keys()
            .chain(connected.map(|(node, _)| node))
        {
            nodes.entry(node).or_insert_with(|| empty(node));
        }
        Ok(nodes.into_values().collect())
    }
}

/// A node with its forecast of days and the shapes that cut them into hours.
pub(super) struct PreparedNode {
    pub(super) node: DemandNode,
    pub(super) model: &'static str,
    /// Expectation and residual paths by lead; lead 1 is the origin's gas day. Known production
    /// changes are not in it.
    pub(super) forecast: DailyForecast,
    /// Expected shares of the hours by lead.
    pub(super) shares: Vec<[f64; 24]>,
    /// Share errors of past days, and the first of those days.
    pub(super) share_errors: ShareErrors,
    pub(super) first: GasDay,
    pub(super) last_known: Option<GasDay>,
    /// What the festival does to it, by columns of rare days, as parts of its level.
    pub(super) festival: Option<PerColumn>,
}

/// A node before a model was found for it.
struct Candidate {
    /// What its regression learns; without temperatures where none is known.
    lessons: SeriesLessons,
    history: History,
    series: DailySeries,
    given: Vec<f64>,
    book: ShapeBook,
    days_known: usize,
    forecast: Option<DailyForecast>,
    /// Days since a regression became possible.
    regression_age: Option<usize>,
}

/// Forecasts every node that can be; names those that cannot.
pub(super) fn prepare_all(
    request: &ForecastRequest,
    recall: &Recall<'_>,
    taken_out: &TakenOut,
    today: GasDay,
    histories: Vec<History>,
    options: DailyOptions,
) -> Result<(Vec<PreparedNode>, Vec<String>, Priors), ForecastError> {
    let mut candidates: Vec<Candidate> = histories
        .into_iter()
        .map(|h| candidate(request, taken_out, today, h, options))
        .collect();
    let priors = priors(request, recall, today, &candidates);
    for (i, candidate) in candidates.iter_mut().enumerate() {
        let prior = priors.nodes.get(i).and_then(Option::as_ref);
        candidate.forecast = own_forecast(request, recall, candidate, prior);
    }
    let mut rungs = rungs(request, today, &candidates);
    let mut prepared = Vec::with_capacity(candidates.len());
    let mut left_out = Vec::new();
    for (i, (candidate, rung)) in candidates.iter().zip(&mut rungs).enumerate() {
        match prepare(request, recall, candidate, &candidates, rung.take()) {
            Some(mut node) => {
                if request.months.is_some() && expects_rare_days(request) {
                    let prior = priors.nodes.get(i).and_then(Option::as_ref);
                    node.festival = festival(&candidate.lessons.rare_evidence(recall), prior);
                }
                prepared.push(node);
            }
            None => left_out.push(format!(
                "{} (have {} days, need {MEAN_DAYS_MIN})",
                label(&candidate.history.node),
                candidate.days_known
            )),
        }
    }
    if prepared.is_empty()
        && let Some(best) = candidates.iter().max_by_key(|c| c.days_known)
    {
        return Err(ForecastError::InsufficientHistory {
            series: label(&best.history.node),
            have: best.days_known,
            need: MEAN_DAYS_MIN,
        });
    }
    Ok((prepared, left_out, priors))
}

/// A node's days before `today` with what is known of the weather then; its calendar reaches beyond the
/// horizon.
pub(super) fn series_of(
    request: &ForecastRequest,
    taken_out: &TakenOut,
    today: GasDay,
    history: &History,
) -> DailySeries {
    let yesterday = today.plus(-1);
    let first = history.days.keys().next().copied();
    let first = first.unwrap_or(yesterday).min(yesterday);
    let known = usize::try_from(today.days_since(first)).unwrap_or(1);
    let horizon = request.horizon_days;
    let weather = request.weather.get(&history.node.zone);
    let effects = taken_out.get(&history.node);
    let traits = DayTraits::span_of(&request.calendar, &history.node, first, known + horizon + 2);
    let mut values = vec![f64::NAN; known];
    let mut temperatures = vec![f64::NAN; known];
    for i in 0..known {
        let day = traits[i].day;
        if let Some(observed) = weather.and_then(|w| w.observed.get(&day)) {
            temperatures[i] = *observed;
        }
        if let Some(hours) = history.days.get(&day) {
            let effect = effects.and_then(|e| e.get(&day)).copied().unwrap_or(0.0);
            values[i] = (hours.iter().sum::<f64>() - effect).max(0.0);
        }
    }
    let deviation = |i: usize| history.deviations.get(&traits[i].day).copied();
    let deviations = if history.deviations.is_empty() {
        Vec::new()
    } else {
        (0..known).map(|i| deviation(i).unwrap_or(0.0)).collect()
    };
    let series = DailySeries {
        values,
        traits,
        temperatures,
        deviations,
        climate: Vec::new(),
    };
    match weather {
        Some(weather) if request.reads_climate => series.with_climate(&weather.observed),
        _ => series,
    }
}

/// What a node's regression learns from; without temperatures where none is known.
pub(super) fn lessons_of(mut series: DailySeries, options: DailyOptions) -> SeriesLessons {
    if !series.temperatures.iter().any(|t| t.is_finite()) {
        series.temperatures.clear();
        series.climate.clear();
    }
    SeriesLessons::new(series, options)
}

fn candidate(
    request: &ForecastRequest,
    taken_out: &TakenOut,
    today: GasDay,
    history: History,
    options: DailyOptions,
) -> Candidate {
    let series = series_of(request, taken_out, today, &history);
    let known = series.values.len();
    let weather = request.weather.get(&history.node.zone);
    let days = series.traits.iter().zip(&series.temperatures);
    let shape_days = days
        .map(|(traits, temperature)| ShapeDay {
            traits: *traits,
            temperature: *temperature,
            hours: history
                .days
                .get(&traits.day)
                .copied()
                .unwrap_or([f64::NAN; 24]),
        })
        .collect();
    let given = (0..request.horizon_days)
        .map(|lead| {
            let day = series.traits[known + lead].day;
            weather
                .and_then(|w| w.forecast.get(&day))
                .copied()
                .unwrap_or(f64::NAN)
        })
        .collect();
    Candidate {
        days_known: series.days_known(known - 1),
        history,
        given,
        book: ShapeBook::new(shape_days),
        lessons: lessons_of(series.clone(), options),
        series,
        forecast: None,
        regression_age: None,
    }
}

/// Whether alike customers are asked about rare days.
pub(super) fn expects_rare_days(request: &ForecastRequest) -> bool {
    request.models != ModelChoice::SeasonalNaive && request.calendar.years().next().is_some()
}

/// What customers of a class say of rare days; nothing for the baseline, which is to stay plain.
fn priors(
    request: &ForecastRequest,
    recall: &Recall<'_>,
    today: GasDay,
    candidates: &[Candidate],
) -> Priors {
    if !expects_rare_days(request) {
        return Priors::default();
    }
    let evidence = candidates
        .iter()
        .map(|candidate| {
            let said = candidate.lessons.rare_evidence(recall);
            (candidate.history.node.class, said)
        })
        .collect();
    Priors::new(request, recall, today, evidence)
}

/// What rare days do to a node, as parts of its level: its own days and its class, by what each is worth.
/// None where its level is not known.
fn festival(evidence: &Evidence, prior: Option<&ClassPrior>) -> Option<PerColumn> {
    let level = evidence.level.filter(|level| *level > 0.0)?;
    Some(std::array::from_fn(|j| {
        let own = evidence.own.as_ref();
        let (effect, worth) = own.map_or((0.0, 0.0), |own| {
            (own.effects[j], own.days[j] * own.weights[j])
        });
        let (of_class, pull) = prior.map_or((0.0, 0.0), |of| (of.effects[j] / level, of.pull[j]));
        let all = worth + pull;
        if all > 0.0 {
            (worth * effect + pull * of_class) / all
        } else {
            0.0
        }
    }))
}

fn own_forecast(
    request: &ForecastRequest,
    recall: &Recall<'_>,
    candidate: &mut Candidate,
    prior: Option<&ClassPrior>,
) -> Option<DailyForecast> {
    let lessons = &candidate.lessons;
    let ahead = if lessons.series().temperatures.is_empty() {
        WeatherAhead::None
    } else {
        WeatherAhead::Forecast(request.weather_skill)
    };
    match request.models {
        ModelChoice::Best => {
            let said = lessons.forecast(recall, prior, ahead, &candidate.given)?;
            candidate.regression_age = said.regression_age;
            if let Some(run) = said.learnt_by {
                recall.note(label(&candidate.history.node), run);
            }
            Some(said.forecast)
        }
        ModelChoice::SeasonalNaive if candidate.days_known >= seasonal_naive::DAYS_MIN => {
            lessons.baseline(request.horizon_days)
        }
        ModelChoice::SeasonalNaive => None,
    }
}

/// Where each node stands on the ladder. The class is not asked in a run that was made without capacities.
fn rungs(request: &ForecastRequest, today: GasDay, candidates: &[Candidate]) -> Vec<Option<Rung>> {
    let capacities = request.capacities.as_ref();
    let nodes: Vec<Climber<'_>> = candidates
        .iter()
        .map(|candidate| Climber {
            node: &candidate.history.node,
            series: &candidate.series,
            capacity: capacities.and_then(|of| of.get(&candidate.history.node)),
            own: candidate.forecast.as_ref(),
            regression_age: candidate.regression_age,
        })
        .collect();
    let asks_class = request.models == ModelChoice::Best && capacities.is_some();
    let hand_over = asks_class.then_some(if request.customer_capacities.is_some() {
        HandOver::Drawn
    } else {
        HandOver::Averaged
    });
    climb(&nodes, today, request.horizon_days, hand_over)
}

fn prepare(
    request: &ForecastRequest,
    recall: &Recall<'_>,
    candidate: &Candidate,
    all: &[Candidate],
    rung: Option<Rung>,
) -> Option<PreparedNode> {
    let lent = lent_as_before(request, candidate, all);
    let (forecast, book) = if let Some((forecast, donor)) = lent {
        (forecast, &donor.book)
    } else {
        let rung = rung?;
        let is_known = candidate.days_known >= OWN_PATTERN_DAYS;
        let donor = rung.donor.and_then(|donor| all.get(donor));
        let of_hours = donor.filter(|_| !is_known).unwrap_or(candidate);
        (rung.forecast, &of_hours.book)
    };
    let known = candidate.series.values.len();
    let keys = BookKeys::new(recall, book);
    let ahead = &candidate.series.traits[known..known + request.horizon_days];
    let shares = shares_ahead(recall, (book, &keys), ahead, &candidate.given);
    let recent = book
        .days()
        .len()
        .saturating_sub(DailyOptions::default().path_days_of(request.horizon_days));
    let first = book
        .days()
        .first()
        .map_or_else(|| candidate.series.first(), |d| d.traits.day);
    // Only hours are moved by them.
    let has_hours = request.hourly_days > 0 || !request.today_hours.is_empty();
    let share_errors = if request.draws > 0 && has_hours {
        // No draw asks for a day before the one after the first path's origin.
        let earliest = forecast.paths.first().map_or(0, |p| {
            usize::try_from(p.origin.days_since(first)).map_or(0, |origin| origin + 1)
        });
        ShareErrors::new(recall, (book, &keys), recent.max(earliest))
    } else {
        ShareErrors::default()
    };
    Some(PreparedNode {
        node: candidate.history.node.clone(),
        model: forecast.model,
        forecast,
        shares,
        share_errors,
        first,
        last_known: candidate.history.days.keys().next_back().copied(),
        festival: None,
    })
}

/// What runs kept without capacities were made by, so that they can be made again.
fn lent_as_before<'a>(
    request: &ForecastRequest,
    candidate: &Candidate,
    all: &'a [Candidate],
) -> Option<(DailyForecast, &'a Candidate)> {
    let own = candidate.forecast.as_ref();
    let is_regression = own.is_some_and(|f| f.model == REGRESSION);
    let may_borrow = request.models == ModelChoice::Best
        && request.capacities.is_none()
        && !is_regression
        && (1..OWN_PATTERN_DAYS).contains(&candidate.days_known);
    may_borrow.then(|| class_profile(candidate, all)).flatten()
}

/// The forecast of another node of the class, scaled by the days both have.
fn class_profile<'a>(
    candidate: &Candidate,
    all: &'a [Candidate],
) -> Option<(DailyForecast, &'a Candidate)> {
    let donor = all
        .iter()
        .filter(|c| c.history.node.class == candidate.history.node.class)
        .filter(|c| c.forecast.as_ref().is_some_and(|f| f.model == REGRESSION))
        .max_by_key(|c| c.days_known)?;
    let (mut own, mut lent) = (0.0, 0.0);
    for (day, hours) in &candidate.history.days {
        if let Some(of_donor) = donor.history.days.get(day) {
            own += hours.iter().sum::<f64>();
            lent += of_donor.iter().sum::<f64>();
        }
    }
    if lent <= 0.0 {
        return None;
    }
    let ratio = own / lent;
    let of_donor = donor.forecast.as_ref()?;
    let forecast = DailyForecast {
        model: "class_profile",
        p50: of_donor.p50.iter().map(|v| v * ratio).collect(),
        paths: of_donor
            .paths
            .iter()
            .map(|path| ResidualPath {
                origin: path.origin,
                // A small share of a class varies more than the class: twice, for want of better.
                residuals: path.residuals.iter().map(|r| 2.0 * r * ratio).collect(),
            })
            .collect(),
    };
    Some((forecast, donor))
}
