//! Whole binlog files, as `millstream decode` reads them: framing, tracker, table versions, row encoder.
//!
//! ```text
//! u8 mode   u8 length of the pieces that the file comes in, in units of 16 bytes (0: all at once)
//! rest      the file without its magic, or (ASSEMBLED) events as in `binlog.rs`
//! ```
//! Holds: what is decided, and the error at the end, do not depend on how the bytes are cut. (When notices come does: they
//! run ahead of the batch that is being filled.)

use std::sync::{Arc, Mutex};

use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::file::MAGIC;
use millstream_core::engine::batch::PartEnd;
use millstream_core::engine::interest::{InterestSet, ViewId, ViewInterest};
use millstream_core::engine::shard::Shard;
use millstream_core::filter::{Filter, FilterSpec};
use millstream_core::source::file::{DecodeError, FileDecode};
use millstream_core::source::tracker::{Need, StatementPolicy, TrackerConfig, TrackerOutput};
use millstream_core::tables::Tables;

use crate::binlog;
use crate::input::Input;

pub const ASSEMBLED: u8 = 1;
pub const CHECKSUMS: u8 = 2;
/// Row changes that were logged as statements do not end the file.
const SKIP_STATEMENTS: u8 = 4;
/// Transactions leave in parts as soon as they are larger than a few bytes.
const SMALL_PARTS: u8 = 8;

const EVENT_BYTES_MAX: usize = 1 << 20;
const NAME: &str = "binlog.000001";

pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let (mode, piece) = (input.u8(), usize::from(input.u8()) * 16);
    let file = if mode & ASSEMBLED != 0 {
        let checksum = if mode & CHECKSUMS != 0 { Checksum::Crc32 } else { Checksum::None };
        binlog::file(&mut input, checksum)
    } else {
        [&MAGIC, input.rest()].concat()
    };
    let whole = decode(&file, mode, file.len());
    if piece > 0 {
        assert_eq!(decode(&file, mode, piece), whole, "in pieces of {piece} bytes");
    }
}

/// What was decided, one line for each thing.
#[derive(Debug, Default, PartialEq)]
struct Told {
    transactions: Vec<String>,
    /// The same without what depends on its parts.
    committed: Vec<String>,
    rows: Vec<String>,
    failures: Vec<String>,
    notices: Vec<String>,
    error: Option<String>,
}

fn decode(file: &[u8], mode: u8, piece_bytes: usize) -> Told {
    let tables = Tables::in_memory("fuzz");
    let tables = Arc::new(Mutex::new(tables));
    let filter = Filter::compile(&FilterSpec::default()).expect("everything");
    let interest = InterestSet { version: 1, views: vec![ViewInterest { view: ViewId(0), filter: Arc::new(filter) }] };
    let config = TrackerConfig {
        shards: 1,
        hold_bytes_max: if mode & SMALL_PARTS != 0 { 64 } else { 1 << 20 },
        event_bytes_max: EVENT_BYTES_MAX,
        statement_dml: if mode & SKIP_STATEMENTS != 0 { StatementPolicy::Skip } else { StatementPolicy::Halt },
        quarantine: Arc::default(),
        first_sequence: 1,
    };
    let mut run = Run {
        decode: FileDecode::new(config, tables.clone(), Arc::new(interest)),
        shard: Shard::new(0, 1, tables),
        file,
        told: Told::default(),
    };
    run.told.error = run.all(piece_bytes).err().map(|error| error.to_string());
    if mode & SMALL_PARTS != 0 {
        // Where an open transaction is cut depends on the pieces, and so do rows that are taken back later.
        run.told.transactions = std::mem::take(&mut run.told.committed);
        run.told.rows.clear();
        run.told.failures.clear();
    }
    run.told.committed.clear();
    run.told
}

struct Run<'a> {
    decode: FileDecode,
    shard: Shard,
    file: &'a [u8],
    told: Told,
}

impl Run<'_> {
    fn all(&mut self, piece_bytes: usize) -> Result<(), DecodeError> {
        self.decode.begin_file(NAME);
        for piece in self.file.chunks(piece_bytes.max(1)) {
            let pushed = self.decode.push(piece);
            self.drain()?;
            pushed?;
        }
        self.decode.finish_file()?;
        self.decode.finish();
        self.drain()
    }

    fn drain(&mut self) -> Result<(), DecodeError> {
        while let Some(output) = self.decode.poll()? {
            match output {
                TrackerOutput::Batch(batch) => {
                    let encoded = self.shard.encode(Arc::new(batch));
                    for part in &encoded.batch.transactions {
                        if part.end == PartEnd::Commit {
                            let (gtid, position) = (&part.gtid, &part.position);
                            self.told.committed.push(format!("{} {gtid:?} {position:?} {:?}", part.sequence, part.ddl));
                        }
                        self.told.transactions.push(format!(
                            "{} {} {:?} {:?} {:?} {:?} {} {:?} {:?} {:?}",
                            part.sequence,
                            part.begin,
                            part.end,
                            part.gtid,
                            part.start,
                            part.position,
                            part.commit_time_us,
                            part.ddl,
                            part.truncate_to,
                            part.open_xa
                        ));
                    }
                    for piece in &encoded.pieces {
                        let words = encoded.slab.get(piece.rows.blob.clone()).expect("a piece lies in its slab");
                        let crc = crc32fast::hash(words);
                        self.told
                            .rows
                            .push(format!("{} {:?} {} {crc:08x}", piece.first_row, piece.rows.op, piece.rows.count));
                    }
                    for failure in &encoded.failures {
                        self.told.failures.push(format!("{} {}", failure.offset, failure.reason));
                    }
                }
                TrackerOutput::Notice(notice) => self.told.notices.push(notice.to_string()),
                TrackerOutput::Need(Need::Refetch(open)) => self.reread(open.offset)?,
                TrackerOutput::Need(Need::Schema { .. }) => {}
            }
        }
        Ok(())
    }

    fn reread(&mut self, offset: u64) -> Result<(), DecodeError> {
        let Some(rest) = usize::try_from(offset).ok().and_then(|offset| self.file.get(offset..)) else {
            self.decode.reread_failed("there is nothing");
            return Ok(());
        };
        self.decode.push_reread(rest)?;
        if self.decode.rereads().is_some_and(|open| open.offset == offset) {
            self.decode.reread_failed("the file ends before the transaction does");
        }
        Ok(())
    }
}
