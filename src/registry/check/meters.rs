//! `meters.csv` and `gateways.csv`: what cannot be read, converted or reached.

use std::collections::BTreeSet;

use super::{Row, Rows, Sink, ids, lives};
use crate::domain::id::ProfileId;
use crate::domain::meter::{Gateway, GatewayTransport, Meter, MeterRole};

/// Adds every problem of gateways and meters.
pub(super) fn check(rows: &Rows, profiles: &BTreeSet<ProfileId>, sink: &mut Sink<'_>) {
    check_gateways(rows, sink);
    lives::check(&rows.meters, sink);
    check_meters(rows, profiles, sink);
}

fn check_gateways(rows: &Rows, sink: &mut Sink<'_>) {
    for row in &rows.gateways {
        for (message, remedy) in gateway_problems(&row.value) {
            sink.add(
                "gateways.csv",
                row.line,
                "registry.gateway_invalid",
                message,
                remedy,
            );
        }
    }
    let serial: Vec<Row<&Gateway>> = rows
        .gateways
        .iter()
        .filter(|row| row.value.transport == GatewayTransport::Serial)
        .map(|row| Row {
            line: row.line,
            value: &row.value,
        })
        .collect();
    sink.doubles("gateways.csv", &serial, |g| format!("path {}", g.path));
}

fn gateway_problems(gateway: &Gateway) -> Vec<(String, &'static str)> {
    let mut out = Vec::new();
    let is_serial = gateway.transport == GatewayTransport::Serial;
    if is_serial {
        if gateway.path.is_empty() {
            out.push((
                format!("gateway `{}` is serial and has no path", gateway.id),
                "write the serial port into the column path, for example /dev/ttyS1",
            ));
        }
        if !(300..=4_000_000).contains(&gateway.baud) {
            out.push((
                format!("`baud` is {}", gateway.baud),
                "write the bits per second set in the meters, for example 9600",
            ));
        }
        if !(1..=2).contains(&gateway.stop_bits) {
            out.push((
                format!("`stop_bits` is {}", gateway.stop_bits),
                "write 1 or 2",
            ));
        }
    } else if gateway.host.is_empty() || gateway.port == 0 {
        out.push((
            format!("gateway `{}` has no host or no port", gateway.id),
            "write both, or transport serial and a path for a port of this machine",
        ));
    }
    let parallel_max = if gateway.transport == GatewayTransport::Tcp {
        16
    } else {
        1
    };
    if !(1..=parallel_max).contains(&gateway.parallel) {
        out.push((
            format!("`parallel` is {}", gateway.parallel),
            if parallel_max == 1 {
                "write 1: on a serial line one request is under way at a time"
            } else {
                "write 1, or as many connections as the gateway serves at the same time, 16 at most"
            },
        ));
    }
    out
}

fn check_meters(rows: &Rows, profiles: &BTreeSet<ProfileId>, sink: &mut Sink<'_>) {
    let file = "meters.csv";
    let zones = ids(&rows.zones, |z| &z.id);
    let customers = ids(&rows.customers, |c| &c.id);
    let gateways = ids(&rows.gateways, |g| &g.id);
    let profiles: BTreeSet<&ProfileId> = profiles.iter().collect();
    for row in &rows.meters {
        let meter = &row.value;
        let at = (file, row.line);
        sink.refers(at, "zone", &meter.zone, &zones, "zones.csv");
        sink.refers(at, "profile", &meter.profile, &profiles, "device-profiles/");
        if let Some(customer) = &meter.customer {
            sink.refers(at, "customer", customer, &customers, "customers.csv");
        }
        if let Some(gateway) = &meter.gateway {
            sink.refers(at, "gateway", gateway, &gateways, "gateways.csv");
            if !(1..=247).contains(&meter.unit) {
                sink.add(
                    file,
                    row.line,
                    "registry.unit",
                    format!("Modbus unit {} is not between 1 and 247", meter.unit),
                    "write the unit address set in the corrector",
                );
            }
        }
        if let Some((message, remedy)) = meter_problem(meter) {
            sink.add(file, row.line, "registry.meter_invalid", message, remedy);
        }
    }
}

fn meter_problem(meter: &Meter) -> Option<(String, &'static str)> {
    if (meter.role == MeterRole::Customer) != meter.customer.is_some() {
        return Some((
            format!(
                "a meter of role {:?} {} a customer",
                meter.role,
                if meter.customer.is_some() {
                    "names"
                } else {
                    "names not"
                }
            ),
            "a customer's meter names its customer, a gate's meter names none",
        ));
    }
    if !(1..=12).contains(&meter.total_digits) {
        return Some((
            format!("`total_digits` is {}", meter.total_digits),
            "write the digits before the point at which the total rolls over, 1 to 12",
        ));
    }
    if !meter.flow_max_m3h.is_finite() || meter.flow_max_m3h <= 0.0 {
        return Some((
            format!("`flow_max_m3h` is {}", meter.flow_max_m3h),
            "write Qmax of the meter, m³/h",
        ));
    }
    if !meter.fixed_factor.is_finite() || !(0.5..=100.0).contains(&meter.fixed_factor) {
        return Some((
            format!("`fixed_factor` is {}", meter.fixed_factor),
            "write the factor from working to standard volume, 1 where the standard total settles",
        ));
    }
    if meter.period_s == 0 {
        return Some((
            "`period_s` is 0".into(),
            "write the expected seconds between reports, for example 3600",
        ));
    }
    None
}
