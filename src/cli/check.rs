//! `qiliang check`: all problems of configuration, calendar, profiles and registry at once.

use super::{Context, Failure};

/// Prints every problem; an error among them makes the exit code 78.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let examined = context.examine();
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
            examined.profiles().len(),
            registry.customers.len(),
            registry.meters.len(),
            registry.contracts.len(),
            problems.len()
        );
        if let Ok(settings) = context.settings() {
            for line in super::retention::lengths(&settings.retention) {
                println!("{line}");
            }
        }
    }
    Ok(())
}
