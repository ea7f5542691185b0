//! Names for keys, and this document.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::serve::figures::forecast::{Dimension, Label, members};
use crate::serve::state::AppState;

/// Version of the program, and the members of every dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Meta {
    /// Version of the program.
    pub version: String,
    /// Customer classes that have customers.
    pub classes: Vec<Label>,
    /// Gas sources.
    pub sources: Vec<Label>,
    /// Time slots.
    pub slots: Vec<Label>,
    /// Supply zones.
    pub zones: Vec<Label>,
}

/// Version and names
#[utoipa::path(get, path = "/meta", tag = "about", responses((status = 200, body = Meta)))]
pub(super) async fn get_meta(State(state): State<AppState>) -> Json<Meta> {
    let registry = state.registry();
    let labels = |by| {
        members(&registry, by)
            .into_iter()
            .map(|member| member.label)
            .collect()
    };
    Json(Meta {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        classes: labels(Dimension::Class),
        sources: labels(Dimension::Source),
        slots: labels(Dimension::Slot),
        zones: registry
            .zones
            .values()
            .map(|zone| Label {
                key: zone.id.to_string(),
                name_zh: zone.name.clone(),
                name_en: zone.name.clone(),
            })
            .collect(),
    })
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "about", responses(
    (status = 200, body = serde_json::Value),
))]
pub(super) async fn get_openapi() -> Response {
    Json(crate::serve::openapi()).into_response()
}
