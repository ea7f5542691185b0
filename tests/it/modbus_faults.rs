//! The real daemon in a city of faulty gateways: what users of other collectors complain of.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::modbus_city::{
    City, Framing, GatewayClass, Plan, Sample, Score, UnitClass, config, journal_samples, meter,
    score, total,
};
use crate::support::site::Site;
use crate::support::wait_for;

fn plan(gateways: &[(GatewayClass, Framing)]) -> Plan {
    Plan {
        gateways: gateways.to_vec(),
        units: 12,
        request: Duration::from_millis(10),
        slow: Duration::from_millis(400),
        period_s: 2,
    }
}

/// A daemon that polls a city.
struct Polled {
    city: City,
    site: Site,
    daemon: Daemon,
}

impl Polled {
    fn start(plan: Plan, modbus: &str) -> Self {
        let city = City::start(plan);
        let site = city.site();
        let config = config(&site, &format!("[modbus]\n{modbus}"));
        let mut daemon = Daemon::start(&config, &site.data_dir());
        daemon.address();
        Self { city, site, daemon }
    }

    fn samples(&self) -> Vec<Sample> {
        journal_samples(&self.city, &self.site)
    }

    /// Waits until every meter for which `is_wanted` has `count` readings.
    fn until(
        &self,
        what: &str,
        count: usize,
        is_wanted: impl Fn(usize, UnitClass) -> bool,
    ) -> Vec<Sample> {
        wait_for(what, || {
            let samples = self.samples();
            let read = |gateway: usize, unit: u8| {
                samples
                    .iter()
                    .filter(|s| s.gateway == gateway && s.unit == unit)
                    .count()
            };
            let is_done = self
                .city
                .meters()
                .into_iter()
                .filter(|(gateway, _, class)| is_wanted(*gateway, *class))
                .all(|(gateway, unit, _)| read(gateway, unit) >= count);
            is_done.then_some(samples)
        })
    }

    fn scores(&self, samples: &[Sample]) -> BTreeMap<&'static str, Score> {
        let first = samples.iter().map(|s| s.at_ms).min().unwrap_or(0);
        let last = samples.iter().map(|s| s.at_ms).max().unwrap_or(0);
        score(&self.city, samples, first, last)
    }
}

fn assert_own_values(samples: &[Sample]) {
    assert!(!samples.is_empty());
    for sample in samples {
        let own = [0, 1].map(|block| Some(u64::from(total(sample.gateway, sample.unit, block))));
        assert_eq!(sample.totals, own, "{sample:?}");
    }
}

const SOUND: [(GatewayClass, Framing); 2] = [
    (GatewayClass::Sound, Framing::Tcp),
    (GatewayClass::Sound, Framing::Rtu),
];

#[test]
fn late_reply_is_never_taken_for_the_next_one() {
    // Slow units answer after 900 ms and are never given more than 400: each answer is late, and comes
    // while a neighbour is asked. A healthy one that takes 400 ms is a machine that does too much else.
    let plan = Plan {
        slow: Duration::from_millis(900),
        period_s: 4,
        ..plan(&SOUND)
    };
    let polled = Polled::start(
        plan,
        "request_timeout_ms = 400\nrequest_timeout_max_ms = 400\nlate_answer_max_ms = 2000\nretry_delay_max_ms = 1000\n",
    );
    let samples = polled.until("five polls of all healthy meters", 5, |_, class| {
        class == UnitClass::Healthy
    });
    assert_own_values(&samples);
    let slow = |s: &&Sample| polled.city.plan.class(s.unit) == UnitClass::Slow;
    assert_eq!(samples.iter().filter(slow).count(), 0);
    assert!(polled.daemon.stop().success());
}

#[test]
fn one_dead_unit_does_not_stop_its_gateway() {
    let polled = Polled::start(
        plan(&SOUND),
        "request_timeout_ms = 500\nrequest_timeout_max_ms = 1000\n",
    );
    let samples = polled.until("six polls of all but the silent meters", 6, |_, class| {
        class != UnitClass::Silent
    });
    assert_own_values(&samples);
    let scores = polled.scores(&samples);
    let healthy = scores["1 healthy"];
    // A bus that waited for its dead unit in each round would come nowhere near.
    assert!(healthy.success() > 80.0, "{healthy:?}");
    assert!(polled.daemon.stop().success());
}

#[test]
fn busy_unit_is_retried_within_the_period() {
    let polled = Polled::start(
        plan(&SOUND),
        "request_timeout_ms = 500\nrequest_timeout_max_ms = 1000\n",
    );
    let samples = polled.until(
        "ten polls of busy, short and mistaken units",
        10,
        |_, class| {
            matches!(
                class,
                UnitClass::Busy | UnitClass::Short | UnitClass::WrongId
            )
        },
    );
    assert_own_values(&samples);
    let scores = polled.scores(&samples);
    for class in [
        "2 busy every second time",
        "3 short every third time",
        "4 wrong id every third time",
    ] {
        // Without a second try it would be 0, and about a third for the others.
        assert!(
            scores[class].success() > 75.0,
            "{class}: {:?}",
            scores[class]
        );
    }
    assert!(polled.daemon.stop().success());
}

#[test]
fn dropped_connections_and_mute_gateways_are_survived() {
    let gateways = [
        (
            GatewayClass::Drops(Duration::from_millis(1_500)),
            Framing::Tcp,
        ),
        (
            GatewayClass::Drops(Duration::from_millis(1_500)),
            Framing::Rtu,
        ),
        (GatewayClass::Mute, Framing::Tcp),
        (GatewayClass::Mute, Framing::Rtu),
    ];
    let polled = Polled::start(
        plan(&gateways),
        "request_timeout_ms = 300\nrequest_timeout_max_ms = 600\nlate_answer_max_ms = 1000\n",
    );
    let samples = polled.until("six polls behind dropping gateways", 6, |gateway, class| {
        gateway < 2 && class == UnitClass::Healthy
    });
    assert_own_values(&samples);
    assert!(samples.iter().all(|s| s.gateway < 2));
    assert!(polled.daemon.stop().success());
}

#[test]
fn polling_recovers_after_gateway_restart() {
    let Polled { city, site, daemon } = Polled::start(
        plan(&SOUND),
        "request_timeout_ms = 500\nrequest_timeout_max_ms = 1000\nretry_delay_min_ms = 100\nretry_delay_max_ms = 1000\n",
    );
    let count = |city: &City| journal_samples(city, &site).len();
    wait_for("the first readings", || (count(&city) >= 20).then_some(()));
    let (plan, addresses) = (city.plan.clone(), city.addresses.clone());
    drop(city);
    wait_for("the outage to be told", || {
        let log = daemon.log();
        (log.contains("`G0` cannot be reached") && log.contains("`G1` cannot be reached"))
            .then_some(())
    });
    let city = City::start_at(plan, Some(&addresses));
    let before = count(&city);
    let samples = wait_for("readings after the restart", || {
        let samples = journal_samples(&city, &site);
        let after = samples.len() >= before + 40;
        after.then_some(samples)
    });
    assert_own_values(&samples);
    assert!(daemon.log().contains("answers again"));
    assert!(daemon.stop().success());
}

#[test]
fn meters_added_and_gateways_moved_take_effect_on_sighup() {
    let plan = plan(&SOUND);
    let (first, second) = (City::start(plan.clone()), City::start(plan));
    let site = first.site();
    let registry = site.path().join("registry");
    let meters = std::fs::read_to_string(registry.join("meters.csv")).unwrap();
    let healthy = [meter(0, 1), meter(0, 3)];
    // The header and one meter to begin with.
    let one: Vec<&str> = meters
        .lines()
        .filter(|line| line.starts_with("id,") || line.starts_with(&format!("{},", healthy[0])))
        .collect();
    site.registry_file("meters.csv", &format!("{}\n", one.join("\n")));
    let config = config(
        &site,
        "[modbus]\nrequest_timeout_ms = 500\nrequest_timeout_max_ms = 1000\n",
    );
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    let read = |unit: u8| {
        let samples = journal_samples(&first, &site);
        samples
            .iter()
            .filter(|s| s.gateway == 0 && s.unit == unit)
            .count()
    };
    wait_for("the first meter", || (read(1) >= 2).then_some(()));
    assert_eq!(read(3), 0);

    // Another meter, and the gateway at another address.
    let gateways = std::fs::read_to_string(registry.join("gateways.csv")).unwrap();
    let moved = gateways.replace(
        &first.addresses[0].port().to_string(),
        &second.addresses[0].port().to_string(),
    );
    site.registry_file("gateways.csv", &moved);
    site.registry_file("meters.csv", &meters);
    let pid = daemon.pid().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
    wait_for("the meter that was added", || (read(3) >= 2).then_some(()));
    let before = read(1);
    wait_for("the meter that stayed", || {
        (read(1) >= before + 2).then_some(())
    });
    assert!(daemon.log().contains(&second.addresses[0].to_string()));
    assert!(daemon.stop().success());
}
