//! Row images of an event to lists of a table's struct, in one pass.

pub use super::encoded::{CellState, EncodedCell, EncodedRows, Image, ListRef, Op};
