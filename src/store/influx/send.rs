//! Sends a batch until all of it is there, but for the lines that are refused by themselves.

use chrono::DateTime;

use super::client::{Influx, InfluxError};
use super::line::{at_of, has_field};

/// What became of a batch that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Lines that are there.
    pub taken: u64,
    /// Lines that are older than the bucket keeps.
    pub expired: u64,
    /// Lines that are not there, each with the server's reason.
    pub refused: Vec<(String, String)>,
}

/// Writes lines to a bucket, at most `batch_lines` and `batch_bytes` in a request.
///
/// A request that is refused is taken apart until only lines are left that are refused alone. Where the
/// server names the field or the bound it is about, the lines it can mean are tried apart from the
/// rest; else the request is cut in two. Servers differ in whether they take the rest of such a
/// request, and a line sent twice changes nothing. A request that is too large is cut likewise.
///
/// # Errors
/// Whatever is no fault of the lines; the whole batch is to be sent again then.
pub async fn send(influx: &Influx, bucket: &str, lines: &[String]) -> Result<Outcome, InfluxError> {
    let mut sending = Sending {
        outcome: Outcome::default(),
        waiting: Vec::new(),
    };
    for part in parts(influx, lines).into_iter().rev() {
        sending.waiting.push(part);
    }
    while let Some(part) = sending.waiting.pop() {
        match influx.write(bucket, part.join("\n")).await {
            Ok(()) => sending.outcome.taken += part.len() as u64,
            Err(InfluxError::Refused { reason, .. }) => sending.take_apart(part, &reason),
            Err(error @ InfluxError::TooLarge { .. }) => sending.cut(part, &error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(sending.outcome)
}

fn parts<'a>(influx: &Influx, lines: &'a [String]) -> Vec<Vec<&'a str>> {
    let settings = influx.settings();
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        let is_full =
            part.len() >= settings.batch_lines || bytes + line.len() > settings.batch_bytes;
        if is_full && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += line.len() + 1;
        part.push(line.as_str());
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

struct Sending<'a> {
    outcome: Outcome,
    waiting: Vec<Vec<&'a str>>,
}

impl<'a> Sending<'a> {
    fn take_apart(&mut self, part: Vec<&'a str>, reason: &str) {
        if let Some(bound_ms) = retention_bound(reason) {
            let before = part.len();
            let kept: Vec<&str> = part
                .iter()
                .copied()
                .filter(|line| at_of(line).is_none_or(|at| at >= bound_ms))
                .collect();
            if kept.len() < before {
                self.outcome.expired += (before - kept.len()) as u64;
                self.waiting.extend((!kept.is_empty()).then_some(kept));
                return;
            }
        }
        if dropped(reason) == Some(part.len()) {
            return self.refuse(&part, reason);
        }
        if let Some((measurement, field)) = conflict(reason) {
            let (meant, rest): (Vec<&str>, Vec<&str>) = part
                .iter()
                .copied()
                .partition(|line| has_field(line, measurement, field));
            if !meant.is_empty() && !rest.is_empty() {
                self.waiting.push(rest);
                self.waiting.push(meant);
                return;
            }
        }
        self.cut(part, reason);
    }

    fn cut(&mut self, mut part: Vec<&'a str>, reason: &str) {
        if part.len() == 1 {
            return self.refuse(&part, reason);
        }
        let second = part.split_off(part.len() / 2);
        self.waiting.push(second);
        self.waiting.push(part);
    }

    fn refuse(&mut self, part: &[&str], reason: &str) {
        let refused = part
            .iter()
            .map(|line| ((*line).to_owned(), reason.to_owned()));
        self.outcome.refused.extend(refused);
    }
}

/// Of a partial write, how many points were not taken.
fn dropped(reason: &str) -> Option<usize> {
    let (_, after) = reason
        .split_once("partial write")?
        .1
        .rsplit_once("dropped=")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Of a partial write that drops what is too old, the oldest instant that is kept, Unix ms.
fn retention_bound(reason: &str) -> Option<i64> {
    let (_, after) = reason.rsplit_once("Retention Policy Lower Bound at ")?;
    let bound = after.split_whitespace().next()?;
    Some(DateTime::parse_from_rfc3339(bound).ok()?.timestamp_millis())
}

/// Of a conflict of types, the measurement and the field.
fn conflict(reason: &str) -> Option<(&str, &str)> {
    let (_, after) = reason.split_once("input field \"")?;
    let (field, after) = after.split_once("\" on measurement \"")?;
    Some((after.split_once('"')?.0, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_influxdb_2_9_says_is_understood() {
        let types = "failure writing points to database: partial write: field type conflict: input field \"v\" on \
                     measurement \"m\" is type float, already exists as type integer dropped=2";
        assert_eq!(dropped(types), Some(2));
        assert_eq!(conflict(types), Some(("m", "v")));
        assert_eq!(retention_bound(types), None);
        let old = "failure writing points to database: partial write: dropped 1 points outside retention policy of \
                   duration 24h0m0s - oldest point m at 2020-09-13T12:26:40Z dropped because it violates a Retention \
                   Policy Lower Bound at 2026-11-26T01:57:41.911295923Z, newest point m at 2020-09-13T12:26:40Z dropped \
                   because it violates a Retention Policy Lower Bound at 2026-11-26T01:57:41.911295923Z dropped=1 for \
                   database: bc8af8a36146cf2f for retention policy: autogen";
        assert_eq!(dropped(old), Some(1));
        assert_eq!(retention_bound(old), Some(1_795_658_261_911));
        for text in [
            "",
            "unable to parse 'm v=': missing field value",
            "dropped=3",
            "partial write",
        ] {
            assert_eq!(
                (dropped(text), conflict(text), retention_bound(text)),
                (None, None, None)
            );
        }
    }
}
