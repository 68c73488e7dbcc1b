//! How many bytes a value takes in a row image, by its column's format alone.

use super::ValueError;
use super::decimal::DecimalFormat;
use crate::mysql::schema::ColumnFormat;

/// `enum_field_types` of MySQL and MariaDB, as TABLE_MAP has them.
pub mod type_code {
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const NEWDATE: u8 = 14;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    /// MariaDB: TEXT or BLOB with COMPRESSED.
    pub const BLOB_COMPRESSED: u8 = 140;
    /// MariaDB: VARCHAR or VARBINARY with COMPRESSED.
    pub const VARCHAR_COMPRESSED: u8 = 141;
    pub const VECTOR: u8 = 242;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const TINY_BLOB: u8 = 249;
    pub const MEDIUM_BLOB: u8 = 250;
    pub const LONG_BLOB: u8 = 251;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

use type_code as t;

/// How the length of a value that is not NULL is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellLength {
    /// Always so many bytes.
    Fixed(usize),
    /// That many bytes (1 to 4, little-endian) tell how many follow.
    Prefixed(u8),
}

impl CellLength {
    /// # Errors
    /// [`ValueError::UnknownType`], or metadata that the type cannot have.
    pub fn of(format: ColumnFormat) -> Result<Self, ValueError> {
        let [low, high] = format.meta.to_le_bytes();
        Ok(match format.type_code {
            t::NULL => Self::Fixed(0),
            t::TINY | t::YEAR => Self::Fixed(1),
            t::SHORT => Self::Fixed(2),
            t::INT24 | t::DATE | t::NEWDATE | t::TIME => Self::Fixed(3),
            t::LONG | t::FLOAT | t::TIMESTAMP => Self::Fixed(4),
            t::LONGLONG | t::DOUBLE | t::DATETIME => Self::Fixed(8),
            t::TIMESTAMP2 => Self::Fixed(4 + fraction_bytes(low)?),
            t::DATETIME2 => Self::Fixed(5 + fraction_bytes(low)?),
            t::TIME2 => Self::Fixed(3 + fraction_bytes(low)?),
            t::NEWDECIMAL => Self::Fixed(DecimalFormat::new(low, high)?.bytes()),
            // Whole bytes are in the high byte, leftover bits in the low one.
            t::BIT if high > 8 || low > 7 => return Err(ValueError::Invalid("BIT of more than 64 bits")),
            t::BIT => Self::Fixed(usize::from(high) + usize::from(low != 0)),
            t::ENUM | t::SET => Self::Fixed(label_bytes(format)?),
            t::VARCHAR | t::VAR_STRING | t::STRING | t::VARCHAR_COMPRESSED => {
                Self::Prefixed(if format.meta > 255 { 2 } else { 1 })
            }
            t::BLOB | t::BLOB_COMPRESSED | t::JSON | t::GEOMETRY | t::VECTOR => match low {
                1..=4 => Self::Prefixed(low),
                _ => return Err(ValueError::Invalid("BLOB with a length of no 1 to 4 bytes")),
            },
            t::TINY_BLOB => Self::Prefixed(1),
            t::MEDIUM_BLOB => Self::Prefixed(3),
            t::LONG_BLOB => Self::Prefixed(4),
            unknown => return Err(ValueError::UnknownType(unknown)),
        })
    }
}

/// Bytes of `digits` fractional digits in the types with a 2 in their name.
pub fn fraction_bytes(digits: u8) -> Result<usize, ValueError> {
    match digits {
        0..=6 => Ok(usize::from(digits.div_ceil(2))),
        _ => Err(ValueError::Invalid("a temporal column of more than six fractional digits")),
    }
}

/// Bytes of ENUM (1 or 2) and SET (1 to 8). The metadata may still have the real type beside them.
fn label_bytes(format: ColumnFormat) -> Result<usize, ValueError> {
    let [low, high] = format.meta.to_le_bytes();
    let bytes = if high == 0 { low } else { high };
    let bytes_max = if format.type_code == t::ENUM { 2 } else { 8 };
    match bytes {
        1.. if bytes <= bytes_max => Ok(bytes.into()),
        _ => Err(ValueError::Invalid("ENUM or SET of an impossible length")),
    }
}

/// The bytes of the first value in `bytes`, its length prefix included.
///
/// # Errors
/// As [`CellLength::of`], and [`ValueError::Truncated`].
pub fn skip(format: ColumnFormat, bytes: &[u8]) -> Result<usize, ValueError> {
    let length = match CellLength::of(format)? {
        CellLength::Fixed(length) => length,
        CellLength::Prefixed(count) => {
            let prefix = bytes.get(..count.into()).ok_or(ValueError::Truncated)?;
            let length = super::bits::little_endian(prefix) as usize;
            length.saturating_add(count.into())
        }
    };
    if length > bytes.len() { Err(ValueError::Truncated) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(type_code: u8, meta: u16, bytes: &[u8], expected: Result<usize, ValueError>) {
        assert_eq!(skip(ColumnFormat { type_code, meta }, bytes), expected, "{type_code} {meta:#x}");
    }

    #[test]
    fn lengths_of_every_type() {
        let bytes = [3; 64];
        for (type_code, meta, length) in [
            (t::TINY, 0, 1),
            (t::SHORT, 0, 2),
            (t::INT24, 0, 3),
            (t::LONG, 0, 4),
            (t::LONGLONG, 0, 8),
            (t::FLOAT, 4, 4),
            (t::DOUBLE, 8, 8),
            (t::NULL, 0, 0),
            (t::YEAR, 0, 1),
            (t::DATE, 0, 3),
            (t::TIME, 0, 3),
            (t::DATETIME, 0, 8),
            (t::TIMESTAMP, 0, 4),
            (t::TIMESTAMP2, 0, 4),
            (t::TIMESTAMP2, 1, 5),
            (t::DATETIME2, 3, 7),
            (t::TIME2, 6, 6),
            (t::NEWDECIMAL, 20 | 4 << 8, 10),
            (t::BIT, 1, 1),
            (t::BIT, 8 << 8, 8),
            (t::BIT, 7 | 7 << 8, 8),
            (t::ENUM, 1, 1),
            (t::ENUM, 2, 2),
            (t::ENUM, 247 | 2 << 8, 2),
            (t::SET, 8, 8),
            (t::VARCHAR, 255, 1 + 3),
            (t::VARCHAR_COMPRESSED, 3, 1 + 3),
            (t::BLOB, 1, 1 + 3),
            (t::TINY_BLOB, 0, 1 + 3),
        ] {
            check(type_code, meta, &bytes, Ok(length));
        }
        check(t::VARCHAR, 256, &[2, 0, 9, 9, 9], Ok(4));
        check(t::STRING, 1020, &[2, 0, 9, 9, 9], Ok(4));
        check(t::JSON, 4, &[2, 0, 0, 0, 9, 9, 9], Ok(6));
        check(t::VECTOR, 4, &[0, 0, 0, 0], Ok(4));
        check(t::BLOB, 3, &[1, 0, 0, 9], Ok(4));
    }

    #[test]
    fn what_is_cut_or_impossible_is_refused() {
        check(t::LONG, 0, &[0; 3], Err(ValueError::Truncated));
        check(t::BLOB, 4, &[0xff; 9], Err(ValueError::Truncated));
        check(t::BLOB, 2, &[1], Err(ValueError::Truncated));
        check(0, 0, &[0; 9], Err(ValueError::UnknownType(0)));
        check(200, 0, &[0; 9], Err(ValueError::UnknownType(200)));
        for (type_code, meta) in [
            (t::BLOB, 5),
            (t::BLOB, 0),
            (t::BIT, 9 << 8),
            (t::ENUM, 3),
            (t::SET, 9),
            (t::TIME2, 7),
            (t::NEWDECIMAL, 4 | 9 << 8),
        ] {
            assert!(matches!(skip(ColumnFormat { type_code, meta }, &[0; 9]), Err(ValueError::Invalid(_))));
        }
    }
}
