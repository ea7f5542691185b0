//! What the macros leave open in the OpenAPI document.

use utoipa::ToSchema;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder};

use crate::serve::problem::PROBLEM_JSON;

/// A workbook's bytes.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "stands for a body in the document")]
pub(super) struct Workbook(Vec<u8>);

/// Says that every field is always there (what is not known is null, not left out), and gives
/// every response the description that the format requires.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    for schema in document
        .components
        .iter_mut()
        .flat_map(|components| components.schemas.values_mut())
    {
        // One that is put together of others has its own fields beside them.
        let parts = match schema {
            RefOr::T(Schema::AllOf(all)) => all.items.as_mut_slice(),
            schema => std::slice::from_mut(schema),
        };
        for part in parts {
            if let RefOr::T(Schema::Object(object)) = part {
                object.required = object.properties.keys().cloned().collect();
            }
        }
    }
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            describe(operation);
        }
    }
    document
}

fn describe(operation: &mut Operation) {
    let problem = Content::new(Some(Ref::from_schema_name("ProblemBody")));
    let failed = ResponseBuilder::new()
        .content(PROBLEM_JSON, problem)
        .build();
    operation
        .responses
        .responses
        .entry("500".to_owned())
        .or_insert_with(|| failed.into());
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = match status.as_str() {
                "200" => operation.summary.clone().unwrap_or_default(),
                "400" => "The request does not say what it must".to_owned(),
                "404" => "There is no such thing, or not yet".to_owned(),
                _ => "It failed here; the reference names it in the log".to_owned(),
            };
        }
    }
}
