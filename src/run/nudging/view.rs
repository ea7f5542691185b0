//! Nudges as the API shows them: with their messages, results and receipts.

use crate::domain::language::Language;
use crate::nudge::Nudge;
use crate::nudge::message::{MessageError, Templates};
use crate::nudge::settlement::stage;
use crate::run::app::App;
use crate::run::nudging::steps::find;
use crate::run::nudging::{KeptSettlement, StepError, kept, settlements, templates};
use crate::serve::api::nudges::{MessageView, NudgeView, SettlementView};

/// Nudges, newest first, at most `limit`.
///
/// # Errors
/// What the store says.
pub fn views(app: &App, limit: usize) -> anyhow::Result<Vec<NudgeView>> {
    let mut results = settlements(app)?;
    let templates = templates(&app.settings.nudge);
    let nudges = kept(app)?.into_iter().take(limit);
    Ok(nudges
        .map(|nudge| {
            let kept = results.remove(&nudge.id);
            of(app, &templates, nudge, kept)
        })
        .collect())
}

/// One nudge.
///
/// # Errors
/// There is none, or what the store says.
pub fn view(app: &App, id: &str) -> Result<NudgeView, StepError> {
    let nudge = find(app, id)?;
    let kept = settlements(app)?.remove(id);
    Ok(of(app, &templates(&app.settings.nudge), nudge, kept))
}

fn of(
    app: &App,
    templates: &Result<Templates, MessageError>,
    nudge: Nudge,
    kept: Option<KeptSettlement>,
) -> NudgeView {
    let settlement = kept.as_ref().map(|kept| &kept.settlement);
    NudgeView {
        stage: stage(&nudge, settlement, app.clock.now()),
        message: message(templates, |t, language| t.nudge(&nudge, language)),
        settlement: kept.map(|kept| SettlementView {
            receipt_message: message(templates, |t, language| {
                t.receipt(&nudge, &kept.settlement, language)
            }),
            version: kept.version,
            settlement: kept.settlement,
        }),
        nudge,
    }
}

fn message(
    templates: &Result<Templates, MessageError>,
    fill: impl Fn(&Templates, Language) -> Result<String, MessageError>,
) -> MessageView {
    let filled = |language| match templates {
        Ok(templates) => fill(templates, language).map_err(|error| error.code()),
        Err(error) => Err(error.code()),
    };
    let (zh, en) = (filled(Language::Zh), filled(Language::En));
    let problem = zh.as_ref().err().or(en.as_ref().err()).copied();
    MessageView {
        bytes: zh.as_ref().map_or(0, String::len),
        zh: zh.ok(),
        en: en.ok(),
        problem: problem.map(str::to_owned),
    }
}
