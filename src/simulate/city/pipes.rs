//! The pipes behind the gates: what lies in them, and what therefore comes in through the gates.
//!
//! Each zone hangs on a ring of sub-high-pressure pipe (次高压A, 1.6 MPa): some 40 km of DN500 in the north,
//! 32 km in the south. Its pressure is let down in the day and built up at night, and moves from day to
//! day with what upstream gives; what a gate passes is what the zone takes, what is lost, and what stays
//! in the pipes. The gate's transmitters show the ring's own state.

use super::{City, Conditions, k_ratio};
use crate::domain::quantity::{AbsPressure, ReferenceConditions, Temperature, conversion_factor};
use crate::simulate::noise::{Stream, units};
use crate::simulate::supply::{ATMOSPHERE_KPA, LOSS_RATIO};

/// Gauge pressure of the rings in the mean, kPa.
pub(crate) const RING_KPA: f64 = 1_600.0;
/// How far it lies from that at the start of a gas day, standard deviation, kPa.
const DAY_KPA: f64 = 40.0;
/// How far it is let down in the afternoon, and built up in the small hours, kPa.
const SWING_KPA: f64 = 25.0;
/// Greatest value of τ (1 − τ) (1 − 2τ) within a day.
const SWING_MAX: f64 = 0.096_225;
/// Noise of a gate meter and of what is lost, a part of the day's gas.
const GATE_SPREAD: f64 = 0.003;

impl City {
    /// Gauge pressure of a ring, kPa, and temperature of its gas, °C, at a part (0 to 1) of a gas day.
    fn ring(&self, zone: usize, day: usize, part: f64) -> (f64, f64) {
        let start = |day: usize| {
            let on = self.config.start_on().plus(i64::try_from(day).unwrap_or(0));
            let key = i64::from(on.epoch_day());
            let noise = self
                .noise
                .autoregressive(Stream::Ring, zone as u64, key, 0.6);
            (RING_KPA + DAY_KPA * noise, self.ground_c(on.0))
        };
        let ((from_kpa, from_c), (to_kpa, to_c)) = (start(day), start(day + 1));
        let swing = part * (1.0 - part) * (1.0 - 2.0 * part) / SWING_MAX;
        let between = |from: f64, to: f64| from + (to - from) * part;
        (
            between(from_kpa, to_kpa) - SWING_KPA * swing,
            between(from_c, to_c),
        )
    }

    /// State of the gas at a gate.
    pub(super) fn gate_conditions(&self, zone: usize, day: usize, part: f64) -> Conditions {
        let (gauge_kpa, temperature_c) = self.ring(zone, day, part);
        // Gas is the more compressible the colder it is: Z₀/Z − 1 by the third power of 15 °C / T.
        let cold = 288.15 / (temperature_c + 273.15);
        let k = 1.0 + (k_ratio(gauge_kpa) - 1.0) * cold * cold * cold;
        Conditions::of(gauge_kpa + ATMOSPHERE_KPA, temperature_c, k)
    }

    /// Gas that lies in the pipes of a zone, m³.
    pub fn line_pack_m3(&self, zone: usize, day: usize, part: f64) -> f64 {
        let (gauge_kpa, temperature_c) = self.ring(zone, day, part);
        let volume_m3 = self
            .config
            .pipe_volumes_m3
            .get(zone)
            .copied()
            .unwrap_or(0.0);
        let factor = conversion_factor(
            AbsPressure(gauge_kpa + ATMOSPHERE_KPA),
            Temperature(temperature_c),
            1.0,
            ReferenceConditions::CHINA,
        );
        volume_m3 * factor
    }

    /// Standard volume of each hour of a gas day through a gate, units.
    pub(super) fn gate_hours(&self, zone: usize, day: usize) -> [i64; 24] {
        let noise = self
            .noise
            .normal(Stream::GateDay, zone as u64, self.epoch_key(day));
        let ratio = 1.0 + LOSS_RATIO + GATE_SPREAD * noise;
        let pack = |hour: usize| self.line_pack_m3(zone, day, hour as f64 / 24.0);
        std::array::from_fn(|hour| {
            let sold = self.zone_hour_m3(zone, day, hour);
            units(sold * ratio + pack(hour + 1) - pack(hour))
        })
    }

    /// The same at the state of the ring, by that of the middle of each hour.
    pub(super) fn gate_work_hours(&self, zone: usize, day: usize, hours: &[i64; 24]) -> [i64; 24] {
        let mut hour = 0.0;
        hours.map(|volume| {
            let factor = self.gate_conditions(zone, day, (hour + 0.5) / 24.0).factor;
            hour += 1.0;
            units(volume as f64 / 10_000.0 / factor)
        })
    }
}
