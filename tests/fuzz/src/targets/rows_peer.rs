//! The rows of an event as `mysql_common` reads them, beside what we read back: NULLs, integers, floats, decimals, bytes.

use millstream_codec::mysql::schema::{ColumnType, TableSchema};
use millstream_codec::wire::read::{RowReader, Value as Ours};
use mysql_common::Value as Theirs;
use mysql_common::binlog::events::{Event, EventData, TableMapEvent};
use mysql_common::binlog::row::BinlogRow;
use mysql_common::binlog::value::BinlogValue;

use super::events::THEIR_FORMAT;
use crate::binlog::push_event;
use crate::peer;

/// A value, as far as it is compared.
#[derive(Debug, PartialEq)]
pub enum Cell {
    Null,
    Integer(i128),
    Float(f64),
    Text(Vec<u8>),
    Decimal(String),
    Other,
}

/// The images of a row: of each column that is there, its value.
pub type Row = Vec<Vec<Cell>>;

pub fn ours(image: &RowReader<'_>, schema: &TableSchema) -> Vec<Cell> {
    let values = image.values().zip(&schema.columns).enumerate();
    values
        .filter_map(|(index, ((_, value), column))| {
            Some(match value.expect("what was encoded") {
                Ours::Absent => return None,
                Ours::Null => Cell::Null,
                Ours::Int(number) => Cell::Integer(number.into()),
                Ours::UInt(number) => Cell::Integer(number.into()),
                Ours::Float32(number) => Cell::Float(number.into()),
                Ours::Float64(number) => Cell::Float(number),
                Ours::Decimal(text) => Cell::Decimal(text.to_owned()),
                Ours::Bytes(bytes) | Ours::Geometry(bytes) => Cell::Text(bytes.into()),
                Ours::Text(text)
                    if matches!(&column.column_type, ColumnType::Text { charset, .. } if &**charset == "utf8mb4")
                        && matches!(image.invalid_text(index), Ok(None)) =>
                {
                    Cell::Text(text.into())
                }
                _ => Cell::Other,
            })
        })
        .collect()
}

/// Every row of the event, or `None` where they do not read all of it.
pub fn theirs(map_body: &[u8], type_code: u8, body: &[u8]) -> Option<Vec<Row>> {
    let (mut map, mut rows) = (Vec::new(), Vec::new());
    push_event(&mut map, 19, 0, map_body, false);
    push_event(&mut rows, type_code, 0, body, false);
    peer::ask(|| {
        let map = Event::read(&THEIR_FORMAT, &map[..]).ok()?;
        let map: TableMapEvent<'_> = map.read_event().ok()?;
        let event = Event::read(&THEIR_FORMAT, &rows[..]).ok()?;
        let Some(EventData::RowsEvent(rows)) = event.read_data().ok()? else { return None };
        let mut found = Vec::new();
        for row in rows.rows(&map) {
            let (before, after) = row.ok()?;
            found.push([before, after].into_iter().flatten().map(cells).collect());
        }
        Some(found)
    })
}

fn cells(row: BinlogRow) -> Vec<Cell> {
    let cell = |value: BinlogValue<'_>| match value {
        BinlogValue::Value(Theirs::NULL) => Cell::Null,
        BinlogValue::Value(Theirs::Int(number)) => Cell::Integer(number.into()),
        BinlogValue::Value(Theirs::UInt(number)) => Cell::Integer(number.into()),
        BinlogValue::Value(Theirs::Float(number)) => Cell::Float(number.into()),
        BinlogValue::Value(Theirs::Double(number)) => Cell::Float(number),
        BinlogValue::Value(Theirs::Bytes(bytes)) => Cell::Text(bytes),
        _ => Cell::Other,
    };
    row.unwrap().into_iter().map(cell).collect()
}

/// # Panics
/// Where both say something of a value and it is not the same.
pub fn compare(ours: &[Row], theirs: &[Row]) {
    assert_eq!(ours.len(), theirs.len(), "rows");
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours.len(), theirs.len(), "images");
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_eq!(ours.len(), theirs.len(), "columns");
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert!(same(ours, theirs), "{ours:?} {theirs:?}");
            }
        }
    }
}

fn same(ours: &Cell, theirs: &Cell) -> bool {
    match (ours, theirs) {
        (Cell::Null, theirs) => *theirs == Cell::Null,
        (_, Cell::Null) => false,
        // The sign is in the schema, which may be one of our own; the lowest byte is the same with either.
        (Cell::Integer(ours), Cell::Integer(theirs)) => (ours - theirs) & 0xff == 0,
        (Cell::Float(ours), Cell::Float(theirs)) => ours == theirs || ours.is_nan() && theirs.is_nan(),
        (Cell::Text(ours), Cell::Text(theirs)) => trimmed(ours) == trimmed(theirs),
        // Groups of more than nine digits are damage, and theirs prints a sign inside the number then.
        (Cell::Decimal(_), Cell::Text(theirs)) if theirs.iter().skip(1).any(|byte| *byte == b'-') => true,
        (Cell::Decimal(ours), Cell::Text(theirs)) => ours.as_bytes() == theirs,
        _ => true,
    }
}

/// Ours has the zero bytes that MySQL takes off BINARY(n).
fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_suffix(&[0]) {
        bytes = rest;
    }
    bytes
}
