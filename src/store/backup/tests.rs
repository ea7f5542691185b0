use std::io::{Seek as _, SeekFrom, Write as _};

use tempfile::TempDir;

use super::*;
use crate::domain::calendar::GasDayClock;
use crate::store::book::Book;
use crate::store::journal::{Journal, JournalEntry};

fn now() -> DateTime<Utc> {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

async fn store(dir: &Path, readings: u32) -> (Journal, Book) {
    let journal = Journal::open(dir.join("readings.db"), GasDayClock::default()).unwrap();
    let book = Book::open(dir.join("qiliang.db")).unwrap();
    journal.commit(entries(0..readings)).await.unwrap();
    (journal, book)
}

fn entries(range: std::ops::Range<u32>) -> Vec<JournalEntry> {
    range
        .map(|k| {
            let mut reading = crate::validate::rules::testing::total(1, i64::from(k));
            reading.sampled_at = now() + chrono::TimeDelta::seconds(k.into());
            JournalEntry::Reading {
                reading,
                findings: Vec::new(),
            }
        })
        .collect()
}

fn count(dir: &Path) -> u64 {
    let journal = Journal::open_read_only(dir.join("readings.db"), GasDayClock::default()).unwrap();
    Book::open_read_only(dir.join("qiliang.db"))
        .unwrap()
        .check()
        .unwrap();
    journal.verify().unwrap()
}

#[tokio::test]
async fn a_backup_made_beside_a_writer_holds_all_that_was_committed_before() {
    let dir = TempDir::new().unwrap();
    let (data, to, back) = (
        dir.path().join("data"),
        dir.path().join("copies/monday"),
        dir.path().join("back"),
    );
    fs::create_dir_all(&data).unwrap();
    let (journal, _book) = store(&data, 500).await;
    let mut writing = tokio::task::JoinSet::new();
    writing.spawn(async move {
        for k in 0..40 {
            journal
                .commit(entries(500 + k * 10..510 + k * 10))
                .await
                .unwrap();
        }
    });
    let manifest = backup(&data, &to, now()).unwrap();
    writing.join_next().await.unwrap().unwrap();
    assert_eq!(manifest, check(&to).unwrap());
    let (_, aside) = restore(&to, &back, false, now()).unwrap();
    assert_eq!(aside, None);
    let restored = count(&back);
    assert!((500..=900).contains(&restored), "{restored}");
    // A commit is in it whole or not at all.
    assert_eq!(restored % 10, 0);
    assert!(matches!(
        backup(&data, &to, now()),
        Err(BackupError::Exists { .. })
    ));
}

#[tokio::test]
async fn a_store_is_never_overwritten_and_never_under_a_daemon() {
    let dir = TempDir::new().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("copy"));
    fs::create_dir_all(&data).unwrap();
    let open = store(&data, 20).await;
    backup(&data, &to, now()).unwrap();
    open.0.commit(entries(20..25)).await.unwrap();
    let error = restore(&to, &data, true, now()).unwrap_err();
    assert!(
        matches!(error, BackupError::Store(StoreError::Locked { .. })),
        "{error}"
    );
    drop(open);
    let error = restore(&to, &data, false, now()).unwrap_err();
    assert!(matches!(error, BackupError::Occupied { .. }), "{error}");
    assert_eq!(count(&data), 25);
    let (_, aside) = restore(&to, &data, true, now()).unwrap();
    assert_eq!(count(&data), 20);
    assert_eq!(count(&aside.unwrap()), 25);
}

#[tokio::test]
async fn a_changed_backup_is_not_restored() {
    let dir = TempDir::new().unwrap();
    let (data, to, back) = (
        dir.path().join("data"),
        dir.path().join("copy"),
        dir.path().join("back"),
    );
    fs::create_dir_all(&data).unwrap();
    drop(store(&data, 20).await);
    backup(&data, &to, now()).unwrap();
    let mut file = File::options()
        .write(true)
        .open(to.join("readings.db"))
        .unwrap();
    file.seek(SeekFrom::Start(5_000)).unwrap();
    file.write_all(b"?").unwrap();
    drop(file);
    let error = restore(&to, &back, false, now()).unwrap_err();
    assert!(error.to_string().contains("another SHA-256"), "{error}");
    assert!(!back.join("readings.db").exists());
    fs::remove_file(to.join(MANIFEST)).unwrap();
    assert!(matches!(check(&to), Err(BackupError::NoBackup { .. })));
}

/// Readings at their place, whatever lies beside the file.
fn at_their_place(dir: &Path) -> u64 {
    let c = rusqlite::Connection::open(dir.join("readings.db")).unwrap();
    let count = c.query_row("SELECT count(*) FROM readings", [], |row| {
        row.get::<_, i64>(0)
    });
    count.unwrap().unsigned_abs()
}

/// Ended before each of its steps, as by `kill -9`: the next start finishes it, or the same command does, and
/// both stores are whole, one in place and one aside.
#[tokio::test]
async fn a_restore_that_is_killed_anywhere_is_finished_and_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    for (data, count) in [(&old, 20), (&new, 30)] {
        fs::create_dir_all(data).unwrap();
        drop(store(data, count).await);
    }
    // A log beside the old file, as of a daemon that was killed, and a file of what was set aside.
    fs::write(old.join("readings-aside-2.db"), b"of the old store").unwrap();
    let copy = dir.path().join("copy");
    backup(&new, &copy, now()).unwrap();
    let mut ends = 0;
    for index in 0.. {
        let data = dir.path().join(format!("data {index}"));
        fs::create_dir_all(&data).unwrap();
        for name in ["readings.db", "qiliang.db", "readings-aside-2.db"] {
            fs::copy(old.join(name), data.join(name)).unwrap();
        }
        let mut left = index;
        let mut step = || {
            left -= 1;
            if left < 0 {
                return Err(io::Error::other("killed"));
            }
            Ok(())
        };
        let done = restoring::restore_in_steps(&copy, &data, true, now(), &mut step);
        let is_done = done.is_ok();
        if index % 2 == 0 {
            finish(&data).unwrap();
        }
        // Either nothing has happened yet, or all of it.
        if !is_done && data.join("readings-aside-2.db").exists() && index % 2 == 0 {
            assert_eq!(at_their_place(&data), 20, "before step {index}");
        }
        let (_, aside) = restore(&copy, &data, true, now() + chrono::TimeDelta::days(1)).unwrap();
        assert_eq!(at_their_place(&data), 30, "before step {index}");
        let mut kept: Vec<PathBuf> = fs::read_dir(&data)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect();
        kept.sort();
        assert!(kept.contains(&aside.unwrap()));
        // The first that went aside is the old store with all that was beside it.
        assert_eq!(at_their_place(&kept[0]), 20, "before step {index}");
        assert!(kept[0].join("readings-aside-2.db").exists());
        let names: Vec<_> = fs::read_dir(&data)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert!(
            names
                .iter()
                .all(|name| !name.to_string_lossy().contains("restoring")),
            "{names:?}"
        );
        ends += 1;
        if is_done {
            break;
        }
    }
    println!("a restore ended before each of {ends} steps: nothing lost");
    assert!(ends > 8, "{ends}");
}
