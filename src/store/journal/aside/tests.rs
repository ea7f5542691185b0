use std::fs;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use tempfile::TempDir;

use super::names::numbered;
use super::*;
use crate::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
use crate::store::backup;
use crate::store::book::Book;
use crate::store::journal::Journal;
use crate::validate::rules::testing;

fn entries(range: std::ops::Range<i64>) -> Vec<JournalEntry> {
    let reading = |k| {
        let mut reading = testing::total(1, k);
        reading.sampled_at += TimeDelta::seconds(k);
        JournalEntry::Reading {
            reading,
            findings: Vec::new(),
        }
    };
    range.map(reading).collect()
}

fn aside_of(journal: &Path) -> PathBuf {
    numbered(journal, 1)
}

fn reject() -> JournalEntry {
    JournalEntry::Reject(RejectedFrame {
        frame: RawFrame {
            transport: Transport::Mqtt,
            origin: "up/x".to_owned(),
            device: None,
            bytes: vec![1, 2].into(),
            received_at: testing::total(1, 0).received_at,
        },
        meter: None,
        reason: RejectReason::new("decode.truncated", "it ends early"),
    })
}

/// A journal whose table of counters cannot be written, and its file as it was before.
fn damaged(dir: &Path) -> (PathBuf, Vec<u8>) {
    let path = dir.join("readings.db");
    let journal = Journal::open(&path, GasDayClock::default()).unwrap();
    journal.commit_blocking(entries(0..10)).unwrap();
    drop(journal);
    let c = Connection::open(&path).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'counters'";
    let root: u32 = c.query_row(root, [], |row| row.get(0)).unwrap();
    drop(c);
    let sound = fs::read(&path).unwrap();
    let mut garbled = sound.clone();
    let at = (usize::try_from(root).unwrap() - 1) * 4_096;
    garbled[at..at + 12].fill(0xA5);
    fs::write(&path, garbled).unwrap();
    (path, sound)
}

fn open(path: &Path) -> Journal {
    Journal::open(path, GasDayClock::default()).unwrap()
}

#[test]
fn what_the_journal_refused_comes_to_it_once() {
    let dir = TempDir::new().unwrap();
    let (path, sound) = damaged(dir.path());
    let journal = open(&path);
    // Known, new, and a frame that nobody takes.
    let mut batch = entries(5..15);
    batch.push(reject());
    let report = journal.commit_blocking(batch).unwrap();
    assert_eq!((report.set_aside, report.rejected), (10, 1));
    assert!(journal.refusal().is_some());
    journal.commit_blocking(entries(15..20)).unwrap();
    assert_eq!(journal.set_aside_len().unwrap(), 16);
    let beside = Journal::open_read_only(&path, GasDayClock::default()).unwrap();
    assert_eq!(beside.set_aside_len().unwrap(), 16);
    drop((journal, beside));
    // Not mended yet.
    let journal = open(&path);
    assert_eq!(journal.set_aside_len().unwrap(), 16);
    drop(journal);

    fs::write(&path, &sound).unwrap();
    let aside = aside_of(&path);
    let copy = fs::read(&aside).unwrap();
    // The second time is a kill before the file was removed.
    for _ in 0..2 {
        fs::write(&aside, &copy).unwrap();
        let journal = open(&path);
        assert_eq!(journal.set_aside_len().unwrap(), 0);
        assert_eq!(journal.refusal().map(|e| e.to_string()), None);
        let counters = journal.counters().unwrap();
        let counted = (counters.accepted, counters.duplicate, counters.rejected);
        assert_eq!(counted, (20, 5, 1));
        assert_eq!(journal.verify().unwrap(), 20);
        assert!(!aside.exists());
    }
}

#[test]
fn what_is_changed_in_it_is_named_and_the_rest_taken() {
    let dir = TempDir::new().unwrap();
    let (path, sound) = damaged(dir.path());
    let journal = open(&path);
    journal.commit_blocking(entries(10..13)).unwrap();
    journal.commit_blocking(entries(13..20)).unwrap();
    drop(journal);
    let aside = aside_of(&path);
    let c = Connection::open(&aside).unwrap();
    c.execute("UPDATE entries SET body = zeroblob(9) WHERE id = 1", [])
        .unwrap();
    drop(c);
    let read_only = Journal::open_read_only(&path, GasDayClock::default()).unwrap();
    let damage = read_only.check().unwrap().damage;
    let is_named = |what: &str| damage.iter().any(|d| d.to_string().contains(what));
    assert!(
        is_named("3 deliveries are not what was written"),
        "{damage:?}"
    );
    drop(read_only);
    fs::write(&path, &sound).unwrap();
    let journal = open(&path);
    assert_eq!(journal.check().unwrap().readings, 17);
    let seen = journal.damage_seen();
    assert!(seen[0].contains("3 deliveries set aside in it"), "{seen:?}");
    assert!(aside.exists());
}

#[test]
fn a_backup_has_it_and_a_restore_brings_it_back() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    fs::create_dir_all(&data).unwrap();
    let (path, _) = damaged(&data);
    let journal = open(&path);
    let _book = Book::open(data.join("qiliang.db")).unwrap();
    journal.commit_blocking(entries(10..20)).unwrap();
    let (to, back) = (dir.path().join("copy"), dir.path().join("back"));
    let now = testing::total(1, 0).received_at;
    let manifest = backup::backup(&data, &to, now).unwrap();
    assert_eq!(manifest, backup::check(&to).unwrap());
    assert_eq!((manifest.form, manifest.files.len()), (2, 3));
    backup::restore(&to, &back, false, now).unwrap();
    let restored = open(&back.join("readings.db"));
    assert_eq!(restored.set_aside_len().unwrap(), 10);
    drop(restored);
    // Replaced by a store without one: the old one goes with its journal.
    let sound = dir.path().join("sound");
    fs::create_dir_all(&sound).unwrap();
    drop(open(&sound.join("readings.db")));
    drop(Book::open(sound.join("qiliang.db")).unwrap());
    backup::backup(&sound, &dir.path().join("other"), now).unwrap();
    let other = dir.path().join("other");
    let (_, moved) = backup::restore(&other, &back, true, now).unwrap();
    assert!(!back.join(backup::ASIDE).exists());
    assert!(moved.unwrap().join(backup::ASIDE).exists());
}

/// Bytes changed in a file.
fn garble(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    for byte in &mut bytes[at..at + 12] {
        *byte ^= 0xA5;
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn beside_a_damaged_file_a_fresh_one_is_begun_and_all_comes_back_by_salvage() {
    // Header, schema, and the page with the entries.
    for (what, at) in [("header", 0), ("schema", 100), ("entries", 3 * 4_096)] {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        fs::create_dir_all(&data).unwrap();
        let (path, _) = damaged(&data);
        drop(Book::open(data.join("qiliang.db")).unwrap());
        let journal = open(&path);
        journal.commit_blocking(entries(10..20)).unwrap();
        drop(journal);
        let at = if what == "entries" {
            let c = Connection::open(aside_of(&path)).unwrap();
            let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'entries'";
            let root: u32 = c.query_row(root, [], |row| row.get(0)).unwrap();
            (usize::try_from(root).unwrap() - 1) * 4_096
        } else {
            at
        };
        garble(&aside_of(&path), at);
        // Again and again, as a daemon that is restarted does.
        for start in [20, 30] {
            let journal = open(&path);
            let report = journal.commit_blocking(entries(start..start + 10)).unwrap();
            assert_eq!(report.set_aside, 10, "{what}");
            let set_aside = journal.set_aside().unwrap();
            assert_eq!(
                set_aside.files,
                ["readings-aside.db", "readings-aside-2.db"]
            );
            assert_eq!(set_aside.damaged, ["readings-aside.db"], "{what}");
            let seen = journal.damage_seen();
            assert!(
                seen.iter().any(|what| what.contains("readings-aside.db")),
                "{seen:?}"
            );
        }
        let journal = open(&path);
        let told = journal.set_aside().unwrap();
        assert_eq!((told.readings, told.meters), (20, 1), "{what}");
        let words = told.words();
        assert!(
            words.contains("20 reading(s) of 1 meter(s) from "),
            "{words}"
        );
        assert!(words.contains("readings-aside.db hold(s)"), "{words}");
        let (first, last) = told.span.unwrap();
        assert_eq!((last - first).num_seconds(), 19);
        // They can be read one by one.
        let meter = testing::total(1, 0).meter;
        let there = journal.set_aside_between(&meter, first, last).unwrap();
        assert_eq!(there.len(), 19, "{what}");
        let named = journal.check().unwrap().damage;
        assert!(
            named.iter().any(|d| d.file == "readings-aside.db"),
            "{named:?}"
        );
        drop(journal);
        let saved = dir.path().join("saved");
        let clock = GasDayClock::default();
        let now = testing::total(1, 0).received_at;
        let found = crate::store::salvage::salvage(&data, &saved, clock, now).unwrap();
        let mended = open(&saved.join("readings.db"));
        // A damaged page of entries is what is lost; header and schema hold no delivery.
        let expected = if what == "entries" { 30 } else { 40 };
        assert_eq!(
            mended.check().unwrap().readings,
            expected,
            "{what}: {:?}",
            found.lost
        );
        assert!(!saved.join("readings-aside-2.db").exists());
    }
}

#[test]
fn a_file_of_a_newer_program_is_left_alone_and_another_begun() {
    let dir = TempDir::new().unwrap();
    let (path, _) = damaged(dir.path());
    let journal = open(&path);
    journal.commit_blocking(entries(10..20)).unwrap();
    drop(journal);
    let c = Connection::open(aside_of(&path)).unwrap();
    c.pragma_update(None, "user_version", 900).unwrap();
    drop(c);
    let journal = open(&path);
    journal.commit_blocking(entries(20..25)).unwrap();
    assert_eq!(journal.set_aside_len().unwrap(), 5);
    assert!(numbered(&path, 2).exists());
}

#[test]
fn a_journal_of_a_newer_program_takes_nothing_and_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("readings.db");
    let clock = GasDayClock::default();
    let journal = Journal::open(&path, clock).unwrap();
    journal.commit_blocking(entries(0..5)).unwrap();
    drop(journal);
    let version = |version: u32| {
        let c = Connection::open(&path).unwrap();
        c.pragma_update(None, "user_version", version).unwrap();
    };
    let known: u32 = Connection::open(&path)
        .unwrap()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    version(900);
    let error = Journal::open(&path, clock).unwrap_err();
    assert_eq!(error.code(), "store.newer_version");
    let journal = Journal::open_refused(&path, clock, error).unwrap();
    let report = journal.commit_blocking(entries(3..9)).unwrap();
    assert_eq!((report.accepted, report.set_aside), (6, 6));
    let meter = testing::total(1, 0).meter;
    let refused = journal.latest(&meter).unwrap_err();
    assert_eq!(
        refused.code(),
        "store.newer_version",
        "what rows mean is not known"
    );
    drop(journal);
    // The newer program takes it; here that is this one.
    version(known);
    let journal = Journal::open(&path, clock).unwrap();
    assert_eq!(journal.set_aside_len().unwrap(), 0);
    assert_eq!(journal.verify().unwrap(), 9);
}
