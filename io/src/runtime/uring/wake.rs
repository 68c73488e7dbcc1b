//! How a core learns that one of its tasks is ready: a flag for itself, and an eventfd for other threads while it sleeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use rustix::event::{EventfdFlags, eventfd};

pub struct Bell {
    rung: AtomicBool,
    asleep: AtomicBool,
    event: OwnedFd,
}

impl Bell {
    pub fn new() -> io::Result<Arc<Self>> {
        let event = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Arc::new(Self { rung: AtomicBool::new(true), asleep: AtomicBool::new(false), event }))
    }

    pub fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    pub fn ring(&self) {
        // Already rung, and not looked at since: whoever did it has woken the core too, or it was awake.
        if self.rung.swap(true, Ordering::SeqCst) {
            return;
        }
        // Either we see it asleep, or it sees our ring before it sleeps: both orders are total (SeqCst).
        if self.asleep.load(Ordering::SeqCst) {
            // It can only fail when 2^64 - 2 rings were not read.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }

    pub fn has_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    pub fn silence(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }

    /// False: it has rung, and the core must not sleep.
    pub fn begin_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        if self.has_rung() {
            self.asleep.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    pub fn end_sleep(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
