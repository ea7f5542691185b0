use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use tempfile::TempDir;

use super::*;
use crate::domain::calendar::GasDayClock;
use crate::domain::finding::{Arg, RuleId, Severity, Unit};
use crate::domain::finding::{Finding, Subject};
use crate::domain::frame::Transport;
use crate::domain::quantity::StdVolume;
use crate::domain::reading::{AlarmSet, FrozenTotals, Item};
use crate::store::journal::{CurveBatch, CurveWrite, JournalEntry};
use crate::validate::rules;

fn day() -> GasDay {
    "2026-11-21".parse().unwrap()
}

fn at(minute: i64) -> DateTime<Utc> {
    GasDayClock::default().start_of(day()) + TimeDelta::minutes(minute)
}

fn reading(meter: &str, minute: i64) -> Reading {
    Reading {
        meter: meter.into(),
        sampled_at: at(minute),
        received_at: at(minute) + TimeDelta::seconds(3),
        transport: Transport::Mqtt,
        values: vec![
            (Item::TotalStd, ItemValue::Exact(10_000_000_001 + minute)),
            (Item::FlowStd, ItemValue::Float(12.5)),
        ],
        frozen: Vec::new(),
        alarms: AlarmSet::default(),
    }
}

fn journal(dir: &TempDir) -> Journal {
    let journal = Journal::open(dir.path().join("r.db"), GasDayClock::default()).unwrap();
    let mut array = reading("m,\"1", 20);
    array.values.clear();
    array.frozen.push(FrozenTotals {
        item: Item::TotalStd,
        first_at: at(-60),
        step_s: 3_600,
        totals: vec![Some(7), None, Some(9)],
    });
    let mut readings = vec![reading("m,\"1", 10), array, reading("m2", 1_450)];
    readings
        .extend((0..40_000).map(|n| reading("many", n % 1_440 + 5 * 1_440 + n / 1_440 * 1_440)));
    let entry = |reading| JournalEntry::Reading {
        reading,
        findings: Vec::new(),
    };
    journal
        .commit_blocking(readings.into_iter().map(entry).collect())
        .unwrap();
    let mut curve = LoadCurve::missing("m2".into(), day());
    curve.hours[3] = StdVolume::from_units(123_456);
    let batch = CurveBatch {
        curves: vec![CurveWrite {
            curve,
            findings: Vec::new(),
        }],
        cleared: Vec::new(),
        computed_at: at(0),
    };
    journal.put_curves(batch).unwrap();
    journal
}

fn scope(kind: ExportKind, days: i64, meters: &[&str]) -> ExportScope {
    ExportScope {
        kind,
        from: day(),
        to: day().plus(days),
        meters: meters
            .iter()
            .map(|m| MeterId::from(*m))
            .collect::<BTreeSet<_>>(),
        today: day().plus(1),
    }
}

#[test]
fn csv_has_each_value_exact_and_nothing_outside_of_the_scope() {
    let dir = TempDir::new().unwrap();
    let journal = journal(&dir);
    let file = dir.path().join("a.csv");
    let count = export(&journal, &scope(ExportKind::Readings, 1, &["m,\"1"]), &file).unwrap();
    assert_eq!(count, 4);
    let text = fs::read_to_string(&file).unwrap();
    let expected = "meter,gas_day,sampled_at,received_at,transport,item,value
\"m,\"\"1\",2026-11-21,2026-11-21T08:10:00+08:00,2026-11-21T08:10:03+08:00,mqtt,total_std_m3,1000000.0011
\"m,\"\"1\",2026-11-21,2026-11-21T08:10:00+08:00,2026-11-21T08:10:03+08:00,mqtt,flow_std_m3h,12.5
\"m,\"\"1\",2026-11-21,2026-11-21T07:00:00+08:00,2026-11-21T08:20:03+08:00,frozen,total_std_m3,0.0007
\"m,\"\"1\",2026-11-21,2026-11-21T09:00:00+08:00,2026-11-21T08:20:03+08:00,frozen,total_std_m3,0.0009
";
    assert_eq!(text, expected);
    let error = export(&journal, &scope(ExportKind::Readings, 1, &[]), &file).unwrap_err();
    assert!(matches!(error, ExportError::Exists { .. }), "{error}");
    let odd = dir.path().join("a.xml");
    let error = export(&journal, &scope(ExportKind::Readings, 1, &[]), &odd).unwrap_err();
    assert!(matches!(error, ExportError::UnknownForm { .. }), "{error}");
    assert_eq!(
        fs::read_dir(dir.path())
            .unwrap()
            .filter(|e| {
                e.as_ref()
                    .is_ok_and(|e| e.path().extension().is_some_and(|x| x == "partial"))
            })
            .count(),
        0
    );
}

#[test]
fn parquet_reads_back_the_same_values() {
    let dir = TempDir::new().unwrap();
    let journal = journal(&dir);
    let file = dir.path().join("a.parquet");
    let count = export(&journal, &scope(ExportKind::Readings, 60, &[]), &file).unwrap();
    assert_eq!(count, 80_000 + 6);
    let reader = SerializedFileReader::new(fs::File::open(&file).unwrap()).unwrap();
    assert_eq!(
        reader.num_row_groups(),
        2,
        "in groups, whatever the whole is"
    );
    let rows: Vec<_> = reader
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 80_006);
    let of = |row: usize, name: &str| {
        rows[row]
            .get_column_iter()
            .find(|(column, _)| *column == name)
            .map(|(_, field)| field.clone())
            .unwrap()
    };
    assert_eq!(of(0, "meter"), Field::Str("m,\"1".into()));
    assert_eq!(of(0, "gas_day"), Field::Date(20_778));
    assert_eq!(
        of(0, "sampled_at"),
        Field::TimestampMillis(at(10).timestamp_millis())
    );
    assert_eq!(of(0, "exact").to_string(), "1000000.0011");
    assert_eq!(of(0, "value"), Field::Null);
    assert_eq!(of(1, "exact"), Field::Null);
    assert_eq!(of(1, "value"), Field::Double(12.5));
    assert_eq!(of(2, "is_frozen"), Field::Bool(true));
    assert_eq!(of(3, "exact").to_string(), "0.0009");
}

/// Findings of a meter on the day, on the one before, and of a customer.
fn with_findings(journal: &Journal) {
    let of = |sentence, subject: Subject, minute, args| {
        Finding::new(sentence, Severity::Suspect, subject, at(minute), args)
    };
    let sentence = |rule, key| rules::sentence(rule, key).unwrap();
    let flow = |minute: i64| {
        let args = vec![
            Arg::number("least", 0.02, Unit::M3),
            Arg::number("limit", 0.001, Unit::M3),
        ];
        let meter = Subject::Meter("m2".into());
        of(sentence(RuleId::V12, "flow"), meter, minute, args)
    };
    let write = |day: GasDay, minute| CurveWrite {
        curve: LoadCurve::missing("m2".into(), day),
        findings: vec![flow(minute)],
    };
    let batch = CurveBatch {
        curves: vec![write(day(), 0), write(day().plus(1), 1_440)],
        cleared: Vec::new(),
        computed_at: at(0),
    };
    journal.put_curves(batch).unwrap();
    let plan = of(
        sentence(RuleId::V26, "deviation"),
        Subject::Customer("K,1".into()),
        0,
        vec![
            Arg::volume("used", 880_000),
            Arg::volume("declared", 1_000_000),
            Arg::number("percent", -12.0, Unit::Percent),
            Arg::number("allowed", 5.0, Unit::Percent),
        ],
    );
    journal
        .put_subject_findings(day(), vec![RuleId::V26], None, vec![plan])
        .unwrap();
}

#[test]
fn findings_have_words_numbers_and_state() {
    let dir = TempDir::new().unwrap();
    let journal = journal(&dir);
    with_findings(&journal);
    let (text, file) = (dir.path().join("f.csv"), dir.path().join("f.parquet"));
    for path in [&text, &file] {
        let count = export(&journal, &scope(ExportKind::Findings, 2, &[]), path).unwrap();
        assert_eq!(count, 3);
    }
    let only = dir.path().join("one.csv");
    let count = export(&journal, &scope(ExportKind::Findings, 1, &["m2"]), &only).unwrap();
    assert_eq!(count, 1, "one meter's, of one day");
    let mut reader = csv::Reader::from_path(&text).unwrap();
    let names: Vec<String> = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let cell = |row: usize, name: &str| {
        let place = names.iter().position(|of| of == name).unwrap();
        rows[row][place].to_owned()
    };
    let row = |subject: &str, day: &str| {
        let is_it = |row: &usize| cell(*row, "subject") == subject && cell(*row, "gas_day") == day;
        (0..rows.len()).find(is_it).unwrap()
    };
    let leak = row("m2", "2026-11-21");
    for (name, expected) in [
        ("at", "2026-11-21T08:00:00+08:00"),
        ("rule", "V12"),
        ("name_zh", "持续不断流,疑似泄漏"),
        ("severity", "suspect"),
        ("state", "standing"),
        ("subject_kind", "meter"),
    ] {
        assert_eq!(cell(leak, name), expected, "{name}");
    }
    assert!(cell(leak, "message_zh").starts_with("当日每小时至少用气 0.0200"));
    assert!(cell(leak, "message_en").contains("look for a leak"));
    let values: serde_json::Value = serde_json::from_str(&cell(leak, "values")).unwrap();
    assert_eq!(
        (&values[0]["name"], &values[0]["value"]),
        (&"least".into(), &0.02.into())
    );
    assert_eq!(cell(row("m2", "2026-11-22"), "state"), "provisional");
    assert_eq!(cell(row("K,1", "2026-11-21"), "subject_kind"), "customer");

    let reader = SerializedFileReader::new(fs::File::open(&file).unwrap()).unwrap();
    for (place, found) in reader.get_row_iter(None).unwrap().enumerate() {
        for (name, field) in found.unwrap().get_column_iter() {
            let expected = cell(place, name);
            match field {
                Field::Str(text) => assert_eq!(*text, expected, "{name}"),
                Field::Date(day) => {
                    assert_eq!(GasDay::from_epoch_day(*day).to_string(), expected);
                }
                Field::TimestampMillis(at) => {
                    let at = DateTime::from_timestamp_millis(*at).unwrap();
                    assert_eq!(at, expected.parse::<DateTime<Utc>>().unwrap());
                }
                other => panic!("{name} is {other}"),
            }
        }
    }
}

#[test]
fn hours_of_curves_stand_at_their_start() {
    let dir = TempDir::new().unwrap();
    let journal = journal(&dir);
    let (text, file) = (dir.path().join("c.csv"), dir.path().join("c.parquet"));
    for path in [&text, &file] {
        let count = export(&journal, &scope(ExportKind::Curves, 1, &[]), path).unwrap();
        assert_eq!(count, 24);
    }
    let text = fs::read_to_string(text).unwrap();
    let hour = text.lines().nth(4).unwrap();
    assert!(
        hour.starts_with("m2,2026-11-21,2026-11-21T11:00:00+08:00,12.3456,"),
        "{hour}"
    );
    let reader = SerializedFileReader::new(fs::File::open(&file).unwrap()).unwrap();
    let row = reader.get_row_iter(None).unwrap().nth(3).unwrap().unwrap();
    let volume = row
        .get_column_iter()
        .find(|(name, _)| *name == "volume_std_m3");
    assert_eq!(volume.unwrap().1.to_string(), "12.3456");
}
