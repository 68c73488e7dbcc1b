//! `make demo`: a private MySQL (or MariaDB), `millstreamd` with the defaults of `conf/`, ten seconds of a mixed
//! workload, and its rows arriving here, each held against what was committed.
//!
//! Ends with one line: `demo: transactions=N rows=N lost=0 duplicated=0 p50_us=.. p99_us=.. p999_us=..`. The latency is
//! that of transactions, from COMMIT (or the statement that commits) being sent to its rows in the client's hands;
//! writers, database, server and client share this machine. Nothing is left running, whatever ends it.

use std::io::IsTerminal;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use hdrhistogram::Histogram;
use millstream_client::blocking::Client;
use millstream_client::{ClientConfig, Transaction};
use millstream_tests::harness::{Flavour, Millstreamd, MysqlServer, free_address, repository};
use millstream_tests::load::{Change, Checker, Delivery, Ledger, Load, LoadOptions, Report};

const SECONDS: u64 = 10;
/// Two cores are not saturated by it, in an optimised build: the latency is that of the way, not of a queue.
const TRANSACTIONS_PER_SECOND: u32 = 1000;
const WRITERS: u32 = 8;
const DATABASE: &str = "shop";
/// A transaction is shown after so long; more could not be read.
const SHOW_EVERY: Duration = Duration::from_millis(400);
const SHOWN_ROWS_MAX: usize = 3;
const LATENCY_US_MAX: u64 = 60_000_000;
/// What was committed has arrived by then, or never will.
const ARRIVE_MAX: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let interrupted = Arc::new(AtomicBool::new(false));
    match watch_signals(interrupted.clone()).and_then(|()| run(&interrupted)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C and SIGTERM end the demo as its end does: everything is taken down.
fn watch_signals(interrupted: Arc<AtomicBool>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, is_ready) = channel();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
            let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return };
            let _ = ready.send(());
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            interrupted.store(true, Ordering::SeqCst);
        });
    });
    is_ready.recv().context("watching for Ctrl-C")
}

fn run(interrupted: &AtomicBool) -> anyhow::Result<bool> {
    let stop_if_interrupted = || if interrupted.load(Ordering::SeqCst) { Err(anyhow!("interrupted")) } else { Ok(()) };
    let flavour = Flavour::ALL.into_iter().find(|flavour| flavour.is_available());
    let flavour = flavour.context("no server is here; scripts/servers.sh fetch brings one")?;
    let server = MysqlServer::start(flavour, &[])?.context("the server has gone")?;
    println!("{} {} on {}", flavour, server.version, server.address());
    stop_if_interrupted()?;
    Load::prepare(&server, DATABASE)?;

    let (listen, admin) = (free_address(), free_address());
    let template =
        std::fs::read_to_string(repository().join("conf/millstreamd.toml")).context("conf/millstreamd.toml")?;
    let daemon = Millstreamd::start_with_config(listen, admin, |data| {
        configuration(
            &template,
            &[
                ("server", "listen", format!("\"{listen}\"")),
                ("server", "admin_listen", format!("\"{admin}\"")),
                ("server", "data_dir", format!("\"{}\"", data.display())),
                ("[destination]", "name", "\"demo\"".to_owned()),
                ("destination.source", "servers", format!("[\"{}\"]", server.address())),
                ("destination.source", "user", "\"cdc\"".to_owned()),
                ("destination.source", "password", "\"cdc\"".to_owned()),
            ],
        )
    })?;
    println!("millstreamd on {listen}, its metrics on http://{admin}/metrics");
    stop_if_interrupted()?;

    let config = ClientConfig::new([listen.to_string()], "demo").subscription("demo").include(format!("{DATABASE}.*"));
    let client = Client::connect(config)?;
    println!("{SECONDS} s of {TRANSACTIONS_PER_SECOND} transactions a second; some of their rows:\n");
    let options = LoadOptions {
        writers: WRITERS,
        transactions_per_second: TRANSACTIONS_PER_SECOND,
        large_every: 600,
        large_rows: 400,
        ..LoadOptions::new(DATABASE, 1)
    };
    let load = Load::start_prepared(&server, options)?;
    let ledger = load.ledger();
    let stopping = Arc::new(AtomicBool::new(false));
    let (received, receiving) = channel();
    let reader = {
        let stopping = stopping.clone();
        std::thread::spawn(move || read(client, &stopping, |transaction, at| received.send((transaction, at)).is_ok()))
    };
    let outcome = watch(&receiving, load, &ledger, interrupted);
    stopping.store(true, Ordering::SeqCst);
    drop(receiving);
    let read = reader.join().map_err(|_| anyhow!("the client panicked"))?;
    let (checker, latencies_us) = outcome?;
    read?;
    let report = checker.finish(&server)?;
    let mut commits_us = Histogram::<u64>::new_with_bounds(1, LATENCY_US_MAX, 3)?;
    for time in ledger.commit_times() {
        commits_us.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }
    drop(daemon);
    drop(server);
    Ok(conclude(&report, &latencies_us, &commits_us))
}

/// Hands each transaction on with the time of its arrival, and acknowledges it.
fn read(
    mut client: Client,
    stopping: &AtomicBool,
    mut hand_over: impl FnMut(Delivered, Instant) -> bool,
) -> anyhow::Result<()> {
    while !stopping.load(Ordering::SeqCst) {
        let Some(transaction) = client.next_within(Duration::from_millis(50))? else { continue };
        let arrived = Instant::now();
        client.ack(&transaction)?;
        if !hand_over(transaction, arrived) {
            break;
        }
    }
    client.close()?;
    Ok(())
}

type Delivered = Transaction;

/// Checks and shows what arrives; ends when the time is over and all has come.
fn watch(
    receiving: &Receiver<(Delivered, Instant)>,
    load: Load,
    ledger: &Arc<Ledger>,
    interrupted: &AtomicBool,
) -> anyhow::Result<(Checker, Histogram<u64>)> {
    let mut checker = Checker::new(ledger.clone(), DATABASE);
    checker.connected();
    let mut latencies_us = Histogram::<u64>::new_with_bounds(1, LATENCY_US_MAX, 3)?;
    let begun = Instant::now();
    let mut shown = begun;
    let mut load = Some(load);
    let mut stopped = None;
    loop {
        if interrupted.load(Ordering::SeqCst) {
            bail!("interrupted");
        }
        if begun.elapsed() >= Duration::from_secs(SECONDS)
            && let Some(load) = load.take()
        {
            load.stop()?;
            stopped = Some(Instant::now());
        }
        if stopped.is_some_and(|stopped| checker.is_complete() || stopped.elapsed() > ARRIVE_MAX) {
            return Ok((checker, latencies_us));
        }
        let (transaction, arrived) = match receiving.recv_timeout(Duration::from_millis(50)) {
            Ok(received) => received,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => bail!("the client has ended"),
        };
        let delivery = Delivery::of(&transaction)?;
        let entry = checker.identify(&delivery).and_then(|key| ledger.entry(key));
        let latency = entry.map(|entry| arrived.saturating_duration_since(entry.sent));
        if let Some(latency) = latency {
            latencies_us.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
        if shown.elapsed() >= SHOW_EVERY {
            shown = Instant::now();
            show(&delivery, begun.elapsed(), latency.unwrap_or_default());
        }
        checker.deliver(&delivery);
    }
}

fn show(delivery: &Delivery, since: Duration, latency: Duration) {
    let colour = std::io::stdout().is_terminal();
    let paint = |code: &str, text: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let gtid = delivery.id.rsplit(['-', ':']).next().unwrap_or_default();
    println!(
        "{}",
        paint(
            "2",
            &format!(
                "{:5.2} s  transaction {gtid}, {} rows, {} us after its commit",
                since.as_secs_f64(),
                delivery.changes.len(),
                latency.as_micros()
            )
        )
    );
    for change in delivery.changes.iter().take(SHOWN_ROWS_MAX) {
        let code = match change.op.as_str() {
            "insert" => "32",
            "update" => "33",
            _ => "31",
        };
        println!(
            "         {} {}",
            paint(code, &format!("{:6} {DATABASE}.{}", change.op, change.table)),
            columns(change)
        );
    }
    if delivery.changes.len() > SHOWN_ROWS_MAX {
        println!("         ..");
    }
}

/// `name=value ..`; of an update only what changed, and the key.
fn columns(change: &Change) -> String {
    const SHOWN_CHARS: usize = 40;
    let Some(row) = change.after.as_ref().or(change.before.as_ref()) else { return String::new() };
    let is_news = |name: &String, value: &serde_json::Value| match (&change.before, &change.after) {
        (Some(before), Some(_)) => name == "id" || before.get(name) != Some(value),
        (Some(_), None) => name == "id",
        _ => !value.is_null(),
    };
    let shown = row.iter().filter(|(name, value)| is_news(name, value)).map(|(name, value)| {
        let text = match value {
            serde_json::Value::String(text) => format!("'{text}'"),
            other => other.to_string(),
        };
        match text.chars().count() > SHOWN_CHARS {
            true => format!("{name}={}..", text.chars().take(SHOWN_CHARS).collect::<String>()),
            false => format!("{name}={text}"),
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn conclude(report: &Report, latencies_us: &Histogram<u64>, commits_us: &Histogram<u64>) -> bool {
    println!();
    for complaint in &report.complaints {
        println!("{complaint}");
    }
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| commits_us.value_at_quantile(quantile));
    println!("the database itself answered COMMIT after: p50 {p50} us, p99 {p99} us, p99.9 {p999} us");
    let at = |quantile| latencies_us.value_at_quantile(quantile);
    println!(
        "demo: transactions={} rows={} lost={} duplicated={} p50_us={} p99_us={} p999_us={}",
        report.transactions,
        report.rows,
        report.lost,
        report.duplicated,
        at(0.5),
        at(0.99),
        at(0.999)
    );
    report.complaints.is_empty() && report.lost == 0 && report.duplicated == 0 && report.transactions > 0
}

/// The documented configuration with some keys set; a key that stands there as a comment is taken out of it.
fn configuration(template: &str, settings: &[(&str, &str, String)]) -> String {
    let mut section = String::new();
    let mut text = String::new();
    for line in template.lines() {
        if line.starts_with('[') && line.ends_with(']') {
            section = line[1..line.len() - 1].to_owned();
        }
        let bare = line.strip_prefix('#').unwrap_or(line);
        let key = bare.split_once(" = ").map(|(key, _)| key);
        match settings.iter().find(|(of, name, _)| *of == section && Some(*name) == key) {
            Some((_, name, value)) => text += &format!("{name} = {value}\n"),
            None => text += &format!("{line}\n"),
        }
    }
    for (_, name, value) in settings {
        assert!(text.contains(&format!("\n{name} = {value}\n")), "conf/millstreamd.toml has no line for {name}");
    }
    text
}
