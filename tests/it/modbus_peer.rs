//! Polling a Modbus server we did not write (pymodbus), through the real program.

use std::fmt::Write as _;

use chrono::{TimeDelta, Utc};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::id::MeterId;
use qiliang::domain::reading::{Item, Reading};
use qiliang::registry::columns;
use qiliang::store::journal::Journal;

use crate::support::daemon::Daemon;
use crate::support::pymodbus::Pymodbus;
use crate::support::site::Site;
use crate::support::{free_port, skipped, wait_for};

fn readings(site: &Site, meter: &str) -> Vec<Reading> {
    let path = site.data_dir().join("readings.db");
    let Ok(journal) = Journal::open_read_only(path, GasDayClock::default()) else {
        return Vec::new();
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon under test runs on the host's clock"
    )]
    let now = Utc::now();
    journal
        .readings_between(
            &MeterId::from(meter),
            now - TimeDelta::days(1),
            now + TimeDelta::days(1),
        )
        .unwrap_or_default()
}

#[test]
fn correctors_behind_pymodbus_are_read_and_a_dead_unit_delays_nobody() {
    let Some(server) = Pymodbus::start("pymodbus_server.py") else {
        return skipped("pymodbus not found: make test installs it below target/test-venv");
    };
    let port = server.told.trim().strip_prefix("PORT=");
    let port = port.unwrap_or_else(|| panic!("pymodbus said `{}`", server.told));
    let site = Site::new(1);
    let dead_port = free_port();
    site.registry_file(
        "gateways.csv",
        &format!(
            "{}\nGW1,127.0.0.1,{port}\nGW2,127.0.0.1,{dead_port}\n",
            columns::GATEWAYS.join(",")
        ),
    );
    let mut rows = format!("{}\n", columns::METERS.join(","));
    for (meter, gateway, unit) in [
        ("A", "GW1", 1),
        ("B", "GW1", 2),
        ("C", "GW1", 3),
        ("D", "GW2", 1),
    ] {
        writeln!(
            rows,
            "{meter},dev-{meter},K0,north,customer,turbine,fuxin/fx-corrector,std,8,400,1,1,{gateway},{unit},2020-01-01"
        )
        .unwrap();
    }
    site.registry_file("meters.csv", &rows);
    let config = site.config(
        "[modbus]\nrequest_timeout_ms = 500\nconnect_timeout_ms = 500\nperiod_s = 1\n\
         retry_delay_min_ms = 200\nretry_delay_max_ms = 2000\n",
    );
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    wait_for("three polls of both living correctors", || {
        let all = readings(&site, "A").len() >= 3 && readings(&site, "B").len() >= 3;
        all.then_some(())
    });
    let first = readings(&site, "A").remove(0);
    assert_eq!(first.exact(Item::TotalStd), Some(12_431_116));
    assert_eq!(first.exact(Item::TotalWork), Some(122_856_864_222));
    assert!((first.float(Item::Temperature).unwrap() - 21.649).abs() < 1e-4);
    assert!((first.float(Item::PressureAbs).unwrap() - 102.212).abs() < 1e-4);
    let second = readings(&site, "B").remove(0);
    assert_eq!(second.exact(Item::TotalStd), Some(2_000_000));
    assert!(readings(&site, "C").is_empty());
    assert!(daemon.is_running());
    let log = daemon.log();
    assert!(
        log.contains("GW2") && log.contains(&dead_port.to_string()),
        "the unreachable gateway is not named with its port:\n{log}"
    );
    assert!(daemon.stop().success());
}
