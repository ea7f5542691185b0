//! The registry read from files, every problem listed at once.
//!
//! Files are the truth: `company.toml`, `contracts.toml` and one CSV per kind of thing, whose columns
//! are the field names of the domain types. A row that cannot be read is left out and named; what
//! refers to it is then named too, so that one look shows the whole extent.

mod check;
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use crate::domain::id::{MeterId, ProfileId};
use crate::domain::meter::MeteringTerms;
use crate::domain::problem::Problem;
use crate::domain::registry::{Registry, RegistryParts};

use files::Reader;

/// Columns of each CSV file, in the order of the domain types; a test holds them equal.
pub mod columns {
    /// `zones.csv`
    pub const ZONES: &[&str] = &["id", "name", "weather_station", "atmosphere_kpa"];
    /// `zones.csv`, columns that may be left out
    pub const ZONES_MORE: &[&str] = &["pipe_volume_m3"];
    /// `sources.csv`
    pub const SOURCES: &[&str] = &["id", "name", "class", "supplier", "delivery_point"];
    /// `source_shares.csv`
    pub const SHARES: &[&str] = &["zone", "source", "from_on", "share"];
    /// `customers.csv`
    pub const CUSTOMERS: &[&str] = &[
        "id",
        "name",
        "class",
        "zone",
        "households",
        "industry",
        "grid",
        "account_manager",
        "contact_group",
        "sale_mode",
        "design_flow_m3h",
        "contract_annual",
        "base_price",
        "agreed_discount",
        "shift",
        "protection_rank",
        "is_interruptible",
        "shiftable_m3_per_day",
        "flow_min_safe_m3h",
        "is_nudge_opted_in",
        "ledger_reason",
        "connected_on",
    ];
    /// `meters.csv`
    pub const METERS: &[&str] = &[
        "id",
        "device",
        "customer",
        "zone",
        "role",
        "kind",
        "profile",
        "settlement",
        "total_digits",
        "flow_max_m3h",
        "fixed_factor",
        "period_s",
        "gateway",
        "unit",
        "installed_on",
    ];
    /// `meters.csv`, columns that may be left out
    pub const METERS_MORE: &[&str] = &["removed_on", "corrected_at", "corrector_method"];
    /// `exchanges.csv`
    pub const EXCHANGES: &[&str] = &["meter", "exchanged_at", "old_total", "new_total"];
    /// `gateways.csv`
    pub const GATEWAYS: &[&str] = &["id", "host", "port"];
    /// `gateways.csv`, columns that may be left out
    pub const GATEWAYS_MORE: &[&str] = &[
        "transport",
        "parallel",
        "path",
        "baud",
        "parity",
        "stop_bits",
    ];
    /// `production_changes.csv`
    pub const CHANGES: &[&str] = &[
        "customer",
        "kind",
        "from_on",
        "to_on",
        "delta_m3_per_day",
        "confidence",
        "source",
        "available_at",
    ];
    /// `filed_plans.csv`
    pub const PLANS: &[&str] = &["customer", "day", "volume", "available_at"];
    /// `new_connections.csv`
    pub const CONNECTIONS: &[&str] = &[
        "id",
        "name",
        "zone",
        "class",
        "stage",
        "connected_on",
        "connected_m3_per_day",
        "coefficient",
        "available_at",
    ];
    /// `new_connections.csv`, columns that may be left out
    pub const CONNECTIONS_MORE: &[&str] = &[
        "probability",
        "ramp",
        "customer",
        "design_flow_m3h",
        "settled_on",
        "location",
        "contact",
        "sponsor",
    ];
    /// `gas_quality.csv`
    pub const QUALITIES: &[&str] = &[
        "zone",
        "from_on",
        "calorific_value_mjm3",
        "relative_density",
        "co2",
        "h2",
    ];
    /// `gas_quality.csv`, columns that may be left out
    pub const QUALITIES_MORE: &[&str] = &["composition"];
}

/// Reads and checks a registry folder.
///
/// `profiles` are the device profiles that loaded; a meter bound to any other is a problem. So is one that is
/// settled otherwise than its readings so far (`in_use`), and what cannot have happened yet at `now`.
///
/// Returns none where the company or a required file could not be read at all; what could be read
/// is returned even with problems, so that a caller may show both. Whether to start with it is the
/// caller's decision: any problem that is no warning should keep it from being used.
pub fn load(
    dir: &Path,
    profiles: &BTreeSet<ProfileId>,
    in_use: &BTreeMap<MeterId, MeteringTerms>,
    now: DateTime<Utc>,
) -> (Option<Registry>, Vec<Problem>) {
    let mut reader = Reader::new(dir);
    let company = reader.toml("company.toml");
    let contracts = reader.contracts("contracts.toml");
    let mut rows = check::Rows {
        zones: reader.csv_with("zones.csv", columns::ZONES, columns::ZONES_MORE, true),
        sources: reader.csv("sources.csv", columns::SOURCES, true),
        shares: reader.csv("source_shares.csv", columns::SHARES, true),
        customers: reader.csv("customers.csv", columns::CUSTOMERS, true),
        meters: reader.csv_with("meters.csv", columns::METERS, columns::METERS_MORE, true),
        exchanges: reader.csv("exchanges.csv", columns::EXCHANGES, false),
        gateways: reader.csv_with(
            "gateways.csv",
            columns::GATEWAYS,
            columns::GATEWAYS_MORE,
            false,
        ),
        production_changes: reader.csv("production_changes.csv", columns::CHANGES, false),
        filed_plans: reader.csv("filed_plans.csv", columns::PLANS, false),
        new_connections: reader.csv_with(
            "new_connections.csv",
            columns::CONNECTIONS,
            columns::CONNECTIONS_MORE,
            false,
        ),
        gas_qualities: reader.csv_with(
            "gas_quality.csv",
            columns::QUALITIES,
            columns::QUALITIES_MORE,
            false,
        ),
        contracts,
    };
    let Reader {
        mut problems,
        hasher,
        ..
    } = reader;
    let has_all_files = !problems
        .iter()
        .any(|p| p.code == "registry.file_unreadable");
    let beside = check::Beside {
        company: company.as_ref(),
        profiles,
        in_use,
        now,
    };
    check::check(dir, &beside, &mut rows, &mut problems);
    problems.sort();
    let registry = match company {
        Some(company) if has_all_files => Some(Registry::new(RegistryParts {
            version: hex::encode(hasher.finalize()),
            company,
            zones: values(rows.zones),
            sources: values(rows.sources),
            shares: values(rows.shares),
            customers: values(rows.customers),
            meters: values(rows.meters),
            exchanges: values(rows.exchanges),
            gateways: values(rows.gateways),
            contracts: values(rows.contracts),
            production_changes: values(rows.production_changes),
            filed_plans: values(rows.filed_plans),
            new_connections: values(rows.new_connections),
            gas_qualities: values(rows.gas_qualities),
        })),
        _ => None,
    };
    (registry, problems)
}

fn values<T>(rows: Vec<files::Row<T>>) -> Vec<T> {
    rows.into_iter().map(|row| row.value).collect()
}

fn hash_into(hasher: &mut Sha256, name: &str, text: &str) {
    hasher.update(name.as_bytes());
    hasher.update([0]);
    hasher.update(text.as_bytes());
    hasher.update([0]);
}

#[cfg(test)]
mod tests;
