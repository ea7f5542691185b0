//! What came in through the gates against what was metered (供销差).

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::calendar::GasDay;
use crate::domain::registry::Registry;
use crate::ledger::balance::{Balance, MeterBalance, ZoneBalance};
use crate::serve::api::{Asked, gas_day};
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

/// Gas days if `from` is not given.
pub const DAYS_DEFAULT: i64 = 30;
/// Customers' meters of a zone in one answer at most, those with most gas first.
const METERS_MAX: usize = 500;
/// Gas days in one answer at most.
const DAYS_MAX: i64 = 400;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BalanceQuery {
    /// Only this zone, with its meters.
    zone: Option<String>,
    /// First gas day, `YYYY-MM-DD`; 30 days up to the last one if not given.
    from: Option<String>,
    /// Last gas day, included; yesterday if not given.
    to: Option<String>,
}

/// Gates against meters of one zone, or of all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ZoneBalanceView {
    /// Zone; null for all of them together.
    pub zone: Option<String>,
    /// Its name.
    pub name: String,
    /// Gas days on which every gate meter is known.
    pub days: usize,
    /// Exact volume through the gates, m³.
    pub gate_m3: String,
    /// Exact volume that customers' meters measured, m³.
    pub metered_m3: String,
    /// Exact volume filled for meters that lack a day, each with its own mean, m³.
    pub filled_m3: String,
    /// Days that were filled, over all meters.
    pub filled_days: usize,
    /// Meters without a single complete day; their gas is in the difference.
    pub silent_meters: usize,
    /// 供销差, exact, m³: gate less metered less filled.
    pub unaccounted_m3: String,
    /// 供销差率: the same as a part of the gate; null without any.
    pub unaccounted_ratio: Option<f64>,
    /// 温度归一供销差, m³: uncorrected meters at ambient temperature; null where that is not known.
    pub unaccounted_normalised_m3: Option<String>,
    /// The same as a part of the gate.
    pub unaccounted_normalised_ratio: Option<f64>,
    /// 管存变化: by how much the gas in the pipes grew, exact, m³, over the days on which it is known;
    /// null without the volume of the pipes (`pipe_volume_m3` of zones.csv) or pressures at the gate.
    pub line_pack_m3: Option<String>,
    /// Days on which the line pack is known.
    pub line_pack_days: usize,
    /// 供销差 less what stayed in the pipes, exact, m³.
    pub unaccounted_less_pack_m3: Option<String>,
    /// The same as a part of the gate.
    pub unaccounted_less_pack_ratio: Option<f64>,
}

impl ZoneBalanceView {
    /// As the API and the command line show it.
    pub fn new(zone: Option<&str>, name: &str, of: &ZoneBalance) -> Self {
        Self {
            zone: zone.map(str::to_owned),
            name: name.to_owned(),
            days: of.days,
            gate_m3: of.gate.to_string(),
            metered_m3: of.metered.to_string(),
            filled_m3: of.filled.to_string(),
            filled_days: of.filled_days,
            silent_meters: of.silent_meters,
            unaccounted_m3: of.unaccounted().to_string(),
            unaccounted_ratio: of.unaccounted_ratio(),
            unaccounted_normalised_m3: of.unaccounted_normalised().map(|v| v.to_string()),
            unaccounted_normalised_ratio: of.unaccounted_normalised_ratio(),
            line_pack_m3: of.line_pack.map(|volume| volume.to_string()),
            line_pack_days: of.line_pack_days,
            unaccounted_less_pack_m3: of.unaccounted_less_pack().map(|v| v.to_string()),
            unaccounted_less_pack_ratio: of.unaccounted_less_pack_ratio(),
        }
    }
}

/// What one meter has in the balance of its zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MeterBalanceView {
    /// Meter (表号).
    pub meter: String,
    /// Its customer's name; null for a gate.
    pub customer: Option<String>,
    /// Days that count on which it has a complete curve.
    pub days: usize,
    /// Exact volume measured on these, m³.
    pub measured_m3: String,
    /// Days that count without a complete curve.
    pub filled_days: usize,
    /// Exact volume filled for them, m³; null for a meter without a single day: its gas is in the
    /// difference.
    pub filled_m3: Option<String>,
    /// Measured and filled at ambient temperature, m³; null where that is not known.
    pub normalised_m3: Option<String>,
}

impl MeterBalanceView {
    fn new(registry: &Registry, of: &MeterBalance) -> Self {
        let meter = registry.meters.get(&of.meter);
        let customer = meter.and_then(|meter| registry.customer_of(meter));
        Self {
            meter: of.meter.to_string(),
            customer: customer.map(|customer| customer.name.clone()),
            days: of.days,
            measured_m3: of.measured.to_string(),
            filled_days: of.filled_days,
            filled_m3: (of.days > 0).then(|| of.filled.to_string()),
            normalised_m3: of.normalised.map(|volume| volume.to_string()),
        }
    }
}

/// The balance of some gas days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BalanceView {
    /// First gas day.
    #[schema(value_type = String)]
    pub from: GasDay,
    /// Last gas day.
    #[schema(value_type = String)]
    pub to: GasDay,
    /// A row for each zone with a gate and a day that counts, then one for all of them.
    pub rows: Vec<ZoneBalanceView>,
    /// Gate meters of the zone that was asked for; none without one.
    pub gates: Vec<MeterBalanceView>,
    /// Its customers' meters, those with most gas first, 500 at most; none without a zone.
    pub meters: Vec<MeterBalanceView>,
    /// Customers' meters beyond these.
    pub meters_more: usize,
}

/// Rows of a balance: zones, the total last.
pub fn rows(registry: &Registry, balance: &Balance) -> Vec<ZoneBalanceView> {
    let zones = balance.zones.iter().map(|(id, of)| {
        let name = registry.zones.get(id).map_or("", |zone| zone.name.as_str());
        ZoneBalanceView::new(Some(id.as_str()), name, of)
    });
    let total = ZoneBalanceView::new(None, "合计", &balance.total);
    zones.chain([total]).collect()
}

/// Gates against meters: 供销差 of each zone and of all, plain and with temperature taken out
#[utoipa::path(get, path = "/balance", tag = "ledger", params(BalanceQuery), responses(
    (status = 200, body = BalanceView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_balance(
    State(state): State<AppState>,
    Asked(query): Asked<BalanceQuery>,
) -> Result<Json<BalanceView>, ApiProblem> {
    let yesterday = state.gas_day().plus(-1);
    let to = query.to.as_deref().map_or(Ok(yesterday), gas_day)?;
    let from = query
        .from
        .as_deref()
        .map_or(Ok(to.plus(1 - DAYS_DEFAULT)), gas_day)?;
    let days = to.days_since(from) + 1;
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(ApiProblem::bad_request(
            "serve.bad_span",
            format!("from {from} to {to} are {days} gas days; ask for 1 to {DAYS_MAX}"),
        ));
    }
    let registry = state.registry();
    if let Some(zone) = &query.zone
        && !registry.zones.keys().any(|id| id.as_str() == zone)
    {
        return Err(ApiProblem::not_found(
            "registry.unknown_zone",
            "the registry has no such zone; zones.csv lists them",
        ));
    }
    let balance = state
        .blocking(move |state| Ok(state.actions().balance(from, to.plus(1))?))
        .await?;
    let mut view = BalanceView {
        from,
        to,
        rows: rows(&registry, &balance),
        gates: Vec::new(),
        meters: Vec::new(),
        meters_more: 0,
    };
    if let Some(zone) = &query.zone {
        view.rows.retain(|row| row.zone.as_ref() == Some(zone));
        let of_zone = balance.meters.iter().filter(|m| m.zone.as_str() == zone);
        let (gates, mut meters): (Vec<_>, Vec<_>) = of_zone.partition(|meter| meter.is_gate);
        meters.sort_by_key(|meter| std::cmp::Reverse(meter.measured + meter.filled));
        view.meters_more = meters.len().saturating_sub(METERS_MAX);
        meters.truncate(METERS_MAX);
        let views = |of: &[&MeterBalance]| {
            let view = |meter: &&MeterBalance| MeterBalanceView::new(&registry, meter);
            of.iter().map(view).collect()
        };
        (view.gates, view.meters) = (views(&gates), views(&meters));
    }
    Ok(Json(view))
}
