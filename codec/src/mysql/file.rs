//! Binlog files, read as a sequence of slices: `fe 'b' 'i' 'n'`, then events until the end.
//!
//! The caller reads the file and feeds what it has; this side never touches one.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::error::EventError;
use super::event::{EventHeader, EventType, HEADER_BYTES};
use crate::chunks::SpentChunks;

/// What every binlog file begins with.
pub const MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
/// An encrypted file of MySQL (`binlog_encryption`).
pub const ENCRYPTED_MAGIC: [u8; 4] = [0xfd, b'b', b'i', b'n'];

/// Chunks that are kept to be used again: few, since one who reads files has done with the last events before he feeds
/// more; and none that a large event has made large.
const SPENT_CHUNKS_MAX: usize = 2;
const SPENT_CHUNK_BYTES_MAX: usize = 1 << 20;
const CHUNK_UNIT_BYTES: usize = 64 << 10;

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    #[error("not a binlog file: it begins with {found:02x?} instead of fe 62 69 6e")]
    NotABinlog { found: [u8; 4] },
    #[error("at byte {offset}: {error}")]
    Event { offset: u64, error: EventError },
    /// A file still being written ends so too; then the rest comes later.
    #[error("the file ends at byte {end}, inside the event at byte {offset}")]
    Truncated { offset: u64, end: u64 },
}

/// One event with its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileEvent<'a> {
    pub offset: u64,
    /// The whole event, with its checksum, which is not verified here.
    pub bytes: &'a [u8],
}

/// Cuts a file into events. Holds no more than one incomplete event and what the last
/// [`feed`](Self::feed) brought.
#[derive(Debug)]
pub struct BinlogFileReader {
    event_bytes_max: usize,
    buffer: BytesMut,
    /// What its memory was taken for.
    buffer_bytes: usize,
    spent: SpentChunks,
    /// Bytes of `buffer` that are used up.
    used: usize,
    /// Offset in the file of `buffer[used]`.
    offset: u64,
    magic_seen: bool,
    encrypted: bool,
}

impl BinlogFileReader {
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            buffer: BytesMut::new(),
            buffer_bytes: 0,
            spent: SpentChunks::new(SPENT_CHUNKS_MAX, SPENT_CHUNK_BYTES_MAX),
            used: 0,
            offset: 0,
            magic_seen: false,
            encrypted: false,
        }
    }

    /// For a file that is read from an event's offset on, without its magic.
    pub fn starting_at(offset: u64, event_bytes_max: usize) -> Self {
        Self { offset, magic_seen: true, ..Self::new(event_bytes_max) }
    }

    /// Offset of the next event, or of what is there of it.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// More of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.advance(self.used);
        self.used = 0;
        let length = self.buffer.len();
        if self.buffer.capacity() - length < bytes.len() {
            // Doubling keeps the copying of a large event linear; whole units fit chunks that were used before.
            let wanted = (length + bytes.len().max(length)).next_multiple_of(CHUNK_UNIT_BYTES);
            let mut fresh = self.spent.take(wanted);
            fresh.extend_from_slice(&self.buffer);
            let spent = std::mem::replace(&mut self.buffer, fresh);
            self.spent.give_back(spent, self.buffer_bytes);
            self.buffer_bytes = wanted;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// All whole events that are there, without a copy, and where in them each one lies; `None` when more must be fed.
    ///
    /// # Errors
    /// [`FileError`] of the first event here; those before it have been handed out.
    pub fn next_events(&mut self, ranges: &mut Vec<Range<usize>>) -> Result<Option<Bytes>, FileError> {
        ranges.clear();
        let mut start = None;
        let error = loop {
            match self.pass_event() {
                Ok(Some(range)) => {
                    let start = *start.get_or_insert(range.start);
                    ranges.push(range.start - start..range.end - start);
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        match (start, error) {
            (None, None) => Ok(None),
            (None, Some(error)) => Err(error),
            (Some(start), _) => {
                let used = std::mem::take(&mut self.used);
                self.buffer.advance(start);
                Ok(Some(self.buffer.split_to(used - start).freeze()))
            }
        }
    }

    /// The next whole event; `None` when more must be fed.
    ///
    /// # Errors
    /// [`FileError`]; the file cannot be read on.
    pub fn next_event(&mut self) -> Result<Option<FileEvent<'_>>, FileError> {
        let Some(range) = self.pass_event()? else { return Ok(None) };
        let offset = self.offset - range.len() as u64;
        Ok(self.buffer.get(range).map(|bytes| FileEvent { offset, bytes }))
    }

    /// Where in the buffer the next whole event lies; it counts as used.
    fn pass_event(&mut self) -> Result<Option<Range<usize>>, FileError> {
        if !self.magic_seen && !self.read_magic()? {
            return Ok(None);
        }
        let offset = self.offset;
        let failed = |error| FileError::Event { offset, error };
        if self.encrypted {
            return Err(failed(EventError::Encrypted { scheme: "MariaDB's encrypt_binlog" }));
        }
        let unused = self.buffer.get(self.used..).unwrap_or_default();
        let Some(head) = unused.get(..HEADER_BYTES) else {
            return Ok(None);
        };
        let header = EventHeader::parse(head).map_err(failed)?;
        let size = header.size as usize;
        if size > self.event_bytes_max {
            let (size, limit) = (u64::from(header.size), self.event_bytes_max as u64);
            return Err(failed(EventError::TooLarge { what: "event", size, limit, key: "event_bytes_max" }));
        }
        let start = self.used;
        if unused.len() < size {
            return Ok(None);
        }
        self.used += size;
        self.offset += size as u64;
        self.encrypted = header.type_code == EventType::START_ENCRYPTION;
        Ok(Some(start..start + size))
    }

    fn read_magic(&mut self) -> Result<bool, FileError> {
        let Some(found) = self.buffer.first_chunk::<4>().copied() else {
            return Ok(false);
        };
        match found {
            MAGIC => {
                self.used = MAGIC.len();
                self.offset = MAGIC.len() as u64;
                self.magic_seen = true;
                Ok(true)
            }
            ENCRYPTED_MAGIC => Err(FileError::Event {
                offset: 0,
                error: EventError::Encrypted { scheme: "MySQL's binlog_encryption" },
            }),
            found => Err(FileError::NotABinlog { found }),
        }
    }

    /// Tells whether the file may end here.
    ///
    /// # Errors
    /// [`FileError::Truncated`], with the offset from which reading could go on once there is more.
    pub fn finish(&self) -> Result<(), FileError> {
        let rest = self.buffer.len() - self.used;
        if rest == 0 && self.magic_seen {
            return Ok(());
        }
        Err(FileError::Truncated { offset: self.offset, end: self.offset + rest as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::checksum::Checksum;
    use crate::mysql::event::tests::event;

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<(u64, usize)>, FileError> {
        let mut reader = BinlogFileReader::new(1000);
        let mut found = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.feed(piece);
            while let Some(event) = reader.next_event()? {
                found.push((event.offset, event.bytes.len()));
            }
        }
        reader.finish().map(|()| found)
    }

    #[test]
    fn events_come_with_their_offsets_whatever_the_pieces() {
        let events =
            [event(3, &[1; 10], Checksum::Crc32), event(3, &[], Checksum::None), event(3, &[2; 900], Checksum::None)];
        let file = [&MAGIC[..], &events.concat()].concat();
        for piece in [1, 3, 19, 100, 10_000] {
            assert_eq!(read(&file, piece).unwrap(), [(4, 33), (37, 19), (56, 919)]);
        }
        for length in 0..file.len() {
            let result = read(&file[..length], 64);
            let expected = [4, 37, 56].contains(&length);
            assert_eq!(result.is_ok(), expected, "{length}");
        }
        let cut = read(&file[..60], 64).unwrap_err();
        assert_eq!(cut, FileError::Truncated { offset: 56, end: 60 });
    }

    #[test]
    fn what_is_no_readable_binlog_is_named() {
        let check = |bytes: &[u8], expected: &str| {
            let error = read(bytes, 64).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(b"PK\x03\x04....", "not a binlog file");
        check(b"\xfdbin\x01\x02", "encrypted");
        let encrypted = [&MAGIC[..], &event(EventType::START_ENCRYPTION, &[0; 17], Checksum::None), &[7; 40]].concat();
        check(&encrypted, "at byte 40: this binlog is encrypted");
        let large = [&MAGIC[..], &event(3, &[0; 1000], Checksum::None)].concat();
        check(&large, "event_bytes_max");
        let mut small = [&MAGIC[..], &event(3, &[], Checksum::None)].concat();
        small[4 + 9] = 18;
        check(&small, "at byte 4");
    }
}
