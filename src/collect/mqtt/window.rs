//! What a connection has received and not yet acknowledged.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::collect::ledger::NotCommitted;
use crate::collect::{Ack, Delivery, Ledger};
use crate::domain::frame::RawFrame;

/// Parked messages may hold this many bytes; beyond it reading pauses. Reached only when ingest
/// stands still and payloads are large.
const PARKED_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Parked messages at most; only `QoS` 0 comes without a window of its own.
const PARKED_MAX: usize = 65_535;

/// Ingest is gone.
#[derive(Debug)]
pub(super) struct Closed;

/// The window of one connection.
///
/// The task that reads from the broker must never wait for ingest, or the keep-alive is lost; so
/// what finds no room in the queue is parked here. Once the window is full nothing more is read,
/// and the broker is held back by TCP.
#[derive(Debug)]
pub(super) struct Window {
    max: usize,
    /// Received, not yet in ingest's queue.
    parked: VecDeque<Delivery>,
    parked_bytes: usize,
    /// Packet ids not yet acknowledged, in the order received; one for each entry of the ledger.
    pkids: VecDeque<u16>,
    ledger: Ledger,
}

impl Window {
    pub(super) fn new(in_flight_max: u16) -> Self {
        Self {
            max: usize::from(in_flight_max),
            parked: VecDeque::new(),
            parked_bytes: 0,
            pkids: VecDeque::new(),
            ledger: Ledger::default(),
        }
    }

    /// Takes a message that needs no acknowledgement.
    pub(super) fn park(&mut self, frame: RawFrame) {
        self.push(Delivery {
            frame,
            ack: Ack::none(),
        });
    }

    /// Takes a message that the broker keeps until `pkid` is acknowledged.
    pub(super) fn hold(&mut self, pkid: u16, frame: RawFrame) {
        self.pkids.push_back(pkid);
        let ack = self.ledger.enter();
        self.push(Delivery { frame, ack });
    }

    fn push(&mut self, delivery: Delivery) {
        self.parked_bytes += delivery.frame.bytes.len();
        self.parked.push_back(delivery);
    }

    /// One message more than the window: a broker that keeps to the window never sends it, and
    /// what stands behind a full window, an answer to a ping or a subscription, is still read.
    ///
    /// Not every broker keeps to it. mosquitto 2.0 puts up to a whole window of its queue in flight
    /// for each acknowledgement, so a session cut off in a backlog goes on with many times the
    /// window, and the SUBACK behind it. Such a broker is held back by TCP, its answers come as
    /// ingest goes on: nobody may wait for a subscription before taking messages.
    pub(super) fn has_room(&self) -> bool {
        self.pkids.len() <= self.max
            && self.parked.len() < PARKED_MAX
            && self.parked_bytes < PARKED_MAX_BYTES
    }

    pub(super) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    pub(super) fn has_held(&self) -> bool {
        !self.pkids.is_empty()
    }

    /// The ledger, to wait on without borrowing the window.
    pub(super) fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// Gives up what ingest has not seen; the broker delivers it again.
    pub(super) fn forget_parked(&mut self) {
        self.parked.clear();
        self.parked_bytes = 0;
    }

    /// Moves parked messages on while the queue has room.
    pub(super) fn forward(&mut self, sender: &mpsc::Sender<Delivery>) -> Result<(), Closed> {
        while let Some(delivery) = self.pop_parked() {
            match sender.try_send(delivery) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(Closed),
                Err(mpsc::error::TrySendError::Full(delivery)) => {
                    self.parked_bytes += delivery.frame.bytes.len();
                    self.parked.push_front(delivery);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Moves the oldest parked message on.
    pub(super) fn send_parked(&mut self, permit: mpsc::Permit<'_, Delivery>) {
        if let Some(delivery) = self.pop_parked() {
            permit.send(delivery);
        }
    }

    fn pop_parked(&mut self) -> Option<Delivery> {
        let delivery = self.parked.pop_front()?;
        self.parked_bytes -= delivery.frame.bytes.len();
        Some(delivery)
    }

    /// Takes the packet ids to acknowledge now: the oldest, as far as committed without a gap.
    /// The outcome says whether the one after them was given up.
    pub(super) fn take_committed(
        &mut self,
    ) -> (
        impl ExactSizeIterator<Item = u16> + '_,
        Result<(), NotCommitted>,
    ) {
        let (committed, outcome) = self.ledger.take_committed();
        let committed = committed.min(self.pkids.len());
        (self.pkids.drain(..committed), outcome)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::DateTime;

    use super::*;
    use crate::domain::frame::Transport;

    fn frame(len: usize) -> RawFrame {
        RawFrame {
            transport: Transport::Mqtt,
            origin: "t".into(),
            device: None,
            bytes: Bytes::from(vec![0; len]),
            received_at: DateTime::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn acknowledgements_keep_the_order_of_arrival() {
        let (sender, mut receiver) = mpsc::channel(10);
        let mut window = Window::new(3);
        for pkid in [11, 12, 13, 14] {
            window.hold(pkid, frame(1));
        }
        assert!(!window.has_room());
        window.forward(&sender).unwrap();
        let mut acks = Vec::new();
        receiver.recv_many(&mut acks, 10).await;
        let mut acks = acks.into_iter().map(|delivery| delivery.ack);
        let (first, second, third) = (acks.next(), acks.next(), acks.next());
        third.unwrap().done();
        second.unwrap().done();
        assert_eq!(window.take_committed().0.len(), 0);
        first.unwrap().done();
        let (pkids, outcome) = window.take_committed();
        assert_eq!(pkids.collect::<Vec<_>>(), [11, 12, 13]);
        assert!(outcome.is_ok());
        assert!(window.has_room());
        drop(acks);
        assert!(window.take_committed().1.is_err());
    }

    #[tokio::test]
    async fn what_finds_no_room_is_parked_and_counted() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut window = Window::new(100);
        for len in [10, 20, PARKED_MAX_BYTES] {
            window.park(frame(len));
        }
        assert!(!window.has_room());
        window.forward(&sender).unwrap();
        assert_eq!(window.parked.len(), 2);
        assert_eq!(receiver.recv().await.unwrap().frame.bytes.len(), 10);
        window.send_parked(sender.reserve().await.unwrap());
        assert_eq!(receiver.recv().await.unwrap().frame.bytes.len(), 20);
        window.forward(&sender).unwrap();
        assert!(window.has_room());
        assert_eq!(window.parked_bytes, 0);
        drop(receiver);
        window.park(frame(1));
        assert!(window.forward(&sender).is_err());
    }
}
