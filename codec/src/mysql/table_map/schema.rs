//! From a TABLE_MAP to a [`TableSchema`]: by its own metadata alone, or together with what is known of the table.

use std::borrow::Cow;
use std::sync::Arc;

use super::metadata::{bit_from_top, has_charset, is_numeric, is_text};
use super::{ColumnTypeCode as T, SchemaMismatch, TableMap};
use crate::mysql::collation::{self, charset_name};
use crate::mysql::schema::{CharsetName, ColumnFormat, ColumnSchema, ColumnType, TableSchema};
use crate::mysql::value::charset;

/// What the log tells of one column beyond its format.
#[derive(Debug, Default)]
struct ColumnFacts<'m> {
    unsigned: Option<bool>,
    collation: Option<u64>,
    labels: Option<&'m [&'m [u8]]>,
}

impl TableMap<'_> {
    /// The schema, where the event tells the columns' names and all that goes with them (FULL metadata).
    /// MariaDB's UUID, INET6, INET4 and VECTOR come out as the binary that they look like.
    pub fn schema(&self) -> Option<TableSchema> {
        let names = self.metadata.column_names.as_deref()?;
        let mut columns = Vec::with_capacity(names.len());
        for ((name, format), facts) in names.iter().zip(&self.formats).zip(self.facts()) {
            columns.push(ColumnSchema {
                name: String::from_utf8_lossy(name).into_owned(),
                column_type: column_type(format, &facts)?,
                primary_key: 0,
            });
        }
        for (place, part) in self.metadata.primary_key.iter().enumerate() {
            if let Some(column) = columns.get_mut(part.column) {
                column.primary_key = u16::try_from(place + 1).unwrap_or(u16::MAX);
            }
        }
        Some(TableSchema {
            database: self.database.clone().into_owned(),
            table: self.table.clone().into_owned(),
            columns,
        })
    }

    /// The schema with the help of a known one. What the log tells counts; from `known` comes the rest:
    /// everything where the log has no names, the types that a log cannot express (UUID, INET6, INET4, VECTOR of
    /// MariaDB) where it has.
    ///
    /// # Errors
    /// [`SchemaMismatch`] where the log has no names and number or types of the columns differ, and where a column
    /// has a fraction that the log does not describe.
    pub fn schema_with(&self, known: &TableSchema) -> Result<TableSchema, SchemaMismatch> {
        if let Some(mut schema) = self.schema() {
            for (column, format) in schema.columns.iter_mut().zip(&self.formats) {
                let known = known.columns.iter().find(|known| known.name == column.name);
                let Some(known) = known else { continue };
                if is_hidden_type(format, &known.column_type) {
                    column.column_type = known.column_type.clone();
                }
                if is_old_temporal(format) && has_fraction(&known.column_type) {
                    let (table, name) = (self.qualified_name(), known.name.clone());
                    return Err(SchemaMismatch::OldTemporalFormat { table, name });
                }
            }
            return Ok(schema);
        }
        if known.columns.len() != self.formats.len() {
            let names: Vec<&str> = known.columns.iter().map(|column| column.name.as_str()).collect();
            return Err(SchemaMismatch::ColumnCount {
                table: self.qualified_name(),
                in_log: self.formats.len(),
                known: known.columns.len(),
                known_names: names.join(", "),
            });
        }
        let mut columns = Vec::with_capacity(known.columns.len());
        for (index, (known, (format, facts))) in
            known.columns.iter().zip(self.formats.iter().zip(self.facts())).enumerate()
        {
            let column_type = merged_type(format, &facts, &known.column_type);
            columns.push(ColumnSchema {
                name: known.name.clone(),
                column_type: column_type.ok_or_else(|| self.mismatch(index, format, known))?,
                primary_key: known.primary_key,
            });
        }
        Ok(TableSchema {
            database: self.database.clone().into_owned(),
            table: self.table.clone().into_owned(),
            columns,
        })
    }

    fn mismatch(&self, index: usize, format: &ColumnFormat, known: &ColumnSchema) -> SchemaMismatch {
        let table = self.qualified_name();
        if is_old_temporal(format) && has_fraction(&known.column_type) {
            return SchemaMismatch::OldTemporalFormat { table, name: known.name.clone() };
        }
        SchemaMismatch::ColumnType {
            table,
            column: format!("column {} `{}`", index + 1, known.name),
            in_log: describe_format(format),
            known: describe_type(&known.column_type),
        }
    }

    fn qualified_name(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }

    /// One for each column.
    fn facts(&self) -> impl Iterator<Item = ColumnFacts<'_>> {
        let metadata = &self.metadata;
        let (mut numeric, mut text, mut labelled, mut sets, mut enums) = (0, 0, 0, 0, 0);
        let next = |count: &mut usize| std::mem::replace(count, *count + 1);
        self.formats.iter().map(move |format| {
            let mut facts = ColumnFacts::default();
            if is_numeric(format) {
                let place = next(&mut numeric);
                facts.unsigned = metadata.unsigned.map(|bits| bit_from_top(bits, place));
            }
            if has_charset(format, self.kind) {
                let place = next(&mut text);
                facts.collation = metadata.text_charsets.as_ref().and_then(|charsets| charsets.collation(place));
            }
            if let T::ENUM | T::SET = format.type_code {
                let place = next(&mut labelled);
                facts.collation = metadata.label_charsets.as_ref().and_then(|charsets| charsets.collation(place));
                let labels = match format.type_code {
                    T::ENUM => metadata.enum_labels.get(next(&mut enums)),
                    _ => metadata.set_labels.get(next(&mut sets)),
                };
                facts.labels = labels.map(Vec::as_slice);
            }
            facts
        })
    }
}

/// By the log alone. `None` where it does not say enough.
fn column_type(format: &ColumnFormat, facts: &ColumnFacts<'_>) -> Option<ColumnType> {
    let [low, high] = format.meta.to_le_bytes();
    Some(match format.type_code {
        T::TINY => integer(1, facts)?,
        T::SHORT => integer(2, facts)?,
        T::INT24 => integer(3, facts)?,
        T::LONG => integer(4, facts)?,
        T::LONGLONG => integer(8, facts)?,
        T::FLOAT => ColumnType::Float,
        T::DOUBLE => ColumnType::Double,
        T::NEWDECIMAL => ColumnType::Decimal { precision: low, scale: high },
        T::BIT => ColumnType::Bit { bits: high.saturating_mul(8).saturating_add(low) },
        T::YEAR => ColumnType::Year,
        T::DATE | T::NEWDATE => ColumnType::Date,
        T::TIME | T::TIME2 => ColumnType::Time { digits: low },
        T::DATETIME | T::DATETIME2 => ColumnType::DateTime { digits: low },
        T::TIMESTAMP | T::TIMESTAMP2 => ColumnType::Timestamp { digits: low },
        T::ENUM => ColumnType::Enum { labels: labels(facts)? },
        T::SET => ColumnType::Set { labels: labels(facts)? },
        T::JSON => ColumnType::Json,
        T::GEOMETRY => ColumnType::Geometry,
        T::VECTOR => ColumnType::Vector,
        _ if is_text(format) => text(format, facts.collation?),
        _ => return None,
    })
}

fn integer(bytes: u8, facts: &ColumnFacts<'_>) -> Option<ColumnType> {
    Some(ColumnType::Integer { bytes, unsigned: facts.unsigned? })
}

fn text(format: &ColumnFormat, collation: u64) -> ColumnType {
    if collation == collation::BINARY {
        let fixed = Some(format.meta).filter(|_| format.type_code == T::STRING);
        return ColumnType::Binary { fixed };
    }
    ColumnType::Text { charset: name_of(collation), length: length_max(format) }
}

/// A collation that no known server has keeps its number, for the error that names it.
fn name_of(collation: u64) -> CharsetName {
    match charset_name(collation) {
        Some(name) => Arc::from(name),
        None => Arc::from(format!("collation {collation}")),
    }
}

/// The maximum length in bytes.
fn length_max(format: &ColumnFormat) -> u32 {
    match format.type_code {
        T::VARCHAR | T::VAR_STRING | T::STRING => u32::from(format.meta),
        // It counts the byte that tells how the value is compressed.
        T::VARCHAR_COMPRESSED => u32::from(format.meta.saturating_sub(1)),
        _ => u32::MAX >> (32 - 8 * u32::from(format.meta.clamp(1, 4))),
    }
}

/// In the character set of the column; text in any case, whatever the bytes.
fn labels(facts: &ColumnFacts<'_>) -> Option<Arc<[String]>> {
    let labels = facts.labels?;
    let charset = name_of(facts.collation?);
    Some(labels.iter().map(|label| charset::decode(&charset, label).0.into_owned()).collect())
}

/// The known type, with what the log tells of it. `None` where the log has another one.
fn merged_type(format: &ColumnFormat, facts: &ColumnFacts<'_>, known: &ColumnType) -> Option<ColumnType> {
    if is_hidden_type(format, known) {
        return Some(known.clone());
    }
    if let (T::ENUM, ColumnType::Enum { .. }) | (T::SET, ColumnType::Set { .. }) = (format.type_code, known) {
        return Some(column_type(format, facts).unwrap_or_else(|| known.clone()));
    }
    // A format that leaves something open is completed from what is known.
    let known_unsigned = matches!(known, ColumnType::Integer { unsigned: true, .. });
    let completed = ColumnFacts {
        unsigned: Some(facts.unsigned.unwrap_or(known_unsigned)),
        collation: facts.collation,
        labels: None,
    };
    if is_text(format) {
        return match (known, facts.collation) {
            (ColumnType::Text { .. } | ColumnType::Binary { .. }, Some(collation)) => Some(text(format, collation)),
            (ColumnType::Text { charset, .. }, None) => {
                Some(ColumnType::Text { charset: charset.clone(), length: length_max(format) })
            }
            (ColumnType::Binary { .. }, None) => Some(text(format, collation::BINARY)),
            _ => None,
        };
    }
    column_type(format, &completed).filter(|found| same_kind(found, known))
}

/// Both sides have all their facts here, so equality is the measure.
fn same_kind(in_log: &ColumnType, known: &ColumnType) -> bool {
    match (in_log, known) {
        (ColumnType::Integer { bytes: a, .. }, ColumnType::Integer { bytes: b, .. }) => a == b,
        _ => in_log == known,
    }
}

/// MariaDB's types that look like binary strings in a log: CHAR(16), CHAR(4), and VARCHAR for vectors.
fn is_hidden_type(format: &ColumnFormat, known: &ColumnType) -> bool {
    match known {
        ColumnType::Uuid | ColumnType::Inet6 => format.type_code == T::STRING && format.meta == 16,
        ColumnType::Inet4 => format.type_code == T::STRING && format.meta == 4,
        ColumnType::Vector => matches!(format.type_code, T::VARCHAR | T::VAR_STRING | T::STRING),
        _ => false,
    }
}

/// The format before MySQL 5.6, and MariaDB's of that time, in which only MariaDB has fractions.
fn is_old_temporal(format: &ColumnFormat) -> bool {
    matches!(format.type_code, T::TIME | T::DATETIME | T::TIMESTAMP)
}

fn has_fraction(column_type: &ColumnType) -> bool {
    matches!(
        column_type,
        ColumnType::Time { digits: 1.. } | ColumnType::DateTime { digits: 1.. } | ColumnType::Timestamp { digits: 1.. }
    )
}

fn describe_format(format: &ColumnFormat) -> String {
    let [low, high] = format.meta.to_le_bytes();
    let name: Cow<'static, str> = match format.type_code {
        T::TINY => "TINYINT".into(),
        T::SHORT => "SMALLINT".into(),
        T::INT24 => "MEDIUMINT".into(),
        T::LONG => "INT".into(),
        T::LONGLONG => "BIGINT".into(),
        T::FLOAT => "FLOAT".into(),
        T::DOUBLE => "DOUBLE".into(),
        T::NEWDECIMAL => format!("DECIMAL({low},{high})").into(),
        T::BIT => format!("BIT({})", u32::from(high) * 8 + u32::from(low)).into(),
        T::YEAR => "YEAR".into(),
        T::DATE | T::NEWDATE => "DATE".into(),
        T::TIME | T::TIME2 => format!("TIME({low})").into(),
        T::DATETIME | T::DATETIME2 => format!("DATETIME({low})").into(),
        T::TIMESTAMP | T::TIMESTAMP2 => format!("TIMESTAMP({low})").into(),
        T::ENUM => "ENUM".into(),
        T::SET => "SET".into(),
        T::JSON => "JSON".into(),
        T::GEOMETRY => "GEOMETRY".into(),
        T::VECTOR => "VECTOR".into(),
        T::STRING => format!("CHAR or BINARY of {} bytes", format.meta).into(),
        T::VARCHAR | T::VAR_STRING | T::VARCHAR_COMPRESSED => {
            format!("VARCHAR or VARBINARY of {} bytes", format.meta).into()
        }
        _ if is_text(format) => "TEXT or BLOB".into(),
        other => format!("type code {other}").into(),
    };
    name.into_owned()
}

fn describe_type(column_type: &ColumnType) -> String {
    match column_type {
        ColumnType::Integer { bytes, unsigned } => {
            let name = match bytes {
                1 => "TINYINT",
                2 => "SMALLINT",
                3 => "MEDIUMINT",
                4 => "INT",
                _ => "BIGINT",
            };
            format!("{name}{}", if *unsigned { " UNSIGNED" } else { "" })
        }
        ColumnType::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
        ColumnType::Bit { bits } => format!("BIT({bits})"),
        ColumnType::Time { digits } => format!("TIME({digits})"),
        ColumnType::DateTime { digits } => format!("DATETIME({digits})"),
        ColumnType::Timestamp { digits } => format!("TIMESTAMP({digits})"),
        ColumnType::Text { charset, length } => format!("text of {length} bytes in {charset}"),
        ColumnType::Binary { fixed: Some(length) } => format!("BINARY({length})"),
        ColumnType::Binary { fixed: None } => "VARBINARY or BLOB".into(),
        ColumnType::Enum { .. } => "ENUM".into(),
        ColumnType::Set { .. } => "SET".into(),
        ColumnType::Float => "FLOAT".into(),
        ColumnType::Double => "DOUBLE".into(),
        ColumnType::Year => "YEAR".into(),
        ColumnType::Date => "DATE".into(),
        ColumnType::Json => "JSON".into(),
        ColumnType::Geometry => "GEOMETRY".into(),
        ColumnType::Vector => "VECTOR".into(),
        ColumnType::Inet6 => "INET6".into(),
        ColumnType::Inet4 => "INET4".into(),
        ColumnType::Uuid => "UUID".into(),
    }
}
