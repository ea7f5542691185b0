//! Bytes changed anywhere in a real store: what can be read is saved, what cannot is named.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::domain::reading::Reading;
use crate::store::book::Book;
use crate::store::journal::{Journal, JournalEntry};
use crate::validate::rules::testing;

const METERS: i64 = 12;
const HOURS: i64 = 240;

fn now() -> DateTime<Utc> {
    testing::at(0)
}

fn reading(meter: i64, hour: i64) -> Reading {
    let mut reading = testing::total(hour, 1_000 * meter + hour);
    reading.meter = format!("m{meter}").as_str().into();
    reading
}

/// A data directory with ten days of twelve meters.
fn store() -> TempDir {
    let dir = TempDir::new().unwrap();
    let journal = Journal::open(dir.path().join("readings.db"), GasDayClock::default()).unwrap();
    for hour in 0..HOURS {
        let entries = (0..METERS).map(|meter| JournalEntry::Reading {
            reading: reading(meter, hour),
            findings: Vec::new(),
        });
        journal.commit_blocking(entries.collect()).unwrap();
    }
    // All of it in the file, so that what is changed there counts.
    assert!(journal.cut_log().unwrap().is_cut);
    drop(journal);
    let book = Book::open(dir.path().join("qiliang.db")).unwrap();
    assert!(book.cut_log().unwrap().is_cut);
    dir
}

/// Made once; every case changes a copy.
static SOUND: std::sync::LazyLock<TempDir> = std::sync::LazyLock::new(store);

fn readings(journal: &Journal) -> BTreeMap<(i64, i64), Reading> {
    let mut found = BTreeMap::new();
    for meter in 0..METERS {
        let id = format!("m{meter}").as_str().into();
        let (from, to) = (testing::at(0), testing::at(HOURS) + TimeDelta::days(1));
        for reading in journal.readings_between(&id, from, to).unwrap() {
            let hour = (reading.sampled_at - from).num_hours();
            found.insert((meter, hour), reading);
        }
    }
    found
}

fn saved(data: &Path, to: &Path) -> (Salvage, BTreeMap<(i64, i64), Reading>) {
    let found = salvage(data, to, GasDayClock::default(), now()).unwrap();
    backup::check(to).unwrap();
    let journal = Journal::open(to.join("readings.db"), GasDayClock::default()).unwrap();
    assert_eq!(journal.check().unwrap().damage, []);
    let all = readings(&journal);
    (found, all)
}

#[test]
fn of_a_sound_store_all_is_saved_from_file_and_log() {
    let dir = store();
    // Copied while open, so that the newest commits are in the log alone.
    let journal = Journal::open(dir.path().join("readings.db"), GasDayClock::default()).unwrap();
    let late = JournalEntry::Reading {
        reading: reading(3, HOURS),
        findings: Vec::new(),
    };
    journal.commit_blocking(vec![late]).unwrap();
    let copy = TempDir::new().unwrap();
    for name in ["readings.db", "readings.db-wal", "qiliang.db"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let (found, all) = saved(copy.path(), &dir.path().join("saved"));
    assert_eq!(found.lost, []);
    assert_eq!(all, readings(&journal));
    assert_eq!(all.len(), usize::try_from(METERS * HOURS + 1).unwrap());
    assert_eq!(
        found.saved[&("readings.db".to_owned(), "meters".to_owned())],
        12
    );
}

/// Decisions of people, findings of customers, restatements: rows that no reading gives again.
#[test]
fn what_people_decided_and_what_was_restated_is_saved_too() {
    let dir = store();
    let rows = [
        (
            "readings.db",
            "INSERT INTO edits VALUES (1, 1, 20778, '{\"3\":\"2.5000\"}', 'li', 'meter stood', 7);
             INSERT INTO edits VALUES (5, 1, 20779, '{\"4\":\"9.0000\"}', 'li', 'typo', 8);
             INSERT INTO edit_revocations VALUES (5, 'wang', 'not a typo', 9);
             INSERT INTO closed VALUES (1, 20700);
             INSERT INTO subject_findings VALUES (20778, 'V26', 2, 'K1', 7, 0, 'deviation', '[]');",
            vec!["edits", "edit_revocations", "closed", "subject_findings"],
        ),
        (
            "qiliang.db",
            "INSERT INTO restatements VALUES (20778, 'z', 'industrial', 'forecast', 'R1', 1, 1.5, 2.5, 9, 'readings');",
            vec!["restatements"],
        ),
    ];
    let all = |path: &Path, table: &str| -> Vec<String> {
        let c = Connection::open(path).unwrap();
        let mut statement = c.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let count = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells: Vec<_> = (0..count)
                .map(|i| format!("{:?}", row.get_ref(i)))
                .collect();
            Ok(cells.join(" "))
        });
        rows.unwrap().map(Result::unwrap).collect()
    };
    for (file, sql, _) in &rows {
        let c = Connection::open(dir.path().join(file)).unwrap();
        c.execute_batch(sql).unwrap();
    }
    let to = dir.path().join("saved");
    let (found, _) = saved(dir.path(), &to);
    assert_eq!(found.lost, []);
    for (file, _, tables) in &rows {
        for table in tables {
            let there = all(&dir.path().join(file), table);
            assert!(!there.is_empty(), "{table}");
            assert_eq!(all(&to.join(file), table), there, "{table}");
        }
    }
    // A decision made later gets a number that none had.
    let c = Connection::open(to.join("readings.db")).unwrap();
    c.execute(
        "INSERT INTO edits (meter, day, hours, who, reason, at) VALUES (1, 1, '{}', 'li', 'r', 1)",
        [],
    )
    .unwrap();
    assert_eq!(c.last_insert_rowid(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn changed_bytes_lose_no_row_that_can_be_read_and_give_none_that_was_not_written(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..12),
    ) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("readings.db");
        for name in FILES {
            fs::copy(SOUND.path().join(name), dir.path().join(name)).unwrap();
        }
        let mut bytes = fs::read(&path).unwrap();
        let mut pages = std::collections::BTreeSet::new();
        for (index, change) in &flips {
            let at = index.index(bytes.len());
            bytes[at] ^= change;
            pages.insert(at / 4_096);
        }
        fs::write(&path, &bytes).unwrap();
        let (found, all) = saved(dir.path(), &dir.path().join("saved"));
        for ((meter, hour), kept) in &all {
            prop_assert_eq!(kept, &reading(*meter, *hour), "{:?}", found.lost);
        }
        // A page of 4 KiB holds at most 130 of these rows. A changed name of a meter hides its rows from
        // this test, not from the file.
        let rows = found.saved[&("readings.db".to_owned(), "readings".to_owned())];
        let missing = (METERS * HOURS).unsigned_abs().saturating_sub(rows);
        prop_assert!(missing <= 130 * pages.len() as u64, "{missing} rows of {} pages", pages.len());
        if missing > 0 {
            prop_assert!(!found.lost.is_empty());
        }
    }
}
