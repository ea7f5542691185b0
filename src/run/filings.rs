//! What customers tell beforehand, as somebody enters it: checked, kept with who and why, corrected and taken
//! back by later entries. It is known from the moment of its entry on, never earlier.

mod changes;
mod plans;
mod views;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::domain::id::CustomerId;
use crate::domain::registry::Registry;
use crate::domain::text::error_chain;
use crate::run::app::App;
use crate::run::judging;
use crate::serve::actions::ActionError;
use crate::store::error::StoreError;

pub use self::changes::{correct, enter, list};
pub use self::plans::{file, import};
pub use self::views::{board, plans_of};

/// Longest name, source and reason.
const TEXT_MAX: usize = 500;
/// Gas days ahead that somebody speaks of at most: a year of the contract, and the month before it.
const AHEAD_MAX: i64 = 400;

fn failed(error: &StoreError) -> ActionError {
    ActionError::Failed {
        code: error.code(),
        message: "what was entered could not be kept or read; nothing has changed".into(),
        cause: error_chain(error),
    }
}

fn refused(code: &'static str, message: impl Into<String>) -> ActionError {
    ActionError::Refused {
        code,
        message: message.into(),
    }
}

/// A text that must be said.
fn said<'a>(name: &str, text: &'a str) -> Result<&'a str, ActionError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > TEXT_MAX {
        return Err(refused(
            "filing.unsaid",
            format!("`{name}` must be said, in at most {TEXT_MAX} characters"),
        ));
    }
    Ok(text)
}

/// The customer of an account number, or of a name that only one has.
fn customer_of<'a>(registry: &'a Registry, written: &str) -> Option<&'a CustomerId> {
    let written = written.trim();
    if let Some((id, _)) = registry
        .customers
        .get_key_value(&CustomerId::new(written.to_owned()))
    {
        return Some(id);
    }
    let mut named = registry.customers.iter().filter(|(_, c)| c.name == written);
    let (id, _) = named.next()?;
    named.next().is_none().then_some(id)
}

fn known<'a>(registry: &'a Registry, written: &str) -> Result<&'a CustomerId, ActionError> {
    customer_of(registry, written).ok_or_else(|| ActionError::NotFound {
        code: "filing.customer_unknown",
        message: format!(
            "no customer has the account number `{}`, nor has one alone that name; customers.csv lists them",
            written.chars().take(40).collect::<String>()
        ),
    })
}

/// `Y20261127T142233123Z`: an instant as a part of a name.
fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%S%3fZ").to_string()
}

/// Has the rules take note at once of what was entered; what fails here is done in the next round.
fn judge_anew(app: &App, customers: &BTreeSet<CustomerId>) {
    let judged = judging::sync_known(app, &mut None)
        .and_then(|()| judging::judge_customers(app, customers).map(drop));
    if let Err(error) = judged {
        tracing::warn!(
            code = error.code(),
            "Findings follow what was filed with the next round: {}",
            error_chain(&error)
        );
    }
}
