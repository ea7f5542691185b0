//! A deterministic city: meters, weather, faults, over real protocols.
//!
//! ```text
//! config ▶ weather ▶ load ▶ city (totals) ▶ wire (frames) ▶ stream (arrivals) ▶ publish, history
//!                                      └──▶ modbus_server
//! ```
//!
//! The same [`city::CityConfig`] gives the same bytes on every machine: randomness is a hash of
//! seed and place, and only operations whose results IEEE 754 fixes are used.

use std::path::{Path, PathBuf};

mod config;
mod drill;
mod fault;
mod files;
mod load;
mod noise;
mod script;
mod site;
mod stream;
mod supply;
mod usual;
mod wire;

pub mod city;
pub mod modbus_server;
pub mod publish;
pub mod weather;

pub use config::shipped_calendar;
pub use drill::{Drill, Tamper};
pub use fault::{Fault, FaultKind};
pub use load::LoadKind;
pub use site::{Site, Wire};
pub use stream::{FrameKind, FrameStream, SimFrame};
pub use supply::TOPIC_COMPANY;
pub use wire::{FX_COUNT, FX_START};

use city::{City, CityConfig};

/// What can go wrong with the city's files and servers.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A file could not be written.
    #[error("cannot write {path}; check that the folder exists and has room")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Rows that CSV cannot hold.
    #[error("cannot write {file} as CSV")]
    Csv {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: csv::Error,
    },
    /// A value that TOML cannot hold.
    #[error("cannot write {file} as TOML")]
    Toml {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: toml::ser::Error,
    },
    /// There is no such Modbus gateway in the city.
    #[error("the city has no modbus gateway `{gateway}`; it has {known}")]
    UnknownGateway {
        /// The one asked for.
        gateway: String,
        /// Those there are.
        known: String,
    },
    /// The Modbus server could not go on.
    #[error("the modbus server of gateway `{gateway}` failed")]
    ModbusServer {
        /// Gateway.
        gateway: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A task of the publisher broke.
    #[error("a publishing task ended abnormally")]
    Task(#[from] tokio::task::JoinError),
}

impl SimulateError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

/// What [`write()`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Meters in the registry.
    pub meters: u64,
    /// Lines of `weather.ndjson`.
    pub vintages: u64,
    /// Lines of `history.ndjson`; 0 where none was asked for.
    pub frames: u64,
    /// Lines of `faults.txt`.
    pub faults: u64,
}

/// Writes a city into `dir`: `registry/` with its files, `weather.ndjson`, `faults.txt`, if asked for
/// `history.ndjson`, and `site.toml`, with which every command can be used on it. `progress` hears what is being written and how many there are.
///
/// # Errors
/// The file that could not be written.
pub fn write(
    dir: &Path,
    config: CityConfig,
    has_history: bool,
    progress: &mut dyn FnMut(&str, u64),
) -> Result<Written, SimulateError> {
    progress("building the city", 0);
    let city = City::new(config);
    let meters = city.sites().len() as u64;
    city.write_registry(&dir.join("registry"))?;
    progress("meters", meters);
    let vintages = city.write_weather(&dir.join("weather.ndjson"), progress)?;
    let faults = city.write_faults(&dir.join("faults.txt"))?;
    write_site(dir)?;
    let frames = if has_history {
        city.write_history(&dir.join("history.ndjson"), progress)?
    } else {
        0
    };
    Ok(Written {
        meters,
        vintages,
        frames,
        faults,
    })
}

/// Settings with the paths of the folder; everything else keeps its default.
fn write_site(dir: &Path) -> Result<(), SimulateError> {
    let file = dir.join("site.toml");
    let failed = |source| SimulateError::io(&file, source);
    let dir = std::path::absolute(dir).map_err(failed)?;
    let quoted = |name: &str| format!("{:?}", dir.join(name).display().to_string());
    let text = format!(
        "# Profiles and calendars are those of the working directory, unless [paths] names others.\n\
         [paths]\nregistry_dir = {}\ndata_dir = {}\n",
        quoted("registry"),
        quoted("data"),
    );
    std::fs::write(&file, text).map_err(failed)
}
