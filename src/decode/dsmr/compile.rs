//! From the tables of a profile to the codec.

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

use crate::decode::code::problem;
use crate::decode::dsmr::{DsmrCodec, Measure, Part, TelegramField};
use crate::decode::field::{AlarmBits, Field, fields_of, foreign_keys};
use crate::decode::file::{FileReader, RawField};
use crate::decode::time;
use crate::domain::reading::Item;

/// `[dsmr]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDsmr {
    #[serde(default = "yes")]
    checksum: bool,
    utc_offset: Option<Spanned<String>>,
    channel: Option<Spanned<u8>>,
}

const fn yes() -> bool {
    true
}

/// Reads `[dsmr]`, `[[field]]` and `[[alarm]]`.
pub(in crate::decode) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<DsmrCodec> {
    let raw: RawDsmr = match table.remove("dsmr") {
        Some(value) => reader.read(value)?,
        None => RawDsmr {
            checksum: true,
            utc_offset: None,
            channel: None,
        },
    };
    let unmarked = raw
        .utc_offset
        .as_ref()
        .and_then(|text| time::offset(reader, text));
    if let Some(channel) = &raw.channel
        && !(1..=9).contains(channel.get_ref())
    {
        reader.problem(
            Some(channel.span()),
            problem::VALUE,
            format!("channel {} is none of a P1 port", channel.get_ref()),
            "write 1 to 9, or leave it out to take the channel of the gas meter",
        );
    }
    let fields = fields_of(reader, table, field, |f: &TelegramField| f.field.item);
    if reader.is_clean() && !fields.iter().any(|f| matches!(f.part, Part::Total(_))) {
        reader.problem(
            Some(0..0),
            problem::VALUE,
            "profile has no total",
            "add [[field]] with name, unit and at = \"24.2.1\" or \"24.2.3\"",
        );
    }
    let alarms = AlarmBits::of_status(reader, table, "P1 telegram", 8);
    Some(DsmrCodec {
        has_checksum: raw.checksum,
        unmarked,
        channel: raw.channel.map(Spanned::into_inner),
        fields,
        alarms,
    })
}

fn field(reader: &mut FileReader<'_>, raw: &RawField) -> Option<TelegramField> {
    let name = raw.name.get_ref();
    foreign_keys(reader, "dsmr", raw, &["at"]);
    let checked = Field::check(reader, raw);
    let at = raw.at.as_ref();
    let part = match at.map(|at| at.get_ref().as_str()) {
        Some("24.4.0") => Part::Valve,
        code => {
            let Some(measure) = code.and_then(Measure::of) else {
                reader.problem(
                    Some(at.map_or_else(|| raw.name.span(), Spanned::span)),
                    problem::FIELD,
                    format!("field `{name}` names no object of a gas meter"),
                    "write at = \"24.2.1\", \"24.2.3\", \"24.2.0\" or \"24.4.0\"",
                );
                return None;
            };
            Part::Total(measure)
        }
    };
    let field = checked?;
    let (fits, remedy) = match part {
        Part::Valve => (field.item == Item::Valve, "read valve from 24.4.0"),
        Part::Total(Measure::Unconverted) => (
            field.item == Item::TotalWork,
            "24.2.3 is not converted: read total_work from it",
        ),
        Part::Total(Measure::Any | Measure::Converted) => (
            matches!(field.item, Item::TotalWork | Item::TotalStd),
            "read total_work, or total_std if the meter converts, from it",
        ),
    };
    if !fits {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("field `{name}` is read from an object that does not hold it"),
            remedy,
        );
    }
    Some(TelegramField { field, part })
}
