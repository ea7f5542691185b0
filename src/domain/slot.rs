//! Time slots of the day (用气时段): peak, flat, off-peak.

use serde::{Deserialize, Serialize};

/// Level of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotLevel {
    /// 峰
    Peak,
    /// 平
    Flat,
    /// 谷
    OffPeak,
}

/// A slot of the civil day, `[from_hour, to_hour)` Beijing time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSlot {
    /// Key (`early_peak`).
    pub key: String,
    /// Chinese name (早峰).
    pub name: String,
    /// Level.
    pub level: SlotLevel,
    /// First civil hour.
    pub from_hour: u32,
    /// Last civil hour, excluded.
    pub to_hour: u32,
}

/// Slots that cover the 24 hours once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotTable(pub Vec<TimeSlot>);

impl Default for SlotTable {
    /// 谷 00–05, 早峰 05–09, 平 09–11, 午峰 11–13, 平 13–17, 晚峰 17–22, 平 22–24 (domain.md §2.8, sheet 4).
    fn default() -> Self {
        let slot = |key: &str, name: &str, level, from_hour, to_hour| TimeSlot {
            key: key.into(),
            name: name.into(),
            level,
            from_hour,
            to_hour,
        };
        Self(vec![
            slot("night", "谷", SlotLevel::OffPeak, 0, 5),
            slot("early_peak", "早峰", SlotLevel::Peak, 5, 9),
            slot("forenoon", "平(上午)", SlotLevel::Flat, 9, 11),
            slot("noon_peak", "午峰", SlotLevel::Peak, 11, 13),
            slot("afternoon", "平(下午)", SlotLevel::Flat, 13, 17),
            slot("evening_peak", "晚峰", SlotLevel::Peak, 17, 22),
            slot("late", "平(夜间)", SlotLevel::Flat, 22, 24),
        ])
    }
}

impl SlotTable {
    /// Position of the slot a civil hour (0 to 23) falls in; the table covers every hour.
    pub fn index_of(&self, civil_hour: u32) -> usize {
        self.0
            .iter()
            .position(|slot| slot.from_hour <= civil_hour && civil_hour < slot.to_hour)
            .unwrap_or(0)
    }

    /// The first hour that no slot or more than one covers, if any.
    pub fn first_bad_hour(&self) -> Option<u32> {
        (0..24).find(|hour| {
            self.0
                .iter()
                .filter(|slot| slot.from_hour <= *hour && *hour < slot.to_hour)
                .count()
                != 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_table_covers_each_hour_once() {
        let table = SlotTable::default();
        assert_eq!(table.first_bad_hour(), None);
        assert_eq!(table.0[table.index_of(17)].key, "evening_peak");
        assert_eq!(table.0[table.index_of(22)].key, "late");
    }
}
