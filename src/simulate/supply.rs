//! Where the city's gas comes from: zones, sources, dated shares and contracts.

use chrono::{Datelike, NaiveDate, NaiveTime};
use rust_decimal::Decimal;

use crate::domain::calendar::{Calendar, GasDayClock};
use crate::domain::contract::{
    ContractComponent, ContractComponentKind, Deadlines, DeviationTerms, SupplyContract,
};
use crate::domain::customer::SaleMode;
use crate::domain::id::{ContractId, SourceId, ZoneId};
use crate::domain::quantity::{ReferenceConditions, StdVolume, YuanPerM3};
use crate::domain::registry::Company;
use crate::domain::season::{MonthDay, Place, SchoolHoliday, Season};
use crate::domain::slot::SlotTable;
use crate::domain::source::{GasQuality, GasSource, SourceClass, SourceShare, Zone};
use crate::simulate::config::CityConfig;
use crate::simulate::noise::whole;
use crate::simulate::weather::STATION;

/// The two zones, each behind its gate station.
pub(crate) const ZONE_IDS: [&str; 2] = ["north", "south"];
/// Parts of the city's demand in each zone.
const ZONE_PARTS: [f64; 2] = [0.55, 0.45];
/// Volume of the pipes of each zone's ring, m³: 40 and 32 km of DN500.
pub(crate) const PIPE_VOLUMES_M3: [f64; 2] = [8_000.0, 6_400.0];
/// Gas bought for each m³ sold: the rest is lost or not accounted for.
pub(crate) const LOSS_RATIO: f64 = 0.02;
/// Local atmospheric pressure, kPa.
pub(crate) const ATMOSPHERE_KPA: f64 = 101.0;
/// Part of the winter's expected demand that the contracts cover.
const WINTER_COVER: f64 = 0.93;

/// The company's level in MQTT topics.
pub const TOPIC_COMPANY: &str = "slrq";

pub(crate) fn company() -> Company {
    Company {
        name: "示例城市燃气有限公司".into(),
        short_name: "示例燃气".into(),
        phone: "000-0000-0000".into(),
        gas_day_start_hour: GasDayClock::default(),
        reference: ReferenceConditions::CHINA,
        heating_from: "11-15".into(),
        heating_to: "03-15".into(),
        slots: SlotTable::default(),
    }
}

/// The calendar with the city's own: schools closed from late January to mid-February and in July and
/// August, heating from 15 November, winter price from 1 November.
pub(crate) fn with_local_calendar(calendar: Calendar) -> Calendar {
    let season = |from: &str, to: &str| {
        let day = |text: &str| text.parse::<MonthDay>().ok();
        Some(Season {
            from: day(from)?,
            to: day(to)?,
            exceptions: Vec::new(),
        })
    };
    let holiday = |year: i32, name: &str, from: (u32, u32), to: (u32, u32)| {
        let date = |(month, day)| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
        SchoolHoliday {
            name: name.into(),
            from: date(from),
            to: date(to),
        }
    };
    let years = calendar.years().map(|year| year.year);
    let school_holidays = years
        .flat_map(|year| {
            [
                holiday(year, "寒假", (1, 22), (2, 20)),
                holiday(year, "暑假", (7, 1), (8, 31)),
            ]
        })
        .collect();
    calendar.with_places(vec![Place {
        name: "示例城市".into(),
        zones: Vec::new(),
        heating: season("11-15", "03-15"),
        pricing: season("11-01", "03-31"),
        school_holidays,
    }])
}

pub(crate) fn zones(config: &CityConfig) -> Vec<Zone> {
    ["北区(北门站)", "南区(南门站)"]
        .into_iter()
        .zip(ZONE_IDS)
        .zip(config.pipe_volumes_m3)
        .map(|((name, id), pipe_volume_m3)| Zone {
            id: ZoneId::from(id),
            name: name.into(),
            weather_station: STATION.into(),
            atmosphere_kpa: ATMOSPHERE_KPA,
            pipe_volume_m3,
        })
        .collect()
}

pub(crate) fn sources() -> Vec<GasSource> {
    [
        (
            "pipe-a",
            "西线管道气",
            SourceClass::PipelineRegulated,
            "示例管道气销售公司(甲)",
            "北门站",
        ),
        (
            "pipe-b",
            "东线管道气",
            SourceClass::PipelineUnregulated,
            "示例管道气销售公司(乙)",
            "南门站",
        ),
        (
            "extra",
            "线上竞价气",
            SourceClass::PipelineExtra,
            "示例交易中心",
            "北门站",
        ),
        (
            "lng",
            "LNG储配站",
            SourceClass::Lng,
            "示例液化气源公司(丙)",
            "LNG储配站",
        ),
        (
            "cng",
            "CNG母站",
            SourceClass::Cng,
            "示例压缩气源公司(丁)",
            "CNG卸气站",
        ),
    ]
    .into_iter()
    .map(|(id, name, class, supplier, point)| GasSource {
        id: SourceId::from(id),
        name: name.into(),
        class,
        supplier: supplier.into(),
        delivery_point: point.into(),
    })
    .collect()
}

/// Shares of a zone by source, in the order of `SOURCE_ORDER`; each row sums to 1.
type Shares = [f64; 5];
const SOURCE_ORDER: [&str; 5] = ["pipe-a", "pipe-b", "extra", "lng", "cng"];

/// From which date of the year on which shares hold, in both zones: summer, the start of winter
/// with the LNG supplement, and deep winter.
const SEASONS: [((u32, u32), [Shares; 2]); 3] = [
    (
        (3, 16),
        [[0.82, 0.18, 0.0, 0.0, 0.0], [0.16, 0.80, 0.0, 0.0, 0.04]],
    ),
    (
        (11, 15),
        [
            [0.74, 0.16, 0.03, 0.07, 0.0],
            [0.15, 0.72, 0.03, 0.06, 0.04],
        ],
    ),
    (
        (12, 15),
        [
            [0.70, 0.14, 0.05, 0.11, 0.0],
            [0.14, 0.68, 0.05, 0.09, 0.04],
        ],
    ),
];

/// The gas of a pipeline from the west, in every zone.
pub(crate) fn gas_qualities(config: &CityConfig) -> Vec<GasQuality> {
    let year = config.start_on().0.year() - 1;
    ZONE_IDS
        .into_iter()
        .map(|zone| GasQuality {
            zone: zone.into(),
            from_on: NaiveDate::from_ymd_opt(year, 1, 1).unwrap_or_default(),
            calorific_value_mjm3: 40.66,
            relative_density: 0.581,
            co2: 0.006,
            h2: 0.0,
            composition: None,
        })
        .collect()
}

pub(crate) fn shares(config: &CityConfig) -> Vec<SourceShare> {
    let (first, last) = (config.start_on().0.year() - 1, config.end_on().0.year());
    let mut out = Vec::new();
    for year in first..=last {
        for ((month, day), of_zones) in SEASONS {
            let from_on = NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
            for (zone, shares) in ZONE_IDS.into_iter().zip(of_zones) {
                for (source, share) in SOURCE_ORDER.into_iter().zip(shares) {
                    // A source without a share in one season is listed all the same: 0 is a
                    // statement, a missing row a question.
                    out.push(SourceShare {
                        zone: zone.into(),
                        source: source.into(),
                        from_on,
                        share,
                    });
                }
            }
        }
    }
    out
}

/// Part of the city's gas that a source delivers in a calendar month (0 = January).
fn source_part(source: usize, month0: usize) -> f64 {
    let of_season = |season: usize| -> f64 {
        SEASONS[season]
            .1
            .iter()
            .zip(ZONE_PARTS)
            .map(|(shares, part)| shares[source] * part)
            .sum()
    };
    let (summer, autumn, winter) = (of_season(0), of_season(1), of_season(2));
    match month0 {
        0 | 1 => winter,
        2 | 10 => f64::midpoint(autumn, summer),
        11 => f64::midpoint(autumn, winter),
        _ => summer,
    }
}

/// Components of each source's contract: kind, part, price in the high and the low season (fen).
type Component = (ContractComponentKind, f64, i64, i64);
const COMPONENTS: [&[Component]; 5] = [
    &[
        (ContractComponentKind::Residential, 0.42, 172, 172),
        (ContractComponentKind::Balanced1, 0.50, 228, 205),
        (ContractComponentKind::PeakShaving, 0.08, 305, 262),
    ],
    &[
        (ContractComponentKind::Balanced1, 0.70, 246, 221),
        (ContractComponentKind::Balanced2, 0.20, 281, 239),
        (ContractComponentKind::PeakShaving, 0.10, 318, 274),
    ],
    &[(ContractComponentKind::Market, 1.0, 352, 288)],
    &[(ContractComponentKind::PeakShaving, 1.0, 425, 386)],
    &[(ContractComponentKind::Balanced1, 1.0, 348, 331)],
];

/// Contracts of every contract year (April to March) that the city's span touches.
///
/// `month_m3` is what the city buys in each calendar month, loss included, January first. The
/// quantities follow it but for the winter, of which they cover 93 %: that is the gap.
pub(crate) fn contracts(config: &CityConfig, month_m3: &[f64; 12]) -> Vec<SupplyContract> {
    let contract_year = |date: NaiveDate| date.year() - i32::from(date.month() < 4);
    let (first, last) = (
        contract_year(config.start_on().0),
        contract_year(config.end_on().0),
    );
    let sources = sources();
    (first..=last)
        .flat_map(|year| {
            sources
                .iter()
                .enumerate()
                .map(move |(index, source)| contract(year, index, source, month_m3))
        })
        .collect()
}

fn contract(year: i32, index: usize, source: &GasSource, month_m3: &[f64; 12]) -> SupplyContract {
    let quantity = |month0: usize, part: f64| {
        let cover = if matches!(month0, 10 | 11 | 0..=2) {
            WINTER_COVER
        } else {
            1.0
        };
        let m3 = month_m3[month0] * source_part(index, month0) * part * cover;
        StdVolume::from_m3(whole(m3 / 1_000.0) * 1_000)
    };
    let components = COMPONENTS[index]
        .iter()
        .map(|(kind, part, high, low)| ContractComponent {
            kind: *kind,
            contract_month_m3: std::array::from_fn(|month0| quantity(month0, *part)),
            price_high_yuan_per_m3: YuanPerM3(Decimal::new(*high, 2)),
            price_low_yuan_per_m3: YuanPerM3(Decimal::new(*low, 2)),
        })
        .collect();
    // The gate passes the peak hour of the coldest day: 1.6 times the mean day of January, and a
    // peak hour of 1.45 times the day's mean.
    let january_day = month_m3[0] * source_part(index, 0) / 31.0;
    let time = |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or_default();
    let is_pipeline = index < 2;
    SupplyContract {
        id: ContractId::new(format!("GSA-{year}-{}", source.id)),
        supplier: source.supplier.clone(),
        source: source.id.clone(),
        delivery_point: source.delivery_point.clone(),
        sale_mode: SaleMode::Direct,
        gas_day_start_hour: GasDayClock::default(),
        valid_from: NaiveDate::from_ymd_opt(year, 4, 1).unwrap_or_default(),
        valid_to: NaiveDate::from_ymd_opt(year + 1, 3, 31).unwrap_or_default(),
        is_swing: index == 0,
        season: None,
        components,
        deviation: DeviationTerms {
            band_ratio: if is_pipeline { 0.05 } else { 0.10 },
            over_take_yuan_per_m3: YuanPerM3(Decimal::new(if is_pipeline { 65 } else { 90 }, 2)),
            under_take_yuan_per_m3: YuanPerM3(Decimal::new(if is_pipeline { 40 } else { 30 }, 2)),
            take_or_pay_ratio: if is_pipeline { 0.9 } else { 0.6 },
            take_day_min_ratio: if is_pipeline { 0.70 } else { 0.0 },
            take_day_max_ratio: if is_pipeline { 1.30 } else { 1.60 },
            flow_max_m3h: (january_day * 1.6 * 1.45 / 24.0 / 100.0).ceil() * 100.0,
        },
        deadlines: Deadlines {
            month_submit_day: 20,
            month_reply_day: 28,
            day_submit_at: time(10, 0),
            day_submit_hard_at: time(11, 30),
            day_reply_at: time(17, 0),
            day_change_at: time(14, 0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_every_zone_and_date_sum_to_one() {
        for (_, of_zones) in SEASONS {
            for shares in of_zones {
                assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
        }
        for parts in COMPONENTS {
            assert!((parts.iter().map(|c| c.1).sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn contract_years_run_from_april_to_march_and_leave_a_winter_gap() {
        let config = CityConfig::default();
        let month_m3 = [20.0e6; 12];
        let contracts = contracts(&config, &month_m3);
        assert_eq!(contracts.len(), 10);
        let of_month = |month: u32| -> f64 {
            contracts
                .iter()
                .filter(|c| c.id.as_str().starts_with("GSA-2026"))
                .flat_map(|c| &c.components)
                .map(|c| c.contract_month_m3[month as usize - 1].to_f64())
                .sum()
        };
        assert!(
            (of_month(7) / 20.0e6 - 1.0).abs() < 0.002,
            "{}",
            of_month(7)
        );
        assert!((of_month(1) / 20.0e6 - WINTER_COVER).abs() < 0.002);
    }
}
