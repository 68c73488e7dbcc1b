//! What all subscriptions with the same filter share: their transactions, encoded once, as a log of batches that are
//! ready to be sent as they are.
//!
//! Invariants: entries hold transactions in commit order; `tail` is the end of the last complete transaction that the
//! view has seen, whether it held anything for this filter or not; a transaction's mark is in the entry that holds
//! its commit.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use millstream_codec::chunks::SharedChunks;
use millstream_codec::mysql::gtid::{ExecutedGtids, Gtid};
use millstream_codec::wire::batch::{BatchBuilder, FragmentEnd, FragmentHead, RowsHead};
use millstream_codec::wire::layout::Layout;

use crate::engine::batch::{Ddl, PartEnd, Sequence, TransactionPart};
use crate::engine::gtid_text::GtidText;
use crate::engine::interest::ViewId;
use crate::engine::shard::{Piece, ShardOutput};
use crate::filter::Filter;
use crate::id_map::IdSet;
use crate::limits::BATCH_CHUNK_BYTES;
use crate::position::{FilePosition, OpenXa, Position};

/// The end of one delivered transaction: what an ack of it moves the cursor to.
#[derive(Debug, Clone)]
pub struct Mark {
    pub sequence: Sequence,
    pub position: FilePosition,
    pub gtid: Option<Gtid>,
    /// GTIDs of transactions before it, since the mark before, that held nothing for this view.
    pub skipped: ExecutedGtids,
    pub open_xa: Option<Arc<[OpenXa]>>,
}

impl Mark {
    pub fn advance(&self, position: &mut Position) {
        position.stand_at(&self.position);
        if position.gtids.merge(&self.skipped).is_err() {
            position.gtids = self.skipped.clone();
        }
        if let Some(gtid) = &self.gtid {
            add_gtid(&mut position.gtids, gtid);
        }
        if let Some(open_xa) = &self.open_xa {
            position.open_xa = open_xa.clone();
        }
    }
}

/// One message to clients.
#[derive(Debug)]
pub struct LogEntry {
    pub bytes: Bytes,
    pub marks: Arc<[Mark]>,
    /// Those that its rows need; a connection sends first what it has not sent yet.
    pub layouts: Vec<Arc<Layout>>,
    pub rows: u64,
    /// When the newest of its bytes was received, and when it was sealed: microseconds since the Unix epoch.
    pub received_us: i64,
    pub sealed_us: i64,
    /// The transaction that goes on behind it. The log may be joined there where there is none.
    pub open: Option<Sequence>,
}

/// A source's kind never changes within a position (`source::start` refuses that), so the fallback is never taken.
fn add_gtid(gtids: &mut ExecutedGtids, gtid: &Gtid) {
    if gtids.add(gtid).is_err() {
        *gtids = ExecutedGtids::None;
        let _ = gtids.add(gtid);
    }
}

pub struct View {
    pub id: ViewId,
    pub filter: Arc<Filter>,
    epoch: u64,
    /// `None` until the first batch that was routed with this view's filter.
    pub tail: Option<Arc<Position>>,
    pub tail_sequence: Sequence,
    builder: BatchBuilder,
    marks: Vec<Mark>,
    layouts: Vec<Arc<Layout>>,
    /// Their ids.
    layout_ids: IdSet<u32>,
    rows: u64,
    received_us: i64,
    /// A fragment is being built.
    fragment: bool,
    /// The part that is being built has left a fragment behind already.
    cut: bool,
    /// Parts of this transaction were handed out and its end was not.
    open: Option<Sequence>,
    skipped: ExecutedGtids,
    open_xa: Option<Arc<[OpenXa]>>,
    /// Why nothing more comes: a table that it wants is held. Its tail stays before that transaction.
    held: Option<Arc<str>>,
    log: VecDeque<Arc<LogEntry>>,
    first_index: u64,
    log_bytes: usize,
    gtid_text: GtidText,
    /// Of sets of GTIDs.
    text: String,
}

impl View {
    /// `chunks`: what all views of a core share.
    pub fn new(id: ViewId, filter: Arc<Filter>, epoch: u64, chunks: SharedChunks) -> Self {
        View {
            id,
            filter,
            epoch,
            tail: None,
            tail_sequence: 0,
            builder: BatchBuilder::sharing(BATCH_CHUNK_BYTES, chunks),
            marks: Vec::new(),
            layouts: Vec::new(),
            layout_ids: IdSet::default(),
            rows: 0,
            received_us: 0,
            fragment: false,
            cut: false,
            open: None,
            skipped: ExecutedGtids::None,
            open_xa: None,
            held: None,
            log: VecDeque::new(),
            first_index: 0,
            log_bytes: 0,
            gtid_text: GtidText::default(),
            text: String::new(),
        }
    }

    /// The view sees every transaction behind this position.
    pub fn start(&mut self, tail: Arc<Position>, sequence: Sequence) {
        self.tail = Some(tail);
        self.tail_sequence = sequence;
    }

    /// It takes what comes.
    pub fn is_started(&self) -> bool {
        self.tail.is_some() && self.held.is_none()
    }

    /// Nothing more comes: its readers end behind what is in the log.
    pub fn hold(&mut self, reason: &str, now_us: i64) {
        self.push_skipped();
        self.seal(now_us);
        self.held = Some(reason.into());
    }

    pub fn held(&self) -> Option<&Arc<str>> {
        self.held.as_ref()
    }

    fn open_fragment(&mut self, part: &TransactionPart) {
        if self.fragment {
            return;
        }
        // A reader that begins a transaction anew has not seen how far the one before had come.
        if part.begin
            && !self.cut
            && let Some(open) = self.open.take()
        {
            self.push_abort(open);
        }
        self.fragment = true;
        self.builder.begin_fragment(&FragmentHead {
            sequence: part.sequence,
            commit_time_us: part.commit_time_us,
            time_precision_us: part.time_precision_us,
            begin: self.open != Some(part.sequence),
            start: (&part.start.file, part.start.offset),
            gtid: self.gtid_text.of(part.gtid.as_ref()),
        });
    }

    fn push_abort(&mut self, sequence: Sequence) {
        self.builder.begin_fragment(&FragmentHead {
            sequence,
            commit_time_us: 0,
            time_precision_us: 1,
            begin: false,
            start: ("", 0),
            gtid: "",
        });
        self.builder.end_fragment(&FragmentEnd {
            commit: false,
            abort: true,
            position: ("", 0),
            gtid_delta: "",
            truncate_to: None,
        });
    }

    /// The first word of a view that takes over from another: the reader is to forget what it has of this transaction,
    /// which comes again from its beginning.
    pub fn begin_with_abort(&mut self, sequence: Sequence, now_us: i64) {
        self.push_abort(sequence);
        self.seal(now_us);
    }

    pub fn push_rows(&mut self, part: &TransactionPart, piece: &Piece, output: &ShardOutput, received_us: i64) {
        let Some(event) = output.batch.events.get(piece.event as usize) else { return };
        let Some(version) = output.version(piece) else { return };
        self.open_fragment(part);
        let head =
            RowsHead { layout: version.id, first_row: piece.first_row, event_offset: event.offset, event: event.index };
        self.builder.push_rows(&head, &piece.rows, &output.slab);
        let is_last = self.layouts.last().is_some_and(|layout| layout.id == version.id);
        if !is_last && self.layout_ids.insert(version.id) {
            self.layouts.push(version.layout.clone());
        }
        self.rows += u64::from(piece.rows.count);
        self.received_us = received_us;
    }

    /// What was built of a part goes into the log, and the part goes on in another fragment: messages stay small
    /// however large their transaction is.
    pub fn cut(&mut self, part: &TransactionPart, now_us: i64) {
        if !self.fragment {
            return;
        }
        self.fragment = false;
        self.cut = true;
        self.open = Some(part.sequence);
        self.builder.end_fragment(&FragmentEnd {
            commit: false,
            abort: false,
            position: ("", 0),
            gtid_delta: "",
            truncate_to: None,
        });
        self.seal(now_us);
    }

    pub fn push_ddl(&mut self, part: &TransactionPart, ddl: &Ddl, received_us: i64) {
        self.open_fragment(part);
        self.builder.push_ddl(&ddl.database, &ddl.statement, ddl.kind, &ddl.table_names());
        self.received_us = received_us;
    }

    /// Every part of every transaction ends here, also one that held nothing for this view.
    pub fn end_part(&mut self, part: &TransactionPart) {
        self.cut = false;
        let concerns = self.open == Some(part.sequence);
        if concerns && (part.truncate_to.is_some() || part.end != PartEnd::Open) {
            self.open_fragment(part);
        }
        if let Some(open_xa) = &part.open_xa {
            self.open_xa = Some(open_xa.clone());
        }
        if !self.fragment {
            if part.end == PartEnd::Commit
                && let Some(gtid) = &part.gtid
            {
                add_gtid(&mut self.skipped, gtid);
            }
            return;
        }
        self.fragment = false;
        let commit = part.end == PartEnd::Commit;
        self.text.clear();
        if commit {
            let mark = Mark {
                sequence: part.sequence,
                position: part.position.clone(),
                gtid: part.gtid,
                skipped: std::mem::replace(&mut self.skipped, ExecutedGtids::None),
                open_xa: self.open_xa.take(),
            };
            if !mark.skipped.is_empty() {
                let mut delta = mark.skipped.clone();
                if let Some(gtid) = &part.gtid {
                    add_gtid(&mut delta, gtid);
                }
                // Writing into a String cannot fail.
                let _ = write!(self.text, "{delta}");
            }
            self.marks.push(mark);
        }
        self.builder.end_fragment(&FragmentEnd {
            commit,
            abort: part.end == PartEnd::Abort,
            position: (&part.position.file, part.position.offset),
            gtid_delta: &self.text,
            truncate_to: part.truncate_to,
        });
        self.open = (part.end == PartEnd::Open).then_some(part.sequence);
    }

    pub fn end_batch(&mut self, tail: &Arc<Position>, sequence: Sequence) {
        self.tail = Some(tail.clone());
        self.tail_sequence = sequence;
    }

    /// A transaction without changes that brings clients to the tail: for those that leave this view, whose next one
    /// does not know what was skipped here.
    pub fn push_skipped(&mut self) {
        let Some(tail) = self.tail.clone().filter(|_| !self.skipped.is_empty() && self.open.is_none()) else { return };
        let position = tail.file_position();
        let part = TransactionPart {
            sequence: self.tail_sequence,
            begin: true,
            end: PartEnd::Commit,
            gtid: None,
            start: position.clone(),
            position,
            commit_time_us: 0,
            time_precision_us: 1,
            events: 0..0,
            ddl: None,
            truncate_to: None,
            open_xa: None,
            held_tables: Vec::new(),
        };
        self.open_fragment(&part);
        self.end_part(&part);
    }

    pub fn building_bytes(&self) -> usize {
        if self.builder.is_empty() { 0 } else { self.builder.len_bytes() }
    }

    /// Makes what was built an entry of the log; false where there is nothing.
    pub fn seal(&mut self, now_us: i64) -> bool {
        if self.builder.is_empty() {
            return false;
        }
        debug_assert!(!self.fragment, "sealed between parts only");
        let entry = LogEntry {
            bytes: self.builder.seal(self.epoch),
            marks: self.marks.drain(..).collect(),
            layouts: self.take_layouts(),
            rows: std::mem::take(&mut self.rows),
            received_us: self.received_us,
            sealed_us: now_us,
            open: self.open,
        };
        self.log_bytes += entry.bytes.len();
        self.log.push_back(Arc::new(entry));
        true
    }

    fn take_layouts(&mut self) -> Vec<Arc<Layout>> {
        self.layout_ids.clear();
        std::mem::take(&mut self.layouts)
    }

    /// No transaction is open at the end of the log and nothing is being built: it may be joined there.
    pub fn may_join(&self) -> bool {
        self.is_started() && self.open.is_none() && self.builder.is_empty()
    }

    /// The same, for a log that is sealed after each batch.
    pub fn may_join_after_seal(&self) -> bool {
        self.is_started() && self.open.is_none()
    }

    pub fn log_bytes(&self) -> usize {
        self.log_bytes
    }

    pub fn first_index(&self) -> u64 {
        self.first_index
    }

    pub fn next_index(&self) -> u64 {
        self.first_index + self.log.len() as u64
    }

    pub fn entry(&self, index: u64) -> Option<&Arc<LogEntry>> {
        let offset = usize::try_from(index.checked_sub(self.first_index)?).ok()?;
        self.log.get(offset)
    }

    /// Forgets the entries before `index`.
    pub fn release_before(&mut self, index: u64) {
        while self.first_index < index && self.drop_first() {}
    }

    /// Forgets the oldest entry; false where there is none.
    pub fn drop_first(&mut self) -> bool {
        let Some(entry) = self.log.pop_front() else { return false };
        self.first_index += 1;
        self.log_bytes -= entry.bytes.len();
        true
    }
}
