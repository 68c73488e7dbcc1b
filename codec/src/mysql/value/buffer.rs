//! Bytes that texts are written to: a `Vec` whose spare part is initialised, so that a store of eight bytes may run
//! ahead of the text's end and no store has to ask for capacity first. Used again, it is not zeroed again.

use std::ops::Deref;

use super::digits::{U64_ROOM, write_u64};

/// Growth in one step at least, so that a text does not grow byte by byte.
const GROWTH_BYTES_MIN: usize = 1 << 10;

/// `bytes[..length]` is written; the rest is room of no particular content.
#[derive(Debug, Default)]
pub struct TextBuffer {
    bytes: Vec<u8>,
    length: usize,
}

impl TextBuffer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on behind what `bytes` holds. [`into_vec`](Self::into_vec) gives it back.
    pub fn over(bytes: Vec<u8>, room: usize) -> Self {
        let length = bytes.len();
        let mut bytes = bytes;
        bytes.resize(length + room, 0);
        Self { bytes, length }
    }

    pub fn into_vec(mut self) -> Vec<u8> {
        self.bytes.truncate(self.length);
        self.bytes
    }

    /// Forgets what is written; the memory stays.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Memory that it holds.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    #[inline(always)]
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets what lies behind `length`.
    #[inline]
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    #[inline]
    pub fn written(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// What was written from `start` on.
    #[inline]
    pub fn written_from(&self, start: usize) -> &[u8] {
        self.bytes.get(start..self.length).unwrap_or_default()
    }

    /// Room for `count` bytes more without growing.
    #[inline(always)]
    pub fn reserve(&mut self, count: usize) {
        if self.bytes.len() - self.length < count {
            self.grow(count);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, count: usize) {
        // Only what is about to be written is zeroed: the buffer may be one that holds much already.
        self.bytes.resize(self.length + count.max(GROWTH_BYTES_MIN), 0);
    }

    /// The next N bytes, to be written to; [`advance`](Self::advance) says how many of them count.
    #[inline(always)]
    pub fn room<const N: usize>(&mut self) -> &mut [u8; N] {
        self.reserve(N);
        self.bytes
            .get_mut(self.length..)
            .and_then(|room| room.first_chunk_mut())
            .expect("reserve made room for N bytes")
    }

    /// The next `count` bytes, to be written to.
    #[inline(always)]
    pub fn room_for(&mut self, count: usize) -> &mut [u8] {
        self.reserve(count);
        self.bytes.get_mut(self.length..self.length + count).unwrap_or_default()
    }

    /// `count` bytes of the room are written now.
    #[inline(always)]
    pub fn advance(&mut self, count: usize) {
        self.length = (self.length + count).min(self.bytes.len());
    }

    /// The first `count` (up to 8) bytes of `word`, lowest first.
    #[inline(always)]
    pub fn push_word(&mut self, word: u64, count: usize) {
        *self.room::<8>() = word.to_le_bytes();
        self.advance(count);
    }

    #[inline(always)]
    pub fn push(&mut self, byte: u8) {
        *self.room::<1>() = [byte];
        self.advance(1);
    }

    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        self.room_for(bytes.len()).copy_from_slice(bytes);
        self.advance(bytes.len());
    }

    #[inline]
    pub fn push_u64(&mut self, number: u64) {
        let count = write_u64(self.room::<U64_ROOM>(), number);
        self.advance(count);
    }

    #[inline]
    pub fn push_i64(&mut self, number: i64) {
        if number < 0 {
            self.push(b'-');
        }
        self.push_u64(number.unsigned_abs());
    }

    /// Zero bytes up to the next multiple of eight, counted from the start of the buffer.
    #[inline]
    pub fn pad_to_word(&mut self) {
        self.push_word(0, self.length.wrapping_neg() & 7);
    }

    /// Changes what is written already.
    #[inline]
    pub fn written_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }
}

impl Deref for TextBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.written()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stays_and_grows() {
        let mut buffer = TextBuffer::over(b"head".to_vec(), 0);
        for round in 0..5_000_u64 {
            buffer.push_u64(round);
            buffer.push(b' ');
        }
        buffer.push_i64(i64::MIN);
        buffer.pad_to_word();
        assert_eq!(buffer.len() % 8, 0);
        let text = String::from_utf8(buffer.into_vec()).unwrap();
        let expected: String = (0..5_000).map(|round| format!("{round} ")).collect();
        assert_eq!(text.trim_end_matches('\0'), format!("head{expected}{}", i64::MIN));
    }

    #[test]
    fn truncating_never_lengthens() {
        let mut buffer = TextBuffer::new();
        buffer.extend(b"abc");
        buffer.truncate(9);
        assert_eq!(buffer.written(), b"abc");
        buffer.truncate(1);
        assert_eq!((buffer.written(), buffer.written_from(1), buffer.written_from(5)), (&b"a"[..], &b""[..], &b""[..]));
        buffer.clear();
        buffer.extend(b"xy");
        assert_eq!(&*buffer, b"xy", "what was there before does not show");
    }
}
