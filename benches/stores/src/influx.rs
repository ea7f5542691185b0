//! InfluxDB 2: line protocol in, InfluxQL out as CSV, streamed.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Client, Url};
use tokio::runtime::Runtime;

use crate::load::{self, Row};
use crate::ours::{name, runtime};
use crate::{Figures, size, timed};

struct Server {
    client: Client,
    said: BTreeMap<String, String>,
}

impl Server {
    fn start(program: &str, dir: &std::path::Path) -> Self {
        let output = Command::new(program).arg(dir).output().expect("influx-up");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8_lossy(&output.stdout);
        let said = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let client = Client::builder().no_proxy().build().expect("a client");
        Self { client, said }
    }

    fn get(&self, key: &str) -> &str {
        self.said.get(key).map_or("", String::as_str)
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let base = format!("{}{path}", self.get("URL"));
        Url::parse_with_params(&base, query).expect("a URL")
    }

    async fn write(&self, batch: &[Row]) {
        let mut body = String::with_capacity(batch.len() * 100);
        for r in batch {
            let (whole, part) = (r.total / 10_000, r.total % 10_000);
            writeln!(
                body,
                "gas_reading,meter={} total_std_m3={whole}.{part:04},flow_std_m3h={},temperature_c={},pressure_abs_kpa={} {}",
                name(r.meter),
                r.flow,
                r.temperature,
                r.pressure,
                r.at_ms
            )
            .expect("a string");
        }
        let query = [
            ("org", self.get("ORG")),
            ("bucket", self.get("BUCKET")),
            ("precision", "ms"),
        ];
        let request = self.client.post(self.url("/api/v2/write", &query));
        let request = request.header("authorization", format!("Token {}", self.get("TOKEN")));
        let answer = request.body(body).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 204);
    }

    /// Lines of the answer that are points.
    async fn read(&self, q: &str) -> u64 {
        let query = [
            ("db", self.get("BUCKET")),
            ("epoch", "ms"),
            ("chunked", "true"),
            ("q", q),
        ];
        let request = self.client.get(self.url("/query", &query));
        let request = request
            .header("authorization", format!("Token {}", self.get("TOKEN")))
            .header("accept", "application/csv");
        let mut answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success());
        let (mut count, mut is_start) = (0, true);
        // Points begin with the measurement's name, headers with `name`; lines go over chunks' ends.
        while let Some(chunk) = answer.chunk().await.expect("a chunk") {
            for byte in chunk {
                if is_start && byte == b'g' {
                    count += 1;
                }
                is_start = byte == b'\n';
            }
        }
        count
    }
}

fn between(from: DateTime<Utc>, days: i64) -> String {
    let to = from + TimeDelta::days(days);
    format!(
        "time >= {}ms AND time < {}ms",
        from.timestamp_millis(),
        to.timestamp_millis()
    )
}

const FIELDS: &str = "total_std_m3, flow_std_m3h, temperature_c, pressure_abs_kpa";

pub fn run() {
    let Ok(program) = env::var("QILIANG_TEST_INFLUXD") else {
        return println!("| InfluxDB 2 | left out: QILIANG_TEST_INFLUXD is not set | | | |");
    };
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let server = Server::start(&program, dir.path());
    let figures = measure(&runtime, &server, dir.path());
    let pid = server.get("PID").to_owned();
    Command::new("kill")
        .args(["-9", &pid])
        .status()
        .expect("kill");
    figures.print();
}

fn measure(runtime: &Runtime, server: &Server, dir: &std::path::Path) -> Figures {
    let (count, batches) = load::both();
    let ((), write_s) = timed(|| {
        for batch in batches {
            runtime.block_on(server.write(&batch));
        }
    });
    let year = load::YEAR_ASKED.map(|meter| {
        let filter = between(load::year_start(), 366);
        let q = format!(
            "SELECT {FIELDS} FROM gas_reading WHERE meter = '{}' AND {filter}",
            name(meter)
        );
        let (rows, s) = timed(|| runtime.block_on(server.read(&q)));
        assert_eq!(rows, u64::from(load::YEAR_HOURS));
        s * 1e3
    });
    let filter = between(load::day_start(), 1);
    let q = format!("SELECT {FIELDS} FROM gas_reading WHERE {filter} GROUP BY meter");
    let (rows, day_s) = timed(|| runtime.block_on(server.read(&q)));
    assert_eq!(rows, u64::from(load::DAY_METERS) * 24);
    Figures {
        name: "InfluxDB 2",
        write_s: count as f64 / write_s,
        bytes_per_row: size(&dir.join("engine")) as f64 / count as f64,
        year_ms: load::median(year.to_vec()),
        day_s,
    }
}
