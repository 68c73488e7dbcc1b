//! The batch that is being made: finished transactions, and behind them the events of the one that is open.
//!
//! Invariant: the events from `open_from` on belong to the open transaction and to no part yet; every other event
//! belongs to exactly one part. An event is moved to the next batch at most once: only when finished transactions
//! leave before the open one does.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::batch::{RowEvent, SourceBatch, TransactionPart};
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

    pub fn chunk(&self, index: u32) -> Option<&Bytes> {
        self.chunks.get(index as usize)
    }

    pub fn table(&self, index: u32) -> Option<&Arc<TableVersion>> {
        self.tables.get(index as usize)
    }

    /// The index of a table in this batch.
    pub fn add_table(&mut self, version: &Arc<TableVersion>) -> u32 {
        let known = self.tables.iter().rposition(|known| Arc::ptr_eq(known, version));
        let index = known.unwrap_or_else(|| {
            self.tables.push(version.clone());
            self.tables.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Adds an event of the open transaction. True where its chunk was not pinned by the event before.
    pub fn push(&mut self, chunk: &Bytes, event: NewEvent) -> bool {
        let is_same =
            self.chunks.last().is_some_and(|last| last.as_ptr() == chunk.as_ptr() && last.len() == chunk.len());
        if !is_same {
            self.chunks.push(chunk.clone());
        }
        let pins = !is_same || self.events.len() == self.open_from;
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
        // Events name their chunks in ascending order, so what lies behind the last one's is pinned for nothing.
        self.chunks.truncate(self.events.last().map_or(0, |event| event.chunk as usize + 1));
    }

    /// A part that takes the open transaction's events with it.
    pub fn push_part(&mut self, part: impl FnOnce(std::ops::Range<u32>) -> TransactionPart) {
        let range =
            u32::try_from(self.open_from).unwrap_or(u32::MAX)..u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        self.transactions.push(part(range));
        self.open_from = self.events.len();
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
        let left = std::mem::replace(self, Self { generation: self.generation + 1, ..Self::default() });
        self.carry(&left);
        batch.chunks = left.chunks;
        batch.tables = left.tables;
        batch.events = left.events;
        batch.events.truncate(left.open_from);
        batch.transactions = left.transactions;
        batch
    }

    fn carry(&mut self, left: &Self) {
        const ABSENT: u32 = u32::MAX;
        let mut chunks = vec![ABSENT; left.chunks.len()];
        let mut tables = vec![ABSENT; left.tables.len()];
        for event in left.open_events() {
            let (Some(chunk), Some(table)) =
                (chunks.get_mut(event.chunk as usize), tables.get_mut(event.table as usize))
            else {
                continue;
            };
            if *chunk == ABSENT
                && let Some(bytes) = left.chunk(event.chunk)
            {
                self.chunks.push(bytes.clone());
                *chunk = index_of_last(self.chunks.len());
            }
            if *table == ABSENT
                && let Some(version) = left.table(event.table)
            {
                self.tables.push(version.clone());
                *table = index_of_last(self.tables.len());
            }
            self.events.push(RowEvent { chunk: *chunk, table: *table, transaction: 0, ..*event });
        }
    }
}

fn index_of_last(count: usize) -> u32 {
    u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX)
}
