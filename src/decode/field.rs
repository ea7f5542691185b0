//! What the fields of all codecs share: the item, scaling, states.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeTable;

use crate::decode::code::{problem, reject};
use crate::decode::file::{FileReader, RawAlarm, RawField};
use crate::decode::unit::{NameFault, item_of};
use crate::decode::value::{DECIMALS, fault, scaled};
use crate::domain::frame::RejectReason;
use crate::domain::reading::{Alarm, AlarmSet, Item, ItemValue};

/// A field, checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) item: Item,
    pub(super) optional: bool,
    pub(super) scale: f64,
    pub(super) offset: f64,
    /// What the device writes for a state, and the number it stands for.
    pub(super) states: Option<Vec<(String, f64)>>,
}

/// What the fields of all codecs are described by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Described<'r> {
    pub(super) name: &'r toml::Spanned<String>,
    pub(super) unit: Option<&'r toml::Spanned<String>>,
    pub(super) optional: bool,
    pub(super) decimals: Option<&'r toml::Spanned<i8>>,
    pub(super) scale: Option<&'r toml::Spanned<f64>>,
    pub(super) offset: Option<&'r toml::Spanned<f64>>,
    pub(super) values: Option<&'r toml::Spanned<BTreeMap<String, f64>>>,
}

impl<'r> From<&'r RawField> for Described<'r> {
    fn from(raw: &'r RawField) -> Self {
        Self {
            name: &raw.name,
            unit: raw.unit.as_ref(),
            optional: raw.optional,
            decimals: raw.decimals.as_ref(),
            scale: raw.scale.as_ref(),
            offset: raw.offset.as_ref(),
            values: raw.values.as_ref(),
        }
    }
}

impl Field {
    /// Checks name, unit and scaling of a field; problems go to the reader.
    pub(super) fn check<'r>(
        reader: &mut FileReader<'_>,
        raw: impl Into<Described<'r>>,
    ) -> Option<Self> {
        let raw = raw.into();
        let item = check_name(reader, raw.name, raw.unit)?;
        let span = raw.name.span();
        let name = raw.name.get_ref();
        for (what, given) in [("scale", raw.scale), ("offset", raw.offset)] {
            if let Some(number) = given {
                if item.is_exact() {
                    reader.problem(
                        Some(number.span()),
                        problem::FIELD,
                        format!("field `{name}` is exact and cannot take a {what}"),
                        "write decimals, the number of implied decimals",
                    );
                } else if !number.get_ref().is_finite()
                    || (what == "scale" && *number.get_ref() == 0.0)
                {
                    reader.problem(
                        Some(number.span()),
                        problem::FIELD,
                        format!("field `{name}` has a {what} that is zero or not finite"),
                        "write a number",
                    );
                }
            }
        }
        check_decimals(reader, name, raw.decimals, item);
        if let Some(values) = raw.values
            && (item.is_exact() || values.get_ref().values().any(|v| !v.is_finite()))
        {
            reader.problem(
                Some(values.span()),
                problem::FIELD,
                format!("field `{name}` has values that cannot stand for states"),
                "use values with a state such as valve, and finite numbers",
            );
        }
        if item == Item::Valve && raw.values.is_none() {
            reader.problem(
                Some(span),
                problem::FIELD,
                format!("field `{name}` does not say which state is which"),
                "add values, for example values = { open = 0, closed = 1, fault = 2 }",
            );
        }
        Some(Self {
            item,
            optional: raw.optional,
            scale: raw.scale.map_or(1.0, |s| *s.get_ref()),
            offset: raw.offset.map_or(0.0, |s| *s.get_ref()),
            states: raw
                .values
                .map(|v| v.get_ref().iter().map(|(k, n)| (k.clone(), *n)).collect()),
        })
    }

    /// A required field that is not there is a rejection; an optional one is simply absent.
    pub(super) fn absent(
        &self,
        place: impl std::fmt::Display,
    ) -> Result<Option<ItemValue>, RejectReason> {
        if self.optional {
            Ok(None)
        } else {
            Err(fault(
                reject::MISSING,
                self.item,
                format_args!("is missing at {place}"),
            ))
        }
    }

    /// Telemetry of a raw number.
    pub(super) fn float(&self, raw: f64) -> Result<Option<ItemValue>, RejectReason> {
        match scaled(self.item, raw, self.scale, self.offset) {
            Ok(value) => Ok(Some(ItemValue::Float(value))),
            Err(_) if self.optional => Ok(None),
            Err(reason) => Err(reason),
        }
    }

    /// The number a state stands for.
    pub(super) fn state(&self, text: &str) -> Result<Option<ItemValue>, RejectReason> {
        let known = self.states.iter().flatten().find(|(k, _)| k == text);
        match known {
            Some((_, value)) => Ok(Some(ItemValue::Float(*value))),
            None if self.optional => Ok(None),
            None => Err(fault(
                reject::STATE,
                self.item,
                "has a state the profile does not list; add it to values",
            )),
        }
    }
}

/// The item of a name and unit as written.
pub(super) fn check_name(
    reader: &mut FileReader<'_>,
    name: &toml::Spanned<String>,
    unit: Option<&toml::Spanned<String>>,
) -> Option<Item> {
    match item_of(name.get_ref(), unit.map(|u| u.get_ref().as_str())) {
        Ok(item) => Some(item),
        Err(faults) => {
            for found in faults {
                match found {
                    NameFault::Name(message, remedy) => {
                        reader.problem(Some(name.span()), problem::FIELD_NAME, message, remedy);
                    }
                    NameFault::Unit(message, remedy) => {
                        let span = unit.map_or_else(|| name.span(), toml::Spanned::span);
                        reader.problem(Some(span), problem::FIELD_UNIT, message, remedy);
                    }
                }
            }
            None
        }
    }
}

/// Implied decimals belong to exact items and have a range.
pub(super) fn check_decimals(
    reader: &mut FileReader<'_>,
    name: &str,
    decimals: Option<&toml::Spanned<i8>>,
    item: Item,
) {
    let Some(decimals) = decimals else { return };
    if !item.is_exact() {
        reader.problem(
            Some(decimals.span()),
            problem::FIELD,
            format!("field `{name}` is telemetry and takes no decimals"),
            "write scale, for example scale = 0.01",
        );
    } else if !DECIMALS.contains(decimals.get_ref()) {
        reader.problem(
            Some(decimals.span()),
            problem::FIELD,
            format!("field `{name}` has {} decimals", decimals.get_ref()),
            "write a number from -3 (thousands of m³) to 9",
        );
    }
}

/// Tells which keys of a field its codec does not have; `known` are those it has of
/// [`RawField::codec_keys`].
pub(super) fn foreign_keys(
    reader: &mut FileReader<'_>,
    codec: &str,
    raw: &RawField,
    known: &[&str],
) {
    let name = raw.name.get_ref();
    for (key, span) in raw.codec_keys() {
        if !known.contains(&key) {
            foreign_key(reader, codec, &format!("field `{name}`"), key, span);
        }
    }
}

/// Tells that a key is there which its codec does not have.
pub(super) fn foreign_key(
    reader: &mut FileReader<'_>,
    codec: &str,
    what: &str,
    key: &str,
    span: Option<Range<usize>>,
) {
    if let Some(span) = span {
        reader.problem(
            Some(span),
            problem::KEY,
            format!("{what} has `{key}`, which codec {codec} does not know"),
            "remove it",
        );
    }
}

/// Reads each `[[field]]`, checks it as its codec does, and sorts them by item.
pub(super) fn fields_of<'t, F>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
    check: impl Fn(&mut FileReader<'t>, &RawField) -> Option<F>,
    item: impl Fn(&F) -> Item,
) -> Vec<F> {
    let checked = reader
        .all::<RawField>(table, "field")
        .into_iter()
        .filter_map(|(_, raw)| Some((raw.name.span(), check(reader, &raw)?)))
        .collect();
    in_item_order(reader, checked, item)
}

/// Sorts fields by item and tells which item is there twice.
pub(super) fn in_item_order<F>(
    reader: &mut FileReader<'_>,
    mut fields: Vec<(Range<usize>, F)>,
    item: impl Fn(&F) -> Item,
) -> Vec<F> {
    fields.sort_by_key(|(_, field)| item(field));
    for pair in fields.windows(2) {
        if let [(_, first), (span, second)] = pair
            && item(first) == item(second)
        {
            reader.problem(
                Some(span.clone()),
                problem::FIELD,
                format!("field `{}` is there twice", item(second).key()),
                "keep one; a second representation of the standard total is total_std_second",
            );
        }
    }
    fields.into_iter().map(|(_, field)| field).collect()
}

/// Bit numbers to alarms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct AlarmBits(pub(super) Vec<(u32, Alarm)>);

impl AlarmBits {
    /// Reads each `[[alarm]]` of a codec whose only alarms are the bits of a status of `width` bits;
    /// `of` names it in problems: `CJ/T 188 frame`.
    pub(super) fn of_status<'t>(
        reader: &mut FileReader<'t>,
        table: &mut DeTable<'t>,
        of: &str,
        width: u32,
    ) -> Self {
        let mut alarms = Self::default();
        for (span, raw) in reader.all::<RawAlarm>(table, "alarm") {
            let at = raw.at.as_ref().map(|at| at.get_ref().as_str());
            if at != Some("status") || !raw.texts.is_empty() {
                reader.problem(
                    Some(span),
                    problem::FIELD,
                    format!("alarm of a {of} is not at its status"),
                    "write at = \"status\" and bits",
                );
            }
            alarms.0.extend(Self::check(reader, &raw.bits, width).0);
        }
        alarms
    }

    /// Checks bit numbers; `width` bits are there.
    pub(super) fn check(
        reader: &mut FileReader<'_>,
        bits: &std::collections::BTreeMap<toml::Spanned<String>, Alarm>,
        width: u32,
    ) -> Self {
        let mut out = Vec::with_capacity(bits.len());
        for (bit, alarm) in bits {
            match bit.get_ref().parse::<u32>() {
                Ok(number) if number < width => out.push((number, *alarm)),
                _ => reader.problem(
                    Some(bit.span()),
                    problem::FIELD,
                    format!("alarm bit `{}` is none of {width} bits", bit.get_ref()),
                    format!("write a number from 0 (least significant) to {}", width - 1),
                ),
            }
        }
        out.sort_unstable();
        Self(out)
    }

    /// The alarms of a word.
    pub(super) fn alarms(&self, word: u64) -> AlarmSet {
        self.0
            .iter()
            .filter(|(bit, _)| word >> bit & 1 == 1)
            .fold(AlarmSet::default(), |set, (_, alarm)| set.with(*alarm))
    }
}
