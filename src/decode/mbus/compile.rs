//! `[mbus]`, `[[field]]`, `[[frozen]]` and `[[alarm]]` of the codecs `mbus` and `wmbus`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

use crate::decode::code::problem;
use crate::decode::field::{AlarmBits, Field, check_name, in_item_order};
use crate::decode::file::{FileReader, RawAlarm};
use crate::decode::mbus::address::{DeviceForm, manufacturer_of};
use crate::decode::mbus::application::{
    Application, FrozenField, RecordField, Selector, StampSelector,
};
use crate::decode::mbus::layers::Policy;
use crate::decode::mbus::record::Function;
use crate::decode::mbus::stamp::{StampType, Zone};
use crate::decode::mbus::vib::{Conditions, Direction, Quantity};
use crate::domain::reading::Item;

/// Device type of gas meters.
const GAS: u8 = 0x03;
/// Beijing time.
const OFFSET_MIN: i64 = 480;
/// Totals in one frozen array at most.
const FROZEN_MAX: u32 = 256;

/// `[mbus]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMbus {
    #[serde(default)]
    device: DeviceForm,
    medium: Option<Vec<u8>>,
    manufacturer: Option<Spanned<String>>,
    #[serde(default)]
    version: Vec<u8>,
    time: Option<RawStamp>,
    clock: Option<RawStamp>,
    #[serde(default)]
    age: Option<Spanned<bool>>,
    utc_offset_min: Option<Spanned<i64>>,
    #[serde(default)]
    partial: bool,
    #[serde(default)]
    decrypted: bool,
    #[serde(default)]
    trailer_bytes: usize,
}

/// Which record holds a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStamp {
    #[serde(default)]
    storage: u64,
    #[serde(default)]
    tariff: u32,
    #[serde(default)]
    subunit: u16,
    #[serde(rename = "type")]
    kind: Option<StampType>,
    date_plus_s: Option<u32>,
}

impl RawStamp {
    fn selector(&self) -> StampSelector {
        StampSelector {
            storage: self.storage,
            tariff: self.tariff,
            subunit: self.subunit,
            kind: self.kind,
            date_plus_s: self.date_plus_s,
        }
    }
}

/// A `[[field]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecordField {
    name: Spanned<String>,
    unit: Option<Spanned<String>>,
    #[serde(default)]
    optional: bool,
    vif: Spanned<Quantity>,
    #[serde(default)]
    storage: u64,
    #[serde(default)]
    tariff: u32,
    #[serde(default)]
    subunit: u16,
    function: Option<Function>,
    #[serde(default)]
    conditions: Conditions,
    #[serde(default)]
    direction: Direction,
    mask: Option<Spanned<u64>>,
    values: Option<Spanned<BTreeMap<String, f64>>>,
    #[serde(default)]
    inexact: bool,
}

/// A `[[frozen]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFrozenField {
    name: Spanned<String>,
    unit: Option<Spanned<String>>,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    compact: bool,
    storage: Spanned<u64>,
    count: Option<Spanned<u32>>,
    #[serde(default)]
    tariff: u32,
    #[serde(default)]
    subunit: u16,
    #[serde(default)]
    conditions: Conditions,
    #[serde(default)]
    direction: Direction,
    step_s: Option<Spanned<u32>>,
    #[serde(default)]
    newest_first: bool,
    date_plus_s: Option<u32>,
}

/// Reads what both codecs share.
pub(in crate::decode) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<Application> {
    let raw: RawMbus = match table.remove("mbus") {
        Some(value) => reader.read(value)?,
        None => RawMbus::default(),
    };
    let manufacturer = raw
        .manufacturer
        .as_ref()
        .and_then(|text| manufacturer(reader, text));
    let zone = Zone {
        offset_min: raw
            .utc_offset_min
            .as_ref()
            .map_or(OFFSET_MIN, |offset| offset_of(reader, offset)),
    };
    let is_aged = raw.age.as_ref().is_some_and(|age| *age.get_ref());
    if let (true, Some(_), Some(age)) = (is_aged, &raw.time, &raw.age) {
        reader.problem(
            Some(age.span()),
            problem::VALUE,
            "the time of the values is said twice",
            "keep time, the meter's own stamp, or age, the time of arrival less the age of the values",
        );
    }
    let fields = fields(reader, table);
    let frozen = frozen_fields(reader, table);
    if fields.is_empty() && frozen.is_empty() && reader.is_clean() {
        reader.problem(
            Some(0..0),
            problem::VALUE,
            "profile has no field",
            "add [[field]] with name, unit and vif, for example vif = \"volume\"",
        );
    }
    let (status, flags) = alarms(reader, table);
    Some(Application {
        policy: Policy {
            form: raw.device,
            is_decrypted: raw.decrypted,
        },
        media: raw.medium.unwrap_or_else(|| vec![GAS]),
        manufacturer,
        versions: raw.version,
        time: raw.time.map(|stamp| stamp.selector()),
        clock: raw.clock.map(|stamp| stamp.selector()),
        is_aged,
        zone,
        takes_partial: raw.partial,
        trailer: raw.trailer_bytes,
        fields,
        frozen,
        status,
        flags,
    })
}

fn manufacturer(reader: &mut FileReader<'_>, text: &Spanned<String>) -> Option<u16> {
    let code = manufacturer_of(text.get_ref());
    if code.is_none() {
        reader.problem(
            Some(text.span()),
            problem::VALUE,
            format!("manufacturer `{}` is no FLAG code", text.get_ref()),
            "write three capital letters, for example ELS",
        );
    }
    code
}

fn offset_of(reader: &mut FileReader<'_>, offset: &Spanned<i64>) -> i64 {
    let minutes = *offset.get_ref();
    if !(-720..=840).contains(&minutes) {
        reader.problem(
            Some(offset.span()),
            problem::VALUE,
            format!("utc_offset_min is {minutes}"),
            "write the minutes the meter's standard time is ahead of UTC, −720 to 840; Beijing is 480",
        );
    }
    minutes
}

fn fields<'t>(reader: &mut FileReader<'t>, table: &mut DeTable<'t>) -> Vec<RecordField> {
    let checked: Vec<(Range<usize>, RecordField)> = reader
        .all::<RawRecordField>(table, "field")
        .into_iter()
        .filter_map(|(_, raw)| field(reader, &raw).map(|field| (raw.name.span(), field)))
        .collect();
    for (index, (span, field)) in checked.iter().enumerate() {
        let earlier = checked
            .iter()
            .take(index)
            .find(|(_, other)| other.selector == field.selector && other.mask == field.mask);
        if let Some((_, other)) = earlier {
            reader.problem(
                Some(span.clone()),
                problem::FIELD,
                format!(
                    "fields `{}` and `{}` take the same record",
                    other.field.item.key(),
                    field.field.item.key()
                ),
                "tell them apart by vif, storage, tariff, subunit, function, conditions or direction",
            );
        }
    }
    in_item_order(reader, checked, |f: &RecordField| f.field.item)
}

fn field(reader: &mut FileReader<'_>, raw: &RawRecordField) -> Option<RecordField> {
    let item = check_name(reader, &raw.name, raw.unit.as_ref())?;
    let name = raw.name.get_ref();
    let quantity = *raw.vif.get_ref();
    if !fits(item, quantity) {
        reader.problem(
            Some(raw.vif.span()),
            problem::FIELD,
            format!("field `{name}` is read from a record of another quantity"),
            format!("write vif = {}", quantities(item)),
        );
    }
    check_conditions(reader, &raw.name, item, raw.conditions);
    let is_bits = is_bits(quantity);
    if let Some(mask) = &raw.mask
        && (!is_bits || *mask.get_ref() == 0)
    {
        reader.problem(
            Some(mask.span()),
            problem::FIELD,
            format!("field `{name}` cannot take this mask"),
            "masks cut bits out of error flags, digital outputs and inputs",
        );
    }
    if let Some(values) = &raw.values
        && (!is_bits || values.get_ref().values().any(|v| !v.is_finite()))
    {
        reader.problem(
            Some(values.span()),
            problem::FIELD,
            format!("field `{name}` has values that cannot stand for states"),
            "use values with error flags, digital outputs and inputs, and finite numbers",
        );
    }
    if item == Item::Valve && raw.values.is_none() {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("field `{name}` does not say which state is which"),
            "add values, for example values = { 0 = 1, 1 = 0 }; the valve is 0 open, 1 closed, 2 fault",
        );
    }
    Some(RecordField {
        field: Field {
            item,
            optional: raw.optional,
            scale: 1.0,
            offset: 0.0,
            states: raw
                .values
                .as_ref()
                .map(|v| v.get_ref().iter().map(|(k, n)| (k.clone(), *n)).collect()),
        },
        selector: Selector {
            quantity,
            function: raw.function.unwrap_or(Function::Instantaneous),
            storage: raw.storage,
            tariff: raw.tariff,
            subunit: raw.subunit,
            conditions: raw.conditions,
            direction: raw.direction,
            per_m3: item == Item::CalorificValue,
        },
        mask: raw.mask.as_ref().map(|mask| *mask.get_ref()),
        takes_float: raw.inexact || !item.is_exact(),
    })
}

/// A working total is not read from a value at base conditions, nor the other way round.
fn check_conditions(
    reader: &mut FileReader<'_>,
    name: &Spanned<String>,
    item: Item,
    conditions: Conditions,
) {
    let wrong = match item {
        Item::TotalStd | Item::TotalStdSecond | Item::FlowStd => conditions == Conditions::Metering,
        Item::TotalWork | Item::TotalWorkSecond | Item::FlowWork => conditions == Conditions::Base,
        _ => false,
    };
    if wrong {
        reader.problem(
            Some(name.span()),
            problem::FIELD,
            format!(
                "field `{}` is read from a record at the other conditions",
                name.get_ref()
            ),
            "metering conditions make working volumes (total_work), base conditions standard ones (total_std)",
        );
    }
}

const fn is_bits(quantity: Quantity) -> bool {
    matches!(
        quantity,
        Quantity::ErrorFlags | Quantity::DigitalOutput | Quantity::DigitalInput
    )
}

const fn fits(item: Item, quantity: Quantity) -> bool {
    match item {
        Item::TotalStd
        | Item::TotalWork
        | Item::TotalDisturbed
        | Item::TotalStdSecond
        | Item::TotalWorkSecond => matches!(quantity, Quantity::Volume),
        Item::FlowStd | Item::FlowWork => matches!(quantity, Quantity::Flow),
        Item::Temperature | Item::BaseTemperature => matches!(
            quantity,
            Quantity::FlowTemperature | Quantity::ReturnTemperature | Quantity::ExternalTemperature
        ),
        Item::PressureAbs | Item::PressureGauge | Item::BasePressure => {
            matches!(quantity, Quantity::Pressure)
        }
        Item::BatteryVoltage => matches!(quantity, Quantity::Voltage),
        Item::CalorificValue => matches!(quantity, Quantity::Energy),
        Item::Rsrp => matches!(quantity, Quantity::Rssi),
        Item::ReportSeq => matches!(quantity, Quantity::AccessNumber | Quantity::Dimensionless),
        Item::Valve => is_bits(quantity),
        _ => matches!(quantity, Quantity::Dimensionless),
    }
}

const fn quantities(item: Item) -> &'static str {
    match item {
        Item::TotalStd
        | Item::TotalWork
        | Item::TotalDisturbed
        | Item::TotalStdSecond
        | Item::TotalWorkSecond => "\"volume\"",
        Item::FlowStd | Item::FlowWork => "\"flow\"",
        Item::Temperature | Item::BaseTemperature => {
            "\"flow_temperature\", \"return_temperature\" or \"external_temperature\""
        }
        Item::PressureAbs | Item::PressureGauge | Item::BasePressure => "\"pressure\"",
        Item::BatteryVoltage => "\"voltage\"",
        Item::CalorificValue => "\"energy\"",
        Item::Rsrp => "\"rssi\"",
        Item::ReportSeq => "\"access_number\" or \"dimensionless\"",
        Item::Valve => "\"digital_output\", \"digital_input\" or \"error_flags\"",
        _ => "\"dimensionless\"",
    }
}

fn frozen_fields<'t>(reader: &mut FileReader<'t>, table: &mut DeTable<'t>) -> Vec<FrozenField> {
    reader
        .all::<RawFrozenField>(table, "frozen")
        .into_iter()
        .filter_map(|(_, raw)| frozen_field(reader, &raw))
        .collect()
}

fn frozen_field(reader: &mut FileReader<'_>, raw: &RawFrozenField) -> Option<FrozenField> {
    let item = check_name(reader, &raw.name, raw.unit.as_ref())?;
    let name = raw.name.get_ref();
    if !item.is_exact() {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("frozen field `{name}` is no total"),
            "only totals are frozen: total_work, total_std, total_disturbed",
        );
        return None;
    }
    check_conditions(reader, &raw.name, item, raw.conditions);
    let count = raw.count.as_ref().map_or(1, |count| *count.get_ref());
    if !(1..=FROZEN_MAX).contains(&count) || (raw.compact && raw.count.is_some()) {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("frozen field `{name}` has a count that cannot be"),
            format!(
                "write 1 to {FROZEN_MAX} storage numbers; a compact profile says itself how many it has"
            ),
        );
        return None;
    }
    let step_s = raw.step_s.as_ref().map(|step| *step.get_ref());
    if step_s == Some(0) || (raw.compact && step_s.is_some()) {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("frozen field `{name}` has a step that cannot be"),
            "write the seconds between storage numbers, or leave step_s out where the telegram says them",
        );
        return None;
    }
    Some(FrozenField {
        item,
        optional: raw.optional,
        is_compact: raw.compact,
        count,
        step_s,
        newest_first: raw.newest_first,
        date_plus_s: raw.date_plus_s,
        selector: Selector {
            quantity: Quantity::Volume,
            function: Function::Instantaneous,
            storage: *raw.storage.get_ref(),
            tariff: raw.tariff,
            subunit: raw.subunit,
            conditions: raw.conditions,
            direction: raw.direction,
            per_m3: false,
        },
    })
}

/// Alarms of the status byte and of the error flags.
fn alarms<'t>(reader: &mut FileReader<'t>, table: &mut DeTable<'t>) -> (AlarmBits, AlarmBits) {
    let (mut status, mut flags) = (AlarmBits::default(), AlarmBits::default());
    for (span, raw) in reader.all::<RawAlarm>(table, "alarm") {
        match raw.at.as_ref().map(|at| at.get_ref().as_str()) {
            Some("status") => status.0.extend(AlarmBits::check(reader, &raw.bits, 8).0),
            Some("error_flags") => flags.0.extend(AlarmBits::check(reader, &raw.bits, 64).0),
            _ => reader.problem(
                Some(span),
                problem::FIELD,
                "alarm is neither of the status byte nor of the error flags",
                "write at = \"status\" or at = \"error_flags\", and bits",
            ),
        }
    }
    (status, flags)
}
