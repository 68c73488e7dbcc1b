//! A TABLE_MAP and rows events of its table: decoded, encoded into the table's struct, put into a batch, and read back.
//!
//! ```text
//! u8 mode   u8 seed of the column types that the map does not tell   u16 and so many bytes: the TABLE_MAP's body
//! each event: u8 type   u16 and so many bytes: its body
//! ```
//! Holds: what was encoded is read back without an error, however it is cut into pieces; its JSON lines are JSON; the
//! output is bounded by what the rows and the struct can need; `mysql_common` sees the same rows.

use std::collections::HashMap;

use millstream_codec::mysql::rows::RowsEvent;
use millstream_codec::mysql::schema::{ColumnFormat, ColumnSchema, ColumnType, TableSchema};
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::table_map::{ColumnTypeCode as T, TableMap};
use millstream_codec::mysql::value::buffer::TextBuffer;
use millstream_codec::wire::batch::{BatchBuilder, FragmentEnd, FragmentHead, RowsHead};
use millstream_codec::wire::encode::{EncodedRows, RowsEncoder};
use millstream_codec::wire::frame::MessageFramer;
use millstream_codec::wire::json::{LineContext, write_row_line};
use millstream_codec::wire::layout::Layout;
use millstream_codec::wire::messages::{ServerMessage, encode_layout};
use millstream_codec::wire::read::RowsReader;
use millstream_codec::wire::view;
use millstream_codec::wire::words::Segment;
use millstream_core::engine::table::TableVersion;
use millstream_core::position::Position;
use millstream_core::tables::Tables;

use super::rows_peer;
use crate::input::Input;

pub const MARIADB: u8 = 1;
/// The types are guessed from the seed although the map tells them.
pub const GUESSED: u8 = 2;

const ROWS_BYTES_MAX: usize = 64 << 10;
/// More columns cost time and find nothing.
const COLUMNS_MAX: usize = 256;
const ROWS_MAX: u32 = 256;
const SMALL_PIECE: usize = 200;

pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let (mode, seed) = (input.u8(), input.u8());
    let kind = if mode & MARIADB != 0 { ServerKind::Mariadb } else { ServerKind::Mysql };
    let map_body = input.counted();
    let Ok(map) = TableMap::parse(map_body, kind) else { return };
    if map.formats.len() > COLUMNS_MAX {
        return;
    }
    let schema = match map.schema() {
        Some(schema) if mode & GUESSED == 0 => schema,
        _ => {
            let Ok(schema) = map.schema_with(&guessed(&map, seed)) else { return };
            schema
        }
    };
    let mut tables = Tables::in_memory("fuzz");
    let Ok(version) = tables.resolve(schema, map.formats.clone(), &Position::default()) else { return };
    check_layout(&version.layout);
    // No server writes these codes into a TABLE_MAP; whether the code or the metadata says how long the lengths of a blob
    // are, and whether VAR_STRING has metadata, is anybody's choice.
    const OF_NO_MAP: [u8; 4] = [T::TINY_BLOB, T::MEDIUM_BLOB, T::LONG_BLOB, T::VAR_STRING];
    let is_comparable = !map.formats.iter().any(|format| OF_NO_MAP.contains(&format.type_code));
    let mut encoder = RowsEncoder::new().with_output_bytes_max(16 << 20);
    let mut scratch = Vec::new();
    while !input.is_empty() {
        let (type_code, body) = (input.u8(), input.counted());
        let Ok(rows) = RowsEvent::parse(type_code, body) else { continue };
        let Ok(rows) = rows.decompress(&mut scratch, ROWS_BYTES_MAX) else { continue };
        let Some(ours) = check_rows(&version, &mut encoder, &rows) else { continue };
        if kind == ServerKind::Mysql
            && is_comparable
            && let Some(theirs) = rows_peer::theirs(map_body, type_code, body)
        {
            rows_peer::compare(&ours, &theirs);
        }
    }
}

/// Types that fit the formats, chosen by the seed where several do.
fn guessed(map: &TableMap<'_>, seed: u8) -> TableSchema {
    let columns = map.formats.iter().enumerate().map(|(index, format)| ColumnSchema {
        name: format!("c{index}"),
        column_type: type_of(*format, usize::from(seed) + index),
        primary_key: u16::from(index == 0),
    });
    TableSchema { database: map.database.to_string(), table: map.table.to_string(), columns: columns.collect() }
}

const CHARSETS: [&str; 26] = [
    "utf8mb4", "latin1", "utf8mb3", "ucs2", "utf16", "utf16le", "utf32", "gbk", "sjis", "big5", "ujis", "euckr",
    "gb18030", "cp932", "eucjpms", "gb2312", "ascii", "cp1251", "koi8r", "swe7", "armscii8", "geostd8", "tis620",
    "dec8", "macce", "none",
];

fn type_of(format: ColumnFormat, choice: usize) -> ColumnType {
    let [low, high] = format.meta.to_le_bytes();
    let unsigned = choice.is_multiple_of(2);
    let labels = || ["a", "b", ""].map(str::to_owned).into_iter().collect();
    let text = || ColumnType::Text { charset: CHARSETS[choice % CHARSETS.len()].into(), length: 0 };
    let string = || match choice % 37 {
        30 => ColumnType::Binary { fixed: Some(16) },
        31 => ColumnType::Binary { fixed: None },
        32 => ColumnType::Inet6,
        33 => ColumnType::Inet4,
        34 => ColumnType::Uuid,
        35 => ColumnType::Json,
        36 => ColumnType::Vector,
        _ => text(),
    };
    match format.type_code {
        T::TINY => ColumnType::Integer { bytes: 1, unsigned },
        T::SHORT => ColumnType::Integer { bytes: 2, unsigned },
        T::INT24 => ColumnType::Integer { bytes: 3, unsigned },
        T::LONG => ColumnType::Integer { bytes: 4, unsigned },
        T::LONGLONG => ColumnType::Integer { bytes: 8, unsigned },
        T::FLOAT => ColumnType::Float,
        T::DOUBLE => ColumnType::Double,
        T::NEWDECIMAL => ColumnType::Decimal { precision: low, scale: high },
        T::BIT => ColumnType::Bit { bits: low.saturating_add(high.saturating_mul(8)) },
        T::YEAR => ColumnType::Year,
        T::DATE | T::NEWDATE => ColumnType::Date,
        T::TIME => ColumnType::Time { digits: 0 },
        T::TIME2 => ColumnType::Time { digits: low },
        T::DATETIME => ColumnType::DateTime { digits: 0 },
        T::DATETIME2 => ColumnType::DateTime { digits: low },
        T::TIMESTAMP => ColumnType::Timestamp { digits: 0 },
        T::TIMESTAMP2 => ColumnType::Timestamp { digits: low },
        T::ENUM => ColumnType::Enum { labels: labels() },
        T::SET => ColumnType::Set { labels: labels() },
        T::JSON => ColumnType::Json,
        T::GEOMETRY => ColumnType::Geometry,
        T::VECTOR => ColumnType::Vector,
        _ => string(),
    }
}

/// A layout goes over the wire and comes back as it was.
fn check_layout(layout: &Layout) {
    let bytes = encode_layout(layout);
    let mut framer = MessageFramer::new(bytes.len(), bytes.len());
    assert_eq!(framer.push(&bytes), bytes.len());
    let message = framer.message().expect("a sound header").expect("a whole message");
    let decoded = ServerMessage::decode(message.root().expect("a root")).expect("a known message");
    let Some(ServerMessage::Layout(decoded)) = decoded else { panic!("{decoded:?}") };
    assert_eq!(*decoded, *layout);
}

/// The rows, where all of them could be encoded and are not too many to be looked at.
fn check_rows(version: &TableVersion, encoder: &mut RowsEncoder, rows: &RowsEvent<'_>) -> Option<Vec<rows_peer::Row>> {
    let (layout, program) = (&*version.layout, &version.program);
    let mut slab = TextBuffer::over(b"not empty".to_vec(), 0);
    let mut pieces = Vec::new();
    let result = encoder.encode(program, rows, &mut slab, usize::MAX, |piece| pieces.push(piece));
    let encoded: u32 = pieces.iter().map(|piece| piece.count).sum();
    if let Ok(count) = result {
        assert_eq!(count, encoded);
    }
    let max = output_bytes_max(layout, rows, &version.formats, encoded);
    assert!(slab.len() <= max, "{} bytes of {} of rows; at most {max}", slab.len(), rows.rows.len());

    let mut small_slab = TextBuffer::default();
    let mut small_pieces = Vec::new();
    let small = encoder.encode(program, rows, &mut small_slab, SMALL_PIECE, |piece| small_pieces.push(piece));
    assert_eq!(small, result);
    if encoded > ROWS_MAX {
        return None;
    }
    let (whole, cells) = read_back(version, &pieces, &slab);
    let (small, _) = read_back(version, &small_pieces, &small_slab);
    assert_eq!(whole.len() as u32, encoded);
    result.ok()?;
    assert_eq!(whole, small);
    Some(cells)
}

/// What rows may become: a struct for each image, eight times their bytes as text (see `value::json`), a word of padding
/// and the least text of each value, and what compressed columns expand to.
fn output_bytes_max(layout: &Layout, rows: &RowsEvent<'_>, formats: &[ColumnFormat], count: u32) -> usize {
    const VALUE_BYTES: usize = 96;
    const DEFLATE_RATIO: usize = 1032;
    let element = 8 * (usize::from(layout.data_words) + usize::from(layout.pointers));
    let is_compressed = |format: &ColumnFormat| matches!(format.type_code, T::BLOB_COMPRESSED | T::VARCHAR_COMPRESSED);
    let ratio = if formats.iter().any(is_compressed) { 8 * DEFLATE_RATIO } else { 8 };
    1024 + rows.rows.len() * ratio + count as usize * 2 * (element + VALUE_BYTES * layout.columns.len())
}

/// Every value of every row, as text; and as a JSON line, which must be one.
fn read_back(version: &TableVersion, pieces: &[EncodedRows], slab: &[u8]) -> (Vec<String>, Vec<rows_peer::Row>) {
    let layout = &*version.layout;
    if pieces.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut builder = BatchBuilder::new(1 << 12);
    builder.begin_fragment(&FragmentHead {
        sequence: 1,
        commit_time_us: 0,
        time_precision_us: 1,
        begin: true,
        start: ("f", 4),
        gtid: "",
    });
    for piece in pieces {
        let head = RowsHead { layout: layout.id, first_row: piece.first_row_in_event, event_offset: 0, event: 0 };
        builder.push_rows(&head, piece, slab);
    }
    builder.end_fragment(&FragmentEnd {
        commit: true,
        abort: false,
        position: ("f", 5),
        gtid_delta: "",
        truncate_to: None,
    });
    let bytes = builder.seal(1);
    let (_, fragments) = Segment::of_message(&bytes).and_then(view::batch).expect("a batch");
    let fragment = fragments.get(0).map(view::Fragment).expect("a fragment");
    let context = LineContext { gtid: "", file: "f", sequence: 1, commit_time_us: 0 };
    let (mut found, mut cells) = (Vec::new(), Vec::new());
    let mut line = Vec::new();
    for change in fragment.changes().expect("changes").iter() {
        let Some(view::Change::Rows(rows)) = view::Change::read(change) else { panic!("not rows") };
        let rows = RowsReader::new(rows, layout).expect("rows of this layout");
        for row in 0..rows.len() {
            let mut text = format!("{:?}", rows.op());
            let images = || [rows.before(row), rows.after(row)].into_iter().flatten();
            cells.push(images().map(|image| rows_peer::ours(&image, &version.schema)).collect());
            for image in images() {
                for (index, (column, value)) in image.values().enumerate() {
                    let value = value.unwrap_or_else(|error| panic!("{}: {error}", column.name));
                    let invalid = image.invalid_text(index).expect("what was encoded");
                    text.push_str(&format!(" {}={value:?} {invalid:?}", column.name));
                }
            }
            line.clear();
            write_row_line(&mut line, &context, &rows, row).expect("what was encoded");
            assert_eq!(line.pop(), Some(b'\n'));
            assert!(!line.contains(&b'\n'), "a line is one line");
            let parsed: Result<HashMap<String, serde::de::IgnoredAny>, _> = serde_json::from_slice(&line);
            if let Err(error) = parsed {
                panic!("{error}: {}", String::from_utf8_lossy(&line));
            }
            found.push(text);
        }
    }
    (found, cells)
}
