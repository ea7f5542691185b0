mod inbox;
mod rejects;

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::body::Body;
use super::*;
use crate::domain::calendar::GasDay;
use crate::domain::finding::{Quality, RuleId, Severity, Subject, Words};
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
    let bytes: usize = rows.iter().map(|r| r.size_bytes).sum();
    assert_eq!(
        (stats.frames, stats.bytes),
        (rows.len() as u64, bytes as u64)
    );
    stats
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
        seen.push(found[0].message_en());
        let counters = journal.counters().unwrap();
        assert_eq!(counters.received, 5);
        assert_eq!(counters.conflicts, 3);
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].contains("0.0100 (modbus)"), "{}", seen[0]);
    assert!(seen[0].contains("0.0900 (import)"), "{}", seen[0]);
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
        subject: Subject::Meter("m1".into()),
        at: future.sampled_at,
        words: Words::Text("ahead".into()),
    };
    journal
        .commit_blocking(vec![JournalEntry::Reading {
            reading: future.clone(),
            findings: vec![finding.clone()],
        }])
        .unwrap();
    assert_eq!(journal.dirty_len().unwrap(), 0);
    assert_eq!(journal.latest(&"m1".into()).unwrap(), None);
    let day = GasDayClock::default().day_of(future.sampled_at);
    let mut stored = Vec::new();
    let (from, to) = (day, day.plus(1));
    journal
        .for_each_reading(from, to, |reading| stored.push(reading))
        .unwrap();
    assert_eq!(stored, std::slice::from_ref(&future));
    let between = || {
        let (from, to) = (future.sampled_at, future.sampled_at + TimeDelta::minutes(1));
        journal.readings_between(&"m1".into(), from, to).unwrap()
    };
    assert_eq!(between(), []);
    let usable = journal
        .curve_readings(&"m1".into(), Item::TotalStd, day, day.plus(1), 3)
        .unwrap();
    assert_eq!(usable, []);
    let of_m1 = FindingFilter {
        meter: Some("m1".into()),
        ..FindingFilter::default()
    };
    assert_eq!(journal.findings(&of_m1).unwrap(), [finding]);
    // The same from a source whose time is right makes it usable after all.
    journal
        .commit_blocking(vec![entry(future.clone())])
        .unwrap();
    assert_eq!(journal.dirty_len().unwrap(), 1);
    assert_eq!(between(), std::slice::from_ref(&future));
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
fn a_journal_of_the_first_schema_is_brought_up_with_what_is_in_it() {
    let dir = temp();
    let path = dir.path().join("readings.db");
    let c = Connection::open(&path).unwrap();
    c.execute_batch(MIGRATIONS[0]).unwrap();
    c.execute_batch(
        "PRAGMA user_version=1;
         INSERT INTO meta VALUES ('gas_day_start_hour', '8');
         INSERT INTO counters VALUES ('rejected', 2);
         INSERT INTO rejects VALUES (1, x'3669EC0CF22278A3C1AE4D70A47735CB3C15E3674024B65BE43CC7B6723F3F65', 'mqtt', 't', NULL, NULL, x'0102030405', 'c', 'm', 1, 2, 2, NULL);",
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

/// As after an upgrade that computes curves of all meters otherwise, ended in the middle of it.
#[test]
fn days_of_changed_meters_are_marked_in_pieces_and_the_rest_after_a_restart() {
    let dir = temp();
    let path = dir.path().join("readings.db");
    let journal = Journal::open(&path, GasDayClock::default()).unwrap();
    let entries = (0..40).flat_map(|meter| {
        let days = 0..5;
        days.map(move |day| entry(reading(&format!("m{meter}"), 1_440 * day, day)))
    });
    journal.commit_blocking(entries.collect()).unwrap();
    let clear = |journal: &Journal| {
        let cleared = journal.dirty_days(1_000).unwrap();
        journal.put_curves(CurveBatch {
            curves: Vec::new(),
            cleared,
            computed_at: at(5),
        })
    };
    clear(&journal).unwrap();
    let rules: Vec<(MeterId, Vec<u8>)> = (0..40)
        .map(|meter| (format!("m{meter}").as_str().into(), vec![2]))
        .collect();
    let all = Arc::new(rules.clone());
    // Whole meters of five days until twelve are marked: three.
    let first = journal.take_rules(&all, 0, 12).unwrap();
    assert_eq!((first, journal.dirty_len().unwrap()), (3, 15));
    let second = journal.take_rules(&all, first, 12).unwrap();
    assert_eq!((second, journal.dirty_len().unwrap()), (6, 30));
    drop(journal);
    let journal = Journal::open(&path, GasDayClock::default()).unwrap();
    let rest = journal.sync_curve_rules(rules.clone()).unwrap();
    assert_eq!(rest.len(), 34);
    assert_eq!(journal.dirty_len().unwrap(), 200);
    assert_eq!(journal.sync_curve_rules(rules).unwrap(), []);
    // A city without totals yet is told in pieces, too.
    let silent = (0..30).map(|meter| (format!("s{meter}").as_str().into(), vec![2]));
    let silent = Arc::new(silent.collect::<Vec<_>>());
    assert_eq!(journal.take_rules(&silent, 0, 12).unwrap(), 12);
}

#[test]
fn findings_come_newest_first_and_within_the_limit() {
    let dir = temp();
    let journal = open(dir.path());
    let found = |minute: i64, rule| Finding {
        rule,
        severity: Severity::Info,
        subject: Subject::Meter("m1".into()),
        at: at(minute),
        words: Words::Text(format!("{minute}")),
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
        found.into_iter().map(|f| f.message_en()).collect()
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
    let by_severity = |severity| FindingFilter {
        severity: Some(severity),
        ..FindingFilter::default()
    };
    let all = of(FindingFilter::default());
    let parts =
        [Severity::Fail, Severity::Suspect, Severity::Info].map(|s| of(by_severity(s)).len());
    assert_eq!(parts.iter().sum::<usize>(), all.len());
    assert!(parts.iter().any(|n| 0 < *n && *n <= all.len()), "{parts:?}");
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

/// Turned off while a curve is the oldest that waits: that curve and what came since is sent once it is on
/// again, three weeks later.
#[test]
fn what_waits_as_forwarding_is_turned_off_goes_when_it_is_on_again() {
    let dir = temp();
    let journal = open(dir.path());
    journal.set_forwarding(true, 0).unwrap();
    journal
        .commit_blocking(vec![entry(reading("m1", 1, 5))])
        .unwrap();
    let sent = journal.outbox(100).unwrap().unwrap();
    journal.forwarded(sent.sent, Vec::new(), 0).unwrap();
    let mut curve = LoadCurve::missing("m1".into(), day());
    curve.hours[3] = StdVolume::from_m3(7);
    let batch = CurveBatch {
        curves: vec![CurveWrite {
            curve: curve.clone(),
            findings: Vec::new(),
        }],
        cleared: Vec::new(),
        computed_at: at(10),
    };
    journal.put_curves(batch).unwrap();
    let late = reading("m1", 60, 9);
    journal.commit_blocking(vec![entry(late.clone())]).unwrap();
    let three_weeks = at(21 * 1_440);
    journal.set_forwarding(false, millis(three_weeks)).unwrap();
    assert_eq!(journal.outbox(100).unwrap(), None);
    journal.set_forwarding(true, millis(three_weeks)).unwrap();
    let again = journal.outbox(100).unwrap().unwrap();
    assert_eq!(again.curves, [curve]);
    let rows = again.points.iter().map(|(_, point)| point.at);
    assert_eq!(rows.max(), Some(late.sampled_at));
}

/// A frame that came before forwarding was turned off becomes a reading while it is off: it is sent once it
/// is on again, though it was received before.
#[test]
fn what_is_replayed_while_forwarding_is_off_goes_when_it_is_on_again() {
    let dir = temp();
    let journal = open(dir.path());
    journal.set_forwarding(true, 0).unwrap();
    journal.commit_blocking(vec![reject(b"abc", 1)]).unwrap();
    journal.set_forwarding(false, millis(at(60))).unwrap();
    let early = reading("m1", 1, 5);
    let replayed = Replayed {
        id: journal.rejects(&RejectFilter::default()).unwrap()[0].id,
        entry: entry(early.clone()),
    };
    assert!(early.received_at < at(60));
    journal.commit_replay(vec![replayed], at(120)).unwrap();
    journal.set_forwarding(true, millis(at(180))).unwrap();
    let again = journal.outbox(100).unwrap().unwrap();
    assert!(
        again
            .points
            .iter()
            .any(|(_, point)| point.at == early.sampled_at),
        "{again:?}"
    );
}
