//! Meter exchanges: of a meter that is there, once, and not before they happened.

use chrono::{DateTime, Utc};

use super::{Rows, Sink, ids};
use crate::domain::calendar::beijing_civil;

const FILE: &str = "exchanges.csv";

pub(super) fn check(rows: &Rows, now: DateTime<Utc>, sink: &mut Sink<'_>) {
    // Each row is a step of the total: the same one twice would be volume that nobody used.
    sink.doubles(FILE, &rows.exchanges, |exchange| {
        let at = beijing_civil(exchange.exchanged_at).to_rfc3339();
        format!("{} {at}", exchange.meter)
    });
    let meters = ids(&rows.meters, |m| &m.id);
    for row in &rows.exchanges {
        let exchange = &row.value;
        let at = (FILE, row.line);
        sink.refers(at, "meter", &exchange.meter, &meters, "meters.csv");
        if exchange.exchanged_at > now {
            sink.add(
                FILE,
                row.line,
                "registry.exchange_in_future",
                format!(
                    "the exchange of `{}` at {} is still to come",
                    exchange.meter,
                    beijing_civil(exchange.exchanged_at).to_rfc3339()
                ),
                "write when the meter was exchanged, with its time zone, for example \
                 2026-11-21T10:30:00+08:00, and a coming exchange once it is done",
            );
        }
    }
}
