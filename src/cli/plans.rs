//! `qiliang plans import`: a table of customers' plans (客户用气计划).

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand, ValueEnum};

use super::hand::Hand;
use super::{Context, Failure};
use crate::domain::calendar::GasMonth;
use crate::domain::language::{Bilingual, Language};
use crate::run::filings;
use crate::serve::api::filings::{PlanOutcome, PlanReport, PlanUpload, UploadQuery};

/// Rows with a problem that are told one by one; the rest are counted.
const TOLD_MAX: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum PlansCommand {
    /// Enter a table of plans: all of it or nothing; also beside the daemon.
    ///
    /// A row for each customer and day, or a row for each customer and a column for each day, or a column for
    /// each customer. Plans are known from now on; gas days that are over are left out. The exit code is 2 if
    /// a row cannot be taken.
    Import(ImportArguments),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Unit {
    M3,
    /// 万m³
    Wan,
}

#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// `.csv` (UTF-8) or `.xlsx`.
    file: PathBuf,
    /// Tell what would become of it, and keep nothing.
    #[arg(long)]
    dry_run: bool,
    /// Who enters it.
    #[arg(long, required_unless_present = "dry_run")]
    person: Option<String>,
    /// How we were told: 函件, 微信, 电话.
    #[arg(long, required_unless_present = "dry_run")]
    source: Option<String>,
    /// Why, or what was said.
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Unit, where the table says none.
    #[arg(long, value_enum)]
    unit: Option<Unit>,
    /// Month of days that are mere numbers, where the table says none.
    #[arg(long)]
    month: Option<GasMonth>,
    /// Whose plans they are, where the table does not say.
    #[arg(long)]
    customer: Option<String>,
    /// In English.
    #[arg(long)]
    en: bool,
}

/// Runs one of them.
pub(super) fn run(context: &Context, what: &PlansCommand) -> Result<(), Failure> {
    let PlansCommand::Import(asked) = what;
    if context.is_of_another_time {
        return Err(anyhow!(
            "what is entered is known from now on; leave --at out, for no earlier instant knew of it"
        )
        .into());
    }
    let language = if asked.en { Language::En } else { Language::Zh };
    let bytes =
        fs::read(&asked.file).with_context(|| format!("cannot read {}", asked.file.display()))?;
    let name = asked.file.file_name().unwrap_or_default();
    let text = |said: &Option<String>| said.clone().unwrap_or_default();
    let about = UploadQuery {
        file: name.to_string_lossy().into_owned(),
        person: text(&asked.person),
        source: text(&asked.source),
        reason: text(&asked.reason),
        dry_run: true,
        unit: asked.unit.map(|unit| {
            let written = match unit {
                Unit::M3 => "m3",
                Unit::Wan => "wan",
            };
            written.to_owned()
        }),
        month: asked.month.map(|month| month.to_string()),
        customer: asked.customer.clone(),
    };
    let hand = Hand::to_judge(context)?;
    let mut upload = PlanUpload {
        bytes: bytes.into(),
        about,
    };
    let looked = hand.import_plans(&upload)?;
    print!("{}", customers(&looked, language));
    let problems = looked
        .counts
        .get(&PlanOutcome::Problem)
        .copied()
        .unwrap_or(0);
    if problems > 0 || looked.problem.is_some() {
        eprint!("{}", wrong(&looked, language));
        return Err(Failure::Refused);
    }
    if asked.dry_run {
        println!("{}", counted(&looked, language));
        eprintln!("note: a dry run, nothing was kept");
        return Ok(());
    }
    upload.about.dry_run = false;
    let taken = hand.import_plans(&upload)?;
    println!("{}", counted(&taken, language));
    if let (Some(entry), Some(at)) = (&taken.entry, &taken.available_at) {
        println!(
            "{}",
            language.of(
                format!("已录入 {entry},自 {at} 起可知"),
                format!("entered as {entry}, known from {at} on")
            )
        );
    }
    Ok(())
}

fn customers(report: &PlanReport, language: Language) -> String {
    let mut out = String::new();
    for sum in &report.customers {
        let before = sum.before_m3.as_deref().unwrap_or("—");
        let used = sum
            .used_mean_m3
            .map_or_else(|| "—".to_owned(), |m3| format!("{m3:.0}"));
        let (customer, name, days, total) = (&sum.customer, &sum.name, sum.days, &sum.total_m3);
        let (first, last, mean) = (sum.first_on, sum.last_on, sum.mean_m3);
        let line = language.of(
            format!("{customer} {name}  {first}–{last} {days} 天  合计 {total} m³(原 {before})  日均 {mean:.0} m³(近 30 天用气日均 {used})"),
            format!("{customer} {name}  {first}–{last} {days} days  {total} m³ in all (before: {before})  {mean:.0} m³ a day (used over 30 days: {used})"),
        );
        // Writing to a string cannot fail.
        writeln!(out, "{line}").ok();
    }
    if !report.unused_columns.is_empty() {
        let unused = report.unused_columns.join(", ");
        let line = language.of(
            format!("未用到的列:{unused}"),
            format!("columns not used: {unused}"),
        );
        writeln!(out, "{line}").ok();
    }
    out
}

fn wrong(report: &PlanReport, language: Language) -> String {
    let say = |said: &Bilingual| language.of(said.zh.clone(), said.en.clone());
    let mut out = String::new();
    if let Some(problem) = &report.problem {
        writeln!(out, "{}", say(problem)).ok();
    }
    let problems = || {
        report
            .rows
            .iter()
            .filter_map(|row| Some((row, row.problem.as_ref()?)))
    };
    for (row, problem) in problems().take(TOLD_MAX) {
        writeln!(out, "{} {}: {}", row.place, row.customer, say(problem)).ok();
    }
    let rest = problems().count().saturating_sub(TOLD_MAX);
    if rest > 0 {
        writeln!(
            out,
            "{}",
            language.of(format!("……另有 {rest} 处"), format!("… and {rest} more"))
        )
        .ok();
    }
    let help = language.of(
        "全部未收;请修改后重新导入",
        "nothing was taken; mend these and import it again",
    );
    writeln!(out, "{help}").ok();
    out
}

fn counted(report: &PlanReport, language: Language) -> String {
    let parts: Vec<String> = report
        .counts
        .iter()
        .map(|(outcome, count)| {
            let name = match outcome {
                PlanOutcome::New => language.of("新增", "new"),
                PlanOutcome::Changed => language.of("变更", "changed"),
                PlanOutcome::Withdrawn => language.of("撤销", "taken back"),
                PlanOutcome::Unchanged => language.of("不变", "unchanged"),
                PlanOutcome::Over => language.of("已过气日不收", "of days that are over, left out"),
                PlanOutcome::Problem => language.of("有问题", "with a problem"),
            };
            format!("{count} {name}")
        })
        .collect();
    parts.join(language.of("、", ", "))
}

impl Hand {
    fn import_plans(&self, upload: &PlanUpload) -> anyhow::Result<PlanReport> {
        match self {
            Self::Own(app) => Ok(filings::import(app, upload)?),
            Self::Daemon(daemon) => {
                let about = &upload.about;
                let dry = if about.dry_run { "true" } else { "false" };
                let mut path = format!("/api/v1/filed-plans/import?dry_run={dry}");
                let optional = [
                    ("file", Some(&about.file)),
                    ("person", Some(&about.person)),
                    ("source", Some(&about.source)),
                    ("reason", Some(&about.reason)),
                    ("unit", about.unit.as_ref()),
                    ("month", about.month.as_ref()),
                    ("customer", about.customer.as_ref()),
                ];
                for (name, value) in optional {
                    if let Some(value) = value {
                        write!(path, "&{name}={}", encoded(value))?;
                    }
                }
                daemon.post_bytes(&path, &upload.bytes)
            }
        }
    }
}

/// A text as a part of an address.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(out, "%{byte:02X}").ok();
        }
    }
    out
}
