//! One version of one table, ready to be decoded and encoded.

use std::sync::Arc;

use millstream_codec::mysql::schema::{ColumnFormat, TableSchema};
use millstream_codec::wire::encode::RowProgram;
use millstream_codec::wire::layout::{Field, Layout};

use crate::engine::interest::Projection;

#[derive(Debug)]
pub struct TableVersion {
    /// Destination-wide number of this version and projection; the id of its layout.
    pub id: u32,
    /// Fixed hash of the table's name: what shards and buckets are chosen by.
    pub hash: u64,
    pub schema: TableSchema,
    pub formats: Vec<ColumnFormat>,
    /// All ordinals of the table so far, in order, the retired ones too.
    pub fields: Vec<Field>,
    /// Of each column of `schema`.
    pub ordinals: Vec<u16>,
    pub projection: Projection,
    pub layout: Arc<Layout>,
    pub program: RowProgram,
}
