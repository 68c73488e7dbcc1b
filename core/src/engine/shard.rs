//! One worker core's part of the decoding: the rows of the tables that hash to it, each event encoded once per
//! projection that any view wants.
//!
//! A shard answers every batch with one output, also an empty one, so that outputs can be merged by number. It keeps
//! nothing of a batch but the count of rows of each table of the open transaction, from which row ids are made.

use std::sync::Arc;

use millstream_codec::mysql::rows::RowsEvent;
use millstream_codec::wire::encode::{EncodedRows, RowsEncoder};

use crate::engine::batch::{PartEnd, RowEvent, Sequence, SourceBatch};
use crate::engine::interest::TableInterest;
use crate::engine::shared::lock;
use crate::engine::slab::{Slab, SlabPool};
use crate::engine::table::TableVersion;
use crate::id_map::IdMap;
use crate::limits::{PIECE_BYTES_MAX, TABLE_PLANS_MAX};
use crate::tables::Tables;

/// The rows of one event (or a part of a large one) in one projection.
#[derive(Debug)]
pub struct Piece {
    /// Index in `SourceBatch::events`.
    pub event: u32,
    pub plan: Arc<TablePlan>,
    /// Index in `plan.interest.projections`.
    pub projection: usize,
    /// Ordinal of the first row among the rows of its table in its transaction.
    pub first_row: u32,
    /// Its blob is a range of `ShardOutput::slab`.
    pub rows: EncodedRows,
}

/// A table version with what the views of one interest want of it.
#[derive(Debug)]
pub struct TablePlan {
    pub interest: TableInterest,
    /// One for each projection.
    pub versions: Vec<Arc<TableVersion>>,
}

/// An event that could not be decoded: its table is quarantined from here on.
#[derive(Debug, Clone)]
pub struct DecodeFailure {
    pub table: Arc<TableVersion>,
    pub sequence: Sequence,
    pub offset: u64,
    pub reason: String,
}

/// What a shard made of one batch.
#[derive(Debug)]
pub struct ShardOutput {
    pub batch: Arc<SourceBatch>,
    pub slab: Slab,
    /// In the order of the binlog.
    pub pieces: Vec<Piece>,
    pub failures: Vec<DecodeFailure>,
    pub rows: u64,
}

/// Events of one table one after the other, each with as many rows.
#[derive(Debug, Clone, Copy)]
struct CountedRun {
    table: u64,
    /// `RowEvent::index` of the first.
    first: u32,
    events: u32,
    rows_each: u32,
}

pub struct Shard {
    index: u64,
    count: u64,
    tables: Arc<std::sync::Mutex<Tables>>,
    encoder: RowsEncoder,
    /// Sequence of the transaction that `row_counts` is of.
    sequence: Sequence,
    row_counts: IdMap<u64, u32>,
    /// How `row_counts` came to be, for transactions in parts: ROLLBACK TO SAVEPOINT takes events back.
    counted: Vec<CountedRun>,
    plans: IdMap<u32, Arc<TablePlan>>,
    plans_version: Option<u64>,
    /// Table versions (by id) whose rows could not be decoded.
    quarantined: Vec<u32>,
    slabs: SlabPool,
}

impl Shard {
    /// `index` of `count` shards; a table belongs to the shard `hash % count`.
    pub fn new(index: u16, count: u16, tables: Arc<std::sync::Mutex<Tables>>) -> Self {
        Shard {
            index: index.into(),
            count: count.max(1).into(),
            tables,
            encoder: RowsEncoder::default(),
            sequence: 0,
            row_counts: IdMap::default(),
            counted: Vec::new(),
            plans: IdMap::default(),
            plans_version: None,
            quarantined: Vec::new(),
            slabs: SlabPool::default(),
        }
    }

    pub fn encode(&mut self, batch: Arc<SourceBatch>) -> ShardOutput {
        if self.plans_version != Some(batch.interest.version) {
            self.plans.clear();
            self.plans_version = Some(batch.interest.version);
        }
        let mut output = ShardOutput {
            slab: self.slabs.take(),
            pieces: Vec::new(),
            failures: Vec::new(),
            rows: 0,
            batch: batch.clone(),
        };
        for transaction in &batch.transactions {
            if self.sequence != transaction.sequence || transaction.begin {
                self.forget_counts();
                self.sequence = transaction.sequence;
            }
            if let Some(first) = transaction.truncate_to {
                self.take_back(first);
            }
            for index in transaction.events.clone() {
                let Some(event) = batch.events.get(index as usize) else { continue };
                let Some(table) = batch.tables.get(event.table as usize) else { continue };
                if table.hash % self.count == self.index {
                    self.encode_event(&batch, index, event, table, &mut output);
                }
            }
            if transaction.end != PartEnd::Open {
                self.forget_counts();
            }
        }
        output
    }

    fn encode_event(
        &mut self,
        batch: &SourceBatch,
        index: u32,
        event: &RowEvent,
        table: &Arc<TableVersion>,
        output: &mut ShardOutput,
    ) {
        if self.quarantined.contains(&table.id) {
            return;
        }
        let plan = self.plan(batch, table);
        let counted = self.row_counts.get(&table.hash).copied().unwrap_or(0);
        let pieces_before = output.pieces.len();
        let slab_before = output.slab.len();
        let mut rows_of_event = 0;
        for (projection, version) in plan.versions.iter().enumerate() {
            let body = batch
                .chunks
                .get(event.chunk as usize)
                .and_then(|chunk| chunk.get(event.start as usize..event.end as usize))
                .unwrap_or_default();
            let (pieces, plan) = (&mut output.pieces, &plan);
            let encoded = RowsEvent::parse(event.type_code, body).map_err(|error| error.to_string()).and_then(|rows| {
                self.encoder
                    .encode(&version.program, &rows, output.slab.buffer(), PIECE_BYTES_MAX, |rows| {
                        let first_row = counted.wrapping_add(rows.first_row_in_event);
                        pieces.push(Piece { event: index, plan: plan.clone(), projection, first_row, rows });
                    })
                    .map_err(|error| error.to_string())
            });
            match encoded {
                Ok(count) => rows_of_event = count,
                Err(reason) => {
                    output.pieces.truncate(pieces_before);
                    output.slab.buffer().truncate(slab_before);
                    self.quarantined.push(table.id);
                    let sequence = self.sequence;
                    output.failures.push(DecodeFailure {
                        table: table.clone(),
                        sequence,
                        offset: event.offset,
                        reason,
                    });
                    return;
                }
            }
        }
        output.rows += u64::from(rows_of_event);
        self.count(table.hash, event.index, rows_of_event);
    }

    fn count(&mut self, table: u64, event: u32, rows: u32) {
        let counted = self.row_counts.entry(table).or_default();
        *counted = counted.wrapping_add(rows);
        match self.counted.last_mut() {
            Some(run) if run.table == table && run.rows_each == rows && run.first + run.events == event => {
                run.events += 1
            }
            _ => self.counted.push(CountedRun { table, first: event, events: 1, rows_each: rows }),
        }
    }

    /// The events from this one on never were.
    fn take_back(&mut self, first: u32) {
        while let Some(run) = self.counted.last_mut()
            && run.first + run.events > first
        {
            let taken = (run.first + run.events - first.max(run.first)).min(run.events);
            if let Some(counted) = self.row_counts.get_mut(&run.table) {
                *counted = counted.wrapping_sub(run.rows_each.wrapping_mul(taken));
            }
            run.events -= taken;
            if run.events == 0 {
                self.counted.pop();
            }
        }
    }

    fn forget_counts(&mut self) {
        self.row_counts.clear();
        self.counted.clear();
    }

    /// The plan of a table under the batch's interest; made once for each pair.
    fn plan(&mut self, batch: &SourceBatch, table: &Arc<TableVersion>) -> Arc<TablePlan> {
        if let Some(plan) = self.plans.get(&table.id) {
            return plan.clone();
        }
        if self.plans.len() >= TABLE_PLANS_MAX {
            self.plans.clear();
        }
        let interest = batch.interest.table(table);
        let mut tables = lock(&self.tables);
        let versions = interest.projections.iter().map(|projection| tables.projected(table, projection)).collect();
        let plan = Arc::new(TablePlan { interest, versions });
        self.plans.insert(table.id, plan.clone());
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_taken_back_are_not_counted() {
        let tables = Tables::in_memory("main");
        let mut shard = Shard::new(0, 1, Arc::new(std::sync::Mutex::new(tables)));
        let (a, b) = (1, 2);
        for (table, event, rows) in [(a, 0, 1), (a, 1, 1), (a, 2, 1), (b, 3, 5), (a, 4, 2), (a, 5, 2)] {
            shard.count(table, event, rows);
        }
        let counts = |shard: &Shard| (shard.row_counts.get(&a).copied(), shard.row_counts.get(&b).copied());
        assert_eq!(counts(&shard), (Some(7), Some(5)));
        shard.take_back(5);
        assert_eq!(counts(&shard), (Some(5), Some(5)));
        shard.take_back(1);
        assert_eq!(counts(&shard), (Some(1), Some(0)));
        shard.count(a, 6, 1);
        shard.take_back(6);
        assert_eq!(counts(&shard), (Some(1), Some(0)));
    }
}
