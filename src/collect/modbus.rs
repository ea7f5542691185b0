//! Modbus TCP: one task per gateway bus polls its meters one after another.
//!
//! # Invariants
//! - **Read only.** The requests built here are function codes 1 to 4; there is no code that could
//!   build another one.
//! - **No late answer is taken for another's.** After a timeout, a transport error, an answer that
//!   does not match or has another count, the connection is dropped and a new one opened:
//!   tokio-modbus over a shared stream took the late answer to an earlier request for the next
//!   one's when tried, and checks the count in debug builds only.
//! - **A dead meter costs its neighbours at most one request timeout** each time it is tried; it is
//!   tried ever more rarely, and only when no healthy meter is overdue.
//! - A poll is delivered whole or not at all.

#![warn(clippy::indexing_slicing)]

mod health;
mod link;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

pub use self::health::{GatewayHealth, MeterHealth, ModbusHealth};
use self::link::{Link, PollError};
use crate::clock::{Clock, real_duration};
use crate::collect::{Ack, Delivery};
use crate::decode::{DeviceProfile, snapshot};
use crate::domain::frame::{RawFrame, Transport};
use crate::domain::id::{GatewayId, MeterId, ProfileId};
use crate::domain::meter::{Gateway, Meter};
use crate::settings::ModbusSettings;

/// Shortest real time between two polls of a meter, however fast the clock runs.
const PERIOD_MIN: Duration = Duration::from_millis(20);

/// Part of the period by which polls wander, so that meters do not march in step.
const PERIOD_JITTER: f64 = 0.05;

/// The first polls of a bus are spread over this span at most.
const START_SPREAD_MAX: Duration = Duration::from_secs(5);

/// Why polling cannot go on. A gateway or meter that does not answer is none of these.
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
}

/// Polls the meters of one gateway until `stop` is cancelled.
///
/// Every poll becomes a frame of `snapshot` bytes with the meter's device. Periods are spans of
/// `clock`; timeouts and retry delays are real time.
///
/// # Errors
/// Only what no waiting can mend: a meter that cannot be polled at all, or a closed queue.
pub async fn poll_gateway(
    gateway: Gateway,
    meters: Vec<(Meter, Arc<DeviceProfile>)>,
    settings: ModbusSettings,
    clock: Arc<dyn Clock>,
    health: Arc<ModbusHealth>,
    sender: mpsc::Sender<Delivery>,
    stop: CancellationToken,
) -> Result<(), CollectError> {
    let mut bus = Bus::new(gateway, meters, settings, clock, health, sender)?;
    tokio::select! {
        biased;
        () = stop.cancelled() => Ok(()),
        ended = bus.run() => ended,
    }
}

/// One meter's place on the bus.
struct Slot {
    meter: Meter,
    profile: Arc<DeviceProfile>,
    due: Instant,
    period: Duration,
    failures: u32,
    rng: ChaCha8Rng,
}

struct Bus {
    gateway: Gateway,
    settings: ModbusSettings,
    clock: Arc<dyn Clock>,
    health: Arc<ModbusHealth>,
    sender: mpsc::Sender<Delivery>,
    slots: Vec<Slot>,
    link: Option<Link>,
    rng: ChaCha8Rng,
}

impl Bus {
    fn new(
        gateway: Gateway,
        meters: Vec<(Meter, Arc<DeviceProfile>)>,
        settings: ModbusSettings,
        clock: Arc<dyn Clock>,
        health: Arc<ModbusHealth>,
        sender: mpsc::Sender<Delivery>,
    ) -> Result<Self, CollectError> {
        let now = Instant::now();
        let mut slots = Vec::with_capacity(meters.len());
        for (meter, profile) in meters {
            if !(1..=247).contains(&meter.unit) {
                return Err(CollectError::UnitOutOfRange {
                    meter: meter.id,
                    gateway: gateway.id,
                    unit: meter.unit,
                });
            }
            if profile.register_blocks().is_empty() {
                return Err(CollectError::ProfileNotPolled {
                    meter: meter.id,
                    gateway: gateway.id,
                    profile: meter.profile,
                });
            }
            let period_s = match meter.period_s {
                0 => settings.period_s.max(1),
                own => own,
            };
            let period =
                real_duration(clock.as_ref(), TimeDelta::seconds(period_s.into())).max(PERIOD_MIN);
            let mut rng = ChaCha8Rng::seed_from_u64(seed(meter.id.as_str()));
            let spread = period
                .min(START_SPREAD_MAX)
                .mul_f64(rng.random_range(0.0..1.0));
            slots.push(Slot {
                meter,
                profile,
                due: now + spread,
                period,
                failures: 0,
                rng,
            });
        }
        health.register(&gateway, slots.iter().map(|s| &s.meter));
        let rng = ChaCha8Rng::seed_from_u64(seed(gateway.id.as_str()));
        Ok(Self {
            gateway,
            settings,
            clock,
            health,
            sender,
            slots,
            link: None,
            rng,
        })
    }

    async fn run(&mut self) -> Result<(), CollectError> {
        if self.slots.is_empty() {
            warn!(gateway.id = %self.gateway.id, "Gateway `{}` has no meters; nothing to poll", self.gateway.id);
            std::future::pending::<()>().await;
        }
        loop {
            let Some(index) = next_slot(&self.slots, Instant::now(), self.retry_delay_max()) else {
                return Ok(());
            };
            // Taken out while it is polled, so that bus and slot can both be borrowed.
            let mut slot = self.slots.swap_remove(index);
            sleep_until(slot.due).await;
            let outcome = self.poll(&slot).await;
            let delivered = self.settle(&mut slot, outcome).await;
            self.slots.push(slot);
            delivered?;
        }
    }

    /// Reads all blocks of a meter.
    ///
    /// A connection that stood idle may have been closed by the other side without fault of the
    /// meter; then, and only then, the poll is tried once more on a new one.
    async fn poll(&mut self, slot: &Slot) -> Result<Vec<snapshot::BlockReading>, PollError> {
        let was_idle = self.link.as_ref().is_some_and(Link::has_served);
        let first = self.poll_once(slot).await;
        match first {
            Err(PollError::Transport { .. }) if was_idle => self.poll_once(slot).await,
            first => first,
        }
    }

    async fn poll_once(&mut self, slot: &Slot) -> Result<Vec<snapshot::BlockReading>, PollError> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.connect().await,
        };
        let timeout = Duration::from_millis(self.settings.request_timeout_ms);
        let quirks = slot.profile.modbus_quirks();
        let pause = Duration::from_millis(quirks.map_or(0, |q| q.pause_ms));
        let mut readings = Vec::with_capacity(slot.profile.register_blocks().len());
        let mut failed = None;
        for (position, block) in slot.profile.register_blocks().iter().enumerate() {
            if position > 0 && !pause.is_zero() {
                sleep(pause).await;
            }
            match link.read(slot.meter.unit, *block, timeout).await {
                Ok(reading) => readings.push(reading),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        match failed {
            None => {
                if !pause.is_zero() {
                    sleep(pause).await;
                }
                self.link = Some(link);
                Ok(readings)
            }
            Some(error) => {
                let is_not_now = match (&error, quirks) {
                    (PollError::Exception { code, .. }, Some(quirks)) => {
                        quirks.retry_exceptions.contains(code)
                    }
                    _ => false,
                };
                if is_not_now {
                    self.link = Some(link);
                } else {
                    self.health.disconnected(&self.gateway.id);
                }
                Err(error)
            }
        }
    }

    /// Connects, however long it takes; says once what is wrong, and once that it is mended.
    async fn connect(&mut self) -> Link {
        let timeout = Duration::from_millis(self.settings.connect_timeout_ms);
        let mut failures = 0_u32;
        loop {
            match Link::open(&self.gateway, timeout).await {
                Ok(link) => {
                    self.health.connected(&self.gateway.id);
                    if failures > 0 {
                        info!(
                            gateway.id = %self.gateway.id,
                            attempts = failures + 1,
                            "Gateway `{}` answers again at {}:{}",
                            self.gateway.id, self.gateway.host, self.gateway.port
                        );
                    }
                    return link;
                }
                Err(reason) => {
                    failures += 1;
                    let delay = retry_delay(&self.settings, failures, &mut self.rng);
                    let message = format!(
                        "gateway `{}` cannot be reached at {}:{}: {reason}; check its power, network and \
                         the address in gateways.csv",
                        self.gateway.id, self.gateway.host, self.gateway.port
                    );
                    self.health
                        .gateway_failed(&self.gateway.id, &message, self.clock.now());
                    if failures == 1 {
                        error!(gateway.id = %self.gateway.id, "{message}; its {} meters wait", self.slots.len() + 1);
                    } else {
                        debug!(gateway.id = %self.gateway.id, failures, "{message}");
                    }
                    sleep(delay).await;
                }
            }
        }
    }

    /// Delivers a poll or notes its failure, and sets when the meter is due again.
    async fn settle(
        &mut self,
        slot: &mut Slot,
        outcome: Result<Vec<snapshot::BlockReading>, PollError>,
    ) -> Result<(), CollectError> {
        let meter = &slot.meter;
        match outcome {
            Ok(readings) => {
                let received_at = self.clock.now();
                let frame = RawFrame {
                    transport: Transport::Modbus,
                    origin: format!("{}/{}", self.gateway.id, meter.unit),
                    device: Some(meter.device.clone()),
                    bytes: snapshot::encode(&readings),
                    received_at,
                };
                let ack = Ack::none();
                self.sender
                    .send(Delivery { frame, ack })
                    .await
                    .map_err(|_| CollectError::QueueClosed {
                        gateway: self.gateway.id.clone(),
                    })?;
                self.health.polled(&self.gateway.id, &meter.id, received_at);
                if slot.failures > 0 {
                    info!(
                        meter.id = %meter.id,
                        "Meter `{}`, unit {} of gateway `{}`, answers again after {} failed polls",
                        meter.id, meter.unit, self.gateway.id, slot.failures
                    );
                }
                slot.failures = 0;
                let jitter = slot.rng.random_range(-PERIOD_JITTER..PERIOD_JITTER);
                let step = slot.period.mul_f64(1.0 + jitter);
                let now = Instant::now();
                let next = slot.due + step;
                // A bus that cannot keep up polls each meter once per round, not in bursts.
                slot.due = if next > now { next } else { now + step };
            }
            Err(reason) => {
                slot.failures = slot.failures.saturating_add(1);
                let message = format!(
                    "meter `{}`, unit {} of gateway `{}`: {reason}",
                    meter.id, meter.unit, self.gateway.id
                );
                self.health
                    .failed(&self.gateway.id, &meter.id, &message, self.clock.now());
                if slot.failures == 1 {
                    warn!(meter.id = %meter.id, "{message}; it is tried again ever more rarely");
                } else {
                    debug!(meter.id = %meter.id, failures = slot.failures, "{message}");
                }
                slot.due =
                    Instant::now() + retry_delay(&self.settings, slot.failures, &mut slot.rng);
            }
        }
        Ok(())
    }

    fn retry_delay_max(&self) -> Duration {
        Duration::from_millis(self.settings.retry_delay_max_ms)
    }
}

/// The slot to poll next: of those overdue the most overdue, failing ones counted as if they were
/// due `penalty` later, so that they go last but not never; if none is overdue, the next one due.
fn next_slot(slots: &[Slot], now: Instant, penalty: Duration) -> Option<usize> {
    slots
        .iter()
        .enumerate()
        .min_by_key(|(_, slot)| {
            let is_waiting = slot.due > now;
            let handicap = if slot.failures > 0 {
                penalty
            } else {
                Duration::ZERO
            };
            let rank = if is_waiting {
                slot.due
            } else {
                slot.due + handicap
            };
            (is_waiting, rank, slot.meter.unit)
        })
        .map(|(index, _)| index)
}

/// Doubles from the shortest to the longest delay; the upper half of it is chance.
fn retry_delay(settings: &ModbusSettings, failures: u32, rng: &mut ChaCha8Rng) -> Duration {
    let min = settings.retry_delay_min_ms.max(1);
    let max = settings.retry_delay_max_ms.max(min);
    let doubled = min
        .saturating_mul(1_u64 << failures.saturating_sub(1).min(32))
        .min(max);
    Duration::from_millis(doubled).mul_f64(rng.random_range(0.5..1.0))
}

/// FNV-1a: the same meter wanders the same way on every run.
fn seed(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
