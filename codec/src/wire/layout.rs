//! A table's place in a Cap'n Proto struct: which column lies at which slot.
//!
//! The server builds a [`Layout`] from the table's ordinals; a client gets the same from the `Layout` message
//! (see [`super::layout_message`]). Slots follow the `capnp` compiler's rules, so the text of the layout, its
//! compiled nodes and the numbers here agree to the bit; the tests ask the compiler itself.

#[cfg(feature = "mysql")]
use std::borrow::Cow;
use std::sync::Arc;

#[cfg(feature = "mysql")]
use super::{hash::declaration_id, names, nodes, slots::SlotAllocator, text};
#[cfg(feature = "mysql")]
use crate::mysql::schema::{ColumnSchema, ColumnType};

pub use super::names::{assign_field_name, free_field_name};
pub use crate::millstream_capnp::ColumnKind;

/// `Column.nullSlot` of a pointer field, whose NULL is a null pointer.
pub const NO_NULL_SLOT: u32 = u32::MAX;

/// One ordinal of a table's struct, in the order of ordinals. Append-only: a retired one keeps its slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name in the `.capnp` text (camelCase, unique; from [`assign_field_name`]).
    pub name: String,
    pub kind: FieldKind,
    /// True once no column uses it any more; the text calls it `retiredN` then, whatever `name` says.
    pub retired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A column's value.
    Value(ColumnKind),
    /// `<column>IsNull` of the field with this ordinal.
    IsNull(u16),
}

/// How a kind of column lies in a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A data field of `2^n` bits.
    Data {
        size_log2: u8,
    },
    Pointer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutColumn {
    pub name: String,
    pub field: String,
    pub ordinal: u16,
    pub kind: ColumnKind,
    /// Data fields: offset in units of the field's own size. Pointer fields: index of the pointer.
    pub slot: u32,
    /// Bit in the data section of `<field>IsNull`; `None` where NULL is a null pointer. The field's default is true,
    /// and Cap'n Proto stores a value XORed with its default: **the bit is 1 where the value is not NULL**, so that
    /// a zeroed, shorter or older struct reads as NULL.
    pub null_slot: Option<u32>,
    /// For people, as SHOW CREATE TABLE would print it, as far as it is known.
    pub mysql_type: String,
    pub digits: u8,
    pub bits: u8,
    pub labels: Arc<[String]>,
    pub primary_key: u16,
    pub masked: bool,
}

/// One version of a table as a Cap'n Proto struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Destination-wide number; `Rows.layout` names it.
    pub id: u32,
    pub database: String,
    pub table: String,
    pub struct_id: u64,
    pub version: u32,
    pub file_id: u64,
    pub data_words: u16,
    pub pointers: u16,
    pub columns: Vec<LayoutColumn>,
    /// Empty where it is made when somebody asks for it: [`Layout::described`].
    pub capnp_text: String,
    /// The same.
    pub nodes: Vec<Vec<u8>>,
}

/// Why a layout could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("column {column:?} of {table}: its ordinal {ordinal} is not one of the table's {fields} fields")]
    UnknownOrdinal { table: String, column: String, ordinal: u16, fields: usize },
    #[error("column {column:?} of {table}: ordinal {ordinal} holds {field}, but the column is {expected}")]
    KindMismatch { table: String, column: String, ordinal: u16, field: String, expected: String },
    #[error("column {column:?} of {table}: ordinal {ordinal} has no IsNull field behind it")]
    NullFieldMissing { table: String, column: String, ordinal: u16 },
    #[error("{table} has used up its {fields} ordinals: a struct holds at most 65535 fields")]
    TooManyFields { table: String, fields: usize },
}

/// What a layout is built from.
#[cfg(feature = "mysql")]
#[derive(Debug, Clone, Copy)]
pub struct LayoutRequest<'a> {
    pub destination: &'a str,
    pub database: &'a str,
    pub table: &'a str,
    pub version: u32,
    pub id: u32,
    /// Every ordinal that the table ever had.
    pub fields: &'a [Field],
    /// The columns in the order of the table, each with its ordinal.
    pub columns: &'a [(&'a ColumnSchema, u16)],
    /// Which columns a projection leaves out, in the order of `columns`; empty: none.
    pub masked: &'a [bool],
}

#[cfg(feature = "mysql")]
impl Layout {
    /// With its text and its nodes.
    ///
    /// # Errors
    /// Where columns and fields do not belong together.
    pub fn build(request: &LayoutRequest<'_>) -> Result<Self, LayoutError> {
        let (mut layout, slots) = Self::place(request)?;
        (layout.capnp_text, layout.nodes) = layout.describe(&Declared::new(&layout, request.fields, &slots));
        Ok(layout)
    }

    /// Without text and nodes where they follow from the columns. They are half of a layout's memory, and more than half
    /// of the work; of a table whose rows pass they are needed once for each worker core that has a client.
    ///
    /// # Errors
    /// Where columns and fields do not belong together.
    pub fn build_plain(request: &LayoutRequest<'_>) -> Result<Self, LayoutError> {
        match request.fields.iter().any(|field| field.retired) {
            // No column says what it was.
            true => Self::build(request),
            false => Self::place(request).map(|(layout, _)| layout),
        }
    }

    /// With its text and its nodes, which are made now where they are missing.
    pub fn described(&self) -> Cow<'_, Self> {
        if !self.capnp_text.is_empty() {
            return Cow::Borrowed(self);
        }
        let (capnp_text, nodes) = self.describe(&Declared::of_columns(self));
        Cow::Owned(Self { capnp_text, nodes, ..self.clone() })
    }

    fn describe(&self, declared: &Declared<'_>) -> (String, Vec<Vec<u8>>) {
        (text::capnp_text(self, declared), nodes::compile(self, declared))
    }

    /// And the slot of each field.
    fn place(request: &LayoutRequest<'_>) -> Result<(Self, Vec<u32>), LayoutError> {
        let LayoutRequest { destination, database, table, fields, .. } = *request;
        let table_name = || format!("{database}.{table}");
        if fields.len() > usize::from(u16::MAX) {
            return Err(LayoutError::TooManyFields { table: table_name(), fields: fields.len() });
        }
        let mut allocator = SlotAllocator::new();
        let slots: Vec<u32> = fields
            .iter()
            .map(|field| match slot_of_field(field.kind) {
                Slot::Data { size_log2 } => allocator.data(size_log2),
                Slot::Pointer => allocator.pointer(),
            })
            .collect();

        let mut columns = Vec::with_capacity(request.columns.len());
        for (index, &(column, ordinal)) in request.columns.iter().enumerate() {
            let at = usize::from(ordinal);
            let (Some(field), Some(&slot)) = (fields.get(at), slots.get(at)) else {
                return Err(LayoutError::UnknownOrdinal {
                    table: table_name(),
                    column: column.name.clone(),
                    ordinal,
                    fields: fields.len(),
                });
            };
            let kind = field_kind_of(&column.column_type);
            if field.kind != FieldKind::Value(kind) || field.retired {
                return Err(LayoutError::KindMismatch {
                    table: table_name(),
                    column: column.name.clone(),
                    ordinal,
                    field: if field.retired { "a retired field".into() } else { format!("{:?}", field.kind) },
                    expected: format!("{kind:?}"),
                });
            }
            let null_slot = match slot_of(kind) {
                Slot::Pointer => None,
                Slot::Data { .. } => match fields.get(at + 1).map(|next| next.kind) {
                    Some(FieldKind::IsNull(of)) if of == ordinal => Some(slots[at + 1]),
                    _ => {
                        return Err(LayoutError::NullFieldMissing {
                            table: table_name(),
                            column: column.name.clone(),
                            ordinal,
                        });
                    }
                },
            };
            columns.push(LayoutColumn {
                name: column.name.clone(),
                field: field.name.clone(),
                ordinal,
                kind,
                slot,
                null_slot,
                mysql_type: mysql_type(&column.column_type),
                digits: match column.column_type {
                    ColumnType::Time { digits }
                    | ColumnType::DateTime { digits }
                    | ColumnType::Timestamp { digits } => digits,
                    _ => 0,
                },
                bits: match column.column_type {
                    ColumnType::Bit { bits } => bits,
                    _ => 0,
                },
                labels: match &column.column_type {
                    ColumnType::Enum { labels } | ColumnType::Set { labels } => labels.clone(),
                    _ => Arc::from([]),
                },
                primary_key: column.primary_key,
                masked: request.masked.get(index).copied().unwrap_or(false),
            });
        }

        let identity: [&[u8]; 3] = [destination.as_bytes(), database.as_bytes(), table.as_bytes()];
        let version = request.version.to_le_bytes();
        let layout = Self {
            id: request.id,
            database: database.to_owned(),
            table: table.to_owned(),
            struct_id: struct_id(destination, database, table),
            version: request.version,
            file_id: declaration_id(&[b"millstream file", identity[0], identity[1], identity[2], &version]),
            // One word for each of at most 65535 fields.
            data_words: u16::try_from(allocator.data_words()).unwrap_or(u16::MAX),
            pointers: u16::try_from(allocator.pointers()).unwrap_or(u16::MAX),
            columns,
            capnp_text: String::new(),
            nodes: Vec::new(),
        };
        Ok((layout, slots))
    }
}

/// The id of a table's struct: the same for every version of the table.
#[cfg(feature = "mysql")]
pub fn struct_id(destination: &str, database: &str, table: &str) -> u64 {
    declaration_id(&[b"millstream struct", destination.as_bytes(), database.as_bytes(), table.as_bytes()])
}

/// The struct as it is declared: what the text and the compiled nodes both say.
#[cfg(feature = "mysql")]
pub(super) struct Declared<'a> {
    pub struct_name: String,
    /// Of the annotation that carries a column's own name; per version, as the file is.
    pub annotation_id: u64,
    pub fields: Vec<DeclaredField<'a>>,
}

#[cfg(feature = "mysql")]
pub(super) struct DeclaredField<'a> {
    pub name: String,
    pub kind: FieldKind,
    pub slot: u32,
    /// The column whose value it is; `None` for IsNull fields and retired ones.
    pub column: Option<&'a LayoutColumn>,
}

#[cfg(feature = "mysql")]
impl<'a> Declared<'a> {
    fn new(layout: &'a Layout, fields: &[Field], slots: &[u32]) -> Self {
        let mut declared: Vec<DeclaredField<'a>> = (0u16..)
            .zip(fields)
            .zip(slots)
            .map(|((ordinal, field), &slot)| DeclaredField {
                name: if field.retired { names::retired_name(ordinal) } else { field.name.clone() },
                kind: field.kind,
                slot,
                column: None,
            })
            .collect();
        for column in &layout.columns {
            if let Some(field) = declared.get_mut(usize::from(column.ordinal)) {
                field.column = Some(column);
            }
        }
        Self::named(layout, declared)
    }

    /// Where every field is one of a column.
    fn of_columns(layout: &'a Layout) -> Self {
        let mut columns: Vec<&LayoutColumn> = layout.columns.iter().collect();
        columns.sort_by_key(|column| column.ordinal);
        let mut fields = Vec::with_capacity(2 * columns.len());
        for column in columns {
            let (name, kind) = (column.field.clone(), FieldKind::Value(column.kind));
            fields.push(DeclaredField { name, kind, slot: column.slot, column: Some(column) });
            if let Some(slot) = column.null_slot {
                let (name, kind) = (names::is_null_name(&column.field), FieldKind::IsNull(column.ordinal));
                fields.push(DeclaredField { name, kind, slot, column: None });
            }
        }
        Self::named(layout, fields)
    }

    fn named(layout: &Layout, fields: Vec<DeclaredField<'a>>) -> Self {
        Self {
            struct_name: names::struct_name(&layout.table),
            annotation_id: declaration_id(&[b"millstream column annotation", &layout.file_id.to_le_bytes()]),
            fields,
        }
    }
}

/// The kind of field that a column's values take.
#[cfg(feature = "mysql")]
pub fn field_kind_of(column_type: &ColumnType) -> ColumnKind {
    match column_type {
        ColumnType::Integer { bytes, unsigned } => match (bytes, unsigned) {
            (1, false) => ColumnKind::Int8,
            (1, true) => ColumnKind::Uint8,
            (2, false) => ColumnKind::Int16,
            (2, true) => ColumnKind::Uint16,
            (3 | 4, false) => ColumnKind::Int32,
            (3 | 4, true) => ColumnKind::Uint32,
            (_, false) => ColumnKind::Int64,
            (_, true) => ColumnKind::Uint64,
        },
        ColumnType::Float => ColumnKind::Float32,
        ColumnType::Double => ColumnKind::Float64,
        ColumnType::Decimal { .. } => ColumnKind::Decimal,
        ColumnType::Bit { .. } => ColumnKind::Bit,
        ColumnType::Set { .. } => ColumnKind::Set,
        ColumnType::Enum { .. } => ColumnKind::Enum,
        ColumnType::Year => ColumnKind::Year,
        ColumnType::Date => ColumnKind::Date,
        ColumnType::DateTime { .. } => ColumnKind::Datetime,
        ColumnType::Timestamp { .. } => ColumnKind::Timestamp,
        ColumnType::Time { .. } => ColumnKind::Time,
        ColumnType::Text { .. } => ColumnKind::Text,
        ColumnType::Json => ColumnKind::Json,
        ColumnType::Binary { .. } => ColumnKind::Data,
        ColumnType::Geometry => ColumnKind::Geometry,
        ColumnType::Vector => ColumnKind::Vector,
        ColumnType::Inet6 => ColumnKind::Inet6,
        ColumnType::Inet4 => ColumnKind::Inet4,
        ColumnType::Uuid => ColumnKind::Uuid,
    }
}

/// Where values of a kind lie. `Unknown` is a pointer, of which nothing is read.
pub fn slot_of(kind: ColumnKind) -> Slot {
    let size_log2 = match kind {
        ColumnKind::Int8 | ColumnKind::Uint8 => 3,
        ColumnKind::Int16 | ColumnKind::Uint16 | ColumnKind::Enum | ColumnKind::Year => 4,
        ColumnKind::Int32 | ColumnKind::Uint32 | ColumnKind::Float32 => 5,
        ColumnKind::Int64
        | ColumnKind::Uint64
        | ColumnKind::Float64
        | ColumnKind::Bit
        | ColumnKind::Set
        | ColumnKind::Date
        | ColumnKind::Datetime
        | ColumnKind::Timestamp
        | ColumnKind::Time => 6,
        ColumnKind::Unknown
        | ColumnKind::Decimal
        | ColumnKind::Text
        | ColumnKind::Json
        | ColumnKind::Data
        | ColumnKind::Geometry
        | ColumnKind::Vector
        | ColumnKind::Inet6
        | ColumnKind::Inet4
        | ColumnKind::Uuid => return Slot::Pointer,
    };
    Slot::Data { size_log2 }
}

/// The type of a kind's fields in the `.capnp` text.
pub fn capnp_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Int8 => "Int8",
        ColumnKind::Int16 => "Int16",
        ColumnKind::Int32 => "Int32",
        ColumnKind::Int64 | ColumnKind::Date | ColumnKind::Datetime | ColumnKind::Timestamp | ColumnKind::Time => {
            "Int64"
        }
        ColumnKind::Uint8 => "UInt8",
        ColumnKind::Uint16 | ColumnKind::Enum | ColumnKind::Year => "UInt16",
        ColumnKind::Uint32 => "UInt32",
        ColumnKind::Uint64 | ColumnKind::Bit | ColumnKind::Set => "UInt64",
        ColumnKind::Float32 => "Float32",
        ColumnKind::Float64 => "Float64",
        ColumnKind::Decimal
        | ColumnKind::Text
        | ColumnKind::Json
        | ColumnKind::Inet6
        | ColumnKind::Inet4
        | ColumnKind::Uuid => "Text",
        ColumnKind::Data | ColumnKind::Geometry => "Data",
        ColumnKind::Vector => "List(Float32)",
        ColumnKind::Unknown => "AnyPointer",
    }
}

#[cfg(feature = "mysql")]
fn slot_of_field(kind: FieldKind) -> Slot {
    match kind {
        FieldKind::Value(kind) => slot_of(kind),
        FieldKind::IsNull(_) => Slot::Data { size_log2: 0 },
    }
}

/// The type in MySQL's words. What the binlog does not tell (VARCHAR or TEXT, say) is left in general terms.
#[cfg(feature = "mysql")]
fn mysql_type(column_type: &ColumnType) -> String {
    let with_digits = |name: &str, digits: u8| match digits {
        0 => name.to_owned(),
        digits => format!("{name}({digits})"),
    };
    let with_labels = |name: &str, labels: &[String]| {
        let quoted: Vec<String> = labels.iter().map(|label| format!("'{}'", label.replace('\'', "''"))).collect();
        format!("{name}({})", quoted.join(","))
    };
    match column_type {
        ColumnType::Integer { bytes, unsigned } => {
            let name = match bytes {
                1 => "tinyint",
                2 => "smallint",
                3 => "mediumint",
                4 => "int",
                _ => "bigint",
            };
            format!("{name}{}", if *unsigned { " unsigned" } else { "" })
        }
        ColumnType::Float => "float".into(),
        ColumnType::Double => "double".into(),
        ColumnType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        ColumnType::Bit { bits } => format!("bit({bits})"),
        ColumnType::Year => "year".into(),
        ColumnType::Date => "date".into(),
        ColumnType::Time { digits } => with_digits("time", *digits),
        ColumnType::DateTime { digits } => with_digits("datetime", *digits),
        ColumnType::Timestamp { digits } => with_digits("timestamp", *digits),
        ColumnType::Text { charset, length: 0 } => format!("text character set {charset}"),
        ColumnType::Text { charset, length } => {
            format!("text of {length} bytes character set {charset}")
        }
        ColumnType::Binary { fixed: Some(bytes) } => format!("binary({bytes})"),
        ColumnType::Binary { fixed: None } => "varbinary".into(),
        ColumnType::Enum { labels } => with_labels("enum", labels),
        ColumnType::Set { labels } => with_labels("set", labels),
        ColumnType::Json => "json".into(),
        ColumnType::Geometry => "geometry".into(),
        ColumnType::Vector => "vector".into(),
        ColumnType::Inet6 => "inet6".into(),
        ColumnType::Inet4 => "inet4".into(),
        ColumnType::Uuid => "uuid".into(),
    }
}
