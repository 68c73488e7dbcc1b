//! One table's columns as `information_schema` tells them: the two queries, and what their answers mean.
//!
//! Used for servers whose TABLE_MAP has no full metadata, and for types that it cannot tell (MariaDB's UUID, INET6).
//! It shows a table as it is now, which may be later than the binlog's position: whoever uses the answer compares it with
//! the TABLE_MAP. Pure text in, [`TableSchema`] out. A type that is not known here is an error that names it.
//!
//! The queries expect a connection with `SET NAMES utf8mb4` and an empty `sql_mode` (labels are then escaped by
//! backslash, and `"` is no identifier quote).

use std::collections::HashMap;
#[cfg(test)]
use std::sync::Arc;

use millstream_codec::mysql::schema::{CharsetName, ColumnSchema, ColumnType, TableSchema};

use crate::catalog::{ColumnDefinition, DefinedType, LobSize, TableDefinition, TableKind, charset};

/// One cell of a text result set.
pub type Cell = Option<Vec<u8>>;

/// The names of all tables that the account may see.
pub const TABLE_NAMES_QUERY: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES";

/// What [`TABLE_NAMES_QUERY`] was answered: (database, table).
///
/// # Errors
/// An answer of another shape.
pub fn table_names(rows: &[Vec<Cell>]) -> Result<Vec<(String, String)>, InformationSchemaError> {
    let name = |row: &Vec<Cell>| match row.as_slice() {
        [database, table] => text(database)
            .zip(text(table))
            .map(|(database, table)| (database.to_owned(), table.to_owned()))
            .ok_or(InformationSchemaError::Text { field: "TABLE_NAME" }),
        _ => Err(InformationSchemaError::Cells { found: row.len(), expected: 2 }),
    };
    rows.iter().map(name).collect()
}

/// The columns of a table, in its order.
pub fn columns_query(database: &str, table: &str) -> String {
    format!(
        "SELECT COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
        quoted(database),
        quoted(table)
    )
}

/// The primary key's columns, in the key's order.
pub fn primary_key_query(database: &str, table: &str) -> String {
    format!(
        "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
         AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX",
        quoted(database),
        quoted(table)
    )
}

/// Which tables a snapshot asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All that the account may see, but for the server's own (`mysql`, `sys`, ...).
    Everything,
    Table {
        database: &'a str,
        table: &'a str,
    },
}

/// What [`snapshot_queries`] were answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Tables, and MariaDB's sequences.
    pub tables: Vec<TableDefinition>,
    /// Database, table, and why its definition can't be told.
    pub doubtful: Vec<(String, String, String)>,
    pub views: Vec<(String, String)>,
}

/// The databases with their default character sets; [`databases`] reads the answer.
pub fn databases_query() -> &'static str {
    "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA"
}

/// # Errors
/// An answer of another shape.
pub fn databases(rows: &[Vec<Cell>]) -> Result<Vec<(String, CharsetName)>, InformationSchemaError> {
    rows.iter()
        .map(|row| {
            let [name, charset] = row.as_slice() else {
                return Err(InformationSchemaError::Cells { found: row.len(), expected: 2 });
            };
            let name = text(name).ok_or(InformationSchemaError::Text { field: "SCHEMA_NAME" })?;
            let charset = text(charset).ok_or(InformationSchemaError::Text { field: "DEFAULT_CHARACTER_SET_NAME" })?;
            Ok((name.to_owned(), charset::canonical(charset).unwrap_or_else(|| charset.into())))
        })
        .collect()
}

/// Tables, columns, keys: [`snapshot`] reads the three answers.
pub fn snapshot_queries(scope: Scope<'_>) -> [String; 3] {
    let wanted = match scope {
        Scope::Everything => {
            "TABLE_SCHEMA NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')".to_owned()
        }
        Scope::Table { database, table } => {
            format!("TABLE_SCHEMA = {} AND TABLE_NAME = {}", quoted(database), quoted(table))
        }
    };
    [
        format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, TABLE_COLLATION, ENGINE FROM information_schema.TABLES WHERE {wanted}"
        ),
        // Only MariaDB can have columns of a row's time, and only it reads what is in this comment (and so below: unique keys
        // matter where they may be hashed, which other servers only do in engines that know no other index).
        format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME \
             /*M!100200 , GENERATION_EXPRESSION */ FROM information_schema.COLUMNS WHERE {wanted} \
             ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
        ),
        format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME /*M!100200 , INDEX_TYPE */ \
             FROM information_schema.STATISTICS WHERE {wanted} AND (INDEX_NAME = 'PRIMARY' \
             /*M!100200 OR (NON_UNIQUE = 0 AND SEQ_IN_INDEX = 1) */) ORDER BY TABLE_SCHEMA, TABLE_NAME, SEQ_IN_INDEX"
        ),
    ]
}

/// All tables of a snapshot with all that the catalog keeps of them. A table of which something is not known is in
/// doubt, and hinders no other.
///
/// # Errors
/// An answer of another shape.
pub fn snapshot(
    tables: &[Vec<Cell>],
    columns: &[Vec<Cell>],
    keys: &[Vec<Cell>],
) -> Result<Snapshot, InformationSchemaError> {
    let mut snapshot = Snapshot::default();
    let mut columns = by_table(columns)?;
    let mut keys = by_table(keys)?;
    for row in tables {
        let [database, table, table_type, collation, engine] = row.as_slice() else {
            return Err(InformationSchemaError::Cells { found: row.len(), expected: 5 });
        };
        let (database, table) = table_name(database, table)?;
        let kind = match text(table_type) {
            Some("SEQUENCE") => TableKind::Sequence,
            Some("SYSTEM VERSIONED") => TableKind::SystemVersioned,
            Some(other) if other.ends_with("VIEW") => {
                snapshot.views.push((database.to_owned(), table.to_owned()));
                continue;
            }
            _ => TableKind::Table,
        };
        let columns = columns.remove(&(database, table)).unwrap_or_default();
        let keys = keys.remove(&(database, table)).unwrap_or_default();
        let (key, unique): (Vec<&[Cell]>, Vec<&[Cell]>) =
            keys.into_iter().partition(|cells| cells.first().and_then(text) == Some("PRIMARY"));
        let is_hashed = |cells: &&&[Cell]| cells.get(2).and_then(text) == Some("HASH");
        let hashed = match text(engine) {
            Some("MEMORY") => 0,
            _ => unique.iter().filter(is_hashed).count(),
        };
        // Only MariaDB's answer has a fourth cell, and only it was asked for unique keys.
        let is_mariadb = columns.iter().all(|cells| cells.len() > 3);
        match definition(database, table, kind, text(collation), &columns, &key) {
            Ok(mut definition) => {
                definition.add_hidden_hashes(hashed);
                definition.without_unique_keys =
                    is_mariadb && unique.is_empty() && definition.kind != TableKind::Sequence;
                snapshot.tables.push(definition);
            }
            Err(reason) => snapshot.doubtful.push((database.to_owned(), table.to_owned(), reason)),
        }
    }
    Ok(snapshot)
}

/// Rows behind their first two cells, by database and table.
type ByTable<'a> = HashMap<(&'a str, &'a str), Vec<&'a [Cell]>>;

fn by_table(rows: &[Vec<Cell>]) -> Result<ByTable<'_>, InformationSchemaError> {
    let mut tables = ByTable::new();
    for row in rows {
        let [database, table, rest @ ..] = row.as_slice() else {
            return Err(InformationSchemaError::Cells { found: row.len(), expected: 3 });
        };
        tables.entry(table_name(database, table)?).or_default().push(rest);
    }
    Ok(tables)
}

fn table_name<'a>(database: &'a Cell, table: &'a Cell) -> Result<(&'a str, &'a str), InformationSchemaError> {
    match (text(database), text(table)) {
        (Some(database), Some(table)) => Ok((database, table)),
        _ => Err(InformationSchemaError::Text { field: "TABLE_NAME" }),
    }
}

/// The reason as an error where it can't be told.
fn definition(
    database: &str,
    table: &str,
    kind: TableKind,
    collation: Option<&str>,
    columns: &[&[Cell]],
    key: &[&[Cell]],
) -> Result<TableDefinition, String> {
    let charset = match collation.map(charset::of_collation) {
        Some(charset::OfCollation::Of(charset)) => charset,
        _ => return Err(format!("its collation {} is not known", collation.unwrap_or("NULL"))),
    };
    if columns.is_empty() {
        return Err("information_schema shows no columns of it".to_owned());
    }
    let mut is_explicit = false;
    let mut definitions = Vec::with_capacity(columns.len());
    for cells in columns {
        let (Some(name), Some(type_text)) = (cells.first().and_then(text), cells.get(1).and_then(text)) else {
            return Err("a column's name or type is NULL".to_owned());
        };
        is_explicit |= cells.get(3).and_then(text).is_some_and(|expression| expression == "ROW END");
        let defined_type = defined_type(type_text, cells.get(2).and_then(text))
            .ok_or_else(|| format!("column {name}: the type '{type_text}' is not known"))?;
        let place = key.iter().position(|part| part.get(1).and_then(text).is_some_and(|part| same(part, name)));
        let primary_key = place.and_then(|index| u16::try_from(index + 1).ok()).unwrap_or(0);
        definitions.push(ColumnDefinition { name: name.to_owned(), defined_type, primary_key, hidden: false });
    }
    let (database, table) = (database.to_owned(), table.to_owned());
    let mut definition =
        TableDefinition { database, table, charset, kind, columns: definitions, without_unique_keys: false };
    if kind == TableKind::SystemVersioned && !is_explicit {
        definition.add_hidden_versioning()?;
    }
    Ok(definition)
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}

/// `COLUMN_TYPE` and `CHARACTER_SET_NAME` as a definition has them. `None`: not known.
fn defined_type(full: &str, charset: Option<&str>) -> Option<DefinedType> {
    use ColumnType as T;
    let facts = Facts { charset, ..Facts::default() };
    let word = full.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_ascii_lowercase();
    let number = || {
        let digits = full.split_once('(')?.1.split_once(')')?.0;
        digits.trim().parse::<u32>().ok()
    };
    let size = match word.as_str() {
        "tinytext" | "tinyblob" => LobSize::Tiny,
        "mediumtext" | "mediumblob" => LobSize::Medium,
        "longtext" | "longblob" => LobSize::Long,
        _ => LobSize::Normal,
    };
    let labelled = |charset: Option<&str>| charset::canonical(charset.unwrap_or("binary"));
    Some(match column_type(full, &facts)? {
        T::Integer { bytes, unsigned } => DefinedType::Integer { bytes, unsigned },
        T::Float => DefinedType::Float,
        T::Double => DefinedType::Double,
        T::Decimal { precision, scale } => DefinedType::Decimal { precision, scale },
        T::Bit { bits } => DefinedType::Bit { bits },
        T::Year => DefinedType::Year,
        T::Date => DefinedType::Date,
        T::Time { digits } => DefinedType::Time { digits },
        T::DateTime { digits } => DefinedType::DateTime { digits },
        T::Timestamp { digits } => DefinedType::Timestamp { digits },
        T::Text { charset, .. } if charset::bytes_max(&charset).is_none() => return None,
        T::Text { charset, .. } if word == "char" => {
            DefinedType::Char { charset, characters: u16::try_from(number().unwrap_or(1)).ok()? }
        }
        T::Text { charset, .. } if word == "varchar" => DefinedType::Varchar { charset, characters: number()? },
        T::Text { charset, .. } => DefinedType::Text { charset, size },
        T::Binary { fixed: Some(bytes) } => DefinedType::Binary { bytes },
        T::Binary { fixed: None } if word == "varbinary" => DefinedType::Varbinary { bytes: number()? },
        T::Binary { fixed: None } => DefinedType::Blob { size },
        T::Enum { labels } => DefinedType::Enum { charset: labelled(charset)?, labels },
        T::Set { labels } => DefinedType::Set { charset: labelled(charset)?, labels },
        T::Json => DefinedType::Json,
        T::Geometry => DefinedType::Geometry,
        T::Vector => DefinedType::Vector,
        T::Inet6 => DefinedType::Inet6,
        T::Inet4 => DefinedType::Inet4,
        T::Uuid => DefinedType::Uuid,
    })
}

/// A string literal, whatever is in it.
pub fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for char in text.chars() {
        match char {
            '\'' => literal.push_str("''"),
            '\\' => literal.push_str("\\\\"),
            '\0' => literal.push_str("\\0"),
            other => literal.push(other),
        }
    }
    literal.push('\'');
    literal
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InformationSchemaError {
    #[error("the answer has a row of {found} cells where {expected} were asked for")]
    Cells { found: usize, expected: usize },
    #[error("{field} is NULL or not text")]
    Text { field: &'static str },
    #[error("column {column}: the type '{column_type}' is not known to this version of Millstream")]
    UnknownType { column: String, column_type: String },
}

/// The table, or `None` where it does not exist (or the account may not see it).
///
/// # Errors
/// An answer of another shape, or a column type that is not known.
pub fn table_schema(
    database: &str,
    table: &str,
    columns: &[Vec<Cell>],
    primary_key: &[Vec<Cell>],
) -> Result<Option<TableSchema>, InformationSchemaError> {
    if columns.is_empty() {
        return Ok(None);
    }
    let key: Vec<&str> = primary_key
        .iter()
        .map(|row| row.first().and_then(text).ok_or(InformationSchemaError::Text { field: "key's COLUMN_NAME" }))
        .collect::<Result<_, _>>()?;
    let columns = columns
        .iter()
        .map(|row| {
            let [name, type_text, charset, length, precision, scale] = row.as_slice() else {
                return Err(InformationSchemaError::Cells { found: row.len(), expected: 6 });
            };
            let name = text(name).ok_or(InformationSchemaError::Text { field: "COLUMN_NAME" })?;
            let type_text = text(type_text).ok_or(InformationSchemaError::Text { field: "COLUMN_TYPE" })?;
            let facts = Facts {
                charset: text(charset),
                octet_length: number(length),
                precision: number(precision),
                scale: number(scale),
            };
            let column_type = column_type(type_text, &facts).ok_or_else(|| InformationSchemaError::UnknownType {
                column: name.to_owned(),
                column_type: type_text.to_owned(),
            })?;
            let primary_key = key
                .iter()
                .position(|part| same(part, name))
                .and_then(|index| u16::try_from(index + 1).ok())
                .unwrap_or(0);
            Ok(ColumnSchema { name: name.to_owned(), column_type, primary_key })
        })
        .collect::<Result<_, _>>()?;
    Ok(Some(TableSchema { database: database.to_owned(), table: table.to_owned(), columns }))
}

fn text(cell: &Cell) -> Option<&str> {
    cell.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok())
}

fn number(cell: &Cell) -> Option<u64> {
    text(cell).and_then(|digits| digits.parse().ok())
}

/// What the row tells beside the type's text.
#[derive(Debug, Default)]
struct Facts<'a> {
    charset: Option<&'a str>,
    octet_length: Option<u64>,
    precision: Option<u64>,
    scale: Option<u64>,
}

/// `COLUMN_TYPE` as a type: `int(10) unsigned`, `enum('a','b')`, `datetime(6)`. `None`: not known.
fn column_type(full: &str, facts: &Facts<'_>) -> Option<ColumnType> {
    let name_length = full.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(full.len());
    let (name, rest) = full.split_at_checked(name_length)?;
    let name = name.to_ascii_lowercase();
    let (arguments, attributes) = arguments(rest)?;
    // Labels may hold any word, so attributes are looked for behind them only.
    let unsigned = attributes.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("unsigned"));
    let first = || arguments.split(',').next().and_then(|digits| digits.trim().parse::<u64>().ok());
    let digits = || first().map_or(Some(0), |digits| u8::try_from(digits).ok().filter(|digits| *digits <= 6));
    let charset = || -> CharsetName {
        let name = facts.charset.unwrap_or("binary");
        charset::canonical(name).unwrap_or_else(|| name.into())
    };
    let integer = |bytes| ColumnType::Integer { bytes, unsigned };
    Some(match name.as_str() {
        "tinyint" | "bool" | "boolean" => integer(1),
        "smallint" => integer(2),
        "mediumint" => integer(3),
        "int" | "integer" => integer(4),
        "bigint" => integer(8),
        "float" => ColumnType::Float,
        "double" | "real" => ColumnType::Double,
        "decimal" | "numeric" => {
            let mut parts = arguments.split(',').map(|part| part.trim().parse::<u64>().ok());
            let precision = parts.next().flatten().or(facts.precision).unwrap_or(10);
            let scale = parts.next().flatten().or(facts.scale).unwrap_or(0);
            ColumnType::Decimal { precision: u8::try_from(precision).ok()?, scale: u8::try_from(scale).ok()? }
        }
        "bit" => {
            ColumnType::Bit { bits: u8::try_from(first().unwrap_or(1)).ok().filter(|bits| (1..=64).contains(bits))? }
        }
        "year" => ColumnType::Year,
        "date" => ColumnType::Date,
        "time" => ColumnType::Time { digits: digits()? },
        "datetime" => ColumnType::DateTime { digits: digits()? },
        "timestamp" => ColumnType::Timestamp { digits: digits()? },
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => ColumnType::Text {
            charset: charset(),
            length: facts.octet_length.map_or(0, |length| u32::try_from(length).unwrap_or(u32::MAX)),
        },
        "binary" => ColumnType::Binary { fixed: Some(u16::try_from(first().unwrap_or(1)).ok()?) },
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnType::Binary { fixed: None },
        "enum" => ColumnType::Enum { labels: certain_labels(arguments, facts)?.into() },
        "set" => ColumnType::Set { labels: certain_labels(arguments, facts)?.into() },
        "json" => ColumnType::Json,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" => ColumnType::Geometry,
        "vector" => ColumnType::Vector,
        "inet6" => ColumnType::Inet6,
        "inet4" => ColumnType::Inet4,
        "uuid" => ColumnType::Uuid,
        _ => return None,
    })
}

/// What stands in the parentheses at the start, and what comes behind them; `None` where they are not closed.
fn arguments(rest: &str) -> Option<(&str, &str)> {
    let Some(inner) = rest.trim_start().strip_prefix('(') else { return Some(("", rest)) };
    let mut in_quotes = false;
    let mut escaped = false;
    for (index, char) in inner.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            // A doubled quote ends and begins: the same for finding the parenthesis.
            '\'' => in_quotes = !in_quotes,
            ')' if !in_quotes => {
                let (arguments, behind) = inner.split_at(index);
                return Some((arguments, behind.get(1..).unwrap_or_default()));
            }
            _ => {}
        }
    }
    None
}

/// The labels, or none of them where one may be another than it looks: `information_schema` of every server up to MySQL
/// 9.7 shows a question mark for a character of four bytes. Without labels there is a number, which is never wrong.
fn certain_labels(list: &str, facts: &Facts<'_>) -> Option<Vec<String>> {
    let labels = labels(list)?;
    let has_characters_of_four_bytes =
        matches!(facts.charset, Some("utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030"));
    let is_doubtful = has_characters_of_four_bytes && labels.iter().any(|label| label.contains('?'));
    Some(if is_doubtful { Vec::new() } else { labels })
}

/// `'a','it''s','back\\slash'` as its labels.
fn labels(list: &str) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    let mut chars = list.chars().peekable();
    loop {
        if chars.next()? != '\'' {
            return None;
        }
        let mut label = String::new();
        loop {
            match chars.next()? {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    label.push('\'');
                }
                '\'' => break,
                '\\' => label.push(match chars.next()? {
                    '0' => '\0',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'Z' => '\x1a',
                    other => other,
                }),
                other => label.push(other),
            }
        }
        labels.push(label);
        match chars.next() {
            None => return Some(labels),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels_of(list: &[&str]) -> Arc<[String]> {
        list.iter().map(|label| label.to_string()).collect()
    }

    #[test]
    fn column_types_are_read_as_the_servers_write_them() {
        let check = |full: &str, expected: ColumnType| {
            let facts = Facts { charset: Some("latin1"), octet_length: Some(40), ..Facts::default() };
            assert_eq!(column_type(full, &facts), Some(expected), "{full}");
        };
        let text = || ColumnType::Text { charset: "latin1".into(), length: 40 };
        check("int", ColumnType::Integer { bytes: 4, unsigned: false });
        check("int(10) unsigned", ColumnType::Integer { bytes: 4, unsigned: true });
        check("bigint(20) unsigned zerofill", ColumnType::Integer { bytes: 8, unsigned: true });
        check("tinyint(1)", ColumnType::Integer { bytes: 1, unsigned: false });
        check("mediumint", ColumnType::Integer { bytes: 3, unsigned: false });
        check("decimal(65,30)", ColumnType::Decimal { precision: 65, scale: 30 });
        check("decimal(5,0) unsigned", ColumnType::Decimal { precision: 5, scale: 0 });
        check("float(7,4)", ColumnType::Float);
        check("double unsigned", ColumnType::Double);
        check("bit(64)", ColumnType::Bit { bits: 64 });
        check("year(4)", ColumnType::Year);
        check("datetime", ColumnType::DateTime { digits: 0 });
        check("datetime(6)", ColumnType::DateTime { digits: 6 });
        check("timestamp(3)", ColumnType::Timestamp { digits: 3 });
        check("time(1)", ColumnType::Time { digits: 1 });
        check("varchar(40)", text());
        check("varchar(40) /*M!100301 COMPRESSED*/", text());
        check("longtext", text());
        check("binary(16)", ColumnType::Binary { fixed: Some(16) });
        check("varbinary(16)", ColumnType::Binary { fixed: None });
        check("point", ColumnType::Geometry);
        check("geomcollection", ColumnType::Geometry);
        check("vector(2048)", ColumnType::Vector);
        check("inet6", ColumnType::Inet6);
        check("uuid", ColumnType::Uuid);
        check("enum('a','b')", ColumnType::Enum { labels: labels_of(&["a", "b"]) });
    }

    #[test]
    fn labels_keep_every_character() {
        let check = |full: &str, expected: &[&str]| {
            let expected = ColumnType::Enum { labels: labels_of(expected) };
            assert_eq!(column_type(full, &Facts::default()), Some(expected), "{full}");
        };
        check("enum('it''s',')','(',',','unsigned')", &["it's", ")", "(", ",", "unsigned"]);
        check(r"enum('back\\slash','new\nline','nul\0')", &["back\\slash", "new\nline", "nul\0"]);
        check("enum('')", &[""]);
        check("enum('ä','日本')", &["ä", "日本"]);
        check(r"enum('\\','''')", &["\\", "'"]);
    }

    #[test]
    fn labels_that_may_be_others_are_none() {
        let check = |charset, list: &str, expected: &[&str]| {
            let facts = Facts { charset: Some(charset), ..Facts::default() };
            let expected = ColumnType::Enum { labels: labels_of(expected) };
            assert_eq!(column_type(&format!("enum({list})"), &facts), Some(expected), "{charset} {list}");
        };
        check("utf8mb4", "'?','a?b'", &[]);
        check("utf16", "'a','?'", &[]);
        check("utf8mb4", "'a','é'", &["a", "é"]);
        check("utf8mb3", "'?','b'", &["?", "b"]);
        check("latin1", "'?'", &["?"]);
    }

    #[test]
    fn a_label_called_unsigned_says_nothing_about_the_sign() {
        let set = column_type("set('unsigned')", &Facts::default());
        assert_eq!(set, Some(ColumnType::Set { labels: labels_of(&["unsigned"]) }));
    }

    #[test]
    fn unknown_and_broken_types_are_refused() {
        for full in ["", "xmltype", "enum('a'", "enum(a)", "bit(65)", "decimal(300,2)", "datetime(9)"] {
            assert_eq!(column_type(full, &Facts::default()), None, "{full}");
        }
    }

    #[test]
    fn rows_become_a_table_with_its_key_in_order() {
        let row = |cells: [Option<&str>; 6]| cells.map(|cell| cell.map(|text| text.as_bytes().to_vec())).to_vec();
        let columns = [
            row([Some("a"), Some("int"), None, None, Some("10"), Some("0")]),
            row([Some("b"), Some("varchar(10)"), Some("utf8mb4"), Some("40"), None, None]),
        ];
        let key = [vec![Some(b"b".to_vec())], vec![Some(b"a".to_vec())]];
        let table = table_schema("d", "t", &columns, &key).unwrap().unwrap();
        assert_eq!(
            table.columns.iter().map(|c| (c.name.as_str(), c.primary_key)).collect::<Vec<_>>(),
            [("a", 2), ("b", 1)]
        );
        assert_eq!(table_schema("d", "t", &[], &[]), Ok(None));
        assert!(table_schema("d", "t", &[vec![None]], &[]).is_err());
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(quoted(r"a'b\c"), r"'a''b\\c'");
    }
}
