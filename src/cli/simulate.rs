//! `qiliang simulate`: a city's files.

use std::path::Path;

use super::{CityArguments, Failure};
use crate::simulate;
use crate::simulate::city::CityConfig;

/// The city the arguments ask for.
pub(super) fn config(arguments: &CityArguments) -> CityConfig {
    CityConfig {
        seed: arguments.seed,
        meters: arguments.meters,
        enterprises: arguments.enterprises,
        history_days: arguments.history_days,
        ..CityConfig::default()
    }
}

/// Writes registry, weather and faults, and the history if asked for.
pub(super) fn run(out: &Path, history: bool, city: &CityArguments) -> Result<(), Failure> {
    let mut progress = |what: &str, count: u64| {
        if count > 0 {
            eprintln!("{what}: {count}");
        }
    };
    let written = simulate::write(out, config(city), history, &mut progress)?;
    println!(
        "wrote {}: {} meters, {} weather vintages, {} history frames, {} scripted faults",
        out.display(),
        written.meters,
        written.vintages,
        written.frames,
        written.faults
    );
    Ok(())
}
