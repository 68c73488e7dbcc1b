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

/// Copies the first `length` bytes of `source`, in blocks that may run ahead into what follows them there.
/// True where all of them are ASCII.
#[inline(always)]
pub(super) fn push_checked(heap: &mut TextBuffer, source: &[u8], length: usize) -> bool {
    const BLOCK: usize = 16;
    let blocks = length.div_ceil(BLOCK);
    let Some(readable) = source.get(..blocks * BLOCK) else {
        // The last few bytes of the event.
        let bytes = source.get(..length).unwrap_or_default();
        heap.extend(bytes);
        return bytes.is_ascii();
    };
    let room = heap.room_for(blocks * BLOCK);
    let (mut seen, mut last) = (0_u128, 0_u128);
    for (to, from) in room.as_chunks_mut::<BLOCK>().0.iter_mut().zip(readable.as_chunks::<BLOCK>().0) {
        *to = *from;
        seen |= last;
        last = u128::from_le_bytes(*from);
    }
    let foreign_bytes = blocks * BLOCK - length;
    if blocks > 0 {
        // Bytes behind the text do not count.
        seen |= last & (!0 >> (8 * foreign_bytes));
    }
    heap.advance(length);
    seen & UPPER_BITS == 0
}
