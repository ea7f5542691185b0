//! `qiliang run`, `qiliang health`, `qiliang openapi`.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::daemon::Daemon;
use super::open::start_log;
use super::{Context, Failure};
use crate::run::app::App;
use crate::run::daemon;
use crate::supervise::block_on;

/// Runs the daemon until SIGTERM or SIGINT.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let site = context.judging_site()?;
    start_log(&site.settings.log);
    for warning in &site.warnings {
        tracing::warn!("{warning}");
    }
    let (app, reload) = App::open_to_run(&site, Arc::clone(&context.clock))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    Ok(block_on(runtime, daemon::run(app, reload))?)
}

/// Asks `/readyz` of the daemon whose data directory the configuration names.
pub(super) fn health(context: &Context) -> Result<(), Failure> {
    // Nothing but the data directory is asked for: a slip in the registry is no illness of a running daemon.
    let settings = context.settings()?;
    let daemon = Daemon::of(&settings.paths.data_dir)?;
    let answer = daemon.get("/readyz")?;
    println!("{}", answer.body.trim());
    if answer.status == 200 {
        Ok(())
    } else {
        Err(anyhow!("the daemon on {} is not ready", daemon.address()).into())
    }
}

/// Prints the OpenAPI document.
pub(super) fn openapi() -> Result<(), Failure> {
    println!("{}", crate::serve::openapi().to_pretty_json()?);
    Ok(())
}
