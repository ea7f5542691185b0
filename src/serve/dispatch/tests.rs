use proptest::prelude::*;

use super::*;
use crate::domain::calendar::GasMonth;
use crate::domain::demand::DemandCube;
use crate::domain::language::Language;
use crate::serve::figures::fixture;
use crate::serve::figures::forecast::{BoughtCards, BoughtMonth, DayCard, YesterdayCard};

fn today() -> GasDay {
    fixture::day("2026-11-21")
}

fn run() -> (Registry, Run) {
    let registry = fixture::registry();
    let forecast = fixture::forecast(&registry, "2026-11-21T09:00:00+08:00", 41);
    (registry, Run::new(forecast))
}

fn report(registry: &Registry, tables: Tables) -> DispatchReport {
    let card = |day, band| DayCard { day, band };
    DispatchReport {
        company: "某燃 <股份>".into(),
        reference: registry.company.reference,
        made_at: fixture::at("2026-11-21T12:20:00+08:00"),
        today: today(),
        run_id: "run-1".into(),
        origin_at: fixture::at("2026-11-21T09:00:00+08:00"),
        temperatures: vec![(today(), Some(3.2)), (today().plus(1), None)],
        cards: Cards {
            yesterday: YesterdayCard {
                day: today().plus(-1),
                actual_m3: Some(1_000),
                forecast_m3: Some(1_100),
            },
            today: card(today(), tables.total.today),
            tomorrow: card(today().plus(1), tables.total.tomorrow),
            bought: Some(BoughtCards {
                yesterday_m3: Some(1_045),
                today: Some(tables.total.today.plus(300)),
                tomorrow: Some(tables.total.tomorrow.plus(400)),
            }),
        },
        nominated: Some((1_234, 5_678)),
        months: vec![MonthView {
            month: GasMonth {
                year: 2026,
                month: 11,
            },
            used_m3: Some(10),
            remaining: tables.total.week,
            expected: Some(tables.total.week.plus(10)),
            bought: Some(BoughtMonth {
                taken_m3: Some(110),
                remaining: Some(tables.total.week),
                expected: Some(tables.total.week.plus(110)),
                contract_m3: Some(tables.total.week.p50_m3 + 110 - 23_400),
                gap_m3: Some(23_400),
            }),
        }],
        tables,
        ahead: None,
        outlook: None,
        alerts: Vec::new(),
        change: None,
        quality: Vec::new(),
        methods: Vec::new(),
    }
}

fn check(tables: &Tables) {
    let of = |spans: &Spans| [spans.today, spans.tomorrow, spans.week].map(|band| band.p50_m3);
    for block in &tables.blocks {
        let mut sums = [0; 3];
        for (_, spans) in &block.rows {
            for (sum, m3) in sums.iter_mut().zip(of(spans)) {
                *sum += m3;
            }
        }
        assert_eq!(sums, of(&tables.total), "{:?}", block.by);
    }
    let cross: i64 = tables.cross.iter().map(CrossRow::total_m3).sum();
    assert_eq!(cross, tables.total.tomorrow.p50_m3);
    let hours: i64 = tables.hours.iter().map(|hour| hour.band.p50_m3).sum();
    assert_eq!(hours, tables.total.tomorrow.p50_m3);
    if let Some(parts) = &tables.parts {
        let sums = parts.map(|span| span.iter().sum::<i64>());
        assert_eq!(sums, of(&tables.total));
    }
    for (at, slot) in tables.slots.iter().enumerate() {
        let of_slot = tables
            .blocks
            .iter()
            .flat_map(|block| &block.rows)
            .find(|(label, _)| label == slot);
        let across: i64 = tables.cross.iter().map(|row| row.slots_m3[at]).sum();
        assert_eq!(of_slot.unwrap().1.tomorrow.p50_m3, across, "{}", slot.key);
    }
}

#[test]
fn every_table_of_the_report_has_the_same_total() {
    let (registry, run) = run();
    let tables = tables(&registry, &run, None, today()).unwrap();
    check(&tables);
    assert_eq!(tables.hours.len(), 24);
    assert!(tables.cross.len() > 2 && tables.total.tomorrow.p50_m3 > 0);
    // What the console shows of tomorrow is the same figure.
    assert_eq!(
        Some(tables.total.tomorrow),
        run.day_band(&DemandView::total(), today().plus(1))
    );
}

/// The numbers in the cells of the rows of class `total`, as they are printed.
fn printed_totals(page: &str) -> Vec<Vec<String>> {
    page.split("<tr class=\"total\">")
        .skip(1)
        .map(|rest| {
            let row = rest.split("</tr>").next().unwrap();
            row.split("<td>")
                .skip(1)
                .map(|cell| cell.trim_end_matches("</td>").to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn the_page_prints_what_the_tables_say_in_both_languages() {
    let (registry, run) = run();
    let tables = tables(&registry, &run, None, today()).unwrap();
    let tomorrow = tables.total.tomorrow.p50_m3;
    let printed = format!("{}.{:04}", tomorrow / 10_000, tomorrow % 10_000);
    let report = report(&registry, tables);
    let (zh, en) = (html(&report, Language::Zh), html(&report, Language::En));
    assert!(zh.contains("某燃 &lt;股份&gt;") && zh.contains("调度气量预测日报"));
    assert!(zh.contains("建议日指定 0.5678 万m³,已指定 0.1234 万m³"));
    // Beside the contract stands what is bought, not what customers use.
    assert!(zh.contains(";2026-11 购气预计 ") && zh.contains("超合同 2.34 万m³"));
    assert!(en.contains("to be bought, 2.34 10⁴ m³ above contract"));
    let bought = format!(
        "{}.{:04}",
        (tomorrow + 400) / 10_000,
        (tomorrow + 400) % 10_000
    );
    for (page, side) in [(&zh, "购气侧(门站)"), (&en, "Bought at the gates")] {
        let table = page.split(side).nth(1).unwrap();
        let table = table.split("</table>").next().unwrap();
        assert!(
            table.contains(&bought) && table.contains("0.1045"),
            "{table}"
        );
    }
    assert!(en.contains("Dispatch forecast report") && en.contains("<html lang=\"en\">"));
    assert!(zh.contains("@page{size:A4"));
    for page in [&zh, &en] {
        let totals = printed_totals(page);
        assert_eq!(
            totals.len(),
            5,
            "three blocks, the cross table and the hours"
        );
        for row in &totals {
            assert!(row.contains(&printed), "{printed} in {row:?}");
        }
        assert!(!page.contains("NaN") && !page.contains("<script"));
    }
    // Every unit is of the page's language, and sections are numbered without a gap.
    assert!(!en.contains('万'), "English pages write 10⁴ m³");
    for (page, numbers) in [
        (
            &zh,
            ["一、", "二、", "三、", "四、", "五、", "六、", "七、"],
        ),
        (&en, ["1. ", "2. ", "3. ", "4. ", "5. ", "6. ", "7. "]),
    ] {
        let found: Vec<&str> = page.split("<h2>").skip(1).collect();
        assert!(found.len() > 6, "{} sections", found.len());
        for (heading, number) in found.iter().zip(numbers) {
            assert!(heading.starts_with(number), "{number} {heading:.40}");
        }
    }
    // The curve has a scale: its unit, round marks and the hours.
    let drawing = zh.split("<svg").nth(1).unwrap();
    assert!(drawing.contains(">万m³/h<") && drawing.contains(">0.0<") && drawing.contains(">08<"));
}

#[test]
fn a_run_that_does_not_reach_the_week_makes_no_report() {
    let (registry, run) = run();
    assert!(tables(&registry, &run, None, today().plus(40)).is_none());
    assert!(tables(&registry, &run, None, today().plus(33)).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Random volumes and shares: the tables agree to the cubic metre.
    #[test]
    fn random_cities_agree(scales in prop::collection::vec(0.0..40_000.0_f64, 1..12), share in 0.0..1.0_f64) {
        let registry = fixture::registry();
        let mut forecast = fixture::forecast(&registry, "2026-11-21T09:00:00+08:00", 12);
        for (node, scale) in forecast.nodes.iter_mut().zip(scales.iter().cycle()) {
            for (day, hours) in node.p50_m3.iter_mut().enumerate() {
                for (hour, m3) in hours.iter_mut().enumerate() {
                    *m3 = scale * (1.0 + ((day * 24 + hour) as f64).sin()) / 24.0;
                }
            }
        }
        for of_day in &mut forecast.shares {
            if let [first, second, ..] = of_day.as_mut_slice() && first.0 == second.0 {
                first.2 = share;
                second.2 = 1.0 - share;
            }
        }
        forecast.cube = DemandCube::publish(&forecast.nodes, &forecast.shares);
        let tables = tables(&registry, &Run::new(forecast), None, today()).unwrap();
        check(&tables);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    /// The console's cells, the report's tables and the declaration of the same run, to the cubic metre.
    #[test]
    fn console_report_and_declaration_agree(wobbles in prop::collection::vec(0.4..1.6_f64, 1..9)) {
        use crate::plan::fixture as plan;

        let registry = plan::registry();
        let mut forecast = plan::forecast(62, 1.0);
        for (at, node) in forecast.nodes.iter_mut().enumerate() {
            for (day, hours) in node.p50_m3.iter_mut().enumerate() {
                let wobble = wobbles[(3 * at + day) % wobbles.len()];
                *hours = hours.map(|m3| m3 * wobble);
            }
        }
        forecast.cube = DemandCube::publish(&forecast.nodes, &forecast.shares);
        let breakdown = plan::breakdown(&forecast);
        let declared = crate::plan::declaration::tests::made(&registry, &forecast).unwrap();
        let run = Run::new(forecast);
        let first = run.forecast.days[0];
        let report = tables(&registry, &run, Some(&breakdown), first).unwrap();
        check(&report);

        let days = declared.month.days();
        let month = |view: &DemandView| -> i64 {
            days.iter().map(|day| run.cells.day_m3(view, *day).unwrap()).sum()
        };
        let composed = declared.parts.as_ref().unwrap();
        for (line, parts) in declared.structure.iter().zip(&composed.classes) {
            let view = DemandView { class: Some(line.class), ..DemandView::default() };
            prop_assert_eq!(line.forecast.p50_m3, month(&view));
            prop_assert_eq!(parts.parts.total_m3(), month(&view));
        }
        let sold = month(&DemandView::total());
        prop_assert_eq!(composed.sold().total_m3(), sold);
        prop_assert_eq!(composed.loss_m3 + sold, declared.total.forecast.p50_m3);
        // The month of the console is what is left of it, all of it here.
        let ahead: Vec<usize> = days.iter().filter_map(|day| run.forecast.day_index(*day)).collect();
        let of_month = band_of(&run.forecast, &run.cells, &DemandView::total(), &ahead);
        prop_assert_eq!(of_month.p50_m3, sold);
    }
}

#[test]
fn nodes_without_a_regression_are_named_with_what_they_were_made_by() {
    let (registry, run) = run();
    let mut report = report(&registry, tables(&registry, &run, None, today()).unwrap());
    let node = |zone: &str, model: &str, m3| NodeMethod {
        zone: "key".into(),
        zone_name: zone.into(),
        class: "industrial".into(),
        class_zh: "工业".into(),
        class_en: "Industrial".into(),
        model: model.into(),
        p50_m3: Some(m3),
    };
    report.methods = vec![
        node("north", "regression", 90_000),
        node("south", "class_profile_design_flow", 12_000),
        node("<west>", "class_profile_design_flow", 3_400),
        node("east", "recent_mean", 50),
    ];
    let page = html(&report, Language::Zh);
    assert!(
        page.contains(
            "历史不足,按 同类曲线 × 设计流量 × 达产: south 工业、&lt;west&gt; 工业 · 明日 1.5400 万m³"
        ),
        "{page}"
    );
    assert!(page.contains("近日均值: east 工业 · 明日 0.0050 万m³"));
    assert!(!page.contains("north 工业"));
    let page = html(&report, Language::En);
    assert!(
        page.contains("Short history, by recent mean: east Industrial · tomorrow 0.0050 10⁴ m³")
    );
}

#[test]
fn the_months_ahead_are_a_section_with_their_seasons() {
    use crate::domain::months::MonthBasis;
    use crate::serve::figures::months::{
        MonthFacts, MonthPoint, MonthRows, PeriodKind, PeriodPoint,
    };

    let (registry, run) = run();
    let mut report = report(&registry, tables(&registry, &run, None, today()).unwrap());
    assert!(!html(&report, Language::Zh).contains("逐月预测"));
    let months: Vec<GasMonth> = [(2026, 11), (2026, 12)]
        .map(|(year, month)| GasMonth { year, month })
        .into();
    let band = |p50_m3| Band {
        p10_m3: p50_m3 - 100_000,
        p50_m3,
        p90_m3: p50_m3 + 100_000,
    };
    let point = |p50_m3, naive_m3| MonthPoint {
        band: band(p50_m3),
        known_m3: 0,
        parts_m3: [0, p50_m3, 0, 0],
        naive_m3,
        methods: vec![],
    };
    report.ahead = Some(MonthsView {
        run_id: "run-1".into(),
        renewed_by: None,
        origin_at: String::new(),
        by: MonthsBy::Total,
        months: months
            .iter()
            .map(|month| MonthFacts {
                month: *month,
                basis: MonthBasis::Run,
                known_days: 0,
                filled_days: 0,
                run_days: 30,
                later_days: 0,
            })
            .collect(),
        total: MonthRows {
            label: Label {
                key: "total".into(),
                name_zh: "合计".into(),
                name_en: "Total".into(),
            },
            points: vec![point(21_000_000, Some(20_000_000)), point(30_000_000, None)],
            periods: vec![PeriodPoint {
                kind: PeriodKind::Heating,
                from: months[0],
                to: months[1],
                is_whole: false,
                band: band(51_000_000),
                naive_m3: None,
            }],
        },
        series: vec![],
    });
    let (zh, en) = (html(&report, Language::Zh), html(&report, Language::En));
    assert!(zh.contains(
        "<td>2026-11</td><td>2090.0000</td><td>2100.0000</td><td>2110.0000</td><td>2000.0000</td><td>+5.0%</td>"
    ));
    // What is not known of a year before is a dash, not a zero.
    assert!(zh.contains("<td>3010.0000</td><td>—</td><td>—</td>"));
    assert!(zh.contains("采暖季(部分) 2026-11–2026-12</td><td>5090.0000</td>"));
    assert!(en.contains("Months ahead") && en.contains("Heating season (partly) 2026-11–2026-12"));
    assert!(
        !en.contains('万') && !en.contains('月'),
        "English throughout"
    );
}
