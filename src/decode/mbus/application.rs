//! From data records to a reading: which record is which field.

use chrono::{DateTime, TimeDelta, Utc};

use crate::decode::code::reject;
use crate::decode::context::DecodeContext;
use crate::decode::field::{AlarmBits, Field};
use crate::decode::mbus::address::{Address, letters};
use crate::decode::mbus::layers::{Policy, Telegram};
use crate::decode::mbus::load_profile;
use crate::decode::mbus::record::{Function, NoNumber, Number, Order, Record, Records};
use crate::decode::mbus::stamp::{StampType, Zone, stamp, stamp_type};
use crate::decode::mbus::vib::{Conditions, Direction, Quantity, Vib, error_text};
use crate::decode::value::{exact_from_count, exact_from_double, fault};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::reading::{Alarm, AlarmSet, Decoded, FrozenTotals, Item, ItemValue};

/// Bits of the status byte that hold the application's state.
const APPLICATION_STATE: u8 = 0x03;
const BUSY: u8 = 1;
const ANY_ERROR: u8 = 2;
const ABNORMAL: u8 = 3;

/// Which records a field takes: exactly those that are all of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Selector {
    pub(in crate::decode) quantity: Quantity,
    pub(in crate::decode) function: Function,
    pub(in crate::decode) storage: u64,
    pub(in crate::decode) tariff: u32,
    pub(in crate::decode) subunit: u16,
    pub(in crate::decode) conditions: Conditions,
    pub(in crate::decode) direction: Direction,
    pub(in crate::decode) per_m3: bool,
}

impl Selector {
    /// Whether it is this record, a value of its own and no load profile.
    pub(in crate::decode) fn takes(&self, record: &Record<'_>) -> bool {
        self.storage == record.storage && self.is_of(record) && record.vib.compact.is_none()
    }

    /// Whether it is this record but for storage number and form.
    pub(in crate::decode) fn is_of(&self, record: &Record<'_>) -> bool {
        let vib = &record.vib;
        self.quantity == vib.quantity
            && self.function == record.function
            && self.tariff == record.tariff
            && self.subunit == record.subunit
            && self.conditions == vib.conditions
            && self.direction == vib.direction
            && self.per_m3 == vib.per_m3
            && !vib.other_meaning
    }
}

/// Which record holds a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct StampSelector {
    pub(in crate::decode) storage: u64,
    pub(in crate::decode) tariff: u32,
    pub(in crate::decode) subunit: u16,
    pub(in crate::decode) kind: Option<StampType>,
    pub(in crate::decode) date_plus_s: Option<u32>,
}

impl StampSelector {
    pub(in crate::decode) fn takes(&self, record: &Record<'_>) -> bool {
        let vib = &record.vib;
        matches!(vib.quantity, Quantity::Date | Quantity::DateTime)
            && self.storage == record.storage
            && self.tariff == record.tariff
            && self.subunit == record.subunit
            && record.function == Function::Instantaneous
            && !vib.other_meaning
            && self
                .kind
                .is_none_or(|kind| stamp_type(record) == Some(kind))
    }
}

/// A field and its record.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::decode) struct RecordField {
    pub(in crate::decode) field: Field,
    pub(in crate::decode) selector: Selector,
    pub(in crate::decode) mask: Option<u64>,
    /// Whether a 32-bit float may be its value.
    pub(in crate::decode) takes_float: bool,
}

/// Totals under consecutive storage numbers, or of a compact profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::decode) struct FrozenField {
    pub(in crate::decode) item: Item,
    pub(in crate::decode) optional: bool,
    pub(in crate::decode) is_compact: bool,
    pub(in crate::decode) count: u32,
    pub(in crate::decode) step_s: Option<u32>,
    pub(in crate::decode) newest_first: bool,
    pub(in crate::decode) date_plus_s: Option<u32>,
    pub(in crate::decode) selector: Selector,
}

/// The application layer of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::decode) struct Application {
    pub(in crate::decode) policy: Policy,
    pub(in crate::decode) media: Vec<u8>,
    pub(in crate::decode) manufacturer: Option<u16>,
    pub(in crate::decode) versions: Vec<u8>,
    pub(in crate::decode) time: Option<StampSelector>,
    pub(in crate::decode) clock: Option<StampSelector>,
    pub(in crate::decode) is_aged: bool,
    pub(in crate::decode) zone: Zone,
    pub(in crate::decode) takes_partial: bool,
    /// Bytes of the vendor's own behind the records.
    pub(in crate::decode) trailer: usize,
    pub(in crate::decode) fields: Vec<RecordField>,
    pub(in crate::decode) frozen: Vec<FrozenField>,
    pub(in crate::decode) status: AlarmBits,
    pub(in crate::decode) flags: AlarmBits,
}

/// Values by field while records are read. There are fewer fields than items.
#[derive(Debug)]
struct Gathered {
    values: [Option<ItemValue>; Item::ALL.len()],
    seen: u64,
    time: Option<DateTime<Utc>>,
    clock: Option<DateTime<Utc>>,
    age: Option<TimeDelta>,
    alarms: AlarmSet,
}

impl Application {
    /// Refuses a telegram of another kind of meter, and one whose meter says that its values are
    /// none.
    pub(in crate::decode) fn check(&self, telegram: &Telegram) -> Result<(), RejectReason> {
        if let Some(address) = telegram.address {
            self.check_address(address)?;
        }
        let text = match telegram.status & APPLICATION_STATE {
            BUSY => "is busy (status 1); read it again",
            ANY_ERROR => {
                "has an application error (status 2); its values are not to be relied upon"
            }
            _ => return Ok(()),
        };
        Err(RejectReason::new(
            reject::DEVICE_ERROR,
            format!("meter says that it {text}"),
        ))
    }

    fn check_address(&self, address: Address) -> Result<(), RejectReason> {
        let wrong = |what: String| Err(RejectReason::new(reject::METER_TYPE, what));
        if !self.media.contains(&address.medium) {
            return wrong(format!(
                "device type is {:02X}h; the profile reads {}",
                address.medium,
                hex_list(&self.media)
            ));
        }
        if let Some(wanted) = self.manufacturer
            && wanted != address.manufacturer()
        {
            return wrong(format!(
                "meter is of manufacturer {}; the profile is for {}",
                letters(address.manufacturer()),
                letters(wanted)
            ));
        }
        if !self.versions.is_empty() && !self.versions.contains(&address.version) {
            return wrong(format!(
                "meter is of version {:02X}h; the profile is for {}",
                address.version,
                hex_list(&self.versions)
            ));
        }
        Ok(())
    }

    /// Reads the records of a telegram, or of several put together.
    pub(in crate::decode) fn read(
        &self,
        bytes: &[u8],
        order: Order,
        status: u8,
        device: Option<DeviceId>,
        context: &DecodeContext<'_>,
    ) -> Result<Decoded, RejectReason> {
        let bytes = bytes
            .len()
            .checked_sub(self.trailer)
            .and_then(|size| bytes.get(..size))
            .ok_or_else(|| {
                RejectReason::new(
                    reject::TRUNCATED,
                    format!("telegram has no trailer of {} bytes", self.trailer),
                )
            })?;
        let mut gathered = Gathered {
            values: [None; Item::ALL.len()],
            seen: 0,
            time: None,
            clock: None,
            age: None,
            alarms: self.status.alarms(u64::from(status)),
        };
        if status & APPLICATION_STATE == ABNORMAL {
            gathered.alarms = gathered.alarms.with(Alarm::Unlisted);
        }
        let mut records = Records::new(bytes, order);
        while let Some(record) = records.next_record()? {
            self.take(&record, &mut gathered)?;
        }
        if records.more_follow && !self.takes_partial {
            return Err(RejectReason::new(
                reject::TRUNCATED,
                "meter has more records in another telegram (DIF 1Fh), which is not there; \
                 send all telegrams of a readout in one payload, or write partial = true if the first is enough",
            ));
        }
        let sampled_at = self.sampled_at(&gathered, context)?;
        let mut values = Vec::with_capacity(self.fields.len());
        for (field, value) in self.fields.iter().zip(gathered.values) {
            match value {
                Some(value) => values.push((field.field.item, value)),
                None => {
                    field
                        .field
                        .absent("any record; the meter sends none like it")?;
                }
            }
        }
        let frozen = self.frozen(bytes, order)?;
        if values.is_empty() && frozen.is_empty() {
            return Err(RejectReason::new(
                reject::EMPTY,
                "telegram has no record that the profile takes",
            ));
        }
        Ok(Decoded {
            device,
            sampled_at,
            clock_at: gathered.clock,
            values,
            frozen,
            alarms: gathered.alarms,
        })
    }

    /// Gives a record to whoever asked for it.
    fn take(&self, record: &Record<'_>, gathered: &mut Gathered) -> Result<(), RejectReason> {
        match record.vib.quantity {
            Quantity::Unknown => return Ok(()),
            Quantity::Date | Quantity::DateTime => return self.take_time(record, gathered),
            Quantity::Age if self.is_aged => {
                if gathered.age.is_some() {
                    return Err(twice("age of the values"));
                }
                gathered.age = age(record)?;
                return Ok(());
            }
            Quantity::ErrorFlags if !self.flags.0.is_empty() => {
                self.take_flags(record, gathered)?;
            }
            _ => {}
        }
        for (place, (field, slot)) in self
            .fields
            .iter()
            .zip(gathered.values.iter_mut())
            .enumerate()
        {
            if field.selector.takes(record) {
                let bit = 1_u64 << place;
                if gathered.seen & bit != 0 {
                    return Err(twice(field.field.item.key()));
                }
                gathered.seen |= bit;
                *slot = field.value(record)?;
            }
        }
        Ok(())
    }

    fn take_time(&self, record: &Record<'_>, gathered: &mut Gathered) -> Result<(), RejectReason> {
        for (selector, slot, name) in [
            (&self.time, &mut gathered.time, "time of the values"),
            (&self.clock, &mut gathered.clock, "meter's clock"),
        ] {
            let Some(selector) = selector.as_ref().filter(|s| s.takes(record)) else {
                continue;
            };
            if slot.is_some() {
                return Err(twice(name));
            }
            *slot = Some(self.instant(record, selector.date_plus_s, name)?);
        }
        Ok(())
    }

    /// The instant a record tells.
    pub(in crate::decode) fn instant(
        &self,
        record: &Record<'_>,
        date_plus_s: Option<u32>,
        name: &str,
    ) -> Result<DateTime<Utc>, RejectReason> {
        let bad = |what: &str| RejectReason::new(reject::TIME, format!("{name} {what}"));
        if let Some(error) = record.vib.error {
            return Err(bad(&format!("is missing: meter {}", error_text(error))));
        }
        let stamp = stamp(record).map_err(bad)?;
        self.zone.instant(&stamp, date_plus_s).ok_or_else(|| {
            bad("is a day without a time; add date_plus_s, the seconds from its midnight to the reading")
        })
    }

    fn take_flags(&self, record: &Record<'_>, gathered: &mut Gathered) -> Result<(), RejectReason> {
        let is_main = record.storage == 0
            && record.tariff == 0
            && record.subunit == 0
            && record.function == Function::Instantaneous
            && !record.vib.other_meaning
            && record.vib.error.is_none();
        if is_main {
            let word = record.bits().map_err(|no| {
                RejectReason::new(no.code, format!("error flags record {}", no.what))
            })?;
            gathered.alarms.0 |= self.flags.alarms(word).0;
        }
        Ok(())
    }

    fn sampled_at(
        &self,
        gathered: &Gathered,
        context: &DecodeContext<'_>,
    ) -> Result<DateTime<Utc>, RejectReason> {
        let missing =
            |what: &str| RejectReason::new(reject::TIME, format!("telegram has no {what}"));
        if self.time.is_some() {
            return gathered
                .time
                .ok_or_else(|| missing("record with the time of its values"));
        }
        if self.is_aged {
            let age = gathered
                .age
                .ok_or_else(|| missing("record with the age of its values (VIF 74h to 77h)"))?;
            return context
                .received_at
                .checked_sub_signed(age)
                .ok_or_else(|| missing("age of its values that can be"));
        }
        Ok(context.received_at)
    }

    /// A second pass, only for profiles that have frozen fields.
    fn frozen(&self, bytes: &[u8], order: Order) -> Result<Vec<FrozenTotals>, RejectReason> {
        let mut out = Vec::new();
        for field in &self.frozen {
            let read = if field.is_compact {
                load_profile::compact(self, field, bytes, order)
            } else {
                load_profile::stored(self, field, bytes, order)
            };
            match read {
                Ok(arrays) => out.extend(arrays),
                Err(_) if field.optional => {}
                Err(reason) => return Err(reason),
            }
        }
        Ok(out)
    }
}

impl RecordField {
    fn value(&self, record: &Record<'_>) -> Result<Option<ItemValue>, RejectReason> {
        let item = self.field.item;
        let read = match record.vib.error {
            Some(error) => Err(fault(
                reject::DEVICE_ERROR,
                item,
                format_args!("is missing: meter {}", error_text(error)),
            )),
            None if self.field.states.is_some() => return self.state(record),
            None => self.number(record),
        };
        match read {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.field.optional => Ok(None),
            Err(reason) => Err(reason),
        }
    }

    fn state(&self, record: &Record<'_>) -> Result<Option<ItemValue>, RejectReason> {
        match record.bits() {
            Ok(word) => {
                let state = match self.mask {
                    Some(mask) => (word & mask) >> mask.trailing_zeros(),
                    None => word,
                };
                self.field.state(&state.to_string())
            }
            Err(_) if self.field.optional => Ok(None),
            Err(no) => Err(fault(no.code, self.field.item, no.what)),
        }
    }

    fn number(&self, record: &Record<'_>) -> Result<ItemValue, RejectReason> {
        let item = self.field.item;
        let number = record
            .number()
            .map_err(|NoNumber { code, what }| fault(code, item, what))?;
        if !item.is_exact() {
            return telemetry(item, number, &record.vib).map(ItemValue::Float);
        }
        match number {
            Number::Whole(count) => exact(item, count, &record.vib).map(ItemValue::Exact),
            Number::Real(value) if self.takes_float => {
                exact_from_double(item, scaled(value, &record.vib)).map(ItemValue::Exact)
            }
            Number::Real(_) => Err(fault(
                reject::INEXACT,
                item,
                "is a 32-bit float, which counts single m³ only up to 16.7 million; \
                 map it to total_std_second or total_work_second, or add inexact = true if there is nothing else",
            )),
        }
    }
}

/// An exact total of a whole number, in units of 1e-4 m³.
pub(in crate::decode) fn exact(item: Item, count: i64, vib: &Vib) -> Result<i64, RejectReason> {
    let decimals = i8::try_from(-vib.exponent)
        .ok()
        .filter(|decimals| (-9..=18).contains(decimals))
        .ok_or_else(|| fault(reject::RANGE, item, "has a decimal exponent that cannot be"))?;
    exact_from_count(item, i128::from(count) * i128::from(vib.times), decimals)
}

fn telemetry(item: Item, number: Number, vib: &Vib) -> Result<f64, RejectReason> {
    let raw = match number {
        Number::Whole(count) => count as f64,
        Number::Real(value) => value,
    };
    let value = scaled(raw, vib);
    if value.is_finite() {
        Ok(value)
    } else {
        Err(fault(reject::RANGE, item, "is not a finite number"))
    }
}

/// Divides by a power of ten rather than multiply by its inexact inverse: 159 tenths are 15.9.
fn scaled(raw: f64, vib: &Vib) -> f64 {
    let power = 10_f64.powi(i32::from(vib.exponent.unsigned_abs()));
    let raw = raw * vib.times as f64;
    if vib.exponent < 0 {
        raw / power
    } else {
        raw * power
    }
}

fn age(record: &Record<'_>) -> Result<Option<TimeDelta>, RejectReason> {
    if record.vib.other_meaning || record.function != Function::Instantaneous {
        return Ok(None);
    }
    let no = |what: &str| RejectReason::new(reject::TIME, format!("age of the values {what}"));
    match record.number() {
        Ok(Number::Whole(count)) if count >= 0 => count
            .checked_mul(record.vib.times)
            .and_then(TimeDelta::try_seconds)
            .map(Some)
            .ok_or_else(|| no("is longer than time")),
        Ok(_) => Err(no("is no whole number of seconds")),
        Err(NoNumber { what, .. }) => Err(no(what)),
    }
}

fn twice(what: &str) -> RejectReason {
    RejectReason::new(
        reject::AMBIGUOUS,
        format!(
            "two records are `{what}`; tell them apart in the profile by storage, tariff, subunit, function, conditions or type"
        ),
    )
}

fn hex_list(bytes: &[u8]) -> String {
    let texts: Vec<String> = bytes.iter().map(|b| format!("{b:02X}h")).collect();
    texts.join(", ")
}
