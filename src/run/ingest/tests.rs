use std::collections::BTreeSet;

use bytes::Bytes;
use tokio::sync::oneshot;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::clock::ManualClock;
use crate::domain::calendar::GasDayClock;
use crate::domain::frame::{RejectReason, Transport};
use crate::domain::id::DeviceId;
use crate::domain::meter::{Meter, MeterKind, MeterRole, SettlementTotal};
use crate::domain::reading::{AlarmSet, Decoded, Item, ItemValue};
use crate::domain::registry::{Company, RegistryParts};
use crate::store::journal::RejectFilter;

fn now() -> DateTime<Utc> {
    "2026-11-21T00:00:00Z".parse().unwrap()
}

fn meter(id: &str, profile: &str) -> Meter {
    Meter {
        id: id.into(),
        device: DeviceId::new(format!("d-{id}")),
        customer: None,
        zone: "z".into(),
        role: MeterRole::Customer,
        kind: MeterKind::Ultrasonic,
        profile: profile.into(),
        settlement: SettlementTotal::Std,
        total_digits: 8,
        flow_max_m3h: 100.0,
        fixed_factor: 1.0,
        period_s: 3_600,
        gateway: None,
        unit: 0,
        installed_on: now().date_naive(),
        removed_on: None,
        corrected_at: None,
        corrector_method: None,
    }
}

fn registry() -> Arc<Registry> {
    Arc::new(Registry::new(RegistryParts {
        version: "v".into(),
        company: Company {
            name: "测试燃气".into(),
            short_name: "测试".into(),
            phone: String::new(),
            gas_day_start_hour: GasDayClock::default(),
            reference: crate::domain::quantity::ReferenceConditions::CHINA,
            heating_from: "11-15".into(),
            heating_to: "03-15".into(),
            slots: crate::domain::slot::SlotTable::default(),
        },
        zones: Vec::new(),
        sources: Vec::new(),
        shares: Vec::new(),
        customers: Vec::new(),
        meters: vec![
            meter("1", "test/plain"),
            meter("2", "test/plain"),
            meter("3", "test/absent"),
        ],
        exchanges: Vec::new(),
        gateways: Vec::new(),
        contracts: Vec::new(),
        production_changes: Vec::new(),
        filed_plans: Vec::new(),
        new_connections: Vec::new(),
        gas_qualities: Vec::new(),
    }))
}

/// `device:minute:units`; the device may be empty.
fn decode_plain(bytes: &[u8]) -> Result<Decoded, RejectReason> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert_ne!(text, "panic", "a decoder with a bug");
    let bad = || RejectReason::new("decode.truncated", "not device:minute:units");
    let mut parts = text.split(':');
    let device = parts.next().ok_or_else(bad)?;
    let mut number = || parts.next().and_then(|p| p.parse::<i64>().ok());
    let minute = number().ok_or_else(bad)?;
    let units = number().ok_or_else(bad)?;
    Ok(Decoded {
        device: (!device.is_empty()).then(|| device.into()),
        sampled_at: now() + TimeDelta::minutes(minute),
        clock_at: None,
        values: vec![(Item::TotalStd, ItemValue::Exact(units))],
        frozen: Vec::new(),
        alarms: AlarmSet::default(),
    })
}

struct Bench {
    _dir: tempfile::TempDir,
    journal: Journal,
    deps: IngestDeps,
    events: broadcast::Receiver<LiveEvent>,
    _registry: watch::Sender<Arc<Registry>>,
}

fn bench(batch_max: usize) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path().join("readings.db"), GasDayClock::default()).unwrap();
    let (sender, receiver) = watch::channel(registry());
    let (live, events) = broadcast::channel(64);
    let decode: Decode = Arc::new(|profile, frame| {
        (profile.as_str() == "test/plain").then(|| decode_plain(&frame.bytes))
    });
    let deps = IngestDeps {
        journal: journal.clone(),
        decode,
        registry: receiver,
        settings: IngestSettings {
            queue_len: 16,
            batch_max,
            batch_wait_ms: 1,
            stale_after_days: 400,
            future_tolerance_s: 300,
        },
        kept: Arc::new(crate::settings::RetentionSettings::default()),
        clock: Arc::new(ManualClock::new(now())),
        metrics: IngestMetrics::default(),
        clocks: Clocks::default(),
        live,
        wake: Arc::new(Notify::new()),
    };
    Bench {
        _dir: dir,
        journal,
        deps,
        events,
        _registry: sender,
    }
}

fn delivery(device: Option<&str>, payload: &str) -> (Delivery, oneshot::Receiver<()>) {
    let (ack, done) = Ack::pair();
    let frame = RawFrame {
        transport: Transport::Mqtt,
        origin: "gas/x/up".into(),
        device: device.map(DeviceId::from),
        bytes: Bytes::copy_from_slice(payload.as_bytes()),
        received_at: now() + TimeDelta::days(1),
    };
    (Delivery { frame, ack }, done)
}

/// What a broker had kept came before it arrived. A meter that sends its time says when; of one that does not,
/// each reconnect would make another reading of the old total.
#[tokio::test]
async fn a_retained_message_is_taken_only_with_a_time_of_its_own() {
    let bench = bench(10);
    let retained = |payload: &str| {
        let (mut delivery, _) = delivery(Some("d-1"), payload);
        delivery.frame.origin = RawFrame::retained_origin("gas/x/up");
        delivery.frame
    };
    let assessor = Assessor {
        registry: registry(),
        decode: Arc::clone(&bench.deps.decode),
        limits: entry_limits(&bench.deps.settings),
        kept: Arc::clone(&bench.deps.kept),
        clocks: None,
    };
    let with_time = assessor.assess(retained("d-1:60:5"));
    assert!(
        matches!(with_time, JournalEntry::Reading { .. }),
        "{with_time:?}"
    );
    // 1,440 minutes are the arrival itself.
    let without = assessor.assess(retained("d-1:1440:5"));
    let JournalEntry::Reject(reject) = &without else {
        panic!("{without:?}");
    };
    assert_eq!(reject.reason.code, "ingest.retained");
    let (live, _) = delivery(Some("d-1"), "d-1:1440:5");
    let live = assessor.assess(live.frame);
    assert!(matches!(live, JournalEntry::Reading { .. }), "{live:?}");
}

/// Sends everything, closes the channel, runs to the end; whether each was acknowledged.
async fn ingest(bench: &Bench, frames: &[(Option<&str>, &str)]) -> Vec<bool> {
    let (sender, receiver) = mpsc::channel(1_024);
    let mut done = Vec::new();
    for (device, payload) in frames {
        let (delivery, acked) = delivery(*device, payload);
        sender.send(delivery).await.unwrap();
        done.push(acked);
    }
    drop(sender);
    run(receiver, bench.deps.clone()).await.unwrap();
    done.into_iter().map(|mut d| d.try_recv().is_ok()).collect()
}

async fn codes(journal: &Journal) -> BTreeSet<String> {
    let journal = journal.clone();
    tokio::task::spawn_blocking(move || journal.rejects(&RejectFilter::default()))
        .await
        .unwrap()
        .unwrap()
        .into_iter()
        .map(|reject| {
            let text = &reject.reason.message;
            assert!(text.len() > 20, "{text}");
            reject.reason.code
        })
        .collect()
}

/// A device that was meter `1` until the 21st, lay in the store for two days, and is meter `2` since the 24th,
/// with the profile that fits there.
#[test]
fn a_device_that_moved_is_the_meter_it_was_when_it_took_the_sample() {
    let moved = |id: &str, profile, from: i64, to: Option<i64>| Meter {
        device: "d".into(),
        installed_on: (now() + TimeDelta::days(from)).date_naive(),
        removed_on: to.map(|to| (now() + TimeDelta::days(to)).date_naive()),
        ..meter(id, profile)
    };
    let with = |meters: Vec<Meter>| {
        let old = registry();
        Assessor {
            registry: Arc::new(Registry::new(RegistryParts {
                version: "v".into(),
                company: old.company.clone(),
                meters,
                ..crate::validate::rules::testing::parts()
            })),
            decode: Arc::new(|profile, frame| match profile.as_str() {
                "test/plain" => Some(decode_plain(&frame.bytes)),
                // Only what was sent from the second place has its form.
                "test/second" => Some(match frame.bytes.strip_prefix(b"2;") {
                    Some(bytes) => decode_plain(bytes),
                    None => Err(RejectReason::new("decode.truncated", "no form of ours")),
                }),
                _ => None,
            }),
            limits: crate::validate::rules::testing::LIMITS,
            kept: Arc::new(crate::settings::RetentionSettings::default()),
            clocks: None,
        }
    };
    let day = 24 * 60;
    let of = |assessor: &Assessor, device: Option<&str>, payload: String| match assessor
        .assess(delivery(device, &payload).0.frame)
    {
        JournalEntry::Reading { reading, .. } => reading.meter.to_string(),
        JournalEntry::Reject(reject) => reject.reason.code,
    };
    let both = with(vec![
        moved("2", "test/plain", 3, None),
        moved("1", "test/plain", -100, Some(0)),
    ]);
    for named in [Some("d"), None] {
        let at = |minute: i64| of(&both, named, format!("d:{minute}:5"));
        // now() is 08:00 in Beijing, when a gas day starts; the last day of the first place is the 21st.
        assert_eq!(at(-200 * day), "1", "before it was put down in the books");
        assert_eq!([at(0), at(day - 1)], ["1", "1"]);
        assert_eq!([at(day), at(3 * day - 1)], ["ingest.device_removed"; 2]);
        assert_eq!([at(3 * day), at(9 * day)], ["2", "2"]);
    }
    // Each place decodes by its own profile, whatever order it is asked in.
    let other = with(vec![
        moved("1", "test/plain", -100, Some(0)),
        moved("2", "test/second", 3, None),
    ]);
    assert_eq!(of(&other, Some("d"), "d:0:5".to_owned()), "1");
    assert_eq!(of(&other, Some("d"), format!("2;d:{}:5", 3 * day)), "2");
    assert_eq!(of(&other, None, "d:0:5".to_owned()), "1");
    assert_eq!(of(&other, None, format!("2;d:{}:5", 3 * day)), "2");
    // Of a meter that is gone for good, what it sent before still counts.
    let gone = with(vec![moved("1", "test/plain", -100, Some(0))]);
    assert_eq!(of(&gone, Some("d"), "d:10:5".to_owned()), "1");
    let late = of(&gone, Some("d"), format!("d:{day}:5"));
    assert_eq!(late, "ingest.device_removed");
}

#[tokio::test]
async fn every_frame_becomes_a_row_and_is_acknowledged() {
    let bench = bench(3);
    let frames = [
        (Some("d-1"), ":1:100"),
        (Some("d-1"), "d-1:2:100"),
        (Some("d-1"), ":1:100"),
        (None, "d-2:5:7"),
        (Some("d-1"), "d-2:6:8"),
        (Some("d-9"), ":1:1"),
        (Some("d-3"), ":1:1"),
        (Some("d-1"), "zz"),
        (Some("d-1"), "panic"),
        (None, "d-8:1:1"),
        (None, "nonsense"),
    ];
    let acked = ingest(&bench, &frames).await;
    assert_eq!(acked, vec![true; frames.len()]);
    let counters = bench.journal.counters().unwrap();
    assert_eq!(
        (
            counters.received,
            counters.accepted,
            counters.duplicate,
            counters.rejected
        ),
        (11, 3, 1, 7)
    );
    assert_eq!(bench.deps.metrics.received.get(), 11);
    assert_eq!(bench.deps.metrics.accepted.get(), 3);
    assert_eq!(bench.deps.metrics.duplicate.get(), 1);
    let expected = [
        "collect.unknown_topic",
        "decode.truncated",
        "ingest.decoder_panicked",
        "ingest.device_mismatch",
        "ingest.unknown_device",
        "ingest.unknown_profile",
    ];
    assert_eq!(
        codes(&bench.journal).await,
        expected.map(str::to_owned).into()
    );
    let stored = bench.journal.latest(&"2".into()).unwrap().unwrap();
    assert_eq!(
        stored.exact(Item::TotalStd),
        Some(7),
        "the device's own meter only"
    );
}

#[tokio::test]
async fn a_busy_stream_adds_up_and_is_at_its_place_in_the_end() {
    let bench = bench(1_000);
    let texts: Vec<String> = (0..30_000)
        .map(|n| match n % 10 {
            // Known already, refused, or new, of two meters in turn.
            3 => ":0:0".to_owned(),
            7 => format!("zz{n}"),
            _ => format!(":-{}:{n}", n / 2),
        })
        .collect();
    let frames: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| (Some(["d-1", "d-2"][n % 2]), text.as_str()))
        .collect();
    let (sender, receiver) = mpsc::channel(4_096);
    let ingesting = run(receiver, bench.deps.clone());
    let sending = async move {
        let mut done = Vec::new();
        for (device, payload) in frames {
            let (delivery, acked) = delivery(device, payload);
            sender.send(delivery).await.unwrap();
            done.push(acked);
        }
        done
    };
    let (ended, done) = tokio::join!(ingesting, sending);
    ended.unwrap();
    for mut acked in done {
        acked.try_recv().expect("acknowledged");
    }
    let counters = bench.journal.counters().unwrap();
    let metrics = &bench.deps.metrics;
    assert_eq!(metrics.received.get(), 30_000);
    assert_eq!(counters.received, 30_000);
    assert_eq!(counters.rejected, 3_000);
    assert_eq!(metrics.accepted.get(), counters.accepted);
    assert_eq!(metrics.duplicate.get(), counters.duplicate);
    let minutes = |meter: &str| {
        let (from, to) = (now() - TimeDelta::days(60), now() + TimeDelta::days(1));
        let readings = bench.journal.readings_between(&meter.into(), from, to);
        readings.unwrap().len()
    };
    assert_eq!(minutes("1") + minutes("2"), 24_000, "each instant once");
}

#[tokio::test]
async fn a_full_disk_holds_acknowledgements_back_until_it_is_mended() {
    // Batches that are put at their place at once, and batches of a busy stream.
    for batch_max in [100, 1_000] {
        fill_the_disk(batch_max).await;
    }
}

async fn fill_the_disk(batch_max: usize) {
    let mut bench = bench(batch_max);
    // Numbers for the meters exist, then not a page more.
    assert_eq!(ingest(&bench, &[(Some("d-1"), ":0:0")]).await, [true]);
    let journal = bench.journal.clone();
    let limit = |bytes| {
        let journal = journal.clone();
        tokio::task::spawn_blocking(move || journal.limit_size(bytes).unwrap())
    };
    limit(Some(1)).await.unwrap();
    let (sender, receiver) = mpsc::channel(4_096);
    let mut acks = Vec::new();
    for minute in 1..=2_000 {
        let (delivery, done) = delivery(Some("d-1"), &format!(":{minute}:{minute}"));
        sender.send(delivery).await.unwrap();
        acks.push(done);
    }
    drop(sender);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(run(receiver, bench.deps.clone()));
    let full = loop {
        if let LiveEvent::Notice { code, message, .. } = bench.events.recv().await.unwrap() {
            break (code, message);
        }
    };
    assert_eq!(full.0, "store.full");
    assert!(full.1.contains("free space"), "{}", full.1);
    let committed = journal.counters().unwrap().received - 1;
    let acked = acks
        .iter_mut()
        .map(|a| u64::from(a.try_recv().is_ok()))
        .sum::<u64>();
    assert!(
        acked <= committed,
        "{acked} acknowledged of {committed} committed"
    );
    assert!(acked < 2_000);
    limit(None).await.unwrap();
    tasks.join_next().await.unwrap().unwrap().unwrap();
    let counters = journal.counters().unwrap();
    assert_eq!((counters.accepted, counters.duplicate), (2_001, 0));
    assert!(bench.deps.metrics.commit_failures.get() > 0);
}

#[tokio::test]
async fn a_store_that_cannot_be_written_ends_the_task_without_acknowledging() {
    let mut bench = bench(10);
    let path = bench.journal.path().to_owned();
    bench.deps.journal = tokio::task::spawn_blocking(move || {
        Journal::open_read_only(path, GasDayClock::default()).unwrap()
    })
    .await
    .unwrap();
    let (sender, receiver) = mpsc::channel(4);
    let (delivery, mut done) = delivery(Some("d-1"), ":1:1");
    sender.send(delivery).await.unwrap();
    let error = run(receiver, bench.deps.clone()).await.unwrap_err();
    assert_eq!(error.code(), "store.read_only");
    assert!(done.try_recv().is_err());
}

/// Who asks what became of a reading waits until all that came before is at its place. However many these are,
/// they are taken there in commits of a bounded number, so that nobody waits long behind one of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_in_a_flood_waits_behind_commits_of_a_bounded_number_of_readings() {
    const EACH: i64 = 5_000;
    const BATCHES: i64 = 24;
    let mut bench = bench(usize::try_from(EACH).unwrap());
    let (live, mut events) = broadcast::channel(4_096);
    bench.deps.live = live;
    let (sender, batches) = mpsc::channel(DECODED_MAX);
    let deps = bench.deps.clone();
    let mut committing = tokio::task::JoinSet::new();
    committing.spawn(async move { commit_batches(batches, &deps).await });
    let entry = |second: i64| JournalEntry::Reading {
        reading: crate::domain::reading::Reading {
            meter: "1".into(),
            sampled_at: now() + TimeDelta::seconds(second),
            received_at: now(),
            transport: Transport::Http,
            values: vec![(Item::TotalStd, ItemValue::Exact(second))],
            frozen: Vec::new(),
            alarms: AlarmSet::default(),
        },
        findings: Vec::new(),
    };
    for batch in 0..BATCHES {
        let entries = (batch * EACH..(batch + 1) * EACH).map(entry).collect();
        let acks = Vec::new();
        sender.send(Batch { entries, acks }).await.unwrap();
    }
    let (ack, outcome) = Ack::reporting();
    let push = Batch {
        entries: vec![entry(BATCHES * EACH)],
        acks: vec![ack],
    };
    sender.send(push).await.unwrap();
    assert_eq!(outcome.await.unwrap(), FrameOutcome::Accepted);
    drop(sender);
    committing.join_next().await.unwrap().unwrap().unwrap();
    let mut commits = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let LiveEvent::Ingested { accepted, .. } = event {
            commits.push(accepted);
        }
    }
    let all: u64 = commits.iter().sum();
    assert_eq!(all, (BATCHES * EACH + 1).unsigned_abs(), "{commits:?}");
    // The flood itself passes with a part of it moved in each commit; behind it come the steps, and with the
    // last the push and whatever was decoded with it.
    let largest = commits.iter().max().unwrap();
    assert!(*largest <= BACKLOG + EACH.unsigned_abs() + 1, "{commits:?}");
    // There was something to wait for: no single commit could have taken it.
    let last: u64 = commits.iter().rev().take(3).sum();
    assert!(last > BACKLOG, "{commits:?}");
    assert!(bench.journal.settle_some().await.unwrap().waiting == 0);
}
