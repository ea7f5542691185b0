//! Who changes the journal: this process, or the daemon that has it open.

use anyhow::Context as _;

use super::daemon::Daemon;
use super::open::check_limits;
use super::{Context, Failure};
use crate::run::app::App;

/// Whoever may write.
pub(super) enum Hand {
    /// Nobody else has the journal open.
    Own(Box<App>),
    /// A daemon has, and is asked.
    Daemon(Daemon),
}

impl Hand {
    /// Opens the journal, or finds the daemon that has.
    pub(super) fn of(context: &Context) -> Result<Self, Failure> {
        let (app, is_ours) = context.write_or_read()?;
        if is_ours {
            return Ok(Self::Own(Box::new(app)));
        }
        let daemon = Daemon::of(app.data_dir()).context(
            "another process has the journal open and is no daemon to be asked; wait for it to end",
        )?;
        eprintln!("note: asking the running daemon on {}", daemon.address());
        Ok(Self::Daemon(daemon))
    }

    /// The same for what has curves computed and judged, which this process does not do by faulty limits.
    pub(super) fn to_judge(context: &Context) -> Result<Self, Failure> {
        let hand = Self::of(context)?;
        if let Self::Own(app) = &hand {
            check_limits(app)?;
        }
        Ok(hand)
    }
}
