//! From when to when a meter is at its place: a device, and an address on a bus, is one meter at a time.

use std::collections::BTreeMap;

use super::Sink;
use crate::domain::meter::Meter;
use crate::registry::files::Row;

const FILE: &str = "meters.csv";

pub(super) fn check(rows: &[Row<Meter>], sink: &mut Sink<'_>) {
    for row in rows {
        let meter = &row.value;
        if let Some(removed_on) = meter.removed_on.filter(|on| *on < meter.installed_on) {
            sink.add(
                FILE,
                row.line,
                "registry.meter_dates",
                format!(
                    "meter `{}` was removed on {removed_on}, before it was installed on {}",
                    meter.id, meter.installed_on
                ),
                "mend installed_on or removed_on",
            );
        }
    }
    one_at_a_time(rows, sink, |meter| Some(format!("device {}", meter.device)));
    one_at_a_time(rows, sink, |meter| {
        let gateway = meter.gateway.as_ref()?;
        Some(format!("gateway {gateway} unit {}", meter.unit))
    });
}

/// Names rows that have the same of something on the same day.
fn one_at_a_time(rows: &[Row<Meter>], sink: &mut Sink<'_>, key: impl Fn(&Meter) -> Option<String>) {
    let mut by_key: BTreeMap<String, Vec<&Row<Meter>>> = BTreeMap::new();
    for row in rows {
        if let Some(key) = key(&row.value) {
            by_key.entry(key).or_default().push(row);
        }
    }
    for (key, mut rows) in by_key {
        rows.sort_by_key(|row| (row.value.installed_on, row.line));
        // The row that is there longest of those before.
        let mut longest: Option<&Row<Meter>> = None;
        for row in rows {
            let Some(before) = longest else {
                longest = Some(row);
                continue;
            };
            let last = before.value.removed_on;
            if last.is_none_or(|last| row.value.installed_on <= last) {
                let (first, second) = (before.line.min(row.line), before.line.max(row.line));
                sink.add(
                    FILE,
                    second,
                    "registry.duplicate",
                    format!("`{key}` stands in line {first} already"),
                    "keep one of the two rows; where it moved, write removed_on into the earlier \
                     one, before installed_on of the other",
                );
            }
            let ends_later = match (last, row.value.removed_on) {
                (Some(last), Some(own)) => own > last,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if ends_later {
                longest = Some(row);
            }
        }
    }
}
