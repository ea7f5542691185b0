//! Load curves of one meter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use crate::domain::calendar::GasDay;
use crate::domain::estimate::Estimate;
use crate::domain::id::MeterId;
use crate::domain::series::LoadCurve;
use crate::serve::api::{Asked, gas_day};
use crate::serve::figures::overview::key_of;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;
use crate::store::history::History as _;
use crate::validate::estimate::of_curve;

/// Gas days in one answer at most.
const DAYS_MAX: i64 = 400;

/// How long somebody who looks at curves waits for the second store.
const HISTORY_DEADLINE: Duration = Duration::from_secs(5);

/// Gas days of one answer whose missing hours are estimated.
const ESTIMATED_DAYS: i64 = 31;

/// How long one answer may estimate: with 100,000 meters a day whose estimate needs all others takes long.
const ESTIMATE_MAX: Duration = Duration::from_secs(5);

/// Gas days if `from` is not given.
const DAYS_DEFAULT: i64 = 7;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CurveQuery {
    /// First gas day, `YYYY-MM-DD`; six days before `to` if not given.
    from: Option<String>,
    /// Last gas day, included; the one that runs if not given.
    to: Option<String>,
}

/// Load curves of a meter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MeterCurves {
    /// Meter.
    pub meter: String,
    /// Gas days that have a curve, in order; of the newest 31 days asked for also those on which the meter
    /// was silent, all of them estimated.
    pub days: Vec<CurveDay>,
    /// Gas days of which more is known than their curves say (late readings, a decision): they are being
    /// computed again, and asking again in a moment shows them.
    #[schema(value_type = Vec<String>)]
    pub pending: Vec<GasDay>,
    /// Why days or estimates may be missing here: the second store does not answer, or so many estimates
    /// take too long.
    pub missing: Option<MissingHistory>,
}

/// What could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingHistory {
    /// Stable code.
    pub code: String,
    /// What, and what to do.
    pub message: String,
}

/// A store that curves are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CurveStore {
    /// This program's own.
    Journal,
    /// The second store, for days that the journal no longer holds.
    Influx,
    /// None: nothing was received of the day, and all of it is estimated.
    Estimated,
}

/// A load curve (负荷曲线).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CurveDay {
    /// Gas day.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// 24 exact volumes, m³, from the start hour; null where the quality says there is none.
    pub hours_m3: Vec<Option<String>>,
    /// Quality of each hour.
    pub quality: Vec<String>,
    /// How each hour came about that is not measured, `E1` to `E10`; null where it is.
    pub method: Vec<Option<String>>,
    /// In about four of five hours the truth lies within so much of the volume, m³; null where it is
    /// measured.
    pub uncertainty_m3: Vec<Option<String>>,
    /// Estimated volume, m³, of hours that have none: what demand is summed from until totals come.
    /// Of the newest 31 days asked for.
    pub estimates_m3: Vec<Option<String>>,
    /// Where it was read from.
    pub store: CurveStore,
}

impl CurveDay {
    fn new(curve: &LoadCurve, missing: &[Option<Estimate>; 24], store: CurveStore) -> Self {
        let found: Vec<Option<Estimate>> = of_curve(curve)
            .into_iter()
            .zip(missing)
            .map(|(bounded, missing)| bounded.or(*missing))
            .collect();
        let each = |show: fn(&Estimate) -> String| -> Vec<Option<String>> {
            found.iter().map(|e| e.as_ref().map(show)).collect()
        };
        Self {
            method: each(|e| e.method.key().to_owned()),
            uncertainty_m3: each(|e| e.uncertainty.to_string()),
            estimates_m3: missing
                .iter()
                .map(|e| e.map(|e| e.volume.to_string()))
                .collect(),
            store,
            day: curve.day,
            hours_m3: curve
                .hours
                .iter()
                .zip(&curve.quality)
                .map(|(volume, quality)| quality.has_volume().then(|| volume.to_string()))
                .collect(),
            quality: curve.quality.iter().map(key_of).collect(),
        }
    }
}

fn span(query: &CurveQuery, today: GasDay) -> Result<(GasDay, GasDay), ApiProblem> {
    let to = query.to.as_deref().map_or(Ok(today), gas_day)?;
    let from = query
        .from
        .as_deref()
        .map_or(Ok(to.plus(1 - DAYS_DEFAULT)), gas_day)?;
    let days = to.days_since(from) + 1;
    if (1..=DAYS_MAX).contains(&days) {
        return Ok((from, to));
    }
    Err(ApiProblem::bad_request(
        "serve.bad_span",
        format!("from {from} to {to} are {days} gas days; ask for 1 to {DAYS_MAX}"),
    ))
}

/// Load curves of a meter; days that the journal no longer holds come from the second store, if there is one
#[utoipa::path(get, path = "/meters/{id}/curve", tag = "collect",
    params(("id" = String, Path, description = "Meter (表号)"), CurveQuery),
    responses(
        (status = 200, body = MeterCurves),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_meter_curve(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Asked(query): Asked<CurveQuery>,
) -> Result<Json<MeterCurves>, ApiProblem> {
    let (from, to) = span(&query, state.gas_day())?;
    let meter = MeterId::new(id);
    if !state.registry().meters.contains_key(&meter) {
        return Err(ApiProblem::not_found(
            "registry.unknown_meter",
            "the registry has no such meter; meters.csv lists them",
        ));
    }
    let of = meter.clone();
    // In this order: a curve computed in between is named as pending once too often, never too seldom.
    let (pending, curves) = state
        .blocking(move |state| {
            let pending = state.pending_curves_of(&of, from, to)?;
            Ok((pending, state.curves_of(&of, from, to)?))
        })
        .await?;
    let shown = |curve: &LoadCurve| CurveDay::new(curve, &[None; 24], CurveStore::Journal);
    let mut days: Vec<CurveDay> = curves.iter().map(shown).collect();
    let mut missing = None;
    match older(&state, &meter, from, to, &days).await {
        Ok(older) => days.extend(older),
        Err(why) => missing = Some(why),
    }
    let known: BTreeSet<GasDay> = days.iter().map(|curve| curve.day).collect();
    let of = meter.clone();
    let estimated = state
        .blocking(move |state| estimated(state, &of, (from, to), &known, curves))
        .await?;
    if let Some(before) = estimated.cut_before {
        missing.get_or_insert_with(|| MissingHistory {
            code: "serve.estimates_cut".to_owned(),
            message: format!(
                "hours before the gas day {before} are not estimated here, it would take too long; ask for \
                 fewer days"
            ),
        });
    }
    days.retain(|day| estimated.days.iter().all(|other| other.day != day.day));
    days.extend(estimated.days);
    days.sort_by_key(|curve| curve.day);
    Ok(Json(MeterCurves {
        meter: meter.to_string(),
        days,
        pending,
        missing,
    }))
}

/// Days with estimates.
struct EstimatedDays {
    days: Vec<CurveDay>,
    /// Days before this one were not looked at any more.
    cut_before: Option<GasDay>,
}

/// Days whose curves lack hours, or of which nothing is known, with what demand takes for them; newest
/// first, for as long as an answer may take.
fn estimated(
    state: &AppState,
    meter: &MeterId,
    (from, to): (GasDay, GasDay),
    known: &BTreeSet<GasDay>,
    curves: Vec<LoadCurve>,
) -> Result<EstimatedDays, ApiProblem> {
    let started = Instant::now();
    // Curves of days before were dropped: they had some.
    let kept_from = state.curves_kept_from()?;
    let first = from.max(to.plus(1 - ESTIMATED_DAYS));
    let curves: BTreeMap<GasDay, LoadCurve> = curves.into_iter().map(|c| (c.day, c)).collect();
    let mut found = EstimatedDays {
        days: Vec::new(),
        cut_before: None,
    };
    let is_due = |day: GasDay| {
        let is_open = day <= state.gas_day() && kept_from.is_none_or(|kept| day >= kept);
        match curves.get(&day) {
            Some(curve) => !curve.is_complete(),
            None => is_open && !known.contains(&day),
        }
    };
    let due: Vec<GasDay> = (0..=to.days_since(first))
        .rev()
        .map(|offset| first.plus(offset))
        .filter(|day| is_due(*day))
        .collect();
    found.cut_before = until_late(
        &due,
        || started.elapsed(),
        |day| {
            let curve = curves.get(&day);
            let missing = state.actions().estimates(meter, day)?.missing;
            match curve {
                Some(curve) => found
                    .days
                    .push(CurveDay::new(curve, &missing, CurveStore::Journal)),
                None if missing.iter().any(Option::is_some) => {
                    let curve = LoadCurve::missing(meter.clone(), day);
                    let day = CurveDay::new(&curve, &missing, CurveStore::Estimated);
                    found.days.push(day);
                }
                None => {}
            }
            Ok::<(), ApiProblem>(())
        },
    )?;
    Ok(found)
}

/// Looks at one day after the other until that has taken [`ESTIMATE_MAX`]; the day after the first that was
/// not looked at any more.
fn until_late<E>(
    days: &[GasDay],
    taken: impl Fn() -> Duration,
    mut look: impl FnMut(GasDay) -> Result<(), E>,
) -> Result<Option<GasDay>, E> {
    for day in days {
        if taken() > ESTIMATE_MAX {
            return Ok(Some(day.plus(1)));
        }
        look(*day)?;
    }
    Ok(None)
}

/// Curves of the days that the journal does not have and the second store does.
async fn older(
    state: &AppState,
    meter: &MeterId,
    from: GasDay,
    to: GasDay,
    known: &[CurveDay],
) -> Result<Vec<CurveDay>, MissingHistory> {
    let Some(second) = state.second() else {
        return Ok(Vec::new());
    };
    let is_known = |day: GasDay| known.iter().any(|curve| curve.day == day);
    let today = state.gas_day();
    let lacking: Vec<GasDay> = (0..=to.days_since(from))
        .map(|index| from.plus(index))
        .filter(|day| *day < today && !is_known(*day))
        .collect();
    let (Some(first), Some(last)) = (lacking.first(), lacking.last()) else {
        return Ok(Vec::new());
    };
    let failed = |code: &str, message: String| MissingHistory {
        code: code.to_owned(),
        message,
    };
    let asked = second.influx.curves_between(meter, *first, last.plus(1));
    match timeout(HISTORY_DEADLINE, asked).await {
        Ok(Ok(curves)) => Ok(curves
            .iter()
            .filter(|curve| !is_known(curve.day))
            .map(|curve| CurveDay::new(curve, &[None; 24], CurveStore::Influx))
            .collect()),
        Ok(Err(error)) => Err(failed(error.code(), error.to_string())),
        Err(_) => Err(failed(
            "influx.unreachable",
            format!(
                "the second store did not answer within {} s",
                HISTORY_DEADLINE.as_secs()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::convert::Infallible;

    use super::*;

    /// A month in which a meter was silent, where each day's estimate takes so long.
    fn silent_month(each: Duration) -> (Vec<GasDay>, Option<GasDay>) {
        let last: GasDay = "2026-11-21".parse().unwrap();
        let days: Vec<GasDay> = (0..ESTIMATED_DAYS).map(|back| last.plus(-back)).collect();
        let looked = RefCell::new(Vec::new());
        let taken = || each * u32::try_from(looked.borrow().len()).unwrap();
        let cut = until_late::<Infallible>(&days, taken, |day| {
            looked.borrow_mut().push(day);
            Ok(())
        });
        let cut = cut.unwrap();
        (looked.into_inner(), cut)
    }

    #[test]
    fn a_silent_month_is_cut_at_its_bound_newest_days_first() {
        let last: GasDay = "2026-11-21".parse().unwrap();
        // After nine days of 0.6 s each, 5.4 s have gone.
        let (looked, cut) = silent_month(Duration::from_millis(600));
        let expected: Vec<GasDay> = (0..9).map(|back| last.plus(-back)).collect();
        assert_eq!(looked, expected);
        // The first day that was not looked at is the tenth: all before the day after it are missing.
        assert_eq!(cut, Some(last.plus(-8)));
        let (looked, cut) = silent_month(Duration::from_millis(160));
        assert_eq!((looked.len(), cut), (31, None));
        // However long one takes, the newest is there.
        let (looked, cut) = silent_month(Duration::from_mins(1));
        assert_eq!((looked, cut), (vec![last], Some(last)));
    }

    #[test]
    fn a_span_is_one_to_four_hundred_days() {
        let today: GasDay = "2026-11-21".parse().unwrap();
        let query = |from: Option<&str>, to: Option<&str>| CurveQuery {
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        let (from, to) = span(&query(None, None), today).unwrap();
        assert_eq!((to, to.days_since(from)), (today, 6));
        assert!(span(&query(Some("2025-10-18"), None), today).is_ok());
        for (from, to) in [("2025-10-17", "2026-11-21"), ("2026-11-22", "2026-11-21")] {
            let problem = span(&query(Some(from), Some(to)), today).unwrap_err();
            assert_eq!(problem.code(), "serve.bad_span");
        }
    }
}
