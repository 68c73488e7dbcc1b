//! The cursors that are durable right now, for whoever asks: a subscription that begins, the status page.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_core::bridge::Cursor;
use millstream_core::position::Position;

type ByName = BTreeMap<Arc<str>, Arc<Position>>;

/// Only what is on disk is ever in it. Looked at when a subscription begins, never on the way of a row.
#[derive(Debug, Default)]
pub struct CursorBook {
    durable: Mutex<BTreeMap<Arc<str>, ByName>>,
}

impl CursorBook {
    /// Where the subscription's client has acknowledged to, durably.
    pub fn durable(&self, destination: &str, subscription: &str) -> Option<Arc<Position>> {
        self.lock().get(destination)?.get(subscription).cloned()
    }

    /// All of a destination's cursors, by name.
    pub fn of_destination(&self, destination: &str) -> Vec<Cursor> {
        let durable = self.lock();
        let Some((destination, cursors)) = durable.get_key_value(destination) else { return Vec::new() };
        let cursor = |(subscription, position): (&Arc<str>, &Arc<Position>)| Cursor {
            destination: destination.clone(),
            subscription: subscription.clone(),
            position: position.clone(),
        };
        cursors.iter().map(cursor).collect()
    }

    pub(super) fn insert(&self, cursors: impl IntoIterator<Item = Cursor>) {
        let mut durable = self.lock();
        for cursor in cursors {
            durable.entry(cursor.destination).or_default().insert(cursor.subscription, cursor.position);
        }
    }

    /// The map is whole after every statement that changes it, so a panic elsewhere does no harm to it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, ByName>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
