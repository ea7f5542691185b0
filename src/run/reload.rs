//! Files that change while the program runs: registry, calendar, profiles, keys and limits of rules at
//! SIGHUP, profiles also as soon as their folder changes. Whatever is wrong keeps the old ones, and is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::decode::ProfileSet;
use crate::domain::calendar::Calendar;
use crate::domain::id::ProfileId;
use crate::domain::key::KeyRing;
use crate::domain::live::LiveEvent;
use crate::domain::problem::Problem;
use crate::domain::registry::Registry;
use crate::registry;
use crate::run::app::{App, Reload};
use crate::run::{keys, rules, site};
use crate::validate::limits::LimitTable;

/// Waits for SIGHUP and for changes of the profiles' folder until told to stop.
///
/// # Errors
/// The system refuses signal handlers.
pub async fn run(
    app: App,
    reload: Reload,
    live: broadcast::Sender<LiveEvent>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let teller = Teller {
        app: app.clone(),
        live,
    };
    let period = Duration::from_secs(app.settings.decode.watch_s);
    let dir = app.settings.paths.profiles_dir.clone();
    let mut folder = tokio::task::spawn_blocking(move || Folder::look(&dir)).await?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = hangup.recv() => {
                let worker = app.clone();
                let loaded = tokio::task::spawn_blocking(move || read_all(&worker)).await?;
                folder = loaded.folder.clone();
                take(loaded, &reload, &teller);
            }
            () = tokio::time::sleep(period), if !period.is_zero() => {
                let (worker, before) = (app.clone(), folder.clone());
                let looked =
                    tokio::task::spawn_blocking(move || profiles_if_changed(&worker, &before)).await?;
                folder = looked.folder;
                if let Some(profiles) = looked.profiles {
                    teller.told_profiles(&profiles);
                    reload.profiles.send_replace(profiles.set);
                }
            }
        }
    }
}

/// The folder's files with time and size: what tells that one of them changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Folder {
    files: BTreeMap<PathBuf, (Option<SystemTime>, u64)>,
    /// It looked different the time before: somebody may still be writing.
    is_settling: bool,
}

impl Folder {
    fn look(dir: &Path) -> Self {
        let mut files = BTreeMap::new();
        let entries = |dir: &Path| {
            let read = fs::read_dir(dir).into_iter().flatten();
            read.filter_map(Result::ok).map(|entry| entry.path())
        };
        for vendor in entries(dir) {
            let of_vendor = if vendor.is_dir() {
                entries(&vendor).collect()
            } else {
                vec![vendor]
            };
            for file in of_vendor {
                if file.extension().is_some_and(|e| e == "toml")
                    && let Ok(meta) = fs::metadata(&file)
                {
                    files.insert(file, (meta.modified().ok(), meta.len()));
                }
            }
        }
        Self {
            files,
            is_settling: false,
        }
    }
}

/// Profiles loaded again.
struct Profiles {
    set: Arc<ProfileSet>,
    old: Arc<ProfileSet>,
    problems: Vec<Problem>,
}

impl Profiles {
    fn read(app: &App) -> Self {
        let old = Arc::clone(&app.profiles.borrow());
        let (set, problems) = old.reload(&app.settings.paths.profiles_dir);
        Self {
            set: Arc::new(set),
            old,
            problems,
        }
    }

    fn changed(&self) -> Vec<&ProfileId> {
        let is_new = |id: &&ProfileId| self.old.get(id) != self.set.get(id);
        let gone = self.old.iter().filter(|p| self.set.get(p.id()).is_none());
        self.set
            .iter()
            .map(|p| p.id())
            .filter(is_new)
            .chain(gone.map(|p| p.id()))
            .collect()
    }
}

struct Looked {
    folder: Folder,
    profiles: Option<Profiles>,
}

/// A change is taken when the folder looks the same twice: by then whoever writes has written.
fn profiles_if_changed(app: &App, before: &Folder) -> Looked {
    let mut folder = Folder::look(&app.settings.paths.profiles_dir);
    if folder.files != before.files {
        folder.is_settling = true;
        return Looked {
            folder,
            profiles: None,
        };
    }
    let profiles = before.is_settling.then(|| Profiles::read(app));
    Looked { folder, profiles }
}

/// What SIGHUP reads again.
struct Loaded {
    folder: Folder,
    profiles: Profiles,
    registry: Option<Arc<Registry>>,
    registry_problems: Vec<Problem>,
    keys: Option<(KeyRing, Vec<Problem>)>,
    limits: (Arc<LimitTable>, Vec<Problem>),
    calendar: (Calendar, Vec<Problem>),
}

fn read_all(app: &App) -> Loaded {
    let paths = &app.settings.paths;
    let folder = Folder::look(&paths.profiles_dir);
    let profiles = Profiles::read(app);
    let known: BTreeSet<_> = profiles.set.iter().map(|p| p.id().clone()).collect();
    // A journal that cannot be read has no curve computed by another registry, either.
    let in_use = app.journal.terms_in_use().unwrap_or_default();
    let (registry, registry_problems) =
        registry::load(&paths.registry_dir, &known, &in_use, app.clock.now());
    let is_wrong = registry_problems.iter().any(|p| !p.is_warning);
    let registry = registry.filter(|_| !is_wrong).map(Arc::new);
    if let Some(registry) = &registry
        && let Err(error) = app
            .book
            .put_registry_version(&registry.version, app.clock.now())
    {
        tracing::warn!("Registry version not noted: {error}");
    }
    // The zones are those that will be in force.
    let in_force = registry.clone().unwrap_or_else(|| app.registry());
    Loaded {
        folder,
        profiles,
        calendar: site::read_calendar(paths, Some(&in_force), app.clock.now()),
        registry,
        registry_problems,
        keys: app.settings.decode.keys_file.as_deref().map(keys::load),
        limits: rules::load(&paths.registry_dir),
    }
}

/// Profiles that fail their vectors keep their old form, so they are no reason to refuse the rest.
fn take(loaded: Loaded, reload: &Reload, teller: &Teller) {
    teller.told_profiles(&loaded.profiles);
    for problem in &loaded.registry_problems {
        tracing::warn!("{problem}");
    }
    if let Some((ring, problems)) = loaded.keys {
        if problems.is_empty() {
            tracing::info!(keys = ring.len(), "Reloaded {} device keys", ring.len());
            reload.keys.send_replace(Arc::new(ring));
        } else {
            teller.problems(
                "reload.keys_refused",
                "the device keys stay as they were",
                &problems,
            );
        }
    }
    take_limits(loaded.limits, reload, teller);
    take_calendar(loaded.calendar, reload, teller);
    let version = loaded.registry.as_ref().map(|r| r.version.clone());
    reload.profiles.send_replace(loaded.profiles.set);
    if let (Some(registry), Some(version)) = (loaded.registry, version) {
        reload.registry.send_replace(registry);
        tracing::info!(registry = %version, "Reloaded registry and profiles");
    } else {
        // Whoever waits for a registry goes by the new limits and calendar, too.
        reload.registry.send_modify(|_| {});
        tracing::warn!("Kept the registry as it was; mend what is listed and send SIGHUP again");
        teller.notice(
            "reload.registry_refused",
            "the registry has problems and stays as it was; `qiliang check` lists them".to_owned(),
        );
    }
}

/// Before the registry: whoever is woken by that one finds the new limits.
fn take_limits(
    (limits, problems): (Arc<LimitTable>, Vec<Problem>),
    reload: &Reload,
    teller: &Teller,
) {
    if !problems.is_empty() {
        teller.problems(
            "reload.rules_refused",
            "the limits of the rules stay as they were",
            &problems,
        );
    } else if *reload.limits.borrow() != limits {
        reload.limits.send_replace(limits);
        tracing::info!("Reloaded the limits of the validation rules");
    }
}

/// Before the registry, as the limits. Years and places are taken together or not at all.
fn take_calendar((calendar, problems): (Calendar, Vec<Problem>), reload: &Reload, teller: &Teller) {
    let (warnings, errors): (Vec<Problem>, Vec<Problem>) =
        problems.into_iter().partition(|problem| problem.is_warning);
    for problem in warnings {
        tracing::warn!("{problem}");
    }
    if !errors.is_empty() {
        teller.problems(
            "reload.calendar_refused",
            "the calendar stays as it was",
            &errors,
        );
    } else if **reload.calendar.borrow() != calendar {
        reload.calendar.send_replace(Arc::new(calendar));
        tracing::info!("Reloaded holidays and local calendar");
    }
}

/// Says what happened in the log and to whoever looks at the console.
struct Teller {
    app: App,
    live: broadcast::Sender<LiveEvent>,
}

impl Teller {
    fn told_profiles(&self, profiles: &Profiles) {
        let changed = profiles.changed();
        if !changed.is_empty() {
            let list: Vec<&str> = changed.iter().map(|id| id.as_str()).collect();
            tracing::info!("Reloaded profiles: {}", list.join(", "));
            self.unverified(&profiles.set);
        }
        if !profiles.problems.is_empty() {
            self.problems(
                "reload.profile_refused",
                "the profile is refused, its old form stays in use",
                &profiles.problems,
            );
        }
    }

    /// A profile in use whose vectors no device has confirmed is named.
    fn unverified(&self, profiles: &ProfileSet) {
        for problem in site::unverified(profiles, &self.app.registry(), &self.app.settings.paths) {
            self.notice(problem.code, problem.message);
        }
    }

    /// Every problem in the log, the first of each file to the console.
    fn problems(&self, code: &str, what: &str, problems: &[Problem]) {
        let mut files = BTreeSet::new();
        for problem in problems {
            tracing::warn!(code, "{what}: {problem}");
            if files.insert(&problem.file) {
                self.notice(code, format!("{what}: {problem}"));
            }
        }
    }

    fn notice(&self, code: &str, message: String) {
        let event = LiveEvent::Notice {
            code: code.to_owned(),
            message,
            at: self.app.clock.now(),
        };
        // Nobody need be listening.
        self.live.send(event).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_of_files_that_come_change_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let empty = Folder::look(dir.path());
        assert_eq!(empty, Folder::look(&dir.path().join("absent")));
        let vendor = dir.path().join("acme");
        fs::create_dir(&vendor).unwrap();
        fs::write(vendor.join("notes.txt"), "no profile").unwrap();
        assert_eq!(Folder::look(dir.path()), empty);
        fs::write(vendor.join("g25.toml"), "id").unwrap();
        let one = Folder::look(dir.path());
        assert_ne!(one, empty);
        fs::write(vendor.join("g25.toml"), "id = 1").unwrap();
        assert_ne!(Folder::look(dir.path()), one, "its size changed");
        fs::remove_file(vendor.join("g25.toml")).unwrap();
        assert_eq!(Folder::look(dir.path()), empty);
    }
}
