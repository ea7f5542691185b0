//! Collection: bytes and addresses from brokers, meters and gateways; not what they mean.

pub mod ledger;
pub mod listen;
pub mod mqtt;
pub mod topic;
pub mod import;
pub mod modbus;

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::domain::frame::RawFrame;

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

#[derive(Debug)]
enum Waiter {
    /// Nobody waits.
    None,
    /// Someone waits for this one message.
    One(oneshot::Sender<()>),
    /// A connection keeps a ledger of all its messages.
    Entry(Arc<ledger::Shared>, u64),
}

impl Ack {
    /// An acknowledgement nobody waits for (Modbus polls, imports).
    pub fn none() -> Self {
        Self(Waiter::None)
    }

    /// A pair: the collector waits on the receiver and only then tells the sender. For many
    /// messages of one connection, a [`Ledger`] costs less.
    pub fn pair() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Waiter::One(sender)), receiver)
    }

    fn entered(ledger: Arc<ledger::Shared>, number: u64) -> Self {
        Self(Waiter::Entry(ledger, number))
    }

    /// The frame is durable.
    pub fn done(mut self) {
        match std::mem::replace(&mut self.0, Waiter::None) {
            Waiter::None => {}
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
