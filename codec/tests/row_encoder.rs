//! The row encoder at its edges: images without every column, pieces, damage, bounds. That values are right is held
//! against real servers in `row_values.rs`.
#![cfg(feature = "mysql")]

mod rows;
mod values;

use std::io::Write as _;
use std::process::{Command, Stdio};

use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::{Event, EventData};
use millstream_codec::mysql::file::BinlogFileReader;
use millstream_codec::mysql::rows::{RowOperation, RowsEvent};
use millstream_codec::mysql::schema::{ColumnFormat, ColumnSchema, ColumnType, TableSchema};
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::value::ValueError;
use millstream_codec::mysql::value::buffer::TextBuffer;
use millstream_codec::wire::encode::{
    CellState, EncodeError, EncodedCell, EncodedRows, Image, Op, RowProgram, RowsEncoder,
};
use millstream_codec::wire::layout::Layout;
use rows::layout_of;
use values::{Row, format, read_back};

fn text(charset: &str) -> ColumnType {
    ColumnType::Text { charset: charset.into(), length: 0 }
}

const INT: ColumnType = ColumnType::Integer { bytes: 4, unsigned: false };

/// id INT, name VARCHAR(10) utf8mb4, n SMALLINT, doc JSON, when DATETIME.
struct Table {
    schema: TableSchema,
    formats: Vec<ColumnFormat>,
    layout: Layout,
}

impl Table {
    fn new(columns: Vec<(&str, ColumnType, ColumnFormat)>, masked: &[bool]) -> Self {
        let formats = columns.iter().map(|(_, _, format)| *format).collect();
        let columns: Vec<ColumnSchema> = columns
            .into_iter()
            .map(|(name, column_type, _)| ColumnSchema { name: name.into(), column_type, primary_key: 0 })
            .collect();
        let layout = layout_of("t", &columns, masked);
        Self { schema: TableSchema { database: "shop".into(), table: "t".into(), columns }, formats, layout }
    }

    fn plain(masked: &[bool]) -> Self {
        let columns = vec![
            ("id", INT, format(3, 0)),
            ("name", text("utf8mb4"), format(15, 40)),
            ("n", ColumnType::Integer { bytes: 2, unsigned: false }, format(2, 0)),
            ("doc", ColumnType::Json, format(245, 4)),
            ("at", ColumnType::DateTime { digits: 0 }, format(18, 0)),
        ];
        Self::new(columns, masked)
    }

    fn compile(&self) -> Result<RowProgram, EncodeError> {
        RowProgram::compile(&self.layout, &self.schema, &self.formats)
    }

    fn read(&self, event: &RowsEvent<'_>) -> Vec<Row> {
        read_back(&self.layout, &self.compile().unwrap(), &mut RowsEncoder::new(), event, 1 << 20)
    }

    fn encode(&self, event: &RowsEvent<'_>, bytes_max: usize) -> (Vec<u8>, Result<Vec<EncodedRows>, EncodeError>) {
        let (mut out, mut pieces) = (TextBuffer::default(), Vec::new());
        let program = self.compile().unwrap();
        let result = RowsEncoder::new().encode(&program, event, &mut out, bytes_max, |piece| pieces.push(piece));
        (out.into_vec(), result.map(|_| pieces))
    }
}

fn event<'a>(op: RowOperation, before: &'a [u8], after: &'a [u8], rows: &'a [u8]) -> RowsEvent<'a> {
    RowsEvent {
        table_id: 1,
        flags: 1,
        op,
        column_count: 5,
        before_bitmap: before,
        after_bitmap: after,
        extra: &[],
        is_partial: false,
        is_compressed: false,
        rows,
    }
}

/// (1, 'abc', 2, [7], 2024-12-31 12:34:56)
const ROW: &[u8] = b"\0\x01\0\0\0\x03abc\x02\0\x08\0\0\0\x02\x01\0\x07\0\x05\x07\0\x99\xb5\x3e\xc8\xb8";
/// The same without the last three.
const SHORT_ROW: &[u8] = b"\x1c\x01\0\0\0\x03abc";

fn texts(cells: &Option<Vec<values::Cell>>) -> Vec<String> {
    let text = |cell: &values::Cell| format!("{}={}", cell.column, cell.text.as_deref().unwrap_or("NULL"));
    cells.iter().flatten().map(text).collect()
}

#[test]
fn rows_of_each_operation() {
    let table = Table::plain(&[]);
    let full = ["id=1", "name=abc", "n=2", "doc=[7]", "at=2024-12-31 12:34:56"];
    let short = ["id=1", "name=abc", "n=NULL", "doc=NULL", "at=NULL"];
    let found = table.read(&event(RowOperation::Insert, &[], &[0x1f], &[ROW, SHORT_ROW].concat()));
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].op, &found[0].before, texts(&found[0].after)),
        (Op::Insert, &None, full.map(str::to_owned).to_vec())
    );
    assert_eq!(texts(&found[1].after), short);
    let found = table.read(&event(RowOperation::Delete, &[0x1f], &[], ROW));
    assert_eq!(
        (found[0].op, texts(&found[0].before), &found[0].after),
        (Op::Delete, full.map(str::to_owned).to_vec(), &None)
    );
    let found = table.read(&event(RowOperation::Update, &[0x1f], &[0x1f], &[ROW, SHORT_ROW, SHORT_ROW, ROW].concat()));
    assert_eq!(found.len(), 2);
    assert_eq!(
        (texts(&found[0].before), texts(&found[0].after)),
        (full.map(str::to_owned).to_vec(), short.map(str::to_owned).to_vec())
    );
    assert_eq!(
        (texts(&found[1].before), texts(&found[1].after)),
        (short.map(str::to_owned).to_vec(), full.map(str::to_owned).to_vec())
    );
}

#[test]
fn columns_that_an_image_lacks_are_absent() {
    let table = Table::plain(&[]);
    // Before: id. After: name and n, one of them NULL. Bits behind the fifth column mean nothing.
    let rows = b"\0\x07\0\0\0\x02\x02xy";
    let found = table.read(&event(RowOperation::Update, &[0b1110_0001], &[0b0110_0110], rows));
    assert_eq!(
        (texts(&found[0].before), texts(&found[0].after)),
        (vec!["id=7".into()], vec!["name=xy".into(), "n=NULL".into()])
    );
    let (_, pieces) = table.encode(
        &event(RowOperation::Update, &[0b1110_0001], &[0b1111_1111], &[b"\0\x07\0\0\0", ROW].concat()),
        1 << 20,
    );
    let pieces = pieces.unwrap();
    assert_eq!(
        (pieces[0].before_present.as_deref(), pieces[0].after_present.as_deref()),
        (Some(&[0b1110_0001][..]), None)
    );
}

#[test]
fn masked_columns_are_skipped_and_read_as_masked() {
    let table = Table::plain(&[false, true, true, true, false]);
    let found = table.read(&event(RowOperation::Insert, &[], &[0x1f], &[ROW, SHORT_ROW].concat()));
    let kinds: Vec<_> = found[0].after.as_ref().unwrap().iter().map(|cell| cell.kind).collect();
    assert_eq!(kinds, ["integer", "masked", "masked", "masked", "temporal"]);
    assert_eq!(texts(&found[1].after), ["id=1", "name=NULL", "n=NULL", "doc=NULL", "at=NULL"]);
}

#[test]
fn pieces_stay_below_their_bound_unless_one_row_is_larger() {
    let table = Table::plain(&[]);
    let rows = [ROW, SHORT_ROW, ROW, ROW, SHORT_ROW, SHORT_ROW, ROW].concat();
    let event = event(RowOperation::Insert, &[], &[0x1f], &rows);
    let whole = table.read(&event);
    for bytes_max in [1, 64, 100, 200, 300, 1000] {
        let (out, pieces) = table.encode(&event, bytes_max);
        let pieces = pieces.unwrap();
        let mut first = 0;
        let mut end = 0;
        for piece in &pieces {
            assert!(piece.blob.len() <= bytes_max || piece.count == 1, "{bytes_max}: {piece:?}");
            assert_eq!((piece.blob.start, piece.blob.len() % 8, piece.first_row_in_event), (end, 0, first));
            first += piece.count;
            end = piece.blob.end;
        }
        assert_eq!((first, end), (7, out.len()));
        let program = table.compile().unwrap();
        let found = read_back(&table.layout, &program, &mut RowsEncoder::new(), &event, bytes_max);
        assert_eq!(found, whole, "{bytes_max}");
    }
    assert_eq!(table.encode(&event, 1).1.unwrap().len(), 7);
    assert_eq!(table.encode(&event, 1000).1.unwrap().len(), 1);
}

#[test]
fn the_buffer_keeps_what_is_in_it() {
    let table = Table::plain(&[]);
    let program = table.compile().unwrap();
    let mut out = TextBuffer::over(vec![9; 13], 0);
    let good = event(RowOperation::Insert, &[], &[0x1f], ROW);
    let mut encoder = RowsEncoder::new();
    let mut pieces = Vec::new();
    encoder.encode(&program, &good, &mut out, 1 << 20, |piece| pieces.push(piece)).unwrap();
    assert_eq!((&out[..13], pieces[0].blob.clone()), (&[9; 13][..], 16..out.len()));
    let length = out.len();
    let bad = event(RowOperation::Insert, &[], &[0x1f], &ROW[..20]);
    assert!(encoder.encode(&program, &bad, &mut out, 1 << 20, |_| panic!("a piece")).is_err());
    assert_eq!(out.len(), length);
}

#[test]
fn invalid_text_is_replaced_and_its_bytes_kept() {
    let table = Table::plain(&[]);
    let bad_name = b"\0\x01\0\0\0\x03a\xffb\x02\0\x05\0\0\0\x0c\x03x\xfey\x99\xb5\x3e\xc8\xb8";
    let rows = [ROW, bad_name].concat();
    let event = event(RowOperation::Insert, &[], &[0x1f], &rows);
    let (_, pieces) = table.encode(&event, 1 << 20);
    let cell = |column, payload: &[u8]| EncodedCell {
        row: 1,
        column,
        image: Image::After,
        state: CellState::InvalidText,
        payload: payload.to_vec(),
    };
    assert_eq!(pieces.unwrap()[0].cells, [cell(1, b"a\xffb"), cell(3, b"\x0c\x03x\xfey")]);
    let found = table.read(&event);
    assert_eq!(texts(&found[1].after)[1..4], ["name=a\u{fffd}b", "n=2", "doc=\"x\u{fffd}y\""]);
    // In pieces of one row each, a cell's row is that of its piece.
    assert_eq!(table.encode(&event, 1).1.unwrap()[1].cells[0].row, 0);
}

/// An update of MySQL 9.7 with `binlog_row_image=MINIMAL`: only the third JSON column is in the after image.
#[test]
fn a_json_difference_without_its_document_travels_as_it_is() {
    let json = |name| (name, ColumnType::Json, format(245, 4));
    let table = Table::new(vec![("id", INT, format(3, 0)), json("j"), json("k"), json("l")], &[]);
    let rows = b"\0\x07\0\0\0\x01\x04\0\x09\0\0\0\0\x03$.b\x03\x05\x09\0";
    let event = RowsEvent { column_count: 4, is_partial: true, ..event(RowOperation::Update, &[1], &[8], rows) };
    let found = table.read(&event);
    let after = found[0].after.as_ref().unwrap();
    assert_eq!((after.len(), &*after[0].column, after[0].kind), (1, "l", "json diff"));
    assert_eq!(after[0].text.as_deref(), Some("0003242E6203050900"));

    // The same with the document at hand: {"b": 1}
    let with_document =
        b"\x06\x07\0\0\0\x0f\0\0\0\0\x01\0\x0c\0\x0b\0\x01\0\x05\x01\0b\x01\x04\0\x09\0\0\0\0\x03$.b\x03\x05\x09\0";
    let event = RowsEvent { before_bitmap: &[15], rows: with_document, ..event };
    let mut rows_with_length = with_document.to_vec();
    rows_with_length[5] = 13;
    let event = RowsEvent { rows: &rows_with_length, ..event };
    let found = table.read(&event);
    assert_eq!(
        (texts(&found[0].before)[3].clone(), texts(&found[0].after)[0].clone()),
        ("l={\"b\": 1}".into(), "l={\"b\": 9}".into())
    );
}

#[test]
fn a_cut_row_is_an_error_that_names_the_place() {
    let table = Table::plain(&[]);
    let rows = [ROW, ROW].concat();
    let check = |length: usize, column: &str, offset: usize| {
        let (out, result) = table.encode(&event(RowOperation::Insert, &[], &[0x1f], &rows[..length]), 1 << 20);
        let expected = EncodeError::Value {
            table: "shop.t".into(),
            column: column.into(),
            offset,
            rows_bytes: length,
            reason: ValueError::Truncated,
        };
        assert_eq!((out.len(), result), (0, Err(expected)), "{length}");
    };
    let start = ROW.len();
    check(start + 1, "id", start + 1);
    check(start + 4, "id", start + 1);
    check(start + 5, "name", start + 5);
    check(start + 8, "name", start + 5);
    check(start + 9, "n", start + 9);
    check(start + 12, "doc", start + 11);
    check(start + 22, "doc", start + 11);
    check(rows.len() - 1, "at", rows.len() - 5);
    for length in 1..rows.len() {
        let (_, result) = table.encode(&event(RowOperation::Insert, &[], &[0x1f], &rows[..length]), 1 << 20);
        assert_eq!(result.is_ok(), length == start, "{length}");
    }
}

#[test]
fn rows_without_bytes_end() {
    let table = Table::plain(&[]);
    let count = |op, before, after, rows| {
        table
            .encode(&event(op, before, after, rows), 1 << 20)
            .1
            .map(|pieces| pieces.iter().map(|piece| piece.count).sum::<u32>())
    };
    // An insert of nothing but defaults; an event that only ends its statement.
    assert_eq!(count(RowOperation::Insert, &[], &[0xe0], &[]), Ok(1));
    assert_eq!(count(RowOperation::Insert, &[], &[0x1f], &[]), Ok(0));
    assert_eq!(count(RowOperation::Delete, &[0], &[], &[]), Ok(0));
    let endless = |offset, rows_bytes| Err(EncodeError::EmptyRow { table: "shop.t".into(), offset, rows_bytes });
    assert_eq!(count(RowOperation::Insert, &[], &[0], &[1, 2]), endless(0, 2));
    assert_eq!(count(RowOperation::Update, &[0], &[0], &[1]), endless(0, 1));
    // Bitmaps that are cut off.
    assert_eq!(count(RowOperation::Update, &[], &[], &[1]), endless(0, 1));
}

#[test]
fn output_is_bounded() {
    // A thousand columns that are NULL but for one: 126 bytes become 8 KB.
    let mut columns = vec![("c", ColumnType::Integer { bytes: 8, unsigned: false }, format(8, 0))];
    columns.resize(1000, columns[0].clone());
    let table = Table::new(columns, &[]);
    let row = [vec![0xff; 125], vec![]].concat();
    let rows = row.repeat(100);
    let bitmap = [0xff; 125];
    let event = RowsEvent { column_count: 1000, ..event(RowOperation::Insert, &[], &bitmap, &rows) };
    let program = table.compile().unwrap();
    let (mut out, mut pieces) = (TextBuffer::default(), 0);
    let result =
        RowsEncoder::new().with_output_bytes_max(200_000).encode(&program, &event, &mut out, 50_000, |_| pieces += 1);
    let expected = EncodeError::EventTooLarge { table: "shop.t".into(), rows_bytes: rows.len(), bytes_max: 200_000 };
    assert_eq!(result, Err(expected));
    assert!(out.len() <= 200_000 && pieces > 1);

    // A caller who takes the pieces away one by one needs no more than one.
    let mut encoder = RowsEncoder::new();
    let mut cursor = encoder.pieces(&program, &event).unwrap();
    out.clear();
    while let Some(piece) = cursor.next(&mut out, 50_000).unwrap() {
        assert!(piece.blob == (0..out.len()) && out.len() <= 50_000);
        out.clear();
    }
    assert_eq!(cursor.row_count(), 100);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let check = |column_type: ColumnType, format: ColumnFormat| {
        Table::new(vec![("c", column_type, format)], &[]).compile().err().map(|error| error.to_string())
    };
    let refused = [
        (check(INT, format(8, 0)), "type code 8 in the table map does not hold Int32"),
        (check(text("klingon"), format(15, 10)), "character set \"klingon\" is not known"),
        (
            check(ColumnType::DateTime { digits: 6 }, format(12, 0)),
            "6 fractional digits in MariaDB's old temporal format",
        ),
        (check(ColumnType::Time { digits: 1 }, format(11, 0)), "old temporal format"),
        (check(ColumnType::Timestamp { digits: 3 }, format(7, 0)), "old temporal format"),
        (check(ColumnType::Decimal { precision: 5, scale: 2 }, format(0, 0)), "type code 0 has no known form"),
        (check(ColumnType::Decimal { precision: 5, scale: 2 }, format(246, 0x0905)), "DECIMAL with an impossible"),
        (check(ColumnType::Json, format(245, 9)), "length of no 1 to 4 bytes"),
    ];
    for (error, part) in refused {
        let error = error.unwrap();
        assert!(error.contains(part) && error.contains("\"c\" of shop.t"), "{error}");
    }
    for (column_type, format) in [
        (ColumnType::DateTime { digits: 0 }, format(12, 0)),
        (ColumnType::Binary { fixed: None }, format(255, 4)),
        (ColumnType::Vector, format(15, 12)),
        (ColumnType::Json, format(252, 4)),
        (ColumnType::Uuid, format(254, 16)),
    ] {
        assert_eq!(check(column_type, format), None);
    }

    let table = Table::plain(&[]);
    let counts = RowProgram::compile(&table.layout, &table.schema, &table.formats[1..]).unwrap_err();
    assert_eq!(counts.to_string(), "shop.t: 5 columns in the layout, 5 in the schema, 4 in the table map");
    let other = RowsEvent { column_count: 4, ..event(RowOperation::Insert, &[], &[0x1f], ROW) };
    assert_eq!(
        table.encode(&other, 1 << 20).1.unwrap_err().to_string(),
        "shop.t: the event has 4 columns, the layout 5"
    );
    let compressed = RowsEvent { is_compressed: true, ..event(RowOperation::Insert, &[], &[0x1f], ROW) };
    assert_eq!(table.encode(&compressed, 1 << 20).1.unwrap_err(), EncodeError::Compressed { table: "shop.t".into() });
}

/// A struct is what the `capnp` tool reads with the text of its layout.
#[test]
fn the_capnp_tool_reads_a_row() {
    let table = Table::plain(&[]);
    let rows = [SHORT_ROW, ROW].concat();
    let (out, pieces) = table.encode(&event(RowOperation::Insert, &[], &[0x1f], &rows), 1 << 20);
    let after = pieces.unwrap()[0].after.unwrap();
    let row_words = u64::from(table.layout.data_words) + u64::from(table.layout.pointers);
    assert_eq!(u64::from(after.words), 2 * row_words);
    let directory = tempfile::tempdir().unwrap();
    let schema = directory.path().join("t.capnp");
    std::fs::write(&schema, &table.layout.capnp_text).unwrap();
    let name = table.layout.capnp_text.lines().find_map(|line| line.strip_prefix("struct ")).unwrap();
    let name = name.split([' ', '@']).next().unwrap();
    let decoded = |row: u64| {
        // A message of one segment: a pointer to the struct, then the blob.
        let offset = u64::from(after.tag_word) + 1 + row * row_words;
        let root = offset << 2 | u64::from(table.layout.data_words) << 32 | u64::from(table.layout.pointers) << 48;
        let words = (out.len() / 8 + 1) as u64;
        let message = [&(words << 32).to_le_bytes()[..], &root.to_le_bytes(), &out].concat();
        let mut tool = Command::new("capnp")
            .args(["decode", "--short"])
            .arg(&schema)
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        tool.stdin.take().unwrap().write_all(&message).unwrap();
        let output = tool.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let parts =
        |text: String| -> Vec<String> { text.trim().trim_matches(['(', ')']).split(", ").map(str::to_owned).collect() };
    let expected = [
        "id = 1",
        "idIsNull = false",
        "name = \"abc\"",
        "n = 2",
        "nIsNull = false",
        "doc = \"[7]\"",
        "at = 1735648496000000",
        "atIsNull = false",
    ];
    assert_eq!(parts(decoded(1)), expected);
    let short =
        ["id = 1", "idIsNull = false", "name = \"abc\"", "n = 0", "nIsNull = true", "at = 0", "atIsNull = true"];
    assert_eq!(parts(decoded(0)), short);
}

/// Every rows event of real servers, each with bytes changed here and there: an error or rows that can be read.
#[test]
fn changed_bytes_do_not_panic() {
    let recordings: [(&[u8], ServerKind); 2] = [
        (include_bytes!("data/values/mysql97.binlog"), ServerKind::Mysql),
        (include_bytes!("data/values/mariadb118.binlog"), ServerKind::Mariadb),
    ];
    let mut state = 5_u64;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let (mut read, mut refused) = (0, 0);
    for (file, kind) in recordings {
        let mut reader = BinlogFileReader::new(1 << 24);
        reader.feed(file);
        let mut tables = std::collections::HashMap::new();
        while let Some(file_event) = reader.next_event().unwrap() {
            let bytes = file_event.bytes;
            if bytes[4] == 15 {
                continue;
            }
            let event = Event::parse(bytes, Checksum::Crc32).unwrap();
            match EventData::parse(&event, kind).unwrap() {
                EventData::TableMap(map) => {
                    let schema = map.schema().unwrap();
                    let layout = layout_of(&map.table, &schema.columns, &[]);
                    let program = RowProgram::compile(&layout, &schema, &map.formats).unwrap();
                    tables.insert(map.table_id, (layout, program));
                }
                EventData::Rows(rows) if rows.rows.len() < 20_000 => {
                    let (layout, program) = &tables[&rows.table_id];
                    let mut scratch = Vec::new();
                    let rows = rows.decompress(&mut scratch, 1 << 20).unwrap();
                    for _ in 0..20 {
                        let mut changed = rows.rows.to_vec();
                        for _ in 0..=random(3) {
                            let at = random(changed.len());
                            changed[at] = random(256) as u8;
                        }
                        changed.truncate(changed.len() - random(2) * random(9).min(changed.len()));
                        let rows = RowsEvent { rows: &changed, ..rows };
                        let mut encoder = RowsEncoder::new();
                        let mut out = TextBuffer::default();
                        match encoder.encode(program, &rows, &mut out, 1 << 20, |_| {}) {
                            Ok(_) => {
                                read_back(layout, program, &mut encoder, &rows, 4096);
                                read += 1;
                            }
                            Err(_) => refused += 1,
                        }
                    }
                }
                _ => {}
            }
        }
    }
    assert!(read > 500 && refused > 500, "{read} read, {refused} refused");
}
