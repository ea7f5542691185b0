//! How an hourly volume came about that no meter gave, and how far it may be off (估算方法).

use serde::{Deserialize, Serialize};

use crate::domain::quantity::StdVolume;

/// A step of the estimation ladder (domain.md §4.3), best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Method {
    /// 总量分摊: the difference of two good totals, spread over the hours between them.
    E1,
    /// 冻结补采: the meter's own frozen totals.
    E2,
    /// 线性内插: between the hours before and after, at most two hours.
    E3,
    /// 同类日均值: mean of the last four like days.
    E4,
    /// 同温日替代: mean of days as warm, for customers that heat.
    E5,
    /// 类别曲线: what meters of the class and zone used in that hour, by size.
    E6,
    /// 上游分摊: what came through the zone's gates and no other meter used, by size.
    E7,
    /// 用户计划: what the customer said it would use.
    E8,
    /// 合同约定: mean of the valid readings of the last three months.
    E9,
    /// 人工修正: a person's decision.
    E10,
}

impl Method {
    /// Every step, in the order of the ladder.
    pub const ALL: [Self; 10] = [
        Self::E1,
        Self::E2,
        Self::E3,
        Self::E4,
        Self::E5,
        Self::E6,
        Self::E7,
        Self::E8,
        Self::E9,
        Self::E10,
    ];

    /// The code used in JSON and tables.
    pub const fn key(self) -> &'static str {
        match self {
            Self::E1 => "E1",
            Self::E2 => "E2",
            Self::E3 => "E3",
            Self::E4 => "E4",
            Self::E5 => "E5",
            Self::E6 => "E6",
            Self::E7 => "E7",
            Self::E8 => "E8",
            Self::E9 => "E9",
            Self::E10 => "E10",
        }
    }

    /// Chinese name for people.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::E1 => "总量分摊",
            Self::E2 => "冻结补采",
            Self::E3 => "线性内插",
            Self::E4 => "同类日均值",
            Self::E5 => "同温日替代",
            Self::E6 => "类别曲线",
            Self::E7 => "上游分摊",
            Self::E8 => "用户计划",
            Self::E9 => "合同约定",
            Self::E10 => "人工修正",
        }
    }
}

/// An hourly volume that is not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Volume.
    pub volume: StdVolume,
    /// How it was found.
    pub method: Method,
    /// In about four of five hours the truth lies within so much of the volume.
    pub uncertainty: StdVolume,
}
