//! Totals of a month by every dimension.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::serve::api::{Asked, month};
use crate::serve::figures::totals::{Totals, totals};
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TotalsQuery {
    /// `YYYY-MM`.
    month: String,
}

/// A month's forecast by source, class and slot; each sums to the total
#[utoipa::path(get, path = "/totals", tag = "forecast", params(TotalsQuery), responses(
    (status = 200, body = Totals),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_totals(
    State(state): State<AppState>,
    Asked(query): Asked<TotalsQuery>,
) -> Result<Json<Totals>, ApiProblem> {
    let month = month(&query.month)?;
    let registry = state.registry();
    let run = state.latest_run().await?;
    Ok(Json(
        state
            .blocking(move |_| Ok(totals(&registry, &run, month)))
            .await?,
    ))
}
