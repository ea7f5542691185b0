//! A few read-only connections, made when first needed.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

use crate::store::error::StoreError;

/// Connections at most: enough for the console, a forecast and the curve worker at once.
const READERS_MAX: usize = 6;

pub(super) struct ReaderPool {
    path: PathBuf,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    made: usize,
}

impl ReaderPool {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            state: Mutex::new(State::default()),
            returned: Condvar::new(),
        }
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let lease = self.lease()?;
        match &lease.connection {
            Some(connection) => read(connection),
            None => Err(StoreError::WriterStopped {
                path: self.path.clone(),
            }),
        }
    }

    fn lease(&self) -> Result<Lease<'_>, StoreError> {
        let mut state = self.state();
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(Lease {
                    pool: self,
                    connection: Some(connection),
                });
            }
            if state.made < READERS_MAX {
                break;
            }
            state = self
                .returned
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.made += 1;
        drop(state);
        // From here on the lease gives the place back, also if opening fails.
        let mut lease = Lease {
            pool: self,
            connection: None,
        };
        lease.connection = Some(
            self.open()
                .map_err(|error| StoreError::from_sqlite(&self.path, "opening", error))?,
        );
        Ok(lease)
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        super::configure(&connection, super::READER_CACHE_KIB)?;
        Ok(connection)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection on loan; dropped, it goes back, also when the reader panics.
struct Lease<'a> {
    pool: &'a ReaderPool,
    connection: Option<Connection>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        match self.connection.take() {
            Some(connection) => state.idle.push(connection),
            None => state.made -= 1,
        }
        drop(state);
        self.pool.returned.notify_one();
    }
}
