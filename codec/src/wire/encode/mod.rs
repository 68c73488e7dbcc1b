//! Row images of an event to lists of a table's struct, in one pass: what the binlog has of a column is stored where
//! Cap'n Proto wants it, with no value in between and nothing allocated per row.
//!
//! ```text
//! RowProgram   per table version: for each column how to read it and where it goes
//! RowsEncoder  per worker: walks the rows of an event
//!
//! one piece    [heap: texts, data, vectors] [tag, structs before] [tag, structs after]
//! ```
//! The lists lie behind their heap, so that a piece is written front to back without its number of rows known. While
//! rows are read their structs collect beside it; when they are put behind the heap, their pointers move by the same
//! number of words each.
//!
//! Invariants: pointers are relative and stay inside their piece; a piece is a whole number of words; a NULL, a
//! column that the image does not have and a masked one are all zero in the struct (the stored bit of IsNull is 1
//! where there *is* a value, see [`LayoutColumn::null_slot`](super::layout::LayoutColumn::null_slot)). No bytes of a
//! peer make it panic or run without end, and what it writes is bounded.

mod element;
mod error;
mod heap;
mod image;
mod program;
mod rows;

pub use super::encoded::{CellState, EncodedCell, EncodedRows, Image, ListRef, Op};
pub use error::EncodeError;
pub use program::RowProgram;
pub use rows::{EVENT_OUTPUT_BYTES_MAX, Pieces, RowsEncoder};
