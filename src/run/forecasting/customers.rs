//! Large consumers one by one, as the ledger and the declaration ask for them: by the same lessons as the
//! hourly runs, each by itself.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::beside::{self, Who};
use super::{known_at, take_design_flows};
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::demand::{Band, HORIZON_DAYS_MAX};
use crate::domain::id::{CustomerId, RunId};
use crate::domain::registry::Registry;
use crate::forecast::engine::{ConsumerDays, consumer_days};
use crate::run::app::App;
use crate::run::facts::CustomerDays;

/// Bands of large consumers from a gas day on, without plans.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnForecasts {
    from: Option<GasDay>,
    of: BTreeMap<CustomerId, ConsumerDays>,
}

impl OwnForecasts {
    /// Band of a customer on a gas day, m³, and the rung of the ladder it comes from; none of a customer
    /// of whom nothing can be said, nor of a day that was not asked for.
    pub(crate) fn band(&self, customer: &CustomerId, day: GasDay) -> Option<(Band, &'static str)> {
        let index = usize::try_from(day.days_since(self.from?)).ok()?;
        let of = self.of.get(customer)?;
        Some((*of.bands.get(index)?, of.model))
    }

    /// Band of a customer in a month, from its joint draws, m³; none of a customer of whom nothing can be
    /// said, nor of a month of which a day was not asked for.
    pub(crate) fn month(&self, customer: &CustomerId, month: GasMonth) -> Option<Band> {
        self.of.get(customer)?.months.get(&month).copied()
    }
}

/// Forecasts the customers of `known`, whose days were read already, for all days up to `until`; as seen
/// now, or at the beginning of `first` if that is past: its days and those after it are not read then.
///
/// # Errors
/// What the stores say, or demand that is no forecast's.
pub(crate) fn own_forecasts(
    app: &App,
    registry: &Registry,
    known: &BTreeMap<CustomerId, CustomerDays>,
    [first, until]: [GasDay; 2],
) -> anyhow::Result<OwnForecasts> {
    let origin_at = if first < app.today() {
        app.gas_day_clock().start_of(first)
    } else {
        app.clock.now()
    };
    let from = app.gas_day_clock().day_of(origin_at);
    let mut request = known_at(app, registry, name_of(origin_at), origin_at)?;
    let asked = usize::try_from(until.days_since(from) + 1).unwrap_or(1);
    request.horizon_days = request.horizon_days.max(asked).min(HORIZON_DAYS_MAX);
    let horizon = request.horizon_days;
    request.parts = beside::parts(app, registry, origin_at, horizon, Who::Asked(known))?;
    take_design_flows(&mut request, registry);
    Ok(OwnForecasts {
        from: Some(from),
        of: consumer_days(&request, &app.memory)?,
    })
}

/// What is learnt for the ledger before a run asks for it goes by this name.
fn name_of(at: DateTime<Utc>) -> RunId {
    RunId::new(format!("L{}", at.format("%Y%m%dT%H%M%SZ")))
}
