//! The audit of volume correctors from what the journal holds.

use std::ops::Bound;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::{GasDay, beijing_civil};
use crate::domain::id::MeterId;
use crate::domain::meter::Meter;
use crate::domain::registry::Registry;
use crate::run::app::App;
use crate::serve::api::correctors::{
    CorrectorFinding, CorrectorView, CorrectorsAsked, CorrectorsView,
};
use crate::store::error::StoreError;
use crate::validate::convert::audit::{self, AuditFinding};
use crate::validate::convert::{ConvertError, Converter, ZMethod};

/// Meters whose readings are looked at for one answer at most.
const METERS_MAX: usize = 2_000;

/// The correctors whose readings of the last days tell, in order of meter: as many as asked for, of at most
/// 2,000 meters. One meter's readings are held at a time. Blocks.
///
/// # Errors
/// What the journal says.
pub fn correctors(
    app: &App,
    registry: &Registry,
    asked: &CorrectorsAsked,
) -> Result<CorrectorsView, StoreError> {
    let from = match (&asked.meter, &asked.after) {
        (Some(meter), _) => Bound::Included(meter),
        (None, Some(after)) => Bound::Excluded(after),
        (None, None) => Bound::Unbounded,
    };
    let to = asked
        .meter
        .as_ref()
        .map_or(Bound::Unbounded, Bound::Included);
    let mut view = CorrectorsView {
        days: asked.days,
        rows: Vec::new(),
        next_after: None,
    };
    let mut last: Option<&MeterId> = None;
    let meters = registry.meters.range::<MeterId, _>((from, to));
    for (looked, (id, meter)) in meters.enumerate() {
        if looked >= METERS_MAX || view.rows.len() >= asked.limit {
            view.next_after = last.map(ToString::to_string);
            break;
        }
        view.rows
            .extend(corrector(app, registry, meter, asked.days)?);
        last = Some(id);
    }
    Ok(view)
}

fn corrector(
    app: &App,
    registry: &Registry,
    meter: &Meter,
    days: u32,
) -> Result<Option<CorrectorView>, StoreError> {
    let now = app.clock.now();
    let from = now - TimeDelta::days(days.into());
    let readings = app.journal.readings_between(&meter.id, from, now)?;
    let atmosphere_kpa = registry.atmosphere_of(meter);
    let audited = converter(registry, meter, app.gas_day_clock().day_of(now))
        .and_then(|converter| audit::samples(&readings, &converter, atmosphere_kpa));
    let view = CorrectorView {
        meter: meter.id.to_string(),
        zone: meter.zone.to_string(),
        readings: readings.len(),
        factor: None,
        factor_expected: None,
        findings: Vec::new(),
        error: None,
    };
    let view = match audited {
        Ok(samples) => CorrectorView {
            readings: samples.len(),
            factor: samples.last().map(|sample| sample.reported),
            factor_expected: samples.last().map(|sample| sample.expected),
            findings: audit::findings(&samples).iter().map(said).collect(),
            ..view
        },
        Err(error) => CorrectorView {
            error: Some(error.to_string()),
            ..view
        },
    };
    Ok((view.readings > 0).then_some(view))
}

/// By the corrector's own method where the registry names it, else by what is known of the zone's gas, else
/// as an ideal gas.
fn converter(registry: &Registry, meter: &Meter, day: GasDay) -> Result<Converter, ConvertError> {
    let quality = registry.gas_quality_on(&meter.zone, day);
    let method = match (meter.corrector_method, quality) {
        (Some(method), _) => ZMethod::of_corrector(method, quality)?,
        (None, Some(quality)) => ZMethod::of_gas(quality)?,
        (None, None) => ZMethod::Ideal,
    };
    Converter::new(method, registry.company.reference)
}

fn said(finding: &AuditFinding) -> CorrectorFinding {
    let time = |at: DateTime<Utc>| beijing_civil(at).format("%Y-%m-%d %H:%M").to_string();
    let instant = |at: DateTime<Utc>| beijing_civil(at).to_rfc3339();
    match finding {
        AuditFinding::Factor {
            slip,
            span: (from, to),
            count,
            ratio,
        } => {
            let percent = (ratio - 1.0) * 100.0;
            let (since, until) = (time(*from), time(*to));
            CorrectorFinding {
                kind: "factor".to_owned(),
                message_zh: format!(
                    "{}:系数偏差 {percent:+.2} %,{since} 至 {until} 共 {count} 条读数",
                    slip.name_zh()
                ),
                message_en: format!(
                    "{}: factor {percent:+.2} % off, {count} reading(s) from {since} to {until}",
                    slip.name_en()
                ),
                from: instant(*from),
                to: Some(instant(*to)),
                readings: Some(*count),
                ratio: Some(*ratio),
            }
        }
        AuditFinding::Changed { at, from, to } => CorrectorFinding {
            kind: "changed".to_owned(),
            message_zh: format!(
                "{} 起变化:之前{},此后{}",
                time(*at),
                from.name_zh(),
                to.name_zh()
            ),
            message_en: format!(
                "changed at {}: before, it {}, since then it {}",
                time(*at),
                from.name_en(),
                to.name_en()
            ),
            from: instant(*at),
            to: None,
            readings: None,
            ratio: None,
        },
        AuditFinding::PressureFrozen {
            pressure_kpa,
            span: (from, to),
            count,
        } => {
            let (since, until) = (time(*from), time(*to));
            CorrectorFinding {
                kind: "pressure_frozen".to_owned(),
                message_zh: format!(
                    "压力恒为 {pressure_kpa} kPa,{since} 至 {until} 共 {count} 条读数:疑为替代值或变送器失效"
                ),
                message_en: format!(
                    "reports {pressure_kpa} kPa without a change: {count} reading(s) from {since} to {until}; \
                     a fallback value, or a dead transmitter"
                ),
                from: instant(*from),
                to: Some(instant(*to)),
                readings: Some(*count),
                ratio: None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::meter::CorrectorMethod;
    use crate::domain::registry::RegistryParts;
    use crate::domain::source::GasQuality;
    use crate::validate::convert::GasState;
    use crate::validate::convert::audit::Slip;
    use crate::validate::rules::testing;

    #[test]
    fn what_is_odd_is_said_in_both_languages_with_its_numbers() {
        let at: DateTime<Utc> = "2026-11-21T00:00:00Z".parse().unwrap();
        let factor = said(&AuditFinding::Factor {
            slip: Slip::BaseZeroCelsius,
            span: (at, at + TimeDelta::hours(24)),
            count: 25,
            ratio: 1.0 / 1.0732,
        });
        assert_eq!(
            factor.message_zh,
            "按0 ℃修正(应为20 ℃):系数偏差 -6.82 %,2026-11-21 08:00 至 2026-11-22 08:00 共 25 条读数"
        );
        assert_eq!(
            factor.message_en,
            "converts to 0 °C instead of 20 °C: factor -6.82 % off, 25 reading(s) from 2026-11-21 08:00 to \
             2026-11-22 08:00"
        );
        assert_eq!(factor.from, "2026-11-21T08:00:00+08:00");
        let changed = said(&AuditFinding::Changed {
            at,
            from: Slip::None,
            to: Slip::GaugeForAbsolute,
        });
        assert_eq!(
            changed.message_zh,
            "2026-11-21 08:00 起变化:之前修正正确,此后表压当作绝压"
        );
        assert_eq!((changed.to, changed.ratio), (None, None));
    }

    /// At 1.7 `MPa` the gas is 3 % denser than an ideal one: a corrector that leaves it out, by its plate or by mistake.
    #[test]
    fn a_corrector_is_audited_by_the_method_on_its_plate() {
        let quality = GasQuality {
            zone: "z".into(),
            from_on: "2026-01-01".parse().unwrap(),
            calorific_value_mjm3: 40.66,
            relative_density: 0.581,
            co2: 0.006,
            h2: 0.0,
            composition: None,
        };
        let registry = Registry::new(RegistryParts {
            gas_qualities: vec![quality],
            ..testing::parts()
        });
        let slip = |corrector_method, factor| {
            let meter = Meter {
                zone: "z".into(),
                corrector_method,
                ..testing::meter()
            };
            let converter = converter(&registry, &meter, testing::day()).unwrap();
            let state = GasState::celsius(1_701.325, 20.0);
            audit::explain(factor, state, &converter, 101.0).unwrap()
        };
        let (ideal, by_nx19) = (16.790_772, 16.790_772 * 1.033_7);
        assert_eq!(slip(None, ideal), Slip::NoCompressibility);
        assert_eq!(slip(Some(CorrectorMethod::FixedK(1.0)), ideal), Slip::None);
        assert_eq!(slip(Some(CorrectorMethod::Nx19), by_nx19), Slip::None);
        assert_eq!(
            slip(Some(CorrectorMethod::FixedK(1.0)), by_nx19),
            Slip::Unexplained
        );
    }
}
