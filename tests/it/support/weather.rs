//! Weather of the test site's station.

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::domain::weather::{WeatherKind, WeatherPoint, WeatherVintage};

/// So many hours of weather at `zz` from an instant on, at which it is issued and known: a slow wave about 10 °C.
pub(crate) fn vintage(kind: WeatherKind, from: DateTime<Utc>, hours: i64) -> WeatherVintage {
    WeatherVintage {
        station: "zz".into(),
        kind,
        issued_at: from,
        available_at: from,
        points: (0..hours)
            .map(|h| WeatherPoint {
                at: from + TimeDelta::hours(h),
                temperature_c: 10.0 + (h as f64 / 200.0).sin() * 8.0,
            })
            .collect(),
    }
}
