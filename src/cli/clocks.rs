//! `qiliang clocks`: what the devices' clocks show against the time of arrival.

use serde_json::json;

use super::{Context, Failure};
use crate::domain::calendar::beijing_civil;
use crate::run::clocks::DRIFT_LIMIT;
use crate::store::journal::StoredClock;
use crate::validate::clock::ClockDrift;

/// Prints the clocks that are off, the worst first; or all.
pub(super) fn run(context: &Context, is_all: bool, is_json: bool) -> Result<(), Failure> {
    let app = context.read()?;
    let mut clocks = app.journal.clocks()?;
    let measured = clocks.len();
    let offset = |clock: &StoredClock| clock.watch.drift(DRIFT_LIMIT).map(|d| d.offset_s.abs());
    clocks.retain(|clock| is_all || offset(clock).is_some());
    clocks.sort_by_key(|clock| std::cmp::Reverse(offset(clock)));
    for clock in &clocks {
        if is_json {
            println!("{}", as_json(clock));
        } else {
            print!("{}", line(clock));
        }
    }
    if !is_json {
        println!("{} of {measured} measured clock(s)", clocks.len());
    }
    Ok(())
}

fn as_json(clock: &StoredClock) -> serde_json::Value {
    let watch = &clock.watch;
    let drift = watch.drift(DRIFT_LIMIT);
    json!({
        "meter": clock.meter,
        "ahead_min": drift.map(ClockDrift::minutes),
        "delay_min_s": seconds(watch.least_delay_ms()),
        "is_sent": watch.is_sent,
        "arrivals": watch.arrivals + watch.before_arrivals,
        "since": beijing_civil(watch.since).to_rfc3339(),
        "last_at": beijing_civil(watch.last_at).to_rfc3339(),
    })
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

fn line(clock: &StoredClock) -> String {
    let watch = &clock.watch;
    let verdict = match watch.drift(DRIFT_LIMIT).map(ClockDrift::minutes) {
        Some(minutes) if minutes > 0 => format!("{minutes} min ahead"),
        Some(minutes) => format!("{} min behind", -minutes),
        None if watch.least_delay_ms() > DRIFT_LIMIT.num_milliseconds() => {
            "late, or behind".to_owned()
        }
        None => "within 5 min".to_owned(),
    };
    let shown = if watch.is_sent { "sent" } else { "sampled" };
    format!(
        "{:<24} {verdict:<16} least delay {:.0} s from time {shown}, {} arrival(s), last {}\n",
        clock.meter.as_str(),
        seconds(watch.least_delay_ms()),
        watch.arrivals + watch.before_arrivals,
        beijing_civil(watch.last_at).format("%Y-%m-%d %H:%M:%S"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::clock::ClockWatch;

    #[test]
    fn a_clock_is_listed_with_the_minutes_it_is_off() {
        let at = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        let received = at("2026-11-21T00:00:00Z");
        let clock = |shown: &str, is_sent| StoredClock {
            meter: "M1".into(),
            watch: ClockWatch::new(is_sent, at(shown), received),
            flagged_at: None,
        };
        let text = [
            line(&clock("2026-11-21T00:17:30Z", true)),
            line(&clock("2026-11-20T23:00:00Z", false)),
            format!("{:#}", as_json(&clock("2026-11-21T00:17:30Z", true))),
        ]
        .join("");
        insta::assert_snapshot!("clocks", text);
    }
}
