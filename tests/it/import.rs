//! `qiliang import` as a user runs it: into the stores, beside the daemon, and dry.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Output;

use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::id::MeterId;
use qiliang::domain::reading::{Item, ItemValue};
use qiliang::store::journal::{Journal, RejectFilter};
use rust_xlsxwriter::Workbook;

use crate::support::daemon::{Daemon, qiliang};
use crate::support::site::Site;

fn journal(site: &Site) -> Journal {
    Journal::open_read_only(site.data_dir().join("readings.db"), GasDayClock::default()).unwrap()
}

fn file(site: &Site, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = site.path().join(name);
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

fn import(config: &Path, arguments: &[&str]) -> Output {
    let config = config.to_str().unwrap();
    qiliang(&[&["--config", config, "import"], arguments].concat())
}

fn texts(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn csv(rows: &[&str]) -> String {
    format!("device,sampled_at,BTotal\n{}\n", rows.join("\n"))
}

/// A day ago and the day before, as the host has it: neither stale nor from the future.
fn days() -> (String, String) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program runs on the host's clock"
    )]
    let now = chrono::Utc::now();
    let day = |back| {
        (now - chrono::TimeDelta::days(back))
            .format("%Y-%m-%d")
            .to_string()
    };
    (day(1), day(2))
}

#[test]
fn a_file_is_stored_once_and_its_bad_lines_are_kept_with_their_place() {
    let site = Site::new(1);
    let config = site.config("");
    let (day, before) = days();
    let (one, two) = (
        format!("D0,{before} 08:00:00,100.5"),
        format!("D0,{day} 08:00:00,200.25"),
    );
    let path = file(
        &site,
        "h.csv",
        csv(&[&one, "D0,never,1", &two, "NOBODY,2026-11-21 08:00,1"]),
    );
    let dry = import(&config, &["--dry-run", &path]);
    let (out, err) = texts(&dry);
    assert_eq!(dry.status.code(), Some(2), "{err}");
    assert!(
        out.contains("4 lines = 2 that can be taken + 0 duplicate + 2 rejected"),
        "{out}"
    );
    assert!(!site.data_dir().exists(), "a dry run made stores");

    let first = import(&config, &[&path]);
    let (out, err) = texts(&first);
    assert_eq!(first.status.code(), Some(2), "{err}");
    assert!(
        out.contains("4 lines = 2 accepted + 0 duplicate + 2 rejected"),
        "{out}"
    );
    assert!(err.contains("h.csv:3: cell sampled_at is no time"), "{err}");
    assert!(err.contains("h.csv:5:") && err.contains("NOBODY"), "{err}");
    let rejects = journal(&site).rejects(&RejectFilter::default()).unwrap();
    let mut kept: Vec<_> = rejects
        .iter()
        .map(|r| {
            let place = r.origin.rsplit('/').next().unwrap();
            (place.to_owned(), r.reason.code.clone())
        })
        .collect();
    kept.sort();
    assert_eq!(
        kept,
        [
            ("h.csv:3".to_owned(), "import.row".to_owned()),
            ("h.csv:5".to_owned(), "ingest.unknown_device".to_owned()),
        ]
    );
    // Once more: nothing new.
    let (out, _) = texts(&import(&config, &[&path]));
    assert!(
        out.contains("4 lines = 0 accepted + 2 duplicate + 2 rejected"),
        "{out}"
    );
    let good = file(&site, "good.csv", csv(&[&one]));
    assert_eq!(import(&config, &[&good]).status.code(), Some(0));
    let wrong = import(&config, &[&good, "gone.csv"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(texts(&wrong).1.contains("gone.csv"));
}

#[test]
fn beside_the_daemon_the_lines_go_through_it() {
    let site = Site::new(1);
    let tokens = site.path().join("tokens");
    let token = qiliang(&["credentials", "token", "x"]);
    let line = String::from_utf8(token.stdout).unwrap();
    let line = line
        .lines()
        .nth(1)
        .unwrap()
        .trim_start_matches("line")
        .trim();
    fs::write(&tokens, line).unwrap();
    // The operator of the machine needs no token of the file, and a batch is smaller than the file.
    let config = site.config(&format!(
        "[push]\ntokens_file = {tokens:?}\nmessages_max = 7\n"
    ));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    let (day, _) = days();
    let mut rows: Vec<String> = (0..20)
        .map(|minute| format!("D0,{day} 08:{minute:02}:00,{minute}.5"))
        .collect();
    rows.push("D0,never,1".into());
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let path = file(&site, "h.csv", csv(&rows));
    let first = import(&config, &[&path]);
    let (out, err) = texts(&first);
    assert_eq!(first.status.code(), Some(2), "{err}");
    assert!(
        out.contains("21 lines = 20 accepted + 0 duplicate + 1 rejected"),
        "{out}{err}"
    );
    assert!(
        err.contains("h.csv:22: cell sampled_at is no time"),
        "{err}"
    );
    let (out, _) = texts(&import(&config, &[&path]));
    assert!(
        out.contains("21 lines = 0 accepted + 20 duplicate + 1 rejected"),
        "{out}"
    );
    let stored = journal(&site);
    let rejects = stored.rejects(&RejectFilter::default()).unwrap();
    assert_eq!(rejects.len(), 1);
    assert!(rejects[0].origin.ends_with("h.csv:22"));
    assert_eq!(rejects[0].transport.key(), "import");
    assert_eq!(rejects[0].reason.code, "import.line");
    assert!(daemon.is_running());
    assert!(daemon.stop().success());
}

#[test]
fn workbooks_and_line_protocol_say_the_same_as_csv() {
    let site = Site::new(3);
    let config = site.config("");
    let (day, _) = days();
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (column, text) in ["dev", "ts", "BTotal"].into_iter().enumerate() {
        sheet
            .write(0, u16::try_from(column).unwrap(), text)
            .unwrap();
    }
    sheet.write(1, 0, "D0").unwrap();
    sheet.write(1, 1, format!("{day} 08:00:00")).unwrap();
    sheet.write(1, 2, 3_586_401.111_6).unwrap();
    let book = file(&site, "h.xlsx", workbook.save_to_buffer().unwrap());
    let at = chrono::DateTime::parse_from_rfc3339(&format!("{day}T08:00:00+08:00")).unwrap();
    let lines = format!("gas,device=D1 BTotal=3586401.1116,x=1 {}\n", at.timestamp());
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(lines.as_bytes()).unwrap();
    let points = file(&site, "h.lp.gz", encoder.finish().unwrap());
    let table = file(
        &site,
        "h.csv",
        csv(&[&format!("D2,{day} 08:00:00,3586401.1116")]),
    );
    let output = import(&config, &["--precision", "s", &book, &points, &table]);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    let journal = journal(&site);
    let at = at.to_utc();
    for meter in ["M0", "M1", "M2"] {
        let stored = journal
            .readings_between(
                &MeterId::from(meter),
                at,
                at + chrono::TimeDelta::seconds(1),
            )
            .unwrap();
        assert_eq!(stored.len(), 1, "{meter}");
        assert_eq!(
            stored[0].values,
            [(Item::TotalStd, ItemValue::Exact(35_864_011_116))],
            "{meter}"
        );
    }
}
