//! The frames of the city in the order in which they arrive.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Timelike, Utc};

use crate::domain::calendar::{GasDay, GasDayClock, beijing_civil};
use crate::domain::frame::{RawFrame, Transport};
use crate::domain::id::DeviceId;
use crate::domain::meter::MeterRole;
use crate::simulate::city::City;
use crate::simulate::noise::{Stream, day_key, position, whole};
use crate::simulate::site::{Site, Wire};
use crate::simulate::supply::TOPIC_COMPANY;
use crate::simulate::wire;

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    /// Totals at the end of each hour of a gas day.
    Frozen,
    /// Totals and telemetry of one instant.
    Reading,
    /// A Modbus poll as it was kept.
    Snapshot,
    /// Nothing anyone can decode.
    Garbage,
    /// A reading of a device nobody registered.
    Unknown,
}

/// A frame on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimFrame {
    /// When it arrives.
    pub arrives_at: DateTime<Utc>,
    /// What it says.
    pub kind: FrameKind,
    /// The device it is of.
    pub device: DeviceId,
    /// The gateway it passes.
    pub channel: String,
    /// The device's time of its values.
    pub sampled_at: DateTime<Utc>,
    /// MQTT topic.
    pub topic: String,
    /// Payload.
    pub bytes: Bytes,
}

impl SimFrame {
    /// As a frame of the import path.
    pub fn into_history(self) -> RawFrame {
        RawFrame {
            transport: Transport::Import,
            origin: format!("history/{}", self.topic),
            device: Some(self.device),
            bytes: self.bytes,
            received_at: self.arrives_at,
        }
    }
}

/// Which frames a stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// What was kept: a frozen frame a day, CJ/T 188 frames every six hours, Modbus polls every
    /// hour; and, of the last gas day, the hourly readings of live meters.
    History { recent_from: DateTime<Utc> },
    /// What meters push by MQTT; Modbus meters are polled.
    Live,
}

/// A frame that is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    arrives_at: DateTime<Utc>,
    site: usize,
    sampled_at: DateTime<Utc>,
    kind: FrameKind,
    copy: u8,
}

/// An iterator over frames in order of arrival; the same whenever and from wherever it is started.
#[derive(Debug)]
pub struct FrameStream<'a> {
    city: &'a City,
    mode: Mode,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    /// Everything due before this hour has been scheduled.
    next_hour: DateTime<Utc>,
    waiting: BinaryHeap<Reverse<Due>>,
}

/// Longest time a frame is under way: the longest outage, and some.
const UNDER_WAY_HOURS: i64 = 8;
/// A device that the registry does not have.
const UNKNOWN_DEVICE: &str = "TX-999999";

impl City {
    /// What would be found in an archive: frames that arrive in `[from, to)`, in order of arrival.
    ///
    /// For each meter one frozen JSON frame a day (arriving between 08:01 and 12:05 after the gas
    /// day), for CJ/T 188 meters a frame every six hours, for Modbus correctors a register
    /// snapshot every full hour; of the gas day of `to` also the hourly JSON readings. History
    /// faults are in it.
    pub fn history_frames(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> impl Iterator<Item = RawFrame> + '_ {
        self.archive(from, to).map(SimFrame::into_history)
    }

    /// The same, before they are made frames of the import path.
    pub(crate) fn archive(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> FrameStream<'_> {
        let clock = GasDayClock::default();
        let recent_from = clock.start_of(clock.day_of(to));
        FrameStream::new(self, Mode::History { recent_from }, from, to)
    }

    /// MQTT frames that arrive in `[from, to)`, in order of arrival.
    ///
    /// Frozen frames once a day from every JSON meter; readings every quarter of an hour from
    /// enterprises, hourly from other live meters.
    pub fn live_frames(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> FrameStream<'_> {
        FrameStream::new(self, Mode::Live, from, to)
    }

    fn topic(channel: &str, device: &str, kind: FrameKind) -> String {
        let what = match kind {
            FrameKind::Frozen => "frozen",
            _ => "reading",
        };
        format!("gas/{TOPIC_COMPANY}/{channel}/{device}/up/{what}")
    }

    fn render(&self, due: &Due) -> SimFrame {
        let place = &self.sites()[due.site];
        let bits = self.noise().bits(
            Stream::Garbage,
            due.site as u64,
            day_key(due.sampled_at.timestamp()),
        );
        let good = |at| match place.wire {
            Wire::Json => wire::json_reading(self, due.site, at),
            Wire::Cjt188 => wire::cjt188(self, due.site, at),
            Wire::Modbus => wire::snapshot(self, due.site, at),
        };
        let mut device = place.meter.device.clone();
        let bytes = match due.kind {
            FrameKind::Frozen => {
                let day = GasDayClock::default().day_of(due.sampled_at).plus(-1);
                wire::json_frozen(self, due.site, day)
            }
            FrameKind::Reading | FrameKind::Snapshot => good(due.sampled_at),
            FrameKind::Garbage => wire::garble(&good(due.sampled_at), bits),
            FrameKind::Unknown => {
                device = DeviceId::from(UNKNOWN_DEVICE);
                wire::unknown_reading(UNKNOWN_DEVICE, due.sampled_at)
            }
        };
        SimFrame {
            arrives_at: due.arrives_at,
            kind: due.kind,
            topic: Self::topic(&place.channel, device.as_str(), due.kind),
            device,
            channel: place.channel.clone(),
            sampled_at: due.sampled_at,
            bytes,
        }
    }
}

impl<'a> FrameStream<'a> {
    fn new(city: &'a City, mode: Mode, from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        let first = city.config().start_on();
        // The first frozen frame is due when the first gas day ends.
        let start = GasDayClock::default().start_of(first);
        let back = from - TimeDelta::hours(UNDER_WAY_HOURS);
        let floor = back - TimeDelta::seconds(back.timestamp().rem_euclid(3600));
        Self {
            city,
            mode,
            from,
            to,
            next_hour: floor.max(start),
            waiting: BinaryHeap::new(),
        }
    }

    /// Schedules every frame whose regular time lies in the hour that starts at `hour`.
    fn schedule(&mut self, hour: DateTime<Utc>) {
        let civil_hour = beijing_civil(hour).hour();
        let is_span = GasDayClock::default().day_of(hour) < self.city.config().end_on();
        if !is_span {
            return;
        }
        for (index, place) in self.city.sites().iter().enumerate() {
            if place.meter.role == MeterRole::Customer || place.wire == Wire::Modbus {
                self.schedule_site(index, place, hour, civil_hour);
            }
        }
        self.schedule_strays(hour, civil_hour);
    }

    /// Garbage and strangers, at a gateway picked anew each time.
    fn schedule_strays(&mut self, hour: DateTime<Utc>, civil_hour: u32) {
        let key = day_key(hour.timestamp() / 3600);
        let bits = self.city.noise().bits(Stream::FrameFate, u64::MAX, key);
        let (garbage, unknown) = if self.mode == Mode::Live {
            ((bits >> 20).is_multiple_of(3), civil_hour.is_multiple_of(6))
        } else {
            (civil_hour == 13, civil_hour == 15)
        };
        if !garbage && !unknown {
            return;
        }
        let speaking: Vec<usize> = (0..self.city.sites().len())
            .filter(|i| self.city.sites()[*i].wire != Wire::Modbus)
            .collect();
        let picked = usize::try_from(bits % 1_000_003).unwrap_or(0) % speaking.len().max(1);
        let Some(site) = speaking.get(picked).copied() else {
            return;
        };
        let minute = TimeDelta::minutes(i64::try_from(bits >> 32).unwrap_or(0) % 60);
        for (is_due, kind) in [(garbage, FrameKind::Garbage), (unknown, FrameKind::Unknown)] {
            if is_due {
                self.deliver(site, kind, hour, hour + minute);
            }
        }
    }

    fn schedule_site(&mut self, index: usize, place: &Site, hour: DateTime<Utc>, civil_hour: u32) {
        let clock = GasDayClock::default();
        let phase = |salt: u64| {
            self.city
                .noise()
                .uniform(Stream::FramePhase, index as u64, salt)
        };
        let is_enterprise = place.gauge_kpa > 0.0;
        let day = clock.day_of(hour);
        if place.meter.installed_on > day.0 {
            return;
        }
        // Frozen frames: enterprises within ten minutes, the rest spread over four hours.
        if place.wire == Wire::Json && (8..=12).contains(&civil_hour) {
            let after = if is_enterprise {
                60.0 + phase(1) * 540.0
            } else {
                300.0 + phase(1) * 14_400.0
            };
            let due_at = clock.start_of(day) + TimeDelta::seconds(whole(after));
            let was_there = place.meter.installed_on < day.0 && day > self.first_day();
            if was_there && hour <= due_at && due_at < hour + TimeDelta::hours(1) {
                self.deliver(index, FrameKind::Frozen, clock.start_of(day), due_at);
            }
        }
        let recent = match self.mode {
            Mode::History { recent_from } => hour >= recent_from,
            Mode::Live => true,
        };
        let (kind, step_s) = match (place.wire, self.mode) {
            (Wire::Modbus, Mode::History { .. }) => (FrameKind::Snapshot, 3_600),
            (Wire::Cjt188, Mode::History { .. }) if civil_hour % 6 != 2 => return,
            (Wire::Cjt188, _) => (FrameKind::Reading, 3_600),
            (Wire::Json, Mode::Live) if place.is_live => (
                FrameKind::Reading,
                i64::from(place.meter.period_s.min(3_600)),
            ),
            (Wire::Json, Mode::History { .. }) if place.is_live && recent => {
                (FrameKind::Reading, 3_600)
            }
            (Wire::Json, _) | (Wire::Modbus, Mode::Live) => return,
        };
        let delay = match (kind, is_enterprise) {
            (FrameKind::Snapshot, _) => 0.0,
            (_, true) => 2.0 + phase(2) * 40.0,
            (_, false) => 30.0 + phase(2) * 870.0,
        };
        for i in 0..3_600 / step_s.max(1) {
            let sampled_at = hour + TimeDelta::seconds(i * step_s);
            let due_at = sampled_at + TimeDelta::seconds(whole(delay));
            self.deliver(index, kind, sampled_at, due_at);
        }
    }

    fn first_day(&self) -> GasDay {
        self.city.config().start_on()
    }

    /// Decides what becomes of a frame under way: kept back, lost, late, twice, or on time.
    fn deliver(
        &mut self,
        site: usize,
        kind: FrameKind,
        sampled_at: DateTime<Utc>,
        due_at: DateTime<Utc>,
    ) {
        let place = &self.city.sites()[site];
        let noise = self.city.noise();
        let key = day_key(due_at.timestamp());
        let fate = noise.uniform(Stream::FrameFate, site as u64, key);
        let extent = noise.uniform(Stream::FrameFate, site as u64 + (1 << 32), key);
        let mut arrives_at = due_at;
        if kind != FrameKind::Snapshot && fate < 0.005 {
            arrives_at += TimeDelta::seconds(whole(1_200.0 + extent * 4_200.0));
        }
        if let Some(outage) = self.city.script().outage_of(&place.channel, arrives_at) {
            if outage.is_modbus {
                return;
            }
            // What was kept comes at once, half a second apart at most.
            let order = position(due_at.timestamp()) % 500;
            arrives_at = outage.to_at + TimeDelta::milliseconds(i64::try_from(order).unwrap_or(0));
        }
        let due = Due {
            arrives_at,
            site,
            sampled_at,
            kind,
            copy: 0,
        };
        if kind != FrameKind::Snapshot && (0.005..0.010).contains(&fate) {
            let later = arrives_at + TimeDelta::seconds(whole(60.0 + extent * 1_140.0));
            self.wait(Due {
                arrives_at: later,
                copy: 1,
                ..due.clone()
            });
        }
        self.wait(due);
    }

    fn wait(&mut self, due: Due) {
        if self.from <= due.arrives_at && due.arrives_at < self.to {
            self.waiting.push(Reverse(due));
        }
    }
}

impl Iterator for FrameStream<'_> {
    type Item = SimFrame;

    fn next(&mut self) -> Option<SimFrame> {
        loop {
            let is_settled = self
                .waiting
                .peek()
                .is_some_and(|Reverse(due)| due.arrives_at < self.next_hour);
            if is_settled || self.next_hour >= self.to {
                return self
                    .waiting
                    .pop()
                    .map(|Reverse(due)| self.city.render(&due));
            }
            let hour = self.next_hour;
            self.schedule(hour);
            self.next_hour = hour + TimeDelta::hours(1);
        }
    }
}

#[cfg(test)]
mod tests;
