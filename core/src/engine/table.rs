//! One version of one table, ready to be decoded and encoded.

use std::sync::Arc;

use millstream_codec::mysql::schema::{ColumnFormat, TableSchema};
use millstream_codec::wire::encode::RowProgram;
use millstream_codec::wire::layout::{Field, Layout};

use crate::engine::interest::Projection;

/// What every row needs stands first: with the counts of its `Arc` and the program's beginning in two cache lines.
#[derive(Debug)]
#[repr(C)]
pub struct TableVersion {
    /// Fixed hash of the table's name: what shards and buckets are chosen by.
    pub hash: u64,
    /// Destination-wide number of this version and projection; the id of its layout.
    pub id: u32,
    pub layout: Arc<Layout>,
    pub program: RowProgram,
    pub schema: TableSchema,
    pub formats: Vec<ColumnFormat>,
    /// All ordinals of the table so far, in order, the retired ones too.
    pub fields: Vec<Field>,
    /// Of each column of `schema`.
    pub ordinals: Vec<u16>,
    pub projection: Projection,
}

impl TableVersion {
    /// What it takes in memory, about: text as it is, vectors without their spare room, 16 bytes for each allocation.
    pub fn bytes(&self) -> usize {
        const ALLOCATION: usize = 16;
        let text = |text: &str| text.len() + ALLOCATION;
        let columns: usize = self
            .schema
            .columns
            .iter()
            // Its name is in the schema and the layout (twice).
            .map(|column| size_of_val(column) + 3 * text(&column.name) + size_of::<(ColumnFormat, u16)>())
            .sum();
        let fields: usize = self.fields.iter().map(|field| size_of_val(field) + text(&field.name)).sum();
        let layout = &self.layout;
        let placed: usize = layout.columns.iter().map(|column| size_of_val(column) + text(&column.mysql_type)).sum();
        let nodes: usize = layout.nodes.iter().map(|node| size_of_val(node) + node.len() + ALLOCATION).sum();
        let program = self.program.bytes() + 5 * ALLOCATION;
        let text = layout.capnp_text.len() + 4 * (layout.database.len() + layout.table.len() + ALLOCATION);
        size_of::<Self>() + size_of::<Layout>() + columns + fields + placed + nodes + program + text
    }
}
