//! Resident bytes: idle, with a client that does not read, with many subscriptions, through a huge transaction.

use std::time::Duration;

use millstream_tests::harness::resident_bytes;

use super::Settings;
use crate::progress::say;
use crate::recording::{Recording, Studio};
use crate::replay::Pace;
use crate::report::{Collector, Report};
use crate::run::{
    Plan, Process, Setting, Subject, peer_command, peers, run as measure, start_millstreamd, stream_command,
};
use crate::source::Source;
use crate::workload::workload;

const OURS: &str = "millstreamd";
const ENGINE: [Setting; 3] = [("worker_cores", "[1]"), ("connections_max", "2048"), ("hold_bytes_max", "\"64 MiB\"")];
/// As it is where nobody says otherwise.
const DEFAULT_LOG: Setting = ("view_log_bytes_max", "\"64 MiB\"");
/// Nobody lets it go.
const NEVER: Pace = Pace::PerSecond(1.0);
const MIB: f64 = (1 << 20) as f64;
/// Long enough for a JVM to come to rest.
const IDLE: Duration = Duration::from_secs(5);

pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    let (bulk, huge) = (workload("bulk"), workload("huge"));
    let studio = Studio::open(settings, &[bulk, huge])?;
    let mut report = Report::new("memory");
    let mut collector = Collector::default();
    let subscriptions = if settings.is_quick() { 100 } else { 1000 };
    let (bulk, huge) = (studio.recording(bulk)?, studio.recording(huge)?);
    report.note(format!(
        "a stopped client: {:.0} MB of rows pass it; a huge transaction: {:.0} MB",
        megabytes(&bulk),
        megabytes(&huge)
    ));
    let found = peers(settings, &mut report);
    for run in 0..settings.runs {
        say(format_args!("{OURS}, run {} of {}", run + 1, settings.runs));
        let idle = ours(&studio, &bulk, 1, false)?;
        collector.add(OURS, "idle, one client", "MiB", idle);
        let stopped = ours(&studio, &bulk, 1, true)?;
        collector.add(OURS, "a stopped client", "MiB", stopped);
        let many = ours(&studio, &bulk, subscriptions, false)?;
        collector.add(OURS, &format!("{subscriptions} idle clients"), "MiB", many);
        let subject = Subject::millstream(OURS, &[("worker_cores", "[1]"), DEFAULT_LOG]);
        let plan = Plan { server_only: true, ..Plan::of(&huge, Pace::Full) };
        let usage = measure(&subject, &studio, &huge, &plan)?.usage;
        collector.add(OURS, "a huge transaction", "MiB", usage.resident_bytes_max() as f64 / MIB);
        // A JVM needs seconds to start; its memory hardly varies.
        if run < settings.jvm_runs.min(2) {
            for peer in &found {
                let Subject::Peer { name, program } = peer else { continue };
                say(format_args!("{name}, run {}", run + 1));
                match idle_peer(name, program, &studio, &bulk) {
                    Ok(mib) => collector.add(name, "idle, one client", "MiB", mib),
                    Err(error) => report.note(format!("{name}: {error:#}")),
                }
            }
        }
    }
    report.rows = collector.rows();
    for peer in &found {
        report.divide(&format!("idle: millstreamd over {}", peer.label()), "idle, one client", OURS, peer.label());
    }
    Ok(report)
}

fn megabytes(recording: &Recording) -> f64 {
    recording.log.recorded().len() as f64 / 1e6
}

/// The most that the server had, in MiB; with `stopped` the recording passes a client that does not read.
fn ours(studio: &Studio, recording: &Recording, subscriptions: usize, stopped: bool) -> anyhow::Result<f64> {
    let source = Source::start(studio, recording, if stopped { Pace::Full } else { NEVER }, None)?;
    let daemon = start_millstreamd(source.address(), &ENGINE)?;
    let mut command = Process::own_command(None)?;
    command.args(["subject", "sink"]);
    let plan = Plan { rows: 0, ..Plan::of(recording, Pace::Full) };
    stream_command(&mut command, daemon.listen, source.place(), &plan, None);
    source.tell_sink(&mut command);
    command.args(["--subscriptions", &subscriptions.to_string()]);
    if stopped {
        command.arg("--stopped");
    }
    let mut sink = Process::start(command)?;
    sink.wait_for("ready", Duration::from_secs(60))?;
    if stopped {
        source.go();
    }
    let mut most = 0;
    for _ in 0..20 {
        std::thread::sleep(IDLE / 20);
        most = most.max(daemon.resident_bytes()?);
    }
    Ok(most as f64 / MIB)
}

fn idle_peer(name: &str, program: &std::path::Path, studio: &Studio, recording: &Recording) -> anyhow::Result<f64> {
    let source = Source::start(studio, recording, NEVER, None)?;
    let mut command = peer_command(name, program, source.place());
    let plan = Plan { rows: 0, ..Plan::of(recording, Pace::Full) };
    stream_command(&mut command, source.address(), source.place(), &plan, None);
    let process = Process::start(command)?;
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while source.dumps()? == 0 && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    anyhow::ensure!(source.dumps()? > 0, "it did not ask for the binlog within a minute");
    std::thread::sleep(IDLE);
    Ok(resident_bytes(process.pid())? as f64 / MIB)
}
