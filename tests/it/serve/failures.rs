//! What goes wrong is said in problem bodies, with a code and a reference.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use qiliang::serve::ActionError;

use super::city::{Answer, City};

pub(super) fn assert_problem(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(
        answer.header(header::CONTENT_TYPE),
        "application/problem+json"
    );
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    let body = answer.json();
    assert_eq!(body["code"], code);
    assert_eq!(body["status"], status.as_u16());
    assert_eq!(body["title"], status.canonical_reason().unwrap());
    assert_eq!(body["type"], format!("urn:qiliang:problem:{code}"));
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.len() > 15 && !detail.ends_with('.'), "{detail}");
    assert!(body["reference"].as_str().unwrap().contains('-'));
}

#[tokio::test]
async fn a_wrong_question_is_told_what_is_wrong_with_it() {
    let city = City::filled();
    let bad = StatusCode::BAD_REQUEST;
    let missing = StatusCode::NOT_FOUND;
    for (path, status, code) in [
        ("/api/v1/nothing", missing, "serve.unknown_route"),
        ("/api", missing, "serve.unknown_route"),
        ("/assets/gone-1234.js", missing, "serve.unknown_file"),
        ("/api/v1/totals", bad, "serve.bad_query"),
        ("/api/v1/totals?month=2026-13", bad, "serve.bad_month"),
        ("/api/v1/forecast?horizon=weekly", bad, "serve.bad_query"),
        (
            "/api/v1/forecast?by=class&key=nobody",
            bad,
            "serve.unknown_key",
        ),
        ("/api/v1/notices?limit=many", bad, "serve.bad_query"),
        ("/api/v1/rejects?limit=-1", bad, "serve.bad_query"),
        ("/api/v1/declarations/december", bad, "serve.bad_month"),
        (
            "/api/v1/declarations/2020-01",
            missing,
            "declaration.not_found",
        ),
        (
            "/api/v1/declarations/2020-01/export.xlsx",
            missing,
            "declaration.not_found",
        ),
        ("/api/v1/nominations/2026-02-30", bad, "serve.bad_day"),
        (
            "/api/v1/nominations/2020-01-01",
            missing,
            "nomination.not_found",
        ),
        (
            "/api/v1/nominations/2020-01-01/export.xlsx",
            missing,
            "nomination.not_found",
        ),
        ("/api/v1/ledger/C404", missing, "ledger.unknown_account"),
        (
            "/api/v1/meters/M404/curve",
            missing,
            "registry.unknown_meter",
        ),
        (
            "/api/v1/meters/M1/curve?from=yesterday",
            bad,
            "serve.bad_day",
        ),
        (
            "/api/v1/meters/M1/curve?from=2020-01-01&to=2026-01-01",
            bad,
            "serve.bad_span",
        ),
    ] {
        let answer = city.get(path).await;
        println!("{path}");
        assert_problem(&answer, status, code);
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let city = City::empty();
    let answer = city.post("/api/v1/overview").await;
    assert_problem(
        &answer,
        StatusCode::METHOD_NOT_ALLOWED,
        "serve.method_not_allowed",
    );
    assert!(answer.header(header::ALLOW).contains("GET"));
    let answer = city.post("/forecast").await;
    assert_problem(
        &answer,
        StatusCode::METHOD_NOT_ALLOWED,
        "serve.method_not_allowed",
    );
}

#[tokio::test]
async fn a_cause_goes_to_the_log_and_never_to_the_caller() {
    let city = City::filled();
    let answer = city.get("/api/v1/nominations/2026-11-21/export.xlsx").await;
    assert_problem(
        &answer,
        StatusCode::INTERNAL_SERVER_ERROR,
        "plan.workbook_failed",
    );
    assert!(!answer.text().contains("secret"), "{}", answer.text());
}

#[tokio::test]
async fn what_cannot_be_computed_yet_is_refused_with_the_reason() {
    let city = City::empty();
    let answer = city.post("/api/v1/declarations/2026-12").await;
    assert_problem(
        &answer,
        StatusCode::UNPROCESSABLE_ENTITY,
        "plan.no_forecast",
    );
    assert_problem(
        &city.get("/api/v1/forecast").await,
        StatusCode::NOT_FOUND,
        "forecast.none_yet",
    );
    assert_problem(
        &city.get("/api/v1/totals?month=2026-12").await,
        StatusCode::NOT_FOUND,
        "forecast.none_yet",
    );
}

#[tokio::test]
async fn a_ledger_that_fails_does_not_take_the_overview_with_it() {
    let city = City::filled();
    *city.program.ledger_error.lock().unwrap() = Some(ActionError::Failed {
        code: "ledger.failed",
        message: "the ledger could not be computed".into(),
        cause: "test".into(),
    });
    assert_problem(
        &city.get("/api/v1/ledger").await,
        StatusCode::INTERNAL_SERVER_ERROR,
        "ledger.failed",
    );
    let overview = city.json("/api/v1/overview").await;
    assert_eq!(overview["top_customers"].as_array().unwrap().len(), 0);
    assert!(overview["kpi"]["used_m3"].is_i64());
}

#[tokio::test]
async fn references_differ() {
    let city = City::empty();
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        let body = city.get("/api/v1/nothing").await.json();
        assert!(seen.insert(body["reference"].as_str().unwrap().to_owned()));
    }
}

#[tokio::test]
async fn requests_meant_for_another_host_or_from_another_site_are_refused() {
    let city = City::filled();
    let request = |method, path: &str, name, value: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1:7080")
            .header(name, value)
            .body(Body::empty())
            .unwrap()
    };
    let forbidden = StatusCode::FORBIDDEN;
    let mut rebound = request(Method::GET, "/api/v1/ledger", header::ACCEPT, "*/*");
    rebound
        .headers_mut()
        .insert(header::HOST, "rebound.example.com".parse().unwrap());
    assert_problem(
        &city.send(rebound).await,
        forbidden,
        "serve.host_not_loopback",
    );
    let path = "/api/v1/declarations/2026-12";
    let foreign = request(Method::POST, path, header::ORIGIN, "https://example.com");
    assert_problem(&city.send(foreign).await, forbidden, "serve.foreign_origin");
    let own = request(Method::POST, path, header::ORIGIN, "http://localhost:7080");
    assert_eq!(city.send(own).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let city = City::filled();
    let request = Request::post("/api/v1/declarations/2026-12")
        .header(header::CONTENT_LENGTH, 1_000_000)
        .body(Body::from(vec![b'x'; 1_000_000]))
        .unwrap();
    let answer = city.send(request).await;
    assert_problem(
        &answer,
        StatusCode::PAYLOAD_TOO_LARGE,
        "serve.body_too_large",
    );
}
