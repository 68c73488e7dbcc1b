//! Where in which file the events lie.
//!
//! Headers tell the end of an event with 32 bits, and not always: MariaDB 11.8 writes 0 inside transactions, files
//! pass 4 GiB, artificial events are in no file at all, and a GTID dump leaves events out. So the offset is counted
//! here with 64 bits, and corrected by every header that can be believed. Never goes back behind such an end.

use std::sync::Arc;

use millstream_codec::mysql::event::{EventHeader, EventType};
use millstream_codec::mysql::position::FIRST_EVENT_OFFSET;

/// Whose word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counting {
    /// A dump stream: what the headers say, as far as they can be believed.
    #[default]
    ByHeaders,
    /// A file that is read from its beginning to its end without a gap: the bytes alone.
    ByBytes,
}

#[derive(Debug, Clone)]
pub struct Place {
    pub file: Arc<str>,
    /// Where the next event begins.
    pub offset: u64,
    /// The last end that a header told.
    told: u64,
    counting: Counting,
}

impl Default for Place {
    fn default() -> Self {
        Self::new(Arc::from(""), FIRST_EVENT_OFFSET, Counting::ByHeaders)
    }
}

/// Begin and end of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: u64,
    pub end: u64,
    told: bool,
}

/// A header's end may lie this much before the end by count: where the server sent an event in a longer form than
/// its file has it. Anything else is a gap, or the number has wrapped.
const BACKWARD_MAX: u32 = 1 << 30;

impl Place {
    pub fn new(file: Arc<str>, offset: u64, counting: Counting) -> Self {
        Self { file, offset, told: offset, counting }
    }

    pub fn rotate(&mut self, file: Arc<str>, offset: u64) {
        *self = Self::new(file, offset, self.counting);
    }

    /// Where this event, the next one, lies. `in_doubt`: inside a transaction of a server whose headers tell nothing
    /// there.
    pub fn measure(&self, header: &EventHeader, in_doubt: bool) -> Span {
        let size = u64::from(header.size);
        let counted = Span { start: self.offset, end: self.offset.saturating_add(size), told: false };
        if self.counting == Counting::ByBytes {
            return counted;
        }
        let nowhere = Span { start: self.offset, end: self.offset, told: false };
        if header.is_artificial() || is_of_the_dump(header) {
            return nowhere;
        }
        if header.end_position == 0 || in_doubt {
            return counted;
        }
        let low = u32::try_from(counted.end & u64::from(u32::MAX)).unwrap_or(0);
        let forward = header.end_position.wrapping_sub(low);
        let backward = low.wrapping_sub(header.end_position);
        let end = match counted.end.checked_sub(u64::from(backward)) {
            Some(earlier) if backward <= BACKWARD_MAX && earlier >= self.told => earlier,
            _ => counted.end.saturating_add(u64::from(forward)),
        };
        Span { start: end.saturating_sub(size), end, told: true }
    }

    /// The event has been dealt with.
    pub fn pass(&mut self, span: Span) {
        self.offset = span.end;
        if span.told {
            self.told = span.end;
        }
    }
}

/// Events that only a dump has, whether they say so or not.
fn is_of_the_dump(header: &EventHeader) -> bool {
    match header.type_code {
        EventType::HEARTBEAT | EventType::HEARTBEAT_V2 => true,
        // A dump that begins inside a file shows the file's description with an end of 0.
        EventType::FORMAT_DESCRIPTION => header.end_position == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn header(type_code: u8, size: u32, end_position: u32, flags: u16) -> EventHeader {
        EventHeader { timestamp: 0, type_code, server_id: 1, size, end_position, flags }
    }

    fn end(at: u64, size: u32, end_position: u64) -> u64 {
        let mut place = Place::new("b.000001".into(), at, Counting::ByHeaders);
        let header = header(EventType::QUERY, size, (end_position & 0xffff_ffff) as u32, 0);
        let span = place.measure(&header, false);
        assert_eq!(span.start, span.end - u64::from(size));
        place.pass(span);
        place.offset
    }

    #[test]
    fn headers_are_believed_and_wraps_are_counted() {
        for (at, size, told, expected) in [
            (4, 100, 104, 104),
            // A GTID dump left something out, also more than 2 GiB of it.
            (4, 100, 5_000, 5_000),
            (4, 100, 3 * GIB, 3 * GIB),
            // The header says nothing.
            (4, 100, 0, 104),
            // Past 4 GiB, at its border, and twice.
            (4 * GIB - 50, 100, 4 * GIB + 50, 4 * GIB + 50),
            (4 * GIB, 100, 4 * GIB + 100, 4 * GIB + 100),
            (9 * GIB, 100, 9 * GIB + 700, 9 * GIB + 700),
        ] {
            assert_eq!(end(at, size, told), expected, "{at} {size} {told}");
        }
    }

    #[test]
    fn a_count_that_ran_ahead_is_corrected_but_never_behind_a_told_end() {
        let mut place = Place::new("b.000001".into(), 4, Counting::ByHeaders);
        place.pass(place.measure(&header(EventType::MARIADB_GTID, 40, 44, 0), false));
        // Sent longer than the file has it, without an end.
        place.pass(place.measure(&header(EventType::QUERY, 900, 0, 0), true));
        assert_eq!(place.offset, 944);
        place.pass(place.measure(&header(EventType::XID, 31, 500, 0), false));
        assert_eq!(place.offset, 500);
        // Behind the told end: it can only have wrapped.
        place.pass(place.measure(&header(EventType::XID, 31, 400, 0), false));
        assert_eq!(place.offset, 4 * GIB + 400);
    }

    #[test]
    fn events_that_are_in_no_file_move_nothing() {
        let mut place = Place::new("b.000001".into(), 700, Counting::ByHeaders);
        for event in [
            header(EventType::ROTATE, 40, 0, 0x20),
            header(EventType::FORMAT_DESCRIPTION, 119, 0, 0),
            header(EventType::HEARTBEAT, 40, 9_000, 0),
            header(EventType::HEARTBEAT_V2, 40, 0, 0),
        ] {
            place.pass(place.measure(&event, false));
            assert_eq!(place.offset, 700, "{event:?}");
        }
        place.rotate("b.000002".into(), 4);
        place.pass(place.measure(&header(EventType::FORMAT_DESCRIPTION, 119, 123, 0), false));
        assert_eq!(place.offset, 123);
    }

    #[test]
    fn in_files_only_bytes_count() {
        let mut place = Place::new("relay.000002".into(), 4, Counting::ByBytes);
        place.pass(place.measure(&header(EventType::ROTATE, 40, 77_777, 0x20), false));
        assert_eq!(place.offset, 44);
    }
}
