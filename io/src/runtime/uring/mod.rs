//! The lean driver: one ring, one list of tasks, one wait.
//!
//! A pass polls the tasks that were woken (`FuturesUnordered`), takes what the ring has completed, and, when nothing is
//! left to do, enters the kernel once to hand over what was submitted and to wait. The ring is of one thread and completes
//! only when that thread asks (SINGLE_ISSUER, DEFER_TASKRUN), so that nothing interrupts a task.
//!
//! A socket's read is in the ring while its task waits: the bytes are there when it wakes. While a socket has more than
//! that, and always for sends, plain non-blocking calls move the bytes straight from and to the caller's memory: a call of
//! its own costs less than a second copy. What a full socket refuses waits in the ring again.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use millstream_core::limits;
use rustix::thread::{CpuSet, sched_setaffinity};

use self::ring::Ring;
use self::timers::Timers;
use self::wake::Bell;
use super::CoreOptions;

mod net;
mod ring;
mod timers;
mod wake;

pub use self::net::{TcpListener, TcpStream};
pub use self::timers::sleep;

thread_local! {
    static HERE: RefCell<Option<Rc<Here>>> = const { RefCell::new(None) };
}

/// What the tasks of this thread share.
struct Here {
    ring: RefCell<Ring>,
    timers: RefCell<Timers>,
    /// Spawned, and not among the tasks yet.
    spawned: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
    bell: Arc<Bell>,
    /// When the tasks were last let go on.
    pass_began: Cell<Instant>,
}

/// `None` while the thread ends: what is dropped then has nothing to give back.
fn here() -> Option<Rc<Here>> {
    HERE.try_with(|here| here.borrow().clone()).ok().flatten()
}

/// # Panics
/// On a thread that is no core of this driver.
fn expect_here() -> Rc<Here> {
    here().expect("only called on a core's own thread")
}

pub struct Core(JoinHandle<io::Result<()>>);

impl Core {
    pub fn start<F>(options: CoreOptions, task: impl FnOnce() -> F + Send + 'static) -> io::Result<Core>
    where
        F: Future<Output = ()> + 'static,
    {
        let thread = std::thread::Builder::new().name(options.name.clone());
        Ok(Core(thread.spawn(move || {
            if let Some(core) = options.core {
                pin(core)?;
            }
            block_on(options.spin_before_sleep, task())
        })?))
    }

    pub fn join(self) -> Result<(), String> {
        match self.0.join() {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("its thread ended in a panic".to_owned()),
        }
    }
}

pub fn spawn(task: impl Future<Output = ()> + 'static) {
    let here = expect_here();
    here.spawned.borrow_mut().push(Box::pin(task));
    here.bell.ring();
}

pub async fn yield_if_needed() {
    let here = expect_here();
    if here.pass_began.get().elapsed() < Duration::from_micros(limits::PREEMPT_US) {
        return;
    }
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn pin(core: usize) -> io::Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::other(format!("core {core} is beyond what the kernel can be told of")));
    }
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(|error| io::Error::other(format!("pinning to core {core}: {error}")))
}

/// Runs a future and all that it spawns on this thread, until the future is ready.
///
/// # Errors
/// There is no ring to be had, or it failed: then the future and what it spawned are dropped where they stood.
pub fn block_on<T>(spin: Duration, future: impl Future<Output = T>) -> io::Result<T> {
    let bell = Bell::new()?;
    block_on_ring(Ring::new(bell.clone())?, bell, spin, future)
}

/// The same on the ring of older kernels.
#[cfg(test)]
pub fn block_on_plain<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let bell = Bell::new()?;
    block_on_ring(Ring::of(ring::Form::Plain, bell.clone())?, bell, Duration::ZERO, future)
}

/// Lets this core's ring fail at its next call.
#[cfg(test)]
pub fn break_ring() {
    expect_here().ring.borrow_mut().is_broken = true;
}

fn block_on_ring<T>(ring: Ring, bell: Arc<Bell>, spin: Duration, future: impl Future<Output = T>) -> io::Result<T> {
    let here = Rc::new(Here {
        ring: RefCell::new(ring),
        timers: RefCell::default(),
        spawned: RefCell::default(),
        bell,
        pass_began: Cell::new(Instant::now()),
    });
    HERE.set(Some(here.clone()));
    let result = here.run(spin, future);
    drop(here.spawned.take());
    HERE.set(None);
    result
}

impl Here {
    /// Until the future is ready; the tasks are dropped then.
    fn run<T>(&self, spin: Duration, future: impl Future<Output = T>) -> io::Result<T> {
        let mut tasks = FuturesUnordered::<LocalBoxFuture<'static, ()>>::new();
        let mut future = std::pin::pin!(future);
        let waker = self.bell.clone().into();
        let mut context = Context::from_waker(&waker);
        loop {
            let began = Instant::now();
            self.pass_began.set(began);
            // What the tasks wake among each other needs no call into the kernel in between.
            loop {
                self.bell.silence();
                if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
                    return Ok(result);
                }
                loop {
                    tasks.extend(self.spawned.borrow_mut().drain(..));
                    let has_ended = matches!(tasks.poll_next_unpin(&mut context), Poll::Ready(Some(())));
                    if !has_ended && self.spawned.borrow().is_empty() {
                        break;
                    }
                }
                if !self.bell.has_rung() || began.elapsed() >= Duration::from_micros(limits::PREEMPT_US) {
                    break;
                }
            }
            let due = self.timers.borrow_mut().fire(Instant::now());
            match self.bell.has_rung() {
                true => self.ring.borrow_mut().turn()?,
                false => self.wait(spin, due)?,
            }
            self.ring.borrow_mut().take_completions()?;
        }
    }

    /// Until something has been completed, somebody rings, or the next timer is due.
    fn wait(&self, spin: Duration, due: Option<Instant>) -> io::Result<()> {
        let ring = &mut *self.ring.borrow_mut();
        if !spin.is_zero() {
            ring.turn()?;
            let until = Instant::now() + spin;
            let until = due.map_or(until, |due| until.min(due));
            while Instant::now() < until {
                if ring.has_news() || self.bell.has_rung() {
                    return ring.turn();
                }
                std::hint::spin_loop();
            }
        }
        if !self.bell.begin_sleep() {
            return ring.turn();
        }
        let result = ring.sleep(due.map(|due| due.saturating_duration_since(Instant::now())));
        self.bell.end_sleep();
        result
    }
}

#[cfg(test)]
mod tests;
