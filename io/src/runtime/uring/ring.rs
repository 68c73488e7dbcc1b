//! The ring itself, and the operations that are in it. The only unsafe code of this crate is here: what the kernel is
//! given a pointer to is owned by the operation's entry until the kernel is done with it, also when nobody waits any more.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, opcode, squeue};
use millstream_core::limits;
use slab::Slab;

use super::wake::Bell;
use super::{expect_here, here};

/// Of the read of the bell's eventfd.
const BELL: u64 = u64::MAX;
/// Of what nobody waits for.
const NOBODY: u64 = u64::MAX - 1;

pub struct Ring {
    ring: IoUring,
    operations: Slab<Entry>,
    bell: Arc<Bell>,
    bell_count: Box<[u8; 8]>,
    /// The read of the bell is in the ring.
    is_listening: bool,
    is_closing: bool,
    /// Every call of it fails from now on.
    #[cfg(test)]
    pub is_broken: bool,
}

/// What a ring asks of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Linux 6.1: of one thread, and completes only when that thread asks.
    Lean,
    /// What Linux 5.11 has: completions may interrupt a task.
    Plain,
}

struct Entry {
    state: State,
    /// What the kernel reads into; `None` where the operation has none.
    buffer: Option<Box<[u8]>>,
    /// Keeps the descriptor from being closed, and its number from being given to another.
    _file: Rc<dyn AsFd>,
}

enum State {
    Waiting(Option<Waker>),
    Done(i32),
    /// Nobody waits any more; the entry goes with the completion.
    Abandoned,
}

impl Ring {
    /// The best form that the kernel has.
    pub fn new(bell: Arc<Bell>) -> io::Result<Self> {
        match Self::of(Form::Lean, bell.clone()) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Self::of(Form::Plain, bell),
            other => other,
        }
    }

    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]: the kernel does not know this form.
    pub fn of(form: Form, bell: Arc<Bell>) -> io::Result<Self> {
        let entries = u32::try_from(limits::EXECUTOR_RING_DEPTH).unwrap_or(512);
        let mut builder = IoUring::builder();
        if form == Form::Lean {
            builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_coop_taskrun();
        }
        let ring = builder.build(entries);
        let ring = ring.map_err(|error| io::Error::new(error.kind(), format!("io_uring cannot be set up: {error}")))?;
        // A sleep with an end (5.11), and completions that wait for room instead of being lost (5.5).
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring of this kernel is too old: Linux 5.11"));
        }
        let mut ring = Self {
            ring,
            operations: Slab::new(),
            bell,
            bell_count: Box::new([0; 8]),
            is_listening: false,
            is_closing: false,
            #[cfg(test)]
            is_broken: false,
        };
        ring.listen()?;
        Ok(ring)
    }

    #[cfg(test)]
    pub fn operation_count(&self) -> usize {
        self.operations.len()
    }

    /// The next ring of the bell from another thread is a completion.
    fn listen(&mut self) -> io::Result<()> {
        let read = opcode::Read::new(Fd(self.bell.event().as_raw_fd()), self.bell_count.as_mut_ptr(), 8);
        self.push(&read.build().user_data(BELL))?;
        self.is_listening = true;
        Ok(())
    }

    fn cancel(&mut self, index: u64) -> io::Result<()> {
        self.push(&opcode::AsyncCancel::new(index).build().user_data(NOBODY))
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: whatever the entry points to is owned by `operations` or by this ring until its completion.
            #[expect(unsafe_code, reason = "the only way to submit")]
            let pushed = unsafe { self.ring.submission().push(entry) };
            if pushed.is_ok() {
                return Ok(());
            }
            // The queue is full: hand it over. Before the kernel takes it, it may want to be rid of completions.
            self.enter(EnterFlags::GETEVENTS)?;
            if self.ring.submission().is_full() {
                self.reap();
            }
        }
    }

    fn enter(&mut self, flags: EnterFlags) -> io::Result<()> {
        let submitted = self.ring.submission().len();
        // SAFETY: no argument is passed.
        #[expect(unsafe_code, reason = "no safe call asks for completions without waiting for one")]
        let entered =
            unsafe { self.ring.submitter().enter::<()>(u32::try_from(submitted).unwrap_or(0), 0, flags.bits(), None) };
        self.outcome(entered)
    }

    fn outcome(&self, entered: io::Result<usize>) -> io::Result<()> {
        #[cfg(test)]
        if self.is_broken {
            return Err(rustix::io::Errno::BADF.into());
        }
        match entered {
            Ok(_) => Ok(()),
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Something was completed, or can be by asking for it.
    pub fn has_news(&mut self) -> bool {
        self.has_work() || !self.ring.completion().is_empty()
    }

    /// Completions are there for the asking: the kernel has them still to make, or had no room for them.
    fn has_work(&mut self) -> bool {
        let submission = self.ring.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    /// Hands over what was submitted, and asks for completions, without waiting.
    pub fn turn(&mut self) -> io::Result<()> {
        if self.ring.submission().is_empty() && !self.has_work() {
            return Ok(());
        }
        self.enter(EnterFlags::GETEVENTS)
    }

    /// The same, and waits for one, so long at most.
    pub fn sleep(&mut self, at_most: Option<Duration>) -> io::Result<()> {
        let submitter = self.ring.submitter();
        let result = match at_most {
            None => submitter.submit_and_wait(1),
            Some(duration) => {
                let timespec = Timespec::from(duration);
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&timespec))
            }
        };
        self.outcome(result)
    }

    /// Wakes who waits for what was completed.
    pub fn take_completions(&mut self) -> io::Result<()> {
        self.reap();
        match self.is_listening || self.is_closing {
            true => Ok(()),
            false => self.listen(),
        }
    }

    fn reap(&mut self) {
        for completion in self.ring.completion() {
            let index = match completion.user_data() {
                BELL => {
                    self.is_listening = false;
                    continue;
                }
                NOBODY => continue,
                index => usize::try_from(index).unwrap_or(usize::MAX),
            };
            let Some(entry) = self.operations.get_mut(index) else { continue };
            match std::mem::replace(&mut entry.state, State::Done(completion.result())) {
                State::Waiting(Some(waker)) => waker.wake(),
                State::Waiting(None) | State::Done(_) => {}
                State::Abandoned => drop(self.operations.remove(index)),
            }
        }
    }
}

impl Drop for Ring {
    /// The kernel must be done with our memory before that goes.
    fn drop(&mut self) {
        let waiting: Vec<u64> = self.operations.iter().map(|(index, _)| index as u64).collect();
        for (_, entry) in &mut self.operations {
            entry.state = State::Abandoned;
        }
        self.is_closing = true;
        let cancelled = waiting.into_iter().chain([BELL]).try_for_each(|index| self.cancel(index));
        let mut result = cancelled;
        while result.is_ok() && (!self.operations.is_empty() || self.is_listening) {
            result = self.sleep(None);
            self.reap();
        }
        if let Err(error) = result {
            tracing::error!(%error, "operations could not be ended: their memory is left to the kernel");
            std::mem::forget(std::mem::take(&mut self.operations));
            std::mem::forget(std::mem::take(&mut self.bell_count));
        }
    }
}

/// The wait was cut short, or its time is over: the caller looks and comes back.
fn is_passing(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    use rustix::io::Errno;
    matches!(errno, Some(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN))
}

/// An operation in the ring. Ready with its result, and the buffer that it was given.
pub struct Operation {
    index: Option<usize>,
}

impl Operation {
    fn submit(
        file: Rc<dyn AsFd>,
        buffer: Option<Box<[u8]>>,
        entry: impl FnOnce(Fd, Option<&mut Box<[u8]>>) -> squeue::Entry,
    ) -> io::Result<Self> {
        let here = expect_here();
        let ring = &mut *here.ring.borrow_mut();
        let fd = Fd(file.as_fd().as_raw_fd());
        let index = ring.operations.insert(Entry { state: State::Waiting(None), buffer, _file: file });
        // The buffer's bytes stay where they are when its box moves with the slab.
        let entry = entry(fd, ring.operations.get_mut(index).and_then(|entry| entry.buffer.as_mut()));
        match ring.push(&entry.user_data(index as u64)) {
            Ok(()) => Ok(Self { index: Some(index) }),
            Err(error) => {
                ring.operations.remove(index);
                Err(error)
            }
        }
    }

    pub fn receive(file: Rc<dyn AsFd>, buffer: Box<[u8]>) -> io::Result<Self> {
        Self::submit(file, Some(buffer), |fd, buffer| {
            let (pointer, length) =
                buffer.map_or((std::ptr::null_mut(), 0), |buffer| (buffer.as_mut_ptr(), buffer.len()));
            opcode::Recv::new(fd, pointer, u32::try_from(length).unwrap_or(u32::MAX)).build()
        })
    }

    /// Ready when the socket can be written to, or has failed.
    pub fn writable(file: Rc<dyn AsFd>) -> io::Result<Self> {
        const POLLOUT: u32 = 4;
        Self::submit(file, None, |fd, _| opcode::PollAdd::new(fd, POLLOUT).build())
    }

    /// Ready when there is a connection to be taken.
    pub fn readable(file: Rc<dyn AsFd>) -> io::Result<Self> {
        const POLLIN: u32 = 1;
        Self::submit(file, None, |fd, _| opcode::PollAdd::new(fd, POLLIN).build())
    }
}

impl Future for Operation {
    type Output = (io::Result<usize>, Option<Box<[u8]>>);

    /// # Panics
    /// When it was ready before.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let here = expect_here();
        let ring = &mut *here.ring.borrow_mut();
        let index = self.index.expect("it is not ready yet");
        let entry = ring.operations.get_mut(index).expect("an entry lives as long as its operation");
        match &mut entry.state {
            State::Done(result) => {
                let result = *result;
                self.index = None;
                let entry = ring.operations.remove(index);
                let errno = |negative: i32| io::Error::from_raw_os_error(negative.saturating_neg());
                Poll::Ready((usize::try_from(result).map_err(|_| errno(result)), entry.buffer))
            }
            State::Waiting(Some(waker)) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            state => {
                *state = State::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let (Some(index), Some(here)) = (self.index, here()) else { return };
        let ring = &mut *here.ring.borrow_mut();
        let Some(entry) = ring.operations.get_mut(index) else { return };
        if let State::Done(_) = entry.state {
            ring.operations.remove(index);
            return;
        }
        entry.state = State::Abandoned;
        // Without it the operation ends with its socket's next event only, and keeps the socket open so long.
        if let Err(error) = ring.cancel(index as u64) {
            // The ring has failed, and says so itself.
            tracing::debug!(%error, "an operation could not be taken back");
        }
    }
}
