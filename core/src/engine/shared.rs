//! What the cores of one destination share: its filters, its subscriptions' names, its tables. Control-plane
//! matters only, behind short locks; no row passes here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_codec::wire::layout::Layout;

use crate::bridge::{Doorbell, SourceStatus};
use crate::engine::batch::SourceBatch;
use crate::engine::interest::{InterestSet, ViewId, ViewInterest};
use crate::engine::questions::Questions;
use crate::filter::Filter;
use crate::history::TableName;
use crate::metrics::SharedSourceMetrics;
use crate::position::Position;
use crate::source::tracker::{Notice, TrackerStats};
use crate::tables::Tables;

/// A lock whose holder panicked still guards consistent data here: every critical section only replaces values.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One destination, as all cores see it.
pub struct Destination {
    pub name: Arc<str>,
    /// Number of this leadership; every message to a client carries it.
    pub epoch: u64,
    pub tables: Arc<Mutex<Tables>>,
    pub metrics: SharedSourceMetrics,
    pub status: Mutex<SourceStatus>,
    /// What may be read at all, whatever a subscription asks for.
    pub allowed: Arc<Filter>,
    interest: Mutex<Arc<InterestSet>>,
    interest_version: AtomicU64,
    next_view: AtomicU64,
    /// Rung when the interest has changed.
    pub source_doorbell: Doorbell,
    names: Mutex<HashMap<Arc<str>, Name>>,
    /// Set when the source halted: what clients are told.
    halted: Mutex<Option<String>>,
    /// Where the live stream stood at most a second ago.
    position: Mutex<Option<Arc<Position>>>,
    /// Layouts that somebody wants to see before the table's first row has passed; or why there is none.
    pub previews: Questions<TableName, Result<Arc<Layout>, String>>,
    /// Tables to be read again: what came of it.
    pub repairs: Questions<TableName, Result<String, String>>,
    /// Patterns that match no table of the source.
    pub filter_checks: Questions<FilterCheck, Vec<String>>,
    /// Rung when one of these is asked for.
    pub questions_doorbell: Doorbell,
}

/// A subscription's filter, for the question whether its patterns match anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FilterCheck {
    pub claim: Claim,
    /// As they were asked for.
    pub patterns: Arc<[String]>,
}

/// A named subscription: its durable cursor, and who has it now.
#[derive(Default)]
struct Name {
    durable: Option<Arc<Position>>,
    holder: Option<Claim>,
    /// Connections that wait for it, first come first served.
    waiting: Vec<(Claim, Doorbell)>,
}

/// A connection that holds, or waits for, a subscription's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    pub core: u16,
    pub connection: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    Held,
    /// Another connection has it.
    Busy,
}

impl Destination {
    pub fn new(
        name: Arc<str>,
        epoch: u64,
        tables: Arc<Mutex<Tables>>,
        metrics: SharedSourceMetrics,
        allowed: Arc<Filter>,
        cursors: impl IntoIterator<Item = (Arc<str>, Arc<Position>)>,
    ) -> Self {
        let names = cursors
            .into_iter()
            .map(|(name, position)| (name, Name { durable: Some(position), ..Name::default() }))
            .collect();
        Destination {
            status: Mutex::new(SourceStatus {
                destination: name.to_string(),
                state: "connecting".into(),
                ..SourceStatus::default()
            }),
            name,
            epoch,
            tables,
            metrics,
            allowed,
            interest: Mutex::new(Arc::new(InterestSet::default())),
            interest_version: AtomicU64::new(0),
            next_view: AtomicU64::new(1),
            source_doorbell: Doorbell::default(),
            names: Mutex::new(names),
            halted: Mutex::new(None),
            position: Mutex::default(),
            previews: Questions::default(),
            repairs: Questions::default(),
            filter_checks: Questions::default(),
            questions_doorbell: Doorbell::default(),
        }
    }

    pub fn new_view_id(&self) -> ViewId {
        let number = self.next_view.fetch_add(1, Ordering::Relaxed);
        ViewId(u32::try_from(number).expect("fewer than 4 billion views in one life of a process"))
    }

    /// Adds a view's filter; the version of the first interest that has it is returned.
    pub fn add_interest(&self, view: ViewId, filter: Arc<Filter>) -> u64 {
        self.change_interest(|views| views.push(ViewInterest { view, filter }))
    }

    pub fn remove_interest(&self, view: ViewId) {
        self.change_interest(|views| views.retain(|known| known.view != view));
    }

    fn change_interest(&self, change: impl FnOnce(&mut Vec<ViewInterest>)) -> u64 {
        let mut interest = lock(&self.interest);
        let mut views = interest.views.clone();
        change(&mut views);
        let version = interest.version + 1;
        *interest = Arc::new(InterestSet { version, views });
        self.interest_version.store(version, Ordering::Release);
        self.source_doorbell.wake();
        version
    }

    pub fn interest(&self) -> Arc<InterestSet> {
        lock(&self.interest).clone()
    }

    /// Cheap: whether `interest()` is newer than `version`.
    pub fn interest_is_newer(&self, version: u64) -> bool {
        self.interest_version.load(Ordering::Acquire) > version
    }

    /// Takes the name, or says that another connection has it; `wait` puts the claim into the queue then.
    pub fn claim(&self, name: &Arc<str>, claim: Claim, wait: Option<&Doorbell>) -> Claimed {
        let mut names = lock(&self.names);
        let entry = names.entry(name.clone()).or_default();
        match entry.holder {
            Some(holder) if holder != claim => {
                if let Some(doorbell) = wait
                    && entry.waiting.iter().all(|(waiting, _)| *waiting != claim)
                {
                    entry.waiting.push((claim, doorbell.clone()));
                }
                Claimed::Busy
            }
            _ => {
                // First come, first served: a newcomer does not overtake one that waits.
                if let Some((first, doorbell)) = entry.waiting.first()
                    && *first != claim
                {
                    doorbell.wake();
                    if let Some(own) = wait
                        && entry.waiting.iter().all(|(waiting, _)| *waiting != claim)
                    {
                        entry.waiting.push((claim, own.clone()));
                    }
                    return Claimed::Busy;
                }
                entry.waiting.retain(|(waiting, _)| *waiting != claim);
                entry.holder = Some(claim);
                Claimed::Held
            }
        }
    }

    /// Gives the name back, or leaves its queue; the next one that waits is woken.
    pub fn release(&self, name: &str, claim: Claim) {
        let mut names = lock(&self.names);
        let Some(entry) = names.get_mut(name) else { return };
        entry.waiting.retain(|(waiting, _)| *waiting != claim);
        if entry.holder == Some(claim) {
            entry.holder = None;
        }
        if entry.holder.is_none() {
            match entry.waiting.first() {
                Some((_, doorbell)) => doorbell.wake(),
                None if entry.durable.is_none() => {
                    names.remove(name);
                }
                None => {}
            }
        }
    }

    pub fn durable(&self, name: &str) -> Option<Arc<Position>> {
        lock(&self.names).get(name).and_then(|entry| entry.durable.clone())
    }

    pub fn set_durable(&self, name: &Arc<str>, position: Arc<Position>) {
        lock(&self.names).entry(name.clone()).or_default().durable = Some(position);
    }

    /// All durable cursors, for status.
    pub fn cursors(&self) -> Vec<(Arc<str>, Arc<Position>)> {
        let names = lock(&self.names);
        names.iter().filter_map(|(name, entry)| Some((name.clone(), entry.durable.clone()?))).collect()
    }

    /// How late the source's newest event arrived; -1 where nothing was received yet.
    pub fn lag_us(&self) -> i64 {
        match (self.metrics.source_time_us.value(), self.metrics.received_time_us.value()) {
            (0, _) => -1,
            (source, received) => i64::try_from(received.saturating_sub(source)).unwrap_or(i64::MAX),
        }
    }

    /// Asks the source core for something of `questions`.
    pub fn ask<K: Eq + std::hash::Hash + Clone, T>(&self, questions: &Questions<K, T>, key: K) {
        questions.ask(key);
        self.questions_doorbell.wake();
    }

    pub fn set_state(&self, state: &str, error: Option<String>) {
        self.metrics.connected.set(u64::from(state == "streaming"));
        let mut status = lock(&self.status);
        status.state = state.to_owned();
        status.error = error;
    }

    pub fn set_server(&self, server: &str, version: &str) {
        let mut status = lock(&self.status);
        status.server = server.to_owned();
        status.version = version.to_owned();
    }

    /// Counts a batch of the live stream.
    pub fn observe(&self, batch: &SourceBatch) {
        let metrics = &self.metrics;
        metrics.transactions.add(batch.transactions.iter().filter(|part| part.begin).count() as u64);
        // Together, so that their difference is the delay of one and the same event: idle is not lag.
        let source_us = batch.transactions.last().map_or(batch.source_time_us, |part| part.commit_time_us);
        if let (Ok(source @ 1..), Ok(received)) = (u64::try_from(source_us), u64::try_from(batch.received_us)) {
            metrics.source_time_us.set(source);
            metrics.received_time_us.set(received);
        }
    }

    /// Where the live stream stands, for status; asked for about once a second.
    pub fn set_position(&self, position: &Arc<Position>) {
        *lock(&self.position) = Some(position.clone());
        let mut status = lock(&self.status);
        status.position = format!("{}:{}", position.file, position.offset);
        status.gtids = position.gtids.to_string();
    }

    /// Counts what a reader passed over since `counted`, which is brought up to `stats`.
    pub fn count_passed_over(&self, stats: TrackerStats, counted: &mut TrackerStats) {
        self.metrics.unwanted_events.add(stats.unwanted_events - counted.unwanted_events);
        self.metrics.quarantined_events.add(stats.quarantined_events - counted.quarantined_events);
        *counted = stats;
    }

    /// Counts what a reader had to tell besides rows.
    pub fn note(&self, notice: &Notice) {
        match notice {
            Notice::StatementSkipped { .. } => self.metrics.statement_dml_skipped.add(1),
            Notice::XaUnresolved { .. } => self.metrics.xa_unresolved.add(1),
            Notice::TableQuarantined { database, table, reason, .. } => {
                self.quarantine(&format!("{database}.{table}"), reason);
            }
            Notice::TableReleased { database, table, .. } => self.release_table(&format!("{database}.{table}")),
            Notice::SchemaDoubtful { .. } => self.metrics.schema_doubts.add(1),
            Notice::SchemaAssumed { .. }
            | Notice::UncertainTypes { .. }
            | Notice::NamesUnknown { .. }
            | Notice::UnknownEventSkipped { .. }
            | Notice::StatementUnknown { .. }
            | Notice::Incomplete { .. } => self.metrics.other_notices.add(1),
        }
    }

    /// It can be read again, as far as anybody knows.
    pub fn release_table(&self, table: &str) {
        let mut status = lock(&self.status);
        status.quarantined.retain(|(known, _)| known != table);
        self.metrics.quarantined_tables.set(status.quarantined.len() as u64);
    }

    pub fn position(&self) -> Option<Arc<Position>> {
        lock(&self.position).clone()
    }

    /// A table whose rows cannot be told any more.
    pub fn quarantine(&self, table: &str, reason: &str) {
        let mut status = lock(&self.status);
        if status.quarantined.iter().all(|(known, _)| known != table) {
            status.quarantined.push((table.to_owned(), reason.to_owned()));
        }
        self.metrics.quarantined_tables.set(status.quarantined.len() as u64);
    }

    pub fn set_halted(&self, reason: Option<String>) {
        self.metrics.halted.set(u64::from(reason.is_some()));
        *lock(&self.halted) = reason;
    }

    pub fn halted(&self) -> Option<String> {
        lock(&self.halted).clone()
    }
}
