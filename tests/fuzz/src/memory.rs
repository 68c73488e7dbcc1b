//! How much memory a target takes at one time. Counts what Rust allocates in the whole process, so targets run one
//! after the other.

use std::sync::atomic::{AtomicUsize, Ordering};

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The peak before a part that does not count.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// The most bytes that were allocated at one time inside `run`, beyond what was before.
pub fn measured<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    KEPT.store(0, Ordering::Relaxed);
    let result = run();
    let peak = HEAP.peak_usage().max(KEPT.load(Ordering::Relaxed));
    (result, peak.saturating_sub(before))
}

/// What `run` takes does not count: it is not ours.
pub fn uncounted<T>(run: impl FnOnce() -> T) -> T {
    KEPT.fetch_max(HEAP.peak_usage(), Ordering::Relaxed);
    let result = run();
    HEAP.reset_peak_usage();
    result
}
