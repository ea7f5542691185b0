//! Readings pushed over HTTP.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::collect::FrameOutcome;
use crate::collect::credentials::{Token, sha256};
use crate::collect::push::{
    BodyError, BodyKind, LOCAL, Message, Push, TakeError, messages, unpack,
};
use crate::domain::frame::{RawFrame, RejectReason, Transport};
use crate::domain::id::DeviceId;
use crate::domain::registry::Registry;
use crate::serve::api::Asked;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;
use crate::store::book::PushAnswer;
use tokio::sync::SemaphorePermit;

/// Longest idempotency key, characters.
const KEY_MAX: usize = 255;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PushQuery {
    /// The device all messages are from, where they do not say so in `dev`.
    device: Option<String>,
}

/// What became of a request's messages; received = accepted + duplicate + rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PushReport {
    /// Messages in the request.
    pub received: u64,
    /// Those that said something new; on disk.
    pub accepted: u64,
    /// Those that said only what was known.
    pub duplicate: u64,
    /// Those that could not be taken.
    pub rejected: u64,
    /// Each message, in the order of the request.
    pub items: Vec<PushItem>,
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PushItem {
    /// Where it stands in the request: `/3` in an array, `line 4`.
    pub at: String,
    /// The device it is from, if that is known.
    pub device: Option<String>,
    /// What became of it.
    pub outcome: PushOutcome,
    /// Why it was rejected, as a stable code.
    pub code: Option<String>,
    /// Why it was rejected, and what to do.
    pub message: Option<String>,
    /// Whether a rejected message is kept, to be replayed when profile or registry are mended.
    pub is_kept: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PushOutcome {
    /// It said something new.
    Accepted,
    /// It said only what was known.
    Duplicate,
    /// It could not be taken.
    Rejected,
}

impl From<BodyError> for ApiProblem {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooMany { .. } | BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Syntax { .. } | BodyError::Empty | BodyError::Gzip { .. } => {
                StatusCode::BAD_REQUEST
            }
        };
        Self::with_status(status, error.code(), error.to_string())
    }
}

impl From<TakeError> for ApiProblem {
    fn from(error: TakeError) -> Self {
        Self::with_status(
            StatusCode::SERVICE_UNAVAILABLE,
            error.code(),
            error.to_string(),
        )
        .retry_after(Duration::from_secs(5))
    }
}

/// Push readings: one message, an array of them, or one a line; answered after they are on disk
///
/// Bodies are JSON, NDJSON or CBOR, gzip if said so. Every message names its device in `dev`, or the
/// request does for all. A token speaks for its own devices only. Sending again is harmless: the same
/// reading is stored once. A request with `Idempotency-Key` is answered the same again for 24 hours.
#[utoipa::path(post, path = "/readings", tag = "collect",
    params(
        PushQuery,
        ("Authorization" = Option<String>, Header, description = "`Bearer <token>`, where tokens are configured"),
        ("Idempotency-Key" = Option<String>, Header, description = "At most 255 printable characters, chosen by the client"),
        ("Content-Encoding" = Option<String>, Header, description = "`gzip`, or none"),
    ),
    request_body(
        description = "Messages as the device's profile decodes them; the vendor-neutral form is {\"dev\": …, \"ts\": …, \"std_m3\": …}",
        content(
            (serde_json::Value = "application/json"),
            (String = "application/x-ndjson"),
            (String = "application/cbor"),
        ),
    ),
    responses(
        (status = 202, body = PushReport, description = "On disk; what became of each message"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json",
         description = "The body cannot be read, or not one message of it can be taken"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json",
         description = "No token, or one that is not known"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json",
         description = "The token may speak for none of the devices"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json",
         description = "Another request with the same key is being worked on"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json",
         description = "The body, or what it unpacks to, is above the limit, or holds too many messages"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json",
         description = "Another content type or encoding than the ones above"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json",
         description = "The key was used for another request"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json",
         description = "More requests than the token may send; Retry-After says when to go on"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json",
         description = "No room, or the disk does not take it; Retry-After says when to come again"),
    ))]
pub(super) async fn post_readings(
    State(state): State<AppState>,
    Asked(query): Asked<PushQuery>,
    request: Request,
) -> Result<Response, ApiProblem> {
    let push = state.push();
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let token = admit(push, headers)?;
    let asked = What::of(headers, query.device.as_deref(), &token)?;
    let key = idempotency_key(headers)?;
    let (body, _room) = read_body(push, headers, body).await?;
    let _place = push.place().await?;
    let Some(key) = key else {
        let report = accept(&state, &token, asked, body).await?;
        return Ok(answer(StatusCode::ACCEPTED, encoded(&report)?, false));
    };
    let Some(_held) = push.hold_key(token.id(), &key) else {
        return Err(ApiProblem::with_status(
            StatusCode::CONFLICT,
            "push.key_in_use",
            "another request with this Idempotency-Key is being worked on; wait for its answer, or repeat later",
        )
        .retry_after(Duration::from_secs(1)));
    };
    let digest = asked.digest(&body);
    if let Some(recorded) = recorded(&state, &token, &key, &digest).await? {
        return Ok(recorded);
    }
    let report = accept(&state, &token, asked, body).await?;
    let body = encoded(&report)?;
    let record = PushAnswer {
        digest,
        status: StatusCode::ACCEPTED.as_u16(),
        body: body.clone(),
    };
    // The readings are on disk. Without the record a repeat would be told `duplicate`, and an
    // answer must be the same each time: so none is given that is not recorded.
    state
        .book()
        .put_push_answer(token.id(), &key, record, push.now())
        .await
        .map_err(|error| ApiProblem::store("the answer's record", &error))?;
    Ok(answer(StatusCode::ACCEPTED, body, false))
}

/// Whose request it is, if it may come now.
pub(super) fn admit(push: &Push, headers: &HeaderMap) -> Result<std::sync::Arc<Token>, ApiProblem> {
    let token = authorise(push, headers)?;
    if let Some(wait) = push.count(&token, tokio::time::Instant::now()) {
        return Err(ApiProblem::with_status(
            StatusCode::TOO_MANY_REQUESTS,
            "push.rate",
            format!(
                "more than push.requests_per_minute = {} requests with this token; put more messages into one",
                push.settings().requests_per_minute
            ),
        )
        .retry_after(wait));
    }
    Ok(token)
}

fn authorise(push: &Push, headers: &HeaderMap) -> Result<std::sync::Arc<Token>, ApiProblem> {
    let shown = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    push.gate().admit(shown).ok_or_else(|| {
        ApiProblem::with_status(
            StatusCode::UNAUTHORIZED,
            "push.token",
            "the request shows no token that is known; send `Authorization: Bearer <token>`, made by `qiliang credentials token`",
        )
    })
}

/// What a request says its body is.
struct What {
    kind: BodyKind,
    is_packed: bool,
    device: Option<DeviceId>,
}

impl What {
    fn of(headers: &HeaderMap, device: Option<&str>, token: &Token) -> Result<Self, ApiProblem> {
        let text = |name: header::HeaderName| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap_or("?").trim().to_owned())
        };
        let unsupported = |code, detail: &str| {
            ApiProblem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, detail)
        };
        let kind = text(header::CONTENT_TYPE)
            .as_deref()
            .and_then(BodyKind::of)
            .ok_or_else(|| {
                unsupported(
                    "push.content_type",
                    "the Content-Type is none that is read here; send application/json, application/x-ndjson or application/cbor",
                )
            })?;
        if kind == BodyKind::Frames && token.id() != LOCAL {
            return Err(ApiProblem::forbidden(
                "push.frames",
                "frames of files are taken from `qiliang import` on this machine only; send application/x-ndjson",
            ));
        }
        let is_packed = match text(header::CONTENT_ENCODING).as_deref() {
            None | Some("" | "identity") => false,
            Some(coding) if coding.eq_ignore_ascii_case("gzip") => true,
            Some(_) => {
                return Err(unsupported(
                    "push.content_encoding",
                    "the Content-Encoding is none that is read here; send gzip, or none",
                ));
            }
        };
        let is_name = |name: &str| (1..=64).contains(&name.chars().count());
        match device {
            Some(name) if !is_name(name) => Err(ApiProblem::bad_request(
                "push.no_device",
                "?device= is empty or longer than 64 characters; name the device, or leave it out",
            )),
            _ => Ok(Self {
                kind,
                is_packed,
                device: device.map(DeviceId::from),
            }),
        }
    }

    /// Of the whole request, so that a key cannot be used for two.
    fn digest(&self, body: &[u8]) -> Vec<u8> {
        let device = self.device.as_ref().map_or("", DeviceId::as_str);
        let mut bytes = format!("{:?}\0{}\0{device}\0", self.kind, self.is_packed).into_bytes();
        bytes.extend_from_slice(body);
        sha256(&bytes).to_vec()
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiProblem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .map(|text| text.trim().trim_matches('"'))
        .filter(|text| (1..=KEY_MAX).contains(&text.len()))
        .map(|text| Some(text.to_owned()))
        .ok_or_else(|| {
            ApiProblem::bad_request(
                "push.key",
                "the Idempotency-Key is empty, not printable or longer than 255 characters; send for example a UUID",
            )
        })
}

/// The body, and the room it takes until the request is done. Whoever sends slowly holds room, and no place
/// that others could be worked on in.
pub(super) async fn read_body<'p>(
    push: &'p Push,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, SemaphorePermit<'p>), ApiProblem> {
    let max = push.settings().body_max_bytes;
    let too_large = || {
        ApiProblem::with_status(
            StatusCode::PAYLOAD_TOO_LARGE,
            "push.too_large",
            format!(
                "the body is larger than push.body_max_bytes = {max}; send it in several requests, or with gzip"
            ),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|len| len > max) {
        return Err(too_large());
    }
    let room = push.room(announced.unwrap_or(max)).await?;
    let mut whole = BytesMut::with_capacity(announced.unwrap_or(0));
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            ApiProblem::bad_request(
                "push.body_cut",
                "the body broke off; send the request again",
            )
        })?;
        if whole.len() + chunk.len() > max {
            return Err(too_large());
        }
        whole.extend_from_slice(&chunk);
    }
    Ok((whole.freeze(), room))
}

/// The answer a key was given before.
async fn recorded(
    state: &AppState,
    token: &Token,
    key: &str,
    digest: &[u8],
) -> Result<Option<Response>, ApiProblem> {
    let (id, key, now) = (token.id().to_owned(), key.to_owned(), state.push().now());
    let found = state
        .blocking(move |state| {
            state
                .book()
                .push_answer(&id, &key, now)
                .map_err(|error| ApiProblem::store("recorded answers", &error))
        })
        .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    if found.digest != digest {
        return Err(ApiProblem::refused(
            "push.key_reused",
            "this Idempotency-Key was used for another request; a new request needs a new key",
        ));
    }
    let status = StatusCode::from_u16(found.status).unwrap_or(StatusCode::ACCEPTED);
    Ok(Some(answer(status, found.body, true)))
}

fn encoded(report: &PushReport) -> Result<Vec<u8>, ApiProblem> {
    serde_json::to_vec(report).map_err(|error| {
        ApiProblem::internal(
            "serve.internal",
            "something went wrong here; look in the log for the reference",
            error.to_string(),
        )
    })
}

fn answer(status: StatusCode, body: Vec<u8>, is_repeated: bool) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if is_repeated {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}

/// Reads a body and takes what it holds.
async fn accept(
    state: &AppState,
    token: &Token,
    asked: What,
    body: Bytes,
) -> Result<PushReport, ApiProblem> {
    let (unpacked_max, messages_max) = (
        state.push().settings().unpacked_max_bytes,
        state.push().messages_max(),
    );
    let mut messages = state
        .blocking(move |_| {
            let body = if asked.is_packed {
                unpack(&body, unpacked_max)?.into()
            } else {
                body
            };
            Ok(messages(
                asked.kind,
                &body,
                asked.device.as_ref(),
                messages_max,
            )?)
        })
        .await?;
    let is_of_files = messages.iter().any(|message| message.origin.is_some());
    if !is_of_files {
        deny(&mut messages, token, &state.registry());
    }
    let frames: Vec<RawFrame> = messages
        .iter()
        .filter(|message| message.refusal.is_none())
        .map(|message| frame(message, token, state.push()))
        .collect();
    if frames.is_empty() && !is_of_files {
        return Err(nothing_taken(&messages));
    }
    let outcomes = if frames.is_empty() {
        Vec::new()
    } else {
        state.push().take(frames).await?
    };
    Ok(report(messages, outcomes))
}

/// Refuses messages of devices the token may not speak for.
fn deny(messages: &mut [Message], token: &Token, registry: &Registry) {
    for message in messages {
        let Some(device) = &message.device else {
            continue;
        };
        let gateway = registry
            .meter_of(device)
            .and_then(|meter| meter.gateway.as_ref());
        if !token.rights().may_speak_for(device, gateway) {
            message.refusal = Some(RejectReason::new(
                "push.not_allowed",
                format!(
                    "token `{}` may not speak for device `{device}`; if it should, add the device to `devices=` of its line",
                    token.id()
                ),
            ));
        }
    }
}

fn frame(message: &Message, token: &Token, push: &Push) -> RawFrame {
    let (transport, origin) = match &message.origin {
        Some(origin) => (Transport::Import, origin.clone()),
        None => (
            Transport::Http,
            format!("POST /api/v1/readings by {}", token.id()),
        ),
    };
    RawFrame {
        transport,
        origin,
        device: message.device.clone(),
        bytes: message.bytes.clone(),
        received_at: message.received_at.unwrap_or_else(|| push.now()),
    }
}

/// Not one message of a request can be taken: the first one's reason stands for all.
fn nothing_taken(messages: &[Message]) -> ApiProblem {
    let refusals = || {
        messages
            .iter()
            .filter_map(|m| Some((m, m.refusal.as_ref()?)))
    };
    let is_denied = refusals().all(|(_, reason)| reason.code == "push.not_allowed");
    let (code, detail) = refusals().next().map_or_else(
        || {
            (
                "push.empty".to_owned(),
                "the body holds no message".to_owned(),
            )
        },
        |(message, reason)| {
            let others = match messages.len() {
                1 => String::new(),
                n => format!("; none of the {n} messages can be taken"),
            };
            (
                reason.code.clone(),
                format!("{}: {}{others}", message.at, reason.message),
            )
        },
    );
    if is_denied {
        ApiProblem::forbidden(&code, detail)
    } else {
        ApiProblem::bad_request(&code, detail)
    }
}

fn report(messages: Vec<Message>, outcomes: Vec<FrameOutcome>) -> PushReport {
    let mut report = PushReport {
        received: messages.len() as u64,
        accepted: 0,
        duplicate: 0,
        rejected: 0,
        items: Vec::with_capacity(messages.len()),
    };
    let mut outcomes = outcomes.into_iter();
    for message in messages {
        let (outcome, is_kept) = match message.refusal {
            Some(reason) => (Some(FrameOutcome::Rejected(reason)), false),
            // Ingest gave one for each frame it was given.
            None => (outcomes.next(), true),
        };
        let (outcome, reason) = match outcome {
            Some(FrameOutcome::Accepted) => {
                report.accepted += 1;
                (PushOutcome::Accepted, None)
            }
            Some(FrameOutcome::Duplicate) => {
                report.duplicate += 1;
                (PushOutcome::Duplicate, None)
            }
            Some(FrameOutcome::Rejected(reason)) => {
                report.rejected += 1;
                (PushOutcome::Rejected, Some(reason))
            }
            None => continue,
        };
        let (code, text) = reason.map_or((None, None), |r| (Some(r.code), Some(r.message)));
        report.items.push(PushItem {
            at: message.at,
            device: message.device.map(|d| d.to_string()),
            outcome,
            is_kept: is_kept && outcome == PushOutcome::Rejected,
            code,
            message: text,
        });
    }
    report
}
