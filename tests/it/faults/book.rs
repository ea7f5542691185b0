//! A damaged book (`qiliang.db`): what is named, what is kept, and that readings are taken all the same.

use std::collections::BTreeMap;

use qiliang::store::book::{Book, DocumentKind, NewDocument};
use qiliang::store::salvage::salvage;
use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::aside::run;
use super::pages::pages_root;
use super::*;
use crate::support::publisher::payload;

const PAGE: usize = 4_096;
/// Rows of the smallest kind that a page can hold.
const PAGE_ROWS: usize = 260;

type Rows = BTreeMap<String, BTreeSet<String>>;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_132_800, 0).unwrap()
}

/// A book with rows in every table, inner pages, long values and free pages; all of it in the file.
fn store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    drop(Journal::open(dir.path().join("readings.db"), GasDayClock::default()).unwrap());
    let path = dir.path().join("qiliang.db");
    let book = Book::open(&path).unwrap();
    for month in 0..40 {
        let documents = (0..10).map(|key| NewDocument {
            kind: DocumentKind::Declaration,
            key: format!("{}-{key:02}", 2000 + month),
            body: json!({ "m3": month * 1_000 + key, "lines": "x".repeat(400) }),
            at: now(),
            who: "li".to_owned(),
            reason: "month's end".to_owned(),
        });
        book.put_documents(documents.collect()).unwrap();
    }
    for index in 0..300 {
        let subject = format!("device {index}");
        book.record(now(), "wang", "rejects.replay", &subject, "profile mended")
            .unwrap();
    }
    book.put_registry_version("v1", now()).unwrap();
    drop(book);
    let c = rusqlite::Connection::open(&path).unwrap();
    // The same bytes each time, so that what is found is found each time.
    let mut noise = vec![0; 40_000];
    ChaCha8Rng::seed_from_u64(7).fill_bytes(&mut noise);
    c.execute_batch("CREATE TEMP TABLE noise (bytes BLOB)")
        .unwrap();
    c.execute("INSERT INTO noise VALUES (?1)", [&noise])
        .unwrap();
    c.execute_batch(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 5999)
         INSERT INTO observed SELECT 'st' || (i % 3), 1700000000000 + i * 3600000, 1700000000000 + i * 3600000 + 60000,
                i / 7.0 FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 899)
         INSERT INTO demand (day, zone, class, hours, coverage, uncertainty)
         SELECT 20000 + i / 2, 'north', CASE i % 2 WHEN 0 THEN 'industrial' ELSE 'residential' END,
                (SELECT substr(bytes, 1 + (i) * 37 % 4000, 192) FROM noise), 0.75, 1.5 FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2999)
         INSERT INTO filed_plans SELECT 'K' || (i % 9), 20000 + i / 9, 1795132800000, CASE i % 7 WHEN 0 THEN NULL ELSE 1000 * i END, NULL
         FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299)
         INSERT INTO push_answers SELECT 'token', 'key ' || i, (SELECT substr(bytes, 1 + (i + 7) * 37 % 4000, 32) FROM noise), 1795132800000, 202, (SELECT substr(bytes, 1 + (i) * 37 % 4000, 300) FROM noise) FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
         INSERT INTO forecast_runs SELECT 'R' || i, i, i, 20000, 3, 'v1', (SELECT substr(bytes, 1 + (i) * 37 % 4000, 30000) FROM noise) FROM n;
         INSERT INTO run_breakdowns SELECT id, (SELECT substr(bytes, 1 + (unicode(substr(id, 2))) * 37 % 4000, 900) FROM noise) FROM forecast_runs;
         INSERT INTO run_learning SELECT id, '{}' FROM forecast_runs;
         INSERT INTO run_months SELECT run, body FROM run_breakdowns;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 499)
         INSERT INTO expectations_without SELECT 'F' || i, 20000 + i, 1, 'north', 'industrial', 2.5 FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 499)
         INSERT INTO expectations SELECT 20000 + i, 1, 'north', 'industrial', 'R1', 1.5, 2.5, 3.5, NULL, 2.25 FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299)
         INSERT INTO weather SELECT NULL, 'st', 'forecast', i, i, (SELECT substr(bytes, 1 + (i + 7) * 37 % 4000, 32) FROM noise), (SELECT substr(bytes, 1 + (i) * 37 % 4000, 500) FROM noise) FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299)
         INSERT INTO restatements SELECT 20000 + i, 'north', 'industrial', 'nomination', 'k', 1, 1.5, 2.5, i, 'readings' FROM n;",
    )
    .unwrap();
    for index in 0_u32..6 {
        let body = vec![u8::try_from(index).unwrap(); 20_000];
        let digest = Sha256::digest(&body).to_vec();
        c.execute(
            "INSERT INTO inputs VALUES (?1, ?2)",
            rusqlite::params![digest, body],
        )
        .unwrap();
        c.execute(
            "INSERT INTO run_inputs VALUES ('R1', ?1, ?2)",
            rusqlite::params![format!("part {index}"), digest],
        )
        .unwrap();
    }
    let change = "{\"customer\":\"K1\"}";
    c.execute(
        "INSERT INTO production_changes VALUES (?1, 7, ?2)",
        rusqlite::params![Sha256::digest(change).to_vec(), change],
    )
    .unwrap();
    // Earlier runs go again and leave free pages.
    c.execute_batch("DELETE FROM forecast_runs WHERE id IN ('R7', 'R8', 'R9');")
        .unwrap();
    drop(c);
    // Opened and closed, so that no log is left.
    drop(Book::open(&path).unwrap());
    assert!(!dir.path().join("qiliang.db-wal").exists());
    dir
}

/// Every row of every table, in words.
fn rows(path: &Path) -> Rows {
    let c = rusqlite::Connection::open(path).unwrap();
    let mut tables = c
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap();
    let names = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut all = Rows::new();
    for name in names.map(Result::unwrap) {
        let mut statement = c.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let count = statement.column_count();
        let found = statement.query_map([], |row| {
            let cells = (0..count).map(|column| format!("{:?}", row.get_ref(column)));
            Ok(cells.collect::<Vec<_>>().join(" "))
        });
        let found = found.unwrap().map(Result::unwrap).collect();
        all.insert(name, found);
    }
    all
}

/// Pages by kind: of tables with their name, the rest together.
fn pages_of(path: &Path) -> BTreeMap<String, Vec<usize>> {
    let c = rusqlite::Connection::open(path).unwrap();
    let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut used = BTreeSet::from([1, 2]);
    let mut statement = c
        .prepare(
            "SELECT s.name, pageno, pagetype, coalesce(m.type, 'table')
             FROM dbstat AS s LEFT JOIN sqlite_schema AS m ON m.name = s.name WHERE aggregate = 0",
        )
        .unwrap();
    let mut found = statement.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        let (name, page, kind, of): (String, u32, String, String) = (
            row.get(0).unwrap(),
            row.get(1).unwrap(),
            row.get(2).unwrap(),
            row.get(3).unwrap(),
        );
        let page = usize::try_from(page).unwrap();
        used.insert(page);
        let kind = match (name.as_str(), of.as_str(), kind.as_str()) {
            ("sqlite_schema", ..) => "schema",
            (_, "index", _) => "index",
            (_, _, "internal") => "inner page of a table",
            (_, _, "overflow") => "overflow page",
            (_, _, _) => "leaf of a table",
        };
        kinds.entry(kind.to_owned()).or_default().push(page);
    }
    let count: u32 = c
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    let free = 1..=usize::try_from(count).unwrap();
    let free = free.filter(|page| !used.contains(page));
    kinds.insert("free page".to_owned(), free.collect());
    kinds.insert("page map".to_owned(), vec![2]);
    kinds.insert("header of the file".to_owned(), vec![1]);
    kinds
}

#[derive(Debug, Default)]
struct Outcome {
    cases: usize,
    noticed: usize,
    refused: usize,
    least_saved: Option<usize>,
    with_lost_records: usize,
    named: BTreeSet<String>,
}

impl Outcome {
    fn look(&mut self, dir: &Path, sound: &Rows, kind: &str) {
        self.cases += 1;
        let path = dir.join("qiliang.db");
        let mut named = Vec::new();
        match Book::open_read_only(&path) {
            Ok(book) => {
                // As `qiliang verify` does.
                named.extend(book.check().unwrap().iter().map(ToString::to_string));
                let breaks = book.verify_audit().unwrap().breaks;
                named.extend(breaks.into_iter().map(|found| found.reason));
            }
            Err(error) => {
                assert_eq!(error.code(), "store.damaged", "{error}");
                self.refused += 1;
                named.push(error.to_string());
                // Table by table all the same.
                qiliang::store::salvage::look(dir, "qiliang.db").unwrap();
            }
        }
        // The daemon opens it in any case, and takes readings.
        let opened = Book::open(&path).or_else(|error| Book::open_refused(&path, error));
        drop(opened.unwrap());
        let to = dir.join("saved");
        let found = salvage(dir, &to, GasDayClock::default(), now()).unwrap();
        let lost: Vec<String> = found.lost.iter().map(ToString::to_string).collect();
        let kept = rows(&to.join("qiliang.db"));
        let mut saved = 0;
        for (table, all) in sound {
            let mut kept = kept[table].clone();
            if table == "audit" && !lost.is_empty() {
                // The record of the salvage itself.
                kept.retain(|row| !row.contains("store.salvage"));
            }
            let invented: Vec<_> = kept.difference(all).collect();
            assert!(invented.len() <= 1, "{kind}: {table}: {invented:?}");
            // A changed byte within a value without a checksum is a row like any other.
            let missing = all.len() - kept.intersection(all).count();
            assert!(
                missing <= PAGE_ROWS,
                "{kind}: {missing} rows of {table} are lost: {lost:?}"
            );
            saved += all.len() - missing;
            if missing > invented.len() {
                assert!(
                    lost.iter().any(|line| line.contains(table.as_str())),
                    "{kind}: {missing} rows of {table} are missing and nothing was said: {lost:?}"
                );
                assert!(!named.is_empty(), "{kind}: {table}: verify said nothing");
            }
            if missing > 0 && (table == "audit" || table == "documents") {
                self.with_lost_records += 1;
                assert!(
                    lost.iter().any(|line| line.contains("the chain breaks at")),
                    "{kind}: {missing} rows of {table} are lost and the chain is silent: {lost:?}"
                );
            }
        }
        let mended = Book::open(to.join("qiliang.db")).unwrap();
        let of_pages = mended.check().unwrap();
        assert_eq!(of_pages, [], "{kind}");
        // What is told at the salvage stays told: the chain itself is never mended.
        let breaks = mended.verify_audit().unwrap().breaks;
        let told = lost
            .iter()
            .filter(|line| line.contains("the chain breaks at"));
        assert_eq!(breaks.len(), told.count(), "{kind}");
        self.noticed += usize::from(!named.is_empty());
        self.named.extend(named);
        self.least_saved = Some(self.least_saved.map_or(saved, |least| least.min(saved)));
    }
}

#[test]
fn changed_bytes_in_each_kind_of_page_of_the_book_are_named_and_the_rest_is_kept() {
    let sound = store();
    let file = sound.path().join("qiliang.db");
    let all = rows(&file);
    let count: usize = all.values().map(BTreeSet::len).sum();
    assert!(
        all.values().all(|rows| !rows.is_empty()),
        "a table without rows"
    );
    let bytes = fs::read(&file).unwrap();
    println!(
        "| page of the book | changed | named by `qiliang verify` | opening refused | rows saved, at least |"
    );
    println!("|---|---:|---:|---:|---:|");
    let mut outcomes = BTreeMap::new();
    for (kind, numbers) in pages_of(&file) {
        assert!(!numbers.is_empty(), "no {kind}");
        let mut outcome = Outcome::default();
        // Some of the many, all of the few.
        let every = (numbers.len() / 30).max(1);
        for page in numbers.iter().step_by(every) {
            let places: &[usize] = match (kind.as_str(), *page) {
                ("header of the file", _) => &[0, 16, 60],
                (_, 1) => &[100, PAGE / 2, PAGE - 24],
                ("leaf of a table" | "index", _) => &[0],
                _ => &[0, PAGE / 2],
            };
            for place in places {
                let dir = tempfile::tempdir().unwrap();
                let name = "readings.db";
                fs::copy(sound.path().join(name), dir.path().join(name)).unwrap();
                let mut garbled = bytes.clone();
                let at = (page - 1) * PAGE + place;
                for byte in &mut garbled[at..at + 12] {
                    *byte ^= 0xA5;
                }
                fs::write(dir.path().join("qiliang.db"), garbled).unwrap();
                outcome.look(dir.path(), &all, &format!("{kind}, page {page} at {place}"));
            }
        }
        println!(
            "| {kind} | {} | {} | {} | {} of {count} |",
            outcome.cases,
            outcome.noticed,
            outcome.refused,
            outcome.least_saved.unwrap_or(0),
        );
        outcomes.insert(kind, outcome);
    }
    let leaf = &outcomes["leaf of a table"];
    assert_eq!((leaf.noticed, leaf.refused), (leaf.cases, 0));
    assert!(leaf.with_lost_records > 0);
    let is_named = |what: &str| leaf.named.iter().any(|named| named.contains(what));
    for part in ["documents: ", "observed: ", "(of the audit log)"] {
        assert!(is_named(part), "{part}: {:?}", leaf.named);
    }
    assert_eq!(outcomes["free page"].least_saved, Some(count));
    assert_eq!(outcomes["index"].least_saved, Some(count));
    assert_eq!(outcomes["page map"].least_saved, Some(count));
    assert_eq!(outcomes["header of the file"].least_saved, Some(count));
}

/// Whatever is wrong with the book, the daemon starts, takes and answers pushes, computes curves and says what
/// it cannot serve.
async fn goes_on(what: &str, damage: impl Fn(&Path)) {
    let (site, config) = filled_site();
    let file = site.data_dir().join("qiliang.db");
    drop(Book::open(&file).unwrap());
    damage(&file);
    let before = fs::read(&file).unwrap();
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let sampled_at = first_at() + TimeDelta::days(1);
    let push = async |seq: usize, at: DateTime<Utc>| {
        let request = http
            .post(format!("http://{address}/api/v1/readings"))
            .header("content-type", "application/json")
            .header("idempotency-key", format!("k{seq}"))
            .body(payload(1, 10_000 + seq, at));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let mut answers = Vec::new();
    for seq in 0..5 {
        let at = sampled_at + TimeDelta::minutes(i64::try_from(seq).unwrap());
        let (status, body) = push(seq, at).await;
        assert_eq!(status, 202, "{what}: {body}");
        // The same key is answered the same again, file or not.
        let again = push(seq, at).await;
        assert_eq!(again, (202, body.clone()), "{what}");
        answers.push(body);
    }
    assert!(answers.iter().all(|body| body.contains("\"accepted\":1")));
    let get = async |path: &str| {
        let answer = http.get(format!("http://{address}{path}")).send();
        let answer = answer.await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    // The curve worker is not held up: the marks of the pushed readings are answered.
    tokio::task::block_in_place(|| {
        wait_for("the curves of what was pushed", || {
            let journal = Journal::open_read_only(
                site.data_dir().join("readings.db"),
                GasDayClock::default(),
            );
            (journal.ok()?.dirty_len().ok()? == 0).then_some(())
        });
    });
    let mut told = String::new();
    for _ in 0..200 {
        let (status, ready) = get("/readyz").await;
        assert_eq!(status, 200, "{what}: {ready}");
        if ready.contains("store.book_damaged") {
            told = ready;
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        told.contains("salvage") || told.contains("newer program"),
        "{what}: {told}"
    );
    let (status, metrics) = get("/metrics").await;
    assert_eq!(status, 200, "{what}: {metrics}");
    let unserved = metrics
        .lines()
        .find_map(|line| line.strip_prefix("qiliang_store_unserved_parts "));
    assert!(unserved.is_some_and(|n| n != "0.0"), "{what}: {metrics}");
    let (status, overview) = get("/api/v1/overview").await;
    assert_eq!(status, 200, "{what}: {overview}");
    let (_, notices) = get("/api/v1/notices").await;
    assert!(notices.contains("store.book_damaged"), "{what}: {notices}");
    assert!(daemon.log().contains("store.book_damaged"), "{what}");
    assert!(daemon.is_running(), "{what}: {}", daemon.log());
    assert!(daemon.stop().success());
    // Questions about readings are answered by commands, too, and what is lost is named.
    tokio::task::block_in_place(|| {
        let (is_done, said) = run(&config, &["history", "M1", "--from", "2026-01-01"]);
        assert!(is_done, "{what}: {said}");
        let (is_sound, said) = run(&config, &["verify"]);
        assert!(!is_sound, "{what}: {said}");
        assert!(said.contains("qiliang.db"), "{what}: {said}");
        if what == "newer" {
            assert!(
                before == fs::read(&file).unwrap(),
                "a newer program's file is left as it is"
            );
            return;
        }
        let (to, config) = (site.path().join("saved"), &config);
        let (_, said) = run(config, &["salvage", to.to_str().unwrap()]);
        assert!(said.contains("lost: qiliang.db"), "{what}: {said}");
        let (is_done, said) = run(config, &["restore", to.to_str().unwrap(), "--replace"]);
        assert!(is_done, "{what}: {said}");
    });
    if what == "newer" {
        return;
    }
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let answer = http.get(format!("http://{address}/readyz")).send().await;
    let ready = answer.unwrap().text().await.unwrap();
    assert!(!ready.contains("store."), "{what}: {ready}");
    assert!(daemon.stop().success());
}

fn garble(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    for byte in &mut bytes[at..at + 12] {
        *byte ^= 0xA5;
    }
    fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_goes_on_where_the_header_of_the_book_is_damaged() {
    goes_on("header", |file| garble(file, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_goes_on_where_the_schema_of_the_book_is_damaged() {
    goes_on("schema", |file| garble(file, 100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_goes_on_where_a_table_of_the_book_is_damaged() {
    for table in [
        "push_answers",
        "demand",
        "forecast_runs",
        "filed_plans",
        "audit",
    ] {
        goes_on(table, |file| {
            garble(file, (pages_root(file, table) - 1) * PAGE);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_goes_on_beside_a_book_of_a_newer_program() {
    goes_on("newer", |file| {
        let c = rusqlite::Connection::open(file).unwrap();
        c.pragma_update(None, "user_version", 900).unwrap();
    })
    .await;
}

/// The program, killed after so long unless it has ended by itself; whether it has, and was content.
fn killed_after(wait: Duration, arguments: &[&str]) -> bool {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_qiliang"))
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + wait;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            // 1: something is lost, as told.
            return matches!(status.code(), Some(0 | 1));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

/// Killed again and again on the way from a damaged store to a mended one: nothing is lost by it.
#[test]
fn a_mend_that_is_killed_again_and_again_loses_nothing() {
    let (site, config) = filled_site();
    let data = site.data_dir();
    let file = data.join("qiliang.db");
    fs::copy(store().path().join("qiliang.db"), &file).unwrap();
    let sound = rows(&file);
    let readings = rows(&data.join("readings.db"))["readings"].clone();
    garble(&file, 0);
    let damaged = fs::read(&file).unwrap();
    let to = site.path().join("saved");
    let config = config.to_str().unwrap();
    let salvaging = ["--config", config, "salvage", to.to_str().unwrap()];
    let restoring = [
        "--config",
        config,
        "restore",
        to.to_str().unwrap(),
        "--replace",
    ];
    let mut kills = 0;
    for arguments in [&salvaging[..], &restoring[..]] {
        for wait in (5..).step_by(15).map(Duration::from_millis) {
            if killed_after(wait, arguments) {
                break;
            }
            kills += 1;
            if arguments == salvaging {
                assert!(
                    damaged == fs::read(&file).unwrap(),
                    "salvage changes nothing"
                );
                // It has its name only when it is whole: killed after that, there is nothing left to do.
                if to.exists() {
                    break;
                }
            }
        }
    }
    assert!(kills > 2, "{kills}");
    println!("killed {kills} times amid salvage and restore");
    let mended = rows(&file);
    for (table, all) in &sound {
        assert_eq!(
            mended[table].intersection(all).count(),
            all.len(),
            "{table}"
        );
    }
    assert_eq!(rows(&data.join("readings.db"))["readings"], readings);
}
