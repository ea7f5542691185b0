//! Why, in sentences: one Chinese, one English, with the numbers that matter.

use crate::domain::contract::SupplyContract;
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
        )
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
        )
    }
}

/// The remark of a contract's row (申报说明).
pub fn remark(line: &ContractLine) -> String {
    let gap = line.forecast.p50_m3 - line.contract_month_m3;
    let against = line.declared_m3 - line.forecast.p50_m3;
    let demand = if gap > 0 {
        format!("需求P50超月合同量{}万m³", wan(gap as f64))
    } else {
        format!("需求P50低于月合同量{}万m³", wan(-gap as f64))
    };
    format!(
        "{demand}；申报较P50{}{}万m³",
        if against >= 0 { "多" } else { "少" },
        wan(against.abs() as f64)
    )
}

/// Why a quantity is suggested for a day, in Chinese and in English.
pub fn nomination(line: &NominationLine, contract: &SupplyContract) -> (String, String) {
    let terms = &contract.deviation;
    let (over, under, band) = (
        terms.over_take_yuan_per_m3.to_f64(),
        terms.under_take_yuan_per_m3.to_f64(),
        terms.band_ratio * 100.0,
    );
    let quantity = wan(line.suggested_m3 as f64);
    let p50 = wan(line.forecast.p50_m3 as f64);
    let part = line.quantile * 100.0;
    (
        format!(
            "建议{quantity}万m³，为需求的{part:.0}%分位（P50 {p50}）：超提每m³付{over:.4}元、欠提每m³付{under:.4}元、免考核范围±{band:.1}%，此量预期偏差支出最低"
        ),
        format!(
            "{quantity} ×10⁴ m³ is the {part:.0} % quantile of demand (P50 {p50}): with {over:.4} yuan/m³ for over-take, {under:.4} yuan/m³ for under-take and ±{band:.1} % free, it has the least expected deviation cost"
        ),
    )
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
