//! Time: a sorted list, whose first entry bounds the core's sleep.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::{expect_here, here};

type Key = (Instant, u64);

#[derive(Default)]
pub struct Timers {
    waiting: BTreeMap<Key, Waker>,
    last: u64,
}

impl Timers {
    /// Wakes all that are due, and answers when the next one is.
    pub fn fire(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.waiting.first_entry() {
            let (at, _) = *entry.key();
            if at > now {
                return Some(at);
            }
            entry.remove().wake();
        }
        None
    }
}

/// Ready at a moment; given back when it is dropped.
pub struct Timer {
    at: Instant,
    key: Option<Key>,
}

pub fn sleep(duration: Duration) -> Timer {
    Timer::at(Instant::now() + duration)
}

impl Timer {
    pub fn at(at: Instant) -> Self {
        Self { at, key: None }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.at <= Instant::now() {
            return Poll::Ready(());
        }
        let here = expect_here();
        let timers = &mut *here.timers.borrow_mut();
        let key = match self.key {
            Some(key) => key,
            None => {
                timers.last += 1;
                (self.at, timers.last)
            }
        };
        self.key = Some(key);
        match timers.waiting.get_mut(&key) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => drop(timers.waiting.insert(key, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let (Some(key), Some(here)) = (self.key, here()) {
            here.timers.borrow_mut().waiting.remove(&key);
        }
    }
}
