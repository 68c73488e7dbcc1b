//! The receive side. See the module above.
//!
//! Invariants:
//! - `chunk[..filled]` is received and not yet taken; it begins at a packet's header. What is behind is zeroed space.
//! - A large packet is either wholly in the chunk, or wholly in `large`; then the chunk is empty.
//! - Sequence numbers are checked once, when a packet leaves the chunk or enters `large`.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{PACKET_HEADER_BYTES, PACKET_PAYLOAD_BYTES_MAX, PacketError};
use crate::chunks::SpentChunks;

/// A chunk fits the L2 cache: 256 KiB were framed at 5.9 GB/s, 4 MiB at 4.2.
const CHUNK_BYTES: usize = 256 * 1024;
/// An incomplete packet above this gets its own allocation.
const IN_CHUNK_BYTES_MAX: usize = 64 * 1024;
/// With less room than this a new chunk is begun: an eighth is wasted at most, and reads stay large.
const ROOM_BYTES_MIN: usize = 32 * 1024;
/// Offered to the first read, and to reads that find little.
const STEP_BYTES_MIN: usize = 16 * 1024;
/// Chunks that are kept to be used again once their frames are dropped: 8 x 256 KiB = 2 MiB.
const SPENT_CHUNKS_MAX: usize = 8;
/// In the payload of a large event: an OK byte, then the event's size behind 9 bytes of its header.
const EVENT_SIZE_OFFSET: usize = 1 + 9;

/// What a [`Framer`] lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramerLimits {
    /// Longest payload, joined. For a dump stream: `event_bytes_max` and one for the byte before each event.
    pub payload_bytes_max: usize,
    /// The configuration key that raises it, for the error.
    pub key: &'static str,
}

/// Cuts a stream into packets. One for each connection.
#[derive(Debug)]
pub struct Framer {
    limits: FramerLimits,
    sequence: u8,
    chunk: BytesMut,
    filled: usize,
    /// Zeroed ahead of a read; grows while reads fill it.
    step_bytes: usize,
    large: Option<Large>,
    /// The stream cannot be read on; said again at every call.
    failed: Option<PacketError>,
    spent: SpentChunks,
}

/// A packet of its own allocation.
#[derive(Debug)]
struct Large {
    payload: BytesMut,
    filled: usize,
    /// Where the packet that is being received ends in `payload`.
    part_end: usize,
    /// It is as long as a packet can be, so another one follows.
    continues: bool,
    /// The header of the next packet of the run, once this part is there.
    header: [u8; PACKET_HEADER_BYTES],
    header_filled: usize,
}

impl Large {
    fn is_complete(&self) -> bool {
        self.filled == self.part_end && !self.continues
    }
}

impl Framer {
    pub fn new(limits: FramerLimits) -> Self {
        Self {
            limits,
            sequence: 0,
            chunk: BytesMut::with_capacity(CHUNK_BYTES),
            filled: 0,
            step_bytes: STEP_BYTES_MIN,
            large: None,
            failed: None,
            spent: SpentChunks::new(SPENT_CHUNKS_MAX, CHUNK_BYTES),
        }
    }

    /// The sequence number that the next packet must have: 1 behind a command, 0 for the greeting.
    pub fn expect_sequence(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// The sequence number that would be sent next.
    pub fn sequence(&self) -> u8 {
        self.sequence
    }

    /// Other limits from here on, as when a connection turns from queries to a dump.
    pub fn set_limits(&mut self, limits: FramerLimits) {
        self.limits = limits;
    }

    /// True while part of a packet has been received: the peer must not end here.
    pub fn is_inside_packet(&self) -> bool {
        self.filled > 0 || self.large.is_some()
    }

    /// Where to receive next; never empty. Tell with [`filled`](Self::filled) how much was. [`take`](Self::take)
    /// what is complete first.
    ///
    /// # Errors
    /// [`PacketError`] when the packet that has begun is too large or out of sequence.
    pub fn space(&mut self) -> Result<&mut [u8], PacketError> {
        self.unless_failed(|framer| if framer.large.is_none() { framer.prepare_chunk() } else { Ok(()) })?;
        let Self { large, chunk, filled, .. } = self;
        let space = match large {
            None => chunk.get_mut(*filled..),
            Some(Large { payload, filled, part_end, header, header_filled, .. }) => {
                if filled < part_end {
                    payload.get_mut(*filled..*part_end)
                } else {
                    header.get_mut(*header_filled..)
                }
            }
        };
        Ok(space.unwrap_or_default())
    }

    /// `count` bytes were received at the beginning of [`space`](Self::space).
    ///
    /// # Errors
    /// [`PacketError`] when that completed the header of a packet that is too large or out of sequence.
    pub fn filled(&mut self, count: usize) -> Result<(), PacketError> {
        self.unless_failed(|framer| framer.count_filled(count))
    }

    fn count_filled(&mut self, count: usize) -> Result<(), PacketError> {
        let Some(large) = &mut self.large else {
            let offered = self.chunk.len() - self.filled;
            debug_assert!(count <= offered);
            self.filled += count.min(offered);
            self.step_bytes = match count {
                all if all >= offered => (self.step_bytes * 2).min(CHUNK_BYTES),
                little if little < self.step_bytes / 4 => (self.step_bytes / 2).max(STEP_BYTES_MIN),
                _ => self.step_bytes,
            };
            return Ok(());
        };
        if large.filled < large.part_end {
            large.filled = large.part_end.min(large.filled + count);
            return Ok(());
        }
        large.header_filled = PACKET_HEADER_BYTES.min(large.header_filled + count);
        if large.header_filled < PACKET_HEADER_BYTES {
            return Ok(());
        }
        let (length, sequence) = parse_header(large.header);
        large.header_filled = 0;
        large.part_end = large.filled + length;
        large.continues = length == PACKET_PAYLOAD_BYTES_MAX;
        check_sequence(&mut self.sequence, sequence)?;
        check_size(&self.limits, large.part_end)?;
        if large.payload.len() < large.part_end {
            large.payload.resize(large.part_end, 0);
        }
        Ok(())
    }

    /// All packets that are complete, or `None`.
    ///
    /// # Errors
    /// [`PacketError`] of the first packet here; the ones before it have been taken.
    pub fn take(&mut self) -> Result<Option<Frames>, PacketError> {
        self.unless_failed(Self::take_complete)
    }

    fn take_complete(&mut self) -> Result<Option<Frames>, PacketError> {
        if let Some(large) = self.large.take_if(|large| large.is_complete()) {
            let mut payload = large.payload;
            payload.truncate(large.filled);
            return Ok(Some(Frames { chunk: payload.freeze(), is_one_payload: true }));
        }
        let complete = self.complete_bytes()?;
        if complete == 0 {
            return Ok(None);
        }
        let taken = self.chunk.split_to(complete).freeze();
        self.filled -= complete;
        Ok(Some(Frames { chunk: taken, is_one_payload: false }))
    }

    /// An error ends the stream for good.
    #[inline]
    fn unless_failed<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, PacketError>) -> Result<T, PacketError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        step(self).inspect_err(|error| self.failed = Some(error.clone()))
    }

    /// Length of the complete packets at the beginning of the chunk, whose sequence numbers have been counted.
    fn complete_bytes(&mut self) -> Result<usize, PacketError> {
        let received = self.chunk.get(..self.filled).unwrap_or_default();
        let mut rest = received;
        let mut sequence = self.sequence;
        while let Some((header, behind)) = rest.split_first_chunk::<PACKET_HEADER_BYTES>() {
            let (length, found) = parse_header(*header);
            let checked = check_sequence(&mut sequence, found).and_then(|()| check_size(&self.limits, length));
            if let Err(error) = checked {
                if rest.len() == received.len() {
                    return Err(error);
                }
                break;
            }
            match behind.split_at_checked(length) {
                Some((_, behind)) if length < PACKET_PAYLOAD_BYTES_MAX => {
                    rest = behind;
                    self.sequence = sequence;
                }
                _ => break,
            }
        }
        Ok(received.len() - rest.len())
    }

    /// Makes room behind what is there: more zeroes, a new chunk, or an allocation of its own for a large packet.
    fn prepare_chunk(&mut self) -> Result<(), PacketError> {
        let received = self.chunk.get(..self.filled).unwrap_or_default();
        let mut needed = ROOM_BYTES_MIN;
        if let Some((header, part)) = received.split_first_chunk::<PACKET_HEADER_BYTES>() {
            let (length, sequence) = parse_header(*header);
            if length > IN_CHUNK_BYTES_MAX && part.len() < length {
                check_sequence(&mut self.sequence, sequence)?;
                self.large = Some(begin_large(&self.limits, length, part)?);
                self.chunk.truncate(self.filled);
                let _moved = self.chunk.split_to(self.filled);
                self.filled = 0;
                return Ok(());
            }
            needed = needed.max(length.saturating_sub(part.len()));
        }
        if self.chunk.capacity() < self.filled + needed {
            self.begin_chunk(self.filled + needed);
        }
        if self.chunk.len() == self.filled {
            let zeroed = (self.filled + self.step_bytes).min(self.chunk.capacity());
            self.chunk.resize(zeroed, 0);
        }
        Ok(())
    }

    /// Moves what is there into another chunk.
    fn begin_chunk(&mut self, bytes_min: usize) {
        let mut fresh = self.spent.take(bytes_min.max(CHUNK_BYTES));
        fresh.extend_from_slice(self.chunk.get(..self.filled).unwrap_or_default());
        let spent = std::mem::replace(&mut self.chunk, fresh);
        self.spent.give_back(spent, CHUNK_BYTES);
    }
}

/// A packet of `length` of which `part` has been received.
fn begin_large(limits: &FramerLimits, length: usize, part: &[u8]) -> Result<Large, PacketError> {
    check_size(limits, length)?;
    let continues = length == PACKET_PAYLOAD_BYTES_MAX;
    let mut allocation = length;
    if continues && let Some(total) = event_payload_bytes(part) {
        check_size(limits, total)?;
        allocation = total.max(length);
    }
    // Zeroed pages come from the system as they are touched.
    let mut payload = BytesMut::zeroed(allocation);
    if let Some(target) = payload.get_mut(..part.len()) {
        target.copy_from_slice(part);
    }
    let header = [0; PACKET_HEADER_BYTES];
    Ok(Large { payload, filled: part.len(), part_end: length, continues, header, header_filled: 0 })
}

/// What a payload that begins with an event will be long, joined, by the event's own header.
fn event_payload_bytes(part: &[u8]) -> Option<usize> {
    if part.first() != Some(&0) {
        return None;
    }
    let size = part.get(EVENT_SIZE_OFFSET..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*size)).ok()?.checked_add(1)
}

#[inline]
fn parse_header([a, b, c, sequence]: [u8; PACKET_HEADER_BYTES]) -> (usize, u8) {
    (u32::from_le_bytes([a, b, c, 0]) as usize, sequence)
}

#[inline]
fn check_sequence(expected: &mut u8, found: u8) -> Result<(), PacketError> {
    if *expected != found {
        return Err(PacketError::Sequence { expected: *expected, found });
    }
    *expected = expected.wrapping_add(1);
    Ok(())
}

#[inline]
fn check_size(limits: &FramerLimits, size: usize) -> Result<(), PacketError> {
    if size > limits.payload_bytes_max {
        let limit = limits.payload_bytes_max as u64;
        return Err(PacketError::TooLarge { size: size as u64, limit, key: limits.key });
    }
    Ok(())
}

/// Complete packets in one allocation.
#[derive(Debug, Clone)]
pub struct Frames {
    chunk: Bytes,
    /// The chunk is a payload without a header (a large packet, perhaps joined).
    is_one_payload: bool,
}

impl Frames {
    /// What the ranges of [`ranges`](Self::ranges) are in. Cloning it counts one reference.
    pub fn chunk(&self) -> &Bytes {
        &self.chunk
    }

    /// Where each payload lies in the chunk.
    pub fn ranges(&self) -> Ranges<'_> {
        Ranges { chunk: &self.chunk, at: 0, is_one_payload: self.is_one_payload }
    }

    pub fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        self.ranges().map(|range| self.chunk.get(range).unwrap_or_default())
    }
}

/// See [`Frames::ranges`].
#[derive(Debug, Clone)]
pub struct Ranges<'a> {
    chunk: &'a [u8],
    at: usize,
    is_one_payload: bool,
}

impl Iterator for Ranges<'_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        if self.is_one_payload {
            self.is_one_payload = false;
            self.at = self.chunk.len();
            return Some(0..self.at);
        }
        let header = self.chunk.get(self.at..)?.first_chunk::<PACKET_HEADER_BYTES>()?;
        let start = self.at + PACKET_HEADER_BYTES;
        let (length, _) = parse_header(*header);
        self.at = start + length;
        Some(start..self.at)
    }
}

#[cfg(test)]
#[path = "framer_tests.rs"]
mod tests;
