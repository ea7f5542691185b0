//! Gas sources (气源), zones and the dated shares by which a zone draws on sources.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::domain::composition::Composition;
use crate::domain::id::{SourceId, ZoneId};
use crate::domain::weather::StationMix;

/// Class of a source (气源类别). domain.md §10.A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceClass {
    /// 管道气-管制
    PipelineRegulated,
    /// 管道气-非管制
    PipelineUnregulated,
    /// 合同外/竞价
    PipelineExtra,
    /// 液化天然气
    Lng,
    /// 压缩天然气
    Cng,
    /// 储气
    Storage,
    /// 其他 (页岩/煤层/沼气/掺氢)
    Other,
}

impl SourceClass {
    /// The name on Chinese forms.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::PipelineRegulated => "管道气(管制)",
            Self::PipelineUnregulated => "管道气(非管制)",
            Self::PipelineExtra => "合同外",
            Self::Lng => "LNG",
            Self::Cng => "CNG",
            Self::Storage => "储气",
            Self::Other => "其他",
        }
    }
}

/// A source (气源), one row of `sources.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GasSource {
    /// Identifier.
    pub id: SourceId,
    /// Name as printed (西气东输二线, LNG 储配站).
    pub name: String,
    /// Class.
    pub class: SourceClass,
    /// Upstream supplier (资源方).
    pub supplier: String,
    /// Delivery point (下气点/门站).
    pub delivery_point: String,
}

/// A supply zone (供气区域), one row of `zones.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// Identifier.
    pub id: ZoneId,
    /// Name.
    pub name: String,
    /// Weather stations whose temperature drives it, with their parts.
    pub weather_station: StationMix,
    /// Local atmospheric pressure, kPa.
    pub atmosphere_kpa: f64,
    /// Volume inside the pipes of the zone, m³, for the line pack; 0 if it is not known.
    #[serde(default)]
    pub pipe_volume_m3: f64,
}

/// From a date on, a zone takes this part of its gas from a source; one row of `source_shares.csv`.
///
/// The shares of a zone with the latest `from_on` not after a gas day are in force on it and sum to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceShare {
    /// Zone.
    pub zone: ZoneId,
    /// Source.
    pub source: SourceId,
    /// First gas day in force.
    pub from_on: NaiveDate,
    /// Part of the zone's gas, 0 to 1.
    pub share: f64,
}

/// From a date on, a zone's gas is of this quality (气质); one row of `gas_quality.csv`.
///
/// Without a row in force, the gas is converted as an ideal one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GasQuality {
    /// Zone.
    pub zone: ZoneId,
    /// First gas day in force.
    pub from_on: NaiveDate,
    /// Superior calorific value at 25 °C (combustion), 0 °C and 101.325 kPa (metering), MJ/m³.
    pub calorific_value_mjm3: f64,
    /// Relative density at 0 °C and 101.325 kPa, air = 1.
    pub relative_density: f64,
    /// Mole fraction of carbon dioxide.
    pub co2: f64,
    /// Mole fraction of hydrogen.
    pub h2: f64,
    /// The whole analysis, where there is one: the gas is then converted by AGA8-92DC instead of SGERG-88.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub composition: Option<Composition>,
}
