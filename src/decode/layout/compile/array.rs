//! Arrays of totals: how many, from when, on what base.

use std::ops::Range;

use toml::Spanned;

use super::SIZE_MAX;
use super::field::fraction;
use super::part::{Written, counted_part, foreign, part, patterns};
use super::time::time;
use crate::decode::code::problem;
use crate::decode::field::{check_decimals, check_name};
use crate::decode::file::FileReader;
use crate::decode::layout::array::{Array, Base, Count, Edge};
use crate::decode::layout::claims::{Claims, Sharing};
use crate::decode::layout::place::{Anchor, Order, Place};
use crate::decode::layout::raw::{Of, RawBackfill, RawMessage, RawPart};
use crate::decode::message::{BACKFILL_MAX, STEP_MAX_S};
use crate::domain::reading::Item;

pub(super) fn backfill(
    reader: &mut FileReader<'_>,
    order: Order,
    message: &RawMessage,
    raw: RawBackfill,
) -> Option<Array> {
    let name = raw.name.get_ref().clone();
    let what = format!("backfill `{name}`");
    let span = raw.name.span();
    let item = check_name(reader, &raw.name, raw.unit.as_ref());
    if let Some(item) = item {
        check_array_item(reader, &what, &raw, item);
    }
    let written = Written {
        at: raw.at,
        kind: raw.kind,
        bytes: raw.bytes,
        order: raw.order.unwrap_or(order),
    };
    if !raw.kind.is_count() {
        reader.problem(
            Some(span.clone()),
            problem::FIELD,
            format!("{what} is of a type that does not count from zero up"),
            "write an unsigned type or bcd, and decimals",
        );
        return None;
    }
    let element = part(reader, &span, &what, &written)?;
    let may_have = raw.decimals.is_none() && raw.base.is_none();
    let fraction = fraction(reader, order, &what, raw.fraction.as_ref(), may_have)?;
    let count = count(reader, order, &what, &raw)?;
    let own_size = element.place.size + fraction.map_or(0, |(part, _)| part.place.size);
    let stride = raw.stride.as_ref().map_or(own_size, |s| *s.get_ref());
    if !(own_size..=SIZE_MAX).contains(&stride) {
        reader.problem(
            Some(
                raw.stride
                    .as_ref()
                    .map_or_else(|| span.clone(), Spanned::span),
            ),
            problem::LAYOUT,
            format!("{what} has a stride of {stride} bytes"),
            format!("write the bytes from one total to the next, at least {own_size}"),
        );
        return None;
    }
    if !(1..=STEP_MAX_S).contains(raw.step_s.get_ref()) {
        reader.problem(
            Some(raw.step_s.span()),
            problem::FIELD,
            format!("{what} has a step of {} s", raw.step_s.get_ref()),
            "write the seconds between totals, 3600 for hours, at most 31 days",
        );
    }
    let edge = edge(reader, order, &what, message, &raw)?;
    let base = match &raw.base {
        Some(written) => Some(base(reader, order, &what, &raw, written)?),
        None => None,
    };
    Some(Array {
        item: item?,
        none: patterns(reader, &raw.none, element.place.size),
        element,
        decimals: raw.decimals.as_ref().map_or(0, |d| *d.get_ref()),
        fraction,
        count,
        stride,
        step_s: raw.step_s.into_inner(),
        newest_first: raw.newest_first,
        edge,
        base,
    })
}

pub(super) fn check_array_item(
    reader: &mut FileReader<'_>,
    what: &str,
    raw: &RawBackfill,
    item: Item,
) {
    if !item.is_exact() {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("{what} is telemetry"),
            "only totals are frozen: total_std or total_work",
        );
    }
    check_decimals(reader, raw.name.get_ref(), raw.decimals.as_ref(), item);
    if let (Some(decimals), Some(_)) = (&raw.decimals, &raw.base)
        && *decimals.get_ref() > 4
    {
        reader.problem(
            Some(decimals.span()),
            problem::FIELD,
            format!(
                "{what} adds up increments of more than four decimals, which are cut one by one"
            ),
            "a total is kept to four decimals; read totals instead of increments",
        );
    }
}

pub(super) fn count(
    reader: &mut FileReader<'_>,
    order: Order,
    what: &str,
    raw: &RawBackfill,
) -> Option<Count> {
    let (most, told) = match (&raw.count, &raw.count_at, &raw.count_max) {
        (Some(count), None, None) => (count, None),
        (None, Some(told), Some(most)) => (most, Some(told)),
        _ => {
            reader.problem(
                Some(raw.name.span()),
                problem::FIELD,
                format!("{what} does not say how many totals it has"),
                "write count where there are always as many, else count_at, where the frame tells it, and count_max",
            );
            return None;
        }
    };
    if !(1..=BACKFILL_MAX).contains(most.get_ref()) {
        reader.problem(
            Some(most.span()),
            problem::FIELD,
            format!("{what} has a count of {}", most.get_ref()),
            format!("write 1 to {BACKFILL_MAX}"),
        );
        return None;
    }
    let most = *most.get_ref();
    Some(match told {
        None => Count::Fixed(most),
        Some(written) => {
            let label = format!("the count of {what}");
            foreign(reader, &label, written, &[]);
            Count::Told {
                part: counted_part(reader, order, &label, written)?,
                most,
            }
        }
    })
}

pub(super) fn edge(
    reader: &mut FileReader<'_>,
    order: Order,
    what: &str,
    message: &RawMessage,
    raw: &RawBackfill,
) -> Option<Edge> {
    let (label, written) = match (&raw.first, &raw.last) {
        (Some(first), None) => (format!("first of {what}"), first),
        (None, Some(last)) => (format!("last of {what}"), last),
        _ => {
            reader.problem(
                Some(raw.name.span()),
                problem::FIELD,
                format!("{what} does not say of which instant it is"),
                "write first, the time of the oldest total, or last, that of the newest",
            );
            return None;
        }
    };
    if written.get_ref().of == Some(Of::Clock) && message.clock.is_none() {
        reader.problem(
            Some(written.span()),
            problem::LAYOUT,
            format!("{label} is counted from a clock the message does not have"),
            "add clock to the message, or write of = \"time\"",
        );
        return None;
    }
    if written.get_ref().of == Some(Of::Time) && message.time.is_none() {
        reader.problem(
            Some(written.span()),
            problem::LAYOUT,
            format!("{label} is counted from a time the message does not have; the time of arrival is none of the meter's"),
            "add time to the message, or say where in the frame the array's time is",
        );
        return None;
    }
    let time = time(reader, order, &label, written)?;
    Some(if raw.first.is_some() {
        Edge::First(time)
    } else {
        Edge::Last(time)
    })
}

pub(super) fn base(
    reader: &mut FileReader<'_>,
    order: Order,
    what: &str,
    raw: &RawBackfill,
    written: &Spanned<RawPart>,
) -> Option<Base> {
    let label = format!("the base of {what}");
    foreign(reader, &label, written, &["decimals", "is"]);
    let Some(is) = written.get_ref().is else {
        reader.problem(
            Some(written.span()),
            problem::FIELD,
            format!("{label} does not say which total it is"),
            "add is = \"before\" (a step before the first) or \"after\" (that of the last)",
        );
        return None;
    };
    let decimals = written
        .get_ref()
        .decimals
        .or(raw.decimals.as_ref().map(|d| *d.get_ref()))
        .unwrap_or(0);
    Some(Base {
        part: counted_part(reader, order, &label, written)?,
        decimals,
        is,
    })
}

/// Where the records begin whose number the frame tells. There is one run of them.
pub(super) fn told_from(
    reader: &mut FileReader<'_>,
    arrays: &[(Range<usize>, Array)],
) -> Option<usize> {
    let told: Vec<_> = arrays
        .iter()
        .filter(|(_, a)| matches!(a.count, Count::Told { .. }))
        .collect();
    let (_, first) = told.first()?;
    let start = |array: &Array| match array.element.place.at {
        Anchor::Start(at) => Some(at),
        Anchor::End(_) => None,
    };
    let from = told.iter().filter_map(|(_, a)| start(a)).min();
    // What each record holds, byte by byte.
    let mut taken: Vec<Range<usize>> = Vec::new();
    for (span, array) in &told {
        let places =
            std::iter::once(array.element.place).chain(array.fraction.map(|(part, _)| part.place));
        let mut is_beside = array.count == first.count && array.stride == first.stride;
        for place in places {
            let at = match place.at {
                Anchor::Start(at) => at,
                Anchor::End(_) => usize::MAX,
            };
            let end = at.saturating_add(place.size);
            is_beside = is_beside
                && from.is_some_and(|from| at >= from && end <= from + first.stride)
                && taken
                    .iter()
                    .all(|other| end <= other.start || other.end <= at);
            taken.push(at..end);
        }
        if !is_beside {
            reader.problem(
                Some(span.clone()),
                problem::LAYOUT,
                "arrays whose length the frame tells do not lie side by side in one run of records",
                "give them the same count_at, count_max and stride, and places within the first record counted from the start",
            );
        }
    }
    from
}

pub(super) fn claim_array(
    reader: &mut FileReader<'_>,
    claims: &mut Claims,
    span: &Range<usize>,
    array: &Array,
    told_from: Option<usize>,
) {
    let (Edge::First(time) | Edge::Last(time)) = &array.edge;
    if let Some(place) = time.place() {
        claims.place(
            reader,
            span,
            "the time of a backfill",
            place,
            Sharing::Shared,
        );
    }
    match array.count {
        Count::Told { part, .. } => {
            claims.place(
                reader,
                span,
                "the count of a backfill",
                part.place,
                Sharing::Shared,
            );
            if told_from.is_some_and(|from| from > claims.size()) {
                reader.problem(
                    Some(span.clone()),
                    problem::LAYOUT,
                    "backfill begins beyond the end of the frame",
                    "correct at or the message's size, which does not count these totals",
                );
            }
        }
        Count::Fixed(count) => {
            let mut places = vec![array.element.place];
            places.extend(array.fraction.map(|(part, _)| part.place));
            for (index, place) in (0..count).flat_map(|i| places.iter().map(move |p| (i, *p))) {
                let shift = index.saturating_mul(array.stride);
                let at = match place.at {
                    Anchor::Start(at) => Some(Anchor::Start(at.saturating_add(shift))),
                    Anchor::End(back) => back
                        .checked_sub(shift)
                        .filter(|back| *back >= place.size)
                        .map(Anchor::End),
                };
                let Some(at) = at else {
                    reader.problem(
                        Some(span.clone()),
                        problem::LAYOUT,
                        format!("backfill of {count} totals runs beyond the end of the frame"),
                        "correct at, count or stride",
                    );
                    return;
                };
                if !claims.place(
                    reader,
                    span,
                    "backfill",
                    Place { at, ..place },
                    Sharing::Alone,
                ) {
                    return;
                }
            }
        }
    }
    // A base may be a field's own place; that it is in the frame is enough.
    if let Some(base) = &array.base {
        claims.within(reader, span, "the base of a backfill", base.part.place);
    }
}
