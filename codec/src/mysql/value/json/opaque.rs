//! Values of types that JSON does not have: decimals, dates and times, and bytes as base64.

use super::Writer;
use crate::mysql::value::cell::type_code as t;
use crate::mysql::value::decimal::{DecimalFormat, TEXT_ROOM};
use crate::mysql::value::{ValueError, temporal};
use crate::wire::temporal::{TemporalText, format_date, format_datetime, format_time};

impl Writer<'_> {
    /// A value of a type that JSON does not have.
    pub(super) fn opaque(&mut self, type_code: u8, bytes: &[u8]) -> Result<(), ValueError> {
        match (type_code, bytes) {
            (t::NEWDECIMAL, [precision, scale, image @ ..]) => {
                let format = DecimalFormat::computed(*precision, *scale)?;
                let mut result = Ok(0);
                self.chunk::<TEXT_ROOM>(|place| {
                    result = format.write(image, place);
                    result.unwrap_or(0)
                });
                result.map(|_| ())
            }
            (t::DATE | t::DATETIME | t::TIMESTAMP | t::TIME, &[a, b, c, d, e, f, g, h]) => {
                let packed = i64::from_le_bytes([a, b, c, d, e, f, g, h]);
                let text = temporal_text(type_code, packed)?;
                self.quoted(text.as_bytes())
            }
            _ => {
                self.bytes(b"\"base64:type");
                self.unsigned(type_code.into());
                self.byte(b':');
                self.base64(bytes);
                self.byte(b'"');
                Ok(())
            }
        }
    }

    /// Lines of 76 characters, as MySQL's encoder breaks them; in JSON the break is written `\n`.
    fn base64(&mut self, bytes: &[u8]) {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const LINE_BYTES: usize = 76 / 4 * 3;
        for (line, chunk) in bytes.chunks(LINE_BYTES).enumerate() {
            if line > 0 {
                self.bytes(b"\\n");
            }
            for group in chunk.chunks(3) {
                let number =
                    group.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)) << (8 * (3 - group.len()));
                for place in 0..4 {
                    let digit = ALPHABET.get((number >> (18 - 6 * place) & 0x3f) as usize);
                    self.byte(if place > group.len() { b'=' } else { digit.copied().unwrap_or(b'=') });
                }
            }
        }
    }
}

/// MySQL's packed form of a time, 24 bits of microseconds in the lowest.
fn temporal_text(type_code: u8, packed: i64) -> Result<TemporalText, ValueError> {
    let magnitude = packed.unsigned_abs();
    let (whole, microsecond) = (magnitude >> 24, magnitude & 0xff_ffff);
    if type_code == t::TIME {
        return Ok(format_time(temporal::time_us(packed < 0, whole, microsecond)?, 6));
    }
    let mut parts = temporal::packed_parts(whole)?;
    parts.microsecond = microsecond as u32;
    if parts.microsecond > 999_999 {
        return Err(ValueError::Invalid("a fraction of a second or more"));
    }
    let value = parts.to_wire();
    Ok(if type_code == t::DATE { format_date(value) } else { format_datetime(value, 6) })
}
