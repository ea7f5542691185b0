//! What went wrong, for people: `application/problem+json` (RFC 9457) with a stable code and a
//! reference that stands in the log beside the full cause.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::text::error_chain;
use crate::store::StoreError;

/// Media type of a problem body.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// `urn:qiliang:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do, one sentence.
    pub detail: String,
    /// Stable code; key of the sentence in the locale files.
    pub code: String,
    /// Names this answer in the log.
    pub reference: String,
}

/// A handler's failure. The cause goes to the log only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiProblem {
    status: StatusCode,
    code: Arc<str>,
    detail: Arc<str>,
    cause: Option<Arc<str>>,
    retry_after: Option<Duration>,
}

impl ApiProblem {
    fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into().into(),
            cause: None,
            retry_after: None,
        }
    }

    /// Any other status.
    pub fn with_status(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self::new(status, code, detail)
    }

    /// Tells when to come again; whole seconds, at least one.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }

    /// 400: the request does not say what it must.
    pub fn bad_request(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 403: refused whoever asks.
    pub fn forbidden(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 404: there is no such thing (yet).
    pub fn not_found(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 409: decided about something older than what there is now.
    pub fn conflict(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422: understood, but it cannot be done with what is known.
    pub fn refused(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 500: our fault; the caller reads one sentence, the operator the cause.
    pub fn internal(code: &str, detail: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into().into()),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, detail)
        }
    }

    /// 500 from a store: which one, and the error with all its sources; 503 where its file is damaged or a newer
    /// program's, with the remedy.
    pub fn store(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let of_file = error.downcast_ref::<StoreError>();
        if let Some(error) = of_file.filter(|error| error.is_of_file()) {
            return Self {
                cause: Some(error_chain(error).into()),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    error.code(),
                    format!(
                        "{what} cannot be read here: its file is damaged, or was written by a newer program; \
                         readings are taken as ever. /readyz says what is not served and what to do"
                    ),
                )
            };
        }
        Self::internal(
            "serve.store_failed",
            format!(
                "{what} could not be read; try again, and look in the log for the reference if it stays"
            ),
            error_chain(error),
        )
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Writes it to the log where no answer carries it.
    pub fn log(&self, what: &str) {
        let cause = self.cause.as_deref().unwrap_or("");
        tracing::warn!(code = %self.code, cause = %cause, "{what}: {}", self.detail);
    }

    fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => (
                "serve.unknown_route",
                "there is no such address; GET /api/v1/openapi.json lists them",
            ),
            StatusCode::METHOD_NOT_ALLOWED => (
                "serve.method_not_allowed",
                "the address exists, but not for this method; GET /api/v1/openapi.json lists them",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => (
                "serve.body_too_large",
                "the request body is larger than this address takes; docs/API.md says how much that is",
            ),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => (
                "serve.timeout",
                "the answer took longer than 30 s; ask for less, or try again when the machine is less busy",
            ),
            status if status.is_client_error() => (
                "serve.bad_request",
                "the request was not understood; GET /api/v1/openapi.json says how to ask",
            ),
            _ => (
                "serve.internal",
                "something went wrong here; look in the log for the reference",
            ),
        };
        Self::new(status, code, detail)
    }
}

impl IntoResponse for ApiProblem {
    /// Only the status and the problem as an extension; [`finish`] writes the body.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Numbers the problems of this process: `<start in seconds, base 16>-<count>`.
#[derive(Debug)]
pub struct References {
    started: String,
    count: AtomicU64,
}

impl References {
    /// For a process that started at `started_at`.
    pub fn new(started_at: DateTime<Utc>) -> Self {
        Self {
            started: format!("{:x}", started_at.timestamp()),
            count: AtomicU64::new(0),
        }
    }

    fn next(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{}-{count:04}", self.started)
    }
}

/// The outermost layer: gives every failure its reference, its log line and its body, also those
/// that the framework itself answered (unknown address, wrong method, timeout).
pub async fn finish(
    State(references): State<Arc<References>>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let Some(problem) = response
        .extensions_mut()
        .remove::<ApiProblem>()
        .or_else(|| {
            let has_own_body = response.extensions().get::<OwnBody>().is_some();
            (!has_own_body).then(|| ApiProblem::of_status(status))
        })
    else {
        return response;
    };
    let reference = references.next();
    let cause = problem.cause.as_deref().unwrap_or("");
    if status.is_server_error() {
        tracing::error!(http.method = %method, http.path = %path, status = status.as_u16(), code = %problem.code, reference = %reference, cause = %cause, "Request failed: {}", problem.detail);
    } else {
        tracing::debug!(http.method = %method, http.path = %path, status = status.as_u16(), code = %problem.code, reference = %reference, "Request refused: {}", problem.detail);
    }
    let body = ProblemBody {
        kind: format!("urn:qiliang:problem:{}", problem.code),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        detail: problem.detail.to_string(),
        code: problem.code.to_string(),
        reference,
    };
    let mut written = (
        status,
        [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))],
        serde_json::to_vec(&body).unwrap_or_default(),
    )
        .into_response();
    if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
        written.headers_mut().insert(header::ALLOW, allow);
    }
    if let Some(wait) = problem.retry_after {
        let seconds = wait.as_secs_f64().ceil().max(1.0);
        if let Ok(value) = HeaderValue::from_str(&format!("{seconds:.0}")) {
            written.headers_mut().insert(header::RETRY_AFTER, value);
        }
    }
    if status == StatusCode::UNAUTHORIZED {
        written
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    written
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    written
}

/// Marks a failing answer that already has the body it should have (`/readyz`).
#[derive(Debug, Clone, Copy)]
pub struct OwnBody;
