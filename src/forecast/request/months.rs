//! What the months after a run's days are made from.

use serde::{Deserialize, Serialize};

use crate::domain::calendar::GasDay;
use crate::domain::id::{SourceId, ZoneId};

/// What an outlook is made from beside what the run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MonthsInput {
    /// Months, the one under way included: 12 to 18.
    pub count: usize,
    /// Source shares from a gas day on until the next, in order; the first is the first day of the month
    /// under way.
    pub shares: Vec<(GasDay, Shares)>,
}

/// Source shares: zone, source, share.
pub type Shares = Vec<(ZoneId, SourceId, f64)>;

impl MonthsInput {
    /// Share of a source on a gas day.
    pub(in crate::forecast) fn share_on(
        &self,
        day: GasDay,
        zone: &ZoneId,
        source: &SourceId,
    ) -> f64 {
        let after = self.shares.partition_point(|(from, _)| *from <= day);
        let in_force = after.checked_sub(1).and_then(|i| self.shares.get(i));
        let of_day = in_force.map_or(&[][..], |(_, shares)| shares);
        let of = of_day.iter().filter(|(z, s, _)| z == zone && s == source);
        of.map(|(_, _, share)| share).sum()
    }

    /// Mean share of a source over some days.
    pub(in crate::forecast) fn share_over(
        &self,
        days: &[GasDay],
        zone: &ZoneId,
        source: &SourceId,
    ) -> f64 {
        if days.is_empty() {
            return 0.0;
        }
        let sum: f64 = days
            .iter()
            .map(|day| self.share_on(*day, zone, source))
            .sum();
        sum / days.len() as f64
    }

    /// Sources of a zone, in order.
    pub(in crate::forecast) fn sources(&self, zone: &ZoneId) -> Vec<SourceId> {
        let mut out: Vec<SourceId> = self
            .shares
            .iter()
            .flat_map(|(_, shares)| shares)
            .filter(|(of, _, _)| of == zone)
            .map(|(_, source, _)| source.clone())
            .collect();
        out.sort();
        out.dedup();
        out
    }
}
