//! Totals of the past in one telegram: consecutive storage numbers and compact profiles.
//!
//! # Source
//! EN 13757-3:2018, annex F (worked examples F.2.7 and F.2.8); OMS specification volume 2, annex G
//! (tables G.6 and G.7).

use chrono::{DateTime, TimeDelta, Utc};

use crate::decode::code::reject;
use crate::decode::mbus::application::{Application, FrozenField, StampSelector, exact};
use crate::decode::mbus::record::{
    Content, Function, Number, Order, Record, Records, digits, signed, unsigned,
};
use crate::decode::mbus::stamp::{Stamp, months_from, stamp};
use crate::decode::mbus::vib::{Compact, Quantity};
use crate::decode::value::fault;
use crate::domain::frame::RejectReason;
use crate::domain::reading::FrozenTotals;

/// Step of an array of one total, whose step means nothing.
const DAY_S: u32 = 86_400;
/// Spacing value: the whole calendar month.
const MONTHLY: u8 = 0xFE;
/// Greatest spacing value that is a number.
const SPACING_MAX: u8 = 250;

/// Totals under `count` storage numbers, at the time of the first and then a step each.
pub(super) fn stored(
    application: &Application,
    field: &FrozenField,
    bytes: &[u8],
    order: Order,
) -> Result<Vec<FrozenTotals>, RejectReason> {
    let first = field.selector.storage;
    let mut totals = vec![None; usize::try_from(field.count).unwrap_or_default()];
    let mut seen = vec![false; totals.len()];
    let mut at = None;
    let mut step_s = field.step_s;
    let time = time_selector(field);
    let mut records = Records::new(bytes, order);
    while let Some(record) = records.next_record()? {
        let place = record
            .storage
            .checked_sub(first)
            .and_then(|place| usize::try_from(place).ok());
        if let Some(place) = place
            && record.vib.compact.is_none()
            && field.selector.is_of(&record)
            && let (Some(total), Some(seen)) = (totals.get_mut(place), seen.get_mut(place))
        {
            if *seen {
                return Err(ambiguous(field));
            }
            *seen = true;
            *total = total_of(field, &record)?;
        } else if time.takes(&record) {
            if at.is_some() {
                return Err(ambiguous(field));
            }
            at = Some(application.instant(&record, field.date_plus_s, "frozen time")?);
        } else if record.vib.quantity == Quantity::StorageInterval && field.step_s.is_none() {
            step_s = interval(&record);
        }
    }
    if !seen.iter().any(|seen| *seen) {
        return Err(missing(field, "has no record of its storage numbers"));
    }
    let at =
        at.ok_or_else(|| missing(field, "has no time: no date with its first storage number"))?;
    let step_s = match step_s {
        Some(step_s) => step_s,
        None if field.count == 1 => DAY_S,
        None => {
            return Err(missing(
                field,
                "has no step: the telegram does not say its storage interval; add step_s",
            ));
        }
    };
    let first_at = if field.newest_first {
        totals.reverse();
        before(at, i64::from(step_s) * i64::from(field.count - 1))
            .ok_or_else(|| missing(field, "goes back beyond the calendar"))?
    } else {
        at
    };
    Ok(vec![FrozenTotals {
        item: field.item,
        first_at,
        step_s,
        totals,
    }])
}

/// Totals of a compact profile (VIFE 1Fh, 13h) around the base value and time of its storage number.
pub(super) fn compact(
    application: &Application,
    field: &FrozenField,
    bytes: &[u8],
    order: Order,
) -> Result<Vec<FrozenTotals>, RejectReason> {
    let time = time_selector(field);
    let (mut base, mut base_time, mut profile) = (None, None, None);
    let mut records = Records::new(bytes, order);
    while let Some(record) = records.next_record()? {
        let is_same = field.selector.is_of(&record) && record.storage == field.selector.storage;
        let slot = match record.vib.compact {
            Some(_) if is_same => &mut profile,
            None if is_same => &mut base,
            None if time.takes(&record) => &mut base_time,
            _ => continue,
        };
        if slot.replace(record).is_some() {
            return Err(ambiguous(field));
        }
    }
    let profile = profile.ok_or_else(|| missing(field, "is not in the telegram"))?;
    let base_time =
        base_time.ok_or_else(|| missing(field, "has no base time of its storage number"))?;
    let stamp = stamp(&base_time)
        .map_err(|what| missing(field, &format!("has a base time that {what}")))?;
    let series = Series::read(field, &profile, base.as_ref())?;
    series.place(application, field, &stamp)
}

/// A compact profile, its increments added up: raw numbers, in the order of the telegram.
struct Series {
    numbers: Vec<Option<i64>>,
    way: Compact,
    step: Step,
    totals: Vec<Option<i64>>,
}

enum Step {
    Seconds(u32),
    Months(i32),
}

impl Series {
    fn read(
        field: &FrozenField,
        profile: &Record<'_>,
        base: Option<&Record<'_>>,
    ) -> Result<Self, RejectReason> {
        let unreadable = |what: &str| missing(field, what);
        // A variable length up to BFh counts bytes, here not of characters.
        let (Content::Text(bytes) | Content::Integer(bytes)) = profile.content else {
            return Err(unreadable("is no record of variable length"));
        };
        let [control, spacing, elements @ ..] = bytes else {
            return Err(unreadable("ends before its spacing"));
        };
        let step = match (control >> 4 & 3, *spacing) {
            (3, MONTHLY) => Step::Months(1),
            (unit, count @ 1..=SPACING_MAX) => Step::Seconds(
                u32::from(count)
                    * match unit {
                        0 => 1,
                        1 => 60,
                        2 => 3_600,
                        _ => DAY_S,
                    },
            ),
            _ => return Err(unreadable("has a spacing that EN 13757-3 reserves")),
        };
        let coding = control & 0x0F;
        let size = match coding {
            1..=4 => usize::from(coding),
            6 | 14 => 6,
            7 => 8,
            9..=12 => usize::from(coding - 8),
            _ => return Err(unreadable("has elements of a coding that is not read here")),
        };
        if elements.is_empty() || !elements.len().is_multiple_of(size) {
            return Err(unreadable("does not end with an element"));
        }
        let mode = control >> 6;
        let raw = elements
            .chunks_exact(size)
            .map(|element| element_of(element, coding, mode, profile.order));
        let way = profile.vib.compact.unwrap_or(Compact::Forward);
        let numbers: Vec<Option<i64>> = if mode == 0 {
            raw.collect()
        } else {
            let base = base.ok_or_else(|| unreadable("has no base value of its storage number"))?;
            if base.vib.exponent != profile.vib.exponent || base.vib.times != profile.vib.times {
                return Err(unreadable("counts in another unit than its base value"));
            }
            let Ok(Number::Whole(start)) = base.number() else {
                return Err(unreadable("has a base value that is no whole number"));
            };
            let adds = (mode == 2) == (way == Compact::Backward);
            let mut reached = Some(start);
            raw.map(|step| {
                // Behind an element without a value nothing is known any more.
                reached = match (reached, step) {
                    (Some(value), Some(step)) if adds => value.checked_add(step),
                    (Some(value), Some(step)) => value.checked_sub(step),
                    _ => None,
                };
                reached
            })
            .collect()
        };
        let totals = numbers
            .iter()
            .map(|number| {
                number
                    .map(|count| exact(field.item, count, &profile.vib))
                    .transpose()
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            numbers,
            way,
            step,
            totals,
        })
    }

    fn place(
        mut self,
        application: &Application,
        field: &FrozenField,
        base: &Stamp,
    ) -> Result<Vec<FrozenTotals>, RejectReason> {
        let beyond = || missing(field, "goes beyond the calendar");
        let dayless = || {
            missing(
                field,
                "has a base day without a time; add date_plus_s, the seconds from its midnight to the reading",
            )
        };
        let count = i32::try_from(self.numbers.len()).map_err(|_| beyond())?;
        let sign = match self.way {
            Compact::Forward => 1,
            Compact::Backward => -1,
        };
        match self.step {
            Step::Seconds(step_s) => {
                let base = application
                    .zone
                    .instant(base, field.date_plus_s)
                    .ok_or_else(dayless)?;
                let first_at = match self.way {
                    Compact::Forward => before(base, -i64::from(step_s)),
                    Compact::Backward => {
                        self.totals.reverse();
                        before(base, i64::from(step_s) * i64::from(count))
                    }
                };
                Ok(vec![FrozenTotals {
                    item: field.item,
                    first_at: first_at.ok_or_else(beyond)?,
                    step_s,
                    totals: self.totals,
                }])
            }
            // Months are not of one length: an array for each.
            Step::Months(months) => {
                let mut arrays = (1_i32..)
                    .zip(&self.totals)
                    .map(|(place, total)| {
                        let date =
                            months_from(base.date, sign * months * place).ok_or_else(beyond)?;
                        let first_at = application
                            .zone
                            .instant(&Stamp { date, ..*base }, field.date_plus_s)
                            .ok_or_else(dayless)?;
                        Ok(FrozenTotals {
                            item: field.item,
                            first_at,
                            step_s: DAY_S,
                            totals: vec![*total],
                        })
                    })
                    .collect::<Result<Vec<_>, RejectReason>>()?;
                arrays.sort_by_key(|array| array.first_at);
                Ok(arrays)
            }
        }
    }
}

/// One element; none where the meter had no value. Increments are without sign, absolute values and
/// differences with one.
fn element_of(bytes: &[u8], coding: u8, mode: u8, order: Order) -> Option<i64> {
    let is_signed = matches!(mode, 0 | 3);
    match coding {
        9.. => digits(bytes, order, is_signed).ok(),
        _ if is_signed => signed(bytes, order).ok(),
        _ if bytes.iter().all(|byte| *byte == 0xFF) => None,
        _ => unsigned(bytes, order).and_then(|value| i64::try_from(value).ok()),
    }
}

fn time_selector(field: &FrozenField) -> StampSelector {
    StampSelector {
        storage: field.selector.storage,
        tariff: 0,
        subunit: field.selector.subunit,
        kind: None,
        date_plus_s: field.date_plus_s,
    }
}

fn total_of(field: &FrozenField, record: &Record<'_>) -> Result<Option<i64>, RejectReason> {
    if record.vib.error.is_some() {
        return Ok(None);
    }
    match record.number() {
        Ok(Number::Whole(count)) => exact(field.item, count, &record.vib).map(Some),
        Ok(Number::Real(_)) => Err(fault(
            reject::INEXACT,
            field.item,
            "is a 32-bit float in a frozen record",
        )),
        // The device had no value for that time.
        Err(_) => Ok(None),
    }
}

/// The telegram's own storage interval, seconds.
fn interval(record: &Record<'_>) -> Option<u32> {
    match record.number() {
        Ok(Number::Whole(count))
            if record.function == Function::Instantaneous && !record.vib.other_meaning =>
        {
            let seconds = count.checked_mul(record.vib.times)?;
            u32::try_from(seconds).ok().filter(|seconds| *seconds > 0)
        }
        _ => None,
    }
}

fn before(at: DateTime<Utc>, seconds: i64) -> Option<DateTime<Utc>> {
    at.checked_sub_signed(TimeDelta::try_seconds(seconds)?)
}

fn missing(field: &FrozenField, what: &str) -> RejectReason {
    fault(reject::MISSING, field.item, format_args!("frozen {what}"))
}

fn ambiguous(field: &FrozenField) -> RejectReason {
    fault(
        reject::AMBIGUOUS,
        field.item,
        "frozen fits two records of the telegram",
    )
}
