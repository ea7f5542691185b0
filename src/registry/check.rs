//! What the rows say about each other: references, doubles, sums, bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};

use crate::domain::connection::NewConnection;
use crate::domain::contract::SupplyContract;
use crate::domain::customer::{Customer, PriceTier};
use crate::domain::filing::{FiledPlan, ProductionChange};
use crate::domain::id::{ProfileId, ZoneId};
use crate::domain::meter::{Gateway, GatewayTransport, Meter, MeterExchange, MeterRole};
use crate::domain::problem::Problem;
use crate::domain::registry::Company;
use crate::domain::season::{MonthDay, Season};
use crate::domain::source::{GasQuality, GasSource, SourceShare, Zone};

use super::files::Row;

mod connected;
mod connections;
mod exchanges;
mod lives;

/// All rows of a folder.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) zones: Vec<Row<Zone>>,
    pub(super) sources: Vec<Row<GasSource>>,
    pub(super) shares: Vec<Row<SourceShare>>,
    pub(super) customers: Vec<Row<Customer>>,
    pub(super) meters: Vec<Row<Meter>>,
    pub(super) exchanges: Vec<Row<MeterExchange>>,
    pub(super) gateways: Vec<Row<Gateway>>,
    pub(super) production_changes: Vec<Row<ProductionChange>>,
    pub(super) filed_plans: Vec<Row<FiledPlan>>,
    pub(super) new_connections: Vec<Row<NewConnection>>,
    pub(super) gas_qualities: Vec<Row<GasQuality>>,
    pub(super) contracts: Vec<Row<SupplyContract>>,
}

struct Sink<'a> {
    dir: &'a Path,
    problems: &'a mut Vec<Problem>,
}

impl Sink<'_> {
    fn add(
        &mut self,
        file: &str,
        line: usize,
        code: &'static str,
        message: String,
        remedy: impl Into<String>,
    ) {
        self.push(file, line, code, message, remedy.into(), false);
    }

    fn warn(
        &mut self,
        file: &str,
        line: usize,
        code: &'static str,
        message: String,
        remedy: impl Into<String>,
    ) {
        self.push(file, line, code, message, remedy.into(), true);
    }

    fn push(
        &mut self,
        file: &str,
        line: usize,
        code: &'static str,
        message: String,
        remedy: String,
        is_warning: bool,
    ) {
        self.problems.push(Problem {
            file: self.dir.join(file),
            line: Some(line),
            code,
            message,
            remedy,
            is_warning,
        });
    }

    fn doubles<T, K: Ord + Display>(&mut self, file: &str, rows: &[Row<T>], key: impl Fn(&T) -> K) {
        let mut seen: BTreeMap<K, usize> = BTreeMap::new();
        for row in rows {
            let id = key(&row.value);
            if let Some(first) = seen.get(&id) {
                let message = format!("`{id}` stands in line {first} already");
                self.add(
                    file,
                    row.line,
                    "registry.duplicate",
                    message,
                    "keep one of the two rows",
                );
            } else {
                seen.insert(id, row.line);
            }
        }
    }

    fn refers<K: Ord + Display>(
        &mut self,
        (file, line): (&str, usize),
        what: &str,
        id: &K,
        known: &BTreeSet<&K>,
        known_in: &str,
    ) {
        if !known.contains(id) {
            self.add(
                file,
                line,
                "registry.unknown_reference",
                format!("{what} `{id}` is not in {known_in}"),
                format!("add it to {known_in} or mend the name"),
            );
        }
    }
}

fn ids<'a, T, K: Ord>(rows: &'a [Row<T>], key: impl Fn(&'a T) -> &'a K) -> BTreeSet<&'a K> {
    rows.iter().map(|row| key(&row.value)).collect()
}

/// What rows are held against beside each other.
pub(super) struct Beside<'a> {
    pub(super) company: Option<&'a Company>,
    /// Device profiles that loaded.
    pub(super) profiles: &'a BTreeSet<ProfileId>,
    pub(super) now: DateTime<Utc>,
}

/// Adds every problem the rows have with each other, and fills in what is missing and beyond doubt.
pub(super) fn check(dir: &Path, beside: &Beside<'_>, rows: &mut Rows, problems: &mut Vec<Problem>) {
    let mut sink = Sink { dir, problems };
    if let Some(company) = beside.company {
        check_company(company, &mut sink);
    }
    sink.doubles("zones.csv", &rows.zones, |z| z.id.clone());
    sink.doubles("sources.csv", &rows.sources, |s| s.id.clone());
    sink.doubles("customers.csv", &rows.customers, |c| c.id.clone());
    sink.doubles("meters.csv", &rows.meters, |m| m.id.clone());
    sink.doubles("gateways.csv", &rows.gateways, |g| g.id.clone());
    sink.doubles("contracts.toml", &rows.contracts, |c| c.id.clone());
    sink.doubles("source_shares.csv", &rows.shares, |s| {
        format!("{} {} {}", s.zone, s.source, s.from_on)
    });
    sink.doubles("filed_plans.csv", &rows.filed_plans, |p| {
        format!("{} {} {}", p.customer, p.day, p.available_at)
    });
    sink.doubles("gas_quality.csv", &rows.gas_qualities, |q| {
        format!("{} {}", q.zone, q.from_on)
    });
    check_shares(rows, &mut sink);
    check_gas_qualities(rows, &mut sink);
    check_customers(rows, &mut sink);
    check_gateways(rows, &mut sink);
    check_meters(rows, beside.profiles, &mut sink);
    exchanges::check(rows, beside.now, &mut sink);
    check_contracts(rows, &mut sink);
    check_filings(rows, &mut sink);
    connections::check(rows, &mut sink);
    connected::recognise(rows, &mut sink);
}

fn check_company(company: &Company, sink: &mut Sink<'_>) {
    let file = "company.toml";
    let hour = company.gas_day_start_hour.start_hour;
    if hour > 23 {
        sink.add(
            file,
            1,
            "registry.start_hour",
            format!("`gas_day_start_hour` is {hour}"),
            "write an hour from 0 to 23, usually 8",
        );
    }
    if let Some(hour) = company.slots.first_bad_hour() {
        sink.add(
            file,
            1,
            "registry.slots",
            format!("hour {hour} is covered by no slot or by several"),
            "let the slots cover each of the 24 hours once",
        );
    }
    let heating = [
        ("heating_from", &company.heating_from),
        ("heating_to", &company.heating_to),
    ];
    let has_heating = heating.iter().any(|(_, text)| !text.is_empty());
    for (key, text) in heating {
        if has_heating && text.parse::<MonthDay>().is_err() {
            sink.add(
                file,
                1,
                "registry.heating_season",
                format!("`{key}` is `{text}`"),
                "write MM-DD, for example 11-15",
            );
        }
    }
    let reference = company.reference;
    if !(-10.0..=30.0).contains(&reference.temperature_c)
        || !(90.0..=110.0).contains(&reference.pressure_kpa)
    {
        sink.add(
            file,
            1,
            "registry.reference",
            format!(
                "reference conditions {} °C and {} kPa are not plausible",
                reference.temperature_c, reference.pressure_kpa
            ),
            "China trades at 20 °C and 101.325 kPa",
        );
    }
}

/// The ranges of ISO 12213-3; whether a gas has all of it together, the method itself says.
fn check_gas_qualities(rows: &Rows, sink: &mut Sink<'_>) {
    let file = "gas_quality.csv";
    let zones = ids(&rows.zones, |z| &z.id);
    for row in &rows.gas_qualities {
        let quality = &row.value;
        sink.refers((file, row.line), "zone", &quality.zone, &zones, "zones.csv");
        for (key, value, least, most) in [
            (
                "calorific_value_mjm3",
                quality.calorific_value_mjm3,
                20.0,
                48.0,
            ),
            ("relative_density", quality.relative_density, 0.55, 0.9),
            ("co2", quality.co2, 0.0, 0.3),
            ("h2", quality.h2, 0.0, 0.1),
        ] {
            if !(least..=most).contains(&value) {
                sink.add(
                    file,
                    row.line,
                    "registry.gas_quality",
                    format!("`{key}` is {value}, not from {least} to {most}"),
                    "write the gas analysis at 0 °C metering and 25 °C combustion, fractions as 0.006",
                );
            }
        }
    }
}

fn check_shares(rows: &Rows, sink: &mut Sink<'_>) {
    let file = "source_shares.csv";
    let zones = ids(&rows.zones, |z| &z.id);
    let sources = ids(&rows.sources, |s| &s.id);
    let mut sums: BTreeMap<(&ZoneId, NaiveDate), (f64, usize)> = BTreeMap::new();
    for row in &rows.shares {
        let share = &row.value;
        sink.refers((file, row.line), "zone", &share.zone, &zones, "zones.csv");
        sink.refers(
            (file, row.line),
            "source",
            &share.source,
            &sources,
            "sources.csv",
        );
        if !(0.0..=1.0).contains(&share.share) {
            sink.add(
                file,
                row.line,
                "registry.share",
                format!("share {} is not between 0 and 1", share.share),
                "write the part of the zone's gas, for example 0.35",
            );
        }
        let sum = sums
            .entry((&share.zone, share.from_on))
            .or_insert((0.0, row.line));
        sum.0 += share.share;
    }
    for ((zone, from_on), (sum, line)) in &sums {
        if (sum - 1.0).abs() > 1e-6 {
            sink.add(
                file,
                *line,
                "registry.share_sum",
                format!("the shares of zone `{zone}` from {from_on} sum to {sum:.4}"),
                "let them sum to 1",
            );
        }
    }
    for row in &rows.zones {
        if !sums.keys().any(|(zone, _)| **zone == row.value.id) {
            sink.add(
                "zones.csv",
                row.line,
                "registry.zone_without_source",
                format!("zone `{}` has no source share", row.value.id),
                "add at least one row to source_shares.csv",
            );
        }
        if !(50.0..=110.0).contains(&row.value.atmosphere_kpa) {
            sink.add(
                "zones.csv",
                row.line,
                "registry.atmosphere",
                format!(
                    "atmosphere of {} kPa is not plausible",
                    row.value.atmosphere_kpa
                ),
                "write kPa absolute: about 101 at sea level, 84 on the plateau",
            );
        }
        if !(0.0..=1e7).contains(&row.value.pipe_volume_m3) {
            sink.add(
                "zones.csv",
                row.line,
                "registry.pipe_volume",
                format!(
                    "a pipe volume of {} m³ is not plausible",
                    row.value.pipe_volume_m3
                ),
                "write the volume inside the zone's pipes in m³, or 0 if it is not known",
            );
        }
    }
}

fn check_customers(rows: &Rows, sink: &mut Sink<'_>) {
    let file = "customers.csv";
    let zones = ids(&rows.zones, |z| &z.id);
    for row in &rows.customers {
        let customer = &row.value;
        sink.refers(
            (file, row.line),
            "zone",
            &customer.zone,
            &zones,
            "zones.csv",
        );
        if !(1..=9).contains(&customer.protection_rank) {
            sink.add(
                file,
                row.line,
                "registry.protection_rank",
                format!(
                    "protection rank {} is not between 1 and 9",
                    customer.protection_rank
                ),
                "1 is households, 9 is interruptible first",
            );
        }
        let bad_number = [
            ("design_flow_m3h", customer.design_flow_m3h),
            ("shiftable_m3_per_day", customer.shiftable_m3_per_day),
            ("flow_min_safe_m3h", customer.flow_min_safe_m3h),
        ]
        .into_iter()
        .find(|(_, value)| !value.is_finite() || *value < 0.0);
        if let Some((key, value)) = bad_number {
            sink.add(
                file,
                row.line,
                "registry.negative",
                format!("`{key}` is {value}"),
                "write zero or more",
            );
        }
        if customer.class.is_protected() && customer.is_nudge_opted_in {
            sink.warn(
                file,
                row.line,
                "registry.protected_opted_in",
                format!(
                    "`{}` is of a protected class and opted in to nudges",
                    customer.id
                ),
                "set is_nudge_opted_in to false; it is never asked anyway",
            );
        }
        if let Some(floor) = PriceTier::of(customer.contract_annual).discount_min()
            && customer.agreed_discount < floor
        {
            sink.warn(
                file,
                row.line,
                "registry.discount_below_floor",
                format!(
                    "agreed discount {} 元/m³ is below the tier's floor of {floor}",
                    customer.agreed_discount
                ),
                "mend the discount or the annual contract volume",
            );
        }
    }
}

fn check_gateways(rows: &Rows, sink: &mut Sink<'_>) {
    for row in &rows.gateways {
        for (message, remedy) in gateway_problems(&row.value) {
            sink.add(
                "gateways.csv",
                row.line,
                "registry.gateway_invalid",
                message,
                remedy,
            );
        }
    }
    let serial: Vec<Row<&Gateway>> = rows
        .gateways
        .iter()
        .filter(|row| row.value.transport == GatewayTransport::Serial)
        .map(|row| Row {
            line: row.line,
            value: &row.value,
        })
        .collect();
    sink.doubles("gateways.csv", &serial, |g| format!("path {}", g.path));
}

fn gateway_problems(gateway: &Gateway) -> Vec<(String, &'static str)> {
    let mut out = Vec::new();
    let is_serial = gateway.transport == GatewayTransport::Serial;
    if is_serial {
        if gateway.path.is_empty() {
            out.push((
                format!("gateway `{}` is serial and has no path", gateway.id),
                "write the serial port into the column path, for example /dev/ttyS1",
            ));
        }
        if !(300..=4_000_000).contains(&gateway.baud) {
            out.push((
                format!("`baud` is {}", gateway.baud),
                "write the bits per second set in the meters, for example 9600",
            ));
        }
        if !(1..=2).contains(&gateway.stop_bits) {
            out.push((
                format!("`stop_bits` is {}", gateway.stop_bits),
                "write 1 or 2",
            ));
        }
    } else if gateway.host.is_empty() || gateway.port == 0 {
        out.push((
            format!("gateway `{}` has no host or no port", gateway.id),
            "write both, or transport serial and a path for a port of this machine",
        ));
    }
    let parallel_max = if gateway.transport == GatewayTransport::Tcp {
        16
    } else {
        1
    };
    if !(1..=parallel_max).contains(&gateway.parallel) {
        out.push((
            format!("`parallel` is {}", gateway.parallel),
            if parallel_max == 1 {
                "write 1: on a serial line one request is under way at a time"
            } else {
                "write 1, or as many connections as the gateway serves at the same time, 16 at most"
            },
        ));
    }
    out
}

fn check_meters(rows: &Rows, profiles: &BTreeSet<ProfileId>, sink: &mut Sink<'_>) {
    let file = "meters.csv";
    let zones = ids(&rows.zones, |z| &z.id);
    let customers = ids(&rows.customers, |c| &c.id);
    let gateways = ids(&rows.gateways, |g| &g.id);
    let profiles: BTreeSet<&ProfileId> = profiles.iter().collect();
    lives::check(&rows.meters, sink);
    for row in &rows.meters {
        let meter = &row.value;
        let at = (file, row.line);
        sink.refers(at, "zone", &meter.zone, &zones, "zones.csv");
        sink.refers(at, "profile", &meter.profile, &profiles, "device-profiles/");
        if let Some(customer) = &meter.customer {
            sink.refers(at, "customer", customer, &customers, "customers.csv");
        }
        if let Some(gateway) = &meter.gateway {
            sink.refers(at, "gateway", gateway, &gateways, "gateways.csv");
            if !(1..=247).contains(&meter.unit) {
                sink.add(
                    file,
                    row.line,
                    "registry.unit",
                    format!("Modbus unit {} is not between 1 and 247", meter.unit),
                    "write the unit address set in the corrector",
                );
            }
        }
        if let Some((message, remedy)) = meter_problem(meter) {
            sink.add(file, row.line, "registry.meter_invalid", message, remedy);
        }
    }
}

fn meter_problem(meter: &Meter) -> Option<(String, &'static str)> {
    if (meter.role == MeterRole::Customer) != meter.customer.is_some() {
        return Some((
            format!(
                "a meter of role {:?} {} a customer",
                meter.role,
                if meter.customer.is_some() {
                    "names"
                } else {
                    "names not"
                }
            ),
            "a customer's meter names its customer, a gate's meter names none",
        ));
    }
    if !(1..=12).contains(&meter.total_digits) {
        return Some((
            format!("`total_digits` is {}", meter.total_digits),
            "write the digits before the point at which the total rolls over, 1 to 12",
        ));
    }
    if !meter.flow_max_m3h.is_finite() || meter.flow_max_m3h <= 0.0 {
        return Some((
            format!("`flow_max_m3h` is {}", meter.flow_max_m3h),
            "write Qmax of the meter, m³/h",
        ));
    }
    if !meter.fixed_factor.is_finite() || !(0.5..=100.0).contains(&meter.fixed_factor) {
        return Some((
            format!("`fixed_factor` is {}", meter.fixed_factor),
            "write the factor from working to standard volume, 1 where the standard total settles",
        ));
    }
    if meter.period_s == 0 {
        return Some((
            "`period_s` is 0".into(),
            "write the expected seconds between reports, for example 3600",
        ));
    }
    None
}

fn check_contracts(rows: &Rows, sink: &mut Sink<'_>) {
    let file = "contracts.toml";
    let sources = ids(&rows.sources, |s| &s.id);
    for row in &rows.contracts {
        let contract = &row.value;
        let at = (file, row.line);
        sink.refers(at, "source", &contract.source, &sources, "sources.csv");
        if contract.valid_from > contract.valid_to {
            sink.add(
                file,
                row.line,
                "registry.contract_dates",
                format!(
                    "contract `{}` ends on {} before it starts on {}",
                    contract.id, contract.valid_to, contract.valid_from
                ),
                "mend valid_from or valid_to",
            );
        }
        if contract.components.is_empty() {
            sink.add(
                file,
                row.line,
                "registry.contract_empty",
                format!("contract `{}` has no component", contract.id),
                "add at least one [[contract.component]]",
            );
        }
        for fault in contract.season.iter().flat_map(Season::faults) {
            sink.add(
                file,
                row.line,
                "registry.contract_season",
                format!("`season` of contract `{}`: {fault}", contract.id),
                "write `from` and `to` (included) of one season, within 60 days of its usual start, and each \
                 season once",
            );
        }
        let terms = &contract.deviation;
        let bad_ratio = [
            ("band_ratio", terms.band_ratio, 1.0),
            ("take_or_pay_ratio", terms.take_or_pay_ratio, 1.0),
            ("take_day_min_ratio", terms.take_day_min_ratio, 10.0),
            ("take_day_max_ratio", terms.take_day_max_ratio, 10.0),
        ]
        .into_iter()
        .find(|(_, value, max)| !(0.0..=*max).contains(value));
        if let Some((key, value, max)) = bad_ratio {
            sink.add(
                file,
                row.line,
                "registry.contract_ratio",
                format!("`{key}` of contract `{}` is {value}", contract.id),
                format!("write a ratio between 0 and {max}, 0.05 for 5 %"),
            );
        }
        if terms.take_day_min_ratio > terms.take_day_max_ratio {
            sink.add(
                file,
                row.line,
                "registry.contract_ratio",
                format!("least take of contract `{}` exceeds its most", contract.id),
                "let take_day_min_ratio be at most take_day_max_ratio",
            );
        }
    }
    for (index, row) in rows.contracts.iter().enumerate() {
        let overlapping = rows.contracts.iter().take(index).find(|other| {
            other.value.source == row.value.source
                && other.value.valid_from <= row.value.valid_to
                && row.value.valid_from <= other.value.valid_to
        });
        if let Some(other) = overlapping {
            sink.add(
                file,
                row.line,
                "registry.contract_overlap",
                format!(
                    "contracts `{}` and `{}` both deliver source `{}` at the same time",
                    other.value.id, row.value.id, row.value.source
                ),
                "give each its own source, or let one end before the other starts",
            );
        }
    }
}

fn check_filings(rows: &Rows, sink: &mut Sink<'_>) {
    let customers = ids(&rows.customers, |c| &c.id);
    for row in &rows.production_changes {
        let change = &row.value;
        let file = "production_changes.csv";
        sink.refers(
            (file, row.line),
            "customer",
            &change.customer,
            &customers,
            "customers.csv",
        );
        if change.from_on > change.to_on || !(0.0..=1.0).contains(&change.confidence) {
            sink.add(
                file,
                row.line,
                "registry.change_invalid",
                format!(
                    "change from {} to {} with confidence {}",
                    change.from_on, change.to_on, change.confidence
                ),
                "let it end after it starts and its confidence be between 0 and 1",
            );
        }
    }
    for row in &rows.filed_plans {
        sink.refers(
            ("filed_plans.csv", row.line),
            "customer",
            &row.value.customer,
            &customers,
            "customers.csv",
        );
    }
}
