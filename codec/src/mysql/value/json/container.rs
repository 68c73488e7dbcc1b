//! Values of a document, and the entries of objects and arrays.

use super::kind;
use crate::mysql::value::ValueError;

/// One value: its type, and the bytes from its first on (there may be more than it needs).
#[derive(Debug, Clone, Copy)]
pub(in crate::mysql::value) struct Value<'a> {
    pub kind: u8,
    pub data: &'a [u8],
}

impl<'a> Value<'a> {
    pub fn of_document(document: &'a [u8]) -> Self {
        match document.split_first() {
            Some((&kind, data)) => Self { kind, data },
            None => Self { kind: kind::LITERAL, data: &[0] },
        }
    }
}

/// The entries of an object or array.
#[derive(Debug, Clone, Copy)]
pub(in crate::mysql::value) struct Container<'a> {
    /// From `count` to the container's end.
    pub(super) data: &'a [u8],
    /// Entries of four bytes (large: six), none in an array.
    pub(super) keys: &'a [u8],
    /// Entries of three bytes (large: five).
    pub(super) values: &'a [u8],
    pub(super) large: bool,
    pub is_object: bool,
}

impl<'a> Container<'a> {
    #[inline(always)]
    pub fn parse(value: Value<'a>) -> Result<Self, ValueError> {
        let large = value.kind & 1 == 1;
        let is_object = matches!(value.kind, kind::SMALL_OBJECT | kind::LARGE_OBJECT);
        let (count, bytes, header) = if large {
            (u32_at(value.data, 0)? as usize, u32_at(value.data, 4)? as usize, 8)
        } else {
            (usize::from(u16_at(value.data, 0)?), usize::from(u16_at(value.data, 2)?), 4)
        };
        let data = value.data.get(..bytes).ok_or(ValueError::Truncated)?;
        let (key_bytes, value_bytes) = if large { (LARGE_KEY, LARGE_VALUE) } else { (SMALL_KEY, SMALL_VALUE) };
        let key_bytes = if is_object { key_bytes } else { 0 };
        // Every entry must be there; so `count` is bounded by the bytes at hand.
        let entries = data.get(header..).unwrap_or_default();
        let cut = || ValueError::Invalid("JSON container shorter than its entries");
        let (keys, rest) = entries.split_at_checked(count.saturating_mul(key_bytes)).ok_or_else(cut)?;
        let values = rest.get(..count.saturating_mul(value_bytes)).ok_or_else(cut)?;
        Ok(Self { data, keys, values, large, is_object })
    }

    /// Number of entries.
    pub fn count(&self) -> usize {
        self.values.len() / if self.large { LARGE_VALUE } else { SMALL_VALUE }
    }

    pub fn keys(&self) -> impl Iterator<Item = Result<&'a [u8], ValueError>> + use<'a> {
        let data = self.data;
        self.keys.chunks_exact(if self.large { LARGE_KEY } else { SMALL_KEY }).map(move |entry| {
            let (start, length) = key_range(entry);
            data.get(start..start + length).ok_or(ValueError::Truncated)
        })
    }

    pub fn values(&self) -> impl Iterator<Item = Result<Value<'a>, ValueError>> + use<'a> {
        let data = self.data;
        self.values
            .chunks_exact(if self.large { LARGE_VALUE } else { SMALL_VALUE })
            .map(move |entry| value_of(entry, data))
    }
}

pub(super) const SMALL_KEY: usize = 4;
pub(super) const LARGE_KEY: usize = 6;
pub(super) const SMALL_VALUE: usize = 3;
pub(super) const LARGE_VALUE: usize = 5;

/// Start and length of the key in its container's data.
#[inline(always)]
pub(super) fn key_range(entry: &[u8]) -> (usize, usize) {
    match *entry {
        [a, b, c, d] => (u16::from_le_bytes([a, b]).into(), u16::from_le_bytes([c, d]).into()),
        [a, b, c, d, e, f] => (u32::from_le_bytes([a, b, c, d]) as usize, u16::from_le_bytes([e, f]).into()),
        _ => (0, 0),
    }
}

#[inline(always)]
pub(super) fn value_of<'a>(entry: &'a [u8], data: &'a [u8]) -> Result<Value<'a>, ValueError> {
    let (&kind, place) = entry.split_first().ok_or(ValueError::Truncated)?;
    let start = match *place {
        _ if matches!(kind, kind::LITERAL | kind::INT16 | kind::UINT16) => return Ok(Value { kind, data: place }),
        [a, b] => usize::from(u16::from_le_bytes([a, b])),
        _ if matches!(kind, kind::INT32 | kind::UINT32) => return Ok(Value { kind, data: place }),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]) as usize,
        _ => return Err(ValueError::Truncated),
    };
    Ok(Value { kind, data: data.get(start..).ok_or(ValueError::Truncated)? })
}

/// The length at `at`, and where what it counts begins.
#[inline]
pub(in crate::mysql::value) fn varlen(data: &[u8], at: usize) -> Result<(usize, usize), ValueError> {
    let first = *data.get(at).ok_or(ValueError::Truncated)?;
    if first & 0x80 == 0 {
        return Ok((at + 1, first.into()));
    }
    let mut length = usize::from(first & 0x7f);
    for index in 1..5 {
        let byte = *data.get(at + index).ok_or(ValueError::Truncated)?;
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((at + index + 1, length));
        }
    }
    Err(ValueError::Invalid("JSON length of more than five bytes"))
}

#[inline(always)]
pub(super) fn array_at<const N: usize>(data: &[u8], at: usize) -> Result<[u8; N], ValueError> {
    data.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(ValueError::Truncated)
}

#[inline(always)]
pub(super) fn u16_at(data: &[u8], at: usize) -> Result<u16, ValueError> {
    array_at(data, at).map(u16::from_le_bytes)
}

#[inline(always)]
pub(super) fn u32_at(data: &[u8], at: usize) -> Result<u32, ValueError> {
    array_at(data, at).map(u32::from_le_bytes)
}
