//! NEWDECIMAL: up to 65 digits in groups of nine, four bytes each, big-endian; to their canonical text.
//!
//! ```text
//! [integer digits that are no whole group] [groups] . [groups] [fraction digits that are no whole group]
//! ```
//! d leftover digits take [`BYTES_OF_DIGITS`]`[d]` bytes. The top bit of the first byte is 1 for positive numbers;
//! all bits of a negative one are inverted.

use super::ValueError;
use super::digits::{U64_ROOM, ascii8, write_u64};

const BYTES_OF_DIGITS: [u8; 9] = [0, 1, 1, 2, 2, 3, 3, 4, 4];
/// What so many digits stay below.
const LIMIT_OF_DIGITS: [u32; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// DECIMAL(65, s) is the largest; MariaDB has the same limit.
pub const PRECISION_MAX: u8 = 65;

/// MySQL states a number inside a JSON document with the precision that it computed with: whole groups before the
/// point, nine groups in all. DECIMAL(65,30) comes as (66,30).
pub const COMPUTED_PRECISION_MAX: u8 = 81;

/// Sign, digits, a point, a zero before it, and what a store may overwrite behind them.
pub const TEXT_ROOM: usize = 1 + COMPUTED_PRECISION_MAX as usize + 1 + 1 + U64_ROOM;

/// Where the digits of a DECIMAL(precision, scale) lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecimalFormat {
    lead_digits: u8,
    lead_bytes: u8,
    integer_groups: u8,
    fraction_groups: u8,
    tail_digits: u8,
    tail_bytes: u8,
    bytes: u8,
}

impl DecimalFormat {
    /// Of a column.
    ///
    /// # Errors
    /// Where there is no such DECIMAL.
    pub fn new(precision: u8, scale: u8) -> Result<Self, ValueError> {
        Self::up_to(PRECISION_MAX, precision, scale)
    }

    /// Of a number inside a JSON document.
    ///
    /// # Errors
    /// Where there is no such number.
    pub fn computed(precision: u8, scale: u8) -> Result<Self, ValueError> {
        Self::up_to(COMPUTED_PRECISION_MAX, precision, scale)
    }

    fn up_to(precision_max: u8, precision: u8, scale: u8) -> Result<Self, ValueError> {
        if precision == 0 || precision > precision_max || scale > precision {
            return Err(ValueError::Invalid("DECIMAL with an impossible precision and scale"));
        }
        let integer = precision - scale;
        let bytes_of = |digits: u8| BYTES_OF_DIGITS.get(usize::from(digits % 9)).copied().unwrap_or(0);
        let (lead_bytes, tail_bytes) = (bytes_of(integer), bytes_of(scale));
        Ok(Self {
            lead_digits: integer % 9,
            lead_bytes,
            integer_groups: integer / 9,
            fraction_groups: scale / 9,
            tail_digits: scale % 9,
            tail_bytes,
            bytes: lead_bytes + integer / 9 * 4 + scale / 9 * 4 + tail_bytes,
        })
    }

    /// Bytes in the row image.
    #[inline(always)]
    pub fn bytes(&self) -> usize {
        self.bytes.into()
    }

    /// Writes the number with all digits of its scale; how long the text is.
    ///
    /// # Errors
    /// [`ValueError::Invalid`] where a group has more digits than it may; `image` must have [`bytes`](Self::bytes).
    #[inline]
    pub fn write(&self, image: &[u8], out: &mut [u8; TEXT_ROOM]) -> Result<usize, ValueError> {
        let mut groups = Groups { image, mask: 0, flip: 0x80 };
        let first = *image.first().ok_or(ValueError::Truncated)?;
        let mut length = 0;
        if first & 0x80 == 0 {
            groups.mask = 0xff;
            groups.flip = 0x7f;
            out[0] = b'-';
            length = 1;
        }

        let lead = groups.take(self.lead_bytes)?;
        if lead >= limit(self.lead_digits) {
            return Err(ValueError::Invalid("DECIMAL whose first group has too many digits"));
        }
        let mut integer = u64::from(lead);
        let mut integer_is_written = false;
        for _ in 0..self.integer_groups {
            let group = groups.group()?;
            if integer_is_written {
                length = put_group(out, length, group);
            } else if integer < 1_000_000_000 {
                integer = integer * 1_000_000_000 + u64::from(group);
            } else {
                length = put_number(out, length, integer);
                length = put_group(out, length, group);
                integer_is_written = true;
            }
        }
        if !integer_is_written {
            length = put_number(out, length, integer);
        }

        if self.fraction_groups | self.tail_digits != 0 {
            if let Some(point) = out.get_mut(length) {
                *point = b'.';
            }
            length += 1;
            for _ in 0..self.fraction_groups {
                length = put_group(out, length, groups.group()?);
            }
            if self.tail_digits != 0 {
                let tail = groups.take(self.tail_bytes)?;
                let tail_digits = usize::from(self.tail_digits);
                if tail >= limit(self.tail_digits) {
                    return Err(ValueError::Invalid("DECIMAL whose last group has too many digits"));
                }
                put_word(out, length, ascii8(tail) >> (64 - 8 * tail_digits));
                length += tail_digits;
            }
        }
        Ok(length)
    }
}

#[inline(always)]
fn limit(digits: u8) -> u32 {
    LIMIT_OF_DIGITS.get(usize::from(digits)).copied().unwrap_or(1)
}

/// Takes the groups off the front of the image.
struct Groups<'a> {
    image: &'a [u8],
    mask: u8,
    /// Mask of the very first byte, which also has the sign.
    flip: u8,
}

impl Groups<'_> {
    /// The group of `count` (up to 4) bytes.
    #[inline(always)]
    fn take(&mut self, count: u8) -> Result<u32, ValueError> {
        let (group, rest) = self.image.split_at_checked(count.into()).ok_or(ValueError::Truncated)?;
        self.image = rest;
        let (number, first_shift) = match *group {
            [] => return Ok(0),
            [a] => (u32::from(a), 0),
            [a, b] => (u16::from_be_bytes([a, b]).into(), 8),
            [a, b, c] => (u32::from_be_bytes([0, a, b, c]), 16),
            [a, b, c, d, ..] => (u32::from_be_bytes([a, b, c, d]), 24),
        };
        let others = u32::from_ne_bytes([self.mask; 4]) & !(u32::MAX << first_shift);
        let mask = others | u32::from(self.flip) << first_shift;
        self.flip = self.mask;
        Ok(number ^ mask)
    }

    /// A whole group of nine digits.
    #[inline(always)]
    fn group(&mut self) -> Result<u32, ValueError> {
        let (group, rest) = self.image.split_first_chunk::<4>().ok_or(ValueError::Truncated)?;
        self.image = rest;
        let mask = u32::from_ne_bytes([self.mask; 4]) ^ (u32::from(self.mask ^ self.flip) << 24);
        self.flip = self.mask;
        let number = u32::from_be_bytes(*group) ^ mask;
        if number > 999_999_999 {
            return Err(ValueError::Invalid("DECIMAL with a group of more than nine digits"));
        }
        Ok(number)
    }
}

#[inline(always)]
fn put_number(out: &mut [u8; TEXT_ROOM], at: usize, number: u64) -> usize {
    match out.get_mut(at..).and_then(|room| room.first_chunk_mut::<U64_ROOM>()) {
        Some(room) => at + write_u64(room, number),
        None => at,
    }
}

/// Nine digits.
#[inline(always)]
fn put_group(out: &mut [u8; TEXT_ROOM], at: usize, group: u32) -> usize {
    put_word(out, at, u64::from(b'0' + (group / 100_000_000) as u8));
    put_word(out, at + 1, ascii8(group % 100_000_000));
    at + 9
}

#[inline(always)]
fn put_word(out: &mut [u8; TEXT_ROOM], at: usize, word: u64) {
    if let Some(room) = out.get_mut(at..at + 8) {
        room.copy_from_slice(&word.to_le_bytes());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The naive way: every digit by itself.
    pub(crate) fn encode(text: &str, precision: u8, scale: u8) -> Vec<u8> {
        let negative = text.starts_with('-');
        let (integer, fraction) =
            text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), ""));
        let integer = format!("{:0>1$}", integer, usize::from(precision - scale));
        let integer = &integer[integer.len() - usize::from(precision - scale)..];
        let fraction = format!("{:0<1$}", fraction, usize::from(scale));
        let mut bytes = Vec::new();
        let mut put = |digits: &str| {
            let number: u32 = if digits.is_empty() { 0 } else { digits.parse().unwrap() };
            let count = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4][digits.len()];
            bytes.extend_from_slice(&number.to_be_bytes()[4 - count..]);
        };
        let lead = integer.len() % 9;
        put(&integer[..lead]);
        (lead..integer.len()).step_by(9).for_each(|at| put(&integer[at..at + 9]));
        (0..fraction.len()).step_by(9).for_each(|at| put(&fraction[at..fraction.len().min(at + 9)]));
        bytes[0] ^= 0x80;
        if negative {
            bytes.iter_mut().for_each(|byte| *byte ^= 0xff);
        }
        bytes
    }

    #[track_caller]
    fn check(precision: u8, scale: u8, text: &str) {
        let image = encode(text, precision, scale);
        let format = DecimalFormat::new(precision, scale).unwrap();
        assert_eq!(format.bytes(), image.len(), "({precision},{scale})");
        let mut out = [0xaa; TEXT_ROOM];
        let length = format.write(&image, &mut out).unwrap();
        assert_eq!(std::str::from_utf8(&out[..length]).unwrap(), text, "({precision},{scale}) {image:02x?}");
    }

    #[test]
    fn images_of_a_server() {
        let write = |precision, scale, image: &[u8]| {
            let mut out = [0; TEXT_ROOM];
            let length = DecimalFormat::new(precision, scale).unwrap().write(image, &mut out).unwrap();
            String::from_utf8(out[..length].to_vec()).unwrap()
        };
        // The example of MySQL's own source: DECIMAL(14,4).
        assert_eq!(write(14, 4, &[0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2]), "1234567890.1234");
        assert_eq!(write(14, 4, &[0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d]), "-1234567890.1234");
    }

    #[test]
    fn computed_numbers_have_whole_groups_before_the_point() {
        // as MySQL 9.7 has them in JSON: CAST(35 nines, a point, 30 nines AS DECIMAL(65,30)), and -0.10
        let nines = [0x85, 0xf5, 0xe0, 0xff, 0x3b, 0x9a, 0xc9, 0xff];
        let image: Vec<u8> = nines.into_iter().chain([0x3b, 0x9a, 0xc9, 0xff].repeat(5)).chain([0x03, 0xe7]).collect();
        let write = |precision, scale, image: &[u8]| {
            let mut out = [0; TEXT_ROOM];
            let length = DecimalFormat::computed(precision, scale).unwrap().write(image, &mut out).unwrap();
            String::from_utf8(out[..length].to_vec()).unwrap()
        };
        assert_eq!(write(66, 30, &image), format!("{}.{}", "9".repeat(35), "9".repeat(30)));
        let mut image = [0xff; 18];
        image[..8].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0xfa, 0x0a, 0x1e, 0xff]);
        assert_eq!(write(39, 30, &image), "-0.100000000000000000000000000000");
        assert!(DecimalFormat::computed(82, 0).is_err());
        for precision in 1..=COMPUTED_PRECISION_MAX {
            for byte in [0, 0x7f, 0x80, 0xff] {
                let format = DecimalFormat::computed(precision, precision / 2).unwrap();
                let _ = format.write(&vec![byte; format.bytes()], &mut [0; TEXT_ROOM]);
            }
        }
    }

    #[test]
    fn text_has_the_digits_of_the_scale() {
        for (precision, scale, text) in [
            (10, 2, "0.00"),
            (10, 2, "-0.50"),
            (10, 2, "12345678.90"),
            (1, 0, "7"),
            (1, 1, "0.7"),
            (1, 1, "-0.7"),
            (5, 5, "0.00001"),
            (9, 0, "999999999"),
            (9, 9, "0.000000001"),
            (10, 0, "-9999999999"),
            (20, 4, "0.0001"),
            (20, 4, "9999999999999999.9999"),
            (20, 4, "1000000000.0000"),
            (38, 20, "100000000000000000.00000000000000000001"),
            (65, 30, "-99999999999999999999999999999999999.999999999999999999999999999999"),
            (65, 0, "12345678901234567890123456789012345678901234567890123456789012345"),
            (65, 0, "10000000000000000000000000000000000000000000000000000000000000000"),
            (65, 0, "0"),
        ] {
            check(precision, scale, text);
        }
    }

    #[test]
    fn every_precision_and_scale() {
        for precision in 1..=PRECISION_MAX {
            for scale in 0..=precision.min(38) {
                for pattern in ["1", "9", "1020304050607", "90000000010000000001"] {
                    let mut digits = pattern.repeat(65)[..usize::from(precision)].to_owned();
                    digits.insert(usize::from(precision - scale), '.');
                    let text = digits.trim_end_matches('.');
                    let text = if text.starts_with('.') { format!("0{text}") } else { text.to_owned() };
                    check(precision, scale, &text);
                    check(precision, scale, &format!("-{text}"));
                }
            }
        }
    }

    #[test]
    fn impossible_ones_are_refused() {
        for (precision, scale) in [(0, 0), (66, 0), (5, 6), (255, 255)] {
            assert!(DecimalFormat::new(precision, scale).is_err());
        }
        let mut out = [0; TEXT_ROOM];
        let format = DecimalFormat::new(18, 9).unwrap();
        assert_eq!(format.write(&[0x80, 0, 0], &mut out), Err(ValueError::Truncated));
        assert!(matches!(format.write(&[0xff; 8], &mut out), Err(ValueError::Invalid(_))));
        assert!(matches!(format.write(&[0x80, 0, 0, 0, 0xff, 0, 0, 0], &mut out), Err(ValueError::Invalid(_))));
        // One digit takes a byte, which may hold more.
        let format = DecimalFormat::new(2, 1).unwrap();
        assert_eq!(format.write(&[0x89, 9], &mut out), Ok(3));
        assert!(matches!(format.write(&[0x8a, 9], &mut out), Err(ValueError::Invalid(_))));
        assert!(matches!(format.write(&[0x89, 10], &mut out), Err(ValueError::Invalid(_))));
        for precision in 1..=PRECISION_MAX {
            for byte in [0, 0x7f, 0x80, 0xff] {
                let format = DecimalFormat::new(precision, precision / 2).unwrap();
                let _ = format.write(&vec![byte; format.bytes()], &mut out);
            }
        }
    }
}
