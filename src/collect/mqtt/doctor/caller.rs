//! A connection of the doctor: asks and waits for the answer.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::super::hello;
use super::super::link::{Link, LinkError};
use super::super::secrets::Secrets;
use super::super::wire::{Accepted, Grant, Incoming, Writer};
use crate::settings::BrokerSettings;

/// Keep-alive of the doctor's connections, s; none of them lasts so long without a packet.
pub(super) const KEEP_ALIVE_S: u16 = 120;

/// An answer may take so long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the connection leaves a session behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No; and what comes in is acknowledged at once, or `$SYS` would stop at the window's end.
    Clean,
    /// Yes; and whoever reads it acknowledges.
    Persistent,
}

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("no answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    #[error("the broker refuses the topic `{topic}`: {why}")]
    Refused { topic: String, why: String },
}

/// A connection of the doctor.
pub(super) struct Caller {
    link: Link,
    kind: Kind,
    last_pkid: u16,
}

impl Caller {
    pub(super) async fn open(
        broker: &BrokerSettings,
        secrets: &Secrets,
        client_id: &str,
        kind: Kind,
    ) -> Result<(Self, Accepted), LinkError> {
        let mut hello = hello(broker, secrets);
        hello.client_id = client_id.to_owned();
        hello.is_clean = kind == Kind::Clean;
        hello.keep_alive_s = KEEP_ALIVE_S;
        let (link, accepted) = Link::open(broker, secrets, &hello).await?;
        let caller = Self {
            link,
            kind,
            last_pkid: 0,
        };
        Ok((caller, accepted))
    }

    pub(super) fn writer(&mut self) -> Writer<'_> {
        self.link.writer()
    }

    pub(super) fn next_pkid(&mut self) -> u16 {
        self.last_pkid = self.last_pkid.checked_add(1).unwrap_or(1);
        self.last_pkid
    }

    /// The next packet; what is to be sent is sent meanwhile.
    pub(super) async fn next(&mut self) -> Result<Incoming, LinkError> {
        loop {
            match self.link.next()? {
                Some(Incoming::Disconnect(farewell)) => return Err(LinkError::Farewell(farewell)),
                Some(incoming) => {
                    if let Incoming::Message(message) = &incoming
                        && self.kind == Kind::Clean
                        && message.qos == 1
                    {
                        self.link.writer().acknowledge(message.pkid);
                    }
                    return Ok(incoming);
                }
                None => {}
            }
            self.link.exchange(true).await?;
        }
    }

    /// Sends everything.
    pub(super) async fn flush(&mut self) -> Result<(), LinkError> {
        while self.link.has_unsent() {
            self.link.exchange(false).await?;
        }
        Ok(())
    }

    /// Packets until `answer` takes one.
    async fn wait<T>(
        &mut self,
        mut answer: impl FnMut(&Incoming) -> Option<T>,
    ) -> Result<T, CallError> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let incoming = timeout_at(deadline, self.next())
                .await
                .map_err(|_| CallError::Timeout)??;
            if let Some(answer) = answer(&incoming) {
                return Ok(answer);
            }
        }
    }

    /// Asks for `filters` at `QoS` 1.
    pub(super) async fn subscribe(&mut self, filters: &[String]) -> Result<Vec<Grant>, CallError> {
        let asked = self.next_pkid();
        self.writer()
            .subscribe(asked, filters.iter().map(String::as_str))
            .map_err(LinkError::Wire)?;
        self.wait(|incoming| match incoming {
            Incoming::SubAck { pkid, grants } if *pkid == asked => Some(grants.clone()),
            _ => None,
        })
        .await
    }

    pub(super) async fn unsubscribe(&mut self, filters: &[String]) -> Result<(), CallError> {
        let asked = self.next_pkid();
        self.writer()
            .unsubscribe(asked, filters)
            .map_err(LinkError::Wire)?;
        self.wait(|incoming| match incoming {
            Incoming::UnsubAck { pkid } if *pkid == asked => Some(()),
            _ => None,
        })
        .await
    }

    /// Asks for a sign of life and waits for it.
    pub(super) async fn ping(&mut self) -> Result<(), CallError> {
        self.writer().ping();
        self.wait(|incoming| matches!(incoming, Incoming::Pong).then_some(()))
            .await
    }

    /// Shows packets to `look` until none has come for `quiet`, or for `longest` in all.
    pub(super) async fn listen(
        &mut self,
        quiet: Duration,
        longest: Duration,
        mut look: impl FnMut(&Incoming),
    ) -> Result<(), LinkError> {
        let end = Instant::now() + longest;
        loop {
            let deadline = end.min(Instant::now() + quiet);
            match timeout_at(deadline, self.next()).await {
                Ok(incoming) => look(&incoming?),
                Err(_) => return Ok(()),
            }
        }
    }

    /// Says goodbye.
    pub(super) async fn leave(self) {
        // A broker that does not take it sees the connection end all the same.
        tokio::time::timeout(ANSWER_TIMEOUT, self.link.leave())
            .await
            .ok();
    }
}
