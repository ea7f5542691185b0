//! `qiliang correctors`: do the volume correctors convert as their own pressure and temperature say?

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{Context, Failure};
use crate::domain::calendar::{GasDay, beijing_civil};
use crate::domain::id::MeterId;
use crate::domain::meter::Meter;
use crate::domain::registry::Registry;
use crate::run::app::App;
use crate::validate::convert::audit::{self, AuditFinding, Slip};
use crate::validate::convert::{ConvertError, Converter, SgergGas, ZMethod};

/// What is asked.
#[derive(Debug)]
pub(super) struct Question {
    /// This meter alone.
    pub(super) meter: Option<MeterId>,
    /// Complete days before now.
    pub(super) days: u32,
    /// One JSON object a meter.
    pub(super) is_json: bool,
}

/// Audits the correctors whose readings tell; exit code 0 whatever is found, since nothing is wrong
/// with the program then.
pub(super) fn run(context: &Context, question: &Question) -> Result<(), Failure> {
    let app = context.read()?;
    let registry = app.registry();
    if let Some(meter) = &question.meter
        && !registry.meters.contains_key(meter)
    {
        return Err(Failure::Error(anyhow::anyhow!(
            "meter `{meter}` is not in meters.csv; `qiliang correctors` without --meter takes all"
        )));
    }
    let asked = |meter: &&Meter| question.meter.as_ref().is_none_or(|id| *id == meter.id);
    let (mut told, mut odd) = (0, 0);
    for meter in registry.meters.values().filter(asked) {
        let audited = audit(&app, &registry, meter, question.days)?;
        if audited.samples == 0 {
            continue;
        }
        told += 1;
        let is_odd = audited.error.is_some() || !audited.findings.is_empty();
        odd += usize::from(is_odd);
        if question.is_json {
            println!("{}", as_json(meter, &audited));
        } else if is_odd || question.meter.is_some() {
            print!("{}", lines(meter, &audited));
        }
    }
    if !question.is_json {
        println!(
            "{odd} of {told} corrector(s) with something to look at, last {} day(s)",
            question.days
        );
    }
    Ok(())
}

/// What the readings of one meter say.
#[derive(Debug, Default)]
struct Audited {
    samples: usize,
    /// Factor reported and factor of its state, newest.
    newest: Option<(f64, f64)>,
    findings: Vec<AuditFinding>,
    error: Option<ConvertError>,
}

fn audit(app: &App, registry: &Registry, meter: &Meter, days: u32) -> Result<Audited, Failure> {
    let now = app.clock.now();
    let from = now - TimeDelta::days(days.into());
    let readings = app.journal.readings_between(&meter.id, from, now)?;
    let atmosphere_kpa = registry
        .zones
        .get(&meter.zone)
        .map_or(registry.company.reference.pressure_kpa, |zone| {
            zone.atmosphere_kpa
        });
    let today = registry.company.gas_day_start_hour.day_of(now);
    let audited = converter(registry, meter, today)
        .and_then(|converter| audit::samples(&readings, &converter, atmosphere_kpa));
    Ok(match audited {
        Ok(samples) => Audited {
            samples: samples.len(),
            newest: samples.last().map(|s| (s.reported, s.expected)),
            findings: audit::findings(&samples),
            error: None,
        },
        Err(error) => Audited {
            samples: readings.len(),
            error: Some(error),
            ..Audited::default()
        },
    })
}

/// By SGERG-88 where the quality of the zone's gas is known, else as an ideal gas.
fn converter(registry: &Registry, meter: &Meter, day: GasDay) -> Result<Converter, ConvertError> {
    let method = match registry.gas_quality_on(&meter.zone, day) {
        Some(quality) => ZMethod::Sgerg88(
            SgergGas {
                calorific_value_mjm3: quality.calorific_value_mjm3,
                relative_density: quality.relative_density,
                co2: quality.co2,
                h2: quality.h2,
            }
            .solve()?,
        ),
        None => ZMethod::Ideal,
    };
    Converter::new(method, registry.company.reference)
}

fn lines(meter: &Meter, audited: &Audited) -> String {
    let mut text = String::new();
    if let Some(error) = &audited.error {
        text.extend([format!("{:<24} {error}\n", meter.id.as_str())]);
    }
    if let (Some((reported, expected)), true) = (audited.newest, audited.findings.is_empty()) {
        text.extend([format!(
            "{:<24} {} ({}): factor {reported:.4}, by its pressure and temperature {expected:.4}, {} reading(s)\n",
            meter.id.as_str(), Slip::None.name_en(), Slip::None.name_zh(), audited.samples
        )]);
    }
    for finding in &audited.findings {
        text.extend([format!("{:<24} {}\n", meter.id.as_str(), sentence(finding))]);
    }
    text
}

fn sentence(finding: &AuditFinding) -> String {
    let time = |at| beijing_civil(at).format("%Y-%m-%d %H:%M").to_string();
    match finding {
        AuditFinding::Factor {
            slip,
            span,
            count,
            ratio,
        } => format!(
            "{} ({}): factor {:+.2} % off, {count} reading(s) from {} to {}",
            slip.name_en(),
            slip.name_zh(),
            (ratio - 1.0) * 100.0,
            time(span.0),
            time(span.1),
        ),
        AuditFinding::Changed { at, from, to } => format!(
            "changed at {}: before, it {} ({}), since then it {} ({})",
            time(*at),
            from.name_en(),
            from.name_zh(),
            to.name_en(),
            to.name_zh(),
        ),
        AuditFinding::PressureFrozen {
            pressure_kpa,
            span,
            count,
        } => format!(
            "reports {pressure_kpa} kPa without a change ({}): {count} reading(s) from {} to {}; a fallback \
             value, or a dead transmitter",
            "压力恒定,疑为替代值",
            time(span.0),
            time(span.1),
        ),
    }
}

fn as_json(meter: &Meter, audited: &Audited) -> Value {
    json!({
        "meter": meter.id,
        "readings": audited.samples,
        "factor": audited.newest.map(|(reported, _)| reported),
        "factor_expected": audited.newest.map(|(_, expected)| expected),
        "findings": audited.findings.iter().map(sentence).collect::<Vec<_>>(),
        "error": audited.error.as_ref().map(ToString::to_string),
    })
}
