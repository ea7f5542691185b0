//! `qiliang nudges list`, `approve` and `send`.

use anyhow::Context as _;
use clap::Subcommand;

use super::{Context, Failure};
use crate::domain::calendar::beijing_civil;
use crate::nudge::measure::{Measured, Outcome};
use crate::nudge::settlement::stage;
use crate::run::nudging;
use crate::serve::api::nudges::{NudgeStep, NudgeStepKind};

/// What is asked of nudges.
#[derive(Debug, Subcommand)]
pub(super) enum NudgesCommand {
    /// List them, newest first.
    List,
    /// Let a draft go.
    Approve {
        /// Identifier, as `list` prints it.
        id: String,
        /// Who approves.
        #[arg(long)]
        who: String,
    },
    /// Send what is approved, through the configured channel.
    Send,
}

/// Does what was asked.
pub(super) fn dispatch(context: &Context, what: NudgesCommand) -> Result<(), Failure> {
    match what {
        NudgesCommand::List => list(context),
        NudgesCommand::Approve { id, who } => approve(context, &id, &who),
        NudgesCommand::Send => send(context),
    }
}

/// Prints drafts and later states, newest first.
pub(super) fn list(context: &Context) -> Result<(), Failure> {
    let app = context.read()?;
    let nudges = nudging::kept(&app)?;
    let results = nudging::settlements(&app)?;
    let now = app.clock.now();
    for nudge in &nudges {
        let settlement = results.get(&nudge.id).map(|kept| &kept.settlement);
        println!(
            "{}  {:?}  {}  {}–{}  {} m³/h  约 {} 元",
            nudge.id,
            stage(nudge, settlement, now),
            nudge.name,
            beijing_civil(nudge.window_from).format("%m-%d %H:%M"),
            beijing_civil(nudge.window_to).format("%H:%M"),
            nudge.ask_m3h,
            nudge.benefit
        );
        if let Some(result) = settlement.map(|s| &s.result) {
            println!("    {}", said(result));
        }
    }
    println!("{} nudge(s)", nudges.len());
    Ok(())
}

/// A result in words.
fn said(result: &Measured) -> String {
    let m3 = |value: Option<f64>| value.map_or_else(|| "—".to_owned(), |v| format!("{v:.0}"));
    let words = match result.outcome {
        Outcome::Reduced => "计削减",
        Outcome::WithinNoise => "未超出日常波动，不计削减",
        Outcome::Estimated => "含估算小时，不计削减",
        Outcome::Incomplete => "缺数，无法核算",
    };
    format!(
        "基准 {:.0} m³  实际 {} m³  削减 {} m³ [{}, {}]  {words}  {} 元",
        result.baseline_m3,
        m3(result.actual_m3),
        m3(result.reduction_m3),
        m3(result.reduction_p10_m3),
        m3(result.reduction_p90_m3),
        result.saved
    )
}

/// Lets a draft go.
pub(super) fn approve(context: &Context, id: &str, who: &str) -> Result<(), Failure> {
    let (app, _) = context.write()?;
    let step = NudgeStep {
        step: NudgeStepKind::Approve,
        who: who.to_owned(),
        answer: None,
        m3h: None,
        reason: None,
    };
    nudging::step(&app, id, &step).map_err(anyhow::Error::from)?;
    println!("{id} approved by {who}");
    Ok(())
}

/// Sends what is approved, through the configured channel.
pub(super) fn send(context: &Context) -> Result<(), Failure> {
    let (app, _) = context.write()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    for line in runtime.block_on(nudging::send_approved(&app))? {
        println!("{line}");
    }
    Ok(())
}
