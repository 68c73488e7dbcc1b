//! From commit to client, open loop: transactions of one row are offered at a stated rate, whatever the subject does.

use super::Settings;
use crate::recording::Studio;
use crate::replay::Pace;
use crate::report::{Collector, Report};
use crate::run::{Plan, REPLAY_CORE, Run, Subject, in_turn, peers, run as measure};
use crate::stats::percentile;
use crate::workload::workload;

/// Both runtimes, each asleep between transactions and spinning. Who reads the source has a core of its own; the client
/// shares the replayer's.
const OURS: [Subject; 4] = [
    ours("millstream", &[RUNTIME_GLOMMIO, CORE]),
    ours("millstream, spinning", &[RUNTIME_GLOMMIO, CORE, SPIN]),
    ours("millstream on uring", &[RUNTIME_URING, CORE]),
    ours("millstream on uring, spinning", &[RUNTIME_URING, CORE, SPIN]),
];
const RUNTIME_GLOMMIO: (&str, &str) = ("runtime", "\"glommio\"");
const RUNTIME_URING: (&str, &str) = ("runtime", "\"uring\"");
const CORE: (&str, &str) = ("worker_cores", "[1]");
const SPIN: (&str, &str) = ("spin_before_sleep_us", "1000000");
const READER_CORE: usize = 1;

const fn ours(label: &'static str, engine: &'static [(&'static str, &'static str)]) -> Subject {
    Subject::Millstream { label, engine }
}

const RATES: [u64; 3] = [1_000, 10_000, 50_000];
const SECONDS: [u64; 2] = [2, 8];

pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    let oltp = workload("oltp");
    let studio = Studio::open(settings.size, &[oltp])?;
    let recording = studio.recording(oltp)?;
    let mut report = Report::new("latency");
    report.note("from the moment a transaction was due and written to the replica's socket to the moment the client had it; time in which the subject did not read counts; the first fifth is left out");
    let mut subjects = vec![Subject::Bare];
    subjects.extend(OURS);
    subjects.push(Subject::MysqlAsync);
    subjects.extend(peers(settings, &mut report));
    let mut collector = Collector::default();
    for rate in RATES {
        let seconds = SECONDS[usize::from(!settings.is_quick())];
        let count = (rate * seconds).min(recording.transactions);
        let plan = Plan {
            rows: count,
            transactions: count,
            reader_core: Some(READER_CORE),
            sink_core: Some(REPLAY_CORE),
            ..Plan::of(&recording, Pace::Some { per_second: rate as f64, transactions: count })
        };
        in_turn(
            settings,
            &subjects,
            &mut report,
            &format!("at {rate}/s"),
            |subject| measure(subject, &studio, &recording, &plan),
            |subject, run| add(&mut collector, subject.label(), rate, run),
        )?;
    }
    report.rows = collector.rows();
    for rate in RATES {
        for part in ["p50", "p99"] {
            let metric = format!("{rate}/s {part}");
            for ours in &OURS {
                let name = format!("{metric}: {} over the floor", ours.label());
                report.divide(&name, &metric, ours.label(), Subject::Bare.label());
            }
            for subject in &subjects[1 + OURS.len()..] {
                let name = format!("{metric}: {} over millstream", subject.label());
                report.divide(&name, &metric, subject.label(), OURS[0].label());
            }
        }
    }
    Ok(report)
}

fn add(collector: &mut Collector, subject: &str, rate: u64, run: &Run) {
    let skipped = run.stamps.len() / 5;
    if run.offered.offered_ns.len() != run.stamps.len() {
        return;
    }
    let pairs = run.stamps.iter().zip(&run.offered.offered_ns).skip(skipped);
    let mut latencies: Vec<u64> = pairs.map(|(arrived, offered)| arrived.saturating_sub(*offered)).collect();
    latencies.sort_unstable();
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        collector.add(subject, &format!("{rate}/s {name}"), "us", percentile(&latencies, part) as f64 / 1e3);
    }
    let due = run.offered.offered_ns.iter().zip(&run.offered.intended_ns).skip(skipped);
    let mut late: Vec<u64> = due.map(|(offered, intended)| offered.saturating_sub(*intended)).collect();
    late.sort_unstable();
    collector.add("(the writer's own lateness)", &format!("{rate}/s p50"), "us", percentile(&late, 0.5) as f64 / 1e3);
    let cores = run.usage.cpu_ns(run.go_ns, run.done_ns) / (run.done_ns - run.go_ns) as f64;
    collector.add(subject, &format!("{rate}/s cores used"), "cores", cores);
}
