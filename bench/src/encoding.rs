//! What a shard does with the rows events of one table: each is parsed and its rows are appended to a log.

use std::hint::black_box;

use millstream_codec::mysql::rows::RowsEvent;
use millstream_codec::mysql::schema::TableSchema;
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::table_map::TableMap;
use millstream_codec::mysql::value::buffer::TextBuffer;
use millstream_codec::wire::encode::{RowProgram, RowsEncoder};
use millstream_codec::wire::layout::{Field, FieldKind, Layout, LayoutRequest, Slot, field_kind_of, slot_of};

use crate::binlog::HEADER_BYTES;
use crate::rows::Rows;

const PIECE_BYTES_MAX: usize = 4 << 20;
/// The log is sealed when it has grown to this.
const BATCH_BYTES: usize = 256 << 10;

/// A layout with the columns in the order of the table.
pub fn layout_of(schema: &TableSchema) -> Layout {
    let mut fields: Vec<Field> = Vec::new();
    let mut columns = Vec::new();
    for column in &schema.columns {
        let ordinal = fields.len() as u16;
        let kind = field_kind_of(&column.column_type);
        columns.push((column, ordinal));
        fields.push(Field { name: column.name.clone(), kind: FieldKind::Value(kind), retired: false });
        if slot_of(kind) != Slot::Pointer {
            let name = format!("{}IsNull", column.name);
            fields.push(Field { name, kind: FieldKind::IsNull(ordinal), retired: false });
        }
    }
    let request = LayoutRequest {
        destination: "bench",
        database: &schema.database,
        table: &schema.table,
        version: 1,
        id: 1,
        fields: &fields,
        columns: &columns,
        masked: &[],
    };
    Layout::build(&request).expect("the table has a layout")
}

pub struct Encoding {
    program: RowProgram,
    encoder: RowsEncoder,
    out: TextBuffer,
}

impl Encoding {
    pub fn new(rows: &Rows) -> Self {
        let map = TableMap::parse(&rows.table_map[HEADER_BYTES..], ServerKind::Mysql).expect("a TABLE_MAP");
        let schema = map.schema().expect("full metadata");
        let program = RowProgram::compile(&layout_of(&schema), &schema, &map.formats).expect("a program");
        Self { program, encoder: RowsEncoder::new(), out: TextBuffer::default() }
    }

    /// All events; `sealed` sees the bytes before they are dropped. Returns rows and bytes.
    pub fn run(&mut self, rows: &Rows, mut sealed: impl FnMut(&[u8])) -> (usize, usize) {
        let (mut count, mut bytes) = (0, 0);
        for event in &rows.events {
            let event = RowsEvent::parse(event[4], &event[HEADER_BYTES..]).expect("a rows event");
            let encoded = self.encoder.encode(&self.program, &event, &mut self.out, PIECE_BYTES_MAX, |piece| {
                black_box(&piece);
            });
            count += encoded.expect("rows") as usize;
            if self.out.len() > BATCH_BYTES {
                bytes += self.out.len();
                sealed(&self.out);
                self.out.clear();
            }
        }
        bytes += self.out.len();
        sealed(&self.out);
        self.out.clear();
        (count, bytes)
    }
}
