//! Projects that will use gas (新增/置换客户): the third part of a forecast.

use chrono::{DateTime, Months, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::domain::demand::DemandNode;
use crate::domain::id::{CustomerId, ZoneId};

/// How far a project is (建设进度).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionStage {
    /// 签约
    Signed,
    /// 在建
    Building,
    /// 竣工
    Completed,
    /// 通气
    Connected,
}

impl ConnectionStage {
    /// Probability that gas flows, where the row names none.
    pub const fn probability(self) -> f64 {
        match self {
            Self::Signed => 0.6,
            Self::Building => 0.8,
            Self::Completed => 0.95,
            Self::Connected => 1.0,
        }
    }

    /// The key used in CSV and JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Building => "building",
            Self::Completed => "completed",
            Self::Connected => "connected",
        }
    }

    /// The name on Chinese forms.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::Signed => "签约",
            Self::Building => "在建",
            Self::Completed => "竣工",
            Self::Connected => "通气",
        }
    }
}

/// Parts of the full use by month after the gas was let in, where the row names none.
///
/// # Source
/// METHODS.md, "New connections".
pub const RAMP: [f64; 5] = [0.3, 0.5, 0.7, 0.85, 1.0];

/// Days at full use after which a customer's own history says more than the project's row.
const LEARNT_DAYS: i64 = 60;

/// A project of the pipeline (`new_connections.csv`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewConnection {
    /// Identifier, unique.
    pub id: String,
    /// 项目名称.
    pub name: String,
    /// Zone it will draw from.
    pub zone: ZoneId,
    /// Class.
    pub class: CustomerClass,
    /// 建设进度.
    pub stage: ConnectionStage,
    /// 拟投产/通气时间: first gas day with gas; planned, until the stage is `connected`.
    pub connected_on: NaiveDate,
    /// 开口气量, m³ per gas day.
    pub connected_m3_per_day: f64,
    /// 达产系数: part of the connected capacity used at full production, 0 to 1.
    pub coefficient: f64,
    /// When this row became known.
    pub available_at: DateTime<Utc>,
    /// Probability that gas flows, 0 to 1; the stage's own if not given.
    #[serde(default)]
    pub probability: Option<f64>,
    /// Parts of the full use by month, `0.3/0.5/1`; [`RAMP`] if empty.
    #[serde(default)]
    pub ramp: String,
    /// 户号, once the customer is in `customers.csv`.
    #[serde(default)]
    pub customer: Option<CustomerId>,
    /// 设计小时量, m³/h.
    #[serde(default)]
    pub design_flow_m3h: Option<f64>,
    /// 落地时间.
    #[serde(default)]
    pub settled_on: Option<NaiveDate>,
    /// 落地位置.
    #[serde(default)]
    pub location: String,
    /// 联系人.
    #[serde(default)]
    pub contact: String,
    /// 政府包联领导.
    #[serde(default)]
    pub sponsor: String,
}

impl NewConnection {
    /// The node its use counts in.
    pub fn node(&self) -> DemandNode {
        DemandNode {
            zone: self.zone.clone(),
            class: self.class,
        }
    }

    /// Probability that gas flows.
    pub fn chance(&self) -> f64 {
        self.probability
            .unwrap_or_else(|| self.stage.probability())
            .clamp(0.0, 1.0)
    }

    /// Parts of the full use by month; none if the text is not numbers from 0 to 1.5 with `/`
    /// between them.
    pub fn ramp(&self) -> Option<Vec<f64>> {
        if self.ramp.trim().is_empty() {
            return Some(RAMP.to_vec());
        }
        self.ramp
            .split('/')
            .map(|part| part.trim().parse().ok())
            .map(|part| part.filter(|part| (0.0..=1.5).contains(part)))
            .collect()
    }

    /// First gas day with gas, as seen on `today`: what is not connected yet cannot have been.
    fn starts_on(&self, today: GasDay) -> GasDay {
        let planned = GasDay(self.connected_on);
        match self.stage {
            ConnectionStage::Connected => planned,
            _ => planned.max(today.plus(1)),
        }
    }

    /// Whether the customer has been at full use for so long that its own history is enough.
    pub fn is_learnt(&self, today: GasDay) -> bool {
        let steps = self.ramp().map_or(RAMP.len(), |ramp| ramp.len());
        let months = Months::new(u32::try_from(steps.saturating_sub(1)).unwrap_or(0));
        self.stage == ConnectionStage::Connected
            && self
                .connected_on
                .checked_add_months(months)
                .is_some_and(|full| today.days_since(GasDay(full)) >= LEARNT_DAYS)
    }

    /// Use on a gas day if the gas flows, m³: coefficient × connected capacity × ramp.
    ///
    /// Zero before the start, and once the customer's own history is enough.
    ///
    /// # Source
    /// METHODS.md, "New connections"; worked example: `a_project_grows_by_its_ramp`.
    pub fn use_if_connected_m3(&self, day: GasDay, today: GasDay) -> f64 {
        let start = self.starts_on(today);
        if day < start || self.is_learnt(today) {
            return 0.0;
        }
        let ramp = self.ramp().unwrap_or_else(|| RAMP.to_vec());
        let mut month = 0;
        while month + 1 < ramp.len()
            && start
                .0
                .checked_add_months(Months::new(u32::try_from(month + 1).unwrap_or(u32::MAX)))
                .is_some_and(|next| next <= day.0)
        {
            month += 1;
        }
        let part = ramp.get(month).copied().unwrap_or(0.0);
        self.coefficient * self.connected_m3_per_day * part
    }

    /// Expected use on a gas day, m³: that, times the probability.
    pub fn expected_m3(&self, day: GasDay, today: GasDay) -> f64 {
        self.use_if_connected_m3(day, today) * self.chance()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn on(text: &str) -> GasDay {
        text.parse().unwrap()
    }

    pub(crate) fn project() -> NewConnection {
        NewConnection {
            id: "P1".into(),
            name: "新建厂".into(),
            zone: "north".into(),
            class: CustomerClass::Industrial,
            stage: ConnectionStage::Building,
            connected_on: "2026-12-10".parse().unwrap(),
            connected_m3_per_day: 10_000.0,
            coefficient: 0.6,
            available_at: "2026-11-01T00:00:00Z".parse().unwrap(),
            probability: None,
            ramp: String::new(),
            customer: None,
            design_flow_m3h: None,
            settled_on: None,
            location: String::new(),
            contact: String::new(),
            sponsor: String::new(),
        }
    }

    #[test]
    fn a_project_grows_by_its_ramp() {
        let today = on("2026-11-20");
        let of = |day: &str| project().expected_m3(on(day), today);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(of("2026-12-09"), 0.0);
        // 0.6 · 10 000 · 0.3 · 0.8
        near(of("2026-12-10"), 1_440.0);
        near(of("2027-01-09"), 1_440.0);
        near(of("2027-01-10"), 2_400.0);
        near(of("2027-04-10"), 4_800.0);
        near(of("2028-04-10"), 4_800.0);
    }

    #[test]
    fn a_project_that_is_late_starts_tomorrow_at_the_earliest() {
        let today = on("2026-12-20");
        assert!(project().expected_m3(today, today).abs() < 1e-9);
        assert!(project().expected_m3(today.plus(1), today) > 0.0);
        let mut connected = project();
        connected.stage = ConnectionStage::Connected;
        assert!((connected.expected_m3(today, today) - 1_800.0).abs() < 1e-9);
    }

    #[test]
    fn a_customer_long_at_full_use_speaks_for_itself() {
        let mut connected = project();
        connected.stage = ConnectionStage::Connected;
        // Full from 2027-04-10 on, sixty days later learnt.
        let before = on("2027-06-08");
        assert!(!connected.is_learnt(before));
        assert!(connected.expected_m3(before, before) > 0.0);
        let after = before.plus(1);
        assert!(connected.is_learnt(after));
        assert!(connected.expected_m3(after.plus(9), after).abs() < 1e-9);
    }

    #[test]
    fn a_ramp_that_is_none_is_told() {
        let with = |ramp: &str| NewConnection {
            ramp: ramp.into(),
            ..project()
        };
        assert_eq!(with("0.4/1").ramp(), Some(vec![0.4, 1.0]));
        assert_eq!(with("0.4/x").ramp(), None);
        assert_eq!(with("0.4/2").ramp(), None);
        assert_eq!(project().ramp(), Some(RAMP.to_vec()));
    }
}
