//! `qiliang nudges list`, `approve` and `send`.

use anyhow::Context as _;
use clap::Subcommand;

use super::{Context, Failure};
use crate::domain::calendar::beijing_civil;
use crate::run::nudging;

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
    for nudge in &nudges {
        println!(
            "{}  {:?}  {}  {}–{}  {} m³/h  约 {} 元",
            nudge.id,
            nudge.state,
            nudge.name,
            beijing_civil(nudge.window_from).format("%m-%d %H:%M"),
            beijing_civil(nudge.window_to).format("%H:%M"),
            nudge.ask_m3h,
            nudge.benefit
        );
    }
    println!("{} nudge(s)", nudges.len());
    Ok(())
}

/// Lets a draft go.
pub(super) fn approve(context: &Context, id: &str, who: &str) -> Result<(), Failure> {
    let (app, _) = context.write()?;
    nudging::approve(&app, id, who)?;
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
