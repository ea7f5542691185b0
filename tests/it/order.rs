//! Whole simulated days on the real path: whatever the order, however often and however late the
//! messages of a city come, curves, findings and demand are the same to the bit, in both stores.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use qiliang::clock::ManualClock;
use qiliang::domain::calendar::GasDay;
use qiliang::domain::finding::{Finding, Quality};
use qiliang::domain::frame::RawFrame;
use qiliang::domain::series::LoadCurve;
use qiliang::run::app::App;
use qiliang::run::curves::{self, CurveDeps};
use qiliang::run::deps::{self, Stages};
use qiliang::run::ingest::{Assessor, entry_limits};
use qiliang::run::{curve_check, editing, site};
use qiliang::serve::api::edits::EditRequest;
use qiliang::simulate::city::{City, CityConfig};
use qiliang::store::history::History as _;
use qiliang::store::influx::{line, send};
use qiliang::store::journal::FindingFilter;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;

use crate::support::influx::InfluxServer;
use crate::support::skipped;

const DAYS: i64 = 5;

struct Town {
    dir: TempDir,
    city: City,
    frames: Vec<RawFrame>,
}

impl Town {
    fn new() -> Self {
        let city = City::new(CityConfig {
            meters: 60,
            enterprises: 6,
            history_days: 8,
            live_days: 1,
            ..CityConfig::default()
        });
        let dir = tempfile::tempdir().unwrap();
        city.write_registry(&dir.path().join("registry")).unwrap();
        let to = city.config().now_at;
        let mut frames: Vec<RawFrame> = city
            .history_frames(to - chrono::TimeDelta::days(DAYS), to)
            .collect();
        // Some meters lose half a day in the middle, which later totals bound.
        let lost = |frame: &RawFrame| {
            let device = frame.device.as_ref().map_or("", |device| device.as_str());
            let hours = (to - frame.received_at).num_hours();
            device.bytes().map(u32::from).sum::<u32>() % 3 == 0 && (30..44).contains(&hours)
        };
        frames.retain(|frame| !lost(frame));
        Self { dir, city, frames }
    }

    fn today(&self) -> GasDay {
        let clock = qiliang::domain::calendar::GasDayClock::default();
        clock.day_of(self.city.config().now_at)
    }

    /// A program with stores of its own and this registry.
    fn open(&self, data_dir: &Path) -> (App, CurveDeps, Assessor) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = format!(
            "[paths]\ndata_dir = {data_dir:?}\nregistry_dir = {:?}\nprofiles_dir = {:?}\ncalendar_dir = {:?}\n",
            self.dir.path().join("registry"),
            root.join("device-profiles"),
            root.join("config/calendar"),
        );
        let config = data_dir.join("site.toml");
        std::fs::write(&config, text).unwrap();
        let now = self.city.config().now_at;
        let settings = qiliang::settings::load(Some(&config)).unwrap();
        let site = site::examine_with(settings, now).into_site().unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let (app, _) = App::open(&site, clock).unwrap();
        let deps = deps::curves(&app, &Stages::default());
        let assessor = Assessor {
            registry: app.registry(),
            decode: deps::decoder(&app),
            limits: entry_limits(&app.settings.ingest),
            kept: Arc::new(app.settings.retention.clone()),
            clocks: None,
        };
        (app, deps, assessor)
    }

    /// What two people decide, one of whom takes it back.
    fn decide(&self, app: &App, step: usize) {
        let meter = self.city.sites()[9].meter.id.to_string();
        let request = |hour: u8, m3: &str| EditRequest {
            meter: meter.clone(),
            day: self.today().plus(-2).to_string(),
            hours_m3: BTreeMap::from([(hour, m3.to_owned())]),
            who: "李".into(),
            reason: "表具检修".into(),
        };
        match step {
            0 => drop(editing::decide(app, &request(3, "12.5")).unwrap()),
            1 => drop(editing::decide(app, &request(4, "99")).unwrap()),
            _ => {
                let by = qiliang::serve::api::edits::RevokeRequest {
                    who: "王".into(),
                    reason: "填错小时".into(),
                };
                drop(editing::revoke(app, 2, &by).unwrap());
            }
        }
    }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    curves: Vec<LoadCurve>,
    findings: Vec<Finding>,
    demand: Vec<(GasDay, String, [u64; 24], u64, u64)>,
}

fn outcome(town: &Town, app: &App, deps: &CurveDeps) -> Outcome {
    curves::drain(deps).unwrap();
    let (from, to) = (town.today().plus(-DAYS - 3), town.today().plus(3));
    let mut curves = Vec::new();
    app.journal
        .for_each_curve(from, to, |curve| curves.push(curve))
        .unwrap();
    let demand = app.book.demand_days(from, to).unwrap();
    Outcome {
        curves,
        findings: app.journal.findings(&FindingFilter::default()).unwrap(),
        demand: demand
            .iter()
            .map(|d| {
                let node = format!("{} {}", d.node.zone, d.node.class.key());
                let bits = d.hours_m3.map(f64::to_bits);
                let (coverage, off) = (d.coverage.to_bits(), d.uncertainty_m3.to_bits());
                (d.day, node, bits, coverage, off)
            })
            .collect(),
    }
}

/// In the order of arrival, once, computed at the end.
fn straight(town: &Town) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let (app, deps, assessor) = town.open(dir.path());
    let entries =
        |frames: &[RawFrame]| frames.iter().cloned().map(|f| assessor.assess(f)).collect();
    for chunk in town.frames.chunks(500) {
        app.journal.commit_blocking(entries(chunk)).unwrap();
    }
    (0..3).for_each(|step| town.decide(&app, step));
    outcome(town, &app, &deps)
}

/// Shuffled, some twice, some held back to the end, in commits of any size, computed in between.
fn crooked(town: &Town, app: &App, deps: &CurveDeps, assessor: &Assessor, seed: u64) -> Outcome {
    let mut random = StdRng::seed_from_u64(seed);
    let mut frames = town.frames.clone();
    let again: Vec<RawFrame> = frames
        .iter()
        .filter(|_| random.random_bool(0.2))
        .cloned()
        .collect();
    frames.extend(again);
    frames.shuffle(&mut random);
    let (held, mut order): (Vec<_>, Vec<_>) =
        frames.into_iter().partition(|_| random.random_bool(0.1));
    order.extend(held);
    let mut rest = order.as_slice();
    let mut step = 0;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(random.random_range(1..=400).min(rest.len()));
        let entries = chunk.iter().cloned().map(|f| assessor.assess(f)).collect();
        app.journal.commit_blocking(entries).unwrap();
        if step < 3 && random.random_bool(0.3) {
            town.decide(app, step);
            step += 1;
        }
        if random.random_bool(0.15) {
            curves::run_once(deps, random.random_range(1..2_000)).unwrap();
        }
        rest = after;
    }
    (step..3).for_each(|step| town.decide(app, step));
    outcome(town, app, deps)
}

#[test]
fn order_repetition_and_delay_of_whole_days_do_not_matter() {
    let town = Town::new();
    let expected = straight(&town);
    let count = |wanted: Quality| {
        let hours = expected.curves.iter().flat_map(|curve| &curve.quality);
        hours.filter(|quality| **quality == wanted).count()
    };
    // The days hold what makes order matter.
    assert!(count(Quality::Estimated) > 100 && count(Quality::Backfilled) > 1_000);
    assert_eq!(count(Quality::Edited), 1);
    assert!(
        expected
            .demand
            .iter()
            .any(|day| f64::from_bits(day.4) > 0.0)
    );
    let mut runner = TestRunner::new(Config {
        cases: 4,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&any::<u64>(), |seed| {
            let dir = tempfile::tempdir().unwrap();
            let (app, deps, assessor) = town.open(dir.path());
            let got = crooked(&town, &app, &deps, &assessor, seed);
            prop_assert_eq!(got.curves, expected.curves.clone());
            prop_assert_eq!(got.findings, expected.findings.clone());
            prop_assert_eq!(got.demand, expected.demand.clone());
            let check = curve_check::check_curves(
                &app.journal,
                &app.registry(),
                &app.calendar(),
                curve_check::Extent::Whole,
            )
            .unwrap();
            prop_assert_eq!(check.different, vec![]);
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_store_has_the_same_curves_whatever_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = InfluxServer::start(dir.path()) else {
        return skipped("set QILIANG_TEST_INFLUXD to a program that starts an InfluxDB 2");
    };
    let influx = server.client();
    influx.ensure_buckets().await.unwrap();
    let town = Arc::new(Town::new());
    let of = Arc::clone(&town);
    let data_dir = dir.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    let worked = tokio::task::spawn_blocking(move || {
        let expected = straight(&of);
        let (app, deps, assessor) = of.open(&data_dir);
        app.journal.set_forwarding(true, 0).unwrap();
        let got = crooked(&of, &app, &deps, &assessor, 7);
        let (mut lines, none) = (Vec::new(), BTreeMap::new());
        while let Some(batch) = app.journal.outbox(1_000).unwrap() {
            for curve in &batch.curves {
                line::of_curve(curve, app.journal.clock(), &none, &mut lines).unwrap();
            }
            app.journal.forwarded(batch.sent, Vec::new(), 0).unwrap();
        }
        (expected, got, lines)
    });
    let (expected, got, lines) = worked.await.unwrap();
    assert_eq!(got.curves, expected.curves);
    for chunk in lines.chunks(5_000) {
        let sent = send(&influx, "gas_hourly", chunk).await.unwrap();
        assert_eq!((sent.taken, sent.refused), (chunk.len() as u64, vec![]));
    }
    let (from, to) = (town.today().plus(-DAYS - 3), town.today().plus(3));
    let mut by_meter: BTreeMap<_, Vec<LoadCurve>> = BTreeMap::new();
    for curve in expected.curves {
        by_meter.entry(curve.meter.clone()).or_default().push(curve);
    }
    for (meter, curves) in by_meter {
        let theirs = influx.curves_between(&meter, from, to).await.unwrap();
        assert_eq!(theirs, curves, "{meter}");
    }
}
