//! The registry (档案): customers, meters, zones, sources, contracts as of one version.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::domain::calendar::{Calendar, GasDay, GasDayClock};
use crate::domain::connection::NewConnection;
use crate::domain::contract::SupplyContract;
use crate::domain::customer::Customer;
use crate::domain::demand::DemandNode;
use crate::domain::filing::{FiledPlan, ProductionChange};
use crate::domain::id::{CustomerId, DeviceId, GatewayId, MeterId, SourceId, ZoneId};
use crate::domain::meter::{Gateway, Meter, MeterExchange, MeterRole};
use crate::domain::quantity::ReferenceConditions;
use crate::domain::season::Season;
use crate::domain::slot::SlotTable;
use crate::domain::source::{GasQuality, GasSource, SourceShare, Zone};

/// The company (`company.toml`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Company {
    /// Full name.
    pub name: String,
    /// Short name, used in file names and declaration numbers.
    pub short_name: String,
    /// Telephone on forms.
    #[serde(default)]
    pub phone: String,
    /// Gas day of the company's own tables.
    #[serde(default)]
    pub gas_day_start_hour: GasDayClock,
    /// Reference conditions of the company's trade.
    #[serde(default)]
    pub reference: ReferenceConditions,
    /// Heating season where no place of the local calendar says otherwise, `MM-DD` first day; empty where there
    /// is none.
    #[serde(default)]
    pub heating_from: String,
    /// Its last day, `MM-DD`, included.
    #[serde(default)]
    pub heating_to: String,
    /// Time slots.
    #[serde(default)]
    pub slots: SlotTable,
}

impl Company {
    /// Heating season of zones that lie in no place of the local calendar.
    pub fn heating(&self) -> Option<Season> {
        Some(Season {
            from: self.heating_from.parse().ok()?,
            to: self.heating_to.parse().ok()?,
            exceptions: Vec::new(),
        })
    }
}

/// Everything known of the network and its customers, immutable; swapped whole when it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Registry {
    /// SHA-256 over the files it was read from, hex; names this version in every run.
    pub version: String,
    /// The company.
    pub company: Company,
    /// Zones.
    pub zones: BTreeMap<ZoneId, Zone>,
    /// Sources.
    pub sources: BTreeMap<SourceId, GasSource>,
    /// Dated shares.
    pub shares: Vec<SourceShare>,
    /// Customers.
    pub customers: BTreeMap<CustomerId, Customer>,
    /// Meters.
    pub meters: BTreeMap<MeterId, Meter>,
    /// Meter exchanges, in time order.
    pub exchanges: Vec<MeterExchange>,
    /// Modbus gateways.
    pub gateways: BTreeMap<GatewayId, Gateway>,
    /// Supply contracts.
    pub contracts: Vec<SupplyContract>,
    /// Production changes known from files.
    pub production_changes: Vec<ProductionChange>,
    /// Filed plans known from files.
    pub filed_plans: Vec<FiledPlan>,
    /// Projects that will use gas.
    pub new_connections: Vec<NewConnection>,
    /// Dated gas qualities.
    pub gas_qualities: Vec<GasQuality>,
    /// Device to the meters it is and was, the newest first: asked for each frame, hence by hash.
    by_device: IndexMap<DeviceId, Vec<MeterId>>,
    /// Customer to meters, in order: asked for each customer of the ledger.
    by_customer: BTreeMap<CustomerId, Vec<MeterId>>,
}

/// What a registry is made of; `Registry::new` adds the indexes.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryParts {
    /// See `Registry::version`.
    pub version: String,
    /// The company.
    pub company: Company,
    /// Zones.
    pub zones: Vec<Zone>,
    /// Sources.
    pub sources: Vec<GasSource>,
    /// Dated shares.
    pub shares: Vec<SourceShare>,
    /// Customers.
    pub customers: Vec<Customer>,
    /// Meters.
    pub meters: Vec<Meter>,
    /// Meter exchanges.
    pub exchanges: Vec<MeterExchange>,
    /// Gateways.
    pub gateways: Vec<Gateway>,
    /// Contracts.
    pub contracts: Vec<SupplyContract>,
    /// Production changes.
    pub production_changes: Vec<ProductionChange>,
    /// Filed plans.
    pub filed_plans: Vec<FiledPlan>,
    /// Projects that will use gas.
    pub new_connections: Vec<NewConnection>,
    /// Dated gas qualities.
    pub gas_qualities: Vec<GasQuality>,
}

fn by_device(meters: &[Meter]) -> IndexMap<DeviceId, Vec<MeterId>> {
    let mut sorted: Vec<&Meter> = meters.iter().collect();
    sorted.sort_by(|a, b| (b.installed_on, &b.id).cmp(&(a.installed_on, &a.id)));
    let mut of: IndexMap<DeviceId, Vec<MeterId>> = IndexMap::new();
    for meter in sorted {
        of.entry(meter.device.clone())
            .or_default()
            .push(meter.id.clone());
    }
    of
}

impl Registry {
    /// Indexes the parts. References between them are checked where files are read, not here.
    pub fn new(parts: RegistryParts) -> Self {
        let mut exchanges = parts.exchanges;
        exchanges.sort_by_key(|e| (e.exchanged_at, e.meter.clone()));
        let by_device = by_device(&parts.meters);
        let meters: BTreeMap<MeterId, Meter> = parts
            .meters
            .into_iter()
            .map(|m| (m.id.clone(), m))
            .collect();
        let mut by_customer: BTreeMap<CustomerId, Vec<MeterId>> = BTreeMap::new();
        for meter in meters.values() {
            if let Some(customer) = &meter.customer {
                let of_customer = by_customer.entry(customer.clone()).or_default();
                of_customer.push(meter.id.clone());
            }
        }
        Self {
            version: parts.version,
            company: parts.company,
            zones: parts.zones.into_iter().map(|z| (z.id.clone(), z)).collect(),
            sources: parts
                .sources
                .into_iter()
                .map(|s| (s.id.clone(), s))
                .collect(),
            shares: parts.shares,
            customers: parts
                .customers
                .into_iter()
                .map(|c| (c.id.clone(), c))
                .collect(),
            by_device,
            by_customer,
            meters,
            exchanges,
            gateways: parts
                .gateways
                .into_iter()
                .map(|g| (g.id.clone(), g))
                .collect(),
            contracts: parts.contracts,
            production_changes: parts.production_changes,
            filed_plans: parts.filed_plans,
            new_connections: parts.new_connections,
            gas_qualities: parts.gas_qualities,
        }
    }

    /// The meter a device is: of several that it was one after the other, the newest.
    pub fn meter_of(&self, device: &DeviceId) -> Option<&Meter> {
        self.meters_of_device(device).next()
    }

    /// All that a device is and was, the newest first.
    pub fn meters_of_device(&self, device: &DeviceId) -> impl Iterator<Item = &Meter> {
        let ids = self.by_device.get(device);
        ids.into_iter()
            .flatten()
            .filter_map(move |id| self.meters.get(id))
    }

    /// The meter a device was at an instant; none if it had been taken away by then and was nowhere else yet.
    /// Before the first of its places it counts as being there: a date of installation is often put down late.
    pub fn meter_at(&self, device: &DeviceId, at: DateTime<Utc>) -> Option<&Meter> {
        let day = self.company.gas_day_start_hour.day_of(at);
        let mut was = None;
        for meter in self.meters_of_device(device) {
            was = Some(meter);
            if meter.installed_on <= day.0 {
                break;
            }
        }
        was.filter(|meter| meter.removed_on.is_none_or(|last| day.0 <= last))
    }

    /// The atmosphere a meter's gauge pressure stands on, kPa absolute: that of its zone, or of the company's
    /// reference where the zone is not known.
    pub fn atmosphere_of(&self, meter: &Meter) -> f64 {
        let reference_kpa = self.company.reference.pressure_kpa;
        let zone = self.zones.get(&meter.zone);
        zone.map_or(reference_kpa, |zone| zone.atmosphere_kpa)
    }

    /// The customer a meter belongs to.
    pub fn customer_of(&self, meter: &Meter) -> Option<&Customer> {
        meter
            .customer
            .as_ref()
            .and_then(|id| self.customers.get(id))
    }

    /// A zone's name in either language; its key where the registry does not know it.
    pub fn zone_name<'a>(&'a self, zone: &'a ZoneId) -> &'a str {
        let known = self.zones.get(zone);
        known.map_or_else(|| zone.as_str(), |zone| zone.name.as_str())
    }

    /// The node a meter's volume counts in; none for gate stations.
    pub fn node_of(&self, meter: &Meter) -> Option<DemandNode> {
        if meter.role == MeterRole::Gate {
            return None;
        }
        self.customer_of(meter).map(|customer| DemandNode {
            zone: meter.zone.clone(),
            class: customer.class,
        })
    }

    /// Every node that has a customer's meter, in order.
    pub fn nodes(&self) -> Vec<DemandNode> {
        let mut nodes: Vec<DemandNode> = self
            .meters
            .values()
            .filter_map(|m| self.node_of(m))
            .collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }

    /// Meters of a customer, in order.
    pub fn meters_of(&self, customer: &CustomerId) -> impl Iterator<Item = &Meter> {
        let ids = self.by_customer.get(customer).into_iter().flatten();
        ids.filter_map(|id| self.meters.get(id))
    }

    /// Exchanges of a meter, in time order.
    pub fn exchanges_of<'a>(
        &'a self,
        meter: &'a MeterId,
    ) -> impl Iterator<Item = &'a MeterExchange> {
        self.exchanges.iter().filter(move |e| e.meter == *meter)
    }

    /// Gas quality of a zone in force on a gas day.
    pub fn gas_quality_on(&self, zone: &ZoneId, day: GasDay) -> Option<&GasQuality> {
        self.gas_qualities
            .iter()
            .filter(|quality| quality.zone == *zone && quality.from_on <= day.0)
            .max_by_key(|quality| quality.from_on)
    }

    /// Source shares in force on a gas day: `(zone, source, share)`, in order.
    pub fn shares_on(&self, day: GasDay) -> Vec<(ZoneId, SourceId, f64)> {
        let mut out = Vec::new();
        for zone in self.zones.keys() {
            let latest = self
                .shares
                .iter()
                .filter(|s| s.zone == *zone && s.from_on <= day.0)
                .map(|s| s.from_on)
                .max();
            let mut of_zone: Vec<_> = self
                .shares
                .iter()
                .filter(|s| s.zone == *zone && Some(s.from_on) == latest)
                .map(|s| (s.zone.clone(), s.source.clone(), s.share))
                .collect();
            of_zone.sort_by(|a, b| a.1.cmp(&b.1));
            out.extend(of_zone);
        }
        out
    }

    /// The contract that delivers a source on a gas day.
    pub fn contract_of(&self, source: &SourceId, day: GasDay) -> Option<&SupplyContract> {
        self.contracts
            .iter()
            .find(|c| c.source == *source && c.valid_from <= day.0 && day.0 <= c.valid_to)
    }

    /// When a contract's high price holds: its own season, else that of the winter price of the place it supplies
    /// (of the zone that takes the largest share of its source), else November to March.
    pub fn price_season(&self, contract: &SupplyContract, calendar: &Calendar) -> Season {
        let of_place = || {
            let shares = self.shares.iter().filter(|s| s.source == contract.source);
            let largest = shares.max_by(|a, b| {
                let by_share = a.share.total_cmp(&b.share);
                by_share.then_with(|| b.zone.cmp(&a.zone))
            })?;
            calendar.place_of(&largest.zone)?.pricing.clone()
        };
        let own = contract.season.clone();
        own.or_else(of_place).unwrap_or(Season::winter_price())
    }

    /// When a zone is heated: as its place of the local calendar says, which may be never; the company's own season
    /// where it lies in none.
    pub fn heating_season(&self, zone: &ZoneId, calendar: &Calendar) -> Option<Season> {
        match calendar.place_of(zone) {
            Some(place) => place.heating.clone(),
            None => self.company.heating(),
        }
    }

    /// Projects known at an instant: of each the row that became known last.
    pub fn connections_known_at(&self, at: DateTime<Utc>) -> Vec<&NewConnection> {
        let mut latest: BTreeMap<&str, &NewConnection> = BTreeMap::new();
        for row in self.new_connections.iter().filter(|c| c.available_at <= at) {
            let kept = latest.entry(row.id.as_str()).or_insert(row);
            if row.available_at > kept.available_at {
                *kept = row;
            }
        }
        latest.into_values().collect()
    }

    /// Production changes that were known at an instant.
    pub fn changes_known_at(&self, at: DateTime<Utc>) -> impl Iterator<Item = &ProductionChange> {
        self.production_changes
            .iter()
            .filter(move |c| c.available_at <= at)
    }
}
