//! Questions that the source core answers with a connection of its own, for those who must not wait: asked and taken by
//! anyone, answered by one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// A question is its key; `None` until it is answered. An answer is handed out once.
#[derive(Debug)]
pub struct Questions<K, T> {
    pending: Mutex<HashMap<K, Option<T>>>,
}

impl<K, T> Default for Questions<K, T> {
    fn default() -> Self {
        Self { pending: Mutex::default() }
    }
}

impl<K: Eq + Hash + Clone, T> Questions<K, T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Option<T>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn ask(&self, key: K) {
        self.lock().insert(key, None);
    }

    /// Those without an answer.
    pub fn asked(&self) -> Vec<K> {
        self.lock().iter().filter(|(_, answer)| answer.is_none()).map(|(key, _)| key.clone()).collect()
    }

    /// Nobody may be waiting any more.
    pub fn answer(&self, key: K, answer: T) {
        if let Some(place) = self.lock().get_mut(&key) {
            *place = Some(answer);
        }
    }

    /// Who asked is gone.
    pub fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    /// `None` while it is not answered.
    pub fn take(&self, key: &K) -> Option<T> {
        let mut pending = self.lock();
        pending.get(key)?.as_ref()?;
        pending.remove(key).flatten()
    }
}
