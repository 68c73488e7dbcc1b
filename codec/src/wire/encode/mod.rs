//! Row images of an event to lists of a table's struct, in one pass.

pub use super::encoded::{CellState, EncodedCell, EncodedRows, Image, ListRef, Op};

// TEMPORARY STUB by the lead so that dependants compile: replace wholesale, keep these signatures.
#[derive(Debug)]
pub struct RowProgram;
#[derive(Debug, thiserror::Error)]
#[error("not written yet")]
pub struct EncodeError;
impl RowProgram {
    pub fn compile(
        _layout: &super::layout::Layout,
        _schema: &crate::mysql::schema::TableSchema,
        _formats: &[crate::mysql::schema::ColumnFormat],
    ) -> Result<Self, EncodeError> {
        Ok(RowProgram)
    }
}
#[derive(Debug, Default)]
pub struct RowsEncoder;
impl RowsEncoder {
    /// Returns the number of rows in the event; `piece` is called with each piece in order.
    pub fn encode(
        &mut self,
        _program: &RowProgram,
        _rows: &crate::mysql::rows::RowsEvent<'_>,
        _out: &mut Vec<u8>,
        _bytes_max: usize,
        _piece: impl FnMut(EncodedRows),
    ) -> Result<u32, EncodeError> {
        Err(EncodeError)
    }
}
