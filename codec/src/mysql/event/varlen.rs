//! Integers of MySQL's serialization library (8.3+): as many low one-bits as bytes follow, a zero bit, the value.
//!
//! ```text
//! vvvvvvv0                     7 bits
//! vvvvvv01 vvvvvvvv           14 bits
//! ...
//! 01111111 7 bytes            56 bits
//! 11111111 8 bytes            64 bits
//! ```
//! Signed ones are zig-zag: 2n for n >= 0, -2n - 1 else.

use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;

pub fn read_uint(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, EventError> {
    let first = reader.u8(field)?;
    let more = first.trailing_ones();
    if more >= 8 {
        return reader.u64(field);
    }
    let high = reader.uint(field, more as usize)?;
    // The first byte gives 7 - more bits; with more = 7 it gives none.
    Ok(u64::from(first) >> (more + 1) | high << (7 - more))
}

pub fn read_int(reader: &mut Reader<'_>, field: &'static str) -> Result<i64, EventError> {
    let zigzag = read_uint(reader, field)?;
    let magnitude = (zigzag >> 1).cast_signed();
    Ok(if zigzag & 1 == 0 { magnitude } else { -magnitude - 1 })
}

pub fn write_uint(out: &mut Vec<u8>, value: u64) {
    let bits = 64 - value.leading_zeros();
    let more = bits.saturating_sub(1) / 7;
    if more >= 8 {
        out.push(0xff);
        out.extend(value.to_le_bytes());
        return;
    }
    // more <= 7 here, so at most 56 value bits and 8 marker bits.
    let word = value << (more + 1) | ((1u64 << more) - 1);
    out.extend(word.to_le_bytes().iter().take(more as usize + 1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_encodings() {
        let check = |value: u64, bytes: &[u8]| {
            let mut out = Vec::new();
            write_uint(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            let mut reader = Reader::new("test", bytes);
            assert_eq!(read_uint(&mut reader, "n").unwrap(), value);
            assert!(reader.is_empty());
            for length in 0..bytes.len() {
                assert!(read_uint(&mut Reader::new("test", &bytes[..length]), "n").is_err());
            }
        };
        check(0, &[0]);
        check(1, &[2]);
        check(127, &[0xfe]);
        check(128, &[0x01, 0x02]);
        check(16383, &[0xfd, 0xff]);
        check(16384, &[0x03, 0x00, 0x02]);
        check((1 << 56) - 1, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        check(1 << 56, &[0xff, 0, 0, 0, 0, 0, 0, 0, 1]);
        check(u64::MAX, &[0xff; 9]);
    }

    #[test]
    fn signed_ones_are_zigzag() {
        for (value, zigzag) in [(0i64, 0u64), (-1, 1), (1, 2), (-2, 3), (i64::MAX, u64::MAX - 1), (i64::MIN, u64::MAX)]
        {
            let mut out = Vec::new();
            write_uint(&mut out, zigzag);
            assert_eq!(read_int(&mut Reader::new("test", &out), "n").unwrap(), value);
        }
    }
}
