//! The physics of a corrector (体积修正仪): is its factor the one that its own pressure and temperature
//! give, and if not, which slip explains it?
//!
//! Every slip that correctors and their registers are known for has a ratio of its own at a given state
//! (domain.md §2.7, §3.7): 0 °C or 15 °C for 20 °C, gauge for absolute pressure and the reverse, no
//! compressibility, working volume handed on as standard. The ratio nearest to what is seen names it.

use chrono::{DateTime, Utc};

use super::{ConvertError, Converter, GasState, ZERO_CELSIUS_K};
use crate::domain::quantity::ReferenceConditions;
use crate::domain::reading::{Item, Reading};

/// Factors that differ by less than this are the same: two registers are not read at one instant.
const AGREE: f64 = 0.005;
/// A slip explains a factor that it misses by less than this.
const EXPLAIN: f64 = 0.004;
/// Readings in a row that a statement needs.
const RUN_MIN: usize = 6;
/// Readings in a row with the same pressure that no gauge gives while gas flows.
const FROZEN_MIN: usize = 24;

/// What explains a factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slip {
    /// It is as it should be.
    None,
    /// Converted to 0 °C: 1.0732 times too little.
    BaseZeroCelsius,
    /// Converted to 15 °C: 1.0174 times too little.
    BaseFifteenCelsius,
    /// Gauge pressure used as if it were absolute.
    GaugeForAbsolute,
    /// Atmospheric pressure added to an absolute one.
    AbsoluteForGauge,
    /// Compressibility left out.
    NoCompressibility,
    /// Working volume handed on as standard volume: the factor is 1.
    WorkingForStandard,
    /// Nothing we know.
    Unexplained,
}

impl Slip {
    /// Chinese name for people.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::None => "修正正确",
            Self::BaseZeroCelsius => "按0 ℃修正(应为20 ℃)",
            Self::BaseFifteenCelsius => "按15 ℃修正(应为20 ℃)",
            Self::GaugeForAbsolute => "表压当作绝压",
            Self::AbsoluteForGauge => "绝压当作表压",
            Self::NoCompressibility => "未作压缩因子修正",
            Self::WorkingForStandard => "工况当作标况",
            Self::Unexplained => "修正系数不符,原因不明",
        }
    }

    /// English name for people.
    pub const fn name_en(self) -> &'static str {
        match self {
            Self::None => "converts correctly",
            Self::BaseZeroCelsius => "converts to 0 °C instead of 20 °C",
            Self::BaseFifteenCelsius => "converts to 15 °C instead of 20 °C",
            Self::GaugeForAbsolute => "takes gauge pressure for absolute",
            Self::AbsoluteForGauge => "adds the atmosphere to an absolute pressure",
            Self::NoCompressibility => "leaves compressibility out",
            Self::WorkingForStandard => "hands working volume on as standard volume",
            Self::Unexplained => "has a factor that nothing known explains",
        }
    }
}

/// A factor beside the one that physics gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When it was read.
    pub at: DateTime<Utc>,
    /// Pressure and temperature that the corrector reports.
    pub state: GasState,
    /// Factor that it reports.
    pub reported: f64,
    /// Factor of the state.
    pub expected: f64,
    /// What explains the difference.
    pub slip: Slip,
}

/// What an audit found in a span of readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AuditFinding {
    /// Factors with one explanation, from the first reading to the last.
    Factor {
        /// The explanation; never [`Slip::None`].
        slip: Slip,
        /// First and last reading.
        span: (DateTime<Utc>, DateTime<Utc>),
        /// Readings.
        count: usize,
        /// Mean of reported by expected factor. Divide volumes by it to mend them.
        ratio: f64,
    },
    /// The explanation changed and stayed changed: somebody set other base conditions, or mended them.
    Changed {
        /// First reading of the new kind.
        at: DateTime<Utc>,
        /// Before.
        from: Slip,
        /// Since.
        to: Slip,
    },
    /// The same pressure to the last digit while the gas warmed or cooled: a fallback value.
    PressureFrozen {
        /// The pressure, absolute kPa.
        pressure_kpa: f64,
        /// First and last reading.
        span: (DateTime<Utc>, DateTime<Utc>),
        /// Readings.
        count: usize,
    },
}

/// The factors that readings of one meter, in time order, contain.
///
/// The reported factor is the corrector's own item; without it, what its two totals advanced since the
/// reading before, where they advanced enough to say.
///
/// # Errors
/// Not one state that the converter's method covers; the error is that of the first.
pub fn samples(
    readings: &[Reading],
    converter: &Converter,
    atmosphere_kpa: f64,
) -> Result<Vec<Sample>, ConvertError> {
    let mut samples = Vec::new();
    let mut refused = None;
    for (index, reading) in readings.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|i| readings.get(i));
        let pressure = reading.float(Item::PressureAbs).or_else(|| {
            reading
                .float(Item::PressureGauge)
                .map(|gauge| gauge + atmosphere_kpa)
        });
        let (Some(pressure_kpa), Some(celsius)) = (pressure, reading.float(Item::Temperature))
        else {
            continue;
        };
        let Some(reported) = reading
            .float(Item::ConversionFactor)
            .or_else(|| before.and_then(|before| factor_of_totals(before, reading)))
            .filter(|factor| factor.is_finite() && *factor > 0.0)
        else {
            continue;
        };
        let state = GasState::celsius(pressure_kpa, celsius);
        // One reading that no gas explains must not hide what the others say.
        let conversion = match converter.convert(state) {
            Ok(conversion) => conversion,
            Err(error) => {
                refused.get_or_insert(error);
                continue;
            }
        };
        samples.push(Sample {
            at: reading.sampled_at,
            state,
            reported,
            expected: conversion.factor,
            slip: explain(reported, state, converter, atmosphere_kpa)?,
        });
    }
    match refused {
        Some(error) if samples.is_empty() => Err(error),
        _ => Ok(samples),
    }
}

/// Least advance of the working total, units of 1e-4 m³, from which a factor can be told: with totals
/// to 0.001 m³ the error of the ratio stays below 0.1 %.
const ADVANCE_MIN: i64 = 20_000;

fn factor_of_totals(before: &Reading, after: &Reading) -> Option<f64> {
    let advance = |item| Some(after.exact(item)? - before.exact(item)?);
    let work = advance(Item::TotalWork).filter(|units| *units >= ADVANCE_MIN)?;
    let std = advance(Item::TotalStd).filter(|units| *units > 0)?;
    Some(std as f64 / work as f64)
}

/// What explains a reported factor at a state.
///
/// # Errors
/// A state that the converter's method does not cover.
pub fn explain(
    reported: f64,
    state: GasState,
    converter: &Converter,
    atmosphere_kpa: f64,
) -> Result<Slip, ConvertError> {
    let right = converter.convert(state)?;
    let off = |factor: f64| (reported / factor - 1.0).abs();
    if off(right.factor) < AGREE {
        return Ok(Slip::None);
    }
    let base_k = GasState::from(converter.reference()).temperature_k;
    let to_base = |other| right.factor * GasState::from(other).temperature_k / base_k;
    let at_pressure = |pressure_kpa: f64| right.factor * pressure_kpa / state.pressure_kpa;
    let candidates = [
        (Slip::BaseZeroCelsius, to_base(ReferenceConditions::NORMAL)),
        (Slip::BaseFifteenCelsius, to_base(ReferenceConditions::ISO)),
        (
            Slip::GaugeForAbsolute,
            at_pressure(state.pressure_kpa - atmosphere_kpa),
        ),
        (
            Slip::AbsoluteForGauge,
            at_pressure(state.pressure_kpa + atmosphere_kpa),
        ),
        (Slip::NoCompressibility, right.ideal),
        (Slip::WorkingForStandard, 1.0),
    ];
    let nearest = candidates
        .into_iter()
        .filter(|(_, factor)| *factor > 0.0)
        .min_by(|(_, a), (_, b)| off(*a).total_cmp(&off(*b)));
    Ok(nearest
        .filter(|(_, factor)| off(*factor) < EXPLAIN)
        .map_or(Slip::Unexplained, |(slip, _)| slip))
}

/// What samples of one meter, in time order, say together. A statement needs several in a row, so that
/// a single odd reading accuses nobody.
pub fn findings(samples: &[Sample]) -> Vec<AuditFinding> {
    let mut findings = Vec::new();
    let mut last: Option<Slip> = None;
    for run in samples.chunk_by(|a, b| a.slip == b.slip) {
        let [first, .., end] = run else { continue };
        if run.len() < RUN_MIN {
            continue;
        }
        if let Some(from) = last.filter(|from| *from != first.slip) {
            findings.push(AuditFinding::Changed {
                at: first.at,
                from,
                to: first.slip,
            });
        }
        last = Some(first.slip);
        if first.slip != Slip::None {
            let ratio = run.iter().map(|s| s.reported / s.expected).sum::<f64>() / run.len() as f64;
            findings.push(AuditFinding::Factor {
                slip: first.slip,
                span: (first.at, end.at),
                count: run.len(),
                ratio,
            });
        }
    }
    findings.extend(frozen_pressures(samples));
    findings
}

fn frozen_pressures(samples: &[Sample]) -> impl Iterator<Item = AuditFinding> + '_ {
    samples
        .chunk_by(|a, b| {
            a.state
                .pressure_kpa
                .total_cmp(&b.state.pressure_kpa)
                .is_eq()
        })
        .filter_map(|run| {
            let [first, .., end] = run else { return None };
            let temperatures = run.iter().map(|s| s.state.temperature_k - ZERO_CELSIUS_K);
            let (least, most) = temperatures
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), t| {
                    (a.min(t), b.max(t))
                });
            (run.len() >= FROZEN_MIN && most - least > 1.0).then_some(
                AuditFinding::PressureFrozen {
                    pressure_kpa: first.state.pressure_kpa,
                    span: (first.at, end.at),
                    count: run.len(),
                },
            )
        })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::reading::ItemValue;
    use crate::validate::convert::{SgergGas, ZMethod};
    use crate::validate::rules::testing::total;

    const ATMOSPHERE_KPA: f64 = 101.0;

    fn converter() -> Converter {
        let gas = SgergGas {
            calorific_value_mjm3: 40.66,
            relative_density: 0.581,
            co2: 0.006,
            h2: 0.0,
        };
        Converter::new(
            ZMethod::Sgerg88(gas.solve().unwrap()),
            ReferenceConditions::CHINA,
        )
        .unwrap()
    }

    fn state(hour: usize) -> GasState {
        GasState::celsius(400.0 + (hour % 7) as f64, 8.0 + (hour % 24) as f64 / 2.0)
    }

    /// A corrector that makes a slip.
    fn reported(slip: Slip, state: GasState) -> f64 {
        let c = converter();
        let right = c.convert(state).unwrap();
        let gauge = GasState {
            pressure_kpa: state.pressure_kpa - ATMOSPHERE_KPA,
            ..state
        };
        let double = GasState {
            pressure_kpa: state.pressure_kpa + ATMOSPHERE_KPA,
            ..state
        };
        let to = |reference| {
            let gas = SgergGas {
                calorific_value_mjm3: 40.66,
                relative_density: 0.581,
                co2: 0.006,
                h2: 0.0,
            };
            let method = ZMethod::Sgerg88(gas.solve().unwrap());
            Converter::new(method, reference)
                .and_then(|c| c.convert(state))
                .unwrap()
                .factor
        };
        match slip {
            Slip::None => right.factor,
            Slip::BaseZeroCelsius => to(ReferenceConditions::NORMAL),
            Slip::BaseFifteenCelsius => to(ReferenceConditions::ISO),
            Slip::GaugeForAbsolute => c.convert(gauge).unwrap().factor,
            Slip::AbsoluteForGauge => c.convert(double).unwrap().factor,
            Slip::NoCompressibility => right.ideal,
            Slip::WorkingForStandard => 1.0,
            Slip::Unexplained => right.factor * 1.13,
        }
    }

    fn reading(hour: usize, factor: f64, state: GasState) -> Reading {
        let mut reading = total(1, 0);
        reading.sampled_at += TimeDelta::hours(i64::try_from(hour).unwrap());
        reading.values = vec![
            (Item::PressureAbs, ItemValue::Float(state.pressure_kpa)),
            (
                Item::Temperature,
                ItemValue::Float(state.temperature_k - ZERO_CELSIUS_K),
            ),
            (Item::ConversionFactor, ItemValue::Float(factor)),
        ];
        reading
    }

    const ALL: [Slip; 8] = [
        Slip::None,
        Slip::BaseZeroCelsius,
        Slip::BaseFifteenCelsius,
        Slip::GaugeForAbsolute,
        Slip::AbsoluteForGauge,
        Slip::NoCompressibility,
        Slip::WorkingForStandard,
        Slip::Unexplained,
    ];

    #[test]
    fn each_slip_is_named_from_its_readings() {
        for slip in ALL {
            let readings: Vec<Reading> = (0..48)
                .map(|h| reading(h, reported(slip, state(h)), state(h)))
                .collect();
            let samples = samples(&readings, &converter(), ATMOSPHERE_KPA).unwrap();
            assert_eq!(samples.len(), 48);
            let found = findings(&samples);
            if slip == Slip::None {
                assert_eq!(found, []);
                continue;
            }
            let [
                AuditFinding::Factor {
                    slip: named,
                    count: 48,
                    ratio,
                    ..
                },
            ] = found[..]
            else {
                panic!("{slip:?}: {found:?}");
            };
            assert_eq!(named, slip);
            match slip {
                Slip::BaseZeroCelsius => assert!((1.0 / ratio - 1.0738).abs() < 2e-4, "{ratio}"),
                Slip::BaseFifteenCelsius => assert!((1.0 / ratio - 1.0175).abs() < 2e-4, "{ratio}"),
                _ => assert!((ratio - 1.0).abs() > AGREE),
            }
        }
    }

    #[test]
    fn a_factor_is_read_from_two_totals_where_the_corrector_gives_none() {
        let mut work = 1_000_000_i64;
        let mut std = 5_000_000_i64;
        let readings: Vec<Reading> = (0..30)
            .map(|hour| {
                let state = state(hour);
                if hour > 0 {
                    work += 300_000;
                    #[expect(clippy::cast_possible_truncation, reason = "a few million")]
                    let more = (300_000.0 * reported(Slip::GaugeForAbsolute, state)) as i64;
                    std += more;
                }
                let mut reading = reading(hour, f64::NAN, state);
                reading.values.pop();
                reading
                    .values
                    .push((Item::TotalWork, ItemValue::Exact(work)));
                reading.values.push((Item::TotalStd, ItemValue::Exact(std)));
                reading
            })
            .collect();
        let found = findings(&samples(&readings, &converter(), ATMOSPHERE_KPA).unwrap());
        let [
            AuditFinding::Factor {
                slip: Slip::GaugeForAbsolute,
                count: 29,
                ..
            },
        ] = found[..]
        else {
            panic!("{found:?}");
        };
    }

    #[test]
    fn a_state_that_cannot_be_does_not_hide_the_others() {
        let hot = GasState::celsius(400.0, 120.0);
        let mut readings: Vec<Reading> = (0..12)
            .map(|h| reading(h, reported(Slip::BaseZeroCelsius, state(h)), state(h)))
            .collect();
        readings[5] = reading(5, 4.0, hot);
        let samples = samples(&readings, &converter(), ATMOSPHERE_KPA).unwrap();
        assert_eq!(samples.len(), 11);
        assert_eq!(findings(&samples).len(), 1);
        let alone = super::samples(&readings[5..6], &converter(), ATMOSPHERE_KPA);
        assert!(matches!(alone, Err(ConvertError::OutOfRange { .. })));
    }

    #[test]
    fn a_change_of_base_conditions_is_dated() {
        let readings: Vec<Reading> = (0..60)
            .map(|h| {
                let slip = if h < 30 {
                    Slip::None
                } else {
                    Slip::BaseZeroCelsius
                };
                reading(h, reported(slip, state(h)), state(h))
            })
            .collect();
        let found = findings(&samples(&readings, &converter(), ATMOSPHERE_KPA).unwrap());
        assert_eq!(
            found[0],
            AuditFinding::Changed {
                at: readings[30].sampled_at,
                from: Slip::None,
                to: Slip::BaseZeroCelsius
            }
        );
        // One odd reading in between says nothing.
        let mut odd = readings[..30].to_vec();
        odd[10] = reading(10, 1.0, state(10));
        let samples = samples(&odd, &converter(), ATMOSPHERE_KPA).unwrap();
        assert_eq!(samples[10].slip, Slip::WorkingForStandard);
        assert_eq!(findings(&samples), []);
    }

    #[test]
    fn a_pressure_that_never_moves_is_a_fallback() {
        let at = |h: usize| GasState {
            pressure_kpa: 401.3,
            ..state(h)
        };
        let readings: Vec<Reading> = (0..30)
            .map(|h| reading(h, reported(Slip::None, at(h)), at(h)))
            .collect();
        let found = findings(&samples(&readings, &converter(), ATMOSPHERE_KPA).unwrap());
        assert_eq!(
            found,
            [AuditFinding::PressureFrozen {
                pressure_kpa: at(0).pressure_kpa,
                span: (readings[0].sampled_at, readings[29].sampled_at),
                count: 30
            }]
        );
    }
}
