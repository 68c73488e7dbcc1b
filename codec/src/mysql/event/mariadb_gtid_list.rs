//! MariaDB's GTID_LIST (163): the last GTID of each domain and server before this file. Also artificial, in a dump.
//!
//! ```text
//! u32  number of entries (low 28 bits), flags (high 4)
//! each u32 domain, u32 server id, u64 sequence number
//! ```

use crate::mysql::error::EventError;
use crate::mysql::gtid::{MariadbGtid, MariadbGtidState};
use crate::mysql::reader::Reader;

/// Every (domain, server) pair that the binlog has seen, with its last sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MariadbGtidList {
    /// The last entry of a domain is its current GTID.
    pub gtids: Vec<MariadbGtid>,
    /// 1: the dump stops here (UNTIL reached); 2: the start position's GTIDs are in another file.
    pub flags: u8,
}

const COUNT_BITS: u32 = 28;
const ENTRY_BYTES: usize = 16;

impl MariadbGtidList {
    pub fn parse(body: &[u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new("MARIADB_GTID_LIST", body);
        let head = reader.u32("count")?;
        let count = (head & ((1 << COUNT_BITS) - 1)) as usize;
        if count > reader.left() / ENTRY_BYTES {
            return Err(reader.truncated("entries", count as u64 * ENTRY_BYTES as u64));
        }
        let mut gtids = Vec::with_capacity(count);
        for _ in 0..count {
            let domain = reader.u32("domain")?;
            let server_id = reader.u32("server id")?;
            let sequence = reader.u64("sequence number")?;
            gtids.push(MariadbGtid { domain, server_id, sequence });
        }
        let flags = u8::try_from(head >> COUNT_BITS).unwrap_or(0);
        Ok(Self { gtids, flags })
    }

    /// The position that it stands for: the last entry of each domain.
    pub fn state(&self) -> MariadbGtidState {
        let mut state = MariadbGtidState::new();
        for gtid in &self.gtids {
            state.add(*gtid);
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_domains_and_servers() {
        let mut body = (3u32 | 1 << 28).to_le_bytes().to_vec();
        for (domain, server, sequence) in [(0u32, 1u32, 9u64), (0, 2, 10), (7, 1, 3)] {
            body.extend(domain.to_le_bytes());
            body.extend(server.to_le_bytes());
            body.extend(sequence.to_le_bytes());
        }
        let list = MariadbGtidList::parse(&body).unwrap();
        assert_eq!((list.gtids.len(), list.flags), (3, 1));
        assert_eq!(list.state().to_string(), "0-2-10,7-1-3");
        for length in 0..body.len() {
            assert!(MariadbGtidList::parse(&body[..length]).is_err());
        }
        assert!(MariadbGtidList::parse(&[255, 255, 255, 15]).is_err());
    }
}
