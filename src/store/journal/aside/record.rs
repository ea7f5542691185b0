//! Entries as bytes: what a delivery became, whole, so that it can be committed later as if it came then.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use crc::{CRC_32_ISO_HDLC, Crc};
use serde::{Deserialize, Serialize};

use super::super::body::{self, Body, Stand};
use super::super::findings::{Kept, severity_code, severity_of, words_of};
use super::super::{JournalEntry, instant, millis};
use super::heap::Heap;
use crate::domain::finding::{Finding, RuleId, Severity, Subject};
use crate::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
use crate::domain::id::{DeviceId, MeterId};
use crate::domain::reading::Reading;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Variants and fields are told apart by their order: new ones go to the end, with a schema of their own.
#[derive(Debug, Serialize, Deserialize)]
enum Record {
    Reading {
        meter: String,
        /// ms.
        at: i64,
        received_at: i64,
        /// As in `readings`, of the meter with number 0.
        body: Vec<u8>,
        findings: Vec<Found>,
    },
    Reject {
        meter: Option<String>,
        code: String,
        message: String,
        transport: String,
        origin: String,
        device: Option<String>,
        received_at: i64,
        bytes: Vec<u8>,
    },
}

/// A finding of a reading's meter.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    rule: String,
    severity: u8,
    at: i64,
    message: String,
    sentence: Option<String>,
    args: Option<String>,
}

impl Found {
    fn of(finding: &Finding) -> rusqlite::Result<Self> {
        let kept = Kept::of(finding)?;
        Ok(Self {
            rule: finding.rule.key().to_owned(),
            severity: severity_code(finding.severity),
            at: millis(finding.at),
            message: kept.message.to_owned(),
            sentence: kept.sentence.map(str::to_owned),
            args: kept.args,
        })
    }

    /// None if this program does not have the rule.
    fn into_finding(self, meter: &MeterId) -> Option<Finding> {
        let rule = RuleId::from_key(&self.rule)?;
        Some(Finding {
            rule,
            severity: severity_of(self.severity),
            subject: Subject::Meter(meter.clone()),
            at: instant(self.at),
            words: words_of(rule, self.message, self.sentence.as_deref(), self.args),
        })
    }
}

const fn stand(at: i64, received_at: i64) -> Stand {
    Stand {
        number: 0,
        at,
        received_at,
    }
}

impl Record {
    fn of(entry: &JournalEntry) -> rusqlite::Result<Self> {
        Ok(match entry {
            JournalEntry::Reading { reading, findings } => {
                let (at, received_at) = (millis(reading.sampled_at), millis(reading.received_at));
                let is_usable = !findings.iter().any(|f| f.severity == Severity::Fail);
                let mut body = Vec::new();
                body::encode(reading, is_usable, stand(at, received_at), &mut body);
                Self::Reading {
                    meter: reading.meter.as_str().to_owned(),
                    at,
                    received_at,
                    body,
                    findings: findings.iter().map(Found::of).collect::<Result<_, _>>()?,
                }
            }
            JournalEntry::Reject(RejectedFrame {
                frame,
                meter,
                reason,
            }) => Self::Reject {
                meter: meter.as_ref().map(|meter| meter.as_str().to_owned()),
                code: reason.code.clone(),
                message: reason.message.clone(),
                transport: frame.transport.key().to_owned(),
                origin: frame.origin.clone(),
                device: frame.device.as_ref().map(|d| d.as_str().to_owned()),
                received_at: millis(frame.received_at),
                bytes: frame.bytes.to_vec(),
            },
        })
    }

    fn into_entry(self) -> Option<JournalEntry> {
        Some(match self {
            Self::Reading {
                meter,
                at,
                received_at,
                body,
                findings,
            } => {
                let meter = MeterId::new(meter);
                let body = Body::decode(stand(at, received_at), &body)?;
                let found = findings.into_iter().filter_map(|f| f.into_finding(&meter));
                let findings = found.collect();
                let (sampled_at, received_at): (DateTime<Utc>, _) =
                    (instant(at), instant(received_at));
                let reading: Reading = body.into_reading(meter, sampled_at, received_at);
                JournalEntry::Reading { reading, findings }
            }
            Self::Reject {
                meter,
                code,
                message,
                transport,
                origin,
                device,
                received_at,
                bytes,
            } => JournalEntry::Reject(RejectedFrame {
                frame: RawFrame {
                    transport: Transport::from_key(&transport)?,
                    origin,
                    device: device.map(DeviceId::new),
                    bytes: Bytes::from(bytes),
                    received_at: instant(received_at),
                },
                meter: meter.map(MeterId::new),
                reason: RejectReason { code, message },
            }),
        })
    }
}

/// Entries as bytes, with their checksum.
pub(super) fn encode(entries: &[JournalEntry]) -> rusqlite::Result<(Vec<u8>, u32)> {
    let records = entries.iter().map(Record::of);
    let records = records.collect::<Result<Vec<_>, _>>()?;
    let body = postcard::to_stdvec(&records)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let checksum = CRC.checksum(&body);
    Ok((body, checksum))
}

/// Counts the entries of `encode`; false if these are not the bytes that were written.
pub(super) fn look(body: &[u8], checksum: u32, heap: &mut Heap) -> bool {
    if CRC.checksum(body) != checksum {
        return false;
    }
    let Ok(records) = postcard::from_bytes::<Vec<Record>>(body) else {
        return false;
    };
    for record in records {
        match record {
            Record::Reading { meter, at, .. } => heap.add_reading(&MeterId::new(meter), at),
            Record::Reject { .. } => heap.add_reject(),
        }
    }
    true
}

/// Whether these are the bytes of a delivery.
pub(in crate::store) fn is_delivery(body: &[u8], checksum: u32) -> bool {
    decode(body, checksum).is_some()
}

/// The entries of `encode`; none if these are not the bytes that were written.
pub(super) fn decode(body: &[u8], checksum: u32) -> Option<Vec<JournalEntry>> {
    if CRC.checksum(body) != checksum {
        return None;
    }
    let records: Vec<Record> = postcard::from_bytes(body).ok()?;
    records.into_iter().map(Record::into_entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::{Alarm, AlarmSet, FrozenTotals, Item, ItemValue};
    use crate::validate::rules::v01_duplicate;

    #[test]
    fn a_delivery_comes_back_whole_and_a_changed_byte_is_told() {
        let at: DateTime<Utc> = "2026-11-21T00:10:00.125Z".parse().unwrap();
        let reading = Reading {
            meter: MeterId::new("表-1"),
            sampled_at: at,
            received_at: at + chrono::TimeDelta::seconds(4),
            transport: Transport::Modbus,
            values: vec![
                (Item::TotalStd, ItemValue::Exact(12_345_678_901)),
                (Item::FlowStd, ItemValue::Float(0.1 + 0.2)),
            ],
            frozen: vec![FrozenTotals {
                item: Item::TotalStd,
                first_at: at,
                step_s: 3_600,
                totals: vec![Some(1), None, Some(-7)],
            }],
            alarms: AlarmSet::default().with(Alarm::ALL[0]),
        };
        let entries = vec![
            JournalEntry::Reading {
                findings: vec![v01_duplicate::reported_differently(
                    &reading.meter,
                    at,
                    v01_duplicate::Part::Item(Item::TotalStd),
                    &["1 (mqtt)".to_owned(), "2 (http)".to_owned()],
                )],
                reading,
            },
            JournalEntry::Reject(RejectedFrame {
                frame: RawFrame {
                    transport: Transport::Http,
                    origin: "line 4".to_owned(),
                    device: Some(DeviceId::new("d1")),
                    bytes: Bytes::from_static(&[0, 1, 255]),
                    received_at: at,
                },
                meter: None,
                reason: RejectReason::new("decode.truncated", "it ends early"),
            }),
        ];
        let (body, checksum) = encode(&entries).unwrap();
        assert_eq!(decode(&body, checksum).unwrap(), entries);
        for index in 0..body.len() {
            let mut changed = body.clone();
            changed[index] ^= 4;
            assert_eq!(decode(&changed, checksum), None, "byte {index}");
        }
    }
}
