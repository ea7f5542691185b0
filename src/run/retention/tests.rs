//! Retention with the real journal, book and curve worker.

use tempfile::TempDir;
use tokio::sync::broadcast;

use super::*;
use crate::clock::ManualClock;
use crate::domain::calendar::{Calendar, GasDayClock};
use crate::domain::customer::{Customer, CustomerClass};
use crate::domain::demand::{DemandDay, DemandNode};
use crate::domain::finding::{Finding, RuleId, Severity, Subject, Words};
use crate::domain::reading::{FrozenTotals, Item, Reading};
use crate::domain::registry::RegistryParts;
use crate::domain::series::LoadCurve;
use crate::run::compaction::compact;
use crate::run::curve_check::{Extent, check_curves};
use crate::run::curves::{self, CurveDeps};
use crate::settings::ClassRetention;
use crate::store::journal::{FindingFilter, JournalEntry};
use crate::validate::rules::testing::{self, day as today};

const DAYS: i64 = 120;
/// `hourly` is an enterprise's, `home` a household's, `slow` reports each tenth day, `frozen` reports
/// yesterday's hours as an array.
const METERS: [&str; 4] = ["hourly", "home", "slow", "frozen"];

struct City {
    dir: TempDir,
    journal: Journal,
    deps: CurveDeps,
    registry: Arc<Registry>,
    swap: watch::Sender<Arc<Registry>>,
}

fn first_day() -> GasDay {
    today().plus(-DAYS)
}

fn at(hour: i64) -> DateTime<Utc> {
    GasDayClock::default().start_of(first_day()) + TimeDelta::hours(hour)
}

fn registry(factor: f64) -> Registry {
    let customer = |id: &str, class| Customer {
        id: id.into(),
        class,
        ..testing::Case::flat(10.0).customer
    };
    let meters = METERS.map(|id| Meter {
        id: id.into(),
        device: id.into(),
        customer: Some(if id == "home" { "h" } else { "e" }.into()),
        fixed_factor: factor,
        total_digits: 9,
        ..testing::std_meter()
    });
    Registry::new(RegistryParts {
        version: format!("test {factor}"),
        customers: vec![
            customer("e", CustomerClass::Industrial),
            customer("h", CustomerClass::ResidentialCooking),
        ],
        meters: meters.to_vec(),
        ..testing::parts()
    })
}

fn total(meter: &str, hour: i64) -> Reading {
    Reading {
        meter: meter.into(),
        sampled_at: at(hour),
        received_at: at(hour),
        ..testing::total(0, 1_000 + hour * 3 + hour % 5)
    }
}

fn array(day: i64) -> Reading {
    let mut reading = total("frozen", day * 24 + 27);
    reading.values.clear();
    reading.frozen.push(FrozenTotals {
        item: Item::TotalStd,
        first_at: at(day * 24),
        step_s: 3_600,
        totals: (0..=24).map(|h| Some((day * 24 + h) * 20_000)).collect(),
    });
    reading
}

fn entry(reading: Reading) -> JournalEntry {
    JournalEntry::Reading {
        reading,
        findings: Vec::new(),
    }
}

fn sum_day(day: GasDay, curves: &[LoadCurve]) -> Vec<DemandDay> {
    let mut hours_m3 = [0.0; 24];
    for curve in curves {
        for (sum, hour) in hours_m3.iter_mut().zip(&curve.hours) {
            *sum += hour.to_f64();
        }
    }
    vec![DemandDay {
        node: DemandNode {
            zone: "north".into(),
            class: CustomerClass::Industrial,
        },
        day,
        hours_m3,
        coverage: 1.0,
        uncertainty_m3: 0.0,
    }]
}

fn city() -> City {
    let dir = TempDir::new().unwrap();
    let journal = Journal::open(dir.path().join("readings.db"), GasDayClock::default()).unwrap();
    let mut entries = Vec::new();
    for hour in 0..DAYS * 24 {
        entries.push(entry(total("hourly", hour)));
        entries.push(entry(total("home", hour)));
        if hour % 240 == 5 {
            entries.push(entry(total("slow", hour)));
        }
    }
    entries.extend((0..DAYS - 1).map(|day| entry(array(day))));
    journal.commit_blocking(entries).unwrap();
    let registry = Arc::new(registry(1.0));
    let (sender, receiver) = watch::channel(Arc::clone(&registry));
    let deps = CurveDeps {
        journal: journal.clone(),
        book: Book::open(dir.path().join("qiliang.db")).unwrap(),
        registry: receiver,
        sum_day: Arc::new(sum_day),
        fill_days: 0,
        calendar: watch::channel(Arc::default()).1,
        limits: watch::channel(Arc::default()).1,
        clock: Arc::new(ManualClock::new(at(DAYS * 24))),
        live: broadcast::channel(1_024).0,
    };
    curves::drain(&deps).unwrap();
    City {
        dir,
        journal,
        deps,
        registry,
        swap: sender,
    }
}

fn settings(readings_days: u32, home_days: u32) -> RetentionSettings {
    let home = ClassRetention {
        readings_days: Some(home_days),
        ..ClassRetention::default()
    };
    RetentionSettings {
        readings_days,
        class: [(CustomerClass::ResidentialCooking, home)].into(),
        ..RetentionSettings::default()
    }
}

impl City {
    fn sweep(&self, sweeper: &mut Sweeper, kept: &RetentionSettings) -> Swept {
        sweeper
            .sweep(&self.journal, &self.registry, kept, today(), |_| Rest::GoOn)
            .unwrap()
    }

    fn days(&self, meter: &str) -> Vec<i64> {
        let readings = self
            .journal
            .readings_between(&meter.into(), at(0), at(DAYS * 24 + 48))
            .unwrap();
        let clock = GasDayClock::default();
        let mut days: Vec<i64> = readings
            .iter()
            .map(|reading| clock.day_of(reading.sampled_at).days_since(first_day()))
            .collect();
        days.dedup();
        days
    }

    fn curves(&self) -> Vec<LoadCurve> {
        let mut curves = Vec::new();
        self.journal
            .for_each_curve(first_day(), today().plus(1), |curve| curves.push(curve))
            .unwrap();
        curves
    }

    fn demand(&self) -> Vec<DemandDay> {
        self.deps
            .book
            .demand_days(first_day(), today().plus(1))
            .unwrap()
    }
}

/// Readings stay for 100 days, those of households for 95: the first day kept is 20, or 25.
#[test]
fn each_class_keeps_its_days_and_the_totals_that_the_first_kept_curve_needs() {
    let city = city();
    let before = city.curves();
    let kept = settings(100, 95);
    let due = explain(&city.journal, &city.registry, &kept, today()).unwrap();
    let rows: Vec<_> = due
        .iter()
        .map(|due| (due.class, due.meters, due.rows))
        .collect();
    let (industrial, home) = (CustomerClass::Industrial, CustomerClass::ResidentialCooking);
    assert_eq!(
        rows,
        [
            (Some(home), 1, 600),
            // 20 days of `hourly`, 2 rows of `slow`, 19 arrays.
            (Some(industrial), 3, 480 + 2 + 19)
        ]
    );
    let mut sweeper = Sweeper::default();
    let swept = city.sweep(&mut sweeper, &kept);
    assert_eq!(swept.held, BTreeMap::new());
    assert_eq!(city.days("hourly").first(), Some(&17));
    assert_eq!(city.days("home").first(), Some(&22));
    // Its third total before day 20 is its first.
    assert_eq!(city.days("slow").first(), Some(&0));
    // Its array of day 16, on day 17, ends with the first total of day 17.
    assert_eq!(city.days("frozen").first(), Some(&17));
    assert_eq!(swept.rows[&KeptKind::Readings], 17 * 24 + 22 * 24 + 16);
    assert_eq!(city.curves(), before);
    // Nothing is left to do, and what is there says the same.
    assert_eq!(city.sweep(&mut sweeper, &kept).rows, BTreeMap::new());
    let check = check_curves(
        &city.journal,
        &city.registry,
        &Calendar::default(),
        Extent::Whole,
    )
    .unwrap();
    assert_eq!(check.different, []);
    assert_eq!(check.closed, 20 + 20 + 25);
    assert_eq!(city.journal.check().unwrap().damage, []);
}

#[test]
fn a_curve_whose_readings_are_gone_is_final_and_those_after_it_come_out_the_same() {
    let city = city();
    let (curves_before, demand_before) = (city.curves(), city.demand());
    city.sweep(&mut Sweeper::default(), &settings(100, 95));
    // A late reading for a closed day, and every open day asked for again.
    let mut late = total("hourly", 10 * 24 + 5);
    late.sampled_at += TimeDelta::minutes(30);
    city.journal.commit_blocking(vec![entry(late)]).unwrap();
    let all = curves_before.iter();
    let all = all.map(|curve| (curve.meter.clone(), curve.day));
    city.journal.mark_dirty(all.collect()).unwrap();
    let report = curves::drain(&city.deps).unwrap();
    assert_eq!(report.changed, 0);
    assert_eq!(city.journal.dirty_len().unwrap(), 0);
    assert_eq!(city.curves(), curves_before);
    assert_eq!(city.demand(), demand_before);
    // Another factor counts from the first open day on.
    city.swap.send(Arc::new(registry(2.0))).unwrap();
    curves::drain(&city.deps).unwrap();
    let (closed, open): (Vec<_>, Vec<_>) = city
        .curves()
        .into_iter()
        .partition(|curve| curve.day < first_day().plus(20));
    assert!(closed.iter().all(|curve| curves_before.contains(curve)));
    assert!(!open.is_empty());
}

#[test]
fn days_that_wait_for_curves_or_for_the_second_store_are_not_touched() {
    let city = city();
    let kept = settings(100, 100);
    let mut sweeper = Sweeper::default();
    city.journal
        .mark_dirty(vec![("hourly".into(), first_day().plus(3))])
        .unwrap();
    let swept = city.sweep(&mut sweeper, &kept);
    assert!(swept.held.values().all(|held| *held == Held::Curves));
    assert_eq!(swept.held.len(), 20);
    // What other meters said is in no curve of this one.
    assert_eq!(city.days("hourly").first(), Some(&0));
    assert_eq!(city.days("home").first(), Some(&17));
    assert!(swept.rows[&KeptKind::Readings] > 400);
    curves::drain(&city.deps).unwrap();

    // One key of day 5 waits for the second store.
    city.journal.set_forwarding(true, 0).unwrap();
    while let Some(batch) = city.journal.outbox(100_000).unwrap() {
        city.journal.forwarded(batch.sent, Vec::new(), 0).unwrap();
    }
    let mut late = total("hourly", 5 * 24 + 5);
    late.sampled_at += TimeDelta::minutes(30);
    city.journal.commit_blocking(vec![entry(late)]).unwrap();
    curves::drain(&city.deps).unwrap();
    let swept = city.sweep(&mut sweeper, &kept);
    let held: Vec<_> = swept
        .held
        .keys()
        .map(|(_, day)| day.days_since(first_day()))
        .collect();
    assert!(held.contains(&5) && held.len() <= 2, "{held:?}");
    assert!(city.days("hourly").starts_with(&[5]));
    while let Some(batch) = city.journal.outbox(100_000).unwrap() {
        city.journal.forwarded(batch.sent, Vec::new(), 0).unwrap();
    }
    let swept = city.sweep(&mut sweeper, &kept);
    assert_eq!(swept.held, BTreeMap::new());
    assert_eq!(city.days("hourly").first(), Some(&17));
}

#[test]
fn curves_and_findings_go_and_the_sums_of_their_days_stay() {
    let city = city();
    let kept = RetentionSettings {
        readings_days: 70,
        curves_days: 101,
        findings_days: 70,
        ..RetentionSettings::default()
    };
    let demand = city.demand();
    let all = city
        .journal
        .findings(&FindingFilter::default())
        .unwrap()
        .len();
    let swept = city.sweep(&mut Sweeper::default(), &kept);
    assert_eq!(
        city.journal.curves_dropped_before().unwrap(),
        Some(first_day().plus(19))
    );
    let (first, _) = city.journal.curve_span().unwrap().unwrap();
    assert_eq!(first, first_day().plus(19));
    let findings = city.journal.findings(&FindingFilter::default()).unwrap();
    let dropped = swept.rows.get(&KeptKind::Findings).copied().unwrap_or(0);
    assert_eq!(findings.len() as u64 + dropped, all as u64);
    assert!(findings.iter().all(|f| f.at >= at(50 * 24)));
    // Whatever is asked to be summed again, days without curves are not.
    city.swap.send(Arc::new(registry(1.5))).unwrap();
    curves::drain(&city.deps).unwrap();
    let after = city.demand();
    assert_eq!(after[..19], demand[..19]);
    assert_eq!(after.len(), demand.len());
}

#[test]
fn a_reading_of_a_day_that_is_kept_no_longer_is_refused_with_the_reason() {
    let kept = settings(100, 95);
    let registry = registry(1.0);
    let meter = |id: &str| registry.meters[&MeterId::from(id)].clone();
    let now = at(DAYS * 24);
    let refused = |id: &str, day: i64| too_old(&registry, &kept, &meter(id), (at(day * 24), now));
    assert_eq!(refused("hourly", 20), None);
    let reason = refused("hourly", 19).unwrap();
    assert!(
        reason.contains("stay for 100 days") && reason.contains("readings_days"),
        "{reason}"
    );
    assert!(refused("home", 24).is_some());
    assert_eq!(refused("home", 25), None);
    assert_eq!(
        too_old(
            &registry,
            &RetentionSettings::default(),
            &meter("home"),
            (at(0), now)
        ),
        None
    );
}

/// A page of `home`'s readings in the days that are due, and the mark of a curve that waits for it.
#[test]
fn a_damaged_page_keeps_its_own_rows_and_no_others() {
    let City {
        dir,
        journal,
        deps,
        registry,
        swap,
    } = city();
    let kept = settings(100, 100);
    drop((journal, deps, swap));
    let path = dir.path().join("readings.db");
    let sound = std::fs::read(&path).unwrap();
    let c = rusqlite::Connection::open(&path).unwrap();
    let home: i64 = c
        .query_row("SELECT no FROM meters WHERE id = 'home'", [], |row| {
            row.get(0)
        })
        .unwrap();
    drop(c);
    // The leaf page of an index without which that meter's rows of that day cannot be read.
    let day = first_day().plus(5).epoch_day();
    let page = (1..sound.len() / 4_096).find(|page| {
        let at = page * 4_096;
        if sound[at] != 0x0A {
            return false;
        }
        let mut garbled = sound.clone();
        garbled[at..at + 12].fill(0xA5);
        std::fs::write(&path, &garbled).unwrap();
        let c = rusqlite::Connection::open(&path).unwrap();
        let own = "SELECT sum(length(body)) FROM readings WHERE day = ?1 AND meter = ?2";
        let read = c.query_row(own, [i64::from(day), home], |row| row.get::<_, i64>(0));
        read.is_err()
    });
    assert!(page.is_some(), "there is such a page");
    let journal = Journal::open(&path, GasDayClock::default()).unwrap();
    let mut sweeper = Sweeper::default();
    let mut sweep = |on: GasDay| {
        sweeper
            .sweep(&journal, &registry, &kept, on, |_| Rest::GoOn)
            .unwrap()
    };
    let swept = sweep(today());
    assert!(
        swept
            .held
            .contains_key(&(KeptKind::Readings, first_day().plus(5))),
        "{swept:?}"
    );
    assert!(swept.held.values().all(|held| *held == Held::Damage));
    assert!(swept.held.len() < 10, "{:?}", swept.held);
    let clock = GasDayClock::default();
    for day in 0..17 {
        let day = first_day().plus(day);
        let is_held = swept.held.contains_key(&(KeptKind::Readings, day));
        for meter in ["hourly", "home"] {
            let (from, to) = (clock.start_of(day), clock.end_of(day));
            let left = journal.readings_between(&meter.into(), from, to);
            assert!(is_held || left.unwrap().is_empty(), "{meter} on {day}");
        }
    }
    // It is said again, and not tried again before tomorrow.
    let again = sweep(today());
    assert_eq!((again.held, again.rows), (swept.held, BTreeMap::new()));
}

#[test]
fn space_is_given_back_in_small_steps_and_the_log_is_cut() {
    let city = city();
    let before = city.journal.file_size().unwrap();
    assert!(before.can_shrink);
    city.sweep(&mut Sweeper::default(), &settings(95, 95));
    city.journal.cut_log().unwrap();
    let mut steps = 0;
    let given = compact(&city.journal, 0, |_| {
        steps += 1;
        Rest::GoOn
    })
    .unwrap();
    assert!(given > 0 && steps > 0);
    assert!(city.journal.cut_log().unwrap().is_cut);
    let after = city.journal.file_size().unwrap();
    assert!(after.bytes < before.bytes, "{after:?} {before:?}");
    assert_eq!(after.log_bytes, 0);
    let on_disk = std::fs::metadata(city.dir.path().join("readings.db"))
        .unwrap()
        .len();
    assert_eq!(on_disk, after.bytes);
    assert_eq!(city.journal.check().unwrap().damage, []);
    // A reader that looks at an older state keeps the log, and nobody waits for it.
    assert_eq!(compact(&city.journal, 1 << 30, |_| Rest::GoOn).unwrap(), 0);
}

#[test]
fn what_was_found_of_zones_and_customers_goes_with_the_findings_of_their_class() {
    let city = city();
    let rule = RuleId::V26;
    let found = |subject: Subject, day: GasDay| Finding {
        rule,
        severity: Severity::Info,
        subject,
        at: GasDayClock::default().start_of(day),
        words: Words::Text("apart".to_owned()),
    };
    let days = [first_day(), first_day().plus(60), today()];
    for day in days {
        let subjects = [
            Subject::Zone("z".into()),
            Subject::Customer("e".into()),
            Subject::Customer("h".into()),
        ];
        let findings = subjects.map(|subject| found(subject, day)).to_vec();
        city.journal
            .put_subject_findings(day, vec![rule], None, findings)
            .unwrap();
    }
    // Findings of industry stay for ever, all others for 80 days.
    let industrial = ClassRetention {
        findings_days: Some(0),
        ..ClassRetention::default()
    };
    let kept = RetentionSettings {
        findings_days: 80,
        class: [(CustomerClass::Industrial, industrial)].into(),
        ..RetentionSettings::default()
    };
    let registry = Arc::clone(&city.deps.registry.borrow());
    let due = explain(&city.journal, &registry, &kept, today()).unwrap();
    let subjects: u64 = due
        .iter()
        .filter(|due| due.meters == 0)
        .map(|due| due.rows)
        .sum();
    assert!(subjects >= 1, "{due:?}");
    let mut sweeper = Sweeper::default();
    let mut sweep = || {
        let go_on = |_| Rest::GoOn;
        sweeper
            .sweep(&city.journal, &registry, &kept, today(), go_on)
            .unwrap()
    };
    sweep();
    let left = |day| city.journal.subjects_with_findings(day).unwrap();
    assert_eq!(
        left(days[0])
            .into_iter()
            .map(|(subject, _, _)| subject)
            .collect::<Vec<_>>(),
        [Subject::Customer("e".into())]
    );
    assert_eq!(left(days[1]).len(), 3);
    assert_eq!(left(days[2]).len(), 3);
    assert_eq!(
        sweep().rows.get(&KeptKind::Findings),
        None,
        "nothing is left to drop"
    );
}

#[test]
fn a_host_clock_nine_months_ahead_drops_nothing() {
    let city = city();
    let frame = crate::domain::frame::RawFrame {
        received_at: at(DAYS * 24),
        transport: crate::domain::frame::Transport::Mqtt,
        origin: "gas/x/up".into(),
        device: None,
        bytes: "x".into(),
    };
    let reject = JournalEntry::Reject(crate::domain::frame::RejectedFrame {
        frame,
        meter: None,
        reason: crate::domain::frame::RejectReason::new("decode.other", "no"),
    });
    city.journal.commit_blocking(vec![reject]).unwrap();
    let known = at(DAYS * 24);
    let clock = Arc::new(ManualClock::new(known + TimeDelta::days(270)));
    let host = HostClock::default();
    host.begin(clock.now(), Some(known));
    let look_at = |clock: Arc<ManualClock>| {
        let deps = RetentionDeps {
            journal: city.journal.clone(),
            book: city.deps.book.clone(),
            registry: city.deps.registry.clone(),
            rejects: RejectSettings {
                keep_days: 180,
                ..crate::settings::load(None).unwrap().rejects
            },
            kept: settings(125, 0),
            clock,
            host: host.clone(),
            metrics: StoreMetrics::default(),
        };
        look(&deps, &mut Memory::default(), &CancellationToken::new());
        let rejects = city
            .journal
            .rejects(&crate::store::journal::RejectFilter::default());
        (rejects.unwrap().len(), city.days("hourly").len())
    };
    let before = city.days("hourly").len();
    assert_eq!(look_at(Arc::clone(&clock)), (1, before));
    // Once meters vouch for the time, it is kept no longer.
    for meter in METERS {
        let now = clock.now();
        host.hear(&meter.into(), now - TimeDelta::seconds(9), now);
    }
    host.look(clock.now(), TimeDelta::zero());
    let (rejects, days) = look_at(clock);
    assert_eq!(rejects, 0);
    assert!(days < before, "{days} of {before}");
}
