//! The columns of the workbook, group by group. domain.md §2.10.

use crate::domain::calendar::beijing_civil;
use crate::domain::customer::{PriceTier, SaleMode, ShiftPattern, SizeClass};
use crate::domain::filing::ChangeKind;
use crate::domain::meter::SettlementTotal;
use crate::domain::quantity::{StdVolume, YuanPerM3};
use crate::ledger::entry::{
    LedgerEntry, LedgerStatus, OffPeakRecord, OffPeakWillingness, RegisterTotal, UsePattern,
};

/// What a cell holds.
pub(super) enum Cell {
    Text(String),
    /// None is an empty cell.
    Number(Option<f64>),
}

/// How a column is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// 万m³, four decimals.
    Wan,
    /// m³, four decimals: exact.
    M3,
    /// A whole number: a count, or a forecast in m³.
    Count,
    Price,
    /// 元, two decimals.
    Yuan,
    Ratio,
    Figure,
}

/// One column.
pub(super) struct Column {
    pub(super) header: &'static str,
    pub(super) kind: Kind,
    pub(super) width: f64,
    pub(super) is_summed: bool,
    pub(super) value: fn(&LedgerEntry) -> Cell,
}

/// One group of columns.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
}

const fn text(header: &'static str, width: f64, value: fn(&LedgerEntry) -> Cell) -> Column {
    column(header, Kind::Text, width, value)
}

const fn column(
    header: &'static str,
    kind: Kind,
    width: f64,
    value: fn(&LedgerEntry) -> Cell,
) -> Column {
    Column {
        header,
        kind,
        width,
        is_summed: false,
        value,
    }
}

const fn summed(header: &'static str, kind: Kind, value: fn(&LedgerEntry) -> Cell) -> Column {
    Column {
        header,
        kind,
        width: 16.0,
        is_summed: true,
        value,
    }
}

/// Chinese name of what a forecast comes from.
fn method_of(model: &'static str) -> &'static str {
    match model {
        "plan" => "客户计划",
        "regression" => "回归",
        "class_profile_scaled" => "同类曲线 × 自身水平",
        "class_profile_design_flow" => "同类曲线 × 设计流量 × 达产",
        "seasonal_naive" => "季节朴素",
        other => other,
    }
}

fn t(value: impl Into<String>) -> Cell {
    Cell::Text(value.into())
}

fn n(value: impl Into<Option<f64>>) -> Cell {
    Cell::Number(value.into())
}

fn m3(value: impl Into<Option<StdVolume>>) -> Cell {
    Cell::Number(value.into().map(StdVolume::to_f64))
}

/// 万m³, from exact units: ten thousand cubic metres are 1e8 of them.
fn wan(value: impl Into<Option<StdVolume>>) -> Cell {
    Cell::Number(value.into().map(|volume| volume.units() as f64 / 1e8))
}

fn price(value: impl Into<Option<YuanPerM3>>) -> Cell {
    Cell::Number(value.into().map(YuanPerM3::to_f64))
}

fn yes_no(value: bool) -> Cell {
    t(if value { "是" } else { "否" })
}

fn date(value: Option<chrono::NaiveDate>) -> Cell {
    t(value.map_or_else(String::new, |date| date.to_string()))
}

/// Groups A to H.
pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "A 基本",
        columns: &[
            text("户号", 12.0, |e| t(e.account_no.as_str())),
            text("企业名称", 24.0, |e| t(&e.name)),
            text("行业", 12.0, |e| t(&e.industry)),
            text("用户类别", 12.0, |e| t(e.class.name_zh())),
            text("规模等级", 9.0, |e| t(size(e.size_class))),
            text("网格", 9.0, |e| t(&e.grid)),
            text("客户经理", 10.0, |e| t(&e.account_manager)),
            text("微信项目群", 14.0, |e| t(&e.contact_group)),
            text("供气区域", 10.0, |e| t(&e.zone)),
            text("入台账依据", 30.0, |e| t(&e.basis)),
            column("资料完整率(%)", Kind::Ratio, 10.0, |e| {
                n(e.completeness)
            }),
        ],
    },
    Group {
        name: "B 合同与价格",
        columns: &[
            text("合同类型", 9.0, |e| t(sale_mode(e.sale_mode))),
            summed("年合同量(万m³)", Kind::Wan, |e| {
                wan(e.contract_annual_m3)
            }),
            column("基准价(元/m³)", Kind::Price, 10.0, |e| {
                price(e.base_price_yuan_per_m3)
            }),
            text("以量定价档位", 16.0, |e| {
                t(e.price_tier.map_or("未知", tier))
            }),
            column("优惠额(元/m³)", Kind::Price, 10.0, |e| {
                price(e.agreed_discount_yuan_per_m3)
            }),
            column("优惠下限(元/m³)", Kind::Price, 10.0, |e| {
                price(e.discount_floor_yuan_per_m3)
            }),
            summed("当年累计(万m³)", Kind::Wan, |e| wan(e.year_to_date_m3)),
            column("当年缺数天数", Kind::Count, 9.0, |e| {
                n(e.year_days_unknown as f64)
            }),
            column("距下一档(万m³)", Kind::Wan, 13.0, |e| {
                wan(e.to_next_tier_m3)
            }),
            text("预计达档日期", 12.0, |e| date(e.next_tier_on)),
            text("可中断", 8.0, |e| yes_no(e.is_interruptible)),
            column("保供序位", Kind::Count, 8.0, |e| {
                n(f64::from(e.protection_rank))
            }),
            column("保炉最小气量(m³/h)", Kind::Figure, 11.0, |e| {
                n(e.flow_min_safe_m3h)
            }),
        ],
    },
    Group {
        name: "C 表具",
        columns: &[
            column("表数", Kind::Count, 7.0, |e| n(e.meter_count as f64)),
            text("主表编号", 14.0, |e| t(e.main_meter.as_str())),
            text("表型", 8.0, |e| t(meter_kind(&e.meter_kind))),
            text("通信方式", 9.0, |e| t(&e.transport)),
            column("Qmax(m³/h)", Kind::Figure, 11.0, |e| n(e.flow_max_m3h)),
            column("最近读数(m³)", Kind::M3, 15.0, |e| {
                n(e.latest_total_m3.map(RegisterTotal::to_f64))
            }),
            text("读数口径", 9.0, |e| {
                t(e.latest_total_kind.map_or("", total_kind))
            }),
            text("最近时间(北京)", 17.0, |e| {
                t(e.latest_at.map_or_else(String::new, |at| {
                    beijing_civil(at).format("%Y-%m-%d %H:%M").to_string()
                }))
            }),
            column("数据完整率(近7日,%)", Kind::Ratio, 11.0, |e| {
                n(e.data_completeness_7d)
            }),
        ],
    },
    Group {
        name: "D 用气特性",
        columns: &[
            text("班制", 7.0, |e| t(shift(e.shift))),
            text("用气规律", 9.0, |e| t(pattern(e.pattern))),
            column("温度敏感系数(m³/℃)", Kind::Figure, 12.0, |e| {
                n(e.temperature_sensitivity_m3_per_c)
            }),
            column("峰时占比(%)", Kind::Ratio, 9.0, |e| n(e.peak_share)),
            column("负荷率(%)", Kind::Ratio, 9.0, |e| n(e.load_factor)),
            summed("可移峰能力(m³/d)", Kind::Figure, |e| {
                n(e.shiftable_m3_per_day)
            }),
        ],
    },
    Group {
        name: "E 监控(日)",
        columns: &[
            summed("昨日实际(m³)", Kind::M3, |e| m3(e.yesterday_m3)),
            summed("今日累计(m³)", Kind::M3, |e| m3(e.today_so_far_m3)),
            summed("今日预计(m³)", Kind::Count, |e| n(e.today_expected_m3)),
            summed("客户申报(昨日,m³)", Kind::M3, |e| m3(e.plan_m3)),
            summed("今日预测P50(m³)", Kind::Count, |e| {
                n(e.forecast.map(|b| b.p50_m3 as f64))
            }),
            column("今日预测P10(m³)", Kind::Count, 16.0, |e| {
                n(e.forecast.map(|b| b.p10_m3 as f64))
            }),
            column("今日预测P90(m³)", Kind::Count, 16.0, |e| {
                n(e.forecast.map(|b| b.p90_m3 as f64))
            }),
            text("预测方法", 22.0, |e| {
                t(e.forecast.map_or("", |b| method_of(b.model)))
            }),
            summed("日偏差量(m³)", Kind::M3, |e| m3(e.deviation_m3)),
            column("日偏差率(%)", Kind::Ratio, 9.0, |e| n(e.deviation_ratio)),
            column("环比(%)", Kind::Ratio, 9.0, |e| n(e.day_on_day)),
            column("同比(%)", Kind::Ratio, 9.0, |e| n(e.year_on_year)),
            column("最高小时(m³/h)", Kind::M3, 12.0, |e| m3(e.peak_hour_m3)),
            summed("峰段用量(m³)", Kind::M3, |e| m3(e.peak_slots_m3)),
            summed("月累计(m³)", Kind::M3, |e| m3(e.month_to_date_m3)),
            column("当月缺数天数", Kind::Count, 9.0, |e| {
                n(e.month_days_unknown as f64)
            }),
            column("月计划完成率(%)", Kind::Ratio, 11.0, |e| {
                n(e.month_plan_ratio)
            }),
            column("时间进度(%)", Kind::Ratio, 9.0, |e| n(e.time_progress)),
            summed("预计当月偏差(m³)", Kind::Figure, |e| {
                n(e.month_expected_deviation_m3)
            }),
        ],
    },
    Group {
        name: "F 预警",
        columns: &[
            text("状态", 8.0, |e| t(status(e.status))),
            text("预警内容", 50.0, |e| {
                let lines: Vec<String> = e
                    .findings
                    .iter()
                    .map(|f| format!("{} {}", f.code, f.message_zh))
                    .collect();
                t(lines.join("\n"))
            }),
            text("最早时限(北京)", 17.0, |e| {
                let due = e.findings.iter().filter_map(|f| f.due_at).min();
                t(due.map_or_else(String::new, |at| {
                    beijing_civil(at).format("%Y-%m-%d %H:%M").to_string()
                }))
            }),
        ],
    },
    Group {
        name: "G 生产变更",
        columns: &[
            text("变更类型", 10.0, |e| {
                t(e.change.as_ref().map_or("", |c| change_kind(c.kind)))
            }),
            text("开始日期", 12.0, |e| {
                date(e.change.as_ref().map(|c| c.from_on))
            }),
            text("结束日期", 12.0, |e| {
                date(e.change.as_ref().map(|c| c.to_on))
            }),
            column("影响量(m³/d)", Kind::Figure, 12.0, |e| {
                n(e.change.as_ref().map(|c| c.delta_m3_per_day))
            }),
            column("置信度(%)", Kind::Ratio, 9.0, |e| {
                n(e.change.as_ref().map(|c| c.confidence))
            }),
            text("来源", 10.0, |e| {
                t(e.change.as_ref().map_or("", |c| c.source.as_str()))
            }),
        ],
    },
    Group {
        name: "H 避峰",
        columns: &[
            text("参与意愿", 10.0, |e| {
                t(off_peak(e, |o| o.willingness).map_or("", willingness))
            }),
            text("近次事件", 12.0, |e| {
                date(off_peak(e, |o| Some(o.event_on?.0)))
            }),
            column("削减量(m³)", Kind::Figure, 12.0, |e| {
                n(off_peak(e, |o| o.reduction_m3))
            }),
            column("履约率(%)", Kind::Ratio, 9.0, |e| {
                n(off_peak(e, |o| o.performance_ratio))
            }),
            summed("累计节省(元)", Kind::Yuan, |e| {
                n(off_peak(e, |o| Some(o.saved_yuan?.to_f64())))
            }),
            text("最近沟通日期", 12.0, |e| {
                date(off_peak(e, |o| o.contacted_on))
            }),
        ],
    },
];

fn off_peak<T>(entry: &LedgerEntry, of: impl FnOnce(&OffPeakRecord) -> Option<T>) -> Option<T> {
    entry.off_peak.as_ref().and_then(of)
}

const fn willingness(willingness: OffPeakWillingness) -> &'static str {
    match willingness {
        OffPeakWillingness::Willing => "愿意",
        OffPeakWillingness::Partly => "部分",
        OffPeakWillingness::Unable => "不便",
        OffPeakWillingness::OptedOut => "退订",
    }
}

const fn size(size: SizeClass) -> &'static str {
    match size {
        SizeClass::Micro => "小微",
        SizeClass::General => "一般",
        SizeClass::Large => "大型",
    }
}

const fn sale_mode(mode: SaleMode) -> &'static str {
    match mode {
        SaleMode::Direct => "直销",
        SaleMode::Agency => "代销",
        SaleMode::Wheeling => "代输",
    }
}

const fn tier(tier: PriceTier) -> &'static str {
    match tier {
        PriceTier::Tier0 => "<500万",
        PriceTier::Tier1 => "500万–1000万",
        PriceTier::Tier2 => "1000万–1500万",
        PriceTier::Negotiated => ">1500万协商",
    }
}

const fn total_kind(kind: SettlementTotal) -> &'static str {
    match kind {
        SettlementTotal::Std => "标况",
        SettlementTotal::Work => "工况",
    }
}

fn meter_kind(key: &str) -> &'static str {
    match key {
        "diaphragm" => "膜式",
        "rotary" => "罗茨",
        "turbine" => "涡轮",
        "ultrasonic" => "超声",
        _ => "",
    }
}

const fn shift(shift: ShiftPattern) -> &'static str {
    match shift {
        ShiftPattern::One => "一班",
        ShiftPattern::Two => "两班",
        ShiftPattern::Three => "三班",
    }
}

const fn pattern(pattern: UsePattern) -> &'static str {
    match pattern {
        UsePattern::Stable => "稳定",
        UsePattern::Peaks => "峰谷",
        UsePattern::Seasonal => "季节",
        UsePattern::Intermittent => "间歇",
        UsePattern::Unknown => "—",
    }
}

const fn status(status: LedgerStatus) -> &'static str {
    match status {
        LedgerStatus::Normal => "正常",
        LedgerStatus::Watch => "关注",
        LedgerStatus::Warning => "预警",
        LedgerStatus::Abnormal => "异常",
    }
}

const fn change_kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Shutdown => "停产检修",
        ChangeKind::Resume => "复产",
        ChangeKind::Expand => "扩产",
        ChangeKind::Reduce => "减产",
        ChangeKind::Shift => "错峰",
        ChangeKind::Switch => "转产",
        ChangeKind::Equipment => "设备更换",
        ChangeKind::Holiday => "放假",
        ChangeKind::Fuel => "燃料替代",
    }
}
