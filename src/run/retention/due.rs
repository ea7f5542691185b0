//! What is kept no longer, counted and not dropped.

use std::collections::{BTreeMap, BTreeSet};

use super::{class_of, class_of_subject, kept_from, starts};
use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::domain::id::MeterId;
use crate::domain::registry::Registry;
use crate::settings::RetentionSettings;
use crate::store::StoreError;
use crate::store::journal::{Journal, KeptKind};

/// What is kept no longer, of one kind and class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Kind of data.
    pub kind: KeptKind,
    /// Class of the customers; none for meters without one.
    pub class: Option<CustomerClass>,
    /// The first gas day that stays.
    pub kept_from: GasDay,
    /// First and last gas day with rows that go.
    pub days: (GasDay, GasDay),
    /// Meters.
    pub meters: usize,
    /// Rows.
    pub rows: u64,
    /// What their bodies or texts weigh, bytes.
    pub bytes: u64,
}

impl Due {
    const fn new(
        kind: KeptKind,
        class: Option<CustomerClass>,
        kept_from: GasDay,
        day: GasDay,
    ) -> Self {
        Self {
            kind,
            class,
            kept_from,
            days: (day, day),
            meters: 0,
            rows: 0,
            bytes: 0,
        }
    }

    fn add(&mut self, day: GasDay, rows: u64, bytes: u64) {
        self.days = (self.days.0.min(day), self.days.1.max(day));
        self.rows += rows;
        self.bytes += bytes;
    }
}

/// What a sweep would drop today, without dropping it; the last days with totals of each meter, which
/// later curves need, are among it and would stay. Blocks.
///
/// # Errors
/// What the store says.
pub fn explain(
    journal: &Journal,
    registry: &Registry,
    kept: &RetentionSettings,
    today: GasDay,
) -> Result<Vec<Due>, StoreError> {
    let mut found: BTreeMap<(KeptKind, Option<CustomerClass>), (Due, BTreeSet<MeterId>)> =
        BTreeMap::new();
    for kind in KeptKind::ALL {
        let Some(newest) = starts(kept, kind, today).last().copied() else {
            continue;
        };
        for day in journal
            .days_with(kind)?
            .into_iter()
            .filter(|day| *day < newest)
        {
            for rows in journal.rows_with(kind, day)? {
                let class = class_of(registry, &rows.meter);
                let Some(start) = kept_from(kept.of(class), kind, today).filter(|s| day < *s)
                else {
                    continue;
                };
                let (due, meters) = found
                    .entry((kind, class))
                    .or_insert_with(|| (Due::new(kind, class, start, day), BTreeSet::new()));
                due.add(day, rows.rows, rows.bytes);
                meters.insert(rows.meter);
            }
        }
        if kind != KeptKind::Findings {
            continue;
        }
        for day in journal.subject_finding_days(newest)? {
            for (subject, rows, bytes) in journal.subjects_with_findings(day)? {
                let class = class_of_subject(registry, &subject);
                let start = kept_from(kept.of(class), kind, today);
                if let Some(start) = start.filter(|start| day < *start) {
                    let (due, _) = found
                        .entry((kind, class))
                        .or_insert_with(|| (Due::new(kind, class, start, day), BTreeSet::new()));
                    due.add(day, rows, bytes);
                }
            }
        }
    }
    let counted = found.into_values().map(|(due, meters)| Due {
        meters: meters.len(),
        ..due
    });
    Ok(counted.collect())
}
