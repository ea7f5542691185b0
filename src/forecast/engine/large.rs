//! Large consumers (大用户) one by one: by their own days, by what alike customers say of rare days, and
//! the young ones by their class.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::ops::Range;

use super::cold_start::{self, HandOver, Member};
use super::nodes::{History, lessons_of, series_of};
use super::pooling::Priors;
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{Band, quantile_of_sorted};
use crate::domain::id::CustomerId;
use crate::domain::text::fnv1a;
use crate::forecast::ForecastError;
use crate::forecast::customer::band;
use crate::forecast::draws::{choose_origins, daily_draw, path_for};
use crate::forecast::memory::{Key, KeyMaker, Lesson, Memory, Recall, SeriesLessons};
use crate::forecast::models::daily::DailyOptions;
use crate::forecast::models::rare_days::ClassPrior;
use crate::forecast::models::series::DailyForecast;
use crate::forecast::parts::{self, KnownConsumer, OwnDays};
use crate::forecast::request::{ForecastRequest, ModelChoice};

/// Customers of a class that young ones of it are forecast by, those with most days.
const DONORS_MAX: usize = 40;
/// Draws of a customer by itself, and their seed.
const DRAWS: usize = 200;
const SEED: u64 = 1;

/// The consumers of a request with the models of their days, in its order.
pub(super) fn known(request: &ForecastRequest, today: GasDay) -> Vec<Option<KnownConsumer>> {
    let of = |consumer| parts::model(consumer, request, today);
    request.parts.consumers.iter().map(of).collect()
}

/// What is expected of each before plans and production changes, from today on.
pub(super) fn forecasts(
    request: &ForecastRequest,
    recall: &Recall<'_>,
    today: GasDay,
    known: &[Option<KnownConsumer>],
    priors: &[Option<ClassPrior>],
) -> Vec<Option<DailyForecast>> {
    let consumers = request.parts.consumers.iter();
    let own: Vec<Option<OwnDays>> = consumers
        .zip(known)
        .enumerate()
        .map(|(i, (consumer, known))| {
            let prior = priors.get(i).and_then(Option::as_ref);
            Some(parts::own_days(consumer, known.as_ref()?, recall, prior))
        })
        .collect();
    let mut by_class = by_class(request, today, known, &own);
    let own = own.into_iter().enumerate();
    own.map(|(i, own)| by_class.remove(&i).or(own?.forecast))
        .collect()
}

/// Forecasts of young consumers by their class, by place; none of a run that was made without their
/// design flows.
fn by_class(
    request: &ForecastRequest,
    today: GasDay,
    known: &[Option<KnownConsumer>],
    own: &[Option<OwnDays>],
) -> BTreeMap<usize, DailyForecast> {
    let capacities = match &request.customer_capacities {
        Some(capacities) if request.models == ModelChoice::Best => capacities,
        _ => return BTreeMap::new(),
    };
    let mut members: Vec<(usize, Member<'_>)> = Vec::new();
    for (i, consumer) in request.parts.consumers.iter().enumerate() {
        let (Some(Some(known)), Some(Some(own))) = (known.get(i), own.get(i)) else {
            continue;
        };
        let member = Member {
            class: consumer.node.class,
            series: known.model.lessons.series(),
            capacity: capacities.get(&consumer.customer),
            own: own.forecast.as_ref(),
            regression_age: own.regression_age,
            seed: fnv1a(consumer.customer.as_str().bytes()),
        };
        members.push((i, member));
    }
    keep_longest(&mut members);
    let (places, members): (Vec<usize>, Vec<Member<'_>>) = members.into_iter().unzip();
    let found = cold_start::cold_starts(&members, today, request.horizon_days, HandOver::Drawn);
    let found = places.into_iter().zip(found);
    found
        .filter_map(|(place, cold)| Some((place, cold?.forecast)))
        .collect()
}

/// Leaves out donors of a class beyond those with most days: the time it takes to measure a class grows
/// with the square of them. Young ones stay.
fn keep_longest(members: &mut Vec<(usize, Member<'_>)>) {
    let mut donors: BTreeMap<CustomerClass, Vec<(usize, usize)>> = BTreeMap::new();
    for (place, member) in &*members {
        if member.is_grown_up() {
            let days = member.series.days_known(member.series.values.len() - 1);
            let of_class = donors.entry(member.class).or_default();
            of_class.push((days, *place));
        }
    }
    for of_class in donors.values_mut() {
        of_class.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let over: Vec<usize> = of_class.iter().skip(DONORS_MAX).map(|d| d.1).collect();
        members.retain(|(place, _)| !over.contains(place));
    }
}

/// One consumer's gas days by itself, without plans.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerDays {
    /// Rung of the ladder that its expectation comes from; METHODS.md, "Short history".
    pub model: &'static str,
    /// Bands of the request's days, m³; production changes are in them.
    pub bands: Vec<Band>,
    /// Bands of the months that lie wholly within these days, m³: from the sums of each joint draw, so
    /// narrower than the sums of the days' bands. P50 is the sum of the days'.
    pub months: BTreeMap<GasMonth, Band>,
}

/// Bands of the request's large consumers, each by itself, by what earlier runs learnt: the same to the
/// bit as of an empty memory. A consumer of whom nothing can be said is left out.
///
/// The lessons are those of a run of the same request, so that after a run nothing is learnt; and the
/// answer itself is kept, so that asking again costs the digest of what was asked.
///
/// # Errors
/// A request out of bounds, or days that are not numbers or come twice.
pub fn consumer_days(
    request: &ForecastRequest,
    memory: &Memory,
) -> Result<BTreeMap<CustomerId, ConsumerDays>, ForecastError> {
    request.check_days()?;
    let recall = memory.of_run(&request.run_id);
    let today = request.clock.day_of(request.origin_at);
    let taken_out = parts::taken_out(request, today);
    let nodes: Vec<(CustomerClass, SeriesLessons)> = History::collect(request, today)?
        .into_iter()
        .map(|history| {
            let series = series_of(request, &taken_out, today, &history);
            let lessons = lessons_of(series, DailyOptions::chinese());
            (history.node.class, lessons)
        })
        .collect();
    let known = known(request, today);
    let key = || key_of(request, today, &nodes, &known);
    let learn = || {
        let priors = if super::nodes::expects_rare_days(request) {
            let evidence = |(class, lessons): &(CustomerClass, SeriesLessons)| {
                (*class, lessons.rare_evidence(&recall))
            };
            let evidence = nodes.iter().map(evidence).collect();
            Priors::new(request, &recall, today, evidence)
        } else {
            Priors::default()
        };
        let forecasts = forecasts(request, &recall, today, &known, &priors.consumers);
        Answer(days_of(request, today, forecasts))
    };
    let (answer, _) = recall.of(key, learn);
    Ok(answer.0.clone())
}

/// What was answered to a question.
struct Answer(BTreeMap<CustomerId, ConsumerDays>);

impl Lesson for Answer {
    fn bytes(&self) -> usize {
        let of = |(id, days): (&CustomerId, &ConsumerDays)| {
            let bands = days.bands.len() * size_of::<Band>()
                + days.months.len() * size_of::<(GasMonth, Band)>();
            size_of::<(CustomerId, ConsumerDays)>() + id.as_str().len() + bands
        };
        size_of::<Self>() + self.0.iter().map(of).sum::<usize>()
    }

    fn is_made_of_lessons(&self) -> bool {
        true
    }
}

/// A digest of everything that the bands are made from.
fn key_of(
    request: &ForecastRequest,
    today: GasDay,
    nodes: &[(CustomerClass, SeriesLessons)],
    known: &[Option<KnownConsumer>],
) -> Key {
    let mut key = KeyMaker::new("large consumers");
    key.day(today)
        .number(request.horizon_days)
        .number(usize::from(request.models == ModelChoice::Best))
        .number(usize::from(super::nodes::expects_rare_days(request)))
        .number(usize::from(request.customer_capacities.is_some()))
        .number(nodes.len());
    for (class, lessons) in nodes {
        key.text(class.key()).part(lessons.key());
    }
    key.number(known.len());
    for (consumer, known) in request.parts.consumers.iter().zip(known) {
        key.text(consumer.customer.as_str())
            .text(consumer.node.class.key());
        let effects: Vec<f64> = effects_of(request, today, &consumer.effects);
        key.values(&effects);
        let capacities = request.customer_capacities.as_ref();
        let capacity = capacities.and_then(|of| of.get(&consumer.customer));
        let steps = capacity.map_or(&[][..], |capacity| capacity.steps());
        key.number(steps.len());
        for step in steps {
            key.day(step.from_on).values(&[step.m3h]);
        }
        key.number(usize::from(known.is_some()));
        if let Some(known) = known {
            known.add_to(&mut key);
        }
    }
    key.key()
}

fn effects_of(
    request: &ForecastRequest,
    today: GasDay,
    effects: &BTreeMap<GasDay, f64>,
) -> Vec<f64> {
    let days = (0_i64..).take(request.horizon_days);
    days.map(|lead| effects.get(&today.plus(lead)).copied().unwrap_or(0.0))
        .collect()
}

fn days_of(
    request: &ForecastRequest,
    today: GasDay,
    forecasts: Vec<Option<DailyForecast>>,
) -> BTreeMap<CustomerId, ConsumerDays> {
    let consumers = request.parts.consumers.iter().zip(forecasts);
    let months = whole_months(today, request.horizon_days);
    consumers
        .filter_map(|(consumer, forecast)| {
            let forecast = forecast?;
            let effects = effects_of(request, today, &consumer.effects);
            let chosen = choose_origins([forecast.paths.as_slice()], today.plus(-1), DRAWS, SEED);
            let draws: Vec<Vec<f64>> = chosen
                .iter()
                .map(|past| daily_draw(&forecast.p50, path_for(&forecast.paths, *past)))
                .collect();
            let with = |lead: usize, m3: f64| (m3 + effects[lead]).max(0.0);
            let p50_on = |lead: usize| with(lead, forecast.p50[lead]);
            let bands = (0..request.horizon_days)
                .map(|lead| {
                    let of_day = draws.iter().map(|draw| with(lead, draw[lead])).collect();
                    band_of(of_day, p50_on(lead))
                })
                .collect();
            let months = months.iter().map(|(month, leads)| {
                let sum = |of: &dyn Fn(usize) -> f64| leads.clone().map(of).sum::<f64>();
                let of_month = draws.iter().map(|draw| sum(&|lead| with(lead, draw[lead])));
                (*month, band_of(of_month.collect(), sum(&p50_on)))
            });
            let days = ConsumerDays {
                model: forecast.model,
                bands,
                months: months.collect(),
            };
            Some((consumer.customer.clone(), days))
        })
        .collect()
}

fn band_of(mut draws: Vec<f64>, p50: f64) -> Band {
    draws.sort_by(f64::total_cmp);
    if draws.is_empty() {
        return band(p50, p50, p50);
    }
    let quantile = |q| quantile_of_sorted(&draws, q);
    band(quantile(0.1), p50, quantile(0.9))
}

/// The months of which every day is asked for, and the positions of their days.
fn whole_months(today: GasDay, horizon_days: usize) -> Vec<(GasMonth, Range<usize>)> {
    let until = today.plus(i64::try_from(horizon_days).unwrap_or(0));
    let mut month = today.month();
    if month.first_day() < today {
        month = month.next();
    }
    let mut out = Vec::new();
    while month.next().first_day() <= until {
        let at = |day: GasDay| usize::try_from(day.days_since(today)).unwrap_or(0);
        out.push((month, at(month.first_day())..at(month.next().first_day())));
        month = month.next();
    }
    out
}

#[cfg(test)]
mod tests;
