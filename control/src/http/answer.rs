//! The few kinds of answers.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use serde::Serialize;

pub fn with_type(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub fn text(status: StatusCode, body: String) -> Response<Body> {
    with_type(status, "text/plain; charset=utf-8", body)
}

pub fn json(value: &impl Serialize) -> Response<Body> {
    match simd_json::to_string(value) {
        Ok(body) => with_type(StatusCode::OK, "application/json", body + "\n"),
        Err(reason) => error(StatusCode::INTERNAL_SERVER_ERROR, &reason.to_string()),
    }
}

/// `{"error":".."}`
pub fn error(status: StatusCode, reason: &str) -> Response<Body> {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'a str,
    }
    let body = simd_json::to_string(&Refusal { error: reason }).unwrap_or_default();
    with_type(status, "application/json", body + "\n")
}
