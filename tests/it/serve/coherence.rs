//! The console's CSV file, the API's cells and the printed report of one run say the same, to 0.0001 万m³.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::city::City;

/// What the console would save of each answer; none where the console's tools are not installed.
fn exported(views: &[Value]) -> Option<Vec<String>> {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    if !web.join("node_modules/vite").is_dir() {
        eprintln!("SKIPPED: the console's export needs `npm ci` in web/ (`make web`)");
        return None;
    }
    let mut node = Command::new("node")
        .arg("dev/csv.mjs")
        .current_dir(&web)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node, which the console is built with");
    let asked = serde_json::to_vec(views).unwrap();
    node.stdin.take().unwrap().write_all(&asked).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// A file as rows of cells; its keys have neither commas nor quotes.
struct Sheet(Vec<Vec<String>>);

impl Sheet {
    fn of(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').expect("the mark of UTF-8");
        let row = |line: &str| line.split(',').map(str::to_owned).collect();
        Self(text.split("\r\n").map(row).collect())
    }

    /// Rows below the one that begins with `head`, up to an empty one, and columns by name.
    fn table(&self, head: &str) -> (Vec<String>, &[Vec<String>]) {
        let at = self.0.iter().position(|row| row[0] == head).unwrap();
        let rows = &self.0[at + 1..];
        let end = rows
            .iter()
            .position(|row| row.len() == 1 && row[0].is_empty());
        (self.0[at].clone(), &rows[..end.unwrap_or(rows.len())])
    }
}

fn m3(row: &[String], column: usize) -> Option<i64> {
    let cell = &row[column];
    (!cell.is_empty()).then(|| cell.parse().expect("whole m³"))
}

/// As the report prints it, 万m³ with four decimals: a cell is one m³.
fn printed(m3: i64) -> String {
    format!("{}.{:04}", m3 / 10_000, m3 % 10_000)
}

#[tokio::test]
async fn the_exported_file_the_cells_and_the_printed_report_agree() {
    let city = City::filled();
    let mut views = Vec::new();
    for by in ["source", "class", "slot"] {
        for horizon in ["daily", "hourly"] {
            let path = format!("/api/v1/forecast?horizon={horizon}&by={by}");
            views.push(city.json(&path).await);
        }
    }
    let report = city.get("/api/v1/forecast/report").await;
    assert_eq!(
        report.status,
        axum::http::StatusCode::OK,
        "{}",
        report.text()
    );
    let report = report.text();
    let Some(files) = exported(&views) else {
        return;
    };
    let tomorrow = views[0]["cards"]["tomorrow"]["band"]["p50_m3"]
        .as_i64()
        .unwrap();
    assert!(tomorrow > 0);
    for (pair, file) in views.chunks(2).zip(files.chunks(2)) {
        let (daily, hourly) = (Sheet::of(&file[0]), Sheet::of(&file[1]));
        let (head, rows) = daily.table("gas_day");
        let total = head.iter().position(|name| name == "total_p50_m3").unwrap();
        let parts: Vec<usize> = (total + 1..head.len())
            .filter(|at| head[*at].ends_with("_p50_m3"))
            .collect();
        assert_eq!(parts.len(), pair[0]["labels"].as_array().unwrap().len());
        let ahead: Vec<&Vec<String>> = rows.iter().filter(|row| m3(row, total).is_some()).collect();
        let cells = pair[0]["total"].as_array().unwrap();
        assert_eq!(ahead.len(), cells.len());
        let (hour_head, hour_rows) = hourly.table("gas_day");
        let of_hour = hour_head
            .iter()
            .position(|name| name == "total_p50_m3")
            .unwrap();
        let mut whole_days = 0;
        for (row, cell) in ahead.iter().zip(cells) {
            // The file has the API's cells, and a day is the sum of what it is split by.
            assert_eq!(m3(row, total), cell["band"]["p50_m3"].as_i64());
            assert_eq!(row[0], cell["gas_day"].as_str().unwrap());
            let sum: i64 = parts.iter().map(|at| m3(row, *at).unwrap()).sum();
            assert_eq!(Some(sum), m3(row, total), "{}", row[0]);
            // So is it of its hours, in the file of hours.
            let hours: Vec<i64> = hour_rows
                .iter()
                .filter(|hour| hour[0] == row[0])
                .filter_map(|hour| m3(hour, of_hour))
                .collect();
            if hours.len() == 24 {
                whole_days += 1;
                assert_eq!(Some(hours.iter().sum()), m3(row, total), "{}", row[0]);
            }
        }
        assert!(whole_days > 0, "no day of hours was compared");
        // The table below it: each line is printed in the report as it stands in the file.
        let by = pair[0]["by"].as_str().unwrap();
        let (head, rows) = daily.table(by);
        let of = |name: &str| head.iter().position(|head| head == name).unwrap();
        let mut sums = [0; 2];
        for row in rows {
            let shown = ["today_p50_m3", "tomorrow_p50_m3"].map(|name| m3(row, of(name)).unwrap());
            let line = report
                .split("<tr")
                .filter(|line| line.contains(&format!(">{}<", row[0])))
                .find(|line| {
                    shown
                        .iter()
                        .all(|m3| line.contains(&format!(">{}<", printed(*m3))))
                });
            assert!(line.is_some(), "{by}: {row:?} is not printed so");
            for (sum, m3) in sums.iter_mut().zip(shown) {
                *sum += m3;
            }
        }
        assert_eq!(sums[1], tomorrow, "{by}");
        let total = report.split("<tr class=\"total\">").skip(1).find(|line| {
            sums.iter()
                .all(|m3| line.contains(&format!(">{}<", printed(*m3))))
        });
        assert!(total.is_some(), "{by}: {sums:?} are not printed as a total");
    }
}
