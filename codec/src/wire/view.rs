//! A received batch by its words: the fields of [`super::batch`]'s structs, each read where it lies.
//!
//! `None` is "damaged" everywhere. Numbers of fields are those of the schema; the tests hold every accessor against the
//! generated code.

use super::words::{BytesPlace, Segment, Struct, StructList, TextList};

const SERVER_MESSAGE_BATCH: u16 = 3;
const CHANGE_ROWS: u16 = 0;
const CHANGE_DDL: u16 = 1;

/// `None`: the message is damaged, or no batch. Its epoch, and its fragments.
pub fn batch(segment: Segment<'_>) -> Option<(u64, StructList<'_>)> {
    let root = segment.root()?;
    if root.u16(0) != SERVER_MESSAGE_BATCH {
        return None;
    }
    let batch = root.structure(0)?;
    Some((batch.u64(0), batch.structs(0)?))
}

/// A file's name, not known to be UTF-8, and an offset.
#[derive(Clone, Copy)]
pub struct FilePosition<'a> {
    pub file: &'a [u8],
    pub offset: u64,
}

/// A transaction, or a part of one.
#[derive(Clone, Copy)]
pub struct Fragment<'a>(pub Struct<'a>);

impl<'a> Fragment<'a> {
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.0.u64(0)
    }

    #[inline]
    pub fn commit_time_us(&self) -> i64 {
        self.0.u64(1).cast_signed()
    }

    #[inline]
    pub fn time_precision_us(&self) -> u32 {
        self.0.u32(4)
    }

    #[inline]
    pub fn begin(&self) -> bool {
        self.0.bit(160)
    }

    #[inline]
    pub fn commit(&self) -> bool {
        self.0.bit(161)
    }

    #[inline]
    pub fn abort(&self) -> bool {
        self.0.bit(162)
    }

    /// Rows of this event on are to be forgotten.
    #[inline]
    pub fn truncate_to(&self) -> Option<u32> {
        // Stored XORed with its default, all ones, which says: none.
        let stored = self.0.u32(6);
        (stored != 0).then_some(!stored)
    }

    #[inline]
    pub fn position(&self) -> Option<FilePosition<'a>> {
        self.file_position(0)
    }

    /// Of `position`, where the file is known.
    #[inline]
    pub fn end_offset(&self) -> Option<u64> {
        Some(self.0.structure(0)?.u64(0))
    }

    #[inline]
    pub fn start_position(&self) -> Option<FilePosition<'a>> {
        self.file_position(4)
    }

    #[inline(always)]
    fn file_position(&self, index: usize) -> Option<FilePosition<'a>> {
        let position = self.0.structure(index)?;
        Some(FilePosition { file: position.text(0)?, offset: position.u64(0) })
    }

    #[inline]
    pub fn gtid(&self) -> Option<&'a [u8]> {
        self.0.text(1)
    }

    #[inline]
    pub fn gtid_delta(&self) -> Option<&'a [u8]> {
        self.0.text(2)
    }

    /// Each is a [`Change`].
    #[inline]
    pub fn changes(&self) -> Option<StructList<'a>> {
        self.0.structs(3)
    }
}

#[derive(Clone, Copy)]
pub enum Change<'a> {
    Rows(Rows<'a>),
    Ddl(Ddl<'a>),
}

impl<'a> Change<'a> {
    /// `None` also where it is of a kind that this version does not know.
    #[inline(always)]
    pub fn read(change: Struct<'a>) -> Option<Self> {
        match change.u16(0) {
            CHANGE_ROWS => Some(Self::Rows(Rows(change.structure(0)?))),
            CHANGE_DDL => Some(Self::Ddl(Ddl(change.structure(0)?))),
            _ => None,
        }
    }
}

/// Rows of one event and one table.
#[derive(Clone, Copy)]
pub struct Rows<'a>(pub Struct<'a>);

impl<'a> Rows<'a> {
    #[inline]
    pub fn layout(&self) -> u32 {
        self.0.u32(0)
    }

    /// The number of an `Op`.
    #[inline]
    pub fn op(&self) -> u16 {
        self.0.u16(2)
    }

    #[inline]
    pub fn count(&self) -> u32 {
        self.0.u32(2)
    }

    #[inline]
    pub fn first_row(&self) -> u32 {
        self.0.u32(3)
    }

    #[inline]
    pub fn offset(&self) -> u64 {
        self.0.u64(2)
    }

    #[inline]
    pub fn event(&self) -> u32 {
        self.0.u32(6)
    }

    #[inline]
    pub fn before(&self) -> Option<StructList<'a>> {
        self.0.structs(0)
    }

    #[inline]
    pub fn after(&self) -> Option<StructList<'a>> {
        self.0.structs(1)
    }

    /// The bits of the columns that the image has; empty: it has all.
    #[inline]
    pub fn before_present(&self) -> Option<BytesPlace> {
        self.0.data_place(2)
    }

    #[inline]
    pub fn after_present(&self) -> Option<BytesPlace> {
        self.0.data_place(3)
    }

    /// Each is a [`Cell`].
    #[inline]
    pub fn cells(&self) -> Option<StructList<'a>> {
        self.0.structs(4)
    }
}

/// What one value has beside its field.
#[derive(Clone, Copy)]
pub struct Cell<'a>(pub Struct<'a>);

impl<'a> Cell<'a> {
    pub fn row(&self) -> u32 {
        self.0.u32(0)
    }

    pub fn column(&self) -> u16 {
        self.0.u16(2)
    }

    /// 0: before.
    pub fn image(&self) -> u8 {
        self.0.u8(6)
    }

    /// The number of a `CellState`.
    pub fn state(&self) -> u16 {
        self.0.u16(4)
    }

    pub fn payload(&self) -> Option<&'a [u8]> {
        self.0.data(0)
    }
}

/// A statement that changed the schema.
#[derive(Clone, Copy)]
pub struct Ddl<'a>(pub Struct<'a>);

impl<'a> Ddl<'a> {
    pub fn database(&self) -> Option<&'a [u8]> {
        self.0.text(0)
    }

    pub fn statement(&self) -> Option<&'a [u8]> {
        self.0.text(1)
    }

    pub fn kind(&self) -> Option<&'a [u8]> {
        self.0.text(2)
    }

    pub fn tables(&self) -> Option<TextList<'a>> {
        self.0.texts(3)
    }
}
