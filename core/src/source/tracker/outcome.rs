//! How groups end: committed, rolled back, prepared, or not at all.

use std::sync::Arc;

use millstream_codec::mysql::event::XaPrepare;

use super::dispatch::Current;
use super::group::Shape;
use super::stream::Stream;
use super::{Mode, Notice, Tracker, TrackerOutput};
use crate::engine::batch::{Ddl, PartEnd, RowEvent, TransactionPart};
use crate::limits::{BATCH_EVENTS_MAX, XA_KEPT_BYTES_MAX};
use crate::position::{FilePosition, OpenXa};
use crate::source::error::{Finding, SourceError};
use crate::source::xa::KeptRows;

impl Tracker {
    /// The open group has committed. Without one (a reader's first event may be an end) only the position moves.
    pub(super) fn commit(&mut self, stream: &mut Stream, current: &Current<'_>) -> Result<(), SourceError> {
        self.end(stream, current, None, None)
    }

    /// Rolled back: nothing of it is delivered, but it has been executed.
    pub(super) fn roll_back(&mut self, stream: &mut Stream, current: &Current<'_>) -> Result<(), SourceError> {
        if let Some(group) = &mut self.group {
            self.assembly.truncate_open(0);
            if group.handed_out {
                let place = group.start.clone();
                self.assembly.push_part(|events| group.part(PartEnd::Abort, place, events));
                group.handed_out = false;
            }
        }
        self.end(stream, current, None, None)
    }

    /// A group that is one statement (or, without a group, this statement alone) has ended with it.
    pub(super) fn settle_single(
        &mut self,
        stream: &mut Stream,
        current: &Current<'_>,
        ddl: Option<Arc<Ddl>>,
    ) -> Result<(), SourceError> {
        if self.group.is_none() {
            self.begin(stream, current, Shape::Single, None);
        }
        if self.group.as_ref().is_some_and(|group| matches!(group.shape, Shape::Transaction | Shape::Xa(_))) {
            // Inside a transaction. DDL there (CREATE TABLE ... SELECT) comes before the rows that follow it.
            if let (Some(ddl), Some(group)) = (ddl, &mut self.group) {
                let place = group.start.clone();
                let part = |events| TransactionPart { ddl: Some(ddl), ..group.part(PartEnd::Open, place, events) };
                self.assembly.push_part(part);
                group.handed_out = true;
                group.in_parts = group.events;
                group.held_bytes = 0;
            }
            return Ok(());
        }
        self.end(stream, current, ddl, None)
    }

    /// The open group is behind us: its part is made, the position moves.
    fn end(
        &mut self,
        stream: &mut Stream,
        current: &Current<'_>,
        ddl: Option<Arc<Ddl>>,
        open_xa: Option<Arc<[OpenXa]>>,
    ) -> Result<(), SourceError> {
        if self.assembly.open_bytes() > self.batch_bytes_max() {
            // Before the position moves: it is that of what is complete in the batches.
            self.hand_out()?;
        }
        let position = FilePosition { file: stream.place.file.clone(), offset: current.span.end };
        self.position.stand_at(&position);
        self.changed = true;
        let Some(mut group) = self.group.take() else { return Ok(()) };
        if group.time_precision_us != 1 && current.header.timestamp != 0 {
            group.commit_time_us = i64::from(current.header.timestamp) * 1_000_000;
        }
        if let Some(gtid) = group.gtid.as_ref().filter(|_| self.counts_gtids) {
            self.position.gtids.add(gtid).map_err(|error| SourceError::BadPosition {
                position: position.to_string(),
                reason: error.to_string(),
            })?;
        }
        if let Some(open_xa) = &open_xa {
            self.position.open_xa = open_xa.clone();
        }
        self.assembly.push_part(|events| TransactionPart {
            ddl,
            open_xa,
            ..group.into_part(PartEnd::Commit, position, events)
        });
        self.next_sequence += 1;
        self.stats.transactions += 1;
        stream.maps.bound();
        self.look_for_repairs(stream);
        if self.assembly.bytes() > self.batch_bytes_max() {
            self.flush()?;
        }
        self.switch_interest()
    }

    /// XA_PREPARE: the rows wait for their decision, unless this is XA COMMIT ... ONE PHASE. False where they must be
    /// read again first.
    pub(super) fn xa_prepare(
        &mut self,
        stream: &mut Stream,
        current: &Current<'_>,
        prepare: &XaPrepare,
    ) -> Result<bool, SourceError> {
        let xid = prepare.xid.to_string();
        if !prepare.one_phase {
            self.prepare(stream, current, xid)?;
            return Ok(true);
        }
        if !self.take_reread(&xid)
            && let Some(group) = self.group.as_mut().filter(|group| group.gave_up)
        {
            // Too large to be held for a decision that might have come much later.
            group.gave_up = false;
            group.shape = Shape::Transaction;
            let FilePosition { file, offset } = group.start.clone();
            let gtid = group.gtid.map(|gtid| gtid.to_string()).unwrap_or_default();
            self.begin_reread(stream, OpenXa { xid, gtid, file, offset });
            return Ok(false);
        }
        self.commit(stream, current)?;
        Ok(true)
    }

    /// The open group's rows are put aside under this name.
    pub(super) fn prepare(
        &mut self,
        stream: &mut Stream,
        current: &Current<'_>,
        xid: String,
    ) -> Result<(), SourceError> {
        let Some(mut group) = self.group.take() else { return self.commit(stream, current) };
        let unwanted = std::mem::take(&mut group.unwanted);
        let events = self.assembly.open_events();
        let (chunk_of, table_of) = (|index| self.assembly.chunk(index), |index| self.assembly.table(index));
        let rows = (!group.gave_up).then(|| KeptRows::copy(events, chunk_of, table_of, unwanted)).flatten();
        self.assembly.truncate_open(0);
        let open = OpenXa {
            xid,
            gtid: group.gtid.map(|gtid| gtid.to_string()).unwrap_or_default(),
            file: group.start.file.clone(),
            offset: group.start.offset,
        };
        if self.mode == Mode::Files {
            self.xa_checksums.insert(open.xid.clone(), stream.checksum);
        }
        if self.xa.prepare(open, rows).is_err() {
            return Err(SourceError::Requirements(vec![Finding {
                problem: format!("{} XA transactions are prepared and undecided", self.xa.open().len()),
                mend: "XA RECOVER shows them: XA COMMIT or XA ROLLBACK each".into(),
            }]));
        }
        let open_xa = self.xa.open().clone();
        self.group = Some(group);
        self.end(stream, current, None, Some(open_xa))
    }

    /// XA ROLLBACK of a prepared transaction: nothing of it is ever delivered.
    pub(super) fn xa_roll_back(
        &mut self,
        stream: &mut Stream,
        current: &Current<'_>,
        xid: &str,
    ) -> Result<(), SourceError> {
        if self.group.as_ref().is_some_and(|group| group.shape == Shape::Xa(xid.to_owned())) {
            return self.roll_back(stream, current);
        }
        if self.group.is_none() {
            self.begin(stream, current, Shape::Single, None);
        }
        let open_xa = self.xa.decide(xid).map(|_| self.xa.open().clone());
        self.end(stream, current, None, open_xa)
    }

    /// XA COMMIT of a prepared transaction: its rows belong to this group. False where they must be read again first.
    pub(super) fn xa_commit(
        &mut self,
        stream: &mut Stream,
        current: &Current<'_>,
        xid: &str,
    ) -> Result<bool, SourceError> {
        if self.group.is_none() {
            self.begin(stream, current, Shape::Single, None);
        }
        let Some(open) = self.xa.find(xid).cloned() else {
            self.stats.xa_unresolved += 1;
            let position = FilePosition { file: stream.place.file.clone(), offset: current.span.start };
            self.notice(Notice::XaUnresolved { xid: xid.to_owned(), position });
            self.end(stream, current, None, None)?;
            return Ok(true);
        };
        let is_reread = self.take_reread(xid);
        if !is_reread {
            // Rows that nobody wanted at PREPARE were not kept; someone may want them now.
            let rows = self
                .xa
                .rows(xid)
                .filter(|rows| !rows.unwanted.iter().any(|(database, table)| self.interest.wants(database, table)));
            let Some(rows) = rows.cloned() else {
                self.begin_reread(stream, open);
                return Ok(false);
            };
            self.deliver_kept(&rows);
        }
        self.xa.decide(xid);
        let open_xa = Some(self.xa.open().clone());
        self.end(stream, current, None, open_xa)?;
        Ok(true)
    }

    fn deliver_kept(&mut self, rows: &KeptRows) {
        let slots: Vec<u32> = rows.tables.iter().map(|version| self.assembly.add_table(version)).collect();
        for event in &rows.events {
            let Some(&table) = slots.get(event.table as usize) else { continue };
            self.assembly.push(
                &rows.chunk,
                super::assembly::NewEvent {
                    start: event.start,
                    end: event.end,
                    type_code: event.type_code,
                    table,
                    offset: event.offset,
                    index: event.index,
                },
            );
        }
    }

    /// ROLLBACK TO SAVEPOINT: what came behind it is forgotten, by clients too where parts have left.
    pub(super) fn roll_back_to(&mut self, index: u32) {
        let Some(group) = &mut self.group else { return };
        self.assembly.truncate_open(index);
        if index < group.in_parts {
            group.in_parts = index;
            let place = group.start.clone();
            // A part of its own: what follows must not be forgotten with it.
            self.assembly.push_part(|events| TransactionPart {
                truncate_to: Some(index),
                ..group.part(PartEnd::Open, place, events)
            });
        }
    }

    /// Called between inputs: an open group that holds too much leaves in parts.
    pub(super) fn bound_open(&mut self) -> Result<(), SourceError> {
        let events = self.assembly.open_events().len();
        let batch_bytes_max = self.batch_bytes_max();
        let Some(group) = &mut self.group else { return Ok(()) };
        if matches!(group.shape, Shape::Xa(_)) {
            if group.held_bytes > XA_KEPT_BYTES_MAX {
                group.gave_up = true;
                group.held_bytes = 0;
                self.assembly.truncate_open(0);
            }
            return Ok(());
        }
        // What is provisional already goes on as it comes.
        let hold_bytes_max = match group.handed_out {
            true => batch_bytes_max,
            false => self.config.hold_bytes_max,
        };
        if events == 0 || (group.held_bytes <= hold_bytes_max && events < BATCH_EVENTS_MAX) {
            return Ok(());
        }
        self.hand_out()
    }

    /// The group's events leave as provisional parts.
    fn hand_out(&mut self) -> Result<(), SourceError> {
        let Some(group) = &mut self.group else { return Ok(()) };
        let place = group.start.clone();
        self.assembly.push_part(|events| group.part(PartEnd::Open, place, events));
        group.handed_out = true;
        group.in_parts = group.events;
        group.held_bytes = 0;
        self.flush()
    }

    /// The open group will never end: it has not committed, and counts no number.
    pub(super) fn abandon(&mut self, reason: &'static str) {
        if let Some(group) = &self.group {
            let position = group.start.clone();
            self.abort_open();
            self.outputs.push_back(TrackerOutput::Notice(Notice::Incomplete { position, reason }));
        }
    }

    /// Forgets the open group; clients that hold parts of it are told so.
    pub(super) fn abort_open(&mut self) {
        self.assembly.truncate_open(0);
        if let Some(group) = self.group.take().filter(|group| group.handed_out) {
            let place = group.start.clone();
            self.assembly.push_part(|events| group.part(PartEnd::Abort, place, events));
        }
    }

    /// The size that an event's entry in a batch takes besides its bytes.
    pub(super) const EVENT_ENTRY_BYTES: usize = size_of::<RowEvent>();
}
