//! Messages that are trees of named values, JSON or CBOR: pointers say where things are.
//!
//! A profile lists kinds of messages (reading, frozen). A frame is of the first kind whose `when`
//! pointer finds something in it. What is read here is the same for every way of writing a tree;
//! a codec fills the slots.

mod compile;
mod node;
mod path;
mod raw;
mod time;

use chrono::{DateTime, TimeDelta, Utc};

pub(super) use self::compile::{
    BACKFILL_MAX, Limits, STEP_MAX_S, compile, compile_field, compile_time, offset, pointer,
};
pub(super) use self::node::{Node, Slots};
pub(super) use self::path::{Paths, Pointer, Step};
pub(super) use self::raw::RawTime;
pub(super) use self::time::{TimeSource, civil_instant};
use crate::decode::code::reject;
use crate::decode::field::{AlarmBits, Field};
use crate::decode::value::{
    exact_from_count, exact_from_decimal, exact_from_float, exact_from_number, exact_from_text,
    fault, widen,
};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::reading::{Alarm, AlarmSet, Decoded, FrozenTotals, Item, ItemValue};

/// Longest name a device may give itself, characters.
const DEVICE_NAME_MAX: usize = 64;

/// Slots a frame fills without an allocation.
const SLOTS_INLINE: usize = 40;

/// The kinds of messages of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Messages {
    pub(super) limits: Limits,
    pub(super) paths: Paths,
    device: Option<Pointer>,
    kinds: Vec<Message>,
}

#[derive(Debug, Clone, PartialEq)]
struct Message {
    when: Pointer,
    time: TimeSource,
    clock: Option<TimeSource>,
    fields: Vec<TreeField>,
    backfills: Vec<Backfill>,
    alarms: Vec<TreeAlarm>,
}

/// A field and where it lies.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TreeField {
    pub(super) field: Field,
    at: Pointer,
    decimals: Option<i8>,
    none: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Backfill {
    item: Item,
    at: Pointer,
    count: Count,
    edge: Edge,
    step_s: u32,
    newest_first: bool,
    optional: bool,
    decimals: Option<i8>,
}

/// How many totals an array has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Exactly(usize),
    AtMost(usize),
}

/// Which end of an array a time is of.
#[derive(Debug, Clone, PartialEq)]
enum Edge {
    First(TimeSource),
    Last(TimeSource),
}

#[derive(Debug, Clone, PartialEq)]
struct TreeAlarm {
    at: Pointer,
    bits: AlarmBits,
    texts: Vec<(String, Alarm)>,
}

/// Runs `read` with empty slots for every pointer; no allocation for profiles of usual size.
pub(super) fn with_slots<'a, T>(paths: &Paths, read: impl FnOnce(&mut [Node<'a>]) -> T) -> T {
    let mut inline = [const { Node::Null }; SLOTS_INLINE];
    match inline.get_mut(..paths.slots()) {
        Some(slots) => read(slots),
        None => read(&mut vec![Node::Null; paths.slots()]),
    }
}

impl Messages {
    /// What a frame says, once its values are in their slots.
    pub(super) fn decoded(&self, slots: Slots<'_, '_>) -> Result<Decoded, RejectReason> {
        let message = self
            .kinds
            .iter()
            .find(|m| slots.get(&m.when).is_some())
            .ok_or_else(|| self.no_message())?;
        let device = match self.device.as_ref().and_then(|at| slots.get(at)) {
            Some(node) => Some(device(node)?),
            None => None,
        };
        let clock_at = match &message.clock {
            Some(clock) => clock.if_there(slots)?,
            None => None,
        };
        let decoded = Decoded {
            device,
            sampled_at: message.time.instant(slots)?,
            clock_at,
            values: message.values(slots)?,
            frozen: message.frozen(slots)?,
            alarms: message.alarms(slots)?,
        };
        if decoded.values.is_empty() && decoded.frozen.is_empty() {
            return Err(RejectReason::new(
                reject::EMPTY,
                "message holds none of the values its profile names",
            ));
        }
        Ok(decoded)
    }

    fn no_message(&self) -> RejectReason {
        let keys: Vec<String> = self.kinds.iter().map(|m| m.when.to_string()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        RejectReason::new(
            reject::MESSAGE,
            format!(
                "message is of no kind the profile knows; it has none of {}",
                keys.join(", ")
            ),
        )
    }
}

/// The name a device gives itself.
pub(super) fn device(node: &Node<'_>) -> Result<DeviceId, RejectReason> {
    match node {
        Node::Text(text) => device_name(text),
        Node::Int(number) if *number >= 0 => Ok(DeviceId::new(number.to_string())),
        _ => Err(no_name()),
    }
}

/// A text as the name of a device.
pub(super) fn device_name(text: &str) -> Result<DeviceId, RejectReason> {
    let is_short = text.len() <= DEVICE_NAME_MAX || text.chars().count() <= DEVICE_NAME_MAX;
    if text.is_empty() || !is_short || text.chars().any(char::is_control) {
        return Err(no_name());
    }
    Ok(DeviceId::new(text))
}

fn no_name() -> RejectReason {
    RejectReason::new(
        reject::DEVICE,
        format!("the device's name is no text of 1 to {DEVICE_NAME_MAX} printable characters"),
    )
}

impl Message {
    fn values(&self, slots: Slots<'_, '_>) -> Result<Vec<(Item, ItemValue)>, RejectReason> {
        let mut values = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            if let Some(value) = field.value(slots)? {
                values.push((field.field.item, value));
            }
        }
        Ok(values)
    }

    fn frozen(&self, slots: Slots<'_, '_>) -> Result<Vec<FrozenTotals>, RejectReason> {
        let mut frozen = Vec::new();
        for backfill in &self.backfills {
            frozen.extend(backfill.totals(slots)?);
        }
        Ok(frozen)
    }

    fn alarms(&self, slots: Slots<'_, '_>) -> Result<AlarmSet, RejectReason> {
        let mut set = AlarmSet::default();
        for alarm in &self.alarms {
            if let Some(node) = slots.get(&alarm.at) {
                set = AlarmSet(set.0 | alarm.read(node)?.0);
            }
        }
        Ok(set)
    }
}

impl TreeField {
    /// Its value in a frame.
    pub(super) fn value(&self, slots: Slots<'_, '_>) -> Result<Option<ItemValue>, RejectReason> {
        let Some(node) = slots.get(&self.at) else {
            return self.field.absent(&self.at);
        };
        if self.is_none(node) {
            return self.field.absent(&self.at);
        }
        let item = self.field.item;
        if self.field.states.is_some() {
            return match node {
                Node::Text(text) => self.field.state(text),
                Node::Int(number) => self.field.state(&number.to_string()),
                Node::Bool(flag) => self.field.state(if *flag { "true" } else { "false" }),
                other => Err(wrong_type(item, other, "a text or whole number")),
            };
        }
        if item.is_exact() {
            return exact(item, node, self.decimals).map(|units| Some(ItemValue::Exact(units)));
        }
        match float(node) {
            Some(number) => self.field.float(number),
            None if matches!(node, Node::Text(_)) => {
                Err(fault(reject::TYPE, item, "is a text that is no number"))
            }
            None => Err(wrong_type(item, node, "a number")),
        }
    }

    fn is_none(&self, node: &Node<'_>) -> bool {
        if self.none.is_empty() {
            return false;
        }
        match node {
            Node::Text(text) => self.none.iter().any(|n| n == text),
            Node::Int(number) => self.none.contains(&number.to_string()),
            Node::Number(written) => {
                // As the profile writes it: -1.0 and -1.00 are one number.
                let plain = float(node).map(|number| number.to_string());
                self.none
                    .iter()
                    .any(|n| n == written || Some(n) == plain.as_ref())
            }
            Node::Single(_) | Node::Double(_) | Node::Decimal { .. } => {
                float(node).is_some_and(|number| self.none.contains(&number.to_string()))
            }
            _ => false,
        }
    }
}

/// A number for telemetry; none where the value is no number.
fn float(node: &Node<'_>) -> Option<f64> {
    match node {
        Node::Int(number) => Some(*number as f64),
        Node::Number(written) => written.parse().ok(),
        Node::Single(number) => Some(if number.is_finite() {
            widen(*number)
        } else {
            f64::NAN
        }),
        Node::Double(number) => Some(*number),
        // By way of text, which gives the nearest double; a power of ten times a double does not.
        Node::Decimal { digits, exponent } => format!("{digits}e{exponent}").parse().ok(),
        Node::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn exact(item: Item, node: &Node<'_>, decimals: Option<i8>) -> Result<i64, RejectReason> {
    match (node, decimals) {
        (Node::Text(text), None) => exact_from_text(item, text),
        (Node::Int(number), None) => exact_from_count(item, i128::from(*number), 0),
        (Node::Number(written), None) => exact_from_number(item, written),
        (Node::Double(number), None) => exact_from_float(item, *number),
        (Node::Single(_), None) => Err(fault(
            reject::INEXACT,
            item,
            "is a single-precision float, which counts single m³ only up to 16.7 million; \
             send a decimal string or a decimal fraction",
        )),
        (Node::Decimal { digits, exponent }, None) => exact_from_decimal(item, *digits, *exponent),
        (Node::Int(number), Some(decimals)) => {
            exact_from_count(item, i128::from(*number), decimals)
        }
        (Node::Text(text), Some(decimals)) => {
            let count: i64 = text.parse().map_err(|_| {
                fault(
                    reject::INEXACT,
                    item,
                    "is no whole number, but the profile states implied decimals",
                )
            })?;
            exact_from_count(item, i128::from(count), decimals)
        }
        (other, Some(_)) => Err(wrong_type(
            item,
            other,
            "a whole number, since the profile states implied decimals",
        )),
        (other, None) => Err(wrong_type(item, other, "a decimal string")),
    }
}

fn wrong_type(item: Item, node: &Node<'_>, wanted: &str) -> RejectReason {
    fault(
        reject::TYPE,
        item,
        format_args!("is {}; expected {wanted}", node.kind()),
    )
}

/// The instant of the first of `count` totals, from that of the last.
pub(super) fn first_of(
    last: DateTime<Utc>,
    step_s: u32,
    count: usize,
) -> Result<DateTime<Utc>, RejectReason> {
    i64::try_from(count.saturating_sub(1))
        .ok()
        .and_then(|steps| steps.checked_mul(i64::from(step_s)))
        .and_then(TimeDelta::try_seconds)
        .and_then(|span| last.checked_sub_signed(span))
        .ok_or_else(|| {
            RejectReason::new(
                reject::TIME,
                "time of the first frozen total is beyond the calendar",
            )
        })
}

impl Backfill {
    fn totals(&self, slots: Slots<'_, '_>) -> Result<Option<FrozenTotals>, RejectReason> {
        let items = match slots.get(&self.at) {
            Some(Node::List(items)) => items,
            Some(other) => return Err(wrong_type(self.item, other, "an array")),
            None if self.optional => return Ok(None),
            None => {
                return Err(fault(
                    reject::MISSING,
                    self.item,
                    format_args!("is missing at {}", self.at),
                ));
            }
        };
        match self.count {
            Count::Exactly(count) if items.len() != count => {
                return Err(fault(
                    reject::ARRAY,
                    self.item,
                    format_args!("has {} frozen totals, expected {count}", items.len()),
                ));
            }
            Count::AtMost(most) if items.len() > most => {
                return Err(fault(
                    reject::ARRAY,
                    self.item,
                    format_args!("has {} frozen totals, expected at most {most}", items.len()),
                ));
            }
            _ if items.is_empty() => return Ok(None),
            _ => {}
        }
        let mut totals = Vec::with_capacity(items.len());
        for node in items {
            totals.push(match node {
                Node::Null => None,
                node => Some(exact(self.item, node, self.decimals)?),
            });
        }
        if self.newest_first {
            totals.reverse();
        }
        let first_at = match &self.edge {
            Edge::First(first) => first.instant(slots)?,
            Edge::Last(last) => first_of(last.instant(slots)?, self.step_s, totals.len())?,
        };
        Ok(Some(FrozenTotals {
            item: self.item,
            first_at,
            step_s: self.step_s,
            totals,
        }))
    }
}

impl TreeAlarm {
    fn read(&self, node: &Node<'_>) -> Result<AlarmSet, RejectReason> {
        match node {
            Node::Int(word) => Ok(self.bits.alarms(word.cast_unsigned())),
            Node::Text(text) => Ok(AlarmSet::default().with(self.named(text))),
            Node::List(items) => {
                items
                    .iter()
                    .try_fold(AlarmSet::default(), |set, item| match item {
                        Node::Text(text) => Ok(set.with(self.named(text))),
                        other => Err(self.wrong(other)),
                    })
            }
            other => Err(self.wrong(other)),
        }
    }

    fn named(&self, text: &str) -> Alarm {
        self.texts
            .iter()
            .find(|(name, _)| name == text)
            .map_or(Alarm::Unlisted, |(_, alarm)| *alarm)
    }

    fn wrong(&self, node: &Node<'_>) -> RejectReason {
        RejectReason::new(
            reject::TYPE,
            format!(
                "alarms at {} hold {}; expected texts, or a whole number of bits",
                self.at,
                node.kind()
            ),
        )
    }
}
