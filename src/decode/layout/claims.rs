//! Which bits of a frame belong to what: two values in one place are a mistake of the profile.

use std::ops::Range;

use super::place::{Anchor, Kind, Part, Place};
use crate::decode::code::problem;
use crate::decode::file::FileReader;

/// Who owns a bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    /// Times, counts, names: several may read the same bytes.
    Shared(usize),
    /// A value: nobody else may.
    Value(usize),
}

/// The bits of one kind of message.
#[derive(Debug)]
pub(super) struct Claims {
    size: usize,
    /// Where the array begins whose length the frame tells; beyond it places count from the end.
    told_from: Option<usize>,
    bits: Vec<Owner>,
    names: Vec<String>,
}

/// Whether others may read the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    Shared,
    Alone,
}

impl Claims {
    pub(super) fn new(size: usize, told_from: Option<usize>) -> Self {
        Self {
            size,
            told_from,
            bits: vec![Owner::Nobody; 8 * size],
            names: Vec::new(),
        }
    }

    /// Where a place begins in a frame whose told arrays are empty; what is beyond is a problem.
    fn start(
        &self,
        reader: &mut FileReader<'_>,
        span: &Range<usize>,
        what: &str,
        place: Place,
    ) -> Option<usize> {
        let size = self.size;
        let start = place.at.offset(size);
        let end = start.and_then(|from| from.checked_add(place.size));
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= size)) else {
            let remedy = "correct at, type or the message's size";
            match place.at {
                Anchor::Start(at) => reader.problem(
                    Some(span.clone()),
                    problem::LAYOUT,
                    format!(
                        "{what} ends at byte {}, but the frame has {size} bytes",
                        at.saturating_add(place.size)
                    ),
                    remedy,
                ),
                Anchor::End(back) if back > size => reader.problem(
                    Some(span.clone()),
                    problem::LAYOUT,
                    format!(
                        "{what} begins {back} bytes before the end, but the frame has {size} bytes"
                    ),
                    remedy,
                ),
                Anchor::End(back) => reader.problem(
                    Some(span.clone()),
                    problem::LAYOUT,
                    format!(
                        "{what} begins {back} bytes before the end and has {} bytes",
                        place.size
                    ),
                    remedy,
                ),
            }
            return None;
        };
        if let Some(told) = self.told_from {
            let is_clear = match place.at {
                Anchor::Start(_) => end <= told,
                Anchor::End(_) => start >= told,
            };
            if !is_clear {
                reader.problem(
                    Some(span.clone()),
                    problem::LAYOUT,
                    format!("{what} has no fixed place: an array whose length the frame tells begins at byte {told}"),
                    "count its place from the end of the frame, at = -1 is the last byte",
                );
                return None;
            }
        }
        Some(start)
    }

    /// Takes all bits of a place; false where they are beyond the frame or another's.
    pub(super) fn place(
        &mut self,
        reader: &mut FileReader<'_>,
        span: &Range<usize>,
        what: &str,
        place: Place,
        sharing: Sharing,
    ) -> bool {
        let Some(start) = self.start(reader, span, what, place) else {
            return false;
        };
        let bits = (8 * start..8 * (start + place.size)).collect();
        self.take(reader, span, what, bits, sharing)
    }

    /// Whether a place is in the frame, whoever else reads it.
    pub(super) fn within(
        &self,
        reader: &mut FileReader<'_>,
        span: &Range<usize>,
        what: &str,
        place: Place,
    ) -> bool {
        self.start(reader, span, what, place).is_some()
    }

    /// Bytes of the frame, without the arrays whose length it tells.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// Takes the bits of a number that it reads.
    pub(super) fn part(
        &mut self,
        reader: &mut FileReader<'_>,
        span: &Range<usize>,
        what: &str,
        part: Part,
    ) -> bool {
        match part.bits {
            Some((bit, width)) => self.numbered(reader, span, what, part, bit..bit + width),
            None => self.place(reader, span, what, part.place, Sharing::Alone),
        }
    }

    /// Takes numbered bits of a number, 0 the least significant.
    pub(super) fn numbered(
        &mut self,
        reader: &mut FileReader<'_>,
        span: &Range<usize>,
        what: &str,
        part: Part,
        numbers: impl IntoIterator<Item = u32>,
    ) -> bool {
        let Some(start) = self.start(reader, span, what, part.place) else {
            return false;
        };
        let size = part.place.size;
        let bits = numbers
            .into_iter()
            .filter_map(|number| {
                let number = usize::try_from(number).ok()?;
                let from_top = (size.checked_sub(1)?).checked_sub(number / 8)?;
                let sent = start + part.order.sent_at(from_top, size);
                Some(8 * sent + number % 8)
            })
            .collect();
        self.take(reader, span, what, bits, Sharing::Alone)
    }

    fn take(
        &mut self,
        reader: &mut FileReader<'_>,
        span: &Range<usize>,
        what: &str,
        bits: Vec<usize>,
        sharing: Sharing,
    ) -> bool {
        let own = self.names.len();
        self.names.push(what.to_owned());
        let mut met: Option<(usize, usize)> = None;
        for bit in bits {
            let Some(owner) = self.bits.get_mut(bit) else {
                continue;
            };
            match (*owner, sharing) {
                (Owner::Nobody, Sharing::Alone) => *owner = Owner::Value(own),
                (Owner::Nobody, Sharing::Shared) => *owner = Owner::Shared(own),
                (Owner::Shared(_), Sharing::Shared) => {}
                (Owner::Shared(other) | Owner::Value(other), _) => {
                    met = met.or(Some((other, bit / 8)));
                }
            }
        }
        if let Some((other, byte)) = met {
            let other = self.names.get(other).map_or("", String::as_str);
            reader.problem(
                Some(span.clone()),
                problem::LAYOUT,
                format!("{what} overlaps {other} at byte {byte}"),
                "correct at, type or bits of one of them",
            );
        }
        met.is_none()
    }
}

/// Whether bits can be cut out of a kind of number.
pub(super) const fn may_cut(kind: Kind) -> bool {
    kind.is_whole()
}
