//! Line protocol: what a reading and a curve are in InfluxDB.
//!
//! `gas_reading,meter=M1 total_std_m3=123.4567,temperature_c=15 1767225600000` holds the items of a
//! reading; a frozen total is a point of its own at its own time, in a field of its own, so that it never
//! overwrites what a reading of that instant says. `gas_hourly,meter=M1 volume_m3=12.5,quality=0i …` is
//! an hour of a load curve, stamped by its start. All fields are numbers; tags are the meter and what
//! the settings say of all, so a meter has one series; times are milliseconds. Sending a point again
//! changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::domain::calendar::GasDayClock;
use crate::domain::id::MeterId;
use crate::domain::quantity::StdVolume;
use crate::domain::reading::{AlarmSet, Item, ItemValue};
use crate::domain::series::LoadCurve;
use crate::store::history::HistoryPoint;
use crate::store::journal::hour_ms;

/// Measurement of readings.
pub const READINGS: &str = "gas_reading";
/// Measurement of load curves.
pub const HOURLY: &str = "gas_hourly";
/// Tag that names the meter.
pub const METER: &str = "meter";
/// What a frozen total's field begins with.
pub const FROZEN: &str = "frozen_";
/// Field of alarms, one bit each.
pub const ALARMS: &str = "alarms";

/// Why something cannot be a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Line protocol has no way to write it.
    #[error(
        "{what} `{name}` is empty, begins with #, holds a line break or ends with a backslash, which line protocol cannot carry; rename it"
    )]
    Name {
        /// Measurement, tag or field.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Not a number.
    #[error("field `{field}` is {value}, not a finite number")]
    NotFinite {
        /// Field.
        field: String,
        /// The value.
        value: String,
    },
    /// A point without a field or without its series.
    #[error("a point of `{measurement}` has no {what}")]
    Incomplete {
        /// Measurement.
        measurement: String,
        /// Tag or field.
        what: &'static str,
    },
}

/// A value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldValue {
    /// A decimal with four places, exact.
    Decimal(StdVolume),
    /// A finite float.
    Float(f64),
    /// An integer.
    Integer(i64),
}

/// Writes a point. A tag without a value is left out, since the protocol has no empty ones.
///
/// # Errors
/// A name the protocol cannot carry, a value that is not finite, no field at all.
pub fn point(
    measurement: &str,
    tags: &[(&str, &str)],
    fields: &[(&str, FieldValue)],
    at_ms: i64,
) -> Result<String, LineError> {
    let mut line = String::with_capacity(96);
    if measurement.starts_with('#') {
        return Err(LineError::Name {
            what: "measurement",
            name: measurement.to_owned(),
        });
    }
    escape(&mut line, "measurement", measurement, &[',', ' '])?;
    for (key, value) in tags.iter().filter(|(_, value)| !value.is_empty()) {
        line.push(',');
        escape(&mut line, "tag", key, &[',', '=', ' '])?;
        line.push('=');
        escape(&mut line, "value of a tag", value, &[',', '=', ' '])?;
    }
    let mut separator = ' ';
    for (key, value) in fields {
        line.push(separator);
        separator = ',';
        escape(&mut line, "field", key, &[',', '=', ' '])?;
        line.push('=');
        match value {
            FieldValue::Decimal(volume) => line.push_str(&volume.to_string()),
            // The shortest text that reads back as the same number.
            FieldValue::Float(value) if value.is_finite() => push(&mut line, value),
            FieldValue::Float(value) => {
                return Err(LineError::NotFinite {
                    field: (*key).to_owned(),
                    value: value.to_string(),
                });
            }
            FieldValue::Integer(value) => {
                push(&mut line, value);
                line.push('i');
            }
        }
    }
    if fields.is_empty() {
        return Err(LineError::Incomplete {
            measurement: measurement.to_owned(),
            what: "field",
        });
    }
    line.push(' ');
    push(&mut line, at_ms);
    Ok(line)
}

fn push(line: &mut String, value: impl std::fmt::Display) {
    // Writing into a string cannot fail.
    write!(line, "{value}").unwrap_or_default();
}

fn escape(
    line: &mut String,
    what: &'static str,
    name: &str,
    special: &[char],
) -> Result<(), LineError> {
    if name.is_empty() || name.ends_with('\\') || name.contains(['\n', '\r']) {
        return Err(LineError::Name {
            what,
            name: name.to_owned(),
        });
    }
    for c in name.chars() {
        if special.contains(&c) {
            line.push('\\');
        }
        line.push(c);
    }
    Ok(())
}

/// The line of what a meter said of an instant; none if it said nothing.
///
/// # Errors
/// As [`point`].
pub fn of_point(
    meter: &MeterId,
    said: &HistoryPoint,
    tags: &BTreeMap<String, String>,
    out: &mut Vec<String>,
) -> Result<(), LineError> {
    if said.is_empty() {
        return Ok(());
    }
    let frozen: Vec<(String, i64)> = said
        .frozen
        .iter()
        .map(|(item, units)| (frozen_key(*item), *units))
        .collect();
    let mut fields: Vec<(&str, FieldValue)> = said
        .values
        .iter()
        .map(|(item, value)| (item.key(), field(*value)))
        .collect();
    for (key, units) in &frozen {
        fields.push((key, FieldValue::Decimal(StdVolume::from_units(*units))));
    }
    if said.alarms != AlarmSet::default() {
        fields.push((ALARMS, FieldValue::Integer(i64::from(said.alarms.0))));
    }
    let tags = tags_of(READINGS, meter, tags)?;
    out.push(point(READINGS, &tags, &fields, said.at.timestamp_millis())?);
    Ok(())
}

fn tags_of<'a>(
    measurement: &str,
    meter: &'a MeterId,
    tags: &'a BTreeMap<String, String>,
) -> Result<Vec<(&'a str, &'a str)>, LineError> {
    if meter.as_str().is_empty() {
        return Err(LineError::Incomplete {
            measurement: measurement.to_owned(),
            what: METER,
        });
    }
    let own = std::iter::once((METER, meter.as_str()));
    Ok(own
        .chain(
            tags.iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        )
        .collect())
}

/// The field of an item's frozen totals.
pub fn frozen_key(item: Item) -> String {
    format!("{FROZEN}{}", item.key())
}

fn field(value: ItemValue) -> FieldValue {
    match value {
        ItemValue::Exact(units) => FieldValue::Decimal(StdVolume::from_units(units)),
        ItemValue::Float(value) => FieldValue::Float(value),
    }
}

/// Measurement with tags, fields, stamp: a line is cut at spaces that nothing escapes.
fn sections(line: &str) -> Option<(&str, &str, &str)> {
    let mut is_escaped = false;
    let cut = line.char_indices().find_map(|(index, c)| {
        let is_cut = c == ' ' && !is_escaped;
        is_escaped = c == '\\';
        is_cut.then_some(index)
    })?;
    let (series, rest) = line.split_at_checked(cut)?;
    let (fields, at) = rest.trim_start().rsplit_once(' ')?;
    Some((series, fields, at))
}

/// When a line of ours is stamped, Unix ms.
pub(super) fn at_of(line: &str) -> Option<i64> {
    sections(line)?.2.parse().ok()
}

/// Whether a line of ours has a field; our measurements and fields need no escapes.
pub(super) fn has_field(line: &str, measurement: &str, field: &str) -> bool {
    sections(line).is_some_and(|(series, fields, _)| {
        series.split_once(',').map_or(series, |(name, _)| name) == measurement
            && fields
                .split(',')
                .any(|one| one.split_once('=').is_some_and(|(key, _)| key == field))
    })
}

/// The 24 points of a load curve; an hour without a volume says so by its quality, so that it replaces
/// one that had a volume.
///
/// # Errors
/// As [`point`].
pub fn of_curve(
    curve: &LoadCurve,
    clock: GasDayClock,
    tags: &BTreeMap<String, String>,
    out: &mut Vec<String>,
) -> Result<(), LineError> {
    let tags = tags_of(HOURLY, &curve.meter, tags)?;
    for (hour, (volume, quality)) in curve.hours.iter().zip(&curve.quality).enumerate() {
        let fields = [
            ("volume_m3", FieldValue::Decimal(*volume)),
            ("quality", FieldValue::Integer(i64::from(*quality as u8))),
        ];
        out.push(point(
            HOURLY,
            &tags,
            &fields,
            hour_ms(clock, curve.day, hour),
        )?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    /// A point as line protocol's own grammar reads it: written from the specification, by another
    /// method than the encoder's.
    #[derive(Debug, PartialEq)]
    struct Parsed {
        measurement: String,
        tags: Vec<(String, String)>,
        fields: Vec<(String, String)>,
        at: i64,
    }

    /// Takes characters up to one of `ends` that no backslash stands before; a backslash counts only
    /// before a character of `special`.
    fn token(
        rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
        ends: &str,
        special: &str,
    ) -> String {
        let mut out = String::new();
        while let Some(&c) = rest.peek() {
            if ends.contains(c) {
                break;
            }
            rest.next();
            match (c, rest.peek()) {
                ('\\', Some(&next)) if special.contains(next) => {
                    out.push(next);
                    rest.next();
                }
                _ => out.push(c),
            }
        }
        out
    }

    fn parse(line: &str) -> Parsed {
        let mut rest = line.chars().peekable();
        let measurement = token(&mut rest, ", ", ", ");
        let pairs = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut pairs = Vec::new();
            loop {
                let key = token(rest, "=", ",= ");
                assert_eq!(rest.next(), Some('='));
                pairs.push((key, token(rest, ", ", ",= ")));
                if rest.peek() != Some(&',') {
                    return pairs;
                }
                rest.next();
            }
        };
        let tags = if rest.peek() == Some(&',') {
            rest.next();
            pairs(&mut rest)
        } else {
            Vec::new()
        };
        assert_eq!(rest.next(), Some(' '));
        let fields = pairs(&mut rest);
        assert_eq!(rest.next(), Some(' '));
        Parsed {
            measurement,
            tags,
            fields,
            at: rest.collect::<String>().parse().unwrap(),
        }
    }

    fn name() -> impl Strategy<Value = String> {
        r"[ -~é气]{0,10}[!-\[\]-~气]"
    }

    proptest! {
        #[test]
        fn every_point_reads_back_by_the_grammar(
            measurement in name(),
            tags in prop::collection::vec((name(), name()), 0..4),
            fields in prop::collection::vec((name(), any::<f64>()), 1..4),
            units in any::<i64>(),
            at in any::<i64>(),
        ) {
            let of_tags: Vec<(&str, &str)> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let mut of_fields: Vec<(&str, FieldValue)> =
                fields.iter().map(|(k, v)| (k.as_str(), FieldValue::Float(*v))).collect();
            of_fields.push(("units", FieldValue::Integer(units)));
            let line = point(&measurement, &of_tags, &of_fields, at);
            if !measurement.starts_with('#') && fields.iter().any(|(_, value)| !value.is_finite()) {
                let is_refused = matches!(line, Err(LineError::NotFinite { .. }));
                prop_assert!(is_refused);
                return Ok(());
            }
            // A name that begins with `#` would make a comment of the line.
            if measurement.starts_with('#') {
                let is_refused = matches!(line, Err(LineError::Name { .. }));
                prop_assert!(is_refused);
                return Ok(());
            }
            let line = line.unwrap();
            prop_assert!(!line.contains('\n'));
            let parsed = parse(&line);
            prop_assert_eq!(parsed.measurement, measurement);
            prop_assert_eq!(parsed.tags, tags);
            prop_assert_eq!(parsed.at, at);
            prop_assert_eq!(parsed.fields.len(), fields.len() + 1);
            for ((key, text), (of, value)) in parsed.fields.iter().zip(&fields) {
                prop_assert_eq!(key, of);
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
            }
            prop_assert_eq!(&parsed.fields[fields.len()].1, &format!("{units}i"));
        }
    }

    #[test]
    fn what_a_meter_said_of_an_instant_is_a_line() {
        let at = DateTime::from_timestamp_millis(1_795_219_200_000).unwrap();
        let said = HistoryPoint {
            values: vec![
                (Item::TotalStd, ItemValue::Exact(120_000)),
                (Item::Temperature, ItemValue::Float(-3.5)),
            ],
            frozen: vec![(Item::TotalStd, 25_001)],
            alarms: AlarmSet(5),
            ..HistoryPoint::new(at)
        };
        let tags = BTreeMap::from([
            ("city".to_owned(), "a b".to_owned()),
            ("x".to_owned(), String::new()),
        ]);
        let mut lines = Vec::new();
        of_point(&"M1".into(), &said, &tags, &mut lines).unwrap();
        of_point(&"M1".into(), &HistoryPoint::new(at), &tags, &mut lines).unwrap();
        assert_eq!(
            lines,
            [
                r"gas_reading,meter=M1,city=a\ b total_std_m3=12.0000,temperature_c=-3.5,frozen_total_std_m3=2.5001,alarms=5i 1795219200000"
            ]
        );
        assert_eq!(at_of(&lines[0]), Some(1_795_219_200_000));
        assert!(has_field(&lines[0], READINGS, "temperature_c"));
        assert!(!has_field(&lines[0], READINGS, "city"));
        assert!(!has_field(&lines[0], HOURLY, "temperature_c"));
        assert!(of_point(&"".into(), &said, &tags, &mut lines).is_err());
    }

    #[test]
    fn what_the_protocol_cannot_carry_is_refused_and_the_rest_escaped() {
        let one = [("v", FieldValue::Integer(1))];
        assert_eq!(
            point("m, x", &[("a b", "c=d, e"), ("empty", "")], &one, 5).unwrap(),
            r"m\,\ x,a\ b=c\=d\,\ e v=1i 5"
        );
        assert!(point("m", &[("t", "a\nb")], &one, 5).is_err());
        assert!(point("m", &[("t", "a\\")], &one, 5).is_err());
        assert!(point("m", &[], &[], 5).is_err());
        let error = point("m", &[], &[("v", FieldValue::Float(f64::NAN))], 5).unwrap_err();
        assert_eq!(error.to_string(), "field `v` is NaN, not a finite number");
    }

    #[test]
    fn a_curve_is_24_points_from_the_gas_days_start() {
        let day = "2026-11-21".parse().unwrap();
        let mut curve = LoadCurve::missing("M 1".into(), crate::domain::calendar::GasDay(day));
        curve.hours[1] = StdVolume::from_units(15_000);
        curve.quality[1] = crate::domain::finding::Quality::Measured;
        let mut lines = Vec::new();
        of_curve(&curve, GasDayClock::default(), &BTreeMap::new(), &mut lines).unwrap();
        assert_eq!(lines.len(), 24);
        // 08:00 in Beijing.
        assert_eq!(
            lines[0],
            r"gas_hourly,meter=M\ 1 volume_m3=0.0000,quality=7i 1795219200000"
        );
        assert_eq!(
            lines[1],
            r"gas_hourly,meter=M\ 1 volume_m3=1.5000,quality=0i 1795222800000"
        );
    }
}
