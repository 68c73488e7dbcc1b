//! What further workers bring: part of `scale`.
//!
//! The replayer has a core, the source one, each worker one. Rows of 64 tables go to as many clients as there are workers,
//! to each its share of the tables, or all rows to all. Where there are not so many cores, one core is held against two.

use anyhow::Context;

use super::Settings;
use super::throughput::{ONE_CORE, TWO_CORES};
use crate::progress::say;
use crate::recording::{Recording, Studio};
use crate::replay::Pace;
use crate::report::{Collector, Report};
use crate::run::{Filters, Plan, Setting, Subject, run as measure};
use crate::source::SourceKind;
use crate::workload::workload;

/// Cores that are no worker's: the replayer's, and the source's.
const OTHER_CORES: usize = 2;
static WORKERS: [(usize, Subject); 5] = [
    (1, Subject::millstream("1 worker", &[SOURCE, ("worker_cores", "[2]")])),
    (2, Subject::millstream("2 workers", &[SOURCE, ("worker_cores", "[2, 3]")])),
    (4, Subject::millstream("4 workers", &[SOURCE, ("worker_cores", "[2, 3, 4, 5]")])),
    (8, Subject::millstream("8 workers", &[SOURCE, ("worker_cores", "[2, 3, 4, 5, 6, 7, 8, 9]")])),
    (
        16,
        Subject::millstream(
            "16 workers",
            &[SOURCE, ("worker_cores", "[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]")],
        ),
    ),
];
const SOURCE: Setting = ("source_core", "1");
const DIVIDED: &str = "rows to their clients";
const TO_ALL: &str = "rows to each of them";
const FEW: &str = "bulk rows to a client";

pub struct Workers {
    /// With as many workers each; empty where the machine has too few cores.
    subjects: &'static [(usize, Subject)],
    recording: Recording,
}

impl Workers {
    /// # Errors
    /// The studio was opened without what is needed.
    pub fn new(studio: &Studio, settings: &Settings, report: &mut Report) -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let subjects = &WORKERS[..affordable(cores)];
        let name = if subjects.is_empty() { "bulk" } else { "bulk-tables" };
        if subjects.is_empty() {
            report.note(format!("workers: {cores} cores are too few for more than one beside the replayer and the client, which share them"));
        } else {
            report.note("workers: the replayer on core 0, the source on core 1, workers from core 2 on; clients are threads of one process, wherever there is room");
        }
        if settings.source == SourceKind::Mysql {
            report.note("workers: clients start at the recording's place, and are served by readers of their own, each on its connection's core; a dump thread each");
        }
        Ok(Self { subjects, recording: studio.recording(workload(name))? })
    }

    /// # Errors
    /// As of a run.
    pub fn run(&self, studio: &Studio, collector: &mut Collector) -> anyhow::Result<()> {
        let plan = Plan::of(&self.recording, Pace::Full);
        let rate = |subject: &Subject, plan: &Plan| -> anyhow::Result<f64> {
            say(format_args!("{}, {:?} filters", subject.label(), plan.filters));
            let run = measure(subject, studio, &self.recording, plan).with_context(|| subject.label().to_owned())?;
            Ok(self.recording.rows as f64 / ((run.done_ns - run.go_ns) as f64 / 1e9))
        };
        if self.subjects.is_empty() {
            for subject in [&ONE_CORE, &TWO_CORES] {
                collector.add(subject.label(), FEW, "rows/s", rate(subject, &plan)?);
            }
        }
        for (count, subject) in self.subjects {
            let divided = Plan { subscriptions: *count, filters: Filters::Divided, ..plan };
            collector.add(subject.label(), DIVIDED, "rows/s", rate(subject, &divided)?);
            let to_all = Plan { subscriptions: *count, ..plan };
            collector.add(subject.label(), TO_ALL, "rows/s", rate(subject, &to_all)?);
        }
        Ok(())
    }

    pub fn ratios(&self, report: &mut Report) {
        if self.subjects.is_empty() {
            let name = "two cores over one (on two cores the client and the replayer share them)";
            report.divide(name, FEW, TWO_CORES.label(), ONE_CORE.label());
        }
        let Some((_, one)) = self.subjects.first() else { return };
        for (count, subject) in &self.subjects[1..] {
            report.divide(&format!("{count} workers over one, {DIVIDED}"), DIVIDED, subject.label(), one.label());
            report.divide(&format!("{count} workers over one, {TO_ALL}"), TO_ALL, subject.label(), one.label());
        }
    }
}

/// How many of `WORKERS` leave cores to the others; none on fewer than four.
fn affordable(cores: usize) -> usize {
    let most = if cores > 3 { cores - OTHER_CORES } else { 0 };
    WORKERS.iter().take_while(|(count, _)| *count <= most).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_leave_cores_to_the_others() {
        for (cores, expected) in [(1, 0), (2, 0), (3, 0), (4, 2), (7, 3), (8, 3), (10, 4), (18, 5), (64, 5)] {
            assert_eq!(affordable(cores), expected, "{cores} cores");
        }
        for (count, subject) in &WORKERS {
            let Subject::Millstream { engine, .. } = subject else { panic!("another subject") };
            let cores: Vec<usize> = (OTHER_CORES..OTHER_CORES + count).collect();
            assert_eq!(*engine, [("source_core", "1"), ("worker_cores", &format!("{cores:?}"))]);
        }
    }
}
