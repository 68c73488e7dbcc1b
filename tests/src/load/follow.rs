//! A subscriber on a thread of its own that holds all that it gets against the ledger, acknowledges it, and comes
//! back when it loses its connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure};
use millstream_codec::wire::messages::{ClientMessage, ServerMessage, Subscribe};

use super::checker::{Checker, Report};
use super::ledger::Ledger;
use crate::harness::{MysqlServer, RawClient, Received};

const PAUSE: Duration = Duration::from_millis(20);
const POLL: Duration = Duration::from_millis(50);

pub struct Follow {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

struct Shared {
    checker: Mutex<Checker>,
    stopping: AtomicBool,
    /// Refusals that the server itself called passing, and the newest of them.
    refusals: Mutex<Vec<String>>,
}

impl Follow {
    /// Subscribes, and answers once rows follow.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn start(listen: SocketAddr, request: Subscribe, ledger: Arc<Ledger>, database: &str) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            checker: Mutex::new(Checker::new(ledger, database)),
            stopping: AtomicBool::new(false),
            refusals: Mutex::default(),
        });
        let (first, subscribed) = RawClient::subscribe(listen, request.clone())?
            .map_err(|error| anyhow!("refused: {} ({})", error.message, error.code))?;
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("follow".into()).spawn(move || {
            let result = own.run(listen, &request, first, subscribed.epoch);
            if let Err(error) = &result {
                own.refused(format!("{error:#}"));
            }
            result
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub fn checker(&self) -> MutexGuard<'_, Checker> {
        self.shared.checker()
    }

    /// What the server said when it sent this subscriber away for a while.
    pub fn refusals(&self) -> Vec<String> {
        self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until at least so many transactions have come.
    ///
    /// # Errors
    /// When they do not in `within`, or the subscriber has ended.
    pub fn wait_for(&self, transactions: u64, within: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        loop {
            let report = self.checker().report().clone();
            if report.transactions >= transactions {
                return Ok(());
            }
            ensure!(
                Instant::now() < until && !self.has_ended(),
                "{} of {transactions} transactions; refusals {:?}; {:?}",
                report.transactions,
                self.refusals(),
                report.complaints
            );
            std::thread::sleep(PAUSE);
        }
    }

    fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until everything committed has come, and checks it all. Nothing may be written any more.
    ///
    /// # Errors
    /// When the subscriber ended, or a transaction stays away and nothing else is wrong.
    pub fn finish(mut self, server: &MysqlServer, within: Duration) -> anyhow::Result<Report> {
        let until = Instant::now() + within;
        while !self.checker().is_complete() && Instant::now() < until && !self.has_ended() {
            std::thread::sleep(PAUSE);
        }
        // what should not come gets a moment to come all the same
        std::thread::sleep(Duration::from_millis(100));
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow!("the subscriber panicked"))??;
        }
        let shared = Arc::into_inner(std::mem::replace(&mut self.shared, Arc::new(Shared::empty())));
        let shared = shared.ok_or_else(|| anyhow!("the subscriber still runs"))?;
        shared.checker.into_inner().unwrap_or_else(PoisonError::into_inner).finish(server)
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn empty() -> Self {
        Self {
            checker: Mutex::new(Checker::new(Arc::default(), "")),
            stopping: AtomicBool::new(true),
            refusals: Mutex::default(),
        }
    }

    fn checker(&self) -> MutexGuard<'_, Checker> {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn run(&self, listen: SocketAddr, request: &Subscribe, first: RawClient, epoch: u64) -> anyhow::Result<()> {
        let mut connection = Some((first, epoch));
        while !self.is_stopping() {
            match connection.take() {
                Some((client, epoch)) => self.stream(client, epoch)?,
                None => match RawClient::subscribe(listen, request.clone()) {
                    Ok(Ok((client, subscribed))) => connection = Some((client, subscribed.epoch)),
                    Ok(Err(error)) if error.retry => {
                        self.refused(format!("{}: {}", error.code, error.message));
                        std::thread::sleep(PAUSE);
                    }
                    Ok(Err(error)) => bail!("refused for good: {} ({})", error.message, error.code),
                    Err(_) => std::thread::sleep(PAUSE),
                },
            }
        }
        Ok(())
    }

    fn refused(&self, refusal: String) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.last() != Some(&refusal) {
            refusals.push(refusal);
        }
    }

    /// Until the connection ends.
    fn stream(&self, mut client: RawClient, epoch: u64) -> anyhow::Result<()> {
        self.checker().connected();
        while !self.is_stopping() {
            match client.receive(POLL)? {
                Received::Transactions(transactions) => {
                    let mut checker = self.checker();
                    transactions.iter().for_each(|delivery| checker.deliver(delivery));
                    drop(checker);
                    if let Some(last) = transactions.last()
                        && client.send(&ClientMessage::Ack { epoch, sequence: last.sequence }).is_err()
                    {
                        return Ok(());
                    }
                }
                Received::Message(ServerMessage::Acked { sequence, .. }) => self.checker().durable(sequence),
                Received::Message(ServerMessage::Error(error)) if error.retry => {
                    self.refused(format!("{}: {}", error.code, error.message));
                }
                Received::Message(ServerMessage::Error(error)) => bail!("{}: {}", error.code, error.message),
                Received::Message(_) | Received::Nothing => {}
                Received::Closed => return Ok(()),
            }
        }
        Ok(())
    }
}
