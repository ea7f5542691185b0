//! `qiliang salvage`: what can be read of damaged files, as a backup.

use std::path::Path;

use super::{Context, Failure};
use crate::domain::calendar::GasDayClock;
use crate::store::salvage;

/// Saves what can be read into a new folder and lists what cannot; exit code 1 then.
pub(super) fn run(context: &Context, to: &Path) -> Result<(), Failure> {
    let settings = context.settings()?;
    let clock = context
        .examine()
        .registry()
        .map_or_else(GasDayClock::default, |registry| {
            registry.company.gas_day_start_hour
        });
    let found = salvage::salvage(&settings.paths.data_dir, to, clock, context.clock.now())?;
    for line in found.lines() {
        println!("{line}");
    }
    println!(
        "the same is in {}; `qiliang restore {} --replace` puts it in place and the damaged files aside, then \
         `qiliang verify --all-curves` holds curves against their readings",
        to.join(salvage::REPORT).display(),
        to.display()
    );
    if found.lost.is_empty() {
        Ok(())
    } else {
        Err(Failure::Warned)
    }
}
