//! Answers that look at much, as it grows: meters, large consumers, the book. Prints a table of each;
//! `make bench-scale`. `-- consumers 100 1000` prints one of them, `-- meters`, `-- book` the others.
#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot be set up ends"
)]
#![expect(clippy::print_stdout, reason = "its output is the result")]

mod book;
mod city;
mod consumers;
mod meters;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use qiliang::decode::ProfileSet;
use qiliang::domain::key::KeyRing;
use qiliang::domain::registry::{Registry, RegistryParts};
use qiliang::run::site::Site;
use qiliang::simulate::shipped_calendar;

/// As much memory as the process ever held since this was asked last, MB.
fn peak_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kb: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    fs::write("/proc/self/clear_refs", "5").unwrap();
    kb / 1024.0
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed())
}

/// A site whose stores are in `dir`, with the settings that stand where nothing is set.
fn site(dir: &Path, parts: RegistryParts) -> Site {
    let mut settings = qiliang::settings::load(None).unwrap();
    dir.clone_into(&mut settings.paths.data_dir);
    Site {
        settings,
        calendar: Arc::new(shipped_calendar()),
        profiles: Arc::new(ProfileSet::default()),
        registry: Arc::new(Registry::new(parts)),
        keys: Arc::new(KeyRing::default()),
        limits: Arc::default(),
        warnings: Vec::new(),
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let or = |usual: &[usize]| {
        if numbers.is_empty() {
            usual.to_vec()
        } else {
            numbers.clone()
        }
    };
    // A city that is kept need not be filled again.
    let folder: Option<PathBuf> = words
        .iter()
        .find(|word| word.contains('/'))
        .map(PathBuf::from);
    let what = words.first().map_or("all", |word| match word.as_str() {
        "consumers" => "consumers",
        "book" => "book",
        // Numbers alone are of meters.
        _ => "meters",
    });
    if ["all", "meters"].contains(&what) {
        meters::measure(&or(&[1_000, 10_000, 100_000]));
    }
    if ["all", "consumers"].contains(&what) {
        consumers::measure(&or(&[100, 1_000, 5_000]), folder.as_deref());
    }
    if ["all", "book"].contains(&what) {
        book::measure();
    }
}
