//! Line pack (管存): the gas that lies in the pipes of a zone.

use crate::domain::quantity::{
    AbsPressure, ReferenceConditions, StdVolume, Temperature, conversion_factor,
};

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

    #[test]
    fn gas_that_cools_at_the_same_pressure_is_more_gas() {
        let reference = ReferenceConditions::default();
        let pack = change(1_000.0, state(400.0, 15.0), state(400.0, 5.0), reference);
        assert!(pack > StdVolume::ZERO);
    }
}
