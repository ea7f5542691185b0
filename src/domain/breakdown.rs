//! What a published forecast consists of: the four parts of each cell, and the large consumers.
//!
//! Every figure here is a whole m³ and every split ends on the published cells, so a table of parts,
//! of consumers or of sources adds up to the same total.

use serde::{Deserialize, Serialize};

use crate::domain::customer::CustomerClass;
use crate::domain::demand::{Band, DemandNode, DemandView};
use crate::domain::id::{CustomerId, SourceId, ZoneId};

/// The four parts of a forecast. domain.md §0.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// 计划用气客户: filed plans, corrected by each customer's bias.
    Planned,
    /// 非计划用气客户: statistical.
    Statistical,
    /// 新增/置换客户.
    New,
    /// 其他影响因素: production changes and named factors.
    Other,
}

impl Part {
    /// All four, in the order of tables.
    pub const ALL: [Self; 4] = [Self::Planned, Self::Statistical, Self::New, Self::Other];

    /// Position in a row of parts.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The key used in JSON and CSV.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Statistical => "statistical",
            Self::New => "new",
            Self::Other => "other",
        }
    }

    /// The name on Chinese forms.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::Planned => "计划用气客户",
            Self::Statistical => "非计划用气客户",
            Self::New => "新增/置换客户",
            Self::Other => "其他影响因素",
        }
    }
}

/// The parts of one day × zone × source × class; they sum to the cells of the published cube.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRow {
    /// Position in `DemandForecast::days`.
    pub day_index: usize,
    /// Zone.
    pub zone: ZoneId,
    /// Source.
    pub source: SourceId,
    /// Class.
    pub class: CustomerClass,
    /// m³ by part, in the order of [`Part::ALL`]; `other` may be negative.
    pub m3: [i64; 4],
}

/// A large consumer as a node of the forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsumerForecast {
    /// Customer.
    pub customer: CustomerId,
    /// Where it counts.
    pub node: DemandNode,
    /// Model its own expectation comes from.
    pub model: String,
    /// Relative bias its plans are corrected by; 0 without plans.
    pub plan_bias: f64,
    /// By day of the run. P50 are whole-m³ cells: with the rest of the class they sum to it.
    pub days: Vec<ConsumerDay>,
}

/// One gas day of a large consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerDay {
    /// Expected, with its band from the joint draws.
    pub band: Band,
    /// Whether it stands on a filed plan.
    pub is_planned: bool,
}

/// What one project or one named factor adds to a node, m³ by day of the run, before rounding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Addition {
    /// Identifier of the project or factor.
    pub id: String,
    /// Node.
    pub node: DemandNode,
    /// m³ by day of the run.
    pub m3: Vec<f64>,
}

/// What a published forecast consists of.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Breakdown {
    /// In the order of the cube's rows.
    pub rows: Vec<PartRow>,
    /// Large consumers, in order.
    pub consumers: Vec<ConsumerForecast>,
    /// New connections.
    pub connections: Vec<Addition>,
    /// Named factors.
    pub factors: Vec<Addition>,
}

impl Breakdown {
    /// Parts of a view on a day, m³; a view of hours has none.
    pub fn day_m3(&self, view: &DemandView, day_index: usize) -> [i64; 4] {
        let mut sums = [0; 4];
        let rows = self.rows.iter().filter(|row| {
            row.day_index == day_index
                && view.zone.as_ref().is_none_or(|z| *z == row.zone)
                && view.source.as_ref().is_none_or(|s| *s == row.source)
                && view.class.is_none_or(|c| c == row.class)
        });
        for row in rows {
            for (sum, m3) in sums.iter_mut().zip(row.m3) {
                *sum += m3;
            }
        }
        sums
    }

    /// Volume of a node's large consumers on a day, m³; the rest of the node is what remains.
    pub fn consumers_m3(&self, node: &DemandNode, day_index: usize) -> i64 {
        self.consumers
            .iter()
            .filter(|consumer| consumer.node == *node)
            .filter_map(|consumer| consumer.days.get(day_index))
            .map(|day| day.band.p50_m3)
            .sum()
    }
}
