//! Keeps an executor from sleeping for long while one of its tasks is ready.
//!
//! glommio 0.9 asks whether its time slice is over before it looks at its queues. When the core is taken away from it for
//! longer than the slice just there, it takes "over" for "nothing to do" and sleeps with ready tasks until something new
//! happens. With slices of 200 us and more busy threads than cores that was seen once in some 2,000 rounds: a stream that
//! waits for an answer then waits for its timeout, or for ever. Timers of the executor are no help: what they have
//! woken is among the tasks that do not run, and so they are not set again.
//!
//! A wake from another thread always helps. So one thread of the process looks every millisecond whether each executor has
//! polled a task since the last look. One that has is not stalled; one that has not sleeps, or is: a small task of it is
//! woken, at once and then more and more rarely, since a stall begins behind a poll only. There are several such tasks,
//! since one that was woken and has not run yet cannot be woken again.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures::task::AtomicWaker;

/// A stall is hardly longer than two of these. A wake makes some 10 calls into the kernel.
const PERIOD: Duration = Duration::from_millis(1);
/// The same while no executor has done anything for a while.
const IDLE_PERIOD: Duration = Duration::from_millis(4);
/// An executor that does nothing is woken once in so many looks, after it was at the 1st, 2nd, 4th and so on: that a
/// stall outlasts all of them takes as many preemptions at the one wrong place.
const QUIET_LOOKS: u64 = 32;
/// So many wakes in a row may meet with a stall again.
const TASKS: usize = 8;

/// One executor, as it is seen from outside.
#[derive(Default)]
struct Watched {
    /// Of the small tasks.
    wakers: [AtomicWaker; TASKS],
    /// Polls of all other tasks, by the executor's thread alone.
    polls: AtomicU64,
}

/// What the last look has seen.
struct Look {
    watched: Arc<Watched>,
    polls: u64,
    /// Looks since then that saw no poll.
    quiet: u64,
}

#[derive(Default)]
struct Nudger {
    executors: Mutex<Vec<Look>>,
    /// Rung when there is a first one.
    first: Condvar,
}

thread_local! {
    /// Of the executor that runs here; a thread has one at a time.
    static HERE: Arc<Watched> = Arc::default();
}

/// The same task, whose polls are seen.
pub async fn watched<T>(task: impl Future<Output = T>) -> T {
    let watched = HERE.with(Arc::clone);
    let mut task = pin!(task);
    poll_fn(|cx| {
        // Nobody else writes it.
        watched.polls.store(watched.polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        task.as_mut().poll(cx)
    })
    .await
}

/// To be spawned once on every executor, for as long as it runs. Never ready; dropping it ends the wakes.
pub async fn keep_awake() {
    let nudger = nudger();
    let watched = HERE.with(Arc::clone);
    for index in 1..TASKS {
        glommio::spawn_local(register(watched.clone(), index)).detach();
    }
    lock(&nudger.executors).push(Look { watched: watched.clone(), polls: 0, quiet: 0 });
    nudger.first.notify_one();
    let _until_dropped = Registration { nudger, watched: watched.clone() };
    register(watched, 0).await;
}

/// Never ready: it only has to be woken.
async fn register(watched: Arc<Watched>, index: usize) {
    poll_fn(|cx| {
        if let Some(waker) = watched.wakers.get(index) {
            waker.register(cx.waker());
        }
        Poll::<()>::Pending
    })
    .await;
}

fn nudger() -> &'static Nudger {
    static NUDGER: OnceLock<Nudger> = OnceLock::new();
    static STARTED: OnceLock<()> = OnceLock::new();
    let nudger = NUDGER.get_or_init(Nudger::default);
    STARTED.get_or_init(|| {
        let thread = std::thread::Builder::new().name("nudge".to_owned());
        if let Err(error) = thread.spawn(move || look_for_ever(nudger)) {
            tracing::error!("the thread that keeps the executors awake could not be started: {error}");
        }
    });
    nudger
}

fn look_for_ever(nudger: &Nudger) {
    loop {
        let mut executors = lock(&nudger.executors);
        while executors.is_empty() {
            executors = nudger.first.wait(executors).unwrap_or_else(PoisonError::into_inner);
        }
        executors.iter_mut().filter_map(Look::again).for_each(Watched::nudge);
        let is_idle = executors.iter().all(|look| look.quiet >= QUIET_LOOKS);
        drop(executors);
        std::thread::sleep(if is_idle { IDLE_PERIOD } else { PERIOD });
    }
}

impl Look {
    /// `Some`: it may be stalled.
    fn again(&mut self) -> Option<&Watched> {
        let polls = self.watched.polls.load(Ordering::Relaxed);
        self.quiet = if polls == self.polls { self.quiet + 1 } else { 0 };
        self.polls = polls;
        let is_due = match self.quiet {
            quiet @ 0..QUIET_LOOKS => quiet.is_power_of_two(),
            quiet => quiet.is_multiple_of(QUIET_LOOKS),
        };
        is_due.then_some(&*self.watched)
    }
}

impl Watched {
    /// Wakes the first small task that has run since it was last woken.
    fn nudge(&self) {
        if let Some(waker) = self.wakers.iter().find_map(AtomicWaker::take) {
            waker.wake();
        }
    }
}

fn lock(executors: &Mutex<Vec<Look>>) -> MutexGuard<'_, Vec<Look>> {
    executors.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Registration {
    nudger: &'static Nudger,
    watched: Arc<Watched>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.nudger.executors).retain(|other| !Arc::ptr_eq(&other.watched, &self.watched));
        // Nothing can wake the other tasks any more: the runtime drops them.
        for waker in &self.watched.wakers {
            drop(waker.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_polls_is_left_alone_and_who_does_not_is_woken_ever_more_rarely() {
        let watched = Arc::new(Watched::default());
        let mut look = Look { watched: watched.clone(), polls: 0, quiet: 0 };
        for polls in 1..100 {
            watched.polls.store(polls, Ordering::Relaxed);
            assert!(look.again().is_none(), "{polls}");
        }
        let woken: Vec<u64> = (1..=130).filter(|_| look.again().is_some()).collect();
        assert_eq!(woken, [1, 2, 4, 8, 16, 32, 64, 96, 128]);
        watched.polls.store(100, Ordering::Relaxed);
        assert!(look.again().is_none() && look.again().is_some());
    }
}
