//! Cap'n Proto messages in either direction, in pieces.
//!
//! ```text
//! u8 mode: bit 0 from a server, bit 1 the bytes are one segment without its header   u8 length of the pieces
//! rest: the stream
//! ```
//! Holds: what is decoded is encoded and decoded alike; a row of a batch is a value or an error, whatever the bytes, and
//! a value is what the crate's readers see there; memory follows what has come.

use std::sync::LazyLock;

use millstream_codec::millstream_capnp::{change, client_message, server_message};
use millstream_codec::mysql::schema::{ColumnSchema, ColumnType, TableSchema};
use millstream_codec::mysql::table_map::ColumnTypeCode as T;
use millstream_codec::wire::frame::{Message, MessageFramer};
use millstream_codec::wire::json::{LineContext, write_row_line};
use millstream_codec::wire::layout::Layout;
use millstream_codec::wire::messages::{ClientMessage, ServerMessage};
use millstream_codec::wire::read::RowsReader;
use millstream_codec::wire::view;
use millstream_codec::wire::words::{Segment, StructList};
use millstream_core::position::Position;
use millstream_core::tables::Tables;

use crate::input::Input;

#[path = "../../../../codec/tests/by_crate/mod.rs"]
mod by_crate;

const FROM_SERVER: u8 = 1;
const UNFRAMED: u8 = 2;
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// What lists of empty structs may claim to hold without a byte.
const ROWS_MAX: u32 = 64;

pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let (mode, piece) = (input.u8(), usize::from(input.u8()) + 1);
    let rest = input.rest();
    let framed;
    let stream = if mode & UNFRAMED != 0 {
        let words = (rest.len() / 8) as u32;
        framed = [&[0; 4], &words.to_le_bytes()[..], rest].concat();
        &framed
    } else {
        rest
    };
    if mode & FROM_SERVER != 0
        && let Some((_, fragments)) = Segment::of_message(stream).and_then(view::batch)
    {
        by_words(stream, fragments);
    }
    let mut framer = MessageFramer::new(64, MESSAGE_BYTES_MAX);
    for mut piece in stream.chunks(piece) {
        while !piece.is_empty() {
            let count = framer.push(piece);
            piece = &piece[count..];
            assert!(framer.buffer_bytes() <= 128 + 4 * stream.len());
            loop {
                match framer.message() {
                    Ok(Some(message)) if mode & FROM_SERVER != 0 => from_server(&message),
                    Ok(Some(message)) => from_client(&message),
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
        }
    }
}

fn from_client(message: &Message<'_>) {
    let Ok(root) = message.root::<client_message::Reader<'_>>() else { return };
    let Ok(decoded) = ClientMessage::decode(root) else { return };
    let again = decoded.encode();
    with_message(&again, |message| {
        let again = ClientMessage::decode(message.root().expect("a root")).expect("what was encoded");
        assert_eq!(again, decoded);
    });
}

fn from_server(message: &Message<'_>) {
    let Ok(root) = message.root::<server_message::Reader<'_>>() else { return };
    if let Ok(server_message::Which::Batch(_)) = root.which() {
        if let Some((_, fragments)) = message.segment().and_then(view::batch) {
            rows(fragments);
        }
        return;
    }
    let Ok(Some(decoded)) = ServerMessage::decode(root) else { return };
    let again = decoded.encode();
    with_message(&again, |message| {
        let again = ServerMessage::decode(message.root().expect("a root")).expect("what was encoded");
        assert_eq!(again.as_ref(), Some(&decoded));
    });
}

fn with_message(bytes: &[u8], read: impl FnOnce(&Message<'_>)) {
    let mut framer = MessageFramer::new(bytes.len(), bytes.len());
    assert_eq!(framer.push(bytes), bytes.len());
    read(&framer.message().expect("a sound header").expect("a whole message"));
}

/// A table with a column of every kind of field.
static LAYOUT: LazyLock<Layout> = LazyLock::new(|| {
    let labels = || ["a", "b"].map(str::to_owned).into_iter().collect();
    let columns = [
        (ColumnType::Integer { bytes: 1, unsigned: false }, T::TINY, 0),
        (ColumnType::Integer { bytes: 8, unsigned: true }, T::LONGLONG, 0),
        (ColumnType::Float, T::FLOAT, 4),
        (ColumnType::Double, T::DOUBLE, 8),
        (ColumnType::Decimal { precision: 10, scale: 2 }, T::NEWDECIMAL, 10 | 2 << 8),
        (ColumnType::Bit { bits: 8 }, T::BIT, 1 << 8),
        (ColumnType::Enum { labels: labels() }, T::ENUM, 1),
        (ColumnType::Set { labels: labels() }, T::SET, 1),
        (ColumnType::Year, T::YEAR, 0),
        (ColumnType::Date, T::DATE, 0),
        (ColumnType::Time { digits: 6 }, T::TIME2, 6),
        (ColumnType::DateTime { digits: 3 }, T::DATETIME2, 3),
        (ColumnType::Timestamp { digits: 0 }, T::TIMESTAMP2, 0),
        (ColumnType::Text { charset: "utf8mb4".into(), length: 0 }, T::VARCHAR, 40),
        (ColumnType::Binary { fixed: None }, T::BLOB, 1),
        (ColumnType::Json, T::JSON, 4),
        (ColumnType::Geometry, T::GEOMETRY, 4),
        (ColumnType::Vector, T::VECTOR, 4),
    ];
    let schema = TableSchema {
        database: "shop".into(),
        table: "every".into(),
        columns: (0..)
            .zip(&columns)
            .map(|(index, (column_type, ..))| ColumnSchema {
                name: format!("c{index}"),
                column_type: column_type.clone(),
                primary_key: 0,
            })
            .collect(),
    };
    let formats =
        columns.iter().map(|&(_, type_code, meta)| millstream_codec::mysql::schema::ColumnFormat { type_code, meta });
    let mut tables = Tables::in_memory("main");
    let version = tables.resolve(schema, formats.collect(), &Position::default()).expect("a table");
    (*version.layout).clone()
});

fn rows(fragments: StructList<'_>) {
    let context = LineContext { gtid: "", file: "f", sequence: 1, commit_time_us: 0 };
    let mut line = Vec::new();
    for fragment in fragments.iter().map(view::Fragment).take(ROWS_MAX as usize) {
        let Some(changes) = fragment.changes() else { continue };
        for change in changes.iter().take(ROWS_MAX as usize) {
            let Some(view::Change::Rows(rows)) = view::Change::read(change) else { continue };
            // Any layout number will do.
            let layout = Layout { id: rows.layout(), ..LAYOUT.clone() };
            let Ok(rows) = RowsReader::new(rows, &layout) else { continue };
            for row in 0..rows.len().min(ROWS_MAX) {
                for image in [rows.before(row), rows.after(row)].into_iter().flatten() {
                    for (index, (_, value)) in image.values().enumerate() {
                        let _ = (value.map(|value| format!("{value:?}")), image.invalid_text(index));
                    }
                }
                line.clear();
                let written = write_row_line(&mut line, &context, &rows, row);
                assert_eq!(written.is_err(), line.is_empty(), "a line or nothing");
            }
        }
    }
}

/// What the reader by words accepts, the crate's accepts too, and it is the same.
fn by_words(framed: &[u8], fragments: StructList<'_>) {
    // Overlapping pointers may be followed as often as one likes by the one, so by the other.
    let mut options = capnp::message::ReaderOptions::new();
    options.traversal_limit_in_words(None);
    let message = capnp::serialize::read_message(framed, options).expect("a sound header");
    let root: server_message::Reader<'_> = message.get_root().expect("a root");
    let Ok(server_message::Which::Batch(Ok(batch))) = root.which() else { panic!("no batch") };
    let by_crate = batch.get_fragments().expect("fragments");
    for (words, crates) in fragments.iter().map(view::Fragment).zip(by_crate).take(ROWS_MAX as usize) {
        let texts = (words.gtid(), words.gtid_delta(), words.position(), words.start_position());
        assert!(texts.0.is_none_or(|text| text == crates.get_gtid().expect("a text").as_bytes()));
        let Some(changes) = words.changes() else { continue };
        let by_crate = crates.get_changes().expect("changes");
        for (words, crates) in changes.iter().zip(by_crate).take(ROWS_MAX as usize) {
            let Some(view::Change::Rows(words)) = view::Change::read(words) else { continue };
            let layout = Layout { id: words.layout(), ..LAYOUT.clone() };
            let Ok(words) = RowsReader::new(words, &layout) else { continue };
            let Ok(change::Rows(Ok(crates))) = crates.which() else { panic!("no rows") };
            by_crate::says_the_same(&words, crates, ROWS_MAX);
        }
    }
}
