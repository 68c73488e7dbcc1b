//! Binlog events: the common header, and one file for the body of each type.
//!
//! ```text
//! u32 timestamp (s)   u8 type   u32 server id   u32 size   u32 end position   u16 flags      = 19 bytes
//! body                                          (size - 19 - checksum)
//! u32 CRC-32                                    (where FORMAT_DESCRIPTION says so)
//! ```
//! An event arrives whole: from [`packet`](super::packet) or [`file`](super::file). [`Event::parse`] checks size and
//! checksum; after that [`EventData::parse`] or a single type's `parse` reads the body, without the checksum.

pub mod format_description;
pub mod gtid;
pub mod gtid_tagged;
pub mod heartbeat;
pub mod incident;
pub mod mariadb_gtid;
pub mod mariadb_gtid_list;
pub mod mariadb_misc;
pub mod previous_gtids;
pub mod query;
pub mod rotate;
pub mod rows_query;
pub mod transaction_payload;
pub mod types;
pub mod varlen;
pub mod xa_prepare;
pub mod xid;

mod data;

pub use data::EventData;
pub use format_description::FormatDescription;
pub use gtid::GtidEvent;
pub use heartbeat::Heartbeat;
pub use incident::Incident;
pub use mariadb_gtid::MariadbGtidEvent;
pub use mariadb_gtid_list::MariadbGtidList;
pub use mariadb_misc::{BinlogCheckpoint, StartEncryption};
pub use query::QueryEvent;
pub use rotate::Rotate;
pub use transaction_payload::{PayloadCompression, PayloadReader, TransactionPayload};
pub use types::{EventFlags, EventType};
pub use xa_prepare::{XaPrepare, Xid};

use super::checksum::Checksum;
use super::error::EventError;
use super::reader::Reader;

/// Length of the common header.
pub const HEADER_BYTES: usize = 19;

/// What every event begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventHeader {
    /// Seconds since 1970, when the statement began; 0 in artificial events.
    pub timestamp: u32,
    /// One of [`EventType`], or a type unknown here.
    pub type_code: u8,
    /// The server on which the change was first made.
    pub server_id: u32,
    /// Length of the whole event with this header and its checksum.
    pub size: u32,
    /// Offset in the file behind the event. Wraps past 4 GiB; 0 inside transactions of MariaDB 11.8, in
    /// artificial events, and inside a TRANSACTION_PAYLOAD (whose own end position counts).
    pub end_position: u32,
    /// See [`EventFlags`].
    pub flags: u16,
}

impl EventHeader {
    /// Reads the first [`HEADER_BYTES`]; what follows does not matter.
    ///
    /// # Errors
    /// [`EventError::Truncated`], or [`EventError::Invalid`] when the size is smaller than the header itself.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, EventError> {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return Err(Self::cut(bytes)) };
        let [t0, t1, t2, t3, type_code, i0, i1, i2, i3, s0, s1, s2, s3, e0, e1, e2, e3, f0, f1] = *head;
        let header = Self {
            timestamp: u32::from_le_bytes([t0, t1, t2, t3]),
            type_code,
            server_id: u32::from_le_bytes([i0, i1, i2, i3]),
            size: u32::from_le_bytes([s0, s1, s2, s3]),
            end_position: u32::from_le_bytes([e0, e1, e2, e3]),
            flags: u16::from_le_bytes([f0, f1]),
        };
        if (header.size as usize) < HEADER_BYTES {
            return Err(header.too_small(bytes));
        }
        Ok(header)
    }

    /// The first field that is not whole.
    #[cold]
    fn cut(bytes: &[u8]) -> EventError {
        const FIELDS: [(&str, usize); 6] =
            [("timestamp", 4), ("type", 1), ("server id", 4), ("size", 4), ("end position", 4), ("flags", 2)];
        let mut reader = Reader::new("event header", bytes);
        let cut = FIELDS.iter().find_map(|(field, length)| reader.bytes(field, *length).err());
        cut.unwrap_or_else(|| reader.truncated("flags", HEADER_BYTES as u64))
    }

    #[cold]
    fn too_small(&self, bytes: &[u8]) -> EventError {
        let reader = Reader::new("event header", bytes);
        reader.invalid("size", format!("{} bytes, the header alone has 19", self.size))
    }

    /// What lies between this header and the checksum, once both are found right.
    ///
    /// # Errors
    /// As [`Event::parse`].
    #[inline]
    pub fn body<'a>(&self, bytes: &'a [u8], checksum: Checksum) -> Result<&'a [u8], EventError> {
        if self.size as usize != bytes.len() {
            return Err(EventError::Size { type_code: self.type_code, stated: self.size, found: bytes.len() });
        }
        let covered = checksum.verify(bytes)?;
        covered.get(HEADER_BYTES..).ok_or_else(|| {
            Reader::new("event", bytes).truncated("checksum", (HEADER_BYTES + checksum.len_bytes()) as u64)
        })
    }

    /// Made by the server for this connection; it is in no file (LOG_EVENT_ARTIFICIAL_F).
    pub fn is_artificial(&self) -> bool {
        self.flags & EventFlags::ARTIFICIAL != 0
    }

    /// May be skipped by who does not know its type (LOG_EVENT_IGNORABLE_F).
    pub fn is_ignorable(&self) -> bool {
        self.flags & EventFlags::IGNORABLE != 0
    }
}

/// A whole event whose size and checksum are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    pub header: EventHeader,
    /// Between header and checksum.
    pub body: &'a [u8],
}

impl<'a> Event<'a> {
    /// `checksum` is what the last FORMAT_DESCRIPTION said; a FORMAT_DESCRIPTION itself is read with
    /// [`FormatDescription::parse`]. Events inside a TRANSACTION_PAYLOAD have [`Checksum::None`].
    ///
    /// # Errors
    /// [`EventError::Size`] unless `bytes` is exactly the event; [`EventError::Checksum`].
    #[inline]
    pub fn parse(bytes: &'a [u8], checksum: Checksum) -> Result<Self, EventError> {
        Self::with_header(EventHeader::parse(bytes)?, bytes, checksum)
    }

    /// As [`parse`](Self::parse), with the header that was read from these bytes.
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn with_header(header: EventHeader, bytes: &'a [u8], checksum: Checksum) -> Result<Self, EventError> {
        Ok(Self { header, body: header.body(bytes, checksum)? })
    }

    /// For the events that a dump stream may send ahead of its first FORMAT_DESCRIPTION (an artificial ROTATE,
    /// a HEARTBEAT): takes the last four bytes for a checksum when they are one.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but never [`EventError::Checksum`].
    pub fn parse_before_format(bytes: &'a [u8]) -> Result<Self, EventError> {
        Self::parse(bytes, Checksum::Crc32).or_else(|_| Self::parse(bytes, Checksum::None))
    }
}

#[cfg(test)]
pub(in crate::mysql) mod tests {
    use super::*;

    /// An event of this type around a body, with a checksum where wanted.
    pub fn event(type_code: u8, body: &[u8], checksum: Checksum) -> Vec<u8> {
        let size = u32::try_from(HEADER_BYTES + body.len() + checksum.len_bytes()).unwrap();
        let mut bytes = 1_700_000_000u32.to_le_bytes().to_vec();
        bytes.push(type_code);
        bytes.extend(7u32.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(1000u32.to_le_bytes());
        bytes.extend(0u16.to_le_bytes());
        bytes.extend(body);
        if checksum == Checksum::Crc32 {
            bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        }
        bytes
    }

    #[test]
    fn header_fields_lie_where_the_table_says() {
        let bytes = [1, 0, 0, 0x80, 19, 2, 0, 0, 0, 30, 0, 0, 0, 4, 3, 2, 1, 0x20, 0x80];
        let header = EventHeader::parse(&bytes).unwrap();
        let expected = EventHeader {
            timestamp: 0x8000_0001,
            type_code: EventType::TABLE_MAP,
            server_id: 2,
            size: 30,
            end_position: 0x0102_0304,
            flags: 0x8020,
        };
        assert_eq!(header, expected);
        assert!(header.is_artificial() && !header.is_ignorable());
        for length in 0..bytes.len() {
            assert!(EventHeader::parse(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn size_must_be_that_of_the_bytes() {
        for checksum in [Checksum::None, Checksum::Crc32] {
            let bytes = event(EventType::XID, &[1, 2, 3], checksum);
            assert_eq!(Event::parse(&bytes, checksum).unwrap().body, [1, 2, 3]);
            assert_eq!(Event::parse_before_format(&bytes).unwrap().body, [1, 2, 3]);
            for length in 0..bytes.len() {
                assert!(Event::parse(&bytes[..length], checksum).is_err());
            }
            assert!(Event::parse(&[&bytes[..], &[0]].concat(), checksum).is_err());
        }
        // A size of 19 leaves no place for a checksum.
        assert!(Event::parse(&event(EventType::STOP, &[], Checksum::None), Checksum::Crc32).is_err());
        let mut small = event(EventType::STOP, &[], Checksum::None);
        small[9] = 18;
        assert!(EventHeader::parse(&small).is_err());
    }
}
