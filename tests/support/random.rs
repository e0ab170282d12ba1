//! Random numbers for tests: a small generator, fixed seeds and one fresh one.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::hash::{BuildHasher, RandomState};

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from 1 to `most`, each power of two as likely as the next.
    pub fn log_uniform(&mut self, most: u64) -> u64 {
        let bits = self.below(u64::from(most.ilog2()) + 1);
        ((1 << bits) + self.below(1 << bits)).min(most)
    }
}

/// A seed that no run had before, printed so that a failure can be had again:
/// `FENCEPOST_SEED=<seed>` takes its place.
pub fn fresh_seed() -> u64 {
    let seed = match std::env::var("FENCEPOST_SEED") {
        Ok(seed) => seed.parse().expect("FENCEPOST_SEED is a number"),
        Err(_) => RandomState::new().hash_one("fresh"),
    };
    println!("FENCEPOST_SEED={seed}");
    seed
}
