//! The record of past forecasts: what was expected at the gate is written down, later what came, and a
//! drift beyond its statistical bound is an alert.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use serde_json::json;

use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandForecast, DemandView};
use crate::domain::expectation::{Expectation, Watched, WithoutFactor};
use crate::domain::factor::Factor;
use crate::forecast::engine;
use crate::forecast::metrics::pinball;
use crate::forecast::outlook::drift::{COVERAGE_CASES, Case, Drift, drift};
use crate::run::app::App;
use crate::run::facts;
use crate::run::runs::{self, Made};
use crate::serve::api::outlook::RecordRow;
use crate::serve::figures::forecast::class_label;
use crate::store::book::DocumentKind;

/// Gas days ahead that are written down.
const LEADS: [i64; 6] = [1, 2, 3, 7, 14, 30];
/// Lead at which a person is held against the model.
pub(super) const SCORED_LEAD: i64 = 1;
/// Days of the record looked at, or at long leads as many as give [`COVERAGE_CASES`] cases.
const RECORD_DAYS: i64 = 400;
/// Days back for which what came is looked at again: readings come late.
const SETTLE_DAYS: i64 = 10;
/// After the gas day's start, when the nomination is made (domain.md §2.3).
const GATE: TimeDelta = TimeDelta::minutes(30);

/// Writes down what a run expects, once a gas day, by the first run at or after the gate.
///
/// # Errors
/// What the book says, or a run without factors that cannot be made.
pub fn write_down(app: &App, made: &Made) -> anyhow::Result<bool> {
    let run = &made.forecast;
    let Some(today) = run.days.first().copied() else {
        return Ok(false);
    };
    let first = today.plus(LEADS[0]);
    let is_early = run.origin_at < run.clock.start_of(today) + GATE;
    let has_today = app
        .book
        .expectations(first, first.plus(1))?
        .iter()
        .any(|one| one.lead == LEADS[0]);
    if is_early || has_today {
        return Ok(false);
    }
    let factors = &made.breakdown.factors;
    let unaided = (!factors.is_empty()).then(|| without(app, made, |_| false));
    let unaided = unaided.transpose()?;
    let without = without_each(app, made, unaided.as_ref())?;
    let mut expected = Vec::new();
    for lead in LEADS {
        let day = today.plus(lead);
        let Some(index) = run.day_index(day) else {
            continue;
        };
        for (of, view) in watched(run) {
            let band = run.band(&view, &[index]);
            expected.push(Expectation {
                day,
                lead,
                of,
                run: run.run_id.to_string(),
                p10_m3: band.p10_m3 as f64,
                p50_m3: band.p50_m3 as f64,
                p90_m3: band.p90_m3 as f64,
                unaided_m3: unaided
                    .as_ref()
                    .map(|plain| plain.cube.day_m3(plain.clock, &view, index) as f64),
                actual_m3: None,
            });
        }
    }
    app.book.put_expectations(expected)?;
    app.book.put_expectations_without(without)?;
    Ok(true)
}

/// The same run as if nobody had named any factor but those to keep.
fn without(
    app: &App,
    made: &Made,
    keeps: impl Fn(&Factor) -> bool,
) -> anyhow::Result<DemandForecast> {
    let mut request = runs::request_of(&made.parts)?;
    request.parts.factors.retain(keeps);
    request.draws = 0;
    request.months = None;
    Ok(engine::run_with(&request, &app.memory)?.forecast)
}

/// What the run would say without each of the factors that hold on the day which they are scored by; `unaided`
/// is the run without any.
fn without_each(
    app: &App,
    made: &Made,
    unaided: Option<&DemandForecast>,
) -> anyhow::Result<Vec<WithoutFactor>> {
    let run = &made.forecast;
    let scored = run.days.first().map(|today| today.plus(SCORED_LEAD));
    let index = scored.and_then(|day| run.day_index(day));
    let (Some(day), Some(index), Some(unaided)) = (scored, index, unaided) else {
        return Ok(Vec::new());
    };
    let factors = runs::request_of(&made.parts)?.parts.factors;
    let mut out = Vec::new();
    for factor in factors.iter().filter(|factor| factor.holds_on(day)) {
        // Of one that is alone this is known.
        let made_without = match factors.len() {
            1 => None,
            _ => Some(without(app, made, |other| other.id != factor.id)?),
        };
        let plain = made_without.as_ref().unwrap_or(unaided);
        out.extend(watched(run).into_iter().map(|(of, view)| WithoutFactor {
            factor: factor.id.clone(),
            day,
            lead: SCORED_LEAD,
            of,
            p50_m3: plain.cube.day_m3(plain.clock, &view, index) as f64,
        }));
    }
    Ok(out)
}

/// Total, classes, nodes.
fn watched(run: &DemandForecast) -> Vec<(Watched, DemandView)> {
    let mut out = vec![(Watched::default(), DemandView::total())];
    let classes: BTreeSet<CustomerClass> = run.nodes.iter().map(|n| n.node.class).collect();
    out.extend(classes.into_iter().map(|class| {
        let of = Watched {
            zone: String::new(),
            class: class.key().to_owned(),
        };
        let view = DemandView {
            class: Some(class),
            ..DemandView::default()
        };
        (of, view)
    }));
    out.extend(run.nodes.iter().map(|n| {
        let view = DemandView {
            zone: Some(n.node.zone.clone()),
            class: Some(n.node.class),
            ..DemandView::default()
        };
        (Watched::node(&n.node), view)
    }));
    out
}

/// Writes down what came on the last days, as it is known now.
///
/// # Errors
/// What the book says.
pub fn settle(app: &App) -> anyhow::Result<()> {
    let today = app.today();
    let from = today.plus(-SETTLE_DAYS);
    let mut came: BTreeMap<(GasDay, Watched), f64> = BTreeMap::new();
    let whole = facts::whole_days(app, from, today)?;
    let whole: BTreeSet<GasDay> = whole.iter().map(|d| d.day).collect();
    let demand = facts::demand_before(app, today)?;
    for day in demand.into_iter().filter(|d| d.day >= from) {
        let m3 = day.volume_m3();
        let node = Watched::node(&day.node);
        let class = Watched {
            zone: String::new(),
            class: node.class.clone(),
        };
        came.insert((day.day, node), m3);
        if whole.contains(&day.day) {
            *came.entry((day.day, class)).or_default() += m3;
            *came.entry((day.day, Watched::default())).or_default() += m3;
        }
    }
    let came = came.into_iter().map(|((day, of), m3)| (day, of, m3));
    app.book.settle_expectations(came.collect())?;
    Ok(())
}

/// How each series did at each lead.
///
/// # Errors
/// What the book says.
pub fn record(app: &App) -> anyhow::Result<Vec<RecordRow>> {
    Ok(tested(app)?
        .into_iter()
        .map(|(lead, of, cases, drift)| row(lead, &of, &cases, &drift))
        .collect())
}

type Tested = (i64, Watched, Vec<Case>, Drift);

fn tested(app: &App) -> anyhow::Result<Vec<Tested>> {
    let today = app.today();
    let mut series: BTreeMap<(i64, Watched), Vec<Case>> = BTreeMap::new();
    for lead in LEADS {
        // Forecasts made within one lead of each other share their errors.
        let every = lead.max(1);
        let days = RECORD_DAYS.max(every * i64::try_from(COVERAGE_CASES)?);
        let apart = app
            .book
            .expectations_apart(lead, every, today.plus(-days), today)?;
        for one in apart {
            let Some(actual) = one.actual_m3 else {
                continue;
            };
            series.entry((lead, one.of)).or_default().push(Case {
                p10: one.p10_m3,
                p50: one.p50_m3,
                p90: one.p90_m3,
                actual,
            });
        }
    }
    let count = series.len();
    Ok(series
        .into_iter()
        .map(|((lead, of), cases)| {
            let found = drift(&cases, lead, count);
            (lead, of, cases, found)
        })
        .collect())
}

fn row(lead: i64, of: &Watched, cases: &[Case], drift: &Drift) -> RecordRow {
    let came: f64 = cases.iter().map(|c| c.actual.abs()).sum::<f64>().max(1.0);
    let sum = |error: fn(&Case) -> f64| cases.iter().map(error).sum::<f64>() / came;
    let mut alarms = Vec::new();
    if drift.is_coverage_off() {
        alarms.push("coverage".to_owned());
    }
    if drift.is_biased() {
        alarms.push("bias".to_owned());
    }
    RecordRow {
        of: of.label(),
        lead,
        cases: cases.len(),
        wape: sum(|c| (c.p50 - c.actual).abs()),
        bias: sum(|c| c.p50 - c.actual),
        pinball: sum(|c| {
            let losses = [(0.1, c.p10), (0.5, c.p50), (0.9, c.p90)];
            losses
                .iter()
                .map(|(q, m3)| 2.0 / 3.0 * pinball(*q, *m3, c.actual))
                .sum()
        }),
        coverage: drift.coverage,
        coverage_p: drift.coverage_p,
        coverage_bound: drift.coverage_bound,
        cusum: drift.cusum,
        cusum_bound: drift.cusum_bound,
        alarms,
    }
}

/// Opens an alert for what drifts, closes those of what no longer does; returns how many are open.
///
/// # Errors
/// What the book says.
pub fn alert(app: &App) -> anyhow::Result<usize> {
    let mut open = 0;
    for (lead, of, cases, drift) in tested(app)? {
        let row = row(lead, &of, &cases, &drift);
        for (code, kind, is_off) in [
            ("A402", "coverage", drift.is_coverage_off()),
            ("A404", "bias", drift.is_biased()),
        ] {
            let key = format!("{code} {} D+{lead}", row.of);
            let known = app.book.document(DocumentKind::Alert, &key)?;
            let was_open = known
                .as_ref()
                .is_some_and(|d| d.body.get("state").and_then(|s| s.as_str()) == Some("open"));
            open += usize::from(is_off);
            if is_off == was_open {
                continue;
            }
            let (title_zh, title_en) = titles(kind, lead, &of, &row, is_off);
            let body = json!({
                "state": if is_off { "open" } else { "closed" },
                "level": if is_off { "yellow" } else { "info" },
                "code": code,
                "class": "forecast",
                "title_zh": title_zh,
                "title_en": title_en,
                "subject": row.of,
                "lead": lead,
                "record": row,
            });
            let now = app.clock.now();
            app.book
                .put_document(DocumentKind::Alert, &key, body, now, "qiliang", &title_en)?;
        }
    }
    Ok(open)
}

fn titles(kind: &str, lead: i64, of: &Watched, row: &RecordRow, is_off: bool) -> (String, String) {
    let class = CustomerClass::from_key(&of.class);
    let name_zh = match (of.zone.as_str(), class) {
        ("", None) => "总量".to_owned(),
        ("", Some(class)) => class_label(class).name_zh,
        (zone, Some(class)) => format!("{zone} {}", class_label(class).name_zh),
        (zone, None) => zone.to_owned(),
    };
    let percent = |part: f64| format!("{:.1}%", 100.0 * part);
    let name = &row.of;
    match (kind, is_off) {
        ("coverage", true) => (
            format!(
                "{name_zh} D+{lead} 预测 P10–P90 命中率{},偏离80%(p={:.1e})",
                percent(row.coverage),
                row.coverage_p
            ),
            format!(
                "{name} D+{lead}: {} of truths within P10–P90 instead of 80 % (p = {:.1e})",
                percent(row.coverage),
                row.coverage_p
            ),
        ),
        ("coverage", false) => (
            format!("{name_zh} D+{lead} 预测 P10–P90 命中率恢复正常"),
            format!("{name} D+{lead}: coverage of P10–P90 is as it should be again"),
        ),
        (_, true) => (
            format!(
                "{name_zh} D+{lead} 预测持续{}(偏差{},CUSUM {:.1} 超过 {:.1})",
                if row.cusum > 0.0 { "偏低" } else { "偏高" },
                percent(row.bias),
                row.cusum.abs(),
                row.cusum_bound
            ),
            format!(
                "{name} D+{lead}: forecasts stay too {} (bias {}, CUSUM {:.1} beyond {:.1})",
                if row.cusum > 0.0 { "low" } else { "high" },
                percent(row.bias),
                row.cusum.abs(),
                row.cusum_bound
            ),
        ),
        (_, false) => (
            format!("{name_zh} D+{lead} 预测偏差恢复正常"),
            format!("{name} D+{lead}: forecasts are without bias again"),
        ),
    }
}

/// Everything after a run: written down, settled, tested.
///
/// # Errors
/// What the book says.
pub fn after_run(app: &App, made: &Made) -> anyhow::Result<()> {
    if write_down(app, made)? {
        settle(app)?;
        let open = alert(app)?;
        tracing::info!(open, "Scored past forecasts; {open} drift alerts are open");
    }
    Ok(())
}
