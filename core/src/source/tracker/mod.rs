//! From the events of a dump stream (or file) to whole transactions, routed by table.
//!
//! Bytes in by [`Tracker::events`], whole transactions out by [`Tracker::poll`]; no I/O, no clock. Work is done in `poll`,
//! only as far as its next output, so that a compressed transaction is never unpacked faster than it is taken.
//!
//! Invariants:
//! - the position stands behind complete transactions only, and never passes one that was not put into a batch;
//! - a transaction leaves when its end was seen; one that holds more than `hold_bytes_max` leaves in provisional
//!   parts, and is aborted by a part of its own where it does not commit;
//! - one batch holds about `BATCH_SOURCE_BYTES` of events: of a larger transaction the last part alone has its end;
//! - an aborted part's sequence number is used again by what comes next: `Abort` never moves a position;
//! - every complete group counts one sequence number, whatever is in it and whoever wants it: two readers that begin at
//!   the same place count alike;
//! - all that one batch holds was routed by the interest that it carries: a new interest waits for the open
//!   transaction's end.

mod assembly;
mod dispatch;
mod group;
mod maps;
mod notice;
mod outcome;
mod place;
mod quarantine;
mod reread;
mod routing;
mod schemas;
mod statements;
mod stream;

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::PayloadReader;
use millstream_codec::mysql::gtid::ExecutedGtids;
use millstream_codec::mysql::position::FIRST_EVENT_OFFSET;

pub use notice::Notice;
pub use quarantine::{QuarantinePolicies, QuarantinePolicy};

use crate::catalog::{Catalog, ServerFacts, TableDefinition};
use crate::engine::batch::{Sequence, SourceBatch};
use crate::engine::interest::InterestSet;
use crate::history::TableName;
use crate::limits::BATCH_SOURCE_BYTES;
use crate::position::{OpenXa, Position};
use crate::source::error::SourceError;
use crate::source::session::server::Flavour;
use crate::source::statement::Dialect;
use crate::source::xa::XaLedger;
use crate::tables::Tables;
use assembly::Assembly;
use group::Group;
use place::{Counting, Place};
use reread::Reread;
use stream::Stream;

/// What to do about a row change that was logged as a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatementPolicy {
    /// Stop before it, until a person has decided.
    #[default]
    Halt,
    /// Pass it over with a notice.
    Skip,
}

#[derive(Debug, Clone)]
pub struct TrackerConfig {
    /// How many shards the batches go to; every batch goes to all of them.
    pub shards: u16,
    /// Bytes that one open transaction may hold before it leaves in provisional parts.
    pub hold_bytes_max: usize,
    /// The largest event, also after decompression.
    pub event_bytes_max: usize,
    pub statement_dml: StatementPolicy,
    /// What becomes of the rows of a table that cannot be read.
    pub quarantine: Arc<QuarantinePolicies>,
    /// The number of the first transaction that is read.
    pub first_sequence: Sequence,
}

/// The connection that events come from now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    pub flavour: Flavour,
    pub incarnation: Arc<str>,
    /// Where the dump begins, as far as it is known; a dump by GTID tells it with its first ROTATE.
    pub file: Arc<str>,
    pub offset: u64,
    /// What was negotiated: events before the first FORMAT_DESCRIPTION may have it.
    pub checksum: Checksum,
    /// What the meaning of DDL depends on there.
    pub facts: ServerFacts,
}

/// What the tracker cannot go on without. Later events wait until it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// The table as `information_schema` has it: answered by [`Tracker::provide_schema`].
    Schema { database: String, table: String },
    /// The events of a prepared XA transaction, from its beginning: answered by [`Tracker::provide_refetch`] as long
    /// as [`Tracker::awaiting`] still says so, or by [`Tracker::refetch_failed`].
    Refetch(OpenXa),
}

#[derive(Debug)]
pub enum TrackerOutput {
    Batch(SourceBatch),
    Need(Need),
    Notice(Notice),
}

/// Counted since the tracker was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrackerStats {
    pub events: u64,
    /// Complete groups of any kind.
    pub transactions: u64,
    /// Rows events that nobody wanted.
    pub unwanted_events: u64,
    /// Rows events of quarantined tables.
    pub quarantined_events: u64,
    pub quarantined_tables: u64,
    pub statements_skipped: u64,
    pub xa_unresolved: u64,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Live,
    /// Files, one after the other, with nobody to ask for a schema.
    Files,
}

/// See the module's page.
pub struct Tracker {
    config: TrackerConfig,
    mode: Mode,
    tables: Arc<Mutex<Tables>>,
    interest: Arc<InterestSet>,
    /// Comes into force when no transaction is open.
    next_interest: Option<Arc<InterestSet>>,
    position: Position,
    tail: Arc<Position>,
    /// The executed set is complete, so that GTIDs may be added to it.
    counts_gtids: bool,
    next_sequence: Sequence,
    next_batch: u64,
    stream: Stream,
    reread: Option<Reread>,
    reread_stream: Stream,
    group: Option<Group>,
    assembly: Assembly,
    xa: XaLedger,
    /// Every table's columns where the reader stands.
    catalog: Catalog,
    /// Tables whose columns in the catalog are those of a later place, and whether that was said.
    assumed: HashMap<TableName, bool>,
    /// Tables that were read from the server, which may have been ahead of us.
    read_ahead: HashSet<TableName>,
    server_facts: ServerFacts,
    /// The catalog has begun with what the history knows.
    seeded: bool,
    /// Why the schema history cannot be used.
    history_damage: Option<String>,
    /// The history's repairs, and how many of them were looked at.
    repairs: Arc<AtomicUsize>,
    repairs_seen: usize,
    /// The table whose schema was read just now, for the TABLE_MAP that waits.
    just_read: Option<TableName>,
    /// Of files: how the events of prepared transactions are checked when they are read again.
    xa_checksums: HashMap<String, Checksum>,
    quarantined: HashSet<TableName>,
    named_by_number: HashSet<TableName>,
    uncertain_told: HashSet<TableName>,
    asked_schema: Option<TableName>,
    outputs: VecDeque<TrackerOutput>,
    error: Option<SourceError>,
    /// An error was told: nothing goes on before the next connection.
    failed: bool,
    /// A batch is due, also an empty one.
    changed: bool,
    /// Table versions were resolved since the registry was last made durable.
    resolved: bool,
    received_us: i64,
    source_time_us: i64,
    payload_reader: Option<PayloadReader>,
    stats: TrackerStats,
}

impl std::fmt::Debug for Tracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracker").field("position", &self.position).field("group", &self.group).finish_non_exhaustive()
    }
}

impl Tracker {
    /// A reader that stands at `start`: everything behind it will be delivered.
    pub fn new(config: TrackerConfig, start: Position, tables: Arc<Mutex<Tables>>, interest: Arc<InterestSet>) -> Self {
        Self::with_mode(Mode::Live, config, start, tables, interest)
    }

    /// A reader of files, see [`FileDecode`](crate::source::file::FileDecode).
    pub(super) fn for_files(config: TrackerConfig, tables: Arc<Mutex<Tables>>, interest: Arc<InterestSet>) -> Self {
        Self::with_mode(Mode::Files, config, Position::default(), tables, interest)
    }

    fn with_mode(
        mode: Mode,
        config: TrackerConfig,
        start: Position,
        tables: Arc<Mutex<Tables>>,
        interest: Arc<InterestSet>,
    ) -> Self {
        let counting = if mode == Mode::Files { Counting::ByBytes } else { Counting::ByHeaders };
        let mut stream = Stream::new(Place::new(start.file.clone(), start.offset, counting));
        stream.dialect = Dialect::default();
        Self {
            mode,
            tables,
            interest,
            next_interest: None,
            tail: Arc::new(start.clone()),
            counts_gtids: start.gtids != ExecutedGtids::None,
            next_sequence: config.first_sequence,
            next_batch: 0,
            stream,
            reread: None,
            reread_stream: Stream::default(),
            group: None,
            assembly: Assembly::default(),
            xa: XaLedger::new(start.open_xa.clone()),
            catalog: Catalog::new(ServerFacts::default()),
            assumed: HashMap::new(),
            read_ahead: HashSet::new(),
            server_facts: ServerFacts::default(),
            history_damage: None,
            repairs: Arc::default(),
            repairs_seen: 0,
            just_read: None,
            xa_checksums: HashMap::new(),
            quarantined: HashSet::new(),
            named_by_number: HashSet::new(),
            uncertain_told: HashSet::new(),
            asked_schema: None,
            outputs: VecDeque::new(),
            error: None,
            failed: false,
            changed: false,
            resolved: false,
            received_us: 0,
            source_time_us: 0,
            payload_reader: None,
            stats: TrackerStats::default(),
            seeded: mode == Mode::Files,
            position: start,
            config,
        }
    }

    /// Behind the last complete transaction.
    pub fn position(&self) -> &Position {
        &self.position
    }

    pub fn stats(&self) -> TrackerStats {
        TrackerStats { quarantined_tables: self.quarantined.len() as u64, ..self.stats }
    }

    /// The tables whose rows are not delivered.
    pub fn quarantined(&self) -> impl Iterator<Item = &(String, String)> {
        self.quarantined.iter()
    }

    /// Routes by this from the next transaction on. The next poll between two transactions yields a batch with it, also
    /// an empty one.
    pub fn set_interest(&mut self, interest: Arc<InterestSet>) {
        self.next_interest = Some(interest);
    }

    /// A new connection: what was open is forgotten, and comes again from its beginning.
    pub fn connected(&mut self, connection: &Connected) {
        self.outputs.retain(|output| !matches!(output, TrackerOutput::Need(_)));
        self.error = None;
        self.failed = false;
        self.reread = None;
        self.asked_schema = None;
        self.just_read = None;
        self.abort_open();
        if self.position.incarnation != connection.incarnation {
            self.position.incarnation = connection.incarnation.clone();
            self.position.file = connection.file.clone();
            self.position.offset = connection.offset;
            self.changed = true;
        }
        let place = Place::new(connection.file.clone(), connection.offset, Counting::ByHeaders);
        self.stream = Stream::new(place);
        self.stream.checksum = connection.checksum;
        self.stream.dialect.is_mariadb = connection.flavour == Flavour::Mariadb;
        self.server_facts = connection.facts.clone();
        self.catalog.set_server(connection.facts.clone());
    }

    /// Events as they arrived: `ranges` of `chunk`, each a whole event with its header, without the packet's 0x00.
    pub fn events(&mut self, chunk: Bytes, ranges: &[Range<usize>], received_us: i64) {
        if !self.failed {
            self.stream.push(chunk, ranges, received_us);
        }
    }

    /// What [`poll`](Self::poll) waits for, if anything.
    pub fn awaiting(&self) -> Option<Need> {
        if let Some((database, table)) = &self.asked_schema {
            return Some(Need::Schema { database: database.clone(), table: table.clone() });
        }
        self.reread.as_ref().filter(|reread| !reread.done).map(|reread| Need::Refetch(reread.open.clone()))
    }

    /// The answer to [`Need::Schema`]; `None` where the server does not know the table.
    pub fn provide_schema(&mut self, definition: Option<TableDefinition>) {
        if let Some(name) = self.asked_schema.take() {
            self.learn_schema(name, definition);
        }
    }

    /// The other answer to [`Need::Schema`]: the server has the table, and something of it is not known.
    pub fn schema_unreadable(&mut self, reason: &str) {
        if let Some((database, table)) = self.asked_schema.take() {
            self.catalog.doubt(&database, &table, reason);
            self.just_read = Some((database, table));
        }
    }

    /// Events from the beginning of the prepared transaction on, as those of [`events`](Self::events); the dump that
    /// they come from may begin with its own artificial ROTATE and FORMAT_DESCRIPTION, and hold more behind it.
    pub fn provide_refetch(&mut self, chunk: Bytes, ranges: &[Range<usize>]) {
        let received_us = self.received_us;
        if self.reread.is_some() {
            self.reread_stream.push(chunk, ranges, received_us);
        }
    }

    /// The prepared transaction cannot be read again: the next poll halts, before the position passes its XA COMMIT.
    pub fn refetch_failed(&mut self, reason: &str) {
        if let Some(reread) = self.reread.take() {
            self.fail(reread.lost(reason));
        }
    }

    /// Another file begins. What is open goes on only from one relay log to the next.
    pub(super) fn begin_file(&mut self, name: &str) {
        let file: Arc<str> = name.into();
        self.stream.place.rotate(file.clone(), FIRST_EVENT_OFFSET);
        self.stream.checksum = Checksum::None;
        self.stream.format_seen = false;
        self.stream.is_relay_log = false;
        self.position.file = file;
        self.position.offset = FIRST_EVENT_OFFSET;
    }

    /// No file follows.
    pub(super) fn end_of_files(&mut self) {
        self.abandon("the files end inside it");
    }

    /// The next output; `None` when more events, or the answer to a need, are wanted first.
    ///
    /// # Errors
    /// Everything before the error has left by then; go on with [`connected`](Self::connected), or not at all.
    pub fn poll(&mut self) -> Result<Option<TrackerOutput>, SourceError> {
        if !self.seeded {
            self.seed();
        }
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Ok(Some(output));
            }
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            if self.failed {
                return Ok(None);
            }
            self.switch_interest()?;
            match self.advance() {
                Ok(Progress::More) => {}
                Ok(Progress::Waiting) => return Ok(None),
                Ok(Progress::Idle) => {
                    self.flush()?;
                    if self.outputs.is_empty() {
                        return Ok(None);
                    }
                }
                Err(error) => {
                    self.fail(error);
                    self.flush()?;
                }
            }
        }
    }

    /// Works until there is an output, a need, or nothing more to work on.
    fn advance(&mut self) -> Result<Progress, SourceError> {
        if !self.outputs.is_empty() {
            return Ok(Progress::More);
        }
        if self.asked_schema.is_some() {
            return Ok(Progress::Waiting);
        }
        if self.reread.as_ref().is_some_and(|reread| !reread.done) {
            let mut stream = std::mem::take(&mut self.reread_stream);
            let progress = self.run(&mut stream, Purpose::Reread);
            self.reread_stream = stream;
            progress
        } else {
            let mut stream = std::mem::take(&mut self.stream);
            if self.group.is_none() {
                self.look_for_repairs(&mut stream);
            }
            let progress = self.run(&mut stream, Purpose::Follow);
            self.stream = stream;
            progress
        }
    }

    /// What is open stays so until the next connection, which aborts it.
    fn fail(&mut self, error: SourceError) {
        self.failed = true;
        self.error = Some(error);
        self.stream.clear();
        self.reread_stream.clear();
        self.reread = None;
        self.asked_schema = None;
    }

    fn notice(&mut self, notice: Notice) {
        self.outputs.push_back(TrackerOutput::Notice(notice));
    }

    /// Takes a new interest into force, between two transactions.
    fn switch_interest(&mut self) -> Result<(), SourceError> {
        if self.group.is_none()
            && let Some(interest) = self.next_interest.take()
        {
            self.flush()?;
            self.interest = interest;
            self.changed = true;
            self.flush()?;
        }
        Ok(())
    }

    /// Puts what is finished into a batch, and the position with it.
    fn flush(&mut self) -> Result<(), SourceError> {
        if !self.changed && !self.assembly.has_parts() {
            return Ok(());
        }
        if self.resolved {
            // What clients are told must outlive us.
            let committed = self.lock_tables().commit();
            committed.map_err(|error| SourceError::Registry(error.to_string()))?;
            self.resolved = false;
        }
        if *self.tail != self.position {
            self.tail = Arc::new(self.position.clone());
        }
        let batch = self.assembly.take(assembly::Frame {
            number: 0,
            tail: self.tail.clone(),
            interest: self.interest.clone(),
            received_us: self.received_us,
            source_time_us: self.source_time_us,
        });
        self.changed = false;
        for batch in assembly::split(batch, self.batch_bytes_max()) {
            let number = self.next_batch;
            self.next_batch += 1;
            self.outputs.push_back(TrackerOutput::Batch(SourceBatch { number, ..batch }));
        }
        Ok(())
    }

    /// Bytes of events that one batch takes.
    fn batch_bytes_max(&self) -> usize {
        BATCH_SOURCE_BYTES.min(self.config.hold_bytes_max)
    }

    fn lock_tables(&self) -> std::sync::MutexGuard<'_, Tables> {
        crate::engine::shared::lock(&self.tables)
    }
}

/// Why a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The log goes on.
    Follow,
    /// For the rows of one prepared XA transaction.
    Reread,
}

/// How far [`Tracker::advance`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    /// A need is open.
    Waiting,
    /// All events that are there have been read.
    Idle,
}

#[cfg(test)]
mod tests;
