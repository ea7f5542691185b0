//! The stored form of a reading: compact, self-describing, and a join-semilattice.
//!
//! `merge` takes the greater of two values for each part, so any order of any subset of repeated
//! merges ends in the same bytes; with that, order and duplicates cannot matter (design §2).
//!
//! ```text
//! 2  flags  alarms  n item*n  m array*m  crc  flags = usable | rank << 1
//! item  = code  kind | rank << 4  value      kind: 0 exact  1 f64  2 f32  3 decimal of 1e-4
//! array = code  rank  first_at-at  step_s  n total*n
//! total = 0 for none, else 1 + zigzag of the difference to the one before
//! ```
//! Numbers are LEB128, signed ones zigzag first; instants are milliseconds. `crc` is CRC-16/IBM-3740
//! of meter number, instant, time of arrival and all before it, so that neither a changed value nor a changed key is
//! read as another reading; the bodies of before, which begin with 1, have none.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use crc::{CRC_16_IBM_3740, Crc};

use super::codec::{Bytes, put_signed, put_totals, put_unsigned, put_value};
use super::{instant, millis};
use crate::domain::frame::Transport;
use crate::domain::id::MeterId;
use crate::domain::reading::{AlarmSet, FrozenTotals, Item, ItemValue, Reading};

const FORMAT: u8 = 2;
const FORMAT_UNCHECKED: u8 = 1;
const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_3740);

/// Where a body stands; part of what its checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    /// Number of the meter.
    pub(super) number: i64,
    /// Instant, ms.
    pub(super) at: i64,
    /// When it was received, ms.
    pub(super) received_at: i64,
}

impl Stand {
    fn checksum(self, body: &[u8]) -> [u8; 2] {
        let mut digest = CRC.digest();
        digest.update(&self.number.to_le_bytes());
        digest.update(&self.at.to_le_bytes());
        digest.update(&self.received_at.to_le_bytes());
        digest.update(body);
        digest.finalize().to_le_bytes()
    }

    /// Ends a body that begins at `start`.
    fn seal(self, start: usize, out: &mut Vec<u8>) {
        let checksum = self.checksum(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&checksum);
    }
}

pub(super) const fn transport_of(rank: u8) -> Transport {
    match rank {
        0 => Transport::Import,
        1 => Transport::Http,
        2 => Transport::Mqtt,
        _ => Transport::Modbus,
    }
}

/// One part of a reading with where it came from.
#[derive(Debug, Clone, PartialEq)]
struct Sourced<T> {
    value: T,
    rank: u8,
}

/// A stored reading without its key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Body {
    pub(super) is_usable: bool,
    rank: u8,
    alarms: u32,
    items: Vec<(Item, Sourced<ItemValue>)>,
    arrays: Vec<Sourced<FrozenTotals>>,
}

/// Two values for the same part.
#[derive(Debug, PartialEq)]
pub(super) struct Conflict {
    /// Which part: item code, and for an array its first instant and step.
    pub(super) part: Vec<u8>,
    /// What was stored, and what came.
    pub(super) values: [(Vec<u8>, u8); 2],
}

/// What a merge did.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Merged {
    /// The bytes differ from before.
    pub(super) has_changed: bool,
    /// A part was added that was not there.
    pub(super) has_news: bool,
    /// Contradictions.
    pub(super) conflicts: Vec<Conflict>,
}

/// What a body holds, for who need not read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traits {
    pub(super) is_usable: bool,
    /// A single total.
    pub(super) has_total: bool,
    pub(super) has_arrays: bool,
}

const fn is_total(item: Item) -> bool {
    matches!(item, Item::TotalStd | Item::TotalWork)
}

/// Appends the stored form of a reading: what `Body::new` and `Body::encode` give, without a `Body`
/// in between where the reading needs no putting in order.
pub(super) fn encode(
    reading: &Reading,
    is_usable: bool,
    stand: Stand,
    out: &mut Vec<u8>,
) -> Traits {
    let start = out.len();
    let values = &reading.values;
    let is_in_order = values
        .iter()
        .zip(values.iter().skip(1))
        .all(|((a, _), (b, _))| (*a as u8) < (*b as u8));
    if !is_in_order || !reading.frozen.is_empty() {
        let body = Body::new(reading, is_usable);
        body.encode_into(stand, out);
        return body.traits();
    }
    let rank = reading.transport.rank();
    put_head(out, is_usable, rank, reading.alarms.0, values.len());
    for (item, value) in values {
        out.push(*item as u8);
        put_value(out, *value, rank);
    }
    put_unsigned(out, 0);
    stand.seal(start, out);
    Traits {
        is_usable,
        has_total: values.iter().any(|(item, _)| is_total(*item)),
        has_arrays: false,
    }
}

fn put_head(out: &mut Vec<u8>, is_usable: bool, rank: u8, alarms: u32, items: usize) {
    out.push(FORMAT);
    out.push(u8::from(is_usable) | (rank << 1));
    put_unsigned(out, u64::from(alarms));
    put_unsigned(out, items as u64);
}

fn compare(a: ItemValue, b: ItemValue) -> Ordering {
    match (a, b) {
        (ItemValue::Exact(a), ItemValue::Exact(b)) => a.cmp(&b),
        (ItemValue::Float(a), ItemValue::Float(b)) => a.total_cmp(&b),
        (ItemValue::Exact(_), ItemValue::Float(_)) => Ordering::Greater,
        (ItemValue::Float(_), ItemValue::Exact(_)) => Ordering::Less,
    }
}

fn array_key(array: &FrozenTotals) -> (u8, i64, u32) {
    (array.item as u8, millis(array.first_at), array.step_s)
}

impl Body {
    pub(super) fn new(reading: &Reading, is_usable: bool) -> Self {
        let rank = reading.transport.rank();
        let mut items: Vec<_> = reading
            .values
            .iter()
            .map(|(item, value)| {
                (
                    *item,
                    Sourced {
                        value: *value,
                        rank,
                    },
                )
            })
            .collect();
        items.sort_by_key(|(item, _)| *item as u8);
        items.dedup_by_key(|(item, _)| *item as u8);
        let mut arrays: Vec<_> = reading
            .frozen
            .iter()
            .map(|array| Sourced {
                value: array.clone(),
                rank,
            })
            .collect();
        // A frame that gives one array twice keeps the greater, as a merge would.
        arrays.sort_by(|a, b| {
            array_key(&a.value)
                .cmp(&array_key(&b.value))
                .then_with(|| b.value.totals.cmp(&a.value.totals))
        });
        arrays.dedup_by_key(|array| array_key(&array.value));
        Self {
            is_usable,
            rank,
            alarms: reading.alarms.0,
            items,
            arrays,
        }
    }

    pub(super) fn traits(&self) -> Traits {
        Traits {
            is_usable: self.is_usable,
            has_total: self.items.iter().any(|(item, _)| is_total(*item)),
            has_arrays: !self.arrays.is_empty(),
        }
    }

    /// Its arrays.
    pub(super) fn arrays(&self) -> impl Iterator<Item = &FrozenTotals> {
        self.arrays.iter().map(|array| &array.value)
    }

    /// Joins what came with what is stored.
    pub(super) fn merge(&mut self, other: &Self) -> Merged {
        let mut merged = Merged::default();
        let before = self.clone();
        self.is_usable |= other.is_usable;
        self.rank = self.rank.max(other.rank);
        self.alarms |= other.alarms;
        merged.has_news |= self.alarms != before.alarms || self.is_usable != before.is_usable;
        for (item, theirs) in &other.items {
            match self
                .items
                .binary_search_by_key(&(*item as u8), |(i, _)| *i as u8)
            {
                Ok(index) => {
                    if let Some((_, ours)) = self.items.get_mut(index) {
                        join(
                            ours,
                            theirs,
                            |a, b| compare(*a, *b),
                            &mut merged,
                            |v| {
                                let mut bytes = Vec::new();
                                put_value(&mut bytes, v.value, 0);
                                (vec![*item as u8], bytes)
                            },
                        );
                    }
                }
                Err(index) => {
                    self.items.insert(index, (*item, theirs.clone()));
                    merged.has_news = true;
                }
            }
        }
        for theirs in &other.arrays {
            let key = array_key(&theirs.value);
            match self
                .arrays
                .binary_search_by_key(&key, |array| array_key(&array.value))
            {
                Ok(index) => {
                    if let Some(ours) = self.arrays.get_mut(index) {
                        join(
                            ours,
                            theirs,
                            |a, b| a.totals.cmp(&b.totals),
                            &mut merged,
                            |v| {
                                let mut part = vec![key.0];
                                put_signed(&mut part, key.1);
                                put_unsigned(&mut part, u64::from(key.2));
                                let mut bytes = Vec::new();
                                put_totals(&mut bytes, &v.value.totals);
                                (part, bytes)
                            },
                        );
                    }
                }
                Err(index) => {
                    self.arrays.insert(index, theirs.clone());
                    merged.has_news = true;
                }
            }
        }
        merged.has_changed = *self != before;
        merged
    }

    pub(super) fn encode(&self, stand: Stand) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.items.len() * 8 + self.arrays.len() * 64);
        self.encode_into(stand, &mut out);
        out
    }

    fn encode_into(&self, stand: Stand, out: &mut Vec<u8>) {
        let start = out.len();
        put_head(
            out,
            self.is_usable,
            self.rank,
            self.alarms,
            self.items.len(),
        );
        for (item, sourced) in &self.items {
            out.push(*item as u8);
            put_value(out, sourced.value, sourced.rank);
        }
        put_unsigned(out, self.arrays.len() as u64);
        for array in &self.arrays {
            out.push(array.value.item as u8);
            out.push(array.rank);
            put_signed(out, millis(array.value.first_at) - stand.at);
            put_unsigned(out, u64::from(array.value.step_s));
            put_totals(out, &array.value.totals);
        }
        stand.seal(start, out);
    }

    /// Reads what `encode` wrote; none if the bytes are not of this form, or not those that were written
    /// for this meter and instant.
    pub(super) fn decode(stand: Stand, bytes: &[u8]) -> Option<Self> {
        let at = stand.at;
        let mut bytes = match *bytes.first()? {
            FORMAT => {
                let (body, checksum) = bytes.split_last_chunk::<2>()?;
                if stand.checksum(body) != *checksum {
                    return None;
                }
                Bytes(body)
            }
            FORMAT_UNCHECKED => Bytes(bytes),
            _ => return None,
        };
        bytes.byte()?;
        let flags = bytes.byte()?;
        let alarms = u32::try_from(bytes.unsigned()?).ok()?;
        let count = usize::try_from(bytes.unsigned()?).ok()?;
        let mut items = Vec::with_capacity(count.min(Item::ALL.len()));
        for _ in 0..count {
            let item = Item::from_code(bytes.byte()?)?;
            let head = bytes.byte()?;
            let value = bytes.value(head & 15)?;
            let rank = head >> 4;
            items.push((item, Sourced { value, rank }));
        }
        let count = usize::try_from(bytes.unsigned()?).ok()?;
        let mut arrays = Vec::with_capacity(count.min(8));
        for _ in 0..count {
            let item = Item::from_code(bytes.byte()?)?;
            let rank = bytes.byte()?;
            let first_at = instant(at.checked_add(bytes.signed()?)?);
            let step_s = u32::try_from(bytes.unsigned()?).ok()?;
            let value = FrozenTotals {
                item,
                first_at,
                step_s,
                totals: bytes.totals()?,
            };
            arrays.push(Sourced { value, rank });
        }
        if !bytes.0.is_empty() {
            return None;
        }
        Some(Self {
            is_usable: flags & 1 == 1,
            rank: flags >> 1,
            alarms,
            items,
            arrays,
        })
    }

    pub(super) fn into_reading(
        self,
        meter: MeterId,
        sampled_at: DateTime<Utc>,
        received_at: DateTime<Utc>,
    ) -> Reading {
        Reading {
            meter,
            sampled_at,
            received_at,
            transport: transport_of(self.rank),
            values: self.items.into_iter().map(|(i, v)| (i, v.value)).collect(),
            frozen: self.arrays.into_iter().map(|a| a.value).collect(),
            alarms: AlarmSet(self.alarms),
        }
    }
}

/// Keeps the greater by (rank, value); equal values only raise the rank.
fn join<T: Clone + PartialEq>(
    ours: &mut Sourced<T>,
    theirs: &Sourced<T>,
    compare: impl Fn(&T, &T) -> Ordering,
    merged: &mut Merged,
    describe: impl Fn(&Sourced<T>) -> (Vec<u8>, Vec<u8>),
) {
    if compare(&ours.value, &theirs.value) == Ordering::Equal {
        ours.rank = ours.rank.max(theirs.rank);
        return;
    }
    let (part, our_bytes) = describe(ours);
    let (_, their_bytes) = describe(theirs);
    merged.conflicts.push(Conflict {
        part,
        values: [(our_bytes, ours.rank), (their_bytes, theirs.rank)],
    });
    let order = ours
        .rank
        .cmp(&theirs.rank)
        .then_with(|| compare(&ours.value, &theirs.value));
    if order == Ordering::Less {
        *ours = theirs.clone();
    }
}

/// The text of a conflicting value, as a finding shows it.
pub(super) fn describe_conflict(part: &[u8], value: &[u8]) -> (ConflictPart, String) {
    let mut part = Bytes(part);
    let item = part.byte().and_then(Item::from_code);
    if let Some(first_at) = part.signed() {
        let totals = Bytes(value).totals().unwrap_or_default();
        let text = totals
            .iter()
            .map(|total| total.map_or_else(|| "-".to_owned(), show_units))
            .collect::<Vec<_>>()
            .join(" ");
        let name = item.map_or("?", Item::key);
        let first_at = instant(first_at);
        return (ConflictPart::Other(format!("{name} @ {first_at}")), text);
    }
    let text = value
        .first()
        .and_then(|head| Bytes(value.get(1..)?).value(head & 15))
        .map_or_else(String::new, |value| match value {
            ItemValue::Exact(units) => show_units(units),
            ItemValue::Float(value) => value.to_string(),
        });
    let part = item.map_or_else(|| ConflictPart::Other("?".to_owned()), ConflictPart::Item);
    (part, text)
}

/// What a conflict is about.
pub(super) enum ConflictPart {
    /// An item.
    Item(Item),
    /// A frozen array: its item and first instant.
    Other(String),
}

fn show_units(units: i64) -> String {
    crate::domain::quantity::WorkVolume::from_units(units).to_string()
}
