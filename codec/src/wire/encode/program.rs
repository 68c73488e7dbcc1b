//! What to do with each column of a row image: decided once per table version, walked for every row.

use super::error::EncodeError;
use crate::millstream_capnp::ColumnKind;
use crate::mysql::schema::{ColumnFormat, ColumnSchema, ColumnType, TableSchema};
use crate::mysql::value::ValueError;
use crate::mysql::value::cell::{CellLength, fraction_bytes, type_code as t};
use crate::mysql::value::charset::Charset;
use crate::mysql::value::decimal::DecimalFormat;
use crate::wire::layout::{Layout, LayoutColumn};

/// The steps of a table, one for each column of the row image.
///
/// In the order in which a row needs it: of a table that comes once in 10,000, every cache line is fetched anew.
#[derive(Debug, Clone)]
#[repr(C)]
pub struct RowProgram {
    pub(super) steps: Box<[Step]>,
    /// A struct of the table whose data columns are all there: the bits of their IsNull are set (the field's default
    /// is true, so that a set bit reads as false), everything else is zero.
    pub(super) template: Box<[u8]>,
    pub(super) data_words: u16,
    pub(super) pointers: u16,
    /// Columns in MySQL's binary JSON, masked ones too: a partial update has a bit for each.
    pub(super) json_columns: usize,
    pub(super) charsets: Box<[Charset]>,
    /// What errors name.
    pub(super) table: String,
    pub(super) columns: Names,
}

/// The names of columns, one behind the other.
#[derive(Debug, Clone)]
pub(super) struct Names {
    text: Box<str>,
    ends: Box<[u32]>,
}

impl Names {
    fn of<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Self {
        let text: String = names.clone().collect();
        let ends = names.scan(0_u32, |end, name| {
            *end = end.saturating_add(u32::try_from(name.len()).unwrap_or(u32::MAX));
            Some(*end)
        });
        Self { text: text.into(), ends: ends.collect() }
    }

    pub fn get(&self, index: usize) -> Option<String> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |start| *start as usize);
        self.text.get(start..end).map(str::to_owned)
    }
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub read: Read,
    /// Index in the image and in the layout.
    pub column: u16,
    /// Byte of the struct where the field or the pointer begins.
    pub place: u32,
    /// Where the bit of IsNull is; the mask is 0 for pointers, whose NULL is a null pointer.
    pub null_byte: u32,
    pub null_mask: u8,
}

/// How a value is read from the image and stored. Prefixes are the 1 to 4 bytes of a length.
#[derive(Debug, Clone, Copy)]
pub(super) enum Read {
    /// Masked, or of no known kind: so many bytes.
    Skip {
        bytes: u8,
    },
    /// The same, with a length before it.
    SkipPrefixed {
        prefix: u8,
    },
    Copy1,
    Copy2,
    Copy4,
    Copy8,
    Signed3,
    Unsigned3,
    Year,
    Bit {
        bytes: u8,
    },
    Set {
        bytes: u8,
    },
    Decimal(DecimalFormat),
    Date,
    DateTime2 {
        fraction: u8,
    },
    Timestamp2 {
        fraction: u8,
    },
    Time2 {
        fraction: u8,
    },
    DateTimeOld,
    TimestampOld,
    TimeOld,
    Utf8 {
        prefix: u8,
    },
    Text {
        prefix: u8,
        charset: u16,
    },
    CompressedText {
        prefix: u8,
        charset: u16,
    },
    /// Filled with zero bytes up to `bytes_min`: MySQL takes them off BINARY(n).
    Data {
        prefix: u8,
        bytes_min: u16,
    },
    CompressedData {
        prefix: u8,
    },
    Json {
        prefix: u8,
        json: u16,
    },
    Vector {
        prefix: u8,
    },
    Inet6 {
        prefix: u8,
    },
    Inet4 {
        prefix: u8,
    },
    Uuid {
        prefix: u8,
    },
}

impl RowProgram {
    /// `layout`, `schema` and `formats` have the columns in the order of the table.
    ///
    /// # Errors
    /// Where they do not belong together, or a column cannot be read.
    pub fn compile(layout: &Layout, schema: &TableSchema, formats: &[ColumnFormat]) -> Result<Self, EncodeError> {
        let table = format!("{}.{}", layout.database, layout.table);
        if layout.columns.len() != schema.columns.len() || formats.len() != schema.columns.len() {
            return Err(EncodeError::Counts {
                table,
                layout: layout.columns.len(),
                schema: schema.columns.len(),
                formats: formats.len(),
            });
        }
        let data_bytes = usize::from(layout.data_words) * 8;
        let element_bytes = data_bytes + usize::from(layout.pointers) * 8;
        let mut compiler = Compiler { table, charsets: Vec::new(), json_columns: 0 };
        let mut template = vec![0; element_bytes];
        let mut steps = Vec::with_capacity(formats.len());
        for (index, ((place, column), &format)) in layout.columns.iter().zip(&schema.columns).zip(formats).enumerate() {
            let read = compiler.read(place, column, format)?;
            let is_read = !matches!(read, Read::Skip { .. } | Read::SkipPrefixed { .. });
            let null_mask = place.null_slot.map_or(0, |bit| 1 << (bit % 8));
            let null_byte = place.null_slot.map_or(0, |bit| bit / 8);
            let start = match width(place.kind) {
                Some(bytes) => place.slot as usize * bytes,
                None => data_bytes + place.slot as usize * 8,
            };
            let end = start + width(place.kind).unwrap_or(8);
            let is_inside = if width(place.kind).is_some() { end <= data_bytes } else { end <= element_bytes };
            if is_read && (!is_inside || null_byte as usize >= data_bytes && null_mask != 0) {
                return Err(compiler.unfit(place, format));
            }
            if let Some(byte) = template.get_mut(null_byte as usize).filter(|_| is_read) {
                *byte |= null_mask;
            }
            steps.push(Step { read, column: index as u16, place: start as u32, null_byte, null_mask });
        }
        let Compiler { table, charsets, json_columns } = compiler;
        Ok(Self {
            steps: steps.into(),
            template: template.into(),
            data_words: layout.data_words,
            pointers: layout.pointers,
            json_columns,
            charsets: charsets.into(),
            table,
            columns: Names::of(schema.columns.iter().map(|column| &*column.name)),
        })
    }

    /// What it has allocated.
    pub fn bytes(&self) -> usize {
        let names = self.table.len() + self.columns.text.len() + size_of_val(&*self.columns.ends);
        size_of_val(&*self.steps) + self.template.len() + size_of_val(&*self.charsets) + names
    }

    /// Columns of the row image.
    pub fn column_count(&self) -> usize {
        self.steps.len()
    }
}

/// Bytes of a data field; `None` for pointers.
fn width(kind: ColumnKind) -> Option<usize> {
    use ColumnKind as K;
    Some(match kind {
        K::Int8 | K::Uint8 => 1,
        K::Int16 | K::Uint16 | K::Enum | K::Year => 2,
        K::Int32 | K::Uint32 | K::Float32 => 4,
        K::Int64 | K::Uint64 | K::Float64 | K::Bit | K::Set => 8,
        K::Date | K::Datetime | K::Timestamp | K::Time => 8,
        _ => return None,
    })
}

struct Compiler {
    table: String,
    charsets: Vec<Charset>,
    json_columns: usize,
}

impl Compiler {
    fn unfit(&self, place: &LayoutColumn, format: ColumnFormat) -> EncodeError {
        EncodeError::Format {
            table: self.table.clone(),
            column: place.name.clone(),
            type_code: format.type_code,
            kind: format!("{:?}", place.kind),
        }
    }

    fn read(&mut self, place: &LayoutColumn, column: &ColumnSchema, format: ColumnFormat) -> Result<Read, EncodeError> {
        use ColumnKind as K;
        let wrong =
            |reason: ValueError| EncodeError::Column { table: self.table.clone(), column: column.name.clone(), reason };
        let length = CellLength::of(format).map_err(wrong)?;
        let unfit = self.unfit(place, format);
        let [low, high] = format.meta.to_le_bytes();
        let fraction = || fraction_bytes(low).map(|bytes| bytes as u8).map_err(wrong);
        let prefix = match length {
            CellLength::Prefixed(bytes) => bytes,
            CellLength::Fixed(_) => 0,
        };
        let bytes = match length {
            CellLength::Fixed(bytes) => bytes as u8,
            CellLength::Prefixed(_) => 0,
        };
        let skip = match length {
            CellLength::Fixed(_) => Read::Skip { bytes },
            CellLength::Prefixed(_) => Read::SkipPrefixed { prefix },
        };
        if format.type_code == t::JSON {
            let json = self.json_columns as u16;
            self.json_columns += 1;
            return match place.kind {
                _ if place.masked => Ok(Read::SkipPrefixed { prefix }),
                K::Json => Ok(Read::Json { prefix, json }),
                K::Unknown => Ok(Read::SkipPrefixed { prefix }),
                _ => Err(unfit),
            };
        }
        // A column of type NULL (a result of CREATE ... SELECT NULL) has no bytes and is always NULL.
        if place.masked || format.type_code == t::NULL {
            return Ok(skip);
        }
        let is_string = matches!(format.type_code, t::VARCHAR | t::VAR_STRING | t::STRING);
        let is_blob = matches!(format.type_code, t::BLOB | t::TINY_BLOB | t::MEDIUM_BLOB | t::LONG_BLOB);
        let is_compressed = matches!(format.type_code, t::VARCHAR_COMPRESSED | t::BLOB_COMPRESSED);
        Ok(match (place.kind, format.type_code) {
            (K::Unknown, _) => skip,
            (K::Int8 | K::Uint8, t::TINY) => Read::Copy1,
            (K::Int16 | K::Uint16, t::SHORT) => Read::Copy2,
            (K::Int32 | K::Uint32, t::LONG) | (K::Float32, t::FLOAT) => Read::Copy4,
            (K::Int64 | K::Uint64, t::LONGLONG) | (K::Float64, t::DOUBLE) => Read::Copy8,
            (K::Int32, t::INT24) => Read::Signed3,
            (K::Uint32, t::INT24) => Read::Unsigned3,
            (K::Year, t::YEAR) => Read::Year,
            (K::Bit, t::BIT) => match bytes {
                1 => Read::Copy1,
                _ => Read::Bit { bytes },
            },
            // Little-endian, into a field that is zero: the bytes that are there do.
            (K::Enum, t::ENUM) => match bytes {
                1 => Read::Copy1,
                _ => Read::Copy2,
            },
            (K::Set, t::SET) => match bytes {
                1 => Read::Copy1,
                2 => Read::Copy2,
                4 => Read::Copy4,
                8 => Read::Copy8,
                _ => Read::Set { bytes },
            },
            (K::Decimal, t::NEWDECIMAL) => Read::Decimal(DecimalFormat::new(low, high).map_err(wrong)?),
            (K::Date, t::DATE | t::NEWDATE) => Read::Date,
            (K::Datetime, t::DATETIME2) => Read::DateTime2 { fraction: fraction()? },
            (K::Timestamp, t::TIMESTAMP2) => Read::Timestamp2 { fraction: fraction()? },
            (K::Time, t::TIME2) => Read::Time2 { fraction: fraction()? },
            (K::Datetime, t::DATETIME) | (K::Timestamp, t::TIMESTAMP) | (K::Time, t::TIME) if place.digits > 0 => {
                return Err(EncodeError::OldTemporal {
                    table: self.table.clone(),
                    column: column.name.clone(),
                    digits: place.digits,
                });
            }
            (K::Datetime, t::DATETIME) => Read::DateTimeOld,
            (K::Timestamp, t::TIMESTAMP) => Read::TimestampOld,
            (K::Time, t::TIME) => Read::TimeOld,
            (K::Text | K::Json, _) if is_string || is_blob || is_compressed => {
                let name = match &column.column_type {
                    ColumnType::Text { charset, .. } => &**charset,
                    // MariaDB's JSON is LONGTEXT.
                    _ => "utf8mb4",
                };
                match (Charset::by_name(name), is_compressed) {
                    (None, _) => {
                        return Err(EncodeError::Charset {
                            table: self.table.clone(),
                            column: column.name.clone(),
                            charset: name.to_owned(),
                        });
                    }
                    (Some(Charset::Utf8), false) => Read::Utf8 { prefix },
                    (Some(charset), compressed) => {
                        let index = self.charsets.len() as u16;
                        self.charsets.push(charset);
                        match compressed {
                            false => Read::Text { prefix, charset: index },
                            true => Read::CompressedText { prefix, charset: index },
                        }
                    }
                }
            }
            (K::Data, _) if is_compressed => Read::CompressedData { prefix },
            (K::Data, _) if is_string || is_blob => {
                let bytes_min = match column.column_type {
                    ColumnType::Binary { fixed } => fixed.unwrap_or(0),
                    _ => 0,
                };
                Read::Data { prefix, bytes_min }
            }
            (K::Data | K::Geometry, t::GEOMETRY) => Read::Data { prefix, bytes_min: 0 },
            (K::Geometry, _) if is_blob => Read::Data { prefix, bytes_min: 0 },
            (K::Data, t::VECTOR) => Read::Data { prefix, bytes_min: 0 },
            (K::Vector, t::VECTOR) => Read::Vector { prefix },
            // MariaDB's VECTOR(n) is a VARBINARY of 4 n bytes.
            (K::Vector, _) if is_string || is_blob => Read::Vector { prefix },
            (K::Inet6, _) if is_string => Read::Inet6 { prefix },
            (K::Inet4, _) if is_string => Read::Inet4 { prefix },
            (K::Uuid, _) if is_string => Read::Uuid { prefix },
            _ => return Err(unfit),
        })
    }
}
