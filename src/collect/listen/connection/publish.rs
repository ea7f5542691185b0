//! A message that came in: whether it may be taken, for which device, and how soon the next.

use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::mqttbytes::has_wildcards;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Connection, Held, HeldState, printable};
use crate::collect::credentials::{Denied, Rights};
use crate::collect::listen::close::Close;
use crate::collect::listen::wire::{Publish, Version};
use crate::collect::{Ack, Delivery};
use crate::domain::frame::{RawFrame, Transport};

impl Connection {
    /// Hands a message to ingest, or says why not.
    pub(super) fn take(&mut self, publish: Publish) -> Result<(), Close> {
        self.check(&publish)?;
        let named = self.shared.topics.device_of(&publish.topic);
        let everything = Rights::all();
        let rights = match &self.peer.user {
            Some(user) => user.rights(),
            None => &everything,
        };
        let device = match rights.device_on(&publish.topic, named) {
            Ok(device) => device,
            Err(why) => return self.deny(&publish, why),
        };
        let ack = if publish.qos == 0 {
            Ack::none()
        } else {
            let (ack, done) = Ack::pair();
            self.held.push_back(Held {
                pkid: publish.pkid,
                state: HeldState::Committing(done),
            });
            ack
        };
        self.shared.health.count_received();
        self.pace();
        let frame = RawFrame {
            transport: Transport::Mqtt,
            device,
            origin: publish.topic,
            // Copied, so that a small payload does not keep the whole read buffer alive.
            bytes: Bytes::copy_from_slice(&publish.payload),
            received_at: self.shared.clock.now(),
        };
        let delivery = Delivery { frame, ack };
        self.parked = match self.sender.as_ref().map(|s| s.try_send(delivery)) {
            Some(Ok(())) => None,
            Some(Err(mpsc::error::TrySendError::Full(delivery))) => Some(delivery),
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => return Err(Close::Stopped),
        };
        Ok(())
    }

    /// What is wrong with a message whoever sends it.
    fn check(&self, publish: &Publish) -> Result<(), Close> {
        if publish.has_alias {
            return Err(Close::Protocol(
                "it published with a topic alias, of which we allow none".into(),
            ));
        }
        if publish.topic.is_empty() || has_wildcards(&publish.topic) {
            return Err(Close::Protocol(
                "it published to a topic that is empty or has wildcards".into(),
            ));
        }
        let (len, max) = (
            publish.payload.len(),
            self.shared.settings.payload_max_bytes,
        );
        if len > max {
            return Err(Close::Protocol(format!(
                "a payload of {len} bytes is above payload_max_bytes = {max}; raise it or send less at once"
            )));
        }
        if publish.qos > 1 {
            return Err(Close::TooExact);
        }
        if let (Some(user), Some(file)) = (&self.peer.user, &self.shared.users)
            && !file.get().is_unchanged(user)
        {
            let user = user.name().to_owned();
            return Err(Close::Revoked { user });
        }
        Ok(())
    }

    /// MQTT 5 can refuse one message. 3.1.1 knows only to acknowledge what was not taken, or to
    /// close (MQTT-3.3.5-2); we do not acknowledge what was not taken.
    fn deny(&mut self, publish: &Publish, why: Denied) -> Result<(), Close> {
        let close = Close::Denied {
            user: self.peer.user.as_ref().map_or("", |u| u.name()).to_owned(),
            topic: printable(&publish.topic, 200),
            why,
        };
        if self.version == Version::V4 || publish.qos == 0 {
            return Err(close);
        }
        self.shared.refuse(self.address, &close);
        self.held.push_back(Held {
            pkid: publish.pkid,
            state: HeldState::Denied,
        });
        self.pace();
        Ok(())
    }

    /// Counts a message against the rates; over them, reading rests for a while.
    fn pace(&mut self) {
        let now = Instant::now();
        let own = self
            .peer
            .own_bucket
            .as_mut()
            .map_or(Duration::ZERO, |bucket| bucket.take(now));
        let of_user = self.peer.bucket.as_ref().map_or(Duration::ZERO, |bucket| {
            bucket
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(now)
        });
        let wait = own.max(of_user);
        if !wait.is_zero() {
            self.shared.health.count_slowed();
            self.paused_until = Some(now + wait);
        }
    }
}
