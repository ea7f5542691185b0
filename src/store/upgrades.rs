//! Stores of every earlier schema, with data in them, opened by this program.
//!
//! A fixture is a list with one entry for each migration: rows as a program of that schema wrote them,
//! in SQL and in bytes, so that no code of today is in between. Whoever adds a migration adds an entry,
//! empty if there is nothing new to keep.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::Connection;
use tempfile::TempDir;

use super::book::{self, Book, DocumentKind};
use super::journal::{self, FindingFilter, Journal, JournalEntry, MeterSpan, RejectFilter};
use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::finding::RuleId;
use crate::domain::id::MeterId;
use crate::domain::quantity::StdVolume;
use crate::domain::reading::{Item, ItemValue};
use crate::store::error::StoreError;

/// Of the gas day 2026-11-21: a total and a flow at 08:10 with a frozen array from 06:00, a curve of
/// 1 m³ an hour, a finding, a reject seen three times, a conflict, a mark.
const JOURNAL_ROWS: &[&str] = &[
    "INSERT INTO meta VALUES ('gas_day_start_hour', '8');
     INSERT INTO meters VALUES (1, 'm1');
     INSERT INTO readings VALUES (20778, 1, 1795219800000, 1795219803000,
       x'0105000201209C85E30B0A2390A10F010102FF92B807901C038D010029');
     INSERT INTO presence VALUES (649, 1, 1024, 1024, 512, 0);
     INSERT INTO latest VALUES (1, 20778, 1795219800000, 1795219803000);
     INSERT INTO conflicts VALUES (1, 1795219800000, x'01', x'009C85E30B', 2);
     INSERT INTO rejects (digest, transport, origin, device, meter, bytes, code, message, first_at,
       last_at, times) VALUES (x'3F89E337A7C0F83549A3FE421EDFE96BC6B36D1EEAEBAA90EFB7447E9E66C91E', 'mqtt', 'gas/x/up', 'd1', NULL, x'010203', 'decode.truncated',
       'frame has 3 bytes, expected 40', 1795219900000, 1795219990000, 3);
     INSERT INTO findings VALUES (20778, 1, 0, 1795219800000, 'V02', x'', 1, 'is 402 days old');
     INSERT INTO dirty VALUES (20778, 1, 7);
     INSERT INTO curve_rules VALUES (1, x'01');
     INSERT INTO curves VALUES (20778, 1, 3, 1795226400000,
       x'01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C01A09C010718');
     INSERT INTO stale_demand VALUES (20778, 8);
     INSERT INTO counters VALUES ('accepted', 1), ('rejected', 3), ('duplicate', 2);",
    "INSERT INTO clocks VALUES (1, 1, 1795219000000, 12, 400, 9, 350, 1795219800000, NULL);",
    // Two readings of 09:10, of m1 and of a meter with number 2, durable and not yet at their place.
    "INSERT INTO meters VALUES (2, 'm2');
     INSERT INTO inbox VALUES (1, x'0180B9B9BABF68F02E10010500020120DC9FEF0B0A2390A10F000280B9B9BABF68F02E0E010500020120E8070A2390A10F00');",
    "INSERT INTO outbox_refused VALUES (1, 1795219900000, 'gas_reading,meter=m1 temperature_c=3.5 1795219800000',
       'field type conflict');",
    // Of hour 3 of m1's day: 2.5 m³ by decision, and a decision that was taken back.
    "INSERT INTO edits VALUES (1, 1, 20778, '{\"3\":\"2.5000\"}', 'li', 'meter stood', 1795226500000);
     INSERT INTO edits VALUES (2, 1, 20778, '{\"3\":\"9.0000\"}', 'li', 'typo', 1795226600000);
     INSERT INTO edit_revocations VALUES (2, 'li', 'wrong hour', 1795226700000);",
    "INSERT INTO closed VALUES (1, 20700);",
    "INSERT INTO findings VALUES (20778, 1, 1, 1795219800000, 'V05', x'01', 0, '', 'rolled',
       '[{\"name\":\"from\",\"m3\":\"99990.0000\"},{\"name\":\"since\",\"at\":\"2026-11-21T00:00:00Z\"},{\"name\":\"to\",\"m3\":\"10.0000\"}]');
     INSERT INTO subject_findings VALUES (20778, 'V26', 2, 'K1', 1795219200000, 0, 'deviation',
       '[{\"name\":\"used\",\"m3\":\"88.0000\"},{\"name\":\"declared\",\"m3\":\"100.0000\"},{\"name\":\"percent\",\"value\":-12.0,\"unit\":\"percent\"},{\"name\":\"allowed\",\"value\":5.0,\"unit\":\"percent\"}]');",
    // A reading of m2 of 10:10, set aside by a program that met damage which is no more.
    "INSERT INTO aside VALUES (1, 1, x'0280F3F0BDBF68F02E0E010500020120E8070A2390A10F00');",
    // What m1 was judged by since 2026-11-01, and two days of it to be judged again.
    "INSERT INTO judged_by VALUES (0, 'm1', x'16510000' || x'0100000000000000');
     INSERT INTO to_judge VALUES (1, 20777, 20779);",
    // By what m1's curves were computed.
    r#"INSERT INTO metering VALUES (1, '{"settlement":"std","total_digits":9,"flow_max_m3h":400.0,"fixed_factor":1.0,"corrected_at":null}');"#,
];

const BOOK_ROWS: &[&str] = &[
    "INSERT INTO observed VALUES ('st', 1795219200000, 1795219800000, 3.5);
     INSERT INTO documents VALUES ('notice', 'n1', 1, 1795219800000, 'w', 'r', '{\"a\":1}');
     INSERT INTO filed_plans VALUES ('K1', 20778, 1795219800000, 120000);
     INSERT INTO registry_versions VALUES (1, 'v1', 1795219800000);
     INSERT INTO demand VALUES (20778, 'north', 'industrial', zeroblob(192), 0.5);",
    "INSERT INTO push_answers VALUES ('t', 'k', x'01', 1795219800000, 202, x'7B7D');",
    "INSERT INTO inputs VALUES (x'AB', x'7B7D');
     INSERT INTO run_inputs VALUES ('R1', 'calendar', x'AB');",
    "INSERT INTO restatements VALUES (20778, 'north', 'industrial', 'nomination', '2026-11-23', 1, 240.0,
       252.0, 1795319800000, 'readings');",
    "INSERT INTO expectations VALUES (20778, 1, '', '', 'R1', 90.0, 100.0, 110.0, NULL, 105.0);",
    "INSERT INTO run_learning VALUES ('R1', '{\"R0\":[\"north/industrial\"]}');",
    // K1's plan of the day taken back an hour later, another's entered with it.
    "INSERT INTO filed_plans VALUES ('K1', 20778, 1795223400000, NULL, 'P1');
     INSERT INTO filed_plans VALUES ('K2', 20778, 1795223400000, 340000, 'P1');",
    // Of run R1, made 2026-11-20T00:00:00Z: no month and no series.
    "INSERT INTO run_months VALUES ('R1', x'02523114323032362D31312D32305430303A30303A30305A000000');",
    "INSERT INTO expectations_without VALUES ('F1', 20778, 1, '', '', 98.0);",
    // The new indexes hold what is there: nothing of its own is to be kept.
    "",
];

/// A file as the program with the first `schema` migrations left it.
fn old_file(dir: &Path, name: &str, schema: usize, migrations: &[&str], rows: &[&str]) -> PathBuf {
    assert_eq!(
        rows.len(),
        migrations.len(),
        "each migration of {name} has rows to keep, or says that it has none"
    );
    let path = dir.join(name);
    let c = Connection::open(&path).unwrap();
    for (migration, rows) in migrations.iter().zip(rows).take(schema) {
        c.execute_batch(migration).unwrap();
        c.execute_batch(rows).unwrap();
    }
    let version = u32::try_from(schema).unwrap();
    c.pragma_update(None, "user_version", version).unwrap();
    path
}

fn day() -> GasDay {
    "2026-11-21".parse().unwrap()
}

fn at(minute: i64) -> DateTime<Utc> {
    GasDayClock::default().start_of(day()) + TimeDelta::minutes(minute)
}

fn totals(journal: &Journal, meter: &str) -> Vec<(i64, Option<i64>)> {
    let readings = journal
        .readings_between(&MeterId::from(meter), at(0), at(1_440))
        .unwrap();
    readings
        .iter()
        .map(|r| {
            let minute = (r.sampled_at - at(0)).num_minutes();
            (minute, r.exact(Item::TotalStd))
        })
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "what each schema had, in order")]
fn a_journal_of_every_earlier_schema_opens_with_all_it_had() {
    for schema in 1..=journal::MIGRATIONS.len() {
        let dir = TempDir::new().unwrap();
        let (migrations, rows) = (journal::MIGRATIONS, JOURNAL_ROWS);
        let path = old_file(dir.path(), "readings.db", schema, migrations, rows);
        let clock = GasDayClock::default();
        if schema < migrations.len() {
            // A reader does not migrate under the daemon's feet.
            let error = Journal::open_read_only(&path, clock).unwrap_err();
            assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
        }
        let journal = Journal::open(&path, clock).unwrap();
        let mut of_m1 = vec![(10, Some(12_345_678))];
        let mut accepted = 1;
        if schema >= 3 {
            of_m1.push((70, Some(12_445_678)));
            let mut of_m2 = vec![(70, Some(500))];
            if schema >= 8 {
                of_m2.push((130, Some(500)));
            }
            assert_eq!(totals(&journal, "m2"), of_m2);
            assert_eq!(journal.set_aside_len().unwrap(), 0);
            accepted = 3;
        }
        assert_eq!(totals(&journal, "m1"), of_m1, "schema {schema}");
        let edits = journal.edits_in_force().unwrap();
        let hours: Vec<_> = edits.iter().map(|edit| (edit.id, edit.hours[&3])).collect();
        let kept = vec![(1, StdVolume::from_units(25_000))];
        assert_eq!(hours, if schema >= 5 { kept } else { vec![] });
        let refused = journal.refused_len().unwrap();
        assert_eq!(refused, u64::from(schema >= 4), "schema {schema}");
        let first = journal
            .readings_between(&"m1".into(), at(0), at(11))
            .unwrap();
        assert_eq!(first[0].frozen[0].totals, [Some(70), None, Some(90)]);
        assert!(
            first[0]
                .values
                .contains(&(Item::FlowStd, ItemValue::Float(12.5)))
        );

        let stored = journal.stored_curve(&"m1".into(), day()).unwrap().unwrap();
        assert_eq!(
            (stored.version, stored.curve.volume()),
            (3, StdVolume::from_m3(24))
        );
        let found = journal.findings(&FindingFilter::default()).unwrap();
        let mut said: Vec<_> = found.iter().map(|f| (f.rule, f.message_zh())).collect();
        said.sort();
        // A finding of an earlier schema keeps its text.
        let mut expected = vec![(RuleId::V02, "is 402 days old".to_owned())];
        if schema >= 7 {
            let rolled = "累计量在 2026-11-21 08:00:00 的 99990.0000 m³ 与 10.0000 m³ 之间翻转";
            expected.push((RuleId::V05, rolled.to_owned()));
            let off = "实际 88.0000 m³,申报 100.0000 m³,偏差 -12.0 %,超出 ±5 %";
            expected.push((RuleId::V26, off.to_owned()));
        }
        assert_eq!(said, expected, "schema {schema}");
        let rejects = journal.rejects(&RejectFilter::default()).unwrap();
        assert_eq!((rejects.len(), rejects[0].times), (1, 3));
        let counters = journal.counters().unwrap();
        assert_eq!(
            (counters.accepted, counters.rejected, counters.duplicate),
            (accepted, 3, 2)
        );
        assert_eq!(journal.clocks().unwrap().len(), usize::from(schema >= 2));
        // 07:00 of the day before the gas day began has totals in the array.
        assert!(journal.dirty_len().unwrap() >= 1);
        assert_eq!(journal.stale_demand_days().unwrap().len(), 1);
        assert_eq!(journal.check().unwrap().damage, []);
        let judged: Vec<_> = journal.meters_to_judge(9).unwrap();
        let marked = MeterSpan {
            meter: "m1".into(),
            from: GasDay::from_epoch_day(20_777),
            to: GasDay::from_epoch_day(20_779),
        };
        // The number of the schema is that of the migration in the list.
        let expected = (schema >= 9).then_some(marked);
        assert_eq!(judged, Vec::from_iter(expected), "schema {schema}");
        let terms = journal.terms_in_use().unwrap();
        let flow_max = terms
            .get(&MeterId::from("m1"))
            .map(|terms| terms.flow_max_m3h);
        assert_eq!(flow_max, (schema >= 10).then_some(400.0), "schema {schema}");
        let closed = journal.closed_before(&"m1".into()).unwrap();
        assert_eq!(
            closed,
            (schema >= 6).then_some(GasDay::from_epoch_day(20_700))
        );

        // It goes on: what is known is a duplicate, what is new comes to its place.
        let again = JournalEntry::Reading {
            reading: first[0].clone(),
            findings: Vec::new(),
        };
        let mut new = first[0].clone();
        new.sampled_at = at(300);
        let new = JournalEntry::Reading {
            reading: new,
            findings: Vec::new(),
        };
        let report = journal.commit_blocking(vec![again, new]).unwrap();
        assert_eq!(
            (report.accepted, report.duplicate, report.conflicts),
            (1, 1, 0)
        );
        drop(journal);
        let reopened = Journal::open_read_only(&path, clock).unwrap();
        assert_eq!(reopened.counters().unwrap().accepted, accepted + 1);
    }
}

#[test]
fn a_book_of_every_earlier_schema_opens_with_all_it_had() {
    for schema in 1..=book::MIGRATIONS.len() {
        let dir = TempDir::new().unwrap();
        let path = old_file(
            dir.path(),
            "qiliang.db",
            schema,
            book::MIGRATIONS,
            BOOK_ROWS,
        );
        let book = Book::open(&path).unwrap();
        let observed = book.observed("st", at(0), at(60)).unwrap();
        assert_eq!(
            observed.iter().map(|p| p.temperature_c).collect::<Vec<_>>(),
            [3.5]
        );
        let document = book.document(DocumentKind::Notice, "n1").unwrap().unwrap();
        assert_eq!(document.body, serde_json::json!({"a": 1}));
        assert_eq!(book.demand_days(day(), day().plus(1)).unwrap().len(), 1);
        assert_eq!(book.registry_versions(9).unwrap()[0].version, "v1");
        let plans = |minute| -> Vec<_> {
            let words = book.plan_words(None, day(), day().plus(1), at(minute));
            let words = words.unwrap().into_iter();
            words.map(|w| (w.customer.to_string(), w.volume)).collect()
        };
        let planned = |id: &str, m3| (id.to_owned(), Some(StdVolume::from_m3(m3)));
        assert_eq!(plans(60), [planned("K1", 12)], "schema {schema}");
        let taken_back = vec![("K1".to_owned(), None), planned("K2", 34)];
        let expected = if schema >= 7 { taken_back } else { plans(60) };
        assert_eq!(plans(120), expected, "schema {schema}");
        let answer = book.push_answer("t", "k", at(60)).unwrap();
        assert_eq!(answer.map(|a| a.status), (schema >= 2).then_some(202));
        let expected = book.expectations(day(), day().plus(1)).unwrap();
        assert_eq!(expected.len(), usize::from(schema >= 5), "schema {schema}");
        let learnt = book.run_learning(&"R1".into()).unwrap();
        assert_eq!(learnt.len(), usize::from(schema >= 6), "schema {schema}");
        let months = book.run_months(&"R1".into()).unwrap();
        assert_eq!(months.is_some(), schema >= 8, "schema {schema}");
        let without = book.expectations_without(day(), day().plus(1)).unwrap();
        assert_eq!(without.len(), usize::from(schema >= 9), "schema {schema}");
        let (kind, body) = (DocumentKind::Notice, serde_json::json!({"a": 2}));
        let version = book.put_document(kind, "n1", body, at(60), "w", "r");
        assert_eq!(version.unwrap(), 2);
        let breaks = book.verify_audit().unwrap().breaks;
        let told: Vec<_> = breaks.iter().map(|found| found.reason.as_str()).collect();
        // They were written here without one.
        let mut expected = vec!["document n1#1 (notice) has no record"];
        if schema >= 7 {
            expected.push("plans name an entry P1 that there is not");
        }
        assert_eq!(told, expected);
    }
}

#[test]
fn a_store_of_a_newer_program_is_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    let clock = GasDayClock::default();
    let path = dir.path().join("readings.db");
    let of_book = dir.path().join("qiliang.db");
    drop(Journal::open(&path, clock).unwrap());
    drop(Book::open(&of_book).unwrap());
    for file in [&path, &of_book] {
        let c = Connection::open(file).unwrap();
        c.pragma_update(None, "user_version", 1_000).unwrap();
    }
    let before: Vec<_> = [&path, &of_book].map(|p| std::fs::read(p).unwrap()).into();
    let errors: Vec<Arc<StoreError>> = vec![
        Arc::new(Journal::open(&path, clock).unwrap_err()),
        Arc::new(Journal::open_read_only(&path, clock).unwrap_err()),
        Arc::new(Book::open(&of_book).unwrap_err()),
        Arc::new(Book::open_read_only(&of_book).unwrap_err()),
    ];
    for error in errors {
        assert!(
            matches!(&*error, StoreError::NewerVersion { found: 1_000, .. }),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains("start the newer program, or restore a backup")
        );
        assert!(!error.is_transient());
    }
    let after: Vec<_> = [&path, &of_book].map(|p| std::fs::read(p).unwrap()).into();
    assert!(before == after);
}
