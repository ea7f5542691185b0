//! NX-19: the supercompressibility of older correctors, from relative density, CO₂ and N₂.
//!
//! Source: AGA, Manual for the Determination of Supercompressibility Factors for Natural Gas (PAR
//! Research Project NX-19, 1962): the specific-gravity method, with the pressure and temperature
//! adjusted for the diluents, and the equations of the region that city gas is in (to 2,000 psi on the
//! standard's reduced scales).
//!
//! Fpv² is taken from a gas at the same temperature and atmospheric pressure, where the method has it 1:
//! that Z itself is 0.997 there and changes with temperature is beyond it. Correctors use K = Fpv² all
//! the same, and so do we when one of them is to be understood; at −10 °C that is 0.1 % too little.

use super::{ConvertError, GasState};

/// What NX-19 needs to know of a gas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nx19Gas {
    /// Relative density, air = 1; 0.55 to 0.75.
    pub relative_density: f64,
    /// Mole fraction of carbon dioxide, to 0.15.
    pub co2: f64,
    /// Mole fraction of nitrogen, to 0.15.
    pub n2: f64,
}

const KPA_PER_PSI: f64 = 6.894_757_293;
/// The atmosphere that the method's gauge pressures stand on, psi.
const ATMOSPHERE_PSI: f64 = 14.7;

impl Nx19Gas {
    /// 1/Fpv²: the compression factor relative to atmospheric pressure.
    ///
    /// # Errors
    /// A gas or state outside the method's range.
    pub fn z_factor(self, state: GasState) -> Result<f64, ConvertError> {
        let within = |what, value: f64, least: f64, most: f64| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(ConvertError::OutOfRange {
                    method: "NX-19",
                    what,
                    value,
                    least,
                    most,
                })
            }
        };
        within("relative density", self.relative_density, 0.55, 0.75)?;
        within("mole fraction of CO₂", self.co2, 0.0, 0.15)?;
        within("mole fraction of N₂", self.n2, 0.0, 0.15)?;
        state.within("NX-19", 13_790.0, 233.15, 388.15)?;

        let (d, co2, n2) = (self.relative_density, self.co2 * 100.0, self.n2 * 100.0);
        let gauge_psi = state.pressure_kpa / KPA_PER_PSI - ATMOSPHERE_PSI;
        let pressure = gauge_psi * 156.47 / (160.8 - 7.22 * d + co2 - 0.392 * n2);
        let temperature =
            state.temperature_k * 1.8 * 226.29 / (99.15 + 211.9 * d - co2 - 1.681 * n2);
        let pi = (pressure + ATMOSPHERE_PSI) / 1_000.0;
        let tau = temperature / 500.0;
        supercompressibility(pi, tau)
            .map(|fpv| 1.0 / (fpv * fpv))
            .ok_or_else(|| ConvertError::NoSolution {
                method: "NX-19",
                of: format!("{state:?}"),
            })
    }
}

/// Fpv at reduced pressure π and temperature τ.
fn supercompressibility(pi: f64, tau: f64) -> Option<f64> {
    let m = 0.033_037_8 * tau.powi(-2) - 0.022_132_3 * tau.powi(-3) + 0.016_135_3 * tau.powi(-5);
    let n = (0.265_827 * tau.powi(-2) + 0.045_769_7 * tau.powi(-4) - 0.133_185 / tau) / m;
    let adjustment = region(pi, tau);
    let b = (3.0 - m * n * n) / (9.0 * m * pi * pi);
    let half = (9.0 * n - 2.0 * m * n.powi(3)) / (54.0 * m * pi.powi(3))
        - adjustment / (2.0 * m * pi * pi);
    let root = (half * half + b.powi(3)).sqrt();
    let d = (half + root).cbrt();
    let radicand = b / d - d + n / (3.0 * pi);
    let fpv = radicand.sqrt() / (1.0 + 0.001_32 / tau.powf(3.25));
    fpv.is_finite().then_some(fpv)
}

/// The correction E of the region of π and τ.
fn region(pi: f64, tau: f64) -> f64 {
    let warm = tau - 1.09;
    if warm >= 0.0 {
        let root = warm.sqrt();
        return 1.0
            - 0.000_75 * pi.powf(2.3) * (-20.0 * warm).exp()
            - 0.001_1 * root * pi * pi * (2.17 + 1.4 * root - pi).powi(2);
    }
    let cold = -warm;
    let base = 1.0 - 0.000_75 * pi.powf(2.3) * (2.0 - (-20.0 * cold).exp());
    if pi < 1.3 {
        return base - 1.317 * cold.powi(4) * pi * (1.69 - pi * pi);
    }
    let curve = 200.0 * cold.powi(6) - 0.032_49 * cold + 2.016_7 * cold.powi(2)
        - 18.028 * cold.powi(3)
        + 42.844 * cold.powi(4);
    base + 0.455 * curve * (pi - 1.3) * (1.69 * 2_f64.powf(1.25) - pi * pi)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::convert::sgerg88::SgergGas;

    const LEAN: Nx19Gas = Nx19Gas {
        relative_density: 0.581,
        co2: 0.006,
        n2: 0.003,
    };

    /// The method claims a few tenths of a percent for lean gas; it is held to that against SGERG-88,
    /// as a ratio to atmospheric pressure.
    #[test]
    fn agrees_with_sgerg_where_both_hold() {
        let sgerg = SgergGas {
            calorific_value_mjm3: 40.66,
            relative_density: 0.581,
            co2: 0.006,
            h2: 0.0,
        }
        .solve()
        .unwrap();
        for (kpa, most) in [
            (101.325, 5e-5),
            (501.325, 3e-4),
            (1_701.325, 8e-4),
            (4_000.0, 2.5e-3),
        ] {
            for t in [-10.0, 0.0, 10.0, 20.0, 35.0] {
                let of = |kpa| sgerg.z_factor(GasState::celsius(kpa, t)).unwrap();
                let expected = of(kpa) / of(101.325);
                let z = LEAN.z_factor(GasState::celsius(kpa, t)).unwrap();
                assert!(
                    (z / expected - 1.0).abs() < most,
                    "{kpa} kPa {t} °C: {z} {expected}"
                );
            }
        }
    }

    #[test]
    fn outside_its_range_it_says_so() {
        let heavy = Nx19Gas {
            relative_density: 0.8,
            ..LEAN
        };
        let error = heavy.z_factor(GasState::celsius(400.0, 10.0)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("NX-19 takes a relative density from 0.55 to 0.75")
        );
        assert!(LEAN.z_factor(GasState::celsius(14_000.0, 10.0)).is_err());
    }
}
