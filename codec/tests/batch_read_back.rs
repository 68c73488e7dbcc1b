//! Batches assembled by hand are read back by the generated code, by the reader by layout, and by the `capnp` tool.
#![cfg(feature = "mysql")]

mod by_crate;
mod rows;

use std::process::{Command, Stdio};

use bytes::Bytes;
use capnp::traits::HasStructSize;
use millstream_codec::millstream_capnp::{self as schema, change, server_message};
use millstream_codec::mysql::schema::{ColumnSchema, ColumnType};
use millstream_codec::wire::batch::{BatchBuilder, FragmentEnd, FragmentHead, RowsHead};
use millstream_codec::wire::encoded::{CellState, EncodedCell, EncodedRows, Image, Op};
use millstream_codec::wire::frame::MessageFramer;
use millstream_codec::wire::json::{LineContext, write_row_line};
use millstream_codec::wire::layout::Layout;
use millstream_codec::wire::read::{RowsReader, Value};
use millstream_codec::wire::view;
use millstream_codec::wire::words::Segment;
use rows::{Cell, encode_list, every_layout, every_row, layout_of};

fn head(sequence: u64) -> FragmentHead<'static> {
    FragmentHead {
        sequence,
        commit_time_us: -1 - sequence as i64,
        time_precision_us: 1_000_000,
        begin: true,
        start: ("binlog.000007", 5_000_000_000),
        gtid: "3e11fa47-71ca-11e1-9e33-c80aa9429562:23",
    }
}

fn commit() -> FragmentEnd<'static> {
    FragmentEnd {
        commit: true,
        abort: false,
        position: ("binlog.000007", 5_000_000_777),
        gtid_delta: "x:1-3",
        truncate_to: None,
    }
}

fn rows_head() -> RowsHead {
    RowsHead { layout: 7, first_row: 41, event_offset: 5_000_000_123, event: 9 }
}

/// An update of two rows: one with every value, one NULL throughout, and the other way round before it.
fn update(slab: &mut Vec<u8>, layout: &Layout) -> EncodedRows {
    // Something of another event lies before the blob.
    slab.extend_from_slice(&[0xee; 24]);
    let start = slab.len();
    let nulls: Vec<Cell> = every_row().iter().map(|_| Cell::Null).collect();
    let before = encode_list(slab, start, layout, &[nulls.clone(), every_row()]);
    let after = encode_list(slab, start, layout, &[every_row(), nulls]);
    EncodedRows {
        op: Op::Update,
        count: 2,
        first_row_in_event: 0,
        before: Some(before),
        after: Some(after),
        blob: start..slab.len(),
        before_present: None,
        after_present: None,
        cells: Vec::new(),
    }
}

/// The message through a framer.
fn with_message<T>(bytes: &[u8], read: impl FnOnce(server_message::Reader<'_>) -> T) -> T {
    let mut framer = MessageFramer::new(bytes.len(), bytes.len());
    assert_eq!(framer.push(bytes), bytes.len());
    let message = framer.message().unwrap().unwrap();
    read(message.root().unwrap())
}

fn batch_of(reader: server_message::Reader<'_>) -> schema::batch::Reader<'_> {
    match reader.which().unwrap() {
        server_message::Batch(batch) => batch.unwrap(),
        _ => panic!("not a batch"),
    }
}

#[test]
fn sizes_of_structs_are_those_of_the_generated_code() {
    // A batch of one empty fragment: root, message, batch, tag, fragment, start position, texts of 40 and 14 bytes.
    let mut builder = BatchBuilder::default();
    builder.begin_fragment(&head(1));
    builder.end_fragment(&FragmentEnd { commit: false, ..commit() });
    let total = |size: capnp::private::layout::StructSize| usize::from(size.data) + usize::from(size.pointers);
    let words = 1
        + total(<server_message::Builder<'_> as HasStructSize>::STRUCT_SIZE)
        + total(<schema::batch::Builder<'_> as HasStructSize>::STRUCT_SIZE)
        + 1
        + total(<schema::fragment::Builder<'_> as HasStructSize>::STRUCT_SIZE)
        + total(<schema::file_position::Builder<'_> as HasStructSize>::STRUCT_SIZE)
        + 5
        + 2;
    assert_eq!(builder.len_bytes(), 8 + words * 8);
    assert_eq!(builder.seal(1).len(), 8 + words * 8);
}

#[test]
fn every_field_of_a_batch_is_read_back() {
    let layout = every_layout(&[]);
    let mut slab = Vec::new();
    let mut rows = update(&mut slab, &layout);
    rows.before_present = Some([0b0000_0101, 0, 0].into());
    rows.after_present = Some([0xff; 3].into());
    rows.cells = vec![
        EncodedCell {
            row: 0,
            column: 14,
            image: Image::After,
            state: CellState::InvalidText,
            payload: vec![0xc3, 0x28],
        },
        EncodedCell { row: 1, column: 15, image: Image::Before, state: CellState::JsonDiff, payload: vec![] },
    ];
    let mut builder = BatchBuilder::new(1024);
    builder.begin_fragment(&head(10));
    builder.push_rows(&rows_head(), &rows, &slab);
    builder.push_ddl("shop", "ALTER TABLE orders ADD a INT", "alter_table", &["shop.orders", ""]);
    builder.end_fragment(&commit());
    builder.begin_fragment(&FragmentHead { begin: false, gtid: "", ..head(11) });
    builder.end_fragment(&FragmentEnd { commit: false, abort: true, truncate_to: Some(5), ..commit() });
    let size = builder.len_bytes();
    let bytes = builder.seal(77);
    assert_eq!(bytes.len(), size);
    assert!(builder.is_empty());

    with_message(&bytes, |message| {
        let batch = batch_of(message);
        assert_eq!((batch.get_epoch(), batch.get_first_sequence(), batch.get_last_sequence()), (77, 10, 11));
        let fragments = batch.get_fragments().unwrap();
        assert_eq!(fragments.len(), 2);

        let first = fragments.get(0);
        assert_eq!(
            (first.get_sequence(), first.get_commit_time_us(), first.get_time_precision_us()),
            (10, -11, 1_000_000)
        );
        assert_eq!((first.get_begin(), first.get_commit(), first.get_abort()), (true, true, false));
        assert_eq!(first.get_truncate_to(), u32::MAX);
        assert_eq!(first.get_gtid().unwrap(), "3e11fa47-71ca-11e1-9e33-c80aa9429562:23");
        assert_eq!(first.get_gtid_delta().unwrap(), "x:1-3");
        let start = first.get_start_position().unwrap();
        assert_eq!((start.get_file().unwrap().to_str(), start.get_offset()), (Ok("binlog.000007"), 5_000_000_000));
        let end = first.get_position().unwrap();
        assert_eq!((end.get_file().unwrap().to_str(), end.get_offset()), (Ok("binlog.000007"), 5_000_000_777));
        let changes = first.get_changes().unwrap();
        assert_eq!(changes.len(), 2);

        let change::Rows(rows) = changes.get(0).which().unwrap() else { panic!("not rows") };
        let rows = rows.unwrap();
        assert_eq!((rows.get_layout(), rows.get_op(), rows.get_count()), (7, Ok(Op::Update), 2));
        assert_eq!((rows.get_first_row(), rows.get_offset(), rows.get_event()), (41, 5_000_000_123, 9));
        assert_eq!(rows.get_before_present().unwrap(), [5, 0, 0]);
        assert_eq!(rows.get_after_present().unwrap(), [255, 255, 255]);
        let cells = rows.get_cells().unwrap();
        assert_eq!(cells.len(), 2);
        let cell = cells.get(0);
        assert_eq!((cell.get_row(), cell.get_column(), cell.get_image()), (0, 14, 1));
        assert_eq!((cell.get_state(), cell.get_payload().unwrap()), (Ok(CellState::InvalidText), &[0xc3u8, 0x28][..]));
        let cell = cells.get(1);
        assert_eq!((cell.get_row(), cell.get_column(), cell.get_image()), (1, 15, 0));
        assert_eq!((cell.get_state(), cell.get_payload().unwrap()), (Ok(CellState::JsonDiff), &[][..]));

        let change::Ddl(ddl) = changes.get(1).which().unwrap() else { panic!("not a statement") };
        let ddl = ddl.unwrap();
        assert_eq!(ddl.get_database().unwrap(), "shop");
        assert_eq!(ddl.get_statement().unwrap(), "ALTER TABLE orders ADD a INT");
        assert_eq!(ddl.get_kind().unwrap(), "alter_table");
        let tables: Vec<&str> =
            ddl.get_tables().unwrap().iter().map(|table| table.unwrap().to_str().unwrap()).collect();
        assert_eq!(tables, ["shop.orders", ""]);

        let second = fragments.get(1);
        assert_eq!((second.get_begin(), second.get_commit(), second.get_abort()), (false, false, true));
        assert_eq!((second.get_sequence(), second.get_truncate_to()), (11, 5));
        assert!(!second.has_gtid() && !second.has_gtid_delta() && !second.has_position() && !second.has_changes());
    });
}

/// The rows of the only change of a batch.
fn with_rows<T>(bytes: &[u8], layout: &Layout, read: impl FnOnce(RowsReader<'_>) -> T) -> T {
    let rows = rows_in(bytes);
    let [rows] = rows.as_slice() else { panic!("{} changes with rows", rows.len()) };
    let rows = RowsReader::new(*rows, layout).unwrap();
    assert_eq!(both_readers_agree(bytes, layout), rows.len() as usize);
    read(rows)
}

/// Of the first changes of a batch those that are rows; none where it is damaged.
fn rows_in(bytes: &[u8]) -> Vec<view::Rows<'_>> {
    let Some((_, fragments)) = Segment::of_message(bytes).and_then(view::batch) else { return Vec::new() };
    let changes = fragments.iter().take(10).filter_map(|fragment| view::Fragment(fragment).changes());
    let rows =
        changes.flat_map(|changes| changes.iter().take(10)).filter_map(|change| match view::Change::read(change) {
            Some(view::Change::Rows(rows)) => Some(rows),
            _ => None,
        });
    rows.collect()
}

/// Whatever the reader by words accepts, the crate's accepts, and it says the same. Returns how many rows both have read.
fn both_readers_agree(bytes: &[u8], layout: &Layout) -> usize {
    let Some((epoch, fragments)) = Segment::of_message(bytes).and_then(view::batch) else { return 0 };
    // Overlapping pointers may be followed as often as one likes by the one, so by the other.
    let mut options = capnp::message::ReaderOptions::new();
    options.traversal_limit_in_words(None);
    let message = capnp::serialize::read_message(bytes, options).unwrap();
    let root: server_message::Reader<'_> = message.get_root().unwrap();
    let server_message::Batch(Ok(batch)) = root.which().unwrap() else { panic!("no batch") };
    let by_crate = batch.get_fragments().unwrap();
    assert_eq!((batch.get_epoch(), by_crate.len()), (epoch, fragments.len()));
    let mut rows_read = 0;
    for (words, crates) in fragments.iter().map(view::Fragment).zip(by_crate).take(10) {
        assert_eq!(words.sequence(), crates.get_sequence());
        assert_eq!(words.commit_time_us(), crates.get_commit_time_us());
        assert_eq!(words.time_precision_us(), crates.get_time_precision_us());
        assert_eq!(
            (words.begin(), words.commit(), words.abort()),
            (crates.get_begin(), crates.get_commit(), crates.get_abort())
        );
        assert_eq!(words.truncate_to().unwrap_or(u32::MAX), crates.get_truncate_to());
        let texts = [(words.gtid(), crates.get_gtid()), (words.gtid_delta(), crates.get_gtid_delta())];
        for (words, crates) in texts {
            assert!(words.is_none_or(|text| text == crates.unwrap().as_bytes()));
        }
        let places = [(words.start_position(), crates.get_start_position()), (words.position(), crates.get_position())];
        for (words, crates) in places {
            let Some(words) = words else { continue };
            let crates = crates.unwrap();
            assert_eq!((words.file, words.offset), (crates.get_file().unwrap().as_bytes(), crates.get_offset()));
        }
        assert!(words.end_offset().is_none_or(|offset| offset == crates.get_position().unwrap().get_offset()));
        let Some(changes) = words.changes() else { continue };
        for (words, crates) in changes.iter().zip(crates.get_changes().unwrap()).take(10) {
            match (view::Change::read(words), crates.which()) {
                (Some(view::Change::Rows(words)), Ok(change::Rows(crates))) => {
                    let Ok(words) = RowsReader::new(words, layout) else { continue };
                    rows_read += by_crate::says_the_same(&words, crates.unwrap(), 100);
                }
                (Some(view::Change::Ddl(words)), Ok(change::Ddl(crates))) => {
                    let crates = crates.unwrap();
                    let texts = [
                        (words.database(), crates.get_database()),
                        (words.statement(), crates.get_statement()),
                        (words.kind(), crates.get_kind()),
                    ];
                    for (words, crates) in texts {
                        assert!(words.is_none_or(|text| text == crates.unwrap().as_bytes()));
                    }
                    let Some(tables) = words.tables() else { continue };
                    for (words, crates) in tables.iter().zip(crates.get_tables().unwrap()).take(10) {
                        assert!(words.is_none_or(|text| text == crates.unwrap().as_bytes()));
                    }
                }
                (None, _) => {}
                (Some(_), _) => panic!("another change"),
            }
        }
    }
    rows_read
}

fn batch_with(rows: &EncodedRows, slab: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::default();
    builder.begin_fragment(&head(3));
    builder.push_rows(&rows_head(), rows, slab);
    builder.end_fragment(&commit());
    builder.seal(1)
}

#[test]
fn values_of_every_kind_are_read_by_layout() {
    let layout = every_layout(&[]);
    let mut slab = Vec::new();
    let rows = update(&mut slab, &layout);
    let bytes = batch_with(&rows, &slab);
    with_rows(&bytes, &layout, |rows| {
        let show = |image: Option<millstream_codec::wire::read::RowReader<'_>>| {
            let values: Vec<String> = image
                .unwrap()
                .values()
                .map(|(column, value)| format!("{} {:?}", column.name, value.unwrap()))
                .collect();
            values
        };
        let after = show(rows.after(0));
        assert_eq!(
            after,
            [
                "i8 Int(-5)",
                "u64_max UInt(18446744073709551615)",
                "i64_min Int(-9223372036854775808)",
                "float_value Float32(0.1)",
                &format!("double_value Float64({})", -1.5e300f64),
                "price Decimal(-12345678.90)",
                "flags Bit(9223372036854775808)",
                "colours Set(5)",
                "size Enum(2)",
                "y Year(2155)",
                "d Date(1709164800000000)",
                "dt DateTime(1709168523004000)",
                "ts Timestamp(1)",
                "t Time(-3600000000)",
                "name Text(\"Zoë \\\"quoted\\\" \\\\ \\n\")",
                "doc Json(\"{\\\"a\\\": 1}\")",
                "bytes Bytes([0, 255])",
                "place Geometry([])",
                "embedding Vector([1.0, 0.1, -2.5e-8])",
                "address Inet6(::1)",
                "id Uuid(123e4567-e89b-12d3-a456-426614174000)",
            ]
        );
        assert_eq!(show(rows.before(1)), after);
        for image in [rows.before(0), rows.after(1)] {
            assert!(image.unwrap().values().all(|(_, value)| matches!(value, Ok(Value::Null))));
        }
        assert!(rows.before(2).is_none());
        assert_eq!(format!("{:?}", rows.after(0).unwrap().value_named("y").unwrap()), "Some(Year(2155))");
        assert!(rows.after(0).unwrap().value_named("x").unwrap().is_none());
        assert!(matches!(rows.after(0).unwrap().value(99), Ok(Value::Absent)));
    });
}

#[test]
fn columns_beside_the_image_are_told_apart_from_null() {
    let mut masked = vec![false; 21];
    masked[1] = true;
    let layout = every_layout(&masked);
    let mut slab = Vec::new();
    let mut rows = update(&mut slab, &layout);
    // Columns 0, 1 and 15 only, before; 14 and 15 have cells after.
    rows.before_present = Some([0b11, 0b1000_0000].into());
    let cell = |column, state| EncodedCell { row: 0, column, image: Image::After, state, payload: vec![1, 2] };
    rows.cells = vec![cell(14, CellState::InvalidText), cell(15, CellState::JsonDiff), cell(16, CellState::Masked)];
    let bytes = batch_with(&rows, &slab);
    with_rows(&bytes, &layout, |rows| {
        let before = rows.before(1).unwrap();
        let states: String = (0..21)
            .map(|index| match before.value(index).unwrap() {
                Value::Absent => '-',
                Value::Masked => 'm',
                _ => 'v',
            })
            .collect();
        assert_eq!(states, "vm-------------v-----");
        let after = rows.after(0).unwrap();
        assert!(matches!(after.value(14), Ok(Value::Text(_))));
        assert_eq!(after.invalid_text(14).unwrap(), Some(&[1u8, 2][..]));
        assert!(matches!(after.value(15), Ok(Value::JsonDiff([1, 2]))));
        assert!(matches!(after.value(16), Ok(Value::Masked)));
        // The cells are those of row 0 after.
        assert!(rows.after(1).unwrap().invalid_text(14).unwrap().is_none());
        assert!(matches!(rows.before(0).unwrap().value(15), Ok(Value::Null)));
    });
}

#[test]
fn lines_of_json_are_as_documented() {
    let layout = every_layout(&[]);
    let mut slab = Vec::new();
    let mut rows = update(&mut slab, &layout);
    rows.before_present = Some([0b1, 0, 0].into());
    let bytes = batch_with(&rows, &slab);
    let line = with_rows(&bytes, &layout, |rows| {
        let context =
            LineContext { gtid: "a-b:1", file: "binlog.000007", sequence: 3, commit_time_us: 1_700_000_000_000_001 };
        let mut out = Vec::new();
        write_row_line(&mut out, &context, &rows, 0).unwrap();
        String::from_utf8(out).unwrap()
    });
    let expected = concat!(
        r#"{"op":"update","db":"shop","table":"every","gtid":"a-b:1","pos":"binlog.000007:5000000123","tx":3,"row":41,"#,
        r#""ts_us":1700000000000001,"before":{"i8":null},"after":{"i8":-5,"u64_max":18446744073709551615,"#,
        r#""i64_min":-9223372036854775808,"float_value":0.1,"double_value":-1.5e300,"price":"-12345678.90","#,
        r#""flags":9223372036854775808,"colours":"red,blue","size":"large","y":2155,"d":"2024-02-29","#,
        r#""dt":"2024-02-29 01:02:03.004","ts":"1970-01-01 00:00:00.000001","t":"-01:00:00","#,
        r#""name":"Zoë \"quoted\" \\ \n","doc":"{\"a\": 1}","bytes":{"hex":"00ff"},"place":{"hex":""},"#,
        r#""embedding":[1,0.1,-2.5e-8],"address":"::1","id":"123e4567-e89b-12d3-a456-426614174000"}}"#,
        "\n"
    );
    assert_eq!(line, expected);
    let mut copy = line.into_bytes();
    simd_json::to_owned_value(&mut copy).expect("it is JSON");
}

#[test]
fn the_capnp_tool_decodes_a_batch() {
    let layout = every_layout(&[]);
    let mut slab = Vec::new();
    let rows = update(&mut slab, &layout);
    let bytes = batch_with(&rows, &slab);
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/millstream.capnp");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("message");
    std::fs::write(&file, &bytes).unwrap();
    let output = Command::new("capnp")
        .args(["decode", schema, "ServerMessage"])
        .stdin(Stdio::from(std::fs::File::open(&file).unwrap()))
        .output()
        .expect("the capnp tool runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("layout = 7") && text.contains("count = 2") && text.contains("firstRow = 41"), "{text}");
}

#[test]
fn many_batches_share_memory_and_stay_apart() {
    let layout = every_layout(&[]);
    let mut slab = Vec::new();
    let rows = update(&mut slab, &layout);
    let mut builder = BatchBuilder::new(4096);
    let batches: Vec<Bytes> = (0..50u64)
        .map(|sequence| {
            builder.begin_fragment(&head(sequence));
            for _ in 0..sequence % 5 {
                builder.push_rows(&rows_head(), &rows, &slab);
            }
            builder.end_fragment(&commit());
            builder.seal(sequence)
        })
        .collect();
    for (sequence, bytes) in (0u64..).zip(&batches) {
        with_message(bytes, |message| {
            let batch = batch_of(message);
            assert_eq!(batch.get_epoch(), sequence);
            let changes = batch.get_fragments().unwrap().get(0).get_changes().unwrap();
            assert_eq!(u64::from(changes.len()), sequence % 5);
        });
        assert_eq!(both_readers_agree(bytes, &layout) as u64, 2 * (sequence % 5));
        for rows in rows_in(bytes) {
            let rows = RowsReader::new(rows, &layout).unwrap();
            assert!(matches!(rows.after(0).unwrap().value(2), Ok(Value::Int(i64::MIN))));
        }
    }
}

#[test]
fn damaged_batches_give_errors_and_never_panic() {
    let layout = every_layout(&[]);
    let mut slab = Vec::new();
    let mut rows = update(&mut slab, &layout);
    rows.before_present = Some([0xff; 3].into());
    rows.cells =
        vec![EncodedCell { row: 0, column: 14, image: Image::After, state: CellState::InvalidText, payload: vec![1] }];
    let good = batch_with(&rows, &slab);
    let mut state = 99u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let (mut read_rows, mut read_by_both) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = good.to_vec();
        for _ in 0..1 + random() % 3 {
            let at = 8 + random() % (bytes.len() - 8);
            bytes[at] = match random() % 3 {
                0 => 0xff,
                1 => bytes[at] ^ 1 << (random() % 8),
                _ => random() as u8,
            };
        }
        read_by_both += both_readers_agree(&bytes, &layout);
        for rows in rows_in(&bytes) {
            let Ok(rows) = RowsReader::new(rows, &layout) else { continue };
            let context = LineContext { gtid: "", file: "", sequence: 0, commit_time_us: 0 };
            for row in 0..rows.len().min(100) {
                let mut out = Vec::new();
                let _ = write_row_line(&mut out, &context, &rows, row);
                read_rows += 1;
            }
        }
    }
    assert!(read_rows > 10_000, "most damage leaves something to read: {read_rows}");
    assert!(read_by_both > 10_000, "by either reader: {read_by_both}");
}

#[test]
fn rows_of_another_version_read_as_null_never_as_zero() {
    let integer = |name: &str| ColumnSchema {
        name: name.into(),
        column_type: ColumnType::Integer { bytes: 4, unsigned: false },
        primary_key: 0,
    };
    let text = |name: &str| ColumnSchema {
        name: name.into(),
        column_type: ColumnType::Text { charset: "utf8mb4".into(), length: 0 },
        primary_key: 0,
    };
    let old = layout_of("t", &[integer("a")], &[]);
    let new = layout_of("t", &[integer("a"), text("b"), integer("c"), integer("d")], &[]);
    assert!(new.data_words > old.data_words);
    let read = |written: &Layout, row: Vec<Cell>, by: &Layout| {
        let mut slab = Vec::new();
        let after = encode_list(&mut slab, 0, written, &[row]);
        let rows = EncodedRows {
            op: Op::Insert,
            count: 1,
            first_row_in_event: 0,
            before: None,
            after: Some(after),
            blob: 0..slab.len(),
            before_present: None,
            after_present: None,
            cells: Vec::new(),
        };
        with_rows(&batch_with(&rows, &slab), by, |rows| {
            let row = rows.after(0).unwrap();
            assert!(rows.before(0).is_none());
            row.values().map(|(column, value)| format!("{}={:?} ", column.name, value.unwrap())).collect::<String>()
        })
    };
    let row = |values: &[u64]| values.iter().map(|&value| Cell::Bits(value)).collect::<Vec<_>>();
    assert_eq!(read(&old, row(&[5]), &new), "a=Int(5) b=Null c=Null d=Null ");
    let new_row = vec![Cell::Bits(5), Cell::Text("x"), Cell::Bits(0), Cell::Null];
    assert_eq!(read(&new, new_row.clone(), &new), "a=Int(5) b=Text(\"x\") c=Int(0) d=Null ");
    assert_eq!(read(&new, new_row, &old), "a=Int(5) ");
}
