//! What the views show, and that they show the same.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use super::city::{City, TODAY};

fn sum(values: &Value) -> i64 {
    match values {
        Value::Array(list) => list.iter().filter_map(Value::as_i64).sum(),
        Value::Object(map) => map.values().filter_map(Value::as_i64).sum(),
        _ => panic!("{values}"),
    }
}

fn p50(band: &Value) -> i64 {
    band["p50_m3"].as_i64().unwrap_or_else(|| panic!("{band}"))
}

#[tokio::test]
async fn with_nothing_known_the_views_are_empty_and_nothing_fails() {
    let city = City::empty();
    let overview = city.json("/api/v1/overview").await;
    for name in [
        "nominated_m3",
        "taken_m3",
        "used_m3",
        "remaining_m3",
        "expected_day",
        "over_probability",
        "yesterday_m3",
        "tomorrow",
    ] {
        assert!(
            overview["kpi"][name].is_null(),
            "{name}: {}",
            overview["kpi"]
        );
    }
    assert_eq!(overview["gas_day"], TODAY);
    assert_eq!(
        overview["meters"],
        json!({ "expected": 5, "reporting": 0, "silent": 5 })
    );
    assert_eq!(overview["today"]["hours"].as_array().unwrap().len(), 24);
    assert!(overview["heatmap"][0]["hours"][0].is_null());
    assert!(overview["weather"][0]["now_c"].is_null());
    for path in [
        "forecast/runs",
        "declarations",
        "nudges",
        "rejects",
        "notices",
    ] {
        assert_eq!(
            city.json(&format!("/api/v1/{path}")).await,
            json!([]),
            "{path}"
        );
    }
    let curve = city.json("/api/v1/meters/M1/curve").await;
    assert_eq!(
        curve,
        json!({ "meter": "M1", "days": [], "pending": [], "missing": null })
    );
    let detail = city.json("/api/v1/ledger/C1").await;
    assert!(
        detail["days"]
            .as_array()
            .unwrap()
            .iter()
            .all(|d| d["m3"].is_null())
    );
    assert_eq!(detail["temperature"], json!([]));
}

#[tokio::test]
async fn the_overview_is_filled_from_journal_and_book() {
    let city = City::filled();
    let page = city.json("/api/v1/overview").await;
    let kpi = &page["kpi"];
    for (name, value) in kpi.as_object().unwrap() {
        assert!(!value.is_null(), "{name}");
    }
    assert_eq!(kpi["nominated_m3"], 7_400);
    assert_eq!(
        kpi["remaining_m3"].as_i64().unwrap(),
        7_400 - kpi["taken_m3"].as_i64().unwrap()
    );
    assert_eq!(page["meters"]["reporting"], 1);
    assert_eq!(page["collect"]["received"], 2);
    assert_eq!(page["collect"]["rejected"], 1);
    let rows = city.json("/api/v1/ledger").await["rows"].clone();
    for level in ["red", "orange", "yellow", "blue"] {
        let findings = rows
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|r| r["findings"].as_array().unwrap());
        let count = findings.filter(|f| f["level"] == level).count();
        assert_eq!(page["alerts"][level], count, "{level}");
    }
    assert_eq!(
        page["weather"][0],
        json!({
            "station": "W1", "zones": ["北区", "南区"], "now_c": 3.0, "today_mean_c": -0.166_666_666_666_666_66,
            "tomorrow_mean_c": -1.0,
        })
    );
    let top = page["top_customers"].as_array().unwrap();
    let order: Vec<&str> = top
        .iter()
        .map(|c| c["account_no"].as_str().unwrap())
        .collect();
    assert_eq!(order, ["C1", "C2", "C3"]);
    assert_eq!(top[0]["yesterday_m3"], 1500.25);
    assert!(top[0]["latest_flow_m3h"].is_f64() && top[2]["yesterday_m3"].is_null());
    assert_eq!(page["heatmap"].as_array().unwrap().len(), 15);
}

#[tokio::test]
async fn totals_of_every_view_agree_to_the_cubic_metre() {
    let city = City::filled();
    let overview = city.json("/api/v1/overview").await;
    let kpi = &overview["kpi"];
    let whole = city.json("/api/v1/forecast?horizon=daily").await;
    let runs = city.json("/api/v1/forecast/runs").await;
    let tomorrow = p50(&kpi["tomorrow"]);
    assert_eq!(p50(&whole["total"][1]["band"]), tomorrow);
    assert_eq!(p50(&whole["cards"]["tomorrow"]["band"]), tomorrow);
    assert_eq!(p50(&runs[0]["total_tomorrow"]), tomorrow);
    let by_source: i64 = overview["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| p50(&s["tomorrow"]))
        .sum();
    // At the gates it is that and the loss, in every corner.
    let bought = p50(&kpi["bought_tomorrow"]);
    assert_eq!(by_source, bought);
    assert!(bought > tomorrow);
    let cards = &whole["cards"]["bought"];
    assert_eq!(p50(&cards["tomorrow"]), bought);
    assert_eq!(cards["today"], kpi["bought_day"]);
    assert_eq!(cards["yesterday_m3"], kpi["bought_yesterday_m3"]);
    let month = &whole["month"][0]["bought"];
    assert_eq!(
        month["taken_m3"].as_i64().unwrap(),
        kpi["month_taken_m3"].as_i64().unwrap() - kpi["taken_m3"].as_i64().unwrap()
    );
    assert_eq!(
        month["gap_m3"].as_i64().unwrap(),
        p50(&month["expected"]) - kpi["month_contract_m3"].as_i64().unwrap()
    );
    assert_eq!(
        whole["cards"]["yesterday"]["actual_m3"],
        kpi["yesterday_m3"]
    );
    assert_eq!(
        whole["history"].as_array().unwrap().last().unwrap()["actual_m3"],
        kpi["yesterday_m3"]
    );
    let heatmap = overview["heatmap"].as_array().unwrap();
    assert_eq!(json!(sum(&heatmap[13]["hours"])), kpi["yesterday_m3"]);
    assert_eq!(sum(&heatmap[14]["hours"]), p50(&kpi["expected_day"]));

    let hourly = city.json("/api/v1/forecast?horizon=hourly").await;
    let hours: i64 = hourly["total"].as_array().unwrap()[24..48]
        .iter()
        .map(|p| p50(&p["band"]))
        .sum();
    assert_eq!(hours, tomorrow);
    for by in ["source", "class", "slot"] {
        let split = city
            .json(&format!("/api/v1/forecast?horizon=daily&by={by}"))
            .await;
        assert_eq!(split["total"], whole["total"], "{by}");
        let of_day: i64 = split["series"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| p50(&s["points"][1]))
            .sum();
        assert_eq!(of_day, tomorrow, "{by}");
        let table: i64 = split["table"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| p50(&r["tomorrow"]))
            .sum();
        assert_eq!(table, tomorrow, "{by}");
        let yesterday: i64 = split["table"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|r| r["yesterday_m3"].as_i64())
            .sum();
        assert_eq!(json!(yesterday), kpi["yesterday_m3"], "{by}");
    }

    for (position, month) in ["2026-11", "2026-12"].into_iter().enumerate() {
        let totals = city.json(&format!("/api/v1/totals?month={month}")).await;
        let total = totals["forecast_total_m3"].as_i64().unwrap();
        for by in ["by_source", "by_class", "by_slot"] {
            assert_eq!(sum(&totals[by]), total, "{month} {by}");
        }
        assert_eq!(
            p50(&whole["month"][position]["remaining"]),
            total,
            "{month}"
        );
    }
}

#[tokio::test]
async fn used_today_is_the_same_in_every_corner() {
    let city = City::filled();
    let page = city.json("/api/v1/overview").await;
    let used = page["kpi"]["used_m3"].as_i64().unwrap();
    let hours: i64 = page["today"]["hours"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|h| h["actual_m3"].as_i64())
        .sum();
    assert_eq!(hours, used);
    let by_class: i64 = page["classes"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|c| c["hours"].as_array().unwrap())
        .filter_map(|h| h["actual_m3"].as_i64())
        .sum();
    assert_eq!(by_class, used);
    let hourly = city.json("/api/v1/forecast?horizon=hourly").await;
    let known: i64 = hourly["total"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["actual_m3"].as_i64())
        .sum();
    assert_eq!(known, used);
}

#[tokio::test]
async fn a_forecast_says_what_it_was_made_from() {
    let city = City::filled();
    let view = city.json("/api/v1/forecast").await;
    assert_eq!(view["origin_at"], "2026-11-21T09:00:00+08:00");
    assert_eq!(view["made_with"], json!([["registry", "registry-1"]]));
    assert_eq!(
        (view["horizon"].as_str(), view["by"].as_str()),
        (Some("daily"), Some("total"))
    );
    assert_eq!(view["total"].as_array().unwrap().len(), 41);
    assert!(view["total"][0]["naive_m3"].is_i64());
    assert!(view["cards"]["yesterday"]["forecast_m3"].is_i64());
    let runs = city.json("/api/v1/forecast/runs").await;
    assert_eq!(runs.as_array().unwrap().len(), 2);
    assert_eq!(runs[0]["run_id"], view["run_id"]);
    assert_eq!(runs[0]["days"], 41);
    let slots = city.json("/api/v1/forecast?by=slot").await;
    assert_eq!(
        slots["labels"][5],
        json!({ "key": "evening_peak", "name_zh": "晚峰", "name_en": "Evening peak" })
    );
}

#[tokio::test]
async fn a_declaration_is_computed_listed_read_and_exported() {
    let city = City::filled();
    let made = city.post("/api/v1/declarations/2026-12").await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
    city.post("/api/v1/declarations/2026-12").await;
    let list = city.json("/api/v1/declarations").await;
    assert_eq!(
        list,
        json!([{
            "month": "2026-12", "version": 2, "state": "draft", "declared_m3": "123456.0000",
            "made_at": "2026-11-21T12:20:00+08:00", "suppliers": ["上游"],
            "submissions": [],
        }])
    );
    assert_eq!(city.json("/api/v1/declarations/2026-12").await, made.json());
    let copy = city
        .get("/api/v1/declarations/2026-12/export.xlsx?supplier=%E4%B8%8A%E6%B8%B8")
        .await;
    assert_eq!(copy.bytes, "PK declaration for 上游".as_bytes());
    let workbook = city.get("/api/v1/declarations/2026-12/export.xlsx").await;
    assert_eq!(workbook.bytes, b"PK declaration");
    assert!(
        workbook
            .header(header::CONTENT_TYPE)
            .contains("spreadsheetml")
    );
    assert_eq!(
        workbook.header(header::CONTENT_DISPOSITION),
        "attachment; filename=\"declaration-2026-12.xlsx\""
    );
}

#[tokio::test]
async fn what_was_sent_is_written_down_by_somebody() {
    let city = City::filled();
    let sent = async |path: &str, body: &str| {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        city.send(request.body(Body::from(body.to_owned())).unwrap())
            .await
    };
    let path = "/api/v1/declarations/2026-12/sent";
    let body = r#"{"person":"王工","reason":"20日上报"}"#;
    let answer = sent(path, body).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
    city.post("/api/v1/declarations/2026-12").await;
    let answer = sent(path, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert!(answer.json()["sent_at"].is_string());
    // Made again, the one that was sent is still there.
    city.post("/api/v1/declarations/2026-12").await;
    let list = city.json("/api/v1/declarations").await;
    let (listed, sent_at) = (&list[0], "2026-11-20T00:00:00Z");
    assert_eq!(
        (&listed["version"], &listed["state"]),
        (&json!(3), &json!("draft"))
    );
    assert_eq!(
        listed["submissions"],
        json!([{ "version": 2, "submission_no": 0, "sent_at": sent_at, "person": "王工", "reason": "20日上报" }])
    );
    let kept = city.json("/api/v1/declarations/2026-12?version=2").await;
    assert_eq!(kept["sent_at"], sent_at);
    let newest = city.json("/api/v1/declarations/2026-12").await;
    assert!(newest["sent_at"].is_null());
    let workbook = city
        .get("/api/v1/declarations/2026-12/export.xlsx?version=2")
        .await;
    assert_eq!(workbook.bytes, b"PK declaration v2");
    assert_eq!(
        workbook.header(header::CONTENT_DISPOSITION),
        "attachment; filename=\"declaration-2026-12-v2.xlsx\""
    );
    for path in ["declarations/2026-12", "declarations/2026-12/export.xlsx"] {
        let answer = city.get(&format!("/api/v1/{path}?version=9")).await;
        assert_eq!(answer.json()["code"], "declaration.not_found", "{path}");
    }
    city.post("/api/v1/nominations/2026-11-22").await;
    sent("/api/v1/nominations/2026-11-22/sent", body).await;
    city.post("/api/v1/nominations/2026-11-22").await;
    let newest = city.json("/api/v1/nominations/2026-11-22").await;
    assert!(newest["sent_at"].is_null());
    assert_eq!(newest["submissions"][0]["version"], 2);
    let kept = city.json("/api/v1/nominations/2026-11-22?version=2").await;
    assert_eq!(kept["sent_at"], sent_at);
    let answer = sent(path, r#"{"person":"王工"}"#).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let bad = sent("/api/v1/nominations/tomorrow/sent", body).await;
    assert_eq!(bad.json()["code"], "serve.bad_day");
}

#[tokio::test]
async fn a_nomination_for_tomorrow_suggests_by_source() {
    let city = City::filled();
    assert_eq!(
        city.post("/api/v1/nominations/2026-11-22").await.status,
        StatusCode::OK
    );
    assert_eq!(
        city.json("/api/v1/nominations/2026-11-22").await["day"],
        "2026-11-22"
    );
    let page = city.json("/api/v1/overview").await;
    let sources = page["sources"].as_array().unwrap();
    let of = |key: &str| sources.iter().find(|s| s["source"] == key).unwrap();
    assert_eq!(of("pipe")["suggested_m3"], 7_000);
    assert_eq!(of("pipe")["nominated_m3"], 6_900);
    assert_eq!(of("lng")["nominated_m3"], 500);
}

#[tokio::test]
async fn the_ledger_is_listed_opened_and_exported() {
    let city = City::filled();
    let ledger = city.json("/api/v1/ledger").await;
    assert_eq!(ledger["as_of"], "2026-11-21T12:20:00+08:00");
    assert_eq!(ledger["rows"].as_array().unwrap().len(), 3);
    let detail = city.json("/api/v1/ledger/C1").await;
    let rows = ledger["rows"].as_array().unwrap();
    assert_eq!(
        detail["row"],
        *rows.iter().find(|r| r["account_no"] == "C1").unwrap()
    );
    assert_eq!(detail["row"]["yesterday_m3"], "1500.2500");
    let days = detail["days"].as_array().unwrap();
    assert_eq!(days.len(), 400);
    assert_eq!(days[399]["day"], "2026-11-20");
    let yesterday: f64 = detail["yesterday_hours"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h.as_f64().unwrap())
        .sum();
    assert!((yesterday - days[399]["m3"].as_f64().unwrap()).abs() < 1e-6);
    assert_eq!(
        detail["today_hours"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|h| h.is_f64())
            .count(),
        4
    );
    assert!(days[378]["m3"].is_null());
    let temperature = detail["temperature"].as_array().unwrap();
    assert!(!temperature.is_empty() && temperature.iter().all(|t| t["mean_c"] == 3.0));
    let workbook = city.get("/api/v1/ledger/export.xlsx").await;
    assert_eq!(workbook.bytes, b"PK ledger");
    assert!(
        workbook
            .header(header::CONTENT_DISPOSITION)
            .contains("ledger-2026-11-21.xlsx")
    );
}

#[tokio::test]
async fn rejects_curves_nudges_notices_and_names_are_shown() {
    let city = City::filled();
    let rejects = city.json("/api/v1/rejects").await;
    assert_eq!(rejects[0]["code"], "decode.truncated");
    assert_eq!(
        (
            rejects[0]["payload_hex"].as_str(),
            rejects[0]["size_bytes"].as_u64()
        ),
        (Some("6830"), Some(2))
    );
    assert_eq!(rejects[0]["device"], "D-M1");

    let curve = city
        .json("/api/v1/meters/M1/curve?from=2026-11-20&to=2026-11-21")
        .await;
    assert_eq!(curve["days"].as_array().unwrap().len(), 2);
    assert_eq!(curve["pending"], json!(["2026-11-21"]), "a reading came");
    city.mark_dirty("M2", &["2026-11-19", "2026-11-20"]);
    let of_other = city
        .json("/api/v1/meters/M2/curve?from=2026-11-20&to=2026-11-21")
        .await;
    assert_eq!(
        of_other["pending"],
        json!(["2026-11-20"]),
        "of the days asked for"
    );
    let today = &curve["days"][1];
    assert_eq!(today["quality"][3], "measured");
    assert!(today["hours_m3"][3].as_str().unwrap().contains('.'));
    assert!(today["hours_m3"][4].is_null());
    assert_eq!(today["quality"][4], "missing");
    for field in ["method", "uncertainty_m3", "estimates_m3"] {
        assert_eq!(today[field].as_array().unwrap().len(), 24, "{field}");
        assert!(today[field][3].is_null(), "{field}: the hour is measured");
    }
    assert_eq!(city.json("/api/v1/curve-edits?all=true").await, json!([]));
    assert_eq!(city.json("/api/v1/restatements").await, json!([]));

    assert_eq!(city.json("/api/v1/nudges").await, json!([]));

    let notices = city.json("/api/v1/notices?limit=3").await;
    let notices = notices.as_array().unwrap();
    assert_eq!(notices.len(), 3);
    assert!(notices.iter().any(|n| n["kind"] == "reject"));
    assert!(
        notices
            .iter()
            .any(|n| n["kind"] == "nudge" && n["title_zh"] == "避峰建议")
    );

    let meta = city.json("/api/v1/meta").await;
    assert_eq!(meta["classes"].as_array().unwrap().len(), 3);
    assert_eq!(meta["slots"].as_array().unwrap().len(), 7);
    assert_eq!(
        meta["zones"][0],
        json!({ "key": "north", "name_zh": "北区", "name_en": "北区" })
    );
    // A thing has the name of the registry in either language; its key is never shown for it.
    for kind in ["zones", "sources"] {
        for label in meta[kind].as_array().unwrap() {
            assert_eq!(label["name_en"], label["name_zh"]);
            assert_ne!(label["name_en"], label["key"]);
        }
    }
    assert_eq!(meta["sources"][0]["key"], "lng");
}

#[tokio::test]
async fn large_answers_are_compressed_for_whoever_asks() {
    let city = City::filled();
    let request = Request::get("/api/v1/overview")
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::empty())
        .unwrap();
    let answer = city.send(request).await;
    assert_eq!(answer.header(header::CONTENT_ENCODING), "gzip");
    let plain = city.get("/api/v1/overview").await;
    assert!(answer.bytes.len() * 3 < plain.bytes.len());
}
