//! Keeps an executor from sleeping for long while one of its tasks is ready.
//!
//! glommio 0.9 asks whether its time slice is over before it looks at its queues. When the core is taken away from it for
//! longer than the slice just there, it takes "over" for "nothing to do" and sleeps with ready tasks until something new
//! happens. With slices of 200 us and more busy threads than cores that was seen once in some 2,000 rounds: a stream that
//! waits for an answer then waits for its timeout, or for ever. Timers of the executor are no help: what they have
//! woken is among the tasks that do not run, and so they are not set again.
//!
//! A wake from another thread always helps. So one thread of the process wakes a small task of each executor every
//! millisecond, which bounds a stall. There are several such tasks, since one that was woken and has not run yet cannot
//! be woken again.

use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures::task::AtomicWaker;

/// A stall is hardly longer than this. Lowered: idle cores work more (at 1 ms about 1 %).
const PERIOD: Duration = Duration::from_millis(1);

/// So many wakes in a row may meet with a stall again.
const TASKS: usize = 8;

/// The small tasks of one executor.
type Tasks = Arc<[AtomicWaker; TASKS]>;

#[derive(Default)]
struct Nudger {
    executors: Mutex<Vec<Tasks>>,
    /// Rung when there is a first one.
    first: Condvar,
}

/// To be spawned once on every executor, for as long as it runs. Never ready; dropping it ends the wakes.
pub async fn keep_awake() {
    let nudger = nudger();
    let tasks = Tasks::default();
    for index in 1..TASKS {
        glommio::spawn_local(register(tasks.clone(), index)).detach();
    }
    lock(&nudger.executors).push(tasks.clone());
    nudger.first.notify_one();
    let _until_dropped = Registration { nudger, tasks: tasks.clone() };
    register(tasks, 0).await;
}

/// Never ready: it only has to be woken.
async fn register(tasks: Tasks, index: usize) {
    poll_fn(|cx| {
        if let Some(task) = tasks.get(index) {
            task.register(cx.waker());
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
        if let Err(error) = thread.spawn(move || wake_for_ever(nudger)) {
            tracing::error!("the thread that keeps the executors awake could not be started: {error}");
        }
    });
    nudger
}

fn wake_for_ever(nudger: &Nudger) {
    loop {
        let mut executors = lock(&nudger.executors);
        while executors.is_empty() {
            executors = nudger.first.wait(executors).unwrap_or_else(PoisonError::into_inner);
        }
        for tasks in executors.iter() {
            // The first that has run since it was last woken.
            if let Some(waker) = tasks.iter().find_map(AtomicWaker::take) {
                waker.wake();
            }
        }
        drop(executors);
        std::thread::sleep(PERIOD);
    }
}

fn lock(executors: &Mutex<Vec<Tasks>>) -> MutexGuard<'_, Vec<Tasks>> {
    executors.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Registration {
    nudger: &'static Nudger,
    tasks: Tasks,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.nudger.executors).retain(|other| !Arc::ptr_eq(other, &self.tasks));
        // Nothing can wake the other tasks any more: the runtime drops them.
        for task in self.tasks.iter() {
            drop(task.take());
        }
    }
}
