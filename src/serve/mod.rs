//! API and console: `/api/v1` with its OpenAPI document, the live stream, metrics and the built
//! console, on loopback until there are users.
//!
//! Handlers are thin; the numbers are made in [`figures`], each view from the same whole-m³ cells.

pub mod actions;
pub mod api;
pub mod codes;
pub mod dispatch;
pub mod figures;
pub mod listen;
pub mod live;
pub mod metrics;
pub mod periodic;
pub mod problem;
pub mod state;

mod console;
mod documents;
mod guard;
mod health;
mod openapi;
mod parts;
mod reading;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

pub use actions::{ActionError, Actions};
pub use listen::{ServeError, TlsListener, answer, answer_push, bind, listen};
pub use live::{LiveHub, Notice, NoticeKind, NoticeLevel, publish};
pub use metrics::Metrics;
pub use state::{AppParts, AppState};

use crate::collect::import::plans;
use crate::serve::metrics::Metrics as MetricsHandle;
use crate::serve::problem::References;

/// A request may take this long to its answer's head; live streams go on after it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest request body, bytes; nothing here takes a large one.
const BODY_MAX: usize = 64 * 1024;

/// The same of a table of plans.
const TABLE_MAX: usize = plans::FILE_MAX_BYTES;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "qiliang",
        description = "Gas demand, from the meter to the declaration. Instants are RFC 3339, gas days YYYY-MM-DD named by the civil date on which they start. Volumes are m³ at reference conditions: exact ones that are signed are strings with four decimals, statistics are numbers. What is not known is null, never 0. Failures are application/problem+json.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(live::Notice, problem::ProblemBody)),
    tags(
        (name = "dispatch", description = "调度总览"),
        (name = "forecast", description = "预测报告"),
        (name = "ledger", description = "用气量较大企业气量监控台账"),
        (name = "plan", description = "申报、日指定、避峰"),
        (name = "collect", description = "采集"),
        (name = "about", description = "Names and this document"),
    )
)]
struct Description;

fn described() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Description::openapi()).nest("/api/v1", api::routes())
}

fn tables_described() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().nest("/api/v1", api::table_routes())
}

fn push_described() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().nest("/api/v1", api::push_routes())
}

/// The OpenAPI document of `/api/v1`.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let all = described()
        .merge(tables_described())
        .merge(push_described());
    openapi::complete(all.into_openapi())
}

/// Everything that is answered over HTTP.
pub fn router(state: AppState) -> Router {
    let references = Arc::new(References::new(state.now()));
    let metrics = state.shared_metrics();
    let (api, _) = described().split_for_parts();
    let (tables, _) = tables_described().split_for_parts();
    let (push, _) = push_described().split_for_parts();
    let tables = tables
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(TABLE_MAX));
    api.route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .fallback(console::fallback)
        .layer(RequestBodyLimitLayer::new(BODY_MAX))
        .merge(tables)
        // Its handler limits the body by the settings.
        .merge(push)
        .layer(middleware::from_fn(guard::loopback_host))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            REQUEST_TIMEOUT,
        ))
        .layer(middleware::from_fn_with_state(references, problem::finish))
        // The default predicate leaves `text/event-stream` alone: events must not wait in a
        // compressor's buffer.
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(guard::security_headers))
        .layer(middleware::from_fn_with_state(metrics, count))
        .layer(TraceLayer::new_for_http())
        .with_state(state)
}

/// What the port for readings alone answers: the push and whether the program lives.
pub fn push_router(state: AppState) -> Router {
    let references = Arc::new(References::new(state.now()));
    let metrics = state.shared_metrics();
    let (push, _) = push_described().split_for_parts();
    push.route("/healthz", get(health::healthz))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            REQUEST_TIMEOUT,
        ))
        .layer(middleware::from_fn_with_state(references, problem::finish))
        .layer(middleware::from_fn(guard::security_headers))
        .layer(middleware::from_fn_with_state(metrics, count))
        .layer(TraceLayer::new_for_http())
        .with_state(state)
}

/// Counts an answer by route, which is one of a bounded set.
async fn count(
    State(metrics): State<Arc<MetricsHandle>>,
    request: Request,
    next: Next,
) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "console".to_owned(), |path| path.as_str().to_owned());
    let started = Instant::now();
    let response = next.run(request).await;
    metrics.answered(&route, response.status().as_u16(), started.elapsed());
    response
}
