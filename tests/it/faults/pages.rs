//! Bytes changed in each kind of page: what is named, what is lost, and what is kept.

use std::collections::BTreeMap;

use qiliang::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
use qiliang::domain::reading::{AlarmSet, Item, ItemValue, Reading};
use qiliang::store::journal::JournalEntry;
use qiliang::store::salvage::salvage;

use super::*;

const METERS: i64 = 12;
const HOURS: i64 = 480;
const ALL: u64 = 12 * 480;
/// A page of 4 KiB holds at most so many of these rows.
const PAGE_ROWS: u64 = 130;
const PAGE: usize = 4_096;

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_132_800, 0).unwrap()
}

fn reading(meter: i64, hour: i64) -> JournalEntry {
    reading_at(meter, hour, 0)
}

fn reading_at(meter: i64, hour: i64, minute: i64) -> JournalEntry {
    let sampled_at = start() + TimeDelta::hours(hour) + TimeDelta::minutes(minute);
    let reading = Reading {
        meter: format!("m{meter}").as_str().into(),
        sampled_at,
        received_at: sampled_at,
        transport: Transport::Mqtt,
        values: vec![(Item::TotalStd, ItemValue::Exact(1_000 * meter + hour))],
        frozen: Vec::new(),
        alarms: AlarmSet::default(),
    };
    JournalEntry::Reading {
        reading,
        findings: Vec::new(),
    }
}

/// A frame that nobody could take, larger than a page.
fn reject(number: u8) -> JournalEntry {
    JournalEntry::Reject(RejectedFrame {
        frame: RawFrame {
            received_at: start(),
            transport: Transport::Mqtt,
            origin: "up/x".to_owned(),
            device: None,
            bytes: vec![number; 40_000].into(),
        },
        meter: None,
        reason: RejectReason::new("decode.truncated", "it ends early".to_owned()),
    })
}

/// A store with pages of every kind, all of it in its files: no log.
fn store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("readings.db");
    let journal = Journal::open(&path, GasDayClock::default()).unwrap();
    journal.set_forwarding(true, 0).unwrap();
    for hour in 0..HOURS {
        let entries = (0..METERS).map(|meter| reading(meter, hour));
        journal.commit_blocking(entries.collect()).unwrap();
    }
    // What contradicts is kept with a finding.
    let JournalEntry::Reading { mut reading, .. } = reading(3, 7) else {
        unreachable!()
    };
    reading.values = vec![(Item::TotalStd, ItemValue::Exact(1))];
    let findings = Vec::new();
    let contradicting = JournalEntry::Reading { reading, findings };
    journal.commit_blocking(vec![contradicting]).unwrap();
    journal
        .commit_blocking((0..20).map(reject).collect())
        .unwrap();
    // The earlier frames go again and leave free pages.
    let dropped = journal
        .drop_rejects(start() - TimeDelta::days(1), 400_000)
        .unwrap();
    assert!(dropped.frames > 5, "{dropped:?}");
    drop(journal);
    drop(qiliang::store::book::Book::open(dir.path().join("qiliang.db")).unwrap());
    assert!(!dir.path().join("readings.db-wal").exists());
    dir
}

/// Page numbers by kind, as SQLite's own table of them says.
fn pages_of(path: &Path) -> BTreeMap<&'static str, Vec<usize>> {
    let c = rusqlite::Connection::open(path).unwrap();
    let mut kinds: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut used = BTreeSet::from([1, 2]);
    let mut statement = c
        .prepare("SELECT name, pageno, pagetype FROM dbstat WHERE aggregate = 0")
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (name, page, kind): (String, u32, String) = (
            row.get(0).unwrap(),
            row.get(1).unwrap(),
            row.get(2).unwrap(),
        );
        let page = usize::try_from(page).unwrap();
        used.insert(page);
        let of = match (name.as_str(), kind.as_str()) {
            ("readings", "leaf") => "leaf of readings",
            ("readings", "internal") => "inner page of readings",
            ("rejects", "overflow") => "overflow page of a rejected frame",
            ("sqlite_schema", "leaf") => "schema",
            ("readings" | "rejects", _) | (_, "overflow") => continue,
            _ => "small tables and indexes",
        };
        kinds.entry(of).or_default().push(page);
    }
    let count: u32 = c
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    let count = usize::try_from(count).unwrap();
    let free = (1..=count).filter(|page| !used.contains(page));
    kinds.insert("free page", free.collect());
    kinds.insert("page map", vec![2]);
    kinds.insert("header of the file", vec![1]);
    kinds
}

/// What became of a damaged store.
#[derive(Debug, Default)]
struct Outcome {
    cases: u64,
    refused: u64,
    /// Cases in which nothing was wrong: the bytes meant nothing.
    unnoticed: u64,
    named: BTreeSet<String>,
    least_read: Option<u64>,
    least_saved: Option<u64>,
    /// Readings that came afterwards, to every page of readings: sent, taken, and of these set aside.
    sent: u64,
    taken: u64,
    set_aside: u64,
}

fn readable(journal: &Journal) -> u64 {
    let mut count = 0;
    for meter in 0..METERS {
        let id = MeterId::from(format!("m{meter}").as_str());
        for day in 0..=HOURS / 24 {
            let from = start() + TimeDelta::days(day);
            // A damaged page ends the question that met it, and no other.
            if let Ok(found) = journal.readings_between(&id, from, from + TimeDelta::days(1)) {
                count += found.len() as u64;
            }
        }
    }
    count
}

impl Outcome {
    fn look(&mut self, dir: &Path) {
        self.cases += 1;
        let path = dir.join("readings.db");
        let mut named = Vec::new();
        let mut read = 0;
        match Journal::open_read_only(&path, GasDayClock::default()) {
            Ok(journal) => match journal.check() {
                Ok(check) => {
                    named.extend(check.damage.iter().map(ToString::to_string));
                    read = readable(&journal);
                }
                Err(error) => {
                    assert_eq!(error.code(), "store.damaged", "{error}");
                    named.push(error.to_string());
                }
            },
            Err(error) => {
                assert_eq!(error.code(), "store.damaged", "{error}");
                self.refused += 1;
                named.push(error.to_string());
            }
        }
        let to = dir.join("saved");
        let found = salvage(dir, &to, GasDayClock::default(), start()).unwrap();
        let key = ("readings.db".to_owned(), "readings".to_owned());
        let saved = found.saved.get(&key).copied().unwrap_or(0);
        if named.is_empty() {
            self.unnoticed += 1;
            assert_eq!(
                (read, saved),
                (ALL, ALL),
                "rows are missing and nothing was said"
            );
        }
        self.named.extend(named);
        let least = |so_far: Option<u64>, now| Some(so_far.map_or(now, |least| least.min(now)));
        self.least_read = least(self.least_read, read);
        self.least_saved = least(self.least_saved, saved);
    }

    /// Sends a reading of each half hour to the damaged store. What it takes is there after a salvage.
    fn send(&mut self, dir: &Path) {
        self.sent += ALL;
        let path = dir.join("readings.db");
        // As the daemon does.
        let clock = GasDayClock::default();
        let journal = Journal::open(&path, clock)
            .or_else(|error| Journal::open_refused(&path, clock, error))
            .unwrap();
        let mut taken = Vec::new();
        for hours in (0..HOURS).collect::<Vec<_>>().chunks(24) {
            let all = || {
                hours
                    .iter()
                    .flat_map(|hour| (0..METERS).map(move |m| (m, *hour)))
            };
            let entries = all()
                .map(|(meter, hour)| reading_at(meter, hour, 30))
                .collect();
            let report = journal.commit_blocking(entries).unwrap();
            assert_eq!(report.accepted, all().count() as u64);
            self.set_aside += report.set_aside;
            taken.extend(all());
        }
        let set_aside = journal.set_aside_len().unwrap();
        if set_aside > 0 {
            assert_ne!(journal.damage_seen(), Vec::<String>::new());
        }
        self.taken += taken.len() as u64;
        drop(journal);
        let to = dir.join("saved after");
        salvage(dir, &to, GasDayClock::default(), start()).unwrap();
        assert!(!to.join("readings-aside.db").exists());
        let mended = Journal::open(to.join("readings.db"), GasDayClock::default()).unwrap();
        let mut damage = mended.check().unwrap().damage;
        // A frame whose bytes were changed is kept as it is and named.
        damage.retain(|damage| damage.table != Some("rejects"));
        assert_eq!(damage, []);
        assert_eq!(mended.set_aside_len().unwrap(), 0);
        for meter in 0..METERS {
            let id = MeterId::from(format!("m{meter}").as_str());
            let all = (start(), start() + TimeDelta::hours(HOURS));
            let found = mended.readings_between(&id, all.0, all.1).unwrap();
            let mut at = found.iter().map(|reading| reading.sampled_at);
            // In order, so that each is looked for behind the one before: there once.
            for (_, hour) in taken.iter().filter(|(of, _)| *of == meter) {
                let half_past = start() + TimeDelta::hours(*hour) + TimeDelta::minutes(30);
                assert!(at.any(|at| at == half_past), "acknowledged and lost");
            }
        }
    }

    fn row(&self, kind: &str) {
        println!(
            "| {kind} | {} | {} | {} | {} of {ALL} | {} of {ALL} | {:.1} % | {:.1} % |",
            self.cases,
            self.cases - self.unnoticed,
            self.refused,
            self.least_read.unwrap_or(0),
            self.least_saved.unwrap_or(0),
            100.0 * self.taken as f64 / self.sent as f64,
            100.0 * self.set_aside as f64 / self.sent as f64,
        );
    }
}

#[test]
fn changed_bytes_in_each_kind_of_page_are_named_and_the_rest_is_kept() {
    let sound = store();
    let pages = pages_of(&sound.path().join("readings.db"));
    let bytes = fs::read(sound.path().join("readings.db")).unwrap();
    println!(
        "| page | changed | noticed | opening refused | readings read, at least | saved by `qiliang salvage`, at least | taken afterwards | of these set aside |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    let mut outcomes = BTreeMap::new();
    for (kind, numbers) in &pages {
        assert!(!numbers.is_empty(), "no {kind}");
        let mut outcome = Outcome::default();
        let is_small = *kind == "small tables and indexes";
        let picked: BTreeSet<usize> = if is_small {
            numbers.iter().copied().collect()
        } else {
            let some = [0, numbers.len() / 2, numbers.len() - 1];
            some.map(|index| numbers[index]).into_iter().collect()
        };
        for page in picked {
            // Head, middle and end of the page; of the first page only the header.
            let places = if *kind == "header of the file" {
                [0, 16, 60]
            } else if page == 1 {
                [100, PAGE / 2, PAGE - 24]
            } else {
                [0, PAGE / 2, PAGE - 24]
            };
            for place in places.into_iter().take(if is_small { 1 } else { 3 }) {
                let dir = tempfile::tempdir().unwrap();
                fs::copy(
                    sound.path().join("qiliang.db"),
                    dir.path().join("qiliang.db"),
                )
                .unwrap();
                let mut garbled = bytes.clone();
                let at = (page - 1) * PAGE + place;
                for byte in &mut garbled[at..at + 12] {
                    *byte ^= 0xA5;
                }
                fs::write(dir.path().join("readings.db"), garbled).unwrap();
                outcome.look(dir.path());
                outcome.send(dir.path());
            }
        }
        outcome.row(kind);
        outcomes.insert(*kind, outcome);
    }
    let of = |kind: &str| &outcomes[kind];
    let leaf = of("leaf of readings");
    assert_eq!((leaf.refused, leaf.unnoticed), (0, 0));
    // Each question that meets the page fails as a whole: of two days of a meter here.
    assert!(leaf.least_read.unwrap() >= ALL / 10 * 9);
    assert!(leaf.least_saved.unwrap() >= ALL - PAGE_ROWS);
    assert!(
        leaf.named
            .iter()
            .any(|what| what.contains("readings") && what.contains(" on ")),
        "{:?}",
        leaf.named
    );
    let inner = of("inner page of readings");
    assert_eq!(inner.refused, 0);
    assert!(inner.least_saved.unwrap() >= ALL - PAGE_ROWS, "{inner:?}");
    let overflow = of("overflow page of a rejected frame");
    // Behind a payload's end the bytes of its last page mean nothing.
    assert_eq!(overflow.refused, 0);
    assert!(overflow.unnoticed * 4 < overflow.cases, "{overflow:?}");
    assert_eq!(
        (overflow.least_read, overflow.least_saved),
        (Some(ALL), Some(ALL))
    );
    assert!(
        overflow.named.iter().any(|what| what.contains("rejects")),
        "{:?}",
        overflow.named
    );
    for (kind, of) in &outcomes {
        assert_eq!(of.taken, of.sent, "{kind}");
    }
    for kind in ["leaf of readings", "inner page of readings", "free page"] {
        assert!(of(kind).set_aside > 0, "{kind}");
    }
    // Each lies in a page of its own.
    assert!(of("small tables and indexes").cases > 20);
    for kind in ["free page", "page map"] {
        assert_eq!(of(kind).least_read, Some(ALL), "{kind}");
        assert_eq!(of(kind).least_saved, Some(ALL), "{kind}");
    }
    for kind in ["header of the file", "schema"] {
        assert!(
            of(kind).least_saved.unwrap() >= ALL - PAGE_ROWS,
            "{kind}: {:?}",
            of(kind)
        );
    }
}

/// A changed byte in the log hides the commits behind it: whole ones, and it is said how many.
#[test]
fn a_damaged_log_loses_whole_commits_and_says_how_many() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path().join("readings.db"), GasDayClock::default()).unwrap();
    for hour in 0..30 {
        let entries = (0..METERS).map(|meter| reading(meter, hour));
        journal.commit_blocking(entries.collect()).unwrap();
    }
    let log = fs::read(dir.path().join("readings.db-wal")).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let mut garbled = log.clone();
    let middle = log.len() / 2;
    garbled[middle] ^= 0xA5;
    fs::copy(
        dir.path().join("readings.db"),
        copy.path().join("readings.db"),
    )
    .unwrap();
    fs::write(copy.path().join("readings.db-wal"), &garbled).unwrap();
    let path = copy.path().join("readings.db");
    let read_only = Journal::open_read_only(&path, GasDayClock::default()).unwrap();
    let check = read_only.check().unwrap();
    let text = check
        .damage
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(
        text.contains("the log beside it is damaged at byte"),
        "{text}"
    );
    let lost: u64 = text
        .split_once(": ")
        .and_then(|(_, rest)| rest.rsplit_once(": "))
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
        .unwrap();
    assert!((2..30).contains(&lost), "{text}");
    assert_eq!(check.readings % METERS.unsigned_abs(), 0, "half a commit");
    assert!(check.readings + lost * METERS.unsigned_abs() >= 30 * METERS.unsigned_abs());
    drop(read_only);
    // Whoever opens it for writing is told, too: the daemon's log, /readyz and metrics have it from there.
    let opened = Journal::open(&path, GasDayClock::default()).unwrap();
    let seen = opened.damage_seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].contains("commits from there on are lost"));
    drop(opened);
    // A log that only ends early was never acknowledged further.
    fs::copy(dir.path().join("readings.db"), &path).unwrap();
    fs::write(copy.path().join("readings.db-wal"), &log[..middle]).unwrap();
    let opened = Journal::open(&path, GasDayClock::default()).unwrap();
    assert_eq!(opened.damage_seen(), Vec::<String>::new());
    println!("| log | 1 | 1 | 0 | whole commits before the byte | the same |");
}

/// The running daemon names what it cannot read, keeps computing and taking the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_lists_what_is_damaged_and_goes_on() {
    let (site, config) = filled_site();
    let file = site.data_dir().join("readings.db");
    // A digit of a total, in the row of one meter: the page is sound, the row is not what was written.
    let c = rusqlite::Connection::open(&file).unwrap();
    c.execute_batch(
        "UPDATE readings SET body = CAST(substr(body, 1, 6) || x'7f' || substr(body, 8) AS BLOB)
         WHERE (day, meter, at) = (SELECT day, meter, at FROM readings WHERE meter = 1 ORDER BY at LIMIT 1);
         INSERT OR REPLACE INTO dirty SELECT DISTINCT day, meter, 0 FROM readings;",
    )
    .unwrap();
    drop(c);
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    tokio::task::block_in_place(|| {
        wait_for("the damage to be told", || {
            daemon
                .log()
                .contains("is not what was written")
                .then_some(())
        });
    });
    assert!(
        daemon.log().contains("are not computed"),
        "{}",
        daemon.log()
    );
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| {
        let answer = http
            .get(format!("http://{address}{path}"))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, ready) = get("/readyz").await;
    assert_eq!(status, 200, "{ready}");
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let damaged: Vec<&str> = ready["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|warning| warning["code"] == "store.damaged")
        .filter_map(|warning| warning["message"].as_str())
        .collect();
    assert!(
        damaged.iter().any(|what| what.contains("curves of M0")),
        "{damaged:?}"
    );
    let (_, metrics) = get("/metrics").await;
    let places = metrics
        .lines()
        .find_map(|line| line.strip_prefix("qiliang_store_damaged_places "))
        .unwrap();
    assert!(places.parse::<f64>().unwrap() >= 1.0, "{places}");
    // The other meters have their curves, and readings come in.
    tokio::task::block_in_place(|| {
        wait_for("the curves of the other meters", || {
            let journal = Journal::open_read_only(&file, GasDayClock::default()).ok()?;
            let waiting = journal.dirty_len().ok()?;
            let there = journal.curves_len().ok()?;
            (there > 0 && waiting > 0 && waiting <= 4).then_some(())
        });
    });
    let answer = http
        .post(format!("http://{address}/api/v1/readings"))
        .header("content-type", "application/json")
        .body(crate::support::publisher::payload(
            1,
            9_000,
            Utc::now() - TimeDelta::minutes(5),
        ))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 202);
    assert!(daemon.is_running(), "{}", daemon.log());
    assert!(daemon.stop().success());
}

/// A command without a daemon does what can be done and ends; the days of the damaged place stay marked.
#[test]
fn a_command_ends_where_a_place_is_damaged() {
    let (site, config) = filled_site();
    let file = site.data_dir().join("readings.db");
    let c = rusqlite::Connection::open(&file).unwrap();
    c.execute_batch(
        "UPDATE readings SET body = CAST(substr(body, 1, 6) || x'7f' || substr(body, 8) AS BLOB)
         WHERE (day, meter, at) = (SELECT day, meter, at FROM readings WHERE meter = 1 ORDER BY at LIMIT 1);
         INSERT OR REPLACE INTO dirty SELECT DISTINCT day, meter, 0 FROM readings;",
    )
    .unwrap();
    drop(c);
    let more = site.path().join("more.ndjson");
    let at = first_at() + TimeDelta::minutes(601);
    let json = crate::support::publisher::payload(2, 700, at);
    let at = at.to_rfc3339();
    let line = format!(r#"{{"received_at":"{at}","device":"D2","json":{json}}}"#);
    fs::write(&more, line).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_qiliang"))
        .args(["--config", config.to_str().unwrap(), "import"])
        .arg(&more)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("the import to end", || command.try_wait().unwrap())
    }));
    if ended.is_err() {
        command.kill().unwrap();
    }
    assert!(ended.is_ok_and(|status| status.success()));
    let journal = Journal::open_read_only(&file, GasDayClock::default()).unwrap();
    let waiting = journal.dirty_len().unwrap();
    assert!((1..=4).contains(&waiting), "{waiting}");
    assert!(journal.curves_len().unwrap() > 0);
}

/// Readings whose place is damaged are acknowledged all the same, and come to their place with the mending.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_takes_readings_whose_place_is_damaged() {
    let (site, config) = filled_site();
    let file = site.data_dir().join("readings.db");
    let root = pages_root(&file, "readings");
    let mut bytes = fs::read(&file).unwrap();
    for byte in &mut bytes[(root - 1) * PAGE..][..12] {
        *byte ^= 0xA5;
    }
    fs::write(&file, bytes).unwrap();
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let sampled_at = Utc::now() - TimeDelta::minutes(5);
    let answer = http
        .post(format!("http://{address}/api/v1/readings"))
        .header("content-type", "application/json")
        .body(crate::support::publisher::payload(1, 9_000, sampled_at))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 202, "{}", daemon.log());
    let get = async |path: &str| {
        let answer = http.get(format!("http://{address}{path}")).send();
        answer.await.unwrap().text().await.unwrap()
    };
    let ready: serde_json::Value = serde_json::from_str(&get("/readyz").await).unwrap();
    let warnings = ready["warnings"].as_array().unwrap();
    for code in ["store.damaged", "store.set_aside"] {
        assert!(warnings.iter().any(|w| w["code"] == code), "{warnings:?}");
    }
    let metrics = get("/metrics").await;
    assert!(
        metrics.contains("qiliang_store_readings_set_aside 1"),
        "{metrics}"
    );
    assert!(daemon.is_running(), "{}", daemon.log());
    assert!(daemon.stop().success());
    tokio::task::block_in_place(|| {
        let to = site.data_dir().join("saved");
        salvage(&site.data_dir(), &to, GasDayClock::default(), Utc::now()).unwrap();
        let mended = Journal::open(to.join("readings.db"), GasDayClock::default()).unwrap();
        assert_eq!(mended.set_aside_len().unwrap(), 0);
        let newest = mended.latest(&"M1".into()).unwrap().unwrap();
        assert_eq!(newest.sampled_at.timestamp(), sampled_at.timestamp());
    });
}

/// The first page of a table's tree.
pub(super) fn pages_root(path: &Path, table: &str) -> usize {
    let c = rusqlite::Connection::open(path).unwrap();
    c.query_row(
        "SELECT rootpage FROM sqlite_schema WHERE name = ?1",
        [table],
        |row| row.get::<_, u32>(0),
    )
    .map(|page| usize::try_from(page).unwrap())
    .unwrap()
}
