//! `qiliang import`: into the stores, through the running daemon, or nowhere to see what would be.

mod daemon;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use super::{Context, Failure};
use crate::collect::import::{ImportFile, Precision};
use crate::collect::topic::TopicSet;
use crate::domain::frame::{RawFrame, RejectedFrame};
use crate::run::app::App;
use crate::run::deps::{self, Stages};
use crate::run::ingest::{Assessor, entry_limits};
use crate::run::site::Site;
use crate::run::{curves, judging};
use crate::store::error::StoreError;
use crate::store::journal::JournalEntry;

/// Rejected lines that are told one by one; the rest are counted.
const REPORTED_MAX: u64 = 100;

/// Time between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Batches that may wait for the disk: one is committed while the next is decoded.
const BATCHES_WAITING: usize = 2;

/// What became of a file's lines.
#[derive(Debug, Default)]
struct Tally {
    name: String,
    lines: u64,
    accepted: u64,
    duplicate: u64,
    rejected: u64,
    told_at: Option<Instant>,
}

impl Tally {
    fn new(file: &Path) -> Self {
        Self {
            name: file.display().to_string(),
            told_at: Some(Instant::now()),
            ..Self::default()
        }
    }

    /// Counts a line that cannot be taken, and says why.
    fn reject(&mut self, reject: &RejectedFrame) {
        self.reject_at(&reject.frame.origin, &reject.reason);
    }

    fn reject_at(&mut self, origin: &str, reason: &impl std::fmt::Display) {
        self.rejected += 1;
        if self.rejected <= REPORTED_MAX {
            eprintln!("{origin}: {reason}");
        } else if self.rejected == REPORTED_MAX + 1 {
            eprintln!(
                "{}: … further lines that cannot be taken are counted only",
                self.name
            );
        }
    }

    fn progress(&mut self) {
        if self.told_at.is_none_or(|at| at.elapsed() >= PROGRESS_EVERY) {
            self.told_at = Some(Instant::now());
            eprintln!("{}: {} lines so far", self.name, self.lines);
        }
    }
}

/// Reads the files and takes what they hold.
pub(super) fn run(
    context: &Context,
    files: &[PathBuf],
    is_dry: bool,
    precision: Precision,
) -> Result<(), Failure> {
    let site = context.site()?;
    let topics = TopicSet::new(&site.settings.mqtt.topic)
        .map_err(|errors| anyhow!("{errors:?}"))
        .map(Arc::new)?;
    // Every file is opened before the first is read: a wrong name costs nothing then.
    let opened = files
        .iter()
        .map(|file| {
            let topics = Arc::clone(&topics);
            let opened = ImportFile::open_with(file, context.clock.now(), precision)?
                .with_topics(Box::new(move |topic| topics.device_of(topic)));
            Ok((Tally::new(file), opened))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    if is_dry {
        return dry(context, &site, opened);
    }
    match context.write() {
        Ok((app, _)) => {
            super::open::check_limits(&app)?;
            into_stores(&app, opened)
        }
        Err(Failure::Error(error)) if super::open::is_locked(&error) => daemon::send(&site, opened),
        Err(failure) => Err(failure),
    }
}

fn assessor(app: &App) -> Assessor {
    Assessor {
        registry: app.registry(),
        decode: deps::decoder(app),
        limits: entry_limits(&app.settings.ingest),
        kept: Arc::new(app.settings.retention.clone()),
        clocks: None,
    }
}

/// What a line becomes.
fn entry(line: Result<RawFrame, Box<RejectedFrame>>, assessor: &Assessor) -> JournalEntry {
    match line {
        Ok(frame) => assessor.assess(frame),
        Err(rejected) => JournalEntry::Reject(*rejected),
    }
}

/// The end of every import: what came of the files, and the exit code.
fn conclude(tallies: &[Tally], taken: &str) -> Result<(), Failure> {
    for tally in tallies {
        println!(
            "{}: {} lines = {} {taken} + {} duplicate + {} rejected",
            tally.name, tally.lines, tally.accepted, tally.duplicate, tally.rejected
        );
    }
    if tallies.iter().any(|tally| tally.rejected > 0) {
        eprintln!(
            "help: mend the lines above in the file and import it again; what is stored already is not stored twice"
        );
        return Err(Failure::Refused);
    }
    Ok(())
}

/// Decodes and checks without storing. Where there is no store yet, a passing one stands in.
fn dry(context: &Context, site: &Site, files: Vec<(Tally, ImportFile)>) -> Result<(), Failure> {
    let passing =
        Passing(std::env::temp_dir().join(format!("qiliang-dry-run-{}", std::process::id())));
    let app = if let Ok(app) = App::open_read_only(site, Arc::clone(&context.clock)) {
        app
    } else {
        let mut elsewhere = site.clone();
        elsewhere.settings.paths.data_dir.clone_from(&passing.0);
        App::open(&elsewhere, Arc::clone(&context.clock))?.0
    };
    let assessor = assessor(&app);
    let mut tallies = Vec::new();
    for (mut tally, file) in files {
        for line in file {
            tally.lines += 1;
            match entry(line, &assessor) {
                JournalEntry::Reading { .. } => tally.accepted += 1,
                JournalEntry::Reject(reject) => tally.reject(&reject),
            }
            tally.progress();
        }
        tallies.push(tally);
    }
    eprintln!(
        "note: a dry run, nothing was stored; which lines are duplicates is told by the import"
    );
    conclude(&tallies, "that can be taken")
}

/// A directory that is gone when this is.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        // It may never have been made.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Decodes on one thread while the other commits.
fn into_stores(app: &App, files: Vec<(Tally, ImportFile)>) -> Result<(), Failure> {
    let batch_max = app.settings.ingest.batch_max.max(1);
    let mut tallies = Vec::new();
    for (mut tally, file) in files {
        let assessor = assessor(app);
        std::thread::scope(|scope| {
            let (sender, batches) = sync_channel(BATCHES_WAITING);
            scope.spawn(move || {
                let mut batch = Vec::with_capacity(batch_max);
                for line in file {
                    batch.push(entry(line, &assessor));
                    if batch.len() == batch_max {
                        // Whoever commits has given up, and says why.
                        if sender.send(std::mem::take(&mut batch)).is_err() {
                            return;
                        }
                    }
                }
                if !batch.is_empty() {
                    sender.send(batch).ok();
                }
            });
            commit_all(app, &batches, &mut tally)
        })
        .with_context(|| {
            format!(
                "{} was imported up to some line between {} and {}; import it again once that is mended, nothing is stored twice",
                tally.name,
                tally.lines + 1,
                tally.lines + batch_max as u64
            )
        })?;
        tallies.push(tally);
    }
    let stages = Stages::default();
    let report = curves::drain(&deps::curves(app, &stages))?;
    judge(app)?;
    let concluded = conclude(&tallies, "accepted");
    println!(
        "{} load curves computed, {} changed",
        report.computed, report.changed
    );
    let counters = app.journal.counters()?;
    println!(
        "journal: {} received = {} accepted + {} duplicate + {} rejected",
        counters.received, counters.accepted, counters.duplicate, counters.rejected
    );
    concluded
}

/// Zones and customers, too: the days that changed and those of the daemon's round.
fn judge(app: &App) -> Result<(), StoreError> {
    while judging::catch_up(app)?.is_some() {}
    let today = app.today();
    judging::judge(app, &app.registry(), today.plus(-judging::DAYS), today).map(drop)
}

fn commit_all(
    app: &App,
    batches: &Receiver<Vec<JournalEntry>>,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    for batch in batches {
        let count = batch.len() as u64;
        let rejects: Vec<RejectedFrame> = batch
            .iter()
            .filter_map(|entry| match entry {
                JournalEntry::Reject(reject) => Some(reject.clone()),
                JournalEntry::Reading { .. } => None,
            })
            .collect();
        let report = app.journal.commit_blocking(batch)?;
        tally.lines += count;
        tally.accepted += report.accepted;
        tally.duplicate += report.duplicate;
        for reject in &rejects {
            tally.reject(reject);
        }
        tally.progress();
    }
    Ok(())
}
