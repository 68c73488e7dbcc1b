//! What is known of a table at one moment: the columns with their types, as a TABLE_MAP with full metadata or
//! `information_schema` tells them.
//!
//! Two descriptions of a column are kept apart. [`ColumnFormat`] is how its bytes lie in a row image (type code and
//! metadata of TABLE_MAP); [`ColumnSchema`] is what the column means (name, kind, signedness, charset, labels).

use std::sync::Arc;

/// How a column's bytes lie in a row image: the two things that every TABLE_MAP tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnFormat {
    /// `enum_field_types`, with ENUM (247) and SET (248) already taken out of STRING's metadata.
    pub type_code: u8,
    /// The metadata bytes of the type, little-endian where there are two
    /// (STRING: first byte in the low half, for CHAR/BINARY already resolved to the maximum length in bytes).
    pub meta: u16,
}

/// A character set of MySQL, by the name of `information_schema` (`utf8mb4`, `latin1`, `binary`).
pub type CharsetName = Arc<str>;

/// What a column means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// TINYINT (1), SMALLINT (2), MEDIUMINT (3), INT (4), BIGINT (8 bytes).
    Integer {
        bytes: u8,
        unsigned: bool,
    },
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Bit {
        bits: u8,
    },
    Year,
    Date,
    Time {
        digits: u8,
    },
    DateTime {
        digits: u8,
    },
    Timestamp {
        digits: u8,
    },
    /// CHAR, VARCHAR, TEXT. `length` is the maximum in bytes as far as it is known, 0 else.
    Text {
        charset: CharsetName,
        length: u32,
    },
    /// BINARY, VARBINARY, BLOB. `fixed` is Some(n) for BINARY(n): MySQL strips trailing zero bytes from its image.
    Binary {
        fixed: Option<u16>,
    },
    Enum {
        labels: Arc<[String]>,
    },
    Set {
        labels: Arc<[String]>,
    },
    Json,
    Geometry,
    Vector,
    /// MariaDB; only `information_schema` can tell them from BINARY(16) and BINARY(4).
    Inet6,
    Inet4,
    Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ColumnSchema {
    pub name: String,
    pub column_type: ColumnType,
    /// Place in the primary key, from 1; 0: not part of it.
    pub primary_key: u16,
}

/// A table at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableSchema {
    pub database: String,
    pub table: String,
    /// In the order of the table, which is the order of the row image.
    pub columns: Vec<ColumnSchema>,
}
