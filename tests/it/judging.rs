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

    // A plan that is mended later changes no curve; its days are judged all the same, and asking for them
    // finds nothing else.
    site.registry_file(
        "filed_plans.csv",
        &plan(&[(5, "240"), (6, "120"), (9, "200")]),
    );
    daemon.signal("HUP");
    wait_for("the days of the mended plans to be judged", || {
        (days(&found(&config, "V26")) == ["2026-01-06", "2026-01-09"]).then_some(())
    });
    let judge = |from: &str, to: &str| {
        let asked = ["findings", "judge", "--en", "--from", from, "--to", to];
        done(&config, &asked)
    };
    let text = judge("2026-01-05", "2026-01-09");
    assert!(
        text.contains("gas days 2026-01-05 to 2026-01-09: 0 finding(s) new, 0 withdrawn"),
        "{text}"
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
    site.registry_file(
        "filed_plans.csv",
        &plan(&[(5, "200"), (6, "240"), (9, "200")]),
    );
    let text = judge("2026-01-05", "2026-01-06");
    for line in [
        "+ 2026-01-05T08:00:00+08:00  V26  K0",
        "- 2026-01-06T08:00:00+08:00  V26  K0",
        "240.0000 m³ used, 200.0000 m³ declared",
        "1 finding(s) new, 1 withdrawn",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
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

/// A set of limits for all meters from a gas day on.
fn limit(from_day: &str, flow_m3h: &str) -> String {
    format!("[[set]]\nfrom_day = \"{from_day}\"\nv12_flow_m3h = {flow_m3h}\n")
}

/// What commands do beside a daemon that has the table of before, and after it.
fn commands_go_by_a_faulty_table(site: &Site, config: &Path, daemon: Daemon) {
    // `qiliang check` names the line; what only reads goes on and says why nothing is judged.
    let run = |arguments: &[&str]| {
        let all = [&["--config", config.to_str().unwrap()], arguments].concat();
        let output = qiliang(&all);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let named = "v22_days is 99, expected 1.0 to 31.0";
    let (code, _, text) = run(&["check"]);
    assert!(code == Some(78) && text.contains(named), "{code:?} {text}");
    assert!(text.contains("rules.toml:10: "), "{text}");
    // Of a running daemon's health it says nothing.
    let (code, out, text) = run(&["health"]);
    assert!(
        code == Some(0) && out.contains("is_ready") && !text.contains(named),
        "{code:?} {out} {text}"
    );
    for reading in [
        &["findings", "list"][..],
        &["rejects", "stats"],
        &["verify"],
        &["balance", "--from", "2026-01-05", "--to", "2026-01-06"],
    ] {
        let (code, out, text) = run(reading);
        assert!(
            code == Some(0) && !out.is_empty(),
            "{reading:?}: {code:?} {text}"
        );
        assert!(
            text.contains(named) && text.contains("nothing is judged by it"),
            "{text}"
        );
    }
    // Where the daemon is asked, it judges by what it has; what would judge itself refuses.
    let judge = [
        "findings",
        "judge",
        "--from",
        "2026-01-10",
        "--to",
        "2026-01-11",
    ];
    let (code, out, _) = run(&judge);
    assert!(
        code == Some(0) && out.contains("0 finding(s) new"),
        "{code:?} {out}"
    );
    assert!(daemon.stop().success());
    let file = readings(site.path(), 12, 1);
    for judging in [
        &judge[..],
        &["import", file.to_str().unwrap()],
        &[
            "curves",
            "edit",
            "M0",
            "2026-01-10",
            "--hour",
            "3=1",
            "--who",
            "li",
            "--reason",
            "r",
        ],
        &["run"],
    ] {
        let (code, _, text) = run(judging);
        assert_eq!(code, Some(78), "{judging:?}: {text}");
        assert!(text.contains(named), "{text}");
    }
}

#[test]
fn changed_limits_hold_from_their_day_on_and_faulty_ones_are_refused() {
    let site = Site::new(1);
    let config = site.config("");
    // 10 m³ flow in every hour: a leak where the limit is 5, none where it is 20.
    let first = limit("2026-01-05", "5.0");
    site.registry_file("rules.toml", &first);
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    import(&config, &readings(site.path(), 4, 3));
    let leaks = || found(&config, "V12");
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
    import(&config, &readings(site.path(), 7, 3));
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
    let line = daemon.logged("the limits of the rules stay as they were");
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
    import(&config, &readings(site.path(), 10, 2));
    judged("2026-01-11");
    assert_eq!(leaks(), after, "the old limits hold on");

    commands_go_by_a_faulty_table(&site, &config, daemon);

    // Once mended it is taken.
    let mended = faulty.replace("99.0", "9.0");
    site.registry_file("rules.toml", &mended);
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    wait_for("the days to be judged by the mended table", || {
        let days = days(&leaks());
        (days.len() == 5 && days[3..] == ["2026-01-10", "2026-01-11"]).then_some(())
    });
}

/// Gas days of a rule's findings, by subject.
fn by_subject(config: &Path, rule: &str) -> Vec<String> {
    let found = found(config, rule);
    let mut of: Vec<String> = found
        .iter()
        .zip(days(&found))
        .map(|(finding, day)| format!("{} {}", finding["subject"].as_str().unwrap(), &day[5..]))
        .collect();
    of.sort();
    of
}

#[test]
fn what_is_changed_for_past_days_judges_them_beside_the_daemon_and_after_it_was_killed() {
    let site = Site::new(2);
    let config = site.config("");
    // 240 m³ a day of each; works 1 keeps to its plans.
    site.registry_file("filed_plans.csv", &plan(&[(6, "240")]));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    import(&config, &readings(site.path(), 5, 8));
    let of_second = fs::read_to_string(readings(site.path(), 5, 8)).unwrap();
    let file = site.path().join("second.csv");
    fs::write(&file, of_second.replace("D0,", "D1,")).unwrap();
    import(&config, &file);
    // Two plans come late, and a limit of V12 holds from the 10th on: 10 m³ flow in every hour.
    let late = plan(&[(6, "240"), (7, "200")]) + "K1,2026-01-08,2026-02-01T00:00:00Z,100\n";
    site.registry_file("filed_plans.csv", &late);
    site.registry_file("rules.toml", &limit("2026-01-10", "5.0"));
    daemon.signal("HUP");
    wait_for("the days of late plans", || {
        (by_subject(&config, "V26") == ["K0 01-07", "K1 01-08"]).then_some(())
    });
    let leaks = [
        "M0 01-10", "M0 01-11", "M0 01-12", "M1 01-10", "M1 01-11", "M1 01-12",
    ];
    wait_for("the days of the limit", || {
        (by_subject(&config, "V12") == leaks).then_some(())
    });
    // Killed at once after it read the next change, and changed once more while it does not run.
    site.registry_file("rules.toml", &limit("2026-01-11", "5.0"));
    daemon.signal("HUP");
    daemon.kill();
    site.registry_file("filed_plans.csv", &plan(&[(6, "100"), (7, "240")]));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    wait_for("the days of the plans", || {
        (by_subject(&config, "V26") == ["K0 01-06"]).then_some(())
    });
    wait_for("the days of the limit", || {
        (by_subject(&config, "V12") == ["M0 01-11", "M0 01-12", "M1 01-11", "M1 01-12"])
            .then_some(())
    });
    assert!(daemon.stop().success());
}
