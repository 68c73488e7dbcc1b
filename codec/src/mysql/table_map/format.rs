//! The type metadata of TABLE_MAP: how a column's values lie in a row image.
//!
//! ```text
//! 0 bytes  integers, YEAR, DATE, the temporal types from before 5.6
//! 1 byte   FLOAT, DOUBLE (size); BLOB, JSON, GEOMETRY, VECTOR (bytes of the length); TIMESTAMP2, DATETIME2, TIME2 (digits)
//! 2 bytes  VARCHAR (maximum length, little-endian); NEWDECIMAL (precision, scale); BIT (bits % 8, bits / 8);
//!          STRING, VAR_STRING (real type with two bits of the length, length)
//! TYPED_ARRAY: the type of its elements and that type's metadata
//! ```

use super::{ColumnTypeCode as T, WHAT};
use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;
use crate::mysql::schema::ColumnFormat;

/// One format for each type; the metadata must be used up exactly.
pub(super) fn read(
    types: &[u8],
    metadata: &[u8],
    database: &str,
    table: &str,
) -> Result<Vec<ColumnFormat>, EventError> {
    let mut reader = Reader::new(WHAT, metadata);
    let mut formats = Vec::with_capacity(types.len());
    for (index, type_code) in types.iter().enumerate() {
        let format = column(*type_code, &mut reader)?;
        formats.push(format.ok_or_else(|| EventError::UnknownColumnType {
            database: database.to_owned(),
            table: table.to_owned(),
            column: index + 1,
            type_code: *type_code,
        })?);
    }
    if reader.is_empty() {
        Ok(formats)
    } else {
        Err(reader.invalid("type metadata", format!("{} bytes more than the column types need", reader.left())))
    }
}

/// `None` for an unknown type: nothing behind it can be placed.
fn column(type_code: u8, reader: &mut Reader<'_>) -> Result<Option<ColumnFormat>, EventError> {
    let meta = match type_code {
        T::DECIMAL
        | T::TINY
        | T::SHORT
        | T::LONG
        | T::NULL
        | T::TIMESTAMP
        | T::LONGLONG
        | T::INT24
        | T::DATE
        | T::TIME
        | T::DATETIME
        | T::YEAR
        | T::NEWDATE => 0,
        T::FLOAT | T::DOUBLE => u16::from(reader.u8("size")?),
        T::TIMESTAMP2 | T::DATETIME2 | T::TIME2 => digits(reader)?,
        T::BLOB
        | T::TINY_BLOB
        | T::MEDIUM_BLOB
        | T::LONG_BLOB
        | T::BLOB_COMPRESSED
        | T::JSON
        | T::GEOMETRY
        | T::VECTOR => length_bytes(reader)?,
        T::VARCHAR | T::VARCHAR_COMPRESSED => reader.u16("maximum length")?,
        T::NEWDECIMAL => decimal(reader)?,
        T::BIT => bits(reader)?,
        T::ENUM | T::SET => {
            let [_real_type, size] = reader.array("size")?;
            return enum_or_set(type_code, size, reader).map(Some);
        }
        T::STRING => return string(reader),
        T::VAR_STRING => return var_string(reader),
        T::TYPED_ARRAY => {
            // The elements' format is of no use: the column is the hidden one behind a multi-valued index.
            let element = reader.u8("element type")?;
            if element == T::TYPED_ARRAY || column(element, reader)?.is_none() {
                return Ok(None);
            }
            u16::from(element)
        }
        _ => return Ok(None),
    };
    Ok(Some(ColumnFormat { type_code, meta }))
}

/// CHAR, BINARY, ENUM or SET. For strings over 255 bytes two bits of the length are hidden, inverted, in the type.
fn string(reader: &mut Reader<'_>) -> Result<Option<ColumnFormat>, EventError> {
    let [real_type, length] = reader.array("real type")?;
    if real_type & 0x30 != 0x30 {
        let high = u16::from(real_type & 0x30 ^ 0x30) << 4;
        return Ok(match real_type | 0x30 {
            T::STRING => Some(ColumnFormat { type_code: T::STRING, meta: high | u16::from(length) }),
            _ => None,
        });
    }
    match real_type {
        T::STRING => Ok(Some(ColumnFormat { type_code: T::STRING, meta: u16::from(length) })),
        T::ENUM | T::SET => enum_or_set(real_type, length, reader).map(Some),
        _ => Ok(None),
    }
}

/// VARCHAR of a table whose file a server before 5.0 wrote. To the server that is a CHAR that calls itself VAR_STRING
/// (sql/field.h of MySQL 5.0 to 5.7: `Field_string::type()`, which `binlog_type()` is), with a CHAR's metadata
/// (`Field_string::do_save_field_metadata`) and a CHAR's values. MySQL's description of the event has the type's own code
/// in the first byte, where its program writes STRING's. Its applier takes none of the two bytes (sql/rpl_utility.cc,
/// `table_def`) and reads the columns behind it wrongly: that is not followed.
fn var_string(reader: &mut Reader<'_>) -> Result<Option<ColumnFormat>, EventError> {
    let [real_type, length] = reader.array("real type")?;
    let high = u16::from(real_type & 0x30 ^ 0x30) << 4;
    Ok(match real_type | 0x30 {
        T::STRING | T::VAR_STRING => Some(ColumnFormat { type_code: T::VAR_STRING, meta: high | u16::from(length) }),
        _ => None,
    })
}

/// `meta` is the size of the value in bytes.
fn enum_or_set(type_code: u8, size: u8, reader: &Reader<'_>) -> Result<ColumnFormat, EventError> {
    let size_max = if type_code == T::ENUM { 2 } else { 8 };
    if size == 0 || size > size_max {
        return Err(reader.invalid("size", format!("{size} bytes of ENUM or SET")));
    }
    Ok(ColumnFormat { type_code, meta: u16::from(size) })
}

fn digits(reader: &mut Reader<'_>) -> Result<u16, EventError> {
    match reader.u8("digits")? {
        digits @ 0..=6 => Ok(u16::from(digits)),
        digits => Err(reader.invalid("digits", digits.to_string())),
    }
}

fn length_bytes(reader: &mut Reader<'_>) -> Result<u16, EventError> {
    match reader.u8("bytes of the length")? {
        bytes @ 1..=4 => Ok(u16::from(bytes)),
        bytes => Err(reader.invalid("bytes of the length", bytes.to_string())),
    }
}

fn decimal(reader: &mut Reader<'_>) -> Result<u16, EventError> {
    const PRECISION_MAX: u8 = 65;
    const SCALE_MAX: u8 = 38;
    let [precision, scale] = reader.array("precision and scale")?;
    if precision == 0 || precision > PRECISION_MAX || scale > precision || scale > SCALE_MAX {
        return Err(reader.invalid("precision and scale", format!("DECIMAL({precision},{scale})")));
    }
    Ok(u16::from_le_bytes([precision, scale]))
}

fn bits(reader: &mut Reader<'_>) -> Result<u16, EventError> {
    let [rest, bytes] = reader.array("bits")?;
    let count = u32::from(bytes) * 8 + u32::from(rest);
    if rest > 7 || count == 0 || count > 64 {
        return Err(reader.invalid("bits", format!("{bytes} bytes and {rest} bits")));
    }
    Ok(u16::from_le_bytes([rest, bytes]))
}
