//! A committed transaction in the client's hands, read from where it was received.

use std::fmt;
use std::sync::Arc;

use capnp::struct_list;
use capnp::traits::{HasTypeId, OwnedStruct};
use millstream_codec::millstream_capnp::{change, rows, server_message};
use millstream_codec::mysql::position::BinlogPosition;
use millstream_codec::wire::layout::Layout;
use millstream_codec::wire::messages::Op;
use millstream_codec::wire::position::Position;
use millstream_codec::wire::read::{RowReader, RowsReader, Value};
use millstream_codec::wire::view;
use millstream_codec::wire::words::{ListPlace, StructList};

use crate::cursor::{Snapshot, Token};
use crate::error::ClientError;
use crate::protocol::Committed;
use crate::receive::Message;

/// A received batch, with the layouts that its rows name: what its transactions share. It was looked through when it
/// came: what is read of it here is there.
pub(crate) struct Received {
    /// Of one segment.
    pub message: Message,
    pub epoch: u64,
    pub fragments: ListPlace,
    /// By id, ascending.
    pub layouts: Vec<(u32, Arc<Layout>)>,
    /// The file that its last commit lies in.
    pub file: Arc<str>,
    /// The others lie there too: as a rule.
    pub is_of_one_file: bool,
    pub destination: Arc<str>,
}

impl Received {
    #[inline]
    fn layout(&self, id: u32) -> Option<&Arc<Layout>> {
        if let [(only, layout)] = &*self.layouts {
            return (*only == id).then_some(layout);
        }
        let index = self.layouts.binary_search_by_key(&id, |(known, _)| *known).ok()?;
        self.layouts.get(index).map(|(_, layout)| layout)
    }

    #[inline]
    pub fn fragment(&self, index: u32) -> Option<view::Fragment<'_>> {
        StructList::at(self.message.segment()?, self.fragments).get(index).map(view::Fragment)
    }

    fn position(&self, position: Option<view::FilePosition<'_>>) -> FilePosition {
        let view::FilePosition { file, offset } = position.unwrap_or(view::FilePosition { file: b"", offset: 0 });
        let file = match file == self.file.as_bytes() {
            true => self.file.clone(),
            false => text(Some(file)).into(),
        };
        FilePosition { file, offset }
    }
}

/// Looked at when the message came: an error cannot be here.
#[inline]
pub(crate) fn text(bytes: Option<&[u8]>) -> &str {
    bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}

/// A place in the source's binlog; its text form is `file:offset`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FilePosition {
    pub file: Arc<str>,
    pub offset: u64,
}

impl FilePosition {
    /// Only where both are of one incarnation.
    pub(crate) fn is_at_or_before(&self, other: &Self) -> bool {
        if self.file == other.file {
            return self.offset <= other.offset;
        }
        BinlogPosition::new(&*self.file, self.offset) < BinlogPosition::new(&*other.file, other.offset)
    }
}

impl fmt::Display for FilePosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.offset)
    }
}

/// A part of a transaction: one fragment of one received message.
#[derive(Clone)]
pub(crate) struct Part {
    received: Arc<Received>,
    /// Index in the batch.
    fragment: u32,
    /// Rows of this event and later ones were rolled back to a savepoint.
    events_end: u32,
}

impl Part {
    pub fn new(received: Arc<Received>, fragment: u32) -> Self {
        Self { received, fragment, events_end: u32::MAX }
    }

    /// Forgets the rows of `event` and of later ones.
    pub fn truncate(&mut self, event: u32) {
        self.events_end = self.events_end.min(event);
    }

    #[inline]
    pub fn fragment(&self) -> Option<view::Fragment<'_>> {
        self.received.fragment(self.fragment)
    }

    /// The transaction's GTID: of the part with the commit.
    pub fn gtid(&self) -> &str {
        text(self.fragment().and_then(|fragment| fragment.gtid()))
    }

    /// The file that the transaction ends in, where all of its batch do.
    #[inline]
    pub fn file(&self) -> Option<&Arc<str>> {
        self.received.is_of_one_file.then_some(&self.received.file)
    }

    /// Where the transaction begins: of the part with the commit.
    pub fn start_position(&self) -> FilePosition {
        self.received.position(self.fragment().and_then(|fragment| fragment.start_position()))
    }

    /// Where it ends: of the part with the commit.
    pub fn position(&self) -> FilePosition {
        self.received.position(self.fragment().and_then(|fragment| fragment.position()))
    }

    /// The rows of a change by the crate's readers, as generated code wants them.
    fn rows(&self, change: u32) -> capnp::Result<rows::Reader<'_>> {
        let gone = || capnp::Error::failed("the rows are gone".to_owned());
        let root: server_message::Reader<'_> = self.received.message.root()?;
        let server_message::Which::Batch(batch) = root.which()? else { return Err(gone()) };
        let fragment = batch?.get_fragments()?.try_get(self.fragment).ok_or_else(gone)?;
        match fragment.get_changes()?.try_get(change).ok_or_else(gone)?.which()? {
            change::Which::Rows(rows) => rows,
            change::Which::Ddl(_) => Err(gone()),
        }
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Part(fragment {} of a message of {} bytes)", self.fragment, self.received.message.bytes)
    }
}

/// A committed transaction. It keeps the messages that it came in; drop it when it is done with.
#[derive(Debug)]
pub struct Transaction {
    /// What an ack names; rises from transaction to transaction, within its epoch.
    pub sequence: u64,
    pub epoch: u64,
    /// By the source's clock, exact to `time_precision_us`.
    pub commit_time_us: i64,
    /// 1 or 1,000,000.
    pub time_precision_us: u32,
    /// This client has handed it over before: a reconnect or a rollback began behind the last durable ack.
    pub redelivered: bool,
    pub(crate) connection: u64,
    cursor: Snapshot,
    /// Those before the last, of a transaction in several.
    earlier: Vec<Part>,
    last: Part,
}

impl Transaction {
    #[inline]
    pub(crate) fn new(committed: Committed, connection: u64, cursor: Snapshot, redelivered: bool) -> Self {
        Self {
            sequence: committed.sequence,
            epoch: committed.epoch,
            commit_time_us: committed.commit_time_us,
            time_precision_us: committed.time_precision_us,
            redelivered,
            connection,
            cursor,
            earlier: committed.earlier,
            last: committed.last,
        }
    }

    /// Where it begins in the source's binlog.
    pub fn start_position(&self) -> FilePosition {
        self.last.start_position()
    }

    /// Where it ends.
    pub fn position(&self) -> FilePosition {
        self.last.position()
    }

    /// Empty where the source has no GTIDs. Read from where it was received: nothing is copied.
    pub fn gtid(&self) -> &str {
        self.last.gtid()
    }

    /// The same on every delivery: its GTID, else incarnation, file and start.
    pub fn id(&self) -> String {
        match self.gtid() {
            gtid if !gtid.is_empty() => gtid.to_owned(),
            _ => format!("{}:{}", self.cursor.incarnation(), self.start_position()),
        }
    }

    /// What to store beside the data: a client that starts with it goes on behind this transaction.
    pub fn token(&self) -> Token {
        self.cursor.to_token(&self.last.received.destination, &self.position())
    }

    /// Where the source stands behind this transaction.
    pub fn source_position(&self) -> Position {
        self.cursor.to_position(&self.position())
    }

    /// What changed, in the order of the transaction.
    pub fn changes(&self) -> Changes<'_> {
        Changes {
            earlier: self.earlier.iter(),
            last: Some(&self.last),
            part: &self.last,
            changes: StructList::default(),
            next: 0,
        }
    }
}

/// What changed in a transaction. An error means that the message changed under the library's hands: what it reads
/// here was looked at when it came.
pub struct Changes<'a> {
    earlier: std::slice::Iter<'a, Part>,
    last: Option<&'a Part>,
    /// Whose changes these are.
    part: &'a Part,
    changes: StructList<'a>,
    next: u32,
}

impl<'a> Iterator for Changes<'a> {
    type Item = Result<Change<'a>, ClientError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(change) = self.changes.get(self.next) {
                let number = self.next;
                self.next += 1;
                match view::Change::read(change) {
                    // Rolled back to a savepoint.
                    Some(view::Change::Rows(rows)) if rows.event() >= self.part.events_end => {}
                    Some(view::Change::Rows(rows)) => return Some(read_rows(self.part, number, rows)),
                    Some(view::Change::Ddl(reader)) => return Some(Ok(Change::Ddl(Ddl { reader }))),
                    None => return Some(Err(unreadable("batch", "a change that this version does not know"))),
                }
            }
            self.part = self.earlier.next().or_else(|| self.last.take())?;
            self.next = 0;
            match self.part.fragment().and_then(|fragment| fragment.changes()) {
                Some(changes) => self.changes = changes,
                None => {
                    self.changes = StructList::default();
                    return Some(Err(unreadable("batch", "the fragment is gone")));
                }
            }
        }
    }
}

#[cold]
fn unreadable(table: &str, error: impl fmt::Display) -> ClientError {
    ClientError::Unreadable { table: table.to_owned(), reason: error.to_string() }
}

#[inline]
fn read_rows<'a>(part: &'a Part, number: u32, reader: view::Rows<'a>) -> Result<Change<'a>, ClientError> {
    let layout = part.received.layout(reader.layout());
    let layout = layout.ok_or_else(|| unreadable("batch", "rows name a layout that has not come"))?;
    match RowsReader::new(reader, layout) {
        Ok(rows) => Ok(Change::Rows(Rows { part, number, rows, layout })),
        Err(error) => Err(unreadable(&table_of(layout), error)),
    }
}

/// One change of a transaction.
// Lives on the stack of its reader's loop, one at a time: a box would cost an allocation an event.
#[allow(clippy::large_enum_variant)]
pub enum Change<'a> {
    /// Rows of one event and one table.
    Rows(Rows<'a>),
    /// A statement that changed the schema. Layouts behind it may be new.
    Ddl(Ddl<'a>),
}

/// Rows of one event and one table.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    part: &'a Part,
    /// Index in the part's changes.
    number: u32,
    rows: RowsReader<'a>,
    layout: &'a Arc<Layout>,
}

impl<'a> Rows<'a> {
    /// The table's columns, and how they lie in its struct.
    pub fn layout(&self) -> &'a Arc<Layout> {
        self.layout
    }

    pub fn database(&self) -> &'a str {
        &self.layout.database
    }

    pub fn table(&self) -> &'a str {
        &self.layout.table
    }

    pub fn op(&self) -> Op {
        self.rows.op()
    }

    pub fn len(&self) -> u32 {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Ordinal of the first row among the rows of its table in its transaction: part of the rows' ids.
    pub fn first_row(&self) -> u32 {
        self.rows.first_row()
    }

    /// Of the event in its file.
    pub fn event_offset(&self) -> u64 {
        self.rows.event_offset()
    }

    /// Row by row, by the layout.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'a>> + use<'a> {
        let (rows, op, first_row) = (self.rows, self.rows.op(), self.rows.first_row());
        (0..rows.len()).map(move |index| Row {
            op,
            ordinal: first_row.wrapping_add(index),
            before: rows.before(index),
            after: rows.after(index),
        })
    }

    /// The codec's own reader, for JSON lines and the like.
    pub fn reader(&self) -> &RowsReader<'a> {
        &self.rows
    }

    /// The rows as they are now (insert, update; else empty), as generated code reads them: nothing is parsed or copied.
    ///
    /// # Errors
    /// Where `T` was generated for another table.
    pub fn after_as<T>(&self) -> Result<struct_list::Reader<'a, T>, ClientError>
    where
        T: OwnedStruct,
        T::Reader<'a>: HasTypeId,
    {
        self.typed(|rows| rows.get_after())
    }

    /// The rows as they were (update, delete; else empty).
    ///
    /// # Errors
    /// Where `T` was generated for another table.
    pub fn before_as<T>(&self) -> Result<struct_list::Reader<'a, T>, ClientError>
    where
        T: OwnedStruct,
        T::Reader<'a>: HasTypeId,
    {
        self.typed(|rows| rows.get_before())
    }

    fn typed<T>(
        &self,
        list: impl FnOnce(rows::Reader<'a>) -> capnp::any_pointer::Reader<'a>,
    ) -> Result<struct_list::Reader<'a, T>, ClientError>
    where
        T: OwnedStruct,
        T::Reader<'a>: HasTypeId,
    {
        let table = || table_of(self.layout);
        let compiled = <T::Reader<'a> as HasTypeId>::TYPE_ID;
        if compiled != self.layout.struct_id {
            let reason = format!(
                "the generated code is of struct {compiled:#018x}, the table's is {:#018x}: export the schema of this \
                 table, of the destination that is read",
                self.layout.struct_id
            );
            return Err(unreadable(&table(), reason));
        }
        let rows = self.part.rows(self.number);
        rows.and_then(|rows| list(rows).get_as()).map_err(|error| unreadable(&table(), error))
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} of {} rows of {}.{}", self.op(), self.len(), self.database(), self.table())
    }
}

/// One row, read by the names of its columns.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    pub op: Op,
    /// Among the rows of its table in its transaction: with the transaction's id and the table, the row's id.
    pub ordinal: u32,
    /// As it was: updates and deletes.
    pub before: Option<RowReader<'a>>,
    /// As it is now: inserts and updates.
    pub after: Option<RowReader<'a>>,
}

impl<'a> Row<'a> {
    /// The value of a column in the newest image (of a delete: as it was). `Value::Absent` where there is no such
    /// column, or the image does not carry it.
    ///
    /// # Errors
    /// Where the row's bytes are damaged.
    #[inline]
    pub fn get(&self, column: &str) -> Result<Value<'a>, ClientError> {
        match self.newest() {
            Some(image) => named(&image, column),
            None => Ok(Value::Absent),
        }
    }

    #[inline]
    fn newest(&self) -> Option<RowReader<'a>> {
        self.after.or(self.before)
    }

    /// The value of a column in the newest image by its index in the layout: where many rows are read, the index is
    /// looked up once.
    ///
    /// # Errors
    /// Where the row's bytes are damaged.
    #[inline]
    pub fn value(&self, index: usize) -> Result<Value<'a>, ClientError> {
        let Some(image) = self.newest() else { return Ok(Value::Absent) };
        image.value(index).map_err(|error| unreadable(&table_of(image.layout()), error))
    }

    /// The value that a column had before.
    ///
    /// # Errors
    /// Where the row's bytes are damaged.
    pub fn get_before(&self, column: &str) -> Result<Value<'a>, ClientError> {
        self.before.as_ref().map_or(Ok(Value::Absent), |image| named(image, column))
    }
}

#[inline]
fn named<'a>(image: &RowReader<'a>, column: &str) -> Result<Value<'a>, ClientError> {
    let Some(index) = image.layout().columns.iter().position(|known| known.name == column) else {
        return Ok(Value::Absent);
    };
    match image.value(index) {
        Ok(value) => Ok(value),
        Err(error) => Err(unreadable(&format!("{}.{column}", table_of(image.layout())), error)),
    }
}

fn table_of(layout: &Layout) -> String {
    format!("{}.{}", layout.database, layout.table)
}

/// A statement that changed the schema.
#[derive(Clone, Copy)]
pub struct Ddl<'a> {
    reader: view::Ddl<'a>,
}

impl<'a> Ddl<'a> {
    /// The statement's default database.
    pub fn database(&self) -> &'a str {
        text(self.reader.database())
    }

    /// With U+FFFD where it is not UTF-8.
    pub fn statement(&self) -> String {
        String::from_utf8_lossy(self.reader.statement().unwrap_or_default()).into_owned()
    }

    /// `create_table`, `alter_table`, `drop_table`, `rename_table`, `truncate_table` or `other`.
    pub fn kind(&self) -> &'a str {
        text(self.reader.kind())
    }

    /// `db.table` of those affected.
    pub fn tables(&self) -> Vec<&'a str> {
        self.reader.tables().map(|tables| tables.iter().map(text).collect()).unwrap_or_default()
    }
}

impl fmt::Debug for Ddl<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind(), self.statement())
    }
}
