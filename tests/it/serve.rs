//! The API in process, over a temporary data directory.
mod city;
mod coherence;
mod failures;
mod months;
mod reports;
mod stream;
mod views;

use axum::http::{StatusCode, header};
use serde_json::Value;

use self::city::City;

#[test]
fn the_openapi_document_is_the_one_in_docs() {
    let document = serde_json::to_string_pretty(&qiliang::serve::openapi()).unwrap() + "\n";
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("openapi", document);
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == document,
        "docs/openapi.json is out of date; run `qiliang openapi > docs/openapi.json`"
    );
}

#[test]
fn every_response_is_described_and_every_field_is_always_there() {
    let document = serde_json::to_value(qiliang::serve::openapi()).unwrap();
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for operation in methods.as_object().unwrap().values() {
            operations += 1;
            for (status, response) in operation["responses"].as_object().unwrap() {
                let description = response["description"].as_str().unwrap_or("");
                assert!(!description.is_empty(), "{path} {status}");
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                let is_in_path = path.contains(&format!("{{{name}}}"));
                let is_header = ["Authorization", "Idempotency-Key", "Content-Encoding"];
                let place = if is_in_path {
                    "path"
                } else if is_header.contains(&name) {
                    "header"
                } else {
                    "query"
                };
                assert_eq!(parameter["in"], place, "{path} {name}");
            }
        }
    }
    assert!(operations > 20, "{operations}");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if let Some(properties) = schema["properties"].as_object() {
            let required = schema["required"].as_array().map_or(0, Vec::len);
            assert_eq!(required, properties.len(), "{name}");
        }
    }
}

#[tokio::test]
async fn every_described_route_is_answered_by_its_handler() {
    let city = City::filled();
    let document = city.json("/api/v1/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 18, "{}", paths.len());
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            if path.ends_with("/live") {
                continue;
            }
            let url = path
                .replace("{account_no}", "C1")
                .replace("{month}", "2026-12")
                .replace("{day}", "2026-11-21")
                .replace("{id}", "M1")
                .replace("{run}", "F1")
                + if path.ends_with("/totals") {
                    "?month=2026-12"
                } else {
                    ""
                };
            let answer = match method.as_str() {
                "post" => city.post(&url).await,
                _ => city.get(&url).await,
            };
            let is_described = methods[method]["responses"]
                .get(answer.status.as_str())
                .is_some();
            assert!(
                is_described,
                "{method} {url}: {} {}",
                answer.status,
                answer.text()
            );
            if answer.status == StatusCode::NOT_FOUND {
                assert_ne!(
                    answer.json()["code"],
                    "serve.unknown_route",
                    "{method} {url}"
                );
            }
        }
    }
}

#[tokio::test]
async fn health_readiness_and_metrics_are_for_machines() {
    let city = City::filled();
    assert_eq!(city.get("/healthz").await.text(), "ok\n");
    let ready = city.get("/readyz").await;
    assert_eq!(
        (ready.status, ready.json()["is_ready"].clone()),
        (StatusCode::OK, Value::Bool(true))
    );
    let metrics = city.get("/metrics").await;
    assert!(
        metrics
            .header(header::CONTENT_TYPE)
            .starts_with("application/openmetrics-text")
    );
    let text = metrics.text();
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|l| l.starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name}\n{text}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    let (received, accepted) = (
        value("qiliang_collect_frames_total"),
        value("qiliang_store_accepted_frames_total"),
    );
    let rest = value("qiliang_store_duplicate_frames_total")
        + value("qiliang_decode_rejected_frames_total");
    assert!((received - accepted - rest).abs() < 0.5, "{text}");
    assert!((received - 2.0).abs() < 0.5, "{text}");
    assert!((value("qiliang_collect_meters_expected") - 5.0).abs() < 0.5);
    assert!((value("qiliang_forecast_age_seconds") - 12_000.0).abs() < 0.5);
    assert!(text.contains("qiliang_decode_kept_rejects{code=\"decode.truncated\"} 1"));
    assert!(text.contains("qiliang_serve_requests_total{route=\"/healthz\",status=\"2xx\"} 1"));
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn without_meters_the_program_is_not_ready_and_says_why() {
    let city = City::empty();
    city.registry.send_modify(|registry| {
        let mut bare = city::registry();
        bare.meters.clear();
        *registry = std::sync::Arc::new(bare);
    });
    let answer = city.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let body = answer.json();
    assert_eq!(body["is_ready"], false);
    assert_eq!(body["reasons"][0]["part"], "registry");
    assert_eq!(body["reasons"][0]["code"], "registry.no_meters");
    assert_eq!(city.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let city = City::empty();
    for path in [
        "/",
        "/api/v1/meta",
        "/api/v1/nothing",
        "/metrics",
        "/ledger",
    ] {
        let answer = city.get(path).await;
        assert_eq!(
            answer.header(header::X_CONTENT_TYPE_OPTIONS),
            "nosniff",
            "{path}"
        );
        assert_eq!(answer.header(header::X_FRAME_OPTIONS), "DENY", "{path}");
        let policy = answer.header(header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("http"), "{path}: {policy}");
    }
    let page = city.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.header(header::CONTENT_TYPE).starts_with("text/html"));
}
