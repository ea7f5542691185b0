//! The backtest's gates, from the stores: what became known after a gate changes none of its figures, what was
//! known does.

use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::clock::ManualClock;
use qiliang::domain::calendar::GasDay;
use qiliang::domain::customer::CustomerClass;
use qiliang::domain::demand::{DemandDay, DemandNode};
use qiliang::domain::factor::{Factor, FactorAmount, FactorKind};
use qiliang::forecast::backtest::{BacktestReport, Gate};
use qiliang::run::app::App;
use qiliang::run::{forecasting, site};
use qiliang::store::book::DocumentKind;

use crate::support::site::Site;

/// What somebody tells us, each of the days that are scored.
#[derive(Debug, Clone, Copy)]
enum Told {
    Change,
    Plan,
    Project,
    Factor,
}

impl Told {
    const ALL: [Self; 4] = [Self::Change, Self::Plan, Self::Project, Self::Factor];
}

/// The days that are scored, and when the gate is.
struct Case {
    now: &'static str,
    gate: &'static str,
    days: usize,
}

impl Case {
    fn gate(&self) -> DateTime<Utc> {
        self.gate.parse().unwrap()
    }

    /// A backtest of a city that was told something at an instant.
    fn report(&self, told: Option<(Told, DateTime<Utc>)>) -> BacktestReport {
        let now: DateTime<Utc> = self.now.parse().unwrap();
        let site = Site::new(2);
        let (first, last) = (self.first(), self.today().plus(-1));
        match told {
            Some((Told::Change, at)) => site.registry_file(
                "production_changes.csv",
                &format!(
                    "customer,kind,from_on,to_on,delta_m3_per_day,confidence,source,available_at\n\
                     K0,shutdown,{first},{last},-700,1,电话,{}\n",
                    at.to_rfc3339()
                ),
            ),
            Some((Told::Plan, at)) => {
                let mut rows = "customer,day,volume,available_at\n".to_owned();
                let mut day = first;
                while day <= last {
                    writeln!(rows, "K1,{day},900.0000,{}", at.to_rfc3339()).unwrap();
                    day = day.plus(1);
                }
                site.registry_file("filed_plans.csv", &rows);
            }
            Some((Told::Project, at)) => site.registry_file(
                "new_connections.csv",
                &format!(
                    "id,name,zone,class,stage,connected_on,connected_m3_per_day,coefficient,available_at\n\
                     P1,新建厂,north,industrial,building,{first},5000,0.5,{}\n",
                    at.to_rfc3339()
                ),
            ),
            Some((Told::Factor, _)) | None => {}
        }
        let settings = qiliang::settings::load(Some(&site.config(""))).unwrap();
        let examined = site::examine_with(settings, now).into_site().unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let app = App::open(&examined, clock).unwrap().0;
        if let Some((Told::Factor, at)) = told {
            let factor = Factor {
                id: "Y1".into(),
                kind: FactorKind::Policy,
                zone: None,
                class: Some(CustomerClass::Industrial),
                from_on: first.0,
                to_on: last.0,
                amount: FactorAmount::Percent(-20.0),
                person: "调度长".into(),
                reason: "错峰".into(),
                expires_on: last.0,
                entered_at: at,
                withdrawn_from: None,
            };
            let body = serde_json::to_value(&factor).unwrap();
            app.book
                .put_document(DocumentKind::Factor, "Y1", body, at, "调度长", "错峰")
                .unwrap();
        }
        assert_eq!(app.today(), self.today());
        let demand = (1..=280).map(|back| demand(app.today().plus(-back)));
        app.book
            .restate_demand_days(Vec::new(), demand.collect(), chrono::DateTime::default())
            .unwrap();
        forecasting::backtest(&app, self.days).unwrap()
    }

    fn today(&self) -> GasDay {
        self.now[..10].parse().unwrap()
    }

    fn first(&self) -> GasDay {
        self.today().plus(-i64::try_from(self.days).unwrap())
    }
}

fn demand(day: GasDay) -> DemandDay {
    let weekday = day.epoch_day().rem_euclid(7);
    let noise = 1.0 + 0.004 * f64::from(day.epoch_day() * 37 % 11 - 5);
    let scale = noise * if weekday < 2 { 80.0 } else { 100.0 };
    DemandDay {
        node: DemandNode {
            zone: "north".into(),
            class: CustomerClass::Industrial,
        },
        day,
        hours_m3: [scale; 24],
        coverage: 1.0,
        uncertainty_m3: 0.0,
    }
}

/// The figures of a gate as bits.
fn bits(report: &BacktestReport, gate: Gate) -> Vec<[u64; 4]> {
    let gate = report.gates.iter().find(|one| one.gate == gate).unwrap();
    assert!(gate.total.model.count > 0, "nothing was scored");
    let totals = std::iter::once(&gate.total);
    totals
        .chain(gate.nodes.iter().map(|(_, compared)| compared))
        .chain(gate.leads.iter().map(|(_, compared)| compared))
        .map(|compared| {
            let scores = compared.model;
            [scores.wape, scores.bias, scores.pinball, scores.coverage].map(f64::to_bits)
        })
        .collect()
}

fn holds(case: &Case, gates: &[Gate]) {
    let nothing = case.report(None);
    for told in Told::ALL {
        let after = case.report(Some((told, case.gate() + TimeDelta::seconds(1))));
        let before = case.report(Some((told, case.gate())));
        for gate in gates {
            let expected = bits(&nothing, *gate);
            assert_eq!(bits(&after, *gate), expected, "{told:?} after {gate:?}");
            assert_ne!(bits(&before, *gate), expected, "{told:?} before {gate:?}");
        }
    }
}

#[test]
fn the_day_gate_knows_what_was_told_until_then_and_nothing_later() {
    // D is the 19th, nominated at 08:30 on the 18th.
    let case = Case {
        now: "2026-11-20T01:30:00Z",
        gate: "2026-11-18T00:30:00Z",
        days: 1,
    };
    holds(&case, &[Gate::DayAhead]);
}

#[test]
fn the_month_gate_knows_what_was_told_until_then_and_nothing_later() {
    // November, asked for at 08:30 on 10 October.
    let case = Case {
        now: "2026-12-01T01:30:00Z",
        gate: "2026-10-10T00:30:00Z",
        days: 30,
    };
    holds(&case, &[Gate::MonthAheadDays, Gate::MonthAheadTotal]);
}
