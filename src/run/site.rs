//! Everything that is read from files before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Datelike as _, Utc};

use crate::decode::ProfileSet;
use crate::domain::calendar::{Calendar, beijing_civil};
use crate::domain::id::ProfileId;
use crate::domain::key::KeyRing;
use crate::domain::problem::Problem;
use crate::domain::registry::Registry;
use crate::domain::text::error_chain;
use crate::registry;
use crate::run::{calendar, keys, local_calendar, nudging, rules};
use crate::settings::{self, PathSettings, Settings};
use crate::store::journal::Journal;
use crate::validate::limits::LimitTable;

/// Settings, calendar, profiles and registry, all without an error.
#[derive(Debug, Clone)]
pub struct Site {
    /// Settings.
    pub settings: Settings,
    /// Holidays.
    pub calendar: Arc<Calendar>,
    /// Device profiles.
    pub profiles: Arc<ProfileSet>,
    /// Registry.
    pub registry: Arc<Registry>,
    /// Keys of devices whose frames are encrypted.
    pub keys: Arc<KeyRing>,
    /// What validation rules call unusual.
    pub limits: Arc<LimitTable>,
    /// What may be wrong without keeping the program from starting.
    pub warnings: Vec<Problem>,
}

/// What was found in the files, with every problem.
#[derive(Debug)]
pub struct Examined {
    settings: Option<Settings>,
    calendar: Calendar,
    profiles: ProfileSet,
    registry: Option<Registry>,
    keys: KeyRing,
    limits: Arc<LimitTable>,
    problems: Vec<Problem>,
}

/// Reads everything there is to read and keeps every problem.
///
/// Where the settings themselves are wrong, the folders of the file (or the defaults) are still
/// looked at, so that one run shows it all.
pub fn examine(config: Option<&Path>, now: DateTime<Utc>) -> Examined {
    match settings::load(config) {
        Ok(settings) => {
            let paths = settings.paths.clone();
            examine_folders(Some(settings), &paths, Vec::new(), now)
        }
        Err(problems) => examine_folders(None, &settings::paths_of(config), problems, now),
    }
}

/// The same with settings already made.
pub fn examine_with(settings: Settings, now: DateTime<Utc>) -> Examined {
    let paths = settings.paths.clone();
    examine_folders(Some(settings), &paths, Vec::new(), now)
}

fn examine_folders(
    settings: Option<Settings>,
    paths: &PathSettings,
    mut problems: Vec<Problem>,
    now: DateTime<Utc>,
) -> Examined {
    let (profiles, found) = ProfileSet::load(&paths.profiles_dir);
    problems.extend(found);
    let known: BTreeSet<_> = profiles.iter().map(|p| p.id().clone()).collect();
    // Of a file that cannot be read whoever opens it tells.
    let in_use = Journal::terms_in_file(&paths.data_dir.join("readings.db")).unwrap_or_default();
    let (registry, found) = registry::load(&paths.registry_dir, &known, &in_use, now);
    problems.extend(found);
    if let Some(registry) = &registry {
        problems.extend(check_polled(registry, &profiles, &paths.registry_dir));
        problems.extend(unverified(&profiles, registry, paths));
    }
    let (calendar, found) = read_calendar(paths, registry.as_ref(), now);
    problems.extend(found);
    let (limits, found) = rules::load(&paths.registry_dir);
    problems.extend(found);
    let mut ring = KeyRing::default();
    if let Some(settings) = &settings {
        problems.extend(check_secrets(settings));
        problems.extend(check_templates(settings));
        if let Some(file) = &settings.decode.keys_file {
            let (loaded, found) = keys::load(file);
            ring = loaded;
            problems.extend(found);
        }
    }
    Examined {
        settings,
        calendar,
        profiles,
        registry,
        keys: ring,
        limits,
        problems,
    }
}

/// The holidays of the years around now and the local calendar of the registry's zones, where it could be
/// read; with an error they are not whole.
pub(super) fn read_calendar(
    paths: &PathSettings,
    registry: Option<&Registry>,
    now: DateTime<Utc>,
) -> (Calendar, Vec<Problem>) {
    let on = beijing_civil(now).date_naive();
    let year = on.year();
    let (calendar, mut problems) = calendar::load(&paths.calendar_dir, year - 1..=year + 1);
    let zones = registry.map(|r| r.zones.keys().cloned().collect());
    let (places, found) = local_calendar::load(&paths.registry_dir, zones.as_ref(), on);
    problems.extend(found);
    (calendar.with_places(places), problems)
}

/// Profiles in use whose vectors come neither from a device nor from a published example.
pub(super) fn unverified(
    profiles: &ProfileSet,
    registry: &Registry,
    paths: &PathSettings,
) -> Vec<Problem> {
    let mut meters: BTreeMap<&ProfileId, usize> = BTreeMap::new();
    for meter in registry.meters.values() {
        *meters.entry(&meter.profile).or_default() += 1;
    }
    let is_unverified = |id: &ProfileId| profiles.get(id).is_some_and(|p| !p.is_verified());
    meters
        .into_iter()
        .filter(|(id, _)| is_unverified(id))
        .map(|(id, count)| Problem {
            file: paths.profiles_dir.join(format!("{id}.toml")),
            line: None,
            code: "decode.profile_unverified",
            message: format!(
                "profile `{id}`, which {count} meter(s) use, is not verified on a device"
            ),
            remedy:
                "hold its readings against the meter's display, add a vector from the device, and \
                     set verified = true"
                    .into(),
            is_warning: true,
        })
        .collect()
}

/// A meter behind a gateway needs a profile with registers, and one with registers a gateway.
fn check_polled(registry: &Registry, profiles: &ProfileSet, dir: &Path) -> Vec<Problem> {
    let problem = |message, remedy: &str| Problem {
        file: dir.join("meters.csv"),
        line: None,
        code: "registry.profile_not_polled",
        message,
        remedy: remedy.into(),
        is_warning: false,
    };
    registry
        .meters
        .values()
        .filter_map(|meter| {
            let profile = profiles.get(&meter.profile)?;
            let (id, name) = (&meter.id, profile.id());
            match (&meter.gateway, profile.register_blocks().is_empty()) {
                (Some(gateway), true) => Some(problem(
                    format!("meter `{id}` is behind gateway `{gateway}`, but profile `{name}` reads no registers"),
                    "bind a profile with transport modbus, or empty the columns gateway and unit",
                )),
                (None, false) => Some(problem(
                    format!("meter `{id}` is bound to profile `{name}`, which is polled, but has no gateway"),
                    "write the gateway and the unit, or bind the profile it publishes with",
                )),
                _ => None,
            }
        })
        .collect()
}

/// Secrets are named by file; a file that is not there is found before the night it is needed.
fn check_secrets(settings: &Settings) -> Vec<Problem> {
    let mut files: Vec<(&str, &PathBuf)> = Vec::new();
    for broker in &settings.mqtt.broker {
        files.extend(broker.files());
    }
    let (listen, push) = (&settings.mqtt.listen, &settings.push);
    if listen.enabled || listen.tls_address.is_some() {
        let users = listen.users_file.as_ref();
        files.extend(users.map(|f| ("mqtt.listen.users_file", f)));
    }
    files.extend(push.tokens_file.as_ref().map(|f| ("push.tokens_file", f)));
    for (key, tls) in [
        ("mqtt.listen.tls.key_file", &listen.tls),
        ("push.tls.key_file", &push.tls),
    ] {
        files.extend(tls.as_ref().map(|tls| (key, &tls.key_file)));
    }
    let secret = settings.nudge.webhook_secret_file.as_ref();
    files.extend(secret.map(|f| ("nudge.webhook_secret_file", f)));
    files
        .into_iter()
        .filter_map(|(key, file)| {
            let error = std::fs::File::open(file).err()?;
            Some(Problem {
                file: file.clone(),
                line: None,
                code: "settings.secret_unreadable",
                message: format!("cannot read the file of `{key}`: {error}"),
                remedy: "create it, a secret as its only line, readable by this user alone".into(),
                is_warning: false,
            })
        })
        .collect()
}

/// The company's own messages are found faulty before the evening they are needed. Readings are taken
/// all the same; no nudge leaves.
fn check_templates(settings: &Settings) -> Option<Problem> {
    let error = nudging::templates(&settings.nudge).err()?;
    Some(Problem {
        file: settings.nudge.templates_dir.clone().unwrap_or_default(),
        line: None,
        code: error.code(),
        message: error_chain(&error),
        remedy: "correct the file, or take it away for our own; until then no nudge leaves".into(),
        is_warning: true,
    })
}

impl Examined {
    /// Every problem, errors first.
    pub fn problems(&self) -> Vec<Problem> {
        let mut all = self.problems.clone();
        all.sort_by(|a, b| a.is_warning.cmp(&b.is_warning).then_with(|| a.cmp(b)));
        all
    }

    /// The paths that were read, for the CLI.
    pub fn paths(&self) -> Option<&PathSettings> {
        self.settings.as_ref().map(|s| &s.paths)
    }

    /// Meters and customers in the registry, for the CLI.
    pub fn registry(&self) -> Option<&Registry> {
        self.registry.as_ref()
    }

    /// The calendar, for the CLI.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Profiles that loaded.
    pub fn profiles(&self) -> &ProfileSet {
        &self.profiles
    }

    /// The site, if nothing is wrong with it.
    ///
    /// # Errors
    /// All problems, warnings included, as soon as one of them is an error.
    pub fn into_site(self) -> Result<Site, Vec<Problem>> {
        let problems = self.problems();
        self.into_site_with(problems)
    }

    /// The site, to look at what is there: with a faulty table of limits as well, which then is among the
    /// warnings. Nothing may be judged with it.
    ///
    /// # Errors
    /// As [`Self::into_site`].
    pub fn into_site_to_read(self) -> Result<Site, Vec<Problem>> {
        let mut problems = self.problems();
        for problem in problems.iter_mut().filter(|p| rules::is_faulty(p)) {
            problem.is_warning = true;
        }
        self.into_site_with(problems)
    }

    fn into_site_with(self, problems: Vec<Problem>) -> Result<Site, Vec<Problem>> {
        if problems.iter().any(|p| !p.is_warning) {
            return Err(problems);
        }
        match (self.settings, self.registry) {
            (Some(settings), Some(registry)) => Ok(Site {
                settings,
                calendar: Arc::new(self.calendar),
                profiles: Arc::new(self.profiles),
                registry: Arc::new(registry),
                keys: Arc::new(self.keys),
                limits: self.limits,
                warnings: problems,
            }),
            _ => Err(problems),
        }
    }
}
