//! A large consumer's own expectation, and its plan in the place of it.

use super::Frame;
use crate::domain::calendar::GasDay;
use crate::domain::demand::quantile_of_sorted;
use crate::forecast::customer::{self, CustomerModel, KnownDays, plan_bias};
use crate::forecast::draws::{daily_draw, path_for};
use crate::forecast::memory::{KeyMaker, Recall};
use crate::forecast::models::rare_days::{ClassPrior, Evidence};
use crate::forecast::models::series::DailyForecast;
use crate::forecast::request::{ConsumerInput, ForecastRequest};

/// A customer silent for longer is a part of the rest.
const SILENT_DAYS_MAX: i64 = 14;
/// A plan's band is at most so many times as wide as the model's.
const WIDTH_MAX: f64 = 5.0;
/// Model of a consumer of whom nothing but a plan is known.
pub const PLAN: &str = "plan";

/// A consumer's expectation by day of the run, before plans.
pub(super) struct Expected {
    pub(super) model: &'static str,
    /// m³ by day; production changes are in it.
    pub(super) p50: Vec<f64>,
    /// m³ by draw and day.
    pub(super) draws: Vec<Vec<f64>>,
    /// What its production changes add to each day, m³.
    pub(super) effects: Vec<f64>,
    pub(super) bias: f64,
    /// Corrected plan by day, m³.
    pub(super) plans: Vec<Option<f64>>,
    /// How far a draw's residual is stretched around a plan, by day.
    pub(super) width: Vec<f64>,
}

/// None where neither a plan is known nor, in `own`, what its own days and alike customers say of it.
pub(super) fn expected(
    consumer: &ConsumerInput,
    frame: &Frame<'_>,
    own: Option<&DailyForecast>,
) -> Option<Expected> {
    let Frame {
        request,
        today,
        chosen,
    } = *frame;
    let horizon = request.horizon_days;
    let days: Vec<GasDay> = (0_i64..).take(horizon).map(|i| today.plus(i)).collect();
    let effect = |day: &GasDay| consumer.effects.get(day).copied().unwrap_or(0.0);
    let effects: Vec<f64> = days.iter().map(effect).collect();
    let record = plan_bias(today, &consumer.past_plans, consumer.plan_prior);
    let plans: Vec<Option<f64>> = days
        .iter()
        .map(|day| consumer.plans.get(day))
        .map(|filed| filed.map(|m3| (m3 * (1.0 + record.bias)).max(0.0)))
        .collect();
    let (model, p50, draws) = match own {
        Some(own) => {
            let with_effects = |volumes: &[f64]| -> Vec<f64> {
                let days = volumes.iter().zip(&effects);
                days.map(|(m3, effect)| (m3 + effect).max(0.0)).collect()
            };
            let drawn =
                |past: &GasDay| with_effects(&daily_draw(&own.p50, path_for(&own.paths, *past)));
            (
                own.model,
                with_effects(&own.p50),
                chosen.iter().map(drawn).collect(),
            )
        }
        // A plan is all that is known of it.
        None if plans.iter().any(Option::is_some) => (
            PLAN,
            vec![0.0; horizon],
            vec![vec![0.0; horizon]; chosen.len()],
        ),
        None => return None,
    };
    let width = (0..horizon)
        .map(|lead| {
            let (Some((low, high)), Some(plan)) = (record.spread, plans[lead]) else {
                return 1.0;
            };
            let mut of_day: Vec<f64> = draws.iter().map(|draw| draw[lead]).collect();
            of_day.sort_by(f64::total_cmp);
            let own = quantile_of_sorted(&of_day, 0.9) - quantile_of_sorted(&of_day, 0.1);
            let wanted = plan * (high.max(1.0) - low.min(1.0));
            if own > 0.0 {
                (wanted / own).min(WIDTH_MAX)
            } else {
                1.0
            }
        })
        .collect();
    Some(Expected {
        model,
        p50,
        draws,
        effects,
        bias: record.bias,
        plans,
        width,
    })
}

/// What a consumer's own days say of rare days.
pub(in crate::forecast) fn rare_evidence(
    consumer: &ConsumerInput,
    request: &ForecastRequest,
    recall: &Recall<'_>,
    today: GasDay,
) -> Evidence {
    model(consumer, request, today)
        .map(|known| known.model.lessons.rare_evidence(recall))
        .unwrap_or_default()
}

/// A consumer's days and the model of them.
pub(in crate::forecast) struct KnownConsumer {
    pub(in crate::forecast) model: CustomerModel,
    /// Days between the last known one and today.
    silent: usize,
}

impl KnownConsumer {
    /// Adds everything that its forecast is made from.
    pub(in crate::forecast) fn add_to(&self, key: &mut KeyMaker) {
        key.part(self.model.lessons.key())
            .number(self.silent)
            .ahead(self.model.ahead)
            .values(&self.model.given);
    }
}

/// The model of a consumer's days; none without one, or if it has been silent for too long.
pub(in crate::forecast) fn model(
    consumer: &ConsumerInput,
    request: &ForecastRequest,
    today: GasDay,
) -> Option<KnownConsumer> {
    let known: Vec<(GasDay, f64)> = consumer
        .days
        .iter()
        .filter(|(day, m3)| *day < today && m3.is_finite())
        .map(|(day, m3)| {
            let effect = consumer.effects.get(day).copied().unwrap_or(0.0);
            (*day, (m3 - effect).max(0.0))
        })
        .collect();
    let last = known.iter().map(|(day, _)| *day).max()?;
    let silent = today.days_since(last);
    if silent > SILENT_DAYS_MAX {
        return None;
    }
    let silent = usize::try_from(silent - 1).ok()?;
    let known = KnownDays {
        days: known,
        deviations: consumer.deviations.clone(),
    };
    let mut model = customer::daily_model(
        &known,
        request.weather.get(&consumer.node.zone),
        &request.calendar,
        &consumer.node,
        (request.weather_skill, request.reads_climate),
        silent + request.horizon_days,
    )?;
    model.lessons = model.lessons.weighing(request.weighing);
    Some(KnownConsumer { model, silent })
}

/// What a consumer's own days say of the days from today on.
pub(in crate::forecast) struct OwnDays {
    pub(in crate::forecast) forecast: Option<DailyForecast>,
    /// Days since a regression became possible.
    pub(in crate::forecast) regression_age: Option<usize>,
}

/// `prior` is what alike customers say of rare days.
pub(in crate::forecast) fn own_days(
    consumer: &ConsumerInput,
    known: &KnownConsumer,
    recall: &Recall<'_>,
    prior: Option<&ClassPrior>,
) -> OwnDays {
    let KnownConsumer { model, silent } = known;
    let said = model
        .lessons
        .forecast(recall, prior, model.ahead, &model.given);
    let Some(said) = said else {
        return OwnDays {
            forecast: None,
            regression_age: None,
        };
    };
    if let Some(run) = said.learnt_by {
        recall.note(consumer.customer.to_string(), run);
    }
    let mut forecast = said.forecast;
    if *silent > 0 {
        forecast.p50.drain(..silent);
        for path in &mut forecast.paths {
            path.residuals.drain(..silent);
        }
    }
    OwnDays {
        forecast: Some(forecast),
        regression_age: said.regression_age,
    }
}
