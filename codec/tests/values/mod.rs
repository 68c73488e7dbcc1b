//! Rows of a binlog file, through everything that a row goes through: parsed, encoded, put into a batch, and read back
//! by the layout.
#![allow(dead_code)]

use std::collections::HashMap;

use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::{Event, EventData, EventType, FormatDescription};
use millstream_codec::mysql::file::BinlogFileReader;
use millstream_codec::mysql::rows::RowsEvent;
use millstream_codec::mysql::schema::{ColumnFormat, ColumnType, TableSchema};
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::table_map::TableMap;
use millstream_codec::mysql::value::buffer::TextBuffer;
use millstream_codec::wire::batch::{BatchBuilder, FragmentEnd, FragmentHead, RowsHead};
use millstream_codec::wire::encode::{EncodeError, EncodedRows, RowProgram, RowsEncoder};
use millstream_codec::wire::encoded::Op;
use millstream_codec::wire::layout::Layout;
use millstream_codec::wire::read::{RowReader, RowsReader, Value};
use millstream_codec::wire::temporal::{format_date, format_datetime, format_time, format_timestamp};
use millstream_codec::wire::view;
use millstream_codec::wire::words::Segment;

/// One row: its table, what happened, and the texts of its images by column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub table: String,
    pub op: Op,
    pub before: Option<Vec<Cell>>,
    pub after: Option<Vec<Cell>>,
}

/// A value as text; `None` is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub column: String,
    pub kind: &'static str,
    pub text: Option<String>,
}

impl Row {
    pub fn value(&self, column: &str) -> &Cell {
        let cells = self.after.as_ref().or(self.before.as_ref()).unwrap();
        cells.iter().find(|cell| cell.column == column).unwrap()
    }
}

/// Every row of the file. `schema` completes what a TABLE_MAP tells; without one for it the table is skipped.
pub fn rows_of(
    file: &[u8],
    kind: ServerKind,
    piece_bytes_max: usize,
    schema: impl Fn(&TableMap<'_>) -> Option<TableSchema>,
) -> Vec<Row> {
    let mut reader = BinlogFileReader::new(64 << 20);
    reader.feed(file);
    let mut checksum = Checksum::None;
    let mut programs: HashMap<u64, (Layout, Result<RowProgram, EncodeError>)> = HashMap::new();
    let mut encoder = RowsEncoder::new();
    let mut found = Vec::new();
    while let Some(file_event) = reader.next_event().unwrap() {
        if file_event.bytes[4] == EventType::FORMAT_DESCRIPTION {
            checksum = FormatDescription::parse(file_event.bytes).unwrap().checksum;
            continue;
        }
        let event = Event::parse(file_event.bytes, checksum).unwrap();
        if let EventData::TableMap(map) = EventData::parse(&event, kind).unwrap() {
            match schema(&map) {
                Some(schema) => {
                    let layout = layout_of(&schema);
                    let program = RowProgram::compile(&layout, &schema, &map.formats);
                    programs.insert(map.table_id, (layout, program));
                }
                None => {
                    programs.remove(&map.table_id);
                }
            }
        } else if let EventData::Rows(rows) = EventData::parse(&event, kind).unwrap() {
            let mut scratch = Vec::new();
            let rows = rows.decompress(&mut scratch, 64 << 20).unwrap();
            if let Some((layout, program)) = programs.get(&rows.table_id) {
                match program {
                    Ok(program) => found.extend(read_back(layout, program, &mut encoder, &rows, piece_bytes_max)),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    found
}

pub fn layout_of(schema: &TableSchema) -> Layout {
    crate::rows::layout_of(&schema.table, &schema.columns, &[])
}

/// The rows of one event, encoded and read back through a batch.
pub fn read_back(
    layout: &Layout,
    program: &RowProgram,
    encoder: &mut RowsEncoder,
    rows: &RowsEvent<'_>,
    piece_bytes_max: usize,
) -> Vec<Row> {
    let mut slab = TextBuffer::over(b"a slab that is not empty".to_vec(), 0);
    let mut pieces: Vec<EncodedRows> = Vec::new();
    let count = encoder.encode(program, rows, &mut slab, piece_bytes_max, |piece| pieces.push(piece)).unwrap();
    assert_eq!(count, pieces.iter().map(|piece| piece.count).sum::<u32>());
    let mut builder = BatchBuilder::new(1 << 16);
    builder.begin_fragment(&FragmentHead {
        sequence: 1,
        commit_time_us: 0,
        time_precision_us: 1,
        begin: true,
        start: ("f", 4),
        gtid: "",
    });
    for piece in &pieces {
        let head = RowsHead { layout: layout.id, first_row: piece.first_row_in_event, event_offset: 0, event: 0 };
        builder.push_rows(&head, piece, &slab);
    }
    builder.end_fragment(&FragmentEnd {
        commit: true,
        abort: false,
        position: ("f", 5),
        gtid_delta: "",
        truncate_to: None,
    });
    let bytes = builder.seal(1);
    let (_, fragments) = Segment::of_message(&bytes).and_then(view::batch).unwrap();
    let mut found = Vec::new();
    for change in view::Fragment(fragments.get(0).unwrap()).changes().unwrap().iter() {
        let Some(view::Change::Rows(rows)) = view::Change::read(change) else { panic!("not rows") };
        let rows = RowsReader::new(rows, layout).unwrap();
        for row in 0..rows.len() {
            found.push(Row {
                table: format!("{}.{}", layout.database, layout.table),
                op: rows.op(),
                before: rows.before(row).map(cells),
                after: rows.after(row).map(cells),
            });
        }
    }
    found
}

fn cells(row: RowReader<'_>) -> Vec<Cell> {
    let mut found = Vec::new();
    for (index, (column, value)) in row.values().enumerate() {
        let (mut kind, text) = text_of(value.unwrap(), column.digits);
        if row.invalid_text(index).unwrap().is_some() {
            kind = "invalid";
        }
        if kind != "absent" {
            found.push(Cell { column: column.name.clone(), kind, text });
        }
    }
    found
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn text_of(value: Value<'_>, digits: u8) -> (&'static str, Option<String>) {
    let (kind, text) = match value {
        Value::Null => return ("null", None),
        Value::Absent => return ("absent", None),
        Value::Masked => return ("masked", None),
        Value::Unknown => return ("unknown", None),
        Value::Int(value) => ("integer", value.to_string()),
        Value::UInt(value) => ("integer", value.to_string()),
        Value::Float32(value) => ("float", f64::from(value).to_string()),
        Value::Float64(value) => ("float", value.to_string()),
        Value::Decimal(value) => ("decimal", value.to_owned()),
        Value::Bit(value) => ("integer", value.to_string()),
        Value::Set(value) => ("integer", value.to_string()),
        Value::Enum(value) => ("integer", value.to_string()),
        Value::Year(value) => ("year", format!("{value:04}")),
        Value::Date(value) => ("temporal", format_date(value).to_string()),
        Value::DateTime(value) => ("temporal", format_datetime(value, digits).to_string()),
        Value::Timestamp(value) => ("temporal", format_timestamp(value, digits).to_string()),
        Value::Time(value) => ("temporal", format_time(value, digits).to_string()),
        Value::Text(value) => ("text", value.to_owned()),
        Value::Json(value) => ("json", value.to_owned()),
        Value::JsonDiff(value) => ("json diff", hex(value)),
        Value::Bytes(value) => ("bytes", hex(value)),
        Value::Geometry(value) => ("bytes", hex(value)),
        Value::Vector(value) => ("bytes", value.iter().map(|float| hex(&float.to_le_bytes())).collect()),
        Value::Inet6(value) | Value::Inet4(value) | Value::Uuid(value) => ("text", value.to_owned()),
    };
    (kind, Some(text))
}

/// Formats and schema of a map with full metadata.
pub fn full(map: &TableMap<'_>) -> Option<TableSchema> {
    map.schema()
}

pub fn format(type_code: u8, meta: u16) -> ColumnFormat {
    ColumnFormat { type_code, meta }
}

/// The type that information_schema calls so.
pub fn column_type(text: &str, charset: &str) -> ColumnType {
    let (name, rest) = text.split_once(['(', ' ']).unwrap_or((text, ""));
    let inner = rest.split(')').next().unwrap_or_default();
    let number = |text: &str| text.parse::<u16>().unwrap_or(0);
    let unsigned = text.contains("unsigned");
    let digits = number(inner) as u8;
    let labels = || rest.split("','").map(|label| label.trim_matches(['\'', ')']).to_owned()).collect();
    match name {
        "tinyint" => ColumnType::Integer { bytes: 1, unsigned },
        "smallint" => ColumnType::Integer { bytes: 2, unsigned },
        "mediumint" => ColumnType::Integer { bytes: 3, unsigned },
        "int" => ColumnType::Integer { bytes: 4, unsigned },
        "bigint" => ColumnType::Integer { bytes: 8, unsigned },
        "float" => ColumnType::Float,
        "double" => ColumnType::Double,
        "decimal" => {
            let (precision, scale) = inner.split_once(',').unwrap();
            ColumnType::Decimal { precision: number(precision) as u8, scale: number(scale) as u8 }
        }
        "bit" => ColumnType::Bit { bits: digits },
        "year" => ColumnType::Year,
        "date" => ColumnType::Date,
        "time" => ColumnType::Time { digits },
        "datetime" => ColumnType::DateTime { digits },
        "timestamp" => ColumnType::Timestamp { digits },
        "binary" => ColumnType::Binary { fixed: Some(number(inner)) },
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnType::Binary { fixed: None },
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
            ColumnType::Text { charset: charset.into(), length: 0 }
        }
        "enum" => ColumnType::Enum { labels: labels() },
        "set" => ColumnType::Set { labels: labels() },
        "json" => ColumnType::Json,
        "geometry" => ColumnType::Geometry,
        "vector" => ColumnType::Vector,
        "inet6" => ColumnType::Inet6,
        "inet4" => ColumnType::Inet4,
        "uuid" => ColumnType::Uuid,
        other => panic!("{other}"),
    }
}
