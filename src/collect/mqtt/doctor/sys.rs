//! What a broker tells of itself under `$SYS`; mosquitto, EMQX and `VerneMQ` each in their own words.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, timeout_at};

use super::super::wire::Incoming;
use super::caller::Caller;
use super::{LISTEN_MAX, QUIET};

/// Everything under `$SYS`.
const FILTER: &str = "$SYS/#";

/// Mosquitto tells its counters anew every ten seconds unless configured otherwise.
const REFRESH_MAX: Duration = Duration::from_secs(12);

/// Ends of topics that count messages thrown away.
const DROPPED: [&str; 4] = [
    "/publish/messages/dropped",
    "/metrics/messages/dropped",
    "/metrics/delivery.dropped.queue_full",
    "/queue_message_drop",
];

/// What `$SYS` showed.
#[derive(Debug, Default)]
pub(super) struct SysTopics(BTreeMap<String, String>);

fn text_of(incoming: &Incoming) -> Option<(String, String)> {
    match incoming {
        Incoming::Message(message) if message.topic.starts_with("$SYS/") => Some((
            message.topic.clone(),
            String::from_utf8_lossy(&message.payload).into_owned(),
        )),
        _ => None,
    }
}

fn is_dropped(topic: &str) -> bool {
    DROPPED.iter().any(|end| topic.ends_with(end))
}

impl SysTopics {
    /// Subscribes and takes what is retained; nothing, where that is not allowed.
    pub(super) async fn read(caller: &mut Caller) -> Self {
        let mut topics = BTreeMap::new();
        if caller.subscribe(&[FILTER.to_owned()]).await.is_ok() {
            // A broker that ends the connection for it shows at the next question.
            caller
                .listen(QUIET, LISTEN_MAX, |incoming| {
                    topics.extend(text_of(incoming));
                })
                .await
                .ok();
        }
        Self(topics)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn ending(&self, end: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(topic, _)| topic.ends_with(end));
        found.next().map(|(_, text)| text.as_str())
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.ending("/version")
    }

    /// Messages thrown away since the broker's start.
    pub(super) fn dropped(&self) -> Option<u64> {
        let counters = self.0.iter().filter(|(topic, _)| is_dropped(topic));
        counters
            .filter_map(|(_, text)| text.trim().parse().ok())
            .max()
    }

    pub(super) fn datetime(&self) -> Option<DateTime<Utc>> {
        let text = self.ending("/datetime")?;
        let instant = DateTime::parse_from_rfc3339(text.trim()).ok()?;
        Some(instant.with_timezone(&Utc))
    }

    /// Waits for the counter of dropped messages to grow beyond `before`; the subscription of
    /// [`Self::read`] is still there.
    pub(super) async fn watch_dropped(caller: &mut Caller, before: u64) -> Option<u64> {
        let deadline = Instant::now() + REFRESH_MAX;
        loop {
            let incoming = timeout_at(deadline, caller.next()).await.ok()?.ok()?;
            let dropped = text_of(&incoming)
                .filter(|(topic, _)| is_dropped(topic))
                .and_then(|(_, text)| text.trim().parse().ok());
            if let Some(after) = dropped.filter(|after| *after > before) {
                return Some(after);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_several_brokers_are_found() {
        let told = |topics: &[(&str, &str)]| {
            SysTopics(
                topics
                    .iter()
                    .map(|(topic, text)| ((*topic).to_owned(), (*text).to_owned()))
                    .collect(),
            )
        };
        let mosquitto = told(&[
            ("$SYS/broker/publish/messages/dropped", "73"),
            ("$SYS/broker/version", "mosquitto version 2.0.11"),
        ]);
        assert_eq!(mosquitto.dropped(), Some(73));
        assert_eq!(mosquitto.version(), Some("mosquitto version 2.0.11"));
        let emqx = told(&[
            ("$SYS/brokers/emqx@127.0.0.1/metrics/messages/dropped", "4"),
            (
                "$SYS/brokers/emqx@127.0.0.1/metrics/delivery.dropped.queue_full",
                "9",
            ),
            (
                "$SYS/brokers/emqx@127.0.0.1/datetime",
                "2026-11-26T10:00:00+08:00",
            ),
        ]);
        assert_eq!(emqx.dropped(), Some(9));
        assert_eq!(
            emqx.datetime().unwrap().to_rfc3339(),
            "2026-11-26T02:00:00+00:00"
        );
        assert_eq!(told(&[]).dropped(), None);
    }
}
