//! A small city in a temporary data directory, and the API over it.

mod program;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use chrono::{DateTime, TimeDelta, Utc};
use qiliang::clock::ManualClock;
use qiliang::collect::health::CollectHealth;
use qiliang::collect::push::{Gate, Push};
use qiliang::domain::calendar::{Calendar, GasDay, GasMonth};
use qiliang::domain::contract::SupplyContract;
use qiliang::domain::demand::{DemandCube, DemandDay, DemandForecast, Draws, NodeForecast};
use qiliang::domain::finding::Quality;
use qiliang::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
use qiliang::domain::id::{MeterId, SourceId};
use qiliang::domain::live::LiveEvent;
use qiliang::domain::quantity::StdVolume;
use qiliang::domain::reading::{AlarmSet, Item, ItemValue, Reading};
use qiliang::domain::registry::{Registry, RegistryParts};
use qiliang::domain::series::LoadCurve;
use qiliang::domain::weather::{WeatherKind, WeatherPoint, WeatherVintage};
use qiliang::ledger::balance::{Balance, ZoneBalance};
use qiliang::ledger::demand::HourEstimates;
use qiliang::ledger::entry::{LedgerEntry, LedgerInput, build};
use qiliang::nudge::settlement::OptOut;
use qiliang::serve::actions::{Filings, Forecaster, Nudger};
use qiliang::serve::api::correctors::{CorrectorsAsked, CorrectorsView};
use qiliang::serve::api::edits::{EditRequest, EditView, RevokeRequest};
use qiliang::serve::api::filings::{
    ChangeCorrection, CustomerPlans, NewChange, NewPlans, PlanBoard, PlanReport, PlanUpload,
    ProductionChangeView,
};
use qiliang::serve::api::findings::JudgedView;
use qiliang::serve::api::nominations::NominationEdit;
use qiliang::serve::api::nudges::{NudgeStep, NudgeView, OptOutRequest};
use qiliang::serve::api::outlook::{
    ChangeView, FactorChange, FactorView, NewFactor, OutlookView, RecordRow, ReproductionView,
    SimilarView,
};
use qiliang::serve::api::rejects::{PurgeRequest, PurgeResult, ReplayRequest, ReplayResult};
use qiliang::serve::api::submissions::SubmissionRequest;
use qiliang::serve::figures::bought::BoughtFacts;
use qiliang::serve::figures::nominated::NominatedDay;
use qiliang::serve::figures::supply::Supply;
use qiliang::serve::{ActionError, Actions, AppParts, AppState, LiveHub, Metrics, router};
use qiliang::store::StoreError;
use qiliang::store::book::{Book, DocumentKind, RunBeside};
use qiliang::store::journal::{CurveBatch, CurveWrite, Journal, JournalEntry};
use qiliang::validate::host_clock::HostClock;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::program::Program;

pub(crate) const TODAY: &str = "2026-11-21";

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

pub(crate) fn day(text: &str) -> GasDay {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    at("2026-11-21T12:20:00+08:00")
}

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn customer(id: &str, class: &str, zone: &str) -> qiliang::domain::customer::Customer {
    of(json!({
        "id": id, "name": format!("客户{id}"), "class": class, "zone": zone, "households": 1,
        "industry": "C30", "grid": "一", "account_manager": "经理", "contact_group": "",
        "sale_mode": "direct", "design_flow_m3h": 100.0, "contract_annual": "5000000",
        "base_price": "3.2", "agreed_discount": "0.05", "shift": "three", "protection_rank": 8,
        "is_interruptible": false, "shiftable_m3_per_day": 0.0, "flow_min_safe_m3h": 0.0,
        "is_nudge_opted_in": true, "ledger_reason": "试点", "connected_on": "2020-01-01",
    }))
}

fn meter(id: &str, customer: Option<&str>, zone: &str) -> qiliang::domain::meter::Meter {
    of(json!({
        "id": id, "device": format!("D-{id}"), "customer": customer, "zone": zone,
        "role": if customer.is_some() { "customer" } else { "gate" }, "kind": "turbine",
        "profile": "qiliang/json", "settlement": "std", "total_digits": 9,
        "flow_max_m3h": 1000.0, "fixed_factor": 1.0, "period_s": 900, "gateway": null,
        "unit": 0, "installed_on": "2020-01-01",
    }))
}

fn contract(id: &str, source: &str) -> SupplyContract {
    of(json!({
        "id": id, "supplier": "上游", "source": source, "delivery_point": "门站",
        "valid_from": "2026-01-01", "valid_to": "2027-12-31",
        "component": [{
            "kind": "balanced1", "contract_month_m3": vec!["90000"; 12],
            "price_high_yuan_per_m3": "2.1", "price_low_yuan_per_m3": "1.9",
        }],
        "deviation": {
            "band_ratio": 0.03, "over_take_yuan_per_m3": "0.5", "under_take_yuan_per_m3": "0.2",
            "take_or_pay_ratio": 0.9, "take_day_min_ratio": 0.8, "take_day_max_ratio": 1.2,
            "flow_max_m3h": 2000.0,
        },
        "deadlines": {
            "month_submit_day": 20, "month_reply_day": 25, "day_submit_at": "09:30:00",
            "day_submit_hard_at": "10:00:00", "day_reply_at": "16:00:00",
            "day_change_at": "14:00:00",
        },
    }))
}

pub(crate) fn registry() -> Registry {
    Registry::new(RegistryParts {
        version: "registry-1".into(),
        company: of(json!({
            "name": "测试燃气有限公司", "short_name": "测试",
            "heating_from": "11-15", "heating_to": "03-15",
        })),
        zones: of(json!([
            { "id": "north", "name": "北区", "weather_station": "W1", "atmosphere_kpa": 101.3 },
            { "id": "south", "name": "南区", "weather_station": "W1", "atmosphere_kpa": 101.3 },
        ])),
        sources: of(json!([
            { "id": "pipe", "name": "管道气", "class": "pipeline_regulated", "supplier": "上游", "delivery_point": "北门站" },
            { "id": "lng", "name": "LNG 储配站", "class": "lng", "supplier": "上游", "delivery_point": "储配站" },
        ])),
        shares: of(json!([
            { "zone": "north", "source": "pipe", "from_on": "2025-01-01", "share": 0.83 },
            { "zone": "north", "source": "lng", "from_on": "2025-01-01", "share": 0.17 },
            { "zone": "south", "source": "pipe", "from_on": "2025-01-01", "share": 1.0 },
        ])),
        customers: vec![
            customer("C1", "industrial", "north"),
            customer("C2", "commercial", "north"),
            customer("C3", "residential_heating", "south"),
        ],
        meters: vec![
            meter("M1", Some("C1"), "north"),
            meter("M2", Some("C2"), "north"),
            meter("M3", Some("C3"), "south"),
            meter("G1", None, "north"),
            meter("G2", None, "south"),
        ],
        exchanges: Vec::new(),
        gateways: Vec::new(),
        contracts: vec![contract("HT-1", "pipe"), contract("HT-2", "lng")],
        production_changes: Vec::new(),
        filed_plans: Vec::new(),
        new_connections: Vec::new(),
        gas_qualities: Vec::new(),
    })
}

fn curve(meter: &str, day: GasDay, hours: usize) -> CurveWrite {
    let seed: i64 = meter.bytes().map(i64::from).sum();
    let mut curve = LoadCurve::missing(meter.into(), day);
    for hour in 0..hours {
        let units = 400_000 + (seed * 7 + i64::try_from(hour).unwrap() * 13) % 61 * 10_001;
        curve.hours[hour] = StdVolume::from_units(units);
        curve.quality[hour] = Quality::Measured;
    }
    CurveWrite {
        curve,
        findings: Vec::new(),
    }
}

fn demand(registry: &Registry, first: GasDay, days: i64) -> Vec<DemandDay> {
    let mut out = Vec::new();
    for offset in 0..days {
        for (index, node) in registry.nodes().into_iter().enumerate() {
            let hours_m3 = std::array::from_fn(|hour| {
                31.37 + (index * 17 + hour * 5) as f64 + offset as f64 * 0.61
            });
            out.push(DemandDay {
                node,
                day: first.plus(offset),
                hours_m3,
                coverage: 1.0,
                uncertainty_m3: 0.0,
            });
        }
    }
    out
}

#[expect(clippy::cast_possible_truncation, reason = "draws are stored as f32")]
/// A run of 41 gas days from an origin, with 21 draws of ±10 % about the P50.
pub(crate) fn forecast(registry: &Registry, origin_at: DateTime<Utc>) -> DemandForecast {
    const DAYS: usize = 41;
    const HOURLY: usize = 7;
    const DRAWS: usize = 21;
    let clock = registry.company.gas_day_start_hour;
    let first = clock.day_of(origin_at);
    let nodes: Vec<NodeForecast> = registry
        .nodes()
        .into_iter()
        .enumerate()
        .map(|(index, node)| {
            let hours: [f64; 24] =
                std::array::from_fn(|hour| 33.33 + (index * 19 + hour * 4) as f64);
            let day: f64 = hours.iter().sum();
            let mut draws = Draws {
                count: DRAWS,
                ..Draws::default()
            };
            for draw in 0..DRAWS {
                let factor = 0.9 + 0.01 * draw as f64;
                for index in 0..DAYS {
                    draws.daily.push((day * factor) as f32);
                    if index < HOURLY {
                        draws
                            .hourly
                            .extend(hours.iter().map(|h| (h * factor) as f32));
                    }
                }
            }
            NodeForecast {
                node,
                model: "regression".into(),
                p50_m3: vec![hours; DAYS],
                draws,
            }
        })
        .collect();
    let days: Vec<GasDay> = (0..DAYS)
        .map(|i| first.plus(i64::try_from(i).unwrap()))
        .collect();
    let shares: Vec<_> = days.iter().map(|d| registry.shares_on(*d)).collect();
    DemandForecast {
        run_id: format!("run-{}", origin_at.timestamp()).as_str().into(),
        origin_at,
        cube: DemandCube::publish(&nodes, &shares),
        days,
        hourly_days: HOURLY,
        clock,
        nodes,
        inputs: vec![("registry".into(), registry.version.clone())],
        shares,
    }
}

/// Lines of three enterprises; nothing is known of C3's use.
fn ledger() -> Vec<LedgerEntry> {
    let today = day(TODAY);
    let use_of = |units: i64| -> BTreeMap<GasDay, StdVolume> {
        (1..=40)
            .map(|back| (today.plus(-back), StdVolume::from_units(units + back * 10)))
            .collect()
    };
    let registry = registry();
    build(LedgerInput {
        registry: &registry,
        calendar: &Calendar::default(),
        now: now(),
        clock: registry.company.gas_day_start_hour,
        members: &["C2", "C1", "C3"].map(|id| (id.into(), "试点".to_owned())),
        daily: &BTreeMap::from([
            ("C1".into(), use_of(15_002_490)),
            ("C2".into(), use_of(8_124_990)),
        ]),
        hours_yesterday: &BTreeMap::new(),
        hours_today: &BTreeMap::new(),
        completeness_7d: &BTreeMap::new(),
        latest: &BTreeMap::new(),
        temperatures: &BTreeMap::new(),
        forecasts: &BTreeMap::new(),
        plans: &[],
        changes: &registry.production_changes,
        off_peak: &BTreeMap::new(),
    })
}

/// Stores block, which tests on the runtime must not: this runs on a thread of its own.
fn off_runtime<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// The API over a temporary data directory.
pub(crate) struct City {
    _dir: tempfile::TempDir,
    pub(crate) journal: Journal,
    pub(crate) book: Book,
    pub(crate) registry: watch::Sender<Arc<Registry>>,
    pub(crate) program: Arc<Program>,
    pub(crate) events: broadcast::Sender<LiveEvent>,
    pub(crate) live: LiveHub,
    pub(crate) stop: CancellationToken,
    pub(crate) state: AppState,
    router: Router,
}

/// An answer read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl City {
    /// With a registry and nothing else.
    pub(crate) fn empty() -> Self {
        off_runtime(Self::make_empty)
    }

    /// With three weeks behind it, four hours of today, and runs of yesterday's morning and today's.
    pub(crate) fn filled() -> Self {
        off_runtime(Self::make_filled)
    }

    fn make_empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry();
        let clock = registry.company.gas_day_start_hour;
        let journal = Journal::open(dir.path().join("readings.db"), clock).unwrap();
        let book = Book::open(dir.path().join("qiliang.db")).unwrap();
        let (registry, receiver) = watch::channel(Arc::new(registry));
        let program = Arc::new(Program {
            journal: journal.clone(),
            book: book.clone(),
            ledger_error: Mutex::new(None),
        });
        let (live, stop) = (LiveHub::new(), CancellationToken::new());
        let events = broadcast::Sender::new(16);
        let actions: Arc<dyn Actions> = Arc::<Program>::clone(&program);
        // Nobody takes what is pushed here: the whole program is tested as a process.
        let (sender, _) = mpsc::channel(1);
        let push = Push::new(
            qiliang::settings::load(None).unwrap().push,
            Gate::new(None, None),
            Arc::new(ManualClock::new(now())),
            &sender,
        );
        let state = AppState::new(AppParts {
            journal: journal.clone(),
            book: book.clone(),
            second: None,
            registry: receiver,
            clock: Arc::new(ManualClock::new(now())),
            host: HostClock::default(),
            actions,
            push,
            collection: CollectHealth::default(),
            metrics: Arc::new(Metrics::new()),
            events: events.clone(),
            live: live.clone(),
            stop: stop.clone(),
            cache_for: Duration::ZERO,
        });
        Self {
            _dir: dir,
            router: router(state.clone()),
            journal,
            book,
            registry,
            program,
            events,
            live,
            stop,
            state,
        }
    }

    fn make_filled() -> Self {
        let city = Self::make_empty();
        let registry = registry();
        let today = day(TODAY);
        let first = today.month().first_day();
        let mut curves = Vec::new();
        for back in (0..=20).rev() {
            let hours = if back == 0 { 4 } else { 24 };
            for meter in ["M1", "M2", "M3", "G1", "G2"] {
                curves.push(curve(meter, today.plus(-back), hours));
            }
        }
        city.journal
            .put_curves(CurveBatch {
                curves,
                cleared: Vec::new(),
                computed_at: now(),
            })
            .unwrap();
        city.book
            .restate_demand_days(
                Vec::new(),
                demand(&registry, first, 20),
                chrono::DateTime::default(),
            )
            .unwrap();
        for origin in ["2026-11-20T07:00:00+08:00", "2026-11-21T09:00:00+08:00"] {
            let origin_at = at(origin);
            city.book
                .put_forecast_run(
                    &forecast(&registry, origin_at),
                    RunBeside::default(),
                    origin_at,
                )
                .unwrap();
        }
        city.weather();
        city.reading("M1", now() - TimeDelta::minutes(5));
        city.reject("decode.truncated");
        city.program.nominate(today).unwrap();
        let nudge = json!({ "nudge_id": "N-1", "state": "draft", "title_zh": "避峰建议" });
        city.book
            .put_document(DocumentKind::Nudge, "N-1", nudge, now(), "nudge", "")
            .unwrap();
        city
    }

    fn weather(&self) {
        let points = |from: DateTime<Utc>, hours: i64, temperature_c| {
            (0..hours)
                .map(|h| WeatherPoint {
                    at: from + TimeDelta::hours(h),
                    temperature_c,
                })
                .collect()
        };
        let hour = at("2026-11-21T12:00:00+08:00");
        let vintage = |kind, points| WeatherVintage {
            station: "W1".into(),
            kind,
            issued_at: hour,
            available_at: hour,
            points,
        };
        self.book
            .put_weather(vec![
                vintage(
                    WeatherKind::Observed,
                    points(hour - TimeDelta::hours(100), 101, 3.0),
                ),
                vintage(WeatherKind::Forecast, points(hour, 72, -1.0)),
            ])
            .unwrap();
    }

    pub(crate) fn reading(&self, meter: &str, received_at: DateTime<Utc>) {
        let reading = Reading {
            meter: meter.into(),
            sampled_at: received_at,
            received_at,
            transport: Transport::Mqtt,
            values: vec![(Item::TotalStd, ItemValue::Exact(12_345_678))],
            frozen: Vec::new(),
            alarms: AlarmSet::default(),
        };
        let entry = JournalEntry::Reading {
            reading,
            findings: Vec::new(),
        };
        off_runtime(|| self.journal.commit_blocking(vec![entry])).unwrap();
    }

    /// Days of a meter whose curves are to be computed again.
    pub(crate) fn mark_dirty(&self, meter: &str, days: &[&str]) {
        let days = days.iter().map(|of| (meter.into(), day(of))).collect();
        off_runtime(|| self.journal.mark_dirty(days)).unwrap();
    }

    pub(crate) fn reject(&self, code: &str) {
        let frame = RawFrame {
            transport: Transport::Mqtt,
            origin: "gas/test/gw1/D-M1/up/reading".into(),
            device: Some("D-M1".into()),
            bytes: b"\x68\x30".as_slice().into(),
            received_at: now(),
        };
        let entry = JournalEntry::Reject(RejectedFrame {
            frame,
            meter: None,
            reason: RejectReason::new(code, "the frame ends after 2 of 19 bytes"),
        });
        off_runtime(|| self.journal.commit_blocking(vec![entry])).unwrap();
    }

    pub(crate) async fn raw(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.raw(request).await;
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes: to_bytes(body, 64 << 20).await.unwrap().to_vec(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        let request = Request::builder().method(Method::POST).uri(path);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// The body of a success.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        answer.json()
    }
}
