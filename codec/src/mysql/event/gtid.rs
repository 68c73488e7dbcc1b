//! GTID (33) and ANONYMOUS_GTID (34): the start of a MySQL transaction.
//!
//! ```text
//! u8   flags (1: may have changes logged as statements)
//! 16   uuid
//! u64  transaction number (0 when anonymous)
//! u8   2: the fields below follow            (5.7+)
//! u64  last committed, u64 sequence number   (both count within one file)
//! u56  immediate commit time (us); bit 55: the original time follows      (8.0.1+)
//! u56  original commit time (us)
//! lenenc length of the transaction with this event, bytes                 (8.0.2+)
//! u32  immediate server version; bit 31: the original version follows     (8.0.14+)
//! u32  original server version
//! ```
//! GTID_TAGGED (42) tells the same in another form: [`gtid_tagged`](super::gtid_tagged).

use super::EventType;
use crate::mysql::error::EventError;
use crate::mysql::gtid::{GNO_MAX, MysqlGtid, ServerUuid, Tsid};
use crate::mysql::reader::Reader;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GtidEvent {
    /// `None` in ANONYMOUS_GTID.
    pub gtid: Option<MysqlGtid>,
    pub flags: u8,
    /// With `sequence_number` the logical clock: a transaction may run beside all those after its `last_committed`.
    pub last_committed: u64,
    pub sequence_number: u64,
    /// When this server committed it, microseconds since 1970. Taken before the binlog is synced.
    pub immediate_commit_us: Option<u64>,
    /// When the first server committed it.
    pub original_commit_us: Option<u64>,
    /// Bytes of all events of the transaction with this one, uncompressed; the end of the transaction is known by it.
    pub transaction_bytes: Option<u64>,
    /// As 90704 for 9.7.4.
    pub immediate_server_version: Option<u32>,
    pub original_server_version: Option<u32>,
}

const TIMESTAMP_BYTES: usize = 7;
/// Set in the immediate time when the original time is another.
const HAS_ORIGINAL_TIME: u64 = 1 << 55;
const HAS_ORIGINAL_VERSION: u32 = 1 << 31;
const LOGICAL_TIMESTAMP: u8 = 2;
/// What a server writes for a version that it does not know.
const UNKNOWN_VERSION: u32 = 999_999;

impl GtidEvent {
    pub fn parse(type_code: u8, body: &[u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new(EventType::name(type_code), body);
        let flags = reader.u8("flags")?;
        let uuid = ServerUuid(reader.array("uuid")?);
        let number = reader.u64("number")?;
        let gtid = match type_code {
            EventType::ANONYMOUS_GTID => None,
            _ => Some(numbered(&reader, Tsid { uuid, tag: None }, number)?),
        };
        let mut event = Self { gtid, flags, ..Self::EMPTY };
        // 5.6 ends here; an early 5.7 had another code.
        if reader.peek() != Some(LOGICAL_TIMESTAMP) {
            return Ok(event);
        }
        reader.u8("timestamp type")?;
        event.last_committed = reader.u64("last committed")?;
        event.sequence_number = reader.u64("sequence number")?;
        if reader.is_empty() {
            return Ok(event);
        }
        let immediate = reader.uint("immediate commit time", TIMESTAMP_BYTES)?;
        event.immediate_commit_us = Some(immediate & !HAS_ORIGINAL_TIME);
        event.original_commit_us = if immediate & HAS_ORIGINAL_TIME != 0 {
            Some(reader.uint("original commit time", TIMESTAMP_BYTES)?)
        } else {
            event.immediate_commit_us
        };
        if reader.is_empty() {
            return Ok(event);
        }
        event.transaction_bytes = Some(reader.lenenc("transaction length")?);
        if reader.is_empty() {
            return Ok(event);
        }
        let immediate = reader.u32("immediate server version")?;
        event.immediate_server_version = known_version(immediate & !HAS_ORIGINAL_VERSION);
        event.original_server_version = if immediate & HAS_ORIGINAL_VERSION != 0 {
            known_version(reader.u32("original server version")?)
        } else {
            event.immediate_server_version
        };
        // Later versions append fields (a commit ticket); none is needed.
        Ok(event)
    }

    pub(super) const EMPTY: Self = Self {
        gtid: None,
        flags: 0,
        last_committed: 0,
        sequence_number: 0,
        immediate_commit_us: None,
        original_commit_us: None,
        transaction_bytes: None,
        immediate_server_version: None,
        original_server_version: None,
    };
}

pub(super) fn numbered(reader: &Reader<'_>, tsid: Tsid, number: u64) -> Result<MysqlGtid, EventError> {
    if number == 0 || number > GNO_MAX {
        return Err(reader.invalid("number", number.to_string()));
    }
    Ok(MysqlGtid { tsid, number })
}

pub(super) fn known_version(version: u32) -> Option<u32> {
    Some(version).filter(|version| *version != UNKNOWN_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(tail: &[u8]) -> Vec<u8> {
        let mut body = vec![1];
        body.extend([0xab; 16]);
        body.extend(42u64.to_le_bytes());
        body.extend(tail);
        body
    }

    #[test]
    fn each_generation_of_servers() {
        let mysql56 = GtidEvent::parse(EventType::GTID, &body(&[])).unwrap();
        assert_eq!(mysql56.gtid.unwrap().to_string(), "abababab-abab-abab-abab-abababababab:42");
        assert_eq!(mysql56.immediate_commit_us, None);

        let mut tail = vec![2];
        tail.extend(3u64.to_le_bytes());
        tail.extend(4u64.to_le_bytes());
        let mysql57 = GtidEvent::parse(EventType::GTID, &body(&tail)).unwrap();
        assert_eq!((mysql57.last_committed, mysql57.sequence_number), (3, 4));

        let mut original = tail.clone();
        original.extend([9, 0, 0, 0, 0, 0, 0]);
        original.extend([0xfc, 0x2c, 0x01]);
        original.extend(90704u32.to_le_bytes());
        let mysql97 = GtidEvent::parse(EventType::GTID, &body(&original)).unwrap();
        assert_eq!((mysql97.immediate_commit_us, mysql97.original_commit_us), (Some(9), Some(9)));
        assert_eq!(mysql97.transaction_bytes, Some(300));
        assert_eq!((mysql97.immediate_server_version, mysql97.original_server_version), (Some(90704), Some(90704)));

        let mut replicated = tail.clone();
        replicated.extend([9, 0, 0, 0, 0, 0, 0x80]);
        replicated.extend([8, 0, 0, 0, 0, 0, 0]);
        replicated.push(200);
        replicated.extend((90704u32 | 1 << 31).to_le_bytes());
        replicated.extend(80400u32.to_le_bytes());
        let event = GtidEvent::parse(EventType::GTID, &body(&replicated)).unwrap();
        assert_eq!((event.immediate_commit_us, event.original_commit_us), (Some(9), Some(8)));
        assert_eq!((event.immediate_server_version, event.original_server_version), (Some(90704), Some(80400)));
    }

    #[test]
    fn anonymous_has_no_number() {
        let mut bytes = body(&[]);
        bytes[17..25].fill(0);
        assert_eq!(GtidEvent::parse(EventType::ANONYMOUS_GTID, &bytes).unwrap().gtid, None);
        assert!(GtidEvent::parse(EventType::GTID, &bytes).is_err());
        assert!(GtidEvent::parse(EventType::GTID, &bytes[..24]).is_err());
    }
}
