use std::io::Write as _;

use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// What cells say: place, customer, day, m³.
fn said(table: &PlanTable) -> Vec<(String, String, String, String)> {
    let cells = table.cells.iter();
    cells
        .map(|cell| {
            let day = cell.day.map_or_else(String::new, |day| day.to_string());
            let m3 = match &cell.volume {
                Ok(m3) => m3.to_string(),
                Err(problem) => format!("! {}", problem.en),
            };
            (cell.place.clone(), cell.customer.clone(), day, m3)
        })
        .collect()
}

fn cell(place: &str, customer: &str, day: &str, m3: &str) -> (String, String, String, String) {
    (place.into(), customer.into(), day.into(), m3.into())
}

fn csv(text: &str) -> PlanTable {
    read(text.as_bytes(), &Hints::default()).unwrap()
}

fn refused(text: &str, hints: &Hints) -> Bilingual {
    read(text.as_bytes(), hints).unwrap_err()
}

#[test]
fn a_long_table_is_read_row_by_row() {
    let table = csv(
        "\u{feff}customer,day,m3,备注,班次\r\nK1,2026-12-01,2400,,甲\nK1,2026/12/2,\"2,500.5\",x,\nK2,2026年12月3日,,,\nK2,2026-12-04,-,,\n",
    );
    assert_eq!(
        said(&table),
        [
            cell("C2", "K1", "2026-12-01", "2400.0000"),
            cell("C3", "K1", "2026-12-02", "2500.5000"),
        ],
        "an empty cell says nothing"
    );
    assert_eq!(table.unused, ["班次"]);
}

#[test]
fn a_months_table_has_a_column_for_each_day() {
    let table = csv(
        "XX 公司 2026年12月用气计划表,,,,,单位:万m³\n序号,户号,客户名称,1日,2日,合计\n1,K1,一厂,0.24,0.25,0.49\n2,,二厂,1.5,,1.5\n,合计,,1.74,0.25,1.99\n",
    );
    assert_eq!(
        said(&table),
        [
            cell("D3", "K1", "2026-12-01", "2400.0000"),
            cell("E3", "K1", "2026-12-02", "2500.0000"),
            cell("D4", "二厂", "2026-12-01", "15000.0000"),
        ],
        "sums are no plans, and a name stands where there is no account number"
    );
    assert!(table.unused.is_empty());
}

#[test]
fn days_may_stand_under_their_month() {
    let table = csv("户号,2026-12 计划(m³),,\n,1,2,31\nK1,10,20,30\n");
    assert_eq!(
        said(&table),
        [
            cell("B3", "K1", "2026-12-01", "10.0000"),
            cell("C3", "K1", "2026-12-02", "20.0000"),
            cell("D3", "K1", "2026-12-31", "30.0000"),
        ]
    );
}

#[test]
fn the_day_on_which_a_table_was_made_is_not_its_month() {
    let text = |title: &str| format!("{title} 单位:m³\n户号,1\nK1,10\n");
    let table = csv(&text("2026年12月计划 制表 2026-11-25 2026年11月25日"));
    assert_eq!(said(&table), [cell("B3", "K1", "2026-12-01", "10.0000")]);
    for title in [
        "制表 2026-11-25",
        "2026年11月与2026年12月",
        "12026-12",
        "2026-13",
    ] {
        let problem = refused(&text(title), &Hints::default());
        assert!(problem.en.contains("its month"), "{title}: {problem:?}");
    }
}

#[test]
fn a_table_by_day_has_a_column_for_each_customer() {
    let table = csv("单位:m³\n日期,星期,K1,二厂,合计\n2026-12-01,二,10,20,30\n合计,,10,20,30\n");
    assert_eq!(
        said(&table),
        [
            cell("C3", "K1", "2026-12-01", "10.0000"),
            cell("D3", "二厂", "2026-12-01", "20.0000"),
        ]
    );
}

#[test]
fn what_a_table_leaves_open_is_asked_for_and_never_guessed() {
    let wide = "户号,1,2\nK1,10,20\n";
    let month = Some("2026-12".parse().unwrap());
    let with = |unit, month| Hints {
        unit,
        month,
        customer: None,
    };
    let no_month = refused(wide, &with(Some(PlanUnit::M3), None));
    assert!(
        no_month.en.contains("its month") && no_month.zh.contains("年月"),
        "{no_month:?}"
    );
    let no_unit = refused(wide, &with(None, month));
    assert!(
        no_unit.en.contains("its unit") && no_unit.zh.contains("单位"),
        "{no_unit:?}"
    );
    let read_with = |unit| read(wide.as_bytes(), &with(Some(unit), month)).unwrap();
    assert_eq!(
        said(&read_with(PlanUnit::M3))[1],
        cell("C2", "K1", "2026-12-02", "20.0000")
    );
    assert_eq!(
        said(&read_with(PlanUnit::Wan))[1],
        cell("C2", "K1", "2026-12-02", "200000.0000")
    );
    // What the table says stands above what is said beside it.
    let said_m3 = "户号,日期,计划量(m³)\nK1,2026-12-01,10\n";
    let table = read(said_m3.as_bytes(), &with(Some(PlanUnit::Wan), None)).unwrap();
    assert_eq!(said(&table), [cell("C2", "K1", "2026-12-01", "10.0000")]);

    let of_one = "日期,计划量(m³)\n2026-12-01,10\n";
    let no_customer = refused(of_one, &Hints::default());
    assert!(
        no_customer.en.contains("no column of customers"),
        "{no_customer:?}"
    );
    let hints = Hints {
        customer: Some("K7".into()),
        ..Hints::default()
    };
    let table = read(of_one.as_bytes(), &hints).unwrap();
    assert_eq!(said(&table), [cell("B2", "K7", "2026-12-01", "10.0000")]);

    let february = refused("户号,2026年2月 m³,\n,28,29\nK1,1,2\n", &Hints::default());
    assert!(
        february.en.contains("2026-02 has no day 29"),
        "{february:?}"
    );
}

#[test]
fn every_cell_that_cannot_be_read_is_named_with_what_to_write() {
    let table = csv(
        "户号,日期,计划量(m³)\nK1,2026-12-01,很多\nK1,2026-13-01,5\nK1,2026-12-03,-5\n,2026-12-04,5\nK1,2026-12-05,\"1,2\"\nK1,2026-12-06,1e3\n",
    );
    let told = said(&table);
    let wrong = |at: usize, place: &str, words: &str| {
        let (found, _, _, m3) = &told[at];
        assert!(
            found == place && m3.starts_with("! ") && m3.contains(words),
            "{:?}",
            told[at]
        );
    };
    wrong(0, "C2", "`很多` is no volume");
    wrong(1, "C3", "`2026-13-01` in B3 is no day");
    wrong(2, "C4", "negative");
    wrong(3, "C5", "names no customer");
    wrong(4, "C6", "`1,2` is no volume");
    assert_eq!(told[5], cell("C7", "K1", "2026-12-06", "1000.0000"));
    assert_eq!(told.len(), 6);
}

#[test]
fn a_sum_that_does_not_fit_its_days_is_told() {
    let text = |sum: &str| format!("户号,2026-12-01,2026-12-02,合计(m³)\nK1,10.4,20.4,{sum}\n");
    // Rounded to whole m³ it fits.
    assert!(
        csv(&text("31"))
            .cells
            .iter()
            .all(|cell| cell.volume.is_ok())
    );
    let table = csv(&text("41"));
    let wrong: Vec<_> = said(&table)
        .into_iter()
        .filter(|c| c.3.starts_with('!'))
        .collect();
    assert_eq!(wrong.len(), 1);
    assert!(
        wrong[0].0 == "D2" && wrong[0].3.contains("41.0000 m³ here and 30.8000"),
        "{wrong:?}"
    );
}

#[test]
fn a_workbook_is_read_as_a_spreadsheet_shows_it() {
    let mut workbook = Workbook::new();
    workbook.add_worksheet().write(0, 0, "说明").unwrap();
    let sheet = workbook.add_worksheet();
    sheet.set_name("计划").unwrap();
    let date = Format::new().set_num_format("yyyy-mm-dd");
    sheet.write(0, 0, "用气计划").unwrap();
    sheet.write(0, 3, "单位:万m³").unwrap();
    sheet.write(2, 0, "户号").unwrap();
    for column in 0..2u16 {
        let day = ExcelDateTime::from_ymd(2026, 12, 1 + u8::try_from(column).unwrap()).unwrap();
        sheet.write_with_format(2, 1 + column, &day, &date).unwrap();
    }
    sheet.write(2, 3, "合计").unwrap();
    // A number that a spreadsheet takes an account number for, and sums of its own.
    sheet.write(3, 0, 100_234).unwrap();
    sheet.write(3, 1, 0.1 + 0.2).unwrap();
    sheet.write(3, 2, 0.123_45).unwrap();
    let sum = Formula::new("=B4+C4").set_result("0.42345");
    sheet.write(3, 3, sum).unwrap();
    let bytes = workbook.save_to_buffer().unwrap();
    let table = read(&bytes, &Hints::default()).unwrap();
    assert_eq!(
        said(&table),
        [
            cell("计划!B4", "100234", "2026-12-01", "3000.0000"),
            cell("计划!C4", "100234", "2026-12-02", "1234.5000"),
        ]
    );

    let mut cut = bytes.clone();
    cut.truncate(bytes.len() / 2);
    assert!(
        read(&cut, &Hints::default())
            .unwrap_err()
            .zh
            .contains("工作簿")
    );
}

#[test]
fn what_is_no_table_of_plans_is_refused_with_what_to_do() {
    for (bytes, words) in [
        (&b"a,b\n1,2\n"[..], "there is no header"),
        (b"", "there is no header"),
        (b"\xbb\xa7\xba\xc5,1\n", "no UTF-8 text"),
    ] {
        let problem = read(bytes, &Hints::default()).unwrap_err();
        assert!(
            problem.en.contains(words) && !problem.zh.is_empty(),
            "{problem:?}"
        );
    }
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .start_file("xl/sharedStrings.xml", SimpleFileOptions::default())
        .unwrap();
    for _ in 0..65 {
        writer.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = writer.finish().unwrap().into_inner();
    let problem = read(&bomb, &Hints::default()).unwrap_err();
    assert!(
        problem.en.contains("unpacks to more than 64 MiB")
            && problem.zh.contains("解压后超过 64 MiB"),
        "{problem:?}"
    );
    let large = vec![b'x'; FILE_MAX_BYTES + 1];
    let problem = read(&large, &Hints::default()).unwrap_err();
    assert!(problem.en.contains("8 MiB"), "{problem:?}");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_fall_over(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _read = read(&bytes, &Hints::default());
    }

    #[test]
    fn no_text_makes_it_fall_over(text in "(户号|日期|m3|1|2026-12|,|\n|\"|万m³|合计|é){0,40}") {
        let _read = read(text.as_bytes(), &Hints::default());
    }
}
