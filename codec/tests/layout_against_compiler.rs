//! Layouts against the `capnp` compiler: it compiles the text of a layout, and every slot, size, id and default that
//! it finds must be ours; so must the compiled nodes that travel with the layout.
#![cfg(feature = "mysql")]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use capnp::message::{Reader, ReaderOptions};
use capnp::schema_capnp::{code_generator_request, field, node, type_, value};
use capnp::serialize::OwnedSegments;
use millstream_codec::mysql::schema::{ColumnSchema, ColumnType};
use millstream_codec::wire::layout::{
    Field, FieldKind, Layout, LayoutRequest, Slot, assign_field_name, field_kind_of, slot_of,
};

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }
}

fn random_type(random: &mut Random) -> ColumnType {
    let labels: Arc<[String]> = Arc::from(["it's".to_owned(), "line\nbreak".to_owned(), "\"\\".to_owned()]);
    let digits = random.below(7) as u8;
    match random.below(20) {
        0..=5 => ColumnType::Integer { bytes: [1, 2, 3, 4, 8][random.below(5)], unsigned: random.below(2) == 0 },
        6 => ColumnType::Float,
        7 => ColumnType::Double,
        8 => ColumnType::Decimal { precision: 20, scale: 4 },
        9 => ColumnType::Bit { bits: 9 },
        10 => ColumnType::Set { labels },
        11 => ColumnType::Enum { labels },
        12 => ColumnType::Year,
        13 => ColumnType::Date,
        14 => ColumnType::DateTime { digits },
        15 => ColumnType::Timestamp { digits },
        16 => ColumnType::Time { digits },
        17 => ColumnType::Text { charset: "utf8mb4".into(), length: 1020 },
        18 => [ColumnType::Json, ColumnType::Uuid, ColumnType::Inet4, ColumnType::Inet6][random.below(4)].clone(),
        _ => [
            ColumnType::Binary { fixed: Some(16) },
            ColumnType::Binary { fixed: None },
            ColumnType::Geometry,
            ColumnType::Vector,
        ][random.below(4)]
        .clone(),
    }
}

fn random_name(random: &mut Random, index: usize) -> String {
    const NAMES: [&str; 24] = [
        "id",
        "created_at",
        "Type",
        "union",
        "struct",
        "using",
        "const",
        "group",
        "annotation",
        "import",
        "true",
        "void",
        "inf",
        "class",
        "has",
        "get",
        "which",
        "größe",
        "a\"b\\c",
        "tab\there",
        "new\nline",
        "x$(y);",
        "数量",
        "retired3",
    ];
    match random.below(3) {
        0 => NAMES[random.below(NAMES.len())].to_owned(),
        1 => format!("{}_{index}", NAMES[random.below(NAMES.len())]),
        _ => format!("c{index}"),
    }
}

/// A table's history: every ordinal it ever had, and the columns that it has now.
struct Table {
    fields: Vec<Field>,
    columns: Vec<(ColumnSchema, u16)>,
}

fn random_table(random: &mut Random, columns: usize) -> Table {
    let mut fields: Vec<Field> = Vec::new();
    let mut live = Vec::new();
    while live.len() < columns {
        let column_type = random_type(random);
        let retired = random.below(8) == 0;
        let name = random_name(random, fields.len());
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let field = assign_field_name(&names, &name);
        let kind = field_kind_of(&column_type);
        let ordinal = fields.len() as u16;
        if matches!(slot_of(kind), Slot::Data { .. }) {
            fields.push(Field { name: field.clone(), kind: FieldKind::Value(kind), retired });
            fields.push(Field { name: format!("{field}IsNull"), kind: FieldKind::IsNull(ordinal), retired });
        } else {
            fields.push(Field { name: field, kind: FieldKind::Value(kind), retired });
        }
        if !retired {
            let primary_key = u16::from(live.is_empty());
            live.push((ColumnSchema { name, column_type, primary_key }, ordinal));
        }
    }
    // The order of the table is not the order of the ordinals.
    for index in (1..live.len()).rev() {
        live.swap(index, random.below(index + 1));
    }
    Table { fields, columns: live }
}

impl Table {
    fn layout(&self, database: &str, table: &str) -> Layout {
        let columns: Vec<(&ColumnSchema, u16)> =
            self.columns.iter().map(|(column, ordinal)| (column, *ordinal)).collect();
        Layout::build(&LayoutRequest {
            destination: "main",
            database,
            table,
            version: 3,
            id: 7,
            fields: &self.fields,
            columns: &columns,
            masked: &[],
        })
        .unwrap()
    }
}

/// What the compiler makes of a text that it reads as `<database>.<table>.capnp`.
fn compile(layout: &Layout) -> Reader<OwnedSegments> {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("{}.{}.capnp", layout.database, layout.table);
    std::fs::File::create(folder.path().join(&name)).unwrap().write_all(layout.capnp_text.as_bytes()).unwrap();
    let output = Command::new("capnp")
        .args(["compile", "--no-standard-import", "-o-", &name])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .output()
        .expect("the capnp tool runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{}", layout.capnp_text);
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(None);
    capnp::serialize::read_message(&output.stdout[..], options).unwrap()
}

/// Everything in a node that a reader of rows could depend on, as text.
fn describe(node: node::Reader<'_>) -> String {
    let mut out = format!(
        "{} prefix {} id {:x} in {:x}\n",
        node.get_display_name().unwrap().to_str().unwrap(),
        node.get_display_name_prefix_length(),
        node.get_id(),
        node.get_scope_id(),
    );
    for nested in node.get_nested_nodes().unwrap() {
        out += &format!("nested {} {:x}\n", nested.get_name().unwrap().to_str().unwrap(), nested.get_id());
    }
    match node.which().unwrap() {
        node::File(()) => out += "file\n",
        node::Annotation(annotation) => {
            let on_field =
                annotation.get_targets_field() && !annotation.get_targets_struct() && !annotation.get_targets_file();
            out += &format!("annotation {} fields only {on_field}\n", describe_type(annotation.get_type().unwrap()));
        }
        node::Struct(structure) => {
            out += &format!(
                "data {} pointers {} encoding {:?} group {} union {} {}\n",
                structure.get_data_word_count(),
                structure.get_pointer_count(),
                structure.get_preferred_list_encoding().unwrap(),
                structure.get_is_group(),
                structure.get_discriminant_count(),
                structure.get_discriminant_offset(),
            );
            for field in structure.get_fields().unwrap() {
                out += &describe_field(field);
            }
        }
        _ => out += "something else\n",
    }
    out
}

fn describe_field(field: field::Reader<'_>) -> String {
    let mut out = format!(
        "{} order {} union {}",
        field.get_name().unwrap().to_str().unwrap(),
        field.get_code_order(),
        field.get_discriminant_value()
    );
    if let field::ordinal::Explicit(ordinal) = field.get_ordinal().which().unwrap() {
        out += &format!(" @{ordinal}");
    }
    for annotation in field.get_annotations().unwrap() {
        let value = describe_value(annotation.get_value().unwrap());
        out += &format!(" ${:x}({value})", annotation.get_id());
    }
    if let field::Slot(slot) = field.which().unwrap() {
        out += &format!(
            " slot {} {} = {} explicit {}",
            slot.get_offset(),
            describe_type(slot.get_type().unwrap()),
            describe_value(slot.get_default_value().unwrap()),
            slot.get_had_explicit_default(),
        );
    }
    out + "\n"
}

fn describe_type(reader: type_::Reader<'_>) -> String {
    match reader.which().unwrap() {
        type_::Bool(()) => "Bool".into(),
        type_::Int8(()) => "Int8".into(),
        type_::Int16(()) => "Int16".into(),
        type_::Int32(()) => "Int32".into(),
        type_::Int64(()) => "Int64".into(),
        type_::Uint8(()) => "UInt8".into(),
        type_::Uint16(()) => "UInt16".into(),
        type_::Uint32(()) => "UInt32".into(),
        type_::Uint64(()) => "UInt64".into(),
        type_::Float32(()) => "Float32".into(),
        type_::Float64(()) => "Float64".into(),
        type_::Text(()) => "Text".into(),
        type_::Data(()) => "Data".into(),
        type_::List(list) => format!("List({})", describe_type(list.get_element_type().unwrap())),
        _ => "other".into(),
    }
}

fn describe_value(reader: value::Reader<'_>) -> String {
    match reader.which().unwrap() {
        value::Bool(value) => value.to_string(),
        value::Int8(value) => format!("i8 {value}"),
        value::Int16(value) => format!("i16 {value}"),
        value::Int32(value) => format!("i32 {value}"),
        value::Int64(value) => format!("i64 {value}"),
        value::Uint8(value) => format!("u8 {value}"),
        value::Uint16(value) => format!("u16 {value}"),
        value::Uint32(value) => format!("u32 {value}"),
        value::Uint64(value) => format!("u64 {value}"),
        value::Float32(value) => format!("f32 {value}"),
        value::Float64(value) => format!("f64 {value}"),
        value::Text(text) => format!("text {:?}", text.unwrap().to_str().unwrap()),
        value::Data(data) => format!("data {:?}", data.unwrap()),
        value::List(_) => "list".into(),
        _ => "other".into(),
    }
}

fn check(layout: &Layout, table: &Table) {
    let compiled = compile(layout);
    let request: code_generator_request::Reader<'_> = compiled.get_root().unwrap();
    let nodes = request.get_nodes().unwrap();
    assert_eq!(nodes.len() as usize, layout.nodes.len());
    let find = |id: u64| nodes.iter().find(|node| node.get_id() == id).unwrap_or_else(|| panic!("no node {id:x}"));

    // The compiled nodes that travel along are the compiler's.
    for bytes in &layout.nodes {
        let message = capnp::serialize::read_message(&bytes[..], ReaderOptions::new()).unwrap();
        let ours: node::Reader<'_> = message.get_root().unwrap();
        assert_eq!(describe(ours), describe(find(ours.get_id())), "{}", layout.capnp_text);
    }

    // The layout's numbers are the compiler's.
    let structure = find(layout.struct_id);
    assert_eq!(structure.get_scope_id(), layout.file_id);
    let node::Struct(structure) = structure.which().unwrap() else { panic!("the struct's id is not a struct's") };
    assert_eq!(structure.get_data_word_count(), layout.data_words);
    assert_eq!(structure.get_pointer_count(), layout.pointers);
    let fields = structure.get_fields().unwrap();
    assert_eq!(fields.len() as usize, table.fields.len());
    let slot_of_ordinal = |ordinal: u16| {
        let field = fields.get(u32::from(ordinal));
        let field::Slot(slot) = field.which().unwrap() else { panic!("a group") };
        (field.get_name().unwrap().to_string().unwrap(), slot.get_offset())
    };
    for column in &layout.columns {
        assert_eq!(slot_of_ordinal(column.ordinal), (column.field.clone(), column.slot));
        if let Some(null_slot) = column.null_slot {
            assert_eq!(slot_of_ordinal(column.ordinal + 1), (format!("{}IsNull", column.field), null_slot));
        }
    }
    for (ordinal, field) in (0u16..).zip(&table.fields) {
        let expected = if field.retired { format!("retired{ordinal}") } else { field.name.clone() };
        assert_eq!(slot_of_ordinal(ordinal).0, expected);
    }
}

#[test]
fn random_tables_lie_as_the_compiler_puts_them() {
    let mut random = Random(20_261_123);
    for round in 0..60 {
        let columns = random.below(40);
        let table = random_table(&mut random, columns);
        let name = ["orders", "order_items", "2024 sales", "größen", "T"][round % 5];
        check(&table.layout("shop", name), &table);
    }
}

#[test]
fn the_widest_table_of_innodb_lies_as_the_compiler_puts_it() {
    let table = random_table(&mut Random(1017), 1017);
    check(&table.layout("wide", "everything"), &table);
}

#[test]
fn small_structs_lie_as_the_compiler_puts_them() {
    let integer = |bytes| ColumnType::Integer { bytes, unsigned: false };
    let text = || ColumnType::Text { charset: "ascii".into(), length: 0 };
    for types in [
        vec![],
        vec![integer(1)],
        vec![integer(2)],
        vec![integer(4)],
        vec![integer(8)],
        vec![text()],
        vec![text(), text()],
    ] {
        let mut table = Table { fields: Vec::new(), columns: Vec::new() };
        for (index, column_type) in types.into_iter().enumerate() {
            let ordinal = table.fields.len() as u16;
            let kind = field_kind_of(&column_type);
            table.fields.push(Field { name: format!("c{index}"), kind: FieldKind::Value(kind), retired: false });
            if slot_of(kind) != Slot::Pointer {
                let kind = FieldKind::IsNull(ordinal);
                table.fields.push(Field { name: format!("c{index}IsNull"), kind, retired: false });
            }
            table.columns.push((ColumnSchema { name: format!("c{index}"), column_type, primary_key: 0 }, ordinal));
        }
        check(&table.layout("shop", "small"), &table);
    }
}

#[test]
fn ids_depend_on_what_they_should() {
    let table = random_table(&mut Random(5), 4);
    let layout = table.layout("shop", "orders");
    assert_ne!(layout.struct_id, table.layout("shop", "orders2").struct_id);
    assert_ne!(layout.struct_id, table.layout("shop.orders", "").struct_id);
    assert!(layout.struct_id >> 63 == 1 && layout.file_id >> 63 == 1);
    // Fixed for ever: clients have it compiled in.
    assert_eq!(format!("{:x}", layout.struct_id), "dd1e3a9f840cc84c");
}
