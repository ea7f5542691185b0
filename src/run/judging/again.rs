//! A range of gas days judged again by the limits and the registry of today, because somebody asks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use super::{judge, open_from};
use crate::domain::calendar::GasDay;
use crate::domain::finding::{Finding, RuleId, Severity, Subject};
use crate::domain::id::MeterId;
use crate::run::app::App;
use crate::serve::api::findings::{FindingView, JudgedView};
use crate::store::error::StoreError;
use crate::store::journal::{FindingFilter, KeptKind};

/// Gas days that are judged again at once at most.
pub const SPAN_MAX: i64 = 31;
/// How long the curve worker may take for them; less than an HTTP request may.
const WORK_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why a range was not judged again.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// It cannot be judged.
    #[error("{0}")]
    Refused(String),
    /// Its curves take longer than an answer may.
    #[error(
        "curves of the gas days {from} to {last} are still being computed; ask for the same days again in a \
         minute, or for fewer"
    )]
    Busy {
        /// First gas day.
        from: GasDay,
        /// Last gas day.
        last: GasDay,
    },
    /// The stores did not let it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl JudgeError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "validate.judge_refused",
            Self::Busy { .. } => "validate.judge_busy",
            Self::Store(error) => error.code(),
        }
    }
}

/// Judges meters, zones and customers again on the gas days `from..=last`. `compute` has the curves of
/// the marked meters and days computed, and with them judged. Blocks.
///
/// What the entry rules found of a reading when it came in stays: it is about the frame.
///
/// # Errors
/// Days that are none to be judged, with those that are; curves that take too long; what the stores say.
pub fn judge_again(
    app: &App,
    (from, last): (GasDay, GasDay),
    compute: impl FnOnce(Vec<(MeterId, GasDay)>) -> Result<(), JudgeError>,
) -> Result<JudgedView, JudgeError> {
    check(app, from, last)?;
    let before = found(app, from, last)?;
    let mut curves = Vec::new();
    for offset in 0..=last.days_since(from) {
        let day = from.plus(offset);
        let meters = app.journal.meters_with(KeptKind::Curves, day)?;
        curves.extend(meters.into_iter().map(|meter| (meter, day)));
    }
    compute(curves)?;
    judge(app, &app.registry(), from, last.plus(1))?;
    let mut after = found(app, from, last)?;
    let mut withdrawn = Vec::new();
    let mut standing = 0;
    for (key, finding) in before {
        if after.remove(&key).is_some() {
            standing += 1;
        } else {
            withdrawn.push(FindingView::from(&finding));
        }
    }
    Ok(JudgedView {
        from,
        to: last,
        found: after.values().map(FindingView::from).collect(),
        withdrawn,
        standing,
    })
}

fn check(app: &App, from: GasDay, last: GasDay) -> Result<(), JudgeError> {
    let yesterday = app.today().plus(-1);
    let days = last.days_since(from) + 1;
    let refused = |text: String| Err(JudgeError::Refused(text));
    if !(1..=SPAN_MAX).contains(&days) {
        return refused(format!(
            "from {from} to {last} are {days} gas days; ask for 1 to {SPAN_MAX} at once"
        ));
    }
    if last > yesterday {
        return refused(format!(
            "{last} is not over; complete gas days are judged, until {yesterday}"
        ));
    }
    match open_from(app)? {
        Some(open) if from < open => refused(format!(
            "curves were dropped that {from} was compared with, so what was found of it is final; begin at \
             {open}"
        )),
        _ => Ok(()),
    }
}

/// What tells findings apart.
type Key = (DateTime<Utc>, RuleId, Subject, Severity, String);

fn found(app: &App, from: GasDay, last: GasDay) -> Result<BTreeMap<Key, Finding>, StoreError> {
    let clock = app.gas_day_clock();
    let found = app.journal.findings(&FindingFilter {
        from: Some(clock.start_of(from)),
        to: Some(clock.end_of(last)),
        ..FindingFilter::default()
    })?;
    let keyed = found.into_iter().map(|f| {
        let key = (f.at, f.rule, f.subject.clone(), f.severity, f.message_en());
        (key, f)
    });
    Ok(keyed.collect())
}

/// Has the running curve worker compute marked days, and waits for it. Blocks.
///
/// # Errors
/// It takes too long; what the store says.
#[expect(
    clippy::disallowed_methods,
    reason = "on a thread for blocking work, not on the runtime's"
)]
pub fn mark_and_wait(
    app: &App,
    wake: &Notify,
    (from, last): (GasDay, GasDay),
    curves: Vec<(MeterId, GasDay)>,
) -> Result<(), JudgeError> {
    app.journal.mark_dirty(curves)?;
    wake.notify_one();
    let started = Instant::now();
    while app.journal.is_dirty_between(from, last.plus(1))? {
        if started.elapsed() > WORK_MAX {
            return Err(JudgeError::Busy { from, last });
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
