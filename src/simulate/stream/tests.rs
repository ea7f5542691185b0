use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::*;
use crate::domain::quantity::StdVolume;
use crate::simulate::city::CityConfig;

fn small(seed: u64) -> City {
    City::new(CityConfig {
        seed,
        meters: 60,
        history_days: 24,
        live_days: 5,
        ..CityConfig::default()
    })
}

fn history(city: &City) -> Vec<RawFrame> {
    let clock = GasDayClock::default();
    let from = clock.start_of(city.config().start_on());
    city.history_frames(from, city.config().now_at).collect()
}

fn digest(city: &City) -> String {
    let mut hash = Sha256::new();
    for frame in history(city).into_iter().take(2_000) {
        hash.update(frame.received_at.to_rfc3339());
        hash.update(frame.origin);
        hash.update(&frame.bytes);
    }
    let now = city.config().now_at;
    for frame in city.live_frames(now, now + TimeDelta::hours(6)) {
        hash.update(frame.arrives_at.to_rfc3339());
        hash.update(&frame.bytes);
    }
    hex::encode(hash.finalize())
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = digest(&small(1));
    assert_eq!(first, digest(&small(1)));
    assert_ne!(first, digest(&small(2)));
}

#[test]
fn frames_come_in_order_of_arrival_and_nothing_from_the_future() {
    let city = small(1);
    let clock = GasDayClock::default();
    let mut last = clock.start_of(city.config().start_on());
    let frames = history(&city);
    assert!(frames.len() > 1_000, "{}", frames.len());
    for frame in frames {
        assert!(last <= frame.received_at && frame.received_at < city.config().now_at);
        assert_eq!(frame.transport, Transport::Import);
        last = frame.received_at;
    }
    let now = city.config().now_at;
    for frame in city.live_frames(now, now + TimeDelta::hours(30)) {
        assert!(frame.sampled_at <= frame.arrives_at);
    }
}

#[test]
fn a_stream_cut_anywhere_has_the_same_frames() {
    let city = small(1);
    let from = city.config().now_at;
    let to = from + TimeDelta::hours(12);
    let whole: Vec<SimFrame> = city.live_frames(from, to).collect();
    let mut parts = Vec::new();
    for minute in 0..12 * 60 {
        let at = from + TimeDelta::minutes(minute);
        parts.extend(city.live_frames(at, at + TimeDelta::minutes(1)));
    }
    assert_eq!(parts, whole);
}

#[test]
fn every_meter_present_has_a_frozen_frame_for_every_day() {
    let city = small(1);
    let mut seen: BTreeMap<DeviceId, BTreeSet<String>> = BTreeMap::new();
    for frame in history(&city) {
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(&frame.bytes) else {
            continue;
        };
        if let Some(day) = json["day"].as_str() {
            assert_eq!(json["hourly"].as_array().unwrap().len(), 24);
            seen.entry(frame.device.unwrap())
                .or_default()
                .insert(day.to_owned());
        }
    }
    let json_sites = city.sites().iter().filter(|s| s.wire == Wire::Json);
    for site in json_sites {
        let days = seen.get(&site.meter.device).map_or(0, BTreeSet::len);
        // The last gas day is frozen between 08:05 and 12:05; now is 09:00.
        let least = if site.meter.installed_on > city.config().start_on().0 {
            5
        } else {
            23
        };
        assert!(days >= least, "{}: {days}", site.meter.device);
    }
}

#[test]
fn frozen_frames_and_readings_tell_the_same_totals() {
    let city = small(1);
    let clock = GasDayClock::default();
    let day = city.config().start_on().plus(9);
    for (index, site) in city.sites().iter().enumerate() {
        if site.wire != Wire::Json {
            continue;
        }
        let frozen: serde_json::Value =
            serde_json::from_slice(&wire::json_frozen(&city, index, day)).unwrap();
        for hour in 0..24_i64 {
            let at = clock.start_of(day) + TimeDelta::hours(hour + 1);
            let reading: serde_json::Value =
                serde_json::from_slice(&wire::json_reading(&city, index, at)).unwrap();
            assert_eq!(frozen["hourly"][position(hour)], reading["std_m3"]);
        }
        assert_eq!(frozen["hourly"][23], frozen["std_m3"]);
        let last: StdVolume = frozen["std_m3"].as_str().unwrap().parse().unwrap();
        assert_eq!(last.units(), city.shown(index, clock.end_of(day)).std_units);
    }
}

#[test]
fn an_outage_ends_in_a_burst_and_a_modbus_outage_in_a_gap() {
    let city = small(1);
    let now = city.config().now_at;
    let burst = city
        .script()
        .outages
        .iter()
        .find(|o| !o.is_modbus && o.from_at < now)
        .unwrap()
        .clone();
    let gap = city
        .script()
        .outages
        .iter()
        .find(|o| o.is_modbus && o.from_at < now)
        .unwrap()
        .clone();
    let frames = history(&city);
    let of = |channel: &str| {
        let level = format!("/{channel}/");
        frames
            .iter()
            .filter(|f| f.origin.contains(&level))
            .map(|f| f.received_at)
            .collect::<Vec<_>>()
    };
    let silent = |arrivals: &[DateTime<Utc>], o: &crate::simulate::script::Outage| {
        !arrivals.iter().any(|at| o.from_at <= *at && *at < o.to_at)
    };
    let arrivals = of(&burst.channel);
    assert!(silent(&arrivals, &burst));
    let at_once = arrivals
        .iter()
        .filter(|at| burst.to_at <= **at && **at < burst.to_at + TimeDelta::seconds(1))
        .count();
    assert!(at_once >= 5, "{at_once}");
    assert!(silent(&of(&gap.channel), &gap));
}

#[test]
fn duplicates_late_frames_garbage_and_strangers_are_among_them() {
    let city = small(1);
    let now = city.config().now_at;
    let frames: Vec<SimFrame> = city.live_frames(now, now + TimeDelta::days(2)).collect();
    let mut counts: BTreeMap<(DeviceId, FrameKind, DateTime<Utc>), u32> = BTreeMap::new();
    for frame in &frames {
        *counts
            .entry((frame.device.clone(), frame.kind, frame.sampled_at))
            .or_default() += 1;
    }
    assert!(counts.values().any(|n| *n == 2));
    assert!(counts.values().all(|n| *n <= 2));
    let of = |kind| frames.iter().filter(|f| f.kind == kind).count();
    assert!((8..=24).contains(&of(FrameKind::Garbage)));
    assert_eq!(of(FrameKind::Unknown), 8);
    let late = frames
        .iter()
        .filter(|f| {
            f.kind == FrameKind::Reading && f.arrives_at - f.sampled_at > TimeDelta::minutes(20)
        })
        .count();
    assert!(late > 3, "{late}");
    assert!(frames.iter().all(|f| f.topic.starts_with("gas/slrq/")));
}
