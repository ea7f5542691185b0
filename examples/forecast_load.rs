//! `cargo run --release --example forecast_load`: CSV tasks of many customers through the whole of
//! `qiliang forecast-csv`, files included, on two threads: a table of how time and memory grow with
//! customers and history, two minutes long. `-- CUSTOMERS DAYS THREADS` runs one of them.

#![allow(clippy::print_stdout, reason = "its output is the result")]

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

use chrono::{NaiveDate, TimeDelta};
use qiliang::forecast::csv_task::{Mode, run};

/// Customers and days of history; each runs in a process of its own, whose peak memory it is.
const SIZES: [(usize, usize); 7] = [
    (1_000, 730),
    (1_000, 1_826),
    (1_000, 2_922),
    (3_000, 1_826),
    (10_000, 365),
    (10_000, 730),
    (10_000, 1_826),
];

fn main() -> Result<(), Box<dyn Error>> {
    let numbers = std::env::args()
        .skip(1)
        .map(|text| text.parse())
        .collect::<Result<Vec<usize>, _>>()?;
    match numbers[..] {
        [] => {
            println!("| customers | days | threads | wall s | ms each | peak MB |");
            println!("|---|---|---|---|---|---|");
            for (customers, days) in SIZES {
                let size = [customers, days, 2].map(|n| n.to_string());
                let program = std::env::current_exe()?;
                let status = std::process::Command::new(program).args(size).status()?;
                if !status.success() {
                    return Err(format!("{customers} customers: {status}").into());
                }
            }
            Ok(())
        }
        [customers, days, threads] => one(customers, days, threads),
        _ => Err("give CUSTOMERS DAYS THREADS, or nothing for the table".into()),
    }
}

fn one(customers: usize, days: usize, threads: usize) -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("forecast-load-{}", std::process::id()));
    for sub in ["data", "tasks"] {
        fs::create_dir_all(dir.join(sub))?;
    }
    let origin = NaiveDate::from_ymd_opt(2026, 11, 20).ok_or("no such day")?;
    let first = origin - TimeDelta::days(i64::try_from(days)? - 1);
    write_data(&dir.join("data/load.csv"), customers, days, first)?;
    let names: Vec<String> = (0..customers).map(|k| format!("\"C{k}\"")).collect();
    let task = dir.join("tasks/load.json");
    let text = format!(
        r#"{{"name":"load","file":"load.csv","series":[{}],"freq":"D","horizon":7,"origins":["{origin}"]}}"#,
        names.join(",")
    );
    fs::write(&task, text)?;
    let start = Instant::now();
    let summary = run(&task, Mode::Perfect, &dir.join("out.csv"), threads)?;
    let wall = start.elapsed().as_secs_f64();
    fs::remove_dir_all(&dir)?;
    if summary.models != [("regression".to_owned(), customers)] {
        return Err(format!(
            "not all were forecast by the regression: {:?}",
            summary.models
        )
        .into());
    }
    println!(
        "| {customers} | {days} | {threads} | {wall:.1} | {:.2} | {} |",
        wall * 1e3 / customers as f64,
        peak_mb().unwrap_or(0),
    );
    Ok(())
}

/// Written in one go per customer, so that only the program's own reading counts.
fn write_data(
    path: &std::path::Path,
    customers: usize,
    days: usize,
    first: NaiveDate,
) -> Result<(), Box<dyn Error>> {
    use std::io::Write as _;
    let mut out = std::io::BufWriter::new(fs::File::create(path)?);
    out.write_all(b"timestamp,series,value,temperature\n")?;
    let noise = |i: usize, k: usize| ((i * 7919 + k * 104_729) % 1009) as f64 / 504.5 - 1.0;
    let mut text = String::new();
    for k in 0..customers {
        text.clear();
        // Seven more days of weather, no values.
        for i in 0..days + 7 {
            let date = first + TimeDelta::days(i64::try_from(i)?);
            let wave = (std::f64::consts::TAU * i as f64 / 365.25).cos();
            let t = 12.0 - 9.0 * wave + 3.0 * noise(i / 3, 1);
            if i < days {
                let week = if i % 7 >= 5 { 0.7 } else { 1.0 };
                let cold = (16.0 - t).max(0.0) * (k % 12) as f64;
                let value = week * (100.0 + cold) + 8.0 * noise(i, k);
                writeln!(text, "{date},C{k},{value:.2},{t:.1}")?;
            } else {
                writeln!(text, "{date},C{k},,{t:.1}")?;
            }
        }
        out.write_all(text.as_bytes())?;
    }
    out.flush()?;
    Ok(())
}

/// Peak resident memory, MB, where the kernel tells.
fn peak_mb() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kb: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kb / 1024)
}
