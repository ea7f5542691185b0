//! What most commands begin with: time, site, stores.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::domain::key::KeyRing;
use crate::run::app::{App, Reload};
use crate::run::site::{self, Site};
use crate::run::{keys, rules};
use crate::settings::{LogSettings, Settings};
use crate::store::error::StoreError;

/// Configuration file and time of a command.
#[derive(Debug)]
pub(super) struct Context {
    config: Option<PathBuf>,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether it is answered as of another instant than now.
    pub(super) is_of_another_time: bool,
}

impl Context {
    pub(super) fn new(config: Option<PathBuf>, at: Option<DateTime<Utc>>) -> Self {
        let is_of_another_time = at.is_some();
        let clock: Arc<dyn Clock> = match at {
            Some(at) => Arc::new(ManualClock::new(at)),
            None => Arc::new(SystemClock),
        };
        Self {
            config,
            clock,
            is_of_another_time,
        }
    }

    /// The folder of device profiles, even where the rest of the configuration is wrong.
    pub(super) fn profiles_dir(&self) -> PathBuf {
        crate::settings::paths_of(self.config.as_deref()).profiles_dir
    }

    /// The devices' keys, as far as configuration and file can be read.
    pub(super) fn keys(&self) -> KeyRing {
        crate::settings::load(self.config.as_deref())
            .ok()
            .and_then(|settings| settings.decode.keys_file)
            .map(|file| keys::load(&file).0)
            .unwrap_or_default()
    }

    /// The settings alone, if nothing is wrong with them.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        crate::settings::load(self.config.as_deref()).map_err(Failure::Problems)
    }

    /// Reads everything there is to read, problems and all.
    pub(super) fn examine(&self) -> site::Examined {
        site::examine(self.config.as_deref(), self.clock.now())
    }

    /// The site, if nothing is wrong with it but the limits of the rules, of which it is told: for whatever
    /// judges nothing itself.
    pub(super) fn site(&self) -> Result<Site, Failure> {
        let site = self.examine().into_site_to_read();
        let site = site.map_err(Failure::Problems)?;
        for problem in site.warnings.iter().filter(|p| rules::is_faulty(p)) {
            eprintln!("{problem}; nothing is judged by it");
        }
        Ok(site)
    }

    /// The site, if nothing at all is wrong with it: for whoever judges.
    pub(super) fn judging_site(&self) -> Result<Site, Failure> {
        self.examine().into_site().map_err(Failure::Problems)
    }

    /// Stores for reading only.
    pub(super) fn read(&self) -> Result<App, Failure> {
        let site = self.site()?;
        let app = App::open_read_only(&site, Arc::clone(&self.clock))?;
        if let Some(error) = app.book.refusal() {
            eprintln!("note: {error}; what only that file has is not given");
        }
        Ok(app)
    }

    /// Stores for writing; refused while a daemon has them.
    pub(super) fn write(&self) -> Result<(App, Reload), Failure> {
        let site = self.site()?;
        Ok(App::open(&site, Arc::clone(&self.clock))?)
    }

    /// Stores for writing, or for reading beside a running daemon; the flag says whether what is
    /// decided can be kept.
    pub(super) fn write_or_read(&self) -> Result<(App, bool), Failure> {
        let site = self.site()?;
        match App::open(&site, Arc::clone(&self.clock)) {
            Ok((app, _)) => Ok((app, true)),
            Err(error) if is_locked(&error) => {
                Ok((App::open_read_only(&site, Arc::clone(&self.clock))?, false))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Refuses to judge by faulty limits.
pub(super) fn check_limits(app: &App) -> Result<(), Failure> {
    let (_, problems) = rules::load(&app.settings.paths.registry_dir);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::Problems(problems))
    }
}

pub(super) fn is_locked(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<StoreError>(),
        Some(StoreError::Locked { .. })
    )
}

/// Says that a decision was made beside a running daemon and is in the file only.
pub(super) fn not_kept(what: &str) {
    eprintln!(
        "note: the daemon has the stores open, so this {what} is in the file only; \
         the console or POST /api/v1/… makes a kept version"
    );
}

/// Logs to standard error as the settings say.
pub(super) fn start_log(settings: &LogSettings) {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // A second call (tests) keeps the first subscriber.
    if settings.json {
        builder.json().try_init().ok();
    } else {
        builder.try_init().ok();
    }
}
