//! The city's registry and archive as files.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::domain::calendar::GasDayClock;
use crate::domain::contract::SupplyContract;
use crate::domain::registry::RegistryParts;
use crate::domain::season::Place;
use crate::simulate::SimulateError;
use crate::simulate::city::City;
use crate::simulate::stream::SimFrame;
use crate::simulate::supply;

/// Form of `contracts.toml`.
#[derive(Debug, Serialize)]
struct ContractFile<'a> {
    contract: &'a [SupplyContract],
}

/// Form of `local_calendar.toml`.
#[derive(Debug, Serialize)]
struct PlaceFile<'a> {
    place: &'a [Place],
}

const LOCAL_CALENDAR: &str = "local_calendar.toml";

impl City {
    /// The registry as of `now_at`: what the files of `write_registry` say.
    ///
    /// # Errors
    /// None in practice: the parts are turned into text once to name the version.
    pub fn registry_parts(&self) -> Result<RegistryParts, SimulateError> {
        let mut parts = self.unversioned_parts();
        let mut hash = Sha256::new();
        for (name, text) in render(&parts)? {
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(&text);
        }
        parts.version = hex::encode(hash.finalize());
        Ok(parts)
    }

    fn unversioned_parts(&self) -> RegistryParts {
        let config = self.config();
        let normal = |customer: usize| self.normal_m3(customer);
        let mut production_changes = self.script().production_changes(self.customers(), &normal);
        production_changes.retain(|change| change.available_at <= config.now_at);
        RegistryParts {
            version: String::new(),
            company: supply::company(),
            zones: supply::zones(config),
            sources: supply::sources(),
            shares: supply::shares(config),
            customers: self.customers().to_vec(),
            meters: self.sites().iter().map(|s| s.meter.clone()).collect(),
            exchanges: self.exchanges(),
            gateways: self.gateways().to_vec(),
            contracts: supply::contracts(config, &self.usual_purchase_m3()),
            production_changes,
            filed_plans: self.filed_plans(config.now_at),
            new_connections: Vec::new(),
            gas_qualities: supply::gas_qualities(config),
        }
    }

    /// Writes the registry files into `dir`, which is made if need be. Columns are the serde names
    /// of the domain's fields.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn write_registry(&self, dir: &Path) -> Result<(), SimulateError> {
        fs::create_dir_all(dir).map_err(|source| SimulateError::io(dir, source))?;
        for (name, text) in render(&self.unversioned_parts())? {
            let path = dir.join(name);
            fs::write(&path, text).map_err(|source| SimulateError::io(&path, source))?;
        }
        // Not a part of the registry's version, as the rules' limits are not.
        let path = dir.join(LOCAL_CALENDAR);
        let places = PlaceFile {
            place: self.config().calendar.places(),
        };
        fs::write(&path, toml_text(LOCAL_CALENDAR, &places)?)
            .map_err(|source| SimulateError::io(&path, source))
    }

    /// Writes every history frame that arrives before `now_at` as an NDJSON capture, the form that
    /// `qiliang import` reads: `received_at`, `device`, `topic`, and the bytes as `json` where they
    /// are, else as `hex`. Returns how many; `progress` hears of every 10,000.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn write_history(
        &self,
        path: &Path,
        progress: &mut dyn FnMut(&str, u64),
    ) -> Result<u64, SimulateError> {
        let failed = |source| SimulateError::io(path, source);
        let mut out = BufWriter::new(File::create(path).map_err(failed)?);
        let from = GasDayClock::default().start_of(self.config().start_on());
        let mut count = 0;
        for frame in self.archive(from, self.config().now_at) {
            write_capture(&mut out, &frame).map_err(failed)?;
            count += 1;
            if count % 10_000 == 0 {
                progress("history frames", count);
            }
        }
        out.flush().map_err(failed)?;
        Ok(count)
    }

    /// Writes every weather vintage known before `now_at`, one JSON object a line. Returns how many.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn write_weather(
        &self,
        path: &Path,
        progress: &mut dyn FnMut(&str, u64),
    ) -> Result<u64, SimulateError> {
        let failed = |source| SimulateError::io(path, source);
        let mut out = BufWriter::new(File::create(path).map_err(failed)?);
        let from = GasDayClock::default().start_of(self.config().start_on());
        let mut count = 0;
        for vintage in self.weather_vintages(from, self.config().now_at) {
            serde_json::to_writer(&mut out, &vintage)
                .map_err(std::io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
                .map_err(failed)?;
            count += 1;
            if count % 1_000 == 0 {
                progress("weather vintages", count);
            }
        }
        out.flush().map_err(failed)?;
        Ok(count)
    }

    /// Writes the table of scripted events as text. Returns how many there are.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn write_faults(&self, path: &Path) -> Result<u64, SimulateError> {
        let faults = self.faults();
        let mut lines = vec!["# Beijing time; what happens, to what, and how".to_owned()];
        lines.extend(faults.iter().map(ToString::to_string));
        lines.push(String::new());
        let text = lines.join("\n");
        fs::write(path, text).map_err(|source| SimulateError::io(path, source))?;
        Ok(faults.len() as u64)
    }
}

/// One line of `history.ndjson`. The bytes of a JSON frame stand in it as the device sent them.
fn write_capture(out: &mut impl Write, frame: &SimFrame) -> std::io::Result<()> {
    write!(
        out,
        r#"{{"received_at":"{}","device":"{}","topic":"{}","#,
        frame
            .arrives_at
            .to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        frame.device,
        frame.topic,
    )?;
    // Newlines inside would end the line; no device of ours sends any.
    let is_json = frame.bytes.first() == Some(&b'{')
        && !frame.bytes.contains(&b'\n')
        && serde_json::from_slice::<serde::de::IgnoredAny>(&frame.bytes).is_ok();
    if is_json {
        out.write_all(br#""json":"#)?;
        out.write_all(&frame.bytes)?;
        out.write_all(b"}\n")
    } else {
        writeln!(out, r#""hex":"{}"}}"#, hex::encode(&frame.bytes))
    }
}

/// The registry files, in order of name.
fn render(parts: &RegistryParts) -> Result<Vec<(&'static str, Vec<u8>)>, SimulateError> {
    Ok(vec![
        ("company.toml", toml_text("company.toml", &parts.company)?),
        (
            "contracts.toml",
            toml_text(
                "contracts.toml",
                &ContractFile {
                    contract: &parts.contracts,
                },
            )?,
        ),
        (
            "customers.csv",
            csv_text("customers.csv", &parts.customers)?,
        ),
        (
            "exchanges.csv",
            csv_text("exchanges.csv", &parts.exchanges)?,
        ),
        (
            "filed_plans.csv",
            csv_text("filed_plans.csv", &parts.filed_plans)?,
        ),
        (
            "gas_quality.csv",
            csv_text("gas_quality.csv", &parts.gas_qualities)?,
        ),
        ("gateways.csv", csv_text("gateways.csv", &parts.gateways)?),
        ("meters.csv", csv_text("meters.csv", &parts.meters)?),
        (
            "production_changes.csv",
            csv_text("production_changes.csv", &parts.production_changes)?,
        ),
        (
            "source_shares.csv",
            csv_text("source_shares.csv", &parts.shares)?,
        ),
        ("sources.csv", csv_text("sources.csv", &parts.sources)?),
        ("zones.csv", csv_text("zones.csv", &parts.zones)?),
    ])
}

fn toml_text<T: Serialize>(name: &str, value: &T) -> Result<Vec<u8>, SimulateError> {
    toml::to_string(value)
        .map(String::into_bytes)
        .map_err(|source| SimulateError::Toml {
            file: name.into(),
            source,
        })
}

fn csv_text<T: Serialize>(name: &str, rows: &[T]) -> Result<Vec<u8>, SimulateError> {
    let failed = |source| SimulateError::Csv {
        file: PathBuf::from(name),
        source,
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(failed)?;
    }
    writer
        .into_inner()
        .map_err(|error| failed(csv::Error::from(error.into_error())))
}
