//! Rows read from b-tree pages, past those that are damaged.

use std::collections::BTreeSet;

use rusqlite::types::Value;

use super::pages::Pages;

/// Cells that a page can hold at most, whatever it says.
const CELLS_MAX: usize = 32_768 / 4;
/// Levels of a tree at most.
const DEPTH_MAX: usize = 24;
/// Largest record: a forecast run weighs some MB.
const RECORD_MAX: usize = 1 << 30;

/// A row as it stands in a record: its columns in the order in which they are stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    /// Key of a table with row numbers.
    pub(super) rowid: Option<i64>,
    /// Columns.
    pub(super) columns: Vec<Value>,
}

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    IndexInterior,
    TableInterior,
    IndexLeaf,
    TableLeaf,
}

impl Kind {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            2 => Some(Self::IndexInterior),
            5 => Some(Self::TableInterior),
            10 => Some(Self::IndexLeaf),
            13 => Some(Self::TableLeaf),
            _ => None,
        }
    }

    const fn is_interior(self) -> bool {
        matches!(self, Self::IndexInterior | Self::TableInterior)
    }
}

/// Something of a tree that could not be read: between which rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gap {
    /// Page.
    pub(super) page: u32,
    /// The last row before it.
    pub(super) before: Option<Record>,
    /// The first row after it.
    pub(super) after: Option<Record>,
    /// What is wrong.
    pub(super) reason: &'static str,
}

/// Goes through trees and remembers which pages it saw.
pub(super) struct Walker<'a> {
    pages: &'a Pages,
    pub(super) seen: BTreeSet<u32>,
}

struct Walk<'t> {
    take: &'t mut dyn FnMut(&Record),
    last: Option<Record>,
    gaps: Vec<Gap>,
    /// Gaps of which no row after them was seen yet begin here.
    open: usize,
}

impl Walk<'_> {
    fn gap(&mut self, page: u32, reason: &'static str) {
        self.gaps.push(Gap {
            page,
            before: self.last.clone(),
            after: None,
            reason,
        });
    }

    fn row(&mut self, record: Record) {
        (self.take)(&record);
        for gap in self.gaps.iter_mut().skip(self.open) {
            gap.after = Some(record.clone());
        }
        self.open = self.gaps.len();
        self.last = Some(record);
    }
}

impl<'a> Walker<'a> {
    pub(super) fn new(pages: &'a Pages) -> Self {
        Self {
            pages,
            seen: BTreeSet::new(),
        }
    }

    /// Hands every row of the tree below `root` that can be read to `take`, in order; what could not.
    pub(super) fn walk(&mut self, root: u32, take: &mut dyn FnMut(&Record)) -> Vec<Gap> {
        let mut walk = Walk {
            take,
            last: None,
            gaps: Vec::new(),
            open: 0,
        };
        self.page(root, 0, &mut walk);
        walk.gaps
    }

    /// Hands the rows of a single page to `take`: of one that no tree that can be read leads to.
    pub(super) fn orphan(&self, number: u32, take: &mut dyn FnMut(&Record)) {
        let Some(page) = self.pages.read(number) else {
            return;
        };
        let Some((kind, cells)) = cells_of(number, &page) else {
            return;
        };
        if kind == Kind::TableInterior {
            return;
        }
        for cell in cells {
            if let Some(record) = self.record(kind, &page, cell, &mut BTreeSet::new()) {
                take(&record);
            }
        }
    }

    fn page(&mut self, number: u32, depth: usize, walk: &mut Walk<'_>) {
        if depth > DEPTH_MAX || !self.seen.insert(number) {
            return walk.gap(number, "the tree leads to a page a second time");
        }
        let Some(page) = self.pages.read(number) else {
            return walk.gap(number, "the page is not there");
        };
        let Some((kind, cells)) = cells_of(number, &page) else {
            return walk.gap(number, "the page is none of a table");
        };
        let mut seen = BTreeSet::new();
        for cell in &cells {
            if kind.is_interior() {
                match be32(&page, *cell) {
                    Some(child) => self.page(child, depth + 1, walk),
                    None => walk.gap(number, "the page leads out of the file"),
                }
            }
            if kind != Kind::TableInterior {
                match self.record(kind, &page, *cell, &mut seen) {
                    Some(record) => walk.row(record),
                    None => walk.gap(number, "a row on the page cannot be read"),
                }
            }
        }
        self.seen.append(&mut seen);
        if kind.is_interior() {
            let header = header_at(number);
            match be32(&page, header + 8) {
                Some(child) => self.page(child, depth + 1, walk),
                None => walk.gap(number, "the page leads out of the file"),
            }
        }
    }

    fn record(
        &self,
        kind: Kind,
        page: &[u8],
        cell: usize,
        seen: &mut BTreeSet<u32>,
    ) -> Option<Record> {
        let mut at = cell + if kind == Kind::IndexInterior { 4 } else { 0 };
        let len = usize::try_from(varint(page, &mut at)?).ok()?;
        if len > RECORD_MAX {
            return None;
        }
        let rowid = if kind == Kind::TableLeaf {
            Some(varint(page, &mut at)?)
        } else {
            None
        };
        let usable = page.len();
        let local = local_len(len, usable, kind == Kind::TableLeaf);
        let mut payload = page.get(at..at.checked_add(local)?)?.to_vec();
        if local < len {
            let mut next = be32(page, at + local)?;
            while payload.len() < len {
                if !seen.insert(next) || self.seen.contains(&next) {
                    return None;
                }
                let more = self.pages.read(next)?;
                let take = (len - payload.len()).min(usable - 4);
                payload.extend_from_slice(more.get(4..4 + take)?);
                next = be32(&more, 0)?;
            }
        }
        let columns = columns_of(&payload)?;
        Some(Record { rowid, columns })
    }
}

/// How much of a payload stands on its page; the rest is on overflow pages.
fn local_len(len: usize, usable: usize, is_table_leaf: bool) -> usize {
    let max = if is_table_leaf {
        usable - 35
    } else {
        (usable - 12) * 64 / 255 - 23
    };
    if len <= max {
        return len;
    }
    let min = (usable - 12) * 32 / 255 - 23;
    let local = min + (len - min) % (usable - 4);
    if local <= max { local } else { min }
}

fn header_at(number: u32) -> usize {
    if number == 1 { 100 } else { 0 }
}

/// Kind of a page and where its cells are, in the order of their keys.
fn cells_of(number: u32, page: &[u8]) -> Option<(Kind, Vec<usize>)> {
    let header = header_at(number);
    let kind = Kind::of(*page.get(header)?)?;
    let count = usize::from(be16(page, header + 3)?);
    let first = header + if kind.is_interior() { 12 } else { 8 };
    if count > CELLS_MAX || first + 2 * count > page.len() {
        return None;
    }
    let cells = (0..count)
        .map(|index| be16(page, first + 2 * index).map(usize::from))
        .collect::<Option<Vec<_>>>()?;
    Some((kind, cells))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    two.try_into().ok().map(u16::from_be_bytes)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    four.try_into().ok().map(u32::from_be_bytes)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let mut value = 0_u64;
    for index in 0..9 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if index == 8 {
            return Some(((value << 8) | u64::from(byte)).cast_signed());
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value.cast_signed())
}

fn columns_of(payload: &[u8]) -> Option<Vec<Value>> {
    let mut at = 0;
    let end = usize::try_from(varint(payload, &mut at)?).ok()?;
    if end > payload.len() {
        return None;
    }
    let mut body = end;
    let mut columns = Vec::new();
    while at < end {
        let serial = varint(payload, &mut at)?;
        let len = match serial {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(serial).ok()?,
            5 => 6,
            6 | 7 => 8,
            12.. => usize::try_from((serial - 12) / 2).ok()?,
            _ => return None,
        };
        let bytes = payload.get(body..body.checked_add(len)?)?;
        body += len;
        columns.push(match serial {
            0 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            7 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
            1..=6 => {
                let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
                let start = if is_negative { -1_i64 } else { 0 };
                Value::Integer(
                    bytes
                        .iter()
                        .fold(start, |value, byte| (value << 8) | i64::from(*byte)),
                )
            }
            _ if serial % 2 == 0 => Value::Blob(bytes.to_vec()),
            _ => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
        });
    }
    (at == end && body == payload.len()).then_some(columns)
}
