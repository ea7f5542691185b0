//! Modbus over TCP, over serial frames through TCP, and on serial ports: one actor per bus.
//!
//! ```text
//! registry, profiles ─▶ fleet ─▶ bus (one per gateway) ─▶ poll ─▶ link ─▶ tokio-modbus (TCP)
//!                                 │ schedule, patience             └───▶ line ─▶ rtu, late
//!                                 └─▶ frames to the journal
//! ```
//!
//! # Invariants
//! - **Read only.** The requests built here are function codes 1 to 4; there is no code that could
//!   build another one.
//! - **No late or foreign answer is taken for another's.** Over TCP the transaction, unit, function and
//!   count are compared, and the connection is dropped after any doubt. A serial answer has no number:
//!   unit, function, count and checksum are compared, nothing may follow it, and a unit whose answer
//!   may still come is not asked again (`late`).
//! - **Neighbours first.** A meter that is slow or silent is asked in what time the others leave;
//!   who found none goes first of its kind after two periods, behind the quick ones after three and before
//!   all after four: nobody waits for ever.
//! - A poll is delivered whole or not at all.

#![warn(clippy::indexing_slicing)]

mod answer;
mod bus;
mod fault;
mod fleet;
mod health;
mod late;
mod line;
mod link;
mod patience;
mod poll;
pub mod probe;
mod rtu;
mod schedule;
mod serial;
mod slot;
mod turn;

pub use self::fault::{RequestError, exception_name};
pub use self::fleet::{Fleet, run};
pub use self::health::{GatewayHealth, MeterHealth, ModbusHealth};
use crate::domain::id::{GatewayId, MeterId, ProfileId};

/// Why a meter cannot be polled at all, or polling cannot go on. A gateway or meter that does not
/// answer is none of these.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The unit number cannot be addressed.
    #[error(
        "meter `{meter}` on gateway `{gateway}` has Modbus unit {unit}; write 1 to 247 in meters.csv"
    )]
    UnitOutOfRange {
        /// Meter.
        meter: MeterId,
        /// Gateway.
        gateway: GatewayId,
        /// The unit as registered.
        unit: u8,
    },
    /// The profile has no registers to read.
    #[error(
        "meter `{meter}` on gateway `{gateway}` is bound to profile `{profile}`, which reads no registers; \
         bind a profile with transport modbus in meters.csv"
    )]
    ProfileNotPolled {
        /// Meter.
        meter: MeterId,
        /// Gateway.
        gateway: GatewayId,
        /// The profile as registered.
        profile: ProfileId,
    },
    /// The journal's side of the queue is gone.
    #[error("queue to the journal is closed while gateway `{gateway}` is still being polled")]
    QueueClosed {
        /// Gateway.
        gateway: GatewayId,
    },
    /// A bus ended by a bug.
    #[error("the poller of a gateway panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

#[cfg(test)]
mod tests;
