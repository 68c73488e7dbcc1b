//! Memory that is filled, handed out in frozen parts, and filled again once all of them are dropped.
//!
//! A chunk that was taken from the allocator anew would have its pages cleared anew, which costs more than most of
//! what is done with its bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;

/// Chunks that are full, oldest first. Parts of them may still be held somewhere.
#[derive(Debug)]
pub struct SpentChunks {
    chunks: VecDeque<BytesMut>,
    count_max: usize,
    bytes_max: usize,
}

impl SpentChunks {
    /// At most `count_max` are kept, and none that is larger than `bytes_max`.
    pub fn new(count_max: usize, bytes_max: usize) -> Self {
        Self { chunks: VecDeque::new(), count_max, bytes_max }
    }

    pub fn count(&self) -> usize {
        self.chunks.len()
    }

    /// An empty chunk of at least `capacity` bytes: one that nobody holds any more, else a new one.
    pub fn take(&mut self, capacity: usize) -> BytesMut {
        let free = self.chunks.iter_mut().position(|chunk| chunk.try_reclaim(capacity));
        free.and_then(|free| self.chunks.remove(free)).unwrap_or_else(|| BytesMut::with_capacity(capacity))
    }

    /// Keeps a chunk, whose own content is forgotten; `bytes` is what it was made for.
    pub fn give_back(&mut self, mut chunk: BytesMut, bytes: usize) {
        // One that never had memory would only take a place.
        if bytes == 0 || bytes > self.bytes_max {
            return;
        }
        chunk.clear();
        if self.chunks.len() == self.count_max {
            self.chunks.pop_front();
        }
        self.chunks.push_back(chunk);
    }
}

/// The same for several who fill chunks, each for itself: what is kept is kept once. Locked where a chunk is full, never
/// for what is put into it.
#[derive(Debug, Clone)]
pub struct SharedChunks(Arc<Mutex<SpentChunks>>);

impl SharedChunks {
    pub fn new(count_max: usize, bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(SpentChunks::new(count_max, bytes_max))))
    }

    /// As [`SpentChunks::take`].
    pub fn take(&self, capacity: usize) -> BytesMut {
        self.lock().take(capacity)
    }

    /// As [`SpentChunks::give_back`].
    pub fn give_back(&self, chunk: BytesMut, bytes: usize) {
        self.lock().give_back(chunk, bytes);
    }

    fn lock(&self) -> MutexGuard<'_, SpentChunks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_comes_back_when_its_last_part_is_dropped() {
        let mut spent = SpentChunks::new(2, 4096);
        let mut chunk = spent.take(4096);
        let place = chunk.as_ptr();
        chunk.extend_from_slice(&[7; 4096]);
        let (first, second) = (chunk.split_to(1000).freeze(), chunk.split_to(3096).freeze());
        spent.give_back(chunk, 4096);
        drop(first);
        assert_ne!(spent.take(4096).as_ptr(), place, "a part is still held");
        assert_eq!(second, [7; 3096][..]);
        drop(second);
        let again = spent.take(4096);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert!(again.capacity() >= 4096);
    }

    #[test]
    fn few_are_kept_and_no_large_one() {
        let mut spent = SpentChunks::new(2, 4096);
        for _ in 0..5 {
            spent.give_back(BytesMut::with_capacity(4096), 4096);
        }
        spent.give_back(BytesMut::with_capacity(8192), 8192);
        assert_eq!(spent.count(), 2);
    }
}
