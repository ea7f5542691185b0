//! AGA8-92DC (DETAIL) and GERG-2008 by composition, through the crate `aga8`, a port of NIST's code.

use ::aga8::composition::Composition as Fractions;
use ::aga8::detail::Detail;
use ::aga8::gerg2008::Gerg2008;

use super::{ConvertError, GasState};

/// A component of natural gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of the substances")]
pub enum Component {
    Methane,
    Nitrogen,
    CarbonDioxide,
    Ethane,
    Propane,
    Isobutane,
    NButane,
    Isopentane,
    NPentane,
    Hexane,
    Heptane,
    Octane,
    Nonane,
    Decane,
    Hydrogen,
    Oxygen,
    CarbonMonoxide,
    Water,
    HydrogenSulfide,
    Helium,
    Argon,
}

/// A gas analysis: mole fractions that add up to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Composition {
    /// The components with their fractions, as given.
    components: Vec<(Component, f64)>,
}

/// What rounding of an analysis to four or five places leaves.
const SUM_TOLERANCE: f64 = 5e-4;

impl Composition {
    /// From the components that are there.
    ///
    /// # Errors
    /// A fraction that is none, or a sum that is off by more than rounding explains. What rounding
    /// leaves is shared out in proportion.
    pub fn new(fractions: &[(Component, f64)]) -> Result<Self, ConvertError> {
        for (_, fraction) in fractions {
            if !(0.0..=1.0).contains(fraction) {
                return Err(ConvertError::OutOfRange {
                    method: "A gas analysis",
                    what: "mole fraction",
                    value: *fraction,
                    least: 0.0,
                    most: 1.0,
                });
            }
        }
        let sum: f64 = fractions.iter().map(|(_, fraction)| fraction).sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(ConvertError::Composition { sum });
        }
        let components = fractions
            .iter()
            .map(|(component, fraction)| (*component, fraction / sum))
            .collect();
        Ok(Self { components })
    }

    fn fractions(&self) -> Fractions {
        let mut all = Fractions::default();
        for (component, fraction) in &self.components {
            *field(&mut all, *component) += fraction;
        }
        all
    }
}

fn field(all: &mut Fractions, component: Component) -> &mut f64 {
    match component {
        Component::Methane => &mut all.methane,
        Component::Nitrogen => &mut all.nitrogen,
        Component::CarbonDioxide => &mut all.carbon_dioxide,
        Component::Ethane => &mut all.ethane,
        Component::Propane => &mut all.propane,
        Component::Isobutane => &mut all.isobutane,
        Component::NButane => &mut all.n_butane,
        Component::Isopentane => &mut all.isopentane,
        Component::NPentane => &mut all.n_pentane,
        Component::Hexane => &mut all.hexane,
        Component::Heptane => &mut all.heptane,
        Component::Octane => &mut all.octane,
        Component::Nonane => &mut all.nonane,
        Component::Decane => &mut all.decane,
        Component::Hydrogen => &mut all.hydrogen,
        Component::Oxygen => &mut all.oxygen,
        Component::CarbonMonoxide => &mut all.carbon_monoxide,
        Component::Water => &mut all.water,
        Component::HydrogenSulfide => &mut all.hydrogen_sulfide,
        Component::Helium => &mut all.helium,
        Component::Argon => &mut all.argon,
    }
}

/// Z by AGA8-92DC.
pub(super) fn detail(gas: &Composition, state: GasState) -> Result<f64, ConvertError> {
    const METHOD: &str = "AGA8 DETAIL";
    state.within(METHOD, 70_000.0, 143.15, 676.15)?;
    let mut equation = Detail::new();
    let unsolved = || ConvertError::NoSolution {
        method: METHOD,
        of: format!("{state:?}"),
    };
    equation
        .set_composition(&gas.fractions())
        .map_err(|_| unsolved())?;
    equation.p = state.pressure_kpa;
    equation.t = state.temperature_k;
    equation.density().map_err(|_| unsolved())?;
    equation.pressure();
    Ok(equation.z)
}

/// Z by GERG-2008.
pub(super) fn gerg2008(gas: &Composition, state: GasState) -> Result<f64, ConvertError> {
    const METHOD: &str = "GERG-2008";
    state.within(METHOD, 70_000.0, 60.0, 700.0)?;
    let mut equation = Gerg2008::new();
    let unsolved = || ConvertError::NoSolution {
        method: METHOD,
        of: format!("{state:?}"),
    };
    equation
        .set_composition(&gas.fractions())
        .map_err(|_| unsolved())?;
    equation.p = state.pressure_kpa;
    equation.t = state.temperature_k;
    equation.density(0).map_err(|_| unsolved())?;
    equation.pressure();
    Ok(equation.z)
}

#[cfg(test)]
pub(super) mod tests {
    use super::Component::*;
    use super::*;

    /// Gas 1 of ISO 12213-2, annex C.
    pub(in super::super) fn gas_1() -> Composition {
        Composition::new(&[
            (Methane, 0.965),
            (Nitrogen, 0.003),
            (CarbonDioxide, 0.006),
            (Ethane, 0.018),
            (Propane, 0.004_5),
            (Isobutane, 0.001),
            (NButane, 0.001),
            (Isopentane, 0.000_5),
            (NPentane, 0.000_3),
            (Hexane, 0.000_7),
        ])
        .unwrap()
    }

    #[test]
    fn the_published_gas_of_21_components() {
        let gas = Composition::new(&[
            (Methane, 0.778_24),
            (Nitrogen, 0.02),
            (CarbonDioxide, 0.06),
            (Ethane, 0.08),
            (Propane, 0.03),
            (Isobutane, 0.001_5),
            (NButane, 0.003),
            (Isopentane, 0.000_5),
            (NPentane, 0.001_65),
            (Hexane, 0.002_15),
            (Heptane, 0.000_88),
            (Octane, 0.000_24),
            (Nonane, 0.000_15),
            (Decane, 0.000_09),
            (Hydrogen, 0.004),
            (Oxygen, 0.005),
            (CarbonMonoxide, 0.002),
            (Water, 0.000_1),
            (HydrogenSulfide, 0.002_5),
            (Helium, 0.007),
            (Argon, 0.001),
        ])
        .unwrap();
        let state = GasState {
            pressure_kpa: 50_000.0,
            temperature_k: 400.0,
        };
        let z = detail(&gas, state).unwrap();
        assert!((z - 1.173_801_364_147_326).abs() < 1e-9, "{z}");
        let z = gerg2008(&gas, state).unwrap();
        assert!((z - 1.174_690_666_383_717).abs() < 1e-9, "{z}");
    }

    #[test]
    fn the_standards_gas_1() {
        for (t, at_60_bar, at_120_bar) in [
            (-3.15, 0.840_53, 0.721_33),
            (6.85, 0.861_99, 0.760_25),
            (16.85, 0.880_06, 0.793_17),
            (36.85, 0.908_67, 0.845_15),
            (56.85, 0.930_11, 0.883_83),
        ] {
            for (kpa, expected) in [(6_000.0, at_60_bar), (12_000.0, at_120_bar)] {
                let z = detail(&gas_1(), GasState::celsius(kpa, t)).unwrap();
                assert!((z - expected).abs() <= 5.1e-6, "{kpa} kPa, {t} °C: {z}");
            }
        }
    }

    #[test]
    fn an_analysis_that_is_none_is_refused() {
        let error = Composition::new(&[(Methane, 0.9), (Ethane, 0.05)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "mole fractions add up to 0.950000, not 1; write all components of the gas analysis"
        );
        assert!(Composition::new(&[(Methane, 1.2), (Ethane, -0.2)]).is_err());
        assert!(Composition::new(&[]).is_err());
        // Rounded to four places.
        assert!(Composition::new(&[(Methane, 0.960_1), (Ethane, 0.040_1)]).is_ok());
    }
}
