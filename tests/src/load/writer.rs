//! Runs the workload against a server: some connections, open loop at a stated rate, through crashes and cuts.
//!
//! A commit that was not answered is looked up once the server is there again, so that the ledger is never in doubt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::time::{Instant, sleep, sleep_until};

use super::ledger::{Ledger, Outcome, TransactionKey};
use super::schema::Table;
use super::workload::{End, Plan, Workload};
use crate::harness::MysqlServer;

#[derive(Clone, Debug)]
pub struct LoadOptions {
    pub seed: u64,
    pub database: String,
    pub writers: u32,
    pub transactions_per_second: u32,
    /// One transaction in so many, of each writer, is a large one; 0: none.
    pub large_every: u64,
    pub large_rows: u64,
    /// The first writer adds a column after each so many of its transactions; 0: never.
    pub ddl_every: u64,
}

impl LoadOptions {
    pub fn new(database: &str, seed: u64) -> Self {
        Self {
            seed,
            database: database.to_owned(),
            writers: 4,
            transactions_per_second: 400,
            large_every: 400,
            large_rows: 600,
            ddl_every: 0,
        }
    }

    pub fn rate(mut self, transactions_per_second: u32) -> Self {
        self.transactions_per_second = transactions_per_second;
        self
    }
}

/// A running workload; stopped when dropped.
pub struct Load {
    ledger: Arc<Ledger>,
    database: String,
    control: Arc<Control>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

#[derive(Default)]
struct Control {
    stopping: AtomicBool,
    pausing: AtomicBool,
    /// Writers that are between two transactions because of `pausing`.
    paused: AtomicU32,
    running: AtomicU32,
    /// Columns added so far; writers use them from then on.
    added_columns: AtomicU32,
    errors: AtomicU64,
}

/// No server is away for longer in a test.
const RECONNECT_MAX: Duration = Duration::from_secs(60);

impl Load {
    /// Makes the database and its tables.
    ///
    /// # Errors
    /// The error of the server.
    pub fn prepare(server: &MysqlServer, database: &str) -> anyhow::Result<()> {
        let session = server.session()?;
        session.query(&format!("CREATE DATABASE {database} CHARACTER SET utf8mb4"))?;
        for table in Table::ALL {
            session.query(&table.create_statement(database))?;
        }
        Ok(())
    }

    /// Makes the tables and begins to write.
    ///
    /// # Errors
    /// When the tables cannot be made.
    pub fn start(server: &MysqlServer, options: LoadOptions) -> anyhow::Result<Self> {
        Self::prepare(server, &options.database)?;
        Self::start_prepared(server, options)
    }

    /// Begins to write into tables that [`Self::prepare`] made.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start_prepared(server: &MysqlServer, options: LoadOptions) -> anyhow::Result<Self> {
        let ledger = Arc::new(Ledger::default());
        let control = Arc::new(Control::default());
        control.running.store(options.writers, Ordering::SeqCst);
        let connect = server.tcp_options();
        let database = options.database.clone();
        let (own_ledger, own_control) = (ledger.clone(), control.clone());
        let thread = std::thread::Builder::new()
            .name("load".into())
            .spawn(move || run(connect, options, own_ledger, own_control))
            .context("starting the load")?;
        Ok(Self { ledger, database, control, thread: Some(thread) })
    }

    pub fn ledger(&self) -> Arc<Ledger> {
        self.ledger.clone()
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    /// Errors of the server or the connection that the writers got over.
    pub fn errors(&self) -> u64 {
        self.control.errors.load(Ordering::SeqCst)
    }

    /// Until [`Self::resume`] nothing is written; what has begun is ended first.
    pub fn pause(&self) {
        self.control.pausing.store(true, Ordering::SeqCst);
        while self.control.paused.load(Ordering::SeqCst) < self.control.running.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn resume(&self) {
        self.control.pausing.store(false, Ordering::SeqCst);
    }

    /// Ends what has begun, and answers with what was committed.
    ///
    /// # Errors
    /// What a writer could not get over.
    pub fn stop(mut self) -> anyhow::Result<Arc<Ledger>> {
        self.control.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow!("a writer panicked"))??;
        }
        Ok(self.ledger.clone())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.control.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(connect: OptsBuilder, options: LoadOptions, ledger: Arc<Ledger>, control: Arc<Control>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let begin = Instant::now();
        let period = Duration::from_secs(1) * options.writers / options.transactions_per_second.max(1);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 1..=options.writers {
            let workload =
                Workload::new(&options.database, options.seed, number, options.large_every, options.large_rows);
            let writer = Writer {
                connect: Opts::from(connect.clone()),
                connection: None,
                connection_id: 0,
                workload,
                ledger: ledger.clone(),
                control: control.clone(),
                database: options.database.clone(),
                ddl_every: if number == 1 { options.ddl_every } else { 0 },
            };
            // evenly over the period
            let first = begin + period * (number - 1) / options.writers;
            tasks.spawn(writer.run(first, period));
        }
        let mut result = Ok(());
        while let Some(ended) = tasks.join_next().await {
            control.running.fetch_sub(1, Ordering::SeqCst);
            let ended = ended.map_err(|error| anyhow!("a writer: {error}")).and_then(|result| result);
            if ended.is_err() {
                control.stopping.store(true, Ordering::SeqCst);
                result = ended;
            }
        }
        result
    })
}

struct Writer {
    connect: Opts,
    connection: Option<Conn>,
    connection_id: u32,
    workload: Workload,
    ledger: Arc<Ledger>,
    control: Arc<Control>,
    database: String,
    ddl_every: u64,
}

impl Writer {
    async fn run(mut self, first: Instant, period: Duration) -> anyhow::Result<()> {
        let mut due = first;
        loop {
            sleep_until(due).await;
            due += period;
            if self.control.pausing.load(Ordering::SeqCst) {
                self.control.paused.fetch_add(1, Ordering::SeqCst);
                while self.control.pausing.load(Ordering::SeqCst) && !self.control.stopping.load(Ordering::SeqCst) {
                    sleep(Duration::from_millis(2)).await;
                }
                self.control.paused.fetch_sub(1, Ordering::SeqCst);
                due = Instant::now();
            }
            if self.control.stopping.load(Ordering::SeqCst) {
                if let Some(connection) = self.connection.take() {
                    let _ = connection.disconnect().await;
                }
                return Ok(());
            }
            self.workload.added_columns = self.control.added_columns.load(Ordering::SeqCst);
            let plan = self.workload.next();
            self.perform(&plan).await?;
            if self.ddl_every > 0 && plan.key.number.is_multiple_of(self.ddl_every) {
                self.add_column().await?;
            }
            // after an outage the schedule begins anew: a test is not about how fast writers catch up
            if Instant::now() > due + Duration::from_secs(1) {
                due = Instant::now();
            }
        }
    }

    async fn perform(&mut self, plan: &Plan) -> anyhow::Result<()> {
        // What fails before the end is as if it had never begun.
        while !self.begin(plan).await? {}
        let End::Commit(end) = &plan.end else {
            self.settle_rollback().await?;
            return Ok(());
        };
        self.ledger.enter(plan.key, plan.changes.clone());
        let answered = match &mut self.connection {
            Some(connection) => connection.query_drop(end).await,
            None => return Err(anyhow!("no connection")),
        };
        let outcome = match answered {
            Ok(()) => Outcome::Committed,
            Err(error) => {
                self.control.errors.fetch_add(1, Ordering::SeqCst);
                self.connection = None;
                self.look_up(plan).await.with_context(|| format!("after: {error}"))?
            }
        };
        if outcome == Outcome::NotCommitted {
            self.workload.undo(plan);
        }
        self.ledger.settle(plan.key, outcome);
        Ok(())
    }

    /// All but the end; false: the connection was lost, try again.
    async fn begin(&mut self, plan: &Plan) -> anyhow::Result<bool> {
        if self.connection.is_none() {
            self.reconnect().await?;
        }
        if plan.statements.is_empty() {
            return Ok(true);
        }
        let Some(connection) = &mut self.connection else { return Ok(false) };
        let statements = format!("BEGIN; {}", plan.statements.join("; "));
        match connection.query_drop(&statements).await {
            Ok(()) => Ok(true),
            Err(mysql_async::Error::Server(error)) if !is_of_the_connection(error.code) => {
                let shown: String = statements.chars().take(400).collect();
                Err(anyhow!("{error} in: {shown}"))
            }
            Err(_) => {
                self.control.errors.fetch_add(1, Ordering::SeqCst);
                self.connection = None;
                Ok(false)
            }
        }
    }

    async fn settle_rollback(&mut self) -> anyhow::Result<()> {
        if let Some(connection) = &mut self.connection
            && connection.query_drop("ROLLBACK").await.is_err()
        {
            self.connection = None;
        }
        Ok(())
    }

    async fn look_up(&mut self, plan: &Plan) -> anyhow::Result<Outcome> {
        let lost = self.connection_id;
        loop {
            self.reconnect().await?;
            let Some(connection) = &mut self.connection else { continue };
            // The old connection may still be at its commit; after a restart its number belongs to somebody else.
            let own = connection.id();
            for _ in 0..20 {
                // information_schema.processlist fails where another's statement has an emoji
                let rows: Result<Vec<mysql_async::Row>, _> = connection.query("SHOW PROCESSLIST").await;
                let is_there = |row: &mysql_async::Row| row.get::<u32, _>(0).is_some_and(|id| id == lost && id != own);
                match rows {
                    Ok(rows) if rows.iter().any(is_there) => sleep(Duration::from_millis(50)).await,
                    _ => break,
                }
            }
            let query = self.workload.committed_query(plan).context("a transaction without changes")?;
            let answer: Result<Option<u64>, _> = connection.query_first(query).await;
            match answer {
                Ok(Some(0)) => return Ok(Outcome::NotCommitted),
                Ok(Some(_)) => return Ok(Outcome::Committed),
                Ok(None) | Err(_) => self.connection = None,
            }
        }
    }

    async fn reconnect(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + RECONNECT_MAX;
        loop {
            match tokio::time::timeout(Duration::from_secs(5), Conn::new(self.connect.clone())).await {
                Ok(Ok(connection)) => {
                    self.connection_id = connection.id();
                    self.connection = Some(connection);
                    return Ok(());
                }
                failed => {
                    let reason = match failed {
                        Ok(Err(error)) => error.to_string(),
                        _ => "no answer".to_owned(),
                    };
                    ensure!(Instant::now() < until, "the server stays away: {reason}");
                    ensure!(!self.control.stopping.load(Ordering::SeqCst), "the server is away at the end: {reason}");
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    async fn add_column(&mut self) -> anyhow::Result<()> {
        let number = self.control.added_columns.load(Ordering::SeqCst) + 1;
        let statement = format!("ALTER TABLE {}.notes ADD COLUMN added_{number} INT NULL", self.database);
        if let Some(connection) = &mut self.connection {
            connection.query_drop(&statement).await.with_context(|| statement.clone())?;
            self.control.added_columns.store(number, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Errors with which a server ends connections: shutdown, kill, timeout.
fn is_of_the_connection(code: u16) -> bool {
    matches!(code, 1053 | 1152 | 1158..=1161 | 1317 | 1927 | 4031)
}

impl TransactionKey {
    /// `writer/number`.
    pub fn show(self) -> String {
        format!("{}/{}", self.writer, self.number)
    }
}
