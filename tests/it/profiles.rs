//! `qiliang profiles` and the reload of profiles by the running daemon.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::daemon::{Daemon, qiliang};
use crate::support::site::Site;
use crate::support::{free_port, wait_for};

const CJT188: &str = "68 30 01 00 00 05 08 00 00 81 16 1F 90 00 78 56 34 12 2C 00 00 00 00 2C 00 00 08 21 11 26 20 05 00 DD 16";

/// A daemon without any collector would end: it has nothing to do.
fn listener() -> String {
    format!(
        "[mqtt.listen]\nenabled = true\naddress = \"127.0.0.1:{}\"\nconnections_max = 5\n\
         payload_max_bytes = 262144\nconnect_timeout_s = 10\n",
        free_port()
    )
}

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Said {
    let output = qiliang(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

/// A site with its own copy of the shipped profiles of one vendor.
fn site_with_profiles() -> (Site, PathBuf, PathBuf) {
    let site = Site::new(1);
    let config = site.config(&format!("{}[decode]\nwatch_s = 1\n", listener()));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
    let own = site.path().join("profiles");
    fs::create_dir_all(own.join("qiliang")).unwrap();
    let file = "qiliang/json-push.toml";
    fs::copy(shipped.join(file), own.join(file)).unwrap();
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace(&format!("{shipped:?}"), &format!("{own:?}"));
    fs::write(&config, text).unwrap();
    (site, config, own)
}

#[test]
fn a_frame_is_tried_as_text_file_and_json_and_refused_with_its_reason() {
    let try_one = |frame: &str| {
        run(&[
            "profiles",
            "try",
            "--profile",
            "generic/cjt188-gas",
            "--at",
            "2026-11-21T00:00:00Z",
            frame,
        ])
    };
    let said = try_one(CJT188);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    snapshot("profiles_try", &said.out);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("frame.bin");
    fs::write(&file, hex::decode(CJT188.replace(' ', "")).unwrap()).unwrap();
    assert_eq!(try_one(&format!("@{}", file.display())).out, said.out);
    fs::write(&file, format!("{CJT188}\n")).unwrap();
    assert_eq!(try_one(&format!("@{}", file.display())).out, said.out);

    let cut = try_one("68 30 01");
    assert_eq!((cut.code, cut.out.as_str()), (Some(2), ""));
    assert!(
        cut.err.starts_with("refused: ") && cut.err.contains("[decode."),
        "{}",
        cut.err
    );
    let unknown = run(&["profiles", "try", "--profile", "no/such", "00"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.err.contains("decode.profile_unknown"),
        "{}",
        unknown.err
    );
    assert!(
        unknown.err.contains("generic/cjt188-gas"),
        "{}",
        unknown.err
    );
    let key = run(&[
        "profiles",
        "try",
        "--profile",
        "generic/cjt188-gas",
        "--key",
        "12",
        "00",
    ]);
    assert_eq!(key.code, Some(1));
    assert!(key.err.contains("32 hexadecimal digits"), "{}", key.err);
    let absent = try_one("@/no/such/file");
    assert!(absent.err.contains("/no/such/file"), "{}", absent.err);

    let json = r#"{"v":1,"dev":"D7","ts":"2026-11-21T08:00:00+08:00","std_m3":"12.5","q_std":3.25,"alarms":["battery_low"]}"#;
    let said = run(&["profiles", "try", "--profile", "qiliang/json-push", json]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    snapshot("profiles_try_json", &said.out);
}

#[test]
fn a_draft_is_written_once_and_loads() {
    let (site, config, own) = site_with_profiles();
    let capture = site.path().join("capture.txt");
    fs::write(&capture, format!("{CJT188}\n")).unwrap();
    let config = config.to_str().unwrap();
    let new = |capture: &Path| {
        run(&[
            "--config",
            config,
            "profiles",
            "new",
            "--from",
            capture.to_str().unwrap(),
            "--id",
            "acme/g4",
        ])
    };
    let said = new(&capture);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(own.join("acme/g4.toml").exists());
    let checked = run(&["--config", config, "profiles", "check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    assert!(
        checked
            .out
            .contains("acme/g4: 1 vectors pass  (not verified"),
        "{}",
        checked.out
    );
    let shown = run(&["--config", config, "profiles", "show", "acme/g4"]);
    assert!(
        shown.out.contains("total_work_m3 = \"123456.7800\""),
        "{}",
        shown.out
    );
    let again = new(&capture);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("not written over"), "{}", again.err);
    fs::write(&capture, "what is this").unwrap();
    let refused = new(&capture);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.err.contains("no shape that is known"),
        "{}",
        refused.err
    );
}

#[test]
fn a_profile_that_fails_its_vectors_is_refused_by_name_and_the_old_one_stays() {
    let (site, config, own) = site_with_profiles();
    let file = own.join("qiliang/json-push.toml");
    let good = fs::read_to_string(&file).unwrap();
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    // A pointer that is wrong: every vector with a standard total fails.
    let bad = good.replace("\"/std_m3\"", "\"/std_m4\"");
    assert_ne!(bad, good);
    fs::write(&file, bad).unwrap();
    wait_for("the bad profile to be refused by name", || {
        let log = daemon.log();
        (log.contains("json-push.toml") && log.contains("its old form stays")).then_some(())
    });
    let notices = wait_for("the console to hear of it", || {
        let text = get(&address, "/api/v1/notices");
        text.contains("reload.profile_refused").then_some(text)
    });
    assert!(notices.contains("json-push.toml"), "{notices}");
    assert!(
        !daemon.log().contains("Reloaded profiles"),
        "{}",
        daemon.log()
    );
    // Mended, and with another description so that it is not what it was.
    let better = good.replace(
        "vendor-neutral JSON push",
        "vendor-neutral JSON push, mended",
    );
    assert_ne!(better, good);
    fs::write(&file, better).unwrap();
    wait_for("the mended profile to be taken", || {
        daemon
            .log()
            .contains("Reloaded profiles: qiliang/json-push")
            .then_some(())
    });
    assert!(daemon.stop().success());
}

#[test]
fn an_unverified_profile_in_use_is_said_by_check_at_start_and_in_the_console() {
    let (site, config, own) = site_with_profiles();
    let file = own.join("qiliang/json-push.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("verified = true", "verified = false")).unwrap();
    let checked = run(&["--config", config.to_str().unwrap(), "check"]);
    assert_eq!(
        checked.code,
        Some(0),
        "a warning keeps nothing from starting"
    );
    assert!(
        checked.err.contains("decode.profile_unverified"),
        "{}",
        checked.err
    );
    assert!(checked.err.contains("1 meter(s)"), "{}", checked.err);
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    assert!(
        daemon.log().contains("decode.profile_unverified"),
        "{}",
        daemon.log()
    );
    let notices = get(&address, "/api/v1/notices");
    assert!(notices.contains("decode.profile_unverified"), "{notices}");
    assert!(daemon.stop().success());
}

#[test]
fn keys_are_read_from_a_file_that_others_cannot_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let site = Site::new(1);
    let keys = site.path().join("keys");
    fs::write(
        &keys,
        "D0:000102030405060708090A0B0C0D0E0F\nD1:top-secret\n",
    )
    .unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    let config = site.config(&format!("{}[decode]\nkeys_file = {keys:?}\n", listener()));
    let config = config.to_str().unwrap();
    let said = run(&["--config", config, "check"]);
    assert_eq!(said.code, Some(78));
    assert!(said.err.contains("settings.keys_exposed"), "{}", said.err);
    assert!(
        said.err.contains("keys:2: the line is no key"),
        "{}",
        said.err
    );
    assert!(
        !said.err.contains("top-secret") && !said.err.contains("0001020304"),
        "{}",
        said.err
    );
    fs::write(&keys, "D0:000102030405060708090A0B0C0D0E0F\n").unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(run(&["--config", config, "check"]).code, Some(0));
    let mut daemon = Daemon::start(Path::new(config), &site.data_dir());
    daemon.address();
    fs::write(&keys, "# none\n").unwrap();
    daemon.signal("HUP");
    wait_for("the keys to be read again", || {
        daemon
            .log()
            .contains("Reloaded 0 device keys")
            .then_some(())
    });
    fs::write(&keys, "rubbish\n").unwrap();
    daemon.signal("HUP");
    wait_for("the bad file to be refused", || {
        daemon.log().contains("settings.keys_line").then_some(())
    });
    assert!(daemon.is_running() && daemon.stop().success());
}

fn get(address: &str, path: &str) -> String {
    use std::io::{Read as _, Write as _};

    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}
