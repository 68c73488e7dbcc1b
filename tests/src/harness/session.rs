//! One connection to a server, used with plain calls.
//!
//! The connection lives on a thread with a small runtime of its own, so that a test may use it from
//! anywhere, inside another runtime too. Statements go one at a time, as text; values come back as the
//! server prints them.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row, Value};

/// What one statement answered. Statements without rows have no columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultSet {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    pub affected_rows: u64,
}

impl ResultSet {
    /// A value as text; `None` is NULL.
    ///
    /// # Panics
    /// When there is no such row or column.
    pub fn text(&self, row: usize, column: usize) -> Option<String> {
        self.rows[row][column].as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

struct Request {
    statement: Vec<u8>,
    answer: mpsc::Sender<anyhow::Result<ResultSet>>,
}

/// A connection as `cdc`; closed when dropped, which rolls back what was not committed.
pub struct Session {
    requests: Option<tokio::sync::mpsc::UnboundedSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    pub(super) fn open(socket: PathBuf) -> anyhow::Result<Self> {
        Self::open_with(
            OptsBuilder::default().socket(Some(socket.to_string_lossy())).user(Some("cdc")).pass(Some("cdc")),
        )
    }

    /// A connection with options of its own (other account, TCP, TLS).
    pub fn open_with(options: OptsBuilder) -> anyhow::Result<Self> {
        let options = Opts::from(options);
        let (requests, queue) = tokio::sync::mpsc::unbounded_channel();
        let (ready, opened) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("sql-session".into())
            .spawn(move || {
                let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(ready.send(Err(error.into()))),
                };
                runtime.block_on(serve(options, ready, queue));
            })
            .context("starting the thread of a session")?;
        opened.recv().context("the session's thread ended")??;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// The server's error, with the statement.
    pub fn query(&self, statement: &str) -> anyhow::Result<ResultSet> {
        self.query_bytes(statement.as_bytes())
    }

    /// Runs one statement that need not be UTF-8.
    ///
    /// # Errors
    /// The server's error, with the statement.
    pub fn query_bytes(&self, statement: &[u8]) -> anyhow::Result<ResultSet> {
        let (answer, answered) = mpsc::channel();
        self.requests
            .as_ref()
            .and_then(|requests| requests.send(Request { statement: statement.to_vec(), answer }).ok())
            .ok_or_else(|| anyhow!("the session has ended"))?;
        answered.recv().context("the session has ended")?.with_context(|| {
            let text = String::from_utf8_lossy(statement);
            format!("in the statement: {}", text.chars().take(300).collect::<String>())
        })
    }

    /// Runs many statements, separated by `;`, up to the first that fails.
    ///
    /// # Errors
    /// The server's error, with the statement.
    pub fn run(&self, statements: &str) -> anyhow::Result<()> {
        for statement in super::sqlscript::split_statements(statements)? {
            self.query(&statement)?;
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    options: Opts,
    ready: mpsc::Sender<anyhow::Result<()>>,
    mut queue: tokio::sync::mpsc::UnboundedReceiver<Request>,
) {
    let mut connection = match Conn::new(options).await {
        Ok(connection) => {
            let _ = ready.send(Ok(()));
            connection
        }
        Err(error) => {
            let _ = ready.send(Err(anyhow::Error::from(error).context("connecting to the server")));
            return;
        }
    };
    while let Some(Request { statement, answer }) = queue.recv().await {
        let result = execute(&mut connection, statement).await;
        let _ = answer.send(result.map_err(Into::into));
    }
    let _ = connection.disconnect().await;
}

async fn execute(connection: &mut Conn, statement: Vec<u8>) -> mysql_async::Result<ResultSet> {
    let mut result = connection.query_iter(statement).await?;
    let mut set = ResultSet { affected_rows: result.affected_rows(), ..ResultSet::default() };
    let mut first = true;
    // a CALL answers with several sets: the first one counts, the others are read and dropped
    while !result.is_empty() {
        let columns = result.columns_ref().iter().map(|column| column.name_str().into_owned()).collect::<Vec<_>>();
        let rows: Vec<Row> = result.collect().await?;
        if first && !columns.is_empty() {
            set.columns = columns;
            set.rows = rows.into_iter().map(|row| row.unwrap().into_iter().map(printed).collect()).collect();
            first = false;
        }
    }
    Ok(set)
}

/// The text protocol sends every value as the server prints it.
fn printed(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        other => Some(other.as_sql(true).into_bytes()),
    }
}
