//! What a further subscription costs the server: the same rows to many clients, with the same filter or with one each.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use rustix::time::{ClockId, clock_gettime};

use super::Settings;
use crate::progress::say;
use crate::recording::{Recording, Studio};
use crate::replay::Pace;
use crate::report::{Collector, Report};
use crate::run::{Filters, Plan, Run, Subject, run as measure};
use crate::source::SourceKind;
use crate::workload::workload;

const SUBJECT: Subject =
    Subject::millstream("millstream", &[("worker_cores", "[1]"), ("connections_max", "2048"), ("catchup_max", "1024")]);

pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    let oltp = workload("oltp");
    let studio = Studio::open(settings, &[oltp])?;
    let recording = studio.recording(oltp)?;
    let mut report = Report::new("fanout");
    report.note("processor time of millstreamd alone, for each row of the source; every client is a thread of one other process");
    if settings.source == SourceKind::Mysql {
        report.note("rows are written by sessions as fast as they can, while they are read");
    }
    let same: &[usize] = if settings.is_quick() { &[1, 10, 100] } else { &[1, 10, 100, 1000] };
    let different: &[usize] = if settings.is_quick() { &[10] } else { &[10, 100] };
    let mut collector = Collector::default();
    for run in 0..settings.runs {
        collector.add("a write to a socket (floor)", "per byte", "ns", write_ns_a_byte()?);
        for (count, different_filters) in same.iter().map(|n| (*n, false)).chain(different.iter().map(|n| (*n, true))) {
            // As many rows to all of them together, as far as that goes.
            let transactions = (recording.transactions / (count as u64).div_ceil(10)).max(2_000);
            say(format_args!("{}, run {} of {}", label(count, different_filters), run + 1, settings.runs));
            let run = one(&studio, &recording, count, different_filters, transactions)?;
            let label = label(count, different_filters);
            let ns = run.usage.cpu_ns(run.go_ns, run.done_ns) / transactions as f64;
            collector.add(&label, "server, per row", "ns", ns);
            let bytes = run.sent_bytes / (transactions * count as u64) as f64;
            collector.add(&label, "sent, per row and subscription", "bytes", bytes);
        }
    }
    report.rows = collector.rows();
    let row = |count: usize| report.median(&label(count, false), "server, per row");
    let marginal: Vec<(usize, Option<f64>)> = same
        .windows(2)
        .map(|pair| {
            (pair[1], row(pair[1]).zip(row(pair[0])).map(|(more, less)| (more - less) / (pair[1] - pair[0]) as f64))
        })
        .collect();
    let floor = report.median("a write to a socket (floor)", "per byte");
    for (count, ns) in marginal {
        report.ratio(format!("ns a row for each further subscription, up to {count}"), ns);
        let bytes = report.median(&label(count, false), "sent, per row and subscription");
        let copies = ns.zip(floor).zip(bytes).map(|((ns, floor), bytes)| ns / (floor * bytes));
        report.ratio(format!("up to {count}: over writing its bytes to a socket"), copies);
    }
    Ok(report)
}

fn label(count: usize, different: bool) -> String {
    format!("{count} subscriptions, {}", if different { "different filters" } else { "same filter" })
}

fn one(
    studio: &Studio,
    recording: &Recording,
    count: usize,
    different_filters: bool,
    transactions: u64,
) -> anyhow::Result<Run> {
    let plan = Plan {
        rows: transactions,
        transactions,
        subscriptions: count,
        filters: if different_filters { Filters::Different } else { Filters::Same },
        server_only: true,
        ..Plan::of(recording, Pace::Some { per_second: 1e6, transactions })
    };
    measure(&SUBJECT, studio, recording, &plan)
}

/// Processor time of a thread that writes batches to a socket of this machine.
fn write_ns_a_byte() -> anyhow::Result<f64> {
    const BATCH: usize = 128 << 10;
    const BATCHES: usize = 4096;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let reader = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut buffer = vec![0; 256 << 10];
        while stream.read(&mut buffer)? > 0 {}
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    let batch = vec![7_u8; BATCH];
    let used = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let before = used();
    for _ in 0..BATCHES {
        stream.write_all(&batch)?;
    }
    let spent = used() - before;
    drop(stream);
    reader.join().unwrap_or(Ok(()))?;
    Ok(spent / (BATCH * BATCHES) as f64)
}
