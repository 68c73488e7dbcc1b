//! Maps by numbers that are made here or are hashes already. The standard library's hasher withstands keys that an
//! enemy chose, and takes as long as a small event does.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// Keys of one `u32` or `u64` (or a type around one).
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

pub type IdSet<K> = HashSet<K, BuildHasherDefault<IdHasher>>;

#[derive(Debug, Clone, Copy, Default)]
pub struct IdHasher(u64);

/// 2^64 divided by the golden ratio, odd: numbers that follow each other come to lie far apart.
const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        // Both halves: the lower one alone has the upper bits of a number nowhere in its own lower bits.
        let product = u128::from(self.0 ^ number) * FACTOR;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn neighbours_and_multiples_spread() {
        let hash = |number: u64| BuildHasherDefault::<IdHasher>::default().hash_one(number);
        for step in [1, 2, 64, 1 << 16, 1 << 32, 1 << 48] {
            let places: HashSet<u64> = (0..1024).map(|index| hash(index * step) & 1023).collect();
            // Thrown at random, 1024 numbers meet 647 of 1024 places.
            assert!(places.len() > 500, "{step}: {}", places.len());
        }
    }
}
