//! One JSON line a row, the same wherever rows are printed.
//!
//! | MySQL | JSON |
//! |---|---|
//! | integers, BIT, YEAR | number, all digits |
//! | FLOAT, DOUBLE | the shortest number that round-trips at its width |
//! | DECIMAL | string |
//! | DATE, DATETIME, TIMESTAMP, TIME | string as MySQL prints it, with the column's digits; TIMESTAMP in UTC |
//! | CHAR, VARCHAR, TEXT, JSON, INET6, INET4, UUID | string |
//! | BINARY, VARBINARY, BLOB, GEOMETRY | `{"hex":".."}`, small letters |
//! | ENUM | string: its label, `""` for the error value; its number where the label is not known |
//! | SET | string: its labels joined by commas, as MySQL prints it; its bits as a number where a label is not known |
//! | VECTOR | array of numbers |
//! | NULL | null |
//! | JSON of which only a diff is in the log | `{"json_diff":".."}`, MySQL's binary diff in hex |
//!
//! A column that the image does not carry, or that a projection leaves out, has no key. `gtid` is null where the
//! source has none. `before` is there for updates and deletes, `after` for inserts and updates.

use serde::Serialize;
use serde::ser::{Error as _, SerializeMap, SerializeSeq, Serializer};

use super::encoded::Op;
use super::layout::LayoutColumn;
use super::read::{ReadError, RowReader, RowsReader, Value, Vector};
use super::temporal::{format_date, format_datetime, format_time, format_timestamp};

/// What all lines of a transaction have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineContext<'a> {
    /// Empty: none.
    pub gtid: &'a str,
    /// The binlog file; with a row's event offset it is the line's `pos`.
    pub file: &'a str,
    /// `Fragment.sequence`.
    pub sequence: u64,
    pub commit_time_us: i64,
}

/// Why a line could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write row {row} of {table} as JSON: {reason}")]
pub struct JsonError {
    pub table: String,
    pub row: u32,
    pub reason: String,
}

/// Appends the line of one row (its place in `rows`) and a line feed. On an error nothing is appended.
///
/// # Errors
/// Where the row is damaged.
pub fn write_row_line(
    out: &mut Vec<u8>,
    context: &LineContext<'_>,
    rows: &RowsReader<'_>,
    row: u32,
) -> Result<(), JsonError> {
    let line = RowLine { context, rows, row };
    append(out, &line).map_err(|reason| JsonError {
        table: format!("{}.{}", rows.layout().database, rows.layout().table),
        row: rows.first_row().wrapping_add(row),
        reason,
    })
}

/// A statement that changed the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DdlLine<'a> {
    pub database: &'a str,
    pub statement: &'a str,
    pub kind: &'a str,
    /// `db.table` of those affected.
    pub tables: &'a [String],
    /// Where the statement begins in its file.
    pub offset: u64,
}

/// Appends the line of a statement and a line feed:
/// `{"op":"ddl","db":..,"sql":..,"kind":..,"tables":[..],"gtid":..,"pos":..,"tx":..,"ts_us":..}`.
pub fn write_ddl_line(out: &mut Vec<u8>, context: &LineContext<'_>, ddl: &DdlLine<'_>) {
    // Nothing here can fail: all is text and numbers, and the writer is a Vec.
    let _ = append(out, &DdlObject { context, ddl });
}

fn append(out: &mut Vec<u8>, line: &impl Serialize) -> Result<(), String> {
    let length = out.len();
    match simd_json::to_writer(&mut *out, line) {
        Ok(()) => {
            out.push(b'\n');
            Ok(())
        }
        Err(error) => {
            out.truncate(length);
            Err(error.to_string())
        }
    }
}

struct RowLine<'a> {
    context: &'a LineContext<'a>,
    rows: &'a RowsReader<'a>,
    row: u32,
}

impl Serialize for RowLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { context, rows, row } = *self;
        let layout = rows.layout();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("op", op_name(rows.op()))?;
        map.serialize_entry("db", &layout.database)?;
        map.serialize_entry("table", &layout.table)?;
        map.serialize_entry("gtid", &gtid(context))?;
        map.serialize_entry("pos", &format!("{}:{}", context.file, rows.event_offset()))?;
        map.serialize_entry("tx", &context.sequence)?;
        map.serialize_entry("row", &(u64::from(rows.first_row()) + u64::from(row)))?;
        map.serialize_entry("ts_us", &context.commit_time_us)?;
        if let Some(image) = rows.before(row) {
            map.serialize_entry("before", &RowObject(image))?;
        }
        if let Some(image) = rows.after(row) {
            map.serialize_entry("after", &RowObject(image))?;
        }
        map.end()
    }
}

struct DdlObject<'a> {
    context: &'a LineContext<'a>,
    ddl: &'a DdlLine<'a>,
}

impl Serialize for DdlObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { context, ddl } = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("op", "ddl")?;
        map.serialize_entry("db", ddl.database)?;
        map.serialize_entry("sql", ddl.statement)?;
        map.serialize_entry("kind", ddl.kind)?;
        map.serialize_entry("tables", ddl.tables)?;
        map.serialize_entry("gtid", &gtid(context))?;
        map.serialize_entry("pos", &format!("{}:{}", context.file, ddl.offset))?;
        map.serialize_entry("tx", &context.sequence)?;
        map.serialize_entry("ts_us", &context.commit_time_us)?;
        map.end()
    }
}

fn op_name(op: Op) -> &'static str {
    match op {
        Op::Insert => "insert",
        Op::Update => "update",
        Op::Delete => "delete",
    }
}

fn gtid<'a>(context: &LineContext<'a>) -> Option<&'a str> {
    (!context.gtid.is_empty()).then_some(context.gtid)
}

/// A row image as a JSON object of its columns, the form that `before` and `after` have.
#[derive(Clone, Copy)]
pub struct RowObject<'a>(pub RowReader<'a>);

impl Serialize for RowObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (column, value) in self.0.values() {
            match value.map_err(|error: ReadError| S::Error::custom(error))? {
                Value::Absent | Value::Masked => {}
                value => map.serialize_entry(&column.name, &JsonValue { column, value })?,
            }
        }
        map.end()
    }
}

/// A value as its column prints it.
#[derive(Debug, Clone, Copy)]
pub struct JsonValue<'a> {
    pub column: &'a LayoutColumn,
    pub value: Value<'a>,
}

impl Serialize for JsonValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = self.column.digits;
        match self.value {
            Value::Null | Value::Absent | Value::Masked | Value::Unknown => serializer.serialize_none(),
            Value::Int(value) => serializer.serialize_i64(value),
            Value::UInt(value) | Value::Bit(value) => serializer.serialize_u64(value),
            Value::Float32(value) => serialize_f32(value, serializer),
            Value::Float64(value) => serialize_f64(value, serializer),
            Value::Year(value) => serializer.serialize_u16(value),
            Value::Decimal(text)
            | Value::Text(text)
            | Value::Json(text)
            | Value::Inet6(text)
            | Value::Inet4(text)
            | Value::Uuid(text) => serializer.serialize_str(text),
            Value::Date(value) => serializer.serialize_str(&format_date(value)),
            Value::DateTime(value) => serializer.serialize_str(&format_datetime(value, digits)),
            Value::Timestamp(value) => serializer.serialize_str(&format_timestamp(value, digits)),
            Value::Time(value) => serializer.serialize_str(&format_time(value, digits)),
            Value::Enum(index) => match self.enum_label(index) {
                Some(label) => serializer.serialize_str(label),
                None => serializer.serialize_u16(index),
            },
            Value::Set(bits) => match self.set_labels(bits) {
                Some(labels) => serializer.serialize_str(&labels),
                None => serializer.serialize_u64(bits),
            },
            Value::Bytes(bytes) | Value::Geometry(bytes) => hex_object("hex", bytes, serializer),
            Value::JsonDiff(bytes) => hex_object("json_diff", bytes, serializer),
            Value::Vector(vector) => serialize_vector(vector, serializer),
        }
    }
}

impl JsonValue<'_> {
    /// Index 0 is the empty string of an invalid value. `None` where the label is not known, as in files without full
    /// metadata: an empty string would say that the value is invalid.
    fn enum_label(&self, index: u16) -> Option<&str> {
        match usize::from(index).checked_sub(1) {
            Some(index) => self.column.labels.get(index).map(String::as_str),
            None => Some(""),
        }
    }

    /// `None` where one of the labels is not known.
    fn set_labels(&self, bits: u64) -> Option<String> {
        let known_bits = match self.column.labels.len() {
            0 => 0,
            count => u64::MAX >> (64 - count.min(64)),
        };
        if bits & !known_bits != 0 {
            return None;
        }
        let set = self.column.labels.iter().take(64).enumerate().filter(|(index, _)| bits >> index & 1 == 1);
        let labels: Vec<&str> = set.map(|(_, label)| label.as_str()).collect();
        Some(labels.join(","))
    }
}

/// An integral float without its `.0`, where all digits are exact.
fn as_integer(value: f64) -> Option<i64> {
    const EXACT: f64 = 1e15;
    let negative_zero = value == 0.0 && value.is_sign_negative();
    (value.trunc() == value && value.abs() < EXACT && !negative_zero).then_some(value as i64)
}

fn serialize_f64<S: Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    match as_integer(value) {
        Some(integer) => serializer.serialize_i64(integer),
        None => serializer.serialize_f64(value),
    }
}

/// The writer prints a float at the width of a double, 0.1 as 0.10000000149011612. The shortest digits of the float
/// have at most nine places; a double parsed from them prints as those same digits.
fn serialize_f32<S: Serializer>(value: f32, serializer: S) -> Result<S::Ok, S::Error> {
    if let Some(integer) = as_integer(f64::from(value)).filter(|integer| integer.abs() < 1 << f32::MANTISSA_DIGITS) {
        return serializer.serialize_i64(integer);
    }
    match value.to_string().parse::<f64>() {
        Ok(shortest) => serialize_f64(shortest, serializer),
        Err(_) => serializer.serialize_none(),
    }
}

fn serialize_vector<S: Serializer>(vector: Vector<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    struct Element(f32);
    impl Serialize for Element {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serialize_f32(self.0, serializer)
        }
    }
    let mut list = serializer.serialize_seq(Some(vector.len()))?;
    for element in vector.iter() {
        list.serialize_element(&Element(element))?;
    }
    list.end()
}

fn hex_object<S: Serializer>(key: &'static str, bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS[usize::from(nibble & 15)];
    let hex: String = bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte)]).collect();
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, &hex)?;
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::layout::ColumnKind;

    #[test]
    fn labels_that_are_not_known_are_numbers() {
        let check = |kind, labels: &[&str], value: Value<'_>, expected: &str| {
            let column = LayoutColumn {
                name: "v".into(),
                field: "v".into(),
                ordinal: 0,
                kind,
                slot: 0,
                null_slot: None,
                mysql_type: String::new(),
                digits: 0,
                bits: 0,
                labels: labels.iter().map(ToString::to_string).collect(),
                primary_key: 0,
                masked: false,
            };
            assert_eq!(simd_json::to_string(&JsonValue { column: &column, value }).unwrap(), expected);
        };
        check(ColumnKind::Enum, &["a", "b"], Value::Enum(2), "\"b\"");
        check(ColumnKind::Enum, &["a", "b"], Value::Enum(0), "\"\"");
        check(ColumnKind::Enum, &[], Value::Enum(0), "\"\"");
        check(ColumnKind::Enum, &[], Value::Enum(300), "300");
        check(ColumnKind::Set, &["a", "b"], Value::Set(3), "\"a,b\"");
        check(ColumnKind::Set, &["a", "b"], Value::Set(0), "\"\"");
        check(ColumnKind::Set, &["a", "b"], Value::Set(4), "4");
        check(ColumnKind::Set, &[], Value::Set(u64::MAX), "18446744073709551615");
        let labels: Vec<String> = (0..64).map(|index| format!("l{index}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        check(ColumnKind::Set, &labels, Value::Set(1 << 63 | 1), "\"l0,l63\"");
    }
}
