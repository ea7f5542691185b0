//! Line pack (管存): the gas that lies in the pipes of a zone.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::quantity::{
    AbsPressure, ReferenceConditions, StdVolume, Temperature, conversion_factor,
};

/// Temperature of gas in the ground where nobody says: the yearly mean one metre down, °C.
pub const GROUND_C: f64 = 15.0;
/// Readings further apart than this do not say what the pressure was in between.
pub const BRIDGE_MAX: TimeDelta = TimeDelta::minutes(75);
/// A pressure that moves by more than this part in an hour is a transmitter's fault.
const MOVE_MAX: f64 = 0.2;
/// By how much the pressure of a city's ring moves in an hour where nothing is known of it, kPa: 1,600 kPa let
/// down and built up by some 50 kPa within the day.
const MOVE_KPA: f64 = 10.0;
/// Part of the hours that the spread contains, as every uncertainty of an estimate does.
const WITHIN: f64 = 0.8;

/// Mean state of the gas in a zone's pipes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PipeState {
    /// Pressure.
    pub pressure: AbsPressure,
    /// Temperature of the gas.
    pub temperature: Temperature,
}

/// How much more gas lies in the pipes at the end than at the start, at reference conditions.
///
/// ΔV = V · (C(p₁, T₁) − C(p₀, T₀)) with V the volume of the
/// pipes and C the ideal conversion factor: at the pressures of a
/// city network (up to 400 kPa, where nearly all its pipe volume is) Z differs from 1 by less than
/// 1 %, and of a difference only that of the difference counts.
///
/// # Source
/// METHODS.md, "Line pack"; worked example: `converts_the_worked_example`.
pub fn change(
    pipe_volume_m3: f64,
    start: PipeState,
    end: PipeState,
    reference: ReferenceConditions,
) -> StdVolume {
    let held = |state: PipeState| {
        pipe_volume_m3 * conversion_factor(state.pressure, state.temperature, 1.0, reference)
    };
    StdVolume::from_f64(held(end) - held(start))
}

/// What a gate's transmitters said of the gas behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateReading {
    /// When.
    pub at: DateTime<Utc>,
    /// Pressure.
    pub pressure: AbsPressure,
    /// Temperature of the gas.
    pub temperature: Option<Temperature>,
}

/// How much the line pack grew in each of the 24 hours from `start` on, as one gate's readings say, in time
/// order; none of an hour whose ends are not known.
///
/// Pressure at the ends is that of a reading, or lies on the line between the two around it, at most
/// [`BRIDGE_MAX`] apart. The temperature is the mean of all readings: gas in the ground cools by
/// hundredths of a kelvin in an hour, and a transmitter scatters by more.
///
/// # Source
/// METHODS.md, "Line pack".
pub fn hourly(
    pipe_volume_m3: f64,
    readings: &[GateReading],
    start: DateTime<Utc>,
    reference: ReferenceConditions,
) -> [Option<StdVolume>; 24] {
    let known = readings.iter().filter_map(|reading| reading.temperature);
    let (sum, count) = known.fold((0.0, 0.0), |(sum, count), t| (sum + t.0, count + 1.0));
    let temperature = Temperature(if count > 0.0 { sum / count } else { GROUND_C });
    let mut at = start;
    let mut from = pressure_at(readings, at);
    std::array::from_fn(|_| {
        at += TimeDelta::hours(1);
        let to = pressure_at(readings, at);
        let ends = std::mem::replace(&mut from, to).zip(to);
        let (from, to) =
            ends.filter(|(from, to)| (to.0 - from.0).abs() <= MOVE_MAX * from.0.max(to.0))?;
        let state = |pressure| PipeState {
            pressure,
            temperature,
        };
        Some(change(pipe_volume_m3, state(from), state(to), reference))
    })
}

fn pressure_at(readings: &[GateReading], at: DateTime<Utc>) -> Option<AbsPressure> {
    let next = readings.partition_point(|reading| reading.at < at);
    let after = readings.get(next)?;
    if after.at == at {
        return Some(after.pressure);
    }
    let before = readings.get(next.checked_sub(1)?)?;
    let apart = after.at - before.at;
    if apart > BRIDGE_MAX {
        return None;
    }
    let seconds = |delta: TimeDelta| delta.num_milliseconds() as f64 / 1_000.0;
    let part = seconds(at - before.at) / seconds(apart);
    let (from, to) = (before.pressure.0, after.pressure.0);
    Some(AbsPressure(from + (to - from) * part))
}

/// How far the line pack may have moved in an hour of which nothing is known: in four of five `known` hours it
/// moved no further; where none is known, as a ring of 1,600 kPa would.
pub fn spread(
    pipe_volume_m3: f64,
    known: impl IntoIterator<Item = StdVolume>,
    reference: ReferenceConditions,
) -> StdVolume {
    let size = |growth: StdVolume| growth.max(StdVolume::ZERO - growth);
    let mut sizes: Vec<StdVolume> = known.into_iter().map(size).collect();
    sizes.sort_unstable();
    let last = sizes.len().saturating_sub(1);
    if let Some(within) = sizes.get(place(last)) {
        return *within;
    }
    let held = conversion_factor(AbsPressure(MOVE_KPA), Temperature(GROUND_C), 1.0, reference);
    StdVolume::from_f64(pipe_volume_m3 * held)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place among a few hundred values"
)]
fn place(last: usize) -> usize {
    (last as f64 * WITHIN).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(pressure_kpa: f64, temperature_c: f64) -> PipeState {
        PipeState {
            pressure: AbsPressure(pressure_kpa),
            temperature: Temperature(temperature_c),
        }
    }

    #[test]
    fn converts_the_worked_example() {
        // 1,000 m³ of pipe from 400 to 350 kPa at 15 °C, reference 20 °C and 101.325 kPa:
        // 1,000 · (350 − 400) / 101.325 · 293.15 / 288.15 = −502.0242.
        let reference = ReferenceConditions::default();
        let pack = change(1_000.0, state(400.0, 15.0), state(350.0, 15.0), reference);
        assert_eq!(pack.to_string(), "-502.0242");
        let back = change(1_000.0, state(350.0, 15.0), state(400.0, 15.0), reference);
        assert_eq!(pack + back, StdVolume::ZERO);
    }

    fn reading(minutes: i64, kpa: f64, celsius: Option<f64>) -> GateReading {
        GateReading {
            at: DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes),
            pressure: AbsPressure(kpa),
            temperature: celsius.map(Temperature),
        }
    }

    fn hours(readings: &[GateReading]) -> [Option<StdVolume>; 24] {
        let reference = ReferenceConditions::default();
        hourly(1_000.0, readings, DateTime::UNIX_EPOCH, reference)
    }

    #[test]
    fn an_hour_grows_by_what_the_pressure_at_its_ends_says() {
        // The worked example within the third hour; temperatures scatter around 15 °C.
        let got = hours(&[
            reading(0, 400.0, Some(14.0)),
            reading(60, 400.0, Some(16.0)),
            reading(120, 400.0, None),
            reading(180, 350.0, Some(15.0)),
        ]);
        let text = |hour: usize| got[hour].map(|volume| volume.to_string());
        assert_eq!(text(0).as_deref(), Some("0.0000"));
        assert_eq!(text(2).as_deref(), Some("-502.0242"));
        assert_eq!(got[3..], [None; 21], "nobody says where it ends");
    }

    #[test]
    fn ends_between_two_readings_lie_on_the_line_between_them() {
        let got = hours(&[
            reading(-30, 400.0, None),
            reading(30, 400.0, None),
            reading(90, 380.0, None),
            // Nothing for two hours.
            reading(210, 380.0, None),
            reading(240, 380.0, None),
            reading(300, 80.0, None),
            reading(360, 380.0, None),
        ]);
        // From 400 to 390 kPa: a fifth of the worked example.
        assert_eq!(got[0].unwrap().to_string(), "-100.4048");
        assert_eq!(
            got[1..4],
            [None; 3],
            "no reading is near enough to 120 and 180 minutes"
        );
        assert_eq!(got[4..6], [None; 2], "no ring empties in an hour");
        assert_eq!(hours(&[]), [None; 24]);
    }

    #[test]
    fn what_is_not_known_moves_as_what_is_known_did_or_as_a_ring_does() {
        let reference = ReferenceConditions::default();
        let known = [5, -40, 10, -20, 30, 0].map(StdVolume::from_m3);
        assert_eq!(spread(1_000.0, known, reference), StdVolume::from_m3(30));
        // 10 kPa of 1,000 m³ at 15 °C: a fifth of the worked example.
        assert_eq!(spread(1_000.0, [], reference).to_string(), "100.4048");
        assert_eq!(spread(0.0, [], reference), StdVolume::ZERO);
    }

    #[test]
    fn gas_that_cools_at_the_same_pressure_is_more_gas() {
        let reference = ReferenceConditions::default();
        let pack = change(1_000.0, state(400.0, 15.0), state(400.0, 5.0), reference);
        assert!(pack > StdVolume::ZERO);
    }
}
