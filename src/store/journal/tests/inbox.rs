//! What is received and not yet at its place comes to the same place as what is committed.

use super::super::body::Stand;
use super::*;

const STAND: Stand = Stand {
    number: 3,
    at: 7,
    received_at: 9,
};

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
        let bytes = body.encode(STAND);
        let mut straight = Vec::new();
        let traits = super::body::encode(&reading, is_usable, STAND, &mut straight);
        prop_assert_eq!(&straight, &bytes, "the short way gives the same bytes");
        prop_assert_eq!(traits, body.traits());
        prop_assert_eq!(Body::decode(STAND, &bytes), Some(body));
        // Another byte anywhere, or another place, and it is not read.
        for index in 0..bytes.len() {
            for change in [1_u8, 2, 3, 0x10, 0x80, 0xff] {
                let mut other = bytes.clone();
                other[index] ^= change;
                prop_assert_eq!(Body::decode(STAND, &other), None, "byte {} ^ {}", index, change);
            }
        }
        for stand in [
            Stand { number: 4, ..STAND },
            Stand { at: 8, ..STAND },
            Stand { received_at: 8, ..STAND },
        ] {
            prop_assert_eq!(Body::decode(stand, &bytes), None);
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
        "SELECT day, meter, at, rule, coalesce(args, message) FROM findings ORDER BY 1, 2, 3, 4, 5",
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
    locked(&received.cache).inbox.gather = std::time::Duration::ZERO;
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
    locked(&journal.cache).inbox.gather = std::time::Duration::ZERO;
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

#[tokio::test]
async fn a_flood_comes_to_its_place_in_short_steps_once_nothing_follows() {
    let dir = temp();
    let journal = open(dir.path());
    let batch = |from: i64| -> Arc<Vec<JournalEntry>> {
        let all =
            (from..from + 15_000).map(|i| entry(reading(&format!("m{}", i % 997), i / 997, i)));
        Arc::new(all.collect())
    };
    // Gathered for a minute, so that all of it waits.
    locked(&journal.cache).inbox.gather = std::time::Duration::from_mins(1);
    let mut waiting = 0;
    for part in 0..4 {
        waiting = journal.receive(batch(part * 15_000)).await.unwrap().waiting;
    }
    assert_eq!(waiting, 60_000);
    let mut steps = 0;
    let mut accepted = 0;
    while waiting > 0 {
        let report = journal.settle_some().await.unwrap();
        assert!(report.waiting < waiting && waiting - report.waiting <= 20_000);
        accepted += report.accepted;
        waiting = report.waiting;
        steps += 1;
    }
    assert_eq!((accepted, steps), (60_000, 3));
    let again = journal.settle_some().await.unwrap();
    assert_eq!(again, CommitReport::default());
}

#[test]
fn a_flood_of_many_meters_is_gathered_longer_than_a_stream_of_few() {
    let second = std::time::Duration::from_secs(1);
    let ripe = |rows: usize, meters: usize, waited: std::time::Duration| {
        super::super::inbox::is_ripe(rows, meters, waited, second)
    };
    // A stream is moved after a second, however many meters it has.
    assert!(!ripe(23_999, 100_000, second * 9));
    assert!(ripe(24_000, 100_000, second));
    assert!(!ripe(40_000, 100_000, second / 2));
    assert!(ripe(49_000, 100_000, second));
    // A flood until each meter has eight rows, or for five seconds.
    assert!(!ripe(200_000, 100_000, second));
    assert!(ripe(200_000, 25_000, second));
    assert!(!ripe(700_000, 100_000, second * 4));
    assert!(ripe(700_000, 100_000, second * 5));
    assert!(ripe(800_000, 100_000, second / 2));
}
