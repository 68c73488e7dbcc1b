//! As fast as it goes: from the source's socket to a client's hands, one subscription.

use super::Settings;
use crate::recording::Studio;
use crate::replay::Pace;
use crate::report::{Collector, Report};
use crate::run::{Plan, Run, Subject, check, in_turn, peers, run as measure};
use crate::source::SourceKind;
use crate::workload::{Size, WORKLOADS, Workload, workload};

pub const ONE_CORE: Subject = Subject::millstream("millstream, 1 core", &[("worker_cores", "[1]")]);
pub const TWO_CORES: Subject =
    Subject::millstream("millstream, 2 cores", &[("source_core", "0"), ("worker_cores", "[1]")]);
const ON_URING: Subject =
    Subject::millstream("millstream on uring, 1 core", &[("runtime", "\"uring\""), ("worker_cores", "[1]")]);
const OURS: [Subject; 3] = [ONE_CORE, TWO_CORES, ON_URING];
/// What every workload is checked with: rows of two shards, merged again.
const TWO_WORKERS: Subject = Subject::millstream("millstream, 2 workers", &[("worker_cores", "[0, 1]")]);

pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    let workloads: [&'static Workload; 2] = [workload("oltp"), workload("bulk")];
    let studio = Studio::open(settings, &workloads)?;
    let mut report = Report::new("throughput");
    report.note("rates of the second half of the recording, so that every subject is warm; cores used: processor time of all its processes, client included");
    if settings.source == SourceKind::Mysql {
        report.note("MySQL's dump thread reads the recorded file; Millstream's client starts at the recording's place, and is served by a reader of its own");
    }
    let mut subjects = vec![Subject::Bare];
    subjects.extend(OURS);
    subjects.push(Subject::MysqlAsync);
    subjects.extend(peers(settings, &mut report));
    let mut collector = Collector::default();
    for workload in workloads {
        let recording = studio.recording(workload)?;
        report.note(format!("{}: {}; {} rows", workload.name, workload.about, recording.rows));
        let plan = Plan::of(&recording, Pace::Full);
        in_turn(
            settings,
            &subjects,
            &mut report,
            &format!("on {}", workload.name),
            |subject| measure(subject, &studio, &recording, &plan),
            |subject, run| add(&mut collector, subject.label(), workload, run, recording.log.recorded().len()),
        )?;
        check(&ONE_CORE, &studio, &recording, &mut report)?;
    }
    drop(studio);
    check_all(settings, &mut report)?;
    report.rows = collector.rows();
    for workload in workloads {
        let [rate, per_core] = metrics(workload).map(|(metric, _)| metric);
        for ours in &OURS {
            let label = ours.label();
            report.divide(&format!("{}: {label} over the floor", workload.name), &rate, label, Subject::Bare.label());
            for subject in &subjects[1 + OURS.len()..] {
                let name = format!("{}: {label} over {}, per core used", workload.name, subject.label());
                report.divide(&name, &per_core, label, subject.label());
            }
        }
    }
    Ok(report)
}

/// Every workload once, small: what arrives is what was recorded.
fn check_all(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let workloads: Vec<&'static Workload> = WORKLOADS.iter().collect();
    let studio = Studio::open(&Settings { size: Size::Quick, ..settings.clone() }, &workloads)?;
    for workload in workloads {
        check(&TWO_WORKERS, &studio, &studio.recording(workload)?, report)?;
    }
    Ok(())
}

fn metrics(workload: &Workload) -> [(String, &'static str); 2] {
    [(format!("{} rows", workload.name), "rows/s"), (format!("{} rows per core used", workload.name), "rows/s")]
}

fn add(collector: &mut Collector, subject: &str, workload: &Workload, run: &Run, bytes: usize) {
    let count = run.stamps.len();
    let (Some(first), Some(last)) = (run.stamps.get(count / 2), run.stamps.last()) else { return };
    let seconds = (last - first) as f64 / 1e9;
    let part = (count - 1 - count / 2) as f64 / count as f64;
    let rows = workload.rows_each as f64 * (count - 1 - count / 2) as f64;
    let cores = run.usage.cpu_ns(*first, *last) / (last - first) as f64;
    let [(rate, unit), (per_core, per_core_unit)] = metrics(workload);
    collector.add(subject, &rate, unit, rows / seconds);
    collector.add(subject, &format!("{} bytes", workload.name), "MB/s", part * bytes as f64 / 1e6 / seconds);
    collector.add(subject, &format!("{} cores used", workload.name), "cores", cores);
    collector.add(subject, &per_core, per_core_unit, rows / seconds / cores);
}
