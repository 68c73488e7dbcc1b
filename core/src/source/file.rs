//! Binlog files without a server: bytes in by slices, the same batches out as from a live source.
//!
//! Nothing is opened here: the caller reads the files, in their order, and reads one again from an offset where a
//! prepared XA transaction is asked for. Every error names the file and the offset.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use millstream_codec::mysql::file::{BinlogFileReader, FileError};

use crate::engine::interest::InterestSet;
use crate::position::OpenXa;
use crate::source::error::SourceError;
use crate::source::tracker::{Need, Tracker, TrackerConfig, TrackerOutput};
use crate::tables::Tables;

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("{file}: {error}{}", hint(.error))]
    File { file: String, error: FileError },
    #[error(transparent)]
    Source(#[from] SourceError),
}

fn hint(error: &FileError) -> &'static str {
    match error {
        FileError::Truncated { .. } => {
            ". What lies before was decoded. The file was cut, or its server was still writing it: copy it again"
        }
        FileError::NotABinlog { .. } => ". Name binlog or relay log files of MySQL or MariaDB",
        FileError::Event { .. } => "",
    }
}

/// Decodes files, one behind the other.
#[derive(Debug)]
pub struct FileDecode {
    tracker: Tracker,
    event_bytes_max: usize,
    name: String,
    reader: BinlogFileReader,
    reread: Option<BinlogFileReader>,
    ranges: Vec<Range<usize>>,
}

impl FileDecode {
    pub fn new(config: TrackerConfig, tables: Arc<Mutex<Tables>>, interest: Arc<InterestSet>) -> Self {
        let event_bytes_max = config.event_bytes_max;
        Self {
            tracker: Tracker::for_files(config, tables, interest),
            event_bytes_max,
            name: String::new(),
            reader: BinlogFileReader::new(event_bytes_max),
            reread: None,
            ranges: Vec::new(),
        }
    }

    /// The next file begins; positions will name it so.
    pub fn begin_file(&mut self, name: &str) {
        name.clone_into(&mut self.name);
        self.reader = BinlogFileReader::new(self.event_bytes_max);
        self.tracker.begin_file(name);
    }

    /// More of the file. Then [`poll`](Self::poll) until it has nothing more.
    ///
    /// # Errors
    /// Bytes that are no binlog; what came before them can still be polled.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.reader.feed(bytes);
        loop {
            match self.reader.next_events(&mut self.ranges) {
                Ok(Some(chunk)) => self.tracker.events(chunk, &self.ranges, 0),
                Ok(None) => return Ok(()),
                Err(error) => return Err(DecodeError::File { file: self.name.clone(), error }),
            }
        }
    }

    /// The file has ended.
    ///
    /// # Errors
    /// [`FileError::Truncated`] where it ends inside an event.
    pub fn finish_file(&mut self) -> Result<(), DecodeError> {
        self.reader.finish().map_err(|error| DecodeError::File { file: self.name.clone(), error })
    }

    /// No file follows: a transaction that is still open never commits, and a notice says so.
    pub fn finish(&mut self) {
        self.tracker.end_of_files();
    }

    /// The next output. A [`Need::Refetch`] is answered by [`push_reread`](Self::push_reread) until
    /// [`rereads`](Self::rereads) has nothing more, or by [`reread_failed`](Self::reread_failed); a schema is never asked
    /// for.
    ///
    /// # Errors
    /// See [`SourceError`]; nothing can be decoded behind it.
    pub fn poll(&mut self) -> Result<Option<TrackerOutput>, DecodeError> {
        Ok(self.tracker.poll()?)
    }

    /// The prepared XA transaction whose events are wanted again.
    pub fn rereads(&self) -> Option<OpenXa> {
        match self.tracker.awaiting() {
            Some(Need::Refetch(open)) => Some(open),
            Some(Need::Schema { .. }) | None => None,
        }
    }

    /// Bytes of the file that [`rereads`](Self::rereads) names, from its offset on. Poll after each.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_reread(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let Some(open) = self.rereads() else {
            self.reread = None;
            return Ok(());
        };
        let max = self.event_bytes_max;
        let reader = self.reread.get_or_insert_with(|| BinlogFileReader::starting_at(open.offset, max));
        reader.feed(bytes);
        loop {
            match reader.next_events(&mut self.ranges) {
                Ok(Some(chunk)) => self.tracker.provide_refetch(chunk, &self.ranges),
                Ok(None) => return Ok(()),
                Err(error) => return Err(DecodeError::File { file: open.file.to_string(), error }),
            }
        }
    }

    /// The file cannot be read again: the next poll fails.
    pub fn reread_failed(&mut self, reason: &str) {
        self.reread = None;
        self.tracker.refetch_failed(reason);
    }

    /// Where decoding stands: for progress.
    pub fn offset(&self) -> u64 {
        self.reader.offset()
    }

    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
