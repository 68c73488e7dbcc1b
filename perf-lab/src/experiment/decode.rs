//! Whole binlog files to values: ours to encoded rows, peers to what their users get. One core, no sockets.

use std::process::{Command, Stdio};

use anyhow::ensure;
use millstream_tests::harness::{Kind, mysqlbinlog};

use super::Settings;
use crate::clock::now_ns;
use crate::progress::say;
use crate::recording::{Recording, Studio};
use crate::report::{Collector, Report};
use crate::run::{Subject, peers};
use crate::source::SourceKind;
use crate::subject::{Decoded, Ours, copy, mysql_common};
use crate::workload::{Workload, workload};

const OURS: &str = "millstream";
const FLOOR: &str = "copy (floor)";
const COMMON: &str = "mysql_common";
/// Passes before those that count.
const WARM_UP: usize = 3;

pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    let names: &[&str] =
        if settings.is_quick() { &["oltp", "bulk"] } else { &["oltp", "bulk", "wide", "json", "blobs"] };
    let workloads: Vec<&'static Workload> = names.iter().map(|name| workload(name)).collect();
    let studio = Studio::open(settings, &workloads)?;
    let mut report = Report::new("decode");
    report.note(
        "the whole file, from memory: ours tracked, filtered (everything is wanted) and encoded as clients get it",
    );
    report.note(format!("{WARM_UP} passes before those that count, for each; mysqlbinlog is a new process for each pass; peers: at most 3 passes, behind the others"));
    if settings.source == SourceKind::Mysql {
        report.note("files are read, not a server: --source mysql changes nothing here");
    }
    let found = peers(settings, &mut report);
    let mut collector = Collector::default();
    for workload in workloads {
        let recording = studio.recording(workload)?;
        let file = std::fs::read(&recording.path)?;
        let megabytes = file.len() as f64 / 1e6;
        report.note(format!("{}: {}; {} rows, {megabytes:.0} MB", workload.name, workload.about, recording.rows));
        let ours = Ours::default();
        let mut buffer = Vec::new();
        let mut add = |subject: &str, ns: u64, rows: u64| {
            let seconds = ns as f64 / 1e9;
            collector.add(subject, &format!("{} rows", workload.name), "rows/s", rows as f64 / seconds);
            collector.add(subject, &format!("{} bytes", workload.name), "MB/s", megabytes / seconds);
        };
        // Each as often as the peers: memory is met, and what compiles has compiled.
        for _ in 0..WARM_UP {
            copy(&file, &mut buffer);
            check(&ours.decode(&file)?, &recording)?;
            check(&mysql_common(&file)?, &recording)?;
        }
        for run in 0..settings.runs {
            say(format_args!("{}, run {} of {}", workload.name, run + 1, settings.runs));
            let (ns, _) = timed(|| copy(&file, &mut buffer));
            add(FLOOR, ns, recording.rows);
            let (ns, decoded) = timed(|| ours.decode(&file));
            let decoded = decoded?;
            check(&decoded, &recording)?;
            add(OURS, ns, decoded.rows);
            let (ns, decoded) = timed(|| mysql_common(&file));
            check(&decoded?, &recording)?;
            add(COMMON, ns, recording.rows);
            if let Some(program) = mysqlbinlog(Kind::Mysql) {
                let mut command = Command::new(program);
                command.args(["--no-defaults", "-vv", "--base64-output=decode-rows"]).arg(&recording.path);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                let (ns, status) = timed(|| command.status());
                ensure!(status?.success(), "mysqlbinlog failed");
                add("mysqlbinlog -vv", ns, recording.rows);
            }
        }
        for peer in &found {
            let Subject::Peer { name, program } = peer else { continue };
            say(format_args!("{}, {name}", workload.name));
            match peer_decode(program, &studio, &recording, settings.runs.min(3)) {
                Ok(times) => times.into_iter().for_each(|(ns, rows)| add(name, ns, rows)),
                Err(error) => report.note(format!("{name} on {}: {error:#}", workload.name)),
            }
        }
    }
    report.rows = collector.rows();
    for name in names {
        let metric = format!("{name} rows");
        report.divide(&format!("{name}: millstream over mysql_common"), &metric, OURS, COMMON);
        let others =
            report.rows.iter().filter(|row| row.metric == metric && row.subject != OURS && row.subject != FLOOR);
        if let Some(best) = others.max_by(|a, b| a.median.total_cmp(&b.median)).map(|row| row.subject.clone()) {
            report.divide(&format!("{name}: millstream over the best peer ({best})"), &metric, OURS, &best);
        }
        report.divide(&format!("{name}: millstream over copying"), &metric, OURS, FLOOR);
    }
    Ok(report)
}

fn check(decoded: &Decoded, recording: &Recording) -> anyhow::Result<()> {
    ensure!(decoded.rows == recording.rows, "{} rows, {} were recorded", decoded.rows, recording.rows);
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let began = now_ns();
    let result = work();
    (now_ns() - began, result)
}

/// Times and rows of the last runs; the first ones warm a peer's compiler up.
fn peer_decode(
    program: &std::path::Path,
    studio: &Studio,
    recording: &Recording,
    runs: usize,
) -> anyhow::Result<Vec<(u64, u64)>> {
    let mut command = Command::new(program);
    command.arg("decode").args(["--rows", &recording.rows.to_string(), "--iterations", &(runs + WARM_UP).to_string()]);
    command.args([
        "--host",
        "127.0.0.1",
        "--port",
        &studio.server.port.to_string(),
        "--user",
        "cdc",
        "--password",
        "cdc",
    ]);
    let output = command.arg(&recording.path).stdin(Stdio::null()).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", errors.lines().last().unwrap_or("it failed"));
    let mut times = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        if let (Some(ns), Some(rows)) = (value["ns"].as_u64(), value["rows"].as_u64()) {
            ensure!(rows == recording.rows, "it saw {rows} rows of {}", recording.rows);
            times.push((ns, rows));
        }
    }
    ensure!(times.len() == runs + WARM_UP, "{} runs were told", times.len());
    Ok(times.split_off(WARM_UP))
}
