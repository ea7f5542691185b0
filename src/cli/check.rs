//! `qiliang check`: all problems of configuration, calendar, profiles and registry at once.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::Failure;
use crate::run::site;

/// Prints every problem; an error among them makes the exit code 78.
pub(super) fn run(config: Option<&Path>, now: DateTime<Utc>) -> Result<(), Failure> {
    let examined = site::examine(config, now);
    let problems = examined.problems();
    if problems.iter().any(|p| !p.is_warning) {
        return Err(Failure::Problems(problems));
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    if let Some(registry) = examined.registry() {
        println!(
            "ok: {} profiles, {} customers, {} meters, {} contracts, {} warning(s)",
            examined.profiles().ids().count(),
            registry.customers.len(),
            registry.meters.len(),
            registry.contracts.len(),
            problems.len()
        );
    }
    Ok(())
}
