//! A record over time: sums over all memory types at each collect.

use std::collections::BTreeMap;

use crate::record::{Mark, MemorySample, Record};

/// All memory at one moment of a record. All sizes are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Moment {
    /// Microseconds since the record began.
    pub microseconds: u64,
    /// The number of blocks, including dedicated ones.
    pub blocks: u32,
    /// The device memory that is held.
    pub reserved: u64,
    /// The bytes in live allocations.
    pub live: u64,
    /// The bytes that are retired and not yet free.
    pub pending: u64,
    /// The bytes that are free inside blocks.
    pub free: u64,
    /// The sum of the largest requests that each memory type can grant without a new block.
    pub largest_free: u64,
}

impl Moment {
    /// The fragmentation of free memory: 1 - [`largest_free`](Self::largest_free) / free, and 0 if
    /// nothing is free.
    pub fn fragmentation(&self) -> f64 {
        match self.free {
            0 => 0.0,
            free => 1.0 - self.largest_free as f64 / free as f64,
        }
    }

    pub(super) fn add(&mut self, sample: &MemorySample) {
        self.blocks += sample.blocks;
        self.reserved += sample.reserved;
        self.live += sample.live;
        self.pending += sample.pending;
        self.free += sample.free();
        self.largest_free += sample.largest_free;
    }
}

impl Record {
    /// The state of memory at each collect; empty for a trace, which contains no times. O(marks ×
    /// types).
    pub fn moments(&self) -> Vec<Moment> {
        let mut types = BTreeMap::new();
        let mut moments = Vec::new();
        for &(_, mark) in self.marks() {
            match mark {
                Mark::Memory { memory_type, sample } => {
                    types.insert(memory_type, sample);
                }
                Mark::Time { microseconds } => {
                    let mut moment = Moment { microseconds, ..Moment::default() };
                    types.values().for_each(|sample| moment.add(sample));
                    moments.push(moment);
                }
                _ => {}
            }
        }
        moments
    }
}
