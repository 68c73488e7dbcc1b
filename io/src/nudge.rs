//! Keeps an executor from sleeping for long while one of its tasks is ready.
//!
//! glommio 0.9 asks whether its time slice is over before it looks at its queues. When the core is taken away from it for
//! longer than `preempt_timer` just there, it takes "over" for "nothing to do" and sleeps with ready tasks until
//! something new happens. With slices of 200 us and more busy threads than cores that was seen once in some 2,000 rounds:
//! a stream that waits for an answer then waits for its timeout; with slices of 100 ms it was not seen.
//!
//! One repeating timer is no help: what it has woken is among the tasks that do not run, and so it is not set again. Of
//! many tasks that sleep one behind the other, the next one ends it: a stall is bounded by [`SPACING`], and lasts longer
//! only when it happens again at once.

use std::time::Duration;

use glommio::timer::sleep;

/// A stall is no longer than this. Lowered: idle cores work more (at 1 ms about 1 %).
pub const SPACING: Duration = Duration::from_millis(1);

/// A core that was taken away for less than 64 x 1 ms = 64 ms comes back to at least one timer that is still set.
const TIMERS: u32 = 64;

/// To be spawned once on every executor: starts the timers, which run as long as it does, and is done.
pub async fn keep_awake() {
    for place in 1..=TIMERS {
        // A task of its own each: a ready task of a sleeping core cannot set its timer again. None holds another one: when
        // their handles were kept by one task, that task was lost now and then, and all of them with it.
        glommio::spawn_local(repeat(place)).detach();
    }
}

async fn repeat(place: u32) {
    sleep(SPACING * place).await;
    loop {
        sleep(SPACING * TIMERS).await;
    }
}
