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

const UPPER_BITS: u128 = 0x8080_8080_8080_8080_8080_8080_8080_8080;

/// Bytes that are copied at once.
const BLOCK: usize = 16;

/// Writes a Text of the first `length` bytes of `source`, copied in blocks that may run ahead into what follows them
/// there. Also true where all of the text is ASCII; where not, the caller looks whether it is UTF-8.
#[inline(always)]
pub(super) fn push_text(heap: &mut TextBuffer, source: &[u8], length: usize) -> Result<(Placed, bool), ValueError> {
    let start = heap.len();
    let upper = upper_half(SIZE_BYTE, length + 1)?;
    let blocks_bytes = length.next_multiple_of(BLOCK);
    let room = heap.room_for(blocks_bytes + 8);
    let is_ascii = match source.get(..blocks_bytes) {
        Some(readable) => {
            let (mut seen, mut last) = (0_u128, 0_u128);
            for (to, from) in room.as_chunks_mut::<BLOCK>().0.iter_mut().zip(readable.as_chunks::<BLOCK>().0) {
                *to = *from;
                seen |= last;
                last = u128::from_le_bytes(*from);
            }
            // Bytes behind the text do not count.
            let foreign_bytes = (blocks_bytes - length) % BLOCK;
            (seen | last & (!0 >> (8 * foreign_bytes))) & UPPER_BITS == 0
        }
        // The last few bytes of the event.
        None => {
            let bytes = source.get(..length).unwrap_or_default();
            room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            bytes.is_ascii()
        }
    };
    // NUL and padding.
    if let Some(end) = room.get_mut(length..).and_then(|rest| rest.first_chunk_mut::<8>()) {
        *end = [0; 8];
    }
    heap.advance((length + 1).next_multiple_of(8));
    Ok((Placed { start_byte: start, upper }, is_ascii))
}

/// Writes a Text by `write`, which says how long it is.
#[inline(always)]
pub(super) fn push_text_with<const N: usize>(
    heap: &mut TextBuffer,
    write: impl FnOnce(&mut [u8; N]) -> Result<usize, ValueError>,
) -> Result<Placed, ValueError> {
    let start = heap.len();
    let length = write(heap.room::<N>())?;
    let room = heap.room_for(length + 8);
    if let Some(end) = room.get_mut(length..).and_then(|rest| rest.first_chunk_mut::<8>()) {
        *end = [0; 8];
    }
    heap.advance((length + 1).next_multiple_of(8));
    Ok(Placed { start_byte: start, upper: upper_half(SIZE_BYTE, length + 1)? })
}
