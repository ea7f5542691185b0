//! Rows of a load profile in a push: frozen totals (冻结数据) at the meter's own times.

use chrono::{DateTime, TimeDelta, Utc};

use crate::decode::code::reject;
use crate::decode::dlms::axdr::Data;
use crate::decode::dlms::object::Attribute;
use crate::decode::dlms::{Clock, whole};
use crate::decode::value::exact_from_count;
use crate::domain::frame::RejectReason;
use crate::domain::reading::{FrozenTotals, Item};

/// Instants of one buffer at most, those it leaves out included.
const ROWS_MAX: i64 = 10_000;

/// A profile buffer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows {
    pub(super) at: Attribute,
    pub(super) step_s: u32,
    pub(super) columns: Vec<Column>,
}

/// A column of a profile buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// The instant of the row.
    Time,
    /// Read over.
    Other,
    /// A total.
    Total { item: Item, decimals: i8 },
}

impl Rows {
    /// The totals of a buffer, oldest first; none where the meter left an instant out.
    pub(super) fn totals(
        &self,
        buffer: &Data<'_>,
        clock: &Clock,
    ) -> Result<Vec<FrozenTotals>, RejectReason> {
        let rows = buffer
            .elements()
            .ok_or_else(|| self.fault("is no array of rows"))?;
        let mut times = Vec::with_capacity(rows.len());
        for row in rows {
            let cells = row
                .elements()
                .filter(|cells| cells.len() == self.columns.len())
                .ok_or_else(|| {
                    self.fault(format_args!(
                        "has a row of other than {} columns",
                        self.columns.len()
                    ))
                })?;
            let time = self
                .columns
                .iter()
                .zip(cells)
                .find_map(|(column, cell)| (*column == Column::Time).then_some(cell));
            // Compressed buffers leave out the time of a row that follows its neighbour.
            let at = match (time, times.last()) {
                (Some(Data::Null), Some(before)) => {
                    *before + TimeDelta::seconds(i64::from(self.step_s))
                }
                (Some(time), _) => clock.instant(time)?,
                (None, _) => return Err(self.fault("has no column of times")),
            };
            times.push(at);
        }
        let (Some(first_at), Some(last_at)) = (times.iter().min(), times.iter().max()) else {
            return Ok(Vec::new());
        };
        let count = (*last_at - *first_at).num_seconds() / i64::from(self.step_s) + 1;
        if count > ROWS_MAX {
            return Err(self.fault(format_args!("spans more than {ROWS_MAX} instants")));
        }
        let places: Vec<usize> = times
            .iter()
            .map(|at| self.place(*at, *first_at))
            .collect::<Result<_, _>>()?;
        let mut out = Vec::new();
        for (index, column) in self.columns.iter().enumerate() {
            let Column::Total { item, decimals } = *column else {
                continue;
            };
            let mut totals = vec![None; usize::try_from(count).unwrap_or_default()];
            let mut taken = vec![false; totals.len()];
            for (row, place) in rows.iter().zip(&places) {
                let cell = row.elements().and_then(|cells| cells.get(index));
                let (Some(total), Some(is_taken)) = (totals.get_mut(*place), taken.get_mut(*place))
                else {
                    continue;
                };
                if std::mem::replace(is_taken, true) {
                    return Err(self.fault("has two rows of one instant"));
                }
                *total = match cell {
                    None | Some(Data::Null) => None,
                    Some(cell) => Some(exact_from_count(item, whole(item, cell)?, decimals)?),
                };
            }
            out.push(FrozenTotals {
                item,
                first_at: *first_at,
                step_s: self.step_s,
                totals,
            });
        }
        Ok(out)
    }

    fn place(&self, at: DateTime<Utc>, first_at: DateTime<Utc>) -> Result<usize, RejectReason> {
        let seconds = (at - first_at).num_seconds();
        let step = i64::from(self.step_s);
        if seconds % step != 0 {
            return Err(self.fault(format_args!(
                "has a row that is not on its step of {step} s"
            )));
        }
        Ok(usize::try_from(seconds / step).unwrap_or_default())
    }

    fn fault(&self, what: impl std::fmt::Display) -> RejectReason {
        RejectReason::new(reject::ARRAY, format!("profile {} {what}", self.at))
    }
}
