use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::body::Body;
use super::*;
use crate::domain::finding::{Quality, RuleId, Severity};
use crate::domain::frame::{RawFrame, RejectReason, Transport};
use crate::domain::quantity::StdVolume;
use crate::domain::reading::{AlarmSet, FrozenTotals, Item, ItemValue};
use crate::domain::series::LoadCurve;

fn at(minute: i64) -> DateTime<Utc> {
    GasDayClock::default().start_of(day()) + TimeDelta::minutes(minute)
}

fn day() -> GasDay {
    "2026-11-21".parse().unwrap()
}

fn reading(meter: &str, minute: i64, units: i64) -> Reading {
    Reading {
        meter: meter.into(),
        sampled_at: at(minute),
        received_at: at(minute) + TimeDelta::seconds(3),
        transport: Transport::Mqtt,
        values: vec![
            (Item::TotalStd, ItemValue::Exact(units)),
            (Item::FlowStd, ItemValue::Float(12.5)),
        ],
        frozen: Vec::new(),
        alarms: AlarmSet::default(),
    }
}

fn entry(reading: Reading) -> JournalEntry {
    JournalEntry::Reading {
        reading,
        findings: Vec::new(),
    }
}

fn array(first_minute: i64, totals: &[Option<i64>]) -> FrozenTotals {
    FrozenTotals {
        item: Item::TotalStd,
        first_at: at(first_minute),
        step_s: 3_600,
        totals: totals.to_vec(),
    }
}

fn reject(bytes: &'static [u8], minute: i64) -> JournalEntry {
    JournalEntry::Reject(RejectedFrame {
        frame: RawFrame {
            transport: Transport::Mqtt,
            origin: "gas/x/up".into(),
            device: Some("d1".into()),
            bytes: bytes::Bytes::from_static(bytes),
            received_at: at(minute),
        },
        meter: Some("m1".into()),
        reason: RejectReason::new("decode.truncated", "frame has 3 bytes, expected 40"),
    })
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir.join("readings.db"), GasDayClock::default()).unwrap()
}

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_reading_comes_back_as_it_went_in() {
    let dir = temp();
    let journal = open(dir.path());
    let mut full = reading("m1", 10, -123_456_789);
    full.values
        .push((Item::Temperature, ItemValue::Float(21.649)));
    full.values
        .push((Item::PressureAbs, ItemValue::Float(1.0 / 3.0)));
    full.values
        .push((Item::ZFactor, ItemValue::Float(f64::from(0.1_f32))));
    full.frozen.push(array(-120, &[Some(7), None, Some(5)]));
    full.alarms = AlarmSet(5);
    journal.commit_blocking(vec![entry(full.clone())]).unwrap();
    assert_eq!(
        journal
            .readings_between(&"m1".into(), at(10), at(11))
            .unwrap(),
        [full.clone()]
    );
    assert_eq!(
        journal
            .readings_between(&"m1".into(), at(0), at(10))
            .unwrap(),
        []
    );
    assert_eq!(journal.latest(&"m1".into()).unwrap(), Some(full));
    assert_eq!(journal.latest(&"nobody".into()).unwrap(), None);
}

#[test]
fn the_same_again_changes_nothing_and_counts_as_duplicate() {
    let dir = temp();
    let journal = open(dir.path());
    let first = journal
        .commit_blocking(vec![entry(reading("m1", 1, 5)), entry(reading("m1", 1, 5))])
        .unwrap();
    assert_eq!((first.accepted, first.duplicate), (1, 1));
    journal
        .put_curves(CurveBatch {
            curves: Vec::new(),
            cleared: journal.dirty_days(10).unwrap(),
            computed_at: at(5),
        })
        .unwrap();
    let again = journal
        .commit_blocking(vec![entry(reading("m1", 1, 5))])
        .unwrap();
    assert_eq!(again.duplicate, 1);
    assert_eq!(journal.dirty_len().unwrap(), 0, "nothing to compute again");
    let counters = journal.counters().unwrap();
    assert_eq!(
        (counters.received, counters.accepted, counters.duplicate),
        (3, 1, 2)
    );
}

#[test]
fn a_contradiction_keeps_both_and_the_winner_does_not_depend_on_the_order() {
    let by = |transport, units| {
        let mut reading = reading("m1", 1, units);
        reading.transport = transport;
        entry(reading)
    };
    let all = [
        by(Transport::Mqtt, 500),
        by(Transport::Import, 900),
        by(Transport::Modbus, 100),
        by(Transport::Mqtt, 100),
        by(Transport::Modbus, 90),
    ];
    let mut seen = Vec::new();
    for rotation in 0..all.len() {
        let dir = temp();
        let journal = open(dir.path());
        let mut order = all.to_vec();
        order.rotate_left(rotation);
        for entry in order {
            journal.commit_blocking(vec![entry]).unwrap();
        }
        let stored = journal.latest(&"m1".into()).unwrap().unwrap();
        assert_eq!(stored.exact(Item::TotalStd), Some(100));
        let found = journal.findings(&FindingFilter::default()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].rule, RuleId::V01);
        seen.push(found[0].message.clone());
        let counters = journal.counters().unwrap();
        assert_eq!(counters.received, 5);
        assert_eq!(counters.conflicts, 3);
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].contains("0.0100 by modbus"), "{}", seen[0]);
    assert!(seen[0].contains("0.0900 by import"), "{}", seen[0]);
}

#[test]
fn items_new_to_a_row_are_merged() {
    let dir = temp();
    let journal = open(dir.path());
    let mut other = reading("m1", 1, 5);
    other.values = vec![(Item::Temperature, ItemValue::Float(15.0))];
    other.frozen.push(array(-60, &[Some(1)]));
    journal
        .commit_blocking(vec![entry(reading("m1", 1, 5))])
        .unwrap();
    let report = journal.commit_blocking(vec![entry(other)]).unwrap();
    assert_eq!((report.accepted, report.conflicts), (1, 0));
    let stored = journal.latest(&"m1".into()).unwrap().unwrap();
    assert_eq!(stored.values.len(), 3);
    assert_eq!(stored.frozen.len(), 1);
}

#[test]
fn an_array_marks_and_is_found_on_the_days_it_speaks_of() {
    let dir = temp();
    let journal = open(dir.path());
    let mut late = reading("m1", 30, 99);
    late.values.clear();
    late.frozen
        .push(array(-24 * 60, &(0..=24).map(Some).collect::<Vec<_>>()));
    journal.commit_blocking(vec![entry(late)]).unwrap();
    let days: Vec<_> = journal
        .dirty_days(10)
        .unwrap()
        .into_iter()
        .map(|d| d.day)
        .collect();
    assert_eq!(days, [day().plus(-1), day()]);
    let (before, after) = journal
        .neighbours(&"m1".into(), Item::TotalStd, day(), day().plus(1), 3)
        .unwrap();
    assert_eq!(
        before.iter().map(|p| p.units).collect::<Vec<_>>(),
        [21, 22, 23]
    );
    assert_eq!(after, []);
    let point = journal
        .total_before(&"m1".into(), Item::TotalStd, at(-60))
        .unwrap()
        .unwrap();
    assert_eq!((point.units, point.is_frozen), (22, true));
    let point = journal
        .total_after(&"m1".into(), Item::TotalStd, at(-61))
        .unwrap()
        .unwrap();
    assert_eq!(point.units, 23);
}

#[test]
fn neighbours_are_found_across_a_long_silence() {
    let dir = temp();
    let journal = open(dir.path());
    let far = 90 * 24 * 60;
    let entries = [-far, -far + 1, 0, far, far + 1, far + 2, far + 3]
        .map(|minute| entry(reading("m1", minute, minute + far)));
    journal.commit_blocking(entries.to_vec()).unwrap();
    let (before, after) = journal
        .neighbours(&"m1".into(), Item::TotalStd, day(), day().plus(1), 3)
        .unwrap();
    assert_eq!(before.iter().map(|p| p.units).collect::<Vec<_>>(), [0, 1]);
    let after: Vec<_> = after.iter().map(|p| p.units).collect();
    assert_eq!(after, [2 * far, 2 * far + 1, 2 * far + 2]);
}

#[test]
fn a_reading_that_must_not_be_used_is_kept_and_touches_no_curve() {
    let dir = temp();
    let journal = open(dir.path());
    let future = reading("m1", 60 * 24 * 365 * 70, 5);
    let finding = Finding {
        rule: RuleId::V02,
        severity: Severity::Fail,
        meter: "m1".into(),
        at: future.sampled_at,
        message: "ahead".into(),
    };
    journal
        .commit_blocking(vec![JournalEntry::Reading {
            reading: future.clone(),
            findings: vec![finding.clone()],
        }])
        .unwrap();
    assert_eq!(journal.dirty_len().unwrap(), 0);
    assert_eq!(journal.latest(&"m1".into()).unwrap(), None);
    let stored = journal
        .readings_between(
            &"m1".into(),
            future.sampled_at,
            future.sampled_at + TimeDelta::minutes(1),
        )
        .unwrap();
    assert_eq!(stored, std::slice::from_ref(&future));
    let day = GasDayClock::default().day_of(future.sampled_at);
    let usable = journal
        .curve_readings(&"m1".into(), Item::TotalStd, day, day.plus(1), 3)
        .unwrap();
    assert_eq!(usable, []);
    assert_eq!(journal.findings_on(&"m1".into(), day).unwrap(), [finding]);
    // The same from a source whose time is right makes it usable after all.
    journal.commit_blocking(vec![entry(future)]).unwrap();
    assert_eq!(journal.dirty_len().unwrap(), 1);
}

#[test]
fn a_curve_that_did_not_change_keeps_its_version() {
    let dir = temp();
    let journal = open(dir.path());
    let mut curve = LoadCurve::missing("m1".into(), day());
    curve.hours[3] = StdVolume::from_units(-7);
    curve.hours[23] = StdVolume::from_m3(123_456);
    curve.quality[3] = Quality::Estimated;
    curve.quality[23] = Quality::Measured;
    let put = |curve: &LoadCurve, minute| {
        journal
            .put_curves(CurveBatch {
                curves: vec![CurveWrite {
                    curve: curve.clone(),
                    findings: Vec::new(),
                }],
                cleared: Vec::new(),
                computed_at: at(minute),
            })
            .unwrap()
    };
    assert_eq!(put(&curve, 1), 1);
    assert_eq!(put(&curve, 2), 0);
    let stored = journal.stored_curve(&"m1".into(), day()).unwrap().unwrap();
    assert_eq!((stored.version, stored.computed_at), (1, at(1)));
    assert_eq!(stored.curve, curve);
    assert_eq!(journal.stale_demand_days().unwrap().len(), 1);
    curve.quality[3] = Quality::Measured;
    assert_eq!(put(&curve, 3), 1);
    let stored = journal.stored_curve(&"m1".into(), day()).unwrap().unwrap();
    assert_eq!((stored.version, stored.computed_at), (2, at(3)));
    assert_eq!(journal.curves_on(day()).unwrap(), [curve.clone()]);
    assert_eq!(
        journal
            .curves_of(&"m1".into(), day().plus(-9), day().plus(9))
            .unwrap(),
        [curve]
    );
    assert_eq!(
        journal
            .curves_of(&"m1".into(), day().plus(-9), day())
            .unwrap(),
        [],
        "the end is excluded"
    );
}

#[test]
fn a_mark_made_while_its_curve_is_computed_is_not_cleared() {
    let dir = temp();
    let journal = open(dir.path());
    journal
        .commit_blocking(vec![entry(reading("m1", 1, 5))])
        .unwrap();
    let taken = journal.dirty_days(10).unwrap();
    journal
        .commit_blocking(vec![entry(reading("m1", 2, 6))])
        .unwrap();
    let clear = |cleared| CurveBatch {
        curves: Vec::new(),
        cleared,
        computed_at: at(5),
    };
    journal.put_curves(clear(taken)).unwrap();
    assert_eq!(journal.dirty_len().unwrap(), 1);
    journal
        .put_curves(clear(journal.dirty_days(10).unwrap()))
        .unwrap();
    assert_eq!(journal.dirty_len().unwrap(), 0);
}

#[test]
fn rejects_are_listed_replayed_and_counted_each_time() {
    let dir = temp();
    let journal = open(dir.path());
    let entries = vec![reject(b"abc", 1), reject(b"abc", 2), reject(b"xyz", 3)];
    assert_eq!(journal.commit_blocking(entries).unwrap().rejected, 3);
    let all = journal.rejects(&RejectFilter::default()).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(&all[0].rejected.frame.bytes[..], b"xyz");
    assert_eq!(all[1].times, 2);
    assert_eq!(
        (all[1].rejected.frame.received_at, all[1].last_received_at),
        (at(1), at(2))
    );
    let taken = Replayed {
        id: all[1].id,
        entry: entry(reading("m0", 1, 5)),
    };
    let report = journal.commit_replay(vec![taken], at(9)).unwrap();
    assert_eq!(
        (report.accepted, report.duplicate, report.refused),
        (1, 0, 0)
    );
    assert_eq!(journal.rejects(&RejectFilter::default()).unwrap().len(), 1);
    let replayed = journal.reject(all[1].id).unwrap().unwrap();
    assert_eq!(replayed.replayed_at, Some(at(9)));
    let filter = RejectFilter {
        code: Some("decode.other".into()),
        with_replayed: true,
        ..RejectFilter::default()
    };
    assert_eq!(journal.rejects(&filter).unwrap(), []);
    journal.commit_blocking(vec![reject(b"abc", 10)]).unwrap();
    let again = journal.reject(all[1].id).unwrap().unwrap();
    assert_eq!((again.times, again.replayed_at), (3, None));
    assert_eq!(journal.counters().unwrap().rejected, 4);
    assert_sums_hold(&journal);
}

/// received = accepted + duplicate + rejected, and rejected = waiting + replayed + dropped + purged.
fn assert_sums_hold(journal: &Journal) -> RejectStats {
    let stats = journal.reject_stats().unwrap();
    let counters = stats.counters;
    assert_eq!(
        counters.received,
        counters.accepted + counters.duplicate + counters.rejected
    );
    assert_eq!(
        counters.rejected,
        stats.waiting + stats.replayed + stats.dropped + stats.purged,
        "{stats:?}"
    );
    let rows = journal
        .rejects(&RejectFilter {
            with_replayed: true,
            ..RejectFilter::default()
        })
        .unwrap();
    let bytes: usize = rows.iter().map(|r| r.rejected.frame.bytes.len()).sum();
    assert_eq!(
        (stats.frames, stats.bytes),
        (rows.len() as u64, bytes as u64)
    );
    stats
}

#[test]
fn a_replay_is_one_transaction_and_no_delivery() {
    let dir = temp();
    let journal = open(dir.path());
    let entries = vec![
        reject(b"abc", 1),
        reject(b"xyz", 3),
        entry(reading("m1", 1, 5)),
    ];
    journal.commit_blocking(entries).unwrap();
    let ids: Vec<i64> = journal
        .rejects_after(&RejectFilter::default(), i64::MIN)
        .unwrap()
        .iter()
        .map(|r| r.id)
        .collect();
    let again = RejectedFrame {
        reason: RejectReason::new("decode.other", "still not"),
        ..journal.reject(ids[1]).unwrap().unwrap().rejected
    };
    let replay = || {
        vec![
            Replayed {
                id: ids[0],
                entry: entry(reading("m1", 1, 5)),
            },
            Replayed {
                id: ids[1],
                entry: JournalEntry::Reject(again.clone()),
            },
        ]
    };
    let report = journal.commit_replay(replay(), at(9)).unwrap();
    assert_eq!(
        (report.accepted, report.duplicate, report.refused),
        (0, 1, 1)
    );
    let kept = journal.reject(ids[1]).unwrap().unwrap();
    assert_eq!(kept.rejected.reason.code, "decode.other");
    assert_eq!(
        (kept.times, kept.replayed_at),
        (1, None),
        "a replay is no delivery"
    );
    let stats = assert_sums_hold(&journal);
    assert_eq!(
        (stats.counters.received, stats.replayed, stats.waiting),
        (3, 1, 1)
    );
    assert_eq!(stats.by_code, [("decode.other".to_owned(), 1)].into());
    // Nothing of a replay that fails is left: neither reading nor mark.
    journal.limit_size(Some(1)).unwrap();
    let many: Vec<_> = (0..2_000)
        .map(|i| Replayed {
            id: ids[1],
            entry: entry(reading("m2", i, i)),
        })
        .collect();
    assert_eq!(
        journal.commit_replay(many, at(10)).unwrap_err().code(),
        "store.full"
    );
    assert!(journal.latest(&"m2".into()).unwrap().is_none());
    assert_eq!(journal.reject(ids[1]).unwrap().unwrap().replayed_at, None);
}

#[test]
fn retention_drops_what_is_old_then_what_was_replayed_then_the_oldest() {
    let dir = temp();
    let journal = open(dir.path());
    let frames: [(&'static [u8], i64); 4] =
        [(b"aaaa", 1), (b"bbbb", 2), (b"cccc", 3), (b"dddd", 4)];
    for (bytes, minute) in frames {
        journal
            .commit_blocking(vec![reject(bytes, minute), reject(bytes, minute)])
            .unwrap();
    }
    let left = || -> Vec<u8> {
        journal
            .rejects_after(
                &RejectFilter {
                    with_replayed: true,
                    ..RejectFilter::default()
                },
                i64::MIN,
            )
            .unwrap()
            .iter()
            .map(|r| r.rejected.frame.bytes[0])
            .collect()
    };
    let third = journal
        .rejects_after(&RejectFilter::default(), i64::MIN)
        .unwrap()[2]
        .id;
    let taken = Replayed {
        id: third,
        entry: entry(reading("m0", 1, 5)),
    };
    journal.commit_replay(vec![taken], at(9)).unwrap();
    let dropped = journal.drop_rejects(at(2), 1_000).unwrap();
    assert_eq!(
        (dropped.frames, dropped.deliveries, dropped.is_partial),
        (1, 2, false)
    );
    assert_eq!(left(), b"bcd");
    journal.drop_rejects(at(0), 8).unwrap();
    assert_eq!(left(), b"bd", "the replayed one makes room first");
    journal.drop_rejects(at(0), 4).unwrap();
    assert_eq!(left(), b"d", "then the oldest");
    assert_eq!(journal.drop_rejects(at(0), 4).unwrap().frames, 0);
    let stats = assert_sums_hold(&journal);
    assert_eq!((stats.dropped, stats.waiting), (6, 2));
    let purged = journal.purge_rejects(&RejectFilter::default()).unwrap();
    assert_eq!((purged.frames, purged.deliveries), (1, 2));
    assert_eq!(assert_sums_hold(&journal).purged, 2);
}

#[test]
fn a_journal_of_the_first_schema_is_brought_up_with_what_is_in_it() {
    let dir = temp();
    let path = dir.path().join("readings.db");
    let c = Connection::open(&path).unwrap();
    c.execute_batch(MIGRATIONS[0]).unwrap();
    c.execute_batch(
        "PRAGMA user_version=1;
         INSERT INTO meta VALUES ('gas_day_start_hour', '8');
         INSERT INTO counters VALUES ('rejected', 2);
         INSERT INTO rejects VALUES (1, x'00', 'mqtt', 't', NULL, NULL, x'0102030405', 'c', 'm', 1, 2, 2, NULL);",
    )
    .unwrap();
    drop(c);
    let journal = open(dir.path());
    let stats = assert_sums_hold(&journal);
    assert_eq!((stats.waiting, stats.bytes, stats.frames), (2, 5, 1));
}

#[test]
fn filters_name_device_origin_and_time() {
    let dir = temp();
    let journal = open(dir.path());
    journal
        .commit_blocking(vec![reject(b"abc", 1), reject(b"xyz", 5)])
        .unwrap();
    let count = |filter: RejectFilter| {
        let listed = journal.rejects(&filter).unwrap().len();
        assert_eq!(journal.count_rejects(&filter).unwrap(), listed as u64);
        listed
    };
    let of = RejectFilter::default;
    assert_eq!(count(of()), 2);
    assert_eq!(
        count(RejectFilter {
            device: Some("d1".into()),
            ..of()
        }),
        2
    );
    assert_eq!(
        count(RejectFilter {
            device: Some("d2".into()),
            ..of()
        }),
        0
    );
    assert_eq!(
        count(RejectFilter {
            origin: Some("x/u".into()),
            ..of()
        }),
        2
    );
    assert_eq!(
        count(RejectFilter {
            origin: Some("%".into()),
            ..of()
        }),
        0
    );
    assert_eq!(
        count(RejectFilter {
            since: Some(at(5)),
            ..of()
        }),
        1
    );
    assert_eq!(
        count(RejectFilter {
            before: Some(at(5)),
            ..of()
        }),
        1
    );
    assert_eq!(
        count(RejectFilter {
            only_replayed: true,
            ..of()
        }),
        0
    );
}

#[test]
fn clocks_are_kept_over_a_restart() {
    let dir = temp();
    let clock = StoredClock {
        meter: "m1".into(),
        watch: crate::validate::clock::ClockWatch::new(true, at(3), at(1)),
        flagged_at: Some(at(1)),
    };
    let journal = open(dir.path());
    journal.put_clocks(vec![clock.clone()]).unwrap();
    drop(journal);
    assert_eq!(open(dir.path()).clocks().unwrap(), [clock]);
}

#[test]
fn verify_reads_every_reading() {
    let dir = temp();
    let journal = open(dir.path());
    journal
        .commit_blocking(vec![entry(reading("m0", 0, 0)), entry(reading("m0", 1, 1))])
        .unwrap();
    assert_eq!(journal.verify().unwrap(), 2);
    let c = Connection::open(journal.path()).unwrap();
    c.execute(
        "UPDATE readings SET body = x'FFFF' WHERE at = (SELECT max(at) FROM readings)",
        [],
    )
    .unwrap();
    assert_eq!(journal.verify().unwrap_err().code(), "store.damaged");
}

#[test]
fn a_full_disk_is_a_clear_error_and_nothing_is_lost() {
    let dir = temp();
    let journal = open(dir.path());
    journal
        .commit_blocking(vec![entry(reading("m0", 0, 0))])
        .unwrap();
    journal.limit_size(Some(1)).unwrap();
    let many: Vec<_> = (0..5_000)
        .map(|i| entry(reading(&format!("m{}", i % 50), i, i)))
        .collect();
    let error = journal.commit_blocking(many.clone()).unwrap_err();
    assert_eq!(error.code(), "store.full");
    assert!(error.is_transient());
    let text = error.to_string();
    for part in ["readings.db", "nothing", "free space", "again"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(journal.counters().unwrap().received, 1);
    assert_eq!(
        journal.latest_all().unwrap().len(),
        1,
        "no part of it is stored"
    );
    journal.limit_size(None).unwrap();
    let report = journal.commit_blocking(many).unwrap();
    assert_eq!((report.accepted, report.duplicate), (4_999, 1));
    assert_eq!(journal.latest_all().unwrap().len(), 50);
}

#[test]
fn a_second_writer_is_refused_and_a_reader_is_not() {
    let dir = temp();
    let journal = open(dir.path());
    journal
        .commit_blocking(vec![entry(reading("m1", 1, 5))])
        .unwrap();
    let path = dir.path().join("readings.db");
    let error = Journal::open(&path, GasDayClock::default()).unwrap_err();
    assert_eq!(error.code(), "store.locked");
    assert!(error.to_string().contains("another process"), "{error}");
    let reader = Journal::open_read_only(&path, GasDayClock::default()).unwrap();
    assert!(reader.latest(&"m1".into()).unwrap().is_some());
    let error = reader
        .commit_blocking(vec![entry(reading("m1", 2, 5))])
        .unwrap_err();
    assert_eq!(error.code(), "store.read_only");
    drop(journal);
    open(dir.path());
}

#[test]
fn a_newer_file_another_gas_day_and_a_broken_file_are_refused_in_words() {
    let dir = temp();
    let path = dir.path().join("readings.db");
    drop(open(dir.path()));
    let other = GasDayClock { start_hour: 6 };
    let error = Journal::open(&path, other).unwrap_err();
    assert_eq!(error.code(), "store.other_gas_day");
    assert!(error.to_string().contains("08:00"), "{error}");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let error = Journal::open(&path, GasDayClock::default()).unwrap_err();
    assert_eq!(error.code(), "store.newer_version");
    assert!(error.to_string().contains("schema 99"), "{error}");
    let garbage = dir.path().join("garbage.db");
    std::fs::write(&garbage, vec![7; 8_192]).unwrap();
    let error = Journal::open(&garbage, GasDayClock::default()).unwrap_err();
    assert_eq!(error.code(), "store.damaged");
    let nowhere = dir.path().join("no/such/dir/readings.db");
    let error = Journal::open(nowhere, GasDayClock::default()).unwrap_err();
    assert_eq!(error.code(), "store.not_writable");
    let error =
        Journal::open_read_only(dir.path().join("none.db"), GasDayClock::default()).unwrap_err();
    assert_eq!(error.code(), "store.not_writable");
}

#[test]
fn a_changed_rule_marks_every_day_of_its_meter_once() {
    let dir = temp();
    let journal = open(dir.path());
    let entries = vec![
        entry(reading("m1", 1, 5)),
        entry(reading("m1", 60 * 48, 6)),
        entry(reading("m2", 1, 5)),
    ];
    journal.commit_blocking(entries).unwrap();
    let clear = || CurveBatch {
        curves: Vec::new(),
        cleared: journal.dirty_days(10).unwrap(),
        computed_at: at(5),
    };
    let rules = |first: u8| vec![("m1".into(), vec![first]), ("m2".into(), vec![1])];
    assert_eq!(journal.sync_curve_rules(rules(1)).unwrap().len(), 2);
    journal.put_curves(clear()).unwrap();
    assert_eq!(journal.sync_curve_rules(rules(1)).unwrap(), []);
    assert_eq!(journal.dirty_len().unwrap(), 0);
    assert_eq!(journal.sync_curve_rules(rules(2)).unwrap(), ["m1".into()]);
    assert_eq!(journal.dirty_len().unwrap(), 2);
}

#[test]
fn findings_come_newest_first_and_within_the_limit() {
    let dir = temp();
    let journal = open(dir.path());
    let found = |minute: i64, rule| Finding {
        rule,
        severity: Severity::Info,
        meter: "m1".into(),
        at: at(minute),
        message: format!("{minute}"),
    };
    let entries = (0..6)
        .map(|i| JournalEntry::Reading {
            reading: reading("m1", i * 1_000, i),
            findings: vec![found(
                i * 1_000,
                if i % 2 == 0 { RuleId::V03 } else { RuleId::V25 },
            )],
        })
        .collect();
    journal.commit_blocking(entries).unwrap();
    let of = |filter: FindingFilter| -> Vec<String> {
        let found = journal.findings(&filter).unwrap();
        found.into_iter().map(|f| f.message).collect()
    };
    let limited = FindingFilter {
        limit: 2,
        ..FindingFilter::default()
    };
    assert_eq!(of(limited), ["5000", "4000"]);
    let by_rule = FindingFilter {
        rule: Some(RuleId::V03),
        from: Some(at(1)),
        ..FindingFilter::default()
    };
    assert_eq!(of(by_rule), ["4000", "2000"]);
    let nobody = FindingFilter {
        meter: Some("m9".into()),
        ..FindingFilter::default()
    };
    assert_eq!(of(nobody), Vec::<String>::new());
}

#[tokio::test]
async fn many_commits_at_once_are_all_durable() {
    let dir = temp();
    let journal = open(dir.path());
    let commits = (0..40).map(|i| {
        let journal = journal.clone();
        async move {
            let entries = (0..10).map(|k| entry(reading("m1", i * 10 + k, 1)));
            journal.commit(entries.collect()).await.unwrap().accepted
        }
    });
    let accepted: u64 = futures_util::future::join_all(commits).await.iter().sum();
    assert_eq!(accepted, 400);
    let path = journal.path().to_owned();
    tokio::task::spawn_blocking(move || drop(journal))
        .await
        .unwrap();
    let journal = Journal::open_read_only(path, GasDayClock::default()).unwrap();
    let stored = journal
        .readings_between(&"m1".into(), at(0), at(400))
        .unwrap();
    assert_eq!(stored.len(), 400);
}

fn arb_reading() -> impl Strategy<Value = Reading> {
    let value = prop_oneof![
        any::<i32>().prop_map(|v| ItemValue::Float(f64::from(v) / 100.0)),
        (-1e300..1e300_f64).prop_map(ItemValue::Float),
    ];
    let transport = prop_oneof![
        Just(Transport::Mqtt),
        Just(Transport::Modbus),
        Just(Transport::Import)
    ];
    let totals = prop::collection::vec(prop::option::of(0_i64..4), 1..4);
    (
        transport,
        prop::option::of(0_i64..3),
        prop::option::of(value),
        prop::collection::vec((0_i64..3, totals), 0..3),
        any::<bool>(),
    )
        .prop_map(|(transport, total, temperature, arrays, is_low)| {
            let mut reading = reading("m1", 0, 0);
            reading.transport = transport;
            reading.values.clear();
            reading
                .values
                .extend(total.map(|t| (Item::TotalStd, ItemValue::Exact(t))));
            reading
                .values
                .extend(temperature.map(|t| (Item::Temperature, t)));
            reading.frozen = arrays.iter().map(|(h, t)| array(h * 60, t)).collect();
            reading.alarms = AlarmSet(u32::from(is_low));
            reading
        })
}

proptest! {
    #[test]
    fn bodies_round_trip(reading in arb_reading(), is_usable: bool) {
        let body = Body::new(&reading, is_usable);
        let bytes = body.encode(7);
        let mut straight = Vec::new();
        let traits = super::body::encode(&reading, is_usable, 7, &mut straight);
        prop_assert_eq!(&straight, &bytes, "the short way gives the same bytes");
        prop_assert_eq!(traits, body.traits());
        prop_assert_eq!(Body::decode(7, &bytes), Some(body));
        for length in 0..bytes.len() {
            // Cut anywhere it is unreadable or another body, never a panic.
            Body::decode(7, &bytes[..length]);
        }
    }

    #[test]
    fn merging_in_any_order_ends_the_same(
        readings in prop::collection::vec((arb_reading(), any::<bool>()), 1..6),
        rotation in 0_usize..6,
        is_reversed: bool,
    ) {
        let bodies: Vec<Body> = readings.iter().map(|(r, usable)| Body::new(r, *usable)).collect();
        let join = |order: &[Body]| {
            let mut joined = order[0].clone();
            for body in &order[1..] {
                joined.merge(body);
            }
            joined
        };
        let mut other = bodies.clone();
        other.rotate_left(rotation % bodies.len());
        if is_reversed {
            other.reverse();
        }
        let joined = join(&bodies);
        prop_assert_eq!(&join(&other), &joined);
        let mut again = joined.clone();
        for body in &bodies {
            let merged = again.merge(body);
            prop_assert!(!merged.has_changed && !merged.has_news);
        }
    }

    #[test]
    fn days_are_cut_as_the_clock_cuts_them(
        seconds in -4_000_000_000_i64..8_000_000_000,
        start_hour in 0_u32..24,
    ) {
        let clock = GasDayClock { start_hour };
        let at = DateTime::from_timestamp(seconds, 0).unwrap();
        prop_assert_eq!(ingest::epoch_day(clock, millis(at)), clock.day_of(at).epoch_day());
    }
}

/// Everything but when marks were made, row by row.
fn contents(journal: &Journal) -> Vec<String> {
    let tables = [
        "SELECT day, meter, at, received_at, hex(body) FROM readings ORDER BY 1, 2, 3",
        "SELECT block, meter, singles, today, next, far FROM presence ORDER BY 1, 2",
        "SELECT meter, day, row_day, 0, 0 FROM presence_far ORDER BY 1, 2, 3",
        "SELECT meter, day, at, received_at, 0 FROM latest ORDER BY 1",
        "SELECT meter, at, hex(part), hex(value), transport FROM conflicts ORDER BY 1, 2, 3, 4",
        "SELECT day, meter, at, rule, message FROM findings ORDER BY 1, 2, 3, 4, 5",
        "SELECT day, meter, 0, 0, 0 FROM dirty ORDER BY 1, 2",
        "SELECT name, value, 0, 0, 0 FROM counters ORDER BY 1",
        "SELECT id, hex(rows), 0, 0, 0 FROM inbox ORDER BY 1",
    ];
    let read = journal.read("reading everything", |c| {
        let mut lines = Vec::new();
        for table in tables {
            let mut statement = c.prepare(table)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let cells: Vec<_> = (0..5).map(|i| format!("{:?}", row.get_ref(i))).collect();
                lines.push(cells.join(" "));
            }
        }
        Ok(lines)
    });
    read.unwrap()
}

#[tokio::test]
async fn what_is_received_comes_to_the_same_place_as_what_is_committed() {
    let readings = |from: i64, to: i64| -> Vec<JournalEntry> {
        let all = (from..to).map(|i| {
            // Days and meters in turn, now and then the same instant again with another total.
            let (meter, minute) = (i % 97, (i / 97) % 50 * 1_000);
            let mut reading = reading(&format!("m{meter}"), minute, i % 3);
            if i % 1_009 == 0 {
                reading.frozen.push(array(minute - 3_000, &[Some(i), None]));
            }
            entry(reading)
        });
        all.collect()
    };
    let (first, second) = (temp(), temp());
    let committed = open(first.path());
    let received = open(second.path());
    let mut has_waited = 0;
    let mut accepted = 0;
    for part in 0..60 {
        let (from, to) = (part * 1_000, (part + 1) * 1_000);
        committed.commit(readings(from, to)).await.unwrap();
        let report = received
            .receive(Arc::new(readings(from, to)))
            .await
            .unwrap();
        has_waited = report.waiting.max(has_waited);
        accepted += report.accepted + report.duplicate;
    }
    assert!(has_waited > 20_000, "{has_waited} waited at most");
    assert!(
        accepted > 20_000,
        "{accepted} were put at their place on the way"
    );
    let report = received.settle().await.unwrap();
    assert_eq!(report.waiting, 0);
    assert_eq!(accepted + report.accepted + report.duplicate, 60_000);
    assert_eq!(contents(&received), contents(&committed));
}

#[tokio::test]
async fn what_a_crash_leaves_in_the_inbox_is_put_at_its_place_once() {
    let dir = temp();
    let readings = |part: i64| -> Arc<Vec<JournalEntry>> {
        let all = (0..1_000).map(|i| {
            let n = part * 1_000 + i;
            entry(reading(&format!("m{}", n % 500), n / 500, n))
        });
        Arc::new(all.collect())
    };
    let copy = temp();
    let journal = open(dir.path());
    for part in 0..30 {
        let report = journal.receive(readings(part)).await.unwrap();
        // The files as a power cut leaves them, also half way through a move.
        if part % 7 == 3 {
            for name in ["readings.db", "readings.db-wal"] {
                let to = copy.path().join(format!("{part}-{name}"));
                std::fs::copy(dir.path().join(name), to).unwrap();
            }
            let path = copy.path().join(format!("{part}-readings.db"));
            let crashed = Journal::open(&path, GasDayClock::default()).unwrap();
            let counters = crashed.counters().unwrap();
            let sum = (part + 1).unsigned_abs() * 1_000;
            assert_eq!(
                (counters.accepted, counters.duplicate),
                (sum, 0),
                "{report:?}"
            );
            tokio::task::spawn_blocking(move || drop(crashed))
                .await
                .unwrap();
        }
    }
    assert!(
        journal.counters().unwrap().accepted < 30_000,
        "nothing was half way"
    );
    tokio::task::spawn_blocking(move || drop(journal))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_failed_commit_forgets_what_it_received_and_nothing_else() {
    let dir = temp();
    let journal = open(dir.path());
    let batch = |from: i64| -> Arc<Vec<JournalEntry>> {
        let all = (from..from + 500).map(|i| entry(reading("m1", i, i)));
        Arc::new(all.collect())
    };
    journal.receive(batch(0)).await.unwrap();
    let limited = journal.clone();
    let limit = |bytes| {
        let journal = limited.clone();
        tokio::task::spawn_blocking(move || journal.limit_size(bytes).unwrap())
    };
    limit(Some(1)).await.unwrap();
    let error = journal.receive(batch(500)).await.unwrap_err();
    assert_eq!(error.code(), "store.full");
    limit(None).await.unwrap();
    let report = journal.receive(batch(1_000)).await.unwrap();
    assert_eq!(report.waiting, 1_000);
    let report = journal.settle().await.unwrap();
    assert_eq!((report.accepted, report.waiting), (1_000, 0));
}

#[tokio::test]
async fn a_replay_moves_what_waits_and_the_next_report_counts_it() {
    let dir = temp();
    let journal = open(dir.path());
    let waiting = (0..500).map(|i| entry(reading("m1", i, i)));
    let waiting = Arc::new(waiting.collect());
    assert_eq!(journal.receive(waiting).await.unwrap().waiting, 500);
    let replaying = journal.clone();
    let report = tokio::task::spawn_blocking(move || {
        let replayed = Replayed {
            id: 1,
            entry: entry(reading("m2", 1, 5)),
        };
        replaying.commit_replay(vec![replayed], at(9)).unwrap()
    });
    assert_eq!(report.await.unwrap().accepted, 1, "the replay's own");
    assert_eq!(journal.counters().unwrap().accepted, 500);
    let report = journal.settle().await.unwrap();
    assert_eq!((report.accepted, report.waiting), (500, 0));
}
