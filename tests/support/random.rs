//! Random numbers for tests: the generator of the library's own tests, and a fresh seed.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test takes what it needs")]

use std::hash::{BuildHasher, RandomState};

#[path = "../../src/ground/random.rs"]
mod generator;
pub use generator::Random;

/// A new seed, which is printed so that a failure can be reproduced: `FENCEPOST_SEED=<seed>`
/// replaces it.
pub fn fresh_seed() -> u64 {
    let seed = match std::env::var("FENCEPOST_SEED") {
        Ok(seed) => seed.parse().expect("FENCEPOST_SEED is a number"),
        Err(_) => RandomState::new().hash_one("fresh"),
    };
    println!("FENCEPOST_SEED={seed}");
    seed
}
