//! What the row encoder hands on and a batch takes in: lists of rows as position-independent words, and the little
//! that travels beside them.

use std::ops::Range;

pub use crate::millstream_capnp::{CellState, Op};

/// One `List(struct)` inside a blob of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListRef {
    /// Word offset in the blob of the list's tag.
    pub tag_word: u32,
    /// Words of the elements, the tag not counted: what the list pointer says.
    pub words: u32,
}

/// Which image of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Image {
    Before,
    After,
}

/// What one value has beside its field. Rare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedCell {
    /// Of the piece, from 0.
    pub row: u32,
    /// Index in `Layout.columns`.
    pub column: u16,
    pub image: Image,
    pub state: CellState,
    pub payload: Vec<u8>,
}

/// Rows of one event, ready to be put into a batch; their words lie in a slab that holds those of many.
///
/// The blob is a whole number of words (little-endian, as Cap'n Proto has them) whose pointers are all relative and
/// stay inside it, so that it may lie anywhere in a segment. `cells` ascend by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRows {
    pub op: Op,
    /// Rows in each list.
    pub count: u32,
    /// Ordinal of the first one among the rows of its event: an event may be encoded in several pieces.
    pub first_row_in_event: u32,
    pub before: Option<ListRef>,
    pub after: Option<ListRef>,
    /// In the slab.
    pub blob: Range<usize>,
    /// Bit i (lowest first in each byte): column i is in the image; `None`: all are.
    pub before_present: Option<Box<[u8]>>,
    pub after_present: Option<Box<[u8]>>,
    pub cells: Vec<EncodedCell>,
}
