//! Batches, assembled by hand: one `ServerMessage.batch` in one segment, in the standard framing.
//!
//! The blobs of rows are copied in as they come, texts and bitmaps behind them; at [`BatchBuilder::seal`] the
//! structs and lists that refer to them are written behind everything (their pointers have negative offsets) and the
//! frame header is patched in place. What is pushed costs one copy and no allocation beyond the growth of reused
//! buffers. Readers of every language see an ordinary message.
//!
//! ```text
//! 8 bytes   frame header: segments - 1 = 0, words of the segment
//! word 0    root pointer
//! ...       blobs, texts, bitmaps, in the order of pushing
//! ...       ServerMessage, Batch, fragments, changes, rows, cells
//! ```

use bytes::{Bytes, BytesMut};

use crate::chunks::SharedChunks;

use super::encoded::{CellState, EncodedCell, EncodedRows, Image, ListRef, Op};

/// How a transaction, or a part of it, begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentHead<'a> {
    pub sequence: u64,
    pub commit_time_us: i64,
    /// 1 or 1,000,000.
    pub time_precision_us: u32,
    /// The first part of its transaction.
    pub begin: bool,
    /// Where the transaction begins: file and offset.
    pub start: (&'a str, u64),
    pub gtid: &'a str,
}

/// How a part of a transaction ends. Neither `commit` nor `abort`: more parts follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentEnd<'a> {
    pub commit: bool,
    pub abort: bool,
    /// Where the transaction ends: file and offset. Sent with `commit` only.
    pub position: (&'a str, u64),
    pub gtid_delta: &'a str,
    /// Rows of this transaction from this event on (counted over its parts) are to be forgotten.
    pub truncate_to: Option<u32>,
}

/// Where rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsHead {
    /// `Layout.id`.
    pub layout: u32,
    /// Ordinal of the first row among the rows of its table in its transaction.
    pub first_row: u32,
    /// Of the event in its file.
    pub event_offset: u64,
    /// Ordinal of the event in its transaction, over all its parts.
    pub event: u32,
}

const WORD: usize = 8;
const FRAME_HEADER_BYTES: usize = 8;
/// Largest segment written, in words: every offset between two of its words fits 30 bits with sign.
const SEGMENT_WORDS_MAX: usize = (1 << 29) - 1;
/// Elements of a list: 29 bits.
const LIST_BYTES_MAX: usize = (1 << 29) - 1;

/// Sizes of the protocol's structs as (data words, pointers). The tests hold them against the generated code.
mod size {
    pub const SERVER_MESSAGE: (usize, usize) = (2, 1);
    pub const BATCH: (usize, usize) = (3, 1);
    pub const FRAGMENT: (usize, usize) = (4, 5);
    pub const FILE_POSITION: (usize, usize) = (1, 1);
    pub const CHANGE: (usize, usize) = (1, 1);
    pub const ROWS: (usize, usize) = (4, 5);
    pub const CELL: (usize, usize) = (2, 1);
    pub const DDL: (usize, usize) = (0, 4);
}

const fn words(size: (usize, usize)) -> usize {
    size.0 + size.1
}

/// Root pointer, the message, the batch, the tag of its fragments.
const FIXED_WORDS: usize = 1 + words(size::SERVER_MESSAGE) + words(size::BATCH) + 1;

/// A byte list that has been copied into the segment. Word 0 is the root pointer, so it stands for "none".
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    word: u32,
    /// Elements of the list: of a Text with the NUL behind it.
    bytes: u32,
}

#[derive(Debug)]
struct PendingFragment {
    sequence: u64,
    commit_time_us: i64,
    time_precision_us: u32,
    begin: bool,
    commit: bool,
    abort: bool,
    truncate_to: u32,
    gtid: Span,
    gtid_delta: Span,
    start: (Span, u64),
    end: (Span, u64),
    changes: u32,
}

#[derive(Debug)]
enum PendingChange {
    Rows {
        head: RowsHead,
        op: Op,
        count: u32,
        before: Option<ListRef>,
        after: Option<ListRef>,
        before_present: Span,
        after_present: Span,
        cells: u32,
    },
    Ddl {
        database: Span,
        statement: Span,
        kind: Span,
        tables: u32,
    },
}

#[derive(Debug)]
struct PendingCell {
    row: u32,
    column: u16,
    image: Image,
    state: CellState,
    payload: Span,
}

/// What is taken from the allocator at a time: half of what an L2 cache holds, and small beside any log of batches.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Chunks that a builder by itself keeps to be used again: its messages go one after the other.
const OWN_CHUNKS_MAX: usize = 2;

/// Collects transactions and makes a message of them. Reused: after `seal` it is empty again.
///
/// A batch is sealed by its owner before it passes 8 MiB, where one piece of rows is not larger by itself; at 4 GiB,
/// where Cap'n Proto ends, the builder panics.
#[derive(Debug)]
pub struct BatchBuilder {
    /// Frame header, root pointer, and what has been copied in.
    buffer: BytesMut,
    chunk_bytes: usize,
    /// What the buffer's memory was taken for.
    buffer_bytes: usize,
    spent: SharedChunks,
    fragments: Vec<PendingFragment>,
    changes: Vec<PendingChange>,
    cells: Vec<PendingCell>,
    tables: Vec<Span>,
    /// Words that `seal` will write behind the buffer.
    structure_words: usize,
    open: bool,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new(CHUNK_BYTES)
    }
}

impl BatchBuilder {
    /// `chunk_bytes`: how much memory is taken from the allocator at a time; messages that fit share a chunk.
    pub fn new(chunk_bytes: usize) -> Self {
        Self::sharing(chunk_bytes, SharedChunks::new(OWN_CHUNKS_MAX, chunk_bytes))
    }

    /// Chunks come from, and go to, what others use too.
    pub fn sharing(chunk_bytes: usize, spent: SharedChunks) -> Self {
        let mut builder = Self {
            buffer: BytesMut::new(),
            chunk_bytes: chunk_bytes.max(1024),
            buffer_bytes: 0,
            spent,
            fragments: Vec::new(),
            changes: Vec::new(),
            cells: Vec::new(),
            tables: Vec::new(),
            structure_words: FIXED_WORDS - 1,
            open: false,
        };
        builder.begin_message();
        builder
    }

    /// Size of the framed message if it were sealed now.
    pub fn len_bytes(&self) -> usize {
        self.buffer.len() + self.structure_words * WORD
    }

    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// # Panics
    /// Where a fragment is open.
    pub fn begin_fragment(&mut self, head: &FragmentHead<'_>) {
        assert!(!self.open, "a fragment is already open");
        let gtid = self.push_text(head.gtid);
        let start = (self.push_text(head.start.0), head.start.1);
        self.fragments.push(PendingFragment {
            sequence: head.sequence,
            commit_time_us: head.commit_time_us,
            time_precision_us: head.time_precision_us,
            begin: head.begin,
            commit: false,
            abort: false,
            truncate_to: u32::MAX,
            gtid,
            gtid_delta: Span::default(),
            start,
            end: (Span::default(), 0),
            changes: 0,
        });
        self.structure_words += words(size::FRAGMENT) + words(size::FILE_POSITION);
        self.open = true;
    }

    /// Copies the rows' words in; `slab` is what `rows.blob` lies in.
    ///
    /// # Panics
    /// Where no fragment is open, or the lists do not lie in the blob.
    pub fn push_rows(&mut self, head: &RowsHead, rows: &EncodedRows, slab: &[u8]) {
        let blob = slab.get(rows.blob.clone()).unwrap_or_default();
        assert!(blob.len() == rows.blob.len() && blob.len().is_multiple_of(WORD), "a blob is whole words of its slab");
        for list in [rows.before, rows.after].into_iter().flatten() {
            let end = list.tag_word as usize + 1 + list.words as usize;
            assert!(end <= blob.len() / WORD, "a list lies in its blob");
        }
        let base = self.next_word();
        self.reserve(blob.len());
        self.buffer.extend_from_slice(blob);
        let moved = |list: Option<ListRef>| list.map(|list| ListRef { tag_word: base + list.tag_word, ..list });
        let (before, after) = (moved(rows.before), moved(rows.after));
        let before_present = self.push_data(rows.before_present.as_deref().unwrap_or_default());
        let after_present = self.push_data(rows.after_present.as_deref().unwrap_or_default());
        for cell in &rows.cells {
            let EncodedCell { row, column, image, state, ref payload } = *cell;
            let payload = self.push_data(payload);
            self.cells.push(PendingCell { row, column, image, state, payload });
        }
        let cell_words = match rows.cells.len() {
            0 => 0,
            cells => 1 + cells * words(size::CELL),
        };
        self.push_change(
            words(size::ROWS) + cell_words,
            PendingChange::Rows {
                head: *head,
                op: rows.op,
                count: rows.count,
                before,
                after,
                before_present,
                after_present,
                cells: count(rows.cells.len()),
            },
        );
    }

    /// `tables`: `db.table` of those affected.
    ///
    /// # Panics
    /// Where no fragment is open.
    pub fn push_ddl<S: AsRef<str>>(&mut self, database: &str, statement: &str, kind: &str, tables: &[S]) {
        let database = self.push_text(database);
        let statement = self.push_text(statement);
        let kind = self.push_text(kind);
        for table in tables {
            let span = self.push_list(table.as_ref().as_bytes(), 1);
            self.tables.push(span);
        }
        let change = PendingChange::Ddl { database, statement, kind, tables: count(tables.len()) };
        self.push_change(words(size::DDL) + tables.len(), change);
    }

    /// # Panics
    /// Where no fragment is open.
    pub fn end_fragment(&mut self, end: &FragmentEnd<'_>) {
        assert!(self.open, "no fragment is open");
        let mut gtid_delta = Span::default();
        let mut position = (Span::default(), 0);
        if end.commit {
            gtid_delta = self.push_text(end.gtid_delta);
            position = (self.push_text(end.position.0), end.position.1);
            self.structure_words += words(size::FILE_POSITION);
        }
        if let Some(fragment) = self.fragments.last_mut() {
            fragment.commit = end.commit;
            fragment.abort = end.abort;
            fragment.gtid_delta = gtid_delta;
            fragment.end = position;
            fragment.truncate_to = end.truncate_to.unwrap_or(u32::MAX);
        }
        self.open = false;
    }

    /// The message. The builder is empty afterwards.
    ///
    /// # Panics
    /// Where a fragment is open, or there is none.
    pub fn seal(&mut self, epoch: u64) -> Bytes {
        assert!(!self.open, "a fragment is still open");
        assert!(!self.fragments.is_empty(), "a batch holds at least one fragment");
        let total_bytes = self.len_bytes();
        let structure_start = self.next_word() as usize;
        self.reserve(self.structure_words * WORD);
        self.buffer.resize(total_bytes, 0);

        let segment_words = count((total_bytes - FRAME_HEADER_BYTES) / WORD);
        if let Some(header) = self.buffer.get_mut(4..FRAME_HEADER_BYTES) {
            header.copy_from_slice(&segment_words.to_le_bytes());
        }
        let mut segment =
            Segment { bytes: self.buffer.get_mut(FRAME_HEADER_BYTES..).unwrap_or_default(), next: structure_start };
        write_message(&mut segment, epoch, &self.fragments, &self.changes, &self.cells, &self.tables);
        assert_eq!(segment.next * WORD + FRAME_HEADER_BYTES, total_bytes, "the structs were counted exactly");

        let message = self.buffer.split().freeze();
        self.fragments.clear();
        self.changes.clear();
        self.cells.clear();
        self.tables.clear();
        self.structure_words = FIXED_WORDS - 1;
        self.begin_message();
        message
    }

    fn begin_message(&mut self) {
        self.reserve(FRAME_HEADER_BYTES + WORD);
        self.buffer.resize(FRAME_HEADER_BYTES + WORD, 0);
    }

    /// Room for that much more, taken in chunks; doubling keeps the copying of a growing message linear.
    fn reserve(&mut self, bytes: usize) {
        let total = self.len_bytes() + bytes;
        assert!(total / WORD <= SEGMENT_WORDS_MAX, "a message of {total} bytes: batches are sealed long before 4 GiB");
        if self.buffer.capacity() - self.buffer.len() < bytes {
            self.begin_chunk(bytes);
        }
    }

    #[cold]
    fn begin_chunk(&mut self, bytes: usize) {
        let wanted = self.buffer.len() + bytes.max(self.chunk_bytes).max(self.buffer.len());
        let mut fresh = self.spent.take(wanted);
        fresh.extend_from_slice(&self.buffer);
        let spent = std::mem::replace(&mut self.buffer, fresh);
        self.spent.give_back(spent, self.buffer_bytes);
        self.buffer_bytes = wanted;
    }

    /// The word that the next pushed bytes will begin at.
    fn next_word(&self) -> u32 {
        count((self.buffer.len() - FRAME_HEADER_BYTES) / WORD)
    }

    fn push_change(&mut self, change_words: usize, change: PendingChange) {
        assert!(self.open, "no fragment is open");
        if let Some(fragment) = self.fragments.last_mut() {
            // The first one brings its list's tag.
            self.structure_words += usize::from(fragment.changes == 0) + words(size::CHANGE) + change_words;
            fragment.changes += 1;
        }
        self.changes.push(change);
    }

    /// Empty text stays a null pointer.
    fn push_text(&mut self, text: &str) -> Span {
        if text.is_empty() { Span::default() } else { self.push_list(text.as_bytes(), 1) }
    }

    fn push_data(&mut self, data: &[u8]) -> Span {
        if data.is_empty() { Span::default() } else { self.push_list(data, 0) }
    }

    /// The bytes, `zeros` zero bytes that count as elements, and padding to a whole word. What is longer than a list
    /// can be is cut: no statement or bitmap of MySQL comes near it.
    fn push_list(&mut self, bytes: &[u8], zeros: usize) -> Span {
        let bytes = bytes.get(..LIST_BYTES_MAX - zeros).unwrap_or(bytes);
        let length = bytes.len() + zeros;
        let word = self.next_word();
        let padded = length.next_multiple_of(WORD);
        self.reserve(padded);
        let end = self.buffer.len() + padded;
        self.buffer.extend_from_slice(bytes);
        self.buffer.resize(end, 0);
        Span { word, bytes: count(length) }
    }
}

/// Counts and word offsets, which `reserve` keeps below 2^29.
fn count(value: usize) -> u32 {
    debug_assert!(value <= SEGMENT_WORDS_MAX);
    value as u32
}

/// The words of the segment, and where the next struct goes.
struct Segment<'a> {
    bytes: &'a mut [u8],
    next: usize,
}

impl Segment<'_> {
    fn allocate(&mut self, words: usize) -> usize {
        self.next += words;
        self.next - words
    }

    fn put(&mut self, word: usize, value: u64) {
        let at = word * WORD;
        self.bytes[at..at + WORD].copy_from_slice(&value.to_le_bytes());
    }

    /// Words from the one behind the pointer to the target, as the upper bits of the pointer's low half.
    fn offset(pointer: usize, target: usize) -> u64 {
        // Both are below 2^29: the difference fits 30 bits with sign.
        let offset = (target as i64 - pointer as i64 - 1) as i32;
        u64::from((offset << 2) as u32)
    }

    fn put_struct(&mut self, pointer: usize, target: usize, size: (usize, usize)) {
        self.put(pointer, Self::offset(pointer, target) | struct_size_bits(size));
    }

    fn put_bytes(&mut self, pointer: usize, span: Span) {
        if span.word != 0 {
            const BYTE_LIST: u64 = 1 | 2 << 32;
            self.put(pointer, Self::offset(pointer, span.word as usize) | BYTE_LIST | u64::from(span.bytes) << 35);
        }
    }

    fn put_pointer_list(&mut self, pointer: usize, target: usize, elements: usize) {
        const POINTER_LIST: u64 = 1 | 6 << 32;
        self.put(pointer, Self::offset(pointer, target) | POINTER_LIST | (elements as u64) << 35);
    }

    fn put_composite_list(&mut self, pointer: usize, list: ListRef) {
        const COMPOSITE_LIST: u64 = 1 | 7 << 32;
        self.put(pointer, Self::offset(pointer, list.tag_word as usize) | COMPOSITE_LIST | u64::from(list.words) << 35);
    }

    /// A new list of structs; the word of its first element.
    fn list_of_structs(&mut self, pointer: usize, elements: usize, size: (usize, usize)) -> usize {
        let content = elements * words(size);
        let tag = self.allocate(1 + content);
        self.put(tag, (elements as u64) << 2 | struct_size_bits(size));
        self.put_composite_list(pointer, ListRef { tag_word: count(tag), words: count(content) });
        tag + 1
    }

    fn new_struct(&mut self, pointer: usize, size: (usize, usize)) -> usize {
        let target = self.allocate(words(size));
        self.put_struct(pointer, target, size);
        target
    }
}

fn struct_size_bits((data, pointers): (usize, usize)) -> u64 {
    (data as u64) << 32 | (pointers as u64) << 48
}

/// Numbers of the union members, and the bits of the fields: as the compiler prints them for the schema. The tests
/// read every field back by the generated code.
const SERVER_MESSAGE_BATCH: u64 = 3;
const CHANGE_ROWS: u64 = 0;
const CHANGE_DDL: u64 = 1;

fn write_message(
    segment: &mut Segment<'_>,
    epoch: u64,
    fragments: &[PendingFragment],
    mut changes: &[PendingChange],
    mut cells: &[PendingCell],
    mut tables: &[Span],
) {
    let message = segment.new_struct(0, size::SERVER_MESSAGE);
    segment.put(message, SERVER_MESSAGE_BATCH);
    let batch = segment.new_struct(message + 2, size::BATCH);
    segment.put(batch, epoch);
    segment.put(batch + 1, fragments.first().map_or(0, |fragment| fragment.sequence));
    segment.put(batch + 2, fragments.last().map_or(0, |fragment| fragment.sequence));
    let mut at = segment.list_of_structs(batch + 3, fragments.len(), size::FRAGMENT);
    for fragment in fragments {
        let (mine, rest) = changes.split_at(fragment.changes as usize);
        changes = rest;
        write_fragment(segment, at, fragment);
        if !mine.is_empty() {
            let mut change_at = segment.list_of_structs(at + 4 + 3, mine.len(), size::CHANGE);
            for change in mine {
                write_change(segment, change_at, change, &mut cells, &mut tables);
                change_at += words(size::CHANGE);
            }
        }
        at += words(size::FRAGMENT);
    }
}

fn write_fragment(segment: &mut Segment<'_>, at: usize, fragment: &PendingFragment) {
    let flags = u64::from(fragment.begin) | u64::from(fragment.commit) << 1 | u64::from(fragment.abort) << 2;
    segment.put(at, fragment.sequence);
    segment.put(at + 1, fragment.commit_time_us.cast_unsigned());
    segment.put(at + 2, u64::from(fragment.time_precision_us) | flags << 32);
    // Stored XORed with its default, all ones.
    segment.put(at + 3, u64::from(!fragment.truncate_to));
    let pointers = at + 4;
    if fragment.commit {
        write_file_position(segment, pointers, fragment.end);
    }
    segment.put_bytes(pointers + 1, fragment.gtid);
    segment.put_bytes(pointers + 2, fragment.gtid_delta);
    write_file_position(segment, pointers + 4, fragment.start);
}

fn write_file_position(segment: &mut Segment<'_>, pointer: usize, (file, offset): (Span, u64)) {
    let at = segment.new_struct(pointer, size::FILE_POSITION);
    segment.put(at, offset);
    segment.put_bytes(at + 1, file);
}

fn write_change(
    segment: &mut Segment<'_>,
    at: usize,
    change: &PendingChange,
    all_cells: &mut &[PendingCell],
    all_tables: &mut &[Span],
) {
    match *change {
        PendingChange::Rows { head, op, count: rows, before, after, before_present, after_present, cells } => {
            segment.put(at, CHANGE_ROWS);
            let at = segment.new_struct(at + 1, size::ROWS);
            segment.put(at, u64::from(head.layout) | u64::from(u16::from(op)) << 32);
            segment.put(at + 1, u64::from(rows) | u64::from(head.first_row) << 32);
            segment.put(at + 2, head.event_offset);
            segment.put(at + 3, u64::from(head.event));
            let pointers = at + 4;
            for (pointer, list) in [(pointers, before), (pointers + 1, after)] {
                if let Some(list) = list {
                    segment.put_composite_list(pointer, list);
                }
            }
            segment.put_bytes(pointers + 2, before_present);
            segment.put_bytes(pointers + 3, after_present);
            let (mine, rest) = all_cells.split_at(cells as usize);
            *all_cells = rest;
            if !mine.is_empty() {
                let mut cell_at = segment.list_of_structs(pointers + 4, mine.len(), size::CELL);
                for cell in mine {
                    write_cell(segment, cell_at, cell);
                    cell_at += words(size::CELL);
                }
            }
        }
        PendingChange::Ddl { database, statement, kind, tables } => {
            segment.put(at, CHANGE_DDL);
            let at = segment.new_struct(at + 1, size::DDL);
            segment.put_bytes(at, database);
            segment.put_bytes(at + 1, statement);
            segment.put_bytes(at + 2, kind);
            let (mine, rest) = all_tables.split_at(tables as usize);
            *all_tables = rest;
            if !mine.is_empty() {
                let list = segment.allocate(mine.len());
                segment.put_pointer_list(at + 3, list, mine.len());
                for (index, &span) in mine.iter().enumerate() {
                    segment.put_bytes(list + index, span);
                }
            }
        }
    }
}

fn write_cell(segment: &mut Segment<'_>, at: usize, cell: &PendingCell) {
    let image = match cell.image {
        Image::Before => 0,
        Image::After => 1u64,
    };
    segment.put(at, u64::from(cell.row) | u64::from(cell.column) << 32 | image << 48);
    segment.put(at + 1, u64::from(u16::from(cell.state)));
    segment.put_bytes(at + 2, cell.payload);
}
