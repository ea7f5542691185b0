//! Whole buses on a clock of their own: the schedule and the turns of its meters against devices that
//! are slow, silent or busy, on a machine that stands still now and then.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use super::{Marks, Next, next};
use crate::collect::modbus::bus::retry_delay;
use crate::collect::modbus::fault::Remedy;
use crate::collect::modbus::patience::Patience;
use crate::collect::modbus::turn::{Fate, Turn};
use crate::settings::ModbusSettings;

/// How a device answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Device {
    After(Duration),
    Never,
    /// Says "busy" to every second request.
    Busy,
}

#[derive(Debug, Clone)]
struct Plan {
    devices: Vec<Device>,
    blocks: u32,
    period: Duration,
    settings: ModbusSettings,
    /// When the machine stands still, since the start, and for how long.
    stalls: Vec<(Duration, Duration)>,
    /// Whether a unit whose answer may still come is left alone, as on a serial line.
    is_serial: bool,
    lasts: Duration,
}

struct Unit {
    device: Device,
    turn: Turn,
    read: u32,
    asked: u32,
    barred_until: Option<Instant>,
    rng: ChaCha8Rng,
}

struct World {
    plan: Plan,
    start: Instant,
    now: Instant,
    marks: Marks,
    units: Vec<Unit>,
    /// Complete polls of each unit, since the start.
    polls: BTreeMap<usize, Vec<Duration>>,
}

const ANSWER: Duration = Duration::from_millis(20);

impl World {
    fn new(plan: Plan) -> Self {
        let start = Instant::now();
        let units = (1..=u8::MAX)
            .zip(&plan.devices)
            .map(|(unit, device)| Unit {
                device: *device,
                turn: Turn {
                    unit,
                    period: plan.period,
                    mark: start,
                    ready_at: start,
                    attempts: 0,
                    failures: 0,
                    is_silent: false,
                    glances: 0,
                    requests: plan.blocks,
                    pauses: Duration::ZERO,
                    patience: Patience::new(&plan.settings, None),
                },
                read: 0,
                asked: 0,
                barred_until: None,
                rng: ChaCha8Rng::seed_from_u64(unit.into()),
            })
            .collect();
        Self {
            start,
            now: start,
            marks: Marks {
                epoch: start,
                seed: 7,
                jitter_ratio: plan.settings.jitter_ratio,
            },
            units,
            polls: BTreeMap::new(),
            plan,
        }
    }

    fn run(mut self) -> Self {
        while self.now < self.start + self.plan.lasts {
            self.stand_still();
            let turns: Vec<Turn> = self.units.iter_mut().map(|u| u.turn_at(self.now)).collect();
            match next(&turns, self.now, 1) {
                Next::Poll(grant) => self.poll(grant.index, grant.deadline, grant.requests),
                Next::At(at) => {
                    assert!(at > self.now, "the bus would spin");
                    self.now = at;
                }
                Next::Never => panic!("a bus with meters has a next turn"),
            }
        }
        self
    }

    fn stand_still(&mut self) {
        for (at, len) in &self.plan.stalls {
            let (from, to) = (self.start + *at, self.start + *at + *len);
            if from <= self.now && self.now < to {
                self.now = to;
            }
        }
    }

    /// When something that would be over at `end` is over on a machine that stands still in between.
    fn really(&self, end: Instant) -> Instant {
        let mut end = end;
        for (at, len) in &self.plan.stalls {
            let (from, to) = (self.start + *at, self.start + *at + *len);
            if self.now < to && from <= end {
                end = end.max(to);
            }
        }
        end
    }

    fn poll(&mut self, index: usize, deadline: Duration, requests: u32) {
        let mut outcome = Ok(());
        for _ in 0..requests.min(self.plan.blocks - self.units[index].read) {
            let asked_at = self.now;
            self.units[index].asked += 1;
            let unit = &self.units[index];
            let answers_at = match unit.device {
                Device::After(after) => Some(asked_at + after),
                Device::Busy => Some(asked_at + ANSWER),
                Device::Never => None,
            };
            // In the worst order: what is late by the clock is late, although it lies there.
            let heard_at = answers_at.map(|at| self.really(at));
            let gives_up_at = self.really(asked_at + deadline);
            let is_heard = heard_at.is_some_and(|at| at <= asked_at + deadline);
            let is_busy = unit.device == Device::Busy && unit.asked.is_multiple_of(2);
            let unit = &mut self.units[index];
            if !is_heard {
                self.now = gives_up_at;
                let last = asked_at + Duration::from_millis(self.plan.settings.late_answer_max_ms);
                unit.barred_until = self
                    .plan
                    .is_serial
                    .then(|| answers_at.unwrap_or(last).min(last));
                outcome = Err(Remedy::Quietly);
                break;
            }
            self.now = heard_at.unwrap();
            if is_busy {
                outcome = Err(Remedy::Again(Duration::from_millis(100)));
                break;
            }
            unit.turn.patience.answered(self.now - asked_at);
            unit.read += 1;
        }
        self.settle(index, outcome, deadline);
    }

    fn settle(&mut self, index: usize, outcome: Result<(), Remedy>, deadline: Duration) {
        let (now, marks, period) = (self.now, self.marks, self.plan.period);
        let after = |from| marks.after(from, period);
        let settings = &self.plan.settings;
        let unit = &mut self.units[index];
        match outcome {
            Ok(()) if unit.read < self.plan.blocks => unit.turn.went_on(now),
            Ok(()) => {
                unit.read = 0;
                unit.turn.succeeded(now, after);
                self.polls.entry(index).or_default().push(now - self.start);
            }
            Err(remedy) => {
                let fate = unit
                    .turn
                    .failed(remedy, deadline, settings.retries_max, now, after);
                if fate == Fate::Missed {
                    unit.read = 0;
                    if unit.turn.failures >= 2 {
                        let delay = retry_delay(settings, unit.turn.failures - 1, &mut unit.rng);
                        unit.turn.rest_until(now + delay);
                    }
                }
            }
        }
    }

    /// The longest time a unit went without a complete poll, from `from` on.
    fn gap_max(&self, index: usize, from: Duration) -> Duration {
        let polls = self.polls.get(&index).cloned().unwrap_or_default();
        let ends = polls
            .into_iter()
            .filter(|at| *at >= from)
            .chain([self.plan.lasts]);
        let mut last = from;
        let mut gap = Duration::ZERO;
        for at in ends {
            gap = gap.max(at.saturating_sub(last));
            last = at;
        }
        gap
    }
}

impl Unit {
    /// As the bus shows a turn to the schedule.
    fn turn_at(&mut self, now: Instant) -> Turn {
        self.barred_until = self.barred_until.filter(|until| *until > now);
        let mut turn = self.turn.clone();
        if let Some(until) = self.barred_until {
            self.turn.ready_at = self.turn.ready_at.max(now);
            turn.ready_at = turn.ready_at.max(until);
        }
        turn
    }
}

fn settings() -> ModbusSettings {
    ModbusSettings {
        request_timeout_ms: 1_000,
        request_timeout_max_ms: 2_000,
        late_answer_max_ms: 10_000,
        retry_delay_min_ms: 1_000,
        retry_delay_max_ms: 30_000,
        ..crate::collect::modbus::tests::settings()
    }
}

const S: Duration = Duration::from_secs(1);

#[test]
fn healthy_meters_keep_their_period_beside_all_that_can_be_wrong() {
    let healthy = Device::After(ANSWER);
    let mut devices = vec![healthy; 16];
    devices.extend([
        Device::After(Duration::from_millis(1_600)),
        Device::Never,
        Device::Busy,
        healthy,
    ]);
    for is_serial in [false, true] {
        let world = World::new(Plan {
            devices: devices.clone(),
            blocks: 2,
            period: 5 * S,
            settings: settings(),
            stalls: Vec::new(),
            is_serial,
            lasts: 600 * S,
        })
        .run();
        // Until the slow and the silent one are known for what they are.
        let learnt = 60 * S;
        for (index, device) in devices.iter().enumerate() {
            let gap = world.gap_max(index, learnt);
            match device {
                Device::After(after) if *after == ANSWER => {
                    assert!(gap < 5 * S + S / 2, "unit {index}: {gap:?}");
                }
                Device::Busy => assert!(gap < 6 * S, "unit {index}: {gap:?}"),
                Device::After(_) => assert!(gap < 11 * S, "unit {index}: {gap:?}"),
                Device::Never => assert!(world.units[index].asked > 15),
            }
        }
    }
}

fn devices() -> impl Strategy<Value = Vec<Device>> {
    let device = prop_oneof![
        6 => (5_u64..60).prop_map(|ms| Device::After(Duration::from_millis(ms))),
        1 => (100_u64..1_900).prop_map(|ms| Device::After(Duration::from_millis(ms))),
        1 => Just(Device::Never),
        1 => Just(Device::Busy),
    ];
    prop::collection::vec(device, 1..30)
}

fn stalls() -> impl Strategy<Value = Vec<(Duration, Duration)>> {
    let stall = (0_u64..120_000, 10_u64..8_000)
        .prop_map(|(at, len)| (Duration::from_millis(at), Duration::from_millis(len)));
    prop::collection::vec(stall, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However little the bus can keep up and however often the machine stood still: once it stands
    /// still no more, whoever answers is read again and again.
    #[test]
    fn nobody_who_answers_starves(
        devices in devices(),
        stalls in stalls(),
        period_s in 1_u32..6,
        blocks in 1_u32..4,
        is_serial in any::<bool>(),
    ) {
        let settings = ModbusSettings {
            late_answer_max_ms: 3_000,
            retry_delay_max_ms: 5_000,
            ..settings()
        };
        let calm = 140 * S;
        let period = period_s * S;
        let count = u32::try_from(devices.len()).unwrap();
        // A turn is one block at worst, and everyone else may have one before it.
        let turn = period * 4 + count * Duration::from_millis(settings.request_timeout_max_ms);
        let rest = Duration::from_millis(settings.retry_delay_max_ms + settings.late_answer_max_ms);
        // Glanced at until it is known to be slow, then the blocks of a poll, some of them busy.
        let bound = (rest + turn) * 10 + turn * (2 * blocks + 2);
        let world = World::new(Plan {
            devices: devices.clone(),
            blocks,
            period,
            settings,
            stalls,
            is_serial,
            lasts: calm + bound * 3,
        })
        .run();
        for (index, device) in devices.iter().enumerate() {
            // A busy one may need longer than its period, and begins anew at each.
            if matches!(device, Device::After(_)) {
                let gap = world.gap_max(index, calm);
                prop_assert!(gap <= bound, "unit {} {device:?}: {gap:?} of {bound:?}", index + 1);
            }
        }
    }
}
