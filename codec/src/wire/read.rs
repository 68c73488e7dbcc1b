//! Rows by layout: values of a table's struct without generated code.
//!
//! All access is checked, through the readers of [`super::words`]: whatever the bytes are, reading them gives a value or
//! an error. A struct that is shorter than its layout says reads as NULL where it ends, one that is longer keeps its
//! secrets.

use super::encoded::{CellState, Image, Op};
use super::layout::{ColumnKind, Layout, LayoutColumn};
use super::view;
use super::words::{BytesPlace, ListPlace, Segment, Struct, StructList};

/// One value. Labels of ENUM and SET are in the layout.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    Null,
    /// The row image does not carry the column (`binlog_row_image` MINIMAL, NOBLOB).
    Absent,
    /// The subscription's projection leaves the column out.
    Masked,
    Int(i64),
    UInt(u64),
    Float32(f32),
    Float64(f64),
    Decimal(&'a str),
    Bit(u64),
    /// Bit i: label i of the layout.
    Set(u64),
    /// Label i - 1 of the layout; 0: the empty string that MySQL stores for a value that is none of them.
    Enum(u16),
    Year(u16),
    /// Microseconds, see [`super::temporal`].
    Date(i64),
    DateTime(i64),
    Timestamp(i64),
    Time(i64),
    Text(&'a str),
    Json(&'a str),
    /// MySQL's binary diff of a partial update whose document is not in the before image.
    JsonDiff(&'a [u8]),
    Bytes(&'a [u8]),
    /// SRID and WKB.
    Geometry(&'a [u8]),
    Vector(Vector<'a>),
    Inet6(&'a str),
    Inet4(&'a str),
    Uuid(&'a str),
    /// A kind of column that this build does not know.
    Unknown,
}

/// The elements of a VECTOR.
#[derive(Clone, Copy)]
pub struct Vector<'a>(&'a [[u8; 4]]);

impl<'a> Vector<'a> {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = f32> + use<'a> {
        self.0.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Vector<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Absent => f.write_str("Absent"),
            Self::Masked => f.write_str("Masked"),
            Self::Unknown => f.write_str("Unknown"),
            Self::Int(value) => write!(f, "Int({value})"),
            Self::UInt(value) => write!(f, "UInt({value})"),
            Self::Float32(value) => write!(f, "Float32({value})"),
            Self::Float64(value) => write!(f, "Float64({value})"),
            Self::Decimal(value) => write!(f, "Decimal({value})"),
            Self::Bit(value) => write!(f, "Bit({value})"),
            Self::Set(value) => write!(f, "Set({value})"),
            Self::Enum(value) => write!(f, "Enum({value})"),
            Self::Year(value) => write!(f, "Year({value})"),
            Self::Date(value) => write!(f, "Date({value})"),
            Self::DateTime(value) => write!(f, "DateTime({value})"),
            Self::Timestamp(value) => write!(f, "Timestamp({value})"),
            Self::Time(value) => write!(f, "Time({value})"),
            Self::Text(value) => write!(f, "Text({value:?})"),
            Self::Json(value) => write!(f, "Json({value:?})"),
            Self::JsonDiff(value) => write!(f, "JsonDiff({value:?})"),
            Self::Bytes(value) => write!(f, "Bytes({value:?})"),
            Self::Geometry(value) => write!(f, "Geometry({value:?})"),
            Self::Vector(value) => write!(f, "Vector({value:?})"),
            Self::Inet6(value) => write!(f, "Inet6({value})"),
            Self::Inet4(value) => write!(f, "Inet4({value})"),
            Self::Uuid(value) => write!(f, "Uuid({value})"),
        }
    }
}

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the message is damaged: {0}")]
    Damaged(#[from] capnp::Error),
    #[error("the text of column {column:?} is not UTF-8")]
    NotUtf8 { column: String },
    #[error("the rows have an operation that this version does not know ({value})")]
    UnknownOp { value: u16 },
    #[error("the rows name layout {found}, but are read by layout {expected}")]
    OtherLayout { found: u32, expected: u32 },
    #[error("{op:?} of {count} rows: the {image:?} list has {found}")]
    Count { op: Op, count: u32, image: Image, found: u32 },
}

#[cold]
fn damaged() -> ReadError {
    ReadError::Damaged(capnp::Error::failed("a pointer leads out of it, or to something else".to_owned()))
}

/// The rows of one change, by their layout.
// A copy is made for each change, and of a `RowReader` for each row: they hold places in the segment, and it once.
#[derive(Clone, Copy)]
pub struct RowsReader<'a> {
    layout: &'a Layout,
    rows: view::Rows<'a>,
    /// Both lists have as many rows as the change, or none.
    before: ListPlace,
    after: ListPlace,
    cells: ListPlace,
    before_present: BytesPlace,
    after_present: BytesPlace,
    count: u32,
    op: Op,
}

impl<'a> RowsReader<'a> {
    /// # Errors
    /// Where the message is damaged, or the layout is another one's.
    #[inline]
    pub fn new(rows: view::Rows<'a>, layout: &'a Layout) -> Result<Self, ReadError> {
        if rows.layout() != layout.id {
            return Err(ReadError::OtherLayout { found: rows.layout(), expected: layout.id });
        }
        let op = Op::try_from(rows.op()).map_err(|unknown| ReadError::UnknownOp { value: unknown.0 })?;
        let count = rows.count();
        let list = |image: Image, list: Option<StructList<'a>>| match list.ok_or_else(damaged)? {
            list if list.len() == count => Ok(list.place()),
            list => Err(ReadError::Count { op, count, image, found: list.len() }),
        };
        Ok(Self {
            layout,
            rows,
            before: if op == Op::Insert { ListPlace::default() } else { list(Image::Before, rows.before())? },
            after: if op == Op::Delete { ListPlace::default() } else { list(Image::After, rows.after())? },
            cells: rows.cells().ok_or_else(damaged)?.place(),
            before_present: rows.before_present().ok_or_else(damaged)?,
            after_present: rows.after_present().ok_or_else(damaged)?,
            count,
            op,
        })
    }

    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    pub fn op(&self) -> Op {
        self.op
    }

    #[inline]
    pub fn len(&self) -> u32 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ordinal of the first row among the rows of its table in its transaction.
    #[inline]
    pub fn first_row(&self) -> u32 {
        self.rows.first_row()
    }

    /// Ordinal of the event in its transaction.
    pub fn event(&self) -> u32 {
        self.rows.event()
    }

    /// Of the event in its file.
    pub fn event_offset(&self) -> u64 {
        self.rows.offset()
    }

    /// The row as it was: of updates and deletes.
    #[inline]
    pub fn before(&self, row: u32) -> Option<RowReader<'a>> {
        self.image(row, Image::Before, self.before, self.before_present)
    }

    /// The row as it is now: of inserts and updates.
    #[inline]
    pub fn after(&self, row: u32) -> Option<RowReader<'a>> {
        self.image(row, Image::After, self.after, self.after_present)
    }

    #[inline(always)]
    fn image(&self, row: u32, image: Image, list: ListPlace, present: BytesPlace) -> Option<RowReader<'a>> {
        let segment = self.rows.0.segment();
        let fields = StructList::at(segment, list).get(row)?;
        let cells = if self.cells.is_empty() { self.cells } else { cells_of(row, segment, self.cells) };
        Some(RowReader { layout: self.layout, fields, present, cells, image })
    }
}

/// A row's cells: they ascend by row.
#[cold]
fn cells_of(row: u32, segment: Segment<'_>, cells: ListPlace) -> ListPlace {
    let cells = StructList::at(segment, cells);
    let first_where = |from: u32, is_behind: &dyn Fn(u32) -> bool| {
        let (mut low, mut high) = (from, cells.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let is_behind = cells.get(middle).is_none_or(|cell| is_behind(view::Cell(cell).row()));
            if is_behind { high = middle } else { low = middle + 1 }
        }
        low
    };
    let first = first_where(0, &|of| of >= row);
    let end = first_where(first, &|of| of > row);
    cells.part(first, end).place()
}

/// One image of one row.
#[derive(Clone, Copy)]
pub struct RowReader<'a> {
    layout: &'a Layout,
    fields: Struct<'a>,
    present: BytesPlace,
    /// The row's, of both images.
    cells: ListPlace,
    image: Image,
}

impl<'a> RowReader<'a> {
    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    /// The columns in the order of the table, with their values.
    pub fn values(&self) -> impl Iterator<Item = (&'a LayoutColumn, Result<Value<'a>, ReadError>)> + use<'a> {
        let row = *self;
        self.layout.columns.iter().enumerate().map(move |(index, column)| (column, row.value_of(index, column)))
    }

    /// The value of a column by its index in the layout; `Absent` where there is no such column.
    ///
    /// # Errors
    /// Where the message is damaged.
    #[inline]
    pub fn value(&self, index: usize) -> Result<Value<'a>, ReadError> {
        match self.layout.columns.get(index) {
            Some(column) => self.value_of(index, column),
            None => Ok(Value::Absent),
        }
    }

    /// The value of a column by its name; `None` where there is no such column.
    ///
    /// # Errors
    /// Where the message is damaged.
    #[inline]
    pub fn value_named(&self, name: &str) -> Result<Option<Value<'a>>, ReadError> {
        match self.layout.columns.iter().position(|column| column.name == name) {
            Some(index) => self.value(index).map(Some),
            None => Ok(None),
        }
    }

    /// The bytes as MySQL has them, where they are invalid in the column's character set; the value itself holds
    /// them with replacement characters.
    ///
    /// # Errors
    /// Where the message is damaged.
    pub fn invalid_text(&self, index: usize) -> Result<Option<&'a [u8]>, ReadError> {
        match self.cell(index) {
            Some(cell) if state_of(cell) == Some(CellState::InvalidText) => Ok(Some(payload_of(cell)?)),
            _ => Ok(None),
        }
    }

    #[inline]
    fn cell(&self, index: usize) -> Option<view::Cell<'a>> {
        if self.cells.is_empty() {
            return None;
        }
        let cells = StructList::at(self.fields.segment(), self.cells);
        cells
            .iter()
            .map(view::Cell)
            .find(|cell| usize::from(cell.column()) == index && (cell.image() == 0) == (self.image == Image::Before))
    }

    #[inline]
    fn is_present(&self, index: usize) -> bool {
        let has_bit = |byte: u8| byte >> (index % 8) & 1 == 1;
        self.present.is_empty() || self.present.get(self.fields.segment(), index / 8).is_some_and(has_bit)
    }

    fn value_of(&self, index: usize, column: &'a LayoutColumn) -> Result<Value<'a>, ReadError> {
        if column.masked {
            return Ok(Value::Masked);
        }
        if !self.is_present(index) {
            return Ok(Value::Absent);
        }
        if let Some(cell) = self.cell(index) {
            match state_of(cell) {
                Some(CellState::JsonDiff) => return Ok(Value::JsonDiff(payload_of(cell)?)),
                Some(CellState::Masked) => return Ok(Value::Masked),
                Some(CellState::InvalidText) | None => {}
            }
        }
        // A slot is at most a u32; targets of fewer bits are not built for.
        let slot = column.slot as usize;
        if let Some(null_slot) = column.null_slot {
            // Stored inverted: the field's default is true.
            if !self.fields.bit(null_slot as usize) {
                return Ok(Value::Null);
            }
            return Ok(self.data_value(column.kind, slot));
        }
        if self.fields.is_null(slot) {
            return Ok(Value::Null);
        }
        let text = || -> Result<&'a str, ReadError> {
            let text = self.fields.text(slot).ok_or_else(damaged)?;
            std::str::from_utf8(text).map_err(|_| ReadError::NotUtf8 { column: column.name.clone() })
        };
        Ok(match column.kind {
            ColumnKind::Decimal => Value::Decimal(text()?),
            ColumnKind::Text => Value::Text(text()?),
            ColumnKind::Json => Value::Json(text()?),
            ColumnKind::Inet6 => Value::Inet6(text()?),
            ColumnKind::Inet4 => Value::Inet4(text()?),
            ColumnKind::Uuid => Value::Uuid(text()?),
            ColumnKind::Data => Value::Bytes(self.fields.data(slot).ok_or_else(damaged)?),
            ColumnKind::Geometry => Value::Geometry(self.fields.data(slot).ok_or_else(damaged)?),
            ColumnKind::Vector => Value::Vector(Vector(self.fields.four_bytes(slot).ok_or_else(damaged)?)),
            _ => Value::Unknown,
        })
    }

    fn data_value(&self, kind: ColumnKind, slot: usize) -> Value<'a> {
        let fields = &self.fields;
        match kind {
            ColumnKind::Int8 => Value::Int(i64::from(fields.u8(slot).cast_signed())),
            ColumnKind::Int16 => Value::Int(i64::from(fields.u16(slot).cast_signed())),
            ColumnKind::Int32 => Value::Int(i64::from(fields.u32(slot).cast_signed())),
            ColumnKind::Int64 => Value::Int(fields.u64(slot).cast_signed()),
            ColumnKind::Uint8 => Value::UInt(u64::from(fields.u8(slot))),
            ColumnKind::Uint16 => Value::UInt(u64::from(fields.u16(slot))),
            ColumnKind::Uint32 => Value::UInt(u64::from(fields.u32(slot))),
            ColumnKind::Uint64 => Value::UInt(fields.u64(slot)),
            ColumnKind::Float32 => Value::Float32(f32::from_bits(fields.u32(slot))),
            ColumnKind::Float64 => Value::Float64(f64::from_bits(fields.u64(slot))),
            ColumnKind::Bit => Value::Bit(fields.u64(slot)),
            ColumnKind::Set => Value::Set(fields.u64(slot)),
            ColumnKind::Enum => Value::Enum(fields.u16(slot)),
            ColumnKind::Year => Value::Year(fields.u16(slot)),
            ColumnKind::Date => Value::Date(fields.u64(slot).cast_signed()),
            ColumnKind::Datetime => Value::DateTime(fields.u64(slot).cast_signed()),
            ColumnKind::Timestamp => Value::Timestamp(fields.u64(slot).cast_signed()),
            ColumnKind::Time => Value::Time(fields.u64(slot).cast_signed()),
            _ => Value::Unknown,
        }
    }
}

/// `None`: one that this version does not know.
fn state_of(cell: view::Cell<'_>) -> Option<CellState> {
    CellState::try_from(cell.state()).ok()
}

fn payload_of(cell: view::Cell<'_>) -> Result<&[u8], ReadError> {
    cell.payload().ok_or_else(damaged)
}
