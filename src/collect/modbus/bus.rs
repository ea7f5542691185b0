//! The actor of one bus: owns its line and its meters, asks them in turn, delivers what they say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::CollectError;
use super::fault::RequestError;
use super::health::ModbusHealth;
use super::late::LateAnswers;
use super::link::Link;
use super::patience::Patience;
use super::poll::{Answer, Poll, Progress, Terms};
use super::schedule::{self, Grant, Marks, Next};
use super::slot::{Meters, Slot};
use super::turn::{Fate, Turn};
use crate::clock::{Clock, real_duration};
use crate::collect::{Ack, Delivery};
use crate::decode::{DeviceProfile, snapshot};
use crate::domain::calendar::beijing_civil;
use crate::domain::frame::{RawFrame, Transport};
use crate::domain::id::MeterId;
use crate::domain::meter::{Gateway, GatewayTransport, Meter};
use crate::domain::text::fnv1a;
use crate::settings::ModbusSettings;

/// Shortest real time between two polls of a meter, however fast the clock runs.
const PERIOD_MIN: Duration = Duration::from_millis(20);
/// The buses of a program start within this span, and not all at once.
const START_SPREAD_MAX: Duration = Duration::from_secs(5);
/// A gateway that comes back is found within this time: an attempt to connect costs nobody anything.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(30);
/// Marks missed in a row before a meter is tried ever more rarely.
const BREAKER_AFTER: u32 = 2;

/// What a bus needs from the program around it.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) settings: Arc<ModbusSettings>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) health: Arc<ModbusHealth>,
    pub(super) sender: mpsc::Sender<Delivery>,
}

/// The gateway cannot be reached: nobody is asked before `until`.
#[derive(Debug, Default)]
struct Outage {
    attempts: u32,
    until: Option<Instant>,
}

pub(super) struct Bus {
    gateway: Arc<Gateway>,
    around: Surroundings,
    meters: Meters,
    slots: Vec<Slot>,
    /// Meters that are being asked; their slots are with the polls.
    in_flight: BTreeSet<MeterId>,
    links: Vec<Link>,
    /// Connections that may be open at the same time.
    parallel: usize,
    late: LateAnswers,
    marks: Marks,
    outage: Outage,
    rng: ChaCha8Rng,
}

impl Bus {
    pub(super) fn new(gateway: Gateway, around: Surroundings) -> Self {
        let seed = seed(gateway.id.as_str());
        let parallel = match gateway.transport {
            GatewayTransport::Tcp => usize::from(gateway.parallel.max(1)),
            GatewayTransport::RtuOverTcp | GatewayTransport::Serial => 1,
        };
        Self {
            marks: Marks {
                epoch: Instant::now(),
                seed,
                jitter_ratio: around.settings.jitter_ratio,
            },
            gateway: Arc::new(gateway),
            around,
            meters: Meters::new(),
            slots: Vec::new(),
            in_flight: BTreeSet::new(),
            links: Vec::new(),
            parallel,
            late: LateAnswers::default(),
            outage: Outage::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Polls until stopped; takes on meters and lets them go as `plan` says.
    ///
    /// On `stop` the request under way is awaited, since an answer nobody waits for would lie on the
    /// line; what it completes is delivered.
    pub(super) async fn run(
        mut self,
        mut plan: watch::Receiver<Meters>,
        stop: CancellationToken,
    ) -> Result<(), CollectError> {
        let meters = plan.borrow_and_update().clone();
        self.start_marks(&meters);
        self.take_on(meters);
        let mut polls = FuturesUnordered::new();
        let mut has_plan = true;
        loop {
            let mut wake_at = None;
            while !stop.is_cancelled() && polls.len() < self.parallel {
                match self.next(polls.len()) {
                    Next::Poll(grant) => {
                        let slot = self.slots.swap_remove(grant.index);
                        polls.push(self.poll(slot, grant, stop.clone()).run());
                    }
                    Next::At(at) => {
                        wake_at = Some(at);
                        break;
                    }
                    Next::Never => break,
                }
            }
            if stop.is_cancelled() && polls.is_empty() {
                return Ok(());
            }
            let wake = async {
                match wake_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(answer) = polls.next(), if !polls.is_empty() => self.settle(answer, &stop).await?,
                () = stop.cancelled(), if !stop.is_cancelled() => {}
                changed = plan.changed(), if has_plan => {
                    has_plan = changed.is_ok();
                    let meters = plan.borrow_and_update().clone();
                    self.take_on(meters);
                }
                () = wake => {}
            }
        }
    }

    /// Buses do not start in step, and no later than their shortest period allows.
    fn start_marks(&mut self, meters: &Meters) {
        let shortest = meters.values().map(|(meter, _)| self.period(meter)).min();
        let spread = shortest.unwrap_or_default().min(START_SPREAD_MAX);
        let share = self.rng.random_range(0.0..1.0);
        self.marks.epoch = Instant::now() + spread.mul_f64(share);
    }

    fn period(&self, meter: &Meter) -> Duration {
        let settings = &self.around.settings;
        let period_s = match meter.period_s {
            0 => settings.period_s.max(1),
            own => own,
        };
        let span = TimeDelta::seconds(period_s.into());
        real_duration(self.around.clock.as_ref(), span).max(PERIOD_MIN)
    }

    /// Makes the slots those of `meters`. A meter that stays as it was keeps what was learnt of it; one
    /// that is being asked finds its place when it is done.
    fn take_on(&mut self, meters: Meters) {
        self.around
            .health
            .register(&self.gateway, meters.values().map(|(meter, _)| meter));
        self.meters = meters;
        let meters = &self.meters;
        self.slots.retain(|slot| slot.is_of(meters));
        let wanted: Vec<(Meter, Arc<DeviceProfile>)> = self
            .meters
            .iter()
            .filter(|(id, _)| {
                !self.in_flight.contains(*id)
                    && !self.slots.iter().any(|slot| slot.meter.id == **id)
            })
            .map(|(_, (meter, profile))| (meter.clone(), Arc::clone(profile)))
            .collect();
        for (meter, profile) in wanted {
            let slot = self.slot(meter, profile);
            self.slots.push(slot);
        }
        if self.meters.is_empty() {
            warn!(gateway.id = %self.gateway.id, "Gateway `{}` has no meters; nothing to poll", self.gateway.id);
        }
    }

    fn slot(&self, meter: Meter, profile: Arc<DeviceProfile>) -> Slot {
        let settings = &self.around.settings;
        let period = self.period(&meter);
        let quirks = profile.modbus_quirks();
        let requests = u32::try_from(profile.register_blocks().len()).unwrap_or(u32::MAX);
        let pause = Duration::from_millis(quirks.map_or(0, |q| q.pause_ms));
        let now = Instant::now();
        let mut turn = Turn {
            unit: meter.unit,
            period,
            mark: now,
            ready_at: now,
            attempts: 0,
            failures: 0,
            is_silent: false,
            glances: 0,
            requests,
            pauses: pause * requests,
            patience: Patience::new(settings, quirks.and_then(|q| q.timeout_ms)),
        };
        // The first mark of a bus is its start, so that nobody waits a period for a first reading.
        turn.mark = if settings.is_clock_aligned {
            self.mark_after(period, now)
        } else {
            self.marks.mark(0, period).max(now)
        };
        turn.ready_at = turn.mark;
        Slot {
            rng: ChaCha8Rng::seed_from_u64(seed(meter.id.as_str())),
            meter,
            profile,
            read: Vec::new(),
            turn,
            failed_attempts: 0,
        }
    }

    fn next(&mut self, in_use: usize) -> Next {
        let now = Instant::now();
        if let Some(until) = self.outage.until {
            if until > now {
                return Next::At(until);
            }
            self.outage.until = None;
        }
        if self.outage.attempts > 0 && in_use > 0 {
            // One knocks; the others wait for the door.
            return Next::Never;
        }
        let turns: Vec<Turn> = self
            .slots
            .iter_mut()
            .map(|slot| {
                let bar = self.late.barred_until(slot.turn.unit, now);
                // Barred until now at least: it does not wait for room yet.
                if bar.is_some() {
                    slot.turn.ready_at = slot.turn.ready_at.max(now);
                }
                let mut turn = slot.turn.clone();
                // Lifted as soon as the late answer is seen.
                if let Some(until) = bar {
                    turn.ready_at = turn.ready_at.max(until);
                }
                turn
            })
            .collect();
        schedule::next(&turns, now, self.parallel - in_use)
    }

    fn poll(&mut self, slot: Slot, grant: Grant, stop: CancellationToken) -> Poll {
        let settings = &self.around.settings;
        self.in_flight.insert(slot.meter.id.clone());
        Poll {
            slot,
            link: self.links.pop(),
            gateway: Arc::clone(&self.gateway),
            late: self.late.clone(),
            health: Arc::clone(&self.around.health),
            stop,
            terms: Terms {
                deadline: grant.deadline,
                requests: grant.requests,
                connect: Duration::from_millis(settings.connect_timeout_ms),
                late_max: Duration::from_millis(settings.late_answer_max_ms),
            },
        }
    }

    /// Delivers a poll or notes its failure, and sets when the meter is asked again.
    async fn settle(
        &mut self,
        answer: Answer,
        stop: &CancellationToken,
    ) -> Result<(), CollectError> {
        let Answer {
            mut slot,
            link,
            outcome,
            took,
            deadline,
        } = answer;
        self.in_flight.remove(&slot.meter.id);
        if !matches!(
            outcome,
            Err(RequestError::Connect { .. } | RequestError::Stopped)
        ) {
            self.reached();
        }
        if link.is_none() && self.links.is_empty() && self.in_flight.is_empty() {
            self.around.health.disconnected(&self.gateway.id);
        }
        self.links.extend(link);
        for answer in &took {
            slot.turn.patience.answered(*answer);
        }
        let (learnt, usual) = (slot.turn.patience.timeout(), slot.turn.patience.usual());
        self.around
            .health
            .timed(&self.gateway.id, &slot.meter.id, usual, learnt);
        match outcome {
            Ok(Progress::Part) => {
                slot.turn.went_on(Instant::now());
            }
            Ok(Progress::Whole(readings)) => {
                self.deliver(&slot.meter, &readings, stop).await?;
                self.succeeded(&mut slot);
            }
            Err(RequestError::Connect { reason }) => self.unreachable(&reason),
            Err(RequestError::Stopped) => {}
            Err(reason) => self.failed(&mut slot, &reason, deadline),
        }
        if slot.is_of(&self.meters) {
            self.slots.push(slot);
        } else if let Some((meter, profile)) = self.meters.get(&slot.meter.id) {
            let changed = self.slot(meter.clone(), Arc::clone(profile));
            self.slots.push(changed);
        }
        Ok(())
    }

    async fn deliver(
        &mut self,
        meter: &Meter,
        readings: &[snapshot::BlockReading],
        stop: &CancellationToken,
    ) -> Result<(), CollectError> {
        let received_at = self.around.clock.now();
        let delivery = Delivery {
            frame: RawFrame {
                transport: Transport::Modbus,
                origin: format!("{}/{}", self.gateway.id, meter.unit),
                device: Some(meter.device.clone()),
                bytes: snapshot::encode(readings),
                received_at,
            },
            ack: Ack::none(),
        };
        // A full queue holds the bus back; told to stop, it waits no longer.
        let place = tokio::select! {
            biased;
            place = self.around.sender.reserve() => place,
            () = stop.cancelled() => return Ok(()),
        };
        place
            .map_err(|_| CollectError::QueueClosed {
                gateway: self.gateway.id.clone(),
            })?
            .send(delivery);
        self.around
            .health
            .polled(&self.gateway.id, &meter.id, received_at);
        Ok(())
    }

    fn succeeded(&self, slot: &mut Slot) {
        if slot.turn.failures > 0 {
            info!(
                meter.id = %slot.meter.id,
                "Meter `{}`, unit {} of gateway `{}`, answers again after {} failed attempts",
                slot.meter.id, slot.meter.unit, self.gateway.id, slot.failed_attempts
            );
        }
        slot.failed_attempts = 0;
        slot.read.clear();
        let period = slot.turn.period;
        let after = |from| self.mark_after(period, from);
        slot.turn.succeeded(Instant::now(), after);
    }

    pub(super) fn mark_after(&self, period: Duration, from: Instant) -> Instant {
        if !self.around.settings.is_clock_aligned {
            return self.marks.after(from, period);
        }
        let clock = self.around.clock.as_ref();
        let now = Instant::now();
        let civil = beijing_civil(clock.now()).naive_local().and_utc();
        let period_s = period.as_secs_f64() * clock.factor();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a period in milliseconds is a small number"
        )]
        let period_ms = ((period_s * 1_000.0).round() as i64).max(1);
        let into_ms = civil.timestamp_millis().rem_euclid(period_ms);
        let mut left_ms = period_ms - into_ms;
        // A timer that fired a moment before its mark must not make it a second time.
        if left_ms.saturating_mul(50) < period_ms {
            left_ms += period_ms;
        }
        let left = TimeDelta::milliseconds(left_ms);
        now + real_duration(clock, left)
    }

    fn failed(&mut self, slot: &mut Slot, reason: &RequestError, deadline: Duration) {
        let quirks = slot.profile.modbus_quirks();
        let remedy = reason.remedy(quirks.map_or(&[], |q| q.retry_exceptions.as_slice()));
        slot.failed_attempts = slot.failed_attempts.saturating_add(1);
        let now = Instant::now();
        let (period, retries_max) = (slot.turn.period, self.around.settings.retries_max);
        let after = |from| self.mark_after(period, from);
        let fate = slot.turn.failed(remedy, deadline, retries_max, now, after);
        let message = format!(
            "meter `{}`, unit {} of gateway `{}`: {reason}",
            slot.meter.id, slot.meter.unit, self.gateway.id
        );
        let at = self.around.clock.now();
        let health = &self.around.health;
        if fate == Fate::Retried {
            health.retried(&self.gateway.id, &slot.meter.id, &message, at);
            debug!(meter.id = %slot.meter.id, attempts = slot.turn.attempts, "{message}; asked again within the period");
            return;
        }
        health.failed(&self.gateway.id, &slot.meter.id, &message, at);
        slot.read.clear();
        let failures = slot.turn.failures;
        if failures == 1 {
            warn!(meter.id = %slot.meter.id, "{message}; it is tried again, and ever more rarely if that goes on");
        } else {
            debug!(meter.id = %slot.meter.id, failures, "{message}");
        }
        if failures >= BREAKER_AFTER {
            let settings = &self.around.settings;
            let delay = retry_delay(settings, failures + 1 - BREAKER_AFTER, &mut slot.rng);
            slot.turn.rest_until(now + delay);
        }
    }

    fn reached(&mut self) {
        if self.outage.attempts > 0 {
            info!(
                gateway.id = %self.gateway.id,
                attempts = self.outage.attempts + 1,
                "Gateway `{}` answers again at {}",
                self.gateway.id, self.gateway.address()
            );
        }
        self.outage = Outage::default();
    }

    /// Says once what is wrong, and waits; no meter is blamed.
    fn unreachable(&mut self, reason: &str) {
        self.outage.attempts = self.outage.attempts.saturating_add(1);
        let delay = retry_delay(&self.around.settings, self.outage.attempts, &mut self.rng)
            .min(RECONNECT_DELAY_MAX);
        self.outage.until = Some(Instant::now() + delay);
        let message = format!(
            "gateway `{}` cannot be reached at {}: {reason}; check its power, network and the address in \
             gateways.csv",
            self.gateway.id,
            self.gateway.address()
        );
        self.around
            .health
            .gateway_failed(&self.gateway.id, &message, self.around.clock.now());
        if self.outage.attempts == 1 {
            error!(gateway.id = %self.gateway.id, "{message}; its {} meters wait", self.meters.len());
        } else {
            debug!(gateway.id = %self.gateway.id, attempts = self.outage.attempts, "{message}");
        }
    }
}

/// Doubles from the shortest to the longest delay; the upper half of it is chance.
pub(super) fn retry_delay(
    settings: &ModbusSettings,
    failures: u32,
    rng: &mut ChaCha8Rng,
) -> Duration {
    let min = settings.retry_delay_min_ms.max(1);
    let max = settings.retry_delay_max_ms.max(min);
    let doubled = min
        .saturating_mul(1_u64 << failures.saturating_sub(1).min(32))
        .min(max);
    Duration::from_millis(doubled).mul_f64(rng.random_range(0.5..1.0))
}

/// The same meter wanders the same way on every run.
pub(super) fn seed(id: &str) -> u64 {
    fnv1a(id.bytes())
}
