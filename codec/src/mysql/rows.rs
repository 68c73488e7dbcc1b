//! Rows events: which rows of a table were written, updated or deleted. The cells are read by
//! [`value`](super::value) with the table's TABLE_MAP.
//!
//! ```text
//! u48  table id
//! u16  flags
//! u16  length of extra data with these two bytes, extra data     (30-32, 39; MariaDB 169-171)
//! lenenc number of columns
//! n    bitmap: columns in the before image (update, delete), or in the after image (insert)
//! n    bitmap: columns in the after image (update only)
//! rest rows: for each image a bitmap of NULLs over the columns that are there, then their values
//! ```
//! Types 20-25, 30-32, 39 (partial JSON updates) and MariaDB's compressed 166-171.

use super::compression;
use super::error::EventError;
use super::event::EventType;
use super::reader::Reader;
use super::table_map::COLUMNS_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowOperation {
    Insert,
    Update,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsEvent<'a> {
    pub table_id: u64,
    /// See [`RowsEvent::STATEMENT_END`] and its neighbours.
    pub flags: u16,
    pub op: RowOperation,
    pub column_count: usize,
    /// Columns of the before image, least significant bit first. Empty for inserts.
    pub before_bitmap: &'a [u8],
    /// Columns of the after image. Empty for deletes.
    pub after_bitmap: &'a [u8],
    /// Extra data of version 2 (partition ids, NDB); not needed to read the rows.
    pub extra: &'a [u8],
    /// PARTIAL_UPDATE_ROWS: an after image may begin with JSON differences.
    pub is_partial: bool,
    /// The rows are compressed; see [`decompress`](Self::decompress).
    pub is_compressed: bool,
    /// The row images.
    pub rows: &'a [u8],
}

#[inline]
fn table_id(reader: &mut Reader<'_>) -> Result<u64, EventError> {
    let [a, b, c, d, e, f] = reader.array("table id")?;
    Ok(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

impl<'a> RowsEvent<'a> {
    /// The last event of its statement; table ids may be forgotten behind it.
    pub const STATEMENT_END: u16 = 0x0001;
    pub const NO_FOREIGN_KEY_CHECKS: u16 = 0x0002;
    pub const RELAXED_UNIQUE_CHECKS: u16 = 0x0004;
    pub const COMPLETE_ROWS: u16 = 0x0008;

    /// The table id of MySQL's "dummy" rows event, which has no rows and only ends a statement.
    pub const DUMMY_TABLE_ID: u64 = 0x00ff_ffff;

    #[inline]
    pub fn is_rows(type_code: u8) -> bool {
        operation(type_code).is_some()
    }

    /// The table id alone.
    #[inline]
    pub fn table_id(body: &[u8]) -> Result<u64, EventError> {
        table_id(&mut Reader::new("rows event", body))
    }

    /// Table id and flags alone: what routing needs.
    #[inline]
    pub fn table_id_and_flags(body: &[u8]) -> Result<(u64, u16), EventError> {
        let mut reader = Reader::new("rows event", body);
        Ok((table_id(&mut reader)?, reader.u16("flags")?))
    }

    pub fn parse(type_code: u8, body: &'a [u8]) -> Result<Self, EventError> {
        let what = EventType::name(type_code);
        let mut reader = Reader::new(what, body);
        let op = operation(type_code).ok_or_else(|| reader.invalid("type", format!("{type_code} holds no rows")))?;
        let table_id = table_id(&mut reader)?;
        let flags = reader.u16("flags")?;
        let mut extra: &[u8] = &[];
        if has_extra(type_code) {
            // The length counts its own two bytes.
            let length = reader.u16("extra length")?;
            let length = length.checked_sub(2).ok_or_else(|| reader.invalid("extra length", length.to_string()))?;
            extra = reader.bytes("extra data", usize::from(length))?;
        }
        let column_count = reader.lenenc("column count")?;
        let column_count = usize::try_from(column_count)
            .ok()
            .filter(|count| *count <= COLUMNS_MAX)
            .ok_or_else(|| reader.invalid("column count", format!("{column_count}, at most {COLUMNS_MAX}")))?;
        let bitmap_bytes = column_count.div_ceil(8);
        let first = reader.bytes("column bitmap", bitmap_bytes)?;
        let (before_bitmap, after_bitmap) = match op {
            RowOperation::Insert => (&[][..], first),
            RowOperation::Delete => (first, &[][..]),
            RowOperation::Update => (first, reader.bytes("after bitmap", bitmap_bytes)?),
        };
        Ok(Self {
            table_id,
            flags,
            op,
            column_count,
            before_bitmap,
            after_bitmap,
            extra,
            is_partial: type_code == EventType::PARTIAL_UPDATE_ROWS,
            is_compressed: is_compressed(type_code),
            rows: reader.rest(),
        })
    }

    /// True where every column is in every image (`binlog_row_image=FULL`).
    pub fn has_full_images(&self) -> bool {
        [self.before_bitmap, self.after_bitmap]
            .into_iter()
            .filter(|bitmap| !bitmap.is_empty())
            .all(|bitmap| (0..self.column_count).all(|column| bit(bitmap, column)))
    }

    /// The same event with its rows decompressed into `scratch`, whose content is replaced. An event that is not
    /// compressed comes back as it is.
    ///
    /// # Errors
    /// [`EventError::TooLarge`] over `bytes_max`, [`EventError::Decompression`].
    pub fn decompress<'b>(self, scratch: &'b mut Vec<u8>, bytes_max: usize) -> Result<RowsEvent<'b>, EventError>
    where
        'a: 'b,
    {
        if !self.is_compressed {
            return Ok(self);
        }
        compression::decompress("compressed rows event", self.rows, scratch, bytes_max)?;
        Ok(RowsEvent { rows: scratch, is_compressed: false, ..self })
    }
}

/// Is the column's bit set? Least significant bit first; false behind the bitmap's end.
#[inline]
pub fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

#[inline]
fn operation(type_code: u8) -> Option<RowOperation> {
    use EventType as T;
    match type_code {
        T::WRITE_ROWS_V0
        | T::WRITE_ROWS_V1
        | T::WRITE_ROWS
        | T::WRITE_ROWS_COMPRESSED_V1
        | T::WRITE_ROWS_COMPRESSED => Some(RowOperation::Insert),
        T::UPDATE_ROWS_V0
        | T::UPDATE_ROWS_V1
        | T::UPDATE_ROWS
        | T::PARTIAL_UPDATE_ROWS
        | T::UPDATE_ROWS_COMPRESSED_V1
        | T::UPDATE_ROWS_COMPRESSED => Some(RowOperation::Update),
        T::DELETE_ROWS_V0
        | T::DELETE_ROWS_V1
        | T::DELETE_ROWS
        | T::DELETE_ROWS_COMPRESSED_V1
        | T::DELETE_ROWS_COMPRESSED => Some(RowOperation::Delete),
        _ => None,
    }
}

fn has_extra(type_code: u8) -> bool {
    use EventType as T;
    matches!(
        type_code,
        T::WRITE_ROWS
            | T::UPDATE_ROWS
            | T::DELETE_ROWS
            | T::PARTIAL_UPDATE_ROWS
            | T::WRITE_ROWS_COMPRESSED
            | T::UPDATE_ROWS_COMPRESSED
            | T::DELETE_ROWS_COMPRESSED
    )
}

fn is_compressed(type_code: u8) -> bool {
    (EventType::WRITE_ROWS_COMPRESSED_V1..=EventType::DELETE_ROWS_COMPRESSED).contains(&type_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 8] = [0x78, 0x56, 0x34, 0x12, 0, 1, 1, 0];

    #[test]
    fn each_version_and_operation() {
        let check = |type_code: u8, tail: &[u8], op, before: &[u8], after: &[u8], extra: &[u8]| {
            let body = [&ID[..], tail].concat();
            let event = RowsEvent::parse(type_code, &body).unwrap();
            assert_eq!((event.table_id, event.flags, event.op), (0x0100_1234_5678, 1, op));
            assert_eq!(event.column_count, 9);
            assert_eq!((event.before_bitmap, event.after_bitmap), (before, after));
            assert_eq!((event.extra, event.rows), (extra, &b"rows"[..]));
            assert_eq!(RowsEvent::table_id_and_flags(&body).unwrap(), (event.table_id, 1));
            for length in 0..body.len() - 4 {
                assert!(RowsEvent::parse(type_code, &body[..length]).is_err(), "{type_code} cut at {length}");
            }
        };
        use EventType as T;
        check(T::WRITE_ROWS_V1, b"\x09\xff\x01rows", RowOperation::Insert, &[], &[0xff, 1], &[]);
        check(T::DELETE_ROWS_V1, b"\x09\xff\x01rows", RowOperation::Delete, &[0xff, 1], &[], &[]);
        check(T::UPDATE_ROWS_V1, b"\x09\x03\x00\xff\x01rows", RowOperation::Update, &[3, 0], &[0xff, 1], &[]);
        check(T::WRITE_ROWS, b"\x02\0\x09\xff\x01rows", RowOperation::Insert, &[], &[0xff, 1], &[]);
        check(T::DELETE_ROWS, b"\x05\0abc\x09\xff\x01rows", RowOperation::Delete, &[0xff, 1], &[], b"abc");
        check(T::PARTIAL_UPDATE_ROWS, b"\x02\0\x09\x03\0\xff\x01rows", RowOperation::Update, &[3, 0], &[0xff, 1], &[]);
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for tail in
            [&b"\x01\0\x09\xff\x01"[..], b"\x02\0\xfe\xff\xff\xff\xff\xff\xff\xff\xff", b"\x02\0\xfd\xff\xff\xff"]
        {
            assert!(RowsEvent::parse(EventType::WRITE_ROWS, &[&ID[..], tail].concat()).is_err());
        }
        assert!(RowsEvent::parse(EventType::XID, &ID).is_err());
    }

    #[test]
    fn full_images_have_every_bit() {
        let full = |tail: &[u8]| {
            RowsEvent::parse(EventType::UPDATE_ROWS_V1, &[&ID[..], tail].concat()).unwrap().has_full_images()
        };
        assert!(full(b"\x09\xff\x01\xff\xff"));
        assert!(!full(b"\x09\xff\x00\xff\x01"));
        assert!(!full(b"\x09\xff\x01\xfe\x01"));
    }
}
