//! One worker core's part of the decoding: the rows of the tables that hash to it, each event encoded once per
//! projection that any view wants.
//!
//! A shard answers every batch with one output, also an empty one, so that outputs can be merged by number. It keeps
//! nothing of a batch but the count of rows of each table of the open transaction, from which row ids are made.

use std::sync::Arc;

use millstream_codec::mysql::rows::RowsEvent;
use millstream_codec::wire::encode::{EncodedRows, RowsEncoder};

use crate::engine::batch::{PartEnd, RowEvent, Sequence, SourceBatch};
use crate::engine::interest::{TableInterest, ViewId};
use crate::engine::row_counts::RowCounts;
use crate::engine::shared::lock;
use crate::engine::slab::{Slab, SlabPool};
use crate::engine::table::TableVersion;
use crate::filter::Kinds;
use crate::id_map::IdMap;
use crate::limits::{PIECE_BYTES_MAX, TABLE_PLANS_MAX};
use crate::tables::Tables;

/// The rows of one event (or a part of a large one) in one projection.
#[derive(Debug)]
pub struct Piece {
    /// Index in `SourceBatch::events`.
    pub event: u32,
    /// Index in `ShardOutput::plans`.
    pub plan: u32,
    /// Index in the plan's projections.
    pub projection: u32,
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
    /// Those that `pieces` name.
    pub plans: Vec<Arc<TablePlan>>,
    /// In the order of the binlog.
    pub pieces: Vec<Piece>,
    pub failures: Vec<DecodeFailure>,
    pub rows: u64,
}

pub struct Shard {
    index: u64,
    count: u64,
    tables: Arc<std::sync::Mutex<Tables>>,
    encoder: RowsEncoder,
    /// Sequence of the transaction that `row_counts` is of.
    sequence: Sequence,
    row_counts: RowCounts,
    plans: IdMap<u32, Arc<TablePlan>>,
    plans_version: Option<u64>,
    /// Table versions (by id) whose rows could not be decoded.
    quarantined: Vec<u32>,
    slabs: SlabPool,
    /// For each table of the batch its index in the output's plans, or `UNPLANNED`.
    batch_plans: Vec<u32>,
    /// Pieces of the last batch: those that follow each other are alike.
    piece_count: usize,
}

const UNPLANNED: u32 = u32::MAX;
/// More places than that are not kept ready for pieces.
const PIECES_READY_MAX: usize = 8 << 10;

impl ShardOutput {
    /// Of a batch without rows.
    pub fn empty(batch: SourceBatch) -> Self {
        ShardOutput {
            batch: Arc::new(batch),
            slab: Slab::default(),
            plans: Vec::new(),
            pieces: Vec::new(),
            failures: Vec::new(),
            rows: 0,
        }
    }

    /// The table version that a piece's rows are of, as its projection has it.
    pub fn version(&self, piece: &Piece) -> Option<&Arc<TableVersion>> {
        self.plans.get(piece.plan as usize)?.versions.get(piece.projection as usize)
    }

    /// The views that want this piece.
    pub fn views<'a>(&'a self, piece: &'a Piece) -> impl Iterator<Item = ViewId> + 'a {
        let views = self.plans.get(piece.plan as usize).map_or(&[][..], |plan| &plan.interest.views);
        let wants = |(_, projection, kinds): &&(ViewId, usize, Kinds)| {
            *projection == piece.projection as usize && kinds.contains(piece.rows.op)
        };
        views.iter().filter(wants).map(|(view, ..)| *view)
    }
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
            row_counts: RowCounts::default(),
            plans: IdMap::default(),
            plans_version: None,
            quarantined: Vec::new(),
            slabs: SlabPool::default(),
            batch_plans: Vec::new(),
            piece_count: 0,
        }
    }

    pub fn encode(&mut self, batch: Arc<SourceBatch>) -> ShardOutput {
        if self.plans_version != Some(batch.interest.version) {
            self.plans.clear();
            self.plans_version = Some(batch.interest.version);
        }
        let mut output = ShardOutput {
            slab: self.slabs.take(),
            plans: Vec::new(),
            pieces: Vec::with_capacity(self.piece_count.min(PIECES_READY_MAX)),
            failures: Vec::new(),
            rows: 0,
            batch: batch.clone(),
        };
        self.batch_plans.clear();
        self.batch_plans.resize(batch.tables.len(), UNPLANNED);
        for transaction in &batch.transactions {
            if self.sequence != transaction.sequence || transaction.begin {
                self.row_counts.clear();
                self.sequence = transaction.sequence;
            }
            if let Some(first) = transaction.truncate_to {
                self.row_counts.take_back(first);
            }
            for index in transaction.events.clone() {
                let Some(event) = batch.events.get(index as usize) else { continue };
                let Some(table) = batch.tables.get(event.table as usize) else { continue };
                if table.hash % self.count == self.index {
                    self.encode_event(&batch, index, event, table, &mut output);
                }
            }
            if transaction.end != PartEnd::Open {
                self.row_counts.clear();
            }
        }
        self.piece_count = output.pieces.len();
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
        let plan_index = self.plan_index(batch, event.table, table, &mut output.plans);
        let Some(plan) = output.plans.get(plan_index as usize) else { return };
        let body = batch
            .chunks
            .get(event.chunk as usize)
            .and_then(|chunk| chunk.get(event.start as usize..event.end as usize))
            .unwrap_or_default();
        let counter = self.row_counts.table(table.hash);
        let counted = self.row_counts.rows(counter);
        let pieces_before = output.pieces.len();
        let slab_before = output.slab.len();
        let mut rows_of_event = 0;
        for (projection, version) in (0..).zip(&plan.versions) {
            let (pieces, slab) = (&mut output.pieces, output.slab.buffer());
            let encoded = RowsEvent::parse(event.type_code, body).map_err(|error| error.to_string()).and_then(|rows| {
                self.encoder
                    .encode(&version.program, &rows, slab, PIECE_BYTES_MAX, |rows| {
                        let first_row = counted.wrapping_add(rows.first_row_in_event);
                        pieces.push(Piece { event: index, plan: plan_index, projection, first_row, rows });
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
        self.row_counts.add(counter, event.index, rows_of_event);
    }

    /// Where in the output's plans the plan of this table is.
    #[inline]
    fn plan_index(
        &mut self,
        batch: &SourceBatch,
        index: u32,
        table: &Arc<TableVersion>,
        plans: &mut Vec<Arc<TablePlan>>,
    ) -> u32 {
        match self.batch_plans.get(index as usize) {
            Some(&known) if known != UNPLANNED => known,
            _ => {
                plans.push(self.plan(batch, table));
                let known = u32::try_from(plans.len() - 1).unwrap_or(UNPLANNED);
                if let Some(place) = self.batch_plans.get_mut(index as usize) {
                    *place = known;
                }
                known
            }
        }
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
