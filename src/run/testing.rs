//! A site for tests that need the stores and nothing that stands around them.

use std::path::Path;
use std::sync::Arc;

use crate::decode::ProfileSet;
use crate::domain::calendar::Calendar;
use crate::domain::key::KeyRing;
use crate::domain::registry::{Registry, RegistryParts};
use crate::run::site::Site;
use crate::settings;
use crate::validate::limits::LimitTable;

/// One whose stores are in `dir`, with the settings that stand where nothing is set.
pub(super) fn site_in(dir: &Path, parts: RegistryParts, limits: LimitTable) -> Site {
    let mut settings = settings::load(None).unwrap();
    dir.clone_into(&mut settings.paths.data_dir);
    Site {
        settings,
        calendar: Arc::new(Calendar::default()),
        profiles: Arc::new(ProfileSet::default()),
        registry: Arc::new(Registry::new(parts)),
        keys: Arc::new(KeyRing::default()),
        limits: Arc::new(limits),
        warnings: Vec::new(),
    }
}
