//! From commit to client, open loop: transactions of one row are offered at a stated rate, whatever the subject does.

use super::Settings;
use crate::recording::Studio;
use crate::replay::Pace;
use crate::report::{Collector, Report};
use crate::run::{Plan, REPLAY_CORE, Run, Setting, Subject, in_turn, peers, run as measure};
use crate::source::SourceKind;
use crate::stats::percentile;
use crate::workload::workload;

/// Both runtimes, each asleep between transactions and spinning. Who reads the source has a core of its own; the client
/// shares the replayer's.
const OURS: [Subject; 4] = [
    Subject::millstream("millstream", &[RUNTIME_GLOMMIO, CORE]),
    Subject::millstream("millstream, spinning", &[RUNTIME_GLOMMIO, CORE, SPIN]),
    Subject::millstream("millstream on uring", &[RUNTIME_URING, CORE]),
    Subject::millstream("millstream on uring, spinning", &[RUNTIME_URING, CORE, SPIN]),
];
const RUNTIME_GLOMMIO: Setting = ("runtime", "\"glommio\"");
const RUNTIME_URING: Setting = ("runtime", "\"uring\"");
const CORE: Setting = ("worker_cores", "[1]");
const SPIN: Setting = ("spin_before_sleep_us", "1000000");
const READER_CORE: usize = 1;

const RATES: [u64; 3] = [1_000, 10_000, 50_000];
/// What sessions of a MySQL on a machine of two cores can do beside what is measured.
const RATES_MYSQL: [u64; 2] = [500, 2_000];
const SECONDS: [u64; 2] = [2, 4];

pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    let oltp = workload("oltp");
    let studio = Studio::open(settings, &[oltp])?;
    let recording = studio.recording(oltp)?;
    let mut report = Report::new("latency");
    report.note(match settings.source {
        SourceKind::Replay => "from the moment a transaction was due and written to the replica's socket to the moment the client had it; time in which the subject did not read counts; the first fifth is left out",
        SourceKind::Mysql => "from the moment a statement was due to the moment the client had its row: execution and commit in MySQL are in it, and the wait for a session where all are busy; the first fifth is left out",
    });
    let mut subjects = vec![Subject::Bare];
    subjects.extend(OURS);
    subjects.push(Subject::MysqlAsync);
    subjects.extend(peers(settings, &mut report));
    let rates: &[u64] = match settings.source {
        SourceKind::Replay => &RATES,
        SourceKind::Mysql => &RATES_MYSQL,
    };
    let mut collector = Collector::default();
    for &rate in rates {
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
    for &rate in rates {
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
    let mut late: Vec<u64> = run.offered.late_ns.iter().skip(skipped).copied().collect();
    late.sort_unstable();
    collector.add("(the writer's own lateness)", &format!("{rate}/s p50"), "us", percentile(&late, 0.5) as f64 / 1e3);
    let cores = run.usage.cpu_ns(run.go_ns, run.done_ns) / (run.done_ns - run.go_ns) as f64;
    collector.add(subject, &format!("{rate}/s cores used"), "cores", cores);
}
