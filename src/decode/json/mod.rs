//! Codec `json`: an object per frame; JSON pointers say where things are.
//!
//! A profile lists kinds of messages (reading, frozen). A frame is of the first kind whose `when`
//! pointer finds something in it.

mod compile;
mod node;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

pub(super) use self::compile::compile;
use self::node::{Node, Pointer, parse};
use crate::decode::code::reject;
use crate::decode::field::{AlarmBits, Field};
use crate::decode::file::TimeFormat;
use crate::decode::value::{exact_from_count, exact_from_float, exact_from_text, fault};
use crate::domain::calendar::beijing_instant;
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::reading::{Alarm, AlarmSet, Decoded, FrozenTotals, Item, ItemValue};

/// Longest name a device may give itself, characters.
const DEVICE_NAME_MAX: usize = 64;

/// The codec of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonCodec {
    size_max_bytes: usize,
    depth_max: usize,
    device: Option<Pointer>,
    messages: Vec<Message>,
}

#[derive(Debug, Clone, PartialEq)]
struct Message {
    when: Pointer,
    time: TimeSource,
    fields: Vec<JsonField>,
    backfills: Vec<Backfill>,
    alarms: Vec<JsonAlarm>,
}

#[derive(Debug, Clone, PartialEq)]
struct JsonField {
    field: Field,
    at: Pointer,
    decimals: Option<i8>,
    none: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Backfill {
    item: Item,
    at: Pointer,
    count: usize,
    first: TimeSource,
    step_s: u32,
    newest_first: bool,
    optional: bool,
    decimals: Option<i8>,
}

#[derive(Debug, Clone, PartialEq)]
struct JsonAlarm {
    at: Pointer,
    bits: AlarmBits,
    texts: Vec<(String, Alarm)>,
}

#[derive(Debug, Clone, PartialEq)]
struct TimeSource {
    kind: TimeKind,
    plus: TimeDelta,
}

#[derive(Debug, Clone, PartialEq)]
enum TimeKind {
    Stamp(Pointer, TimeFormat),
    DayCut {
        day: Pointer,
        cut: Option<Pointer>,
        cut_default: Option<NaiveTime>,
    },
}

impl JsonCodec {
    /// Decodes a frame.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Decoded, RejectReason> {
        if bytes.len() > self.size_max_bytes {
            return Err(RejectReason::new(
                reject::TOO_LONG,
                format!(
                    "payload has {} bytes, the profile allows {}; raise json.size_max_bytes if the device means it",
                    bytes.len(),
                    self.size_max_bytes
                ),
            ));
        }
        let root = parse(bytes, self.depth_max)?;
        let message = self
            .messages
            .iter()
            .find(|m| m.when.find(&root).is_some())
            .ok_or_else(|| self.no_message())?;
        let device = match self.device.as_ref().and_then(|at| at.find(&root)) {
            Some(node) => Some(device(node)?),
            None => None,
        };
        let decoded = Decoded {
            clock_at: None,
            device,
            sampled_at: message.time.instant(&root)?,
            values: message.values(&root)?,
            frozen: message.frozen(&root)?,
            alarms: message.alarms(&root)?,
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
        let keys: Vec<String> = self.messages.iter().map(|m| m.when.to_string()).collect();
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

fn device(node: &Node<'_>) -> Result<DeviceId, RejectReason> {
    let reason = || {
        RejectReason::new(
            reject::DEVICE,
            format!("the device's name is no text of 1 to {DEVICE_NAME_MAX} printable characters"),
        )
    };
    match node {
        Node::Text(text)
            if !text.is_empty()
                && text.chars().count() <= DEVICE_NAME_MAX
                && !text.chars().any(char::is_control) =>
        {
            Ok(DeviceId::new(text.as_ref()))
        }
        Node::Int(number) if *number >= 0 => Ok(DeviceId::new(number.to_string())),
        _ => Err(reason()),
    }
}

impl Message {
    fn values(&self, root: &Node<'_>) -> Result<Vec<(Item, ItemValue)>, RejectReason> {
        let mut values = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            if let Some(value) = field.value(root)? {
                values.push((field.field.item, value));
            }
        }
        Ok(values)
    }

    fn frozen(&self, root: &Node<'_>) -> Result<Vec<FrozenTotals>, RejectReason> {
        let mut frozen = Vec::new();
        for backfill in &self.backfills {
            frozen.extend(backfill.totals(root)?);
        }
        Ok(frozen)
    }

    fn alarms(&self, root: &Node<'_>) -> Result<AlarmSet, RejectReason> {
        let mut set = AlarmSet::default();
        for alarm in &self.alarms {
            if let Some(node) = alarm.at.find(root) {
                set = AlarmSet(set.0 | alarm.read(node)?.0);
            }
        }
        Ok(set)
    }
}

impl JsonField {
    fn value(&self, root: &Node<'_>) -> Result<Option<ItemValue>, RejectReason> {
        let Some(node) = self.at.find(root) else {
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
        let number = match node {
            Node::Int(number) => *number as f64,
            Node::Float(number) => *number,
            Node::Text(text) => text
                .trim()
                .parse()
                .map_err(|_| fault(reject::TYPE, item, "is a text that is no number"))?,
            other => return Err(wrong_type(item, other, "a number")),
        };
        self.field.float(number)
    }

    fn is_none(&self, node: &Node<'_>) -> bool {
        if self.none.is_empty() {
            return false;
        }
        match node {
            Node::Text(text) => self.none.iter().any(|n| n == text),
            Node::Int(number) => self.none.contains(&number.to_string()),
            Node::Float(number) => self.none.contains(&number.to_string()),
            _ => false,
        }
    }
}

fn exact(item: Item, node: &Node<'_>, decimals: Option<i8>) -> Result<i64, RejectReason> {
    match (node, decimals) {
        (Node::Text(text), None) => exact_from_text(item, text),
        (Node::Int(number), None) => exact_from_count(item, i128::from(*number), 0),
        (Node::Float(number), None) => exact_from_float(item, *number),
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

impl Backfill {
    fn totals(&self, root: &Node<'_>) -> Result<Option<FrozenTotals>, RejectReason> {
        let items = match self.at.find(root) {
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
        if items.len() != self.count {
            return Err(fault(
                reject::ARRAY,
                self.item,
                format_args!("has {} frozen totals, expected {}", items.len(), self.count),
            ));
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
        Ok(Some(FrozenTotals {
            item: self.item,
            first_at: self.first.instant(root)?,
            step_s: self.step_s,
            totals,
        }))
    }
}

impl JsonAlarm {
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

impl TimeSource {
    fn instant(&self, root: &Node<'_>) -> Result<DateTime<Utc>, RejectReason> {
        let at = match &self.kind {
            TimeKind::Stamp(at, format) => at
                .find(root)
                .and_then(|node| stamp(node, *format))
                .ok_or_else(|| bad_time(at, format.describe()))?,
            TimeKind::DayCut {
                day,
                cut,
                cut_default,
            } => {
                let date = text_at(day, root)
                    .and_then(|text| text.parse::<NaiveDate>().ok())
                    .ok_or_else(|| bad_time(day, "a day, YYYY-MM-DD"))?;
                let time = match cut.as_ref().filter(|at| at.find(root).is_some()) {
                    Some(at) => text_at(at, root)
                        .and_then(time_of_day)
                        .ok_or_else(|| bad_time(at, "a time of day, hh:mm"))?,
                    None => cut_default.ok_or_else(|| {
                        bad_time(cut.as_ref().unwrap_or(day), "a time of day, hh:mm")
                    })?,
                };
                // Dates near the calendar's end would overflow in the subtraction of the offset.
                if !(1970..=9999).contains(&chrono::Datelike::year(&date)) {
                    return Err(bad_time(day, "a day from 1970 to 9999"));
                }
                beijing_instant(date, time)
            }
        };
        at.checked_add_signed(self.plus).ok_or_else(|| {
            RejectReason::new(reject::TIME, "time of the message is beyond the calendar")
        })
    }
}

fn bad_time(at: &Pointer, wanted: &str) -> RejectReason {
    RejectReason::new(
        reject::TIME,
        format!("time at {at} is missing or not {wanted}"),
    )
}

fn text_at<'n>(at: &Pointer, root: &'n Node<'_>) -> Option<&'n str> {
    match at.find(root) {
        Some(Node::Text(text)) => Some(text),
        _ => None,
    }
}

fn stamp(node: &Node<'_>, format: TimeFormat) -> Option<DateTime<Utc>> {
    match (format, node) {
        (TimeFormat::Rfc3339, Node::Text(text)) => DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|at| at.to_utc()),
        (TimeFormat::Beijing, Node::Text(text)) => {
            let civil = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
                .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S"))
                .ok()?;
            (1970..=9999)
                .contains(&chrono::Datelike::year(&civil))
                .then(|| beijing_instant(civil.date(), civil.time()))
        }
        (TimeFormat::UnixS, Node::Int(s)) => DateTime::from_timestamp(*s, 0),
        (TimeFormat::UnixS, Node::Text(text)) => DateTime::from_timestamp(text.parse().ok()?, 0),
        (TimeFormat::UnixMs, Node::Int(ms)) => DateTime::from_timestamp_millis(*ms),
        (TimeFormat::UnixMs, Node::Text(text)) => {
            DateTime::from_timestamp_millis(text.parse().ok()?)
        }
        _ => None,
    }
}

/// `hh:mm` or `hh:mm:ss`.
fn time_of_day(text: &str) -> Option<NaiveTime> {
    NaiveTime::parse_from_str(text, "%H:%M")
        .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S"))
        .ok()
}

impl TimeFormat {
    const fn describe(self) -> &'static str {
        match self {
            Self::Rfc3339 => "RFC 3339 with an offset, 2026-11-21T08:00:00+08:00",
            Self::Beijing => "YYYY-MM-DD hh:mm:ss",
            Self::UnixS => "whole seconds since 1970",
            Self::UnixMs => "whole milliseconds since 1970",
        }
    }
}
