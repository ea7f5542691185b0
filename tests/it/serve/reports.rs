//! Reports of the week, the month and the quarter, over HTTP.

use axum::http::StatusCode;

use super::city::City;

#[tokio::test]
async fn each_report_is_a_page_in_both_languages_from_the_figures_of_the_console() {
    let city = City::filled();
    for (kind, zh, en) in [
        ("weekly", "大用户与合同执行周报", "Weekly report"),
        ("monthly", "月总结", "Monthly summary"),
        ("quarterly", "季度用气规律变化企业清单", "Quarterly list"),
    ] {
        for (language, title) in [("zh", zh), ("en", en)] {
            let path = format!("/api/v1/reports/{kind}?language={language}");
            let answer = city.get(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
            let page = answer.text();
            assert!(page.contains(title) && page.ends_with("</html>"), "{page}");
            assert!(language == "zh" || !page.contains('万'), "{page}");
        }
    }
    // Every line that the ledger marks is on the week's paper, by name; contracts as the overview has them.
    let week = city.get("/api/v1/reports/weekly").await.text();
    let ledger = city.json("/api/v1/ledger").await;
    let marked: Vec<&str> = ledger["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["status"] != "normal")
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert!(!marked.is_empty());
    for name in marked {
        assert!(week.contains(name), "{name}");
    }
    let overview = city.json("/api/v1/overview").await;
    for source in overview["sources"].as_array().unwrap() {
        assert!(week.contains(source["name"].as_str().unwrap()), "{source}");
    }
    let quarter = city.get("/api/v1/reports/quarterly").await.text();
    let count = ledger["rows"].as_array().unwrap().len();
    assert!(quarter.contains(&format!("台账 {count} 户")), "{quarter}");
}

#[tokio::test]
async fn a_report_that_does_not_exist_is_a_problem_that_names_the_ones_that_do() {
    let city = City::filled();
    let answer = city.get("/api/v1/reports/daily").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let problem = answer.json();
    assert_eq!(problem["code"], "serve.unknown_key");
    assert!(problem["detail"].as_str().unwrap().contains("quarterly"));
}
