//! The lines of a telegram: header, objects, checksum.

use crate::decode::code::reject;
use crate::decode::dsmr::Measure;
use crate::domain::frame::RejectReason;

/// Telegrams are below 2 kB; one with two long text messages stays below this.
const SIZE_MAX: usize = 16 * 1024;
/// Letters of the maker and the digit of the line's speed.
const HEADER_MIN: usize = 5;

/// What of a telegram matters for gas.
#[derive(Debug)]
pub(super) struct Telegram<'a> {
    /// `0-0:1.0.0`.
    pub(super) stamp: Option<&'a str>,
    channels: [Device<'a>; 10],
}

/// A device the meter reads over M-Bus.
#[derive(Debug, Default)]
pub(super) struct Device<'a> {
    /// `0-n:24.1.0`.
    pub(super) kind: Option<u8>,
    /// `0-n:96.1.0`, in Belgium `0-n:96.1.1`.
    pub(super) name: Option<&'a str>,
    /// `0-n:24.4.0`.
    pub(super) valve: Option<&'a str>,
    totals: [Option<Total<'a>>; Measure::ALL.len()],
}

/// A total as it is written.
#[derive(Debug)]
pub(super) struct Total<'a> {
    pub(super) stamp: &'a str,
    pub(super) value: &'a str,
    pub(super) unit: Option<&'a str>,
    /// Status byte of the M-Bus device; DSMR 2.2 and 3 only.
    pub(super) status: Option<u8>,
}

impl<'a> Device<'a> {
    /// The total of a measure.
    pub(super) fn total(&self, measure: Measure) -> Option<&Total<'a>> {
        self.totals.get(measure as usize)?.as_ref()
    }

    /// Whether there is any.
    pub(super) fn has_totals(&self) -> bool {
        self.totals.iter().any(Option::is_some)
    }
}

impl<'a> Telegram<'a> {
    /// Checks start, end and checksum, and reads the objects of gas. What other devices say is
    /// read over, whatever it is.
    pub(super) fn parse(bytes: &'a [u8], has_checksum: bool) -> Result<Self, RejectReason> {
        let lines = body(bytes, has_checksum)?;
        let mut telegram = Self {
            stamp: None,
            channels: Default::default(),
        };
        // A value of DSMR 2.2 and 3 stands on the line after its object.
        let mut open: Option<Open<'a>> = None;
        for line in lines.split('\n').map(|line| line.trim_end_matches('\r')) {
            if let (Some(object), Some([value])) = (open.take(), groups(line)) {
                telegram.close(&object, value)?;
            } else {
                open = telegram.object(line)?;
            }
        }
        Ok(telegram)
    }

    /// The device on a channel.
    pub(super) fn device(&self, channel: u8) -> Option<&Device<'a>> {
        self.channels.get(usize::from(channel))
    }

    /// Devices by channel.
    pub(super) fn devices(&self) -> impl Iterator<Item = (u8, &Device<'a>)> {
        (0_u8..).zip(&self.channels)
    }

    fn object(&mut self, line: &'a str) -> Result<Option<Open<'a>>, RejectReason> {
        let Some((channel, code, values)) = object(line) else {
            return Ok(None);
        };
        if (channel, code) == (0, "1.0.0") {
            if let Some([stamp]) = groups(values) {
                once(&mut self.stamp, stamp, channel, code)?;
            }
            return Ok(None);
        }
        let Some(device) = self.channels.get_mut(usize::from(channel)) else {
            return Ok(None);
        };
        match code {
            "24.1.0" => {
                if let Some([kind]) = groups(values)
                    && let Ok(kind) = kind.parse()
                {
                    once(&mut device.kind, kind, channel, code)?;
                }
            }
            "96.1.0" | "96.1.1" => {
                if let Some([name]) = groups(values) {
                    device.name.get_or_insert(name);
                }
            }
            "24.4.0" => {
                if let Some([state]) = groups(values) {
                    once(&mut device.valve, state, channel, code)?;
                }
            }
            "24.3.0" => return self.older(channel, values),
            _ => {
                if let (Some(measure), Some([stamp, value])) = (Measure::of(code), groups(values)) {
                    let (value, unit) = match value.split_once('*') {
                        Some((value, unit)) => (value, Some(unit)),
                        None => (value, None),
                    };
                    let total = Total {
                        stamp,
                        value,
                        unit,
                        status: None,
                    };
                    if let Some(place) = device.totals.get_mut(measure as usize) {
                        once(place, total, channel, code)?;
                    }
                }
            }
        }
        Ok(None)
    }

    /// `(stamp)(status)(60)(1)(0-n:24.2.1)(m3)`, the value behind it or on the next line.
    fn older(&mut self, channel: u8, values: &'a str) -> Result<Option<Open<'a>>, RejectReason> {
        let (head, value) = match values.rsplit_once("(m3)") {
            Some((head, value)) => (head, value.trim_start()),
            None => return Ok(None),
        };
        let Some([stamp, status, _period, _count, inner]) = groups(head) else {
            return Ok(None);
        };
        let measure = inner
            .split_once(':')
            .filter(|(of, _)| of.strip_prefix("0-").and_then(|n| n.parse().ok()) == Some(channel))
            .and_then(|(_, code)| Measure::of(code));
        let status = (status.len() == 2)
            .then(|| u8::from_str_radix(status, 16).ok())
            .flatten();
        let (Some(measure), Some(status)) = (measure, status) else {
            return Ok(None);
        };
        let object = Open {
            channel,
            measure,
            stamp,
            status,
        };
        if value.is_empty() {
            return Ok(Some(object));
        }
        if let Some([value]) = groups(value) {
            self.close(&object, value)?;
        }
        Ok(None)
    }

    fn close(&mut self, object: &Open<'a>, value: &'a str) -> Result<(), RejectReason> {
        let total = Total {
            stamp: object.stamp,
            value,
            unit: Some("m3"),
            status: Some(object.status),
        };
        match self
            .channels
            .get_mut(usize::from(object.channel))
            .and_then(|device| device.totals.get_mut(object.measure as usize))
        {
            Some(place) => once(place, total, object.channel, object.measure.code()),
            None => Ok(()),
        }
    }
}

/// An object of which the value is still to come.
struct Open<'a> {
    channel: u8,
    measure: Measure,
    stamp: &'a str,
    status: u8,
}

/// Channel, code and values of an abstract object, `0-n:C.D.E(…)`; electricity is `1-…`.
fn object(line: &str) -> Option<(u8, &str, &str)> {
    let (channel, rest) = line.strip_prefix("0-")?.split_once(':')?;
    let (code, values) = rest.split_at(rest.find('(')?);
    let [digit @ b'0'..=b'9'] = channel.as_bytes() else {
        return None;
    };
    Some((digit - b'0', code, values))
}

/// The lines between start and end of a telegram whose checksum holds.
fn body(bytes: &[u8], has_checksum: bool) -> Result<&str, RejectReason> {
    if bytes.len() > SIZE_MAX {
        return Err(RejectReason::new(
            reject::TOO_LONG,
            format!(
                "telegram has {} bytes; one has at most {SIZE_MAX}",
                bytes.len()
            ),
        ));
    }
    match bytes.first() {
        Some(b'/') => {}
        Some(first) => {
            return Err(RejectReason::new(
                reject::START_BYTE,
                format!("telegram starts with {first:02X}h; expected a slash"),
            ));
        }
        None => return Err(RejectReason::new(reject::TRUNCATED, "telegram is empty")),
    }
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\n!") else {
        return Err(RejectReason::new(
            reject::TRUNCATED,
            "telegram ends before its line with an exclamation mark",
        ));
    };
    let (summed, tail) = bytes.split_at_checked(end + 2).unwrap_or((bytes, &[]));
    let tail = tail.strip_suffix(b"\n").unwrap_or(tail);
    let tail = tail.strip_suffix(b"\r").unwrap_or(tail);
    check_tail(summed, tail, has_checksum)?;
    let lines = summed.get(..end).unwrap_or_default();
    let lines = std::str::from_utf8(lines).map_err(|_| {
        RejectReason::new(
            reject::TELEGRAM,
            "telegram has bytes that are no text; was the line read with seven bits and parity?",
        )
    })?;
    let (header, objects) = lines.split_once('\n').unwrap_or((lines, ""));
    if header.trim_end().len() < HEADER_MIN {
        return Err(RejectReason::new(
            reject::TELEGRAM,
            "telegram's first line names no meter",
        ));
    }
    Ok(objects)
}

fn check_tail(summed: &[u8], tail: &[u8], has_checksum: bool) -> Result<(), RejectReason> {
    if tail.is_empty() {
        return if has_checksum {
            Err(RejectReason::new(
                reject::TRUNCATED,
                "telegram ends before its checksum; for meters of DSMR 2.2 and 3 write checksum = false",
            ))
        } else {
            Ok(())
        };
    }
    let Some((digits, rest)) = tail.split_first_chunk::<4>() else {
        return Err(RejectReason::new(
            reject::TRUNCATED,
            "telegram ends within its checksum",
        ));
    };
    if !rest.is_empty() {
        return Err(RejectReason::new(
            reject::TRAILING,
            format!("{} bytes follow the telegram's checksum", rest.len()),
        ));
    }
    let written = digits.iter().try_fold(0_u16, |sum, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        };
        Some(sum << 4 | u16::from(value))
    });
    let computed = crc16(summed);
    if written == Some(computed) {
        Ok(())
    } else {
        Err(RejectReason::new(
            reject::CHECKSUM,
            format!("telegram's checksum does not match; its bytes give {computed:04X}"),
        ))
    }
}

/// CRC-16/ARC: reversed x¹⁶ + x¹⁵ + x² + 1, from zero, not inverted.
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    let nibble = |crc: u16, nibble: u8| {
        let index = usize::from((crc ^ u16::from(nibble)) & 0x0F);
        (crc >> 4) ^ NIBBLES.get(index).copied().unwrap_or_default()
    };
    bytes
        .iter()
        .fold(0, |crc, byte| nibble(nibble(crc, byte & 0x0F), byte >> 4))
}

/// What four bits add to the checksum.
const NIBBLES: [u16; 16] = [
    0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401, 0xA001, 0x6C00, 0x7800, 0xB401,
    0x5000, 0x9C01, 0x8801, 0x4400,
];

/// Exactly so many groups in parentheses.
fn groups<const N: usize>(text: &str) -> Option<[&str; N]> {
    let mut out = [""; N];
    let mut rest = text;
    for place in &mut out {
        let (group, after) = rest.strip_prefix('(')?.split_once(')')?;
        *place = group;
        rest = after;
    }
    rest.is_empty().then_some(out)
}

fn once<T>(place: &mut Option<T>, value: T, channel: u8, code: &str) -> Result<(), RejectReason> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(RejectReason::new(
            reject::TELEGRAM,
            format!("object 0-{channel}:{code} is there twice"),
        )),
    }
}
