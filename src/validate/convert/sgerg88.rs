//! SGERG-88: compression factor from calorific value, relative density, CO₂ and hydrogen.
//!
//! Source: ISO 12213-3:2006 (GB/T 17747.3), the virial equation `Z = 1 + B·ρ + C·ρ²` of GERG TM 5. The
//! gas is taken as five components: an equivalent hydrocarbon CH whose molar heating value describes
//! it, N₂, CO₂, H₂ and CO. Heating value of CH, its share and B at 0 °C are found so that the gas has
//! the superior calorific value and the density that are given.

use super::{ConvertError, GasState};

/// What SGERG-88 needs to know of a gas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgergGas {
    /// Superior calorific value at 25 °C (combustion), 0 °C and 101.325 kPa (metering), MJ/m³.
    pub calorific_value_mjm3: f64,
    /// Relative density at 0 °C and 101.325 kPa, air = 1.
    pub relative_density: f64,
    /// Mole fraction of carbon dioxide.
    pub co2: f64,
    /// Mole fraction of hydrogen; carbon monoxide is taken as 0.0964 of it, as in coke-oven gas.
    pub h2: f64,
}

/// A gas with its equivalent hydrocarbon found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgerg88 {
    /// Mole fractions of CH, N₂, CO₂, H₂ and CO.
    fractions: [f64; 5],
    /// Molar heating value of CH at 25 °C, MJ/kmol.
    heating_value: f64,
}

/// bar·m³/(kmol·K), as the standard has it.
const R: f64 = 0.083_145_1;
/// Molar volume of an ideal gas at 0 °C and 101.325 kPa, m³/kmol.
const IDEAL_MOLAR_VOLUME: f64 = 22.414_097;
/// Density of air at the same conditions, kg/m³.
const AIR_DENSITY: f64 = 1.292_923;
const T_NORMAL: f64 = 273.15;
const CO_OF_H2: f64 = 0.096_4;
/// Molar heating values of H₂ and CO, MJ/kmol.
const HEATING_H2: f64 = 285.83;
const HEATING_CO: f64 = 282.98;
/// Least molar heating value of CH, MJ/kmol. Methane, the lightest hydrocarbon, has 890.6; below this
/// calorific value and density contradict each other by more than their uncertainty.
const HEATING_CH_MIN: f64 = 870.0;
/// Molar masses of N₂, CO₂, H₂ and CO, kg/kmol.
const MASSES: [f64; 4] = [28.013_5, 44.010, 2.015_9, 28.010];

/// Coefficients of a quadratic in T (K).
type Quadratic = [f64; 3];

const B_CH: [Quadratic; 3] = [
    [-4.254_68e-1, 2.865_00e-3, -4.620_73e-6],
    [8.771_18e-4, -5.562_81e-6, 8.815_10e-9],
    [-8.247_47e-7, 4.314_36e-9, -6.083_19e-12],
];
const B_N2: Quadratic = [-1.446_00e-1, 7.409_10e-4, -9.119_50e-7];
const B_N2_CO2: Quadratic = [-3.396_93e-1, 1.611_76e-3, -2.044_29e-6];
const B_CO2: Quadratic = [-8.683_40e-1, 4.037_60e-3, -5.165_70e-6];
const B_H2: Quadratic = [-1.105_96e-3, 8.133_85e-5, -9.872_20e-8];
const B_CH_H2: Quadratic = [-5.212_80e-2, 2.715_70e-4, -2.5e-7];
const B_CH_CO: Quadratic = [-6.872_90e-2, -2.393_81e-6, 5.181_95e-7];
const B_CO: Quadratic = [-1.308_20e-1, 6.025_40e-4, -6.443_00e-7];
const B_N2_H2: f64 = 0.012;
const C_CH: [Quadratic; 3] = [
    [-3.024_88e-1, 1.958_61e-3, -3.163_02e-6],
    [6.464_22e-4, -4.228_76e-6, 6.881_57e-9],
    [-3.328_05e-7, 2.231_60e-9, -3.677_13e-12],
];
const C_N2: Quadratic = [7.849_80e-3, -3.989_50e-5, 6.118_70e-8];
const C_N2_N2_CO2: Quadratic = [5.520_66e-3, -1.686_09e-5, 1.571_69e-8];
const C_N2_CO2_CO2: Quadratic = [3.587_83e-3, 8.066_74e-6, -3.257_98e-8];
const C_CO2: Quadratic = [2.051_30e-3, 3.488_80e-5, -8.370_30e-8];
const C_H2: Quadratic = [1.047_11e-3, -3.648_87e-6, 4.670_95e-9];
const C_CH_CH_CO: Quadratic = [7.367_48e-3, -2.765_78e-5, 3.430_51e-8];

fn at([a, b, c]: Quadratic, t: f64) -> f64 {
    a + t * (b + t * c)
}

impl SgergGas {
    /// The composition that explains what is given.
    ///
    /// # Errors
    /// A value outside the range of the method, or values that no gas has together.
    pub fn solve(self) -> Result<Sgerg88, ConvertError> {
        let within = |what, value: f64, least: f64, most: f64| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(ConvertError::OutOfRange {
                    method: "SGERG-88",
                    what,
                    value,
                    least,
                    most,
                })
            }
        };
        within(
            "superior calorific value in MJ/m³ (0 °C)",
            self.calorific_value_mjm3,
            20.0,
            48.0,
        )?;
        within("relative density", self.relative_density, 0.55, 0.9)?;
        within("mole fraction of CO₂", self.co2, 0.0, 0.3)?;
        within("mole fraction of H₂", self.h2, 0.0, 0.1)?;

        let density = self.relative_density * AIR_DENSITY;
        let mut b_normal = -0.065;
        let mut heating_value = 1_000.0;
        for _ in 0..100 {
            let molar_density = 1.0 / (IDEAL_MOLAR_VOLUME + b_normal);
            heating_value = self.heating_value(density, molar_density, heating_value);
            let gas = Sgerg88 {
                fractions: self.fractions(heating_value, molar_density),
                heating_value,
            };
            let b = gas.b(T_NORMAL);
            if (b - b_normal).abs() < 1e-12 {
                return gas.checked(self);
            }
            b_normal = b;
        }
        Err(ConvertError::NoSolution {
            method: "SGERG-88",
            of: format!("{self:?}"),
        })
    }

    fn fractions(self, heating_value: f64, molar_density: f64) -> [f64; 5] {
        let co = CO_OF_H2 * self.h2;
        let burning = self.h2 * HEATING_H2 + co * HEATING_CO;
        let ch = (self.calorific_value_mjm3 / molar_density - burning) / heating_value;
        [
            ch,
            1.0 - ch - self.co2 - self.h2 - co,
            self.co2,
            self.h2,
            co,
        ]
    }

    /// The heating value of CH at which the gas is as dense as given (Newton).
    fn heating_value(self, density: f64, molar_density: f64, start: f64) -> f64 {
        let of = |heating_value: f64| {
            let [ch, rest @ ..] = self.fractions(heating_value, molar_density);
            let mass_ch = -2.709_328 + 0.021_062_199 * heating_value;
            let others: f64 = rest.iter().zip(MASSES).map(|(x, mass)| x * mass).sum();
            (ch * mass_ch + others) * molar_density - density
        };
        let mut heating_value = start;
        for _ in 0..50 {
            let slope = of(heating_value + 1.0) - of(heating_value);
            let step = of(heating_value) / slope;
            heating_value -= step;
            if !heating_value.is_finite() || step.abs() < 1e-9 {
                break;
            }
        }
        heating_value
    }
}

impl Sgerg88 {
    /// Mole fraction of nitrogen that follows from what was given.
    pub fn n2(&self) -> f64 {
        self.fractions[1]
    }

    fn checked(self, given: SgergGas) -> Result<Self, ConvertError> {
        let [ch, n2, ..] = self.fractions;
        let is_gas = (0.0..=1.0).contains(&ch) && (-0.01..=0.5).contains(&n2);
        if is_gas && self.heating_value >= HEATING_CH_MIN {
            return Ok(self);
        }
        Err(ConvertError::NoSolution {
            method: "SGERG-88",
            of: format!("{given:?}"),
        })
    }

    /// Compression factor.
    ///
    /// # Errors
    /// Pressure above 12,000 kPa or temperature outside −23 °C to 65 °C.
    pub fn z_factor(&self, state: GasState) -> Result<f64, ConvertError> {
        state.within("SGERG-88", 12_000.0, 250.0, 338.15)?;
        let (t, p_bar) = (state.temperature_k, state.pressure_kpa / 100.0);
        let (b, c) = (self.b(t), self.c(t));
        let z_at = |density: f64| 1.0 + density * (b + density * c);
        let mut density = p_bar / (R * t);
        for _ in 0..500 {
            let next = p_bar / (R * t * z_at(density));
            let is_there = (next - density).abs() <= 1e-13 * density;
            density = next;
            if is_there {
                return Ok(z_at(density));
            }
        }
        Err(ConvertError::NoSolution {
            method: "SGERG-88",
            of: format!("{state:?}"),
        })
    }

    /// Second virial coefficient of the mixture, m³/kmol.
    fn b(&self, t: f64) -> f64 {
        let [x1, x2, x3, x4, x5] = self.fractions;
        let b11 = self.of_ch(B_CH, t);
        let (b22, b33) = (at(B_N2, t), at(B_CO2, t));
        let b12 = (0.72 + 1.875e-5 * (320.0 - t).powi(2)) * (b11 + b22) / 2.0;
        let b13 = -0.865 * (b11 * b33).sqrt();
        x1 * x1 * b11
            + 2.0 * x1 * (x2 * b12 + x3 * b13 + x4 * at(B_CH_H2, t) + x5 * at(B_CH_CO, t))
            + x2 * x2 * b22
            + 2.0 * x2 * (x3 * at(B_N2_CO2, t) + x4 * B_N2_H2)
            + x3 * x3 * b33
            + x4 * x4 * at(B_H2, t)
            + x5 * x5 * at(B_CO, t)
    }

    /// Third virial coefficient of the mixture, m⁶/kmol².
    fn c(&self, t: f64) -> f64 {
        let [x1, x2, x3, x4, x5] = self.fractions;
        let c1 = self.of_ch(C_CH, t);
        let (c2, c3, c4) = (at(C_N2, t), at(C_CO2, t), at(C_H2, t));
        let with_n2 = 0.92 + 0.001_3 * (t - 270.0);
        let c112 = with_n2 * (c1 * c1 * c2).cbrt();
        let c122 = with_n2 * (c1 * c2 * c2).cbrt();
        let c113 = 0.92 * (c1 * c1 * c3).cbrt();
        let c133 = 0.92 * (c1 * c3 * c3).cbrt();
        let c114 = 1.20 * (c1 * c1 * c4).cbrt();
        let c123 = 1.10 * (c1 * c2 * c3).cbrt();
        x1.powi(3) * c1
            + 3.0 * x1 * x1 * (x2 * c112 + x3 * c113 + x4 * c114 + x5 * at(C_CH_CH_CO, t))
            + 3.0 * x1 * (x2 * x2 * c122 + x3 * x3 * c133)
            + 6.0 * x1 * x2 * x3 * c123
            + x2.powi(3) * c2
            + 3.0 * x2 * x3 * (x2 * at(C_N2_N2_CO2, t) + x3 * at(C_N2_CO2_CO2, t))
            + x3.powi(3) * c3
            + x4.powi(3) * c4
    }

    fn of_ch(&self, [a, b, c]: [Quadratic; 3], t: f64) -> f64 {
        let heating = self.heating_value;
        at(a, t) + heating * (at(b, t) + heating * at(c, t))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEMPERATURES_C: [f64; 5] = [-3.15, 6.85, 16.85, 36.85, 56.85];

    /// Calorific value, density, CO₂, H₂; Z at 60 and at 120 bar. Gases of ISO 12213-3, annex C.
    const TABLE: [([f64; 4], [f64; 5], [f64; 5]); 6] = [
        (
            [40.66, 0.581, 0.006, 0.0],
            [0.84084, 0.86202, 0.88007, 0.90881, 0.92996],
            [0.72146, 0.75969, 0.79257, 0.84492, 0.88322],
        ),
        (
            [40.62, 0.609, 0.005, 0.0],
            [0.83397, 0.85615, 0.87500, 0.90491, 0.92690],
            [0.71140, 0.75079, 0.78472, 0.83877, 0.87832],
        ),
        (
            [43.53, 0.650, 0.015, 0.0],
            [0.79415, 0.82210, 0.84553, 0.88223, 0.90893],
            [0.64322, 0.69062, 0.73196, 0.79778, 0.84554],
        ),
        (
            [34.16, 0.599, 0.016, 0.095],
            [0.88569, 0.90150, 0.91507, 0.93684, 0.95302],
            [0.80843, 0.83613, 0.85999, 0.89827, 0.92662],
        ),
        (
            [36.64, 0.686, 0.076, 0.0],
            [0.82664, 0.85017, 0.87003, 0.90124, 0.92394],
            [0.69557, 0.73828, 0.77463, 0.83166, 0.87269],
        ),
        (
            [36.58, 0.644, 0.011, 0.0],
            [0.85406, 0.87388, 0.89071, 0.91736, 0.93690],
            [0.74939, 0.78473, 0.81490, 0.86266, 0.89749],
        ),
    ];

    fn gas([calorific_value_mjm3, relative_density, co2, h2]: [f64; 4]) -> SgergGas {
        SgergGas {
            calorific_value_mjm3,
            relative_density,
            co2,
            h2,
        }
    }

    #[test]
    fn the_standards_table() {
        for (inputs, at_60_bar, at_120_bar) in TABLE {
            let solved = gas(inputs).solve().unwrap();
            for (bar, expected) in [(60.0, at_60_bar), (120.0, at_120_bar)] {
                for (t, expected) in TEMPERATURES_C.into_iter().zip(expected) {
                    let state = GasState::celsius(bar * 100.0, t);
                    let z = solved.z_factor(state).unwrap();
                    assert!(
                        (z - expected).abs() < 1e-5,
                        "{inputs:?} {state:?}: {z} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn distribution_pressures() {
        let solved = gas(TABLE[0].0).solve().unwrap();
        for (kpa, t, expected) in [
            (101.325, 20.0, 0.997_97),
            (501.325, 5.0, 0.987_96),
            (1_701.325, 20.0, 0.966_18),
        ] {
            let z = solved.z_factor(GasState::celsius(kpa, t)).unwrap();
            assert!((z - expected).abs() <= 5.1e-6, "{kpa} kPa, {t} °C: {z}");
        }
        // Gas 1 has 0.3 % of nitrogen.
        assert!((solved.n2() - 0.003).abs() < 0.001, "{}", solved.n2());
    }

    #[test]
    fn what_the_method_does_not_cover_is_named() {
        let error = gas([12.0, 0.6, 0.0, 0.0]).solve().unwrap_err();
        assert_eq!(
            error.to_string(),
            "SGERG-88 takes a superior calorific value in MJ/m³ (0 °C) from 20 to 48, not 12; correct the \
             gas quality of the zone, or choose another method"
        );
        let lean = gas(TABLE[0].0).solve().unwrap();
        assert!(lean.z_factor(GasState::celsius(12_500.0, 10.0)).is_err());
        assert!(lean.z_factor(GasState::celsius(400.0, 80.0)).is_err());
        // Hardly any heat in a gas as light as methane: there is no such gas.
        assert!(gas([20.0, 0.56, 0.0, 0.0]).solve().is_err());
    }

    proptest! {
        #[test]
        fn any_gas_has_a_plausible_factor_or_a_reason(
            hs in 15.0..55.0_f64, d in 0.4..1.1_f64, co2 in -0.1..0.5_f64, h2 in -0.1..0.2_f64,
            kpa in 1.0..15_000.0_f64, t in -60.0..90.0_f64,
        ) {
            if let Ok(z) = gas([hs, d, co2, h2]).solve().and_then(|g| g.z_factor(GasState::celsius(kpa, t))) {
                prop_assert!((0.2..1.2).contains(&z), "{}", z);
            }
        }
    }
}
