//! What the forms say beside their figures: which version, whose words, of which month, at which conditions.

use calamine::Reader as _;

use super::*;
use crate::plan::fixture;
use crate::plan::nomination::Nomination;

/// All texts of a workbook's sheets that people see.
fn texts(bytes: Vec<u8>) -> Vec<(String, String)> {
    let mut book = open(bytes);
    let names = book.sheet_names().clone();
    let mut all = Vec::new();
    for name in names.into_iter().filter(|name| name != "_meta") {
        let sheet = book.worksheet_range(&name).unwrap();
        all.extend(
            sheet
                .cells()
                .map(|(_, _, cell)| (name.clone(), cell.to_string())),
        );
    }
    all
}

#[test]
fn a_supplier_reads_no_words_of_the_program() {
    let mut d = sample();
    d.prepared_by = "console".into();
    d.change_reason = Some("asked for in the console".into());
    let supplier = d.contracts[0].supplier.clone();
    let copy = texts(declaration_for(&d, &supplier).unwrap().unwrap());
    let has = |word: &str| copy.iter().any(|(_, text)| text == word);
    assert!(has("控制台重新编制") && has("控制台"), "{copy:?}");
    for (sheet, text) in &copy {
        assert!(!text.contains("console"), "{sheet}: {text}");
    }
    // What a person wrote stays as it is.
    d.change_reason = Some("3号炉停产".into());
    let copy = texts(declaration_for(&d, &supplier).unwrap().unwrap());
    assert!(copy.iter().any(|(_, text)| text == "3号炉停产"));
}

#[test]
fn a_draft_has_its_time_and_what_was_sent_its_number() {
    let note = |n: &Nomination| {
        let texts = texts(nomination(n).unwrap());
        texts
            .into_iter()
            .find(|(_, text)| text.contains("单号"))
            .unwrap()
            .1
    };
    let mut n = crate::plan::nomination::tests::made(
        &fixture::registry(),
        &fixture::forecast(10, 1.0),
        "2026-11-21",
    )
    .unwrap();
    let no = n.nomination_no.clone();
    let draft = format!("单号：{no} 草稿（{}编制）", instant_zh(n.made_at));
    assert!(note(&n).ends_with(&draft), "{}", note(&n));
    (n.version, n.sent_at) = (4, Some(n.made_at));
    assert!(
        note(&n).ends_with(&format!("单号：{no} V4")),
        "{}",
        note(&n)
    );
}

#[test]
fn a_change_stands_beside_what_was_nominated_and_the_hours_follow_it() {
    let mut n = crate::plan::nomination::tests::made(
        &fixture::registry(),
        &fixture::forecast(10, 1.0),
        "2026-11-21",
    )
    .unwrap();
    let sent = n.clone();
    n.change_what_was_sent(&sent);
    let first = n.lines[0].contract.clone();
    let m3 = sent.lines[0].nominated_m3 - 9_000;
    n.edit(&first, m3, Some("用户停产".into())).unwrap();
    let mut book = open(nomination(&n).unwrap());
    let form = book.worksheet_range("日指定").unwrap();
    assert!(close(
        number(&form, 3, 13),
        page::wan(sent.lines[0].nominated_m3)
    ));
    assert!(close(number(&form, 3, 18), page::wan(m3)));
    let total = row_with(&form, "合计");
    assert!(close(number(&form, total, 13), page::wan(sent.asked_m3())));
    assert!(close(
        number(&form, total, 18),
        page::wan(sent.asked_m3() - 9_000)
    ));
    assert!(close(
        number(&form, total, 16),
        page::wan(sent.asked_m3() - 9_000)
    ));
    assert!(close(number(&form, row_with(&form, "差额"), 13), 0.0));
    let hours = book.worksheet_range("24小时计划").unwrap();
    assert!(close(number(&hours, row_with(&hours, "差额"), 3), 0.0));
}

/// A declaration of December made on 20 November.
fn early() -> Declaration {
    let mut d = sample();
    d.last_month_measured_until = Some("2026-11-19".parse().unwrap());
    for line in &mut d.contracts {
        line.last_month_m3 = Some(9_156_403);
        line.last_month_measured_m3 = Some(5_310_000);
    }
    d
}

#[test]
fn a_month_before_that_is_partly_forecast_is_no_actual() {
    let ours = texts(declaration(&early()).unwrap());
    let heads = |sheet: &str| {
        let of_sheet = ours.iter().filter(|(name, _)| name == sheet);
        let found: Vec<String> = of_sheet
            .filter(|(_, text)| text.starts_with("上月实际"))
            .map(|(_, text)| text.clone())
            .collect();
        found
    };
    assert_eq!(heads("月度汇总"), ["上月实际\n(11-20起为预计)"]);
    assert_eq!(heads("用户结构"), ["上月实际\n(11-20起为预计)"]);
    let measured = explain::wan(2.0 * 5_310_000.0);
    let note = format!("上月实际自11-20起为预计，此前已计量{measured}万m³");
    assert!(ours.iter().any(|(_, text)| text.contains(&note)), "{note}");

    let d = early();
    let supplier = d.contracts[0].supplier.clone();
    let bytes = declaration_for(&d, &supplier).unwrap().unwrap();
    let mut book = open(bytes);
    let sheet = book.worksheet_range("月度汇总").unwrap();
    assert_eq!(
        sheet.get((2, 7)).unwrap().to_string(),
        "上月实际\n(至11-19)"
    );
    // The first contract's subtotal, and the total: nothing forecast.
    let subtotal = 3 + d.contracts[0].components.len();
    assert!(close(number(&sheet, subtotal, 7), 531.0));
    let own = d
        .contracts
        .iter()
        .filter(|l| l.supplier == supplier)
        .count();
    let total = number(&sheet, row_with(&sheet, "合计"), 7);
    assert!(close(total, own as f64 * 531.0), "{total}");
    // Nothing of the month is over yet: nothing is told.
    let mut d = early();
    d.last_month_measured_until = Some("2026-10-31".parse().unwrap());
    let mut book = open(declaration_for(&d, &supplier).unwrap().unwrap());
    let sheet = book.worksheet_range("月度汇总").unwrap();
    assert_eq!(sheet.get((2, 7)).unwrap().to_string(), "上月实际");
    assert_eq!(sheet.get((subtotal, 7)).unwrap().to_string(), "—");
    // All of it is over.
    let whole = texts(declaration(&sample()).unwrap());
    assert!(whole.iter().any(|(_, text)| text == "上月实际"));
    assert!(!whole.iter().any(|(_, text)| text.contains("起为预计")));
}

#[test]
fn every_sheet_says_what_its_volumes_refer_to() {
    let nominated = || {
        crate::plan::nomination::tests::made(
            &fixture::registry(),
            &fixture::forecast(10, 1.0),
            "2026-11-21",
        )
        .unwrap()
    };
    let of = |reference: Option<ReferenceConditions>| {
        let (mut d, mut n) = (sample(), nominated());
        (d.reference, n.reference) = (reference, reference);
        let supplier = d.contracts[0].supplier.clone();
        [
            declaration(&d).unwrap(),
            declaration_for(&d, &supplier).unwrap().unwrap(),
            nomination(&n).unwrap(),
        ]
    };
    let units = |bytes: Vec<u8>| -> Vec<(String, String)> {
        let texts = texts(bytes).into_iter();
        texts
            .filter(|(_, text)| text.starts_with("单位：万m³"))
            .collect()
    };
    // The documents have it from the company's own setting.
    let kept = [sample().reference, nominated().reference];
    assert_eq!(kept, [Some(ReferenceConditions::CHINA); 2]);
    let sheets = [7, 3, 2];
    for (bytes, least) in of(kept[0]).into_iter().zip(sheets) {
        let units = units(bytes);
        assert!(units.len() >= least - 1, "{units:?}");
        for (sheet, unit) in units {
            assert!(unit.ends_with("（20℃，101.325kPa）"), "{sheet}: {unit}");
        }
    }
    let normal = Some(ReferenceConditions::NORMAL);
    for (sheet, unit) in of(normal).into_iter().flat_map(units) {
        assert!(unit.ends_with("（0℃，101.325kPa）"), "{sheet}: {unit}");
    }
    for (sheet, unit) in of(None).into_iter().flat_map(units) {
        assert!(!unit.contains("kPa"), "{sheet}: {unit}");
    }
}

#[test]
fn the_cover_of_a_gap_is_said_with_what_is_left_of_it() {
    let mut d = sample();
    let gap = &mut d.gaps[0];
    (gap.gap_p50_m3, gap.gap_p90_m3) = (2_019_000, 4_246_000);
    (gap.market_m3, gap.swing_m3, gap.interruptible_m3) = (0, 0, 37_600);
    let gap = &mut d.gaps[1];
    (gap.gap_p50_m3, gap.gap_p90_m3) = (133_000, 427_000);
    (gap.market_m3, gap.swing_m3, gap.interruptible_m3) = (0, 828_700, 0);
    let words = texts(declaration(&d).unwrap());
    for wanted in [
        "P50缺口拟补：市场化0.00、兜底气源调入0.00、可中断3.76，其余198.14由超提承担",
        "P50缺口拟补：市场化0.00、兜底气源调入13.30、可中断0.00，其余0.00由超提承担；另经济调剂69.57（不属拟补）",
    ] {
        assert!(words.iter().any(|(_, text)| text == wanted), "{wanted}");
    }
}
