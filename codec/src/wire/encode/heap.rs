//! The heap of a piece: what pointers point to, each at a whole word.

use crate::mysql::value::ValueError;
use crate::mysql::value::buffer::TextBuffer;

/// Elements of a list: 29 bits.
pub(super) const LIST_ELEMENTS_MAX: usize = (1 << 29) - 1;

/// Words that a pointer reaches, forwards and backwards: 30 bits with a sign.
pub(super) const BLOB_WORDS_MAX: usize = (1 << 29) - 1;

/// Where a list lies: its word from the start of the buffer's blob, and the upper half of a pointer to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub start_byte: usize,
    pub upper: u32,
}

const SIZE_BYTE: u32 = 2;
const SIZE_FOUR_BYTES: u32 = 4;

fn upper_half(size: u32, elements: usize) -> Result<u32, ValueError> {
    if elements > LIST_ELEMENTS_MAX {
        return Err(ValueError::TooLarge { bytes_max: LIST_ELEMENTS_MAX });
    }
    Ok((elements as u32) << 3 | size)
}

/// A list that is being written; its bytes are pushed to the buffer between `start` and an end.
#[inline(always)]
pub(super) fn start(heap: &TextBuffer) -> usize {
    heap.len()
}

/// Ends a Text: its NUL and the rest of the word.
#[inline(always)]
pub(super) fn end_text(heap: &mut TextBuffer, start: usize) -> Result<Placed, ValueError> {
    let bytes = heap.len() - start + 1;
    let upper = upper_half(SIZE_BYTE, bytes)?;
    // Eight zero bytes are stored, of which NUL and padding count.
    heap.push_word(0, 8 - (bytes - 1) % 8);
    Ok(Placed { start_byte: start, upper })
}

/// Ends a Data.
#[inline(always)]
pub(super) fn end_data(heap: &mut TextBuffer, start: usize) -> Result<Placed, ValueError> {
    let bytes = heap.len() - start;
    let upper = upper_half(SIZE_BYTE, bytes)?;
    heap.push_word(0, bytes.wrapping_neg() % 8);
    Ok(Placed { start_byte: start, upper })
}

/// Ends a List(Float32).
pub(super) fn end_floats(heap: &mut TextBuffer, start: usize) -> Result<Placed, ValueError> {
    let bytes = heap.len() - start;
    if !bytes.is_multiple_of(4) {
        return Err(ValueError::Invalid("VECTOR whose bytes are no whole floats"));
    }
    let upper = upper_half(SIZE_FOUR_BYTES, bytes / 4)?;
    heap.push_word(0, bytes.wrapping_neg() % 8);
    Ok(Placed { start_byte: start, upper })
}

/// Writes a Text of `text`. Also true where all of it is ASCII; where not, the caller looks whether it is UTF-8.
///
/// The text is copied in blocks, of which the last one overlaps the one before it: so nothing is read behind the text,
/// and its odd bytes take no loop of their own.
#[inline(always)]
pub(super) fn push_text(heap: &mut TextBuffer, text: &[u8]) -> Result<(Placed, bool), ValueError> {
    let start = heap.len();
    let upper = upper_half(SIZE_BYTE, text.len() + 1)?;
    let room = heap.room_for(text.len() + 8);
    // NUL and padding.
    if let Some(end) = room.last_chunk_mut::<8>() {
        *end = [0; 8];
    }
    let room = room.get_mut(..text.len()).unwrap_or_default();
    let seen = match text.len() {
        0..4 => copy_bytes(text, room),
        4..8 => copy_ends::<4>(text, room),
        8..16 => copy_ends::<8>(text, room),
        _ => copy_blocks(text, room),
    };
    heap.advance((text.len() + 1).next_multiple_of(8));
    Ok((Placed { start_byte: start, upper }, seen & UPPER_BITS == 0))
}

const UPPER_BITS: u128 = 0x8080_8080_8080_8080_8080_8080_8080_8080;

/// Bytes that are copied at once.
const BLOCK: usize = 16;

// Each of these copies `from` to `to`, which is as long, and tells all bits that it has seen.

#[inline(always)]
fn copy_bytes(from: &[u8], to: &mut [u8]) -> u128 {
    let mut seen = 0;
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
        seen |= *from;
    }
    seen.into()
}

/// N to 2 N bytes, as the first N and the last N.
#[inline(always)]
fn copy_ends<const N: usize>(from: &[u8], to: &mut [u8]) -> u128 {
    let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else { return 0 };
    if let Some(to) = to.first_chunk_mut() {
        *to = *first;
    }
    if let Some(to) = to.last_chunk_mut() {
        *to = *last;
    }
    bits(first) | bits(last)
}

#[inline(always)]
fn copy_blocks(from: &[u8], to: &mut [u8]) -> u128 {
    let mut seen = 0;
    for (to, from) in to.as_chunks_mut::<BLOCK>().0.iter_mut().zip(from.as_chunks::<BLOCK>().0) {
        *to = *from;
        seen |= u128::from_le_bytes(*from);
    }
    if let (Some(from), Some(to)) = (from.last_chunk::<BLOCK>(), to.last_chunk_mut::<BLOCK>()) {
        *to = *from;
        seen |= u128::from_le_bytes(*from);
    }
    seen
}

#[inline(always)]
fn bits<const N: usize>(bytes: &[u8; N]) -> u128 {
    let mut wide = [0; BLOCK];
    wide.iter_mut().zip(bytes).for_each(|(wide, byte)| *wide = *byte);
    u128::from_le_bytes(wide)
}

/// Writes a Text by `write`, which says how long it is: at most N - 8, so that there is room for its NUL.
#[inline(always)]
pub(super) fn push_text_with<const N: usize>(
    heap: &mut TextBuffer,
    write: impl FnOnce(&mut [u8; N]) -> Result<usize, ValueError>,
) -> Result<Placed, ValueError> {
    let start = heap.len();
    let room = heap.room::<N>();
    let length = write(room)?;
    if let Some(end) = room.get_mut(length..length + 8) {
        end.fill(0);
    }
    heap.advance((length + 1).next_multiple_of(8));
    Ok(Placed { start_byte: start, upper: upper_half(SIZE_BYTE, length + 1)? })
}
