//! The months ahead, as the API tells them.

use axum::http::StatusCode;
use qiliang::domain::calendar::GasMonth;
use qiliang::domain::months::{MonthBasis, MonthCell, MonthSeries, MonthlyOutlook, OutlookMonth};
use qiliang::store::book::RunBeside;
use serde_json::Value;

use super::city::{City, at, forecast, registry};
use super::failures::assert_problem;

/// Eighteen months of every node and source, each cell a number of its own.
fn outlook(run_id: &str) -> MonthlyOutlook {
    let registry = registry();
    let mut month: GasMonth = "2026-11".parse().unwrap();
    let months: Vec<OutlookMonth> = (0..18)
        .map(|ahead| {
            let of = OutlookMonth {
                month,
                basis: match ahead {
                    0 | 1 => MonthBasis::Run,
                    2 => MonthBasis::Joint,
                    _ => MonthBasis::Months,
                },
                known_days: 0,
                filled_days: 0,
                run_days: 0,
                later_days: 0,
            };
            month = month.next();
            of
        })
        .collect();
    let mut series = Vec::new();
    for (index, node) in (1..).zip(registry.nodes()) {
        for (place, source) in (1..).zip(registry.sources.keys()) {
            let m3 = |month: i64| 10_000 * index + 1_000 * place + 7 * month;
            series.push(MonthSeries {
                zone: node.zone.clone(),
                source: source.clone(),
                class: node.class,
                model: "seasonal_smoothing".into(),
                cells: (0..18)
                    .map(|month| MonthCell {
                        m3: m3(month),
                        known_m3: if month == 0 { 500 } else { 0 },
                        parts_m3: [1, m3(month) - 3 - if month == 0 { 500 } else { 0 }, 2, 0],
                        naive_m3: (month < 17).then_some(m3(month) - 9),
                    })
                    .collect(),
                draws: (0..11)
                    .flat_map(|draw| (0..18).map(move |month| (draw, month)))
                    .map(|(draw, month)| m3(month) as f32 * (0.95 + 0.01 * draw as f32))
                    .collect(),
            });
        }
    }
    MonthlyOutlook {
        run_id: run_id.into(),
        origin_at: at("2026-11-21T10:00:00+08:00"),
        months,
        draws: 11,
        series,
    }
}

fn p50(point: &Value) -> i64 {
    point["band"]["p50_m3"].as_i64().unwrap()
}

/// First and last month of the periods of a kind, and whether they are whole.
fn spans(periods: &[Value], kind: &str) -> Vec<(String, String, bool)> {
    let found = periods.iter().filter(|period| period["kind"] == kind);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    found
        .map(|period| {
            let whole = period["is_whole"].as_bool().unwrap();
            (text(&period["from"]), text(&period["to"]), whole)
        })
        .collect()
}

#[tokio::test]
async fn months_sum_over_every_dimension_and_over_the_year() {
    let city = City::filled();
    assert_problem(
        &city.get("/api/v1/forecast/months").await,
        StatusCode::NOT_FOUND,
        "forecast.no_months_yet",
    );
    let origin_at = at("2026-11-21T10:00:00+08:00");
    let run = forecast(&registry(), origin_at);
    let months = outlook(run.run_id.as_str());
    let book = city.book.clone();
    let put = move || {
        let beside = RunBeside {
            months: Some(&months),
            ..RunBeside::default()
        };
        book.put_forecast_run(&run, beside, origin_at)
    };
    tokio::task::spawn_blocking(put).await.unwrap().unwrap();
    let total = city.json("/api/v1/forecast/months").await;
    assert_eq!(total["months"].as_array().unwrap().len(), 18);
    assert_eq!(total["series"], serde_json::json!([]));
    let points = total["total"]["points"].as_array().unwrap();
    for by in ["zone", "source", "class", "node"] {
        let split = city.json(&format!("/api/v1/forecast/months?by={by}")).await;
        let series = split["series"].as_array().unwrap();
        assert!(!series.is_empty(), "{by}");
        for (index, point) in points.iter().enumerate() {
            let sum: i64 = series.iter().map(|of| p50(&of["points"][index])).sum();
            assert_eq!(sum, p50(point), "{by} {index}");
            let parts = point["parts_m3"].as_array().unwrap().iter();
            let parts: i64 = parts.map(|m3| m3.as_i64().unwrap()).sum();
            assert_eq!(point["known_m3"].as_i64().unwrap() + parts, p50(point));
        }
        let key = series[0]["label"]["key"].as_str().unwrap();
        let path = format!(
            "/api/v1/forecast/months?by={by}&key={}",
            key.replace('/', "%2F")
        );
        let one = city.json(&path).await;
        assert_eq!(one["series"].as_array().unwrap()[..], series[..1]);
    }
    let periods = total["total"]["periods"].as_array().unwrap();
    let of = |kind: &str| spans(periods, kind);
    let span = |from: &str, to: &str, whole| (from.to_owned(), to.to_owned(), whole);
    assert_eq!(of("next12"), [span("2026-11", "2027-10", true)]);
    assert_eq!(
        of("heating"),
        [
            span("2026-11", "2027-03", true),
            span("2027-11", "2028-03", true)
        ]
    );
    assert_eq!(
        of("contract_year"),
        [
            span("2026-11", "2027-03", false),
            span("2027-04", "2028-03", true),
            span("2028-04", "2028-04", false)
        ]
    );
    assert_eq!(
        of("calendar_year"),
        [
            span("2026-11", "2026-12", false),
            span("2027-01", "2027-12", true),
            span("2028-01", "2028-04", false)
        ]
    );
    let heating = periods.iter().find(|period| period["kind"] == "heating");
    let winter: i64 = points[..5].iter().map(p50).sum();
    assert_eq!(p50(heating.unwrap()), winter);
    // Its band is that of sums, not the sum of bands: here all months go together, so both are alike.
    let low: i64 = points[..5]
        .iter()
        .map(|point| point["band"]["p10_m3"].as_i64().unwrap())
        .sum();
    let p10 = heating.unwrap()["band"]["p10_m3"].as_i64().unwrap();
    assert!((p10 - low).abs() <= 5, "{p10} {low}");
    // A month of which last year is not known everywhere has none.
    assert!(points[17]["naive_m3"].is_null() && points[16]["naive_m3"].is_i64());
    assert_eq!(points[0]["methods"], serde_json::json!([]));
    assert_eq!(points[4]["methods"][0]["model"], "seasonal_smoothing");
    assert_problem(
        &city
            .get("/api/v1/forecast/months?by=class&key=nobody")
            .await,
        StatusCode::BAD_REQUEST,
        "serve.unknown_key",
    );
    assert_problem(
        &city.get("/api/v1/forecast/months?by=slot").await,
        StatusCode::BAD_REQUEST,
        "serve.bad_query",
    );
}
