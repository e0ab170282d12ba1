//! Random numbers from a seed that can be repeated: the library's generator, and helpers for
//! scenarios.

#[path = "../../../src/ground/random.rs"]
mod generator;

pub(crate) struct Random(generator::Random);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(generator::Random::new(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// A number below `bound`, which is above zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }

    /// A size in bytes from `least` to below `2 * most`: every bit length is equally likely, and it
    /// is a multiple of 4.
    pub(crate) fn size(&mut self, least: u64, most: u64) -> u64 {
        let (low, high) = (least.ilog2(), most.ilog2());
        let base = 1 << (low + self.below((high - low + 1) as usize) as u32);
        (base + self.0.below(base)) & !3
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
