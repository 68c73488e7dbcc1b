//! `/api/v1/status`: what runs, where it stands, who is connected. Field names are part of the interface.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use millstream_core::bridge::SubscriptionStatus;
use millstream_core::metrics::{CoreMetrics, Slot, Stage};
use millstream_core::position::Position;
use serde::Serialize;

use super::answer;
use crate::metrics::{Process, lag_us};
use crate::state::{DestinationView, SharedState, Told};

#[derive(Serialize)]
struct Status {
    server: Server,
    ready: bool,
    /// Why not.
    not_ready: Vec<String>,
    memory: Memory,
    destinations: Vec<DestinationStatus>,
    stages: Vec<StageStatus>,
    cursors: Cursors,
}

#[derive(Serialize)]
struct Server {
    id: String,
    version: String,
    listen: String,
    uptime_seconds: u64,
    cores: Vec<u16>,
}

#[derive(Serialize)]
struct Memory {
    resident_bytes: Option<u64>,
    resident_peak_bytes: Option<u64>,
    bound_bytes: u64,
    view_log_bytes: u64,
    view_log_bytes_max: u64,
    ring_bytes: u64,
    ring_bytes_max: u64,
    send_buffer_bytes: u64,
}

#[derive(Serialize)]
struct DestinationStatus {
    name: String,
    /// connecting, streaming, halted.
    state: String,
    error: Option<String>,
    server: String,
    version: String,
    position: String,
    gtids: String,
    lag_us: Option<u64>,
    received_bytes: u64,
    transactions: u64,
    reconnects: u64,
    quarantined: Vec<Quarantined>,
    subscriptions: Vec<Subscription>,
    /// Durable cursors whose client is not connected.
    disconnected: Vec<Disconnected>,
}

#[derive(Serialize)]
struct Quarantined {
    table: String,
    reason: String,
}

#[derive(Serialize)]
struct Subscription {
    /// Empty: ephemeral.
    name: String,
    client: String,
    peer: String,
    core: u16,
    /// live, catch_up, waiting.
    state: &'static str,
    sent_sequence: u64,
    acked_sequence: u64,
    unacked_transactions: u64,
    credit_bytes: i64,
    filter: String,
    position: PositionStatus,
}

#[derive(Serialize)]
struct Disconnected {
    name: String,
    position: PositionStatus,
}

#[derive(Serialize)]
struct PositionStatus {
    incarnation: String,
    file: String,
    offset: u64,
    gtids: String,
    open_xa: usize,
}

#[derive(Serialize)]
struct StageStatus {
    stage: &'static str,
    count: u64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

#[derive(Serialize)]
struct Cursors {
    saved: u64,
    writes: u64,
    failures: u64,
    dirty: u64,
}

pub async fn status(State(state): State<Arc<SharedState>>) -> Response<Body> {
    answer::json(&Status::of(&state, &Process::read(), Instant::now()))
}

impl Status {
    fn of(state: &SharedState, process: &Process, now: Instant) -> Self {
        let not_ready = state.not_ready();
        let sum = |slot: fn(&CoreMetrics) -> &Slot| state.cores.iter().map(|(_, metrics)| slot(metrics).value()).sum();
        let told = state.told();
        Status {
            server: Server {
                id: state.server.id.clone(),
                version: state.server.version.clone(),
                listen: state.server.listen.to_string(),
                uptime_seconds: state.uptime(now).as_secs(),
                cores: state.cores.iter().map(|(core, _)| *core).collect(),
            },
            ready: not_ready.is_empty(),
            not_ready,
            memory: Memory {
                resident_bytes: process.resident_bytes,
                resident_peak_bytes: process.resident_peak_bytes,
                bound_bytes: state.server.memory_bound_bytes,
                view_log_bytes: sum(|metrics| &metrics.view_log_bytes),
                view_log_bytes_max: sum(|metrics| &metrics.view_log_bytes_max),
                ring_bytes: sum(|metrics| &metrics.ring_bytes),
                ring_bytes_max: sum(|metrics| &metrics.ring_bytes_max),
                send_buffer_bytes: sum(|metrics| &metrics.send_buffer_bytes),
            },
            destinations: state.destinations.iter().map(|view| DestinationStatus::of(view.as_ref(), &told)).collect(),
            stages: Stage::ALL.into_iter().map(|stage| StageStatus::of(stage, &told)).collect(),
            cursors: Cursors {
                saved: told.cursors.saved,
                writes: told.cursors.writes,
                failures: told.cursors.failures,
                dirty: told.cursors.dirty,
            },
        }
    }
}

impl DestinationStatus {
    fn of(view: &dyn DestinationView, told: &Told) -> Self {
        let status = view.status();
        let metrics = view.metrics();
        let subscriptions: Vec<Subscription> = told
            .cores
            .iter()
            .flat_map(|(core, (_, status))| status.subscriptions.iter().map(|subscription| (*core, subscription)))
            .filter(|(_, subscription)| &*subscription.destination == view.name())
            .map(|(core, subscription)| Subscription::of(core, subscription))
            .collect();
        let is_connected = |name: &str| subscriptions.iter().any(|subscription| subscription.name == name);
        let disconnected = view
            .cursors()
            .iter()
            .filter(|(name, _)| !is_connected(name))
            .map(|(name, position)| Disconnected { name: name.to_string(), position: PositionStatus::of(position) })
            .collect();
        let quarantined = status.quarantined.into_iter().map(|(table, reason)| Quarantined { table, reason });
        DestinationStatus {
            name: view.name().to_owned(),
            state: status.state,
            error: status.error,
            server: status.server,
            version: status.version,
            position: status.position,
            gtids: status.gtids,
            lag_us: lag_us(metrics),
            received_bytes: metrics.received_bytes.value(),
            transactions: metrics.transactions.value(),
            reconnects: metrics.reconnects.value(),
            quarantined: quarantined.collect(),
            subscriptions,
            disconnected,
        }
    }
}

impl Subscription {
    fn of(core: u16, status: &SubscriptionStatus) -> Self {
        Subscription {
            name: status.subscription.to_string(),
            client: status.client.clone(),
            peer: status.peer.clone(),
            core,
            state: status.state,
            sent_sequence: status.sent_sequence,
            acked_sequence: status.acked_sequence,
            unacked_transactions: status.unacked_transactions,
            credit_bytes: status.credit_bytes,
            filter: status.filter.clone(),
            position: PositionStatus::of(&status.position),
        }
    }
}

impl PositionStatus {
    fn of(position: &Position) -> Self {
        PositionStatus {
            incarnation: position.incarnation.to_string(),
            file: position.file.to_string(),
            offset: position.offset,
            gtids: position.gtids.to_string(),
            open_xa: position.open_xa.len(),
        }
    }
}

impl StageStatus {
    fn of(stage: Stage, told: &Told) -> Self {
        let histogram = told.histograms.stage(stage);
        let at = |quantile| histogram.map_or(0, |histogram| histogram.value_at_quantile(quantile));
        StageStatus {
            stage: stage.name(),
            count: histogram.map_or(0, |histogram| histogram.len()),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
        }
    }
}
