//! From the start of the process, or of a connection, to the first row in a client's hands.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use millstream_client::blocking::Client;
use millstream_client::{ClientConfig, Start};
use millstream_tests::harness::{Flavour, Millstreamd, MysqlServer, Options, free_address};

use super::Settings;
use crate::clock::now_ns;
use crate::progress::say;
use crate::recording::Studio;
use crate::replay::Pace;
use crate::report::{Collector, Report};
use crate::run::{Plan, Process, Subject, peer_command, peers, stream_command};
use crate::source::Source;
use crate::workload::{DATABASE, workload};

const OURS: &str = "millstream";
const FILES: u64 = 100;
/// Rows pass all the time, so that the first one says when everything stood.
const RATE: f64 = 2_000.0;
const FIRST_ROW_MAX: Duration = Duration::from_secs(30);

pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    let oltp = workload("oltp");
    let studio = Studio::open(settings, &[oltp])?;
    let recording = studio.recording(oltp)?;
    let mut report = Report::new("startup");
    report.note(format!("the source commits {RATE} rows a second meanwhile; the first start makes the registry and reads information_schema, the second finds them"));
    let mut collector = Collector::default();
    let found = peers(settings, &mut report);
    for run in 0..settings.runs {
        say(format_args!("{OURS}, run {} of {}", run + 1, settings.runs));
        let source = Source::start(&studio, &recording, Pace::PerSecond(RATE), None)?;
        source.go();
        let (listen, admin) = (free_address(), free_address());
        let address = source.address().to_string();
        let began = now_ns();
        let first = first_row_thread(listen.to_string());
        let mut daemon = Millstreamd::start_with_config(listen, admin, |data| {
            Options::default().text(listen, admin, data, &address)
        })?;
        collector.add(OURS, "process start to first row, new", "ms", ms(began, joined(first)?));
        daemon.terminate()?;
        let began = now_ns();
        let first = first_row_thread(listen.to_string());
        daemon.start_again()?;
        collector.add(OURS, "process start to first row", "ms", ms(began, joined(first)?));
        for _ in 0..5 {
            let began = now_ns();
            let at = first_row(&listen.to_string(), Start::Latest)?;
            collector.add(OURS, "connect to first row", "ms", ms(began, at));
        }
        drop((daemon, source));
        if run < settings.jvm_runs.min(2) {
            for peer in &found {
                let Subject::Peer { name, program } = peer else { continue };
                say(format_args!("{name}, run {}", run + 1));
                match start_peer(name, program, &studio, &recording) {
                    Ok(value) => collector.add(name, "process start to first row", "ms", value),
                    Err(error) => report.note(format!("{name}: {error:#}")),
                }
            }
        }
    }
    drop(studio);
    say(format_args!("a start by time in {FILES} files"));
    by_time(settings, &mut collector)?;
    report.rows = collector.rows();
    for peer in &found {
        report.divide(
            &format!("start: {} over millstream", peer.label()),
            "process start to first row",
            peer.label(),
            OURS,
        );
    }
    Ok(report)
}

fn ms(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}

fn joined(thread: std::thread::JoinHandle<anyhow::Result<u64>>) -> anyhow::Result<u64> {
    thread.join().unwrap_or_else(|_| anyhow::bail!("the client panicked"))
}

fn first_row_thread(address: String) -> std::thread::JoinHandle<anyhow::Result<u64>> {
    std::thread::spawn(move || first_row(&address, Start::Latest))
}

/// When the first row came; connects until that works.
fn first_row(address: &str, start: Start) -> anyhow::Result<u64> {
    let until = Instant::now() + FIRST_ROW_MAX;
    loop {
        let config = ClientConfig::new([address], "main")
            .include(format!("{DATABASE}.*"))
            .start(start.clone())
            .without_reconnect();
        let outcome = Client::connect(config).and_then(|mut client| client.next_within(FIRST_ROW_MAX));
        match outcome {
            Ok(Some(_)) => return Ok(now_ns()),
            Ok(None) => anyhow::bail!("no row within {FIRST_ROW_MAX:?}"),
            Err(error) => ensure!(Instant::now() < until, "{error}"),
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn start_peer(
    name: &str,
    program: &std::path::Path,
    studio: &Studio,
    recording: &crate::recording::Recording,
) -> anyhow::Result<f64> {
    let source = Source::start(studio, recording, Pace::PerSecond(RATE), None)?;
    source.go();
    let mut command = peer_command(name, program, source.place());
    let plan = Plan { rows: 100, transactions: 100, ..Plan::of(recording, Pace::PerSecond(RATE)) };
    stream_command(&mut command, source.address(), source.place(), &plan, None);
    let began = now_ns();
    let mut process = Process::start(command)?;
    let line = process.wait_for("first_row", Duration::from_secs(60))?;
    Ok(ms(began, line["ns"].as_u64().context("when")?))
}

/// A start by timestamp in the middle of many files of a real server.
fn by_time(settings: &Settings, collector: &mut Collector) -> anyhow::Result<()> {
    let Some(server) =
        MysqlServer::start(Flavour::Mysql97, &["--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0"])?
    else {
        return Ok(());
    };
    let session = server.session()?;
    session.run(&format!(
        "CREATE DATABASE {DATABASE}; CREATE TABLE {DATABASE}.t (id BIGINT PRIMARY KEY, c VARCHAR(2000))"
    ))?;
    let mut middle_us = 0_i64;
    for file in 0..FILES {
        if file == FILES / 2 {
            middle_us = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros())?;
        }
        for row in 0..20 {
            session.query(&format!("INSERT INTO {DATABASE}.t VALUES ({}, REPEAT('x', 2000))", file * 20 + row))?;
        }
        session.query("FLUSH BINARY LOGS")?;
    }
    let daemon = Millstreamd::start(&server, Options::default())?;
    for _ in 0..settings.runs.max(3) {
        let began = now_ns();
        let at = first_row(&daemon.listen.to_string(), Start::TimestampUs(middle_us)).with_context(|| daemon.log())?;
        collector.add(OURS, &format!("timestamp start in {FILES} files to first row"), "ms", ms(began, at));
    }
    Ok(())
}
