//! Space that nothing stands in is given back while the daemon runs, and the log is cut.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as MetricRegistry;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::domain::text::error_chain;
use crate::run::retention::{Rest, rest};
use crate::store::StoreError;
use crate::store::book::Book;
use crate::store::journal::{Journal, KeptKind};
use crate::store::{Checkpoint, FileSize};

/// Pages given back in one transaction: about as many as a commit writes.
const STEP_PAGES: u32 = 128;
/// Free space that is left: what comes in a day goes there without the file growing again.
const SLACK_BYTES: u64 = 64 << 20;
/// Or so much of the file, if that is more.
const SLACK_SHARE: u64 = 20;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct File {
    file: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Sizes of the files and what was dropped; a clone shares them.
#[derive(Debug, Clone, Default)]
pub struct StoreMetrics {
    bytes: Family<File, Gauge>,
    free_bytes: Family<File, Gauge>,
    log_bytes: Family<File, Gauge>,
    given_back: Family<File, Counter>,
    dropped: Family<Kind, Counter>,
    held: Gauge,
}

impl StoreMetrics {
    /// Registers them as `qiliang_store_…`.
    pub fn register(&self, registry: &mut MetricRegistry) {
        let registry = registry.sub_registry_with_prefix("qiliang_store");
        for (name, help, gauge) in [
            ("bytes", "Size of the file", &self.bytes),
            (
                "free_bytes",
                "Of the file, what nothing stands in",
                &self.free_bytes,
            ),
            (
                "log_bytes",
                "Size of the write-ahead log beside the file",
                &self.log_bytes,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "given_back_bytes",
            "Bytes given back to the disk",
            self.given_back.clone(),
        );
        registry.register(
            "dropped_rows",
            "Rows dropped because they are kept no longer",
            self.dropped.clone(),
        );
        registry.register(
            "retention_held_days",
            "Gas days kept longer than set, because curves or the second store still need them",
            self.held.clone(),
        );
    }

    pub(super) fn dropped(&self, kind: KeptKind, rows: u64) {
        let label = Kind { kind: kind.key() };
        self.dropped.get_or_create(&label).inc_by(rows);
    }

    pub(super) fn held(&self, days: usize) {
        self.held.set(i64::try_from(days).unwrap_or(i64::MAX));
    }

    fn size(&self, file: &'static str, size: FileSize) {
        let file = File { file };
        let set = |family: &Family<File, Gauge>, bytes: u64| {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            family.get_or_create(&file).set(bytes);
        };
        set(&self.bytes, size.bytes);
        set(&self.free_bytes, size.free_bytes);
        set(&self.log_bytes, size.log_bytes);
    }
}

/// A file that can be kept small.
pub trait Compactable {
    /// Its label in metrics.
    const FILE: &'static str;

    /// How large it is.
    ///
    /// # Errors
    /// What the store says.
    fn size(&self) -> Result<FileSize, StoreError>;

    /// Gives some free pages back; how many.
    ///
    /// # Errors
    /// What the store says.
    fn shrink(&self, pages: u32) -> Result<u64, StoreError>;

    /// Moves the log to the file and cuts it.
    ///
    /// # Errors
    /// What the store says.
    fn checkpoint(&self) -> Result<Checkpoint, StoreError>;
}

impl Compactable for Journal {
    const FILE: &'static str = "readings.db";

    fn size(&self) -> Result<FileSize, StoreError> {
        self.file_size()
    }

    fn shrink(&self, pages: u32) -> Result<u64, StoreError> {
        self.give_back(pages)
    }

    fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.cut_log()
    }
}

impl Compactable for Book {
    const FILE: &'static str = "qiliang.db";

    fn size(&self) -> Result<FileSize, StoreError> {
        self.file_size()
    }

    fn shrink(&self, pages: u32) -> Result<u64, StoreError> {
        self.give_back(pages)
    }

    fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.cut_log()
    }
}

/// Gives back what is free beyond some slack, a few pages at a time with pauses between; returns how
/// many bytes. Blocks.
///
/// # Errors
/// What the store says; what was given back stays so.
pub fn compact(
    store: &impl Compactable,
    slack_bytes: u64,
    mut rest: impl FnMut(std::time::Duration) -> Rest,
) -> Result<u64, StoreError> {
    let size = store.size()?;
    if !size.can_shrink || size.free_bytes <= slack_bytes {
        return Ok(0);
    }
    let mut left = size.free_bytes - slack_bytes;
    let mut given = 0;
    while left > 0 {
        let started = std::time::Instant::now();
        let before = store.size()?.bytes;
        let pages = store.shrink(STEP_PAGES)?;
        let bytes = before.saturating_sub(store.size()?.bytes);
        given += bytes;
        left = left.saturating_sub(bytes);
        if pages == 0 || rest(started.elapsed()) == Rest::Stop {
            break;
        }
    }
    Ok(given)
}

/// One look at both files; what fails is told and tried again.
pub(super) fn look(
    journal: &Journal,
    book: &Book,
    metrics: &StoreMetrics,
    stop: &CancellationToken,
) {
    look_at(journal, metrics, stop);
    look_at(book, metrics, stop);
}

fn look_at<S: Compactable>(store: &S, metrics: &StoreMetrics, stop: &CancellationToken) {
    let looked = || -> Result<(), StoreError> {
        let slack = SLACK_BYTES.max(store.size()?.bytes / SLACK_SHARE);
        let given = compact(store, slack, |took| rest(took, stop))?;
        if given > 0 {
            let label = File { file: S::FILE };
            metrics.given_back.get_or_create(&label).inc_by(given);
            info!(
                file = S::FILE,
                bytes = given,
                "Gave free space back to the disk"
            );
        }
        store.checkpoint()?;
        metrics.size(S::FILE, store.size()?);
        Ok(())
    };
    if let Err(error) = looked() {
        warn!(
            code = error.code(),
            file = S::FILE,
            "Space is not given back now: {}",
            error_chain(&error)
        );
    }
}
