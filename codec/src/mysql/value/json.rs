//! MySQL's binary JSON (JSONB) to the very text that MySQL prints for it.
//!
//! ```text
//! document   u8 type, value
//! object     count, bytes, count * (key offset, u16 key bytes), count * (u8 type, value or its offset), keys, values
//! array      count, bytes, count * (u8 type, value or its offset), values
//!            count, bytes and offsets are u16 in small containers and u32 in large ones; offsets count from `count`
//! string     length (7 bits a byte, lowest first, top bit: more follow), UTF-8
//! opaque     u8 MySQL type, length as of a string, bytes
//! ```
//! Offsets are followed as they are: an update in place leaves holes and changes the order of the values.
//!
//! Invariants: a hostile document ends in an error, never in a loop: depth is bounded by [`DEPTH_MAX`], and output by
//! [`output_bytes_max`], so that values which many entries share cannot multiply.

mod container;
mod entry;
mod opaque;

pub(super) use container::{Container, Value, varlen};
use container::{LARGE_KEY, LARGE_VALUE, SMALL_KEY, SMALL_VALUE, array_at, key_range, u16_at, u32_at, value_of};
use entry::{ENTRY_ROOM, LITERALS, foreign_bits, put_key, put_value, to_escape};

use super::ValueError;
use super::buffer::TextBuffer;
use super::digits::write_u64;
use super::double;
use super::net::hex_digit;

/// MySQL's own limit is 100.
pub const DEPTH_MAX: u32 = 100;

/// Types of a value.
pub(super) mod kind {
    pub const SMALL_OBJECT: u8 = 0;
    pub const LARGE_OBJECT: u8 = 1;
    pub const SMALL_ARRAY: u8 = 2;
    pub const LARGE_ARRAY: u8 = 3;
    pub const LITERAL: u8 = 4;
    pub const INT16: u8 = 5;
    pub const UINT16: u8 = 6;
    pub const INT32: u8 = 7;
    pub const UINT32: u8 = 8;
    pub const INT64: u8 = 9;
    pub const UINT64: u8 = 10;
    pub const DOUBLE: u8 = 11;
    pub const STRING: u8 = 12;
    pub const OPAQUE: u8 = 15;
}

/// The longest text that a document of so many bytes may have: a control character takes six (`\u0001`), an empty
/// opaque value, five bytes with its entry, takes 18 (`"base64:type252:", `).
pub fn output_bytes_max(document_bytes: usize) -> usize {
    document_bytes.saturating_mul(8).saturating_add(64)
}

/// Is the text valid UTF-8 throughout?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Ascii,
    /// Bytes above 0x7f were copied as they are, unchecked.
    Unchecked,
}

/// Writes the text of `document` to `out`. An empty document is `null`, as it is to MySQL.
///
/// # Errors
/// Where the document is damaged; `out` is as it was then.
#[inline]
pub fn write_text(document: &[u8], out: &mut TextBuffer) -> Result<Encoding, ValueError> {
    write_bounded(out, document.len(), |writer| writer.value(Value::of_document(document), 0))
}

/// Documents up to this size get all the room that their text may need at once.
const SMALL_DOCUMENT_BYTES: usize = 1 << 10;

/// Runs `write` with room for the text of a document of so many bytes: as much as texts usually need, and where that
/// does not do, all that one may need.
#[inline]
pub(super) fn write_bounded(
    out: &mut TextBuffer,
    document_bytes: usize,
    write: impl Fn(&mut Writer<'_>) -> Result<(), ValueError>,
) -> Result<Encoding, ValueError> {
    let bytes_max = output_bytes_max(document_bytes);
    let usual = document_bytes.saturating_mul(2).saturating_add(SMALL_DOCUMENT_BYTES);
    let mut room = if document_bytes <= SMALL_DOCUMENT_BYTES { bytes_max } else { usual.min(bytes_max) };
    loop {
        // Stores are of eight bytes, of which some may lie behind the end.
        let mut writer = Writer { out: out.room_for(room + WORD_BYTES), at: 0, upper_bits: 0 };
        let result = write(&mut writer);
        let (written, encoding) = (writer.at, writer.encoding());
        if written <= room {
            result?;
            out.advance(written);
            return Ok(encoding);
        }
        if room >= bytes_max {
            return Err(ValueError::TooLarge { bytes_max });
        }
        room = bytes_max;
    }
}

const WORD_BYTES: usize = 8;

/// The text of `document`.
///
/// # Errors
/// Where the document is damaged, or its strings are not UTF-8.
pub fn to_text(document: &[u8]) -> Result<String, ValueError> {
    let mut out = TextBuffer::new();
    write_text(document, &mut out)?;
    String::from_utf8(out.into_vec()).map_err(|_| ValueError::Invalid("JSON with a string that is not UTF-8"))
}

/// Writes into a room of fixed size. What does not fit is not stored, only counted; who made the room looks at `at`.
pub(super) struct Writer<'b> {
    out: &'b mut [u8],
    at: usize,
    upper_bits: u64,
}

const UPPER_BITS: u64 = 0x8080_8080_8080_8080;
const LOWEST_BITS: u64 = 0x0101_0101_0101_0101;
const SPACES: u64 = 0x2020_2020_2020_2020;

const fn word(text: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*text)
}

impl Writer<'_> {
    fn encoding(&self) -> Encoding {
        if self.upper_bits & UPPER_BITS == 0 { Encoding::Ascii } else { Encoding::Unchecked }
    }

    /// The first `count` (up to 8) bytes of `word`, lowest first.
    #[inline(always)]
    fn word(&mut self, word: u64, count: usize) {
        if let Some(place) = self.out.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut()) {
            *place = word.to_le_bytes();
        }
        self.at += count;
    }

    #[inline(always)]
    pub fn byte(&mut self, byte: u8) {
        if let Some(place) = self.out.get_mut(self.at) {
            *place = byte;
        }
        self.at += 1;
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        if let Some(place) = self.out.get_mut(self.at..self.at.saturating_add(bytes.len())) {
            place.copy_from_slice(bytes);
        }
        self.at = self.at.saturating_add(bytes.len());
    }

    /// Stops a document whose values are shared so often that its text would never end.
    #[inline(always)]
    pub fn check_room(&self) -> Result<(), ValueError> {
        if self.at > self.out.len() { Err(ValueError::TooLarge { bytes_max: self.out.len() }) } else { Ok(()) }
    }

    /// Room for N bytes that are written elsewhere; `write` says how many it took.
    #[inline(always)]
    fn chunk<const N: usize>(&mut self, write: impl FnOnce(&mut [u8; N]) -> usize) {
        match self.out.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut()) {
            Some(place) => self.at += write(place),
            None => {
                // At the end of the room what is written may fit although the chunk does not.
                let mut spare = [0; N];
                let count = write(&mut spare);
                self.bytes(spare.get(..count).unwrap_or_default());
            }
        }
    }

    #[inline(always)]
    pub fn unsigned(&mut self, number: u64) {
        self.chunk(|place| write_u64(place, number));
    }

    #[inline(always)]
    pub fn signed(&mut self, number: i64) {
        self.word(b'-'.into(), usize::from(number < 0));
        self.unsigned(number.unsigned_abs());
    }

    #[inline(always)]
    pub fn value(&mut self, value: Value<'_>, depth: u32) -> Result<(), ValueError> {
        self.value_of_kind(value.kind, value.data, depth)
    }

    /// By its parts, which registers hold.
    fn value_of_kind(&mut self, kind: u8, data: &[u8], depth: u32) -> Result<(), ValueError> {
        let value = Value { kind, data };
        match value.kind {
            kind::STRING => {
                let (start, length) = varlen(value.data, 0)?;
                self.quoted_at(value.data, start, length)
            }
            kind::SMALL_OBJECT | kind::LARGE_OBJECT | kind::SMALL_ARRAY | kind::LARGE_ARRAY => {
                self.container(Container::parse(value)?, depth)
            }
            kind::LITERAL => {
                let literal = value.data.first().and_then(|&literal| LITERALS.get(usize::from(literal)));
                let &(text, length) = literal.ok_or(ValueError::Invalid("JSON literal that is none"))?;
                self.word(text, length);
                Ok(())
            }
            kind::INT16 => self.number(i16::from_le_bytes(array_at(value.data, 0)?).into()),
            kind::UINT16 => self.number(u16_at(value.data, 0)?.into()),
            kind::INT32 => self.number(i32::from_le_bytes(array_at(value.data, 0)?).into()),
            kind::UINT32 => self.number(u32_at(value.data, 0)?.into()),
            kind::INT64 => self.number(i64::from_le_bytes(array_at(value.data, 0)?)),
            kind::UINT64 => {
                self.unsigned(u64::from_le_bytes(array_at(value.data, 0)?));
                Ok(())
            }
            kind::DOUBLE => {
                let number = f64::from_le_bytes(array_at(value.data, 0)?);
                if !number.is_finite() {
                    return Err(ValueError::Invalid("JSON number that is not finite"));
                }
                self.chunk::<{ double::TEXT_ROOM }>(|place| double::write(number, place));
                Ok(())
            }
            kind::OPAQUE => {
                let type_code = *value.data.first().ok_or(ValueError::Truncated)?;
                let (start, length) = varlen(value.data, 1)?;
                let bytes = value.data.get(start..start + length).ok_or(ValueError::Truncated)?;
                self.opaque(type_code, bytes)
            }
            _ => Err(ValueError::Invalid("JSON value of an unknown type")),
        }
    }

    #[inline(always)]
    fn number(&mut self, number: i64) -> Result<(), ValueError> {
        self.signed(number);
        Ok(())
    }

    #[inline(always)]
    fn container(&mut self, container: Container<'_>, depth: u32) -> Result<(), ValueError> {
        if depth >= DEPTH_MAX {
            return Err(ValueError::Invalid("JSON nested more than 100 deep"));
        }
        if container.large {
            self.entries::<LARGE_KEY, LARGE_VALUE>(container, depth)
        } else {
            self.entries::<SMALL_KEY, SMALL_VALUE>(container, depth)
        }
    }

    /// Short keys and values are written here, with the place in a register: each store through `self.at` would wait
    /// for the one before it.
    fn entries<const KEY: usize, const VALUE: usize>(
        &mut self,
        container: Container<'_>,
        depth: u32,
    ) -> Result<(), ValueError> {
        let Container { data, keys, values, is_object, .. } = container;
        let mut keys = keys.as_chunks::<KEY>().0.iter();
        let [open, close] = if is_object { *b"{}" } else { *b"[]" };
        // What stands before an entry, and how long it is; a key's quote follows.
        let (mut before, mut before_length) = (u64::from_le_bytes([open, b'"', 0, 0, 0, 0, 0, 0]), 1);
        let mut at = self.at;
        let mut upper_bits = 0;
        for entry in values.as_chunks::<VALUE>().0 {
            // An array has no keys.
            let key = keys.next().map(|key| key_range(key));
            let written = match (self.room_at(at), key) {
                (Some(room), Some(key)) => put_key(room, (before, before_length), data, key, &mut upper_bits),
                _ => None,
            };
            at = match (written, key) {
                (Some(count), _) => at + count,
                (None, Some((start, length))) => {
                    self.at = at;
                    self.word(before, before_length);
                    self.quoted_at(data, start, length)?;
                    self.word(const { word(b":       ") }, 2);
                    self.at
                }
                (None, None) => {
                    self.store(at, before);
                    at + before_length
                }
            };
            let value = value_of(entry, data)?;
            let written = self.room_at(at).and_then(|room| put_value(room, value, &mut upper_bits));
            at = match written {
                Some(count) => at + count,
                None => self.value_at(at, value, depth)?,
            };
            (before, before_length) = (const { word(b", \"     ") }, 2);
        }
        if values.is_empty() {
            self.store(at, before);
            at += before_length;
        }
        self.at = at;
        self.upper_bits |= upper_bits;
        self.byte(close);
        self.check_room()
    }

    #[inline(always)]
    fn room_at(&mut self, at: usize) -> Option<&mut [u8; ENTRY_ROOM]> {
        self.out.get_mut(at..at + ENTRY_ROOM)?.first_chunk_mut()
    }

    #[inline(always)]
    fn value_at(&mut self, at: usize, value: Value<'_>, depth: u32) -> Result<usize, ValueError> {
        self.at = at;
        self.value(value, depth + 1)?;
        self.check_room()?;
        Ok(self.at)
    }

    #[inline(always)]
    fn store(&mut self, at: usize, word: u64) {
        if let Some(place) = self.out.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
            *place = word.to_le_bytes();
        }
    }

    /// The string of `length` bytes at `start`. What lies behind it in `data` lets it be read in whole words.
    #[inline(always)]
    fn quoted_at(&mut self, data: &[u8], start: usize, length: usize) -> Result<(), ValueError> {
        let from = data.get(start..).filter(|from| from.len() >= length).ok_or(ValueError::Truncated)?;
        self.byte(b'"');
        match from.first_chunk::<WORD_BYTES>() {
            // Most keys.
            Some(first) if length <= WORD_BYTES => self.word_of_string(u64::from_le_bytes(*first), length),
            _ => self.long_string(from, length),
        }
        self.byte(b'"');
        Ok(())
    }

    #[inline(never)]
    fn long_string(&mut self, from: &[u8], length: usize) {
        let string = from.get(..length).unwrap_or(from);
        let (words, tail) = string.as_chunks::<WORD_BYTES>();
        let (mut at, mut upper_bits) = (self.at, 0);
        for word in words {
            let word = u64::from_le_bytes(*word);
            if to_escape(word) != 0 {
                self.at = at;
                self.escaped_word(word, WORD_BYTES);
                at = self.at;
            } else {
                upper_bits |= word;
                self.store(at, word);
                at += WORD_BYTES;
            }
        }
        self.at = at;
        self.upper_bits |= upper_bits;
        match string.last_chunk::<WORD_BYTES>() {
            // The last word's upper bytes are those of the tail.
            Some(_) if tail.is_empty() => {}
            Some(last) => self.word_of_string(u64::from_le_bytes(*last) >> (8 * (WORD_BYTES - tail.len())), tail.len()),
            None => tail.iter().for_each(|&byte| self.escaped(byte)),
        }
    }

    /// The first `count` (up to 8) bytes of `word`; those behind count as spaces.
    #[inline(always)]
    fn word_of_string(&mut self, word: u64, count: usize) {
        let foreign = foreign_bits(count);
        let word = word & !foreign | SPACES & foreign;
        if to_escape(word) != 0 {
            self.escaped_word(word, count);
        } else {
            self.upper_bits |= word;
            self.word(word, count);
        }
    }

    #[cold]
    #[inline(never)]
    fn escaped_word(&mut self, word: u64, count: usize) {
        for &byte in word.to_le_bytes().iter().take(count) {
            self.escaped(byte);
        }
    }

    pub fn quoted(&mut self, string: &[u8]) -> Result<(), ValueError> {
        self.quoted_at(string, 0, string.len())
    }

    fn escaped(&mut self, byte: u8) {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            0..=0x1f => {
                return self.word(word(&[b'\\', b'u', b'0', b'0', hex_digit(byte >> 4), hex_digit(byte), 0, 0]), 6);
            }
            _ => {
                self.upper_bits |= u64::from(byte);
                return self.byte(byte);
            }
        };
        self.word(word(&[b'\\', short, 0, 0, 0, 0, 0, 0]), 2);
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
pub(super) mod tests;
