//! HTTP for operators and tools: metrics, health, status, table layouts, and the repair of a table's schema. Without a
//! password: it listens on loopback by default, and docs/operations.md says what to put before it elsewhere.
//!
//! Every connection carries one request and has a deadline, and there are at most [`CONNECTIONS_MAX`] of them, so that
//! no peer can hold memory or time. No answer waits for a worker core or for a disk.

mod answer;
mod server;
mod status;
mod tables;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};

use crate::metrics::{Process, render};
use crate::state::SharedState;

pub use server::serve;

/// Scrapers and tools; each costs up to [`HEADER_BYTES_MAX`] and its answer.
pub const CONNECTIONS_MAX: usize = 64;
/// From accept to the last byte of the answer.
pub const CONNECTION_TIME_MAX: Duration = Duration::from_secs(30);
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
/// Request line and headers together.
pub const HEADER_BYTES_MAX: usize = 64 << 10;

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn routes(state: Arc<SharedState>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/destinations/{destination}/tables", get(tables::list))
        .route("/api/v1/destinations/{destination}/tables/{database}/{table}", get(tables::layout))
        .route("/api/v1/destinations/{destination}/tables/{database}/{table}/schema.capnp", get(tables::schema))
        .route("/api/v1/destinations/{destination}/tables/{database}/{table}/history", get(tables::history))
        .route("/api/v1/destinations/{destination}/tables/{database}/{table}/repair", post(tables::repair))
        .fallback(unknown)
        .with_state(state)
}

const INDEX: &str = "\
Millstream, admin interface. Everything here is read-only, except for repair.

/metrics                                                       Prometheus text
/healthz                                                       200 while the process works
/readyz                                                        200 while every destination streams
/api/v1/status                                                 JSON: sources, subscriptions, memory, latency
/api/v1/destinations/{destination}/tables                      JSON: tables that the stream knows
/api/v1/destinations/{destination}/tables/{db}/{table}         JSON: how a row lies in its Cap'n Proto struct
/api/v1/destinations/{destination}/tables/{db}/{table}/schema.capnp
/api/v1/destinations/{destination}/tables/{db}/{table}/history  JSON: its columns by place in the log
POST .../tables/{db}/{table}/repair                            reads its columns again from the source; with the header
                                                               Content-Type: application/json
";

async fn index() -> Response {
    answer::text(StatusCode::OK, INDEX.to_owned())
}

async fn unknown() -> Response {
    answer::error(StatusCode::NOT_FOUND, "no such page; / lists what there is")
}

async fn metrics(State(state): State<Arc<SharedState>>) -> Response {
    let document = render(&state, &Process::read(), Instant::now(), now_us());
    answer::with_type(StatusCode::OK, METRICS_TYPE, document)
}

async fn healthz(State(state): State<Arc<SharedState>>) -> Response {
    reasons_or_ok(state.unhealthy(Instant::now()))
}

async fn readyz(State(state): State<Arc<SharedState>>) -> Response {
    reasons_or_ok(state.not_ready())
}

fn reasons_or_ok(reasons: Vec<String>) -> Response {
    if reasons.is_empty() {
        return answer::text(StatusCode::OK, "ok\n".to_owned());
    }
    answer::text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
}

/// Wall clock, microseconds since the Unix epoch.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
