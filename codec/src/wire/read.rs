//! Rows by layout: values of a table's struct without generated code.
//!
//! All access goes through the checked readers of the `capnp` crate: whatever the bytes are, reading them gives a
//! value or an error. A struct that is shorter than its layout says reads as NULL where it ends, one that is longer
//! keeps its secrets.

use capnp::private::layout::StructReader;
use capnp::traits::FromPointerReader;
use capnp::{primitive_list, struct_list};

use super::encoded::{CellState, Image, Op};
use super::layout::{ColumnKind, Layout, LayoutColumn};
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
pub struct Vector<'a>(primitive_list::Reader<'a, f32>);

impl<'a> Vector<'a> {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = f32> + use<'a> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len() as usize
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

type RowList<'a> = struct_list::Reader<'a, row_struct::Owned>;
type CellList<'a> = struct_list::Reader<'a, cell::Owned>;

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
            let list: RowList<'a> = pointer.get_as()?;
            match list.len() == count {
                true => Ok(Some(list)),
                false => Err(ReadError::Count { op, count, image, found: list.len() }),
            }
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
            cells: reader.get_cells()?,
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
    pub fn before(&self, row: u32) -> Option<RowReader<'a>> {
        self.image(row, Image::Before, self.before?, self.before_present)
    }

    /// The row as it is now: of inserts and updates.
    pub fn after(&self, row: u32) -> Option<RowReader<'a>> {
        self.image(row, Image::After, self.after?, self.after_present)
    }

    fn image(&self, row: u32, image: Image, list: RowList<'a>, present: &'a [u8]) -> Option<RowReader<'a>> {
        let fields = list.try_get(row)?.0;
        let cells = if self.cells.is_empty() { None } else { Some(self.cells_of(row)) };
        Some(RowReader { layout: self.layout, fields, present, image, cells })
    }

    /// Where the row's cells lie: they ascend by row.
    fn cells_of(&self, row: u32) -> RowCells<'a> {
        let row_at = |index: u32| self.cells.try_get(index).map_or(u32::MAX, |cell| cell.get_row());
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
    fn find(&self, column: usize, image: Image) -> Option<cell::Reader<'a>> {
        (self.first..self.cells.len())
            .map_while(|index| self.cells.try_get(index))
            .take_while(|cell| cell.get_row() == self.row)
            .find(|cell| {
                usize::from(cell.get_column()) == column && (cell.get_image() == 0) == (image == Image::Before)
            })
    }
}

/// One image of one row.
#[derive(Clone, Copy)]
pub struct RowReader<'a> {
    layout: &'a Layout,
    fields: StructReader<'a>,
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
            Some(cell) if cell.get_state() == Ok(CellState::InvalidText) => Ok(Some(cell.get_payload()?)),
            _ => Ok(None),
        }
    }

    fn cell(&self, index: usize) -> Option<cell::Reader<'a>> {
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
            match cell.get_state() {
                Ok(CellState::JsonDiff) => return Ok(Value::JsonDiff(cell.get_payload()?)),
                Ok(CellState::Masked) => return Ok(Value::Masked),
                Ok(CellState::InvalidText) | Err(_) => {}
            }
        }
        // A slot is at most a u32; targets of fewer bits are not built for.
        let slot = column.slot as usize;
        if let Some(null_slot) = column.null_slot {
            // Stored inverted: the field's default is true.
            if !self.fields.get_bool_field(null_slot as usize) {
                return Ok(Value::Null);
            }
            return Ok(self.data_value(column.kind, slot));
        }
        let pointer = self.fields.get_pointer_field(slot);
        if pointer.is_null() {
            return Ok(Value::Null);
        }
        let text = || -> Result<&'a str, ReadError> {
            let text = capnp::text::Reader::get_from_pointer(&pointer, None)?;
            text.to_str().map_err(|_| ReadError::NotUtf8 { column: column.name.clone() })
        };
        Ok(match column.kind {
            ColumnKind::Decimal => Value::Decimal(text()?),
            ColumnKind::Text => Value::Text(text()?),
            ColumnKind::Json => Value::Json(text()?),
            ColumnKind::Inet6 => Value::Inet6(text()?),
            ColumnKind::Inet4 => Value::Inet4(text()?),
            ColumnKind::Uuid => Value::Uuid(text()?),
            ColumnKind::Data => Value::Bytes(pointer.get_data(None)?),
            ColumnKind::Geometry => Value::Geometry(pointer.get_data(None)?),
            ColumnKind::Vector => Value::Vector(Vector(FromPointerReader::get_from_pointer(&pointer, None)?)),
            _ => Value::Unknown,
        })
    }

    fn data_value(&self, kind: ColumnKind, slot: usize) -> Value<'a> {
        let fields = &self.fields;
        match kind {
            ColumnKind::Int8 => Value::Int(i64::from(fields.get_data_field::<i8>(slot))),
            ColumnKind::Int16 => Value::Int(i64::from(fields.get_data_field::<i16>(slot))),
            ColumnKind::Int32 => Value::Int(i64::from(fields.get_data_field::<i32>(slot))),
            ColumnKind::Int64 => Value::Int(fields.get_data_field::<i64>(slot)),
            ColumnKind::Uint8 => Value::UInt(u64::from(fields.get_data_field::<u8>(slot))),
            ColumnKind::Uint16 => Value::UInt(u64::from(fields.get_data_field::<u16>(slot))),
            ColumnKind::Uint32 => Value::UInt(u64::from(fields.get_data_field::<u32>(slot))),
            ColumnKind::Uint64 => Value::UInt(fields.get_data_field::<u64>(slot)),
            ColumnKind::Float32 => Value::Float32(fields.get_data_field::<f32>(slot)),
            ColumnKind::Float64 => Value::Float64(fields.get_data_field::<f64>(slot)),
            ColumnKind::Bit => Value::Bit(fields.get_data_field::<u64>(slot)),
            ColumnKind::Set => Value::Set(fields.get_data_field::<u64>(slot)),
            ColumnKind::Enum => Value::Enum(fields.get_data_field::<u16>(slot)),
            ColumnKind::Year => Value::Year(fields.get_data_field::<u16>(slot)),
            ColumnKind::Date => Value::Date(fields.get_data_field::<i64>(slot)),
            ColumnKind::Datetime => Value::DateTime(fields.get_data_field::<i64>(slot)),
            ColumnKind::Timestamp => Value::Timestamp(fields.get_data_field::<i64>(slot)),
            ColumnKind::Time => Value::Time(fields.get_data_field::<i64>(slot)),
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
