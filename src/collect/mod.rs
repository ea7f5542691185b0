//! Collection: bytes and addresses from brokers, meters and gateways; not what they mean.

pub mod health;
pub mod ledger;
pub mod listen;
pub mod mqtt;
pub mod topic;
pub mod import;
pub mod modbus;
pub mod credentials;
pub mod push;
pub mod tls;
pub mod weather;

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::domain::frame::{RawFrame, RejectReason};

pub use self::ledger::Ledger;

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
    /// Someone waits for this one message.
    One(oneshot::Sender<()>),
    /// Someone wants to know what became of it.
    Outcome(oneshot::Sender<FrameOutcome>),
    /// A connection keeps a ledger of all its messages.
    Entry(Arc<ledger::Shared>, u64),
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

    /// A pair: the collector waits on the receiver and only then tells the sender. For many
    /// messages of one connection, a [`Ledger`] costs less.
    pub fn pair() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Waiter::One(sender)), receiver)
    }

    /// A pair whose receiver learns, after the commit, what became of the frame.
    pub fn reporting() -> (Self, oneshot::Receiver<FrameOutcome>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Waiter::Outcome(sender)), receiver)
    }

    fn entered(ledger: Arc<ledger::Shared>, number: u64) -> Self {
        Self(Waiter::Entry(ledger, number))
    }

    /// Whether someone wants to know what became of the frame.
    pub fn wants_outcome(&self) -> bool {
        matches!(self.0, Waiter::Outcome(_))
    }

    /// The frame is durable, and this became of it.
    pub fn tell(mut self, outcome: FrameOutcome) {
        match std::mem::replace(&mut self.0, Waiter::Nobody) {
            // Whoever asked may be gone; what is committed stays committed.
            Waiter::Outcome(sender) => {
                sender.send(outcome).ok();
            }
            waiter => Self(waiter).done(),
        }
    }

    /// The frame is durable.
    pub fn done(mut self) {
        match std::mem::replace(&mut self.0, Waiter::Nobody) {
            Waiter::Nobody | Waiter::Outcome(_) => {}
            // The connection may be gone; its session redelivers and the key makes that harmless.
            Waiter::One(sender) => {
                sender.send(()).ok();
            }
            Waiter::Entry(ledger, number) => ledger.resolve(number, true),
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if let Waiter::Entry(ledger, number) = &self.0 {
            ledger.resolve(*number, false);
        }
    }
}
