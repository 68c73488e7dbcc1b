//! The schema history of one destination: which columns each table had, by place in the log.
//!
//! A reader that begins somewhere asks once for what was there ([`SchemaHistory::at`]) and follows the DDL of the log by
//! itself from then on ([`Catalog`](crate::catalog::Catalog)); the first reader that passes a change records what came of
//! it. So a resume from any retained place decodes each row by the columns of that moment. What is recorded is the
//! outcome, not the statement: an improved parser never changes the past.
//!
//! Sources: a snapshot of `information_schema` at a known place, DDL, single tables read again where a statement was
//! not understood, and repairs by a person. Invariants: the file never holds half a change; a place that is older than
//! all that is known of a table gets the oldest known columns, and is told that they are assumed; a damaged file is
//! never read further than its damage, and never overwritten before a person has asked for it ([`SchemaHistory::reset`]).

mod entry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::catalog::TableDefinition;
use crate::limits::{HISTORY_BYTES_MAX, HISTORY_FRAME_BYTES, HISTORY_VERSIONS_MAX};
use crate::position::{Position, compare_places};
use crate::records::{self, Frames, RecordStore};
use crate::tables::LogPoint;
use entry::{Entry, FORMAT, Outcome};

pub use entry::Origin;

/// (database, table).
pub type TableName = (String, String);

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the schema history cannot be written: {0}")]
    Io(#[from] std::io::Error),
    #[error("an entry of the schema history cannot be written: {0}")]
    Encode(String),
}

/// What a table was from one place on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableAt {
    Known(Arc<TableDefinition>),
    /// There was no such table.
    Absent,
    /// It changed in a way that was not understood, and has not been read again since: why.
    Doubtful(String),
}

/// The answer for one table and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub state: TableAt,
    /// The place is older than all that is known: this is what the table was later.
    pub assumed: bool,
    /// It was read from the server by a reader that may have been behind, so it may be what the table was a little later.
    pub read_ahead: bool,
}

/// All that is known of one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment<'a> {
    pub tables: Vec<(&'a TableName, Found)>,
    /// (name, default character set).
    pub databases: Vec<(&'a str, Arc<str>)>,
}

#[derive(Debug, Clone)]
struct Version {
    point: LogPoint,
    origin: Origin,
    state: TableAt,
    /// The beginning of the statement that made it; empty where none did.
    statement: String,
}

/// A table that changed at one place: its name, what it is now, and the beginning of the statement that did it.
#[derive(Debug, Clone)]
pub struct Change {
    pub name: TableName,
    pub state: TableAt,
    pub statement: String,
}

/// A whole `information_schema`, read at one place of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub tables: Vec<TableDefinition>,
    /// (name, default character set).
    pub databases: Vec<(String, Arc<str>)>,
    /// Tables of which something is not known, and why.
    pub doubtful: Vec<(TableName, String)>,
}

impl Snapshot {
    /// What was the same before a place and behind it was so at that place. Anything else is in doubt.
    pub fn agreed(before: &Self, mut after: Self) -> Self {
        let earlier: BTreeMap<(&str, &str), &TableDefinition> =
            before.tables.iter().map(|table| ((table.database.as_str(), table.table.as_str()), table)).collect();
        let is_same = |table: &TableDefinition| {
            earlier.get(&(table.database.as_str(), table.table.as_str())).is_some_and(|earlier| *earlier == table)
        };
        let (same, other): (Vec<_>, Vec<_>) = after.tables.into_iter().partition(is_same);
        after.tables = same;
        let changed = other.into_iter().map(|table| (table.database, table.table));
        after.doubtful.extend(changed.map(|name| (name, "it changed while the schema was read".to_owned())));
        after
    }
}

/// See the module's page.
pub struct SchemaHistory {
    destination: String,
    store: Box<dyn RecordStore + Send>,
    tables: BTreeMap<TableName, Vec<Version>>,
    databases: BTreeMap<String, Vec<(LogPoint, Arc<str>)>>,
    pending: Vec<Entry>,
    /// Bytes in the store, and how many there may be.
    stored_bytes: u64,
    bytes_max: u64,
    damage: Option<String>,
    /// Tables that a person had read again, the newest last, and how many: readers look at that.
    repaired: Vec<TableName>,
    repairs: Arc<AtomicUsize>,
    /// Where readers first could not read a table: a repair counts from there.
    quarantined: BTreeMap<TableName, Position>,
}

impl std::fmt::Debug for SchemaHistory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SchemaHistory")
            .field("destination", &self.destination)
            .field("tables", &self.tables.len())
            .field("damage", &self.damage)
            .finish_non_exhaustive()
    }
}

impl SchemaHistory {
    /// Reads back what the store holds. A damaged one is opened too, empty: see [`damage`](Self::damage).
    pub fn open(destination: &str, store: Box<dyn RecordStore + Send>) -> Self {
        let mut history = Self {
            destination: destination.to_owned(),
            store,
            tables: BTreeMap::new(),
            databases: BTreeMap::new(),
            pending: Vec::new(),
            stored_bytes: 0,
            bytes_max: HISTORY_BYTES_MAX,
            damage: None,
            repaired: Vec::new(),
            repairs: Arc::default(),
            quarantined: BTreeMap::new(),
        };
        if let Err(reason) = history.load() {
            history.tables.clear();
            history.databases.clear();
            history.damage = Some(reason);
        }
        history
    }

    fn load(&mut self) -> Result<(), String> {
        let bytes = self.store.load().map_err(|error| format!("it cannot be read: {error}"))?;
        let mut frames = Frames::new(&bytes, HISTORY_FRAME_BYTES_MAX);
        let mut is_first = true;
        loop {
            let offset = frames.offset();
            let at = |reason: &str| format!("damaged at byte {offset}: {reason}");
            let Some(payload) = frames.next().map_err(|damage| at(damage.reason))? else { break };
            let entries: Vec<Entry> = serde_json::from_slice(payload).map_err(|error| at(&error.to_string()))?;
            for entry in entries {
                match entry {
                    Entry::Begin { format, .. } if format != FORMAT => {
                        return Err(format!("written in format {format}, this program reads {FORMAT}"));
                    }
                    Entry::Begin { destination, .. } if destination != self.destination => {
                        return Err(format!("it belongs to the destination '{destination}'"));
                    }
                    Entry::Begin { .. } => is_first = false,
                    _ if is_first => break,
                    entry => self.apply(entry),
                }
            }
            if is_first {
                return Err(at("it does not begin with its format"));
            }
        }
        let whole = frames.offset();
        if whole < bytes.len() as u64 {
            self.store.truncate(whole).map_err(|error| format!("its torn end cannot be cut off: {error}"))?;
        }
        self.stored_bytes = whole;
        Ok(())
    }

    /// Why nothing of it can be used.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.databases.is_empty()
    }

    /// Every table, as it was for a reader at `position`; and the databases' character sets.
    pub fn at(&self, position: &Position) -> Moment<'_> {
        let tables = self.tables.iter().map(|(name, versions)| (name, found(versions, position))).collect();
        let databases = self.databases.iter().filter_map(|(name, versions)| {
            let passed = versions.iter().rev().find(|(point, _)| point.is_passed(position));
            let (_, charset) = passed.or(versions.first())?;
            Some((name.as_str(), charset.clone()))
        });
        Moment { tables, databases: databases.collect() }
    }

    /// One table, as it was for a reader at `position`; `None`: nothing is known of it.
    pub fn table_at(&self, name: &TableName, position: &Position) -> Option<Found> {
        self.tables.get(name).map(|versions| found(versions, position))
    }

    /// What happened at `point`, passed by a reader. Once for each point and table: readers come by again.
    pub fn record(&mut self, point: &LogPoint, origin: Origin, changes: Vec<Change>) {
        if self.damage.is_some() {
            return;
        }
        for Change { name, state, statement } in changes {
            let versions = self.tables.get(&name).map_or(&[][..], Vec::as_slice);
            let is_recorded = versions.iter().any(|known| known.origin == origin && known.point.is_same(point));
            // That a statement dropped a table, or left it in doubt, is no news where nothing was known of it.
            if is_recorded || origin == Origin::Ddl && versions.is_empty() && !matches!(state, TableAt::Known(_)) {
                continue;
            }
            self.add(Entry::table(point.clone(), origin, name, state, statement));
        }
    }

    /// The character set of a database from `point` on.
    pub fn record_database(&mut self, point: &LogPoint, name: &str, charset: &Arc<str>) {
        let versions = self.databases.get(name).map_or(&[][..], Vec::as_slice);
        let is_known = versions.iter().any(|(known, _)| known.is_same(point))
            || versions.last().is_some_and(|(_, known)| known == charset);
        if self.damage.is_none() && !is_known {
            self.add(Entry::Database { point: point.clone(), name: name.to_owned(), charset: charset.clone() });
        }
    }

    /// All tables at one place. Only what differs from what is known there is recorded.
    pub fn snapshot(&mut self, position: &Position, snapshot: Snapshot) {
        let point = point_of(position);
        let mut changes: Vec<Change> = Vec::new();
        let change = |name: TableName, state| Change { name, state, statement: String::new() };
        let mut seen: BTreeSet<TableName> = BTreeSet::new();
        for (name, reason) in snapshot.doubtful {
            if seen.insert(name.clone()) {
                changes.push(change(name, TableAt::Doubtful(reason)));
            }
        }
        for definition in snapshot.tables {
            let name = (definition.database.clone(), definition.table.clone());
            if seen.insert(name.clone()) {
                changes.push(change(name, TableAt::Known(Arc::new(definition))));
            }
        }
        let gone: Vec<TableName> = self.tables.keys().filter(|name| !seen.contains(*name)).cloned().collect();
        changes.extend(gone.into_iter().map(|name| change(name, TableAt::Absent)));
        changes.retain(|change| {
            self.table_at(&change.name, position).is_none_or(|known| known.assumed || known.state != change.state)
        });
        self.record(&point, Origin::Snapshot, changes);
        for (name, charset) in &snapshot.databases {
            self.record_database(&point, name, charset);
        }
    }

    /// A reader that stands at `position` cannot read the table's next rows.
    pub fn note_quarantine(&mut self, name: TableName, position: &Position) {
        let earliest = self.quarantined.entry(name).or_insert_with(|| position.clone());
        if earliest.incarnation == position.incarnation && compare_places(position, earliest).is_lt() {
            *earliest = position.clone();
        }
    }

    /// A person had the table read again. It counts from where its rows could first not be read, else from `position`
    /// on. Readers see it at their next transaction.
    pub fn repair(&mut self, position: &Position, name: TableName, definition: Option<TableDefinition>) {
        let state = definition.map_or(TableAt::Absent, |definition| TableAt::Known(Arc::new(definition)));
        if self.damage.is_none() {
            let point = point_of(self.quarantined.get(&name).unwrap_or(position));
            self.add(Entry::table(point, Origin::Repair, name.clone(), state, String::new()));
        }
        self.quarantined.remove(&name);
        self.repaired.push(name);
        self.repairs.store(self.repaired.len(), Ordering::Relaxed);
    }

    /// Ascends with each repair.
    pub fn repair_counter(&self) -> Arc<AtomicUsize> {
        self.repairs.clone()
    }

    /// The tables that were repaired after the first `seen` repairs.
    pub fn repaired_since(&self, seen: usize) -> &[TableName] {
        self.repaired.get(seen..).unwrap_or_default()
    }

    pub fn repairs(&self) -> usize {
        self.repaired.len()
    }

    /// Puts a damaged file out of the way and begins anew; says where it is now.
    ///
    /// # Errors
    /// The store's.
    pub fn reset(&mut self) -> Result<String, HistoryError> {
        let aside = self.store.set_aside()?;
        self.tables.clear();
        self.databases.clear();
        self.pending.clear();
        self.stored_bytes = 0;
        self.damage = None;
        Ok(aside)
    }

    /// Makes durable what is not yet; true where there was something to write.
    ///
    /// # Errors
    /// The store's; everything is still pending then.
    pub fn commit(&mut self) -> Result<bool, HistoryError> {
        if self.pending.is_empty() {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        if self.stored_bytes == 0 {
            self.begin(&mut bytes)?;
        }
        frames(&self.pending, &mut bytes)?;
        if self.stored_bytes + bytes.len() as u64 > self.bytes_max {
            bytes = self.compacted()?;
            self.store.replace(&bytes)?;
            self.stored_bytes = 0;
        } else {
            self.store.append(&bytes)?;
        }
        self.stored_bytes += bytes.len() as u64;
        self.pending.clear();
        Ok(true)
    }

    fn begin(&self, bytes: &mut Vec<u8>) -> Result<(), HistoryError> {
        frames(&[Entry::Begin { format: FORMAT, destination: self.destination.clone() }], bytes)
    }

    /// All that is in memory, with fewer versions of each table until it takes at most half of the bound.
    fn compacted(&mut self) -> Result<Vec<u8>, HistoryError> {
        let mut keep = HISTORY_VERSIONS_MAX;
        loop {
            self.tables.retain(|_, versions| {
                forget_oldest(versions, keep);
                // A table that is gone, and whose past is forgotten, is no news.
                !matches!(versions.as_slice(), [Version { state: TableAt::Absent, .. }])
            });
            let mut bytes = Vec::new();
            self.begin(&mut bytes)?;
            let entries: Vec<Entry> = self.databases.iter().flat_map(database_entries).collect();
            frames(&entries, &mut bytes)?;
            for (name, versions) in &self.tables {
                let entries: Vec<Entry> = versions.iter().map(|version| version.entry(name)).collect();
                frames(&entries, &mut bytes)?;
            }
            if bytes.len() as u64 <= self.bytes_max / 2 || keep == 1 {
                return Ok(bytes);
            }
            keep /= 2;
        }
    }

    fn add(&mut self, entry: Entry) {
        self.pending.push(entry.clone());
        self.apply(entry);
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Begin { .. } => {}
            Entry::Database { point, name, charset } => {
                let versions = self.databases.entry(name).or_default();
                let index = place_for(versions.iter().map(|(point, _)| point), &point);
                versions.insert(index, (point, charset));
                let surplus = versions.len().saturating_sub(HISTORY_VERSIONS_MAX);
                versions.drain(..surplus);
            }
            Entry::Table { point, origin, database, table, outcome, statement } => {
                let state = match outcome {
                    Outcome::Known(definition) => TableAt::Known(definition),
                    Outcome::Absent => TableAt::Absent,
                    Outcome::Doubtful(reason) => TableAt::Doubtful(reason),
                };
                let versions = self.tables.entry((database, table)).or_default();
                let index = place_for(versions.iter().map(|version| &version.point), &point);
                versions.insert(index, Version { point, origin, state, statement });
                forget_oldest(versions, HISTORY_VERSIONS_MAX);
            }
        }
    }

    /// What is known, for people: each version of each table with where it begins.
    pub fn describe(&self, name: &TableName) -> Vec<String> {
        let versions = self.tables.get(name).map_or(&[][..], Vec::as_slice);
        versions
            .iter()
            .map(|version| {
                let LogPoint { gtid, file, offset, .. } = &version.point;
                let state = match &version.state {
                    TableAt::Known(definition) => format!("{} columns", definition.columns.len()),
                    TableAt::Absent => "no such table".to_owned(),
                    TableAt::Doubtful(reason) => format!("doubtful: {reason}"),
                };
                format!("{file}:{offset} {gtid} {:?} {state} {}", version.origin, version.statement)
            })
            .collect()
    }
}

/// Frames are written in pieces of about this size, and one table alone stays far below the bound.
const HISTORY_FRAME_BYTES_MAX: u32 = 8 * HISTORY_FRAME_BYTES as u32;

impl Version {
    fn entry(&self, name: &TableName) -> Entry {
        Entry::table(self.point.clone(), self.origin, name.clone(), self.state.clone(), self.statement.clone())
    }
}

fn database_entries((name, versions): (&String, &Vec<(LogPoint, Arc<str>)>)) -> Vec<Entry> {
    let entry = |(point, charset): &(LogPoint, Arc<str>)| Entry::Database {
        point: point.clone(),
        name: name.clone(),
        charset: charset.clone(),
    };
    versions.iter().map(entry).collect()
}

fn forget_oldest(versions: &mut Vec<Version>, keep: usize) {
    let surplus = versions.len().saturating_sub(keep);
    versions.drain(..surplus);
}

fn found(versions: &[Version], position: &Position) -> Found {
    if let Some(version) = versions.iter().rev().find(|version| version.point.is_passed(position)) {
        let read_ahead = version.origin == Origin::Reread;
        return Found { state: version.state.clone(), assumed: false, read_ahead };
    }
    match versions.first() {
        // It was made at that place, so it was not there before.
        Some(Version { origin: Origin::Ddl, statement, .. }) if is_create(statement) => {
            Found { state: TableAt::Absent, assumed: false, read_ahead: false }
        }
        Some(first) => Found { state: first.state.clone(), assumed: true, read_ahead: false },
        None => Found { state: TableAt::Absent, assumed: true, read_ahead: false },
    }
}

fn is_create(statement: &str) -> bool {
    statement.trim_start().get(..6).is_some_and(|verb| verb.eq_ignore_ascii_case("create"))
}

fn point_of(position: &Position) -> LogPoint {
    LogPoint {
        gtid: String::new(),
        incarnation: position.incarnation.to_string(),
        file: position.file.to_string(),
        offset: position.offset,
    }
}

/// Where a version that begins at `point` belongs: behind all that are not known to begin later.
fn place_for<'a>(points: impl DoubleEndedIterator<Item = &'a LogPoint> + ExactSizeIterator, point: &LogPoint) -> usize {
    let later = |known: &LogPoint| {
        known.incarnation == point.incarnation && compare_places(&place(known), &place(point)).is_gt()
    };
    let count = points.len();
    count - points.rev().take_while(|known| later(known)).count()
}

fn place(point: &LogPoint) -> Position {
    Position { file: point.file.as_str().into(), offset: point.offset, ..Position::default() }
}

/// The entries as frames of about [`HISTORY_FRAME_BYTES`].
fn frames(entries: &[Entry], bytes: &mut Vec<u8>) -> Result<(), HistoryError> {
    let mut payload: Vec<u8> = Vec::new();
    let flush = |payload: &mut Vec<u8>, bytes: &mut Vec<u8>| -> Result<(), HistoryError> {
        if payload.is_empty() {
            return Ok(());
        }
        payload.push(b']');
        let frame = records::frame(payload).filter(|_| payload.len() <= HISTORY_FRAME_BYTES_MAX as usize);
        bytes.extend(frame.ok_or_else(|| HistoryError::Encode("a table's definition is too long".to_owned()))?);
        payload.clear();
        Ok(())
    };
    for entry in entries {
        payload.push(if payload.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut payload, entry).map_err(|error| HistoryError::Encode(error.to_string()))?;
        if payload.len() >= HISTORY_FRAME_BYTES {
            flush(&mut payload, bytes)?;
        }
    }
    flush(&mut payload, bytes)
}

#[cfg(test)]
mod tests;
