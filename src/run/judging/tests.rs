//! What is judged again when limits, plans or the registry change: exactly the days they are about.
//!
//! Every day of everybody is given a finding that nobody would make. Where it is gone, somebody judged.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;

use super::{catch_up, sync_known};
use crate::clock::ManualClock;
use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::customer::{Customer, CustomerClass};
use crate::domain::filing::{ChangeEntry, ChangeKind, FiledPlan, ProductionChange};
use crate::domain::finding::{Finding, RuleId, Severity, Subject, Words};
use crate::domain::meter::{Meter, MeterRole};
use crate::domain::quantity::StdVolume;
use crate::domain::reading::Reading;
use crate::domain::registry::{Registry, RegistryParts};
use crate::domain::source::Zone;
use crate::run::app::{App, Reload};
use crate::run::curves::{self, CurveDeps};
use crate::run::deps::{self, Stages};
use crate::run::testing::site_in;
use crate::store::journal::{CurveBatch, CurveWrite, FindingFilter, JournalEntry};
use crate::validate::limits::LimitTable;
use crate::validate::rules::testing::{self, day as today};

const DAYS: i64 = 60;
/// Of the works `e`, the home `h` and the gate.
const METERS: [&str; 3] = ["works", "home", "gate"];

/// A day counted from the first.
fn on(day: i64) -> GasDay {
    today().plus(day - DAYS)
}

fn start_of(day: i64) -> DateTime<Utc> {
    GasDayClock::default().start_of(on(day))
}

struct Town {
    dir: TempDir,
    app: App,
    deps: CurveDeps,
    reload: Reload,
}

/// Who was judged on which day, counted from the first.
type Judged = BTreeSet<(String, i64)>;

fn judged(of: &str, days: impl IntoIterator<Item = i64>) -> Judged {
    days.into_iter().map(|day| (of.to_owned(), day)).collect()
}

fn parts() -> RegistryParts {
    let customer = |id: &str, class| Customer {
        id: id.into(),
        class,
        ..testing::Case::flat(10.0).customer
    };
    let meters = METERS.map(|id| Meter {
        id: id.into(),
        device: id.into(),
        role: if id == "gate" {
            MeterRole::Gate
        } else {
            MeterRole::Customer
        },
        customer: match id {
            "works" => Some("e".into()),
            "home" => Some("h".into()),
            _ => None,
        },
        total_digits: 9,
        ..testing::std_meter()
    });
    RegistryParts {
        customers: vec![
            customer("e", CustomerClass::Industrial),
            customer("h", CustomerClass::ResidentialCooking),
        ],
        meters: meters.to_vec(),
        zones: vec![Zone {
            id: "north".into(),
            name: "North".into(),
            weather_station: "zz".into(),
            atmosphere_kpa: 101.0,
            pipe_volume_m3: 0.0,
        }],
        ..testing::parts()
    }
}

impl Town {
    fn new() -> Self {
        Self::still_from(DAYS)
    }

    /// Where the works use no gas from a day on.
    fn still_from(day: i64) -> Self {
        let town = Self::open(TempDir::new().unwrap(), parts(), LimitTable::default());
        let mut entries = Vec::new();
        for hour in 0..DAYS * 24 {
            for (meter, flow) in METERS.iter().zip([3, 1, 4]) {
                let sampled_at = start_of(0) + TimeDelta::hours(hour);
                let flowing = if *meter == "works" {
                    hour.min(day * 24)
                } else {
                    hour
                };
                entries.push(JournalEntry::Reading {
                    reading: Reading {
                        meter: (*meter).into(),
                        sampled_at,
                        received_at: sampled_at,
                        ..testing::total(0, 1_000 + flowing * flow)
                    },
                    findings: Vec::new(),
                });
            }
        }
        town.app.journal.commit_blocking(entries).unwrap();
        curves::drain(&town.deps).unwrap();
        while catch_up(&town.app).unwrap().is_some() {}
        town
    }

    fn open(dir: TempDir, parts: RegistryParts, limits: LimitTable) -> Self {
        let site = site_in(dir.path(), parts, limits);
        let clock = Arc::new(ManualClock::new(start_of(DAYS) + TimeDelta::hours(1)));
        let (app, reload) = App::open(&site, clock).unwrap();
        let deps = deps::curves(&app, &Stages::default());
        Self {
            dir,
            app,
            deps,
            reload,
        }
    }

    /// The same directory after the program ended and began again.
    fn reopened(self, parts: RegistryParts, limits: LimitTable) -> Self {
        let Self {
            dir,
            app,
            deps,
            reload,
        } = self;
        drop((app, deps, reload));
        Self::open(dir, parts, limits)
    }

    /// Marks everybody on every day.
    fn plant(&self) {
        let planted = |rule, subject, at| Finding {
            rule,
            severity: Severity::Info,
            subject,
            at,
            words: Words::Text("planted".to_owned()),
        };
        for day in 0..DAYS {
            let mut writes = Vec::new();
            for meter in METERS {
                let subject = Subject::Meter(meter.into());
                let curve = self.app.journal.stored_curve(&meter.into(), on(day));
                writes.push(CurveWrite {
                    curve: curve.unwrap().unwrap().curve,
                    findings: vec![planted(RuleId::V25, subject, start_of(day))],
                });
            }
            let batch = CurveBatch {
                curves: writes,
                cleared: Vec::new(),
                computed_at: start_of(DAYS),
            };
            assert_eq!(self.app.journal.put_curves(batch).unwrap(), 0);
            let at = start_of(day);
            let found = vec![
                planted(RuleId::V15, Subject::Zone("north".into()), at),
                planted(RuleId::V26, Subject::Customer("e".into()), at),
                planted(RuleId::V26, Subject::Customer("h".into()), at),
            ];
            let rules = vec![RuleId::V15, RuleId::V26];
            let journal = &self.app.journal;
            journal
                .put_subject_findings(on(day), rules, None, found)
                .unwrap();
        }
    }

    /// Where nothing planted is left, of the days before the round's for zones and customers.
    fn judged(&self) -> Judged {
        let found = self
            .app
            .journal
            .findings(&FindingFilter::default())
            .unwrap();
        let is_planted = |finding: &&Finding| {
            let text = finding.message_en();
            // Zones and customers keep no text; what was planted there has no values.
            text == "planted" || finding.subject.meter().is_none() && text.len() <= 2
        };
        let left: Judged = found
            .iter()
            .filter(is_planted)
            .map(|f| {
                let day = GasDayClock::default().day_of(f.at).days_since(on(0));
                (f.subject.to_string(), day)
            })
            .collect();
        let everybody = METERS.into_iter().chain(["north", "e", "h"]);
        let all: Judged = everybody.flat_map(|of| judged(of, 0..DAYS)).collect();
        all.difference(&left).cloned().collect()
    }

    /// The worker's step and the agenda's, until nothing is left; days of meters in each step.
    fn work_off(&self, limit: usize) -> Vec<usize> {
        let mut steps = Vec::new();
        loop {
            let days = curves::judge_marked(&self.deps, limit).unwrap();
            if days == 0 {
                break;
            }
            steps.push(days);
        }
        while let Some(due) = catch_up(&self.app).unwrap() {
            assert!(due.only.is_some() && due.to.days_since(due.from) <= 32);
        }
        steps
    }

    fn registry(&self, parts: RegistryParts) {
        let registry = Arc::new(Registry::new(parts));
        self.reload.registry.send_replace(registry);
        curves::sync_registry(&self.deps).unwrap();
    }

    fn limits(&self, text: &str) {
        let table = LimitTable::with(text).unwrap();
        self.reload.limits.send_replace(Arc::new(table));
        curves::sync_registry(&self.deps).unwrap();
    }
}

fn plan(customer: &str, day: i64, m3: i64, known: DateTime<Utc>) -> FiledPlan {
    FiledPlan {
        customer: customer.into(),
        day: on(day),
        volume: StdVolume::from_m3(m3),
        available_at: known,
    }
}

/// As somebody enters one.
fn enter(town: &Town, change: ProductionChange) {
    let entry = ChangeEntry {
        id: format!("B {}", change.from_on),
        change,
        person: "li".into(),
        reason: "call".into(),
        is_withdrawn: false,
    };
    let kept = town.app.book.put_change_entry(entry, 0).unwrap();
    assert!(kept.is_some());
}

fn set(from: i64, limits: &str) -> String {
    format!("[[set]]\nfrom_day = \"{}\"\n{limits}\n", on(from))
}

#[test]
fn a_changed_limit_judges_whom_and_when_it_is_about() {
    let town = Town::new();
    town.plant();
    assert_eq!(town.judged(), Judged::new());
    // The same table told again, and a limit of days to come, judge nobody.
    town.limits(&set(DAYS + 3, "v10_days = 5.0"));
    assert_eq!(town.work_off(9), [0; 0]);
    assert_eq!(town.judged(), Judged::new());

    let of_industry = set(40, "classes = [\"industrial\"]\nv10_days = 4.0");
    town.limits(&of_industry);
    // No step is longer than asked for.
    assert_eq!(town.work_off(9), [9, 9, 2]);
    let mut expected = judged("works", 40..DAYS);
    assert_eq!(town.judged(), expected);

    // Between two days, by a set that another takes back; zones only, up to the round's days.
    let of_zones = set(20, "v15_floor = 0.2") + &set(30, "v15_floor = 0.01");
    town.limits(&(of_industry + &of_zones));
    assert_eq!(town.work_off(1_000), [0; 0]);
    expected.extend(judged("north", 20..30));
    assert_eq!(town.judged(), expected);
}

/// It is put down two weeks late that the home closed: what was estimated for it since is taken back, and
/// nothing else is summed or judged again.
#[test]
fn a_meter_taken_away_has_its_days_summed_again() {
    let in_use_from = |parts: &mut RegistryParts| {
        for meter in &mut parts.meters {
            meter.zone = "north".into();
            meter.installed_on = on(0).0;
        }
        for customer in &mut parts.customers {
            customer.zone = "north".into();
            customer.connected_on = on(0).0;
        }
    };
    let mut before = parts();
    in_use_from(&mut before);
    let town = Town::new();
    town.registry(before.clone());
    // Days that are summed again are judged whole.
    let finish = || {
        while curves::judge_marked(&town.deps, 1_000).unwrap() > 0 {}
        while catch_up(&town.app).unwrap().is_some() {}
    };
    finish();
    let summed_again = |parts: &RegistryParts| -> Vec<i64> {
        curves::drain(&town.deps).unwrap();
        let journal = &town.app.journal;
        assert_eq!(journal.stale_demand_days().unwrap().len(), 0);
        town.registry(parts.clone());
        let stale = journal.stale_demand_days().unwrap();
        stale.iter().map(|of| of.day.days_since(on(0))).collect()
    };
    let all = |from| (from..DAYS).collect::<Vec<_>>();
    assert_eq!(summed_again(&before), Vec::<i64>::new());
    finish();
    town.plant();
    let mut closed = before.clone();
    closed.version = "closed".into();
    let home = closed.meters.iter_mut().find(|m| m.id == "home".into());
    home.unwrap().removed_on = Some(on(45).0);
    assert_eq!(summed_again(&closed), all(45));
    finish();
    let zones: Judged = judged("north", 45..DAYS - super::DAYS);
    let of_zone = |all: &Judged| -> Judged {
        let north = all.iter().filter(|(of, _)| of == "north");
        north.cloned().collect()
    };
    assert_eq!(of_zone(&town.judged()), zones);
    // It was another home after all.
    assert_eq!(summed_again(&before), all(45));
    assert_eq!(summed_again(&before), Vec::<i64>::new());
}

#[test]
fn a_plan_filed_late_judges_its_customer_on_its_day() {
    let town = Town::new();
    let mut now = parts();
    now.filed_plans.push(plan("e", 12, 90, start_of(5)));
    town.registry(now.clone());
    town.work_off(100);
    town.plant();
    // Another customer's, and a newer word on a day that has one; one of the round's days waits for it.
    now.filed_plans.push(plan("h", 30, 24, start_of(DAYS)));
    now.filed_plans.push(plan("e", 12, 72, start_of(DAYS)));
    now.filed_plans
        .push(plan("e", DAYS - 2, 72, start_of(DAYS)));
    // What is not known yet changes nothing, nor does saying the same again.
    now.filed_plans.push(plan("e", 14, 10, start_of(DAYS + 9)));
    now.filed_plans
        .push(plan("h", 30, 24, start_of(DAYS) + TimeDelta::minutes(5)));
    town.registry(now.clone());
    town.work_off(100);
    let mut expected = judged("e", [12]);
    expected.extend(judged("h", [30]));
    assert_eq!(town.judged(), expected);
    let left = town.app.journal.findings(&FindingFilter {
        rule: Some(RuleId::V26),
        from: Some(start_of(12)),
        to: Some(start_of(13)),
        ..FindingFilter::default()
    });
    assert_eq!(
        left.unwrap().len(),
        1,
        "that of the other customer: 72 m³ were used"
    );

    // One that comes without the registry is found, too; and one that is taken back.
    town.app
        .book
        .put_filed_plans(vec![plan("e", 20, 1, start_of(DAYS))])
        .unwrap();
    now.filed_plans.retain(|plan| plan.customer != "h".into());
    town.registry(now);
    town.plant();
    town.work_off(100);
    let mut expected = judged("e", [20]);
    expected.extend(judged("h", [30]));
    assert_eq!(town.judged(), expected);
}

#[test]
fn an_announcement_that_came_late_judges_its_days_and_those_compared_with_them() {
    let town = Town::new();
    town.plant();
    let mut now = parts();
    now.production_changes.push(ProductionChange {
        customer: "e".into(),
        kind: ChangeKind::Shutdown,
        from_on: on(10).0,
        to_on: on(12).0,
        delta_m3_per_day: -72.0,
        confidence: 1.0,
        source: "call".into(),
        available_at: start_of(DAYS),
    });
    town.registry(now.clone());
    town.work_off(7);
    let expected = judged("works", 10..=12 + 28);
    assert_eq!(town.judged(), expected);
    // How sure somebody was is no business of the rules.
    now.production_changes[0].confidence = 0.5;
    town.registry(now);
    assert_eq!(town.work_off(7), [0; 0]);
    assert_eq!(town.judged(), expected);
}

#[test]
fn an_announcement_kept_in_the_book_judges_as_one_of_the_files_does() {
    let told = |from: i64, to: i64, known: DateTime<Utc>| ProductionChange {
        customer: "e".into(),
        kind: ChangeKind::Shutdown,
        from_on: on(from).0,
        to_on: on(to).0,
        delta_m3_per_day: -72.0,
        confidence: 1.0,
        source: "电话".into(),
        available_at: known,
    };
    let town = Town::new();
    // What everybody is judged by is told once; nothing is new then.
    let mut known = None;
    sync_known(&town.app, &mut known).unwrap();
    town.plant();
    assert_eq!(town.work_off(100), [0; 0]);
    // One that is known, and one that somebody entered to be known from tomorrow on.
    let (now, tomorrow) = (start_of(DAYS), start_of(DAYS + 1));
    let changes = [told(10, 12, now), told(40, 41, tomorrow)];
    for change in &changes {
        enter(&town, change.clone());
    }
    sync_known(&town.app, &mut known).unwrap();
    town.work_off(7);
    let expected = judged("works", 10..=12 + 28);
    assert_eq!(town.judged(), expected);
    // The registry read again changes nothing of it, and a second look finds nothing.
    town.registry(parts());
    sync_known(&town.app, &mut known).unwrap();
    assert_eq!(town.work_off(7), [0; 0]);
    // The same said in the files, too, is the same.
    let mut now_parts = parts();
    now_parts.production_changes.push(changes[0].clone());
    town.registry(now_parts);
    assert_eq!(town.work_off(7), [0; 0]);
    assert_eq!(town.judged(), expected);
}

#[test]
fn a_stop_entered_in_the_book_explains_days_without_gas() {
    let town = Town::still_from(30);
    let silent = || {
        let found = town.app.journal.findings(&FindingFilter {
            rule: Some(RuleId::V10),
            ..FindingFilter::default()
        });
        found.unwrap().len()
    };
    let before = silent();
    assert!(before > 10, "{before}");
    enter(
        &town,
        ProductionChange {
            customer: "e".into(),
            kind: ChangeKind::Shutdown,
            from_on: on(30).0,
            to_on: on(DAYS).0,
            delta_m3_per_day: -72.0,
            confidence: 1.0,
            source: "电话".into(),
            available_at: start_of(DAYS),
        },
    );
    sync_known(&town.app, &mut None).unwrap();
    town.work_off(100);
    assert_eq!(silent(), 0);
}

#[test]
fn whoever_is_stopped_in_the_middle_goes_on_where_he_was() {
    let town = Town::new();
    town.plant();
    let text = set(40, "v10_days = 4.0") + &set(25, "v15_floor = 0.2");
    let mut now = parts();
    now.filed_plans.push(plan("e", 12, 90, start_of(DAYS)));
    town.limits(&text);
    town.registry(now.clone());
    assert_eq!(curves::judge_marked(&town.deps, 25).unwrap(), 25);
    // Taken and not answered: killed while judging.
    let due = town
        .app
        .journal
        .take_unjudged(on(DAYS - 8), 4)
        .unwrap()
        .unwrap();
    assert_eq!((due.from, due.to), (on(12), on(16)));

    let town = town.reopened(now, LimitTable::with(&text).unwrap());
    curves::sync_registry(&town.deps).unwrap();
    assert_eq!(
        town.app.journal.take_unjudged(on(DAYS - 8), 4).unwrap(),
        Some(due)
    );
    assert_eq!(town.work_off(50), [35], "of three meters twenty days each");
    let mut expected: Judged = METERS
        .into_iter()
        .flat_map(|of| judged(of, 40..DAYS))
        .collect();
    expected.extend(judged("north", 25..DAYS - 8));
    expected.extend(judged("e", [12]));
    assert_eq!(town.judged(), expected);
}

#[test]
fn what_changed_while_the_program_did_not_run_is_judged_when_it_does() {
    let town = Town::new();
    town.plant();
    let mut now = parts();
    now.filed_plans.push(plan("h", 8, 1, start_of(9)));
    let town = town.reopened(now, LimitTable::with(&set(57, "v22_days = 5.0")).unwrap());
    curves::drain(&town.deps).unwrap();
    town.work_off(50);
    let mut expected: Judged = METERS
        .into_iter()
        .flat_map(|of| judged(of, 57..DAYS))
        .collect();
    expected.extend(judged("h", [8]));
    assert_eq!(town.judged(), expected);
}
