//! `qiliang demo`: a whole city on this machine.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow};

use super::open::start_log;
use super::{CityArguments, Failure};
use crate::run::demo::{self, DemoOptions, Progress};
use crate::settings::LogSettings;

/// Builds the city, loads its history and runs until stopped.
pub(super) fn run(
    dir: &Path,
    address: SocketAddr,
    factor: f64,
    backtest_days: usize,
    city: &CityArguments,
) -> Result<(), Failure> {
    if !(0.001..=3_600.0).contains(&factor) {
        return Err(anyhow!("--factor is {factor}; write 0.001 to 3600").into());
    }
    start_log(&LogSettings {
        filter: "warn,qiliang=warn".into(),
        json: false,
    });
    let options = DemoOptions {
        city: super::simulate::config(city),
        factor,
        dir: dir.to_owned(),
        address,
        backtest_days,
    };
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ready = |address: SocketAddr| {
        finish_line();
        println!("ready after {} s", started.elapsed().as_secs());
        println!("console: http://{address}");
        println!("site:    {}", dir.join("site.toml").display());
        println!("faults:  {}", dir.join("faults.txt").display());
        println!("stop with Ctrl-C");
    };
    Ok(runtime.block_on(demo::run(options, progress(started), ready))?)
}

/// One line that says what is being done; on a terminal it is written over itself.
fn progress(started: Instant) -> Progress {
    let is_terminal = std::io::stderr().is_terminal();
    Arc::new(move |what: &str, count: u64| {
        let seconds = started.elapsed().as_secs();
        let count = if count > 0 {
            format!(": {count}")
        } else {
            String::new()
        };
        if is_terminal {
            eprint!("\r\x1b[2K[{seconds:>4} s] {what}{count}");
            std::io::stderr().flush().ok();
        } else {
            eprintln!("[{seconds:>4} s] {what}{count}");
        }
    })
}

fn finish_line() {
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
}
