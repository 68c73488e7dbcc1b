//! TABLE_MAP (19): what a table looks like to the rows events that follow and name its id.
//!
//! ```text
//! u48    table id
//! u16    flags
//! u8     length of the database's name, the name, a zero byte
//! u8     length of the table's name, the name, a zero byte
//! lenenc number of columns
//! n      u8 type of each column
//! lenenc length of the type metadata, the metadata           -> format.rs
//! n      bitmap: columns that may be NULL
//! rest   optional metadata (MySQL 8.0.1+, MariaDB 10.5+)     -> metadata.rs
//! ```
//! The same bytes give the same value, so a caller that sees the bytes of the last TABLE_MAP of a table again need
//! not parse them.

mod format;
mod metadata;
mod mismatch;
mod schema;

use std::borrow::Cow;

pub use metadata::{CharsetMetadata, OptionalMetadata, PrimaryKeyPart};
pub use mismatch::SchemaMismatch;

use super::error::EventError;
use super::reader::Reader;
use super::rows::bit;
use super::schema::ColumnFormat;
use super::server::ServerKind;

const WHAT: &str = "TABLE_MAP";
const TABLE_ID_BYTES: usize = 6;

/// The servers' own bound on the columns of a table.
pub const COLUMNS_MAX: usize = 4096;

/// `enum_field_types`: MySQL's numbers, then MariaDB's own.
pub struct ColumnTypeCode;

impl ColumnTypeCode {
    pub const DECIMAL: u8 = 0;
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
    pub const TYPED_ARRAY: u8 = 20;
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
    /// MariaDB: BLOB and VARCHAR columns declared COMPRESSED.
    pub const BLOB_COMPRESSED: u8 = 140;
    pub const VARCHAR_COMPRESSED: u8 = 141;
}

/// A parsed TABLE_MAP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMap<'a> {
    pub table_id: u64,
    pub flags: u16,
    pub database: Cow<'a, str>,
    pub table: Cow<'a, str>,
    /// In the table's order.
    pub formats: Vec<ColumnFormat>,
    /// Columns that may be NULL, least significant bit first.
    pub nullable: &'a [u8],
    /// Empty where the server writes none.
    pub metadata: OptionalMetadata<'a>,
    pub kind: ServerKind,
}

/// What routing needs of a TABLE_MAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableName<'a> {
    pub table_id: u64,
    /// UTF-8, as it came.
    pub database: &'a [u8],
    pub table: &'a [u8],
}

/// Reads no further than the table's name.
///
/// # Errors
/// [`EventError::Truncated`].
#[inline]
pub fn table_id_and_name(body: &[u8]) -> Result<TableName<'_>, EventError> {
    let mut reader = Reader::new(WHAT, body);
    let table_id = reader.uint("table id", TABLE_ID_BYTES)?;
    reader.u16("flags")?;
    let database = reader.u8_bytes("database")?;
    reader.u8("zero byte")?;
    let table = reader.u8_bytes("table")?;
    reader.u8("zero byte")?;
    Ok(TableName { table_id, database, table })
}

impl<'a> TableMap<'a> {
    /// `kind` is that of the last FORMAT_DESCRIPTION: both kinds write the same bytes, but count text columns
    /// differently.
    ///
    /// # Errors
    /// [`EventError::UnknownColumnType`] concerns this table alone; any other says that the event is damaged.
    pub fn parse(body: &'a [u8], kind: ServerKind) -> Result<Self, EventError> {
        let mut reader = Reader::new(WHAT, body);
        let table_id = reader.uint("table id", TABLE_ID_BYTES)?;
        let flags = reader.u16("flags")?;
        let database = String::from_utf8_lossy(reader.u8_bytes("database")?);
        reader.u8("zero byte")?;
        let table = String::from_utf8_lossy(reader.u8_bytes("table")?);
        reader.u8("zero byte")?;
        let count = reader.lenenc("column count")?;
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= COLUMNS_MAX)
            .ok_or_else(|| reader.invalid("column count", format!("{count}, at most {COLUMNS_MAX}")))?;
        let types = reader.bytes("column types", count)?;
        if reader.is_empty() {
            let reason =
                "it has no metadata of its columns, as MySQL 5.1 wrote it before 5.1.18: without, rows cannot be read";
            return Err(EventError::TooOld { what: WHAT, reason: reason.to_owned() });
        }
        let type_metadata = reader.lenenc_bytes("type metadata")?;
        let nullable = reader.bytes("nullable bitmap", count.div_ceil(8))?;
        let formats = format::read(types, type_metadata, &database, &table)?;
        let metadata = OptionalMetadata::parse(reader.rest(), &formats)?;
        Ok(Self { table_id, flags, database, table, formats, nullable, metadata, kind })
    }

    pub fn is_nullable(&self, column: usize) -> bool {
        bit(self.nullable, column)
    }
}

#[cfg(test)]
mod tests;
