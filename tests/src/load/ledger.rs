//! What the writers know of their transactions: the truth that a stream is held against.
//!
//! A transaction is entered before its end is sent, so that its rows are never seen before it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::schema::{RowChange, Table};

/// A writer counts its transactions from 1; those that it rolls back count too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionKey {
    pub writer: u32,
    pub number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its end was sent, and not answered yet.
    Pending,
    Committed,
    /// Rolled back, or lost with its connection or server.
    NotCommitted,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub changes: Vec<RowChange>,
    pub outcome: Outcome,
    /// When COMMIT (or the statement that commits by itself) was sent.
    pub sent: Instant,
    /// When the server had answered it.
    pub answered: Option<Instant>,
}

#[derive(Default)]
pub struct Ledger {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<TransactionKey, Entry>,
    /// A deleted row tells who wrote it last, not who deleted it.
    deletes: HashMap<(Table, u64), TransactionKey>,
    committed: u64,
    committed_rows: u64,
}

impl Ledger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Just before the end of the transaction is sent.
    pub fn enter(&self, key: TransactionKey, changes: Vec<RowChange>) {
        let state = &mut *self.state();
        for change in changes.iter().filter(|change| change.op == super::schema::Op::Delete) {
            state.deletes.insert((change.table, change.id), key);
        }
        state.entries.insert(key, Entry { changes, outcome: Outcome::Pending, sent: Instant::now(), answered: None });
    }

    pub fn settle(&self, key: TransactionKey, outcome: Outcome) {
        let state = &mut *self.state();
        let Some(entry) = state.entries.get_mut(&key) else { return };
        entry.outcome = outcome;
        entry.answered = Some(Instant::now());
        if outcome == Outcome::Committed {
            state.committed += 1;
            state.committed_rows += entry.changes.len() as u64;
        } else {
            // The row lives on, and may be deleted by another transaction.
            state.deletes.retain(|_, deleter| *deleter != key);
        }
    }

    pub fn entry(&self, key: TransactionKey) -> Option<Entry> {
        self.state().entries.get(&key).cloned()
    }

    pub fn deleter(&self, table: Table, id: u64) -> Option<TransactionKey> {
        self.state().deletes.get(&(table, id)).copied()
    }

    pub fn committed(&self) -> u64 {
        self.state().committed
    }

    pub fn committed_rows(&self) -> u64 {
        self.state().committed_rows
    }

    /// How long the server took to answer each commit.
    pub fn commit_times(&self) -> Vec<Duration> {
        let state = self.state();
        let committed = state.entries.values().filter(|entry| entry.outcome == Outcome::Committed);
        committed.filter_map(|entry| Some(entry.answered?.saturating_duration_since(entry.sent))).collect()
    }

    /// All that are known to have committed, with their number of rows.
    pub fn committed_keys(&self) -> Vec<(TransactionKey, u64)> {
        let state = self.state();
        let committed = state.entries.iter().filter(|(_, entry)| entry.outcome == Outcome::Committed);
        let mut keys: Vec<_> = committed.map(|(key, entry)| (*key, entry.changes.len() as u64)).collect();
        keys.sort_unstable();
        keys
    }
}
