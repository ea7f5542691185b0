//! From working to reference conditions: `V_std = V_work · C`, `C = (P/P₀)·(T₀/T)·(Z₀/Z)`.
//!
//! Each method gives Z of a state; [`Converter`] holds one of them with its reference conditions and
//! the Z₀ that belongs to them. Intervals are converted one by one with their own pressure and
//! temperature, never a total with today's. Pure.

mod aga8;
pub mod audit;
pub mod interval;
mod nx19;
mod sgerg88;

pub use self::nx19::Nx19Gas;
pub use self::sgerg88::{Sgerg88, SgergGas};
use crate::domain::composition::{Component, Composition};
use crate::domain::meter::CorrectorMethod;
use crate::domain::quantity::ReferenceConditions;
use crate::domain::source::GasQuality;

/// 0 °C in kelvin.
pub const ZERO_CELSIUS_K: f64 = 273.15;

/// Why a volume cannot be converted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConvertError {
    /// A value the method does not cover.
    #[error(
        "{method} takes a {what} from {least} to {most}, not {value}; correct the gas quality of the zone, \
         or choose another method"
    )]
    OutOfRange {
        /// Method.
        method: &'static str,
        /// What the value is, with its unit.
        what: &'static str,
        /// The value.
        value: f64,
        /// Least covered.
        least: f64,
        /// Most covered.
        most: f64,
    },
    /// The equations have no solution.
    #[error("{method} finds no solution for {of}; check the gas quality and the measured state")]
    NoSolution {
        /// Method.
        method: &'static str,
        /// What it was given.
        of: String,
    },
}

/// Pressure and temperature of a gas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GasState {
    /// Absolute pressure, kPa.
    pub pressure_kpa: f64,
    /// Temperature, K.
    pub temperature_k: f64,
}

impl GasState {
    /// Absolute pressure in kPa, temperature in °C.
    pub const fn celsius(pressure_kpa: f64, temperature_c: f64) -> Self {
        Self {
            pressure_kpa,
            temperature_k: temperature_c + ZERO_CELSIUS_K,
        }
    }

    fn within(
        self,
        method: &'static str,
        pressure_max_kpa: f64,
        t_min_k: f64,
        t_max_k: f64,
    ) -> Result<(), ConvertError> {
        let check = |what, value: f64, least: f64, most: f64| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(ConvertError::OutOfRange {
                    method,
                    what,
                    value,
                    least,
                    most,
                })
            }
        };
        check(
            "absolute pressure in kPa",
            self.pressure_kpa,
            1.0,
            pressure_max_kpa,
        )?;
        check("temperature in K", self.temperature_k, t_min_k, t_max_k)
    }
}

impl From<ReferenceConditions> for GasState {
    fn from(reference: ReferenceConditions) -> Self {
        Self::celsius(reference.pressure_kpa, reference.temperature_c)
    }
}

/// How the compression factor is found.
#[derive(Debug, Clone, PartialEq)]
pub enum ZMethod {
    /// An ideal gas: Z = Z₀ = 1.
    Ideal,
    /// A fixed K = Z₀/Z.
    FixedK(f64),
    /// NX-19 by relative density, CO₂ and N₂.
    Nx19(Nx19Gas),
    /// SGERG-88 by calorific value, relative density, CO₂ and H₂.
    Sgerg88(Sgerg88),
    /// AGA8-92DC (DETAIL) by composition.
    Detail(Composition),
}

impl ZMethod {
    /// That of a gas of this quality: AGA8-92DC where the whole analysis is known, else SGERG-88.
    ///
    /// # Errors
    /// A quality that SGERG-88 does not cover.
    pub fn of_gas(quality: &GasQuality) -> Result<Self, ConvertError> {
        match &quality.composition {
            Some(composition) => Ok(Self::Detail(composition.clone())),
            None => Ok(Self::Sgerg88(sgerg(quality)?)),
        }
    }

    /// That of a corrector which says how it computes, with a gas of this quality.
    ///
    /// # Errors
    /// A quality that the method does not cover.
    pub fn of_corrector(
        method: CorrectorMethod,
        quality: Option<&GasQuality>,
    ) -> Result<Self, ConvertError> {
        match (method, quality) {
            (CorrectorMethod::FixedK(k), _) => Ok(Self::FixedK(k)),
            (CorrectorMethod::Sgerg88, Some(quality)) => Ok(Self::Sgerg88(sgerg(quality)?)),
            (CorrectorMethod::Nx19, Some(quality)) => Ok(Self::Nx19(Nx19Gas {
                relative_density: quality.relative_density,
                co2: quality.co2,
                n2: match &quality.composition {
                    Some(composition) => composition.fraction(Component::Nitrogen),
                    None => sgerg(quality)?.n2(),
                }
                // What is left for nitrogen may round below nothing.
                .max(0.0),
            })),
            (CorrectorMethod::Aga8, Some(quality)) => Self::of_gas(quality),
            (_, None) => Ok(Self::Ideal),
        }
    }

    /// Z, or 1/K of a fixed K.
    fn z_factor(&self, state: GasState) -> Result<f64, ConvertError> {
        match self {
            Self::Ideal => Ok(1.0),
            Self::FixedK(k) => Ok(1.0 / k),
            Self::Nx19(gas) => gas.z_factor(state),
            Self::Sgerg88(gas) => gas.z_factor(state),
            Self::Detail(gas) => aga8::detail(gas, state),
        }
    }
}

fn sgerg(quality: &GasQuality) -> Result<Sgerg88, ConvertError> {
    SgergGas {
        calorific_value_mjm3: quality.calorific_value_mjm3,
        relative_density: quality.relative_density,
        co2: quality.co2,
        h2: quality.h2,
    }
    .solve()
}

/// What a conversion is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    /// `V_std/V_work`.
    pub factor: f64,
    /// P/P₀ · T₀/T, the factor of an ideal gas.
    pub ideal: f64,
    /// K = Z₀/Z.
    pub k: f64,
}

/// A method with its reference conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct Converter {
    method: ZMethod,
    reference: ReferenceConditions,
    z_reference: f64,
}

impl Converter {
    /// # Errors
    /// Reference conditions or a gas that the method does not cover.
    pub fn new(method: ZMethod, reference: ReferenceConditions) -> Result<Self, ConvertError> {
        let z_reference = match method {
            ZMethod::FixedK(_) => 1.0,
            _ => method.z_factor(reference.into())?,
        };
        Ok(Self {
            method,
            reference,
            z_reference,
        })
    }

    /// The reference conditions.
    pub fn reference(&self) -> ReferenceConditions {
        self.reference
    }

    /// P/P₀ · T₀/T of a state, the factor of an ideal gas; none of what is no state.
    pub fn ideal(&self, state: GasState) -> Option<f64> {
        let base = GasState::from(self.reference);
        let ideal =
            (state.pressure_kpa / base.pressure_kpa) * (base.temperature_k / state.temperature_k);
        (ideal.is_finite() && ideal > 0.0).then_some(ideal)
    }

    /// The factor of a state.
    ///
    /// # Errors
    /// A state that the method does not cover.
    pub fn convert(&self, state: GasState) -> Result<Conversion, ConvertError> {
        let base = GasState::from(self.reference);
        let ideal =
            (state.pressure_kpa / base.pressure_kpa) * (base.temperature_k / state.temperature_k);
        let k = self.z_reference / self.method.z_factor(state)?;
        Ok(Conversion {
            factor: ideal * k,
            ideal,
            k,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail() -> Converter {
        Converter::new(
            ZMethod::Detail(aga8::tests::gas_1()),
            ReferenceConditions::CHINA,
        )
        .unwrap()
    }

    /// Temperature in °C, absolute kPa, K, C, C without Z (domain reference §3.7, table 4).
    const FACTORS: [(f64, f64, f64, f64, f64); 9] = [
        (20.0, 101.325, 1.000_000, 1.000_000, 1.000_000),
        (15.0, 103.825, 1.000_180, 1.042_641, 1.042_453),
        (15.0, 301.325, 1.004_399, 3.038_757, 3.025_449),
        (10.0, 400.0, 1.007_066, 4.115_995, 4.087_114),
        (5.0, 501.325, 1.010_136, 5.267_367, 5.214_511),
        (-5.0, 501.325, 1.011_786, 5.472_726, 5.408_973),
        (20.0, 1_701.325, 1.032_885, 17.342_930, 16.790_772),
        (15.0, 3_901.325, 1.086_713, 42.567_859, 39.171_192),
        (25.0, 87.0, 0.999_611, 0.843_896, 0.844_224),
    ];

    #[test]
    fn distribution_pressures_to_the_last_digit() {
        let converter = detail();
        for (t, kpa, k, factor, ideal) in FACTORS {
            let got = converter.convert(GasState::celsius(kpa, t)).unwrap();
            for (got, expected) in [(got.k, k), (got.factor, factor), (got.ideal, ideal)] {
                let last_digit = 6e-7 * expected.max(1.0);
                assert!(
                    (got - expected).abs() <= last_digit,
                    "{t} °C {kpa} kPa: {got} {expected}"
                );
            }
        }
    }

    #[test]
    fn methods_agree_at_distribution_pressure() {
        let gas = SgergGas {
            calorific_value_mjm3: 40.66,
            relative_density: 0.581,
            co2: 0.006,
            h2: 0.0,
        };
        let methods = [
            (ZMethod::Sgerg88(gas.solve().unwrap()), 5e-5),
            (
                ZMethod::Nx19(Nx19Gas {
                    relative_density: 0.581,
                    co2: 0.006,
                    n2: 0.003,
                }),
                1.5e-3,
            ),
            (ZMethod::Ideal, 1.2e-2),
        ];
        for (method, most) in methods {
            let converter = Converter::new(method.clone(), ReferenceConditions::CHINA).unwrap();
            for (t, kpa, ..) in FACTORS.into_iter().filter(|f| f.1 < 600.0) {
                let state = GasState::celsius(kpa, t);
                let (ours, detail) = (
                    converter.convert(state).unwrap(),
                    detail().convert(state).unwrap(),
                );
                let off = (ours.factor / detail.factor - 1.0).abs();
                assert!(off < most, "{method:?} at {t} °C, {kpa} kPa: {off}");
            }
        }
    }

    /// The slips between reference conditions that reports and correctors make (§2.7).
    #[test]
    fn reference_conditions_are_data() {
        let at = |reference| {
            Converter::new(ZMethod::Detail(aga8::tests::gas_1()), reference)
                .and_then(|c| c.convert(GasState::celsius(400.0, 10.0)))
                .unwrap()
        };
        let china = at(ReferenceConditions::CHINA);
        let normal = at(ReferenceConditions::NORMAL);
        let iso = at(ReferenceConditions::ISO);
        assert!((china.ideal / normal.ideal - 1.073_22).abs() < 1e-5);
        assert!((china.factor / normal.factor - 1.073_826).abs() < 2e-6);
        assert!((china.ideal / iso.ideal - 1.017_352).abs() < 1e-6);
    }

    /// Nitrogen is what SGERG-88 finds, or what the analysis says.
    #[test]
    fn a_corrector_is_understood_by_its_own_method() {
        fn of(method: CorrectorMethod, quality: Option<&GasQuality>) -> ZMethod {
            ZMethod::of_corrector(method, quality).unwrap()
        }
        let mut quality = GasQuality {
            zone: "z".into(),
            from_on: "2026-01-01".parse().unwrap(),
            calorific_value_mjm3: 40.66,
            relative_density: 0.581,
            co2: 0.006,
            h2: 0.0,
            composition: None,
        };
        let ZMethod::Nx19(gas) = of(CorrectorMethod::Nx19, Some(&quality)) else {
            panic!("it is NX-19");
        };
        assert!((gas.n2 - 0.003).abs() < 2e-3, "{gas:?}");
        assert!(matches!(
            of(CorrectorMethod::Aga8, Some(&quality)),
            ZMethod::Sgerg88(_)
        ));
        quality.composition = Some("CH4:0.9;N2:0.04;C2H6:0.06".parse().unwrap());
        assert!(matches!(
            of(CorrectorMethod::Aga8, Some(&quality)),
            ZMethod::Detail(_)
        ));
        assert!(matches!(
            of(CorrectorMethod::Sgerg88, Some(&quality)),
            ZMethod::Sgerg88(_)
        ));
        let ZMethod::Nx19(gas) = of(CorrectorMethod::Nx19, Some(&quality)) else {
            panic!("it is NX-19");
        };
        assert!((gas.n2 - 0.04).abs() < 1e-12, "{gas:?}");
        assert_eq!(
            of(CorrectorMethod::FixedK(1.02), None),
            ZMethod::FixedK(1.02)
        );
        assert_eq!(of(CorrectorMethod::Nx19, None), ZMethod::Ideal);
    }

    #[test]
    fn a_fixed_k_is_taken_as_it_is() {
        let fixed = Converter::new(ZMethod::FixedK(1.01), ReferenceConditions::CHINA).unwrap();
        let got = fixed.convert(GasState::celsius(202.65, 20.0)).unwrap();
        assert!((got.factor - 2.02).abs() < 1e-12);
    }
}
