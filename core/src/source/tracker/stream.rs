//! One stream of events with what is needed to read them: the live dump, or the one that a prepared XA transaction is
//! read again from.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::PayloadReader;

use super::maps::TableMaps;
use super::place::{Place, Span};
use crate::source::statement::Dialect;

/// Events that wait to be read.
#[derive(Debug)]
pub struct Input {
    pub chunk: Bytes,
    pub ranges: Vec<Range<usize>>,
    /// Index of the next range.
    pub next: usize,
    pub received_us: i64,
}

/// A TRANSACTION_PAYLOAD that is being unpacked.
pub struct Payload {
    pub bytes: Bytes,
    pub reader: PayloadReader,
    /// Of the event that holds it: what is inside lies nowhere else.
    pub span: Span,
    pub piece: Option<Input>,
}

#[derive(Default)]
pub struct Stream {
    pub place: Place,
    pub checksum: Checksum,
    /// A FORMAT_DESCRIPTION has said how the events are written.
    pub format_seen: bool,
    /// The file that is read is a relay log: transactions may go on in the next one.
    pub is_relay_log: bool,
    pub dialect: Dialect,
    pub maps: TableMaps,
    pub inputs: VecDeque<Input>,
    pub payload: Option<Payload>,
    /// Emptied lists of ranges, to be filled again.
    spare: Vec<Vec<Range<usize>>>,
}

/// Inputs come one or two at a time.
const SPARE_MAX: usize = 4;

impl Stream {
    pub fn new(place: Place) -> Self {
        Self { place, ..Self::default() }
    }

    pub fn push(&mut self, chunk: Bytes, ranges: &[Range<usize>], received_us: i64) {
        let mut list = self.spare.pop().unwrap_or_default();
        list.extend_from_slice(ranges);
        self.inputs.push_back(Input { chunk, ranges: list, next: 0, received_us });
    }

    pub fn recycle(&mut self, mut input: Input) {
        if self.spare.len() < SPARE_MAX {
            input.ranges.clear();
            self.spare.push(input.ranges);
        }
    }

    /// Forgets what was not read yet.
    pub fn clear(&mut self) {
        self.inputs.clear();
        self.payload = None;
    }
}
