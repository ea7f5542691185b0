//! A large consumer's own expectation, and its plan in the place of it.

use super::{ConsumerInput, Frame};
use crate::domain::calendar::GasDay;
use crate::domain::demand::quantile_of_sorted;
use crate::forecast::customer::{self, CustomerModel, KnownDays, plan_bias};
use crate::forecast::draws::{daily_draw, path_for};
use crate::forecast::engine::ForecastRequest;
use crate::forecast::memory::Recall;
use crate::forecast::models::rare_days::{ClassPrior, Evidence};

/// A customer silent for longer is a part of the rest.
const SILENT_DAYS_MAX: i64 = 14;
/// A plan's band is at most so many times as wide as the model's.
const WIDTH_MAX: f64 = 5.0;

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

/// None where neither enough history nor a plan is known. `prior` is what alike customers say of rare
/// days.
pub(super) fn expected(
    consumer: &ConsumerInput,
    frame: &Frame<'_>,
    prior: Option<&ClassPrior>,
) -> Option<Expected> {
    let Frame {
        request,
        today,
        chosen,
        ..
    } = *frame;
    let horizon = request.horizon_days;
    let days: Vec<GasDay> = (0_i64..).take(horizon).map(|i| today.plus(i)).collect();
    let effect = |day: &GasDay| consumer.effects.get(day).copied().unwrap_or(0.0);
    let effects: Vec<f64> = days.iter().map(effect).collect();
    let record = plan_bias(today, &consumer.past_plans);
    let plans: Vec<Option<f64>> = days
        .iter()
        .map(|day| consumer.plans.get(day))
        .map(|filed| filed.map(|m3| (m3 * (1.0 + record.bias)).max(0.0)))
        .collect();
    let (model, p50, draws) = match own(consumer, frame, prior, &effects) {
        Some(own) => own,
        // A plan is all that is known of it.
        None if plans.iter().any(Option::is_some) => (
            "plan",
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

type Own = (&'static str, Vec<f64>, Vec<Vec<f64>>);

/// What a consumer's own days say of rare days.
pub(in crate::forecast) fn rare_evidence(
    consumer: &ConsumerInput,
    request: &ForecastRequest,
    recall: &Recall<'_>,
    today: GasDay,
) -> Evidence {
    model(consumer, request, today)
        .map(|(known, _)| known.lessons.rare_evidence(recall))
        .unwrap_or_default()
}

/// The model of a consumer's days, and the days between the last known one and today.
fn model(
    consumer: &ConsumerInput,
    request: &ForecastRequest,
    today: GasDay,
) -> Option<(CustomerModel, usize)> {
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
    let skip = usize::try_from(silent - 1).ok()?;
    let known = KnownDays {
        days: known,
        deviations: consumer.deviations.clone(),
    };
    let mut model = customer::daily_model(
        &known,
        request.weather.get(&consumer.node.zone),
        &request.calendar,
        &consumer.node,
        request.weather_skill,
        skip + request.horizon_days,
    )?;
    model.lessons = model.lessons.weighing(request.weighing);
    Some((model, skip))
}

fn own(
    consumer: &ConsumerInput,
    frame: &Frame<'_>,
    prior: Option<&ClassPrior>,
    effects: &[f64],
) -> Option<Own> {
    let (known, skip) = model(consumer, frame.request, frame.today)?;
    let said = known
        .lessons
        .forecast(frame.recall, prior, known.ahead, &known.given)?;
    let forecast = said.forecast;
    if let Some(run) = said.learnt_by {
        frame.recall.note(consumer.customer.to_string(), run);
    }
    let with_effects = |volumes: &[f64]| -> Vec<f64> {
        volumes[skip..]
            .iter()
            .zip(effects)
            .map(|(m3, effect)| (m3 + effect).max(0.0))
            .collect()
    };
    let draws = frame
        .chosen
        .iter()
        .map(|past| with_effects(&daily_draw(&forecast.p50, path_for(&forecast.paths, *past))))
        .collect();
    Some((forecast.model, with_effects(&forecast.p50), draws))
}
