//! What the city sends is what the shipped profiles read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use chrono::TimeDelta;
use qiliang::clock::{Clock, ManualClock};
use qiliang::collect::import::ImportFile;
use qiliang::collect::modbus::{self, Fleet, ModbusHealth};
use qiliang::decode::DecodeContext;
use qiliang::decode::{DeviceProfile, ProfileSet};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::frame::RawFrame;
use qiliang::domain::meter::{Gateway, Meter};
use qiliang::domain::reading::{Decoded, Item, ItemValue};
use qiliang::domain::registry::Registry;
use qiliang::simulate::city::City;
use qiliang::simulate::{FaultKind, FrameKind, Wire, modbus_server};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::city;

fn profiles() -> ProfileSet {
    let (profiles, problems) = ProfileSet::load(Path::new("device-profiles"));
    assert!(problems.is_empty(), "{problems:?}");
    profiles
}

fn profile_of(profiles: &ProfileSet, city: &City, site: usize) -> Arc<DeviceProfile> {
    Arc::clone(profiles.get(&city.sites()[site].meter.profile).unwrap())
}

fn exact(decoded: &Decoded, item: Item) -> Option<i64> {
    decoded.values.iter().find_map(|(i, value)| match value {
        ItemValue::Exact(units) if *i == item => Some(*units),
        _ => None,
    })
}

/// Compares every total of a frame with what the meter shows at its instant.
fn check_totals(city: &City, site: usize, decoded: &Decoded) -> usize {
    let mut compared = 0;
    let shown = city.shown(site, decoded.sampled_at);
    if let Some(total) = exact(decoded, Item::TotalStd) {
        assert_eq!(total, shown.std_units);
        compared += 1;
    }
    if let Some(total) = exact(decoded, Item::TotalWork) {
        assert_eq!(total, shown.work_units);
        compared += 1;
    }
    for frozen in &decoded.frozen {
        assert_eq!(frozen.item, Item::TotalStd);
        for (i, total) in (0..).zip(&frozen.totals) {
            let at = frozen.first_at + TimeDelta::seconds(i64::from(frozen.step_s) * i);
            assert_eq!(*total, Some(city.shown(site, at).std_units));
            compared += 1;
        }
    }
    compared
}

#[test]
fn archived_frames_decode_to_the_totals_the_meters_showed() {
    let (city, profiles) = (city(), profiles());
    let from = GasDayClock::default().start_of(city.config().start_on());
    let mut compared: BTreeMap<Wire, usize> = BTreeMap::new();
    let (mut rejected, mut strangers, mut days) = (0, 0, BTreeSet::new());
    for frame in city.history_frames(from, city.config().now_at) {
        days.insert(frame.received_at.date_naive());
        let device = frame.device.clone().unwrap();
        let Some(site) = city.site_of(&device) else {
            strangers += 1;
            continue;
        };
        match profile_of(&profiles, &city, site)
            .decode(&frame.bytes, &DecodeContext::at(frame.received_at))
        {
            Ok(decoded) => {
                if city.sites()[site].wire != Wire::Modbus {
                    assert_eq!(decoded.device, Some(device));
                }
                *compared.entry(city.sites()[site].wire).or_default() +=
                    check_totals(&city, site, &decoded);
            }
            Err(_) => rejected += 1,
        }
    }
    // One of each a day; nothing else is rejected.
    assert!(
        (days.len() - 2..=days.len()).contains(&rejected),
        "{rejected}"
    );
    assert!(
        (days.len() - 2..=days.len()).contains(&strangers),
        "{strangers}"
    );
    assert!(compared[&Wire::Json] > 10_000, "{compared:?}");
    assert!(compared[&Wire::Cjt188] > 100, "{compared:?}");
    assert!(compared[&Wire::Modbus] > 1_000, "{compared:?}");
}

#[test]
fn live_frames_decode_and_garbage_does_not() {
    let (city, profiles) = (city(), profiles());
    let now = city.config().now_at;
    let mut garbage = 0;
    for frame in city.live_frames(now, now + TimeDelta::hours(30)) {
        let Some(site) = city.site_of(&frame.device) else {
            assert_eq!(frame.kind, FrameKind::Unknown);
            continue;
        };
        let decoded = profile_of(&profiles, &city, site)
            .decode(&frame.bytes, &DecodeContext::at(frame.arrives_at));
        if frame.kind == FrameKind::Garbage {
            assert!(decoded.is_err(), "{:?}", frame.bytes);
            garbage += 1;
        } else {
            let decoded = decoded.unwrap();
            assert_eq!(decoded.sampled_at, frame.sampled_at);
            assert!(check_totals(&city, site, &decoded) > 0);
        }
    }
    assert!(garbage >= 5, "{garbage}");
}

#[test]
fn the_written_archive_is_read_back_as_the_same_frames() {
    let city = city();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.ndjson");
    let written = city.write_history(&path, &mut |_, _| ()).unwrap();
    let from = GasDayClock::default().start_of(city.config().start_on());
    let read: Vec<RawFrame> = ImportFile::open(&path, city.config().now_at)
        .unwrap()
        .map(|line| line.unwrap())
        .collect();
    assert_eq!(read.len() as u64, written);
    for (frame, expected) in read
        .iter()
        .zip(city.history_frames(from, city.config().now_at))
    {
        assert_eq!(frame.device, expected.device);
        assert_eq!(frame.bytes, expected.bytes);
        assert_eq!(frame.received_at, expected.received_at);
    }
}

#[tokio::test]
async fn the_poller_reads_a_gateway_of_the_city() {
    let (city, profiles) = (Arc::new(city()), profiles());
    let gateway = city.gateways()[0].clone();
    let is_behind = |meter: &Meter| meter.gateway.as_ref() == Some(&gateway.id);
    let count = city.sites().iter().filter(|s| is_behind(&s.meter)).count();
    assert!(count > 0);
    let quiet = city
        .faults()
        .into_iter()
        .filter(|f| f.kind == FaultKind::OutageWithGap)
        .map(|f| f.to_at)
        .max()
        .unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(quiet));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let mut servers = JoinSet::new();
    servers.spawn(modbus_server::run(
        Arc::clone(&city),
        gateway.id.clone(),
        listener,
        Arc::clone(&clock),
        stop.clone(),
    ));
    let mut parts = city.registry_parts().unwrap();
    parts.meters.retain(|meter| is_behind(meter));
    parts.gateways = vec![Gateway {
        port,
        ..gateway.clone()
    }];
    let (sender, mut frames) = mpsc::channel(16);
    let settings = qiliang::settings::load(None).unwrap();
    let fleet = Fleet {
        registry: watch::Sender::new(Arc::new(Registry::new(parts))).subscribe(),
        profiles: watch::Sender::new(Arc::new(profiles.clone())).subscribe(),
        settings: settings.modbus,
        clock: Arc::clone(&clock),
        health: Arc::new(ModbusHealth::default()),
        sender,
    };
    let mut pollers = JoinSet::new();
    pollers.spawn(modbus::run(fleet, stop.clone()));
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        let frame = frames.recv().await.unwrap().frame;
        let site = city.site_of(frame.device.as_ref().unwrap()).unwrap();
        let decoded = profile_of(&profiles, &city, site)
            .decode(&frame.bytes, &DecodeContext::at(frame.received_at))
            .unwrap();
        assert_eq!(check_totals(&city, site, &decoded), 2);
        seen.insert(site);
    }
    stop.cancel();
    pollers.join_next().await.unwrap().unwrap().unwrap();
    servers.join_next().await.unwrap().unwrap().unwrap();
}
