//! `qiliang run`, `qiliang health`, `qiliang openapi`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::open::start_log;
use super::{Context, Failure};
use crate::run::app::App;
use crate::run::daemon;

/// Runs the daemon until SIGTERM or SIGINT.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let site = context.site()?;
    start_log(&site.settings.log);
    for warning in &site.warnings {
        tracing::warn!("{warning}");
    }
    let (app, reload) = App::open(&site, Arc::clone(&context.clock))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    Ok(runtime.block_on(daemon::run(app, reload))?)
}

/// Asks `/readyz` of the daemon whose data directory the configuration names.
pub(super) fn health(context: &Context) -> Result<(), Failure> {
    let site = context.site()?;
    let file = site.settings.paths.data_dir.join("address");
    let address = fs::read_to_string(&file).with_context(|| {
        format!(
            "no daemon has written {}; start `qiliang run`",
            file.display()
        )
    })?;
    let mut stream = TcpStream::connect(address.trim())
        .with_context(|| format!("the daemon does not answer on {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        address.trim()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    println!("{}", body.trim());
    if answer.starts_with("HTTP/1.1 200") {
        Ok(())
    } else {
        Err(anyhow!("the daemon on {} is not ready", address.trim()).into())
    }
}

/// Prints the OpenAPI document.
pub(super) fn openapi() -> Result<(), Failure> {
    println!("{}", crate::serve::openapi().to_pretty_json()?);
    Ok(())
}
