//! `qiliang curves list`, `edit`, `revoke` and `restatements`.

use std::collections::BTreeMap;

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::hand::Hand;
use super::{Context, Failure};
use crate::domain::calendar::GasDay;
use crate::domain::id::MeterId;
use crate::domain::quantity::StdVolume;
use crate::run::app::App;
use crate::run::{curves, deps, editing};
use crate::serve::api::edits::{EditRequest, EditView, RestatementView, RevokeRequest};
use crate::store::journal::EditFilter;

#[derive(Debug, Subcommand)]
pub(super) enum CurvesCommand {
    /// Decisions about hours of curves, oldest first.
    List(ListArguments),
    /// Decide what hours of a curve are; nothing is overwritten, and the decision can be taken back.
    Edit(EditArguments),
    /// Take a decision back; it stays on record.
    Revoke {
        /// Number, as `list` prints it.
        id: i64,
        /// Who takes it back.
        #[arg(long)]
        who: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// What late truth restated of declarations, nominations and exported ledgers, last changed first.
    Restatements {
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Only about this meter (表号).
    #[arg(long)]
    meter: Option<String>,
    /// First gas day, `YYYY-MM-DD`.
    #[arg(long)]
    from: Option<GasDay>,
    /// Last gas day, included.
    #[arg(long)]
    to: Option<GasDay>,
    /// Also those that were taken back.
    #[arg(long)]
    all: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct EditArguments {
    /// Meter (表号).
    meter: String,
    /// Gas day, `YYYY-MM-DD`.
    day: GasDay,
    /// Hour of the gas day and its m³, counted from the start hour: `3=12.5`, or `3-5=12.5` for each of
    /// them; as often as needed.
    #[arg(long = "hour", required = true, value_name = "HOUR=M3")]
    hours: Vec<String>,
    /// Who decides.
    #[arg(long)]
    who: String,
    /// Why.
    #[arg(long)]
    reason: String,
}

/// Runs one of them.
pub(super) fn run(context: &Context, what: CurvesCommand) -> Result<(), Failure> {
    match what {
        CurvesCommand::List(asked) => list(context, asked),
        CurvesCommand::Edit(asked) => edit(context, asked),
        CurvesCommand::Revoke { id, who, reason } => {
            let request = RevokeRequest { who, reason };
            let edit = Hand::to_judge(context)?.revoke(id, &request)?;
            println!("taken back: {}", line(&edit));
            Ok(())
        }
        CurvesCommand::Restatements { limit, json } => restatements(context, limit, json),
    }
}

/// Hours as written: `3=12.5`, `3-5=12.5`.
fn hours(written: &[String]) -> anyhow::Result<BTreeMap<u8, String>> {
    let mut hours = BTreeMap::new();
    for text in written {
        let help = || anyhow!("`{text}` is no hour with its volume; write `3=12.5` or `3-5=12.5`");
        let (of, volume) = text.split_once('=').ok_or_else(help)?;
        let (first, last) = of.split_once('-').unwrap_or((of, of));
        let first: u8 = first.trim().parse().map_err(|_| help())?;
        let last: u8 = last.trim().parse().map_err(|_| help())?;
        volume.trim().parse::<StdVolume>().map_err(|_| help())?;
        if first > last || last > 23 {
            return Err(anyhow!(
                "`{text}`: hours of a gas day are 0 to 23, the first before the last"
            ));
        }
        for hour in first..=last {
            hours.insert(hour, volume.trim().to_owned());
        }
    }
    Ok(hours)
}

fn edit(context: &Context, asked: EditArguments) -> Result<(), Failure> {
    let request = EditRequest {
        hours_m3: hours(&asked.hours)?,
        meter: asked.meter,
        day: asked.day.to_string(),
        who: asked.who,
        reason: asked.reason,
    };
    let edit = Hand::to_judge(context)?.edit(&request)?;
    println!("{}", line(&edit));
    Ok(())
}

fn list(context: &Context, asked: ListArguments) -> Result<(), Failure> {
    let app = context.read()?;
    let edits = app.journal.edits(&EditFilter {
        meter: asked.meter.map(MeterId::new),
        from: asked.from,
        to: asked.to.map(|day| day.plus(1)),
        in_force: !asked.all,
    })?;
    for edit in edits.into_iter().map(EditView::from) {
        if asked.json {
            println!("{}", serde_json::to_string(&edit)?);
        } else {
            println!("{}", line(&edit));
        }
    }
    Ok(())
}

fn line(edit: &EditView) -> String {
    let hours: Vec<String> = edit
        .hours_m3
        .iter()
        .map(|(hour, volume)| format!("{hour}={volume}"))
        .collect();
    let revoked = match (&edit.revoked_by, &edit.revoke_reason, &edit.revoked_at) {
        (Some(who), Some(reason), Some(at)) => format!("; taken back {at} by {who}: {reason}"),
        _ => String::new(),
    };
    format!(
        "{:>6}  {}  {}  {} m³  {} by {}: {}{revoked}",
        edit.id,
        edit.meter,
        edit.day,
        hours.join(" "),
        edit.at,
        edit.who,
        edit.reason
    )
}

fn restatements(context: &Context, limit: usize, is_json: bool) -> Result<(), Failure> {
    let app = context.read()?;
    for found in app.book.restatements(limit)? {
        let found = RestatementView::from(found);
        if is_json {
            println!("{}", serde_json::to_string(&found)?);
            continue;
        }
        println!(
            "{}  {} {}: {:.1} m³ → {:.1} m³ ({:+.1}); {} {} version {}; {} ({})",
            found.day,
            found.zone,
            found.class,
            found.before_m3,
            found.after_m3,
            found.difference_m3,
            found.kind,
            found.document,
            found.version,
            found.at,
            found.cause
        );
    }
    Ok(())
}

impl Hand {
    fn edit(&self, request: &EditRequest) -> anyhow::Result<EditView> {
        match self {
            Self::Own(app) => {
                let edit = editing::decide(app, request)?;
                compute(app)?;
                Ok(edit.into())
            }
            Self::Daemon(daemon) => daemon.post("/api/v1/curve-edits", request),
        }
    }

    fn revoke(&self, id: i64, request: &RevokeRequest) -> anyhow::Result<EditView> {
        match self {
            Self::Own(app) => {
                let edit = editing::revoke(app, id, request)?;
                compute(app)?;
                Ok(edit.into())
            }
            Self::Daemon(daemon) => {
                daemon.post(&format!("/api/v1/curve-edits/{id}/revoke"), request)
            }
        }
    }
}

/// Nobody else computes curves while this process has the journal.
fn compute(app: &App) -> anyhow::Result<()> {
    curves::drain(&deps::curves(app, &deps::Stages::default()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_written_alone_or_as_a_run() {
        let read = |text: &[&str]| {
            let text: Vec<String> = text.iter().map(|t| (*t).to_owned()).collect();
            hours(&text)
        };
        let found = read(&["3=12.5", "5-6=0"]).unwrap();
        let found: Vec<_> = found.iter().map(|(h, v)| (*h, v.as_str())).collect();
        assert_eq!(found, [(3, "12.5"), (5, "0"), (6, "0")]);
        for wrong in ["3", "24=1", "6-5=1", "x=1", "3=1.00001", "3=much"] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
    }
}
