//! Load curves: 24 hourly standard volumes of a meter and gas day.

use serde::{Deserialize, Serialize};

use crate::domain::calendar::GasDay;
use crate::domain::finding::Quality;
use crate::domain::id::MeterId;
use crate::domain::quantity::StdVolume;

/// A load curve (负荷曲线).
///
/// # Shape
/// Hour 0 starts at the gas day's start hour (08:00). A missing hour has zero volume and
/// `Quality::Missing`; never read the volume without the quality.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadCurve {
    /// Meter.
    pub meter: MeterId,
    /// Gas day.
    pub day: GasDay,
    /// Hourly volumes.
    pub hours: [StdVolume; 24],
    /// Quality of each hour.
    pub quality: [Quality; 24],
}

impl LoadCurve {
    /// A curve without a single value.
    pub fn missing(meter: MeterId, day: GasDay) -> Self {
        Self {
            meter,
            day,
            hours: [StdVolume::ZERO; 24],
            quality: [Quality::Missing; 24],
        }
    }

    /// Volume of the hours that have one.
    pub fn volume(&self) -> StdVolume {
        self.hours.iter().sum()
    }

    /// Hours that have a volume.
    pub fn hours_known(&self) -> usize {
        self.quality.iter().filter(|q| q.has_volume()).count()
    }

    /// Whether every hour has a volume.
    pub fn is_complete(&self) -> bool {
        self.hours_known() == 24
    }
}
