//! One poll: all blocks of a meter, one after another on one line. Delivered whole or not at all; it
//! goes on where an attempt that failed, or a turn that was too short for all of them, stopped.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::fault::RequestError;
use super::health::ModbusHealth;
use super::late::LateAnswers;
use super::link::Link;
use super::slot::Slot;
use crate::decode::snapshot::BlockReading;
use crate::domain::meter::Gateway;

/// Limits of a poll.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Deadline of each request.
    pub(super) deadline: Duration,
    /// Requests that may be made.
    pub(super) requests: u32,
    /// Of opening a connection.
    pub(super) connect: Duration,
    /// How long an answer to a request that was given up is possible.
    pub(super) late_max: Duration,
}

/// A poll to be made; owns all it needs, so that several may be under way.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) slot: Slot,
    pub(super) link: Option<Link>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) late: LateAnswers,
    pub(super) health: Arc<ModbusHealth>,
    pub(super) stop: CancellationToken,
    pub(super) terms: Terms,
}

/// How far an attempt came that did not fail.
#[derive(Debug)]
pub(super) enum Progress {
    /// All blocks.
    Whole(Vec<BlockReading>),
    /// As many as it was allowed; they are kept.
    Part,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) slot: Slot,
    /// The line, if it can carry the next request.
    pub(super) link: Option<Link>,
    pub(super) outcome: Result<Progress, RequestError>,
    /// How long each answer took.
    pub(super) took: Vec<Duration>,
    /// The deadline each request had.
    pub(super) deadline: Duration,
}

impl Poll {
    /// A connection that stood idle may have been closed by the other side without fault of the meter;
    /// then, and only then, the poll is made once more on a new one at once.
    pub(super) async fn run(mut self) -> Answer {
        let was_idle = self.link.is_some();
        let mut took = Vec::new();
        let mut outcome = self.once(&mut took).await;
        if was_idle
            && self.link.is_none()
            && took.is_empty()
            && matches!(outcome, Err(RequestError::Transport { .. }))
            && self.is_allowed()
        {
            outcome = self.once(&mut took).await;
        }
        Answer {
            deadline: self.terms.deadline,
            slot: self.slot,
            link: self.link,
            outcome,
            took,
        }
    }

    /// A serial unit whose answer may still come is not asked.
    fn is_allowed(&self) -> bool {
        let now = tokio::time::Instant::now();
        self.late.barred_until(self.slot.meter.unit, now).is_none()
    }

    async fn once(&mut self, took: &mut Vec<Duration>) -> Result<Progress, RequestError> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.open().await?,
        };
        let quirks = self.slot.profile.modbus_quirks();
        let pause = Duration::from_millis(quirks.map_or(0, |q| q.pause_ms));
        let profile = Arc::clone(&self.slot.profile);
        let blocks = profile.register_blocks();
        let allowed = usize::try_from(self.terms.requests).unwrap_or(usize::MAX);
        let rest = blocks.iter().skip(self.slot.read.len()).take(allowed);
        for block in rest {
            if self.stop.is_cancelled() {
                self.link = Some(link);
                return Err(RequestError::Stopped);
            }
            let asked = link
                .read(self.slot.meter.unit, *block, self.terms.deadline)
                .await;
            let reading = match asked.outcome {
                Ok(reading) => reading,
                Err(error) => {
                    self.link = asked.is_usable.then_some(link);
                    return Err(error);
                }
            };
            took.push(asked.took);
            self.slot.read.push(reading);
            // After the last one too: the next meter's request is the next frame on the line.
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
        self.link = Some(link);
        Ok(if self.slot.read.len() < blocks.len() {
            Progress::Part
        } else {
            Progress::Whole(std::mem::take(&mut self.slot.read))
        })
    }

    async fn open(&mut self) -> Result<Link, RequestError> {
        let open = Link::open(
            &self.gateway,
            self.terms.connect,
            &self.late,
            self.terms.late_max,
        );
        let link = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(RequestError::Stopped),
            opened = open => opened,
        }?;
        self.health.connected(&self.gateway.id);
        Ok(link)
    }
}
