//! The batch that is being made: finished transactions, and behind them the events of the one that is open.
//!
//! Invariant: the events from `open_from` on belong to the open transaction and to no part yet; every other event
//! belongs to exactly one part. An event is moved to the next batch at most once: only when finished transactions
//! leave before the open one does.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::batch::{PartEnd, RowEvent, SourceBatch, TransactionPart};
use crate::engine::interest::InterestSet;
use crate::engine::table::TableVersion;
use crate::position::Position;

/// What an event says of itself; the rest is known here.
#[derive(Debug, Clone, Copy)]
pub struct NewEvent {
    /// The body, in its chunk.
    pub start: u32,
    pub end: u32,
    pub type_code: u8,
    pub table: u32,
    pub offset: u64,
    pub index: u32,
}

#[derive(Debug, Default)]
pub struct Assembly {
    chunks: Vec<Bytes>,
    tables: Vec<Arc<TableVersion>>,
    events: Vec<RowEvent>,
    transactions: Vec<TransactionPart>,
    open_from: usize,
    /// Of all its events, and of those that belong to a part.
    bytes: usize,
    bytes_in_parts: usize,
    /// Another number whenever indices of tables begin anew.
    generation: u64,
}

/// What leaves with a batch besides what the assembly holds.
pub struct Frame {
    pub number: u64,
    pub tail: Arc<Position>,
    pub interest: Arc<InterestSet>,
    pub received_us: i64,
    pub source_time_us: i64,
}

impl Assembly {
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn has_parts(&self) -> bool {
        !self.transactions.is_empty()
    }

    pub fn open_events(&self) -> &[RowEvent] {
        self.events.get(self.open_from..).unwrap_or_default()
    }

    /// Bytes of the events that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the open transaction's events that no part holds yet.
    pub fn open_bytes(&self) -> usize {
        self.bytes.saturating_sub(self.bytes_in_parts)
    }

    pub fn chunk(&self, index: u32) -> Option<&Bytes> {
        self.chunks.get(index as usize)
    }

    pub fn table(&self, index: u32) -> Option<&Arc<TableVersion>> {
        self.tables.get(index as usize)
    }

    /// The index of a table in this batch; a new one each time, unless it was the last: who asks keeps it with
    /// [`generation`](Self::generation), and a search would cost every transaction all the tables of its batch.
    pub fn add_table(&mut self, version: &Arc<TableVersion>) -> u32 {
        if self.tables.last().is_none_or(|last| !Arc::ptr_eq(last, version)) {
            self.tables.push(version.clone());
        }
        index_of_last(self.tables.len())
    }

    /// Adds an event of the open transaction. True where its chunk was not pinned by the event before.
    pub fn push(&mut self, chunk: &Bytes, event: NewEvent) -> bool {
        let is_same =
            self.chunks.last().is_some_and(|last| last.as_ptr() == chunk.as_ptr() && last.len() == chunk.len());
        if !is_same {
            self.chunks.push(chunk.clone());
        }
        let pins = !is_same || self.events.len() == self.open_from;
        self.bytes += event.end.saturating_sub(event.start) as usize;
        self.events.push(RowEvent {
            chunk: index_of_last(self.chunks.len()),
            start: event.start,
            end: event.end,
            type_code: event.type_code,
            transaction: u32::try_from(self.transactions.len()).unwrap_or(u32::MAX),
            table: event.table,
            offset: event.offset,
            index: event.index,
        });
        pins
    }

    /// Forgets the open transaction's events whose index is not below this.
    pub fn truncate_open(&mut self, index: u32) {
        let keep = self.open_events().partition_point(|event| event.index < index);
        self.events.truncate(self.open_from + keep);
        self.bytes = self.bytes_in_parts + self.open_events().iter().map(RowEvent::bytes).sum::<usize>();
        // Events name their chunks in ascending order, so what lies behind the last one's is pinned for nothing.
        self.chunks.truncate(self.events.last().map_or(0, |event| event.chunk as usize + 1));
    }

    /// A part that takes the open transaction's events with it.
    pub fn push_part(&mut self, part: impl FnOnce(std::ops::Range<u32>) -> TransactionPart) {
        let range =
            u32::try_from(self.open_from).unwrap_or(u32::MAX)..u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        self.transactions.push(part(range));
        self.open_from = self.events.len();
        self.bytes_in_parts = self.bytes;
    }

    /// Everything finished, as a batch. The open transaction's events stay.
    pub fn take(&mut self, frame: Frame) -> SourceBatch {
        let Frame { number, tail, interest, received_us, source_time_us } = frame;
        let mut batch = SourceBatch {
            number,
            chunks: Vec::new(),
            tables: Vec::new(),
            events: Vec::new(),
            transactions: Vec::new(),
            tail,
            interest,
            received_us,
            source_time_us,
        };
        if self.transactions.is_empty() {
            return batch;
        }
        // As much room as this batch took, and some more: batches that follow each other are alike, and lists that grow
        // by doubling are copied again and again.
        let fresh = Self {
            events: Vec::with_capacity(room_like(self.events.len())),
            transactions: Vec::with_capacity(room_like(self.transactions.len())),
            generation: self.generation + 1,
            ..Self::default()
        };
        let left = std::mem::replace(self, fresh);
        self.carry(&left);
        batch.chunks = left.chunks;
        batch.tables = left.tables;
        batch.events = left.events;
        batch.events.truncate(left.open_from);
        batch.transactions = left.transactions;
        batch
    }

    fn carry(&mut self, left: &Self) {
        let mut indices = Indices::new(left.chunks.len(), left.tables.len());
        for event in left.open_events() {
            let moved = indices.carry(event, &left.chunks, &left.tables, &mut self.chunks, &mut self.tables);
            if let Some(event) = moved {
                self.bytes += event.bytes();
                self.events.push(RowEvent { transaction: 0, ..event });
            }
        }
    }
}

/// Entries that room is kept for: what a chunk of small events holds.
const ROOM_MAX: usize = 8 << 10;

fn room_like(count: usize) -> usize {
    (count + count / 4).min(ROOM_MAX)
}

/// Where the chunks and tables of one batch lie in another.
struct Indices {
    chunks: Vec<u32>,
    tables: Vec<u32>,
}

impl Indices {
    const ABSENT: u32 = u32::MAX;

    fn new(chunks: usize, tables: usize) -> Self {
        Self { chunks: vec![Self::ABSENT; chunks], tables: vec![Self::ABSENT; tables] }
    }

    /// The event as it is in the other batch, which gets what it needs.
    fn carry(
        &mut self,
        event: &RowEvent,
        chunks: &[Bytes],
        tables: &[Arc<TableVersion>],
        to_chunks: &mut Vec<Bytes>,
        to_tables: &mut Vec<Arc<TableVersion>>,
    ) -> Option<RowEvent> {
        let chunk = move_to(self.chunks.get_mut(event.chunk as usize)?, chunks.get(event.chunk as usize)?, to_chunks);
        let table = move_to(self.tables.get_mut(event.table as usize)?, tables.get(event.table as usize)?, to_tables);
        Some(RowEvent { chunk, table, ..*event })
    }
}

fn move_to<T: Clone>(index: &mut u32, item: &T, to: &mut Vec<T>) -> u32 {
    if *index == Indices::ABSENT {
        to.push(item.clone());
        *index = index_of_last(to.len());
    }
    *index
}

/// A batch that ends with a provisional part, as several: the events of that part by about `bytes_max` each. Their
/// numbers are for the caller to give.
pub fn split(batch: SourceBatch, bytes_max: usize) -> Vec<SourceBatch> {
    let size = |events: &[RowEvent]| events.iter().map(RowEvent::bytes).sum::<usize>();
    let Some(last) = batch.transactions.last().filter(|part| part.end == PartEnd::Open).cloned() else {
        return vec![batch];
    };
    if size(&batch.events) <= bytes_max {
        return vec![batch];
    }
    let SourceBatch { number, chunks, tables, events, mut transactions, tail, interest, received_us, source_time_us } =
        batch;
    let mut batches: Vec<SourceBatch> = Vec::new();
    let mut rest = events.as_slice();
    // What is finished leaves with the first piece.
    let finished = (last.events.start as usize).min(rest.len());
    let mut begin = last.begin;
    while !rest.is_empty() || batches.is_empty() {
        let already = if batches.is_empty() { finished } else { 0 };
        let mut bytes = size(rest.get(..already).unwrap_or_default());
        let behind = rest.get(already..).unwrap_or_default();
        let fits = behind.iter().take_while(|event| {
            let fits = bytes < bytes_max;
            bytes += event.bytes();
            fits
        });
        // At least one, also where what is finished has taken all the room.
        let count = already + fits.count().max(behind.len().min(1));
        let (mine, others) = rest.split_at(count);
        rest = others;
        let mut piece = SourceBatch {
            number,
            chunks: Vec::new(),
            tables: Vec::new(),
            events: Vec::with_capacity(mine.len()),
            transactions: std::mem::take(&mut transactions),
            tail: tail.clone(),
            interest: interest.clone(),
            received_us,
            source_time_us,
        };
        if batches.is_empty() {
            piece.transactions.pop();
        }
        let of_part = u32::try_from(piece.transactions.len()).unwrap_or(u32::MAX);
        let mut indices = Indices::new(chunks.len(), tables.len());
        for event in mine {
            let moved = indices.carry(event, &chunks, &tables, &mut piece.chunks, &mut piece.tables);
            if let Some(event) = moved {
                piece.events.push(RowEvent { transaction: event.transaction.min(of_part), ..event });
            }
        }
        let range = u32::try_from(already).unwrap_or(u32::MAX)..u32::try_from(mine.len()).unwrap_or(u32::MAX);
        // What is to be taken back comes before the rows.
        let truncate_to = last.truncate_to.filter(|_| batches.is_empty());
        piece.transactions.push(TransactionPart { begin, events: range, truncate_to, ddl: None, ..last.clone() });
        begin = false;
        batches.push(piece);
    }
    // A statement stands behind the rows of its part.
    if let Some(part) = batches.last_mut().and_then(|batch| batch.transactions.last_mut()) {
        part.ddl = last.ddl;
    }
    batches
}

fn index_of_last(count: usize) -> u32 {
    u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX)
}
