use std::sync::Arc;

use millstream_client::wire::layout::{ColumnKind, Layout, LayoutColumn};
use millstream_codec::millstream_capnp::{hello, rows};
use millstream_codec::wire::view;
use millstream_codec::wire::words::Segment;

use super::*;

/// The table's struct is the protocol's `Hello`: `id` is `highestEpoch` (its value bit the lowest of
/// `protocolVersion`), `note` is `clientName`, `more` is `user`.
fn layout() -> Layout {
    let column = |name: &str, kind, slot, null_slot, primary_key| LayoutColumn {
        name: name.into(),
        field: name.into(),
        ordinal: 0,
        kind,
        slot,
        null_slot,
        mysql_type: String::new(),
        digits: 0,
        bits: 0,
        labels: Arc::from([]),
        primary_key,
        masked: false,
    };
    Layout {
        id: 7,
        database: "shop".into(),
        table: "orders".into(),
        struct_id: 0,
        version: 1,
        file_id: 1,
        data_words: 2,
        pointers: 3,
        columns: vec![
            column("id", ColumnKind::Uint64, 1, Some(0), 1),
            column("note", ColumnKind::Text, 0, None, 0),
            column("more", ColumnKind::Text, 1, None, 0),
        ],
        capnp_text: String::new(),
        nodes: Vec::new(),
    }
}

/// (id, note, more) of each image.
type Image<'a> = Option<(u64, &'a str, Option<&'a str>)>;

fn line(format: Format, style: Style, op: Op, before: Image<'_>, after: Image<'_>) -> String {
    let mut message = capnp::message::Builder::new_default();
    let mut builder: rows::Builder<'_> = message.init_root();
    builder.set_layout(7);
    builder.set_op(op);
    builder.set_count(1);
    builder.set_offset(1204);
    let fill = |list: capnp::struct_list::Builder<'_, hello::Owned>, image: (u64, &str, Option<&str>)| {
        let mut row = list.get(0);
        row.set_protocol_version(1);
        row.set_highest_epoch(image.0);
        row.set_client_name(image.1);
        if let Some(more) = image.2 {
            row.set_user(more);
        }
    };
    if let Some(image) = before {
        fill(builder.reborrow().init_before().initn_as(1), image);
    }
    if let Some(image) = after {
        fill(builder.reborrow().init_after().initn_as(1), image);
    }
    let layout = layout();
    let bytes = capnp::serialize::write_message_to_words(&message);
    let root = Segment::of_message(&bytes).and_then(Segment::root).expect("one segment");
    let rows = RowsReader::new(view::Rows(root), &layout).expect("rows");
    let context = LineContext { gtid: "", file: "binlog.000007", sequence: 17, commit_time_us: 1_769_846_400_000_001 };
    let mut out = Vec::new();
    Printer { format, style }.row(&mut out, &context, &rows, 0).expect("row");
    String::from_utf8(out).expect("utf-8")
}

#[test]
fn people_see_the_key_and_what_changed() {
    let check = |op, before: Image<'_>, after: Image<'_>, expected: &str| {
        let expected = format!("2026-01-31 08:00:00.000001 {expected}\n");
        assert_eq!(line(Format::Text, Style::Plain, op, before, after), expected);
    };
    check(Op::Insert, None, Some((1, "a", None)), "INSERT shop.orders  id=1  note=\"a\"  more=NULL");
    check(Op::Delete, Some((1, "a", Some("b"))), None, "DELETE shop.orders  id=1  note=\"a\"  more=\"b\"");
    check(
        Op::Update,
        Some((1, "a", Some("b"))),
        Some((1, "a", Some("c"))),
        "UPDATE shop.orders  id=1  more=\"b\" -> \"c\"",
    );
    check(Op::Update, Some((1, "a", None)), Some((2, "a", None)), "UPDATE shop.orders  id=1 -> 2");
}

#[test]
fn data_cannot_drive_the_terminal_or_flood_it() {
    let text =
        line(Format::Text, Style::Plain, Op::Insert, None, Some((1, "\u{1b}[2J\u{9b}x", Some(&"y".repeat(500)))));
    assert!(!text.trim_end().chars().any(char::is_control), "{text:?}");
    assert!(text.contains("…") && text.chars().count() < 300, "{text}");
}

#[test]
fn programs_get_json_without_colour() {
    let text = line(Format::Jsonl, Style::Colour, Op::Insert, None, Some((1, "a", None)));
    assert_eq!(
        text,
        "{\"op\":\"insert\",\"db\":\"shop\",\"table\":\"orders\",\"gtid\":null,\"pos\":\"binlog.000007:1204\",\"tx\":17,\
         \"row\":0,\"ts_us\":1769846400000001,\"after\":{\"id\":1,\"note\":\"a\",\"more\":null}}\n"
    );
}

#[test]
fn colour_is_only_where_it_was_asked_for() {
    let image = Some((1, "a", None));
    assert!(line(Format::Text, Style::Colour, Op::Delete, image, None).contains("\u{1b}[31mDELETE"));
    assert!(!line(Format::Text, Style::Plain, Op::Delete, image, None).contains('\u{1b}'));
}

#[test]
fn a_statement_is_one_line() {
    let context = LineContext { gtid: "", file: "binlog.000007", sequence: 17, commit_time_us: 0 };
    let statement = "ALTER TABLE orders\n  ADD COLUMN x INT";
    let ddl = DdlLine { database: "shop", statement, kind: "alter_table", tables: &[], offset: 4 };
    let mut out = Vec::new();
    Printer { format: Format::Text, style: Style::Plain }.ddl(&mut out, &context, &ddl);
    let text = String::from_utf8(out).expect("utf-8");
    assert_eq!(text, "1970-01-01 00:00:00.000000 DDL    shop ALTER TABLE orders ADD COLUMN x INT\n");
}
