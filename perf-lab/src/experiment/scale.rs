//! How the cost of a row grows with the number of tables, columns and bytes, and what further workers bring.
//!
//! Tables, columns and bytes are made up, so that 100,000 tables need no server; workers are measured with real ones.

use anyhow::Context;
use millstream_bench::binlog::{self, Column};

use super::Settings;
use super::workers::Workers;
use crate::clock::now_ns;
use crate::progress::say;
use crate::recording::{Recording, Studio};
use crate::report::{Collector, Report};
use crate::subject::Ours;
use crate::workload::workload;

const XID: u8 = 16;
const QUERY: u8 = 2;

pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    let (bulk, tables) = (workload("bulk"), workload("bulk-tables"));
    let studio = Studio::open(settings, &[bulk, tables])?;
    let recording = studio.recording(bulk)?;
    let mut report = Report::new("scale");
    let workers = Workers::new(&studio, settings, &mut report)?;
    let mut collector = Collector::default();
    let tables: &[usize] = if settings.is_quick() { &[10, 1_000, 10_000] } else { &[10, 100, 1_000, 10_000, 100_000] };
    let columns: &[usize] = if settings.is_quick() { &[4, 100, 1_000] } else { &[4, 16, 64, 256, 1_000] };
    let bytes: &[usize] =
        if settings.is_quick() { &[50, 5_000, 1_000_000] } else { &[50, 500, 5_000, 50_000, 500_000, 1_000_000] };
    for run in 0..settings.runs {
        say(format_args!("tables, columns, bytes, run {} of {}", run + 1, settings.runs));
        for count in tables {
            let rows = 200_000.max(*count);
            let log = Made::begin(&recording)?.tables(*count, rows);
            let ours = Ours::default();
            // The first pass meets every table for the first time.
            let first = ns_a_row(&ours, &log)?;
            let second = ns_a_row(&ours, &log)?;
            let label = format!("{count} tables");
            collector.add(&label, "per transaction of one row", "ns", second);
            collector.add(&label, "the first pass, tables new", "ns", first);
        }
        for count in columns {
            let log = Made::begin(&recording)?.columns(*count, 4_000_000 / (count + 8));
            let ours = Ours::default();
            ns_a_row(&ours, &log)?;
            let ns = ns_a_row(&ours, &log)?;
            collector.add(&format!("{count} columns"), "per row", "ns", ns);
            collector.add(&format!("{count} columns"), "per column", "ns", ns / *count as f64);
        }
        for size in bytes {
            let log = Made::begin(&recording)?.bytes(*size, (200_000_000 / (size + 200)).min(400_000));
            let ours = Ours::default();
            ns_a_row(&ours, &log)?;
            let ns = ns_a_row(&ours, &log)?;
            collector.add(&format!("rows of {size} bytes"), "per row", "ns", ns);
            collector.add(&format!("rows of {size} bytes"), "per byte", "ns", ns / *size as f64);
        }
        workers.run(&studio, &mut collector)?;
    }
    report.rows = collector.rows();
    let of = |subject: String, metric: &str| report.median(&subject, metric);
    let cost = "per transaction of one row";
    let flat = of(format!("{} tables", tables[tables.len() - 1]), cost).zip(of(format!("{} tables", tables[0]), cost));
    let linear = of("1000 columns".into(), "per column")
        .zip(of("100 columns".into(), "per column").or(of("64 columns".into(), "per column")));
    report.ratio(
        format!("a row among {} tables over one among {}", tables[tables.len() - 1], tables[0]),
        flat.map(|(a, b)| a / b),
    );
    report.ratio("a column of 1,000 over one of few", linear.map(|(a, b)| a / b));
    workers.ratios(&mut report);
    Ok(report)
}

fn ns_a_row(ours: &Ours, log: &Made) -> anyhow::Result<f64> {
    let began = now_ns();
    let decoded = ours.decode(&log.bytes)?;
    let ns = now_ns() - began;
    anyhow::ensure!(decoded.rows == log.rows, "{} rows of {}", decoded.rows, log.rows);
    Ok(ns as f64 / log.rows as f64)
}

/// A binlog file that no server wrote.
struct Made {
    bytes: Vec<u8>,
    rows: u64,
}

impl Made {
    /// The head of a recorded file: magic and format description.
    fn begin(recording: &Recording) -> anyhow::Result<Self> {
        let file = std::fs::read(&recording.path)?;
        let size = file.get(13..17).context("a header")?;
        let size = u32::from_le_bytes(size.try_into()?) as usize;
        Ok(Self { bytes: file.get(..4 + size).context("a format description")?.to_vec(), rows: 0 })
    }

    /// An event with a checksum and its place.
    fn event(&mut self, mut event: Vec<u8>) {
        let size = event.len() as u32 + 4;
        event[9..13].copy_from_slice(&size.to_le_bytes());
        let end = (self.bytes.len() as u32).wrapping_add(size);
        event[13..17].copy_from_slice(&end.to_le_bytes());
        let checksum = crc32fast::hash(&event);
        self.bytes.extend_from_slice(&event);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
    }

    fn transaction(&mut self, events: impl IntoIterator<Item = Vec<u8>>) {
        // thread 1, 0 s, no database, no error, no status variables
        let mut begin = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        begin.push(0);
        begin.extend_from_slice(b"BEGIN");
        self.event(binlog::event(QUERY, &begin));
        for event in events {
            self.event(event);
        }
        self.event(binlog::event(XID, &9_u64.to_le_bytes()));
    }

    fn tables(mut self, tables: usize, rows: usize) -> Self {
        let columns = numbers(4);
        let maps: Vec<Vec<u8>> = (0..tables)
            .map(|table| binlog::table_map(table as u64 + 1, "lab", &format!("table_{table}"), &columns))
            .collect();
        for row in 0..rows {
            let table = row % tables;
            let rows_event = binlog::write_rows(table as u64 + 1, 4, &row_of_numbers(4, row as u64));
            self.transaction([maps[table].clone(), rows_event]);
        }
        self.rows = rows as u64;
        self
    }

    fn columns(mut self, count: usize, rows: usize) -> Self {
        const ROWS_AN_EVENT: usize = 10;
        let map = binlog::table_map(1, "lab", "wide", &numbers(count));
        let events = rows.div_ceil(ROWS_AN_EVENT);
        for event in 0..events {
            let rows: Vec<u8> =
                (0..ROWS_AN_EVENT).flat_map(|row| row_of_numbers(count, (event * 10 + row) as u64)).collect();
            self.transaction([map.clone(), binlog::write_rows(1, count, &rows)]);
        }
        self.rows = (events * ROWS_AN_EVENT) as u64;
        self
    }

    fn bytes(mut self, size: usize, rows: usize) -> Self {
        let columns = [column(0, 8, &[], Some(false)), column(1, 252, &[4], None)];
        let map = binlog::table_map(1, "lab", "large", &columns);
        let mut row = vec![0];
        row.extend_from_slice(&7_u64.to_le_bytes());
        row.extend_from_slice(&(size as u32).to_le_bytes());
        row.extend((0..size).map(|byte| b'a' + (byte % 26) as u8));
        let each = (8_000 / row.len()).max(1);
        let events = rows.div_ceil(each);
        for _ in 0..events {
            self.transaction([map.clone(), binlog::write_rows(1, 2, &row.repeat(each))]);
        }
        self.rows = (events * each) as u64;
        self
    }
}

fn column(index: usize, type_code: u8, metadata: &'static [u8], unsigned: Option<bool>) -> Column {
    Column { unsigned, ..Column::new(format!("column_{index}"), type_code, metadata) }
}

/// BIGINT columns.
fn numbers(count: usize) -> Vec<Column> {
    (0..count).map(|index| column(index, 8, &[], Some(false))).collect()
}

fn row_of_numbers(columns: usize, first: u64) -> Vec<u8> {
    let mut row = vec![0; columns.div_ceil(8)];
    row.extend((0..columns as u64).flat_map(|column| (first + column).to_le_bytes()));
    row
}
