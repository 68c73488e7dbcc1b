//! Asking `mysql_common`, which panics on some input: that is caught, and means no answer.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::memory::uncounted;

thread_local! {
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// Panics of a peer are not told, and do not abort. Call it behind whoever else sets a hook.
pub fn set_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !ASKING.get() {
                others(info);
            }
        }));
    });
}

/// The peer's answer; `None` where it has none or panics. Its memory does not count.
pub fn ask<T>(question: impl FnOnce() -> Option<T>) -> Option<T> {
    ASKING.set(true);
    let answer = uncounted(|| catch_unwind(AssertUnwindSafe(question)));
    ASKING.set(false);
    answer.ok().flatten()
}
