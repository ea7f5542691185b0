//! The embedded store beside plain SQLite, fjall and InfluxDB 2 on the same readings in one run.
//!
//! `QILIANG_TEST_INFLUXD` names a program that starts InfluxDB 2 (`influx-up DIR`, printing `URL=`,
//! `ORG=`, `BUCKET=`, `TOKEN=` and `PID=`); without it that row is left out, aloud. Files are under
//! `TMPDIR`. Each part runs in a process of its own, so that its memory is its own.

mod beside;
mod bytes;
mod influx;
mod load;
mod others;
mod ours;
mod recompute;

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What one store did with the two loads.
pub struct Figures {
    pub name: &'static str,
    /// Rows a second, each batch of 5,000 on disk before the next.
    pub write_s: f64,
    pub bytes_per_row: f64,
    /// One meter's year of hourly readings, ms.
    pub year_ms: f64,
    /// Everything of one gas day of 100,000 meters, s.
    pub day_s: f64,
}

impl Figures {
    pub fn print(&self) {
        println!(
            "| {} | {:.0} k | {:.1} | {:.1} | {:.2} |",
            self.name,
            self.write_s / 1e3,
            self.bytes_per_row,
            self.year_ms,
            self.day_s
        );
    }
}

/// Result and seconds.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed().as_secs_f64())
}

/// The most this process ever had in memory, MB.
pub fn peak_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) * 1024.0 / 1e6
}

/// Bytes of a file or of everything below a folder.
pub fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return path.metadata().map_or(0, |m| m.len());
    };
    entries.flatten().map(|entry| size(&entry.path())).sum()
}

fn main() {
    match env::args().nth(1).as_deref() {
        Some("ours") => ours::run(),
        Some("growth") => ours::growth(),
        Some("sqlite") => others::sqlite(others::Cells::Trusted),
        Some("sqlite-cells") => others::sqlite(others::Cells::Checked),
        Some("fjall") => others::fjall(),
        Some("influx") => influx::run(),
        Some("recompute") => recompute::run(),
        Some("beside") => beside::run(),
        Some("push") => beside::push(),
        Some("bytes") => bytes::run(),
        _ => all(),
    }
}

fn all() {
    println!("| store | rows/s | bytes/row | meter-year, ms | day of 100,000 meters, s |");
    println!("|---|---:|---:|---:|---:|");
    for part in ["ours", "sqlite", "sqlite-cells", "fjall", "influx"] {
        child(part);
    }
    println!("\n| meters | rows | write, µs/row | day scan, µs/row | memory, MB |");
    println!("|---:|---:|---:|---:|---:|");
    for meters in ["1000", "10000", "100000"] {
        child_with("growth", &[meters]);
    }
    println!();
    child("bytes");
    println!();
    child("recompute");
    println!();
    child("beside");
    println!();
    child("push");
}

fn child(part: &str) {
    child_with(part, &[]);
}

fn child_with(part: &str, more: &[&str]) {
    let program = env::current_exe().expect("this program");
    let status = Command::new(program).arg(part).args(more).status();
    assert!(status.expect("a child").success(), "{part} failed");
}
