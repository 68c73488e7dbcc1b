//! Wakes executors that sleep although one of their tasks is ready.
//!
//! glommio 0.9 asks whether its time slice is over before it looks at its queues. When a core is taken away from it for
//! longer than `preempt_timer` just there, it takes "over" for "nothing to do" and goes to sleep with ready tasks, until
//! something else happens; its own timers do not help, since what they woke is among those tasks. Under load that was
//! seen once in some 2,000 rounds (200 us slices, more busy threads than cores), and a stream that waits for an answer then
//! waits until its timeout.
//!
//! So one thread of the process rings every executor now and then. The ring is a foreign wake, which no sleep outlasts:
//! a stall is bounded by [`NUDGE_PERIOD`]. Costs about ten microseconds of an idle core each time.

use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures::task::AtomicWaker;

/// A stall is no longer than this. Lowered: idle cores work more (1 ms: about 1 %).
pub const NUDGE_PERIOD: Duration = Duration::from_millis(1);

type Rung = Arc<AtomicWaker>;

/// The executors that are to be rung, and a bell for the thread when there is a first one.
#[derive(Default)]
struct Nudger {
    rung: Mutex<Vec<Rung>>,
    first: Condvar,
}

fn nudger() -> &'static Nudger {
    static NUDGER: OnceLock<Nudger> = OnceLock::new();
    static STARTED: OnceLock<()> = OnceLock::new();
    let nudger = NUDGER.get_or_init(Nudger::default);
    STARTED.get_or_init(|| {
        let thread = std::thread::Builder::new().name("nudge".to_owned());
        if let Err(error) = thread.spawn(move || ring_for_ever(nudger)) {
            tracing::error!("the thread that keeps the executors awake could not be started: {error}");
        }
    });
    nudger
}

fn ring_for_ever(nudger: &Nudger) {
    loop {
        let mut rung = lock(&nudger.rung);
        while rung.is_empty() {
            rung = nudger.first.wait(rung).unwrap_or_else(PoisonError::into_inner);
        }
        for executor in rung.iter() {
            executor.wake();
        }
        drop(rung);
        std::thread::sleep(NUDGE_PERIOD);
    }
}

fn lock(rung: &Mutex<Vec<Rung>>) -> MutexGuard<'_, Vec<Rung>> {
    rung.lock().unwrap_or_else(PoisonError::into_inner)
}

/// To be spawned once on every executor, for as long as it runs. Never ready.
pub async fn keep_awake() {
    let nudger = nudger();
    let waker = Rung::default();
    lock(&nudger.rung).push(waker.clone());
    nudger.first.notify_one();
    let _forgotten_at_the_end = Registration { nudger, waker: waker.clone() };
    poll_fn(|cx| {
        waker.register(cx.waker());
        Poll::<()>::Pending
    })
    .await;
}

struct Registration {
    nudger: &'static Nudger,
    waker: Rung,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.nudger.rung).retain(|other| !Arc::ptr_eq(other, &self.waker));
    }
}
