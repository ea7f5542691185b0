use std::ops::RangeInclusive;

use super::fixture::{at, calendar, customer, meter, registry};
use super::*;
use crate::domain::filing::ChangeKind;
use crate::domain::id::GatewayId;
use crate::domain::quantity::Yuan;

/// Friday; yesterday is Thursday 2026-11-19.
const NOW: &str = "2026-11-20T10:30:00+08:00";

pub(super) fn v(text: &str) -> StdVolume {
    text.parse().unwrap()
}

pub(super) fn on(text: &str) -> GasDay {
    text.parse().unwrap()
}

/// A ledger of one customer, `c1`, which a test changes before it builds.
pub(super) struct Case {
    pub(super) registry: Registry,
    pub(super) calendar: Calendar,
    pub(super) now: DateTime<Utc>,
    pub(super) daily: BTreeMap<CustomerId, Days>,
    pub(super) hours_yesterday: BTreeMap<CustomerId, [Option<StdVolume>; 24]>,
    pub(super) hours_today: BTreeMap<CustomerId, [Option<StdVolume>; 24]>,
    pub(super) completeness_7d: BTreeMap<CustomerId, f64>,
    pub(super) latest: BTreeMap<MeterId, LatestTotal>,
    pub(super) temperatures: BTreeMap<String, BTreeMap<GasDay, f64>>,
    pub(super) forecasts: BTreeMap<CustomerId, CustomerForecast>,
    pub(super) plans: Vec<FiledPlan>,
    pub(super) off_peak: BTreeMap<CustomerId, OffPeakRecord>,
}

impl Case {
    pub(super) fn new() -> Self {
        Self {
            registry: registry(vec![customer("c1")], vec![meter("m1", "c1")]),
            calendar: calendar(),
            now: at(NOW),
            daily: BTreeMap::new(),
            // Nothing missing unless a test says so.
            hours_yesterday: BTreeMap::from([(CustomerId::from("c1"), [Some(v("10")); 24])]),
            hours_today: BTreeMap::new(),
            completeness_7d: BTreeMap::new(),
            latest: BTreeMap::new(),
            temperatures: BTreeMap::new(),
            forecasts: BTreeMap::new(),
            plans: vec![],
            off_peak: BTreeMap::new(),
        }
    }

    pub(super) fn customer(&mut self) -> &mut Customer {
        self.registry
            .customers
            .get_mut(&CustomerId::from("c1"))
            .unwrap()
    }

    pub(super) fn days(&mut self, span: RangeInclusive<&str>, m3: &str) {
        let (mut day, last) = (on(span.start()), on(span.end()));
        let days = self.daily.entry("c1".into()).or_default();
        while day <= last {
            days.insert(day, v(m3));
            day = day.plus(1);
        }
    }

    /// The year so far, of which every day is known: nothing was used on those that a test does not say.
    pub(super) fn quiet_year(mut self) -> Self {
        self.days("2026-01-01"..="2026-11-19", "0");
        self
    }

    pub(super) fn plan(&mut self, day: &str, m3: &str, known: &str) {
        self.plans.push(FiledPlan {
            customer: "c1".into(),
            day: on(day),
            volume: v(m3),
            available_at: at(known),
        });
    }

    pub(super) fn build(&self) -> Vec<LedgerEntry> {
        let members: Vec<(CustomerId, String)> = self
            .registry
            .customers
            .keys()
            .map(|id| (id.clone(), "人工: 试".to_owned()))
            .collect();
        build(LedgerInput {
            registry: &self.registry,
            calendar: &self.calendar,
            now: self.now,
            clock: GasDayClock::default(),
            members: &members,
            daily: &self.daily,
            hours_yesterday: &self.hours_yesterday,
            hours_today: &self.hours_today,
            completeness_7d: &self.completeness_7d,
            latest: &self.latest,
            temperatures: &self.temperatures,
            forecasts: &self.forecasts,
            plans: &self.plans,
            changes: &self.registry.production_changes,
            off_peak: &self.off_peak,
        })
    }

    pub(super) fn row(&self) -> LedgerEntry {
        self.build().remove(0)
    }
}

pub(super) fn codes(row: &LedgerEntry) -> Vec<(&'static str, Level)> {
    row.findings.iter().map(|f| (f.code, f.level)).collect()
}

pub(super) fn near(a: Option<f64>, b: f64) -> bool {
    a.is_some_and(|a| (a - b).abs() < 1e-9)
}

#[test]
fn what_is_not_known_is_null_and_never_zero() {
    let mut case = Case::new();
    case.hours_yesterday.clear();
    let row = case.row();
    let json = serde_json::to_value(&row).unwrap();
    for key in [
        "contract_annual_m3",
        "next_tier_on",
        "latest_total_m3",
        "latest_at",
        "temperature_sensitivity_m3_per_c",
        "peak_share",
        "load_factor",
        "yesterday_m3",
        "today_so_far_m3",
        "today_expected_m3",
        "plan_m3",
        "forecast",
        "deviation_m3",
        "deviation_ratio",
        "day_on_day",
        "year_on_year",
        "peak_hour_m3",
        "peak_slots_m3",
        "month_plan_ratio",
        "month_expected_deviation_m3",
        "change",
    ] {
        assert_eq!(json.get(key), Some(&serde_json::Value::Null), "{key}");
    }
    assert_eq!(row.pattern, UsePattern::Unknown);
    assert_eq!(row.sparkline, vec![None; 30]);
    // Being silent is itself worth knowing.
    assert_eq!(codes(&row), [("A302", Level::Orange)]);
}

#[test]
fn the_json_has_exactly_the_agreed_shape() {
    let mut case = Case::new();
    case.days("2026-01-01"..="2026-11-19", "1000.5");
    case.forecasts.insert(
        "c1".into(),
        CustomerForecast {
            band: Band {
                p10_m3: 1,
                p50_m3: 2,
                p90_m3: 3,
            },
            model: "regression",
        },
    );
    case.off_peak.insert(
        "c1".into(),
        OffPeakRecord {
            willingness: Some(OffPeakWillingness::OptedOut),
            event_on: Some(on("2026-11-18")),
            saved_yuan: Some(Yuan("1310.40".parse().unwrap())),
            ..OffPeakRecord::default()
        },
    );
    let json = serde_json::to_value(case.row()).unwrap();
    let keys: Vec<&str> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut agreed: Vec<&str> = "account_no name industry class size_class grid account_manager \
        contact_group zone basis completeness contract_annual_m3 sale_mode base_price_yuan_per_m3 \
        price_tier agreed_discount_yuan_per_m3 discount_floor_yuan_per_m3 year_to_date_m3 \
        year_days_unknown month_days_unknown \
        to_next_tier_m3 next_tier_on is_interruptible protection_rank flow_min_safe_m3h \
        meter_count main_meter meter_kind transport flow_max_m3h latest_total_m3 latest_total_kind latest_at \
        data_completeness_7d shift pattern temperature_sensitivity_m3_per_c peak_share load_factor \
        shiftable_m3_per_day yesterday_m3 today_so_far_m3 today_expected_m3 plan_m3 forecast \
        deviation_m3 deviation_ratio day_on_day year_on_year peak_hour_m3 peak_slots_m3 \
        month_to_date_m3 month_plan_ratio time_progress month_expected_deviation_m3 status \
        findings change off_peak quarter sparkline"
        .split_whitespace()
        .collect();
    agreed.sort_unstable();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, agreed);
    assert_eq!(json["class"], "industrial");
    assert_eq!(json["size_class"], "large");
    assert_eq!(json["year_to_date_m3"], "323161.5000");
    assert_eq!(json["base_price_yuan_per_m3"], "3.0000");
    assert_eq!(json["price_tier"], "tier0");
    assert_eq!(json["forecast"]["p50_m3"], 2);
    assert_eq!(json["forecast"]["model"], "regression");
    assert_eq!(json["status"], "normal");
    assert_eq!(json["zone"], "北区");
    assert_eq!(json["sparkline"][29], 1000.5);
    assert_eq!(
        json["off_peak"],
        serde_json::json!({
            "willingness": "opted_out", "event_on": "2026-11-18", "reduction_m3": null,
            "performance_ratio": null, "saved_yuan": "1310.40", "contacted_on": null,
        })
    );
}

#[test]
fn tiers_follow_the_calendar_year_to_the_last_unit() {
    let cases = [
        ("4999999.99", "tier0", Some("0"), Some("0.0100")),
        ("5000000", "tier1", Some("0.05"), Some("5000000.0000")),
        ("9999999.99", "tier1", Some("0.05"), Some("0.0100")),
        ("10000000", "tier2", Some("0.10"), Some("5000000.0001")),
        ("15000000", "tier2", Some("0.10"), Some("0.0001")),
        ("15000000.01", "negotiated", None, None),
    ];
    for (year, tier, floor, gap) in cases {
        let mut case = Case::new().quiet_year();
        // Last year's use does not count.
        case.days("2025-12-31"..="2025-12-31", "77");
        case.days("2026-02-01"..="2026-02-01", year);
        let json = serde_json::to_value(case.row()).unwrap();
        assert_eq!(json["price_tier"], tier, "{year}");
        assert_eq!(json["discount_floor_yuan_per_m3"].as_str(), floor, "{year}");
        assert_eq!(json["to_next_tier_m3"].as_str(), gap, "{year}");
    }
}

#[test]
fn the_next_tier_is_dated_by_the_last_30_days() {
    let mut case = Case::new().quiet_year();
    case.days("2026-02-01"..="2026-02-01", "4969000");
    case.days("2026-10-21"..="2026-11-19", "1000");
    // 1,000 m³ are missing: one more day.
    let row = case.row();
    assert_eq!(row.to_next_tier_m3, Some(v("1000")));
    assert_eq!(row.next_tier_on, Some(on("2026-11-20").0));
    case.days("2026-02-01"..="2026-02-01", "4968999.9999");
    assert_eq!(case.row().next_tier_on, Some(on("2026-11-21").0));
    // Next year begins at nothing again: no date beyond this one.
    case.days("2026-02-01"..="2026-02-01", "4928000");
    assert_eq!(case.row().next_tier_on, Some(on("2026-12-31").0));
    case.days("2026-02-01"..="2026-02-01", "4927999.9999");
    assert_eq!(case.row().next_tier_on, None);
}

#[test]
fn a_discount_below_the_floor_is_told() {
    let mut case = Case::new().quiet_year();
    case.days("2026-02-01"..="2026-02-01", "10000000");
    case.customer().agreed_discount = YuanPerM3("0.0999".parse().unwrap());
    let row = case.row();
    assert!(codes(&row).contains(&("A208", Level::Yellow)), "{row:?}");
    case.customer().agreed_discount = YuanPerM3("0.1000".parse().unwrap());
    assert!(codes(&case.row()).iter().all(|(code, _)| *code != "A208"));
    // Above 15 million there is no floor to fall below.
    case.customer().agreed_discount = YuanPerM3::default();
    case.days("2026-02-01"..="2026-02-01", "15000000.01");
    assert!(codes(&case.row()).iter().all(|(code, _)| *code != "A208"));
}

#[test]
fn the_day_ratio_flags_beyond_its_bounds_only() {
    for (day, is_flagged) in [
        ("1500", false),
        ("1500.0001", true),
        ("667", false),
        ("666.9999", true),
    ] {
        let mut case = Case::new();
        case.days("2026-11-18"..="2026-11-18", "1000");
        case.days("2026-11-19"..="2026-11-19", day);
        let row = case.row();
        let flagged = codes(&row) == [("A101", Level::Yellow)];
        assert_eq!(flagged, is_flagged, "{day}: {:?}", row.findings);
        assert!(near(row.day_on_day, v(day).to_f64() / 1000.0 - 1.0));
    }
    let mut case = Case::new();
    case.days("2026-11-18"..="2026-11-18", "1000");
    case.days("2026-11-19"..="2026-11-19", "1800");
    let row = case.row();
    let finding = &row.findings[0];
    assert_eq!(
        finding.message_zh,
        "华宇陶瓷2026-11-19用量为前一日的 1.800 倍(>1.5)：1800 m³，前一日 1000 m³"
    );
    assert!(finding.message_en.contains("1.800 times (>1.5)"));
    // Known since the gas day ended; 24 clock hours from then.
    assert_eq!(finding.due_at, Some(at("2026-11-21T08:00:00+08:00")));
    assert_eq!(row.status, LedgerStatus::Watch);
    // From Friday into a Saturday it is told without a colour.
    case.now = at("2026-11-22T10:30:00+08:00");
    case.days("2026-11-20"..="2026-11-20", "1000");
    case.days("2026-11-21"..="2026-11-21", "500");
    let row = case.row();
    assert_eq!(codes(&row), [("A101", Level::Blue)]);
    assert_eq!(row.status, LedgerStatus::Normal);
}

#[test]
fn the_plan_in_force_is_the_last_one_known() {
    let mut case = Case::new();
    case.days("2026-11-18"..="2026-11-19", "1050");
    case.plan("2026-11-19", "1000", "2026-11-17T09:00:00+08:00");
    case.plan("2026-11-19", "500", "2026-11-16T09:00:00+08:00");
    case.plan("2026-11-19", "9999", "2026-11-21T09:00:00+08:00");
    let row = case.row();
    assert_eq!(row.plan_m3, Some(v("1000")));
    assert_eq!(row.deviation_m3, Some(v("50")));
    assert!(near(row.deviation_ratio, 0.05));
    assert_eq!(codes(&row), []);
    case.days("2026-11-19"..="2026-11-19", "949.9999");
    let row = case.row();
    assert_eq!(codes(&row), [("A103", Level::Yellow)]);
    assert!(
        row.findings[0]
            .message_zh
            .contains("-5.0%(超出±5%)：实际 950 m³，申报 1000 m³"),
        "{}",
        row.findings[0].message_zh
    );
    case.days("2026-11-19"..="2026-11-19", "1300");
    assert_eq!(codes(&case.row()), [("A103", Level::Orange)]);
    assert_eq!(case.row().status, LedgerStatus::Warning);
}

#[test]
fn no_gas_for_three_working_days_against_a_plan_is_told() {
    let mut case = Case::new();
    case.days("2026-11-16"..="2026-11-19", "0");
    case.days("2026-11-16"..="2026-11-16", "800");
    assert_eq!(codes(&case.row()), []);
    case.plan("2026-11-19", "900", "2026-11-10T09:00:00+08:00");
    let row = case.row();
    assert_eq!(
        codes(&row),
        [("A102", Level::Orange), ("A103", Level::Orange)]
    );
    assert_eq!(
        row.findings[0].message_zh,
        "华宇陶瓷连续3个工作日零用气，有计划 900 m³/d"
    );
    case.days("2026-11-17"..="2026-11-17", "1");
    assert_ne!(case.row().findings[0].code, "A102");
    // An announced stop explains it.
    case.days("2026-11-17"..="2026-11-17", "0");
    case.registry.production_changes.push(ProductionChange {
        customer: "c1".into(),
        kind: ChangeKind::Shutdown,
        from_on: on("2026-11-17").0,
        to_on: on("2026-11-25").0,
        delta_m3_per_day: -900.0,
        confidence: 0.9,
        source: "走访".into(),
        available_at: at("2026-11-15T09:00:00+08:00"),
    });
    let row = case.row();
    assert!(row.findings.iter().all(|f| f.code != "A102"));
    assert_eq!(row.change.unwrap().kind, ChangeKind::Shutdown);
}

#[test]
fn the_contract_is_compared_with_days_left_times_the_mean() {
    // From 2026-11-20 to the end of the year 42 days are left.
    let base = || {
        let mut case = Case::new().quiet_year();
        case.days("2026-10-21"..="2026-11-19", "1000");
        case
    };
    let with = |contract: &str| {
        let mut case = base();
        case.customer().contract_annual = v(contract);
        case.row()
    };
    // Used 30,000, and 42,000 to come.
    assert_eq!(codes(&with("72000")), []);
    assert_eq!(codes(&with("71999.9999")), [("A201", Level::Blue)]);
    assert_eq!(codes(&with("72000.0001")), [("A207", Level::Blue)]);
    let over = with("60000");
    assert_eq!(codes(&over), [("A201", Level::Orange)]);
    let finding = &over.findings[0];
    assert_eq!(
        finding.message_zh,
        "华宇陶瓷年合同量按当前进度将于 2026-12-19 用尽，超提 12000 m³\
         （剩余 42 天 × 日均 1000 m³ = 42000 m³，剩余合同量 30000 m³）"
    );
    // Three working days from Friday 08:00.
    assert_eq!(finding.due_at, Some(at("2026-11-25T08:00:00+08:00")));
    let under = with("100000");
    assert_eq!(codes(&under), [("A207", Level::Yellow)]);
    assert!(under.findings[0].message_zh.contains("欠提 28000 m³"));
    assert_eq!(under.contract_annual_m3, Some(v("100000")));
}

#[test]
fn the_month_counts_complete_days() {
    let mut case = Case::new().quiet_year();
    case.days("2026-10-21"..="2026-10-31", "400");
    case.days("2026-11-01"..="2026-11-19", "1000");
    case.customer().contract_annual = v("240000");
    let row = case.row();
    assert_eq!(row.month_to_date_m3, v("19000"));
    assert!((row.time_progress - 19.0 / 30.0).abs() < 1e-12);
    // A twelfth of the contract is 20,000 m³.
    assert!(near(row.month_plan_ratio, 0.95));
    let mean = (11.0 * 400.0 + 19.0 * 1_000.0) / 30.0;
    assert!(near(
        row.month_expected_deviation_m3,
        19_000.0 + 11.0 * mean - 20_000.0
    ));
    // Where every day of the month is filed, that is the plan; today is the forecast's.
    for day in on("2026-11-01").month().days() {
        case.plan(&day.to_string(), "1000", "2026-10-25T09:00:00+08:00");
    }
    case.forecasts.insert(
        "c1".into(),
        CustomerForecast {
            band: Band {
                p10_m3: 1_500,
                p50_m3: 2_000,
                p90_m3: 2_500,
            },
            model: "regression",
        },
    );
    let row = case.row();
    assert!(near(row.month_plan_ratio, 19.0 / 30.0));
    assert!(near(
        row.month_expected_deviation_m3,
        19_000.0 + 2_000.0 + 10.0 * mean - 30_000.0
    ));
    assert!(near(row.today_expected_m3, 2_000.0));
    // On the first the month has nothing behind it.
    case.now = at("2026-11-01T10:00:00+08:00");
    let row = case.row();
    assert_eq!(row.month_to_date_m3, StdVolume::ZERO);
    assert!(row.time_progress.abs() < 1e-12);
}

#[test]
fn the_gas_day_decides_what_yesterday_is() {
    let mut case = Case::new();
    case.days("2026-11-18"..="2026-11-18", "18");
    case.days("2026-11-19"..="2026-11-19", "19");
    case.now = at("2026-11-20T07:59:59+08:00");
    assert_eq!(case.row().yesterday_m3, Some(v("18")));
    case.now = at("2026-11-20T08:00:00+08:00");
    assert_eq!(case.row().yesterday_m3, Some(v("19")));
}

#[test]
fn hours_and_years_give_their_figures() {
    let mut case = Case::new();
    case.days("2025-11-19"..="2025-11-19", "200");
    case.days("2026-11-19"..="2026-11-19", "250");
    let mut hours = [Some(v("10")); 24];
    hours[3] = Some(v("20")); // 11:00, a peak slot
    case.hours_yesterday.insert("c1".into(), hours);
    let mut today = [None; 24];
    today[0] = Some(v("7"));
    today[1] = Some(v("8"));
    case.hours_today.insert("c1".into(), today);
    case.forecasts.insert(
        "c1".into(),
        CustomerForecast {
            band: Band {
                p10_m3: 5,
                p50_m3: 10,
                p90_m3: 20,
            },
            model: "regression",
        },
    );
    let row = case.row();
    assert!(near(row.year_on_year, 0.25));
    assert_eq!(row.peak_hour_m3, Some(v("20")));
    assert_eq!(row.peak_slots_m3, Some(v("120")));
    assert!(near(row.peak_share, 120.0 / 250.0));
    assert!(near(row.load_factor, 250.0 / 24.0 / 20.0));
    assert_eq!(row.today_so_far_m3, Some(v("15")));
    // More is used already than was expected.
    assert!(near(row.today_expected_m3, 15.0));
    let mut gap = hours;
    gap[20] = None;
    gap[21] = None;
    case.hours_yesterday.insert("c1".into(), gap);
    let row = case.row();
    assert_eq!(codes(&row), [("A302", Level::Yellow)]);
    assert!(row.findings[0].message_zh.contains("缺数2小时"));
    assert_eq!((row.load_factor, row.peak_share), (None, None));
}

#[test]
fn meters_and_master_data_are_summed_up() {
    let mut case = Case::new();
    let mut large = meter("m2", "c1");
    large.flow_max_m3h = 1_600.0;
    large.kind = MeterKind::Ultrasonic;
    large.gateway = Some(GatewayId::from("g1"));
    case.registry = registry(vec![customer("c1")], vec![meter("m1", "c1"), large]);
    let latest = LatestTotal {
        total: RegisterTotal::Std(v("12345678.9012")),
        at: at("2026-11-20T10:00:00+08:00"),
    };
    case.latest.insert("m2".into(), latest);
    case.days("2026-11-14"..="2026-11-19", "5");
    let row = case.row();
    assert_eq!((row.meter_count, row.main_meter.as_str()), (2, "m2"));
    assert_eq!(
        (row.meter_kind.as_str(), row.transport.as_str()),
        ("ultrasonic", "modbus")
    );
    assert!((row.flow_max_m3h - 2_600.0).abs() < 1e-9);
    assert_eq!(row.latest_total_m3, Some(latest.total));
    assert_eq!(row.latest_total_kind, Some(SettlementTotal::Std));
    assert_eq!(row.latest_at, Some(latest.at));
    // A working total is shown as the register shows it.
    let work = RegisterTotal::from_units(SettlementTotal::Work, 123_450_000);
    let of_register = LatestTotal {
        total: work,
        ..latest
    };
    case.latest.insert("m2".into(), of_register);
    let json = serde_json::to_value(case.row()).unwrap();
    assert_eq!(json["latest_total_m3"], "12345.0000");
    assert_eq!(json["latest_total_kind"], "work");
    // Six of seven days, until the caller counts hours.
    assert!((row.data_completeness_7d - 6.0 / 7.0).abs() < 1e-12);
    case.completeness_7d.insert("c1".into(), 0.97);
    assert!((case.row().data_completeness_7d - 0.97).abs() < 1e-12);
    // Nine of ten fields: there is no annual contract.
    assert!((row.completeness - 0.9).abs() < 1e-12);
    case.customer().contract_annual = v("1");
    case.customer().contact_group.clear();
    case.customer().industry.clear();
    assert!((case.row().completeness - 0.8).abs() < 1e-12);
}

#[test]
fn temperature_is_that_of_the_zones_station() {
    let mut case = Case::new();
    let mut temperatures = BTreeMap::new();
    let days = case.daily.entry("c1".into()).or_default();
    for i in 0..60 {
        let day = on("2026-01-01").plus(i);
        let t = (i % 12) as f64 - 6.0;
        temperatures.insert(day, t);
        days.insert(day, StdVolume::from_f64(5_000.0 - 120.0 * t));
    }
    case.temperatures
        .insert("other".into(), temperatures.clone());
    assert_eq!(case.row().temperature_sensitivity_m3_per_c, None);
    case.temperatures.insert("57083".into(), temperatures);
    let slope = case.row().temperature_sensitivity_m3_per_c.unwrap();
    assert!((slope + 120.0).abs() < 1e-6, "{slope}");
    // The local calendar says when its places are heated: never here, until the tenth of January there.
    let mut with = |heating: &str| {
        let place = toml::from_str(&format!("name = \"city\"\n{heating}")).unwrap();
        case.calendar = calendar().with_places(vec![place]);
        case.row().temperature_sensitivity_m3_per_c
    };
    assert_eq!(with(""), None);
    let ends = |to: &str| {
        let early = format!("exceptions = [{{ from = \"2025-11-15\", to = \"{to}\" }}]");
        format!("heating = {{ from = \"11-15\", to = \"03-15\", {early} }}")
    };
    assert_eq!(with(&ends("2026-01-10")), None, "ten days are too few");
    assert!(with(&ends("2026-02-10")).is_some());
}

#[test]
fn a_change_is_shown_while_in_force_or_soon_to_come() {
    let change = |kind, from: &str, to: &str, known: &str| ProductionChange {
        customer: "c1".into(),
        kind,
        from_on: on(from).0,
        to_on: on(to).0,
        delta_m3_per_day: 10.0,
        confidence: 0.5,
        source: "电话".into(),
        available_at: at(known),
    };
    let early = "2026-11-01T00:00:00+08:00";
    let mut case = Case::new();
    case.registry.production_changes = vec![
        change(ChangeKind::Fuel, "2026-12-21", "2026-12-31", early),
        change(ChangeKind::Switch, "2026-11-01", "2026-11-19", early),
    ];
    assert_eq!(case.row().change, None);
    let changes = &mut case.registry.production_changes;
    changes.push(change(
        ChangeKind::Reduce,
        "2026-12-20",
        "2026-12-31",
        early,
    ));
    assert_eq!(case.row().change.unwrap().kind, ChangeKind::Reduce);
    let changes = &mut case.registry.production_changes;
    changes.push(change(
        ChangeKind::Expand,
        "2026-11-20",
        "2026-11-20",
        early,
    ));
    assert_eq!(case.row().change.unwrap().kind, ChangeKind::Expand);
    let unknown_yet = "2026-11-21T00:00:00+08:00";
    let changes = &mut case.registry.production_changes;
    changes.push(change(
        ChangeKind::Holiday,
        "2026-11-20",
        "2026-11-20",
        unknown_yet,
    ));
    assert_eq!(case.row().change.unwrap().kind, ChangeKind::Expand);
}

#[test]
fn lines_are_sorted_by_status_then_by_yuan_at_stake() {
    let mut case = Case::new();
    let ids = ["a", "b", "c", "d"];
    case.registry = registry(ids.map(customer).to_vec(), vec![]);
    for (id, volume) in ids.into_iter().zip(["1000", "1060", "1100", "1300"]) {
        let days = BTreeMap::from([(on("2026-11-18"), v("1000")), (on("2026-11-19"), v(volume))]);
        case.daily.insert(id.into(), days);
        case.hours_yesterday.insert(id.into(), [Some(v("1")); 24]);
        case.plans.push(FiledPlan {
            customer: id.into(),
            day: on("2026-11-19"),
            volume: v("1000"),
            available_at: at("2026-11-10T00:00:00+08:00"),
        });
    }
    let rows = case.build();
    let order: Vec<&str> = rows.iter().map(|r| r.account_no.as_str()).collect();
    assert_eq!(order, ["d", "c", "b", "a"]);
    assert!((rows[1].risk_yuan - 300.0).abs() < 1e-9);
    assert_eq!(rows[3].status, LedgerStatus::Normal);
    // The same again, whatever order the members come in.
    assert_eq!(case.build(), rows);
}
