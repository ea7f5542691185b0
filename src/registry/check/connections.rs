//! `new_connections.csv`: what cannot be forecast from.

use super::{Rows, Sink, ids};

const FILE: &str = "new_connections.csv";

/// Adds every problem of the projects.
pub(super) fn check(rows: &Rows, sink: &mut Sink<'_>) {
    sink.doubles(FILE, &rows.new_connections, |c| {
        format!("{} {}", c.id, c.available_at)
    });
    let zones = ids(&rows.zones, |z| &z.id);
    let customers = ids(&rows.customers, |c| &c.id);
    for row in &rows.new_connections {
        let project = &row.value;
        sink.refers((FILE, row.line), "zone", &project.zone, &zones, "zones.csv");
        if let Some(customer) = &project.customer {
            sink.refers(
                (FILE, row.line),
                "customer",
                customer,
                &customers,
                "customers.csv",
            );
        }
        let mut number = |column: &str, value: f64, is_sound: bool, remedy: &str| {
            if !is_sound {
                sink.add(
                    FILE,
                    row.line,
                    "registry.connection_invalid",
                    format!("`{column}` is {value}"),
                    remedy,
                );
            }
        };
        let capacity = project.connected_m3_per_day;
        number(
            "connected_m3_per_day",
            capacity,
            capacity.is_finite() && capacity > 0.0,
            "write the connected capacity (开口气量) in m³ per gas day, above 0",
        );
        number(
            "coefficient",
            project.coefficient,
            (0.0..=1.0).contains(&project.coefficient) && project.coefficient > 0.0,
            "write the part of the capacity used at full production, above 0 and up to 1",
        );
        if let Some(probability) = project.probability {
            number(
                "probability",
                probability,
                (0.0..=1.0).contains(&probability),
                "write a probability from 0 to 1, or leave it empty for the stage's own",
            );
        }
        if project.ramp().is_none_or(|ramp| ramp.is_empty()) {
            sink.add(
                FILE,
                row.line,
                "registry.connection_invalid",
                format!("`ramp` is `{}`", project.ramp),
                "write the parts of full use by month with `/` between them, for example 0.3/0.5/0.7/0.85/1, or leave it empty",
            );
        }
    }
}
