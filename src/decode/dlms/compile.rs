//! From the tables of a profile to the codec.

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

use crate::decode::code::problem;
use crate::decode::dlms::cipher::Protection;
use crate::decode::dlms::frame::Framing;
use crate::decode::dlms::frozen::{Column, Rows};
use crate::decode::dlms::object::{Attribute, Layout};
use crate::decode::dlms::{Clock, DlmsCodec, GasDayStart, Name, ObjectField, Source};
use crate::decode::field::{AlarmBits, Field, check_decimals, check_name, fields_of, foreign_keys};
use crate::decode::file::{FileReader, RawAlarm, RawField};
use crate::decode::time;
use crate::domain::key::DeviceKey;

/// How an attribute is written.
const ATTRIBUTE_REMEDY: &str =
    "write for example \"7-0:13.2.0\", or with another attribute than 2 \"0-0:96.3.10/3\"";

/// Rows of a load profile are a month apart at most.
const STEP_MAX_S: u32 = 31 * 86_400;

/// `[dlms]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDlms {
    framing: Framing,
    layout: Spanned<RawLayout>,
    #[serde(default)]
    objects: Vec<Spanned<String>>,
    #[serde(default)]
    skip: usize,
    time: Option<Spanned<String>>,
    utc_offset: Option<Spanned<String>>,
    #[serde(default)]
    deviation_inverted: bool,
    device: Option<Spanned<String>>,
    #[serde(default)]
    protection: Protection,
    published_authentication_key: Option<Spanned<String>>,
    gas_day: Option<Spanned<RawGasDay>>,
    #[serde(default)]
    frozen: Vec<Spanned<RawRows>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawLayout {
    Described,
    Pairs,
    Positions,
}

/// `gas_day = { at, start, mismatch }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGasDay {
    at: Spanned<String>,
    start: Spanned<String>,
    mismatch: Mismatch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mismatch {
    Reject,
    Flag,
}

/// `[[dlms.frozen]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRows {
    at: Spanned<String>,
    step_s: Spanned<u32>,
    columns: Vec<Spanned<RawColumn>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumn {
    at: Spanned<String>,
    name: Option<Spanned<String>>,
    unit: Option<Spanned<String>>,
    decimals: Option<Spanned<i8>>,
    #[serde(default)]
    time: bool,
}

/// Reads `[dlms]`, `[[field]]` and `[[alarm]]`.
pub(in crate::decode) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<DlmsCodec> {
    let raw: Option<RawDlms> = reader.required(
        table,
        "dlms",
        "add [dlms] with framing = \"wrapper\", \"hdlc\" or \"apdu\" and layout = \"described\", \"pairs\" or \"positions\"",
    );
    let fields = fields_of(reader, table, field, |f: &ObjectField| f.field.item);
    let mut alarms = Vec::new();
    for (span, raw) in reader.all::<RawAlarm>(table, "alarm") {
        match raw
            .at
            .as_ref()
            .and_then(|at| Attribute::parse(at.get_ref()))
        {
            Some(at) if raw.texts.is_empty() => {
                alarms.push((at, AlarmBits::check(reader, &raw.bits, 64)));
            }
            _ => reader.problem(
                Some(span),
                problem::FIELD,
                "alarm of a COSEM message is at no object",
                "write at = \"0-0:97.98.0\" and bits",
            ),
        }
    }
    let raw = raw?;
    let frozen: Vec<Rows> = raw.frozen.iter().filter_map(|r| rows(reader, r)).collect();
    if reader.is_clean() && fields.is_empty() && frozen.is_empty() {
        reader.problem(
            Some(0..0),
            problem::VALUE,
            "profile has no field",
            "add [[field]] with name, unit and at = \"7-0:13.2.0\", or [[dlms.frozen]]",
        );
    }
    let unspecified = raw
        .utc_offset
        .as_ref()
        .and_then(|text| time::offset(reader, text));
    Some(DlmsCodec {
        framing: raw.framing,
        protection: raw.protection,
        published_key: published_key(reader, raw.published_authentication_key.as_ref()),
        layout: layout(reader, &raw)?,
        device: match raw.device.as_ref().map(|d| d.get_ref().as_str()) {
            None => Name::Transport,
            Some("system_title") => Name::SystemTitle,
            Some(_) => Name::Object(attribute(reader, raw.device.as_ref()?)?),
        },
        time: match raw.time.as_ref().map(|t| t.get_ref().as_str()) {
            None | Some("notification") => Source::Notification,
            Some("received") => Source::Received,
            Some(_) => Source::Object(attribute(reader, raw.time.as_ref()?)?),
        },
        clock: Clock {
            unspecified,
            is_inverted: raw.deviation_inverted,
        },
        gas_day: match &raw.gas_day {
            Some(raw) => Some(gas_day(reader, raw.get_ref())?),
            None => None,
        },
        fields,
        alarms,
        frozen,
    })
}

fn attribute(reader: &mut FileReader<'_>, text: &Spanned<String>) -> Option<Attribute> {
    let parsed = Attribute::parse(text.get_ref());
    if parsed.is_none() {
        reader.problem(
            Some(text.span()),
            problem::VALUE,
            format!("`{}` is no OBIS code", text.get_ref()),
            ATTRIBUTE_REMEDY,
        );
    }
    parsed
}

fn published_key(reader: &mut FileReader<'_>, text: Option<&Spanned<String>>) -> Option<DeviceKey> {
    let text = text?;
    let key = DeviceKey::from_hex(text.get_ref());
    if key.is_none() {
        reader.problem(
            Some(text.span()),
            problem::VALUE,
            "published_authentication_key is no AES-128 key",
            "write 32 hexadecimal digits; a key that is secret belongs in the file of keys",
        );
    }
    key
}

fn layout(reader: &mut FileReader<'_>, raw: &RawDlms) -> Option<Layout> {
    let kind = *raw.layout.get_ref();
    let is_by_place = kind == RawLayout::Positions;
    if is_by_place == raw.objects.is_empty() || (raw.skip > 0 && kind != RawLayout::Pairs) {
        reader.problem(
            Some(raw.layout.span()),
            problem::VALUE,
            "layout does not go with objects or skip",
            "layout positions needs objects, one for each element, \"\" for one that is read over; skip goes with pairs",
        );
        return None;
    }
    Some(match kind {
        RawLayout::Described => Layout::Described,
        RawLayout::Pairs => Layout::Pairs { skip: raw.skip },
        RawLayout::Positions => {
            let mut places = Vec::with_capacity(raw.objects.len());
            for text in &raw.objects {
                places.push(if text.get_ref().is_empty() {
                    None
                } else {
                    Some(attribute(reader, text)?)
                });
            }
            Layout::Positions(places)
        }
    })
}

fn gas_day(reader: &mut FileReader<'_>, raw: &RawGasDay) -> Option<GasDayStart> {
    let at = attribute(reader, &raw.at)?;
    let time = raw
        .start
        .get_ref()
        .split_once(':')
        .and_then(|(hour, minute)| Some((hour.parse().ok()?, minute.parse().ok()?)))
        .filter(|(hour, minute)| *hour < 24_u8 && *minute < 60_u8);
    let Some((hour, minute)) = time else {
        reader.problem(
            Some(raw.start.span()),
            problem::VALUE,
            format!("`{}` is no time of day", raw.start.get_ref()),
            "write for example \"08:00\"",
        );
        return None;
    };
    Some(GasDayStart {
        at,
        hour,
        minute,
        flags_only: raw.mismatch == Mismatch::Flag,
    })
}

fn rows(reader: &mut FileReader<'_>, raw: &Spanned<RawRows>) -> Option<Rows> {
    let span = raw.span();
    let raw = raw.get_ref();
    let at = attribute(reader, &raw.at);
    if !(1..=STEP_MAX_S).contains(raw.step_s.get_ref()) {
        reader.problem(
            Some(raw.step_s.span()),
            problem::VALUE,
            format!("step_s is {}", raw.step_s.get_ref()),
            "write the seconds between two rows, 3600 or 86400",
        );
        return None;
    }
    let mut columns = Vec::with_capacity(raw.columns.len());
    for written in &raw.columns {
        columns.push(column(reader, written.get_ref())?);
    }
    let times = columns.iter().filter(|c| **c == Column::Time).count();
    let totals = columns
        .iter()
        .filter(|c| matches!(c, Column::Total { .. }))
        .count();
    if times != 1 || totals == 0 {
        reader.problem(
            Some(span),
            problem::VALUE,
            "frozen rows need one column of times and a total",
            "write columns = [{ at = \"0-0:1.0.0\", time = true }, { at = \"7-0:13.2.0\", name = \"total_std\", unit = \"m3\", decimals = 3 }]",
        );
    }
    Some(Rows {
        at: at?,
        step_s: *raw.step_s.get_ref(),
        columns,
    })
}

fn column(reader: &mut FileReader<'_>, raw: &RawColumn) -> Option<Column> {
    let at = attribute(reader, &raw.at)?;
    let Some(name) = &raw.name else {
        return Some(if raw.time {
            Column::Time
        } else {
            Column::Other
        });
    };
    let item = check_name(reader, name, raw.unit.as_ref())?;
    check_decimals(reader, name.get_ref(), raw.decimals.as_ref(), item);
    if !item.is_exact() || raw.time {
        reader.problem(
            Some(name.span()),
            problem::FIELD,
            format!("frozen column `{}` is no total", name.get_ref()),
            "name totals only; a column without a name is read over",
        );
        return None;
    }
    check_code(reader, name, item, at);
    let Some(decimals) = &raw.decimals else {
        reader.problem(
            Some(name.span()),
            problem::FIELD,
            format!("frozen column `{}` has no decimals", name.get_ref()),
            "write decimals, the negative of the scaler of its object: rows come without it",
        );
        return None;
    };
    Some(Column::Total {
        item,
        decimals: *decimals.get_ref(),
    })
}

/// Refuses an object that does not hold what it is mapped to.
fn check_code(
    reader: &mut FileReader<'_>,
    name: &Spanned<String>,
    item: crate::domain::reading::Item,
    at: Attribute,
) {
    if let Err(remedy) = at.code.holds(item) {
        reader.problem(
            Some(name.span()),
            problem::FIELD,
            format!(
                "field `{}` is read from {at}, which does not hold it",
                name.get_ref()
            ),
            remedy,
        );
    }
}

fn field(reader: &mut FileReader<'_>, raw: &RawField) -> Option<ObjectField> {
    let name = raw.name.get_ref();
    foreign_keys(reader, "dlms", raw, &["at", "decimals", "mask"]);
    let checked = Field::check(reader, raw);
    let at = if let Some(at) = &raw.at {
        attribute(reader, at)
    } else {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("field `{name}` names no object"),
            ATTRIBUTE_REMEDY,
        );
        None
    };
    let (field, at) = (checked?, at?);
    check_code(reader, &raw.name, field.item, at);
    Some(ObjectField {
        field,
        at,
        decimals: raw.decimals.as_ref().map(|d| *d.get_ref()),
        mask: raw.mask.as_ref().map(|m| *m.get_ref()),
    })
}
