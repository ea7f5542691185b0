use std::collections::BTreeMap;
use std::io::Cursor;

use calamine::{Data, Range, Reader as _, Xlsx};
use proptest::prelude::*;

use super::*;
use crate::plan::fixture;

mod background;
mod wording;

pub(super) type Book = Xlsx<Cursor<Vec<u8>>>;

pub(super) fn open(bytes: Vec<u8>) -> Book {
    Xlsx::new(Cursor::new(bytes)).unwrap()
}

pub(super) fn sample() -> Declaration {
    crate::plan::declaration::tests::made(&fixture::registry(), &fixture::forecast(62, 1.1))
        .unwrap()
}

/// The row whose first cell begins with `label`.
pub(super) fn row_with(sheet: &Range<Data>, label: &str) -> usize {
    let found = sheet.rows().position(|row| {
        row.first()
            .is_some_and(|c| c.to_string().starts_with(label))
    });
    found.unwrap_or_else(|| panic!("no row {label}"))
}

pub(super) fn number(sheet: &Range<Data>, row: usize, col: usize) -> f64 {
    match sheet.get((row, col)) {
        Some(Data::Float(v)) => *v,
        Some(Data::Int(v)) => *v as f64,
        Some(Data::String(text)) => text
            .parse()
            .unwrap_or_else(|_| panic!("{row},{col}: {text}")),
        other => panic!("{row},{col}: {other:?}"),
    }
}

pub(super) fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.000_05
}

#[test]
fn every_sheet_has_the_same_total() {
    check_sheets(&sample());
}

#[test]
fn a_supplier_is_sent_its_own_contracts_and_nothing_of_ours() {
    let d = sample();
    assert_eq!(declaration_for(&d, "nobody").unwrap(), None);
    for (k, line) in d.contracts.iter().enumerate() {
        let bytes = declaration_for(&d, &line.supplier).unwrap().unwrap();
        assert_eq!(
            declaration_for(&d, &line.supplier).unwrap().as_ref(),
            Some(&bytes)
        );
        let mut book = open(bytes);
        assert_eq!(
            book.sheet_names(),
            ["封面", "月度汇总", "分日计划", "_meta"]
        );
        let declared = page::wan(line.declared_m3);
        let cover = book.worksheet_range("封面").unwrap();
        let row = row_with(&cover, "申报总量");
        assert!(close(number(&cover, row, 1), declared));
        let summary = book.worksheet_range("月度汇总").unwrap();
        let row = row_with(&summary, "合计");
        assert!(close(number(&summary, row, 8), declared));
        let components = summary.rows().skip(3).take(line.components.len());
        let sum: f64 = components
            .map(|row| row[8].to_string().parse::<f64>().unwrap())
            .sum();
        assert!(close(sum, declared));
        let days = book.worksheet_range("分日计划").unwrap();
        let row = row_with(&days, "合计");
        assert!(close(number(&days, row, 4), declared));
        for (at, day) in d.days.iter().enumerate() {
            assert!(close(
                number(&days, 3 + at, 3),
                page::wan(day.declared_m3[k])
            ));
        }
        // No band, no price, no other supplier, none of our customers.
        let other = &d.contracts[1 - k];
        for name in book.sheet_names() {
            for cell in book.worksheet_range(&name).unwrap().cells() {
                let text = cell.2.to_string();
                for ours in ["P50", "P10", "P90", "元", "企业I1", other.supplier.as_str()] {
                    assert!(!text.contains(ours), "{name}: {text}");
                }
                assert_ne!(text, other.contract.as_str());
            }
        }
        // The sums are live.
        let formulas = book.worksheet_formula("月度汇总").unwrap();
        assert!(formulas.cells().any(|cell| cell.2.contains("SUM(")));
    }
}

#[test]
fn gas_of_others_stands_below_the_total() {
    let mut parts = fixture::parts();
    parts.customers[1].sale_mode = crate::domain::customer::SaleMode::Wheeling;
    let registry = crate::domain::registry::Registry::new(parts);
    let forecast = fixture::forecast(62, 1.1);
    let mut d = crate::plan::declaration::tests::made(&registry, &forecast).unwrap();
    d.large_consumers[0].sale_mode = crate::domain::customer::SaleMode::Wheeling;
    check_sheets(&d);
    let mut book = open(declaration(&d).unwrap());
    let sheet = book.worksheet_range("用户结构").unwrap();
    let row = row_with(&sheet, "过网气量合计");
    assert!(row > row_with(&sheet, "合计"));
    assert!(close(number(&sheet, row, 5), 46.5));
    // What it adopted is no part of what is bought, so it is not taken off for the others.
    let sheet = book.worksheet_range("重点用户").unwrap();
    let row = row_with(&sheet, "其余用户");
    assert!(close(
        number(&sheet, row, 9),
        page::wan(d.total.forecast.p50_m3)
    ));
}

/// Every sheet, as it is read back from the file, against the document and each other.
fn check_sheets(d: &Declaration) {
    let mut book = open(declaration(d).unwrap());
    assert_eq!(
        book.sheet_names(),
        [
            "封面",
            "月度汇总",
            "分日计划",
            "用户结构",
            "用气时段",
            "重点用户",
            "新增与项目",
            "上月执行与偏差",
            "保供与储气",
            "预测说明",
            "价格测算(内部)",
            "审签与版本",
            "_meta"
        ]
    );
    let p50 = page::wan(d.total.forecast.p50_m3);
    let declared = page::wan(d.total.declared_m3);
    let mut total = |name: &str, label: &str, p50_col: usize, declared_col: usize| {
        let sheet = book.worksheet_range(name).unwrap();
        let row = row_with(&sheet, label);
        assert!(close(number(&sheet, row, p50_col), p50), "{name}");
        assert!(close(number(&sheet, row, declared_col), declared), "{name}");
        let check = row_with(&sheet, "差额");
        assert!(close(number(&sheet, check, p50_col), 0.0), "{name}");
        assert!(close(number(&sheet, check, declared_col), 0.0), "{name}");
    };
    total("月度汇总", "合计", 9, 12);
    total("分日计划", "合计", 7, 6);
    total("用户结构", "合计", 5, 10);
    total("用气时段", "合计", 12, 14);
    let parts = book.worksheet_range("新增与项目").unwrap();
    let of = |label: &str, col: usize| number(&parts, row_with(&parts, label), col);
    assert!(close(of("合计（购气量）", 5), p50));
    assert!(close(of("本月申报量（含损耗）", 5), declared));
    for (label, col) in [
        ("差额", 5),
        ("申报差额", 5),
        ("计划用气客户差额", 13),
        ("新增/置换客户差额", 13),
        ("其他影响因素差额", 13),
    ] {
        assert!(close(of(label, col), 0.0), "{label}");
    }
    // Each list explains the part of its column.
    for (label, col) in [
        ("计划用气客户合计", 1),
        ("新增/置换客户合计", 3),
        ("其他影响因素合计", 4),
    ] {
        let part = of("合计（购气量）", col);
        assert!(close(of(label, 13), part), "{label}");
    }
    let cover = book.worksheet_range("封面").unwrap();
    let row = row_with(&cover, "申报总量");
    assert!(close(number(&cover, row, 1), declared));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    /// Random cities: what is read back from the file agrees to 0.0001 万m³ on every sheet.
    #[test]
    fn the_sheets_of_random_cities_agree(
        scale in 0.3..1.3_f64,
        wobbles in prop::collection::vec(0.5..1.5_f64, 1..9),
    ) {
        let mut forecast = fixture::forecast(62, scale);
        for (at, node) in forecast.nodes.iter_mut().enumerate() {
            for (day, hours) in node.p50_m3.iter_mut().enumerate() {
                let wobble = wobbles[(at + day) % wobbles.len()];
                *hours = hours.map(|m3| m3 * wobble);
            }
        }
        forecast.cube = crate::domain::demand::DemandCube::publish(&forecast.nodes, &forecast.shares);
        let d = crate::plan::declaration::tests::made(&fixture::registry(), &forecast).unwrap();
        check_sheets(&d);
    }
}

/// Sums a `SUM(range)` or `A+B` formula over the cached cells, as a spreadsheet would.
fn evaluate(sheets: &BTreeMap<String, Range<Data>>, own: &str, formula: &str) -> Option<f64> {
    let position = |cell: &str| -> (u32, u32) {
        let letters: String = cell.chars().take_while(char::is_ascii_alphabetic).collect();
        let digits: String = cell.chars().skip(letters.len()).collect();
        let col = letters
            .bytes()
            .fold(0, |sum, b| sum * 26 + u32::from(b - b'A') + 1);
        (digits.parse::<u32>().unwrap() - 1, col - 1)
    };
    let value = |reference: &str| -> f64 {
        let (sheet, cell) = match reference.split_once('!') {
            Some((sheet, cell)) => (sheet.trim_matches('\''), cell),
            None => (own, reference),
        };
        let range = &sheets[sheet];
        let (row, col) = position(cell);
        match range.get_value((row, col)) {
            Some(Data::Float(v)) => *v,
            Some(Data::Int(v)) => *v as f64,
            Some(Data::String(text)) => text.parse().unwrap_or(0.0),
            _ => 0.0,
        }
    };
    if let Some(inner) = formula
        .strip_prefix("SUM(")
        .and_then(|f| f.strip_suffix(')'))
    {
        let (from, to) = inner.split_once(':')?;
        let ((r0, c0), (r1, c1)) = (position(from), position(to));
        let range = &sheets[own];
        let mut sum = 0.0;
        for row in r0..=r1 {
            for col in c0..=c1 {
                sum += match range.get_value((row, col)) {
                    Some(Data::Float(v)) => *v,
                    Some(Data::Int(v)) => *v as f64,
                    _ => 0.0,
                };
            }
        }
        return Some(sum);
    }
    let is_reference = |part: &str| {
        let cell = part.rsplit('!').next().unwrap_or(part);
        cell.chars().next().is_some_and(|c| c.is_ascii_uppercase())
            && cell.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let parts: Vec<&str> = formula
        .split('+')
        .map(|p| {
            p.strip_prefix("N(")
                .and_then(|p| p.strip_suffix(')'))
                .unwrap_or(p)
        })
        .collect();
    parts
        .iter()
        .all(|p| is_reference(p))
        .then(|| parts.iter().map(|p| value(p)).sum())
}

#[test]
fn totals_are_formulas_and_their_results_are_what_the_cells_add_up_to() {
    let d = sample();
    let mut book = open(declaration(&d).unwrap());
    let names = book.sheet_names().clone();
    let sheets: BTreeMap<String, Range<Data>> = names
        .iter()
        .map(|n| (n.clone(), book.worksheet_range(n).unwrap()))
        .collect();
    let mut checked = 0;
    for name in &names {
        let formulas = book.worksheet_formula(name).unwrap();
        for (row, col, formula) in formulas.used_cells() {
            let start = formulas.start().unwrap();
            let at = (
                start.0 + u32::try_from(row).unwrap(),
                start.1 + u32::try_from(col).unwrap(),
            );
            if formula.is_empty() {
                continue;
            }
            let cached = match sheets[name].get_value(at) {
                Some(Data::Float(v)) => *v,
                Some(Data::Int(v)) => *v as f64,
                // It waits for a cell to be filled by hand.
                Some(Data::String(dash)) if dash == "—" && formula.contains("ISNUMBER(") => {
                    continue;
                }
                other => panic!("{name} {at:?} {formula}: {other:?}"),
            };
            if let Some(sum) = evaluate(&sheets, name, formula) {
                assert!(
                    close(sum, cached),
                    "{name} {at:?} {formula}: {sum} {cached}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked}");
    // The total of each sheet is one of them.
    for (name, col) in [
        ("月度汇总", 9_u32),
        ("分日计划", 7),
        ("用户结构", 5),
        ("用气时段", 12),
        ("新增与项目", 5),
    ] {
        let row = u32::try_from(row_with(&sheets[name], "合计")).unwrap();
        let formulas = book.worksheet_formula(name).unwrap();
        assert!(
            formulas
                .get_value((row, col))
                .is_some_and(|f| !f.is_empty()),
            "{name}"
        );
    }
}

#[test]
fn the_same_version_gives_the_same_bytes() {
    let d = sample();
    assert_eq!(declaration(&d).unwrap(), declaration(&d).unwrap());
    let mut next = d.clone();
    next.version = 2;
    assert_ne!(declaration(&next).unwrap(), declaration(&d).unwrap());
}

#[test]
fn the_cover_counts_what_was_sent_and_no_drafts() {
    let cover = |version: u32, submission_no: u32, is_sent: bool| {
        let mut d = sample();
        (d.version, d.submission_no) = (version, submission_no);
        d.sent_at = is_sent.then_some(d.made_at);
        let sheet = open(declaration(&d).unwrap()).worksheet_range("封面");
        let sheet = sheet.unwrap();
        let mut cells = sheet.used_cells().map(|(_, _, cell)| cell.to_string());
        cells
            .find(|text| text.contains(" / ") && !text.starts_with("版本"))
            .unwrap()
    };
    // Twenty days of drafts by the clock, under one number or many: none is a version to speak of.
    let draft = format!("草稿（{}编制）", instant_zh(sample().made_at));
    assert_eq!(cover(120, 1, false), format!("{draft} / 未上报"));
    assert_eq!(cover(3, 1, true), "V3 / 第1次上报");
    assert_eq!(cover(4, 2, false), format!("{draft} / 已上报1次"));
    assert_eq!(cover(5, 2, true), "V5 / 第2次上报");
}

#[test]
fn the_hidden_sheet_names_the_version() {
    let d = sample();
    let mut book = open(declaration(&d).unwrap());
    let meta = book.worksheet_range("_meta").unwrap();
    let row = row_with(&meta, "content_sha256");
    assert_eq!(
        meta.get((row, 1)).unwrap().to_string(),
        d.content_hash().unwrap()
    );
    assert_eq!(
        book.sheets_metadata().last().unwrap().visible,
        calamine::SheetVisible::Hidden
    );
}

#[test]
fn an_empty_list_of_large_consumers_still_prints() {
    let mut d = sample();
    d.large_consumers.clear();
    let mut book = open(declaration(&d).unwrap());
    let sheet = book.worksheet_range("重点用户").unwrap();
    assert!(close(number(&sheet, row_with(&sheet, "合计"), 9), 0.0));
}

#[test]
fn the_nomination_adds_up_on_both_sheets() {
    let n = crate::plan::nomination::tests::made(
        &fixture::registry(),
        &fixture::forecast(10, 1.0),
        "2026-11-21",
    )
    .unwrap();
    let bytes = nomination(&n).unwrap();
    assert_eq!(nomination(&n).unwrap(), bytes);
    assert_eq!(n.file_name(), "某燃_2026年11月21日日指定申请表_V1.xlsx");
    let mut book = open(bytes);
    let form = book.worksheet_range("日指定").unwrap();
    let total = row_with(&form, "合计");
    let nominated = page::wan(n.asked_m3());
    assert!(close(number(&form, total, 13), nominated));
    assert!(close(number(&form, total, 16), nominated));
    assert!(close(number(&form, row_with(&form, "差额"), 13), 0.0));
    let hours = book.worksheet_range("24小时计划").unwrap();
    assert_eq!(hours.get((3, 0)).unwrap().to_string(), "08:00–09:00");
    let total = row_with(&hours, "合计");
    assert!(close(number(&hours, total, 3), nominated));
    let formulas = book.worksheet_formula("日指定").unwrap();
    assert_eq!(formulas.get_value((5, 13)).unwrap(), "SUM(N4:N5)");
}

#[test]
fn who_and_why_stand_beside_each_part() {
    let mut book = open(declaration(&sample()).unwrap());
    let sheet = book.worksheet_range("新增与项目").unwrap();
    let words: Vec<String> = sheet.cells().map(|(_, _, cell)| cell.to_string()).collect();
    for wanted in [
        "企业I1",
        "P1 玻璃二期",
        "乙",
        "丙",
        "在建",
        "调度长",
        "限时经营通知",
        "2026-12-31",
    ] {
        assert!(words.iter().any(|word| word == wanted), "{wanted}");
    }
}

#[test]
fn two_sheets_with_figures_of_the_same_customer_say_how_they_differ() {
    let d = sample();
    let mut book = open(declaration(&d).unwrap());
    let sheet = book.worksheet_range("重点用户").unwrap();
    let note = row_with(&sheet, "系统预测P50");
    let text = sheet.get((note, 0)).unwrap().to_string();
    assert!(
        text.contains("“新增与项目”表") && text.contains("可不相等"),
        "{text}"
    );
    assert!(book.sheet_names().contains(&"新增与项目".to_owned()));
    // Below the rows, above the signatures.
    assert!(row_with(&sheet, "其余用户") < note);
}

#[test]
fn a_version_without_parts_says_so() {
    let mut d = sample();
    d.parts = None;
    let mut book = open(declaration(&d).unwrap());
    let sheet = book.worksheet_range("新增与项目").unwrap();
    assert!(
        sheet
            .get_value((3, 0))
            .unwrap()
            .to_string()
            .contains("较早版本")
    );
}
