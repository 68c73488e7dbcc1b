//! XA_PREPARE (38): the end of a group whose rows wait for XA COMMIT or XA ROLLBACK.
//!
//! ```text
//! u8   1 when it is XA COMMIT ... ONE PHASE (committed at once)
//! u32  format id, u32 length of gtrid, u32 length of bqual
//! gtrid, bqual
//! ```

use std::fmt;

use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;

/// Longest gtrid, longest bqual (the X/Open standard's 64 each).
pub const XID_PART_BYTES_MAX: usize = 64;

/// An XA transaction's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Xid {
    pub format_id: u32,
    pub gtrid: Vec<u8>,
    pub bqual: Vec<u8>,
}

impl Xid {
    /// `lengths`: of gtrid and bqual, as the peer has sent them.
    pub(super) fn read(reader: &mut Reader<'_>, format_id: u32, lengths: [u32; 2]) -> Result<Self, EventError> {
        let [gtrid, bqual] = lengths.map(|length| length as usize);
        if gtrid > XID_PART_BYTES_MAX || bqual > XID_PART_BYTES_MAX {
            return Err(reader.invalid("xid", format!("parts of {gtrid} and {bqual} bytes, 64 each are allowed")));
        }
        Ok(Self {
            format_id,
            gtrid: reader.bytes("gtrid", gtrid)?.to_vec(),
            bqual: reader.bytes("bqual", bqual)?.to_vec(),
        })
    }
}

/// As MySQL writes it in the statements of its binlog: `X'6162',X'',1`.
impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.gtrid, &self.bqual] {
            f.write_str("X'")?;
            for byte in part {
                write!(f, "{byte:02x}")?;
            }
            f.write_str("',")?;
        }
        write!(f, "{}", self.format_id)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XaPrepare {
    /// XA COMMIT ... ONE PHASE: nothing follows, the rows are committed.
    pub one_phase: bool,
    pub xid: Xid,
}

impl XaPrepare {
    pub fn parse(body: &[u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new("XA_PREPARE", body);
        let one_phase = reader.u8("one phase")? != 0;
        let format_id = reader.u32("format id")?;
        let lengths = [reader.u32("gtrid length")?, reader.u32("bqual length")?];
        Ok(Self { one_phase, xid: Xid::read(&mut reader, format_id, lengths)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_parts_of_the_name() {
        let body = b"\0\x01\0\0\0\x02\0\0\0\x01\0\0\0abc";
        let prepare = XaPrepare::parse(body).unwrap();
        assert!(!prepare.one_phase);
        assert_eq!(prepare.xid.to_string(), "X'6162',X'63',1");
        for length in 0..body.len() {
            assert!(XaPrepare::parse(&body[..length]).is_err());
        }
        assert!(XaPrepare::parse(b"\0\x01\0\0\0\x41\0\0\0\0\0\0\0").unwrap_err().to_string().contains("65"));
    }
}
