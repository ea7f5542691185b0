//! The console: the built `web/dist`, part of the executable (read from disk in debug builds).

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::serve::problem::ApiProblem;

#[derive(RustEmbed)]
#[folder = "web/dist/"]
#[allow_missing = true]
struct Dist;

/// Shown where the console was not built before the executable.
const NOT_BUILT: &str = "<!doctype html><html lang=\"zh-CN\"><meta charset=\"utf-8\">\
<title>气量 qiliang</title><body><h1>气量</h1>\
<p>控制台尚未构建:请运行 <code>make web</code> 后重新编译。接口可用:<a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a></p>\
<p>The console is not built: run <code>make web</code>, then build again. The API answers at <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>.</p>\
</body></html>";

/// Answers what no API route answers: a file of the console, or its start page for the addresses
/// that the console itself resolves.
pub(super) async fn fallback(method: Method, uri: Uri) -> Response {
    answer(&method, uri.path(), &|path| {
        Dist::get(path).map(|file| file.data.into_owned())
    })
}

fn answer(method: &Method, path: &str, file: &dyn Fn(&str) -> Option<Vec<u8>>) -> Response {
    if is_api(path) {
        return StatusCode::NOT_FOUND.into_response();
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            [(header::ALLOW, HeaderValue::from_static("GET, HEAD"))],
        )
            .into_response();
    }
    let name = path.trim_start_matches('/');
    if !name.is_empty()
        && name != "index.html"
        && let Some(bytes) = file(name)
    {
        // Vite puts a hash of the content into the names under assets/.
        let cache = if name.starts_with("assets/") {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        return page(content_type(name), cache, bytes);
    }
    let last = name.rsplit('/').next().unwrap_or("");
    if last != "index.html" && last.contains('.') {
        return ApiProblem::not_found(
            "serve.unknown_file",
            "the console has no such file; reload the page, the console may have been updated",
        )
        .into_response();
    }
    let html = "text/html; charset=utf-8";
    match file("index.html") {
        Some(bytes) => page(html, "no-cache", bytes),
        None => page(html, "no-store", NOT_BUILT.as_bytes().to_vec()),
    }
}

fn is_api(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

fn page(content_type: &'static str, cache: &'static str, bytes: Vec<u8>) -> Response {
    (
        [
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
        ],
        bytes,
    )
        .into_response()
}

/// By extension; what Vite emits and no more.
fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "ttf" => "font/ttf",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(path: &str) -> Option<Vec<u8>> {
        match path {
            "index.html" => Some(b"<html>start".to_vec()),
            "assets/index-4f2a.js" => Some(b"js".to_vec()),
            "favicon.svg" => Some(b"<svg/>".to_vec()),
            _ => None,
        }
    }

    fn header_of(response: &Response, name: header::HeaderName) -> &str {
        response.headers().get(name).unwrap().to_str().unwrap()
    }

    #[test]
    fn hashed_assets_are_kept_and_the_start_page_is_asked_for_again() {
        let asset = answer(&Method::GET, "/assets/index-4f2a.js", &built);
        assert_eq!(asset.status(), StatusCode::OK);
        assert_eq!(
            header_of(&asset, header::CONTENT_TYPE),
            "text/javascript; charset=utf-8"
        );
        assert!(header_of(&asset, header::CACHE_CONTROL).contains("immutable"));
        let icon = answer(&Method::GET, "/favicon.svg", &built);
        assert_eq!(header_of(&icon, header::CACHE_CONTROL), "no-cache");
        for path in ["/", "/index.html", "/forecast", "/ledger/QL-0001"] {
            let page = answer(&Method::GET, path, &built);
            assert_eq!(page.status(), StatusCode::OK, "{path}");
            assert_eq!(
                header_of(&page, header::CONTENT_TYPE),
                "text/html; charset=utf-8"
            );
            assert_eq!(header_of(&page, header::CACHE_CONTROL), "no-cache");
        }
    }

    #[test]
    fn a_missing_file_is_not_answered_with_a_page() {
        for path in ["/assets/index-old.js", "/api", "/api/v1/nothing"] {
            let response = answer(&Method::GET, path, &built);
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        }
        let post = answer(&Method::POST, "/forecast", &built);
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn without_a_built_console_the_page_says_what_to_do() {
        let response = answer(&Method::GET, "/", &|_| None);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header_of(&response, header::CACHE_CONTROL), "no-store");
        assert!(NOT_BUILT.contains("make web"));
    }
}
