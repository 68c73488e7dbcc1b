//! Rows as the `capnp` crate's readers see them, by their layout: what the codec's own reader is held against.
//!
//! Shared with the fuzz targets.

use capnp::introspect::{Introspect, Type, TypeVariant};
use capnp::private::layout::{PointerBuilder, StructBuilder, StructReader, StructSize};
use capnp::traits::{FromPointerReader, HasStructSize, IntoInternalStructReader, OwnedStruct, SetterInput};
use capnp::{primitive_list, struct_list};
use millstream_codec::millstream_capnp::{cell, rows};
use millstream_codec::wire::encoded::{CellState, Image};
use millstream_codec::wire::layout::{ColumnKind, Layout, LayoutColumn};
use millstream_codec::wire::read::{RowReader, RowsReader, Value};

/// Whatever the reader by words has accepted, the crate's accepts, and it says the same. Returns how many rows could be
/// read whole.
pub fn says_the_same(words: &RowsReader<'_>, crates: rows::Reader<'_>, rows_max: u32) -> usize {
    let layout = words.layout();
    assert_eq!((layout.id, Ok(words.op())), (crates.get_layout(), crates.get_op()));
    assert_eq!((words.len(), words.first_row()), (crates.get_count(), crates.get_first_row()));
    assert_eq!((words.event(), words.event_offset()), (crates.get_event(), crates.get_offset()));
    let cells = crates.get_cells().expect("cells");
    let mut whole = 0;
    for row in 0..words.len().min(rows_max) {
        let mut is_whole = true;
        for image in [Image::Before, Image::After] {
            let (of_words, pointer, present) = match image {
                Image::Before => (words.before(row), crates.get_before(), crates.get_before_present()),
                Image::After => (words.after(row), crates.get_after(), crates.get_after_present()),
            };
            let Some(of_words) = of_words else { continue };
            let list: struct_list::Reader<'_, Owned> = pointer.get_as().expect("a list");
            assert_eq!(list.len(), words.len());
            let fields = list.get(row).0;
            let of_crate = CrateRow { fields, present: present.expect("bits"), cells, row, image };
            is_whole &= of_crate.is_said_by(&of_words, layout);
        }
        whole += usize::from(is_whole);
    }
    whole
}

struct CrateRow<'a> {
    fields: StructReader<'a>,
    present: &'a [u8],
    cells: struct_list::Reader<'a, cell::Owned>,
    row: u32,
    image: Image,
}

impl<'a> CrateRow<'a> {
    /// False where something of it is damaged.
    fn is_said_by(&self, words: &RowReader<'_>, layout: &Layout) -> bool {
        let mut is_whole = true;
        for (index, column) in layout.columns.iter().enumerate() {
            match words.value(index) {
                Ok(value) => assert_eq!(format!("{value:?}"), self.value(index, column).expect("a value")),
                Err(_) => is_whole = false,
            }
            match words.invalid_text(index) {
                Ok(text) => assert_eq!(text, self.invalid_text(index).expect("a text")),
                Err(_) => is_whole = false,
            }
        }
        is_whole
    }

    /// As [`Value`] prints it.
    fn value(&self, index: usize, column: &LayoutColumn) -> capnp::Result<String> {
        if column.masked {
            return Ok("Masked".to_owned());
        }
        let is_present = |byte: &u8| byte >> (index % 8) & 1 == 1;
        if !self.present.is_empty() && !self.present.get(index / 8).is_some_and(is_present) {
            return Ok("Absent".to_owned());
        }
        if let Some(cell) = self.cell(index) {
            match cell.get_state() {
                Ok(CellState::JsonDiff) => return Ok(format!("{:?}", Value::JsonDiff(cell.get_payload()?))),
                Ok(CellState::Masked) => return Ok("Masked".to_owned()),
                Ok(CellState::InvalidText) | Err(_) => {}
            }
        }
        let slot = column.slot as usize;
        if let Some(null_slot) = column.null_slot {
            if !self.fields.get_bool_field(null_slot as usize) {
                return Ok("Null".to_owned());
            }
            return Ok(format!("{:?}", self.data_value(column.kind, slot)));
        }
        let pointer = self.fields.get_pointer_field(slot);
        if pointer.is_null() {
            return Ok("Null".to_owned());
        }
        if column.kind == ColumnKind::Vector {
            let floats: primitive_list::Reader<'_, f32> = FromPointerReader::get_from_pointer(&pointer, None)?;
            return Ok(format!("Vector({:?})", floats.iter().collect::<Vec<f32>>()));
        }
        let text = || -> capnp::Result<&str> {
            Ok(capnp::text::Reader::get_from_pointer(&self.fields.get_pointer_field(slot), None)?.to_str()?)
        };
        let value = match column.kind {
            ColumnKind::Decimal => Value::Decimal(text()?),
            ColumnKind::Text => Value::Text(text()?),
            ColumnKind::Json => Value::Json(text()?),
            ColumnKind::Inet6 => Value::Inet6(text()?),
            ColumnKind::Inet4 => Value::Inet4(text()?),
            ColumnKind::Uuid => Value::Uuid(text()?),
            ColumnKind::Data => Value::Bytes(pointer.get_data(None)?),
            ColumnKind::Geometry => Value::Geometry(pointer.get_data(None)?),
            _ => Value::Unknown,
        };
        Ok(format!("{value:?}"))
    }

    fn data_value(&self, kind: ColumnKind, slot: usize) -> Value<'a> {
        let fields = &self.fields;
        match kind {
            ColumnKind::Int8 => Value::Int(fields.get_data_field::<i8>(slot).into()),
            ColumnKind::Int16 => Value::Int(fields.get_data_field::<i16>(slot).into()),
            ColumnKind::Int32 => Value::Int(fields.get_data_field::<i32>(slot).into()),
            ColumnKind::Int64 => Value::Int(fields.get_data_field(slot)),
            ColumnKind::Uint8 => Value::UInt(fields.get_data_field::<u8>(slot).into()),
            ColumnKind::Uint16 => Value::UInt(fields.get_data_field::<u16>(slot).into()),
            ColumnKind::Uint32 => Value::UInt(fields.get_data_field::<u32>(slot).into()),
            ColumnKind::Uint64 => Value::UInt(fields.get_data_field(slot)),
            ColumnKind::Float32 => Value::Float32(fields.get_data_field(slot)),
            ColumnKind::Float64 => Value::Float64(fields.get_data_field(slot)),
            ColumnKind::Bit => Value::Bit(fields.get_data_field(slot)),
            ColumnKind::Set => Value::Set(fields.get_data_field(slot)),
            ColumnKind::Enum => Value::Enum(fields.get_data_field(slot)),
            ColumnKind::Year => Value::Year(fields.get_data_field(slot)),
            ColumnKind::Date => Value::Date(fields.get_data_field(slot)),
            ColumnKind::Datetime => Value::DateTime(fields.get_data_field(slot)),
            ColumnKind::Timestamp => Value::Timestamp(fields.get_data_field(slot)),
            ColumnKind::Time => Value::Time(fields.get_data_field(slot)),
            _ => Value::Unknown,
        }
    }

    fn invalid_text(&self, index: usize) -> capnp::Result<Option<&'a [u8]>> {
        match self.cell(index) {
            Some(cell) if cell.get_state() == Ok(CellState::InvalidText) => Ok(Some(cell.get_payload()?)),
            _ => Ok(None),
        }
    }

    /// Searched for as the reader by words does, so that damaged lists, which do not ascend, give the same cell.
    fn cell(&self, column: usize) -> Option<cell::Reader<'a>> {
        let first_where = |from: u32, is_behind: &dyn Fn(u32) -> bool| {
            let (mut low, mut high) = (from, self.cells.len());
            while low < high {
                let middle = low + (high - low) / 2;
                if is_behind(self.cells.get(middle).get_row()) { high = middle } else { low = middle + 1 }
            }
            low
        };
        let first = first_where(0, &|row| row >= self.row);
        let end = first_where(first, &|row| row > self.row);
        (first..end).map(|index| self.cells.get(index)).find(|cell| {
            usize::from(cell.get_column()) == column && (cell.get_image() == 0) == (self.image == Image::Before)
        })
    }
}

/// A struct of which only its own size is known, as the crate wants a type for it.
struct Owned;

#[derive(Clone, Copy)]
struct RowStruct<'a>(StructReader<'a>);

/// Rows are never built this way; the trait asks for a builder.
struct Builder;

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

impl<'a> IntoInternalStructReader<'a> for RowStruct<'a> {
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
