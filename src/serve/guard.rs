//! What every answer carries and every request must carry: security headers, and a host that is
//! this machine.
//!
//! There are no users yet, so the listener is on loopback. A web page elsewhere can still make a
//! browser on this machine send requests to it (DNS rebinding, cross-site posts); the `Host` and
//! `Origin` headers give such requests away.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::serve::problem::ApiProblem;

/// Everything from this server, nothing from elsewhere. The console's charts and tables set styles on
/// elements, hence the one exception.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

/// Adds the security headers to an answer.
pub(super) async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Refuses requests that were not meant for this machine.
pub(super) async fn loopback_host(request: Request, next: Next) -> Response {
    match check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(method: &Method, headers: &HeaderMap) -> Result<(), ApiProblem> {
    if let Some(host) = headers.get(header::HOST)
        && !host.to_str().is_ok_and(is_loopback_authority)
    {
        return Err(ApiProblem::forbidden(
            "serve.host_not_loopback",
            "the request names another host than this machine; open the console as http://127.0.0.1 or http://localhost",
        ));
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let is_foreign = headers.get(header::ORIGIN).is_some_and(|origin| {
        !origin.to_str().is_ok_and(|text| {
            text.strip_prefix("http://")
                .is_some_and(is_loopback_authority)
        })
    });
    if is_foreign {
        return Err(ApiProblem::forbidden(
            "serve.foreign_origin",
            "the request comes from a page of another site; use the console itself",
        ));
    }
    Ok(())
}

/// `localhost`, `127.x.y.z` or `[::1]`, with or without a port.
fn is_loopback_authority(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_a_loopback_authority() {
        for good in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:8080",
            "127.3.2.1",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(is_loopback_authority(good), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "[::2]:80",
        ] {
            assert!(!is_loopback_authority(bad), "{bad}");
        }
    }

    #[test]
    fn a_post_from_another_site_is_refused_and_a_read_without_origin_is_not() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:7080"));
        assert!(check(&Method::POST, &headers).is_ok());
        headers.insert(
            header::ORIGIN,
            HeaderValue::from_static("http://127.0.0.1:7080"),
        );
        assert!(check(&Method::POST, &headers).is_ok());
        headers.insert(
            header::ORIGIN,
            HeaderValue::from_static("https://example.com"),
        );
        assert_eq!(
            check(&Method::POST, &headers).unwrap_err().code(),
            "serve.foreign_origin"
        );
        headers.insert(
            header::HOST,
            HeaderValue::from_static("rebound.example.com"),
        );
        assert_eq!(
            check(&Method::GET, &headers).unwrap_err().code(),
            "serve.host_not_loopback"
        );
    }
}
