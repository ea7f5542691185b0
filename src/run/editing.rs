//! Decisions of people about hours of a curve: checked, recorded, kept, taken back.

use std::collections::BTreeMap;

use crate::domain::calendar::GasDay;
use crate::domain::edit::{CurveEdit, Revocation};
use crate::domain::id::MeterId;
use crate::domain::quantity::StdVolume;
use crate::run::app::App;
use crate::serve::api::edits::{EditRequest, RevokeRequest};
use crate::store::StoreError;
use crate::store::journal::{EditFilter, NewEdit, RevokeOutcome};

/// Longest name and reason.
const TEXT_MAX: usize = 500;

/// Why a decision was not taken.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It cannot be one.
    #[error("{0}")]
    Refused(String),
    /// There is no such decision or meter.
    #[error("{0}")]
    Unknown(String),
    /// The stores did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EditError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "edit.refused",
            Self::Unknown(_) => "edit.unknown",
            Self::Store(error) => error.code(),
        }
    }
}

fn refused(text: impl Into<String>) -> EditError {
    EditError::Refused(text.into())
}

fn text<'a>(name: &str, text: &'a str) -> Result<&'a str, EditError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > TEXT_MAX {
        return Err(refused(format!(
            "`{name}` must be said, in at most {TEXT_MAX} characters"
        )));
    }
    Ok(text)
}

/// Takes a decision; the curve is computed again with it. Blocks.
///
/// It is in the audit log before it counts, so that none can count without being there.
///
/// # Errors
/// What cannot be a decision, with what to write instead; what the stores say.
pub fn decide(app: &App, request: &EditRequest) -> Result<CurveEdit, EditError> {
    let (who, reason) = (text("who", &request.who)?, text("reason", &request.reason)?);
    let meter = MeterId::new(request.meter.clone());
    if !app.registry().meters.contains_key(&meter) {
        return Err(EditError::Unknown(format!(
            "the registry has no meter {meter}; meters.csv lists them"
        )));
    }
    let day: GasDay = request.day.parse().map_err(|_| {
        refused(format!(
            "`{}` is not a gas day; write YYYY-MM-DD",
            request.day
        ))
    })?;
    if day > app.today() {
        return Err(refused(format!("{day} has not begun; decide when it has")));
    }
    check_open(app, &meter, day)?;
    let hours = hours_of(&request.hours_m3)?;
    let at = app.clock.now();
    let subject = subject_of(&meter, day, &hours);
    app.book.record(at, who, "curve.edit", &subject, reason)?;
    let id = app.journal.put_edit(NewEdit {
        meter: meter.clone(),
        day,
        hours: hours.clone(),
        who: who.to_owned(),
        reason: reason.to_owned(),
        at,
    })?;
    Ok(CurveEdit {
        id,
        meter,
        day,
        hours,
        who: who.to_owned(),
        reason: reason.to_owned(),
        at,
        revoked: None,
    })
}

/// A day of which readings were dropped cannot be computed again, with a decision or without one.
fn check_open(app: &App, meter: &MeterId, day: GasDay) -> Result<(), EditError> {
    match app.journal.closed_before(meter)? {
        Some(open) if day < open => Err(refused(format!(
            "readings of {meter} before {open} are kept no longer (retention.readings_days), so its curve of \
             {day} is final; keep what you know of it outside of the curve, or decide about {open} and later"
        ))),
        _ => Ok(()),
    }
}

fn hours_of(asked: &BTreeMap<u8, String>) -> Result<BTreeMap<u8, StdVolume>, EditError> {
    if asked.is_empty() {
        return Err(refused(
            "no hour is given; write the hours 0 to 23 of the gas day with their m³",
        ));
    }
    let mut hours = BTreeMap::new();
    for (hour, volume) in asked {
        if *hour > 23 {
            return Err(refused(format!(
                "a gas day has no hour {hour}; write 0 to 23"
            )));
        }
        let volume: StdVolume = volume.trim().parse().map_err(|_| {
            refused(format!(
                "`{volume}` is no volume; write m³ with at most four decimals"
            ))
        })?;
        if volume < StdVolume::ZERO {
            return Err(refused(format!(
                "hour {hour} cannot have {volume} m³; gas does not flow back"
            )));
        }
        hours.insert(*hour, volume);
    }
    Ok(hours)
}

fn subject_of(meter: &MeterId, day: GasDay, hours: &BTreeMap<u8, StdVolume>) -> String {
    let hours: Vec<String> = hours.iter().map(|(h, v)| format!("{h}={v}")).collect();
    format!("{meter} {day} {}", hours.join(","))
}

/// Takes a decision back; the curve is computed again without it. Blocks.
///
/// # Errors
/// There is no such decision, or it was taken back before; what the stores say.
pub fn revoke(app: &App, id: i64, request: &RevokeRequest) -> Result<CurveEdit, EditError> {
    let (who, reason) = (text("who", &request.who)?, text("reason", &request.reason)?);
    let find = || -> Result<CurveEdit, EditError> {
        let edits = app.journal.edits(&EditFilter::default())?;
        edits.into_iter().find(|edit| edit.id == id).ok_or_else(|| {
            EditError::Unknown(format!(
                "there is no decision {id}; `qiliang curves list` shows them"
            ))
        })
    };
    let already = |edit: &CurveEdit| {
        edit.revoked.as_ref().map(|by| {
            refused(format!(
                "decision {id} was taken back by {} already: {}",
                by.who, by.reason
            ))
        })
    };
    let edit = find()?;
    if let Some(error) = already(&edit) {
        return Err(error);
    }
    check_open(app, &edit.meter, edit.day)?;
    let at = app.clock.now();
    let subject = format!("{id}: {}", subject_of(&edit.meter, edit.day, &edit.hours));
    app.book.record(at, who, "curve.revoke", &subject, reason)?;
    let by = Revocation {
        who: who.to_owned(),
        reason: reason.to_owned(),
        at,
    };
    let outcome = app.journal.revoke_edit(id, by)?;
    let edit = find()?;
    match outcome {
        RevokeOutcome::Revoked => Ok(edit),
        RevokeOutcome::AlreadyRevoked | RevokeOutcome::Unknown => {
            Err(already(&edit).unwrap_or_else(|| refused("it was taken back meanwhile")))
        }
    }
}
