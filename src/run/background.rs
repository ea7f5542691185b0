//! What a declaration tells beside its quantities, from the stores: the month before, what the forecast
//! stands on, and earlier versions.

use std::collections::BTreeSet;

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandDay, DemandForecast};
use crate::domain::factor::Factor;
use crate::plan::declaration::{
    BackgroundKnown, Declaration, Execution, ExecutionLine, ForecastNotes, MonthHistory,
    OverrideLine, Skill, SkillLine, VersionLine,
};
use crate::run::app::App;
use crate::run::{facts, monitor};
use crate::serve::api::outlook::RecordRow;
use crate::store::book::{Document, DocumentKind};
use crate::store::journal::EditFilter;

/// Gas days of which the quality of data is told.
const QUALITY_DAYS: i64 = 30;
/// Leads of which the record is told.
const DAY_AHEAD: i64 = 1;
const MONTH_AHEAD: i64 = 30;

/// All of it, for version `version` of a month's declaration.
///
/// # Errors
/// What the stores say.
pub(super) fn known(
    app: &App,
    month: GasMonth,
    history: &MonthHistory,
    forecast: &DemandForecast,
    factors: &[Factor],
    version: u32,
) -> anyhow::Result<BackgroundKnown> {
    Ok(BackgroundKnown {
        execution: execution(app, month.previous(), history)?,
        year: history.year,
        notes: notes(app, month, forecast, factors)?,
        versions: versions(app, month, version)?,
    })
}

/// The month before against its declaration.
fn execution(app: &App, month: GasMonth, history: &MonthHistory) -> anyhow::Result<Execution> {
    let documents = app
        .book
        .document_versions(DocumentKind::Declaration, &month.to_string())?;
    let declared = documents.into_iter().filter_map(declaration_of);
    // The last one sent, else the last one made.
    let declared = declared.max_by_key(|d| (d.sent_at.is_some(), d.version));
    let declared_m3 = |contract| {
        let lines = &declared.as_ref()?.contracts;
        let line = lines.iter().find(|line| line.contract == contract)?;
        Some(line.declared_m3)
    };
    let (first, last) = (month.first_day(), month.next().first_day().plus(-1));
    let registry = app.registry();
    let contracts = registry.contracts.iter();
    let lines = contracts
        .filter(|c| c.valid_from <= last.0 && first.0 <= c.valid_to)
        .map(|contract| ExecutionLine {
            contract: contract.id.clone(),
            supplier: contract.supplier.clone(),
            contract_month_m3: contract.month_quantity(month).round_m3(),
            declared_m3: declared_m3(contract.id.clone()),
            measured_m3: history
                .last_month_measured_by_source
                .get(&contract.source)
                .copied(),
            expected_m3: history
                .last_month_expected_by_source
                .get(&contract.source)
                .copied()
                .unwrap_or(0),
            band_ratio: contract.deviation.band_ratio,
        })
        .collect();
    let measured_to = last.min(app.today().plus(-1));
    Ok(Execution {
        month: Some(month),
        measured_to: (first <= measured_to).then_some(measured_to),
        declared_version: declared.as_ref().map(|d| d.version),
        declared_sent_at: declared.as_ref().and_then(|d| d.sent_at),
        lines,
    })
}

fn declaration_of(document: Document) -> Option<Declaration> {
    serde_json::from_value(document.body).ok()
}

/// Versions before `version`, oldest first; one of a program that wrote other documents is left out.
fn versions(app: &App, month: GasMonth, version: u32) -> anyhow::Result<Vec<VersionLine>> {
    let mut documents = app
        .book
        .document_versions(DocumentKind::Declaration, &month.to_string())?;
    documents.retain(|document| document.version < version);
    documents.sort_by_key(|document| document.version);
    documents
        .into_iter()
        .filter_map(|d| line_of(d).transpose())
        .collect()
}

/// The line of a kept version.
///
/// # Errors
/// The document cannot be written as JSON.
pub(super) fn line_of(document: Document) -> anyhow::Result<Option<VersionLine>> {
    let (at, who, reason) = (document.at, document.who.clone(), document.reason.clone());
    let Some(declaration) = declaration_of(document) else {
        return Ok(None);
    };
    Ok(Some(VersionLine::of(&declaration, at, [&who, &reason])?))
}

fn notes(
    app: &App,
    month: GasMonth,
    forecast: &DemandForecast,
    factors: &[Factor],
) -> anyhow::Result<ForecastNotes> {
    let today = app.today();
    let input = |key: &str| {
        let found = forecast.inputs.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.clone())
    };
    let whole = facts::whole_days(app, today.plus(-QUALITY_DAYS), today)?;
    let days: BTreeSet<GasDay> = whole.iter().map(|of| of.day).collect();
    let volume: f64 = whole.iter().map(DemandDay::volume_m3).sum();
    let measured: f64 = whole.iter().map(|of| of.coverage * of.volume_m3()).sum();
    let learnt = facts::demand_before(app, today)?;
    Ok(ForecastNotes {
        weather_issued_at: input("weather_issued_at"),
        demand_through: input("demand_through"),
        learnt_from: learnt.iter().map(|of| of.day).min(),
        program: input("program").unwrap_or_default(),
        skills: skills(forecast, &monitor::record(app)?),
        quality_days: u32::try_from(days.len()).unwrap_or(0),
        measured_part: (volume > 0.0).then(|| measured / volume),
        overrides: overrides(app, month, factors)?,
    })
}

/// The total, then each class of the forecast, with what the record says of it.
fn skills(forecast: &DemandForecast, record: &[RecordRow]) -> Vec<SkillLine> {
    let skill = |of: &str, lead: i64| {
        let row = record.iter().find(|row| row.of == of && row.lead == lead)?;
        Some(Skill {
            cases: row.cases,
            wape: row.wape,
            bias: row.bias,
            pinball: row.pinball,
            coverage: row.coverage,
        })
    };
    let line = |of: &str, models: BTreeSet<String>| SkillLine {
        of: of.to_owned(),
        models: models.into_iter().collect(),
        day_ahead: skill(of, DAY_AHEAD),
        month_ahead: skill(of, MONTH_AHEAD),
    };
    let models = |class: Option<CustomerClass>| -> BTreeSet<String> {
        let nodes = forecast.nodes.iter();
        nodes
            .filter(|node| class.is_none_or(|class| node.node.class == class))
            .map(|node| node.model.clone())
            .collect()
    };
    let classes: BTreeSet<CustomerClass> = forecast.nodes.iter().map(|n| n.node.class).collect();
    let of_classes = classes
        .into_iter()
        .map(|class| line(class.key(), models(Some(class))));
    [line("total", models(None))]
        .into_iter()
        .chain(of_classes)
        .collect()
}

/// Named factors that hold in the month, and decisions about curves since the month before began.
fn overrides(app: &App, month: GasMonth, factors: &[Factor]) -> anyhow::Result<Vec<OverrideLine>> {
    let days = month.days();
    let holds = factors
        .iter()
        .filter(|factor| days.iter().any(|day| factor.holds_on(*day)));
    let mut lines: Vec<OverrideLine> = holds
        .map(|factor| OverrideLine {
            kind: "factor".into(),
            subject: format!(
                "{} {} – {}",
                factor.kind.name_zh(),
                factor.from_on,
                factor.to_on
            ),
            person: factor.person.clone(),
            at: factor.entered_at,
            reason: factor.reason.clone(),
        })
        .collect();
    let edits = app.journal.edits(&EditFilter {
        from: Some(month.previous().first_day()),
        in_force: true,
        ..EditFilter::default()
    })?;
    lines.extend(edits.into_iter().map(|edit| OverrideLine {
        kind: "curve_edit".into(),
        subject: format!("{} {}（{}小时）", edit.meter, edit.day, edit.hours.len()),
        person: edit.who,
        at: edit.at,
        reason: edit.reason,
    }));
    lines.sort_by(|a, b| (a.at, &a.subject).cmp(&(b.at, &b.subject)));
    Ok(lines)
}

#[cfg(test)]
mod tests;
