//! HEARTBEAT (27) and HEARTBEAT_V2 (41): nothing new, and how far the server has read. Only in dump streams.
//!
//! ```text
//! 27   rest: name of the file; the position is the header's end position (32 bits)
//!      MariaDB past 4 GiB: the header's is 0, and u64 position stands before the name
//! 41   fields until one of type 0: lenenc type, lenenc length, value
//!      1 name of the file    2 position, lenenc
//! ```

use std::borrow::Cow;

use super::EventHeader;
use super::rotate::file_name;
use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    pub file: Cow<'a, str>,
    /// Of version 1 only the low 32 bits are known.
    pub position: u64,
}

const WHAT_V2: &str = "HEARTBEAT_V2";

impl<'a> Heartbeat<'a> {
    pub fn parse_v1(header: &EventHeader, body: &'a [u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new("HEARTBEAT", body);
        let mut position = u64::from(header.end_position);
        // A position has zeroes in its high bytes, a name has none.
        if position == 0 && body.get(6..8) == Some(&[0, 0]) {
            position = reader.u64("position")?;
        }
        let name = reader.rest();
        Ok(Self { file: file_name(&reader, name)?, position })
    }

    pub fn parse_v2(body: &'a [u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new(WHAT_V2, body);
        let (mut file, mut position) = (None, None);
        while !reader.is_empty() {
            let field = reader.lenenc("field type")?;
            if field == 0 {
                break;
            }
            let value = reader.lenenc_bytes("field")?;
            match field {
                1 => file = Some(file_name(&reader, value)?),
                2 => position = Some(Reader::new(WHAT_V2, value).lenenc("position")?),
                _ => {}
            }
        }
        match (file, position) {
            (Some(file), Some(position)) => Ok(Self { file, position }),
            (None, _) => Err(reader.truncated("file name", 1)),
            (_, None) => Err(reader.truncated("position", 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_has_32_bits_unless_it_has_a_place_for_64() {
        let parse = |end_position: u32, body: &'static [u8]| {
            let header = EventHeader { timestamp: 0, type_code: 27, server_id: 1, size: 40, end_position, flags: 0 };
            Heartbeat::parse_v1(&header, body)
        };
        let expected = |position| Ok(Heartbeat { file: "binlog.000002".into(), position });
        assert_eq!(parse(77, b"binlog.000002"), expected(77));
        assert_eq!(parse(0, b"binlog.000002"), expected(0));
        assert_eq!(parse(0, b"\x05\0\0\0\x02\0\0\0binlog.000002"), expected((2 << 32) + 5));
        assert!(parse(0, b"\x05\0\0\0\x02\0\0\0").is_err());
        assert!(parse(77, b"").is_err());
    }

    #[test]
    fn version_2_holds_positions_past_4_gib() {
        let body = b"\x01\x0dbinlog.000002\x02\x09\xfe\0\0\0\0\x02\0\0\0\0";
        let expected = Heartbeat { file: "binlog.000002".into(), position: 2 << 32 };
        assert_eq!(Heartbeat::parse_v2(body).unwrap(), expected);
        // The end mark may be missing; a field may not.
        assert_eq!(Heartbeat::parse_v2(&body[..body.len() - 1]).unwrap(), expected);
        for length in 0..body.len() - 1 {
            assert!(Heartbeat::parse_v2(&body[..length]).is_err(), "{length}");
        }
        let unknown_field = b"\x01\x01f\x09\x02zz\x02\x01\x04\0";
        assert_eq!(Heartbeat::parse_v2(unknown_field).unwrap(), Heartbeat { file: "f".into(), position: 4 });
    }
}
