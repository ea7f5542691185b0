//! Meters and what is known of them beforehand.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

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
    /// The working total (工况); converted by us with the fixed factor of the meter.
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
    /// In use since.
    pub installed_on: NaiveDate,
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

/// A Modbus gateway, one row of `gateways.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Identifier.
    pub id: GatewayId,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}
