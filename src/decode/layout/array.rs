//! Frozen arrays in binary frames: totals, or increments from one total.

use super::place::{Number, Part};
use super::raw::BaseIs;
use super::time::{Known, LayoutTime};
use crate::decode::code::reject;
use crate::decode::message::first_of;
use crate::decode::value::{exact_from_count, fault};
use crate::domain::frame::RejectReason;
use crate::domain::reading::{FrozenTotals, Item};

/// An array of totals at regular instants.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub(super) item: Item,
    /// The first element as it lies in the frame.
    pub(super) element: Part,
    pub(super) decimals: i8,
    /// The digits behind the point of the first element.
    pub(super) fraction: Option<(Part, i8)>,
    /// Bytes on the wire that stand for "no value".
    pub(super) none: Vec<Vec<u8>>,
    pub(super) count: Count,
    /// Bytes from one element to the next.
    pub(super) stride: usize,
    pub(super) step_s: u32,
    pub(super) newest_first: bool,
    pub(super) edge: Edge,
    pub(super) base: Option<Base>,
}

/// How many elements there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Fixed(usize),
    /// Told by the frame, up to a most.
    Told {
        part: Part,
        most: usize,
    },
}

/// Which end of an array a time is of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Edge {
    First(LayoutTime),
    Last(LayoutTime),
}

/// The total that increments are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) part: Part,
    pub(super) decimals: i8,
    pub(super) is: BaseIs,
}

impl Count {
    /// The number of elements in a frame.
    pub(super) fn of(self, frame: &[u8]) -> Result<usize, RejectReason> {
        match self {
            Self::Fixed(count) => Ok(count),
            Self::Told { part, most } => match part.number(frame)? {
                Some(Number::Whole(count)) => usize::try_from(count)
                    .ok()
                    .filter(|count| *count <= most)
                    .ok_or_else(|| {
                        RejectReason::new(
                            reject::ARRAY,
                            format!("frame says that it has {count} frozen totals; the profile allows {most}"),
                        )
                    }),
                _ => Err(RejectReason::new(
                    reject::ARRAY,
                    "frame says no number of frozen totals that can be read",
                )),
            },
        }
    }
}

impl Array {
    /// The array in a frame; none where it has no element.
    pub(super) fn totals(
        &self,
        frame: &[u8],
        known: Known,
    ) -> Result<Option<FrozenTotals>, RejectReason> {
        let count = self.count.of(frame)?;
        if count == 0 {
            return Ok(None);
        }
        let mut values = Vec::with_capacity(count);
        for index in 0..count {
            values.push(self.value(frame, index)?);
        }
        if self.newest_first {
            values.reverse();
        }
        if let Some(base) = &self.base {
            base.add_up(self.item, frame, &mut values)?;
        }
        let first_at = match &self.edge {
            Edge::First(first) => first.instant(frame, Some(known))?,
            Edge::Last(last) => first_of(last.instant(frame, Some(known))?, self.step_s, count)?,
        };
        Ok(Some(FrozenTotals {
            item: self.item,
            first_at,
            step_s: self.step_s,
            totals: values,
        }))
    }

    fn value(&self, frame: &[u8], index: usize) -> Result<Option<i64>, RejectReason> {
        let sent = self.sent(frame, &self.element, index)?;
        if self.none.iter().any(|none| none == sent) {
            return Ok(None);
        }
        let no_digits = || {
            fault(
                reject::BCD,
                self.item,
                format_args!(
                    "has a frozen total, number {index}, with a nibble that is no decimal digit"
                ),
            )
        };
        let Some(Number::Whole(count)) = self.element.of_bytes(sent) else {
            return Err(no_digits());
        };
        let Some((fraction, decimals)) = &self.fraction else {
            return exact_from_count(self.item, count, self.decimals).map(Some);
        };
        let sent = self.sent(frame, fraction, index)?;
        let Some(Number::Whole(part)) = fraction.of_bytes(sent) else {
            return Err(no_digits());
        };
        let count = with_fraction(self.item, count, part, *decimals)?;
        exact_from_count(self.item, count, *decimals).map(Some)
    }

    /// The bytes of a part of an element.
    fn sent<'f>(
        &self,
        frame: &'f [u8],
        part: &Part,
        index: usize,
    ) -> Result<&'f [u8], RejectReason> {
        part.place
            .at
            .offset(frame.len())
            .and_then(|at| {
                let from = at.checked_add(index.checked_mul(self.stride)?)?;
                frame.get(from..from.checked_add(part.place.size)?)
            })
            .ok_or_else(|| {
                RejectReason::new(
                    reject::TRUNCATED,
                    format!(
                        "frame ends within its frozen totals, after {} bytes",
                        frame.len()
                    ),
                )
            })
    }
}

/// A whole number and the digits behind its point, as one count of the last of them.
pub(super) fn with_fraction(
    item: Item,
    count: i128,
    part: i128,
    decimals: i8,
) -> Result<i128, RejectReason> {
    let whole = 10_i128.pow(u32::from(decimals.unsigned_abs()));
    if !(0..whole).contains(&part) {
        return Err(fault(
            reject::RANGE,
            item,
            format_args!("has a fraction that is no number of {decimals} digits"),
        ));
    }
    count
        .checked_mul(whole)
        .and_then(|count| count.checked_add(part))
        .ok_or_else(|| fault(reject::RANGE, item, "is too large for a total"))
}

impl Base {
    /// Increments to totals. Beyond one that is missing no total is known.
    fn add_up(
        &self,
        item: Item,
        frame: &[u8],
        values: &mut [Option<i64>],
    ) -> Result<(), RejectReason> {
        let Some(Number::Whole(count)) = self.part.number(frame)? else {
            return Err(fault(
                reject::BCD,
                item,
                "has a base total with a nibble that is no decimal digit",
            ));
        };
        let mut total = Some(exact_from_count(item, count, self.decimals)?);
        let beyond = || {
            fault(
                reject::RANGE,
                item,
                "has increments that do not fit its base total",
            )
        };
        match self.is {
            BaseIs::Before => {
                for value in values {
                    total = match (total, *value) {
                        (Some(total), Some(more)) => {
                            Some(total.checked_add(more).ok_or_else(beyond)?)
                        }
                        _ => None,
                    };
                    *value = total;
                }
            }
            BaseIs::After => {
                for value in values.iter_mut().rev() {
                    let before = match (total, *value) {
                        (Some(total), Some(less)) => Some(
                            total
                                .checked_sub(less)
                                .filter(|t| *t >= 0)
                                .ok_or_else(beyond)?,
                        ),
                        _ => None,
                    };
                    *value = total;
                    total = before;
                }
            }
        }
        Ok(())
    }
}
