//! What the catalog keeps of a table, and its form in files.
//!
//! The serialized form is stable: fields and variants are only added, each with a default. As JSON:
//!
//! ```text
//! {"database":"shop","table":"orders","charset":"utf8mb4","kind":"table","columns":[
//!   {"name":"id","type":{"integer":{"bytes":8,"unsigned":true}},"key":1,"hidden":false},
//!   {"name":"note","type":{"varchar":{"charset":"utf8mb4","characters":40}},"key":0,"hidden":false}]}
//! ```

use std::sync::Arc;

use millstream_codec::mysql::schema::{CharsetName, ColumnSchema, ColumnType, TableSchema};
use serde::{Deserialize, Serialize};

use super::charset;

/// A table at one moment: its columns in order, and what a later statement's meaning depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDefinition {
    pub database: String,
    pub table: String,
    /// The table's default character set, which a new column of text has.
    pub charset: CharsetName,
    #[serde(default)]
    pub kind: TableKind,
    pub columns: Vec<ColumnDefinition>,
    /// It is certain that it has no unique key but the primary one, so that none of its columns can come to be hashed
    /// (MariaDB's alone; never true elsewhere).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_unique_keys: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    #[default]
    Table,
    /// MariaDB's SEQUENCE: a table of one row.
    Sequence,
    /// MariaDB's WITH SYSTEM VERSIONING.
    SystemVersioned,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    pub name: String,
    #[serde(rename = "type")]
    pub defined_type: DefinedType,
    /// Place in the primary key, from 1; 0: not part of it.
    #[serde(rename = "key", default)]
    pub primary_key: u16,
    /// Made by the server and not shown by `information_schema`, but part of row images: `row_start` and `row_end` of
    /// MariaDB's WITH SYSTEM VERSIONING where the statement does not name such columns.
    #[serde(default)]
    pub hidden: bool,
}

/// A type as a statement defines it: more than [`ColumnType`] tells, so that a later CONVERT TO CHARACTER SET can be
/// followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefinedType {
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
    /// `digits` of a second's fraction.
    Time {
        digits: u8,
    },
    #[serde(rename = "datetime")]
    DateTime {
        digits: u8,
    },
    Timestamp {
        digits: u8,
    },
    Char {
        charset: CharsetName,
        characters: u16,
    },
    Varchar {
        charset: CharsetName,
        characters: u32,
    },
    Text {
        charset: CharsetName,
        size: LobSize,
    },
    Binary {
        bytes: u16,
    },
    Varbinary {
        bytes: u32,
    },
    Blob {
        size: LobSize,
    },
    Enum {
        charset: CharsetName,
        labels: Arc<[String]>,
    },
    Set {
        charset: CharsetName,
        labels: Arc<[String]>,
    },
    /// MySQL's. MariaDB's JSON is LONGTEXT.
    Json,
    Geometry,
    Vector,
    Inet6,
    Inet4,
    Uuid,
}

/// TINYTEXT, TEXT, MEDIUMTEXT, LONGTEXT, and the same of BLOB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LobSize {
    Tiny,
    Normal,
    Medium,
    Long,
}

impl LobSize {
    /// The most that it holds: 255, 65,535, 16,777,215, 4,294,967,295.
    pub fn bytes_max(self) -> u32 {
        match self {
            Self::Tiny => u8::MAX.into(),
            Self::Normal => u16::MAX.into(),
            Self::Medium => (1 << 24) - 1,
            Self::Long => u32::MAX,
        }
    }

    /// The smallest that holds so many bytes.
    pub fn holding(bytes: u64) -> Self {
        [Self::Tiny, Self::Normal, Self::Medium]
            .into_iter()
            .find(|size| bytes <= u64::from(size.bytes_max()))
            .unwrap_or(Self::Long)
    }
}

impl DefinedType {
    /// What a reader of rows needs. The length of text is in bytes, as CHARACTER_OCTET_LENGTH has it.
    pub fn column_type(&self) -> ColumnType {
        let text = |charset: &CharsetName, characters: u32| ColumnType::Text {
            charset: charset.clone(),
            length: characters.saturating_mul(charset::bytes_max(charset).unwrap_or(1).into()),
        };
        match self {
            Self::Integer { bytes, unsigned } => ColumnType::Integer { bytes: *bytes, unsigned: *unsigned },
            Self::Float => ColumnType::Float,
            Self::Double => ColumnType::Double,
            Self::Decimal { precision, scale } => ColumnType::Decimal { precision: *precision, scale: *scale },
            Self::Bit { bits } => ColumnType::Bit { bits: *bits },
            Self::Year => ColumnType::Year,
            Self::Date => ColumnType::Date,
            Self::Time { digits } => ColumnType::Time { digits: *digits },
            Self::DateTime { digits } => ColumnType::DateTime { digits: *digits },
            Self::Timestamp { digits } => ColumnType::Timestamp { digits: *digits },
            Self::Char { charset, characters } => text(charset, u32::from(*characters)),
            Self::Varchar { charset, characters } => text(charset, *characters),
            Self::Text { charset, size } => ColumnType::Text { charset: charset.clone(), length: size.bytes_max() },
            Self::Binary { bytes } => ColumnType::Binary { fixed: Some(*bytes) },
            Self::Varbinary { .. } | Self::Blob { .. } => ColumnType::Binary { fixed: None },
            Self::Enum { labels, .. } => ColumnType::Enum { labels: labels.clone() },
            Self::Set { labels, .. } => ColumnType::Set { labels: labels.clone() },
            Self::Json => ColumnType::Json,
            Self::Geometry => ColumnType::Geometry,
            Self::Vector => ColumnType::Vector,
            Self::Inet6 => ColumnType::Inet6,
            Self::Inet4 => ColumnType::Inet4,
            Self::Uuid => ColumnType::Uuid,
        }
    }
}

impl TableDefinition {
    /// What a reader of rows needs: all columns in the table's order (the hidden ones too, which row images hold),
    /// the key's ordinals.
    pub fn schema(&self) -> TableSchema {
        let columns = self
            .columns
            .iter()
            .map(|column| ColumnSchema {
                name: column.name.clone(),
                column_type: column.defined_type.column_type(),
                primary_key: column.primary_key,
            })
            .collect();
        TableSchema { database: self.database.clone(), table: self.table.clone(), columns }
    }
}

#[cfg(test)]
impl TableDefinition {
    /// Table `d.TABLE` of INT columns, for tests.
    pub fn of_integers(table: &str, unsigned: bool, columns: &[&str]) -> Self {
        let column = |name: &&str| ColumnDefinition {
            name: (*name).to_owned(),
            defined_type: DefinedType::Integer { bytes: 4, unsigned },
            primary_key: 0,
            hidden: false,
        };
        Self {
            database: "d".into(),
            table: table.into(),
            charset: "utf8mb4".into(),
            kind: TableKind::Table,
            columns: columns.iter().map(column).collect(),
            without_unique_keys: false,
        }
    }
}
