//! `qiliang findings list`, `stats` and `judge`: what the validation rules found, and find today.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::hand::Hand;
use super::{Context, Failure};
use crate::domain::calendar::{GasDay, beijing_civil};
use crate::domain::finding::{RuleId, SEVERITY_KEYS, Severity};
use crate::domain::id::MeterId;
use crate::run::judging::{self, SPAN_MAX};
use crate::run::{curves, deps};
use crate::serve::api::findings::{FindingView, JudgeRequest, JudgedView, RuleStatView, split_of};
use crate::store::journal::FindingFilter;
use crate::validate::stats::{RuleStat, rule_stats};

/// What is asked of findings.
#[derive(Debug, Subcommand)]
pub(super) enum FindingsCommand {
    /// List them, newest first.
    List(Listed),
    /// How often each rule found something: findings, meters, share of meter days, and the later half
    /// of the range against the earlier.
    Stats(Counted),
    /// Judge gas days again by the rules' limits and the registry of today, beside the daemon or without
    /// it, and print what that found and withdrew.
    ///
    /// Late readings, imports and changed limits are judged by themselves; this is for what is not: a
    /// plan that was filed late, a registry that was mended. What the entry rules found of a reading when
    /// it came in stays.
    Judge(Judged),
}

/// Does what was asked.
pub(super) fn dispatch(context: &Context, what: FindingsCommand) -> Result<(), Failure> {
    match what {
        FindingsCommand::List(listed) => list(context, listed),
        FindingsCommand::Stats(counted) => stats(context, &counted),
        FindingsCommand::Judge(judged) => judge(context, &judged),
    }
}

/// Gas days without `--from`.
const DAYS: i64 = 14;

/// Which findings are listed.
#[derive(Debug, Args)]
pub(super) struct Listed {
    /// Only of this meter.
    #[arg(long)]
    meter: Option<String>,
    /// Only of this rule, V01 to V26.
    #[arg(long, value_parser = parse_rule)]
    rule: Option<RuleId>,
    /// Only of this severity: fail, suspect or info.
    #[arg(long, value_parser = parse_severity)]
    severity: Option<Severity>,
    /// Only of this gas day or later.
    #[arg(long)]
    from: Option<GasDay>,
    /// Only of this gas day or earlier.
    #[arg(long)]
    to: Option<GasDay>,
    /// At most so many; 0 for all.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// In English.
    #[arg(long)]
    en: bool,
    /// One JSON object a line, with the numbers.
    #[arg(long)]
    json: bool,
}

/// What is counted.
#[derive(Debug, Args)]
pub(super) struct Counted {
    /// First gas day; 14 days up to the last one if not given.
    #[arg(long)]
    from: Option<GasDay>,
    /// Last gas day; yesterday if not given.
    #[arg(long)]
    to: Option<GasDay>,
    /// Rows by `class`, `zone` or `class,zone` beside the rule.
    #[arg(long, default_value = "")]
    by: String,
    /// One JSON object a row.
    #[arg(long)]
    json: bool,
}

/// What is judged again.
#[derive(Debug, Args)]
pub(super) struct Judged {
    /// First gas day, `YYYY-MM-DD`.
    #[arg(long)]
    from: GasDay,
    /// Last gas day; yesterday if not given.
    #[arg(long)]
    to: Option<GasDay>,
    /// In English.
    #[arg(long)]
    en: bool,
    /// One JSON object for each few days.
    #[arg(long)]
    json: bool,
}

fn parse_rule(text: &str) -> Result<RuleId, String> {
    RuleId::from_key(text).ok_or_else(|| "write V01 to V26".to_owned())
}

fn parse_severity(text: &str) -> Result<Severity, String> {
    let found = SEVERITY_KEYS.into_iter().find(|(key, _)| *key == text);
    found
        .map(|(_, severity)| severity)
        .ok_or_else(|| "write fail, suspect or info".to_owned())
}

/// Prints findings, newest first.
pub(super) fn list(context: &Context, listed: Listed) -> Result<(), Failure> {
    let app = context.read()?;
    let clock = app.gas_day_clock();
    let found = app.journal.findings(&FindingFilter {
        meter: listed.meter.map(MeterId::new),
        rule: listed.rule,
        severity: listed.severity,
        from: listed.from.map(|day| clock.start_of(day)),
        to: listed.to.map(|day| clock.end_of(day)),
        limit: listed.limit,
    })?;
    for finding in &found {
        if listed.json {
            println!("{}", json!(FindingView::from(finding)));
            continue;
        }
        let message = if listed.en {
            finding.message_en()
        } else {
            finding.message_zh()
        };
        println!(
            "{}  {}  {:<16}  {message}",
            beijing_civil(finding.at).format("%Y-%m-%d %H:%M"),
            finding.rule.key(),
            finding.subject.as_str(),
        );
    }
    if !listed.json {
        println!("{} finding(s)", found.len());
    }
    Ok(())
}

/// Prints how often each rule found something.
pub(super) fn stats(context: &Context, counted: &Counted) -> Result<(), Failure> {
    let split =
        split_of(&counted.by).map_err(|help| Failure::Error(anyhow::anyhow!("--by {help}")))?;
    let app = context.read()?;
    let last = counted.to.unwrap_or_else(|| app.today().plus(-1));
    let from = counted.from.unwrap_or_else(|| last.plus(1 - DAYS));
    if from > last {
        return Err(Failure::Error(anyhow::anyhow!(
            "--from {from} is after --to {last}; give the first and the last gas day"
        )));
    }
    let counts = app.journal.finding_counts(from, last.plus(1))?;
    let rows = rule_stats(&app.registry(), &counts, split);
    if counted.json {
        for row in &rows {
            println!("{}", as_json(row));
        }
        return Ok(());
    }
    println!("gas days {from} to {last}");
    println!(
        "{:<4} {:>9} {:>8} {:>11} {:>9} {:>7}  rule",
        "", "findings", "meters", "meter days", "share", "trend"
    );
    for row in &rows {
        println!("{}", line(row));
    }
    Ok(())
}

/// Curves that are judged again at once, about: the daemon does so many in seconds.
const CURVES_MAX: usize = 50_000;

/// Judges a few days at a time, so that it can be gone on with where it was stopped.
fn judge(context: &Context, asked: &Judged) -> Result<(), Failure> {
    let (hand, app) = (Hand::to_judge(context)?, context.read()?);
    let last = asked.to.unwrap_or_else(|| app.today().plus(-1));
    if asked.from > last {
        return Err(Failure::Error(anyhow::anyhow!(
            "--from {} is after --to {last}; give the first and the last gas day",
            asked.from
        )));
    }
    let meters = app.registry().meters.len().max(1);
    let step = i64::try_from(CURVES_MAX / meters).map_or(SPAN_MAX, |days| days.clamp(1, SPAN_MAX));
    let (mut from, mut found, mut withdrawn, mut standing) = (asked.from, 0, 0, 0);
    while from <= last {
        let to = from.plus(step - 1).min(last);
        let judged = hand.judge(from, to).with_context(|| {
            format!("nothing is changed from {from} on; go on with `--from {from}`")
        })?;
        found += judged.found.len();
        withdrawn += judged.withdrawn.len();
        standing += judged.standing;
        if asked.json {
            println!("{}", json!(judged));
        } else {
            print!("{}", changes(&judged, asked.en));
        }
        from = to.plus(1);
    }
    if !asked.json {
        println!(
            "gas days {} to {last}: {found} finding(s) new, {withdrawn} withdrawn, {standing} as before",
            asked.from
        );
    }
    Ok(())
}

impl Hand {
    fn judge(&self, from: GasDay, to: GasDay) -> anyhow::Result<JudgedView> {
        match self {
            Self::Own(app) => {
                let compute = |days| {
                    app.journal.mark_dirty(days)?;
                    curves::drain(&deps::curves(app, &deps::Stages::default()))?;
                    Ok(())
                };
                Ok(judging::judge_again(app, (from, to), compute)?)
            }
            Self::Daemon(daemon) => {
                let request = JudgeRequest {
                    from: from.to_string(),
                    to: to.to_string(),
                };
                daemon.post("/api/v1/findings/judge", &request)
            }
        }
    }
}

/// A line for each finding that came or went.
fn changes(judged: &JudgedView, is_english: bool) -> String {
    let came = judged.found.iter().map(|finding| ('+', finding));
    let went = judged.withdrawn.iter().map(|finding| ('-', finding));
    let line = |(sign, finding): (char, &FindingView)| {
        let message = if is_english {
            &finding.message_en
        } else {
            &finding.message_zh
        };
        format!(
            "{sign} {}  {}  {:<16}  {message}\n",
            finding.at, finding.rule, finding.subject
        )
    };
    came.chain(went).map(line).collect()
}

fn line(row: &RuleStat) -> String {
    let share = row
        .share()
        .map_or_else(|| "-".to_owned(), |share| format!("{:.3} %", share * 100.0));
    let trend = row
        .trend()
        .map_or_else(|| "-".to_owned(), |trend| format!("×{trend:.2}"));
    let class = row.class.map_or("", |class| class.name_zh());
    let zone = row.zone.as_ref().map_or("", |zone| zone.as_str());
    format!(
        "{:<4} {:>9} {:>8} {:>11} {share:>9} {trend:>7}  {} {} {class} {zone}",
        row.rule.key(),
        row.findings,
        row.subjects,
        row.meter_days,
        row.rule.name_zh(),
        row.rule.name_en(),
    )
    .trim_end()
    .to_owned()
}

fn as_json(row: &RuleStat) -> Value {
    json!(RuleStatView::from(row))
}
