//! `tail`: rows as they are committed.

use std::io::{IsTerminal, stderr, stdout};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use millstream_client::asynchronous::Client;
use millstream_client::wire::json::{DdlLine, LineContext};
use millstream_client::{Change, ClientConfig, ClientError, Notice, Start, Transaction, WhenTaken};

use crate::arguments::TailArguments;
use crate::exit::{Exit, Failure};
use crate::lines::Lines;
use crate::printer::Printer;
use crate::style::{Style, note_label, warning_label};

pub fn run(arguments: &TailArguments) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(follow(arguments))
}

fn config(arguments: &TailArguments) -> ClientConfig {
    let default = if arguments.subscription.is_some() { Start::Resume } else { Start::Latest };
    let start = arguments.from.clone().map_or(default, |from| from.0);
    let mut config =
        ClientConfig::new(arguments.server.iter().filter(|server| !server.is_empty()), &arguments.destination)
            .credentials(&arguments.user, &arguments.password)
            .client_name(concat!("millstream tail ", env!("CARGO_PKG_VERSION")))
            .filter(arguments.filter.filter())
            .start(start)
            .on_notice({
                let retry_told = Mutex::new(None);
                move |notice| tell(notice, &retry_told)
            });
    if let Some(name) = &arguments.subscription {
        config = config.subscription(name);
    }
    if arguments.standby {
        config = config.when_taken(WhenTaken::Wait);
    }
    config
}

/// Under a steady flow, an ack at the latest after so many transactions: far below what the server lets be outstanding.
const ACK_EVERY: u64 = 1024;

/// While a server is away, one line in so long says so.
const RETRY_LINE_EVERY: Duration = Duration::from_secs(5);

/// What happens to the connection: always where something is wrong, else only where a person looks.
fn tell(notice: &Notice, retry_told: &Mutex<Option<Instant>>) {
    let mut retry_told = retry_told.lock().unwrap_or_else(PoisonError::into_inner);
    match notice {
        Notice::Retrying { .. } => {
            let now = Instant::now();
            if retry_told.is_none_or(|told| now >= told + RETRY_LINE_EVERY) {
                *retry_told = Some(now);
                eprintln!("{} {notice}", warning_label());
            }
        }
        Notice::Subscribed { .. } if retry_told.take().is_some() => eprintln!("{} {notice}", note_label()),
        Notice::FromServer { .. } => eprintln!("{} {notice}", warning_label()),
        Notice::Waiting { .. } | Notice::Redirected { .. } => eprintln!("{} {notice}", note_label()),
        _ if stderr().is_terminal() => eprintln!("{} {notice}", note_label()),
        _ => {}
    }
}

/// Why printing ended.
enum End {
    MaxRows,
    Idle,
    Interrupted,
}

async fn follow(arguments: &TailArguments) -> Result<Exit, Failure> {
    let mut interrupted = std::pin::pin!(interrupted());
    let mut client = tokio::select! {
        client = Client::connect(config(arguments)) => client.map_err(with_hint)?,
        () = &mut interrupted => return Ok(Exit::Done),
    };
    let printer = Printer { format: arguments.format, style: Style::of_stdout() };
    let mut output = Output {
        lines: Lines::new(stdout()),
        printer,
        rows_left: arguments.max_rows.unwrap_or(u64::MAX),
        printed: None,
        unacknowledged: 0,
        acknowledges: arguments.subscription.is_some(),
    };
    let mut last_row_at = Instant::now();
    let end = loop {
        let next = tokio::select! {
            biased;
            next = client.next_transaction() => next?,
            () = &mut interrupted => break End::Interrupted,
            () = idle(last_row_at, arguments.idle_timeout) => break End::Idle,
        };
        // `None` comes only after a close, which this loop has not called yet.
        let Some(transaction) = next else { return Err(ClientError::Closed.into()) };
        let rows_before = output.rows_left;
        output.print(transaction)?;
        if output.rows_left < rows_before {
            last_row_at = Instant::now();
        }
        if output.rows_left == 0 {
            break End::MaxRows;
        }
        if client.queued_transactions() == 0 || output.unacknowledged >= ACK_EVERY {
            output.flush(&mut client).await?;
        } else {
            output.lines.settle()?;
        }
    };
    output.flush(&mut client).await?;
    client.close().await?;
    if stderr().is_terminal() {
        match end {
            End::Idle => eprintln!("{} no row for the idle timeout", note_label()),
            End::MaxRows | End::Interrupted => {}
        }
    }
    Ok(Exit::Done)
}

/// What this program can do about it.
fn with_hint(error: ClientError) -> Failure {
    let hint = match &error {
        ClientError::Refused { code, .. } if code == "subscription_busy" => "; --standby waits for it",
        ClientError::Refused { code, .. } if code == "access_denied" => {
            " (--user, MILLSTREAM_USER, MILLSTREAM_PASSWORD)"
        }
        ClientError::Connect { .. } => "; --server or MILLSTREAM_SERVER names another",
        _ => "",
    };
    let told = format!("{error}{hint}");
    let failure = Failure::from(error);
    Failure { error: failure.error.context(told), ..failure }
}

async fn idle(since: Instant, timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep_until((since + timeout).into()).await,
        None => std::future::pending().await,
    }
}

/// Ctrl-C, or a polite kill.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the signal ends the process by itself.
        std::future::pending::<()>().await;
    }
}

struct Output {
    lines: Lines<std::io::Stdout>,
    printer: Printer,
    rows_left: u64,
    /// The last transaction that was printed whole and is not acknowledged yet.
    printed: Option<Transaction>,
    unacknowledged: u64,
    acknowledges: bool,
}

impl Output {
    fn print(&mut self, transaction: Transaction) -> Result<(), Failure> {
        let start = transaction.start_position();
        let context = LineContext {
            gtid: transaction.gtid(),
            file: &start.file,
            sequence: transaction.sequence,
            commit_time_us: transaction.commit_time_us,
        };
        for change in transaction.changes() {
            match change? {
                Change::Rows(rows) => {
                    for index in 0..rows.len() {
                        if self.rows_left == 0 {
                            return Ok(());
                        }
                        let line = self.printer.row(&mut self.lines.buffer, &context, rows.reader(), index);
                        line.map_err(|error| Failure::new(Exit::BadInput, error))?;
                        self.rows_left -= 1;
                        self.lines.settle()?;
                    }
                }
                Change::Ddl(ddl) if self.rows_left > 0 => {
                    let tables: Vec<String> = ddl.tables().into_iter().map(str::to_owned).collect();
                    let statement = ddl.statement();
                    let line = DdlLine {
                        database: ddl.database(),
                        statement: &statement,
                        kind: ddl.kind(),
                        tables: &tables,
                        offset: start.offset,
                    };
                    self.printer.ddl(&mut self.lines.buffer, &context, &line);
                }
                Change::Ddl(_) => return Ok(()),
            }
        }
        if self.acknowledges {
            self.printed = Some(transaction);
            self.unacknowledged += 1;
        }
        Ok(())
    }

    /// Acknowledges only what the reader of our output has.
    async fn flush(&mut self, client: &mut Client) -> Result<(), Failure> {
        self.lines.flush()?;
        if let Some(transaction) = self.printed.take() {
            client.ack(&transaction).await?;
            self.unacknowledged = 0;
        }
        Ok(())
    }
}
