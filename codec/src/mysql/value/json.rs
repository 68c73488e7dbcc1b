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

use super::ValueError;
use super::buffer::TextBuffer;
use super::decimal::{DecimalFormat, TEXT_ROOM};
use super::digits::write_u64;
use super::net::hex_digit;
use super::{double, temporal};
use crate::wire::temporal::{TemporalText, format_date, format_datetime, format_time};

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

/// One value: its type, and the bytes from its first on (there may be more than it needs).
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
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
pub(super) struct Container<'a> {
    /// From `count` to the container's end.
    data: &'a [u8],
    /// Entries of four bytes (large: six), none in an array.
    keys: &'a [u8],
    /// Entries of three bytes (large: five).
    values: &'a [u8],
    large: bool,
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

const SMALL_KEY: usize = 4;
const LARGE_KEY: usize = 6;
const SMALL_VALUE: usize = 3;
const LARGE_VALUE: usize = 5;

/// Start and length of the key in its container's data.
#[inline(always)]
fn key_range(entry: &[u8]) -> (usize, usize) {
    match *entry {
        [a, b, c, d] => (u16::from_le_bytes([a, b]).into(), u16::from_le_bytes([c, d]).into()),
        [a, b, c, d, e, f] => (u32::from_le_bytes([a, b, c, d]) as usize, u16::from_le_bytes([e, f]).into()),
        _ => (0, 0),
    }
}

#[inline(always)]
fn value_of<'a>(entry: &'a [u8], data: &'a [u8]) -> Result<Value<'a>, ValueError> {
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

    /// A value of a type that JSON does not have.
    fn opaque(&mut self, type_code: u8, bytes: &[u8]) -> Result<(), ValueError> {
        use super::cell::type_code as t;
        match (type_code, bytes) {
            (t::NEWDECIMAL, [precision, scale, image @ ..]) => {
                let format = DecimalFormat::computed(*precision, *scale)?;
                let mut result = Ok(0);
                self.chunk::<TEXT_ROOM>(|place| {
                    result = format.write(image, place);
                    result.unwrap_or(0)
                });
                result.map(|_| ())
            }
            (t::DATE | t::DATETIME | t::TIMESTAMP | t::TIME, &[a, b, c, d, e, f, g, h]) => {
                let packed = i64::from_le_bytes([a, b, c, d, e, f, g, h]);
                let text = temporal_text(type_code, packed)?;
                self.quoted(text.as_bytes())
            }
            _ => {
                self.bytes(b"\"base64:type");
                self.unsigned(type_code.into());
                self.byte(b':');
                self.base64(bytes);
                self.byte(b'"');
                Ok(())
            }
        }
    }

    /// Lines of 76 characters, as MySQL's encoder breaks them; in JSON the break is written `\n`.
    fn base64(&mut self, bytes: &[u8]) {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const LINE_BYTES: usize = 76 / 4 * 3;
        for (line, chunk) in bytes.chunks(LINE_BYTES).enumerate() {
            if line > 0 {
                self.bytes(b"\\n");
            }
            for group in chunk.chunks(3) {
                let number =
                    group.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)) << (8 * (3 - group.len()));
                for place in 0..4 {
                    let digit = ALPHABET.get((number >> (18 - 6 * place) & 0x3f) as usize);
                    self.byte(if place > group.len() { b'=' } else { digit.copied().unwrap_or(b'=') });
                }
            }
        }
    }
}

/// MySQL's packed form of a time, 24 bits of microseconds in the lowest.
fn temporal_text(type_code: u8, packed: i64) -> Result<TemporalText, ValueError> {
    use super::cell::type_code as t;
    let magnitude = packed.unsigned_abs();
    let (whole, microsecond) = (magnitude >> 24, magnitude & 0xff_ffff);
    if type_code == t::TIME {
        return Ok(format_time(temporal::time_us(packed < 0, whole, microsecond)?, 6));
    }
    let mut parts = temporal::packed_parts(whole)?;
    parts.microsecond = microsecond as u32;
    if parts.microsecond > 999_999 {
        return Err(ValueError::Invalid("a fraction of a second or more"));
    }
    let value = parts.to_wire();
    Ok(if type_code == t::DATE { format_date(value) } else { format_datetime(value, 6) })
}

/// Room for the short parts of an entry, with what stores write ahead: a key or string of [`SHORT_STRING_BYTES`] with
/// its quotes, a number.
const ENTRY_ROOM: usize = double::TEXT_ROOM;
const SHORT_STRING_BYTES: usize = 16;

const LITERALS: [(u64, usize); 3] = [(word(b"null    "), 4), (word(b"true    "), 4), (word(b"false   "), 5)];

#[inline(always)]
fn put(room: &mut [u8; ENTRY_ROOM], at: usize, word: u64) {
    if let Some(place) = room.get_mut(at..at + WORD_BYTES) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

/// What stands before the entry, its key and the colon; how many bytes. `None` where the key is not short.
#[inline(always)]
fn put_key(
    room: &mut [u8; ENTRY_ROOM],
    (before, before_length): (u64, usize),
    data: &[u8],
    (start, length): (usize, usize),
    upper_bits: &mut u64,
) -> Option<usize> {
    put(room, 0, before);
    put_string(room, before_length + 1, data.get(start..)?, length, upper_bits)?;
    put(room, before_length + 1 + length, const { word(b"\":      ") });
    Some(before_length + length + 4)
}

/// A value that is short and of a common kind; how many bytes.
#[inline(always)]
fn put_value(room: &mut [u8; ENTRY_ROOM], value: Value<'_>, upper_bits: &mut u64) -> Option<usize> {
    match (value.kind, value.data) {
        (kind::STRING, &[length @ 0..0x80, ref string @ ..]) => {
            let length = usize::from(length);
            put(room, 0, b'"'.into());
            put_string(room, 1, string, length, upper_bits)?;
            put(room, 1 + length, b'"'.into());
            Some(length + 2)
        }
        (kind::INT16, &[a, b, ..]) => put_number(room, i16::from_le_bytes([a, b]).into()),
        (kind::INT32, &[a, b, c, d, ..]) => put_number(room, i32::from_le_bytes([a, b, c, d]).into()),
        (kind::LITERAL, &[literal, ..]) => {
            let &(text, length) = LITERALS.get(usize::from(literal))?;
            put(room, 0, text);
            Some(length)
        }
        (kind::DOUBLE, data) => {
            let number = f64::from_le_bytes(*data.first_chunk()?);
            number.is_finite().then(|| double::write(number, room))
        }
        _ => None,
    }
}

#[inline(always)]
fn put_number(room: &mut [u8; ENTRY_ROOM], number: i64) -> Option<usize> {
    put(room, 0, b'-'.into());
    let sign = usize::from(number < 0);
    Some(sign + write_u64(room.get_mut(sign..)?.first_chunk_mut()?, number.unsigned_abs()))
}

/// The first `length` bytes of `from`, at `at` of `room`. `None` where they are many, or something in them needs an
/// escape, or at the very end of a document.
#[inline(always)]
fn put_string(room: &mut [u8; ENTRY_ROOM], at: usize, from: &[u8], length: usize, upper_bits: &mut u64) -> Option<()> {
    if length <= WORD_BYTES {
        // What lies behind the string is copied with it, and overwritten by what comes next.
        let word = u64::from_le_bytes(*from.first_chunk()?);
        let own = !foreign_bits(length);
        put(room, at, word);
        *upper_bits |= word & own;
        (to_escape(word) & own == 0).then_some(())
    } else if length <= SHORT_STRING_BYTES {
        // Two words that overlap.
        let string = from.get(..length)?;
        let first = u64::from_le_bytes(*string.first_chunk()?);
        let last = u64::from_le_bytes(*string.last_chunk()?);
        put(room, at, first);
        put(room, at + length - WORD_BYTES, last);
        *upper_bits |= first | last;
        ((to_escape(first) | to_escape(last)) == 0).then_some(())
    } else {
        None
    }
}

/// The bits of a word behind its first `count` bytes.
#[inline(always)]
fn foreign_bits(count: usize) -> u64 {
    // In two steps, for a shift by all 64 is none.
    !0 << (4 * count) << (4 * count)
}

/// The top bits of the bytes that have to be escaped: `"`, `\` and what is below a space. (Also of some that follow
/// such a one.)
#[inline(always)]
fn to_escape(word: u64) -> u64 {
    // With the bit 2 turned, the quote 0x22 comes to lie right behind the control characters.
    let quote_or_control = (word ^ 0x0202_0202_0202_0202).wrapping_sub(0x2121_2121_2121_2121);
    let backslash = (word ^ 0x5c5c_5c5c_5c5c_5c5c).wrapping_sub(LOWEST_BITS);
    (quote_or_control | backslash) & !word & UPPER_BITS
}

/// The length at `at`, and where what it counts begins.
#[inline]
pub(super) fn varlen(data: &[u8], at: usize) -> Result<(usize, usize), ValueError> {
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
fn array_at<const N: usize>(data: &[u8], at: usize) -> Result<[u8; N], ValueError> {
    data.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(ValueError::Truncated)
}

#[inline(always)]
fn u16_at(data: &[u8], at: usize) -> Result<u16, ValueError> {
    array_at(data, at).map(u16::from_le_bytes)
}

#[inline(always)]
fn u32_at(data: &[u8], at: usize) -> Result<u32, ValueError> {
    array_at(data, at).map(u32::from_le_bytes)
}

#[cfg(test)]
#[path = "json_tests.rs"]
pub(super) mod tests;
