//! Keeping a file small while it is in use: its size, free pages given back in small steps, and a log
//! that is moved to the file by somebody else than the writer.

use rusqlite::{Connection, OpenFlags};

use super::Database;
use crate::store::error::StoreError;

/// How large a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileSize {
    /// The file, bytes.
    pub bytes: u64,
    /// Of these, what nothing stands in: what comes next goes there first.
    pub free_bytes: u64,
    /// The write-ahead log beside it, bytes.
    pub log_bytes: u64,
    /// Whether free pages can be given back while the file is in use. Files of before 0.2 cannot, until
    /// `qiliang compact` has written them anew.
    pub can_shrink: bool,
}

/// What a checkpoint did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Pages of the log that are not in the file yet, because somebody reads an older state.
    pub left: u64,
    /// Whether the log was cut to nothing.
    pub is_cut: bool,
}

impl Database {
    /// How large the file is.
    pub(in crate::store) fn size(&self) -> Result<FileSize, StoreError> {
        let mut log = self.path().as_os_str().to_owned();
        log.push("-wal");
        let log_bytes = std::fs::metadata(log).map_or(0, |log| log.len());
        self.read(|c| {
            let pragma = |name: &str| {
                c.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
                    .map(i64::cast_unsigned)
                    .map_err(self.error("reading the size"))
            };
            let page = pragma("page_size")?;
            Ok(FileSize {
                bytes: pragma("page_count")? * page,
                free_bytes: pragma("freelist_count")? * page,
                log_bytes,
                can_shrink: pragma("auto_vacuum")? == 2,
            })
        })
    }

    /// Gives some free pages back, in one transaction of the writer; how many.
    pub(in crate::store) fn shrink(&self, pages: u32) -> Result<u64, StoreError> {
        let error = self.error("giving free pages back");
        self.write_blocking(move |t| {
            let count = |c: &Connection| c.query_row("PRAGMA page_count", [], |row| row.get(0));
            let before: i64 = count(t).map_err(&error)?;
            let mut step = t
                .prepare(&format!("PRAGMA incremental_vacuum({pages})"))
                .map_err(&error)?;
            let mut steps = step.query([]).map_err(&error)?;
            while steps.next().map_err(&error)?.is_some() {}
            drop(steps);
            drop(step);
            let after: i64 = count(t).map_err(&error)?;
            Ok((before - after).cast_unsigned())
        })
    }

    /// Moves the log to the file beside the writer and cuts it, as far as no reader needs it.
    pub(in crate::store) fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.writer()?;
        let fail = self.error("moving the log to the file");
        let connection = Connection::open_with_flags(
            self.path(),
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(&fail)?;
        // Nobody waits for this one, so it waits for nobody.
        connection
            .busy_timeout(std::time::Duration::ZERO)
            .map_err(&fail)?;
        let run = |mode: &str| {
            connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
                let (is_busy, pages, moved): (i64, i64, i64) =
                    (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok((is_busy != 0, (pages - moved).max(0).cast_unsigned()))
            })
        };
        // The long part first, with the writer at work; then there is next to nothing left to wait for.
        let (_, left) = run("PASSIVE").map_err(&fail)?;
        if left > 0 {
            return Ok(Checkpoint {
                left,
                is_cut: false,
            });
        }
        match run("TRUNCATE") {
            Ok((is_busy, left)) => Ok(Checkpoint {
                left,
                is_cut: !is_busy,
            }),
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    || error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseLocked) =>
            {
                Ok(Checkpoint {
                    left: 0,
                    is_cut: false,
                })
            }
            Err(error) => Err(fail(error)),
        }
    }
}
