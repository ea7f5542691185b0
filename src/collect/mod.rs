//! Collection: bytes and addresses from brokers, meters and gateways; not what they mean.

pub mod listen;
pub mod mqtt;
pub mod topic;
pub mod import;
pub mod modbus;

use tokio::sync::oneshot;

use crate::domain::frame::RawFrame;

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
pub struct Ack(Option<oneshot::Sender<()>>);

impl Ack {
    /// An acknowledgement nobody waits for (Modbus polls, imports).
    pub fn none() -> Self {
        Self(None)
    }

    /// A pair: the collector waits on the receiver and only then tells the sender.
    pub fn pair() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    /// The frame is durable.
    pub fn done(self) {
        if let Some(sender) = self.0 {
            // The connection may be gone; its session redelivers and the key makes that harmless.
            sender.send(()).ok();
        }
    }
}
