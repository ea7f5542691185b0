//! Named other factors (其他影响因素): what a person knows and no series shows, the fourth part of a
//! forecast. Each has an author and a reason, ends by itself, and is scored afterwards.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::domain::demand::DemandNode;
use crate::domain::id::ZoneId;

/// Kind of a factor. domain.md §10.A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FactorKind {
    /// 政策调控
    Policy,
    /// 大型活动
    Event,
    /// 提前供暖
    EarlyHeating,
    /// 延长供暖
    LateHeating,
    /// 设备检修
    Maintenance,
    /// 疫情
    Epidemic,
    /// 市场情况
    Market,
    /// 气象
    Weather,
    /// 其他
    Other,
}

impl FactorKind {
    /// The name on Chinese forms.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::Policy => "政策调控",
            Self::Event => "大型活动",
            Self::EarlyHeating => "提前供暖",
            Self::LateHeating => "延长供暖",
            Self::Maintenance => "设备检修",
            Self::Epidemic => "疫情",
            Self::Market => "市场情况",
            Self::Weather => "气象",
            Self::Other => "其他",
        }
    }
}

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FactorAmount {
    /// Change of the daily volume, m³/d; over several nodes in proportion to their volume.
    M3PerDay(f64),
    /// Change of the daily volume, per cent of what is expected without it.
    Percent(f64),
}

/// A named factor, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Factor {
    /// Identifier, unique.
    pub id: String,
    /// Kind.
    pub kind: FactorKind,
    /// Only this zone; all if null.
    #[schema(value_type = Option<String>)]
    pub zone: Option<ZoneId>,
    /// Only this class; all if null.
    #[schema(value_type = Option<String>)]
    pub class: Option<CustomerClass>,
    /// First gas day.
    #[schema(value_type = String)]
    pub from_on: NaiveDate,
    /// Last gas day, included.
    #[schema(value_type = String)]
    pub to_on: NaiveDate,
    /// How much.
    pub amount: FactorAmount,
    /// Who says so.
    pub person: String,
    /// Why.
    pub reason: String,
    /// Last gas day on which it holds without being confirmed again.
    #[schema(value_type = String)]
    pub expires_on: NaiveDate,
    /// When it was entered.
    #[schema(value_type = String)]
    pub entered_at: DateTime<Utc>,
    /// First gas day on which it no longer holds, if it was withdrawn.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub withdrawn_from: Option<NaiveDate>,
}

/// Largest change a person may enter, per cent.
const PERCENT_MAX: f64 = 100.0;
/// Longest validity without confirmation, days.
pub const VALID_DAYS_MAX: i64 = 366;

impl Factor {
    /// Whether it changes a gas day.
    pub fn holds_on(&self, day: GasDay) -> bool {
        self.from_on <= day.0
            && day.0 <= self.to_on.min(self.expires_on)
            && self.withdrawn_from.is_none_or(|from| day.0 < from)
    }

    /// Whether it speaks of a node.
    pub fn covers(&self, node: &DemandNode) -> bool {
        self.zone.as_ref().is_none_or(|zone| *zone == node.zone)
            && self.class.is_none_or(|class| class == node.class)
    }

    /// What is wrong with it, in words with the remedy; none if nothing is.
    pub fn problem(&self) -> Option<String> {
        let (amount, is_sound) = match self.amount {
            FactorAmount::M3PerDay(m3) => (format!("{m3} m³/d"), m3.is_finite() && m3 != 0.0),
            FactorAmount::Percent(percent) => (
                format!("{percent} %"),
                percent.is_finite()
                    && percent != 0.0
                    && percent > -PERCENT_MAX
                    && percent <= PERCENT_MAX,
            ),
        };
        if !is_sound {
            return Some(format!(
                "the amount is {amount}; write a change other than 0, in per cent above -100 and up to 100"
            ));
        }
        if self.to_on < self.from_on {
            return Some(format!(
                "it ends on {} before it begins on {}; let it end later",
                self.to_on, self.from_on
            ));
        }
        if self.expires_on < self.from_on {
            return Some(format!(
                "it expires on {} before it begins on {}; let it expire later",
                self.expires_on, self.from_on
            ));
        }
        if (self.expires_on - self.from_on).num_days() > VALID_DAYS_MAX {
            return Some(format!(
                "it expires on {}, more than {VALID_DAYS_MAX} days after it begins; confirm it again within a year",
                self.expires_on
            ));
        }
        if self.person.trim().is_empty() {
            return Some("it names no person; say who knows this".into());
        }
        if self.reason.trim().is_empty() {
            return Some("it gives no reason; say why, in a few words".into());
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn factor(amount: FactorAmount) -> Factor {
        Factor {
            id: "F-1".into(),
            kind: FactorKind::Policy,
            zone: None,
            class: Some(CustomerClass::Industrial),
            from_on: "2026-12-01".parse().unwrap(),
            to_on: "2026-12-20".parse().unwrap(),
            amount,
            person: "调度长".into(),
            reason: "错峰生产通知".into(),
            expires_on: "2026-12-10".parse().unwrap(),
            entered_at: "2026-11-20T00:00:00Z".parse().unwrap(),
            withdrawn_from: None,
        }
    }

    #[test]
    fn a_factor_ends_by_itself_unless_it_is_confirmed() {
        let mut one = factor(FactorAmount::Percent(-10.0));
        let on = |text: &str| text.parse::<GasDay>().unwrap();
        assert!(!one.holds_on(on("2026-11-30")));
        assert!(one.holds_on(on("2026-12-01")) && one.holds_on(on("2026-12-10")));
        assert!(!one.holds_on(on("2026-12-11")), "expired");
        one.expires_on = one.to_on;
        assert!(one.holds_on(on("2026-12-11")), "confirmed again");
        one.withdrawn_from = Some("2026-12-05".parse().unwrap());
        assert!(one.holds_on(on("2026-12-04")) && !one.holds_on(on("2026-12-05")));
    }

    #[test]
    fn what_no_one_stands_for_is_refused_with_its_remedy() {
        let sound = factor(FactorAmount::M3PerDay(5_000.0));
        assert_eq!(sound.problem(), None);
        let broken = |change: fn(&mut Factor)| {
            let mut one = factor(FactorAmount::M3PerDay(5_000.0));
            change(&mut one);
            one.problem().unwrap()
        };
        assert!(broken(|f| f.amount = FactorAmount::M3PerDay(f64::NAN)).contains("amount"));
        assert!(broken(|f| f.amount = FactorAmount::Percent(-100.0)).contains("above -100"));
        assert!(broken(|f| f.to_on = "2026-11-01".parse().unwrap()).contains("ends on"));
        assert!(broken(|f| f.expires_on = "2026-11-01".parse().unwrap()).contains("expires on"));
        assert!(broken(|f| f.expires_on = "2028-12-01".parse().unwrap()).contains("within a year"));
        assert!(broken(|f| f.person = " ".into()).contains("person"));
        assert!(broken(|f| f.reason = String::new()).contains("reason"));
    }

    #[test]
    fn a_factor_speaks_of_its_zone_and_class() {
        let one = factor(FactorAmount::Percent(5.0));
        let node = |zone: &str, class| DemandNode {
            zone: zone.into(),
            class,
        };
        assert!(one.covers(&node("south", CustomerClass::Industrial)));
        assert!(!one.covers(&node("south", CustomerClass::Commercial)));
    }
}
