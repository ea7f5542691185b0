use std::collections::BTreeMap;
use std::io::Cursor;

use calamine::{Data, Range, Reader as _, Xlsx};

use super::*;
use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::demand::Band;
use crate::domain::quantity::{ReferenceConditions, StdVolume, Yuan};
use crate::ledger::entry::fixture::{at, calendar, customer, meter, registry};
use crate::ledger::entry::{CustomerForecast, OffPeakRecord, OffPeakWillingness};
use crate::ledger::entry::{LedgerInput, build};

const AS_OF: &str = "2026-11-20T10:30:00+08:00";

/// Three lines with awkward volumes; the second has hardly any data.
fn entries() -> Vec<LedgerEntry> {
    let mut customers = ["c1", "c2", "c3"].map(customer);
    customers[0].contract_annual = "7123456.7891".parse().unwrap();
    customers[2].contract_annual = "5000000.0001".parse().unwrap();
    let registry = registry(customers.to_vec(), vec![meter("m1", "c1")]);
    let members: Vec<_> = registry
        .customers
        .keys()
        .map(|id| (id.clone(), "人工: 试".to_owned()))
        .collect();
    let today = GasDayClock::default().day_of(at(AS_OF));
    let mut daily = BTreeMap::new();
    for (id, units) in [("c1", 10_000_001_i64), ("c3", 33_333_333)] {
        let days: BTreeMap<_, _> = (1..=40)
            .map(|back| (today.plus(-back), StdVolume::from_units(units + back * 7)))
            .collect();
        daily.insert(id.into(), days);
    }
    let band = Band {
        p10_m3: 900,
        p50_m3: 1_000,
        p90_m3: 1_200,
    };
    build(LedgerInput {
        registry: &registry,
        calendar: &calendar(),
        now: at(AS_OF),
        clock: GasDayClock::default(),
        members: &members,
        daily: &daily,
        hours_yesterday: &BTreeMap::new(),
        hours_today: &BTreeMap::new(),
        completeness_7d: &BTreeMap::new(),
        latest: &BTreeMap::new(),
        temperatures: &BTreeMap::new(),
        forecasts: &BTreeMap::from([(
            "c1".into(),
            CustomerForecast {
                band,
                model: "class_profile_scaled",
            },
        )]),
        plans: &[],
        changes: &[],
        off_peak: &BTreeMap::from([(
            "c1".into(),
            OffPeakRecord {
                willingness: Some(OffPeakWillingness::Partly),
                event_on: Some(GasDay(on(2026, 11, 18))),
                reduction_m3: Some(1_040.0),
                performance_ratio: Some(0.8667),
                saved_yuan: Some(Yuan("1310.40".parse().unwrap())),
                contacted_on: Some(on(2026, 11, 19)),
            },
        )]),
    })
}

fn on(year: i32, month: u32, day: u32) -> chrono::NaiveDate {
    chrono::NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn read(bytes: &[u8]) -> (Range<Data>, Range<String>) {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes.to_vec())).unwrap();
    assert_eq!(book.sheet_names(), ["台账"]);
    (
        book.worksheet_range("台账").unwrap(),
        book.worksheet_formula("台账").unwrap(),
    )
}

fn column_of(sheet: &Range<Data>, header: &str) -> u32 {
    (0..200)
        .find(|column| sheet.get_value((3, *column)) == Some(&Data::String(header.to_owned())))
        .unwrap_or_else(|| panic!("no column {header}"))
}

fn number(sheet: &Range<Data>, row: u32, column: u32) -> Option<f64> {
    match sheet.get_value((row, column)) {
        Some(Data::Float(number)) => Some(*number),
        Some(Data::Int(number)) => Some(*number as f64),
        None | Some(Data::Empty) => None,
        other => panic!("({row}, {column}) is no number: {other:?}"),
    }
}

#[test]
fn what_is_read_back_is_what_was_written() {
    let entries = entries();
    let (sheet, _) =
        read(&workbook(&entries, at(AS_OF), "试验燃气", ReferenceConditions::CHINA).unwrap());
    assert_eq!(
        sheet.get_value((0, 0)),
        Some(&Data::String("用气量较大企业气量监控台账".into()))
    );
    let state = sheet.get_value((1, 0)).unwrap().to_string();
    assert!(
        state.contains("试验燃气") && state.contains("2026-11-20 10:30"),
        "{state}"
    );
    let columns: Vec<&Column> = GROUPS.iter().flat_map(|g| g.columns).collect();
    for (row, entry) in (4..).zip(&entries) {
        for (column, spec) in (0..).zip(&columns) {
            let found = sheet.get_value((row, column));
            match (spec.value)(entry) {
                Cell::Text(text) if text.is_empty() => {
                    assert!(matches!(found, None | Some(Data::Empty | Data::String(_))));
                }
                Cell::Text(text) => assert_eq!(found, Some(&Data::String(text))),
                Cell::Number(value) => {
                    assert_eq!(number(&sheet, row, column), value, "{}", spec.header);
                }
            }
        }
    }
    // Exact to the last digit of the volume.
    let ytd = column_of(&sheet, "当年累计(万m³)");
    for (row, entry) in (4..).zip(&entries) {
        let wan = number(&sheet, row, ytd).unwrap();
        assert_eq!(StdVolume::from_f64(wan * 10_000.0), entry.year_to_date_m3);
    }
    let unknown = column_of(&sheet, "昨日实际(m³)");
    let row = entries.iter().position(|e| e.account_no.as_str() == "c2");
    assert_eq!(
        number(&sheet, 4 + u32::try_from(row.unwrap()).unwrap(), unknown),
        None
    );
}

#[test]
fn totals_are_formulas_whose_results_are_the_sums_of_the_lines() {
    let entries = entries();
    let (sheet, formulas) =
        read(&workbook(&entries, at(AS_OF), "试验燃气", ReferenceConditions::CHINA).unwrap());
    let row = 4 + u32::try_from(entries.len()).unwrap();
    assert_eq!(
        sheet.get_value((row, 0)),
        Some(&Data::String("合计".into()))
    );
    let exact = |header: &str, of: &dyn Fn(&LedgerEntry) -> StdVolume, scale: f64| {
        let column = column_of(&sheet, header);
        let result = number(&sheet, row, column).unwrap();
        let sum: StdVolume = entries.iter().map(of).sum();
        assert_eq!(StdVolume::from_f64(result * scale), sum, "{header}");
        let name = column_number_to_name(u16::try_from(column).unwrap());
        assert_eq!(
            formulas.get_value((row, column)),
            Some(&format!("SUBTOTAL(109,{name}5:{name}7)")),
            "{header}"
        );
    };
    exact(
        "年合同量(万m³)",
        &|e| e.contract_annual_m3.unwrap_or_default(),
        1e4,
    );
    exact("当年累计(万m³)", &|e| e.year_to_date_m3, 1e4);
    exact("昨日实际(m³)", &|e| e.yesterday_m3.unwrap_or_default(), 1.0);
    exact("月累计(m³)", &|e| e.month_to_date_m3, 1.0);
    // Quantiles, ratios and prices are never added.
    for header in [
        "今日预测P90(m³)",
        "日偏差率(%)",
        "基准价(元/m³)",
        "距下一档(万m³)",
    ] {
        assert_eq!(number(&sheet, row, column_of(&sheet, header)), None);
    }
}

#[test]
fn the_same_state_gives_the_same_bytes() {
    let entries = entries();
    let once = workbook(&entries, at(AS_OF), "试验燃气", ReferenceConditions::CHINA).unwrap();
    let again = workbook(&entries, at(AS_OF), "试验燃气", ReferenceConditions::CHINA).unwrap();
    assert_eq!(once, again);
}

#[test]
fn an_empty_ledger_is_a_workbook_too() {
    let (sheet, _) =
        read(&workbook(&[], at(AS_OF), "试验燃气", ReferenceConditions::CHINA).unwrap());
    assert_eq!(sheet.get_value((5, 0)), Some(&Data::String("合计".into())));
    let column = column_of(&sheet, "昨日实际(m³)");
    assert_eq!(number(&sheet, 5, column), Some(0.0));
}

#[test]
fn every_header_with_a_quantity_says_its_unit() {
    for column in GROUPS.iter().flat_map(|g| g.columns) {
        let has_unit = column.header.contains(['(', '（']);
        match column.kind {
            Kind::Text | Kind::Count => {}
            _ => assert!(has_unit, "{}", column.header),
        }
    }
}

#[test]
fn each_group_is_printed_on_a_page_of_its_own_in_letters_that_can_be_read() {
    let columns: Vec<&Column> = GROUPS.iter().flat_map(|group| group.columns).collect();
    let (breaks, scale) = pages(&columns);
    assert_eq!(breaks.len(), GROUPS.len() - 1);
    assert_eq!(breaks[0] as usize, GROUPS[0].columns.len());
    let last = GROUPS.last().unwrap().columns.len();
    assert_eq!(breaks[breaks.len() - 1] as usize, columns.len() - last);
    assert!((60..=100).contains(&scale), "{scale} %");
}

#[test]
fn a_row_is_as_high_as_its_longest_text() {
    assert_eq!(lines_of("工业", 12.0), 1);
    assert_eq!(lines_of("", 12.0), 1);
    // 15 characters are 30 wide: three lines of a column of 12.
    assert_eq!(lines_of(&"非".repeat(15), 12.0), 3);
}

#[test]
fn what_came_of_off_peak_use_is_a_group_of_its_own() {
    let entries = entries();
    let (sheet, _) =
        read(&workbook(&entries, at(AS_OF), "试验燃气", ReferenceConditions::CHINA).unwrap());
    let row = entries
        .iter()
        .position(|e| e.account_no.as_str() == "c1")
        .unwrap();
    let row = 4 + u32::try_from(row).unwrap();
    let first = column_of(&sheet, "参与意愿");
    let cells: Vec<String> = (first..first + 6)
        .map(|column| sheet.get_value((row, column)).unwrap().to_string())
        .collect();
    assert_eq!(
        cells,
        [
            "部分",
            "2026-11-18",
            "1040",
            "0.8667",
            "1310.4",
            "2026-11-19"
        ]
    );
    // One that was never asked has none of it: nothing saved is not "0".
    let other = 4 + u32::from(row == 4);
    assert_eq!(
        number(&sheet, other, column_of(&sheet, "累计节省(元)")),
        None
    );
}
