//! Short keys and values: written into room that was checked once for all of an entry's parts.

use super::container::Value;
use super::{LOWEST_BITS, UPPER_BITS, WORD_BYTES, kind, word};
use crate::mysql::value::digits::write_u64;
use crate::mysql::value::double;

/// Room for the short parts of an entry, with what stores write ahead: a key or string of [`SHORT_STRING_BYTES`] with
/// its quotes, a number.
pub(super) const ENTRY_ROOM: usize = double::TEXT_ROOM;
const SHORT_STRING_BYTES: usize = 16;

pub(super) const LITERALS: [(u64, usize); 3] = [(word(b"null    "), 4), (word(b"true    "), 4), (word(b"false   "), 5)];

#[inline(always)]
fn put(room: &mut [u8; ENTRY_ROOM], at: usize, word: u64) {
    if let Some(place) = room.get_mut(at..at + WORD_BYTES) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

/// What stands before the entry, its key and the colon; how many bytes. `None` where the key is not short.
#[inline(always)]
pub(super) fn put_key(
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
pub(super) fn put_value(room: &mut [u8; ENTRY_ROOM], value: Value<'_>, upper_bits: &mut u64) -> Option<usize> {
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
pub(super) fn foreign_bits(count: usize) -> u64 {
    // In two steps, for a shift by all 64 is none.
    !0 << (4 * count) << (4 * count)
}

/// The top bits of the bytes that have to be escaped: `"`, `\` and what is below a space. (Also of some that follow
/// such a one.)
#[inline(always)]
pub(super) fn to_escape(word: u64) -> u64 {
    // With the bit 2 turned, the quote 0x22 comes to lie right behind the control characters.
    let quote_or_control = (word ^ 0x0202_0202_0202_0202).wrapping_sub(0x2121_2121_2121_2121);
    let backslash = (word ^ 0x5c5c_5c5c_5c5c_5c5c).wrapping_sub(LOWEST_BITS);
    (quote_or_control | backslash) & !word & UPPER_BITS
}
