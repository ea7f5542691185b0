//! What turns a meter's totals into volume holds for all of its days: a changed row is refused by `check`, by
//! the start and by SIGHUP, until it says that it had been wrong.

use std::fmt::Write as _;

use qiliang::registry::columns;

use crate::support::daemon::{Daemon, qiliang};
use crate::support::site::Site;

const ROW: &str =
    "M0,D0,K0,north,customer,turbine,qiliang/json-push,work,9,400,FACTOR,900,,0,2020-01-01,,";

#[test]
fn a_changed_factor_is_refused_until_its_row_says_that_it_was_wrong() {
    let site = Site::new(1);
    let header = [columns::METERS, &["removed_on", "corrected_at"]]
        .concat()
        .join(",");
    let meters = |factor: &str, corrected_at: &str| {
        let row = ROW.replace("FACTOR", factor) + corrected_at;
        site.registry_file("meters.csv", &format!("{header}\n{row}\n"));
    };
    meters("2", "");
    let config = site.config("");
    let config = config.to_str().unwrap();
    let told = |arguments: &[&str]| {
        let output = qiliang(&[&["--config", config], arguments].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let totals = site.path().join("totals.csv");
    let mut text = "device,sampled_at,total_work_m3\n".to_owned();
    for hour in 0..24 {
        let total = 1_000 + hour;
        writeln!(text, "D0,2025-11-01T{hour:02}:00:00+08:00,{total}").unwrap();
    }
    std::fs::write(&totals, text).unwrap();
    let imported = told(&["import", totals.to_str().unwrap()]);
    assert_eq!(imported.0, Some(0), "{}", imported.1);
    let volume = || {
        let curves = site.path().join("curves.csv");
        std::fs::remove_file(&curves).ok();
        let (code, said) = told(&["export", "curves", "--out", curves.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{said}");
        std::fs::read_to_string(&curves).unwrap()
    };
    let settled = volume();
    assert!(settled.contains("2.0000"), "{settled}");

    let refused = |said: &str| {
        for part in [
            "meters.csv:2",
            "`fixed_factor` from 2 to 3",
            "removed_on",
            "corrected_at",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    };
    let mut daemon = Daemon::start(config.as_ref(), &site.data_dir());
    daemon.address();
    meters("3", "");
    daemon.signal("HUP");
    refused(&daemon.logged("which would settle"));
    daemon.logged("Kept the registry as it was");
    daemon.stop();
    for arguments in [&["check"][..], &["run"]] {
        let (code, said) = told(arguments);
        assert_eq!(code, Some(78), "{said}");
        refused(&said);
    }
    meters("2", "");
    assert_eq!(told(&["check"]).0, Some(0));
    assert_eq!(volume(), settled);

    meters("3", "2025-11-02T09:00:00+08:00");
    let (code, said) = told(&["check"]);
    assert_eq!(code, Some(0), "{said}");
    let mut daemon = Daemon::start(config.as_ref(), &site.data_dir());
    daemon.address();
    daemon.logged("Curves of changed meters are computed again");
    crate::support::wait_for("the past to be settled anew", || {
        volume().contains("3.0000").then_some(())
    });
    daemon.stop();
}
