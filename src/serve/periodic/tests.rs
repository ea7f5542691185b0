use super::*;
use crate::domain::language::Language;
use crate::ledger::entry::{QuarterChange, QuarterReason, QuarterUse};
use crate::serve::figures::fixture;

fn today() -> GasDay {
    fixture::day("2026-12-03")
}

fn page(body: Body, words: Language) -> String {
    let report = PeriodicReport {
        company: "某燃 <股份>".into(),
        made_at: fixture::at("2026-12-03T12:20:00+08:00"),
        today: today(),
        body,
    };
    let page = html(&report, words);
    assert!(page.contains("某燃 &lt;股份&gt;") && page.ends_with("</body></html>"));
    assert!(!page.contains("NaN") && !page.contains("<script"));
    page
}

fn monthly(days: Vec<MonthDay>) -> Body {
    Body::Monthly(Monthly {
        month: GasMonth {
            year: 2026,
            month: 11,
        },
        days,
        classes: vec![(
            class_label(CustomerClass::Industrial),
            [Some(1_100_000), Some(1_000_000)],
        )],
        contract_m3: Some(2_000_000),
        declared_m3: None,
        record: vec![],
        quality: vec![QualityRow {
            class: "total".into(),
            lead: "month_ahead_total".into(),
            cases: Some(6),
            wape: 0.0198,
            naive_wape: 0.0512,
            coverage: None,
        }],
    })
}

fn day(of: &str, nominated_m3: Option<i64>, taken_m3: Option<i64>) -> MonthDay {
    MonthDay {
        day: fixture::day(of),
        used_m3: Some(1_000_000),
        nominated_m3,
        taken_m3,
    }
}

#[test]
fn a_month_is_taken_less_nominated_day_by_day_and_in_all() {
    let days = vec![
        day("2026-11-01", Some(1_000_000), Some(1_020_000)),
        day("2026-11-02", Some(1_000_000), Some(990_000)),
    ];
    let zh = page(monthly(days.clone()), Language::Zh);
    assert!(zh.contains("<td>11月1日</td><td>100.0000</td><td>100.0000</td><td>102.0000</td><td>+2.0000</td><td>+2.0%</td>"), "{zh}");
    assert!(zh.contains("<td>−1.0000</td><td>−1.0%</td>"));
    assert!(zh.contains("<td>合同量</td><td>200.0000</td><td>+1.0000</td><td>+0.5%</td>"));
    assert!(zh.contains("<td>工业</td><td>110.0000</td><td>100.0000</td><td>+10.0%</td>"));
    assert!(zh.contains("回测(月前,月合计,6 次):WAPE 1.98%"));
    assert!(zh.contains("尚无可评分的预测"));
    let en = page(monthly(days), Language::En);
    assert!(en.contains("Monthly summary") && en.contains("month ahead, total, 6 cases"));
    assert!(
        !en.contains('万') && !en.contains('月'),
        "English throughout"
    );
}

#[test]
fn a_day_that_is_not_known_leaves_the_month_unknown_not_small() {
    let days = vec![
        day("2026-11-01", Some(1_000_000), Some(1_020_000)),
        day("2026-11-02", Some(1_000_000), None),
    ];
    assert_eq!(whole(&days, |day| day.taken_m3), None);
    assert_eq!(days[1].deviation_m3(), None);
    let zh = page(monthly(days), Language::Zh);
    assert!(zh.contains("<td>实际提取</td><td>—</td>"));
    assert!(zh.contains("<td>合同量</td><td>200.0000</td><td>—</td><td>—</td>"));
}

#[test]
fn a_week_stands_beside_the_one_before_and_contracts_beside_the_time() {
    let source = SourceView {
        source: "pipe".into(),
        name: "西线管道气".into(),
        class: "pipeline_regulated".into(),
        supplier: String::new(),
        delivery_point: String::new(),
        nominated_m3: None,
        taken_m3: None,
        month_contract_m3: Some(31_000_000),
        month_taken_m3: Some(3_100_000),
        remaining_avg_dcq_m3: Some(962_069.0),
        tomorrow: None,
        suggested_m3: None,
        taken_by: None,
        due_m3: None,
        pace_m3: None,
    };
    let week = Weekly {
        days: vec![
            (today().plus(-2), Some(1_100_000), Some(1_000_000)),
            (today().plus(-1), Some(1_000_000), None),
        ],
        month_days: (2, 31),
        sources: vec![source],
        rows: Arc::default(),
    };
    let zh = page(Body::Weekly(week.clone()), Language::Zh);
    assert!(zh.contains("<td>12月1日</td><td>110.0000</td><td>100.0000</td><td>+10.0%</td>"));
    assert!(zh.contains("<td>合计</td><td>210.0000</td><td>—</td><td>—</td>"));
    assert!(zh.contains("时间进度 2/31 = 6.5%"));
    assert!(zh.contains(
        "<td>西线管道气</td><td>3100.0000</td><td>310.0000</td><td>10.0%</td><td>96.2069</td>"
    ));
    assert!(zh.contains("没有需要关注的大用户"));
    let en = page(Body::Weekly(week), Language::En);
    assert!(en.contains("time progress 2/31") && !en.contains('万'));
}

fn quarter(reasons: Vec<QuarterReason>) -> QuarterChange {
    let of = |workday_m3, idle_share| QuarterUse {
        workday_m3,
        off_days_ratio: Some(0.5),
        idle_share,
    };
    QuarterChange {
        now: of(14_000.0, 0.15),
        before: of(10_000.0, 0.0),
        reasons,
    }
}

#[test]
fn the_quarter_lists_only_whose_use_changed_and_counts_the_rest() {
    let mut rows = crate::ledger::entry::fixture::entries(&["c1", "c2", "c3"]);
    rows[0].quarter = Some(quarter(vec![QuarterReason::Level, QuarterReason::Idle]));
    rows[1].quarter = Some(quarter(vec![]));
    rows[0].name = "变化<公司>".into();
    rows[1].name = "不变公司".into();
    rows[2].name = "新公司".into();
    let rows = Arc::new(rows);
    let zh = page(Body::Quarterly(Arc::clone(&rows)), Language::Zh);
    assert!(zh.contains("台账 3 户,可比 2 户,变化 1 户"));
    assert!(zh.contains("变化&lt;公司&gt;") && !zh.contains("不变公司") && !zh.contains("新公司"));
    assert!(zh.contains("<td>用量、停用</td><td>1.4000</td><td>1.0000</td><td>50.0% ← 50.0%</td><td>15.0% ← 0.0%</td>"));
    let en = page(Body::Quarterly(rows), Language::En);
    assert!(
        en.contains("3 on the ledger, 2 comparable, 1 changed") && en.contains("level, idle days")
    );
    let none = page(Body::Quarterly(Arc::default()), Language::Zh);
    assert!(none.contains("没有用气规律变化的企业"));
}
