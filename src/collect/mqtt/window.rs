//! What a connection has received and not yet acknowledged.

use std::collections::VecDeque;
use std::future;

use tokio::sync::{mpsc, oneshot};

use crate::collect::Delivery;

/// Parked messages may hold this many bytes; beyond it polling pauses. Reached only when ingest
/// stands still and the broker's window is wide.
const PARKED_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Parked messages at most: as many as there are packet ids.
const PARKED_MAX: usize = 65_535;

/// A message whose commit is under way.
#[derive(Debug)]
pub(super) struct Held {
    pkid: u16,
    /// None once it is known to have been dropped; a receiver must not be asked again then.
    done: Option<oneshot::Receiver<()>>,
}

/// The oldest message's acknowledgement was fulfilled, or dropped unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acked {
    Committed,
    Dropped,
}

/// A message was given up downstream; it must be delivered again.
#[derive(Debug)]
pub(super) struct NotCommitted;

/// Ingest is gone.
#[derive(Debug)]
pub(super) struct Closed;

/// The window of one connection.
///
/// The task that polls the broker must never wait for ingest, or the keep-alive is lost; so what
/// finds no room in the queue is parked here. The broker's own in-flight window bounds how much
/// that can be.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Received, not yet in ingest's queue.
    pub(super) parked: VecDeque<Delivery>,
    parked_bytes: usize,
    /// Not yet acknowledged, in the order received.
    pub(super) held: VecDeque<Held>,
}

impl Window {
    pub(super) fn park(&mut self, delivery: Delivery) {
        self.parked_bytes += delivery.frame.bytes.len();
        self.parked.push_back(delivery);
    }

    pub(super) fn hold(&mut self, pkid: u16, done: oneshot::Receiver<()>) {
        self.held.push_back(Held {
            pkid,
            done: Some(done),
        });
    }

    pub(super) fn has_room(&self) -> bool {
        self.parked_bytes < PARKED_MAX_BYTES && self.parked.len() < PARKED_MAX
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

    /// Packet ids to acknowledge now that the front has been resolved: it, and all committed behind
    /// it without a gap.
    pub(super) fn acknowledged(&mut self, front: Acked) -> Result<Vec<u16>, NotCommitted> {
        if front == Acked::Dropped {
            return Err(NotCommitted);
        }
        let mut pkids: Vec<u16> = self.held.pop_front().map(|h| h.pkid).into_iter().collect();
        while let Some(next) = self.held.front_mut() {
            match next.done.as_mut().map(oneshot::Receiver::try_recv) {
                Some(Ok(())) => pkids.push(next.pkid),
                Some(Err(oneshot::error::TryRecvError::Empty)) => break,
                // Reported once those before it are acknowledged.
                Some(Err(oneshot::error::TryRecvError::Closed)) | None => {
                    next.done = None;
                    break;
                }
            }
            self.held.pop_front();
        }
        Ok(pkids)
    }
}

/// Waits for the oldest message; forever, if there is none.
pub(super) async fn front(held: &mut VecDeque<Held>) -> Acked {
    let Some(oldest) = held.front_mut() else {
        return future::pending().await;
    };
    let Some(done) = oldest.done.as_mut() else {
        return Acked::Dropped;
    };
    if done.await.is_ok() {
        Acked::Committed
    } else {
        oldest.done = None;
        Acked::Dropped
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::DateTime;

    use super::*;
    use crate::collect::Ack;
    use crate::domain::frame::{RawFrame, Transport};

    fn delivery(ack: Ack, len: usize) -> Delivery {
        Delivery {
            frame: RawFrame {
                transport: Transport::Mqtt,
                origin: "t".into(),
                device: None,
                bytes: Bytes::from(vec![0; len]),
                received_at: DateTime::UNIX_EPOCH,
            },
            ack,
        }
    }

    #[tokio::test]
    async fn acknowledgements_keep_the_order_of_arrival() {
        let mut window = Window::default();
        let acks: Vec<Ack> = (1..=4)
            .map(|pkid| {
                let (ack, done) = Ack::pair();
                window.hold(pkid, done);
                ack
            })
            .collect();
        let mut acks = acks.into_iter();
        let (first, second, third) = (acks.next(), acks.next(), acks.next());
        third.unwrap().done();
        second.unwrap().done();
        first.unwrap().done();
        drop(acks);
        let acked = front(&mut window.held).await;
        assert_eq!(window.acknowledged(acked).unwrap(), [1, 2, 3]);
        let acked = front(&mut window.held).await;
        assert_eq!(acked, Acked::Dropped);
        assert!(window.acknowledged(acked).is_err());
    }

    #[tokio::test]
    async fn what_finds_no_room_is_parked_and_counted() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut window = Window::default();
        for len in [10, 20, PARKED_MAX_BYTES] {
            window.park(delivery(Ack::none(), len));
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
        window.park(delivery(Ack::none(), 1));
        assert!(window.forward(&sender).is_err());
    }
}
