//! TRANSACTION_PAYLOAD (40): the events of a transaction in one body, usually compressed
//! (`binlog_transaction_compression`, MySQL 8.0.20+).
//!
//! ```text
//! fields until one of type 0: lenenc type, lenenc length, value (lenenc)
//!   1 length of the payload    2 compression: 0 zstd, 255 none    3 uncompressed length
//! payload: whole events without checksums
//! ```

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::{EventHeader, HEADER_BYTES};
use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;

const WHAT: &str = "TRANSACTION_PAYLOAD";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadCompression {
    Zstd,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionPayload<'a> {
    pub compression: PayloadCompression,
    /// As the server states it; nothing is sized by it.
    pub uncompressed_bytes: u64,
    pub payload: &'a [u8],
}

impl<'a> TransactionPayload<'a> {
    pub fn parse(body: &'a [u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new(WHAT, body);
        let (mut size, mut compression, mut uncompressed) = (None, PayloadCompression::None, None);
        loop {
            let field = reader.lenenc("field type")?;
            if field == 0 {
                break;
            }
            let mut value = Reader::new(WHAT, reader.lenenc_bytes("field")?);
            match field {
                1 => size = Some(value.lenenc("payload length")?),
                2 => {
                    compression = match value.lenenc("compression")? {
                        0 => PayloadCompression::Zstd,
                        255 => PayloadCompression::None,
                        other => return Err(value.invalid("compression", other.to_string())),
                    }
                }
                3 => uncompressed = Some(value.lenenc("uncompressed length")?),
                // Later versions may add fields; their length is told.
                _ => continue,
            }
            if !value.is_empty() {
                return Err(value.invalid("field", format!("{} bytes behind its value", value.left())));
            }
        }
        let size = size.ok_or_else(|| reader.truncated("payload length", 1))?;
        let payload = reader.bytes_u64("payload", size)?;
        if !reader.is_empty() {
            return Err(reader.invalid("payload", format!("{} bytes behind it", reader.left())));
        }
        Ok(Self { compression, uncompressed_bytes: uncompressed.unwrap_or(size), payload })
    }
}

/// Decompresses payloads as a stream: never more at once than one chunk of whole events. Reused from payload to
/// payload, so that zstd's own memory is allocated once.
pub struct PayloadReader {
    decoder: Decoder<'static>,
    /// Largest event that is let through.
    event_bytes_max: usize,
    compression: PayloadCompression,
    /// Bytes of the compressed payload that are used up.
    read: usize,
    /// Uncompressed bytes produced, and how many were promised.
    produced: u64,
    promised: u64,
    /// The decoder wants no more input for the frame that it has finished.
    frame_ended: bool,
    /// The beginning of an event whose end is not there yet.
    partial: Vec<u8>,
}

impl std::fmt::Debug for PayloadReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PayloadReader")
            .field("read", &self.read)
            .field("produced", &self.produced)
            .finish_non_exhaustive()
    }
}

/// Decompressed at a time while an event is not complete.
const STEP_BYTES: usize = 64 * 1024;

impl PayloadReader {
    /// # Errors
    /// [`EventError::Decompression`] when zstd cannot be set up (no memory).
    pub fn new(event_bytes_max: usize) -> Result<Self, EventError> {
        Ok(Self {
            decoder: Decoder::new().map_err(failed)?,
            event_bytes_max,
            compression: PayloadCompression::None,
            read: 0,
            produced: 0,
            promised: 0,
            frame_ended: true,
            partial: Vec::new(),
        })
    }

    /// Starts with another payload; what is left of the one before is dropped.
    ///
    /// # Errors
    /// [`EventError::Decompression`] when zstd cannot be reset.
    pub fn begin(&mut self, payload: &TransactionPayload<'_>) -> Result<(), EventError> {
        self.decoder.reinit().map_err(failed)?;
        self.compression = payload.compression;
        self.read = 0;
        self.produced = 0;
        self.promised = payload.uncompressed_bytes;
        self.frame_ended = true;
        self.partial.clear();
        Ok(())
    }

    /// The next whole events of `payload` (the bytes that [`begin`](Self::begin) saw), laid out one behind the
    /// other: about `chunk_bytes` of them, more where one event alone is larger. `None` at the end.
    /// [`events`] cuts them apart.
    ///
    /// # Errors
    /// [`EventError::TooLarge`] for an event over the limit; [`EventError::Decompression`] when the stream is
    /// damaged, ends inside an event, or holds more or less than promised.
    pub fn next_chunk(&mut self, payload: &[u8], chunk_bytes: usize) -> Result<Option<Vec<u8>>, EventError> {
        let mut chunk = std::mem::take(&mut self.partial);
        let mut whole = 0;
        loop {
            let end = self.step(payload, &mut chunk, chunk_bytes.clamp(1, STEP_BYTES))?;
            whole = self.whole_events(&chunk, whole)?;
            if end {
                return self.finish(chunk, whole);
            }
            if whole >= chunk_bytes {
                let rest = chunk.get(whole..).unwrap_or_default();
                self.partial.extend_from_slice(rest);
                chunk.truncate(whole);
                return Ok(Some(chunk));
            }
        }
    }

    fn finish(&self, chunk: Vec<u8>, whole: usize) -> Result<Option<Vec<u8>>, EventError> {
        if whole != chunk.len() {
            return Err(failed(format!("it ends inside an event, {} bytes behind its beginning", chunk.len() - whole)));
        }
        if self.produced != self.promised {
            return Err(failed(format!("{} bytes instead of {}", self.produced, self.promised)));
        }
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }

    /// Appends at most `step_bytes` to the chunk. True when nothing more will come.
    fn step(&mut self, payload: &[u8], chunk: &mut Vec<u8>, step_bytes: usize) -> Result<bool, EventError> {
        let input = payload.get(self.read..).unwrap_or_default();
        let before = chunk.len();
        match self.compression {
            PayloadCompression::None => {
                let taken = input.get(..step_bytes).unwrap_or(input);
                chunk.extend_from_slice(taken);
                self.read += taken.len();
            }
            PayloadCompression::Zstd => {
                chunk.reserve(step_bytes);
                chunk.resize(before + step_bytes, 0);
                let target = chunk.get_mut(before..).unwrap_or_default();
                let mut output = OutBuffer::around(target);
                let mut source = InBuffer::around(input);
                let hint = self.decoder.run(&mut source, &mut output).map_err(failed)?;
                let written = output.pos();
                // Called with nothing to do, it would already ask for the next frame.
                if source.pos() > 0 || written > 0 {
                    self.frame_ended = hint == 0;
                }
                self.read += source.pos();
                chunk.truncate(before + written);
            }
        }
        let gained = chunk.len() - before;
        self.produced += gained as u64;
        if self.produced > self.promised {
            return Err(failed(format!("more than the {} bytes that it says it has", self.promised)));
        }
        let end = self.read >= payload.len() && gained == 0;
        if end && !self.frame_ended {
            return Err(failed("the stream is cut"));
        }
        Ok(end)
    }

    /// Where the last whole event of the chunk ends; `from` is where an event begins.
    fn whole_events(&self, chunk: &[u8], mut from: usize) -> Result<usize, EventError> {
        while let Some(head) = chunk.get(from..from + HEADER_BYTES) {
            let size = EventHeader::parse(head)?.size as usize;
            if size > self.event_bytes_max {
                return Err(EventError::TooLarge {
                    what: "event in TRANSACTION_PAYLOAD",
                    size: size as u64,
                    limit: self.event_bytes_max as u64,
                    key: "event_bytes_max",
                });
            }
            if chunk.len() - from < size {
                break;
            }
            from += size;
        }
        Ok(from)
    }
}

fn failed(reason: impl ToString) -> EventError {
    EventError::Decompression { what: WHAT, reason: reason.to_string() }
}

/// Cuts a chunk of [`PayloadReader::next_chunk`] into its events: their ranges in it.
pub fn events(chunk: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let head = chunk.get(start..)?;
        let size = EventHeader::parse(head).ok()?.size as usize;
        let end = start.checked_add(size).filter(|end| *end <= chunk.len())?;
        let range = start..end;
        start = end;
        Some(range)
    })
}

#[cfg(test)]
#[path = "transaction_payload_tests.rs"]
mod tests;
