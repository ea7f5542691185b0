//! `qiliang correctors`: do the volume correctors convert as their own pressure and temperature say?

use super::{Context, Failure};
use crate::domain::id::MeterId;
use crate::run::auditing;
use crate::serve::api::correctors::{CorrectorView, CorrectorsAsked, ROWS_DEFAULT};
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
    let (mut odd, mut all) = (0, 0);
    let mut asked = CorrectorsAsked {
        meter: question.meter.clone(),
        days: question.days,
        after: None,
        limit: ROWS_DEFAULT,
    };
    loop {
        let found = auditing::correctors(&app, &registry, &asked)?;
        for row in &found.rows {
            if question.is_json {
                println!("{}", serde_json::to_string(row)?);
            } else if row.is_odd() || question.meter.is_some() {
                print!("{}", lines(row));
            }
            odd += usize::from(row.is_odd());
        }
        all += found.rows.len();
        match found.next_after {
            Some(after) => asked.after = Some(MeterId::new(after)),
            None => break,
        }
    }
    if !question.is_json {
        println!(
            "{odd} of {all} corrector(s) with something to look at, last {} day(s)",
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
