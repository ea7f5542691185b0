//! AGA8-92DC (DETAIL, GB/T 17747.2) by composition, through the crate `aga8`, a port of NIST's code.

use ::aga8::composition::Composition as Fractions;
use ::aga8::detail::Detail;

use super::{ConvertError, GasState};
use crate::domain::composition::{Component, Composition};

fn fractions(of: &Composition) -> Fractions {
    let mut all = Fractions::default();
    for (component, fraction) in of.fractions() {
        *field(&mut all, *component) += fraction;
    }
    all
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
        .set_composition(&fractions(gas))
        .map_err(|_| unsolved())?;
    equation.p = state.pressure_kpa;
    equation.t = state.temperature_k;
    equation.density().map_err(|_| unsolved())?;
    equation.pressure();
    Ok(equation.z)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::composition::Component::*;

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
}
