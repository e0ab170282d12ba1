//! Random numbers from a seed that can be repeated.

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is above zero.
    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A size in bytes from `least` to below `2 * most`: any bit length alike, and a multiple of 4.
    pub(crate) const fn size(&mut self, least: u64, most: u64) -> u64 {
        let (low, high) = (least.ilog2(), most.ilog2());
        let base = 1 << (low + self.below((high - low + 1) as usize) as u32);
        (base + self.next() % base) & !3
    }

    pub(crate) const fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
