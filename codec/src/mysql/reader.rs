//! A cursor over bytes from a peer. Every read names the field, so that an error says what was cut and where.
//!
//! Never panics, never copies. After an error the cursor stands where the failed field begins.

use super::error::EventError;

/// Reads little-endian fields of one structure, called `what` in errors.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0, what }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    pub fn left(&self) -> usize {
        self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte without reading it.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.offset += rest.len();
        self.rest = &[];
        rest
    }

    #[inline]
    pub fn bytes(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], EventError> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                self.offset += count;
                Ok(taken)
            }
            None => Err(self.truncated(field, count as u64)),
        }
    }

    /// As [`bytes`](Self::bytes), for a count that the peer has sent.
    pub fn bytes_u64(&mut self, field: &'static str, count: u64) -> Result<&'a [u8], EventError> {
        match usize::try_from(count) {
            Ok(count) => self.bytes(field, count),
            Err(_) => Err(self.truncated(field, count)),
        }
    }

    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], EventError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                self.offset += N;
                Ok(*taken)
            }
            None => Err(self.truncated(field, N as u64)),
        }
    }

    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, EventError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    #[inline]
    pub fn u16(&mut self, field: &'static str) -> Result<u16, EventError> {
        self.array(field).map(u16::from_le_bytes)
    }

    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, EventError> {
        self.array(field).map(u32::from_le_bytes)
    }

    #[inline]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, EventError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A little-endian integer of `count` (at most 8) bytes.
    pub fn uint(&mut self, field: &'static str, count: usize) -> Result<u64, EventError> {
        if count > 8 {
            return Err(self.invalid(field, format!("an integer of {count} bytes")));
        }
        let bytes = self.bytes(field, count)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// A length-encoded integer. The NULL marker 0xfb and 0xff are invalid here.
    #[inline]
    pub fn lenenc(&mut self, field: &'static str) -> Result<u64, EventError> {
        match self.rest {
            // Nearly all of them.
            [small @ 0..=250, rest @ ..] => {
                self.rest = rest;
                self.offset += 1;
                Ok(u64::from(*small))
            }
            _ => self.long_lenenc(field),
        }
    }

    fn long_lenenc(&mut self, field: &'static str) -> Result<u64, EventError> {
        let before = self.clone();
        let read = |reader: &mut Self| match reader.u8(field)? {
            small @ 0..=250 => Ok(u64::from(small)),
            252 => reader.uint(field, 2),
            253 => reader.uint(field, 3),
            254 => reader.uint(field, 8),
            other => Err(before.invalid(field, format!("{other:#04x} does not start a length-encoded integer"))),
        };
        read(self).inspect_err(|_| *self = before.clone())
    }

    /// A length-encoded integer, then as many bytes.
    pub fn lenenc_bytes(&mut self, field: &'static str) -> Result<&'a [u8], EventError> {
        let count = self.lenenc(field)?;
        self.bytes_u64(field, count)
    }

    /// One byte of length, then as many bytes.
    pub fn u8_bytes(&mut self, field: &'static str) -> Result<&'a [u8], EventError> {
        let count = self.u8(field)?;
        self.bytes(field, usize::from(count))
    }

    /// The bytes up to the next zero byte, which is read too.
    pub fn until_nul(&mut self, field: &'static str) -> Result<&'a [u8], EventError> {
        match self.rest.iter().position(|byte| *byte == 0) {
            Some(length) => {
                let taken = self.bytes(field, length)?;
                self.bytes(field, 1)?;
                Ok(taken)
            }
            None => Err(self.truncated(field, self.rest.len() as u64 + 1)),
        }
    }

    pub fn truncated(&self, field: &'static str, needed: u64) -> EventError {
        EventError::Truncated { what: self.what, field, offset: self.offset, needed, left: self.rest.len() }
    }

    pub fn invalid(&self, field: &'static str, reason: impl Into<String>) -> EventError {
        EventError::Invalid { what: self.what, field, offset: self.offset, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_encoded_integers() {
        let check = |bytes: &[u8], expected: Option<u64>| {
            let mut reader = Reader::new("test", bytes);
            assert_eq!(reader.lenenc("n").ok(), expected, "{bytes:02x?}");
            assert_eq!(reader.offset(), if expected.is_some() { bytes.len() } else { 0 }, "{bytes:02x?}");
        };
        check(&[0], Some(0));
        check(&[250], Some(250));
        check(&[251], None);
        check(&[252, 0x34, 0x12], Some(0x1234));
        check(&[252, 0x34], None);
        check(&[253, 1, 2, 3], Some(0x030201));
        check(&[254, 1, 0, 0, 0, 0, 0, 0, 0x80], Some(0x8000_0000_0000_0001));
        check(&[254, 1, 0, 0, 0, 0, 0, 0], None);
        check(&[255], None);
        check(&[], None);
    }

    #[test]
    fn a_cut_field_is_named_with_its_offset() {
        let mut reader = Reader::new("THING", &[1, 2, 3]);
        reader.u16("first").unwrap();
        let error = reader.u32("second").unwrap_err();
        assert_eq!(error.to_string(), "THING: second at byte 2 needs 4 bytes, 1 left");
    }
}
