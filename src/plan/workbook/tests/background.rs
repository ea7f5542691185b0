//! Sheets 7 to 11.

use super::*;
use crate::plan::declaration::VersionLine;

#[test]
fn the_month_before_is_told_with_its_deviation_beyond_the_band() {
    let mut book = open(declaration(&sample()).unwrap());
    let sheet = book.worksheet_range("上月执行与偏差").unwrap();
    let pipe = row_with(&sheet, "HT-2026-01");
    // 1500 taken of 1400 declared; 5 % of 1400 are free.
    assert!(close(number(&sheet, pipe, 7), 1_500.0));
    assert!(close(number(&sheet, pipe, 8), 100.0));
    assert!(close(number(&sheet, pipe, 9), 100.0 / 1_400.0));
    assert!(close(number(&sheet, pipe, 11), 30.0));
    // 590 of 600: within the band.
    let lng = row_with(&sheet, "HT-LNG");
    assert!(close(number(&sheet, lng, 8), -10.0));
    assert!(close(number(&sheet, lng, 11), 0.0));
    let total = row_with(&sheet, "合计");
    assert!(close(number(&sheet, total, 8), 90.0));
    let by_hand = sheet.get((pipe, 4)).map(ToString::to_string);
    assert_eq!(
        by_hand.unwrap_or_default(),
        "",
        "the reply is nothing the program has"
    );
    let formulas = book.worksheet_formula("上月执行与偏差").unwrap();
    let of_total = formulas
        .get_value((u32::try_from(total).unwrap(), 3))
        .unwrap();
    assert!(of_total.contains("SUM("), "{of_total}");
    // A day of it is unknown: so is what was taken.
    let mut d = sample();
    d.background.as_mut().unwrap().execution.lines[0].measured_m3 = None;
    let mut book = open(declaration(&d).unwrap());
    let sheet = book.worksheet_range("上月执行与偏差").unwrap();
    for col in [5, 7, 8, 9, 11] {
        assert_eq!(sheet.get((pipe, col)).unwrap().to_string(), "—");
    }
    assert_eq!(sheet.get((total, 7)).unwrap().to_string(), "—");
}

#[test]
fn security_is_of_the_largest_day_of_each_future() {
    let d = sample();
    let s = &d.background.as_ref().unwrap().security;
    assert_eq!(s.month_p50_m3, d.total.forecast.p50_m3);
    assert_eq!(s.month_p90_m3, d.total.forecast.p90_m3);
    assert!(s.month_p99_m3 > s.month_p90_m3);
    let largest = d.days.iter().max_by_key(|day| day.forecast.p50_m3).unwrap();
    assert_eq!(
        (s.peak_day, s.peak_p50_m3),
        (Some(largest.day), largest.forecast.p50_m3)
    );
    // The largest of many days is higher than any of them alone.
    assert!(s.peak_p90_m3 >= largest.forecast.p90_m3 && s.peak_p99_m3 > s.peak_p90_m3);
    let mut book = open(declaration(&d).unwrap());
    let sheet = book.worksheet_range("保供与储气").unwrap();
    let of = |label: &str| number(&sheet, row_with(&sheet, label), 1);
    assert!(close(of("储气义务"), 0.05) && close(of("近一年购气量"), 16_000.0));
    assert!(close(
        number(&sheet, row_with(&sheet, "储气义务比例") + 1, 1),
        800.0
    ));
    assert!(close(of("应可中断量"), 12.0));
    assert!(close(of("可中断量达标率"), of("可中断大用户") / 12.0));
    let gap = (page::wan(s.peak_p90_m3) - page::wan(s.take_day_max_m3.unwrap())).max(0.0);
    assert!(close(of("高日P90缺口"), gap));
    // What nobody told is empty and counted as soon as it is told.
    let formulas = book.worksheet_formula("保供与储气").unwrap();
    let row = u32::try_from(row_with(&sheet, "储气能力差额")).unwrap();
    assert!(formulas.get_value((row, 1)).unwrap().contains("ISNUMBER"));
    assert_eq!(sheet.get((row as usize, 1)).unwrap().to_string(), "—");
}

#[test]
fn what_is_declared_is_priced_and_no_supplier_sees_it() {
    let d = sample();
    let mut book = open(declaration(&d).unwrap());
    let sheet = book.worksheet_range("价格测算(内部)").unwrap();
    let total = row_with(&sheet, "合计");
    assert!(close(
        number(&sheet, total, 5),
        page::wan(d.total.declared_m3)
    ));
    let components = || d.contracts.iter().flat_map(|c| &c.components);
    let yuan: f64 = components()
        .map(|c| c.declared_m3 as f64 * c.price_yuan_per_m3)
        .sum();
    assert!(close(number(&sheet, total, 6), yuan / 10_000.0));
    assert!(close(number(&sheet, row_with(&sheet, "差额"), 5), 0.0));
    let price = number(&sheet, row_with(&sheet, "综合价格"), 6);
    assert!(close(price, yuan / d.total.declared_m3 as f64), "{price}");
    let expected = number(&sheet, row_with(&sheet, "期望费用合计"), 6);
    assert!(
        (expected - d.optimum.expected_yuan / 10_000.0).abs() < 1e-3,
        "{expected}"
    );
    let copy = declaration_for(&d, &d.suppliers[0]).unwrap().unwrap();
    assert!(
        !open(copy)
            .sheet_names()
            .iter()
            .any(|name| name.contains("价格"))
    );
}

#[test]
fn notes_and_versions_are_told_and_a_document_without_them_says_so() {
    let mut d = sample();
    let earlier = VersionLine::of(&d, d.made_at, ["甲", "初次"]).unwrap();
    d.background.as_mut().unwrap().versions = vec![earlier.clone()];
    d.version = 2;
    let mut book = open(declaration(&d).unwrap());
    let sheet = book.worksheet_range("审签与版本").unwrap();
    let hash = |label: &str| sheet.get((row_with(&sheet, label), 6)).unwrap().to_string();
    assert_eq!(hash("V1"), earlier.sha256);
    let meta = book.worksheet_range("_meta").unwrap();
    let said = meta
        .get((row_with(&meta, "content_sha256"), 1))
        .unwrap()
        .to_string();
    assert_eq!(hash("V2"), said);
    let sheet = book.worksheet_range("预测说明").unwrap();
    let total = row_with(&sheet, "合计（销气量）");
    assert!(close(number(&sheet, total, 3), 0.03) && close(number(&sheet, total, 6), 0.81));
    assert_eq!(sheet.get((total, 8)).unwrap().to_string(), "—");
    let quality = row_with(&sheet, "数据质量");
    assert!(
        sheet
            .get((quality, 1))
            .unwrap()
            .to_string()
            .contains("估算占3.00%")
    );
    assert!(sheet.cells().any(|(.., cell)| *cell == "表计检修"));
    d.background = None;
    let mut book = open(declaration(&d).unwrap());
    for name in ["上月执行与偏差", "保供与储气", "预测说明", "审签与版本"] {
        let sheet = book.worksheet_range(name).unwrap();
        assert!(
            sheet
                .cells()
                .any(|(.., c)| c.to_string().contains("较早版本")),
            "{name}"
        );
    }
}
