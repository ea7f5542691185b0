//! Meters and what is known of them beforehand.

use chrono::{DateTime, NaiveDate, Utc};
use serde::de::value;
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::calendar::GasDay;
use crate::domain::id::{CustomerId, DeviceId, GatewayId, MeterId, ProfileId, ZoneId};
use crate::domain::quantity::WorkVolume;

/// What a meter measures for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeterRole {
    /// A customer's meter.
    Customer,
    /// A city gate station's meter (门站): supply, not demand.
    Gate,
}

/// How it is built (表型).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeterKind {
    /// 膜式
    Diaphragm,
    /// 罗茨
    Rotary,
    /// 涡轮
    Turbine,
    /// 超声
    Ultrasonic,
}

/// Which totaliser is the settlement truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementTotal {
    /// The corrector's standard total (标况).
    Std,
    /// The working total (工况); converted by us, each interval by the pressure and temperature of its
    /// ends, or with the fixed factor of the meter where there are none.
    Work,
}

/// A meter, one row of `meters.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    /// Identifier (表号).
    pub id: MeterId,
    /// The name under which it speaks on the wire.
    pub device: DeviceId,
    /// Whose it is; empty for a gate station.
    pub customer: Option<CustomerId>,
    /// Supply zone.
    pub zone: ZoneId,
    /// Role.
    pub role: MeterRole,
    /// Build.
    pub kind: MeterKind,
    /// Profile its frames are decoded with; bound explicitly, never guessed.
    pub profile: ProfileId,
    /// Totaliser to settle by.
    pub settlement: SettlementTotal,
    /// Digits before the point of the totaliser: it rolls over at 10^digits m³.
    pub total_digits: u32,
    /// Largest working flow, m³/h (Qmax).
    pub flow_max_m3h: f64,
    /// Factor from working to standard volume for meters without a corrector (固定K, pressure and
    /// temperature included); 1 where the standard total settles.
    pub fixed_factor: f64,
    /// Expected time between reports, s.
    pub period_s: u32,
    /// Modbus gateway, if polled.
    pub gateway: Option<GatewayId>,
    /// Modbus unit on that gateway, 1 to 247; 0 if not polled.
    pub unit: u8,
    /// First gas day on which it is at its place.
    pub installed_on: NaiveDate,
    /// Last gas day on which it is, once it was taken away for good (拆除); an exchange (换表) is no removal.
    #[serde(default)]
    pub removed_on: Option<NaiveDate>,
    /// When it was found that this row had been wrong since `installed_on`, and was mended: all of its days
    /// are computed again by what it says now.
    #[serde(default)]
    pub corrected_at: Option<DateTime<Utc>>,
    /// How its corrector finds compressibility, where that is known; by the gas of its zone else.
    #[serde(default)]
    pub corrector_method: Option<CorrectorMethod>,
}

/// How a corrector (体积修正仪) finds compressibility, as its plate or menu says. Written `aga8`, `sgerg88`,
/// `nx19`, or the number of a fixed K.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CorrectorMethod {
    /// AGA8-92DC (GB/T 17747.2).
    Aga8,
    /// SGERG-88 (GB/T 17747.3).
    Sgerg88,
    /// NX-19, of older correctors.
    Nx19,
    /// A fixed K = Z₀/Z (固定K), pressure and temperature not included; 1 leaves compressibility out.
    FixedK(f64),
}

impl TryFrom<String> for CorrectorMethod {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "aga8" => Ok(Self::Aga8),
            "sgerg88" => Ok(Self::Sgerg88),
            "nx19" => Ok(Self::Nx19),
            number => match number.parse() {
                Ok(k) if (0.5..=2.0).contains(&k) => Ok(Self::FixedK(k)),
                _ => Err(format!(
                    "`{number}` is no method; write aga8, sgerg88, nx19, or a fixed K from 0.5 to 2, for \
                     example 1.0"
                )),
            },
        }
    }
}

impl From<CorrectorMethod> for String {
    fn from(method: CorrectorMethod) -> Self {
        match method {
            CorrectorMethod::Aga8 => "aga8".to_owned(),
            CorrectorMethod::Sgerg88 => "sgerg88".to_owned(),
            CorrectorMethod::Nx19 => "nx19".to_owned(),
            CorrectorMethod::FixedK(k) => k.to_string(),
        }
    }
}

/// What turns a meter's totals into volume, one for all of its days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeteringTerms {
    /// As [`Meter::settlement`].
    pub settlement: SettlementTotal,
    /// As [`Meter::total_digits`].
    pub total_digits: u32,
    /// As [`Meter::flow_max_m3h`].
    pub flow_max_m3h: f64,
    /// As [`Meter::fixed_factor`].
    pub fixed_factor: f64,
    /// As [`Meter::corrected_at`].
    pub corrected_at: Option<DateTime<Utc>>,
}

impl MeteringTerms {
    /// The columns of `meters.csv` in which they differ, each with its values here and there.
    pub fn changes(&self, to: &Self) -> Vec<(&'static str, String, String)> {
        let key = |settlement| match settlement {
            SettlementTotal::Std => "std".to_owned(),
            SettlementTotal::Work => "work".to_owned(),
        };
        let of = |terms: &Self| {
            [
                ("settlement", key(terms.settlement)),
                ("total_digits", terms.total_digits.to_string()),
                ("flow_max_m3h", terms.flow_max_m3h.to_string()),
                ("fixed_factor", terms.fixed_factor.to_string()),
            ]
        };
        let pairs = of(self).into_iter().zip(of(to));
        pairs
            .filter(|((_, was), (_, is))| was != is)
            .map(|((column, was), (_, is))| (column, was, is))
            .collect()
    }
}

impl Meter {
    /// What turns its totals into volume.
    pub fn terms(&self) -> MeteringTerms {
        MeteringTerms {
            settlement: self.settlement,
            total_digits: self.total_digits,
            flow_max_m3h: self.flow_max_m3h,
            fixed_factor: self.fixed_factor,
            corrected_at: self.corrected_at,
        }
    }

    /// Whether it is at its place on a gas day, or on a part of it.
    pub fn is_installed_on(&self, day: GasDay) -> bool {
        self.installed_on <= day.0 && self.removed_on.is_none_or(|last| day.0 <= last)
    }

    /// Whether it was taken away on a gas day: after its last reading it used nothing.
    pub fn is_last_day(&self, day: GasDay) -> bool {
        self.removed_on == Some(day.0)
    }

    /// Whether readings are still to come from its place on a gas day: there, and not taken away that day.
    pub fn is_expected_on(&self, day: GasDay) -> bool {
        self.is_installed_on(day) && !self.is_last_day(day)
    }
}

/// A meter exchange (换表): the new meter continues the place of the old one; `exchanges.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterExchange {
    /// The place in the registry.
    pub meter: MeterId,
    /// When.
    pub exchanged_at: DateTime<Utc>,
    /// Last total of the old meter.
    pub old_total: WorkVolume,
    /// First total of the new meter.
    pub new_total: WorkVolume,
}

/// How a gateway's bus is reached.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum GatewayTransport {
    /// Modbus TCP: each answer names the request it belongs to.
    #[default]
    Tcp,
    /// Serial frames through a TCP connection, as transparent serial servers and DTUs pass them.
    RtuOverTcp,
    /// A serial port of this machine.
    Serial,
}

/// Parity of a serial line.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Parity {
    /// No parity bit.
    #[default]
    None,
    /// Even.
    Even,
    /// Odd.
    Odd,
}

/// A Modbus gateway or serial bus, one row of `gateways.csv`.
///
/// Only `id` is in every row; an empty cell or a column that is not there means the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Identifier.
    pub id: GatewayId,
    /// Host name or address; empty for a serial port.
    #[serde(default)]
    pub host: String,
    /// TCP port; 0 for a serial port.
    #[serde(default, deserialize_with = "empty_is_default")]
    pub port: u16,
    /// How the bus is reached.
    #[serde(default, deserialize_with = "empty_is_default")]
    pub transport: GatewayTransport,
    /// Requests under way at the same time, each on a connection of its own; more than 1 only where
    /// a TCP gateway has several buses behind it or meters that answer by themselves.
    #[serde(
        default = "default_parallel",
        deserialize_with = "empty_is_default_parallel"
    )]
    pub parallel: u8,
    /// Serial port, for example `/dev/ttyS1`; empty for a gateway in the network.
    #[serde(default)]
    pub path: String,
    /// Bits per second on a serial line.
    #[serde(default = "default_baud", deserialize_with = "empty_is_default_baud")]
    pub baud: u32,
    /// Parity on a serial line.
    #[serde(default, deserialize_with = "empty_is_default")]
    pub parity: Parity,
    /// Stop bits on a serial line, 1 or 2.
    #[serde(
        default = "default_stop_bits",
        deserialize_with = "empty_is_default_stop_bits"
    )]
    pub stop_bits: u8,
}

impl Gateway {
    /// A Modbus TCP gateway with nothing else said.
    pub fn tcp(id: GatewayId, host: impl Into<String>, port: u16) -> Self {
        Self {
            id,
            host: host.into(),
            port,
            transport: GatewayTransport::Tcp,
            parallel: default_parallel(),
            path: String::new(),
            baud: default_baud(),
            parity: Parity::None,
            stop_bits: default_stop_bits(),
        }
    }

    /// A serial bus at 9600 bit/s without parity.
    pub fn serial(id: GatewayId, path: impl Into<String>) -> Self {
        Self {
            transport: GatewayTransport::Serial,
            path: path.into(),
            ..Self::tcp(id, "", 0)
        }
    }

    /// Where it is, for people: `host:port`, or the serial port.
    pub fn address(&self) -> String {
        match self.transport {
            GatewayTransport::Serial => self.path.clone(),
            GatewayTransport::Tcp | GatewayTransport::RtuOverTcp => {
                format!("{}:{}", self.host, self.port)
            }
        }
    }
}

const fn default_parallel() -> u8 {
    1
}
const fn default_baud() -> u32 {
    9_600
}
const fn default_stop_bits() -> u8 {
    1
}

/// A cell that is empty is a column that is not there.
fn cell<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse::<u32>();
    match number {
        Ok(number) => T::deserialize(IntoDeserializer::<'de, value::Error>::into_deserializer(
            number,
        )),
        Err(_) => T::deserialize(IntoDeserializer::<'de, value::Error>::into_deserializer(
            text,
        )),
    }
    .map(Some)
    .map_err(D::Error::custom)
}

fn empty_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(cell(deserializer)?.unwrap_or_default())
}

fn empty_is_default_parallel<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    Ok(cell(deserializer)?.unwrap_or_else(default_parallel))
}

fn empty_is_default_baud<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(cell(deserializer)?.unwrap_or_else(default_baud))
}

fn empty_is_default_stop_bits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    Ok(cell(deserializer)?.unwrap_or_else(default_stop_bits))
}
