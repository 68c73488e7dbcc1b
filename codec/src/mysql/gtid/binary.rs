//! The binary form of a [`GtidSet`], as in COM_BINLOG_DUMP_GTID and PREVIOUS_GTIDS (`Gtid_set::encode`).
//!
//! ```text
//! u64   plain: number of entries
//!       with tags (8.3+): 1 | number of entries << 8 | 1 << 56
//! each  16  uuid
//!       varlen length, bytes of the tag (only with tags)
//!       u64 number of intervals, then each: u64 start, u64 end (not included)
//! ```

use super::mysql::{GNO_MAX, ServerUuid, Tag, Tsid};
use super::set::GtidSet;
use crate::mysql::error::EventError;
use crate::mysql::event::varlen;
use crate::mysql::reader::Reader;

const WITH_TAGS: u64 = 1;
const COUNT_BITS: u32 = 48;

impl GtidSet {
    /// The plain form where no tag occurs, else the form that servers since 8.3 read.
    pub fn encode(&self) -> Vec<u8> {
        let with_tags = self.has_tags();
        let count = self.iter().len() as u64;
        let mut out = Vec::new();
        let head = if with_tags { WITH_TAGS << 56 | count << 8 | WITH_TAGS } else { count };
        out.extend(head.to_le_bytes());
        for (tsid, intervals) in self.iter() {
            out.extend(tsid.uuid.0);
            if with_tags {
                let tag = tsid.tag.as_ref().map(Tag::as_bytes).unwrap_or_default();
                varlen::write_uint(&mut out, tag.len() as u64);
                out.extend(tag);
            }
            out.extend((intervals.len() as u64).to_le_bytes());
            for interval in intervals {
                out.extend(interval.start.to_le_bytes());
                out.extend(interval.end.to_le_bytes());
            }
        }
        out
    }

    /// Reads either form.
    ///
    /// # Errors
    /// [`EventError`] when the bytes end early, have something behind the set, or hold numbers out of range.
    pub fn decode(bytes: &[u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new("GTID set", bytes);
        let head = reader.u64("number of entries")?;
        let with_tags = head >> 56 == WITH_TAGS;
        if head >> 56 > WITH_TAGS {
            return Err(reader.invalid("number of entries", format!("unknown format {}", head >> 56)));
        }
        let count = if with_tags { head >> 8 & ((1 << COUNT_BITS) - 1) } else { head };
        let mut set = Self::new();
        for _ in 0..count {
            let uuid = ServerUuid(reader.array("uuid")?);
            let tag = if with_tags { read_tag(&mut reader)? } else { None };
            let tsid = Tsid { uuid, tag };
            for _ in 0..reader.u64("number of intervals")? {
                let (start, end) = (reader.u64("interval start")?, reader.u64("interval end")?);
                if start == 0 || start >= end || end > GNO_MAX + 1 {
                    return Err(reader.invalid("interval", format!("{start} to {end}")));
                }
                set.add_interval(&tsid, start, end);
            }
        }
        if reader.is_empty() {
            Ok(set)
        } else {
            Err(reader.invalid("end", format!("{} bytes behind the set", reader.left())))
        }
    }
}

/// Length and bytes of a tag; none of length 0.
pub(in crate::mysql) fn read_tag(reader: &mut Reader<'_>) -> Result<Option<Tag>, EventError> {
    let length = varlen::read_uint(reader, "tag length")?;
    if length == 0 {
        return Ok(None);
    }
    let bytes = reader.bytes_u64("tag", length)?;
    let tag = std::str::from_utf8(bytes).ok().and_then(|text| Tag::new(text).ok());
    tag.map(Some).ok_or_else(|| reader.invalid("tag", format!("{:?}", String::from_utf8_lossy(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0a0b0c0d-0000-0000-0000-000000000001";

    #[test]
    fn plain_form_byte_by_byte() {
        let set: GtidSet = format!("{A}:1-5:7").parse().unwrap();
        let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0];
        expected.extend([0x0a, 0x0b, 0x0c, 0x0d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        expected.extend([2, 0, 0, 0, 0, 0, 0, 0]);
        for number in [1u64, 6, 7, 8] {
            expected.extend(number.to_le_bytes());
        }
        assert_eq!(set.encode(), expected);
        assert_eq!(GtidSet::decode(&expected).unwrap(), set);
    }

    #[test]
    fn tagged_form_byte_by_byte() {
        let set: GtidSet = format!("{A}:4:ab:9").parse().unwrap();
        let mut expected = vec![1, 2, 0, 0, 0, 0, 0, 1];
        for (tag, numbers) in [(&[0u8][..], [4u64, 5]), (&[4, b'a', b'b'], [9, 10])] {
            expected.extend([0x0a, 0x0b, 0x0c, 0x0d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            expected.extend(tag);
            expected.extend(1u64.to_le_bytes());
            expected.extend(numbers[0].to_le_bytes());
            expected.extend(numbers[1].to_le_bytes());
        }
        assert_eq!(set.encode(), expected);
        assert_eq!(GtidSet::decode(&expected).unwrap(), set);
    }

    #[test]
    fn every_cut_is_an_error() {
        for text in ["", ":1-5:7", ":4:ab:9"] {
            let text = if text.is_empty() { String::new() } else { format!("{A}{text}") };
            let bytes = text.parse::<GtidSet>().unwrap().encode();
            assert!(GtidSet::decode(&bytes).is_ok());
            for length in 0..bytes.len() {
                assert!(GtidSet::decode(&bytes[..length]).is_err(), "{text} cut at {length}");
            }
            let longer = [&bytes[..], &[0]].concat();
            assert!(GtidSet::decode(&longer).is_err());
        }
    }

    #[test]
    fn counts_are_not_believed() {
        let huge = ((1u64 << 48) - 1).to_le_bytes();
        assert!(GtidSet::decode(&huge).is_err());
        assert!(GtidSet::decode(&u64::MAX.to_le_bytes()).is_err());
        let mut many_intervals = 1u64.to_le_bytes().to_vec();
        many_intervals.extend([0; 16]);
        many_intervals.extend(u64::MAX.to_le_bytes());
        assert!(GtidSet::decode(&many_intervals).is_err());
    }
}
