//! Rows by layout: values of a table's struct without generated code.
//!
//! All access is checked, through the readers of the `capnp` crate or those of [`super::words`]: whatever the bytes
//! are, reading them gives a value or an error. A struct that is shorter than its layout says reads as NULL where it
//! ends, one that is longer keeps its secrets.

use capnp::private::layout::StructReader;
use capnp::traits::FromPointerReader;
use capnp::{primitive_list, struct_list};

use super::encoded::{CellState, Image, Op};
use super::layout::{ColumnKind, Layout, LayoutColumn};
use super::view;
use super::words::{Struct, StructList};
use crate::millstream_capnp::{cell, rows};

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
pub struct Vector<'a>(Floats<'a>);

#[derive(Clone, Copy)]
enum Floats<'a> {
    Capnp(primitive_list::Reader<'a, f32>),
    Words(&'a [[u8; 4]]),
}

impl<'a> Vector<'a> {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = f32> + use<'a> {
        let floats = self.0;
        (0..self.len()).map(move |index| match floats {
            Floats::Capnp(list) => list.get(index as u32),
            Floats::Words(words) => words.get(index).copied().map(f32::from_le_bytes).unwrap_or_default(),
        })
    }

    pub fn len(&self) -> usize {
        match self.0 {
            Floats::Capnp(list) => list.len() as usize,
            Floats::Words(words) => words.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

/// Where only words are known.
#[cold]
fn damaged() -> ReadError {
    ReadError::Damaged(capnp::Error::failed("a pointer leads out of it, or to something else".to_owned()))
}

/// A list of structs, by one of the two readers.
#[derive(Clone, Copy)]
enum RowList<'a> {
    Capnp(struct_list::Reader<'a, row_struct::Owned>),
    Words(StructList<'a>),
}

impl<'a> RowList<'a> {
    fn len(&self) -> u32 {
        match self {
            Self::Capnp(list) => list.len(),
            Self::Words(list) => list.len(),
        }
    }

    #[inline]
    fn get(&self, row: u32) -> Option<Fields<'a>> {
        match self {
            Self::Capnp(list) => Some(Fields::Capnp(list.try_get(row)?.0)),
            Self::Words(list) => list.get(row).map(Fields::Words),
        }
    }
}

/// One struct of such a list.
#[derive(Clone, Copy)]
enum Fields<'a> {
    Capnp(StructReader<'a>),
    Words(Struct<'a>),
}

/// A field of a row's data section; slots count in units of the field's own size.
macro_rules! data_field {
    ($name:ident, $of:ty, $bits:ident) => {
        #[inline]
        fn $name(&self, slot: usize) -> $of {
            match self {
                Self::Capnp(fields) => fields.get_data_field::<$of>(slot),
                Self::Words(fields) => <$of>::from_ne_bytes(fields.$bits(slot).to_ne_bytes()),
            }
        }
    };
}

impl<'a> Fields<'a> {
    data_field!(i8, i8, u8);
    data_field!(i16, i16, u16);
    data_field!(i32, i32, u32);
    data_field!(i64, i64, u64);
    data_field!(u8, u8, u8);
    data_field!(u16, u16, u16);
    data_field!(u32, u32, u32);
    data_field!(u64, u64, u64);
    data_field!(f32, f32, u32);
    data_field!(f64, f64, u64);

    #[inline]
    fn bit(&self, slot: usize) -> bool {
        match self {
            Self::Capnp(fields) => fields.get_bool_field(slot),
            Self::Words(fields) => fields.bit(slot),
        }
    }

    #[inline]
    fn is_null(&self, slot: usize) -> bool {
        match self {
            Self::Capnp(fields) => fields.get_pointer_field(slot).is_null(),
            Self::Words(fields) => fields.is_null(slot),
        }
    }

    fn text(&self, slot: usize) -> Result<&'a [u8], ReadError> {
        match self {
            Self::Capnp(fields) => {
                let text = capnp::text::Reader::get_from_pointer(&fields.get_pointer_field(slot), None)?;
                Ok(text.as_bytes())
            }
            Self::Words(fields) => fields.text(slot).ok_or_else(damaged),
        }
    }

    fn data(&self, slot: usize) -> Result<&'a [u8], ReadError> {
        match self {
            Self::Capnp(fields) => Ok(fields.get_pointer_field(slot).get_data(None)?),
            Self::Words(fields) => fields.data(slot).ok_or_else(damaged),
        }
    }

    fn floats(&self, slot: usize) -> Result<Vector<'a>, ReadError> {
        match self {
            Self::Capnp(fields) => {
                let list = FromPointerReader::get_from_pointer(&fields.get_pointer_field(slot), None)?;
                Ok(Vector(Floats::Capnp(list)))
            }
            Self::Words(fields) => Ok(Vector(Floats::Words(fields.four_bytes(slot).ok_or_else(damaged)?))),
        }
    }
}

#[derive(Clone, Copy)]
enum CellList<'a> {
    Capnp(struct_list::Reader<'a, cell::Owned>),
    Words(StructList<'a>),
}

#[derive(Clone, Copy)]
enum Cell<'a> {
    Capnp(cell::Reader<'a>),
    Words(view::Cell<'a>),
}

impl<'a> CellList<'a> {
    fn len(&self) -> u32 {
        match self {
            Self::Capnp(list) => list.len(),
            Self::Words(list) => list.len(),
        }
    }

    fn get(&self, index: u32) -> Option<Cell<'a>> {
        match self {
            Self::Capnp(list) => list.try_get(index).map(Cell::Capnp),
            Self::Words(list) => list.get(index).map(|cell| Cell::Words(view::Cell(cell))),
        }
    }
}

impl<'a> Cell<'a> {
    fn row(&self) -> u32 {
        match self {
            Self::Capnp(cell) => cell.get_row(),
            Self::Words(cell) => cell.row(),
        }
    }

    fn is_of(&self, column: usize, image: Image) -> bool {
        let (of_column, of_image) = match self {
            Self::Capnp(cell) => (cell.get_column(), cell.get_image()),
            Self::Words(cell) => (cell.column(), cell.image()),
        };
        usize::from(of_column) == column && (of_image == 0) == (image == Image::Before)
    }

    /// `None`: one that this version does not know.
    fn state(&self) -> Option<CellState> {
        match self {
            Self::Capnp(cell) => cell.get_state().ok(),
            Self::Words(cell) => CellState::try_from(cell.state()).ok(),
        }
    }

    fn payload(&self) -> Result<&'a [u8], ReadError> {
        match self {
            Self::Capnp(cell) => Ok(cell.get_payload()?),
            Self::Words(cell) => cell.payload().ok_or_else(damaged),
        }
    }
}

/// The rows of one change, by their layout.
#[derive(Clone, Copy)]
pub struct RowsReader<'a> {
    layout: &'a Layout,
    op: Op,
    count: u32,
    first_row: u32,
    event: u32,
    event_offset: u64,
    before: Option<RowList<'a>>,
    after: Option<RowList<'a>>,
    before_present: &'a [u8],
    after_present: &'a [u8],
    cells: CellList<'a>,
}

/// Has the list of an image, where there is to be one, as many rows as are announced?
#[inline]
fn of_count(op: Op, count: u32, image: Image, list: RowList<'_>) -> Result<Option<RowList<'_>>, ReadError> {
    match list.len() {
        found if found == count => Ok(Some(list)),
        found => Err(ReadError::Count { op, count, image, found }),
    }
}

impl<'a> RowsReader<'a> {
    /// # Errors
    /// Where the message is damaged, or the layout is another one's.
    pub fn new(reader: rows::Reader<'a>, layout: &'a Layout) -> Result<Self, ReadError> {
        if reader.get_layout() != layout.id {
            return Err(ReadError::OtherLayout { found: reader.get_layout(), expected: layout.id });
        }
        let op = reader.get_op().map_err(|unknown| ReadError::UnknownOp { value: unknown.0 })?;
        let count = reader.get_count();
        let list = |image: Image, carried: bool, pointer: capnp::any_pointer::Reader<'a>| {
            if !carried {
                return Ok(None);
            }
            of_count(op, count, image, RowList::Capnp(pointer.get_as()?))
        };
        Ok(Self {
            layout,
            op,
            count,
            first_row: reader.get_first_row(),
            event: reader.get_event(),
            event_offset: reader.get_offset(),
            before: list(Image::Before, op != Op::Insert, reader.get_before())?,
            after: list(Image::After, op != Op::Delete, reader.get_after())?,
            before_present: reader.get_before_present()?,
            after_present: reader.get_after_present()?,
            cells: CellList::Capnp(reader.get_cells()?),
        })
    }

    /// The same, of a message whose words are at hand.
    ///
    /// # Errors
    /// Where the message is damaged, or the layout is another one's.
    #[inline]
    pub fn of_words(reader: view::Rows<'a>, layout: &'a Layout) -> Result<Self, ReadError> {
        if reader.layout() != layout.id {
            return Err(ReadError::OtherLayout { found: reader.layout(), expected: layout.id });
        }
        let op = Op::try_from(reader.op()).map_err(|unknown| ReadError::UnknownOp { value: unknown.0 })?;
        let count = reader.count();
        let list = |image: Image, list: Option<StructList<'a>>| {
            of_count(op, count, image, RowList::Words(list.ok_or_else(damaged)?))
        };
        Ok(Self {
            layout,
            op,
            count,
            first_row: reader.first_row(),
            event: reader.event(),
            event_offset: reader.offset(),
            before: if op == Op::Insert { None } else { list(Image::Before, reader.before())? },
            after: if op == Op::Delete { None } else { list(Image::After, reader.after())? },
            before_present: reader.before_present().ok_or_else(damaged)?,
            after_present: reader.after_present().ok_or_else(damaged)?,
            cells: CellList::Words(reader.cells().ok_or_else(damaged)?),
        })
    }

    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    pub fn op(&self) -> Op {
        self.op
    }

    pub fn len(&self) -> u32 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Ordinal of the first row among the rows of its table in its transaction.
    pub fn first_row(&self) -> u32 {
        self.first_row
    }

    /// Ordinal of the event in its transaction.
    pub fn event(&self) -> u32 {
        self.event
    }

    /// Of the event in its file.
    pub fn event_offset(&self) -> u64 {
        self.event_offset
    }

    /// The row as it was: of updates and deletes.
    #[inline]
    pub fn before(&self, row: u32) -> Option<RowReader<'a>> {
        self.image(row, Image::Before, self.before?, self.before_present)
    }

    /// The row as it is now: of inserts and updates.
    #[inline]
    pub fn after(&self, row: u32) -> Option<RowReader<'a>> {
        self.image(row, Image::After, self.after?, self.after_present)
    }

    #[inline]
    fn image(&self, row: u32, image: Image, list: RowList<'a>, present: &'a [u8]) -> Option<RowReader<'a>> {
        let fields = list.get(row)?;
        let cells = if self.cells.len() == 0 { None } else { Some(self.cells_of(row)) };
        Some(RowReader { layout: self.layout, fields, present, image, cells })
    }

    /// Where the row's cells lie: they ascend by row.
    fn cells_of(&self, row: u32) -> RowCells<'a> {
        let row_at = |index: u32| self.cells.get(index).map_or(u32::MAX, |cell| cell.row());
        let (mut low, mut high) = (0, self.cells.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if row_at(middle) < row { low = middle + 1 } else { high = middle }
        }
        RowCells { cells: self.cells, first: low, row }
    }
}

#[derive(Clone, Copy)]
struct RowCells<'a> {
    cells: CellList<'a>,
    first: u32,
    row: u32,
}

impl<'a> RowCells<'a> {
    fn find(&self, column: usize, image: Image) -> Option<Cell<'a>> {
        (self.first..self.cells.len())
            .map_while(|index| self.cells.get(index))
            .take_while(|cell| cell.row() == self.row)
            .find(|cell| cell.is_of(column, image))
    }
}

/// One image of one row.
#[derive(Clone, Copy)]
pub struct RowReader<'a> {
    layout: &'a Layout,
    fields: Fields<'a>,
    present: &'a [u8],
    image: Image,
    cells: Option<RowCells<'a>>,
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
            Some(cell) if cell.state() == Some(CellState::InvalidText) => Ok(Some(cell.payload()?)),
            _ => Ok(None),
        }
    }

    fn cell(&self, index: usize) -> Option<Cell<'a>> {
        self.cells?.find(index, self.image)
    }

    fn is_present(&self, index: usize) -> bool {
        self.present.is_empty() || self.present.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    fn value_of(&self, index: usize, column: &'a LayoutColumn) -> Result<Value<'a>, ReadError> {
        if column.masked {
            return Ok(Value::Masked);
        }
        if !self.is_present(index) {
            return Ok(Value::Absent);
        }
        if let Some(cell) = self.cell(index) {
            match cell.state() {
                Some(CellState::JsonDiff) => return Ok(Value::JsonDiff(cell.payload()?)),
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
            let text = self.fields.text(slot)?;
            std::str::from_utf8(text).map_err(|_| ReadError::NotUtf8 { column: column.name.clone() })
        };
        Ok(match column.kind {
            ColumnKind::Decimal => Value::Decimal(text()?),
            ColumnKind::Text => Value::Text(text()?),
            ColumnKind::Json => Value::Json(text()?),
            ColumnKind::Inet6 => Value::Inet6(text()?),
            ColumnKind::Inet4 => Value::Inet4(text()?),
            ColumnKind::Uuid => Value::Uuid(text()?),
            ColumnKind::Data => Value::Bytes(self.fields.data(slot)?),
            ColumnKind::Geometry => Value::Geometry(self.fields.data(slot)?),
            ColumnKind::Vector => Value::Vector(self.fields.floats(slot)?),
            _ => Value::Unknown,
        })
    }

    fn data_value(&self, kind: ColumnKind, slot: usize) -> Value<'a> {
        let fields = &self.fields;
        match kind {
            ColumnKind::Int8 => Value::Int(i64::from(fields.i8(slot))),
            ColumnKind::Int16 => Value::Int(i64::from(fields.i16(slot))),
            ColumnKind::Int32 => Value::Int(i64::from(fields.i32(slot))),
            ColumnKind::Int64 => Value::Int(fields.i64(slot)),
            ColumnKind::Uint8 => Value::UInt(u64::from(fields.u8(slot))),
            ColumnKind::Uint16 => Value::UInt(u64::from(fields.u16(slot))),
            ColumnKind::Uint32 => Value::UInt(u64::from(fields.u32(slot))),
            ColumnKind::Uint64 => Value::UInt(fields.u64(slot)),
            ColumnKind::Float32 => Value::Float32(fields.f32(slot)),
            ColumnKind::Float64 => Value::Float64(fields.f64(slot)),
            ColumnKind::Bit => Value::Bit(fields.u64(slot)),
            ColumnKind::Set => Value::Set(fields.u64(slot)),
            ColumnKind::Enum => Value::Enum(fields.u16(slot)),
            ColumnKind::Year => Value::Year(fields.u16(slot)),
            ColumnKind::Date => Value::Date(fields.i64(slot)),
            ColumnKind::Datetime => Value::DateTime(fields.i64(slot)),
            ColumnKind::Timestamp => Value::Timestamp(fields.i64(slot)),
            ColumnKind::Time => Value::Time(fields.i64(slot)),
            _ => Value::Unknown,
        }
    }
}

/// A struct of which only its own size is known, as the `capnp` crate wants a type for it.
mod row_struct {
    use capnp::introspect::{Introspect, Type, TypeVariant};
    use capnp::private::layout::{PointerBuilder, StructBuilder, StructReader, StructSize};
    use capnp::traits::{HasStructSize, OwnedStruct, SetterInput};

    pub struct Owned;

    #[derive(Clone, Copy)]
    pub struct RowStruct<'a>(pub StructReader<'a>);

    /// Rows are never built this way; the trait asks for a builder.
    pub struct Builder;

    impl<'a> From<StructReader<'a>> for RowStruct<'a> {
        fn from(reader: StructReader<'a>) -> Self {
            Self(reader)
        }
    }

    impl<'a> From<StructBuilder<'a>> for Builder {
        fn from(_: StructBuilder<'a>) -> Self {
            Self
        }
    }

    impl HasStructSize for Builder {
        const STRUCT_SIZE: StructSize = StructSize { data: 0, pointers: 0 };
    }

    impl Introspect for Owned {
        fn introspect() -> Type {
            TypeVariant::AnyPointer.into()
        }
    }

    impl<'a> capnp::traits::IntoInternalStructReader<'a> for RowStruct<'a> {
        fn into_internal_struct_reader(self) -> StructReader<'a> {
            self.0
        }
    }

    impl SetterInput<Owned> for RowStruct<'_> {
        fn set_pointer_builder(mut builder: PointerBuilder<'_>, input: Self, canonicalize: bool) -> capnp::Result<()> {
            builder.set_struct(&input.0, canonicalize)
        }
    }

    impl OwnedStruct for Owned {
        type Reader<'a> = RowStruct<'a>;
        type Builder<'a> = Builder;
    }
}
