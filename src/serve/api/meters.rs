//! Load curves of one meter.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::calendar::GasDay;
use crate::domain::id::MeterId;
use crate::domain::series::LoadCurve;
use crate::serve::api::{Asked, gas_day};
use crate::serve::figures::overview::key_of;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

/// Gas days in one answer at most.
const DAYS_MAX: i64 = 400;

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
    /// Gas days that have a curve, in order.
    pub days: Vec<CurveDay>,
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
}

impl From<LoadCurve> for CurveDay {
    fn from(curve: LoadCurve) -> Self {
        Self {
            day: curve.day,
            hours_m3: curve
                .hours
                .iter()
                .zip(curve.quality)
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

/// Load curves of a meter
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
    let name = meter.to_string();
    let curves = state
        .blocking(move |state| state.curves_of(&meter, from, to))
        .await?;
    Ok(Json(MeterCurves {
        meter: name,
        days: curves.into_iter().map(CurveDay::from).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

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
