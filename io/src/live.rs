//! The live stream of one destination: one reader for all its subscriptions, open as long as the process runs.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{Either, select};
use millstream_core::engine::batch::{Sequence, SourceBatch};
use millstream_core::engine::ring::RingSender;
use millstream_core::engine::shard::Shard;
use millstream_core::engine::shared::{Destination, lock};
use millstream_core::history::Snapshot;
use millstream_core::limits;
use millstream_core::position::Position;
use millstream_core::source::config::HostPort;
use millstream_core::source::error::{Disposition, SourceError};
use millstream_core::source::start::Start;
use millstream_core::source::tracker::TrackerStats;

use crate::engine::DestinationConfig;
use crate::runtime::{sleep, yield_if_needed};
use crate::source::connection::Connector;
use crate::source::schema::SchemaReader;
use crate::source::{LinkChange, SourceFeed};
use crate::worker::{LiveItem, Worker};

/// Where a live stream's batches go.
pub enum Sink {
    /// One core for all: encoded and handed to the views at once.
    Here { worker: Rc<Worker>, destination: usize, shard: Box<Shard> },
    /// A ring to each worker core.
    Rings(Vec<RingSender<LiveItem>>),
}

impl Sink {
    async fn started(&mut self, position: Arc<Position>, sequence: Sequence) {
        match self {
            Sink::Here { worker, destination, .. } => {
                worker.home(|home| home.live_started(*destination, position, sequence));
            }
            Sink::Rings(rings) => {
                for ring in rings {
                    ring.send(LiveItem::Started(position.clone(), sequence), 0).await;
                }
            }
        }
    }

    async fn halted(&mut self, reason: &str) {
        match self {
            Sink::Here { worker, destination, .. } => worker.home(|home| home.halted(*destination, reason)),
            Sink::Rings(rings) => {
                for ring in rings {
                    ring.send(LiveItem::Halted(reason.into()), 0).await;
                }
            }
        }
    }

    async fn batch(&mut self, destination: &Destination, batch: Arc<SourceBatch>) {
        match self {
            Sink::Here { worker, destination, shard } => worker.live_batch_here(*destination, shard, batch),
            Sink::Rings(rings) => {
                let bytes = batch.chunks.iter().map(bytes::Bytes::len).sum();
                for ring in rings {
                    if ring.push(LiveItem::Batch(batch.clone()), bytes).is_err() {
                        destination.metrics.ring_full.add(1);
                        ring.send(LiveItem::Batch(batch.clone()), bytes).await;
                    }
                }
            }
        }
    }
}

/// Runs until the executor ends. Errors that need a person halt the destination: clients are told, and the source is
/// asked again every `limits::HALTED_RETRY_MS`, since what was wrong is mended there.
pub async fn run(config: Arc<DestinationConfig>, workers: u16, mut sink: Sink) {
    let shared = config.shared.clone();
    let mut start = Start::Latest;
    let mut sequence = limits::LIVE_FIRST_SEQUENCE - 1;
    let (mut pause, mut last_reason) = (Duration::from_millis(limits::REOPEN_MS), None);
    loop {
        let stood = start.clone();
        let error = match stream(&config, workers, &mut sink, &mut start, &mut sequence).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        if start != stood {
            // It had streamed: a new failure begins anew.
            (pause, last_reason) = (Duration::from_millis(limits::REOPEN_MS), None);
        }
        let reason = error.to_string();
        shared.metrics.connected.set(0);
        if error.disposition() == Disposition::Retry {
            // Said once for each reason; the pause doubles up to the configured maximum.
            if last_reason.as_ref() != Some(&reason) {
                tracing::warn!(destination = %shared.name, reason, "the source cannot be reached; trying again");
            }
            shared.set_state("connecting", Some(reason.clone()));
            last_reason = Some(reason);
            sleep(pause).await;
            pause = (pause * 2).min(config.source.backoff_max);
            continue;
        }
        tracing::error!(destination = %shared.name, reason, "the source is halted: {reason}");
        shared.set_state("halted", Some(reason.clone()));
        shared.set_halted(Some(reason.clone()));
        sink.halted(&reason).await;
        sleep(Duration::from_millis(limits::HALTED_RETRY_MS)).await;
    }
}

/// The position that status shows is this old at most.
const REPORT_US: i64 = 1_000_000;

enum Never {}

async fn stream(
    config: &Arc<DestinationConfig>,
    workers: u16,
    sink: &mut Sink,
    start: &mut Start,
    sequence: &mut Sequence,
) -> Result<Never, SourceError> {
    let shared = &config.shared;
    let interest = shared.interest();
    let mut interest_version = interest.version;
    let tracker = config.tracker_config(workers, *sequence + 1);
    // A place that follows from where we stood needs none: the log told of every change.
    let before = match start {
        Start::Latest => snapshot(config, &config.source.servers).await,
        _ => None,
    };
    let mut feed =
        SourceFeed::open(config.source.clone(), start.clone(), tracker, shared.tables.clone(), interest).await?;
    if let Some(before) = before
        && let Some(server) = feed.server_address()
        && let Some(after) = snapshot(config, std::slice::from_ref(server)).await
    {
        let agreed = Snapshot::agreed(&before, after);
        tracing::info!(
            destination = %shared.name,
            tables = agreed.tables.len(),
            doubtful = agreed.doubtful.len(),
            "the tables' columns were read from information_schema"
        );
        let mut tables = lock(&shared.tables);
        tables.history_mut().snapshot(feed.position(), agreed);
        tables.commit().map_err(|error| SourceError::Registry(error.to_string()))?;
    }
    *start = Start::Position(feed.position().clone());
    sink.started(Arc::new(feed.position().clone()), *sequence).await;
    shared.set_halted(None);
    shared.set_state("streaming", None);
    shared.set_server(feed.server(), &feed.server_info().version);
    tracing::info!(destination = %shared.name, server = feed.server(), position = %feed.position(), "streaming");
    // A feed counts from 0, the destination goes on.
    let metrics = &shared.metrics;
    let before = (metrics.received_bytes.value(), metrics.events.value());
    let watched = shared.clone();
    feed.watch_link(Box::new(move |change| match change {
        LinkChange::Lost(error) => watched.set_state("connecting", Some(error.to_string())),
        LinkChange::Restored { server, version } => {
            watched.set_server(server, version);
            watched.metrics.reconnects.add(1);
            watched.set_state("streaming", None);
        }
    }));
    let mut reported_us = 0;
    let mut passed_over = TrackerStats::default();
    shared.set_position(&Arc::new(feed.position().clone()));
    loop {
        if shared.interest_is_newer(interest_version) {
            let interest = shared.interest();
            interest_version = interest.version;
            feed.set_interest(interest);
        }
        let changed = std::future::poll_fn(|cx| poll_interest(shared, interest_version, cx));
        let next = match select(Box::pin(feed.next()), Box::pin(changed)).await {
            Either::Left((next, _)) => next,
            Either::Right(((), _)) => continue,
        };
        for notice in feed.take_notices() {
            shared.note(&notice);
        }
        shared.count_passed_over(feed.tracker().stats(), &mut passed_over);
        let batch = next.inspect_err(|_| *start = Start::Position(feed.position().clone()))?;
        if let Some(last) =
            batch.transactions.iter().rev().find(|part| part.end == millstream_core::engine::batch::PartEnd::Commit)
        {
            *sequence = last.sequence;
        }
        *start = Start::Position(Position::clone(&batch.tail));
        shared.observe(&batch);
        shared.metrics.received_bytes.set(before.0 + feed.stats().bytes);
        shared.metrics.events.set(before.1 + feed.stats().events);
        if batch.received_us - reported_us >= REPORT_US {
            reported_us = batch.received_us;
            shared.set_position(&batch.tail);
        }
        sink.batch(shared, batch).await;
        yield_if_needed().await;
    }
}

/// All tables of the first server that answers; `None` where nobody needs them, or none answers. Rows of tables that
/// are not in it make us ask for these one by one.
async fn snapshot(config: &DestinationConfig, servers: &[HostPort]) -> Option<Snapshot> {
    let connector = Connector::new(config.source.clone()).ok()?;
    let destination = &config.shared.name;
    for server in servers {
        let mut reader = SchemaReader::new(connector.clone());
        let patience = sleep(Duration::from_millis(limits::SNAPSHOT_MS));
        match select(Box::pin(reader.snapshot(server, &config.shared.allowed)), Box::pin(patience)).await {
            Either::Left((Ok(snapshot), _)) => return snapshot,
            // The stream's own connection will meet the same, and says so.
            Either::Left((Err(error), _)) => {
                tracing::debug!(%destination, %server, "no snapshot of the tables: {error}")
            }
            Either::Right(_) => tracing::warn!(
                %destination,
                %server,
                "information_schema did not answer within {} ms: tables are read one by one as they are needed",
                limits::SNAPSHOT_MS
            ),
        }
    }
    None
}

fn poll_interest(shared: &Destination, version: u64, cx: &mut Context<'_>) -> Poll<()> {
    if shared.interest_is_newer(version) {
        return Poll::Ready(());
    }
    shared.source_doorbell.register(cx.waker());
    if shared.interest_is_newer(version) { Poll::Ready(()) } else { Poll::Pending }
}
