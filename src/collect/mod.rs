//! Collection: bytes and addresses from brokers, meters and gateways; not what they mean.

pub mod listen;
pub mod mqtt;
pub mod topic;
pub mod import;
pub mod modbus;
pub mod credentials;
pub mod push;
pub mod tls;

use tokio::sync::oneshot;

use crate::domain::frame::{RawFrame, RejectReason};

/// A frame on its way to the journal, with the means to acknowledge it.
#[derive(Debug)]
pub struct Delivery {
    /// The frame.
    pub frame: RawFrame,
    /// Fulfilled after the commit.
    pub ack: Ack,
}

/// Acknowledges a frame to whoever delivered it. Dropped unused, the frame stays unacknowledged
/// and the sender delivers it again.
#[derive(Debug)]
pub struct Ack(Waiter);

/// Who waits for a frame.
#[derive(Debug)]
enum Waiter {
    Nobody,
    Commit(oneshot::Sender<()>),
    Outcome(oneshot::Sender<FrameOutcome>),
}

/// What became of a frame; known once it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameOutcome {
    /// It said something new.
    Accepted,
    /// It said only what was known.
    Duplicate,
    /// It could not be taken; it is kept with this reason.
    Rejected(RejectReason),
}

impl Ack {
    /// An acknowledgement nobody waits for (Modbus polls, imports).
    pub fn none() -> Self {
        Self(Waiter::Nobody)
    }

    /// A pair: the collector waits on the receiver and only then tells the sender.
    pub fn pair() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Waiter::Commit(sender)), receiver)
    }

    /// A pair whose receiver learns, after the commit, what became of the frame.
    pub fn reporting() -> (Self, oneshot::Receiver<FrameOutcome>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Waiter::Outcome(sender)), receiver)
    }

    /// The frame is durable; `outcome` is asked for only if someone wants to know it.
    pub fn tell(self, outcome: impl FnOnce() -> FrameOutcome) {
        match self.0 {
            // Whoever asked may be gone; what is committed stays committed.
            Waiter::Outcome(sender) => drop(sender.send(outcome())),
            waiter => Self(waiter).done(),
        }
    }

    /// The frame is durable.
    pub fn done(self) {
        if let Waiter::Commit(sender) = self.0 {
            // The connection may be gone; its session redelivers and the key makes that harmless.
            sender.send(()).ok();
        }
    }
}
