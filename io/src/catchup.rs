//! A subscription's own reader of the source: from its position up to the exact place where it joins the live stream.
//! Back-pressured by its client alone.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::{Either, select};
use millstream_core::engine::batch::{PartEnd, Sequence};
use millstream_core::engine::hub::CatchUpStep;
use millstream_core::engine::interest::InterestSet;
use millstream_core::engine::shard::Shard;
use millstream_core::limits;
use millstream_core::position::Position;
use millstream_core::source::config::SourceConfig;
use millstream_core::source::error::{Disposition, SourceError};
use millstream_core::source::start::Start;
use millstream_core::source::tracker::TrackerStats;

use crate::clock::now_us;
use crate::engine::DestinationConfig;
use crate::runtime::{sleep, yield_if_needed};
use crate::source::SourceFeed;
use crate::worker::Worker;

pub struct CatchUp {
    destination: usize,
    subscription: u64,
    start: Start,
    first_sequence: Sequence,
    interest: Arc<InterestSet>,
    stopped: Cell<bool>,
    /// Of the task that runs it; everything it waits for looks at the flags here.
    waker: RefCell<Option<Waker>>,
    /// Rung since the last look.
    rung: Cell<bool>,
}

impl CatchUp {
    pub fn new(
        destination: usize,
        subscription: u64,
        start: Start,
        first_sequence: Sequence,
        interest: Arc<InterestSet>,
    ) -> Self {
        CatchUp {
            destination,
            subscription,
            start,
            first_sequence,
            interest,
            stopped: Cell::new(false),
            rung: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    pub fn stop(&self) {
        self.stopped.set(true);
        self.wake();
    }

    pub fn wake(&self) {
        self.rung.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// There may be room now, or the live stream has moved.
    async fn until_rung(&self) {
        poll_fn(|cx| {
            if self.rung.replace(false) {
                return Poll::Ready(());
            }
            self.set_waker(cx);
            Poll::Pending
        })
        .await;
    }

    async fn until_stopped(&self) {
        poll_fn(|cx| {
            if self.stopped.get() {
                return Poll::Ready(());
            }
            self.set_waker(cx);
            Poll::Pending
        })
        .await;
    }

    fn set_waker(&self, cx: &Context<'_>) {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
    }
}

pub async fn run(worker: Rc<Worker>, catchup: Rc<CatchUp>) {
    let ended = match select(Box::pin(read(&worker, &catchup)), Box::pin(catchup.until_stopped())).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => Ok(()),
    };
    if catchup.stopped.get() {
        return;
    }
    if let Err(error) = ended {
        let retry = error.disposition() == Disposition::Retry;
        let (destination, subscription) = (catchup.destination, catchup.subscription);
        let message = error.to_string();
        tracing::warn!(subscription, message, "a catch-up ended");
        worker.home(|home| home.catchup_failed(destination, subscription, error.code(), &message, retry));
    }
}

/// Why a reader was closed.
enum Closed {
    Done,
    /// Its client took nothing for a while: the source's connection is given back until it does.
    Parked,
}

async fn read(worker: &Rc<Worker>, catchup: &CatchUp) -> Result<(), SourceError> {
    let Some(config) = worker.destinations.get(catchup.destination).cloned() else { return Ok(()) };
    let (mut start, mut first_sequence) = (catchup.start.clone(), catchup.first_sequence);
    loop {
        // Each reader costs the source a dump thread, so only so many are open at once.
        let permit = worker.catchup_permit().await;
        let source = config.source.for_reader(permit.reader);
        let closed = read_until_parked(worker, catchup, &config, source, &mut start, &mut first_sequence).await?;
        drop(permit);
        match closed {
            Closed::Done => return Ok(()),
            Closed::Parked => loop {
                catchup.until_rung().await;
                match worker.home(|home| home.catchup_step(catchup.destination, catchup.subscription, now_us())) {
                    CatchUpStep::Done => return Ok(()),
                    CatchUpStep::Full => {}
                    CatchUpStep::Read | CatchUpStep::WaitForLive => break,
                }
            },
        }
    }
}

async fn read_until_parked(
    worker: &Rc<Worker>,
    catchup: &CatchUp,
    config: &DestinationConfig,
    source: SourceConfig,
    start: &mut Start,
    first_sequence: &mut Sequence,
) -> Result<Closed, SourceError> {
    let (destination, subscription) = (catchup.destination, catchup.subscription);
    let tables = config.shared.tables.clone();
    let mut shard = Shard::new(0, 1, tables.clone());
    let tracker = config.tracker_config(1, *first_sequence);
    let mut feed = SourceFeed::open(source, start.clone(), tracker, tables, catchup.interest.clone()).await?;
    let position = Arc::new(feed.position().clone());
    let mut passed_over = TrackerStats::default();
    let mut step =
        worker.home(|home| home.catchup_started(destination, subscription, position, *first_sequence, now_us()));
    loop {
        match step {
            CatchUpStep::Done => return Ok(Closed::Done),
            CatchUpStep::Full | CatchUpStep::WaitForLive => {
                let patience = sleep(Duration::from_millis(limits::CATCHUP_PARK_MS));
                if let Either::Right(_) = select(Box::pin(catchup.until_rung()), Box::pin(patience)).await {
                    return Ok(Closed::Parked);
                }
                step = worker.home(|home| home.catchup_step(destination, subscription, now_us()));
            }
            CatchUpStep::Read => {
                let batch = feed.next().await?;
                for notice in feed.take_notices() {
                    config.shared.note(&notice);
                }
                // What nobody wanted is counted by the live reader alone.
                let stats = TrackerStats { unwanted_events: 0, ..feed.tracker().stats() };
                config.shared.count_passed_over(stats, &mut passed_over);
                *start = Start::Position(Position::clone(&batch.tail));
                if let Some(last) = batch.transactions.iter().rev().find(|part| part.end == PartEnd::Commit) {
                    *first_sequence = last.sequence + 1;
                }
                let output = shard.encode(batch);
                worker.report_failures(destination, &output.failures);
                step = worker.home(|home| home.catchup_batch(destination, subscription, &output, now_us()));
                yield_if_needed().await;
            }
        }
    }
}
