//! Whole files to values, without sockets: ours to encoded rows as clients get them, `mysql_common`'s to its values.

use std::hint::black_box;
use std::io::Cursor;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use millstream_core::engine::interest::{InterestSet, ViewId, ViewInterest};
use millstream_core::engine::shard::Shard;
use millstream_core::filter::Filter;
use millstream_core::source::file::FileDecode;
use millstream_core::source::tracker::{StatementPolicy, TrackerConfig, TrackerOutput};
use millstream_core::tables::Tables;
use mysql_common::binlog::BinlogFile;
use mysql_common::binlog::consts::{BinlogVersion, EventType};
use mysql_common::binlog::events::EventData;

/// As one read of a socket brings.
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decoded {
    pub rows: u64,
    /// Bytes of encoded rows; 0 where nothing is encoded.
    pub bytes_out: u64,
}

/// Tracker and shard, as the engine has them on one core.
pub struct Ours {
    tables: Arc<Mutex<Tables>>,
}

impl Default for Ours {
    fn default() -> Self {
        Self { tables: Arc::new(Mutex::new(Tables::in_memory("lab"))) }
    }
}

impl Ours {
    /// # Errors
    /// A file that is no binlog.
    pub fn decode(&self, file: &[u8]) -> anyhow::Result<Decoded> {
        let config = TrackerConfig {
            shards: 1,
            hold_bytes_max: 64 << 20,
            event_bytes_max: 1 << 30,
            statement_dml: StatementPolicy::Skip,
            quarantine: Arc::default(),
            first_sequence: 0,
        };
        let everything = ViewInterest { view: ViewId(0), filter: Arc::new(Filter::everything()) };
        let interest = Arc::new(InterestSet { version: 1, views: vec![everything] });
        let mut decode = FileDecode::new(config, self.tables.clone(), interest);
        let mut shard = Shard::new(0, 1, self.tables.clone());
        let mut decoded = Decoded::default();
        decode.begin_file("binlog.000001");
        for chunk in file.chunks(CHUNK_BYTES) {
            decode.push(chunk)?;
            take(&mut decode, &mut shard, &mut decoded)?;
        }
        Ok(decoded)
    }
}

fn take(decode: &mut FileDecode, shard: &mut Shard, decoded: &mut Decoded) -> anyhow::Result<()> {
    while let Some(output) = decode.poll()? {
        match output {
            TrackerOutput::Batch(batch) => {
                let output = shard.encode(Arc::new(batch));
                decoded.rows += output.rows;
                decoded.bytes_out += output.slab.len() as u64;
                black_box(&output);
            }
            TrackerOutput::Notice(notice) => anyhow::bail!("{notice}"),
            TrackerOutput::Need(need) => anyhow::bail!("the file alone does not do: {need:?}"),
        }
    }
    Ok(())
}

/// # Errors
/// A file that it cannot read.
pub fn mysql_common(file: &[u8]) -> anyhow::Result<Decoded> {
    let mut decoded = Decoded::default();
    let mut events = BinlogFile::new(BinlogVersion::Version4, Cursor::new(file))?;
    while let Some(event) = events.next() {
        let event = event?;
        let is_rows = matches!(
            event.header().event_type(),
            Ok(EventType::WRITE_ROWS_EVENT | EventType::UPDATE_ROWS_EVENT | EventType::DELETE_ROWS_EVENT)
        );
        if !is_rows {
            continue;
        }
        let Some(EventData::RowsEvent(data)) = event.read_data()? else { continue };
        let map = events.reader().get_tme(data.table_id()).context("its TABLE_MAP")?;
        for row in data.rows(map) {
            black_box(row?);
            decoded.rows += 1;
        }
    }
    Ok(decoded)
}

/// The floor: all bytes once from one place to another.
pub fn copy(file: &[u8], to: &mut Vec<u8>) {
    for chunk in file.chunks(CHUNK_BYTES) {
        to.clear();
        to.extend_from_slice(chunk);
        black_box(&to);
    }
}
