//! Where the time goes: the load of `throughput` on one core, server and client sampled with `perf`.
//!
//! Stacks are unwound from copies of the stack by the debug information that a release build has here: what is sampled is the
//! program as it is measured, without frame pointers that would cost it a register. A virtual machine has no hardware counters;
//! the software clock does.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_tests::harness::{bound_command, repository, signal, spawn_bound};
use rustix::process::Signal;

use super::Settings;
use super::throughput::ONE_CORE;
use crate::flame::Stacks;
use crate::progress::say;
use crate::recording::{Recording, Studio, target_folder};
use crate::replay::Pace;
use crate::report::{Collector, Report};
use crate::run::{Plan, Process, REPLAY_CORE, Subject, start_millstreamd, stream_command};
use crate::source::Source;
use crate::workload::workload;

/// No divisor of what else happens by the clock.
const SAMPLES_PER_SECOND: u32 = 1999;
/// Copied for each sample; stacks of both are shallow.
const STACK_BYTES: u32 = 8192;
/// Of each workload: one pass takes a fraction of a second.
const PASSES: [usize; 2] = [5, 10];
/// Functions in the table, of each process and workload.
const TOP: usize = 15;
/// Until `perf` samples.
const ATTACH: Duration = Duration::from_millis(500);
const HOW_TO_GET: &str = "perf is not here, or may not sample: install it (Debian: apt install linux-perf) and be root, \
                          or allow it (sysctl kernel.perf_event_paranoid=1)";

pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    let works = Command::new("perf")
        .args(["record", "-e", "cpu-clock", "-o", "/dev/null", "true"])
        .stdin(Stdio::null())
        .output();
    ensure!(works.is_ok_and(|output| output.status.success()), HOW_TO_GET);
    let workloads = [workload("oltp"), workload("bulk")];
    let studio = Studio::open(settings, &workloads)?;
    let mut report = Report::new("profile");
    let passes = PASSES[usize::from(!settings.is_quick())];
    report.note(format!("self time, in parts of a process's samples on a workload; {passes} passes of each, {SAMPLES_PER_SECOND} samples a second of processor time"));
    let folder = target_folder().join("perf-lab/profile");
    std::fs::create_dir_all(&folder)?;
    let mut stacks = [("server", Stacks::default()), ("client", Stacks::default())];
    let mut collector = Collector::default();
    for workload in workloads {
        let recording = studio.recording(workload)?;
        let mut of_workload = [Stacks::default(), Stacks::default()];
        for pass in 0..passes {
            say(format_args!("{}, pass {} of {passes}", workload.name, pass + 1));
            let data = folder.join("perf.data");
            let pids = sample(&studio, &recording, &data)?;
            let text = script(&data)?;
            for (pid, stacks) in pids.iter().zip(&mut of_workload) {
                stacks.read(&text, *pid);
            }
            std::fs::remove_file(&data)?;
        }
        for ((process, all), of_workload) in stacks.iter_mut().zip(of_workload) {
            ensure!(of_workload.samples() > 0, "no sample of the {process} on {}", workload.name);
            report.note(format!("{process}, {}: {} samples", workload.name, of_workload.samples()));
            for (function, part) in of_workload.top(TOP) {
                collector.add(&format!("{process}, {}", workload.name), &function, "%", part * 100.0);
            }
            all.take_under(workload.name, of_workload);
        }
    }
    for (process, stacks) in stacks {
        let path = folder.join(format!("profile-{process}.svg"));
        std::fs::write(&path, stacks.svg(&format!("{process}, {} samples", stacks.samples())))?;
        report.note(format!("flame graph: {}", path.strip_prefix(repository()).unwrap_or(&path).display()));
    }
    report.rows = collector.rows();
    // Stable: the processes stay where they are, each with what takes most of it first.
    let order: Vec<String> = report.rows.iter().map(|row| row.subject.clone()).collect();
    let place = |subject: &str| order.iter().position(|other| other == subject);
    report.rows.sort_by(|a, b| place(&a.subject).cmp(&place(&b.subject)).then(b.median.total_cmp(&a.median)));
    Ok(report)
}

/// One pass of the recording; the processes that were sampled.
fn sample(studio: &Studio, recording: &Recording, data: &Path) -> anyhow::Result<[u32; 2]> {
    const WAIT_MAX: Duration = Duration::from_secs(60);
    let Subject::Millstream { engine, .. } = ONE_CORE else { anyhow::bail!("another subject is profiled") };
    let source = Source::start(studio, recording, Pace::Full, Some(REPLAY_CORE))?;
    let daemon = start_millstreamd(source.address(), engine)?;
    let mut command = Process::own_command(None)?;
    command.args(["subject", "sink"]);
    stream_command(&mut command, daemon.listen, source.place(), &Plan::of(recording, Pace::Full), None);
    source.tell_sink(&mut command);
    let mut sink = Process::start(command)?;
    let pids = [daemon.pid(), sink.pid()];
    // Where rows do not wait, there is no time to lose.
    if source.waits() {
        sink.wait_for("ready", WAIT_MAX)?;
    }
    let perf = Perf::start(&pids, data)?;
    source.go();
    sink.wait_for("done", WAIT_MAX)?;
    perf.stop()?;
    Ok(pids)
}

struct Perf {
    child: Child,
}

impl Perf {
    fn start(pids: &[u32], data: &Path) -> anyhow::Result<Self> {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let mut command = bound_command(Path::new("perf"));
        command.args(["record", "--quiet", "--event", "cpu-clock", "--freq", &SAMPLES_PER_SECOND.to_string()]);
        command.args(["--call-graph", &format!("dwarf,{STACK_BYTES}"), "--pid", &pids.join(","), "--output"]).arg(data);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = spawn_bound(command).context(HOW_TO_GET)?;
        std::thread::sleep(ATTACH);
        Ok(Self { child })
    }

    fn stop(mut self) -> anyhow::Result<()> {
        signal(self.child.id(), Signal::INT)?;
        let status = self.child.wait()?;
        // It ends by the signal that it was asked with.
        ensure!(status.code().is_none_or(|code| code == 0), "perf ended with {status}");
        Ok(())
    }
}
/// The samples as text. Without inlined functions: `perf` would ask for each address by itself, for minutes.
fn script(data: &Path) -> anyhow::Result<String> {
    let mut command = Command::new("perf");
    command.args(["script", "--no-inline", "--fields", "pid,ip,sym", "--input"]).arg(data).stdin(Stdio::null());
    let output = command.output().context(HOW_TO_GET)?;
    ensure!(output.status.success(), "perf script: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
