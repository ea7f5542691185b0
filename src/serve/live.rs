//! The live stream: one computation for all who watch, and queues that forget rather than grow.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use chrono::{DateTime, Utc};
use futures_util::stream::{self, Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::serve::figures::overview::LiveOverview;
use crate::serve::state::AppState;

/// Events a slow client may be behind before it loses the oldest.
const BEHIND_MAX: usize = 64;

/// Notices kept in memory.
const RECENT_MAX: usize = 200;

/// How often the moving part of the overview goes out, real time.
pub const LIVE_PERIOD: Duration = Duration::from_secs(2);

/// A comment goes out this often, so that proxies keep a silent stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// An alert was raised or closed.
    Alert,
    /// A frame could not be taken.
    Reject,
    /// A rule found something.
    Finding,
    /// A forecast run was published.
    Forecast,
    /// A nudge was drafted, sent or answered.
    Nudge,
    /// Load curves were computed again.
    Curve,
    /// The program itself.
    System,
}

/// How much attention it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeLevel {
    /// 红
    Red,
    /// 橙
    Orange,
    /// 黄
    Yellow,
    /// 蓝
    Blue,
    /// Nothing to do.
    Info,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Notice {
    /// When.
    #[schema(value_type = String)]
    pub at: DateTime<Utc>,
    /// What it is about.
    pub kind: NoticeKind,
    /// How much attention it asks for.
    pub level: NoticeLevel,
    /// Stable code.
    pub code: String,
    /// One line in Chinese.
    pub title_zh: String,
    /// One line in English.
    pub title_en: String,
    /// Meter, customer, run or origin.
    pub subject: Option<String>,
}

/// An event on its way to every client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientEvent {
    /// `overview` or `notice`.
    pub event: &'static str,
    /// JSON, written once for all clients.
    pub data: Arc<str>,
}

/// Where events come in and clients listen; clones share it.
#[derive(Debug, Clone)]
pub struct LiveHub {
    sender: broadcast::Sender<ClientEvent>,
    recent: Arc<Mutex<VecDeque<Notice>>>,
}

impl Default for LiveHub {
    fn default() -> Self {
        Self::new()
    }
}

impl LiveHub {
    /// Without clients and notices.
    pub fn new() -> Self {
        Self {
            sender: broadcast::Sender::new(BEHIND_MAX),
            recent: Arc::default(),
        }
    }

    /// Tells every client, and keeps the notice for `/api/v1/notices`. For what no store records;
    /// rejects, findings, runs and documents are found by themselves.
    pub fn notice(&self, notice: Notice) {
        self.send("notice", &notice);
        let mut recent = self
            .recent
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        recent.push_front(notice);
        recent.truncate(RECENT_MAX);
    }

    /// Notices given to [`LiveHub::notice`] since the program started, newest first.
    pub fn recent(&self) -> Vec<Notice> {
        self.recent
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// Clients that listen.
    pub fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }

    fn send(&self, event: &'static str, data: &impl Serialize) {
        if let Ok(json) = serde_json::to_string(data) {
            // Nobody listening is no failure.
            self.sender
                .send(ClientEvent {
                    event,
                    data: json.into(),
                })
                .ok();
        }
    }
}

/// Sends the moving part of the overview and what newly happened, until `stop`. Computes nothing
/// while nobody listens.
pub async fn publish(state: AppState, period: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut seen: Option<BTreeSet<Notice>> = None;
    let mut events = state.subscribe();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            event = events.recv() => {
                match event {
                    Ok(event) => state.relay(&event),
                    Err(RecvError::Lagged(_)) => {}
                    // Nobody can tell anything any more; the figures still move.
                    Err(RecvError::Closed) => events = state.subscribe(),
                }
                continue;
            }
            _ = ticks.tick() => {}
        }
        if state.live().listeners() == 0 {
            seen = None;
            continue;
        }
        match state.overview().await {
            Ok(overview) => state
                .live()
                .send("overview", &LiveOverview::from(overview.as_ref())),
            Err(problem) => problem.log("Live overview failed"),
        }
        match state.stored_notices(RECENT_MAX).await {
            Ok(notices) => {
                let now: BTreeSet<Notice> = notices.into_iter().collect();
                if let Some(before) = &seen {
                    for notice in now.difference(before) {
                        state.live().send("notice", notice);
                    }
                }
                seen = Some(now);
            }
            Err(problem) => problem.log("Live notices failed"),
        }
    }
}

/// The stream of one client: the overview as it is, then every event until `stop`.
pub fn follow(
    state: &AppState,
    first: Option<LiveOverview>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let guard = state.metrics().live_stream();
    let stop = state.stop_token().cancelled_owned();
    let first = stream::iter(first.and_then(|overview| {
        let json = serde_json::to_string(&overview).ok()?;
        Some(Event::default().event("overview").data(json))
    }));
    // A client that fell behind continues with what is new: figures that are overtaken are worth
    // nothing, and notices can be read again at /api/v1/notices.
    let events = BroadcastStream::new(state.live().sender.subscribe())
        .filter_map(|event| std::future::ready(event.ok()))
        .map(|event| Event::default().event(event.event).data(&*event.data));
    let stream = first.chain(events).take_until(stop).map(move |event| {
        let _counted = &guard;
        Ok(event)
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(second: i64) -> Notice {
        Notice {
            at: DateTime::from_timestamp(second, 0).unwrap(),
            kind: NoticeKind::System,
            level: NoticeLevel::Info,
            code: "test.notice".into(),
            title_zh: "测试".into(),
            title_en: "test".into(),
            subject: None,
        }
    }

    #[tokio::test]
    async fn a_client_that_lags_loses_events_and_not_memory() {
        let hub = LiveHub::new();
        let receiver = hub.sender.subscribe();
        let count = i64::try_from(BEHIND_MAX).unwrap() + 40;
        for second in 0..count {
            hub.notice(notice(second));
        }
        let kept: Vec<ClientEvent> = BroadcastStream::new(receiver)
            .filter_map(|event| std::future::ready(event.ok()))
            .take(BEHIND_MAX)
            .collect()
            .await;
        assert_eq!(kept.len(), BEHIND_MAX);
        let last: Notice = serde_json::from_str(&kept[BEHIND_MAX - 1].data).unwrap();
        assert_eq!(last, notice(count - 1));
    }

    #[test]
    fn recent_notices_are_bounded_and_newest_first() {
        let hub = LiveHub::new();
        for second in 0..500 {
            hub.notice(notice(second));
        }
        let recent = hub.recent();
        assert_eq!(recent.len(), RECENT_MAX);
        assert_eq!(recent[0], notice(499));
    }
}
