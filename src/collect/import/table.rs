//! Columns of a table, by whatever name systems give them, and rows to frames of the JSON push.

use std::borrow::Cow;

use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};

use super::{LINE_MAX_BYTES, Record, code};
use crate::decode::CSV_PREFIX;
use crate::domain::calendar::{beijing_civil, beijing_instant};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    Device,
    SampledAt,
    ReceivedAt,
    /// Position in `VALUES`.
    Value(usize),
    /// Known, and nothing that is imported.
    Skipped,
}

/// Columns of values: our name, the key of the JSON push, and what others call them (domain.md,
/// flow-meter DTU fields), in lower case.
const VALUES: [(&str, &str, &[&str]); 7] = [
    (
        "total_std_m3",
        "std_m3",
        &["btotal", "data_vb", "标况累积量", "标况累计量", "标况总量"],
    ),
    (
        "total_work_m3",
        "work_m3",
        &["gtotal", "data_vm", "工况累积量", "工况累计量", "工况总量"],
    ),
    (
        "flow_std_m3h",
        "q_std",
        &["bflow", "data_qb", "标况流量", "标况瞬时流量"],
    ),
    (
        "flow_work_m3h",
        "q_work",
        &["gflow", "data_qm", "工况流量", "工况瞬时流量"],
    ),
    ("temperature_c", "t_c", &["t", "data_t", "温度"]),
    ("pressure_abs_kpa", "p_kpa_abs", &["绝对压力", "绝压"]),
    ("pressure_gauge_kpa", "p_kpa_gauge", &["表压"]),
];

/// Values that are totals; one of their columns must be there.
const TOTALS: [Column; 2] = [Column::Value(0), Column::Value(1)];

const DEVICES: &[&str] = &["device", "dev", "device_id", "设备号", "表号"];
const SAMPLED: &[&str] = &[
    "sampled_at",
    "ts",
    "time",
    "timestamp",
    "采集时间",
    "抄表时间",
];
const RECEIVED: &[&str] = &["received_at", "接收时间"];
const SKIPPED: &[&str] = &["err", "alarm", "seq", "备注"];
/// Pressures that do not say whether against vacuum or the air; a guess would be 100 kPa wrong.
const AMBIGUOUS: &[&str] = &["pa", "data_p", "压力", "p", "pressure", "pressure_kpa"];

const CIVIL_FORMATS: [&str; 5] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
];

/// The column a name stands for.
pub(super) fn column(name: &str) -> Result<Column, String> {
    let name = name.trim();
    let lower = name.to_lowercase();
    let is_in = |names: &[&str]| names.contains(&lower.as_str());
    if is_in(DEVICES) {
        return Ok(Column::Device);
    }
    if is_in(SAMPLED) {
        return Ok(Column::SampledAt);
    }
    if is_in(RECEIVED) {
        return Ok(Column::ReceivedAt);
    }
    if is_in(SKIPPED) {
        return Ok(Column::Skipped);
    }
    if is_in(AMBIGUOUS) {
        return Err(format!(
            "column `{name}` does not say which pressure it is; call it pressure_abs_kpa or pressure_gauge_kpa, in kPa"
        ));
    }
    let value = VALUES
        .iter()
        .position(|(own, key, aliases)| lower == *own || lower == *key || is_in(aliases));
    value.map(Column::Value).ok_or_else(|| {
        let known: Vec<&str> = VALUES.iter().map(|(name, ..)| *name).collect();
        format!(
            "unknown column `{name}`; known are device, sampled_at, {}, received_at; rename it, or take it out",
            known.join(", ")
        )
    })
}

/// The columns of a table, in their order.
pub(super) struct Columns(Vec<Column>);

impl Columns {
    /// Reads a header.
    pub(super) fn new<'t>(names: impl Iterator<Item = &'t str>) -> Result<Self, String> {
        let columns = names.map(column).collect::<Result<Vec<_>, _>>()?;
        check(&columns)?;
        Ok(Self(columns))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a column holds times.
    pub(super) fn is_time(&self, index: usize) -> bool {
        matches!(
            self.0.get(index),
            Some(Column::SampledAt | Column::ReceivedAt)
        )
    }

    /// Whether a column names the device.
    pub(super) fn is_device(&self, index: usize) -> bool {
        self.0.get(index) == Some(&Column::Device)
    }

    /// What a row says; `cell` gives the text of a column.
    pub(super) fn record<'t>(
        &self,
        cell: impl Fn(usize) -> Option<&'t str>,
    ) -> Result<Record, RejectReason> {
        let of = |wanted: Column| {
            self.0
                .iter()
                .position(|column| *column == wanted)
                .and_then(&cell)
                .map(str::trim)
                .filter(|text| !text.is_empty())
        };
        let missing = |name: &str| RejectReason::new(code::ROW, format!("cell {name} is empty"));
        let device = of(Column::Device).ok_or_else(|| missing("device"))?;
        let sampled_at = instant(
            "sampled_at",
            of(Column::SampledAt).ok_or_else(|| missing("sampled_at"))?,
        )?;
        let received_at = of(Column::ReceivedAt)
            .map(|text| instant("received_at", text))
            .transpose()?;
        let values = (0..VALUES.len()).filter_map(|index| {
            let text = of(Column::Value(index))?;
            Some((index, Cow::Borrowed(text)))
        });
        reading(device, sampled_at, values, received_at)
    }
}

/// The frame of a reading, if it has a total.
pub(super) fn reading<'t>(
    device: &str,
    sampled_at: DateTime<Utc>,
    values: impl Iterator<Item = (usize, Cow<'t, str>)>,
    received_at: Option<DateTime<Utc>>,
) -> Result<Record, RejectReason> {
    let mut json = String::with_capacity(160);
    json.push_str(CSV_PREFIX);
    push(&mut json, "dev", device);
    let at = beijing_civil(sampled_at).to_rfc3339_opts(SecondsFormat::AutoSi, false);
    json.push(',');
    push(&mut json, "ts", &at);
    let mut has_total = false;
    for (index, text) in values {
        let Some((_, key, _)) = VALUES.get(index) else {
            continue;
        };
        has_total |= TOTALS.contains(&Column::Value(index));
        json.push(',');
        // As text: the profile reads totals exactly and telemetry from either.
        push(&mut json, key, &text);
    }
    json.push('}');
    if !has_total {
        return Err(RejectReason::new(
            code::ROW,
            "row has no total; fill total_std_m3 or total_work_m3",
        ));
    }
    if json.len() > LINE_MAX_BYTES {
        return Err(RejectReason::new(code::ROW, "row is longer than 1 MiB"));
    }
    Ok(Record {
        device: Some(DeviceId::new(device)),
        topic: None,
        bytes: Bytes::from(json),
        received_at,
    })
}

fn push(json: &mut String, key: &str, text: &str) {
    json.push('"');
    json.push_str(key);
    json.push_str("\":");
    json.push_str(&serde_json::Value::from(text).to_string());
}

fn check(columns: &[Column]) -> Result<(), String> {
    let mut sorted: Vec<Column> = columns
        .iter()
        .copied()
        .filter(|column| *column != Column::Skipped)
        .collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair.first() == pair.last()) {
        let name = match pair.first() {
            Some(Column::Device) => "device",
            Some(Column::SampledAt) => "sampled_at",
            Some(Column::ReceivedAt) => "received_at",
            Some(Column::Value(index)) => VALUES.get(*index).map_or("?", |(name, ..)| name),
            _ => "?",
        };
        return Err(format!("column {name} is there twice; keep one"));
    }
    for (column, name) in [
        (Column::Device, "device"),
        (Column::SampledAt, "sampled_at"),
    ] {
        if !columns.contains(&column) {
            return Err(format!(
                "column `{name}` is missing; the header is for example device,sampled_at,total_std_m3"
            ));
        }
    }
    if !columns.iter().any(|c| TOTALS.contains(c)) {
        return Err(
            "there is no column with a total; add total_std_m3 or total_work_m3".to_owned(),
        );
    }
    Ok(())
}

/// RFC 3339 with an offset, or Beijing civil time as spreadsheets write it.
pub(super) fn instant(name: &str, text: &str) -> Result<DateTime<Utc>, RejectReason> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    CIVIL_FORMATS
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .filter(|civil| (1970..=9999).contains(&chrono::Datelike::year(civil)))
        .map(|civil| beijing_instant(civil.date(), civil.time()))
        .ok_or_else(|| {
            RejectReason::new(
                code::ROW,
                format!("cell {name} is no time; write 2026-11-21T08:00:00+08:00, or 2026-11-21 08:00 Beijing time"),
            )
        })
}
