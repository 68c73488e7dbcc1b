//! A real MySQL as the source. At full speed its dump thread reads the recorded file, which was put in the place where the
//! server would have written it. At a stated rate sessions execute the workload's statements, each at its time.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, ensure};
use millstream_tests::harness::Session;

use super::Place;
use crate::clock::{now_ns, sleep_until};
use crate::recording::{Recording, Studio};
use crate::replay::{Log, Offered, Pace};

/// Sessions that write. An INSERT of one row takes a fifth of a millisecond here, its commit included.
const WRITERS: usize = 8;

pub struct Mysql {
    pub address: SocketAddr,
    pub place: Place,
    control: Session,
    /// At a stated rate.
    writers: Option<Writers>,
}

/// Which transactions a session sent, and when.
type Sent = Vec<(u64, u64)>;

struct Writers {
    gate: Arc<Gate>,
    threads: Vec<JoinHandle<anyhow::Result<Sent>>>,
    binlog: PathBuf,
    per_second: f64,
    rows_each: u64,
    transactions: u64,
}

#[derive(Default)]
struct Gate {
    /// Open from this moment on.
    begin: Mutex<Option<u64>>,
    opened: Condvar,
    next: AtomicU64,
    stopping: AtomicBool,
}

impl Mysql {
    pub fn start(studio: &Studio, recording: &Recording, pace: Pace) -> anyhow::Result<Self> {
        let (per_second, transactions) = match pace {
            Pace::Full => {
                let server = studio.loaded(recording)?;
                let (address, control) = (server.address().parse()?, server.session()?);
                return Self { address, place: recording.place(studio), control, writers: None }.without_dumps();
            }
            Pace::PerSecond(per_second) => (per_second, recording.transactions),
            Pace::Some { per_second, transactions } => (per_second, transactions.min(recording.transactions)),
        };
        let server = &studio.server;
        let control = server.session()?;
        // The same rows are written in every run.
        for table in recording.workload.filled_tables() {
            control.query(&format!("TRUNCATE TABLE {table}"))?;
        }
        let (file, offset) = server.binlog_end()?;
        let binlog = server.datadir().join(&file);
        let place = Place { file, offset, gtids: server.gtids()?.replace('\n', "") };
        let gate = Arc::new(Gate::default());
        let (workload, size) = (recording.workload, studio.size);
        let mut threads = Vec::new();
        for _ in 0..WRITERS {
            let (session, gate) = (server.session()?, gate.clone());
            threads.push(std::thread::spawn(move || {
                gate.write(per_second, transactions, |transaction| {
                    session.query(&workload.statement(transaction, size)).map(drop)
                })
            }));
        }
        let rows_each = workload.rows_each;
        let writers = Some(Writers { gate, threads, binlog, per_second, rows_each, transactions });
        Self { address: server.address().parse()?, place, control, writers }.without_dumps()
    }

    /// A dump thread notices that its replica has gone when it next has something to send: those of earlier runs are ended.
    fn without_dumps(self) -> anyhow::Result<Self> {
        for id in self.dump_threads()? {
            // It may have ended meanwhile.
            let _ = self.control.query(&format!("KILL {id}"));
        }
        while self.dumps()? > 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Ok(self)
    }

    fn dump_threads(&self) -> anyhow::Result<Vec<String>> {
        let list = self.control.query("SHOW PROCESSLIST")?;
        let column =
            |name| list.columns.iter().position(|column| column == name).context("SHOW PROCESSLIST has other columns");
        let (id, command) = (column("Id")?, column("Command")?);
        let dumps = (0..list.rows.len())
            .filter(|row| list.text(*row, command).is_some_and(|command| command.starts_with("Binlog Dump")));
        Ok(dumps.filter_map(|row| list.text(row, id)).collect())
    }

    pub fn dumps(&self) -> anyhow::Result<u64> {
        Ok(self.dump_threads()?.len() as u64)
    }

    pub fn waits(&self) -> bool {
        self.writers.is_some()
    }

    pub fn go(&self) -> u64 {
        self.writers.as_ref().map_or_else(now_ns, |writers| writers.gate.open())
    }

    /// In the order of the log, which is not that of the writers. Latency counts from when a transaction was due, however late
    /// its session came to it.
    pub fn offered(&mut self) -> anyhow::Result<Offered> {
        let Some(writers) = &mut self.writers else { return Ok(Offered::default()) };
        let begin = writers.gate.open();
        let mut sent = vec![0; usize::try_from(writers.transactions)?];
        for thread in writers.threads.drain(..) {
            let times = thread.join().unwrap_or_else(|_| anyhow::bail!("a writer panicked"))?;
            for (transaction, at) in times {
                *sent.get_mut(usize::try_from(transaction)?).context("more was written than was asked for")? = at;
            }
        }
        let log = Log::read(&writers.binlog, self.place.offset)?;
        let mut offered = Offered::default();
        for id in log.first_ids()? {
            // The first row of a transaction has the number of rows before it as its id.
            let transaction = id / writers.rows_each.max(1);
            let due = due(begin, transaction, writers.per_second);
            let at = sent.get(usize::try_from(transaction)?).context("the log has a row that nobody wrote")?;
            offered.offered_ns.push(due);
            offered.late_ns.push(at.saturating_sub(due));
        }
        ensure!(
            offered.offered_ns.len() == sent.len(),
            "{} of {} transactions are in the log",
            offered.offered_ns.len(),
            sent.len()
        );
        Ok(offered)
    }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        let Some(writers) = &mut self.writers else { return };
        writers.gate.stopping.store(true, Ordering::SeqCst);
        writers.gate.open();
        for thread in writers.threads.drain(..) {
            // What it could not write, nobody waits for any more.
            let _ = thread.join();
        }
    }
}

fn due(begin: u64, transaction: u64, per_second: f64) -> u64 {
    begin + (transaction as f64 * 1e9 / per_second) as u64
}

impl Gate {
    /// The moment since which it is open.
    fn open(&self) -> u64 {
        let mut begin = self.begin.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = *begin.get_or_insert_with(now_ns);
        self.opened.notify_all();
        moment
    }

    /// Takes the next transaction again and again, and executes it when it is due, or as soon as it can.
    fn write(
        &self,
        per_second: f64,
        transactions: u64,
        execute: impl Fn(u64) -> anyhow::Result<()>,
    ) -> anyhow::Result<Sent> {
        let gate = self.begin.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = self.opened.wait_while(gate, |begin| begin.is_none()).unwrap_or_else(PoisonError::into_inner);
        let begin = gate.unwrap_or_default();
        drop(gate);
        let mut sent = Vec::new();
        loop {
            let transaction = self.next.fetch_add(1, Ordering::Relaxed);
            if transaction >= transactions || self.stopping.load(Ordering::SeqCst) {
                return Ok(sent);
            }
            sleep_until(due(begin, transaction, per_second));
            sent.push((transaction, now_ns()));
            execute(transaction)?;
        }
    }
}
