//! From the tables of a profile to the codec `modbus`, with as few requests as its gaps allow.

use std::ops::Range;

use toml::de::DeTable;

use super::device::{DeviceName, NAME_WORDS_MAX};
use super::number::WORDS_MAX;
use super::raw::{ByteOrder, ClockFormat, NameType, RawClock, RawDevice, RawModbus};
use super::{Clock, ModbusCodec, ModbusQuirks, Place, RegisterAlarm, RegisterField};
use crate::decode::code::problem;
use crate::decode::field::in_item_order;
use crate::decode::file::{FileReader, RawAlarm, RawField};
use crate::decode::snapshot::{REGISTERS_MAX, RegisterBlock};

mod fields;

use self::fields::{alarm, field};

/// What registers may be counted from in a manual.
const ADDRESS_BASES: [u16; 4] = [0, 1, 30_001, 40_001];

/// Reads `[modbus]`, `[[field]]` and `[[alarm]]`.
pub(in crate::decode) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<ModbusCodec> {
    let raw_fields = reader.all::<RawField>(table, "field");
    let raw_alarms = reader.all::<RawAlarm>(table, "alarm");
    let raw: RawModbus = reader.required(
        table,
        "modbus",
        "add [modbus], for example with function = 3",
    )?;
    let defaults = Defaults {
        function: raw.function,
        order: raw.order,
        base: raw.address_base,
    };
    check_settings(reader, &raw);

    // Each place with the line that names it, so that a gap in the blocks can be told.
    let mut places: Vec<(Range<usize>, Place)> = Vec::new();
    let checked = raw_fields
        .into_iter()
        .filter_map(|(_, raw)| {
            let span = raw.name.span();
            let field = field(reader, raw, &defaults)?;
            places.push((span.clone(), field.place));
            places.extend(field.fraction.map(|f| (span.clone(), f.place)));
            places.extend(field.high.map(|h| (span.clone(), h.place)));
            Some((span, field))
        })
        .collect();
    let fields = in_item_order(reader, checked, |f: &RegisterField| f.field.item);
    if fields.is_empty() && reader.is_clean() {
        reader.problem(
            Some(0..0),
            problem::VALUE,
            "profile has no field",
            "add [[field]] with name, unit, register and type",
        );
    }
    let alarms: Vec<RegisterAlarm> = raw_alarms
        .into_iter()
        .filter_map(|(span, raw)| {
            let alarm = alarm(reader, &span, &raw, &defaults)?;
            places.push((span, alarm.place));
            Some(alarm)
        })
        .collect();
    let clock = raw.clock.as_ref().map(|clock| {
        let span = clock.span();
        let clock = clock_of(reader, &span, clock.get_ref(), &defaults);
        places.push((span, clock.place));
        clock
    });
    let device = raw.device.as_ref().map(|device| {
        let span = device.span();
        let device = device_of(reader, &span, device.get_ref(), &defaults);
        places.push((span, device.place));
        device
    });
    for (span, place) in &places {
        check_place(reader, span, *place, raw.registers_max);
    }
    let blocks = if raw.block.is_empty() {
        // A total whose parts come from two requests could be torn by a carry between them.
        let together = fields.iter().filter_map(RegisterField::hull);
        let places: Vec<Place> = places.iter().map(|(_, p)| *p).chain(together).collect();
        coalesce(&places, raw.gap_max, raw.registers_max)
    } else {
        let blocks: Vec<RegisterBlock> = raw
            .block
            .iter()
            .map(|block| {
                let written = block.get_ref();
                RegisterBlock {
                    function: written.function.unwrap_or(raw.function),
                    start: defaults.wire(reader, &block.span(), written.start),
                    count: written.count,
                }
            })
            .collect();
        check_blocks(reader, &raw, &blocks, &places);
        blocks
    };
    check_torn(reader, &fields, &blocks);
    Some(ModbusCodec {
        blocks,
        quirks: ModbusQuirks {
            pause_ms: raw.pause_ms,
            timeout_ms: raw.timeout_ms,
            retry_exceptions: raw.retry_exceptions,
        },
        fields,
        alarms,
        clock,
        device,
    })
}

struct Defaults {
    function: u8,
    order: ByteOrder,
    base: u16,
}

impl Defaults {
    /// A register as the protocol counts it, from one as the manual does.
    fn wire(&self, reader: &mut FileReader<'_>, span: &Range<usize>, written: u16) -> u16 {
        written.checked_sub(self.base).unwrap_or_else(|| {
            reader.problem(
                Some(span.clone()),
                problem::REGISTERS,
                format!(
                    "register {written} is below modbus.address_base {}",
                    self.base
                ),
                "write registers as the manual counts them, or correct address_base",
            );
            0
        })
    }
}

impl RegisterField {
    /// The registers of a value in several parts, from the first to the last.
    fn hull(&self) -> Option<Place> {
        let parts = [self.fraction.map(|f| f.place), self.high.map(|h| h.place)];
        let end = |p: Place| u32::from(p.start) + u32::from(p.count);
        let all = || parts.into_iter().flatten().chain([self.place]);
        if parts.iter().all(Option::is_none) {
            return None;
        }
        let start = all().map(|p| p.start).min()?;
        let count = all().map(end).max()? - u32::from(start);
        Some(Place {
            start,
            count: u16::try_from(count).ok()?,
            ..self.place
        })
    }
}

/// All parts of a total must come from one request.
fn check_torn(reader: &mut FileReader<'_>, fields: &[RegisterField], blocks: &[RegisterBlock]) {
    for field in fields {
        let Some(hull) = field.hull() else { continue };
        if !blocks
            .iter()
            .any(|b| b.covers(hull.function, hull.start, hull.count))
        {
            reader.problem(
                Some(0..0),
                problem::REGISTERS,
                format!(
                    "the parts of `{}` in registers {} to {} are not read in one request, so that a carry between two could tear them",
                    field.field.item.key(),
                    hull.start,
                    u32::from(hull.start) + u32::from(hull.count) - 1
                ),
                "raise modbus.registers_max, or let one [[modbus.block]] hold them all",
            );
        }
    }
}

fn check_settings(reader: &mut FileReader<'_>, raw: &RawModbus) {
    if !(1..=4).contains(&raw.function) {
        reader.problem(
            Some(0..0),
            problem::REGISTERS,
            format!("modbus.function is {}", raw.function),
            "write 1 to 4; nothing here writes to a meter",
        );
    }
    if !(1..=REGISTERS_MAX).contains(&raw.registers_max) {
        reader.problem(
            Some(0..0),
            problem::REGISTERS,
            format!("modbus.registers_max is {}", raw.registers_max),
            format!("write 1 to {REGISTERS_MAX}"),
        );
    }
    if !ADDRESS_BASES.contains(&raw.address_base) {
        reader.problem(
            Some(0..0),
            problem::REGISTERS,
            format!("modbus.address_base is {}", raw.address_base),
            "write 0 where registers are counted as the protocol does, 1, 30001 or 40001 as the manual does",
        );
    }
    if raw
        .timeout_ms
        .is_some_and(|ms| !(50..=60_000).contains(&ms))
    {
        reader.problem(
            Some(0..0),
            problem::REGISTERS,
            "modbus.timeout_ms is not from 50 to 60000".to_owned(),
            "write how long the model may take to answer, or leave it out",
        );
    }
    if raw.pause_ms > 10_000 {
        reader.problem(
            Some(0..0),
            problem::REGISTERS,
            format!("modbus.pause_ms is {}", raw.pause_ms),
            "write at most 10000",
        );
    }
}

fn check_place(reader: &mut FileReader<'_>, span: &Range<usize>, place: Place, registers_max: u16) {
    if place.count > registers_max {
        reader.problem(
            Some(span.clone()),
            problem::REGISTERS,
            format!(
                "{} registers do not fit one request of {registers_max}",
                place.count
            ),
            "raise modbus.registers_max",
        );
    }
    if let ByteOrder::Other(order) = place.order
        && order.len() != 2 * usize::from(place.count)
    {
        reader.problem(
            Some(span.clone()),
            problem::REGISTERS,
            format!(
                "a byte order of {} letters does not fit {} registers",
                order.len(),
                place.count
            ),
            "write two letters for each register, or one of ABCD, CDAB, BADC and DCBA, which fit any number",
        );
    }
    if !(1..=4).contains(&place.function) {
        reader.problem(
            Some(span.clone()),
            problem::REGISTERS,
            format!("function is {}", place.function),
            "write 1 to 4; nothing here writes to a meter",
        );
    }
    if u32::from(place.start) + u32::from(place.count) > 0x1_0000 {
        reader.problem(
            Some(span.clone()),
            problem::REGISTERS,
            format!(
                "{} registers from {} end beyond register 65535",
                place.count, place.start
            ),
            "correct the register; they are counted from 0, without a 40001 prefix",
        );
    }
}

fn check_blocks(
    reader: &mut FileReader<'_>,
    raw: &RawModbus,
    blocks: &[RegisterBlock],
    places: &[(Range<usize>, Place)],
) {
    for (written, block) in raw.block.iter().zip(blocks) {
        if !(1..=raw.registers_max.min(REGISTERS_MAX)).contains(&block.count)
            || !(1..=4).contains(&block.function)
            || u32::from(block.start) + u32::from(block.count) > 0x1_0000
        {
            reader.problem(
                Some(written.span()),
                problem::REGISTERS,
                format!(
                    "block has function {}, start {}, count {}",
                    block.function, block.start, block.count
                ),
                format!(
                    "write function 1 to 4 and 1 to {} registers",
                    raw.registers_max
                ),
            );
        }
    }
    for (span, place) in places {
        if !blocks
            .iter()
            .any(|b| b.covers(place.function, place.start, place.count))
        {
            reader.problem(
                Some(span.clone()),
                problem::REGISTERS,
                format!(
                    "no block reads registers {} to {} of function {}",
                    place.start,
                    u32::from(place.start) + u32::from(place.count) - 1,
                    place.function
                ),
                "widen a [[modbus.block]], or remove all of them to have them computed",
            );
        }
    }
}

/// As few requests as gaps and sizes allow.
pub(super) fn coalesce(places: &[Place], gap_max: u16, registers_max: u16) -> Vec<RegisterBlock> {
    let mut spans: Vec<(u8, u32, u32)> = places
        .iter()
        .map(|p| {
            let start = u32::from(p.start);
            (p.function, start, start + u32::from(p.count))
        })
        .collect();
    spans.sort_unstable();
    let mut runs: Vec<(u8, u32, u32)> = Vec::new();
    for (function, start, end) in spans {
        match runs.last_mut() {
            Some((f, from, to))
                if *f == function
                    && start <= *to + u32::from(gap_max)
                    && end.max(*to) - *from <= u32::from(registers_max) =>
            {
                *to = end.max(*to);
            }
            _ => runs.push((function, start, end)),
        }
    }
    runs.into_iter()
        .map(|(function, start, end)| RegisterBlock {
            function,
            start: u16::try_from(start).unwrap_or(u16::MAX),
            count: u16::try_from(end - start).unwrap_or(u16::MAX),
        })
        .collect()
}

fn device_of(
    reader: &mut FileReader<'_>,
    span: &Range<usize>,
    raw: &RawDevice,
    defaults: &Defaults,
) -> DeviceName {
    let words_max = if raw.kind == NameType::Number {
        WORDS_MAX
    } else {
        NAME_WORDS_MAX
    };
    if !(1..=words_max).contains(&raw.words) {
        reader.problem(
            Some(span.clone()),
            problem::REGISTERS,
            format!("modbus.device has {} words", raw.words),
            format!("write 1 to {words_max}"),
        );
    }
    DeviceName {
        place: Place {
            function: raw.function.unwrap_or(defaults.function),
            start: defaults.wire(reader, span, raw.register),
            count: raw.words,
            // The order of a number says nothing of text.
            order: match raw.kind {
                NameType::Number => raw.order.unwrap_or(defaults.order),
                NameType::Ascii | NameType::Bcd => raw.order.unwrap_or_default(),
            },
        },
        kind: raw.kind,
        bytes: raw.bytes,
    }
}

fn clock_of(
    reader: &mut FileReader<'_>,
    span: &Range<usize>,
    raw: &RawClock,
    defaults: &Defaults,
) -> Clock {
    Clock {
        place: Place {
            function: raw.function.unwrap_or(defaults.function),
            start: defaults.wire(reader, span, raw.register),
            count: match raw.format {
                ClockFormat::Bcd => 3,
                ClockFormat::Fields => 6,
                ClockFormat::UnixS => 2,
            },
            // The order of a number says nothing of a list of fields.
            order: match raw.format {
                ClockFormat::UnixS => raw.order.unwrap_or(defaults.order),
                ClockFormat::Bcd | ClockFormat::Fields => raw.order.unwrap_or_default(),
            },
        },
        format: raw.format,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(function: u8, start: u16, count: u16) -> Place {
        Place {
            function,
            start,
            count,
            order: ByteOrder::Abcd,
        }
    }

    fn runs(places: &[Place], gap_max: u16, registers_max: u16) -> Vec<(u8, u16, u16)> {
        coalesce(places, gap_max, registers_max)
            .into_iter()
            .map(|b| (b.function, b.start, b.count))
            .collect()
    }

    #[test]
    fn near_registers_share_a_request_and_far_ones_do_not() {
        let places = [
            place(3, 30, 2),
            place(3, 10, 2),
            place(3, 14, 2),
            place(4, 12, 2),
        ];
        assert_eq!(runs(&places, 2, 125), [(3, 10, 6), (3, 30, 2), (4, 12, 2)]);
        assert_eq!(runs(&places, 100, 125), [(3, 10, 22), (4, 12, 2)]);
        assert_eq!(runs(&places, 100, 8), [(3, 10, 6), (3, 30, 2), (4, 12, 2)]);
    }

    #[test]
    fn a_field_inside_another_adds_nothing() {
        assert_eq!(runs(&[place(3, 0, 4), place(3, 1, 1)], 0, 125), [(3, 0, 4)]);
    }

    #[test]
    fn the_last_register_is_reached() {
        assert_eq!(runs(&[place(3, 65_532, 4)], 8, 125), [(3, 65_532, 4)]);
    }
}
