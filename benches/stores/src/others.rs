//! Plain SQLite and fjall.

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use rusqlite::{Connection, params};

use crate::load::{self, Row};
use crate::{Figures, size, timed};

/// Whether SQLite looks at each cell of a page before it writes to it, as our files have it.
#[derive(Clone, Copy)]
pub enum Cells {
    Trusted,
    Checked,
}

/// One row a reading, in the order in which they come, a transaction of 5,000.
pub fn sqlite(cells: Cells) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("plain.db");
    let mut c = Connection::open(&path).expect("a file");
    c.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE readings (meter INTEGER NOT NULL, at INTEGER NOT NULL, total INTEGER NOT NULL,
           flow REAL NOT NULL, temperature REAL NOT NULL, pressure REAL NOT NULL,
           PRIMARY KEY (meter, at)) WITHOUT ROWID;",
    )
    .expect("a table");
    let name = match cells {
        Cells::Trusted => "plain SQLite",
        Cells::Checked => {
            c.execute_batch("PRAGMA cell_size_check=ON")
                .expect("a pragma");
            "plain SQLite, cells checked"
        }
    };
    let (count, batches) = load::both();
    let ((), write_s) = timed(|| {
        for batch in batches {
            let t = c.transaction().expect("a transaction");
            {
                let mut insert = t
                    .prepare_cached(
                        "INSERT OR IGNORE INTO readings VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )
                    .expect("SQL");
                for r in batch {
                    let values =
                        params![r.meter, r.at_ms, r.total, r.flow, r.temperature, r.pressure];
                    insert.execute(values).expect("a row");
                }
            }
            t.commit().expect("a commit");
        }
    });
    let sql = "SELECT meter, at, total, flow, temperature, pressure FROM readings";
    let read = |filter: &str, values: &[i64]| {
        let mut statement = c.prepare(&format!("{sql} WHERE {filter}")).expect("SQL");
        let rows = statement
            .query_map(rusqlite::params_from_iter(values), |r| {
                Ok(Row {
                    meter: r.get(0)?,
                    at_ms: r.get(1)?,
                    total: r.get(2)?,
                    flow: r.get(3)?,
                    temperature: r.get(4)?,
                    pressure: r.get(5)?,
                })
            })
            .expect("rows");
        rows.fold((0_u64, 0_i64), |(count, sum), row| {
            (count + 1, sum.wrapping_add(row.expect("a row").total))
        })
    };
    let (from, to) = span(load::year_start().timestamp_millis(), 366);
    let year = load::YEAR_ASKED.map(|meter| {
        let values = [i64::from(meter), from, to];
        let ((rows, _), s) = timed(|| read("meter = ?1 AND at >= ?2 AND at < ?3", &values));
        assert_eq!(rows, u64::from(load::YEAR_HOURS));
        s * 1e3
    });
    let (from, to) = span(load::day_start().timestamp_millis(), 1);
    let ((rows, _), day_s) = timed(|| read("at >= ?1 AND at < ?2", &[from, to]));
    assert_eq!(rows, u64::from(load::DAY_METERS) * 24);
    drop(c);
    Figures {
        name,
        write_s: count as f64 / write_s,
        bytes_per_row: size(dir.path()) as f64 / count as f64,
        year_ms: load::median(year.to_vec()),
        day_s,
    }
    .print();
}

fn span(from: i64, days: i64) -> (i64, i64) {
    (from, from + days * 86_400_000)
}

fn key(day: u32, meter: u32, at_ms: i64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&day.to_be_bytes());
    key[4..8].copy_from_slice(&meter.to_be_bytes());
    key[8..].copy_from_slice(&at_ms.to_be_bytes());
    key
}

fn day_of(at_ms: i64) -> u32 {
    u32::try_from(at_ms.div_euclid(86_400_000)).expect("a day")
}

/// Keys by day, meter and time as ours; each batch persisted with fsync.
pub fn fjall() {
    let dir = tempfile::tempdir().expect("a folder");
    let database = Database::builder(dir.path()).open().expect("a database");
    let readings = database
        .keyspace("readings", KeyspaceCreateOptions::default)
        .expect("a keyspace");
    let (count, batches) = load::both();
    let ((), write_s) = timed(|| {
        for rows in batches {
            let mut batch = database.batch();
            for r in rows {
                let mut value = [0_u8; 32];
                value[..8].copy_from_slice(&r.total.to_le_bytes());
                value[8..16].copy_from_slice(&r.flow.to_le_bytes());
                value[16..24].copy_from_slice(&r.temperature.to_le_bytes());
                value[24..].copy_from_slice(&r.pressure.to_le_bytes());
                batch.insert(&readings, key(day_of(r.at_ms), r.meter, r.at_ms), value);
            }
            batch.commit().expect("a commit");
            database.persist(PersistMode::SyncAll).expect("fsync");
        }
    });
    let read = |from: [u8; 16], to: [u8; 16]| {
        readings
            .range(from..to)
            .fold((0_u64, 0_i64), |(count, sum), item| {
                let (_, value) = item.into_inner().expect("a row");
                let total = i64::from_le_bytes(value[..8].try_into().expect("8 bytes"));
                (count + 1, sum.wrapping_add(total))
            })
    };
    let first = day_of(load::year_start().timestamp_millis());
    let year = load::YEAR_ASKED.map(|meter| {
        let (rows, s) = timed(|| {
            (first..first + 367)
                .map(|day| read(key(day, meter, 0), key(day, meter + 1, 0)).0)
                .sum::<u64>()
        });
        assert_eq!(rows, u64::from(load::YEAR_HOURS));
        s * 1e3
    });
    let first = day_of(load::day_start().timestamp_millis());
    let ((rows, _), day_s) = timed(|| read(key(first, 0, 0), key(first + 2, 0, 0)));
    assert_eq!(rows, u64::from(load::DAY_METERS) * 24);
    let bytes = size(dir.path());
    Figures {
        name: "fjall 3",
        write_s: count as f64 / write_s,
        bytes_per_row: bytes as f64 / count as f64,
        year_ms: load::median(year.to_vec()),
        day_s,
    }
    .print();
}
