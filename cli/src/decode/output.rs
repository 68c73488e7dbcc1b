//! From a shard's output to lines, whole transactions only.

use std::fmt;
use std::io::{self, Seek, SeekFrom, Stdout, Write, stdout};
use std::sync::Arc;

use millstream_codec::mysql::position::BinlogPosition;
use millstream_codec::wire::batch::{BatchBuilder, FragmentEnd, FragmentHead, RowsHead};
use millstream_codec::wire::json::{DdlLine, LineContext};
use millstream_codec::wire::read::RowsReader;
use millstream_codec::wire::view;
use millstream_codec::wire::words::Segment;
use millstream_core::engine::batch::{PartEnd, TransactionPart};
use millstream_core::engine::shard::{Piece, ShardOutput};
use millstream_core::filter::Filter;
use millstream_core::limits::BATCH_CHUNK_BYTES;
use tempfile::SpooledTempFile;

use crate::exit::{Exit, Failure};
use crate::lines::Lines;
use crate::printer::Printer;

/// Lines of a transaction whose commit has not come are held in memory up to this, then in a temporary file.
const HELD_BYTES_MAX: usize = 64 << 20;

/// See `groups`.
const GROUP_BYTES_MAX: usize = 1 << 20;

pub struct Output {
    printer: Printer,
    filter: Arc<Filter>,
    from: Option<BinlogPosition>,
    to: Option<BinlogPosition>,
    lines: Lines<Stdout>,
    builder: BatchBuilder,
    held: Option<Held>,
    rows: u64,
    transactions: u64,
}

/// The lines of an open transaction.
struct Held {
    sequence: u64,
    lines: SpooledTempFile,
    rows: u64,
    /// (event, bytes and rows before it), ascending: where a rollback to a savepoint cuts.
    events: Vec<(u32, u64, u64)>,
    bytes: u64,
}

impl Output {
    pub fn new(
        printer: Printer,
        filter: Arc<Filter>,
        from: Option<BinlogPosition>,
        to: Option<BinlogPosition>,
    ) -> Self {
        Self {
            printer,
            filter,
            from,
            to,
            lines: Lines::new(stdout()),
            builder: BatchBuilder::new(BATCH_CHUNK_BYTES),
            held: None,
            rows: 0,
            transactions: 0,
        }
    }

    /// Rows printed.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Transactions of which something was printed.
    pub fn transactions(&self) -> u64 {
        self.transactions
    }

    pub fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.lines.flush()?)
    }

    pub fn batch(&mut self, output: &ShardOutput) -> Result<(), Failure> {
        let batch = &output.batch;
        let wanted: Vec<&Piece> =
            output.pieces.iter().filter(|piece| self.filter.kinds().contains(piece.rows.op)).collect();
        let mut wanted = wanted.as_slice();
        for (index, part) in batch.transactions.iter().enumerate() {
            let is_of_part = |piece: &&&Piece| {
                batch.events.get(piece.event as usize).is_some_and(|event| event.transaction as usize == index)
            };
            let count = wanted.iter().take_while(is_of_part).count();
            let (pieces, rest) = wanted.split_at_checked(count).unwrap_or((&[], &[]));
            wanted = rest;
            self.part(output, part, pieces)?;
        }
        Ok(())
    }

    fn part(&mut self, output: &ShardOutput, part: &TransactionPart, pieces: &[&Piece]) -> Result<(), Failure> {
        if !(part.begin && part.end == PartEnd::Commit) {
            return self.provisional(output, part, pieces);
        }
        if !self.is_in_range(part) {
            return Ok(());
        }
        let has_ddl = self.ddl(part, None)?;
        self.transactions += u64::from(has_ddl || !pieces.is_empty());
        for group in groups(pieces) {
            let mut lines = std::mem::take(&mut self.lines.buffer);
            let printed = self.print(output, part, group, &mut lines, None);
            self.lines.buffer = lines;
            self.rows += printed?;
            self.lines.settle()?;
        }
        Ok(())
    }

    fn provisional(&mut self, output: &ShardOutput, part: &TransactionPart, pieces: &[&Piece]) -> Result<(), Failure> {
        let mut held = match self.held.take() {
            Some(held) if !part.begin && held.sequence == part.sequence => held,
            _ => Held::new(part.sequence),
        };
        if let Some(event) = part.truncate_to {
            held.truncate(event)?;
        }
        if part.end == PartEnd::Abort {
            return Ok(());
        }
        self.ddl(part, Some(&mut held))?;
        let mut lines = Vec::new();
        for group in groups(pieces) {
            lines.clear();
            self.print(output, part, group, &mut lines, Some(&mut held))?;
            held.lines.write_all(&lines)?;
        }
        match part.end {
            PartEnd::Commit if self.is_in_range(part) => {
                self.lines.flush()?;
                held.lines.seek(SeekFrom::Start(0))?;
                io::copy(&mut held.lines, &mut stdout())?;
                self.rows += held.rows;
                self.transactions += u64::from(held.bytes > 0);
            }
            PartEnd::Commit | PartEnd::Abort => {}
            PartEnd::Open => self.held = Some(held),
        }
        Ok(())
    }

    fn is_in_range(&self, part: &TransactionPart) -> bool {
        let place = |at: &millstream_core::position::FilePosition| BinlogPosition::new(&*at.file, at.offset);
        self.from.as_ref().is_none_or(|from| place(&part.start) >= *from)
            && self.to.as_ref().is_none_or(|to| place(&part.position) <= *to)
    }

    /// The statement of a part that is one; true where a line was printed.
    fn ddl(&mut self, part: &TransactionPart, held: Option<&mut Held>) -> Result<bool, Failure> {
        let Some(ddl) = part.ddl.as_ref().filter(|ddl| self.filter.wants_ddl(&ddl.database, &ddl.tables)) else {
            return Ok(false);
        };
        let gtid = gtid(part);
        let tables = ddl.table_names();
        let line = DdlLine {
            database: &ddl.database,
            statement: &ddl.statement,
            kind: ddl.kind,
            tables: &tables,
            offset: part.start.offset,
        };
        let mut lines = Vec::new();
        self.printer.ddl(&mut lines, &context(part, &gtid), &line);
        match held {
            Some(held) => {
                held.lines.write_all(&lines)?;
                held.bytes += lines.len() as u64;
            }
            None => self.lines.buffer.extend_from_slice(&lines),
        }
        Ok(true)
    }

    /// Appends the lines of some pieces of a part; gives the number of rows.
    fn print(
        &mut self,
        output: &ShardOutput,
        part: &TransactionPart,
        pieces: &[&Piece],
        lines: &mut Vec<u8>,
        mut held: Option<&mut Held>,
    ) -> Result<u64, Failure> {
        let gtid = gtid(part);
        let context = context(part, &gtid);
        self.build(output, part, pieces);
        let message = self.builder.seal(0);
        let damaged = |error: &dyn fmt::Display| Failure::input(format!("{}: {error}", part.start.file));
        // Made here, of one segment and whole.
        let batch = Segment::of_message(&message).and_then(view::batch);
        let fragment = batch.and_then(|(_, fragments)| fragments.get(0)).map(view::Fragment);
        let changes = fragment.and_then(|fragment| fragment.changes());
        let changes = changes.ok_or_else(|| damaged(&"its rows cannot be put into a batch"))?;
        let mut printed = 0;
        for (change, piece) in changes.iter().zip(pieces) {
            let Some(view::Change::Rows(rows)) = view::Change::read(change) else { continue };
            let Some(version) = output.version(piece) else { continue };
            let rows = RowsReader::new(rows, &version.layout).map_err(|error| damaged(&error))?;
            if let Some(held) = held.as_deref_mut() {
                held.event(rows.event(), lines.len() as u64, printed);
            }
            for row in 0..rows.len() {
                let line = self.printer.row(lines, &context, &rows, row);
                line.map_err(|error| Failure::new(Exit::BadInput, error))?;
            }
            printed += u64::from(rows.len());
        }
        if let Some(held) = held {
            held.rows += printed;
            held.bytes += lines.len() as u64;
        }
        Ok(printed)
    }

    /// The pieces as a fragment of a message, as a client would receive it.
    fn build(&mut self, output: &ShardOutput, part: &TransactionPart, pieces: &[&Piece]) {
        self.builder.begin_fragment(&FragmentHead {
            sequence: part.sequence,
            commit_time_us: part.commit_time_us,
            time_precision_us: part.time_precision_us,
            begin: part.begin,
            start: (&part.start.file, part.start.offset),
            gtid: "",
        });
        for piece in pieces {
            let event = output.batch.events.get(piece.event as usize);
            let head = RowsHead {
                layout: output.version(piece).map_or(0, |version| version.layout.id),
                first_row: piece.first_row,
                event_offset: event.map_or(0, |event| event.offset),
                event: event.map_or(0, |event| event.index),
            };
            self.builder.push_rows(&head, &piece.rows, &output.slab);
        }
        self.builder.end_fragment(&FragmentEnd {
            commit: false,
            abort: false,
            position: ("", 0),
            gtid_delta: "",
            truncate_to: None,
        });
    }
}

fn gtid(part: &TransactionPart) -> String {
    part.gtid.map(|gtid| gtid.to_string()).unwrap_or_default()
}

fn context<'a>(part: &'a TransactionPart, gtid: &'a str) -> LineContext<'a> {
    LineContext { gtid, file: &part.start.file, sequence: part.sequence, commit_time_us: part.commit_time_us }
}

/// Pieces that are printed at once: of about `GROUP_BYTES_MAX`, so that a large transaction is not copied as a whole.
fn groups<'a, 'b>(mut pieces: &'a [&'b Piece]) -> impl Iterator<Item = &'a [&'b Piece]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = pieces.iter().take_while(|piece| {
            let fits = bytes < GROUP_BYTES_MAX;
            bytes += piece.rows.blob.len();
            fits
        });
        let count = fitting.count();
        let (group, rest) = pieces.split_at_checked(count)?;
        pieces = rest;
        (!group.is_empty()).then_some(group)
    })
}

impl Held {
    fn new(sequence: u64) -> Self {
        Self { sequence, lines: SpooledTempFile::new(HELD_BYTES_MAX), rows: 0, events: Vec::new(), bytes: 0 }
    }

    /// An event begins so many bytes and rows into the part that is being printed.
    fn event(&mut self, event: u32, part_bytes: u64, part_rows: u64) {
        if self.events.last().is_none_or(|(last, ..)| *last != event) {
            self.events.push((event, self.bytes + part_bytes, self.rows + part_rows));
        }
    }

    /// Forgets the lines of `event` and of later ones.
    fn truncate(&mut self, event: u32) -> io::Result<()> {
        let keep = self.events.partition_point(|(known, ..)| *known < event);
        if let Some((_, bytes, rows)) = self.events.get(keep).copied() {
            self.events.truncate(keep);
            (self.bytes, self.rows) = (bytes, rows);
            self.lines.set_len(bytes)?;
            self.lines.seek(SeekFrom::Start(bytes))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_savepoint_cuts_lines_and_rows_at_its_event() {
        let check = |cuts: &[u32], expected: &str, expected_rows: u64| {
            let mut held = Held::new(1);
            for part in [[(0, "a\n"), (1, "b\nb\n")], [(2, "c\n"), (2, "c\n")]] {
                let mut lines = String::new();
                let mut rows = 0;
                for (event, text) in part {
                    held.event(event, lines.len() as u64, rows);
                    lines.push_str(text);
                    rows += text.len() as u64 / 2;
                }
                held.rows += rows;
                held.bytes += lines.len() as u64;
                held.lines.write_all(lines.as_bytes()).expect("write");
            }
            for event in cuts {
                held.truncate(*event).expect("truncate");
            }
            held.lines.seek(SeekFrom::Start(0)).expect("seek");
            let mut text = String::new();
            held.lines.read_to_string(&mut text).expect("read");
            assert_eq!((text.as_str(), held.rows), (expected, expected_rows), "{cuts:?}");
        };
        check(&[], "a\nb\nb\nc\nc\n", 5);
        check(&[3], "a\nb\nb\nc\nc\n", 5);
        check(&[2], "a\nb\nb\n", 3);
        check(&[1], "a\n", 1);
        check(&[2, 1], "a\n", 1);
        check(&[0], "", 0);
    }
}
