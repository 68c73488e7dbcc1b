//! The optional metadata of TABLE_MAP (`binlog_row_metadata`): fields of u8 type, lenenc length, value.
//!
//! ```text
//! 1  SIGNEDNESS                   a bit for each numeric column, most significant first: 1 is unsigned
//! 2  DEFAULT_CHARSET              lenenc collation; pairs of lenenc (place among the text columns, collation)
//! 3  COLUMN_CHARSET               lenenc collation of each text column
//! 4  COLUMN_NAME                  lenenc length and name of each column                     (FULL)
//! 5  SET_STR_VALUE                for each SET column: lenenc count, that many labels       (FULL)
//! 6  ENUM_STR_VALUE               the same for ENUM                                         (FULL)
//! 7  GEOMETRY_TYPE                lenenc for each geometry column
//! 8  SIMPLE_PRIMARY_KEY           lenenc index of each column                               (FULL)
//! 9  PRIMARY_KEY_WITH_PREFIX      pairs of lenenc (index, prefix in characters; 0: whole)   (FULL)
//! 10 ENUM_AND_SET_DEFAULT_CHARSET as 2, over the ENUM and SET columns                       (FULL)
//! 11 ENUM_AND_SET_COLUMN_CHARSET  as 3                                                      (FULL)
//! 12 COLUMN_VISIBILITY            a bit for each column: 1 is visible                       (FULL)
//! 13 VECTOR_DIMENSIONALITY        lenenc for each vector column
//! ```
//! Text columns are CHAR, VARCHAR and TEXT with their binary relatives; for MySQL also the vector columns,
//! for MariaDB the geometry columns.

use super::{ColumnTypeCode as T, WHAT};
use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;
use crate::mysql::schema::ColumnFormat;
use crate::mysql::server::ServerKind;

/// Collations of the columns of one group, in the table's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CharsetMetadata {
    Default {
        collation: u64,
        /// (place in the group, collation), ascending by place.
        others: Vec<(u64, u64)>,
    },
    Each(Vec<u64>),
}

impl CharsetMetadata {
    /// The collation of the group's column at this place.
    pub fn collation(&self, place: usize) -> Option<u64> {
        match self {
            Self::Default { collation, others } => {
                let other = others.iter().find(|(at, _)| usize::try_from(*at) == Ok(place));
                Some(other.map_or(*collation, |(_, collation)| *collation))
            }
            Self::Each(collations) => collations.get(place).copied(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrimaryKeyPart {
    pub column: usize,
    /// In characters; 0: the whole column.
    pub prefix: u64,
}

/// What the event tells beyond the formats. A field that is absent is `None` or empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OptionalMetadata<'a> {
    /// Over the numeric columns, most significant bit first.
    pub unsigned: Option<&'a [u8]>,
    pub text_charsets: Option<CharsetMetadata>,
    /// In UTF-8, as they came.
    pub column_names: Option<Vec<&'a [u8]>>,
    /// Labels in the column's character set.
    pub set_labels: Vec<Vec<&'a [u8]>>,
    pub enum_labels: Vec<Vec<&'a [u8]>>,
    pub label_charsets: Option<CharsetMetadata>,
    pub geometry_types: Vec<u64>,
    pub primary_key: Vec<PrimaryKeyPart>,
    /// Over all columns, most significant bit first.
    pub visible: Option<&'a [u8]>,
    pub vector_dimensions: Vec<u64>,
}

impl<'a> OptionalMetadata<'a> {
    pub(super) fn parse(bytes: &'a [u8], formats: &[ColumnFormat]) -> Result<Self, EventError> {
        let mut reader = Reader::new(WHAT, bytes);
        let mut metadata = Self::default();
        while !reader.is_empty() {
            let field = reader.u8("metadata field")?;
            let value = reader.lenenc_bytes("metadata value")?;
            metadata.field(field, value, formats)?;
        }
        Ok(metadata)
    }

    fn field(&mut self, field: u8, value: &'a [u8], formats: &[ColumnFormat]) -> Result<(), EventError> {
        let mut reader = Reader::new(WHAT, value);
        match field {
            1 => {
                let needed = formats.iter().filter(|format| is_numeric(format)).count().div_ceil(8);
                self.unsigned = Some(reader.bytes("signedness", needed)?);
            }
            2 => self.text_charsets = Some(default_charset(&mut reader)?),
            3 => self.text_charsets = Some(CharsetMetadata::Each(integers(&mut reader, "column charset")?)),
            4 => self.column_names = Some(names(&mut reader, formats.len())?),
            5 => self.set_labels = labels(&mut reader)?,
            6 => self.enum_labels = labels(&mut reader)?,
            7 => self.geometry_types = integers(&mut reader, "geometry type")?,
            8 | 9 => self.primary_key = primary_key(&mut reader, field == 9, formats.len())?,
            10 => self.label_charsets = Some(default_charset(&mut reader)?),
            11 => self.label_charsets = Some(CharsetMetadata::Each(integers(&mut reader, "label charset")?)),
            12 => self.visible = Some(reader.bytes("visibility", formats.len().div_ceil(8))?),
            13 => self.vector_dimensions = integers(&mut reader, "vector dimensions")?,
            // Later servers may tell more; its length is known, so it is skipped.
            _ => {}
        }
        Ok(())
    }

    pub fn is_visible(&self, column: usize) -> bool {
        self.visible.is_none_or(|bits| bit_from_top(bits, column))
    }
}

/// The types that SIGNEDNESS has a bit for.
pub(super) fn is_numeric(format: &ColumnFormat) -> bool {
    matches!(
        format.type_code,
        T::TINY
            | T::SHORT
            | T::INT24
            | T::LONG
            | T::LONGLONG
            | T::NEWDECIMAL
            | T::FLOAT
            | T::DOUBLE
            | T::YEAR
            | T::DECIMAL
    )
}

/// The types that DEFAULT_CHARSET and COLUMN_CHARSET count.
pub(super) fn has_charset(format: &ColumnFormat, kind: ServerKind) -> bool {
    is_text(format)
        || match kind {
            ServerKind::Mysql => format.type_code == T::VECTOR,
            ServerKind::Mariadb => format.type_code == T::GEOMETRY,
        }
}

/// CHAR, VARCHAR, TEXT, BINARY, VARBINARY, BLOB.
pub(super) fn is_text(format: &ColumnFormat) -> bool {
    matches!(
        format.type_code,
        T::STRING
            | T::VAR_STRING
            | T::VARCHAR
            | T::BLOB
            | T::TINY_BLOB
            | T::MEDIUM_BLOB
            | T::LONG_BLOB
            | T::VARCHAR_COMPRESSED
            | T::BLOB_COMPRESSED
    )
}

/// Most significant bit first; false behind the end.
pub(super) fn bit_from_top(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte << (index % 8) & 0x80 != 0)
}

fn default_charset(reader: &mut Reader<'_>) -> Result<CharsetMetadata, EventError> {
    let collation = reader.lenenc("default charset")?;
    let mut others = Vec::new();
    while !reader.is_empty() {
        others.push((reader.lenenc("column")?, reader.lenenc("charset")?));
    }
    Ok(CharsetMetadata::Default { collation, others })
}

fn integers(reader: &mut Reader<'_>, field: &'static str) -> Result<Vec<u64>, EventError> {
    let mut values = Vec::new();
    while !reader.is_empty() {
        values.push(reader.lenenc(field)?);
    }
    Ok(values)
}

fn names<'a>(reader: &mut Reader<'a>, columns: usize) -> Result<Vec<&'a [u8]>, EventError> {
    let mut names = Vec::with_capacity(columns);
    while !reader.is_empty() {
        names.push(reader.lenenc_bytes("column name")?);
    }
    if names.len() == columns {
        Ok(names)
    } else {
        Err(reader.invalid("column names", format!("{} names of {columns} columns", names.len())))
    }
}

fn labels<'a>(reader: &mut Reader<'a>) -> Result<Vec<Vec<&'a [u8]>>, EventError> {
    let mut columns = Vec::new();
    while !reader.is_empty() {
        let count = reader.lenenc("number of labels")?;
        // Each label takes at least its length byte.
        if count > reader.left() as u64 {
            return Err(reader.truncated("labels", count));
        }
        let mut labels = Vec::new();
        for _ in 0..count {
            labels.push(reader.lenenc_bytes("label")?);
        }
        columns.push(labels);
    }
    Ok(columns)
}

fn primary_key(reader: &mut Reader<'_>, with_prefix: bool, columns: usize) -> Result<Vec<PrimaryKeyPart>, EventError> {
    let mut parts = Vec::new();
    while !reader.is_empty() {
        let column = reader.lenenc("primary key column")?;
        let prefix = if with_prefix { reader.lenenc("primary key prefix")? } else { 0 };
        match usize::try_from(column) {
            Ok(column) if column < columns => parts.push(PrimaryKeyPart { column, prefix }),
            _ => {
                return Err(reader.invalid("primary key column", format!("{column} of {columns} columns")));
            }
        }
    }
    Ok(parts)
}
