//! The experiments, by name.

mod decode;
mod fanout;
mod latency;
mod memory;
mod profile;
mod scale;
mod startup;
mod throughput;
mod workers;

use crate::report::Report;
use crate::source::SourceKind;
use crate::workload::Size;

/// What a user chose.
#[derive(Debug, Clone)]
pub struct Settings {
    pub size: Size,
    /// Interleaved runs of each subject.
    pub runs: usize,
    /// Of them, those that peers on the JVM take part in.
    pub jvm_runs: usize,
    pub source: SourceKind,
    pub peers: bool,
}

impl Settings {
    pub fn is_quick(&self) -> bool {
        self.size == Size::Quick
    }
}

type Experiment = (&'static str, &'static str, fn(&Settings) -> anyhow::Result<Report>);

/// No part of `all`: it needs `perf`.
pub const PROFILE: Experiment = (
    "profile",
    "where server and client spend their time: flame graphs and the functions on top (with perf)",
    profile::run,
);

pub const EXPERIMENTS: [Experiment; 7] = [
    ("decode", "rows/s of decode and encode on one core, no sockets", decode::run),
    ("throughput", "rows/s from the source's socket to a client's hands", throughput::run),
    ("latency", "from commit to client at stated rates", latency::run),
    ("fanout", "the cost of a further subscription", fanout::run),
    ("scale", "cost per row by tables, columns, bytes and workers", scale::run),
    (
        "memory",
        "resident bytes: idle, a client that does not read, many subscriptions, a huge transaction",
        memory::run,
    ),
    ("startup", "process start to first row, reconnect to first row", startup::run),
];
