//! What the source core hands to the shards: whole transactions (or parts of large ones), with the bytes that
//! they lie in.
//!
//! One [`SourceBatch`] is made for each read of the socket and goes to every shard, also to those that own none of
//! its tables: its `number` is what the shards' outputs are merged by. It pins its chunks; no event has a
//! reference count of its own.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use millstream_codec::mysql::gtid::Gtid;

use crate::engine::interest::InterestSet;
use crate::engine::table::TableVersion;
use crate::position::{FilePosition, OpenXa, Position};

/// Transactions of one destination are numbered from 1 in commit order, anew with each epoch.
pub type Sequence = u64;

#[derive(Debug)]
pub struct SourceBatch {
    /// Ascending by one from 0; every shard answers each number once.
    pub number: u64,
    pub chunks: Vec<Bytes>,
    /// The table versions that `events` name by index.
    pub tables: Vec<Arc<TableVersion>>,
    /// In the order of the binlog.
    pub events: Vec<RowEvent>,
    /// In commit order; each names its events.
    pub transactions: Vec<TransactionPart>,
    /// Where the source stands behind this batch: end of the last complete transaction.
    pub tail: Arc<Position>,
    /// The filters that were in force when this batch was routed.
    pub interest: Arc<InterestSet>,
    /// When the newest of its bytes was received, microseconds since the Unix epoch.
    pub received_us: i64,
    /// The source's own clock at the newest event, for the lag; 0 where nothing was seen.
    pub source_time_us: i64,
}

/// One rows event: where its body lies, and what it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct RowEvent {
    pub chunk: u32,
    /// The event's body, without header and checksum.
    pub start: u32,
    pub end: u32,
    /// Event type, as in the header: tells v1, v2, partial, and the operation.
    pub type_code: u8,
    /// Index in `SourceBatch::transactions`.
    pub transaction: u32,
    /// Index in `SourceBatch::tables`.
    pub table: u32,
    /// Of the event in its file.
    pub offset: u64,
    /// Ordinal among the row events of its transaction, over all its parts.
    pub index: u32,
}

impl RowEvent {
    /// Of its body.
    pub fn bytes(&self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }
}

/// How far a part brings its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartEnd {
    /// More parts follow.
    Open,
    Commit,
    /// Rolled back after all: clients forget what they hold of it.
    Abort,
}

#[derive(Debug, Clone)]
pub struct TransactionPart {
    pub sequence: Sequence,
    pub begin: bool,
    pub end: PartEnd,
    pub gtid: Option<Gtid>,
    /// Where the transaction's first event begins.
    pub start: FilePosition,
    /// Behind its last event; meaningful with `PartEnd::Commit`.
    pub position: FilePosition,
    pub commit_time_us: i64,
    /// 1 or 1,000,000.
    pub time_precision_us: u32,
    pub events: Range<u32>,
    /// A DDL statement is a transaction of its own.
    pub ddl: Option<Arc<Ddl>>,
    /// The client is to forget the transaction's row events whose `index` is not below this.
    pub truncate_to: Option<u32>,
    /// Set where this transaction changed the XAs that are open.
    pub open_xa: Option<Arc<[OpenXa]>>,
    /// (database, table) of rows in it that cannot be read: who wants them stops before this transaction.
    pub held_tables: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ddl {
    pub database: String,
    pub statement: String,
    /// create_table, alter_table, drop_table, rename_table, truncate_table, other.
    pub kind: &'static str,
    /// (database, table) of those affected, as far as it is known.
    pub tables: Vec<(String, String)>,
}

impl Ddl {
    /// `db.table` of those affected.
    pub fn table_names(&self) -> Vec<String> {
        self.tables.iter().map(|(database, table)| format!("{database}.{table}")).collect()
    }
}
