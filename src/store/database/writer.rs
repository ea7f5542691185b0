//! The writer thread: everything that waits is committed together (group commit).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::crash::{Boundary, CrashPoint};
use crate::store::error::StoreError;

/// Jobs that may wait.
const QUEUE_LEN: usize = 64;
/// Jobs that share one fsync at most.
const GROUP_MAX: usize = 32;

/// Called after each rolled back transaction; whether the same work can be done now, because what it met is
/// known.
pub(super) type OnRollback = Box<dyn Fn() -> bool + Send>;

/// What is done instead of a transaction that failed.
pub(in crate::store) type Rescue<T> = Box<dyn FnOnce(StoreError) -> Result<T, StoreError> + Send>;

/// The sending end; when the last clone of the store is dropped the thread finishes what waits,
/// closes the file and releases the lock.
pub(super) struct Writer {
    path: PathBuf,
    jobs: Option<mpsc::Sender<Box<dyn Work>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        path: &Path,
        connection: Connection,
        lock: File,
        on_rollback: OnRollback,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE_LEN);
        let mut name = path.file_name().map_or_else(
            || "store".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
        let crash = CrashPoint::of(&name);
        name.insert_str(0, "write ");
        let of_thread = Loop {
            path: path.to_owned(),
            connection,
            on_rollback,
            crash,
            _lock: lock,
        };
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || of_thread.run(queue))
            .map_err(|error| StoreError::NotWritable {
                path: path.to_owned(),
                reason: format!("no thread for it: {error}"),
            })?;
        Ok(Self {
            path: path.to_owned(),
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    pub(super) async fn send(&self, job: Box<dyn Work>) -> Result<(), StoreError> {
        match &self.jobs {
            Some(jobs) => jobs.send(job).await.map_err(|_| self.stopped()),
            None => Err(self.stopped()),
        }
    }

    pub(super) fn send_blocking(&self, job: Box<dyn Work>) -> Result<(), StoreError> {
        match &self.jobs {
            Some(jobs) => jobs.blocking_send(job).map_err(|_| self.stopped()),
            None => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> StoreError {
        StoreError::WriterStopped {
            path: self.path.clone(),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // Waiting makes "dropped" mean "closed": the next open finds the lock free. A panic of the
        // thread was already reported by the runtime's hook.
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Something to do in a transaction, and someone to tell.
pub(super) trait Work: Send {
    fn run(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError>;
    fn finish(self: Box<Self>, outcome: Result<(), StoreError>);
}

pub(super) struct Job<F, T> {
    work: F,
    rescue: Option<Rescue<T>>,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job<F, T>
where
    F: FnMut(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    T: Send + 'static,
{
    #[expect(clippy::new_ret_no_self, reason = "a job and where its answer comes")]
    pub(super) fn new(
        work: F,
        rescue: Option<Rescue<T>>,
    ) -> (Box<dyn Work>, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        let job = Self {
            work,
            rescue,
            result: None,
            reply,
        };
        (Box::new(job), answer)
    }
}

impl<F, T> Work for Job<F, T>
where
    F: FnMut(&Transaction<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        self.result = Some((self.work)(transaction)?);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self {
            result,
            rescue,
            reply,
            ..
        } = *self;
        let answer = match (outcome, result) {
            (Ok(()), Some(result)) => Ok(result),
            (Err(error), _) => match rescue {
                Some(rescue) => rescue(error),
                None => Err(error),
            },
            // A group that committed has run every job of it.
            (Ok(()), None) => return,
        };
        // Whoever asked may have been cancelled; what is committed stays committed.
        reply.send(answer).ok();
    }
}

struct Loop {
    path: PathBuf,
    connection: Connection,
    on_rollback: OnRollback,
    crash: CrashPoint,
    _lock: File,
}

impl Loop {
    fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Work>>) {
        while let Some(first) = queue.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_MAX {
                match queue.try_recv() {
                    Ok(job) => group.push(job),
                    Err(_) => break,
                }
            }
            self.commit(group);
            self.crash.pass(Boundary::Rest);
        }
        self.close();
    }

    /// Moves the log to the file; closing the last connection removes it then, so that the file alone is
    /// all of the store. Where another program still reads, or the disk is full, the log stays and is
    /// read by whoever opens the file next.
    fn close(self) {
        let moved = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        drop(moved);
        self.connection.close().ok();
    }

    fn commit(&mut self, mut group: Vec<Box<dyn Work>>) {
        let outcome = self.attempt(&mut group);
        if outcome.is_err() && group.len() > 1 {
            // One job must not fail its neighbours.
            for job in group {
                let mut alone = vec![job];
                let outcome = self.attempt(&mut alone);
                for job in alone {
                    job.finish(outcome.clone());
                }
            }
            return;
        }
        self.crash.pass(Boundary::Answer);
        for job in group {
            job.finish(outcome.clone());
        }
    }

    fn attempt(&mut self, group: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
        loop {
            let outcome = self.transact(group);
            if outcome.is_ok() || !(self.on_rollback)() {
                return outcome;
            }
        }
    }

    fn transact(&mut self, group: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
        let path = &self.path;
        self.crash.pass(Boundary::Begin);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| StoreError::from_sqlite(path, "beginning a transaction", error))?;
        for job in group {
            job.run(&transaction)?;
        }
        self.crash.pass(Boundary::Commit);
        transaction
            .commit()
            .map_err(|error| StoreError::from_sqlite(path, "committing", error))
    }
}
