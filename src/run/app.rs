//! The running program's parts, built once from a site and shared by its tasks and commands.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::decode::ProfileSet;
use crate::domain::calendar::{Calendar, GasDay, GasDayClock};
use crate::domain::key::KeyRing;
use crate::domain::registry::Registry;
use crate::forecast::memory::Memory;
use crate::run::daily::DailyVolumes;
use crate::run::ledgering::MemberCache;
use crate::run::past_weather::PastWeather;
use crate::run::site::Site;
use crate::settings::Settings;
use crate::store::StoreError;
use crate::store::backup;
use crate::store::book::Book;
use crate::store::journal::Journal;
use crate::validate::limits::LimitTable;

/// Stores, registry, profiles, calendar and clock. A clone shares all of them.
#[derive(Debug, Clone)]
pub struct App {
    /// Settings.
    pub settings: Arc<Settings>,
    /// Holidays and the local calendar as they are swapped.
    pub calendar: watch::Receiver<Arc<Calendar>>,
    /// Readings and curves.
    pub journal: Journal,
    /// Everything else.
    pub book: Book,
    /// The registry as it is swapped.
    pub registry: watch::Receiver<Arc<Registry>>,
    /// Profiles as they are swapped.
    pub profiles: watch::Receiver<Arc<ProfileSet>>,
    /// Keys of devices whose frames are encrypted, as they are swapped.
    pub keys: watch::Receiver<Arc<KeyRing>>,
    /// Limits of the validation rules as they are swapped.
    pub limits: watch::Receiver<Arc<LimitTable>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who is on the ledger today.
    pub(crate) members: MemberCache,
    /// Days of large consumers' meters that were read.
    pub(crate) daily: DailyVolumes,
    /// Temperatures of past years that were read.
    pub(crate) past_weather: PastWeather,
    /// Held while a nudge is read, changed and written.
    pub(crate) nudge_steps: Steps,
    /// What forecast runs learnt.
    pub memory: Memory,
}

/// One after the other: who reads a document to write its next version holds this.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps(Arc<Mutex<()>>);

impl Steps {
    /// Waits for its turn.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ends that swap registry, profiles, keys, limits and calendar.
#[derive(Debug)]
pub struct Reload {
    /// Registry.
    pub registry: watch::Sender<Arc<Registry>>,
    /// Profiles.
    pub profiles: watch::Sender<Arc<ProfileSet>>,
    /// Keys.
    pub keys: watch::Sender<Arc<KeyRing>>,
    /// Limits of the validation rules.
    pub limits: watch::Sender<Arc<LimitTable>>,
    /// Holidays and the local calendar.
    pub calendar: watch::Sender<Arc<Calendar>>,
}

impl App {
    /// Opens the stores for writing and notes the registry's version.
    ///
    /// # Errors
    /// A data directory that cannot be made, or a store that cannot be opened; the message says which
    /// and what to do.
    pub fn open(site: &Site, clock: Arc<dyn Clock>) -> anyhow::Result<(Self, Reload)> {
        Self::open_with(
            site,
            clock,
            |path, gas_day| Journal::open(path, gas_day),
            |path| Book::open(path),
        )
    }

    /// `open` for a daemon, which goes on taking readings where a file is damaged or a newer program's: where
    /// that is the journal they are set aside, where it is the book what that has is not served.
    ///
    /// # Errors
    /// As `open`, but for these.
    pub fn open_to_run(site: &Site, clock: Arc<dyn Clock>) -> anyhow::Result<(Self, Reload)> {
        Self::open_with(
            site,
            clock,
            |path, gas_day| {
                Journal::open(path, gas_day).or_else(|error| match error {
                    error if error.is_of_file() => Journal::open_refused(path, gas_day, error),
                    error => Err(error),
                })
            },
            |path| {
                Book::open(path).or_else(|error| match error {
                    error if error.is_of_file() => Book::open_refused(path, error),
                    error @ StoreError::NotWritable { .. } => Book::open_refused(path, error),
                    error => Err(error),
                })
            },
        )
    }

    fn open_with(
        site: &Site,
        clock: Arc<dyn Clock>,
        journal: impl FnOnce(&Path, GasDayClock) -> Result<Journal, StoreError>,
        book: impl FnOnce(&Path) -> Result<Book, StoreError>,
    ) -> anyhow::Result<(Self, Reload)> {
        let dir = &site.settings.paths.data_dir;
        fs::create_dir_all(dir).with_context(|| {
            format!(
                "cannot create the data directory {}; set paths.data_dir to a folder this user may write",
                dir.display()
            )
        })?;
        backup::finish(dir)?;
        let gas_day = site.registry.company.gas_day_start_hour;
        let (of_journal, of_book) = (dir.join("readings.db"), dir.join("qiliang.db"));
        if of_journal.exists() && !of_book.exists() {
            tracing::warn!(
                "{} is not there though there are readings: a new one is begun; if it was lost, stop and \
                 `qiliang restore` it from a backup",
                of_book.display()
            );
        }
        let journal = journal(&of_journal, gas_day)?;
        let book = book(&of_book)?;
        match book.put_registry_version(&site.registry.version, clock.now()) {
            // Told with all the rest of what is damaged.
            Err(error) if book.refusal().is_some() || error.is_of_file() => {}
            noted => drop(noted?),
        }
        Ok(Self::from_parts(site, clock, journal, book))
    }

    /// Opens existing stores for reading, beside a running daemon. A book that cannot be used is no reason to
    /// refuse a question about readings: [`Book::refusal`] says that it is so.
    ///
    /// # Errors
    /// There is no store yet, or the journal cannot be read.
    pub fn open_read_only(site: &Site, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let dir = &site.settings.paths.data_dir;
        backup::finish(dir)?;
        let gas_day = site.registry.company.gas_day_start_hour;
        let journal = Journal::open_read_only(dir.join("readings.db"), gas_day)?;
        let of_book = dir.join("qiliang.db");
        let book = Book::open_read_only(&of_book).or_else(|error| match error {
            error if error.is_of_file() => Ok(Book::refused_to_read(&of_book, error)),
            error => Err(error),
        })?;
        Ok(Self::from_parts(site, clock, journal, book).0)
    }

    fn from_parts(
        site: &Site,
        clock: Arc<dyn Clock>,
        journal: Journal,
        book: Book,
    ) -> (Self, Reload) {
        let (registry_sender, registry) = watch::channel(Arc::clone(&site.registry));
        let (profiles_sender, profiles) = watch::channel(Arc::clone(&site.profiles));
        let (keys_sender, keys) = watch::channel(Arc::clone(&site.keys));
        let (limits_sender, limits) = watch::channel(Arc::clone(&site.limits));
        let (calendar_sender, calendar) = watch::channel(Arc::clone(&site.calendar));
        let app = Self {
            settings: Arc::new(site.settings.clone()),
            calendar,
            journal,
            book,
            registry,
            profiles,
            keys,
            limits,
            clock,
            members: MemberCache::default(),
            daily: DailyVolumes::default(),
            past_weather: PastWeather::default(),
            nudge_steps: Steps::default(),
            memory: Memory::with_room_for(site.settings.forecast.memory_mb << 20),
        };
        let reload = Reload {
            registry: registry_sender,
            profiles: profiles_sender,
            keys: keys_sender,
            limits: limits_sender,
            calendar: calendar_sender,
        };
        (app, reload)
    }

    /// The registry now.
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.borrow())
    }

    /// Limits of the validation rules now.
    pub fn limits(&self) -> Arc<LimitTable> {
        Arc::clone(&self.limits.borrow())
    }

    /// Holidays and the local calendar now.
    pub fn calendar(&self) -> Arc<Calendar> {
        Arc::clone(&self.calendar.borrow())
    }

    /// How the company's gas days are cut.
    pub fn gas_day_clock(&self) -> GasDayClock {
        self.journal.clock()
    }

    /// The gas day under way.
    pub fn today(&self) -> GasDay {
        self.gas_day_clock().day_of(self.clock.now())
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.settings.paths.data_dir
    }
}
