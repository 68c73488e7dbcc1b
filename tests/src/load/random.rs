//! Numbers that follow from a seed.

/// SplitMix64 (Steele, Lea and Flood 2014): every seed is a good one.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed of a test: always the same one, so that what merges is held against the same; with `MILLSTREAM_SEED`
    /// that number, or one from the clock (`fresh`; `make soak`). Printed, so that a failure can be had again.
    ///
    /// # Panics
    /// When `MILLSTREAM_SEED` is neither.
    pub fn seed_of_test(name: &str) -> u64 {
        let seed = match std::env::var("MILLSTREAM_SEED").as_deref() {
            Err(_) => name.bytes().fold(0, |seed, byte| Self(seed ^ u64::from(byte)).next()),
            Ok("fresh") => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                since.as_nanos() as u64
            }
            Ok(number) => number.parse().expect("MILLSTREAM_SEED is a number, or fresh"),
        };
        println!("{name}: MILLSTREAM_SEED={seed}");
        seed
    }

    #[expect(
        clippy::should_implement_trait,
        reason = "a sequence without an end, and numbers are not asked for in loops"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `bound - 1`; 0 where the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let index = self.below(list.len() as u64);
        list.get(index as usize)
    }
}
