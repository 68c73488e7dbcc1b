//! Where a shard puts encoded rows: memory that goes back to the shard when the last who reads it has dropped it, on
//! whatever core that is. Taken from the allocator for each batch anew, its pages would be cleared anew too, which costs
//! more than the rows that are written to them.
//!
//! Invariant: a slab is in one place only, with its readers or in the pool.

use std::ops::Deref;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use millstream_codec::mysql::value::buffer::TextBuffer;

use crate::limits::{SLAB_BYTES_KEPT_MAX, SLABS_KEPT_MAX};

/// The slabs of one shard that nobody reads now.
#[derive(Debug, Clone)]
pub struct SlabPool(Arc<ArrayQueue<TextBuffer>>);

impl Default for SlabPool {
    fn default() -> Self {
        Self(Arc::new(ArrayQueue::new(SLABS_KEPT_MAX)))
    }
}

impl SlabPool {
    /// An empty slab, used before where there is one.
    pub fn take(&self) -> Slab {
        Slab { buffer: self.0.pop().unwrap_or_default(), home: self.clone() }
    }

    fn give_back(&self, mut buffer: TextBuffer) {
        // Beyond that it was an unusual batch, and would be kept for ever.
        if buffer.capacity() <= SLAB_BYTES_KEPT_MAX {
            buffer.clear();
            // Where there is no place left it is freed.
            let _ = self.0.push(buffer);
        }
    }
}

/// Encoded rows of one batch.
#[derive(Debug)]
pub struct Slab {
    buffer: TextBuffer,
    home: SlabPool,
}

impl Slab {
    pub(super) fn buffer(&mut self) -> &mut TextBuffer {
        &mut self.buffer
    }
}

impl Default for Slab {
    /// With nothing in it, of no shard.
    fn default() -> Self {
        SlabPool::default().take()
    }
}

impl Deref for Slab {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.written()
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slab_comes_back_empty_and_only_once_it_is_dropped() {
        let pool = SlabPool::default();
        let mut first = pool.take();
        first.buffer().extend(&[1; 1000]);
        let place = first.as_ptr();
        let other = pool.take();
        assert_ne!(other.buffer.capacity(), first.buffer.capacity(), "the first is still read");
        drop(first);
        let again = pool.take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let pool = SlabPool::default();
        let mut many: Vec<Slab> = (0..SLABS_KEPT_MAX + 3).map(|_| pool.take()).collect();
        for slab in &mut many {
            slab.buffer().extend(&[1; 100]);
        }
        drop(many);
        assert_eq!(pool.0.len(), SLABS_KEPT_MAX);
        while pool.0.pop().is_some() {}
        let mut large = pool.take();
        large.buffer().reserve(SLAB_BYTES_KEPT_MAX + 1);
        drop(large);
        assert!(pool.0.is_empty());
    }
}
