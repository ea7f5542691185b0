//! What the rows say about each other: references, doubles, sums, bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

use chrono::{DateTime, Utc};

use crate::domain::connection::NewConnection;
use crate::domain::contract::SupplyContract;
use crate::domain::customer::{Customer, PriceTier};
use crate::domain::filing::{FiledPlan, ProductionChange};
use crate::domain::id::{MeterId, ProfileId};
use crate::domain::meter::{Gateway, Meter, MeterExchange, MeteringTerms};
use crate::domain::problem::Problem;
use crate::domain::registry::Company;
use crate::domain::season::{MonthDay, Season};
use crate::domain::source::{GasQuality, GasSource, SourceShare, Zone};

use super::files::Row;

mod connected;
mod connections;
mod exchanges;
mod lives;
mod meters;
mod supply;
mod terms;

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
    /// By what meters that have readings are settled.
    pub(super) in_use: &'a BTreeMap<MeterId, MeteringTerms>,
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
    supply::check(rows, &mut sink);
    check_customers(rows, &mut sink);
    meters::check(rows, beside.profiles, &mut sink);
    terms::check(&rows.meters, beside.in_use, beside.now, &mut sink);
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
