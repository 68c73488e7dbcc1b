//! One run of one streaming subject: replayer, processes, what they said and what they used.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use millstream_tests::harness::{Millstreamd, Options, bound_command, repository, spawn_bound};

use crate::experiment::Settings;
use crate::process::{Usage, Watch};
use crate::progress::say;
use crate::recording::{Recording, Studio};
use crate::replay::{Offered, Pace, Replayer};
use crate::report::{Report, shown};
use crate::source::{Place, Source};

/// The replayer's core. Subjects that can be told so keep off it where there is another.
pub const REPLAY_CORE: usize = 0;
/// Of the streaming experiments: a client that falls off the log would be served by a reader of its own, and the server
/// behind the replayer does not have what the replayer sent. Who measures memory says otherwise.
const LOG_FOR_ALL: Setting = ("view_log_bytes_max", "\"4 GiB\"");
const SETTLE: Duration = Duration::from_millis(300);
const READY_MAX: Duration = Duration::from_secs(60);
const RUN_MAX: Duration = Duration::from_secs(240);

/// A key of `[engine]` and its value, as TOML.
pub type Setting = (&'static str, &'static str);

/// What is measured.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A socket that reads the dump and drops it.
    Bare,
    /// The crate's binlog stream.
    MysqlAsync,
    /// `millstreamd` and a client, each a process.
    Millstream { label: &'static str, engine: &'static [Setting] },
    /// A program under `perf-lab/peers`.
    Peer { name: String, program: PathBuf },
}

impl Subject {
    pub const fn millstream(label: &'static str, engine: &'static [Setting]) -> Self {
        Self::Millstream { label, engine }
    }

    /// Takes ten seconds to start.
    pub fn is_jvm(&self) -> bool {
        matches!(self, Self::Peer { name, .. } if name != "go-mysql")
    }

    pub fn label(&self) -> &str {
        match self {
            Subject::Bare => "bare socket (floor)",
            Subject::MysqlAsync => "mysql_async",
            Subject::Millstream { label, .. } => label,
            Subject::Peer { name, .. } => name,
        }
    }
}

/// What one run gave.
pub struct Run {
    pub go_ns: u64,
    pub done_ns: u64,
    /// When each transaction was in the client's hands.
    pub stamps: Vec<u64>,
    pub usage: Usage,
    pub offered: Offered,
    /// Bytes that `millstreamd` sent to clients; 0 of other subjects.
    pub sent_bytes: f64,
    /// That were compared with the recording; 0 where nothing was.
    pub values: u64,
}

/// Which tables the subscriptions of Millstream's client want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filters {
    /// All of them, in the same words.
    Same,
    /// All of them, in words of its own each: a view for each.
    Different,
    /// Each a part of the tables of `bulk-tables`.
    Divided,
}

impl Filters {
    fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Divided => "divided",
        }
    }
}

/// What a run does beside the subject.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub pace: Pace,
    pub rows: u64,
    pub transactions: u64,
    pub subscriptions: usize,
    pub filters: Filters,
    /// Millstream's client compares all that it gets with the recording.
    pub check: bool,
    /// Only the server's process is watched.
    pub server_only: bool,
    /// Where the floor and `mysql_async` read; `millstreamd` is told so by its configuration.
    pub reader_core: Option<usize>,
    /// Where Millstream's client runs.
    pub sink_core: Option<usize>,
}

impl Plan {
    pub fn of(recording: &Recording, pace: Pace) -> Self {
        Self {
            pace,
            rows: recording.rows,
            transactions: recording.transactions,
            subscriptions: 1,
            filters: Filters::Same,
            check: false,
            server_only: false,
            reader_core: None,
            sink_core: None,
        }
    }
}

/// # Errors
/// The subject did not deliver everything in time; what it said is in the error.
pub fn run(subject: &Subject, studio: &Studio, recording: &Recording, plan: &Plan) -> anyhow::Result<Run> {
    let mut source = Source::start(studio, recording, plan.pace, Some(REPLAY_CORE))?;
    let stamps_folder = tempfile::tempdir()?;
    let stamps = stamps_folder.path().join("stamps");
    let (pids, mut process, daemon) = match subject {
        Subject::Bare => {
            let process = bare(&source, plan, &stamps)?;
            (vec![process.pid()], process, None)
        }
        Subject::MysqlAsync => {
            let mut command = Process::own_command(plan.reader_core)?;
            command.args(["subject", "mysql_async"]);
            stream_command(&mut command, source.address(), source.place(), plan, Some(&stamps));
            let process = Process::start(command)?;
            (vec![process.pid()], process, None)
        }
        Subject::Millstream { engine, .. } => {
            let daemon = start_millstreamd(source.address(), &with_log_for_all(engine))?;
            let mut command = Process::own_command(plan.sink_core)?;
            command.args(["subject", "sink"]);
            stream_command(&mut command, daemon.listen, source.place(), plan, Some(&stamps));
            source.tell_sink(&mut command);
            command.arg("--subscriptions").arg(plan.subscriptions.to_string());
            command.arg("--filters").arg(plan.filters.name());
            if plan.check {
                command.arg("--check").arg(&recording.path);
            }
            let process = Process::start(command)?;
            let mut pids = vec![daemon.pid()];
            pids.extend((!plan.server_only).then_some(process.pid()));
            (pids, process, Some(daemon))
        }
        Subject::Peer { name, program } => {
            let mut command = peer_command(name, program, source.place());
            stream_command(&mut command, source.address(), source.place(), plan, Some(&stamps));
            let process = Process::start(command)?;
            (vec![process.pid()], process, None)
        }
    };
    // Where rows do not wait, the watch must not either.
    let early = if source.waits() { None } else { Some(Watch::start(pids.clone())) };
    if !matches!(subject, Subject::Peer { .. }) {
        process.wait_for("ready", READY_MAX)?;
    }
    if source.waits() {
        let until = Instant::now() + READY_MAX;
        while source.dumps()? == 0 {
            process.check()?;
            ensure!(Instant::now() < until, "{} did not ask for the binlog within {READY_MAX:?}", subject.label());
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(SETTLE);
    }
    let watch = early.unwrap_or_else(|| Watch::start(pids));
    if source.waits() {
        std::thread::sleep(Duration::from_millis(40));
    }
    let go_ns = source.go();
    let done = process.wait_for("done", RUN_MAX);
    let usage = watch.stop();
    let done = done.with_context(|| {
        let log = daemon.as_ref().map(|daemon| format!("; millstreamd said: {}", daemon.log())).unwrap_or_default();
        format!("{}{log}", subject.label())
    })?;
    let done_ns = done["ns"].as_u64().context("when it was done")?;
    process.finish()?;
    let stamps = match (subject, &source) {
        _ if plan.check => Vec::new(),
        (Subject::Bare, Source::Replay(replayer, _)) => arrivals(&read_stamps(&stamps)?, &ends(replayer, plan)?),
        _ => read_stamps(&stamps)?,
    };
    let sent_bytes = match &daemon {
        Some(daemon) => daemon.metrics()?.sum("millstream_sent_bytes_total", &[]),
        None => 0.0,
    };
    let values = done["values"].as_u64().unwrap_or(0);
    Ok(Run { go_ns, done_ns, stamps, usage, offered: source.offered()?, sent_bytes, values })
}

/// The floor: of the replayer's bare port as many bytes as there are, of a MySQL as many transactions.
fn bare(source: &Source, plan: &Plan, stamps: &Path) -> anyhow::Result<Process> {
    let mut command = Process::own_command(plan.reader_core)?;
    command.args(["subject", "bare"]);
    match source {
        Source::Replay(replayer, place) => {
            let bytes = ends(replayer, plan)?.last().copied().context("no transactions")?;
            let plan = Plan { rows: bytes, ..*plan };
            stream_command(&mut command, replayer.bare_address, place, &plan, Some(stamps));
        }
        Source::Mysql(_) => {
            stream_command(&mut command, source.address(), source.place(), plan, Some(stamps));
            command.arg("--login");
        }
    }
    Process::start(command)
}

/// Whether a client of Millstream gets exactly what was recorded; the report says how much was compared.
///
/// # Errors
/// Where it does not, and in which place.
pub fn check(subject: &Subject, studio: &Studio, recording: &Recording, report: &mut Report) -> anyhow::Result<()> {
    let name = recording.workload.name;
    say(format_args!("checking every value of {name} ({})", subject.label()));
    let plan = Plan { check: true, ..Plan::of(recording, Pace::Full) };
    let run =
        run(subject, studio, recording, &plan).with_context(|| format!("{name} did not arrive as it was recorded"))?;
    let [rows, values] = [recording.rows, run.values].map(|count| shown(count as f64));
    report.note(format!(
        "{name} ({}): every transaction in order, {rows} rows and {values} values equal to the recording",
        subject.label()
    ));
    Ok(())
}

fn with_log_for_all(engine: &[Setting]) -> Vec<Setting> {
    let is_set = engine.iter().any(|(key, _)| *key == LOG_FOR_ALL.0);
    engine.iter().copied().chain((!is_set).then_some(LOG_FOR_ALL)).collect()
}

pub fn start_millstreamd(source: SocketAddr, engine: &[Setting]) -> anyhow::Result<Millstreamd> {
    let options = engine.iter().fold(Options::default(), |options, (key, value)| options.engine(key, value));
    Millstreamd::start_at(&source.to_string(), options)
}

/// Ends of the transactions that are waited for, in bytes of the stream.
fn ends(replayer: &Replayer, plan: &Plan) -> anyhow::Result<Vec<u64>> {
    let mut ends = replayer.ends()?;
    ends.truncate(usize::try_from(plan.transactions)?);
    Ok(ends)
}

/// When each transaction's last byte was read, from pairs of (bytes so far, when).
fn arrivals(reads: &[u64], ends: &[u64]) -> Vec<u64> {
    let mut reads = reads.chunks_exact(2).peekable();
    let mut stamps = Vec::with_capacity(ends.len());
    for end in ends {
        while reads.next_if(|read| read[0] < *end).is_some() {}
        if let Some(read) = reads.peek() {
            stamps.push(read[1]);
        }
    }
    stamps
}

fn read_stamps(path: &Path) -> anyhow::Result<Vec<u64>> {
    let bytes = std::fs::read(path).context("the stamps of the subject")?;
    Ok(bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap_or_default())).collect())
}

/// What every streaming subject is told.
pub fn stream_command(command: &mut Command, address: SocketAddr, place: &Place, plan: &Plan, stamps: Option<&Path>) {
    let pairs = [
        ("--host", address.ip().to_string()),
        ("--port", address.port().to_string()),
        ("--user", "cdc".to_owned()),
        ("--password", "cdc".to_owned()),
        ("--file", place.file.clone()),
        ("--position", place.offset.to_string()),
        ("--server-id", "4242".to_owned()),
        ("--database", crate::workload::DATABASE.to_owned()),
        ("--rows", plan.rows.to_string()),
        ("--transactions", plan.transactions.to_string()),
    ];
    for (flag, value) in pairs {
        command.arg(flag).arg(value);
    }
    if let Some(stamps) = stamps {
        command.arg("--stamps").arg(stamps);
    }
}

/// A subject's process and what it says.
pub struct Process {
    child: Child,
    lines: Receiver<serde_json::Value>,
    errors: Receiver<String>,
}

impl Process {
    /// This program again, on a core of its own if told so.
    pub fn own_command(core: Option<usize>) -> anyhow::Result<Command> {
        let own = std::env::current_exe()?;
        let has_core =
            core.is_some_and(|core| std::thread::available_parallelism().is_ok_and(|cores| core < cores.get()));
        let mut command = match core.filter(|_| has_core) {
            Some(core) => {
                let mut command = bound_command(Path::new("/usr/bin/taskset"));
                command.args(["-c", &core.to_string()]).arg(own);
                command
            }
            None => bound_command(&own),
        };
        // The end of what it says is told, and has to be the reason.
        command.env("RUST_BACKTRACE", "0");
        Ok(command)
    }

    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        command.current_dir(repository()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn_bound(command).context("starting a subject")?;
        let (send, lines) = channel();
        let out = child.stdout.take().context("its output")?;
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Ok(value) = serde_json::from_str(&line) {
                    let _ = send.send(value);
                }
            }
        });
        let (send, errors) = channel();
        let err = child.stderr.take().context("its errors")?;
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Ok(Self { child, lines, errors })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line with this event; others are passed over.
    ///
    /// # Errors
    /// The process ended, or did not say so in time.
    pub fn wait_for(&mut self, event: &str, within: Duration) -> anyhow::Result<serde_json::Value> {
        let until = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) if line["event"] == event => return Ok(line),
                Ok(line) if line["event"] == "timeout" => bail!("it gave up: {line}"),
                Ok(_) => {}
                Err(_) => self.check()?,
            }
            ensure!(Instant::now() < until, "no '{event}' within {within:?}: {}", self.complaints());
        }
    }

    fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()?
            && !status.success()
        {
            bail!("it ended with {status}: {}", self.complaints());
        }
        Ok(())
    }

    fn complaints(&self) -> String {
        let lines: Vec<String> = self.errors.try_iter().collect();
        lines[lines.len().saturating_sub(12)..].join(" | ")
    }

    /// Waits for its end; a subject that stays is ended.
    fn finish(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("it said that it was done and did not end")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A peer's program that is to stream; `stream_command` says what.
pub fn peer_command(name: &str, program: &Path, place: &Place) -> Command {
    let mut command = bound_command(program);
    command.arg("stream");
    // It asks for the log by GTIDs where the server has them, and needs to know those before the place.
    if name == "debezium" {
        command.args(["--gtids", &place.gtids]);
    }
    command
}

/// Every subject in turn, `settings.runs` times; `take` gets what each run gave. A peer that fails once is left out from
/// then on, and the report says why.
///
/// # Errors
/// Millstream or the floor failed.
pub fn in_turn(
    settings: &Settings,
    subjects: &[Subject],
    report: &mut Report,
    context: &str,
    mut measure: impl FnMut(&Subject) -> anyhow::Result<Run>,
    mut take: impl FnMut(&Subject, &Run),
) -> anyhow::Result<()> {
    let mut once = |subject: &Subject, run: usize| {
        say(format_args!("{} {context}, run {} of {}", subject.label(), run + 1, settings.runs));
        measure(subject)
    };
    let mut left: Vec<&Subject> = subjects.iter().collect();
    for run in 0..settings.runs {
        let mut failed = Ok(());
        if run == settings.jvm_runs {
            let before = left.len();
            left.retain(|subject| !subject.is_jvm());
            if left.len() < before {
                report.note(format!("peers on the JVM: {run} runs, the first ones"));
            }
        }
        left.retain(|subject| match once(subject, run) {
            Ok(run) => {
                take(subject, &run);
                true
            }
            Err(error) if matches!(subject, Subject::Peer { .. } | Subject::MysqlAsync) => {
                report.note(format!("{} {context}: {error:#}", subject.label()));
                false
            }
            Err(error) => {
                failed = Err(error);
                true
            }
        });
        failed?;
    }
    Ok(())
}

/// The peers whose programs can be built here, unless the user wants none; the report gets their versions and settings, and
/// for the others why not. Built once, however many experiments ask.
pub fn peers(settings: &Settings, report: &mut Report) -> Vec<Subject> {
    static BUILT: OnceLock<Vec<(Option<Subject>, String)>> = OnceLock::new();
    if !settings.peers {
        return Vec::new();
    }
    let built = BUILT.get_or_init(|| ["canal", "debezium", "go-mysql"].map(build).into());
    built.iter().for_each(|(_, note)| report.note(note));
    built.iter().filter_map(|(subject, _)| subject.clone()).collect()
}

/// A peer, and what there is to say of it; or why it is missing.
fn build(name: &str) -> (Option<Subject>, String) {
    let folder = repository().join("perf-lab/peers").join(name);
    say(format_args!("building {name}"));
    match Command::new(folder.join("build")).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            let program = folder.join("run");
            let note = version(&program);
            (Some(Subject::Peer { name: name.to_owned(), program }), note)
        }
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("unknown").to_owned();
            (None, format!("{name} could not be built here: {reason}"))
        }
        Err(error) => (None, format!("{name} could not be built here: {error}")),
    }
}

/// What a peer says of itself: name, version, settings.
fn version(program: &Path) -> String {
    let output = Command::new(program).arg("version").stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(text.trim()).unwrap_or_default();
    let field = |name: &str| value[name].as_str().unwrap_or("?").to_owned();
    format!("{} {}: {}", field("name"), field("version"), field("settings"))
}
