//! What must hold of a nomination before it is sent, and what someone should look at.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::id::ContractId;
use crate::plan::explain::wan;
use crate::plan::nomination::{Nomination, NominationLine};
use crate::plan::spread::spread;

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// Contract.
    #[schema(value_type = String)]
    pub contract: ContractId,
    /// Stable code; key of the Chinese sentence in the locale files.
    pub code: &'static str,
    /// True: it cannot be sent. False: someone should look.
    pub is_error: bool,
    /// In Chinese, with numbers.
    pub message_zh: String,
    /// In English, with numbers.
    pub message_en: String,
}

/// Why a quantity cannot be nominated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No line of this contract.
    #[error("contract `{0}` is not in the nomination")]
    UnknownContract(ContractId),
    /// Negative, or more than flows through the delivery point in a day.
    #[error("{nominated_m3} m³ cannot be delivered: a day is from 0 to {most_m3} m³")]
    OutOfReach {
        /// Asked for.
        nominated_m3: i64,
        /// Most.
        most_m3: i64,
    },
}

/// Part of the suggestion by which a nomination may differ without a reason.
const FREE_EDIT_RATIO: f64 = 0.05;

impl Nomination {
    /// Nominates another quantity for a contract; in a change of what was sent it is the changed one. The
    /// hours keep their shape within the largest flow; where the contract had nothing they have the shape of
    /// the others together, and without any they are alike.
    ///
    /// # Errors
    /// Why it cannot be; the document is as it was.
    pub fn edit(
        &mut self,
        contract: &ContractId,
        nominated_m3: i64,
        reason: Option<String>,
    ) -> Result<(), EditError> {
        let shape_of = |lines: &[NominationLine], is_in: &dyn Fn(&NominationLine) -> bool| {
            let mut shape = vec![0.0; 24];
            for line in lines.iter().filter(|l| is_in(l)) {
                for (sum, hour) in shape.iter_mut().zip(line.hours_m3) {
                    *sum += hour as f64;
                }
            }
            shape
        };
        let own = shape_of(&self.lines, &|l| l.contract == *contract);
        let shape = if own.iter().any(|h| *h > 0.0) {
            own
        } else {
            shape_of(&self.lines, &|_| true)
        };
        let line = self
            .lines
            .iter_mut()
            .find(|l| l.contract == *contract)
            .ok_or_else(|| EditError::UnknownContract(contract.clone()))?;
        let most_m3 = line.flow_max_m3h.map_or(nominated_m3.max(0), |flow| {
            // The suggestion may have the part of a m³/h by which the largest flow was rounded down.
            flow.saturating_mul(24).max(line.suggested_m3)
        });
        let out_of_reach = EditError::OutOfReach {
            nominated_m3,
            most_m3,
        };
        if nominated_m3 < 0 || nominated_m3 > most_m3 {
            return Err(out_of_reach);
        }
        let mut most = line.flow_max_m3h.unwrap_or(nominated_m3);
        if most.saturating_mul(24) < nominated_m3 {
            most += 1;
        }
        let hours = spread(&shape, nominated_m3, &[0; 24], &[most; 24])
            .and_then(|hours| <[i64; 24]>::try_from(hours).ok())
            .ok_or(out_of_reach)?;
        line.hours_m3 = hours;
        match &mut line.changed_m3 {
            Some(changed) => *changed = nominated_m3,
            None => line.nominated_m3 = nominated_m3,
        }
        line.change_reason = reason.filter(|r| !r.trim().is_empty());
        Ok(())
    }

    /// Everything found, in the order of lines.
    pub fn checks(&self) -> Vec<Check> {
        self.lines.iter().flat_map(NominationLine::checks).collect()
    }
}

impl NominationLine {
    fn found(&self, code: &'static str, is_error: bool, zh: String, en: String) -> Check {
        Check {
            contract: self.contract.clone(),
            code,
            is_error,
            message_zh: zh,
            message_en: en,
        }
    }

    /// Everything found about this line.
    pub fn checks(&self) -> Vec<Check> {
        let mut out = Vec::new();
        let asked_m3 = self.asked_m3();
        let nominated = wan(asked_m3 as f64);
        let hours: i64 = self.hours_m3.iter().sum();
        if hours != asked_m3 {
            out.push(self.found(
                "nomination.hours_differ",
                true,
                format!(
                    "24小时合计{}与日指定量{nominated}万m³不等",
                    wan(hours as f64)
                ),
                format!("hours add up to {hours} m³, nominated are {asked_m3} m³"),
            ));
        }
        if asked_m3 < self.take_min_m3 {
            out.push(self.found(
                "nomination.below_take_min",
                true,
                format!(
                    "日指定量{nominated}万m³低于日最小提取量{}万m³",
                    wan(self.take_min_m3 as f64)
                ),
                format!(
                    "{} m³ are below the least daily take of {} m³",
                    asked_m3, self.take_min_m3
                ),
            ));
        }
        if let Some(most) = self.take_max_m3
            && asked_m3 > most
        {
            // Market gas may be nominated beyond the contract, so this is to be looked at.
            out.push(self.found(
                "nomination.above_take_max",
                false,
                format!("日指定量{nominated}万m³超过合同日最大提取量{}万m³，超出部分为合同外", wan(most as f64)),
                format!("{asked_m3} m³ exceed the contract's largest daily take of {most} m³; the rest is beyond the contract"),
            ));
        }
        let hour_most = self.hours_m3.iter().copied().max().unwrap_or(0);
        if let Some(most) = self.flow_max_m3h
            && hour_most > most + 1
        {
            out.push(self.found(
                "nomination.above_flow_max",
                true,
                format!("最大小时{hour_most}m³/h超过日最大瞬时流量{most}m³/h"),
                format!(
                    "the largest hour of {hour_most} m³/h exceeds the largest flow of {most} m³/h"
                ),
            ));
        }
        let moved = (asked_m3 - self.suggested_m3).abs() as f64;
        if moved > FREE_EDIT_RATIO * self.suggested_m3 as f64
            && self
                .change_reason
                .as_deref()
                .is_none_or(|r| r.trim().is_empty())
        {
            out.push(self.found(
                "nomination.reason_missing",
                true,
                format!(
                    "日指定量{nominated}万m³偏离建议量{}万m³超过5%，请填写原因",
                    wan(self.suggested_m3 as f64)
                ),
                format!(
                    "{} m³ differ from the suggested {} m³ by more than 5 %; give a reason",
                    asked_m3, self.suggested_m3
                ),
            ));
        }
        if !(self.p5_m3..=self.p95_m3).contains(&asked_m3) {
            out.push(self.found(
                "nomination.outside_band",
                false,
                format!(
                    "日指定量{nominated}万m³在预测P5–P95（{}–{}万m³）之外",
                    wan(self.p5_m3 as f64),
                    wan(self.p95_m3 as f64)
                ),
                format!(
                    "{} m³ lie outside P5 to P95, {} to {} m³",
                    asked_m3, self.p5_m3, self.p95_m3
                ),
            ));
        }
        if let (Some(average), Some(most)) = (self.remaining_average_m3, self.take_max_m3)
            && (average > most || average < self.take_min_m3)
        {
            out.push(self.found(
                "nomination.remaining_average",
                false,
                format!("剩余合同日均{}万m³超出日提取范围{}–{}万m³", wan(average as f64), wan(self.take_min_m3 as f64), wan(most as f64)),
                format!("the remaining average of {average} m³ lies outside the daily take of {} to {most} m³", self.take_min_m3),
            ));
        }
        out
    }
}
