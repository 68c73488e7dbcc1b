//! One worker core: its home with the clients' connections, its shards, and what its effects ask for.
//!
//! Everything here runs on one executor; the home is borrowed for the length of one call and never across an await.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use millstream_core::bridge::{CoreLink, Cursor, FromControl, ToControl};
use millstream_core::engine::batch::SourceBatch;
use millstream_core::engine::home::{Home, HomeEffect, Verdict};
use millstream_core::engine::ring::{RingReceiver, RingSender};
use millstream_core::engine::shard::{DecodeFailure, Shard, ShardOutput};
use millstream_core::engine::shared::Destination;
use millstream_core::limits;

use crate::catchup::{self, CatchUp};
use crate::clock::now_us;
use crate::engine::DestinationConfig;
use crate::runtime::{sleep, yield_if_needed};
use crate::tasks::spawn;

/// Checks a name and a password; it takes milliseconds, so the answer comes from a thread of its own.
pub type PasswordCheck = Arc<dyn Fn(String, String) -> BoxFuture<'static, Verdict> + Send + Sync>;

pub struct Worker {
    pub home: RefCell<Home>,
    pub destinations: Vec<Arc<DestinationConfig>>,
    wakers: RefCell<HashMap<u64, Waker>>,
    catchups: RefCell<HashMap<(usize, u64), Rc<CatchUp>>>,
    link: CoreLink,
    check: PasswordCheck,
    readers: Rc<Readers>,
    stopping: Cell<bool>,
    stopped: RefCell<Option<Waker>>,
    /// Of all cores: one has failed, or the control thread has said so to each.
    all_stopping: Arc<AtomicBool>,
}

impl Worker {
    pub fn new(
        home: Home,
        destinations: Vec<Arc<DestinationConfig>>,
        link: CoreLink,
        check: PasswordCheck,
        catchup_max: u64,
        all_stopping: Arc<AtomicBool>,
    ) -> Rc<Self> {
        Rc::new(Worker {
            home: RefCell::new(home),
            destinations,
            wakers: RefCell::default(),
            catchups: RefCell::default(),
            link,
            check,
            readers: Rc::new(Readers {
                open: RefCell::new(vec![false; usize::try_from(catchup_max.max(1)).unwrap_or(1)]),
                waiting: RefCell::default(),
            }),
            stopping: Cell::new(false),
            stopped: RefCell::default(),
            all_stopping,
        })
    }

    /// Waits until one more reader of the source may be open.
    pub async fn catchup_permit(&self) -> CatchUpPermit {
        let slot = poll_fn(|cx| self.readers.poll_slot(cx)).await;
        // The live reader is 0; every core's catch-ups have numbers of their own.
        let per_core = u32::try_from(self.readers.open.borrow().len()).unwrap_or(1);
        let reader = 1 + u32::from(self.link.core) * per_core + u32::try_from(slot).unwrap_or(0);
        CatchUpPermit { reader, slot, readers: self.readers.clone() }
    }

    pub fn destination(&self, index: usize) -> Option<&Arc<Destination>> {
        self.destinations.get(index).map(|config| &config.shared)
    }

    /// One call into the home, and what it asks for afterwards.
    pub fn home<R>(self: &Rc<Self>, call: impl FnOnce(&mut Home) -> R) -> R {
        let result = call(&mut self.home.borrow_mut());
        self.carry_out();
        result
    }

    fn carry_out(self: &Rc<Self>) {
        loop {
            let Some(effect) = self.home.borrow_mut().next_effect() else { return };
            match effect {
                HomeEffect::Wake { connection } => {
                    if let Some(waker) = self.wakers.borrow().get(&connection) {
                        waker.wake_by_ref();
                    }
                }
                HomeEffect::Verify { connection, user, password } => self.verify(connection, user, password),
                HomeEffect::StartCatchUp { destination, subscription, start, first_sequence, interest } => {
                    let catchup = Rc::new(CatchUp::new(destination, subscription, start, first_sequence, interest));
                    let old = self.catchups.borrow_mut().insert((destination, subscription), catchup.clone());
                    if let Some(old) = old {
                        old.stop();
                    }
                    spawn("catch-up", catchup::run(self.clone(), catchup));
                }
                HomeEffect::StopCatchUp { destination, subscription } => {
                    if let Some(catchup) = self.catchups.borrow_mut().remove(&(destination, subscription)) {
                        catchup.stop();
                    }
                }
                HomeEffect::ResumeCatchUp { destination, subscription } => {
                    if let Some(catchup) = self.catchups.borrow().get(&(destination, subscription)) {
                        catchup.wake();
                    }
                }
                HomeEffect::SaveCursor { ticket, destination, name, position, sequence } => {
                    let Some(shared) = self.destination(destination) else { continue };
                    let cursor = Cursor { destination: shared.name.clone(), subscription: name, position };
                    self.tell_control(ToControl::SaveCursor { cursor, core: self.link.core, ticket, sequence });
                }
            }
        }
    }

    fn tell_control(&self, message: ToControl) {
        // The control thread outlives the workers; when it is gone, the process is ending.
        if self.link.to_control.send(message).is_ok() {
            self.link.control_doorbell.wake();
        }
    }

    fn verify(self: &Rc<Self>, connection: u64, user: String, password: String) {
        let (worker, check) = (self.clone(), self.check.clone());
        spawn("verify", async move {
            let verdict = check(user, password).await;
            worker.home(|home| home.verified(connection, verdict));
        });
    }

    pub fn set_waker(&self, connection: u64, waker: &Waker) {
        let mut wakers = self.wakers.borrow_mut();
        match wakers.get_mut(&connection) {
            Some(known) if known.will_wake(waker) => {}
            Some(known) => *known = waker.clone(),
            None => {
                wakers.insert(connection, waker.clone());
            }
        }
    }

    pub fn forget(self: &Rc<Self>, connection: u64) {
        self.wakers.borrow_mut().remove(&connection);
        self.home(|home| home.disconnect(connection));
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    // ------------------------------------------------------------------------------------------------------- tasks

    /// Answers of the control thread, and names that became free.
    pub async fn listen_to_control(self: Rc<Self>) {
        poll_fn(|cx| {
            self.link.doorbell.register(cx.waker());
            while let Ok(message) = self.link.from_control.try_recv() {
                self.control_message(message);
            }
            if self.all_stopping.load(Ordering::Acquire) {
                self.shut_down();
            }
            self.home(Home::retry_claims);
            Poll::<()>::Pending
        })
        .await;
    }

    fn control_message(self: &Rc<Self>, message: FromControl) {
        match message {
            FromControl::CursorSaved { ticket, .. } => self.home(|home| home.cursor_saved(ticket, true)),
            FromControl::CursorFailed { ticket, reason } => {
                tracing::error!(reason, "a cursor could not be made durable; it is tried again");
                self.home(|home| home.cursor_saved(ticket, false));
            }
            FromControl::Shutdown => self.shut_down(),
        }
    }

    fn shut_down(self: &Rc<Self>) {
        if self.stopping.replace(true) {
            return;
        }
        self.home(Home::shut_down);
        if let Some(waker) = self.stopped.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Ready once the control thread has said `Shutdown`, or another core has failed.
    pub async fn until_shutdown(&self) {
        poll_fn(|cx| {
            if self.stopping.get() {
                return Poll::Ready(());
            }
            *self.stopped.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub fn connection_count(&self) -> usize {
        self.wakers.borrow().len()
    }

    /// Heartbeats, statistics.
    pub async fn tick(self: Rc<Self>) {
        let mut ticks: u64 = 0;
        loop {
            sleep(Duration::from_micros(limits::TICK_US)).await;
            ticks += 1;
            self.home(|home| home.tick(now_us()));
            if ticks.is_multiple_of(limits::TICKS_PER_REPORT) {
                let (histograms, status) = {
                    let mut home = self.home.borrow_mut();
                    (std::mem::take(&mut home.histograms), home.status())
                };
                if !histograms.is_empty() {
                    self.tell_control(ToControl::Histograms(Box::new(histograms)));
                }
                self.tell_control(ToControl::Status(Box::new(status)));
            }
        }
    }

    // ------------------------------------------------------------------------------------------------- live streams

    /// With one core for all: the batch is encoded and handed to the views by the task that received it.
    pub fn live_batch_here(self: &Rc<Self>, destination: usize, shard: &mut Shard, batch: Arc<SourceBatch>) {
        let output = shard.encode(batch);
        self.report_failures(destination, &output.failures);
        self.home(|home| home.live_batch(destination, &[&output], true, now_us()));
    }

    pub fn report_failures(&self, destination: usize, failures: &[DecodeFailure]) {
        let Some(shared) = self.destination(destination) else { return };
        for failure in failures {
            let table = format!("{}.{}", failure.table.schema.database, failure.table.schema.table);
            tracing::error!(destination = %shared.name, table, offset = failure.offset, reason = failure.reason, "table quarantined: its rows cannot be decoded; every other table goes on");
            shared.quarantine(&table, &failure.reason);
        }
    }

    /// Decodes what the source core sends, and passes the outputs to every worker.
    pub async fn encode_loop(
        self: Rc<Self>,
        destination: usize,
        mut shard: Shard,
        mut from_source: RingReceiver<LiveItem>,
        mut to_homes: Vec<RingSender<HomeItem>>,
    ) {
        while let Some(item) = from_source.receive().await {
            let (item, bytes) = match item {
                LiveItem::Started(position, sequence) => (HomeItem::Started(position, sequence), 0),
                LiveItem::Halted(reason) => (HomeItem::Halted(reason), 0),
                LiveItem::Batch(batch) => {
                    let output = shard.encode(batch);
                    self.report_failures(destination, &output.failures);
                    let bytes = output.slab.len();
                    (HomeItem::Output(Arc::new(output)), bytes)
                }
            };
            for ring in &mut to_homes {
                ring.send(item.clone(), bytes).await;
            }
            yield_if_needed().await;
        }
    }

    /// Merges the outputs of all shards, one of each for every batch, into this core's views.
    pub async fn merge_loop(self: Rc<Self>, destination: usize, mut from_shards: Vec<RingReceiver<HomeItem>>) {
        let mut outputs: Vec<Arc<ShardOutput>> = Vec::with_capacity(from_shards.len());
        loop {
            outputs.clear();
            for ring in &mut from_shards {
                match ring.receive().await {
                    None => return,
                    Some(HomeItem::Output(output)) => outputs.push(output),
                    Some(HomeItem::Started(position, sequence)) => {
                        self.home(|home| home.live_started(destination, position, sequence));
                    }
                    Some(HomeItem::Halted(reason)) => self.home(|home| home.halted(destination, &reason)),
                }
            }
            if outputs.is_empty() {
                continue;
            }
            debug_assert!(outputs.windows(2).all(|pair| match pair {
                [a, b] => a.batch.number == b.batch.number,
                _ => true,
            }));
            let more = from_shards.iter().all(|ring| !ring.is_empty());
            let references: Vec<&ShardOutput> = outputs.iter().map(|output| &**output).collect();
            self.home(|home| home.live_batch(destination, &references, !more, now_us()));
            yield_if_needed().await;
        }
    }
}

/// Which of the `catchup_max` readers are open: each is a replica of its own to the source.
struct Readers {
    open: RefCell<Vec<bool>>,
    waiting: RefCell<Vec<Waker>>,
}

impl Readers {
    fn poll_slot(&self, cx: &Context<'_>) -> Poll<usize> {
        let mut open = self.open.borrow_mut();
        match open.iter_mut().enumerate().find(|(_, is_open)| !**is_open) {
            Some((slot, is_open)) => {
                *is_open = true;
                Poll::Ready(slot)
            }
            None => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The right to one reader of the source, given back when it is dropped.
pub struct CatchUpPermit {
    /// Its number among this server's readers: no two open ones have the same.
    pub reader: u32,
    slot: usize,
    readers: Rc<Readers>,
}

impl Drop for CatchUpPermit {
    fn drop(&mut self) {
        if let Some(is_open) = self.readers.open.borrow_mut().get_mut(self.slot) {
            *is_open = false;
        }
        // All look again: one that is woken may be gone before it runs.
        self.readers.waiting.take().into_iter().for_each(Waker::wake);
    }
}

/// From the source core to a worker.
pub enum LiveItem {
    /// The stream begins (again) here; the sequence is of the last transaction before it.
    Started(Arc<millstream_core::position::Position>, u64),
    Batch(Arc<SourceBatch>),
    Halted(Arc<str>),
}

/// From a worker's shard to a worker's home. Every ring carries the same kinds in the same order.
#[derive(Clone)]
pub enum HomeItem {
    Started(Arc<millstream_core::position::Position>, u64),
    Output(Arc<ShardOutput>),
    Halted(Arc<str>),
}
