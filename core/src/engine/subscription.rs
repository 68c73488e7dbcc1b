//! One client's cursor in a view: what it may be sent, what it has not acknowledged, and how far its durable
//! position may move.
//!
//! Invariants: `acked <= sent`; the cursor stands behind a complete transaction that the client acknowledged, or that
//! held nothing for it while nothing before it was outstanding; it never passes an undelivered transaction.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::bridge::SubscriptionStatus;
use crate::engine::batch::Sequence;
use crate::engine::interest::ViewId;
use crate::engine::view::{LogEntry, Mark, View};
use crate::filter::Filter;
use crate::id_map::IdSet;
use crate::position::{FilePosition, Position};

/// Where a subscription reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Waits for its live view to start, to begin at its tail.
    Joining,
    /// An own reader of the source fills its private view.
    CatchUp,
    Live,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Joining => "joining",
            Mode::CatchUp => "catch_up",
            Mode::Live => "live",
        }
    }
}

/// A place in the live view's log that a catch-up runs to, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    pub index: u64,
    pub boundary: Arc<Position>,
}

/// An entry that was sent and is not wholly acknowledged.
#[derive(Debug)]
struct Sent {
    marks: Arc<[Mark]>,
    /// How many of `marks` are acknowledged.
    acked: usize,
    sent_us: i64,
}

#[derive(Debug)]
pub struct Subscription {
    pub id: u64,
    /// `None`: ephemeral, gone with its connection.
    pub name: Option<Arc<str>>,
    pub connection: u64,
    pub filter: Arc<Filter>,
    pub live_view: ViewId,
    /// The view that it reads now: `live_view`, or a private one.
    pub view: ViewId,
    pub mode: Mode,
    pub pin: Option<Pin>,
    /// Index of the next entry in `view`'s log.
    pub next_index: u64,
    /// What the client may still be sent; one message may overdraw it.
    pub credit_bytes: i64,
    pub sent_layouts: IdSet<u32>,
    sent: VecDeque<Sent>,
    /// The transaction whose beginning was sent and whose end was not.
    sent_open: Option<Sequence>,
    unacked_transactions: u64,
    pub sent_sequence: Sequence,
    pub acked_sequence: Sequence,
    /// Behind everything that is acknowledged; set once the start is known.
    cursor: Option<Position>,
    cursor_sequence: Sequence,
    /// A save that was not answered yet.
    saving: Option<(Arc<Position>, Sequence)>,
    dirty: bool,
    /// The client was told where it begins. A new cursor is durable before that, so that it is found again.
    pub announced: bool,
}

/// Why an ack was refused; the cursor has not moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    #[error("ack of transaction {sequence}, but only those up to {sent} were sent on this connection")]
    NotSent { sequence: Sequence, sent: Sequence },
    #[error("ack carries epoch {epoch}, this server's is {own}: reconnect")]
    WrongEpoch { epoch: u64, own: u64 },
}

impl Subscription {
    pub fn new(
        id: u64,
        name: Option<Arc<str>>,
        connection: u64,
        filter: Arc<Filter>,
        live_view: ViewId,
        credit_bytes: i64,
    ) -> Self {
        Subscription {
            id,
            name,
            connection,
            filter,
            live_view,
            view: live_view,
            mode: Mode::Joining,
            pin: None,
            next_index: 0,
            credit_bytes,
            sent_layouts: IdSet::default(),
            sent: VecDeque::new(),
            sent_open: None,
            unacked_transactions: 0,
            sent_sequence: 0,
            acked_sequence: 0,
            cursor: None,
            cursor_sequence: 0,
            saving: None,
            dirty: false,
            announced: false,
        }
    }

    /// The position behind which delivery begins; `durable` where it is the durable cursor itself.
    pub fn begin(&mut self, position: &Position, sequence: Sequence, durable: bool) {
        self.cursor = Some(position.clone());
        self.cursor_sequence = sequence;
        self.sent_sequence = sequence;
        self.acked_sequence = sequence;
        // A named subscription exists from here on, also if its client never acknowledges anything.
        self.dirty = !durable && self.name.is_some();
    }

    pub fn has_begun(&self) -> bool {
        self.cursor.is_some()
    }

    /// Its first cursor is on its way to the store.
    pub fn awaits_first_save(&self) -> bool {
        !self.announced && (self.dirty || self.saving.is_some())
    }

    pub fn cursor(&self) -> Option<&Position> {
        self.cursor.as_ref()
    }

    pub fn unacked_transactions(&self) -> u64 {
        self.unacked_transactions
    }

    /// Behind everything that was sent: where a reader of its own would go on.
    pub fn sent_position(&self) -> Option<Position> {
        let mut position = self.cursor.clone()?;
        for sent in &self.sent {
            for mark in sent.marks.get(sent.acked..).unwrap_or_default() {
                mark.advance(&mut position);
            }
        }
        Some(position)
    }

    /// The next entry, if the client's credit and its acks allow it.
    pub fn next_entry<'a>(&self, view: &'a View, unacked_transactions_max: u64) -> Option<&'a Arc<LogEntry>> {
        if self.credit_bytes <= 0 || self.unacked_transactions >= unacked_transactions_max || !self.announced {
            return None;
        }
        view.entry(self.next_index)
    }

    pub fn entry_sent(&mut self, entry: &LogEntry, message_bytes: usize, now_us: i64) {
        self.next_index += 1;
        self.sent_open = entry.open;
        self.credit_bytes = self.credit_bytes.saturating_sub_unsigned(message_bytes as u64);
        if let Some(last) = entry.marks.last() {
            self.sent_sequence = last.sequence;
            self.unacked_transactions += entry.marks.len() as u64;
            self.sent.push_back(Sent { marks: entry.marks.clone(), acked: 0, sent_us: now_us });
        }
    }

    /// The transaction that the client holds a part of, and which will not go on: asked once.
    pub fn take_sent_open(&mut self) -> Option<Sequence> {
        self.sent_open.take()
    }

    /// Everything up to and with `sequence` is done with. Repeated and late acks change nothing. `acked` is told of
    /// each entry that is wholly acknowledged, with the time when it was sent.
    ///
    /// # Errors
    /// An ack of what was not sent.
    pub fn ack(&mut self, sequence: Sequence, mut acked: impl FnMut(i64, u64)) -> Result<(), AckError> {
        if sequence > self.sent_sequence {
            return Err(AckError::NotSent { sequence, sent: self.sent_sequence });
        }
        if sequence <= self.acked_sequence {
            return Ok(());
        }
        let Some(cursor) = self.cursor.as_mut() else { return Ok(()) };
        while let Some(first) = self.sent.front_mut() {
            while let Some(mark) = first.marks.get(first.acked)
                && mark.sequence <= sequence
            {
                mark.advance(cursor);
                self.cursor_sequence = mark.sequence;
                first.acked += 1;
                self.unacked_transactions -= 1;
                self.dirty = true;
            }
            if first.acked < first.marks.len() {
                break;
            }
            acked(first.sent_us, first.marks.len() as u64);
            self.sent.pop_front();
        }
        self.acked_sequence = sequence;
        Ok(())
    }

    /// With nothing outstanding, what was filtered away moves the cursor too. True where it moved.
    pub fn adopt_tail(&mut self, view: &View) -> bool {
        let Some(tail) = &view.tail else { return false };
        if !self.sent.is_empty() || self.next_index != view.next_index() || !view.may_join() || !self.has_begun() {
            return false;
        }
        if self.cursor.as_ref() == Some(&**tail) {
            return false;
        }
        self.cursor = Some(Position::clone(tail));
        self.cursor_sequence = self.cursor_sequence.max(view.tail_sequence);
        self.sent_sequence = self.sent_sequence.max(view.tail_sequence);
        self.acked_sequence = self.sent_sequence;
        self.dirty = true;
        true
    }

    /// The cursor to make durable now: one at a time, the newest.
    pub fn take_save(&mut self) -> Option<(Arc<Position>, Sequence)> {
        if !self.dirty || self.saving.is_some() {
            return None;
        }
        let position = Arc::new(self.cursor.clone()?);
        self.dirty = false;
        self.saving = Some((position, self.cursor_sequence));
        self.saving.clone()
    }

    /// What is not on its way to the store yet when the subscription ends.
    pub fn take_last_save(&mut self) -> Option<(Arc<Position>, Sequence)> {
        let position = self.cursor.clone().filter(|_| self.dirty)?;
        self.dirty = false;
        Some((Arc::new(position), self.cursor_sequence))
    }

    /// The save was answered; what is durable now is returned.
    pub fn saved(&mut self, success: bool) -> Option<(Arc<Position>, Sequence)> {
        let saving = self.saving.take()?;
        if !success {
            self.dirty = true;
            return None;
        }
        Some(saving)
    }

    /// Back to the last ack: everything sent behind it is sent again.
    pub fn roll_back(&mut self) -> Option<(Position, Sequence)> {
        let position = self.cursor.clone()?;
        self.sent_sequence = self.cursor_sequence;
        self.acked_sequence = self.cursor_sequence;
        self.sent.clear();
        // The client forgets it by itself.
        self.sent_open = None;
        self.unacked_transactions = 0;
        Some((position, self.cursor_sequence))
    }

    pub fn status(&self, destination: &Arc<str>, client: &str, peer: &str) -> SubscriptionStatus {
        SubscriptionStatus {
            destination: destination.clone(),
            subscription: self.name.clone().unwrap_or_else(|| "".into()),
            client: client.to_owned(),
            peer: peer.to_owned(),
            state: self.mode.name(),
            sent_sequence: self.sent_sequence,
            acked_sequence: self.acked_sequence,
            position: Arc::new(self.cursor.clone().unwrap_or_default()),
            unacked_transactions: self.unacked_transactions,
            credit_bytes: self.credit_bytes,
            filter: self.filter.key().to_owned(),
        }
    }
}

/// Whether two positions are the same place of the same binlog.
pub fn same_place(a: &Position, b: &Position) -> bool {
    a.incarnation == b.incarnation && a.file == b.file && a.offset == b.offset
}

impl Position {
    pub fn file_position(&self) -> FilePosition {
        FilePosition { file: self.file.clone(), offset: self.offset }
    }
}
