//! Meters that publish at `QoS` 1 and remember exactly what the broker acknowledged.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::task::JoinSet;

/// A reading's key: device number and instant.
pub(crate) type Key = (usize, DateTime<Utc>);

/// What was published and acknowledged.
#[derive(Clone, Default)]
pub(crate) struct Acknowledged(Arc<Mutex<BTreeSet<Key>>>);

impl Acknowledged {
    pub(crate) fn keys(&self) -> BTreeSet<Key> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn add(&self, key: Key) {
        self.0.lock().unwrap().insert(key);
    }
}

/// The JSON push of one reading.
pub(crate) fn payload(device: usize, seq: usize, at: DateTime<Utc>) -> String {
    let total = 1_000_000 + seq * 10;
    format!(
        r#"{{"v":1,"dev":"D{device}","seq":{seq},"ts":"{}","std_m3":"{total}.2500","q_std":120.5,"t_c":15.0,"p_kpa_abs":301.325,"alarms":[]}}"#,
        at.to_rfc3339()
    )
}

/// Publishes `count` readings of each of `devices` meters, one outstanding message per connection,
/// so that an acknowledgement names its message beyond doubt; survives broker restarts.
pub(crate) async fn publish_all(
    port: u16,
    devices: usize,
    count: usize,
    pause: Duration,
    first_at: DateTime<Utc>,
    acknowledged: Acknowledged,
) {
    let mut tasks = JoinSet::new();
    for device in 0..devices {
        let acknowledged = acknowledged.clone();
        tasks.spawn(async move {
            let mut options = MqttOptions::new(format!("meter-{device}"), "127.0.0.1", port);
            // The meter keeps its message until the PUBACK and sends it again on a new connection; a
            // session the broker may have forgotten would only make that doubtful.
            options
                .set_clean_session(true)
                .set_keep_alive(Duration::from_secs(5));
            let (mut client, mut connection) = AsyncClient::new(options.clone(), 10);
            let topic = format!("gas/test/gw/D{device}/up/reading");
            for seq in 0..count {
                let at = first_at + TimeDelta::seconds(i64::try_from(seq).unwrap() * 60);
                let message = payload(device, seq, at);
                let mut is_sent = false;
                loop {
                    if !is_sent {
                        client
                            .publish(&topic, QoS::AtLeastOnce, false, message.as_str())
                            .await
                            .unwrap();
                        is_sent = true;
                    }
                    match connection.poll().await {
                        Ok(Event::Incoming(Packet::PubAck(_))) => break,
                        Ok(_) => {}
                        Err(_) => {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                            (client, connection) = AsyncClient::new(options.clone(), 10);
                            is_sent = false;
                        }
                    }
                }
                acknowledged.add((device, at));
                tokio::time::sleep(pause).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}
