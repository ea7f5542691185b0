//! The daemon killed while it computes curves: after the restart they are those of an undisturbed run.

use std::collections::BTreeMap;

use qiliang::domain::calendar::GasDay;
use qiliang::domain::id::MeterId;
use qiliang::domain::series::LoadCurve;

use super::*;
use crate::support::wait_for;

const METERS: usize = 40;
const DAYS: i64 = 90;

/// Readings of a quarter, every four hours, none of whose curves is computed yet.
fn fill(path: &Path, from: DateTime<Utc>) {
    let journal = Journal::open(path, GasDayClock::default()).unwrap();
    for day in 0..DAYS {
        let mut entries = Vec::new();
        for meter in 0..METERS {
            for hour in (0..24).step_by(4) {
                let sampled_at = from + TimeDelta::hours(day * 24 + hour);
                let units = (day * 24 + hour) * (50_000 + 1_000 * i64::try_from(meter).unwrap());
                entries.push(JournalEntry::Reading {
                    reading: Reading {
                        meter: format!("M{meter}").as_str().into(),
                        sampled_at,
                        received_at: sampled_at,
                        transport: Transport::Mqtt,
                        values: vec![(Item::TotalStd, ItemValue::Exact(units))],
                        frozen: Vec::new(),
                        alarms: AlarmSet::default(),
                    },
                    findings: Vec::new(),
                });
            }
        }
        journal.commit_blocking(entries).unwrap();
    }
}

fn open(site: &Site) -> Journal {
    let path = site.data_dir().join("readings.db");
    Journal::open_read_only(path, GasDayClock::default()).unwrap()
}

/// Curves there are, and days that wait.
fn progress(site: &Site) -> (u64, u64) {
    let journal = open(site);
    (journal.curves_len().unwrap(), journal.dirty_len().unwrap())
}

fn curves(site: &Site, first: GasDay) -> BTreeMap<MeterId, Vec<LoadCurve>> {
    let journal = open(site);
    let meters = (0..METERS).map(|meter| MeterId::from(format!("M{meter}").as_str()));
    meters
        .map(|meter| {
            let found = journal.curves_of(&meter, first.plus(-2), first.plus(DAYS + 2));
            (meter, found.unwrap())
        })
        .collect()
}

fn finish(site: &Site, config: &Path) {
    let mut daemon = Daemon::start(config, &site.data_dir());
    daemon.address();
    wait_for("every curve", || {
        let (there, waiting) = progress(site);
        (waiting == 0 && there >= METERS as u64 * (DAYS.unsigned_abs() - 1)).then_some(())
    });
    assert!(daemon.stop().success());
}

#[test]
fn a_kill_amid_a_recompute_ends_in_the_curves_of_an_undisturbed_run() {
    let from = first_at() - TimeDelta::days(DAYS);
    let first = GasDayClock::default().day_of(from);
    let prepared = tempfile::tempdir().unwrap();
    let file = prepared.path().join("readings.db");
    fill(&file, from);
    let site_of = || {
        let site = Site::new(METERS);
        fs::create_dir_all(site.data_dir()).unwrap();
        fs::copy(&file, site.data_dir().join("readings.db")).unwrap();
        let config = site.config("");
        (site, config)
    };
    let (site, config) = site_of();
    finish(&site, &config);
    let undisturbed = curves(&site, first);
    let all: usize = undisturbed.values().map(Vec::len).sum();

    let mut sums = Sums::default();
    let (mut computed, mut differing) = (0, 0);
    for round in 0..rounds() {
        let (site, config) = site_of();
        let mut daemon = Daemon::start(&config, &site.data_dir());
        daemon.address();
        // Each round some further into it.
        let at_least = 1 + (round * 331) % (all as u64 / 2);
        let killed_at = wait_for("a recompute under way", || {
            let (there, waiting) = progress(&site);
            assert!(
                there < all as u64 || waiting > 0,
                "all was computed before it could be killed"
            );
            (there >= at_least && waiting > 0).then_some(there)
        });
        daemon.kill_in_place();
        drop(daemon);
        computed += killed_at;
        finish(&site, &config);
        let again = curves(&site, first);
        differing += usize::from(again != undisturbed);
        sums.kills += 1;
        let said = qiliang(&[
            "--config",
            config.to_str().unwrap(),
            "verify",
            "--all-curves",
        ]);
        assert!(
            said.status.success(),
            "{}",
            String::from_utf8_lossy(&said.stdout)
        );
    }
    let also = format!(
        "killed after {} of {all} curves on average; {differing} rounds with other curves",
        computed / sums.kills
    );
    row("`kill -9` amid a recompute", sums.kills, &sums, &also);
    assert_eq!(differing, 0);
}
