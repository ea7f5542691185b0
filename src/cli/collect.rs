//! `qiliang import`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Context, Failure};
use crate::collect::import::{ImportFile, deliver};
use crate::collect::topic::TopicSet;
use crate::run::app::App;
use crate::run::deps::{self, Stages};
use crate::run::{curves, ingest};

/// Sends the files through decoder, rules and journal, then computes what became dirty.
pub(super) fn import(context: &Context, files: &[PathBuf]) -> Result<(), Failure> {
    let (app, _reload) = context.write()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(import_all(&app, files))?;
    let counters = app.journal.counters()?;
    println!(
        "journal: {} received = {} accepted + {} duplicate + {} rejected",
        counters.received, counters.accepted, counters.duplicate, counters.rejected
    );
    Ok(())
}

async fn import_all(app: &App, files: &[PathBuf]) -> anyhow::Result<()> {
    let stages = Stages::default();
    let topics = TopicSet::new(&app.settings.mqtt.topic)
        .map_err(|errors| anyhow::anyhow!("{errors:?}"))
        .map(Arc::new)?;
    // Every file is opened before the first is read: a wrong name costs nothing then.
    let opened = files
        .iter()
        .map(|file| ImportFile::open(file, app.clock.now()))
        .collect::<Result<Vec<_>, _>>()?;
    let (sender, receiver) = mpsc::channel(app.settings.ingest.queue_len);
    let ingesting = ingest::run(receiver, deps::ingest(app, &stages));
    let stop = CancellationToken::new();
    let reading = async {
        for (file, name) in opened.into_iter().zip(files) {
            let topics = Arc::clone(&topics);
            let file = file.with_topics(Box::new(move |topic| topics.device_of(topic)));
            let outcome = deliver(file, &sender, &stop).await?;
            for report in &outcome.reports {
                eprintln!("{report}");
            }
            println!(
                "{}: {} frames, {} lines that could not be taken",
                name.display(),
                outcome.frames,
                outcome.rejected
            );
        }
        drop(sender);
        anyhow::Ok(())
    };
    let (ingested, read) = tokio::join!(ingesting, reading);
    read?;
    ingested?;
    let worker = deps::curves(app, &stages);
    let report = tokio::task::spawn_blocking(move || curves::drain(&worker)).await??;
    println!(
        "{} load curves computed, {} changed",
        report.computed, report.changed
    );
    Ok(())
}
