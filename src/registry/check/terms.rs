//! A row's factor, digits and settlement hold for all of its days: once it has readings, they are not
//! another's.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Sink;
use crate::domain::calendar::beijing_civil;
use crate::domain::id::MeterId;
use crate::domain::meter::{Meter, MeteringTerms};
use crate::registry::files::Row;

const FILE: &str = "meters.csv";

/// `in_use` is by what meters that have readings are settled.
pub(super) fn check(
    rows: &[Row<Meter>],
    in_use: &BTreeMap<MeterId, MeteringTerms>,
    now: DateTime<Utc>,
    sink: &mut Sink<'_>,
) {
    for row in rows {
        let meter = &row.value;
        if let Some(at) = meter.corrected_at.filter(|at| *at > now) {
            sink.add(
                FILE,
                row.line,
                "registry.meter_dates",
                format!(
                    "the correction of meter `{}` at {} is still to come",
                    meter.id,
                    beijing_civil(at).to_rfc3339()
                ),
                "write into corrected_at when the mistake was found, with its time zone",
            );
        }
        let Some(in_use) = in_use.get(&meter.id) else {
            continue;
        };
        let changes = in_use.changes(&meter.terms());
        if changes.is_empty() || meter.corrected_at > in_use.corrected_at {
            continue;
        }
        let changes: Vec<String> = changes
            .iter()
            .map(|(column, was, is)| format!("`{column}` from {was} to {is}"))
            .collect();
        sink.add(
            FILE,
            row.line,
            "registry.meter_terms_changed",
            format!(
                "meter `{}` has readings and changes {}, which would settle all of its past days anew",
                meter.id,
                changes.join(" and ")
            ),
            "if it is so from a day on, keep the row as it was, write removed_on into it, and add a row \
             with a new id and that day as installed_on; if the row was wrong from its first day, write into \
             corrected_at when that was found",
        );
    }
}
