//! The experiments, by name.

mod decode;
mod fanout;
mod latency;
mod memory;
mod scale;
mod startup;
mod throughput;

use crate::report::Report;
use crate::workload::Size;

/// What a user chose.
#[derive(Debug, Clone)]
pub struct Settings {
    pub size: Size,
    /// Interleaved runs of each subject.
    pub runs: usize,
    pub peers: bool,
}

impl Settings {
    pub fn is_quick(&self) -> bool {
        self.size == Size::Quick
    }
}

type Experiment = (&'static str, &'static str, fn(&Settings) -> anyhow::Result<Report>);

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
