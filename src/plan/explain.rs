//! Why, in sentences: one Chinese, one English, with the numbers that matter.

use crate::domain::calendar::GasDay;
use crate::domain::contract::SupplyContract;
use crate::domain::id::ContractId;
use crate::plan::cost::Cost;
use crate::plan::declaration::{Alternative, ContractLine, TotalLine};
use crate::plan::nomination::NominationLine;

/// m³ as 万m³ with two decimals and thousands separators: `1,845.20`.
pub fn wan(m3: f64) -> String {
    grouped(m3 / 10_000.0, 2)
}

/// A number with thousands separators.
pub fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::new();
    if value < 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b)) {
        out.push('-');
    }
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// The numbers behind a declared total.
#[derive(Debug)]
pub struct Reason<'a> {
    /// Total.
    pub total: &'a TotalLine,
    /// Part of the futures at or below it.
    pub quantile: f64,
    /// Expected cost.
    pub cost: &'a Cost,
    /// The contract with the largest declared quantity.
    pub main: Option<&'a SupplyContract>,
    /// What else could be declared.
    pub alternatives: &'a [Alternative],
    /// Contracts whose take-or-pay could not be counted.
    pub unknown: &'a [UnknownTake<'a>],
}

/// A contract whose take of the contract year is unknown.
#[derive(Debug)]
pub struct UnknownTake<'a> {
    /// Contract.
    pub contract: &'a ContractId,
    /// First gas day of the contract year.
    pub from: GasDay,
    /// Days since then whose delivery is unknown.
    pub days: i64,
}

impl Reason<'_> {
    fn extra(&self, key: &str) -> f64 {
        self.alternatives
            .iter()
            .find(|a| a.key == key)
            .map_or(0.0, |a| a.extra_yuan)
            .max(0.0)
    }

    /// In Chinese.
    pub fn zh(&self) -> String {
        let terms = self.main.map_or_else(String::new, |contract| {
            format!(
                "合同{}超提每m³另付{:.4}元、欠提每m³付{:.4}元、免考核范围±{:.1}%，",
                contract.id,
                contract.deviation.over_take_yuan_per_m3.to_f64(),
                contract.deviation.under_take_yuan_per_m3.to_f64(),
                contract.deviation.band_ratio * 100.0,
            )
        });
        format!(
            "申报{}万m³，处于需求分布的{:.0}%分位（P50 {}、P10–P90 {}–{}万m³）：{terms}预期总支出最低，为{}万元（其中超提{}、欠提{}、照付不议{}万元）；若按P50申报预计多支出{}万元，若按合同量申报预计多支出{}万元。",
            wan(self.total.declared_m3 as f64),
            self.quantile * 100.0,
            wan(self.total.forecast.p50_m3 as f64),
            wan(self.total.forecast.p10_m3 as f64),
            wan(self.total.forecast.p90_m3 as f64),
            wan(self.cost.total_yuan()),
            wan(self.cost.over_take_yuan),
            wan(self.cost.under_take_yuan),
            wan(self.cost.take_or_pay_yuan),
            wan(self.extra("p50")),
            wan(self.extra("contract")),
        ) + &self.unknown_zh()
    }

    fn unknown_zh(&self) -> String {
        let of = |one: &UnknownTake<'_>| {
            format!(
                "合同{}自{}起的合同年内有{}天交割量缺失，年累计未知，照付不议未计入。",
                one.contract, one.from, one.days
            )
        };
        self.unknown.iter().map(of).collect()
    }

    fn unknown_en(&self) -> String {
        let of = |one: &UnknownTake<'_>| {
            format!(
                " Contract {}: the delivery of {} days of its contract year since {} is unknown, so take-or-pay is not counted.",
                one.contract, one.days, one.from
            )
        };
        self.unknown.iter().map(of).collect()
    }

    /// In English.
    pub fn en(&self) -> String {
        let terms = self.main.map_or_else(String::new, |contract| {
            format!(
                "with contract {} charging {:.4} yuan/m³ for over-take and {:.4} yuan/m³ for under-take beyond ±{:.1} %, ",
                contract.id,
                contract.deviation.over_take_yuan_per_m3.to_f64(),
                contract.deviation.under_take_yuan_per_m3.to_f64(),
                contract.deviation.band_ratio * 100.0,
            )
        });
        format!(
            "Declare {} ×10⁴ m³, the {:.0} % quantile of demand (P50 {}, P10–P90 {}–{}): {terms}this has the least expected cost, {} ×10⁴ yuan (over-take {}, under-take {}, take-or-pay {}); declaring the P50 would cost {} ×10⁴ yuan more, the contract quantity {} ×10⁴ yuan more.",
            wan(self.total.declared_m3 as f64),
            self.quantile * 100.0,
            wan(self.total.forecast.p50_m3 as f64),
            wan(self.total.forecast.p10_m3 as f64),
            wan(self.total.forecast.p90_m3 as f64),
            wan(self.cost.total_yuan()),
            wan(self.cost.over_take_yuan),
            wan(self.cost.under_take_yuan),
            wan(self.cost.take_or_pay_yuan),
            wan(self.extra("p50")),
            wan(self.extra("contract")),
        ) + &self.unknown_en()
    }
}

/// The remark of a contract's row (申报说明): against contract and P50, the bound it is declared at if it
/// is at one, and how many days of the contract year are unknown if they matter.
pub fn remark(line: &ContractLine, at_most_m3: Option<i64>, unknown_days: Option<i64>) -> String {
    let gap = line.forecast.p50_m3 - line.contract_month_m3;
    let against = line.declared_m3 - line.forecast.p50_m3;
    let demand = if gap > 0 {
        format!("需求P50超月合同量{}万m³", wan(gap as f64))
    } else {
        format!("需求P50低于月合同量{}万m³", wan(-gap as f64))
    };
    let mut text = format!(
        "{demand}；申报较P50{}{}万m³",
        if against >= 0 { "多" } else { "少" },
        wan(against.abs() as f64)
    );
    if let Some(most) = at_most_m3 {
        let at_most = format!("；已达可申报上限{}万m³", wan(most as f64));
        text.push_str(&at_most);
    }
    if let Some(days) = unknown_days {
        let missing = format!("；合同年内{days}天交割量缺失，未计照付不议");
        text.push_str(&missing);
    }
    text
}

/// A bound that a suggested quantity lies at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayBound {
    /// 日最小提取量
    TakeMin,
    /// 日最大提取量
    TakeMax,
    /// 最大瞬时流量
    Flow,
}

/// What kept a suggested quantity from being another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayLimits {
    /// The bound it lies at, and its m³.
    pub bound: Option<(DayBound, i64)>,
    /// What the month has left, where some of the quantity lies beyond, and how much does, m³.
    pub beyond_month: Option<(i64, i64)>,
}

/// Where a suggestion stands in what is expected of its source. Where one source bears what others
/// could, it lies outside all of that; "the 100 % quantile" would say nothing.
fn place(line: &NominationLine) -> (String, String) {
    let part = line.quantile * 100.0;
    let of = |zh: &str, en: &str| (zh.to_owned(), en.to_owned());
    if line.p95_m3 == 0 {
        of(
            "该气源当日预计无需求",
            "while no demand is expected of its source",
        )
    } else if line.quantile >= 1.0 {
        of(
            "高于该气源需求的所有情景",
            "is above every scenario of its source's demand",
        )
    } else if line.quantile <= 0.0 {
        of(
            "低于该气源需求的所有情景",
            "is below every scenario of its source's demand",
        )
    } else {
        (
            format!("为该气源需求的{part:.0}%分位"),
            format!("is the {part:.0} % quantile of its source's demand"),
        )
    }
}

/// Why a quantity is suggested for a day, in Chinese and in English.
pub fn nomination(
    line: &NominationLine,
    contract: &SupplyContract,
    limits: DayLimits,
) -> (String, String) {
    let terms = &contract.deviation;
    let (over, under, band) = (
        terms.over_take_yuan_per_m3.to_f64(),
        terms.under_take_yuan_per_m3.to_f64(),
        terms.band_ratio * 100.0,
    );
    let quantity = wan(line.suggested_m3 as f64);
    let p50 = wan(line.forecast.p50_m3 as f64);
    let (place_zh, place_en) = place(line);
    let (mut zh, mut en) = (
        format!(
            "建议{quantity}万m³，{place_zh}（P50 {p50}）：超提每m³付{over:.4}元、欠提每m³付{under:.4}元、免考核范围±{band:.1}%"
        ),
        format!(
            "{quantity} ×10⁴ m³ {place_en} (P50 {p50}): with {over:.4} yuan/m³ for over-take, {under:.4} yuan/m³ for under-take and ±{band:.1} % free"
        ),
    );
    if let Some((bound, m3)) = limits.bound {
        let m3 = wan(m3 as f64);
        let (name_zh, name_en) = match bound {
            DayBound::TakeMin => ("日最小提取量", "the least daily take"),
            DayBound::TakeMax => ("日最大提取量", "the largest daily take"),
            DayBound::Flow => ("最大瞬时流量折算的日量", "the largest flow over a day"),
        };
        let within = [
            format!("，受{name_zh}{m3}万m³限制，限制内此量预期偏差支出最低"),
            format!(
                ", it has the least expected deviation cost within {name_en} of {m3} ×10⁴ m³, which binds"
            ),
        ];
        zh.push_str(&within[0]);
        en.push_str(&within[1]);
    } else {
        zh += "，此量预期偏差支出最低";
        en += ", it has the least expected deviation cost";
    }
    if let Some((left, beyond)) = limits.beyond_month {
        let (left, beyond) = (wan(left as f64), wan(beyond as f64));
        let of_month = [
            format!(
                "；本月合同余量{left}万m³，其中{beyond}万m³超出，无论是否指定均按合同价另加超提{over:.4}元/m³"
            ),
            format!(
                "; the month has {left} ×10⁴ m³ left, {beyond} of it lie beyond and cost {over:.4} yuan/m³ more whether nominated or not"
            ),
        ];
        zh.push_str(&of_month[0]);
        en.push_str(&of_month[1]);
    }
    (zh, en)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(wan(18_452_000.0), "1,845.20");
        assert_eq!(grouped(-1_234_567.891, 1), "-1,234,567.9");
        assert_eq!(grouped(-0.001, 2), "0.00");
        assert_eq!(grouped(999.0, 0), "999");
    }
}
