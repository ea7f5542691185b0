//! Answers about many large consumers: ledger, overview and declaration of a city of 10,000 customers, of
//! whom some are on the ledger.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use qiliang::clock::ManualClock;
use qiliang::collect::health::CollectHealth;
use qiliang::collect::push::{Gate, Push};
use qiliang::domain::calendar::GasMonth;
use qiliang::run::actions::Desk;
use qiliang::run::app::App;
use qiliang::run::{forecasting, ledgering, planning};
use qiliang::serve::{AppParts, AppState, LiveHub, Metrics, router};
use qiliang::validate::host_clock::HostClock;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::city::{fill, now, parts};
use crate::{peak_mb, site, timed};

/// Customers of the city, each with one meter.
const CUSTOMERS: usize = 10_000;

/// The API over an app, which computes for every request.
fn api(app: &App) -> Router {
    let (frames, _frames) = mpsc::channel(1);
    let settings = app.settings.push.clone();
    let gate = Gate::new(None, None);
    router(AppState::new(AppParts {
        journal: app.journal.clone(),
        book: app.book.clone(),
        second: None,
        registry: app.registry.clone(),
        clock: Arc::clone(&app.clock),
        host: HostClock::default(),
        actions: Arc::new(Desk::new(app.clone(), Arc::new(Notify::new()))),
        push: Push::new(settings, gate, Arc::clone(&app.clock), &frames),
        collection: CollectHealth::default(),
        metrics: Arc::new(Metrics::new()),
        events: broadcast::channel(16).0,
        live: LiveHub::new(),
        stop: CancellationToken::new(),
        cache_for: Duration::ZERO,
    }))
}

/// An answer as it goes over the wire: how long it took, and how large it is.
fn ask(runtime: &Runtime, api: &Router, path: &str) -> (Duration, usize) {
    let started = Instant::now();
    runtime.block_on(async {
        let request = Request::get(path)
            .header(header::HOST, "127.0.0.1")
            .header(header::ACCEPT_ENCODING, "gzip");
        let request = request.body(Body::empty()).unwrap();
        let answer = api.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (started.elapsed(), bytes.len())
    })
}

/// Prints a line for each number of large consumers.
pub(crate) fn measure(wanted: &[usize], dir: Option<&Path>) {
    let temporary = TempDir::new().unwrap();
    let dir = dir.unwrap_or(temporary.path());
    let clock: Arc<ManualClock> = Arc::new(ManualClock::new(now()));
    if !dir.join("readings.db").exists() {
        let site = site(dir, parts(CUSTOMERS, 0));
        let (app, _reload) = App::open(&site, Arc::clone(&clock) as _).unwrap();
        let ((), took) = timed(|| fill(&app));
        println!(
            "{CUSTOMERS} customers filled in {:.0} s",
            took.as_secs_f64()
        );
    }
    println!(
        "large   | s: members of the day | ledger before a run | run | ledger after it | the same again | as gzip | workbook | overview | declaration | kB: gzip, workbook | peak MB: ledger, run, rest"
    );
    for large in wanted {
        let site = site(dir, parts(CUSTOMERS, *large));
        let (app, _reload) = App::open(&site, Arc::clone(&clock) as _).unwrap();
        let ((), members) = timed(|| ledgering::keep_members(&app).unwrap());
        peak_mb();
        let (entries, anew) = timed(|| ledgering::entries(&app).unwrap());
        assert_eq!(entries.len(), *large);
        let of_ledger = peak_mb();
        let (_, run) = timed(|| forecasting::publish(&app).unwrap());
        let of_run = peak_mb();
        let (_, after) = timed(|| ledgering::entries(&app).unwrap());
        let (_, again) = timed(|| ledgering::entries(&app).unwrap());
        let runtime = Runtime::new().unwrap();
        let api = {
            let _in = runtime.enter();
            api(&app)
        };
        let (over_api, bytes) = ask(&runtime, &api, "/api/v1/ledger");
        let (export, sheet) = ask(&runtime, &api, "/api/v1/ledger/export.xlsx");
        let (overview, _) = ask(&runtime, &api, "/api/v1/overview");
        let month = GasMonth {
            year: 2026,
            month: 12,
        };
        let declare = || planning::compute_declaration(&app, month, "bench", "");
        let (declared, declaration) = timed(declare);
        assert_eq!(declared.unwrap().large_consumers.len(), *large);
        let times = [
            members,
            anew,
            run,
            after,
            again,
            over_api,
            export,
            overview,
            declaration,
        ];
        let times: Vec<String> = times
            .iter()
            .map(|time| format!("{:>7.2}", time.as_secs_f64()))
            .collect();
        println!(
            "{large:>7} | {} | {:>6} {:>6} | {of_ledger:>6.0} {of_run:>6.0} {:>6.0}",
            times.join(" | "),
            bytes / 1_000,
            sheet / 1_000,
            peak_mb(),
        );
    }
}
