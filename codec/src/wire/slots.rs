//! Slot allocation: which bits of a struct's data section, and which pointer, each field gets.
//!
//! The rules are the `capnp` compiler's, so that a `.capnp` text and our own arithmetic name the same places; the
//! tests of [`super::layout`] compare the two. Fields are placed in the order of their ordinals. A data field takes
//! the smallest hole that holds it, else a new word whose unused rest becomes holes; so at most one hole of each
//! size (1, 2, 4, 8, 16, 32 bits) is ever open. Appending a field never moves an earlier one.

/// Offsets of the open holes; the index is log2 of the size in bits, the offset in units of that size. 0 stands for
/// none: the first field of a word starts at its beginning, so no hole ever has offset 0.
#[derive(Debug, Clone, Default)]
pub struct SlotAllocator {
    holes: [u32; HOLE_SIZES],
    data_words: u32,
    pointers: u32,
}

/// Holes of 2^0 to 2^5 bits; a hole of 2^6 would be a whole word, which is never left open.
const HOLE_SIZES: usize = 6;

impl SlotAllocator {
    pub fn new() -> Self {
        Self::default()
    }

    /// A slot of `2^size_log2` bits (0 to 6); its offset in units of that size.
    pub fn data(&mut self, size_log2: u8) -> u32 {
        if let Some(offset) = self.take_hole(usize::from(size_log2)) {
            return offset;
        }
        let offset = self.data_words << (6 - u32::from(size_log2.min(6)));
        self.data_words += 1;
        // What lies behind the field in its new word: one hole of each larger size's half.
        let mut hole = offset + 1;
        for size in usize::from(size_log2)..HOLE_SIZES {
            self.holes[size] = hole;
            hole = hole.div_ceil(2);
        }
        offset
    }

    /// The index of a new pointer.
    pub fn pointer(&mut self) -> u32 {
        self.pointers += 1;
        self.pointers - 1
    }

    pub fn data_words(&self) -> u32 {
        self.data_words
    }

    pub fn pointers(&self) -> u32 {
        self.pointers
    }

    fn take_hole(&mut self, size: usize) -> Option<u32> {
        let hole = *self.holes.get(size)?;
        if hole != 0 {
            self.holes[size] = 0;
            return Some(hole);
        }
        // Split the next larger one: its first half is taken, its second stays open.
        let larger = self.take_hole(size + 1)?;
        self.holes[size] = larger * 2 + 1;
        Some(larger * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes in bits of fields in order (0: a pointer), and the offsets that they get.
    fn check(sizes: &[u32], offsets: &[u32], data_words: u32, pointers: u32) {
        let mut slots = SlotAllocator::new();
        let got: Vec<u32> = sizes
            .iter()
            .map(|&bits| match bits {
                0 => slots.pointer(),
                bits => slots.data(bits.trailing_zeros() as u8),
            })
            .collect();
        assert_eq!(got, offsets, "offsets of {sizes:?}");
        assert_eq!((slots.data_words(), slots.pointers()), (data_words, pointers));
    }

    #[test]
    fn fields_fill_holes_before_new_words() {
        check(&[], &[], 0, 0);
        check(&[64, 1], &[0, 64], 2, 0);
        check(&[1, 1, 1], &[0, 1, 2], 1, 0);
        check(&[1, 64, 32, 16, 8, 1, 1], &[0, 1, 1, 1, 1, 1, 2], 2, 0);
        check(&[32, 0, 1, 32], &[0, 0, 32, 2], 2, 1);
        check(&[8, 16, 1, 0, 0, 32, 8], &[0, 1, 8, 0, 1, 1, 8], 2, 2);
    }
}
