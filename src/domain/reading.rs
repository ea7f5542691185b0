//! Readings (抄表): what a device said of one instant, or of an array of instants in one uplink.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::frame::Transport;
use crate::domain::id::{DeviceId, MeterId};

/// What a value is of. Exact items are totals in units of 1e-4 m³; the rest are telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Item {
    /// Standard total (标况累积), exact.
    TotalStd = 1,
    /// Working total (工况累积), exact.
    TotalWork = 2,
    /// Volume counted under a fault (受扰累积), exact.
    TotalDisturbed = 3,
    /// The same standard total in a second representation (float), to be compared.
    TotalStdSecond = 4,
    /// The same working total in a second representation (float), to be compared.
    TotalWorkSecond = 5,
    /// Standard flow, m³/h.
    FlowStd = 10,
    /// Working flow, m³/h.
    FlowWork = 11,
    /// Gas temperature, °C.
    Temperature = 12,
    /// Absolute pressure, kPa.
    PressureAbs = 13,
    /// Gauge pressure, kPa.
    PressureGauge = 14,
    /// Compressibility factor.
    ZFactor = 15,
    /// Conversion factor as the corrector says.
    ConversionFactor = 16,
    /// Compressibility factor at base conditions.
    ZBase = 17,
    /// Calorific value, MJ/m³.
    CalorificValue = 18,
    /// Base pressure the corrector converts to, kPa absolute.
    BasePressure = 19,
    /// Battery, V.
    BatteryVoltage = 20,
    /// Signal, dBm.
    Rsrp = 21,
    /// Report number.
    ReportSeq = 22,
    /// Valve: 0 open, 1 closed, 2 fault. Read only; no path here moves a valve.
    Valve = 23,
    /// Base temperature the corrector converts to, °C.
    BaseTemperature = 24,
    /// Checksum of the corrector's parameters; a change means that somebody changed one.
    ConfigCrc = 25,
    /// Signal to noise, dB.
    Snr = 26,
    /// Battery that is left, %.
    BatteryLevel = 27,
}

impl Item {
    /// Every item.
    pub const ALL: [Self; 23] = [
        Self::TotalStd,
        Self::TotalWork,
        Self::TotalDisturbed,
        Self::TotalStdSecond,
        Self::TotalWorkSecond,
        Self::FlowStd,
        Self::FlowWork,
        Self::Temperature,
        Self::PressureAbs,
        Self::PressureGauge,
        Self::ZFactor,
        Self::ConversionFactor,
        Self::ZBase,
        Self::CalorificValue,
        Self::BasePressure,
        Self::BatteryVoltage,
        Self::Rsrp,
        Self::ReportSeq,
        Self::Valve,
        Self::BaseTemperature,
        Self::ConfigCrc,
        Self::Snr,
        Self::BatteryLevel,
    ];

    /// Name with its unit, as profiles, JSON and SQL write it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::TotalStd => "total_std_m3",
            Self::TotalWork => "total_work_m3",
            Self::TotalDisturbed => "total_disturbed_m3",
            Self::TotalStdSecond => "total_std_second_m3",
            Self::TotalWorkSecond => "total_work_second_m3",
            Self::FlowStd => "flow_std_m3h",
            Self::FlowWork => "flow_work_m3h",
            Self::Temperature => "temperature_c",
            Self::PressureAbs => "pressure_abs_kpa",
            Self::PressureGauge => "pressure_gauge_kpa",
            Self::ZFactor => "z_factor",
            Self::ConversionFactor => "conversion_factor",
            Self::BatteryVoltage => "battery_v",
            Self::Rsrp => "rsrp_dbm",
            Self::ReportSeq => "report_seq",
            Self::Valve => "valve",
            Self::ZBase => "z_base",
            Self::CalorificValue => "calorific_value_mj_per_m3",
            Self::BasePressure => "base_pressure_kpa",
            Self::BaseTemperature => "base_temperature_c",
            Self::ConfigCrc => "config_crc",
            Self::Snr => "snr_db",
            Self::BatteryLevel => "battery_level_percent",
        }
    }

    /// The item of a key.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|item| item.key() == key)
    }

    /// The item of a stored code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|item| *item as u8 == code)
    }

    /// Whether its value is exact (units of 1e-4 m³).
    pub const fn is_exact(self) -> bool {
        matches!(
            self,
            Self::TotalStd | Self::TotalWork | Self::TotalDisturbed
        )
    }
}

/// A value of an item.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ItemValue {
    /// Exact, in units of 1e-4 m³.
    Exact(i64),
    /// Telemetry in the item's unit; always finite.
    Float(f64),
}

/// Device alarms, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Alarm {
    /// 欠压
    BatteryLow = 0,
    /// 阀门异常
    ValveFault = 1,
    /// 阀内漏 (flow with the valve closed)
    ValveLeak = 2,
    /// 磁干扰
    Magnetic = 3,
    /// 拆表
    Removed = 4,
    /// 反向流
    ReverseFlow = 5,
    /// 计量故障
    MeteringFault = 6,
    /// 温度传感器故障
    TemperatureSensor = 7,
    /// 压力传感器故障
    PressureSensor = 8,
    /// 过载
    OverFlow = 9,
    /// 异常小流
    SmallFlow = 10,
    /// 持续流量超时
    ContinuousFlow = 11,
    /// 泄漏
    Leak = 12,
    /// 地震
    Earthquake = 13,
    /// 温度越限
    TemperatureLimit = 14,
    /// 压力越限
    PressureLimit = 15,
    /// 气日起始时刻不符 (the device cuts its frozen totals at another hour)
    GasDayStart = 16,
    /// Something else the device calls an alarm.
    Unlisted = 31,
}

impl Alarm {
    /// Every alarm.
    pub const ALL: [Self; 18] = [
        Self::BatteryLow,
        Self::ValveFault,
        Self::ValveLeak,
        Self::Magnetic,
        Self::Removed,
        Self::ReverseFlow,
        Self::MeteringFault,
        Self::TemperatureSensor,
        Self::PressureSensor,
        Self::OverFlow,
        Self::SmallFlow,
        Self::ContinuousFlow,
        Self::Leak,
        Self::Earthquake,
        Self::TemperatureLimit,
        Self::PressureLimit,
        Self::GasDayStart,
        Self::Unlisted,
    ];

    /// The word in JSON and locale files.
    pub const fn key(self) -> &'static str {
        match self {
            Self::BatteryLow => "battery_low",
            Self::ValveFault => "valve_fault",
            Self::ValveLeak => "valve_leak",
            Self::Magnetic => "magnetic",
            Self::Removed => "removed",
            Self::ReverseFlow => "reverse_flow",
            Self::MeteringFault => "metering_fault",
            Self::TemperatureSensor => "temperature_sensor",
            Self::PressureSensor => "pressure_sensor",
            Self::OverFlow => "over_flow",
            Self::SmallFlow => "small_flow",
            Self::ContinuousFlow => "continuous_flow",
            Self::Leak => "leak",
            Self::Earthquake => "earthquake",
            Self::TemperatureLimit => "temperature_limit",
            Self::PressureLimit => "pressure_limit",
            Self::GasDayStart => "gas_day_start",
            Self::Unlisted => "unlisted",
        }
    }
}

/// A set of alarms.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlarmSet(pub u32);

impl AlarmSet {
    /// With one more.
    #[must_use]
    pub const fn with(self, alarm: Alarm) -> Self {
        Self(self.0 | (1 << alarm as u32))
    }

    /// Whether it holds an alarm.
    pub const fn has(self, alarm: Alarm) -> bool {
        self.0 & (1 << alarm as u32) != 0
    }

    /// The alarms in it.
    pub fn iter(self) -> impl Iterator<Item = Alarm> {
        Alarm::ALL.into_iter().filter(move |a| self.has(*a))
    }
}

/// Frozen totals (冻结数据): one totaliser at regular instants, in one uplink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenTotals {
    /// `TotalStd` or `TotalWork`.
    pub item: Item,
    /// Instant of the first total.
    pub first_at: DateTime<Utc>,
    /// Seconds between totals.
    pub step_s: u32,
    /// Totals in units of 1e-4 m³; none where the device had no value.
    pub totals: Vec<Option<i64>>,
}

/// What one frame said, before it is known which meter the device is.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The device, as the payload names itself; none where only the transport knows.
    pub device: Option<DeviceId>,
    /// The device's own time of the values.
    pub sampled_at: DateTime<Utc>,
    /// What the device's clock showed when it sent the frame, where the frame says so; held against
    /// the time of arrival it shows a clock that has drifted.
    pub clock_at: Option<DateTime<Utc>>,
    /// Values by item, in the order of `Item`, each item once.
    pub values: Vec<(Item, ItemValue)>,
    /// Frozen arrays.
    pub frozen: Vec<FrozenTotals>,
    /// Alarms.
    pub alarms: AlarmSet,
}

/// A reading of a known meter.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The meter.
    pub meter: MeterId,
    /// The device's own time of the values.
    pub sampled_at: DateTime<Utc>,
    /// When it reached us.
    pub received_at: DateTime<Utc>,
    /// Which way it came.
    pub transport: Transport,
    /// Values by item, in the order of `Item`, each item once.
    pub values: Vec<(Item, ItemValue)>,
    /// Frozen arrays.
    pub frozen: Vec<FrozenTotals>,
    /// Alarms.
    pub alarms: AlarmSet,
}

impl Reading {
    /// The value of an item, if the reading has it.
    pub fn value(&self, item: Item) -> Option<ItemValue> {
        self.values
            .iter()
            .find(|(i, _)| *i == item)
            .map(|(_, value)| *value)
    }

    /// Telemetry of an item.
    pub fn float(&self, item: Item) -> Option<f64> {
        match self.value(item) {
            Some(ItemValue::Float(value)) => Some(value),
            _ => None,
        }
    }

    /// An exact total, units of 1e-4 m³.
    pub fn exact(&self, item: Item) -> Option<i64> {
        match self.value(item) {
            Some(ItemValue::Exact(units)) => Some(units),
            _ => None,
        }
    }
}
