//! `source_shares.csv` and `gas_quality.csv`: where a zone's gas comes from, and what it is.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::{Rows, Sink, ids};
use crate::domain::id::ZoneId;

/// Adds every problem of shares and qualities.
pub(super) fn check(rows: &Rows, sink: &mut Sink<'_>) {
    check_shares(rows, sink);
    check_gas_qualities(rows, sink);
}

fn check_gas_qualities(rows: &Rows, sink: &mut Sink<'_>) {
    let file = "gas_quality.csv";
    let zones = ids(&rows.zones, |z| &z.id);
    for row in &rows.gas_qualities {
        let quality = &row.value;
        sink.refers((file, row.line), "zone", &quality.zone, &zones, "zones.csv");
        for (key, value, least, most) in [
            (
                "calorific_value_mjm3",
                quality.calorific_value_mjm3,
                20.0,
                48.0,
            ),
            ("relative_density", quality.relative_density, 0.55, 0.9),
            ("co2", quality.co2, 0.0, 0.3),
            ("h2", quality.h2, 0.0, 0.1),
        ] {
            if !(least..=most).contains(&value) {
                sink.add(
                    file,
                    row.line,
                    "registry.gas_quality",
                    format!("`{key}` is {value}, not from {least} to {most}"),
                    "write the gas analysis at 0 °C metering and 25 °C combustion, fractions as 0.006",
                );
            }
        }
    }
}

fn check_shares(rows: &Rows, sink: &mut Sink<'_>) {
    let file = "source_shares.csv";
    let zones = ids(&rows.zones, |z| &z.id);
    let sources = ids(&rows.sources, |s| &s.id);
    let mut sums: BTreeMap<(&ZoneId, NaiveDate), (f64, usize)> = BTreeMap::new();
    for row in &rows.shares {
        let share = &row.value;
        sink.refers((file, row.line), "zone", &share.zone, &zones, "zones.csv");
        sink.refers(
            (file, row.line),
            "source",
            &share.source,
            &sources,
            "sources.csv",
        );
        if !(0.0..=1.0).contains(&share.share) {
            sink.add(
                file,
                row.line,
                "registry.share",
                format!("share {} is not between 0 and 1", share.share),
                "write the part of the zone's gas, for example 0.35",
            );
        }
        let sum = sums
            .entry((&share.zone, share.from_on))
            .or_insert((0.0, row.line));
        sum.0 += share.share;
    }
    for ((zone, from_on), (sum, line)) in &sums {
        if (sum - 1.0).abs() > 1e-6 {
            sink.add(
                file,
                *line,
                "registry.share_sum",
                format!("the shares of zone `{zone}` from {from_on} sum to {sum:.4}"),
                "let them sum to 1",
            );
        }
    }
    for row in &rows.zones {
        if !sums.keys().any(|(zone, _)| **zone == row.value.id) {
            sink.add(
                "zones.csv",
                row.line,
                "registry.zone_without_source",
                format!("zone `{}` has no source share", row.value.id),
                "add at least one row to source_shares.csv",
            );
        }
        if !(50.0..=110.0).contains(&row.value.atmosphere_kpa) {
            sink.add(
                "zones.csv",
                row.line,
                "registry.atmosphere",
                format!(
                    "atmosphere of {} kPa is not plausible",
                    row.value.atmosphere_kpa
                ),
                "write kPa absolute: about 101 at sea level, 84 on the plateau",
            );
        }
        if !(0.0..=1e7).contains(&row.value.pipe_volume_m3) {
            sink.add(
                "zones.csv",
                row.line,
                "registry.pipe_volume",
                format!(
                    "a pipe volume of {} m³ is not plausible",
                    row.value.pipe_volume_m3
                ),
                "write the volume inside the zone's pipes in m³, or 0 if it is not known",
            );
        }
    }
}
