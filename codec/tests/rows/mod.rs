//! Rows for tests: a layout with a column of every kind, and a naive encoder of lists of its struct.
#![allow(dead_code)]

use std::sync::Arc;

use millstream_codec::mysql::schema::{ColumnSchema, ColumnType};
use millstream_codec::wire::encoded::ListRef;
use millstream_codec::wire::layout::{
    Field, FieldKind, Layout, LayoutColumn, LayoutRequest, Slot, assign_field_name, field_kind_of, slot_of,
};

/// A value as a field holds it.
#[derive(Debug, Clone)]
pub enum Cell {
    Null,
    /// The low bits go into the field.
    Bits(u64),
    Text(&'static str),
    Data(&'static [u8]),
    Floats(&'static [f32]),
}

/// A table `shop.every` with a column of each type, named after it.
pub fn every_layout(masked: &[bool]) -> Layout {
    let labels = |labels: &[&str]| -> Arc<[String]> { labels.iter().map(|&label| label.to_owned()).collect() };
    let text = || ColumnType::Text { charset: "utf8mb4".into(), length: 1020 };
    let integer = |bytes, unsigned| ColumnType::Integer { bytes, unsigned };
    let types = [
        ("i8", integer(1, false)),
        ("u64_max", integer(8, true)),
        ("i64_min", integer(8, false)),
        ("float_value", ColumnType::Float),
        ("double_value", ColumnType::Double),
        ("price", ColumnType::Decimal { precision: 10, scale: 2 }),
        ("flags", ColumnType::Bit { bits: 64 }),
        ("colours", ColumnType::Set { labels: labels(&["red", "green", "blue"]) }),
        ("size", ColumnType::Enum { labels: labels(&["small", "large"]) }),
        ("y", ColumnType::Year),
        ("d", ColumnType::Date),
        ("dt", ColumnType::DateTime { digits: 3 }),
        ("ts", ColumnType::Timestamp { digits: 6 }),
        ("t", ColumnType::Time { digits: 0 }),
        ("name", text()),
        ("doc", ColumnType::Json),
        ("bytes", ColumnType::Binary { fixed: None }),
        ("place", ColumnType::Geometry),
        ("embedding", ColumnType::Vector),
        ("address", ColumnType::Inet6),
        ("id", ColumnType::Uuid),
    ];
    let columns: Vec<ColumnSchema> = types
        .into_iter()
        .map(|(name, column_type)| ColumnSchema { name: name.into(), column_type, primary_key: 0 })
        .collect();
    layout_of("every", &columns, masked)
}

/// A layout with the columns in the order of their ordinals.
pub fn layout_of(table: &str, columns: &[ColumnSchema], masked: &[bool]) -> Layout {
    let mut fields: Vec<Field> = Vec::new();
    let mut placed = Vec::new();
    for column in columns {
        let ordinal = fields.len() as u16;
        let kind = field_kind_of(&column.column_type);
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let name = assign_field_name(&names, &column.name);
        fields.push(Field { name: name.clone(), kind: FieldKind::Value(kind), retired: false });
        if slot_of(kind) != Slot::Pointer {
            fields.push(Field { name: format!("{name}IsNull"), kind: FieldKind::IsNull(ordinal), retired: false });
        }
        placed.push((column, ordinal));
    }
    Layout::build(&LayoutRequest {
        destination: "main",
        database: "shop",
        table,
        version: 1,
        id: 7,
        fields: &fields,
        columns: &placed,
        masked,
    })
    .unwrap()
}

/// Appends a `List(struct)` to a slab of words, texts behind the elements.
pub fn encode_list(slab: &mut Vec<u8>, blob_start: usize, layout: &Layout, rows: &[Vec<Cell>]) -> ListRef {
    let row_words = usize::from(layout.data_words) + usize::from(layout.pointers);
    let tag_at = slab.len();
    let tag = (rows.len() as u64) << 2 | u64::from(layout.data_words) << 32 | u64::from(layout.pointers) << 48;
    slab.extend_from_slice(&tag.to_le_bytes());
    let elements_at = slab.len();
    slab.resize(elements_at + rows.len() * row_words * 8, 0);
    for (index, row) in rows.iter().enumerate() {
        let row_at = elements_at + index * row_words * 8;
        for (column, cell) in layout.columns.iter().zip(row) {
            encode_cell(slab, row_at, layout, column, cell);
        }
    }
    ListRef { tag_word: ((tag_at - blob_start) / 8) as u32, words: (rows.len() * row_words) as u32 }
}

fn encode_cell(slab: &mut Vec<u8>, row_at: usize, layout: &Layout, column: &LayoutColumn, cell: &Cell) {
    let pointer_at = row_at + (usize::from(layout.data_words) + column.slot as usize) * 8;
    match cell {
        Cell::Null => {}
        Cell::Bits(bits) => {
            let Slot::Data { size_log2 } = slot_of(column.kind) else { panic!("{column:?} is a pointer") };
            let bytes = 1 << (size_log2 - 3);
            let at = row_at + column.slot as usize * bytes;
            slab[at..at + bytes].copy_from_slice(&bits.to_le_bytes()[..bytes]);
            let null_slot = column.null_slot.unwrap() as usize;
            slab[row_at + null_slot / 8] |= 1 << (null_slot % 8);
        }
        Cell::Text(text) => list_pointer(slab, pointer_at, 2, text.len() + 1, &[text.as_bytes(), &[0]].concat()),
        Cell::Data(data) => list_pointer(slab, pointer_at, 2, data.len(), data),
        Cell::Floats(floats) => {
            let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
            list_pointer(slab, pointer_at, 4, floats.len(), &bytes);
        }
    }
}

fn list_pointer(slab: &mut Vec<u8>, pointer_at: usize, element_size: u64, elements: usize, bytes: &[u8]) {
    let target = slab.len();
    slab.extend_from_slice(bytes);
    slab.resize(slab.len().next_multiple_of(8), 0);
    let offset = ((target - pointer_at) / 8 - 1) as u64;
    let pointer = offset << 2 | 1 | element_size << 32 | (elements as u64) << 35;
    slab[pointer_at..pointer_at + 8].copy_from_slice(&pointer.to_le_bytes());
}

/// Values for every column of [`every_layout`].
pub fn every_row() -> Vec<Cell> {
    vec![
        Cell::Bits((-5i64).cast_unsigned()),
        Cell::Bits(u64::MAX),
        Cell::Bits(i64::MIN.cast_unsigned()),
        Cell::Bits(u64::from(0.1f32.to_bits())),
        Cell::Bits((-1.5e300f64).to_bits()),
        Cell::Text("-12345678.90"),
        Cell::Bits(1 << 63),
        Cell::Bits(0b101),
        Cell::Bits(2),
        Cell::Bits(2155),
        // 2024-02-29
        Cell::Bits(19_782 * 86_400_000_000),
        Cell::Bits(19_782 * 86_400_000_000 + 3_723_004_000),
        Cell::Bits(1),
        Cell::Bits((-3_600_000_000i64).cast_unsigned()),
        Cell::Text("Zoë \"quoted\" \\ \n"),
        Cell::Text("{\"a\": 1}"),
        Cell::Data(&[0, 255]),
        Cell::Data(&[]),
        Cell::Floats(&[1.0, 0.1, -2.5e-8]),
        Cell::Text("::1"),
        Cell::Text("123e4567-e89b-12d3-a456-426614174000"),
    ]
}
