//! A site for tests that need the stores and nothing that stands around them.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::clock::ManualClock;
use crate::decode::ProfileSet;
use crate::domain::calendar::Calendar;
use crate::domain::key::KeyRing;
use crate::domain::registry::{Registry, RegistryParts};
use crate::domain::series::LoadCurve;
use crate::run::app::{App, Reload};
use crate::run::site::Site;
use crate::settings;
use crate::store::journal::{CurveBatch, CurveWrite};
use crate::validate::limits::LimitTable;

/// One whose stores are in `dir`, with the settings that stand where nothing is set.
pub(super) fn site_in(dir: &Path, parts: RegistryParts, limits: LimitTable) -> Site {
    site_of(dir, Registry::new(parts), limits)
}

fn site_of(dir: &Path, registry: Registry, limits: LimitTable) -> Site {
    let mut settings = settings::load(None).unwrap();
    dir.clone_into(&mut settings.paths.data_dir);
    Site {
        settings,
        calendar: Arc::new(Calendar::default()),
        profiles: Arc::new(ProfileSet::default()),
        registry: Arc::new(registry),
        keys: Arc::new(KeyRing::default()),
        limits: Arc::new(limits),
        warnings: Vec::new(),
    }
}

/// The program over a registry at an instant, its stores in `dir`, with the ends that swap the registry.
pub(super) fn app_of(dir: &Path, registry: Registry, now: DateTime<Utc>) -> (App, Reload) {
    let site = site_of(dir, registry, LimitTable::default());
    App::open(&site, Arc::new(ManualClock::new(now))).unwrap()
}

/// Writes curves as they are.
pub(super) fn put_curves(app: &App, curves: impl IntoIterator<Item = LoadCurve>) {
    let write = |curve| CurveWrite {
        curve,
        findings: Vec::new(),
    };
    let batch = CurveBatch {
        curves: curves.into_iter().map(write).collect(),
        cleared: Vec::new(),
        computed_at: app.clock.now(),
    };
    app.journal.put_curves(batch).unwrap();
}
