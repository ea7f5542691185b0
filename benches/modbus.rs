//! `make bench-modbus`: 200 meters behind 10 faulty gateways, polled by the daemon and by Telegraf.
//!
//! Each program gets the same city anew, its first seconds to find its feet, and a minute that counts.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::indexing_slicing,
    clippy::unnecessary_debug_formatting,
    clippy::disallowed_methods,
    reason = "a program that measures programs and stops at the first thing amiss"
)]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::Utc;
use support::daemon::Daemon;
use support::modbus_city::{
    City, Framing, GatewayClass, Plan, Sample, Score, config, journal_samples, meter, score,
};

const WARM_UP_S: u64 = 15;
const MEASURED_S: u64 = 60;

fn plan() -> Plan {
    let mut gateways = vec![(GatewayClass::Sound, Framing::Tcp); 8];
    gateways[2].0 = GatewayClass::Mute;
    gateways[5].0 = GatewayClass::Drops(Duration::from_secs(10));
    gateways.extend([(GatewayClass::Sound, Framing::Rtu); 2]);
    Plan {
        gateways,
        units: 20,
        request: Duration::from_millis(20),
        slow: Duration::from_millis(1_600),
        period_s: 5,
    }
}

fn main() {
    // Cargo passes --bench; nothing here is chosen by arguments.
    let ours = run_qiliang();
    eprintln!("{ours:#?}");
    let theirs = run_telegraf();
    print_table(&ours, theirs.as_ref());
    let failed = misses(&ours);
    if !failed.is_empty() {
        eprintln!("\nmissed:\n  {}", failed.join("\n  "));
        std::process::exit(1);
    }
}

/// Waits, and gives the span that counts, Unix ms.
fn measure() -> (i64, i64) {
    std::thread::sleep(Duration::from_secs(WARM_UP_S));
    let from = Utc::now().timestamp_millis();
    std::thread::sleep(Duration::from_secs(MEASURED_S));
    (from, Utc::now().timestamp_millis())
}

fn run_qiliang() -> BTreeMap<&'static str, Score> {
    let city = City::start(plan());
    let site = city.site();
    let config = config(
        &site,
        "[modbus]\nrequest_timeout_ms = 1000\nrequest_timeout_max_ms = 2000\nconnect_timeout_ms = 1000\n",
    );
    eprintln!("qiliang: {} s", WARM_UP_S + MEASURED_S);
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    let (from, to) = measure();
    assert!(daemon.is_running(), "the daemon ended:\n{}", daemon.log());
    let log = daemon.log();
    assert!(daemon.stop().success());
    if std::env::var("BENCH_LOG").is_ok() {
        eprintln!("{log}");
    }
    score(&city, &journal_samples(&city, &site), from, to)
}

fn run_telegraf() -> Option<BTreeMap<&'static str, Score>> {
    let Some(telegraf) = std::env::var_os("QILIANG_TEST_TELEGRAF").map(PathBuf::from) else {
        eprintln!(
            "SKIPPED: set QILIANG_TEST_TELEGRAF to a telegraf executable to measure it beside"
        );
        return None;
    };
    let city = City::start(plan());
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("metrics.json");
    let mut text = format!(
        "[agent]\ninterval = \"5s\"\nround_interval = false\nflush_interval = \"1s\"\nquiet = true\n\
         [[outputs.file]]\nfiles = [{out:?}]\ndata_format = \"influx\"\n"
    );
    for (number, address) in city.addresses.iter().enumerate() {
        let mode = match city.plan.gateways[number].1 {
            Framing::Tcp => "TCP",
            Framing::Rtu => "RTUoverTCP",
        };
        writeln!(
            text,
            "[[inputs.modbus]]\nname = \"G{number}\"\ncontroller = \"tcp://{address}\"\n\
             transmission_mode = \"{mode}\"\ntimeout = \"1s\"\nconfiguration_type = \"request\""
        )
        .unwrap();
        for unit in 1..=city.plan.units {
            writeln!(
                text,
                "[[inputs.modbus.request]]\nslave_id = {unit}\nbyte_order = \"ABCD\"\nregister = \"holding\"\n\
                 fields = [{{ address = 100, name = \"std\", type = \"UINT32\" }}, \
                 {{ address = 5000, name = \"work\", type = \"UINT32\" }}]\n\
                 [inputs.modbus.request.tags]\nmeter = \"{}\"",
                meter(number, unit)
            )
            .unwrap();
        }
    }
    let file = dir.path().join("telegraf.conf");
    std::fs::write(&file, text).unwrap();
    eprintln!("telegraf: {} s", WARM_UP_S + MEASURED_S);
    let log = std::fs::File::create(dir.path().join("telegraf.log")).unwrap();
    let mut child = Command::new(telegraf)
        .arg("--config")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let (from, to) = measure();
    let ended = child.try_wait().unwrap();
    child.kill().ok();
    child.wait().unwrap();
    assert!(
        ended.is_none(),
        "telegraf ended:\n{}",
        std::fs::read_to_string(dir.path().join("telegraf.log")).unwrap_or_default()
    );
    let lines = std::fs::read_to_string(&out).unwrap_or_default();
    let samples: Vec<Sample> = lines.lines().filter_map(telegraf_sample).collect();
    assert!(!samples.is_empty(), "telegraf wrote nothing");
    Some(score(&city, &samples, from, to))
}

/// A line such as `G0,meter=M-0-1,slave_id=1 std=1100u,work=1101u 1790000000000000000`.
fn telegraf_sample(line: &str) -> Option<Sample> {
    let mut parts = line.split(' ');
    let (tags, fields, time) = (parts.next()?, parts.next()?, parts.next()?);
    let name = tags
        .split(',')
        .find_map(|tag| tag.strip_prefix("meter=M-"))?;
    let (gateway, unit) = name.split_once('-')?;
    let total = |key: &str| {
        let field = fields.split(',').find_map(|f| f.strip_prefix(key))?;
        field.trim_end_matches(['u', 'i']).parse::<u64>().ok()
    };
    Some(Sample {
        gateway: gateway.parse().ok()?,
        unit: unit.parse().ok()?,
        at_ms: time.parse::<i64>().ok()? / 1_000_000,
        totals: [total("std="), total("work=")],
    })
}

fn print_table(
    ours: &BTreeMap<&'static str, Score>,
    theirs: Option<&BTreeMap<&'static str, Score>>,
) {
    println!(
        "\n200 meters behind 10 gateways (8 TCP, 2 serial through TCP), 20 ms a request, period 5 s, time-out 1 s, {MEASURED_S} s\n"
    );
    println!(
        "| meters | n | qiliang: success | longest gap | wrong | Telegraf: success | longest gap | wrong |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (class, score) in ours {
        let other = theirs
            .and_then(|t| t.get(class))
            .map_or_else(|| "– | – | –".to_owned(), figures);
        println!(
            "| {} | {} | {} | {other} |",
            &class[2..],
            score.meters,
            figures(score)
        );
    }
}

fn figures(score: &Score) -> String {
    format!(
        "{:.1} % | {:.1} s | {}",
        score.success(),
        score.gap_max_ms as f64 / 1_000.0,
        score.wrong
    )
}

/// What the issue asks for and was not reached.
fn misses(scores: &BTreeMap<&'static str, Score>) -> Vec<String> {
    let mut out = Vec::new();
    for (class, score) in scores {
        if score.wrong > 0 {
            out.push(format!("{class}: {} wrong values", score.wrong));
        }
        let least = match class.as_bytes()[0] {
            b'1' => 100.0,
            b'2'..=b'6' => 95.0,
            _ => 0.0,
        };
        if score.success() < least {
            out.push(format!("{class}: {:.1} % of {least} %", score.success()));
        }
        if class.starts_with('1') && score.gap_max_ms > 5_500 {
            let (gateway, unit, at_ms) = score.gap_of;
            let until = chrono::DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
            out.push(format!(
                "{class}: a gap of {} ms at {} until {}",
                score.gap_max_ms,
                meter(gateway, unit),
                until.format("%H:%M:%S%.3f")
            ));
        }
    }
    out
}
