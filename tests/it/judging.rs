//! What is judged again: old days after imports, ranges on request, later readings by changed limits.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::daemon::{Daemon, qiliang};
use crate::support::site::Site;
use crate::support::wait_for;

const PLANS: &str = "customer,day,available_at,volume\n";

/// Hourly totals of M0 that grow by 10 m³ over whole gas days of January, as a file.
fn readings(dir: &Path, first_day: u32, days: u32) -> PathBuf {
    let mut text = String::from("device,sampled_at,BTotal\n");
    for hour in 0..=days * 24 {
        let since = (first_day - 1) * 24 + 8 + hour;
        let (day, civil) = (since / 24 + 1, since % 24);
        let total = 1_000 + since * 10;
        writeln!(text, "D0,2026-01-{day:02} {civil:02}:00:00,{total}").unwrap();
    }
    let file = dir.join(format!("readings-{first_day}.csv"));
    fs::write(&file, text).unwrap();
    file
}

/// Runs a command that must succeed; what it printed.
fn done(config: &Path, arguments: &[&str]) -> String {
    let output = qiliang(&[&["--config", config.to_str().unwrap()], arguments].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn import(config: &Path, file: &Path) {
    done(config, &["import", file.to_str().unwrap()]);
}

/// Findings of a rule as JSON lines, oldest first.
fn found(config: &Path, rule: &str) -> Vec<Value> {
    let text = done(config, &["findings", "list", "--json", "--rule", rule]);
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let mut found: Vec<Value> = lines.collect();
    found.reverse();
    found
}

/// The gas days of findings that are of the start of their day.
fn days(found: &[Value]) -> Vec<String> {
    let day = |finding: &Value| finding["at"].as_str().unwrap()[..10].to_owned();
    found.iter().map(day).collect()
}

fn plan(days: &[(u32, &str)]) -> String {
    let row = |(day, volume): &(u32, &str)| {
        format!("K0,2026-01-{day:02},2026-01-01T00:00:00Z,{volume}\n")
    };
    PLANS.to_owned() + &days.iter().map(row).collect::<String>()
}

#[test]
fn imported_days_are_judged_whatever_their_age_and_again_on_request() {
    let site = Site::new(1);
    let config = site.config("");
    // Of 240 m³ used a day 100 are declared on the 5th, 240 on the 6th, 200 on the 9th.
    site.registry_file(
        "filed_plans.csv",
        &plan(&[(5, "100"), (6, "240"), (9, "200")]),
    );
    import(&config, &readings(site.path(), 5, 2));
    let first = found(&config, "V26");
    assert_eq!(days(&first), ["2026-01-05"], "{first:?}");
    assert_eq!(first[0]["subject"], "K0");

    // Beside the daemon it is judged for itself.
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    import(&config, &readings(site.path(), 8, 2));
    wait_for("the imported days to be judged", || {
        (days(&found(&config, "V26")) == ["2026-01-05", "2026-01-09"]).then_some(())
    });

    // A plan that is mended later changes no curve: the range is judged again on request.
    site.registry_file(
        "filed_plans.csv",
        &plan(&[(5, "240"), (6, "120"), (9, "200")]),
    );
    daemon.signal("HUP");
    wait_for("the registry to be read again", || {
        daemon
            .log()
            .contains("Reloaded registry and profiles")
            .then_some(())
    });
    let judge = |from: &str, to: &str| {
        let asked = ["findings", "judge", "--en", "--from", from, "--to", to];
        done(&config, &asked)
    };
    let text = judge("2026-01-06", "2026-01-09");
    assert!(
        text.starts_with("+ 2026-01-06T08:00:00+08:00  V26  K0")
            && text.contains("240.0000 m³ used, 120.0000 m³ declared")
            && text.contains("gas days 2026-01-06 to 2026-01-09: 1 finding(s) new, 0 withdrawn"),
        "{text}"
    );
    assert_eq!(
        days(&found(&config, "V26")),
        ["2026-01-05", "2026-01-06", "2026-01-09"]
    );
    let refused = |arguments: &[&str]| {
        let all = [&["--config", config.to_str().unwrap()], arguments].concat();
        let output = qiliang(&all);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = refused(&[
        "findings",
        "judge",
        "--from",
        "2099-01-01",
        "--to",
        "2099-01-02",
    ]);
    assert!(text.contains("2099-01-02 is not over"), "{text}");
    assert!(text.contains("validate.judge_refused"), "{text}");
    let text = refused(&[
        "findings",
        "judge",
        "--from",
        "2026-01-09",
        "--to",
        "2026-01-06",
    ]);
    assert!(text.contains("is after --to"), "{text}");

    // And without the daemon.
    assert!(daemon.stop().success());
    let text = judge("2026-01-05", "2026-01-05");
    assert!(
        text.starts_with("- 2026-01-05T08:00:00+08:00  V26"),
        "{text}"
    );
    assert!(text.contains("0 finding(s) new, 1 withdrawn"), "{text}");
    let text = done(
        &config,
        &[
            "findings",
            "judge",
            "--json",
            "--from",
            "2026-01-05",
            "--to",
            "2026-01-09",
        ],
    );
    let judged: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(
        (&judged["found"], &judged["withdrawn"], &judged["to"]),
        (
            &Value::Array(vec![]),
            &Value::Array(vec![]),
            &Value::from("2026-01-09")
        )
    );
}

/// The same site with a copy of the registry.
fn own_registry(site: &Site, config: &Path) -> PathBuf {
    let (registry, copy) = (site.path().join("registry"), site.path().join("copy"));
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(&registry).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let text = fs::read_to_string(config).unwrap();
    let own = site.path().join("hand.toml");
    let text = text.replace(registry.to_str().unwrap(), copy.to_str().unwrap());
    fs::write(&own, text).unwrap();
    own
}

/// A set of limits for all meters from a gas day on.
fn limit(from_day: &str, flow_m3h: &str) -> String {
    format!("[[set]]\nfrom_day = \"{from_day}\"\nv12_flow_m3h = {flow_m3h}\n")
}

#[test]
fn changed_limits_hold_from_their_day_on_and_faulty_ones_are_refused() {
    let site = Site::new(1);
    let config = site.config("");
    // Commands refuse to begin with a faulty table, the daemon goes on: they have a registry of their own.
    let hand = own_registry(&site, &config);
    // 10 m³ flow in every hour: a leak where the limit is 5, none where it is 20.
    let first = limit("2026-01-05", "5.0");
    site.registry_file("rules.toml", &first);
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    import(&hand, &readings(site.path(), 4, 3));
    let leaks = || found(&hand, "V12");
    let before = wait_for("the days to be judged by the first limits", || {
        let leaks = leaks();
        (days(&leaks) == ["2026-01-05", "2026-01-06"]).then_some(leaks)
    });

    let changed = first + &limit("2026-01-08", "20.0");
    site.registry_file("rules.toml", &changed);
    daemon.signal("HUP");
    wait_for("the new limits", || {
        let log = daemon.log();
        log.contains("Reloaded the limits of the validation rules")
            .then_some(())
    });
    import(&hand, &readings(site.path(), 7, 3));
    wait_for("the day before the change to be judged", || {
        (days(&leaks()).last().unwrap() == "2026-01-07").then_some(())
    });
    let judged = |day: &str| {
        let path = format!("GET /api/v1/meters/M0/curve?from={day}&to={day}");
        wait_for("the curve of the day", || {
            let body = crate::curve_edits::ask(&address, &path, "", "").body;
            (body["days"][0]["quality"][23] == "measured").then_some(())
        });
    };
    judged("2026-01-09");
    let after = leaks();
    assert_eq!(days(&after), ["2026-01-05", "2026-01-06", "2026-01-07"]);
    assert_eq!(after[..2], before, "what was found by the old limits stays");

    // The table with a limit out of its range is refused whole, although its other set could hold.
    let faulty = changed + &limit("2026-01-10", "5.0") + "v22_days = 99.0\n";
    site.registry_file("rules.toml", &faulty);
    daemon.signal("HUP");
    let line = wait_for("the refusal", || {
        let log = daemon.log();
        let line = log
            .lines()
            .find(|line| line.contains("the limits of the rules stay as they were"))?;
        Some(line.to_owned())
    });
    for part in [
        "rules.toml:10",
        "v22_days is 99, expected 1.0 to 31.0",
        "docs/VALIDATION.md",
        "reload.rules_refused",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let notices = crate::curve_edits::ask(&address, "GET /api/v1/notices", "", "").body;
    assert!(notices.to_string().contains("v22_days is 99"), "{notices}");
    import(&hand, &readings(site.path(), 10, 2));
    judged("2026-01-11");
    assert_eq!(leaks(), after, "the old limits hold on");

    // Once mended it is taken.
    let mended = faulty.replace("99.0", "9.0");
    site.registry_file("rules.toml", &mended);
    daemon.signal("HUP");
    wait_for("the days to be judged by the mended table", || {
        let days = days(&leaks());
        (days.len() == 5 && days[3..] == ["2026-01-10", "2026-01-11"]).then_some(())
    });
}
