//! A gas analysis (气体组分): mole fractions by component.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A component of natural gas that AGA8-92DC knows.
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

impl Component {
    const FORMULAS: [(Self, &'static str); 21] = [
        (Self::Methane, "CH4"),
        (Self::Nitrogen, "N2"),
        (Self::CarbonDioxide, "CO2"),
        (Self::Ethane, "C2H6"),
        (Self::Propane, "C3H8"),
        (Self::Isobutane, "iC4H10"),
        (Self::NButane, "nC4H10"),
        (Self::Isopentane, "iC5H12"),
        (Self::NPentane, "nC5H12"),
        (Self::Hexane, "C6H14"),
        (Self::Heptane, "C7H16"),
        (Self::Octane, "C8H18"),
        (Self::Nonane, "C9H20"),
        (Self::Decane, "C10H22"),
        (Self::Hydrogen, "H2"),
        (Self::Oxygen, "O2"),
        (Self::CarbonMonoxide, "CO"),
        (Self::Water, "H2O"),
        (Self::HydrogenSulfide, "H2S"),
        (Self::Helium, "He"),
        (Self::Argon, "Ar"),
    ];

    /// Its formula, as analyses are written.
    pub fn formula(self) -> &'static str {
        let of = Self::FORMULAS.iter().find(|(known, _)| *known == self);
        of.map_or("", |(_, formula)| formula)
    }

    fn of_formula(text: &str) -> Option<Self> {
        let of = Self::FORMULAS.iter().find(|(_, formula)| *formula == text);
        of.map(|(component, _)| *component)
    }
}

/// Why mole fractions are no gas analysis.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CompositionError {
    /// Not a component and its fraction.
    #[error(
        "`{0}` is no component with its mole fraction; write for example CH4:0.965;N2:0.003;C2H6:0.032, \
         butanes and pentanes as iC4H10, nC4H10, iC5H12, nC5H12"
    )]
    Part(String),
    /// A fraction that is none, or a component named twice.
    #[error(
        "the mole fraction of {0} is written twice or is not from 0 to 1; write each component once"
    )]
    Fraction(&'static str),
    /// They are not all of the gas.
    #[error("mole fractions add up to {0:.6}, not 1; write all components of the gas analysis")]
    Sum(f64),
}

/// A gas analysis: mole fractions that add up to 1. Written `CH4:0.965;N2:0.003;…`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Composition(Vec<(Component, f64)>);

/// What rounding of an analysis to four or five places leaves.
const SUM_TOLERANCE: f64 = 5e-4;

impl Composition {
    /// From the components that are there.
    ///
    /// # Errors
    /// A fraction that is none, or a sum that is off by more than rounding explains. What rounding
    /// leaves is shared out in proportion.
    pub fn new(fractions: &[(Component, f64)]) -> Result<Self, CompositionError> {
        for (place, (component, fraction)) in fractions.iter().enumerate() {
            let is_twice = fractions
                .iter()
                .skip(place + 1)
                .any(|(other, _)| other == component);
            if is_twice || !(0.0..=1.0).contains(fraction) {
                return Err(CompositionError::Fraction(component.formula()));
            }
        }
        let sum: f64 = fractions.iter().map(|(_, fraction)| fraction).sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(CompositionError::Sum(sum));
        }
        Ok(Self(
            fractions
                .iter()
                .map(|(component, fraction)| (*component, fraction / sum))
                .collect(),
        ))
    }

    /// Components with their mole fractions, which add up to 1.
    pub fn fractions(&self) -> &[(Component, f64)] {
        &self.0
    }

    /// Mole fraction of a component; 0 if it is not in the gas.
    pub fn fraction(&self, of: Component) -> f64 {
        let found = self.0.iter().find(|(component, _)| *component == of);
        found.map_or(0.0, |(_, fraction)| *fraction)
    }
}

impl FromStr for Composition {
    type Err = CompositionError;

    fn from_str(text: &str) -> Result<Self, CompositionError> {
        let part = |part: &str| {
            let (formula, fraction) = part.split_once(':')?;
            let component = Component::of_formula(formula.trim())?;
            Some((component, fraction.trim().parse().ok()?))
        };
        let parts: Result<Vec<_>, _> = text
            .split(';')
            .map(|text| part(text).ok_or_else(|| CompositionError::Part(text.trim().to_owned())))
            .collect();
        Self::new(&parts?)
    }
}

impl fmt::Display for Composition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (component, fraction)) in self.0.iter().enumerate() {
            let between = if place == 0 { "" } else { ";" };
            write!(f, "{between}{}:{fraction}", component.formula())?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Composition {
    type Error = CompositionError;

    fn try_from(text: String) -> Result<Self, CompositionError> {
        text.parse()
    }
}

impl From<Composition> for String {
    fn from(composition: Composition) -> Self {
        composition.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Component::{Ethane, Methane, Nitrogen};
    use super::*;

    #[test]
    fn an_analysis_is_written_by_formulas() {
        let gas: Composition = "CH4:0.75; N2:0.125;C2H6:0.125".parse().unwrap();
        assert_eq!(
            gas.fractions(),
            [(Methane, 0.75), (Nitrogen, 0.125), (Ethane, 0.125)]
        );
        assert_eq!(gas.to_string(), "CH4:0.75;N2:0.125;C2H6:0.125");
        for (text, said) in [
            ("CH4:0.9;XX:0.1", "`XX:0.1` is no component"),
            ("CH4=1", "`CH4=1` is no component"),
            ("CH4:0.5;CH4:0.5", "of CH4 is written twice"),
            (
                "CH4:1.2;C2H6:-0.2",
                "of CH4 is written twice or is not from 0 to 1",
            ),
            (
                "CH4:0.9;C2H6:0.05",
                "add up to 0.950000, not 1; write all components",
            ),
            ("", "is no component"),
        ] {
            let error = text.parse::<Composition>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        // Rounded to four places.
        assert!(Composition::new(&[(Methane, 0.960_1), (Ethane, 0.040_1)]).is_ok());
        assert!(Composition::new(&[]).is_err());
    }
}
