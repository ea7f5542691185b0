//! `InfluxDB` line protocol: `measurement,device=TX-1 total_std_m3=3586401.1116 1763683200000000000`.
//!
//! The device is a tag; fields and tags that are no column of ours are passed over, since exports
//! hold everything. Numbers are taken as they are written, so that totals stay exact.

use std::borrow::Cow;
use std::io::BufRead;

use chrono::{DateTime, Utc};

use super::ndjson::TextLines;
use super::table::{Column, column, reading};
use super::{Line, Record, code};
use crate::domain::frame::RejectReason;

/// Unit of a timestamp without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Nanoseconds, as `InfluxDB` writes them.
    #[default]
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

/// Characters that a backslash may stand before, outside of texts in quotes.
const ESCAPED: [char; 4] = [',', ' ', '=', '\\'];

/// The lines of a file.
pub(super) struct Points<R> {
    lines: TextLines<R>,
    precision: Precision,
}

impl<R: BufRead> Points<R> {
    pub(super) fn new(reader: R, precision: Precision) -> Self {
        Self {
            lines: TextLines::new(reader),
            precision,
        }
    }

    /// The next line that is neither empty nor a comment.
    pub(super) fn next_line(&mut self) -> Option<Line> {
        loop {
            let (number, raw, trouble) = self.lines.next_line()?;
            let record = match trouble {
                Some(reason) => Err(reason),
                None => match std::str::from_utf8(raw.trim_ascii()) {
                    Ok("") => continue,
                    Ok(text) if text.starts_with('#') => continue,
                    Ok(text) => point(text, self.precision)
                        .map_err(|reason| RejectReason::new(code::LINE, reason)),
                    Err(_) => Err(RejectReason::new(code::LINE, "line is no UTF-8 text")),
                },
            };
            return Some(Line {
                number,
                raw,
                record,
            });
        }
    }
}

/// Cuts at the first of `ends` that is neither escaped nor, where `is_quoting`, within quotes.
fn until<'t>(text: &'t str, ends: &[char], is_quoting: bool) -> (&'t str, Option<char>, &'t str) {
    let (mut is_escaped, mut is_quoted) = (false, false);
    for (at, c) in text.char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if c == '\\' {
            is_escaped = true;
        } else if c == '"' && is_quoting {
            is_quoted = !is_quoted;
        } else if !is_quoted && ends.contains(&c) {
            let (before, rest) = text.split_at(at);
            return (before, Some(c), rest.get(c.len_utf8()..).unwrap_or(""));
        }
    }
    (text, None, "")
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next) if c == '\\' && ESCAPED.contains(next) => {
                out.push(*next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn point(text: &str, precision: Precision) -> Result<Record, String> {
    let (measurement, mut end, mut rest) = until(text, &[',', ' '], false);
    if measurement.is_empty() {
        return Err(
            "line has no measurement; write measurement,device=… total_std_m3=… time".into(),
        );
    }
    let mut device = None;
    while end == Some(',') {
        let (tag, next, after) = until(rest, &[',', ' '], false);
        let (key, equals, value) = until(tag, &['='], false);
        if key.is_empty() || equals.is_none() || value.is_empty() {
            return Err("a tag is not key=value".into());
        }
        if column(&unescaped(key)) == Ok(Column::Device) {
            device = Some(unescaped(value));
        }
        (end, rest) = (next, after);
    }
    if end.is_none() {
        return Err("line has no fields".into());
    }
    let mut values: Vec<(usize, Cow<'_, str>)> = Vec::new();
    loop {
        let (field, next, after) = until(rest, &[',', ' '], true);
        let (key, equals, value) = until(field, &['='], false);
        if key.is_empty() || equals.is_none() || value.is_empty() {
            return Err("a field is not key=value".into());
        }
        if let Ok(Column::Value(index)) = column(&unescaped(key)) {
            if values.iter().any(|(known, _)| *known == index) {
                return Err(format!("field {} is there twice", unescaped(key)));
            }
            let number =
                number(value).ok_or_else(|| format!("field {} is no number", unescaped(key)))?;
            values.push((index, number));
        }
        rest = after;
        if next != Some(',') {
            break;
        }
    }
    let device = device.ok_or("line has no device; write it as the tag device=…")?;
    let at = instant(rest.trim(), precision)?;
    reading(&device, at, values.into_iter(), None).map_err(|reason| reason.message)
}

/// A field's number without the letter of its type.
fn number(text: &str) -> Option<Cow<'_, str>> {
    let bare = text
        .strip_suffix(['i', 'u'])
        .or_else(|| text.strip_prefix('"').and_then(|t| t.strip_suffix('"')))
        .unwrap_or(text);
    let is_number = !bare.is_empty()
        && bare
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'))
        && bare.parse::<f64>().is_ok_and(f64::is_finite);
    if !is_number {
        return None;
    }
    if bare.contains(['e', 'E']) {
        // As exports write large floats; totals are read from plain decimals.
        let value: f64 = bare.parse().ok()?;
        return Some(Cow::Owned(value.to_string()));
    }
    Some(Cow::Borrowed(bare.strip_prefix('+').unwrap_or(bare)))
}

fn instant(text: &str, precision: Precision) -> Result<DateTime<Utc>, String> {
    if text.is_empty() {
        return Err(
            "line has no time, and the time of the import is not that of the reading; export with timestamps"
                .into(),
        );
    }
    let count: i64 = text
        .parse()
        .map_err(|_| "time is no whole number".to_owned())?;
    let at = match precision {
        Precision::Nanoseconds => Some(DateTime::from_timestamp_nanos(count)),
        Precision::Microseconds => DateTime::from_timestamp_micros(count),
        Precision::Milliseconds => DateTime::from_timestamp_millis(count),
        Precision::Seconds => DateTime::from_timestamp(count, 0),
    };
    at.filter(|at| (1970..=9999).contains(&chrono::Datelike::year(at)))
        .ok_or_else(|| "time is before 1970 or after 9999; is --precision right?".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str, precision: Precision) -> Result<String, String> {
        point(text, precision).map(|record| String::from_utf8(record.bytes.to_vec()).unwrap())
    }

    #[test]
    fn a_point_is_a_reading_with_its_numbers_as_written() {
        let text = r#"gas\ meters,city=xin\ yang,device=TX\,1 BTotal=3586401.1116,data_vm=1180213i,note="a, b=\"c\" d",T=15,ok=t 1795219200000000000"#;
        assert_eq!(
            json(text, Precision::Nanoseconds).unwrap(),
            r#"{"v":1,"via":"csv","dev":"TX,1","ts":"2026-11-21T08:00:00+08:00","std_m3":"3586401.1116","work_m3":"1180213","t_c":"15"}"#
        );
        for (time, precision) in [
            ("1795219200", Precision::Seconds),
            ("1795219200000", Precision::Milliseconds),
            ("1795219200000000", Precision::Microseconds),
        ] {
            let json = json(&format!("m,dev=A total_std_m3=1.5 {time}"), precision).unwrap();
            assert!(json.contains("2026-11-21T08:00:00+08:00"), "{json}");
        }
        let large = json("m,dev=A total_std_m3=1.5e6 1", Precision::Seconds).unwrap();
        assert!(large.contains(r#""std_m3":"1500000""#), "{large}");
    }

    #[test]
    fn what_is_no_reading_says_why() {
        for (text, expected) in [
            ("", "no measurement"),
            (",device=A total_std_m3=1 1", "no measurement"),
            ("m", "no fields"),
            ("m,device=A", "no fields"),
            ("m,device total_std_m3=1 1", "a tag is not"),
            ("m,device= total_std_m3=1 1", "a tag is not"),
            ("m,device=A total_std_m3 1", "a field is not"),
            ("m,device=A total_std_m3=x 1", "no number"),
            ("m,device=A total_std_m3=NaN 1", "no number"),
            ("m,device=A total_std_m3=1,btotal=2 1", "twice"),
            ("m total_std_m3=1 1", "no device"),
            ("m,device=A T=1 1", "no total"),
            ("m,device=A total_std_m3=1", "no time"),
            ("m,device=A total_std_m3=1 soon", "no whole number"),
            ("m,device=A total_std_m3=1 -99999999999999", "before 1970"),
        ] {
            let error = json(text, Precision::Seconds).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fall_over(text in "[m,= \\\\\"devic\u{e9}tosalT0-9.]{0,80}") {
            point(&text, Precision::Milliseconds).ok();
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut points = Points::new(&bytes[..], Precision::Nanoseconds);
            while points.next_line().is_some() {}
        }
    }
}
