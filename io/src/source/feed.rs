//! The feed: one source followed for as long as one wants, over however many connections that takes.
//!
//! Drives core's session and tracker, decides nothing about transactions itself. [`SourceFeed::next`] may be dropped at any
//! await and called again: whatever is under way (a connection being opened, a schema being read) is kept in the feed.
//!
//! Retry-class errors are mended inside: connect anew from the tracker's position, to the next server of the list, with a
//! pause that doubles from `backoff_min` to `backoff_max`. Everything else is returned.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use millstream_codec::mysql::event::{EventHeader, EventType};
use millstream_core::catalog::TableDefinition;
use millstream_core::engine::batch::{PartEnd, SourceBatch};
use millstream_core::engine::interest::InterestSet;
use millstream_core::position::{FilePosition, OpenXa, Position};
use millstream_core::source::config::{HostPort, SourceConfig};
use millstream_core::source::error::{Disposition, SourceError, is_duplicate_replica};
use millstream_core::source::session::{Goal, Ready, ServerInfo, StreamPacket, stream_packet};
use millstream_core::source::start::Start;
use millstream_core::source::tracker::{Connected, Need, Notice, Tracker, TrackerConfig, TrackerOutput};
use millstream_core::tables::Tables;

use super::connection::{Connection, Connector};
use super::schema::{SchemaError, SchemaReader};
use crate::clock::now_us;
use crate::runtime::{sleep, yield_if_needed};

/// A server may lack for a moment what it has just sent us: the binlog is sent before the engine's commit is counted,
/// and a replica that takes over may be about to receive it.
const AHEAD_GRACE: Duration = Duration::from_secs(5);
/// So often may another replica take our place within `DUPLICATE_WINDOW` before a person has to look.
const DUPLICATES_MAX: u32 = 3;
const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);

/// Notices that wait to be taken: what is more is logged only.
const NOTICES_MAX: usize = 1_000;

/// Counted since the feed was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedStats {
    /// Event bytes received.
    pub bytes: u64,
    pub events: u64,
    /// Transactions handed out, to their end.
    pub transactions: u64,
    /// Connections after the first.
    pub reconnects: u64,
    pub notices: u64,
    /// When the last byte came, heartbeats too; microseconds since the Unix epoch.
    pub heard_us: i64,
    /// False while a connection is being opened anew.
    pub is_connected: bool,
}

type Opening = LocalBoxFuture<'static, Result<Opened, SourceError>>;
type SchemaAnswer = (Box<SchemaReader>, Result<Option<TableDefinition>, SchemaError>);

/// A connection that streams, and the index of its server in the list.
type Opened = (Connection, Ready, usize);

enum Link {
    Opening(Opening),
    Up(Box<Connection>),
}

/// The side connection that reads a prepared XA transaction again.
enum Side {
    None,
    Opening(LocalBoxFuture<'static, Result<(Connection, Ready), SourceError>>),
    Up(Box<Connection>),
}

/// What happens to the connection while a caller waits for rows.
#[derive(Debug)]
pub enum LinkChange<'a> {
    /// Lost; the feed connects anew.
    Lost(&'a SourceError),
    /// There again.
    Restored { server: &'a str, version: &'a str },
}

pub type LinkWatcher = Box<dyn Fn(&LinkChange<'_>)>;

/// See the module's page.
pub struct SourceFeed {
    connector: Connector,
    tracker: Tracker,
    link: Link,
    side: Side,
    schema: SchemaState,
    server: usize,
    server_name: String,
    info: ServerInfo,
    /// Whether the stream has begun to flow: from then on a silence is an error.
    is_flowing: bool,
    ranges: Vec<Range<usize>>,
    /// Where the last corrupt event was found.
    corrupt_at: Option<FilePosition>,
    duplicates: u32,
    duplicates_since: Instant,
    stats: FeedStats,
    watcher: Option<LinkWatcher>,
    /// Logged, and not yet taken by who counts them.
    untold: Vec<Notice>,
}

enum SchemaState {
    Idle(Option<Box<SchemaReader>>),
    /// For this (database, table).
    Asking((String, String), LocalBoxFuture<'static, SchemaAnswer>),
}

impl SourceFeed {
    /// Connects to the first server that can be reached and finds the start. Tries each server once.
    ///
    /// # Errors
    /// Why none of them streams; the disposition tells whether trying again makes sense.
    pub async fn open(
        config: SourceConfig,
        start: Start,
        tracker: TrackerConfig,
        tables: Arc<Mutex<Tables>>,
        interest: Arc<InterestSet>,
    ) -> Result<Self, SourceError> {
        let connector = Connector::new(config)?;
        let (connection, ready, server) = open_any(connector.clone(), start, 0, Patience::OneRound).await?;
        let position = resolved_position(&ready)?;
        let tracker = Tracker::new(tracker, position, tables, interest);
        let mut feed = Self {
            schema: SchemaState::Idle(Some(Box::new(SchemaReader::new(connector.clone())))),
            connector,
            tracker,
            link: Link::Opening(futures::future::pending().boxed_local()),
            side: Side::None,
            server,
            server_name: connection.server.to_string(),
            info: ready.server.clone(),
            is_flowing: false,
            ranges: Vec::new(),
            corrupt_at: None,
            duplicates: 0,
            duplicates_since: Instant::now(),
            stats: FeedStats::default(),
            watcher: None,
            untold: Vec::new(),
        };
        feed.connected((connection, ready, server))?;
        Ok(feed)
    }

    /// Routes by this from the next transaction on; the next batch carries it.
    pub fn set_interest(&mut self, interest: Arc<InterestSet>) {
        self.tracker.set_interest(interest);
    }

    /// Behind the last complete transaction.
    pub fn position(&self) -> &Position {
        self.tracker.position()
    }

    /// Is told when the connection is lost and when there is one again: `next` does not return for that.
    pub fn watch_link(&mut self, watcher: LinkWatcher) {
        self.watcher = Some(watcher);
    }

    /// The server's address that is, or was last, connected to.
    pub fn server(&self) -> &str {
        &self.server_name
    }

    /// The address of it, as it stands in the configuration.
    pub fn server_address(&self) -> Option<&HostPort> {
        self.connector.config.servers.get(self.server)
    }

    pub fn server_info(&self) -> &ServerInfo {
        &self.info
    }

    pub fn stats(&self) -> FeedStats {
        self.stats
    }

    /// What was logged since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.untold)
    }

    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// The next batch. May be dropped and called again without loss.
    ///
    /// # Errors
    /// What connecting anew does not mend. All that came before it has been handed out.
    pub async fn next(&mut self) -> Result<Arc<SourceBatch>, SourceError> {
        loop {
            match self.tracker.poll() {
                Ok(Some(TrackerOutput::Batch(batch))) => {
                    let commits = batch.transactions.iter().filter(|part| part.end == PartEnd::Commit).count();
                    self.stats.transactions += commits as u64;
                    return Ok(Arc::new(batch));
                }
                Ok(Some(TrackerOutput::Notice(notice))) => self.note(&notice),
                // What is awaited stands in the tracker, also after this call was dropped.
                Ok(Some(TrackerOutput::Need(_))) => {}
                Ok(None) => {
                    if let Err(error) = self.work().await {
                        self.mend(error)?;
                    }
                }
                Err(error) => self.mend(error)?,
            }
            yield_if_needed().await;
        }
    }

    fn note(&mut self, notice: &Notice) {
        self.stats.notices += 1;
        tracing::warn!(server = %self.server_name, "{notice}");
        if self.untold.len() < NOTICES_MAX {
            self.untold.push(notice.clone());
        }
    }

    /// One step: what the tracker needs, else the next bytes.
    async fn work(&mut self) -> Result<(), SourceError> {
        match self.tracker.awaiting() {
            Some(Need::Schema { database, table }) => self.answer_schema(database, table).await,
            Some(Need::Refetch(open)) => self.read_side(open).await,
            None => {
                self.side = Side::None;
                self.read().await
            }
        }
    }

    async fn read(&mut self) -> Result<(), SourceError> {
        let connection = match &mut self.link {
            Link::Opening(opening) => {
                let opened = opening.await?;
                self.stats.reconnects += 1;
                return self.connected(opened);
            }
            Link::Up(connection) => connection,
        };
        let frames = connection.frames().await?;
        let received_us = now_us();
        self.stats.heard_us = received_us;
        self.stats.bytes += frames.chunk().len() as u64;
        let end = collect_events(frames.chunk(), frames.ranges(), &mut self.ranges);
        self.stats.events += self.ranges.len() as u64;
        if !self.is_flowing && self.ranges.iter().any(|range| flows(frames.chunk().get(range.clone()))) {
            self.is_flowing = true;
            connection.watch_silence(&self.connector.config)?;
        }
        self.tracker.events(frames.chunk().clone(), &self.ranges, received_us);
        match end {
            None => Ok(()),
            // The events before it are in the tracker, whose `connected` would forget them.
            Some(error) => {
                let error = error.unwrap_or_else(|| SourceError::io(&self.server_name, "the server ended the stream"));
                self.broken(error.for_account(&self.connector.config.user));
                Ok(())
            }
        }
    }

    /// The link fails with this error once the tracker has handed out what is there.
    fn broken(&mut self, error: SourceError) {
        self.link = Link::Opening(futures::future::ready(Err(error)).boxed_local());
    }

    fn connected(&mut self, (connection, ready, server): Opened) -> Result<(), SourceError> {
        let position = resolved_position(&ready)?;
        self.tracker.connected(&Connected {
            flavour: ready.server.flavour,
            incarnation: position.incarnation.clone(),
            file: position.file.clone(),
            offset: position.offset,
            checksum: ready.server.checksum,
            facts: ready.server.facts.clone(),
        });
        if self.info.incarnation != ready.server.incarnation {
            tracing::warn!(from = %self.server_name, to = %connection.server, "the source is another server now; GTIDs prove that nothing is missing");
        }
        self.server = server;
        self.server_name = connection.server.to_string();
        self.info = ready.server;
        self.is_flowing = false;
        self.side = Side::None;
        self.link = Link::Up(Box::new(connection));
        self.stats.is_connected = true;
        self.stats.heard_us = now_us();
        if let Some(watcher) = &self.watcher {
            watcher(&LinkChange::Restored { server: &self.server_name, version: &self.info.version });
        }
        Ok(())
    }

    /// Begins to connect anew where that helps.
    fn mend(&mut self, error: SourceError) -> Result<(), SourceError> {
        self.stats.is_connected = false;
        self.side = Side::None;
        let error = self.judge(error);
        let start = Start::Position(self.tracker.position().clone());
        let is_retry = error.disposition() == Disposition::Retry;
        // A person may mend the source and call `next` again, so a link is made ready in any case.
        let is_duplicate = matches!(&error, SourceError::Server { message, .. } if is_duplicate_replica(message));
        // After a lost connection the same server first; when it cannot be reached, `open_any` goes on.
        let patience = Patience::Endless { first_pause: is_duplicate.then_some(self.connector.config.backoff_max) };
        self.link = Link::Opening(open_any(self.connector.clone(), start, self.server, patience).boxed_local());
        match is_retry {
            true => {
                tracing::warn!(server = %self.server_name, "{error}; connecting anew");
                if let Some(watcher) = &self.watcher {
                    watcher(&LinkChange::Lost(&error));
                }
                Ok(())
            }
            false => Err(error),
        }
    }

    /// Some errors are mended by trying again, but not when they come back.
    fn judge(&mut self, error: SourceError) -> SourceError {
        match error {
            SourceError::Corrupt { position, reason } if self.corrupt_at.as_ref() == Some(&position) => {
                SourceError::Damaged { position, reason }
            }
            SourceError::Corrupt { position, reason } => {
                self.corrupt_at = Some(position.clone());
                SourceError::Corrupt { position, reason }
            }
            SourceError::Server { message, .. } if is_duplicate_replica(&message) && self.is_fight() => {
                let config = &self.connector.config;
                SourceError::DuplicateReplica { server_id: config.server_id, replica_uuid: config.replica_uuid() }
            }
            error => error,
        }
    }

    fn is_fight(&mut self) -> bool {
        if self.duplicates_since.elapsed() > DUPLICATE_WINDOW {
            self.duplicates = 0;
            self.duplicates_since = Instant::now();
        }
        self.duplicates += 1;
        self.duplicates >= DUPLICATES_MAX
    }

    async fn answer_schema(&mut self, database: String, table: String) -> Result<(), SourceError> {
        let name = (database, table);
        let is_asked = matches!(&self.schema, SchemaState::Asking(asked, _) if *asked == name);
        if !is_asked {
            let reader = match &mut self.schema {
                SchemaState::Idle(reader) => reader.take(),
                // Asked for before the connection was lost: nobody waits for it now.
                SchemaState::Asking(..) => None,
            };
            let mut reader = reader.unwrap_or_else(|| Box::new(SchemaReader::new(self.connector.clone())));
            let server = self.connector.config.servers.get(self.server).cloned();
            let (database, table) = name.clone();
            let asking = async move {
                let answer = match server {
                    Some(server) => reader.table(&server, &database, &table).await,
                    None => Err(SourceError::Config("servers is empty".to_owned()).into()),
                };
                (reader, answer)
            };
            self.schema = SchemaState::Asking(name, asking.boxed_local());
        }
        let SchemaState::Asking((database, table), asking) = &mut self.schema else { return Ok(()) };
        let (database, table) = (database.clone(), table.clone());
        let (reader, answer) = asking.await;
        self.schema = SchemaState::Idle(Some(reader));
        match answer {
            Ok(definition) => self.tracker.provide_schema(definition),
            Err(SchemaError::Source(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(database, table, "information_schema is of no help: {error}");
                self.tracker.schema_unreadable(&error.to_string());
            }
        }
        Ok(())
    }

    /// Reads on in the prepared transaction that the tracker wants again.
    async fn read_side(&mut self, open: OpenXa) -> Result<(), SourceError> {
        let result = self.read_side_events(&open).await;
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.disposition() == Disposition::Retry => Err(error),
            // The place is gone: the tracker says which transaction that concerns.
            Err(error) => {
                self.side = Side::None;
                self.tracker.refetch_failed(&error.to_string());
                Ok(())
            }
        }
    }

    async fn read_side_events(&mut self, open: &OpenXa) -> Result<(), SourceError> {
        match &mut self.side {
            Side::None => {
                let at = FilePosition { file: open.file.clone(), offset: open.offset };
                let connector = self.connector.clone();
                let server = self.connector.config.servers.get(self.server).cloned();
                self.side = Side::Opening(
                    async move {
                        let server = server.ok_or_else(|| SourceError::Config("servers is empty".to_owned()))?;
                        connector.open(&server, Goal::Read(at)).await
                    }
                    .boxed_local(),
                );
            }
            Side::Opening(opening) => {
                let (connection, _) = opening.await?;
                self.side = Side::Up(Box::new(connection));
            }
            Side::Up(connection) => {
                let frames = connection.frames().await?;
                let mut ranges = Vec::new();
                let end = collect_events(frames.chunk(), frames.ranges(), &mut ranges);
                self.tracker.provide_refetch(frames.chunk().clone(), &ranges);
                if let Some(error) = end {
                    return match error {
                        Some(error) => Err(error),
                        None => self.side_ended(open),
                    };
                }
            }
        }
        Ok(())
    }

    /// The log ended: what was handed over may still be enough.
    fn side_ended(&mut self, open: &OpenXa) -> Result<(), SourceError> {
        self.side = Side::Opening(
            futures::future::ready(Err(SourceError::BadPosition {
                position: format!("{}:{}", open.file, open.offset),
                reason: "the log ends before the prepared transaction does".to_owned(),
            }))
            .boxed_local(),
        );
        Ok(())
    }
}

fn resolved_position(ready: &Ready) -> Result<Position, SourceError> {
    match &ready.resolved {
        Some(resolved) => Ok(resolved.position.clone()),
        None => Err(SourceError::Protocol("a stream without a start".to_owned())),
    }
}

/// The events among the packets, as ranges without the packet's first byte. `Some`: the stream ends behind them, with an
/// error or by itself.
fn collect_events(
    chunk: &[u8],
    packets: impl Iterator<Item = Range<usize>>,
    events: &mut Vec<Range<usize>>,
) -> Option<Option<SourceError>> {
    events.clear();
    for packet in packets {
        match stream_packet(chunk.get(packet.clone()).unwrap_or_default()) {
            Ok(StreamPacket::Event) => events.push(packet.start + 1..packet.end),
            Ok(StreamPacket::End) => return Some(None),
            Err(error) => return Some(Some(error)),
        }
    }
    None
}

/// Whether this event shows that the server has found its place. Before that it may search for long in silence.
fn flows(event: Option<&[u8]>) -> bool {
    let header = event.and_then(|bytes| EventHeader::parse(bytes).ok());
    header.is_some_and(|header| match header.type_code {
        EventType::ROTATE | EventType::FORMAT_DESCRIPTION => false,
        EventType::HEARTBEAT | EventType::HEARTBEAT_V2 => true,
        _ => !header.is_artificial(),
    })
}

/// How long servers that cannot be reached are tried.
#[derive(Debug, Clone, Copy)]
enum Patience {
    OneRound,
    Endless { first_pause: Option<Duration> },
}

/// Opens a stream on the first server that gives one, beginning with that of index `first`.
async fn open_any(connector: Connector, start: Start, first: usize, patience: Patience) -> Result<Opened, SourceError> {
    let config = connector.config.clone();
    let began = Instant::now();
    let mut pause = config.backoff_min;
    if let Patience::Endless { first_pause: Some(first_pause) } = patience {
        sleep(jittered(first_pause)).await;
    }
    let mut told = String::new();
    loop {
        let (mut refused, mut unreachable) = (None, None);
        for step in 0..config.servers.len() {
            let index = (first + step) % config.servers.len();
            let Some(server) = config.servers.get(index) else { continue };
            let error = match connector.open(server, Goal::Follow(start.clone())).await {
                Ok((connection, ready)) => return Ok((connection, ready, index)),
                Err(error) => error,
            };
            let is_early = matches!(error, SourceError::AheadOfSource { .. }) && began.elapsed() < AHEAD_GRACE;
            if error.disposition() == Disposition::Retry || is_early {
                unreachable = Some((error, is_early));
            } else {
                refused.get_or_insert(error);
            }
        }
        // While a server may still come back, the refusal of another is not the last word.
        let error = match (unreachable, refused, patience) {
            (None, Some(error), _) => return Err(error),
            (Some((error, false)), None, Patience::OneRound) => return Err(error),
            (Some((_, false)), Some(error), Patience::OneRound) => return Err(error),
            (Some((error, _)), _, _) => error.to_string(),
            (None, None, _) => return Err(SourceError::Config("servers is empty".to_owned())),
        };
        if error != told {
            tracing::warn!("{error}; trying again");
            told = error;
        }
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(config.backoff_max);
    }
}

/// Between a half and the whole, so that many readers do not come back in the same instant.
fn jittered(pause: Duration) -> Duration {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    pause / 2 + (pause / 2).mul_f64(f64::from(nanos % 1_000_003) / 1_000_003.0)
}
