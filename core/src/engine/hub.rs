//! One destination on one worker core: its views, and the subscriptions that read them.
//!
//! The live stream fills a view for each different filter. A subscription that starts in the past, or that falls off
//! the end of its view's log, is served by a reader of its own (a catch-up) into a private view, until that reader
//! arrives exactly at a place of the live view's log that was pinned for it.
//!
//! Invariants: live logs never hold up the source, the oldest entries are dropped instead; a private log is bounded
//! by its reader waiting; entries are dropped only when all that read them have passed, or over the bound.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_codec::chunks::SharedChunks;

use crate::engine::batch::{PartEnd, Sequence, SourceBatch, TransactionPart};
use crate::engine::interest::{InterestSet, ViewId, ViewInterest};
use crate::engine::shard::ShardOutput;
use crate::engine::shared::Destination;
use crate::engine::subscription::{Mode, Pin, Subscription, same_place};
use crate::engine::view::View;
use crate::id_map::IdMap;
use crate::limits::{BATCH_CHUNK_BYTES_KEPT_MAX, BATCH_CHUNKS_KEPT_MAX, FRAGMENT_BYTES_MAX};
use crate::position::{FilePosition, Position, compare_places};
use crate::source::start::Start;

/// Bounds of one hub; `limits` says where each comes from.
#[derive(Debug, Clone)]
pub struct HubLimits {
    pub view_log_bytes_max: usize,
    pub catchup_log_bytes_max: usize,
    pub batch_bytes_target: usize,
    pub unacked_transactions_max: u64,
    /// A catch-up that is nearer to the live stream than this asks for a place to join at.
    pub pin_distance_bytes: u64,
}

/// What the driver is to do for a subscription.
#[derive(Debug)]
pub enum HubEffect {
    /// Open a reader of the source at `start`, number its transactions from `first_sequence`, route by `interest`,
    /// and bring what it reads to `catchup_batch`.
    StartCatchUp {
        subscription: u64,
        start: Start,
        first_sequence: Sequence,
        interest: Arc<InterestSet>,
    },
    StopCatchUp {
        subscription: u64,
    },
    /// Its start is known: the client can be told.
    Begun {
        subscription: u64,
    },
    /// It may have something to send.
    Ready {
        subscription: u64,
    },
}

/// What a catch-up does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUpStep {
    Read,
    /// The private log is full until the client has taken something.
    Full,
    /// It is ahead of the live stream: wait for that to move.
    WaitForLive,
    /// The live stream goes on from here.
    Done,
}

/// Where a subscription wants to begin.
#[derive(Debug, Clone, PartialEq)]
pub enum Begin {
    Latest,
    /// A cursor; `durable` where it is the one in the store.
    Cursor {
        position: Arc<Position>,
        durable: bool,
    },
    At(Start),
}

struct Entry {
    subscription: Subscription,
    begin: Begin,
    /// Set when the catch-up has arrived: once the private log is drained to this index, go on in the live view.
    splice: Option<u64>,
}

pub struct Hub {
    pub destination: Arc<Destination>,
    limits: HubLimits,
    views: IdMap<ViewId, View>,
    live_by_key: HashMap<String, ViewId>,
    entries: IdMap<u64, Entry>,
    tail: Option<Arc<Position>>,
    tail_sequence: Sequence,
    /// The live stream is inside a transaction that is handed out in parts.
    open: bool,
    /// Entries came into the live logs, and nobody was told yet.
    unannounced: bool,
    /// Memory of messages that were sent.
    chunks: SharedChunks,
    effects: Vec<HubEffect>,
}

impl Hub {
    pub fn new(destination: Arc<Destination>, limits: HubLimits) -> Self {
        Hub {
            destination,
            limits,
            views: IdMap::default(),
            live_by_key: HashMap::new(),
            entries: IdMap::default(),
            tail: None,
            tail_sequence: 0,
            open: false,
            unannounced: false,
            chunks: SharedChunks::new(BATCH_CHUNKS_KEPT_MAX, BATCH_CHUNK_BYTES_KEPT_MAX),
            effects: Vec::new(),
        }
    }

    pub fn take_effects(&mut self) -> Vec<HubEffect> {
        std::mem::take(&mut self.effects)
    }

    pub fn subscription(&mut self, id: u64) -> Option<&mut Subscription> {
        self.entries.get_mut(&id).map(|entry| &mut entry.subscription)
    }

    pub fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.entries.values().map(|entry| &entry.subscription)
    }

    pub fn log_bytes(&self) -> usize {
        self.views.values().map(|view| view.log_bytes() + view.building_bytes()).sum()
    }

    pub fn catchups(&self) -> usize {
        self.entries.values().filter(|entry| entry.subscription.mode == Mode::CatchUp).count()
    }

    pub fn subscribe(&mut self, mut subscription: Subscription, begin: Begin) {
        let id = subscription.id;
        let filter = subscription.filter.clone();
        let live_view = match self.live_by_key.get(filter.key()) {
            Some(view) => *view,
            None => {
                let view = self.destination.new_view_id();
                self.live_by_key.insert(filter.key().to_owned(), view);
                self.views.insert(view, View::new(view, filter.clone(), self.destination.epoch, self.chunks.clone()));
                self.destination.add_interest(view, filter);
                view
            }
        };
        subscription.live_view = live_view;
        subscription.view = live_view;
        let start = match &begin {
            Begin::At(start) => Some(start.clone()),
            Begin::Latest | Begin::Cursor { .. } => None,
        };
        self.entries.insert(id, Entry { subscription, begin, splice: None });
        match start {
            Some(start) => self.start_catchup(id, start, 1),
            None => self.try_join(id),
        }
    }

    pub fn unsubscribe(&mut self, id: u64) -> Option<Subscription> {
        let entry = self.entries.remove(&id)?;
        let subscription = entry.subscription;
        if subscription.view != subscription.live_view {
            self.views.remove(&subscription.view);
            self.effects.push(HubEffect::StopCatchUp { subscription: id });
        }
        let live = subscription.live_view;
        if self.entries.values().all(|other| other.subscription.live_view != live) {
            self.views.remove(&live);
            self.live_by_key.retain(|_, view| *view != live);
            self.destination.remove_interest(live);
        } else {
            self.release(live);
        }
        Some(subscription)
    }

    /// Begins in the live stream, if it is there and the subscription's start is its tail.
    fn try_join(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let subscription = &mut entry.subscription;
        let Some(view) = self.views.get_mut(&subscription.live_view) else { return };
        if subscription.mode != Mode::Joining || !view.may_join() {
            return;
        }
        let Some(tail) = view.tail.clone() else { return };
        match &entry.begin {
            Begin::Latest => subscription.begin(&tail, view.tail_sequence, false),
            Begin::Cursor { position, durable } if same_place(position, &tail) => {
                subscription.begin(position, view.tail_sequence, *durable);
            }
            Begin::Cursor { position, .. } => {
                let start = Start::Position(Position::clone(position));
                self.start_catchup(id, start, 1);
                return;
            }
            Begin::At(_) => return,
        }
        subscription.mode = Mode::Live;
        subscription.next_index = view.next_index();
        self.effects.push(HubEffect::Begun { subscription: id });
        self.effects.push(HubEffect::Ready { subscription: id });
    }

    fn start_catchup(&mut self, id: u64, start: Start, first_sequence: Sequence) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let subscription = &mut entry.subscription;
        let private = self.destination.new_view_id();
        if subscription.view != subscription.live_view {
            self.views.remove(&subscription.view);
            self.effects.push(HubEffect::StopCatchUp { subscription: id });
        }
        let filter = subscription.filter.clone();
        self.views.insert(private, View::new(private, filter.clone(), self.destination.epoch, self.chunks.clone()));
        subscription.view = private;
        subscription.mode = Mode::CatchUp;
        subscription.next_index = 0;
        subscription.pin = None;
        entry.splice = None;
        let interest = Arc::new(InterestSet { version: 1, views: vec![ViewInterest { view: private, filter }] });
        self.effects.push(HubEffect::StartCatchUp { subscription: id, start, first_sequence, interest });
    }

    /// The client asks for everything behind its last ack again.
    pub fn roll_back(&mut self, id: u64) -> Option<Position> {
        let subscription = self.subscription(id)?;
        let (position, sequence) = subscription.roll_back()?;
        self.start_catchup(id, Start::Position(position.clone()), sequence + 1);
        Some(position)
    }

    // ------------------------------------------------------------------------------------------- the live stream

    /// The live reader stands here before its first batch.
    pub fn live_started(&mut self, tail: Arc<Position>, sequence: Sequence) {
        self.tail = Some(tail);
        self.tail_sequence = sequence;
    }

    /// One batch of the live stream, as the shards encoded it: one output of each.
    pub fn live_batch(&mut self, outputs: &[&ShardOutput], now_us: i64) {
        let Some(batch) = outputs.first().map(|output| output.batch.clone()) else { return };
        self.start_views(&batch);
        let live: Vec<ViewId> = self.live_by_key.values().copied().collect();
        let started: Vec<ViewId> =
            live.into_iter().filter(|view| self.views.get(view).is_some_and(View::is_started)).collect();
        let mut cursors = vec![0; outputs.len()];
        for part in &batch.transactions {
            if !part.held_tables.is_empty() {
                started.iter().for_each(|view| self.hold_if_wanted(*view, part, now_us));
            }
            self.push_part(&batch, part, outputs, &mut cursors, None, now_us);
            for view in &started {
                if let Some(view) = self.views.get_mut(view).filter(|view| view.is_started()) {
                    view.end_part(part);
                    if view.building_bytes() >= self.limits.batch_bytes_target {
                        self.unannounced |= view.seal(now_us);
                    }
                }
            }
            self.open = part.end == PartEnd::Open;
            // An aborted transaction's number is used again for what comes in its place.
            if part.end == PartEnd::Commit {
                self.tail_sequence = part.sequence;
            }
        }
        for view in &started {
            if let Some(view) = self.views.get_mut(view).filter(|view| view.is_started()) {
                view.end_batch(&batch.tail, self.tail_sequence);
            }
        }
        self.tail = Some(batch.tail.clone());
        // Also while batches come without a pause: clients have their rows, and the logs their bound.
        if self.unannounced {
            self.announce(now_us);
        }
    }

    /// A view that wants rows which cannot be read, and which must not be passed over, ends before their transaction.
    fn hold_if_wanted(&mut self, id: ViewId, part: &TransactionPart, now_us: i64) {
        let Some(view) = self.views.get_mut(&id) else { return };
        let wanted = |(database, table): &&(String, String)| view.filter.matches_table(database, table);
        let Some((database, table)) = part.held_tables.iter().find(wanted) else { return };
        let reason = format!(
            "rows of {database}.{table} cannot be read behind {} (the server's log and `millstream status` say why), and \
             its policy is \"hold\": nothing behind them is delivered. Mend it with: millstream schema repair {database}.{table} \
             --destination {}, then subscribe again",
            part.start, self.destination.name
        );
        view.hold(&reason, now_us);
        // The next one with this filter gets a view of its own.
        self.live_by_key.retain(|_, view| *view != id);
        self.notify(id);
    }

    /// Why a subscription gets nothing more, once it has all that came before.
    pub fn held(&self, id: u64) -> Option<Arc<str>> {
        let subscription = &self.entries.get(&id)?.subscription;
        let view = self.views.get(&subscription.view)?;
        let has_all = subscription.mode == Mode::Joining || subscription.next_index >= view.next_index();
        view.held().filter(|_| has_all).cloned()
    }

    /// Views whose filter the source has begun to route by see everything from this batch on.
    fn start_views(&mut self, batch: &SourceBatch) {
        let inside = self.open || batch.transactions.first().is_some_and(|part| !part.begin);
        let Some(tail) = self.tail.clone() else { return };
        if inside {
            return;
        }
        for interest in &batch.interest.views {
            if let Some(view) = self.views.get_mut(&interest.view)
                && !view.is_started()
                && view.held().is_none()
            {
                view.start(tail.clone(), self.tail_sequence);
            }
        }
    }

    /// The rows and DDL of one part, to the views that want them (`only`: to that one).
    fn push_part(
        &mut self,
        batch: &SourceBatch,
        part: &TransactionPart,
        outputs: &[&ShardOutput],
        cursors: &mut [usize],
        only: Option<ViewId>,
        now_us: i64,
    ) {
        let target = self.limits.batch_bytes_target;
        let fragment_bytes_max = (8 * target).min(FRAGMENT_BYTES_MAX).max(target);
        // Each shard's pieces are in the order of the binlog; their merge by event is the transaction's order.
        loop {
            let next = outputs
                .iter()
                .zip(cursors.iter())
                .enumerate()
                .filter_map(|(shard, (output, cursor))| Some((output.pieces.get(*cursor)?.event, shard)))
                .min();
            let Some((event, shard)) = next.filter(|(event, _)| *event < part.events.end) else { break };
            let (Some(output), Some(cursor)) = (outputs.get(shard), cursors.get_mut(shard)) else { break };
            let Some(piece) = output.pieces.get(*cursor) else { break };
            *cursor += 1;
            if event < part.events.start {
                continue;
            }
            for view in output.views(piece) {
                if only.is_none_or(|only| only == view)
                    && let Some(view) = self.views.get_mut(&view)
                    && view.is_started()
                {
                    view.push_rows(part, piece, output, batch.received_us);
                    if view.building_bytes() >= fragment_bytes_max {
                        view.cut(part, now_us);
                        self.unannounced |= only.is_none();
                    }
                }
            }
        }
        let Some(ddl) = &part.ddl else { return };
        for view in self.views.values_mut() {
            let live = only.is_none() && self.live_by_key.get(view.filter.key()) == Some(&view.id);
            if view.is_started() && (live || only == Some(view.id)) && view.filter.wants_ddl(&ddl.database, &ddl.tables)
            {
                view.push_ddl(part, ddl, batch.received_us);
            }
        }
    }

    /// Makes what the live views have built ready to be sent; called when no further batch is at hand.
    pub fn seal(&mut self, now_us: i64) {
        for view in self.live_by_key.values() {
            if let Some(log) = self.views.get_mut(view) {
                log.seal(now_us);
            }
        }
        self.announce(now_us);
        let waiting: Vec<u64> = self
            .entries
            .values()
            .filter(|entry| entry.subscription.mode == Mode::Joining)
            .map(|entry| entry.subscription.id)
            .collect();
        for id in waiting {
            self.try_join(id);
        }
    }

    /// Wakes those that have something to send, and keeps the live logs within their bound.
    fn announce(&mut self, now_us: i64) {
        self.unannounced = false;
        let live: Vec<ViewId> = self.live_by_key.values().copied().collect();
        for view in live {
            if self.views.get(&view).is_some_and(|log| log.log_bytes() > 0) {
                self.release(view);
                self.notify(view);
            }
        }
        self.enforce_bound(now_us);
    }

    fn notify(&mut self, view: ViewId) {
        for entry in self.entries.values() {
            if entry.subscription.view == view {
                self.effects.push(HubEffect::Ready { subscription: entry.subscription.id });
            }
        }
    }

    /// Drops what every reader of a live log has passed.
    fn release(&mut self, view: ViewId) {
        let needed = self
            .entries
            .values()
            .filter(|entry| entry.subscription.live_view == view)
            .filter_map(|entry| match entry.subscription.mode {
                Mode::Live => Some(entry.subscription.next_index),
                Mode::CatchUp => entry.subscription.pin.as_ref().map(|pin| pin.index),
                Mode::Joining => None,
            })
            .min();
        if let Some(log) = self.views.get_mut(&view) {
            log.release_before(needed.unwrap_or(u64::MAX));
        }
    }

    /// Over the bound, the largest live log loses its oldest entries; who had not read them goes on by catch-up.
    fn enforce_bound(&mut self, now_us: i64) {
        loop {
            let live = self.live_by_key.values().filter_map(|view| self.views.get(view));
            let (mut total, mut largest) = (0, None);
            for view in live {
                total += view.log_bytes();
                largest = largest.max(Some((view.log_bytes(), view.id)));
            }
            let Some((_, view)) = largest.filter(|_| total > self.limits.view_log_bytes_max) else { return };
            let Some(log) = self.views.get_mut(&view) else { return };
            log.drop_first();
            let first = log.first_index();
            let mut fallen = Vec::new();
            for entry in self.entries.values_mut().filter(|entry| entry.subscription.live_view == view) {
                let subscription = &mut entry.subscription;
                match subscription.mode {
                    Mode::Live if subscription.next_index < first => fallen.push(subscription.id),
                    Mode::CatchUp if subscription.pin.as_ref().is_some_and(|pin| pin.index < first) => {
                        subscription.pin = None;
                        if entry.splice.is_some() {
                            fallen.push(subscription.id);
                        }
                    }
                    _ => {}
                }
            }
            for id in fallen {
                self.fall_off(id, now_us);
            }
            self.release(view);
        }
    }

    /// Goes on behind what was sent, with a reader of its own.
    fn fall_off(&mut self, id: u64, now_us: i64) {
        let Some(subscription) = self.subscription(id) else { return };
        let Some(position) = subscription.sent_position() else { return };
        let first_sequence = subscription.sent_sequence + 1;
        let open = subscription.take_sent_open();
        self.start_catchup(id, Start::Position(position), first_sequence);
        let private = self.entries.get(&id).map(|entry| entry.subscription.view);
        if let (Some(open), Some(view)) = (open, private.and_then(|view| self.views.get_mut(&view))) {
            view.begin_with_abort(open, now_us);
            self.effects.push(HubEffect::Ready { subscription: id });
        }
    }

    // --------------------------------------------------------------------------------------------------- catch-up

    /// The reader is up and stands at `position`.
    pub fn catchup_started(
        &mut self,
        id: u64,
        position: Arc<Position>,
        first_sequence: Sequence,
        now_us: i64,
    ) -> CatchUpStep {
        let Some(entry) = self.entries.get_mut(&id) else { return CatchUpStep::Done };
        let subscription = &mut entry.subscription;
        let sequence = first_sequence.saturating_sub(1);
        if let Some(view) = self.views.get_mut(&subscription.view) {
            view.start(position.clone(), sequence);
        }
        if !subscription.has_begun() {
            match &entry.begin {
                Begin::Cursor { position, durable } => subscription.begin(position, sequence, *durable),
                Begin::Latest | Begin::At(_) => subscription.begin(&position, sequence, false),
            }
            self.effects.push(HubEffect::Begun { subscription: id });
        }
        self.catchup_step(id, now_us)
    }

    /// What the reader brought, encoded by a shard of its own.
    pub fn catchup_batch(&mut self, id: u64, output: &ShardOutput, now_us: i64) -> CatchUpStep {
        let Some(entry) = self.entries.get(&id) else { return CatchUpStep::Done };
        let (private, pin) = (entry.subscription.view, entry.subscription.pin.clone());
        if entry.subscription.mode != Mode::CatchUp {
            return CatchUpStep::Done;
        }
        let batch = output.batch.clone();
        let mut cursors = [0];
        let mut sequence = self.views.get(&private).map_or(0, |view| view.tail_sequence);
        let mut tail = batch.tail.clone();
        let mut arrived = false;
        for part in &batch.transactions {
            if let Some(pin) = &pin
                && part.begin
                && reaches(&part.start, &pin.boundary)
            {
                (arrived, tail) = (true, pin.boundary.clone());
                break;
            }
            self.hold_if_wanted(private, part, now_us);
            if self.views.get(&private).is_some_and(|view| view.held().is_some()) {
                // The client is told once it has taken what came before.
                self.effects.push(HubEffect::Ready { subscription: id });
                return CatchUpStep::Full;
            }
            self.push_part(&batch, part, &[output], &mut cursors, Some(private), now_us);
            let Some(view) = self.views.get_mut(&private) else { return CatchUpStep::Done };
            view.end_part(part);
            if part.end == PartEnd::Commit {
                sequence = part.sequence;
            }
            if let Some(pin) = &pin
                && part.end != PartEnd::Open
                && reaches(&part.position, &pin.boundary)
            {
                (arrived, tail) = (true, pin.boundary.clone());
                break;
            }
        }
        let Some(view) = self.views.get_mut(&private) else { return CatchUpStep::Done };
        view.end_batch(&tail, sequence);
        view.seal(now_us);
        self.effects.push(HubEffect::Ready { subscription: id });
        if arrived {
            return self.splice(id, now_us);
        }
        self.catchup_step(id, now_us)
    }

    /// The catch-ups that may have been waiting for the live stream to move.
    pub fn catching_up(&self) -> Vec<u64> {
        let waiting = self.entries.values().filter(|entry| entry.subscription.mode == Mode::CatchUp);
        waiting.map(|entry| entry.subscription.id).collect()
    }

    /// Whether the catch-up may read on, and whether it is time to ask for a place in the live log.
    pub fn catchup_step(&mut self, id: u64, now_us: i64) -> CatchUpStep {
        let Some(entry) = self.entries.get_mut(&id) else { return CatchUpStep::Done };
        let subscription = &mut entry.subscription;
        if subscription.mode != Mode::CatchUp || entry.splice.is_some() {
            return CatchUpStep::Done;
        }
        let Some(private) = self.views.get(&subscription.view) else { return CatchUpStep::Done };
        if private.held().is_some() {
            return CatchUpStep::Full;
        }
        let Some(here) = private.tail.clone() else { return CatchUpStep::Read };
        let full = private.log_bytes() >= self.limits.catchup_log_bytes_max;
        if let Some(pin) = &subscription.pin
            && compare_places(&here, &pin.boundary).is_ge()
            && private.may_join_after_seal()
        {
            return self.splice(id, now_us);
        }
        if subscription.pin.is_none()
            && let Some(live) = self.views.get(&subscription.live_view)
            && live.may_join()
            && let Some(tail) = &live.tail
            && tail.incarnation == here.incarnation
            && private.may_join_after_seal()
        {
            match compare_places(&here, tail) {
                std::cmp::Ordering::Equal => {
                    subscription.pin = Some(Pin { index: live.next_index(), boundary: tail.clone() });
                    return self.splice(id, now_us);
                }
                std::cmp::Ordering::Greater => return CatchUpStep::WaitForLive,
                std::cmp::Ordering::Less
                    if !full
                        && here.file == tail.file
                        && tail.offset - here.offset <= self.limits.pin_distance_bytes =>
                {
                    subscription.pin = Some(Pin { index: live.next_index(), boundary: tail.clone() });
                }
                std::cmp::Ordering::Less => {}
            }
        }
        if full { CatchUpStep::Full } else { CatchUpStep::Read }
    }

    /// The catch-up has arrived at its pin; what is in the private log is still to be sent.
    fn splice(&mut self, id: u64, now_us: i64) -> CatchUpStep {
        let Some(entry) = self.entries.get_mut(&id) else { return CatchUpStep::Done };
        let Some(private) = self.views.get_mut(&entry.subscription.view) else { return CatchUpStep::Done };
        private.push_skipped();
        private.seal(now_us);
        entry.splice = Some(private.next_index());
        self.effects.push(HubEffect::StopCatchUp { subscription: id });
        self.effects.push(HubEffect::Ready { subscription: id });
        self.finish_splice(id);
        CatchUpStep::Done
    }

    /// With the private log drained, the subscription reads the live one.
    fn finish_splice(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let subscription = &mut entry.subscription;
        if entry.splice != Some(subscription.next_index) {
            return;
        }
        let Some(pin) = subscription.pin.take() else { return };
        entry.splice = None;
        self.views.remove(&subscription.view);
        subscription.view = subscription.live_view;
        subscription.mode = Mode::Live;
        subscription.next_index = pin.index;
        self.effects.push(HubEffect::Ready { subscription: id });
    }

    // ---------------------------------------------------------------------------------------------------- sending

    /// The next message for a subscription: the entry, to be reported by `sent`.
    pub fn next_entry(&self, id: u64) -> Option<Arc<crate::engine::view::LogEntry>> {
        let entry = self.entries.get(&id)?;
        let view = self.views.get(&entry.subscription.view)?;
        entry.subscription.next_entry(view, self.limits.unacked_transactions_max).cloned()
    }

    /// An entry was handed to the socket with `bytes` in all. True where its reader may go on now.
    pub fn sent(&mut self, id: u64, log_entry: &crate::engine::view::LogEntry, bytes: usize, now_us: i64) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        entry.subscription.entry_sent(log_entry, bytes, now_us);
        let (mode, view) = (entry.subscription.mode, entry.subscription.view);
        match mode {
            Mode::CatchUp => {
                let next = entry.subscription.next_index;
                if let Some(view) = self.views.get_mut(&view) {
                    view.release_before(next);
                }
                self.finish_splice(id);
                true
            }
            Mode::Live | Mode::Joining => {
                self.release(view);
                false
            }
        }
    }

    /// With nothing outstanding the cursor follows the stream. True where it moved.
    pub fn adopt_tail(&mut self, id: u64) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        if entry.splice.is_some() {
            return false;
        }
        let Some(view) = self.views.get(&entry.subscription.view) else { return false };
        entry.subscription.adopt_tail(view)
    }
}

/// Whether a place of the same binlog is at or behind the boundary.
fn reaches(place: &FilePosition, boundary: &Position) -> bool {
    use millstream_codec::mysql::position::file_number;
    if place.file == boundary.file {
        return place.offset >= boundary.offset;
    }
    file_number(&place.file) > file_number(&boundary.file)
}
