//! What curves are computed by, beside readings: the registry, the calendar and the limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tracing::info;

use super::CurveDeps;
use crate::domain::calendar::Calendar;
use crate::domain::edit::CurveEdit;
use crate::domain::id::{MeterId, ZoneId};
use crate::domain::meter::{Meter, MeterExchange, SettlementTotal};
use crate::domain::quantity::ReferenceConditions;
use crate::domain::registry::Registry;
use crate::domain::source::GasQuality;
use crate::run::judging;
use crate::store::StoreError;
use crate::store::journal::Journal;
use crate::validate::convert::interval::ZoneConversion;
use crate::validate::curve::CurveRules;

/// Grows when the way curves are computed changes, so that an upgrade computes them again.
const RULES_VERSION: u32 = 6;

/// Marks what a changed registry makes dirty: all days of meters whose factor, digits, largest
/// flow, period, settlement or exchanges, whose zone's gas (if it is converted by it), or whose calendar
/// differ from those of the last pass; and to be judged again what it changes of that alone. Blocks.
///
/// # Errors
/// As the store's.
pub fn sync_registry(deps: &CurveDeps) -> Result<Vec<MeterId>, StoreError> {
    let registry = Arc::clone(&deps.registry.borrow());
    let basis = Basis::new(&deps.calendar.borrow());
    let digests = registry
        .meters
        .values()
        .map(|meter| (meter.id.clone(), fingerprint(meter, &registry, &basis)))
        .collect();
    let changed = deps.journal.sync_curve_rules(digests)?;
    let meters = registry.meters.values();
    let terms = meters.map(|meter| (meter.id.clone(), meter.terms()));
    deps.journal.keep_terms(terms.collect())?;
    judging::sync(deps)?;
    if !changed.is_empty() {
        info!(
            meters = changed.len(),
            "Curves of changed meters are computed again"
        );
    }
    Ok(changed)
}

/// What the curves of all meters are computed by, beside the registry.
pub(in crate::run) struct Basis {
    /// Of the year files, hex.
    calendar: String,
}

impl Basis {
    pub(in crate::run) fn new(calendar: &Calendar) -> Self {
        let years: Vec<_> = calendar.years().collect();
        let json = serde_json::to_vec(&years).unwrap_or_default();
        Self {
            calendar: hex::encode(Sha256::digest(&json)),
        }
    }
}

/// A digest of everything but readings and decisions that a meter's curves depend on; what they are judged
/// by beside it is kept from day to day.
pub(in crate::run) fn fingerprint(meter: &Meter, registry: &Registry, basis: &Basis) -> Vec<u8> {
    /// Atmosphere and dated qualities of the zone's gas, and the conditions to convert to.
    type Gas<'a> = (Option<f64>, ReferenceConditions, Vec<&'a GasQuality>);
    #[derive(Serialize)]
    struct Rules<'a> {
        version: u32,
        settlement: crate::domain::meter::SettlementTotal,
        total_digits: u32,
        flow_max_m3h: f64,
        fixed_factor: f64,
        period_s: u32,
        exchanges: Vec<&'a MeterExchange>,
        gas: Option<Gas<'a>>,
        calendar: &'a str,
    }
    let gas = || {
        let zone = registry.zones.get(&meter.zone);
        let qualities = registry.gas_qualities.iter();
        (
            zone.map(|zone| zone.atmosphere_kpa),
            registry.company.reference,
            qualities.filter(|q| q.zone == meter.zone).collect(),
        )
    };
    let rules = Rules {
        version: RULES_VERSION,
        settlement: meter.settlement,
        total_digits: meter.total_digits,
        flow_max_m3h: meter.flow_max_m3h,
        fixed_factor: meter.fixed_factor,
        period_s: meter.period_s,
        exchanges: registry.exchanges_of(&meter.id).collect(),
        gas: (meter.settlement == SettlementTotal::Work).then(gas),
        calendar: &basis.calendar,
    };
    // A value that JSON cannot hold gives an empty digest, and the curves stay as they are.
    let json = serde_json::to_vec(&rules).unwrap_or_default();
    Sha256::digest(&json).to_vec()
}

/// What curves are computed with, by meter and zone.
pub(in crate::run) struct Means {
    exchanges: BTreeMap<MeterId, Vec<MeterExchange>>,
    conversions: BTreeMap<ZoneId, ZoneConversion>,
    edits: BTreeMap<MeterId, Vec<CurveEdit>>,
}

impl Means {
    pub(in crate::run) fn new(registry: &Registry, journal: &Journal) -> Result<Self, StoreError> {
        let mut exchanges: BTreeMap<MeterId, Vec<MeterExchange>> = BTreeMap::new();
        for exchange in &registry.exchanges {
            exchanges
                .entry(exchange.meter.clone())
                .or_default()
                .push(exchange.clone());
        }
        let conversion = |zone| {
            ZoneConversion::new(
                Some(zone),
                &registry.gas_qualities,
                journal.clock(),
                registry.company.reference,
            )
        };
        let mut edits: BTreeMap<MeterId, Vec<CurveEdit>> = BTreeMap::new();
        for edit in journal.edits_in_force()? {
            edits.entry(edit.meter.clone()).or_default().push(edit);
        }
        Ok(Self {
            exchanges,
            conversions: registry
                .zones
                .values()
                .map(|zone| (zone.id.clone(), conversion(zone)))
                .collect(),
            edits,
        })
    }

    /// The rules of a meter, without the curves before.
    pub(in crate::run) fn rules<'a>(
        &'a self,
        meter: &'a Meter,
        calendar: &'a Calendar,
    ) -> CurveRules<'a> {
        let is_work = meter.settlement == SettlementTotal::Work;
        CurveRules {
            exchanges: self.exchanges.get(&meter.id).map_or(&[], Vec::as_slice),
            conversion: self.conversions.get(&meter.zone).filter(|_| is_work),
            calendar: Some(calendar),
            edits: self.edits.get(&meter.id).map_or(&[], Vec::as_slice),
            ..CurveRules::plain(meter)
        }
    }
}
