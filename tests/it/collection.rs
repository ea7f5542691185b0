//! How the ways in fare, as the API, the readiness check and the metrics tell it.

use std::process::Output;

use qiliang::registry::columns;
use serde_json::Value;

use crate::support::daemon::{Daemon, qiliang};
use crate::support::mosquitto::Mosquitto;
use crate::support::site::{Site, broker};
use crate::support::{free_port, wait_for};

/// A site with a broker at a port and a Modbus gateway that is not there.
fn site(broker_port: u16, gateway_port: u16) -> (Site, std::path::PathBuf) {
    let site = Site::new(1);
    let gateways = columns::GATEWAYS.join(",");
    site.registry_file(
        "gateways.csv",
        &format!("{gateways}\nGW1,127.0.0.1,{gateway_port}\n"),
    );
    let meters = columns::METERS.join(",");
    site.registry_file(
        "meters.csv",
        &format!(
            "{meters}\nM0,D0,K0,north,customer,turbine,qiliang/json-push,std,9,400,1,900,,0,2020-01-01\n\
             M1,D1,K0,north,customer,turbine,fuxin/fx-corrector,std,8,400,1,1,GW1,1,2020-01-01\n"
        ),
    );
    let config = site.config(&format!(
        "{}[[mqtt.topic]]\ntemplate = \"gas/{{company}}/{{gateway}}/{{device}}/up/reading\"\n\
         [mqtt.listen]\nenabled = true\naddress = \"127.0.0.1:0\"\n\
         [modbus]\nconnect_timeout_ms = 500\nrequest_timeout_ms = 500\nperiod_s = 1\n\
         retry_delay_min_ms = 100\nretry_delay_max_ms = 200\n",
        broker(broker_port)
    ));
    (site, config)
}

async fn json(address: &str, path: &str) -> Value {
    let answer = reqwest::get(format!("http://{address}{path}"))
        .await
        .unwrap();
    answer.json().await.unwrap()
}

async fn text(address: &str, path: &str) -> String {
    let answer = reqwest::get(format!("http://{address}{path}"))
        .await
        .unwrap();
    answer.text().await.unwrap()
}

fn codes(readiness: &Value) -> Vec<String> {
    let warnings = readiness["warnings"].as_array().unwrap();
    let code = |warning: &Value| warning["code"].as_str().unwrap().to_owned();
    warnings.iter().map(code).collect()
}

#[test]
fn a_way_in_that_is_cut_is_told_everywhere_and_taken_back_when_it_works() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut mosquitto) = Mosquitto::start(None, dir.path()) else {
        return;
    };
    mosquitto.kill9();
    let gateway_port = free_port();
    let (site, config) = site(mosquitto.port(), gateway_port);
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ask = |path: &str| runtime.block_on(json(&address, path));

    let readiness = wait_for("both to be named", || {
        let now = ask("/readyz");
        let codes = codes(&now);
        let is_told = |code: &str| codes.iter().any(|c| c == code);
        (is_told("collect.broker_away") && is_told("collect.gateway_away")).then_some(now)
    });
    assert_eq!(readiness["is_ready"], true, "{readiness:#}");
    let said = readiness["warnings"].to_string();
    for word in [mosquitto.port(), gateway_port] {
        assert!(said.contains(&word.to_string()), "{said}");
    }
    let ways = ask("/api/v1/collection");
    assert_eq!(ways["brokers"][0]["is_connected"], false, "{ways:#}");
    assert_eq!(ways["gateways"][0]["gateway"], "GW1", "{ways:#}");
    assert_eq!(ways["gateways"][0]["is_connected"], false, "{ways:#}");
    assert!(
        ways["gateways"][0]["errors"].as_u64().unwrap() > 0,
        "{ways:#}"
    );
    assert_eq!(ways["gateways"][0]["meters"], 1, "{ways:#}");
    assert_eq!(ways["listener"]["connected"], 0, "{ways:#}");

    mosquitto.run();
    wait_for("the broker to be connected", || {
        let ways = ask("/api/v1/collection");
        (ways["brokers"][0]["is_connected"] == true && ways["brokers"][0]["is_subscribed"] == true)
            .then_some(())
    });
    assert_eq!(codes(&ask("/readyz")), ["collect.gateway_away"]);
    let metrics = runtime.block_on(text(&address, "/metrics"));
    for line in [
        "qiliang_collect_connections_expected{way=\"broker\"} 1",
        "qiliang_collect_connections{way=\"broker\"} 1",
        "qiliang_collect_connections{way=\"gateway\"} 0",
        "qiliang_collect_connections{way=\"listener\"} 0",
    ] {
        assert!(metrics.contains(line), "no `{line}` in\n{metrics}");
    }
    assert!(daemon.stop().success());
}

fn doctor(config: &std::path::Path) -> (Output, String) {
    let output = qiliang(&[
        "--config",
        config.to_str().unwrap(),
        "doctor",
        "broker",
        "--probe",
    ]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output, said)
}

#[test]
fn the_doctor_says_by_its_exit_code_what_a_broker_is_good_for() {
    let (stock_dir, wide_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(stock) = Mosquitto::start_stock(stock_dir.path()) else {
        return;
    };
    let (_site, config) = site(stock.port(), free_port());
    let (output, said) = doctor(&config);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("max_queued_messages"), "{said}");

    let wide = Mosquitto::start_wide(wide_dir.path()).unwrap();
    let (_site, config) = site(wide.port(), free_port());
    let (output, said) = doctor(&config);
    assert!(
        said.contains(&format!("127.0.0.1:{}", wide.port())),
        "{said}"
    );
    assert!(output.status.success(), "{said}");

    let nobody = free_port();
    let (_site, config) = site(nobody, free_port());
    let (output, said) = doctor(&config);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(&nobody.to_string()), "{said}");
}
