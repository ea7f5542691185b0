//! A damaged book is told: which parts of it cannot be served. All of it is read once when the daemon has
//! started, and again as soon as anything damaged is met.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::domain::live::LiveEvent;
use crate::run::app::App;

/// How often it is looked whether anything damaged was met.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks until told to stop.
///
/// # Errors
/// A panic of the worker.
pub async fn run(
    app: App,
    live: broadcast::Sender<LiveEvent>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut known = None;
    let mut told = None;
    loop {
        let met = app.book.damage_seen().len();
        if known.is_none_or(|known| met > known) {
            let book = app.book.clone();
            let found = tokio::task::spawn_blocking(move || book.look_what_is_served()).await?;
            for damage in found {
                let what = damage.to_string();
                if app.book.tell_damage(&what) {
                    error!(code = "store.damaged", "Part of the book is lost: {what}");
                }
            }
            // What was just told is known.
            known = Some(app.book.damage_seen().len());
            let message = app.book.unserved_message();
            if let Some(message) = message.filter(|message| told.as_ref() != Some(message)) {
                error!(code = "store.book_damaged", "{message}");
                let event = LiveEvent::Notice {
                    code: "store.book_damaged".to_owned(),
                    message: message.clone(),
                    at: app.clock.now(),
                };
                // Nobody need be listening.
                live.send(event).ok();
                told = Some(message);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
