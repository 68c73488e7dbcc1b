//! The feed against real servers: every start, lost connections, crashed servers, failover, what is refused.
//!
//! Needs servers in the cache (`scripts/servers.sh fetch`); one that is not there is named and passed over.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millstream_core::engine::batch::{PartEnd, SourceBatch};
use millstream_core::engine::interest::{InterestSet, ViewId, ViewInterest};
use millstream_core::filter::Filter;
use millstream_core::position::FilePosition;
use millstream_core::source::config::{HostPort, SourceConfig, TlsMode};
use millstream_core::source::error::SourceError;
use millstream_core::source::start::Start;
use millstream_core::source::tracker::{StatementPolicy, TrackerConfig};
use millstream_core::tables::Tables;
use millstream_io::runtime::{Runtime, block_on, sleep};
use millstream_io::source::SourceFeed;

const PATIENCE: Duration = Duration::from_secs(20);

// ------------------------------------------------------------------------------------------------------- servers

struct Server {
    name: &'static str,
    directory: PathBuf,
    port: u16,
}

fn script() -> Command {
    let mut command = Command::new("bash");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/servers.sh"));
    command
}

fn output(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().expect("a program that runs");
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).expect("text")
}

impl Server {
    /// `None` where it is not in the cache.
    fn start(name: &'static str, label: &str) -> Option<Self> {
        let known = output(script().arg("list"));
        if !known.lines().any(|line| line.starts_with(&format!("{name} ")) && !line.contains("not available")) {
            println!("{name} is not here: this test did not run");
            return None;
        }
        let directory = std::env::temp_dir().join(format!("millstream-{label}-{}", std::process::id()));
        let mut server = Self { name, directory, port: 0 };
        server.launch();
        Some(server)
    }

    fn launch(&mut self) {
        let mut command = script();
        command.arg("start").arg(self.name).arg(&self.directory).arg(self.port.to_string());
        let line = output(command.args(["--owner", &std::process::id().to_string()]));
        let port = line.split_whitespace().find_map(|word| word.strip_prefix("port=")).expect("a port");
        self.port = port.parse().expect("a number");
    }

    fn kill(&self) {
        output(script().arg("kill9").arg(&self.directory));
    }

    fn pid(&self) -> String {
        std::fs::read_to_string(self.directory.join("run/pid")).expect("a pid file").trim().to_owned()
    }

    fn signal(&self, signal: &str) {
        output(Command::new("kill").arg(signal).arg(self.pid()));
    }

    fn address(&self) -> HostPort {
        HostPort { host: "127.0.0.1".to_owned(), port: self.port }
    }

    fn client(&self) -> Command {
        let program = output(script().arg("client"));
        let mut command = Command::new(program.trim());
        command.args(["--no-defaults", "-h127.0.0.1", "-ucdc", "-N", "-B"]);
        command.arg(format!("-P{}", self.port)).env("MYSQL_PWD", "cdc");
        command
    }

    fn sql(&self, statements: &str) -> String {
        output(self.client().args(["-e", statements]))
    }

    /// Inserts rows one by one, in a program of its own.
    fn writer(&self, rows: usize) -> std::process::Child {
        let mut child = self.client().stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a writer");
        let mut input = child.stdin.take().expect("its input");
        std::thread::spawn(move || {
            // It ends early when the server does.
            let _ = input.write_all("INSERT INTO d.t (v) VALUES ('x');\n".repeat(rows).as_bytes());
        });
        child
    }

    fn is_mariadb(&self) -> bool {
        self.name.starts_with("mariadb")
    }

    fn config(&self) -> SourceConfig {
        SourceConfig {
            servers: vec![self.address()],
            user: "cdc".to_owned(),
            password: "cdc".to_owned(),
            heartbeat_period: Duration::from_millis(200),
            backoff_max: Duration::from_millis(200),
            ..SourceConfig::default()
        }
    }

    /// (file, offset, executed GTIDs), once nothing more is written by itself.
    fn end(&self) -> (FilePosition, String) {
        self.until_checkpointed();
        let statement = if self.name == "mysql97" { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
        let status = self.sql(statement);
        let cells: Vec<&str> = status.trim_end_matches('\n').split('\t').collect();
        let at = FilePosition { file: cells[0].into(), offset: cells[1].parse().expect("an offset") };
        let gtids = match self.is_mariadb() {
            true => self.sql("SELECT @@gtid_binlog_pos"),
            false => self.sql("SELECT @@GLOBAL.gtid_executed").replace("\\n", ""),
        };
        (at, gtids.trim().to_owned())
    }

    /// MariaDB writes a checkpoint that names the new file some time after a rotation, between any two transactions.
    fn until_checkpointed(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.is_mariadb() {
            let files = self.sql("SHOW BINARY LOGS");
            let file = files.lines().last().and_then(|line| line.split('\t').next()).expect("a file").to_owned();
            let events = self.sql(&format!("SHOW BINLOG EVENTS IN '{file}'"));
            if events.lines().any(|event| event.contains("Binlog_checkpoint") && event.ends_with(&file)) {
                return;
            }
            assert!(Instant::now() < deadline, "no checkpoint in {file}: {events}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends every connection that sends a binlog.
    fn kill_dumps(&self) {
        for line in self.sql("SHOW PROCESSLIST").lines().filter(|line| line.contains("Binlog Dump")) {
            let id = line.split('\t').next().expect("a connection's number");
            // It may have ended by itself meanwhile.
            let _ = self.client().args(["-e", &format!("KILL {id}")]).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = script().arg("stop").arg(&self.directory).arg("--wipe").status();
    }
}

// ---------------------------------------------------------------------------------------------------------- feeds

/// On the runtime that `MILLSTREAM_RUNTIME` names.
fn run<T>(task: impl Future<Output = T>) -> T {
    let named = std::env::var("MILLSTREAM_RUNTIME").ok();
    let runtime = named.map_or(Runtime::default(), |name| name.parse().expect("glommio or uring"));
    block_on(runtime, task).expect("a core")
}

async fn open(config: SourceConfig, start: Start) -> Result<SourceFeed, SourceError> {
    let tables = Tables::in_memory("test");
    let everything = ViewInterest { view: ViewId(0), filter: Arc::new(Filter::everything()) };
    let interest = Arc::new(InterestSet { version: 1, views: vec![everything] });
    let tracker = TrackerConfig {
        shards: 1,
        hold_bytes_max: 256 << 20,
        event_bytes_max: 1 << 30,
        statement_dml: StatementPolicy::Halt,
        quarantine: Arc::default(),
        first_sequence: 1,
    };
    SourceFeed::open(config, start, tracker, Arc::new(Mutex::new(tables)), interest).await
}

async fn next(feed: &mut SourceFeed) -> Result<Arc<SourceBatch>, SourceError> {
    let deadline = Box::pin(sleep(PATIENCE));
    match futures::future::select(Box::pin(feed.next()), deadline).await {
        futures::future::Either::Left((result, _)) => result,
        futures::future::Either::Right(_) => panic!("nothing came within {PATIENCE:?}"),
    }
}

/// What has been seen: every GTID once, in the order of their sequence numbers.
#[derive(Default)]
struct Seen {
    gtids: BTreeSet<String>,
    sequence: u64,
    rows_events: u64,
    /// Of a transaction whose end has not come yet.
    open_events: u64,
}

impl Seen {
    fn add(&mut self, batch: &SourceBatch) {
        for part in &batch.transactions {
            let events = u64::from(part.events.end - part.events.start);
            // What begins anew, after a lost connection, comes again whole.
            self.open_events = if part.begin { events } else { self.open_events + events };
            if part.end == PartEnd::Open {
                continue;
            }
            assert_eq!(part.end, PartEnd::Commit);
            let gtid = part.gtid.expect("a GTID").to_string();
            assert!(self.gtids.insert(gtid.clone()), "{gtid} came twice");
            assert_eq!(part.sequence, self.sequence + 1, "{gtid}");
            self.sequence = part.sequence;
            self.rows_events += std::mem::take(&mut self.open_events);
        }
    }

    async fn until_rows(&mut self, feed: &mut SourceFeed, rows_events: u64) {
        while self.rows_events < rows_events {
            let batch = next(feed).await.unwrap_or_else(|error| panic!("{error}"));
            self.add(&batch);
        }
    }
}

/// The rows events of the first transaction that comes, and where it begins.
async fn first(config: SourceConfig, start: Start) -> (FilePosition, usize) {
    let mut feed = open(config, start.clone()).await.unwrap_or_else(|error| panic!("{start:?}: {error}"));
    loop {
        let batch = next(&mut feed).await.unwrap_or_else(|error| panic!("{start:?}: {error}"));
        if let Some(part) = batch.transactions.first() {
            return (part.start.clone(), part.events.len());
        }
    }
}

async fn refusal(config: SourceConfig, start: Start) -> SourceError {
    match open(config, start.clone()).await {
        Err(error) => error,
        Ok(mut feed) => match next(&mut feed).await {
            Err(error) => error,
            Ok(batch) => panic!("{start:?} gave {batch:?}"),
        },
    }
}

// ---------------------------------------------------------------------------------------------------------- cases

fn on_every_server(label: &str, case: impl Fn(&mut Server)) {
    for name in ["mysql97", "mysql57", "mariadb1011", "mariadb118"] {
        if let Some(mut server) = Server::start(name, &format!("{label}-{name}")) {
            let began = Instant::now();
            case(&mut server);
            println!("{label} on {name}: {:?}", began.elapsed());
        }
    }
}

const TABLE: &str = "CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, v LONGTEXT);";

fn now_us() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros()).expect("before 294247")
}

#[test]
fn every_start_finds_its_first_transaction() {
    on_every_server("starts", |server| {
        server.sql(TABLE);
        server.sql("INSERT INTO d.t (v) VALUES ('a'); FLUSH BINARY LOGS;");
        let (before, gtids) = server.end();
        // Commit times have whole seconds on most servers.
        std::thread::sleep(Duration::from_millis(1100));
        let moment_us = now_us();
        std::thread::sleep(Duration::from_millis(1100));
        // Two rows events, so that this transaction is told from the others.
        server.sql(
            "BEGIN; INSERT INTO d.t (v) VALUES ('b'); INSERT INTO d.t (v) VALUES ('c'); COMMIT; FLUSH BINARY LOGS;",
        );
        server.sql("INSERT INTO d.t (v) VALUES ('d');");
        let config = server.config();
        run(async {
            // MariaDB writes a checkpoint between the file's head and the first transaction.
            let expected = first(config.clone(), Start::File(before.clone())).await;
            assert!(
                expected.0.file == before.file && expected.0.offset >= before.offset && expected.1 == 2,
                "{expected:?}"
            );
            assert_eq!(first(config.clone(), Start::Gtids(gtids.parse().unwrap())).await, expected);
            assert_eq!(first(config.clone(), Start::Timestamp(moment_us)).await, expected);
            // Files that were begun in the moment's own second: what was committed in that second is not passed over.
            let at = server.end().0;
            let moment_us = now_us();
            for _ in 0..5 {
                server.sql("INSERT INTO d.t (v) VALUES ('e'); FLUSH BINARY LOGS;");
            }
            let (found, _) = first(config.clone(), Start::Timestamp(moment_us)).await;
            assert!((&found.file, found.offset) <= (&at.file, at.offset), "{found} is behind {at}");
            let (earliest, rows_events) = first(config.clone(), Start::Earliest).await;
            assert!(earliest.file.ends_with(".000001") && rows_events == 0, "{earliest}");

            let mut latest = open(config.clone(), Start::Latest).await.unwrap();
            let position = latest.position().clone();
            server.sql("INSERT INTO d.t (v) VALUES ('e');");
            let batch = next(&mut latest).await.unwrap();
            let part = batch.transactions.first().expect("a transaction");
            // MariaDB's checkpoints of the files before may still come in between.
            let is_exact = part.start.offset == position.offset;
            assert_eq!(part.start.file, position.file);
            assert!(
                is_exact || server.name.starts_with("mariadb") && part.start.offset > position.offset,
                "{position}"
            );

            // A position goes on behind itself, by file as by GTID.
            let behind = latest.position().clone();
            drop(latest);
            server.sql("BEGIN; INSERT INTO d.t (v) VALUES ('f'); INSERT INTO d.t (v) VALUES ('g'); COMMIT;");
            let (start, rows_events) = first(config.clone(), Start::Position(behind.clone())).await;
            assert_eq!((start.offset, rows_events), (behind.offset, 2));
            let by_gtid = Start::Gtids(behind.gtids.clone());
            assert_eq!(first(config, by_gtid).await, (start, 2));
        });
    });
}

#[test]
fn what_cannot_be_read_is_refused_with_the_reason() {
    on_every_server("refusals", |server| {
        server.sql(TABLE);
        server.sql("INSERT INTO d.t (v) VALUES ('a'); FLUSH BINARY LOGS; INSERT INTO d.t (v) VALUES ('b');");
        let (end, gtids) = server.end();
        let config = server.config();
        let at = |offset: u64| Start::File(FilePosition { file: end.file.clone(), offset });
        run(async {
            let check = |error: SourceError, code: &str, word: &str| {
                assert!(error.code() == code && error.to_string().contains(word), "{}: {error}", error.code());
            };
            check(refusal(config.clone(), at(end.offset - 3)).await, "bad_position", "inside a transaction");
            check(refusal(config.clone(), at(end.offset + 1)).await, "bad_position", "bytes");
            let absent = Start::File(FilePosition { file: "binlog.000099".into(), offset: 4 });
            check(refusal(config.clone(), absent).await, "bad_position", "no such file");

            let ahead = match server.is_mariadb() {
                true => format!("{gtids}9"),
                false => format!("{}:1-9999", gtids.split(':').next().unwrap_or_default()),
            };
            check(refusal(config.clone(), Start::Gtids(ahead.parse().unwrap())).await, "ahead_of_source", "behind");
            let foreign = if server.is_mariadb() { "3e11fa47-71ca-11e1-9e33-c80aa9429562:1" } else { "0-1-1" };
            check(refusal(config.clone(), Start::Gtids(foreign.parse().unwrap())).await, "bad_position", "form");

            server.sql(&format!("PURGE BINARY LOGS TO '{}'", end.file));
            let early = if server.is_mariadb() { format!("0-{}-1", server.port) } else { ahead.replace("1-9999", "1") };
            check(refusal(config.clone(), Start::Gtids(early.parse().unwrap())).await, "position_purged", "missing");
            let gone = Start::File(FilePosition { file: "binlog.000001".into(), offset: 4 });
            check(refusal(config.clone(), gone).await, "position_purged", "binlog.000001");
            check(refusal(config.clone(), Start::Timestamp(1)).await, "position_purged", "oldest");

            let wrong = SourceConfig { password: "wrong".to_owned(), ..config.clone() };
            check(refusal(wrong, Start::Latest).await, "source_refused", "Access denied");
            server.sql("CREATE USER 'poor'@'%' IDENTIFIED BY 'cdc'");
            let poor = SourceConfig { user: "poor".to_owned(), ..config.clone() };
            check(refusal(poor, Start::Latest).await, "source_unsuitable", "the account 'poor' lacks a privilege");
            server.sql("SET GLOBAL binlog_format = 'STATEMENT'");
            check(refusal(config.clone(), Start::Latest).await, "source_unsuitable", "SET GLOBAL binlog_format = ROW");
        });
    });
}

#[test]
fn nothing_is_lost_when_connections_are_killed_and_the_server_crashes() {
    on_every_server("crashes", |server| {
        server.sql(TABLE);
        const ROWS: usize = 300;
        run(async {
            let mut feed = open(server.config(), Start::Latest).await.unwrap();
            let mut seen = Seen::default();
            for _ in 0..4 {
                let mut writer = server.writer(ROWS);
                // In the middle of what it writes.
                seen.until_rows(&mut feed, seen.rows_events + 20).await;
                server.kill_dumps();
                seen.until_rows(&mut feed, seen.rows_events + 100).await;
                assert!(writer.wait().expect("the writer's end").success());
            }
            seen.until_rows(&mut feed, 4 * ROWS as u64).await;
            assert!(feed.stats().reconnects >= 1, "{:?}", feed.stats());

            // A crash while it writes: what the server keeps is what comes.
            let mut writer = server.writer(20_000);
            seen.until_rows(&mut feed, 4 * ROWS as u64 + 50).await;
            server.kill();
            let _ = writer.wait();
            server.launch();
            server.sql("INSERT INTO d.t (v) VALUES ('y')");
            let kept: u64 = server.sql("SELECT COUNT(*) FROM d.t").trim().parse().unwrap();
            seen.until_rows(&mut feed, kept).await;
            assert_eq!(seen.rows_events, kept);
        });
    });
}

#[test]
fn a_silent_server_is_noticed_and_a_large_row_passes() {
    on_every_server("silence", |server| {
        server.sql(TABLE);
        run(async {
            let mut feed = open(server.config(), Start::Latest).await.unwrap();
            let mut seen = Seen::default();
            // 40 MiB of text: three packets.
            server.sql("INSERT INTO d.t (v) VALUES (REPEAT('0123456789abcdef', 40 * 65536))");
            seen.until_rows(&mut feed, 1).await;
            assert!(feed.stats().bytes > 40 << 20);

            // Heartbeats come every 200 ms; 500 ms without any are a dead server.
            server.signal("-STOP");
            let began = Instant::now();
            let silent = futures::future::select(Box::pin(feed.next()), Box::pin(sleep(Duration::from_secs(2)))).await;
            assert!(matches!(silent, futures::future::Either::Right(_)));
            drop(silent);
            assert!(!feed.stats().is_connected, "after {:?}", began.elapsed());
            server.signal("-CONT");
            server.sql("INSERT INTO d.t (v) VALUES ('x')");
            seen.until_rows(&mut feed, 2).await;
            assert_eq!(feed.stats().reconnects, 1);
        });
    });
}

#[test]
fn two_readers_with_one_identity_do_not_fight_for_ever() {
    on_every_server("identity", |server| {
        server.sql(TABLE);
        run(async {
            let mut first = open(server.config(), Start::Latest).await.unwrap();
            let mut second = open(server.config(), Start::Latest).await.unwrap();
            let both = futures::future::select(Box::pin(next(&mut first)), Box::pin(next(&mut second))).await;
            let result = match both {
                futures::future::Either::Left((result, _)) | futures::future::Either::Right((result, _)) => result,
            };
            let error = result.expect_err("one of them gives up");
            assert!(matches!(error, SourceError::DuplicateReplica { .. }), "{error}");
        });
    });
}

#[test]
fn tls_is_used_and_checked_as_configured() {
    on_every_server("tls", |server| {
        let authority = server.directory.join("data/ca.pem");
        if !authority.exists() {
            println!("{} made itself no certificate: TLS not tried", server.name);
            return;
        }
        run(async {
            let with = |mode: TlsMode, ca: bool| {
                let mut config = server.config();
                config.tls.mode = mode;
                config.tls.ca = ca.then(|| authority.clone());
                config
            };
            for config in
                [with(TlsMode::Preferred, false), with(TlsMode::Required, false), with(TlsMode::VerifyCa, true)]
            {
                let mode = config.tls.mode;
                open(config, Start::Latest).await.unwrap_or_else(|error| panic!("{mode}: {error}"));
            }
            // Its own certificate names no host, and no public authority has signed it.
            for config in [with(TlsMode::VerifyIdentity, true), with(TlsMode::VerifyCa, false)] {
                assert!(matches!(refusal(config, Start::Latest).await, SourceError::Tls { .. }));
            }
        });
    });
}

#[test]
fn a_replica_takes_over_by_gtid() {
    let (Some(source), Some(replica)) = (Server::start("mysql97", "source"), Server::start("mysql97", "replica"))
    else {
        return;
    };
    source.sql(TABLE);
    replica.sql(&format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {}, SOURCE_USER = 'cdc', \
         SOURCE_PASSWORD = 'cdc', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1; START REPLICA;",
        source.port
    ));
    run(async {
        let config = SourceConfig { servers: vec![source.address(), replica.address()], ..source.config() };
        let mut feed = open(config, Start::Latest).await.unwrap();
        let mut seen = Seen::default();
        source.sql(&"INSERT INTO d.t (v) VALUES ('x');".repeat(50));
        seen.until_rows(&mut feed, 50).await;
        let executed = source.end().1;
        let caught_up = replica.sql(&format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{executed}', 10)"));
        assert_eq!(caught_up.trim(), "0");
        source.kill();
        replica.sql("STOP REPLICA; INSERT INTO d.t (v) VALUES ('y');");
        seen.until_rows(&mut feed, 51).await;
        assert_eq!(feed.server(), replica.address().to_string());
        assert_eq!(seen.gtids.len(), 51);
    });
}
