//! SIGHUP: registry and profiles are read again; whatever is wrong keeps the old ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::registry;
use crate::run::app::{App, Reload};

/// Waits for SIGHUP until told to stop.
///
/// # Errors
/// The system refuses signal handlers.
pub async fn run(app: App, reload: Reload, stop: CancellationToken) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = hangup.recv() => {}
        }
        let worker = app.clone();
        let loaded = tokio::task::spawn_blocking(move || read_again(&worker)).await?;
        if let Some((profiles, new)) = loaded {
            tracing::info!(registry = %new.version, "Reloaded registry and profiles");
            reload.profiles.send_replace(profiles);
            reload.registry.send_replace(new);
        } else {
            tracing::warn!("Kept the registry and profiles as they were");
        }
    }
}

type Loaded = (
    Arc<crate::decode::ProfileSet>,
    Arc<crate::domain::registry::Registry>,
);

fn read_again(app: &App) -> Option<Loaded> {
    let paths = &app.settings.paths;
    let (profiles, mut problems) = app.profiles.borrow().reload(&paths.profiles_dir);
    let known: BTreeSet<_> = profiles.iter().map(|p| p.id().clone()).collect();
    // A profile that fails its vectors keeps its old version, so it is no reason to refuse the rest.
    for problem in &problems {
        tracing::warn!("{problem}");
    }
    problems.clear();
    let (registry, found) = registry::load(&paths.registry_dir, &known);
    for problem in &found {
        tracing::warn!("{problem}");
    }
    let is_wrong = found.iter().any(|p| !p.is_warning);
    let registry = registry.filter(|_| !is_wrong)?;
    if let Err(error) = app
        .book
        .put_registry_version(&registry.version, app.clock.now())
    {
        tracing::warn!("Registry version not noted: {error}");
    }
    Some((Arc::new(profiles), Arc::new(registry)))
}
