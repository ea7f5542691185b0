//! Every data type and order of registers, read from pymodbus by the real program on every transport.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use chrono::TimeDelta;
use qiliang::decode::ProfileSet;
use qiliang::decode::vector::Expected;
use qiliang::domain::finding::RuleId;
use qiliang::domain::frame::Transport;
use qiliang::domain::reading::Reading;
use qiliang::registry::columns;
use qiliang::validate::{EntryLimits, check_entry};
use serde_json::Value;

use crate::support::daemon::{Daemon, qiliang};
use crate::support::pymodbus::Pymodbus;
use crate::support::site::Site;
use crate::support::{free_port, skipped, wait_for};

/// The server and what it said of itself.
struct Peer {
    _server: Pymodbus,
    told: Value,
}

impl Peer {
    fn start() -> Option<Self> {
        let server = Pymodbus::start("pymodbus_values.py")?;
        let told = serde_json::from_str(&server.told)
            .unwrap_or_else(|_| panic!("pymodbus said `{}`", server.told));
        Some(Self {
            _server: server,
            told,
        })
    }

    fn cases(&self) -> &[Value] {
        self.told["cases"].as_array().unwrap()
    }

    /// `--gateway` and what goes with it, for each transport.
    fn gateways(&self) -> [Vec<String>; 3] {
        let host = |key: &str| format!("127.0.0.1:{}", self.told[key]);
        let serial = self.told["serial"].as_str().unwrap().to_owned();
        [
            vec!["--gateway".to_owned(), host("tcp")],
            vec!["--gateway".to_owned(), host("rtu"), "--rtu".to_owned()],
            ["--gateway", serial.as_str(), "--baud", "19200"]
                .map(str::to_owned)
                .to_vec(),
        ]
    }
}

/// Writes a profile of one field and gives its id.
fn profile(site: &Site, case: &Value) -> String {
    let unit = &case["unit"];
    let mut text = format!(
        "id = \"peer/u{unit}\"\nverified = false\ndescription = \"one value\"\n\
         transport = \"modbus\"\ncodec = \"modbus\"\n[modbus]\n"
    );
    let kind = case["type"].as_str().unwrap();
    if kind == "text" {
        write!(
            text,
            "device = {{ register = 0, words = {}, bytes = {} }}\n\
             [[field]]\nname = \"report_seq\"\nregister = 0\ntype = \"u16\"\n",
            case["words"], case["bytes"]
        )
        .unwrap();
    } else {
        let (name, words) = match kind {
            // Exact through and through: totals of whole m³ where the number can be one.
            "u32" | "u64" => ("total_std", ""),
            "bcd" => ("total_std", "words = 4\ndecimals = 4\n"),
            _ => ("report_seq", ""),
        };
        let unit = if name == "total_std" {
            "unit = \"m3\"\n"
        } else {
            ""
        };
        let decimals = if kind == "u64" { "decimals = 4\n" } else { "" };
        write!(
            text,
            "[[field]]\nname = \"{name}\"\n{unit}register = 0\ntype = \"{kind}\"\norder = {}\n{words}{decimals}",
            case["order"]
        )
        .unwrap();
    }
    text.push_str("[[test]]\nname = \"cut\"\nhex = \"03 0000\"\nreject = \"decode.truncated\"\n");
    let dir = site.path().join("peer-profiles/peer");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(format!("u{unit}.toml")), text).unwrap();
    format!("peer/u{unit}")
}

/// The site with the profiles of the cases in the place of the shipped ones.
fn config(site: &Site) -> String {
    let file = site.config("");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
    let own = site.path().join("peer-profiles");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace(&format!("{shipped:?}"), &format!("{own:?}")),
    )
    .unwrap();
    file.to_str().unwrap().to_owned()
}

fn probe(
    config: &str,
    gateway: &[String],
    unit: &str,
    profile: &str,
    more: &[&str],
) -> (i32, String, String) {
    let mut arguments = vec!["--config", config, "modbus", "probe"];
    arguments.extend(gateway.iter().map(String::as_str));
    arguments.extend(["--unit", unit, "--profile", profile]);
    arguments.extend(more);
    let output = qiliang(&arguments);
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn expected_total(case: &Value) -> String {
    let value = case["value"].as_u64().unwrap();
    match case["type"].as_str() {
        Some("u32") => format!("{value}.0000"),
        _ => format!("{}.{:04}", value / 10_000, value % 10_000),
    }
}

#[test]
fn word_orders_and_strings_agree_with_pymodbus() {
    let Some(peer) = Peer::start() else {
        return skipped("pymodbus not found: make test installs it below target/test-venv");
    };
    let site = Site::new(1);
    let profiles: Vec<String> = peer
        .cases()
        .iter()
        .map(|case| profile(&site, case))
        .collect();
    let config = config(&site);
    assert!(peer.cases().len() > 40);
    for gateway in peer.gateways() {
        for (case, profile) in peer.cases().iter().zip(&profiles) {
            let unit = case["unit"].to_string();
            let (code, out, err) = probe(&config, &gateway, &unit, profile, &["--json"]);
            assert_eq!(code, 0, "{gateway:?} {case}\n{out}\n{err}");
            let report: Value = serde_json::from_str(&out).unwrap();
            let reading = &report["reading"];
            let values = &reading["values"];
            match case["type"].as_str().unwrap() {
                "text" => assert_eq!(reading["device"], case["value"], "{gateway:?} {case}"),
                "u32" | "u64" | "bcd" => {
                    assert_eq!(
                        values["total_std_m3"],
                        expected_total(case),
                        "{gateway:?} {case}"
                    );
                }
                _ => assert_eq!(
                    values["report_seq"].as_f64(),
                    case["value"].as_f64(),
                    "{gateway:?} {case}"
                ),
            }
        }
    }
}

#[test]
fn a_serial_bus_is_polled_by_the_daemon_and_a_stranger_is_refused() {
    let Some(peer) = Peer::start() else {
        return skipped("pymodbus not found: make test installs it below target/test-venv");
    };
    let texts: Vec<&Value> = peer
        .cases()
        .iter()
        .filter(|case| case["type"] == "text")
        .collect();
    let site = Site::new(1);
    let mut rows = format!("{}\n", columns::METERS.join(","));
    // The first is who the registry says; the second answers under the first one's serial number.
    for (case, device) in [(texts[0], "FX-2026-0417"), (texts[1], "FX-2026-0999")] {
        let profile = profile(&site, case);
        writeln!(
            rows,
            "M-{0},{device},K0,north,customer,turbine,{profile},std,8,400,1,1,BUS,{0},2020-01-01",
            case["unit"]
        )
        .unwrap();
    }
    site.registry_file("meters.csv", &rows);
    site.registry_file(
        "gateways.csv",
        &format!(
            "id,host,port,transport,path,baud\nBUS,,,serial,{},19200\n",
            peer.told["serial"].as_str().unwrap()
        ),
    );
    let config = config(&site);
    let mut daemon = Daemon::start(Path::new(&config), &site.data_dir());
    daemon.address();
    let journal = || {
        use qiliang::domain::calendar::GasDayClock;
        use qiliang::store::journal::Journal;
        Journal::open_read_only(site.data_dir().join("readings.db"), GasDayClock::default()).ok()
    };
    let counters = wait_for("three polls of each", || {
        let counters = journal()?.counters().ok()?;
        (counters.accepted >= 3 && counters.rejected >= 1).then_some(counters)
    });
    assert!(counters.received >= 4);
    // The port is the daemon's: who looks beside it is told so.
    let gateway = ["--gateway".to_owned(), "BUS".to_owned()];
    let unit = texts[0]["unit"].to_string();
    let (code, _, err) = probe(&config, &gateway, &unit, &format!("peer/u{unit}"), &[]);
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("no other program (a running daemon) has it open"),
        "{err}"
    );
    assert!(daemon.stop().success());
    let listed = qiliang(&["--config", &config, "rejects", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("ingest.device_mismatch"), "{listed}");
}

#[test]
fn probe_says_what_is_wrong_and_what_to_do() {
    let Some(peer) = Peer::start() else {
        return skipped("pymodbus not found: make test installs it below target/test-venv");
    };
    let site = Site::new(1);
    let case = &peer.cases()[0];
    let good = profile(&site, case);
    let dir = site.path().join("peer-profiles/peer");
    let text = fs::read_to_string(dir.join(format!("u{}.toml", case["unit"]))).unwrap();
    let far = text
        .replace(&format!("id = \"{good}\""), "id = \"peer/far\"")
        .replace("register = 0", "register = 900");
    fs::write(dir.join("far.toml"), far).unwrap();
    let config = config(&site);
    let tcp = peer.gateways()[0].clone();
    let unit = case["unit"].to_string();

    let (code, out, err) = probe(&config, &tcp, "240", &good, &["--timeout-ms", "300"]);
    assert_eq!(code, 2);
    assert!(out.contains("no answer within 300 ms"), "{out}");
    assert!(
        err.contains("nothing was heard from unit 240: check the unit number"),
        "{err}"
    );

    let (code, out, err) = probe(&config, &tcp, &unit, "peer/far", &[]);
    assert_eq!(code, 2);
    assert!(
        out.contains("exception 2 (illegal data address) for registers 900 to 900"),
        "{out}"
    );
    assert!(
        err.contains("refuses the block of function 3 from register 900"),
        "{err}"
    );

    let (code, _, err) = probe(&config, &tcp, &unit, "peer/none", &[]);
    assert_eq!(code, 1);
    assert!(
        err.contains("there is no profile `peer/none`; those with registers are"),
        "{err}"
    );

    let nobody = ["--gateway".to_owned(), format!("127.0.0.1:{}", free_port())];
    let (code, _, err) = probe(&config, &nobody, &unit, &good, &[]);
    assert_eq!(code, 1);
    assert!(err.contains("cannot be reached"), "{err}");
    assert!(!site.data_dir().exists(), "a probe writes nothing");
}

#[test]
fn the_published_frame_whose_totals_disagree_is_taken_and_flagged() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
    let (set, _) = ProfileSet::load(&shipped);
    let profile = set.get(&"fuxin/fx-corrector".into()).unwrap();
    let vector = &profile.vectors()[0];
    assert!(matches!(vector.expected, Expected::Decoded(_)));
    let decoded = vector.run(profile).unwrap();
    let reading = Reading {
        meter: "M".into(),
        sampled_at: decoded.sampled_at,
        received_at: decoded.sampled_at,
        transport: Transport::Modbus,
        values: decoded.values,
        frozen: decoded.frozen,
        alarms: decoded.alarms,
    };
    let limits = EntryLimits {
        stale_after: TimeDelta::days(400),
        future_tolerance: TimeDelta::seconds(300),
    };
    let findings = check_entry(&reading, limits);
    let finding = findings.iter().find(|f| f.rule == RuleId::V18).unwrap();
    assert!(
        finding.message_en().contains("12285686.4222 m³")
            && finding.message_en().contains("12345686"),
        "{}",
        finding.message_en()
    );
}
