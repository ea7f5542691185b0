//! What is wrong with a store: which file, which part of it, and why.

use std::fmt;

use crate::domain::calendar::GasDay;
use crate::domain::id::MeterId;

/// A part of a file that cannot be read or is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// File name.
    pub file: String,
    /// Table, or none for the file as a whole.
    pub table: Option<&'static str>,
    /// Gas day, if it concerns one.
    pub day: Option<GasDay>,
    /// Meter, if it concerns one.
    pub meter: Option<MeterId>,
    /// What was found.
    pub reason: String,
}

impl Damage {
    pub(super) fn of_file(file: &str, reason: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            table: None,
            day: None,
            meter: None,
            reason: reason.into(),
        }
    }

    pub(super) fn of_day(
        file: &str,
        table: &'static str,
        day: GasDay,
        meter: Option<MeterId>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            table: Some(table),
            day: Some(day),
            meter,
            reason: reason.into(),
        }
    }

    pub(super) fn of_table(file: &str, table: &'static str, reason: impl Into<String>) -> Self {
        Self {
            table: Some(table),
            ..Self::of_file(file, reason)
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(table) = self.table {
            write!(f, ": {table}")?;
        }
        if let Some(meter) = &self.meter {
            write!(f, " of {meter}")?;
        }
        if let Some(day) = self.day {
            write!(f, " on {day}")?;
        }
        write!(f, ": {}", self.reason)
    }
}
