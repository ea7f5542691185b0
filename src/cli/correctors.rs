//! `qiliang correctors`: do the volume correctors convert as their own pressure and temperature say?

use super::{Context, Failure};
use crate::domain::id::MeterId;
use crate::run::auditing;
use crate::serve::api::correctors::CorrectorView;
use crate::validate::convert::audit::Slip;

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
    let only = question.meter.as_ref();
    let rows = auditing::correctors(&app, &registry, only, question.days)?;
    for row in &rows {
        if question.is_json {
            println!("{}", serde_json::to_string(row)?);
        } else if row.is_odd() || question.meter.is_some() {
            print!("{}", lines(row));
        }
    }
    if !question.is_json {
        let odd = rows.iter().filter(|row| row.is_odd()).count();
        println!(
            "{odd} of {} corrector(s) with something to look at, last {} day(s)",
            rows.len(),
            question.days
        );
    }
    Ok(())
}

fn lines(row: &CorrectorView) -> String {
    let mut text = String::new();
    if let Some(error) = &row.error {
        text.extend([format!("{:<24} {error}\n", row.meter)]);
    }
    if let (Some(reported), Some(expected), false) = (row.factor, row.factor_expected, row.is_odd())
    {
        text.extend([format!(
            "{:<24} {} ({}): factor {reported:.4}, by its pressure and temperature {expected:.4}, {} reading(s)\n",
            row.meter,
            Slip::None.name_en(),
            Slip::None.name_zh(),
            row.readings
        )]);
    }
    for finding in &row.findings {
        text.extend([format!(
            "{:<24} {} ({})\n",
            row.meter, finding.message_en, finding.message_zh
        )]);
    }
    text
}
