//! The processes that are measured. Each says what it does in lines of JSON on its standard output, as the peers'
//! programs do (`perf-lab/peers/README.md`): `ready`, `first_row`, `done`.

mod bare;
mod check;
mod decode;
mod mysql_async;
mod sink;

pub use decode::{Decoded, Ours, copy, mysql_common};

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::clock::now_ns;

/// What the laboratory gives to every streaming subject, its own and the peers'.
#[derive(Debug, Clone, Args)]
pub struct StreamArgs {
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    #[arg(long)]
    pub port: u16,
    #[arg(long, default_value = "cdc")]
    pub user: String,
    #[arg(long, default_value = "cdc")]
    pub password: String,
    #[arg(long, default_value = "")]
    pub file: String,
    #[arg(long, default_value_t = 4)]
    pub position: u64,
    #[arg(long, default_value_t = 4242)]
    pub server_id: u32,
    #[arg(long, default_value = "lab")]
    pub database: String,
    /// Rows to wait for; 0: stay until ended.
    #[arg(long)]
    pub rows: u64,
    #[arg(long)]
    pub transactions: u64,
    /// File for the time of each transaction's arrival: u64, little endian, nanoseconds of CLOCK_MONOTONIC.
    #[arg(long)]
    pub stamps: Option<PathBuf>,
    /// Subscriptions, each on a connection of its own; of the sink only.
    #[arg(long, default_value_t = 1)]
    pub subscriptions: usize,
    /// `same`: all tables for all; `different`: the same tables by a pattern for each; `divided`: each its share of the tables
    /// of `bulk-tables`; of the sink only.
    #[arg(long, default_value = "same")]
    pub filters: String,
    /// Read nothing after the subscription stands; of the sink only.
    #[arg(long)]
    pub stopped: bool,
    /// Begin at `--file` and `--position` and not with what comes next; of the sink only.
    #[arg(long)]
    pub from_position: bool,
    /// Read the dump of a MySQL server, not of the replayer's bare port; of `bare` only.
    #[arg(long)]
    pub login: bool,
    /// Compare every row and value with this recorded file, from `--position` on; of the sink only.
    #[arg(long, value_name = "RECORDING")]
    pub check: Option<PathBuf>,
}

/// # Errors
/// The subject's; or there is none of that name.
pub fn run(name: &str, arguments: &StreamArgs) -> anyhow::Result<()> {
    match name {
        "sink" => sink::run(arguments),
        "bare" => bare::run(arguments),
        "mysql_async" => mysql_async::run(arguments),
        _ => bail!("no subject '{name}'"),
    }
}

fn say(line: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Counts rows and notes when transactions arrive.
struct Arrivals {
    rows: u64,
    rows_wanted: u64,
    stamps: Vec<u64>,
    path: Option<PathBuf>,
}

impl Arrivals {
    fn new(arguments: &StreamArgs) -> Self {
        let count = usize::try_from(arguments.transactions).unwrap_or(0);
        let stamps = if arguments.stamps.is_some() { Vec::with_capacity(count) } else { Vec::new() };
        Self { rows: 0, rows_wanted: arguments.rows, stamps, path: arguments.stamps.clone() }
    }

    /// A whole transaction is here. True: that was the last one.
    fn transaction(&mut self, rows: u64) -> bool {
        let now = now_ns();
        if self.rows == 0 && rows > 0 {
            say(&serde_json::json!({"event": "first_row", "ns": now}));
        }
        self.rows += rows;
        if self.path.is_some() {
            self.stamps.push(now);
        }
        self.rows_wanted > 0 && self.rows >= self.rows_wanted
    }

    fn done(self) -> anyhow::Result<()> {
        let now = now_ns();
        if let Some(path) = &self.path {
            let bytes: Vec<u8> = self.stamps.iter().flat_map(|stamp| stamp.to_le_bytes()).collect();
            std::fs::write(path, bytes)?;
        }
        say(&serde_json::json!({"event": "done", "rows": self.rows, "transactions": self.stamps.len(), "ns": now}));
        Ok(())
    }
}
