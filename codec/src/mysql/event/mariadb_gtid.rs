//! MariaDB's GTID (162): the start of an event group. It takes the place of BEGIN unless the group is standalone.
//!
//! ```text
//! u64  sequence number
//! u32  domain
//! u8   flags
//! u64  commit id           (flag GROUP_COMMIT_ID)
//! u32  format id, u8 length of gtrid, u8 length of bqual, gtrid, bqual   (flags PREPARED_XA, COMPLETED_XA)
//! ...  more flags and fields of 10.6 and later, not needed here; zeroes where all that is shorter than 19 bytes
//! ```
//! The server id of the GTID is that of the event's header.

use super::xa_prepare::Xid;
use crate::mysql::error::EventError;
use crate::mysql::gtid::MariadbGtid;
use crate::mysql::reader::Reader;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MariadbGtidEvent {
    pub gtid: MariadbGtid,
    /// See the constants.
    pub flags: u8,
    /// Transactions of the same id were committed together.
    pub commit_id: Option<u64>,
    /// With [`PREPARED_XA`](Self::PREPARED_XA) and [`COMPLETED_XA`](Self::COMPLETED_XA).
    pub xid: Option<Xid>,
}

impl MariadbGtidEvent {
    /// One event follows, without a COMMIT: DDL, or the decision of an XA transaction.
    pub const STANDALONE: u8 = 0x01;
    pub const GROUP_COMMIT_ID: u8 = 0x02;
    pub const TRANSACTIONAL: u8 = 0x04;
    pub const ALLOW_PARALLEL: u8 = 0x08;
    pub const WAITED: u8 = 0x10;
    pub const DDL: u8 = 0x20;
    /// The group ends in XA PREPARE: its rows wait for the decision.
    pub const PREPARED_XA: u8 = 0x40;
    /// XA COMMIT or XA ROLLBACK of an earlier group.
    pub const COMPLETED_XA: u8 = 0x80;

    pub fn parse(server_id: u32, body: &[u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new("MARIADB_GTID", body);
        let sequence = reader.u64("sequence number")?;
        let domain = reader.u32("domain")?;
        let flags = reader.u8("flags")?;
        let mut commit_id = None;
        if flags & Self::GROUP_COMMIT_ID != 0 {
            commit_id = Some(reader.u64("commit id")?);
        }
        let mut xid = None;
        if flags & (Self::PREPARED_XA | Self::COMPLETED_XA) != 0 {
            let format_id = reader.u32("format id")?;
            let lengths = [u32::from(reader.u8("gtrid length")?), u32::from(reader.u8("bqual length")?)];
            xid = Some(Xid::read(&mut reader, format_id, lengths)?);
        }
        Ok(Self { gtid: MariadbGtid { domain, server_id, sequence }, flags, commit_id, xid })
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_depend_on_the_flags() {
        let check = |flags: u8, tail: &[u8], commit_id: Option<u64>, xid: Option<&str>| {
            let body = [&[5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, flags], tail].concat();
            let event = MariadbGtidEvent::parse(9, &body).unwrap();
            assert_eq!(event.gtid.to_string(), "2-9-5");
            assert_eq!(event.commit_id, commit_id);
            assert_eq!(event.xid.map(|xid| xid.to_string()).as_deref(), xid);
        };
        check(MariadbGtidEvent::STANDALONE, &[0; 6], None, None);
        check(MariadbGtidEvent::STANDALONE, &[], None, None);
        check(MariadbGtidEvent::GROUP_COMMIT_ID, &[7, 0, 0, 0, 0, 0, 0, 0], Some(7), None);
        check(MariadbGtidEvent::PREPARED_XA, b"\x01\0\0\0\x01\x01ab", None, Some("X'61',X'62',1"));
        check(MariadbGtidEvent::COMPLETED_XA | 2, b"\x07\0\0\0\0\0\0\0\x01\0\0\0\x01\0a", Some(7), Some("X'61',X'',1"));
        assert!(MariadbGtidEvent::parse(9, &[0; 12]).is_err());
        assert!(MariadbGtidEvent::parse(9, b"\0\0\0\0\0\0\0\0\0\0\0\0\x40\x01\0\0\0\x41\0").is_err());
    }
}
