//! A record over time: the sums over its memory types at each collect.

use std::collections::BTreeMap;

use crate::record::{Mark, MemorySample, Record};

/// The whole memory at one moment of a record. All sizes in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Moment {
    /// Microseconds since the record's beginning.
    pub microseconds: u64,
    /// Blocks, dedicated ones among them.
    pub blocks: u32,
    /// Device memory held.
    pub reserved: u64,
    /// In live allocations.
    pub live: u64,
    /// Retired, and not yet free.
    pub pending: u64,
    /// Free inside blocks.
    pub free: u64,
    /// The largest requests that are granted without a new block, one for each memory type.
    pub largest_free: u64,
}

impl Moment {
    /// How scattered the free bytes are: 1 - [`largest_free`](Self::largest_free) / free, and 0 where
    /// none are free.
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
    /// The memory at each collect; nothing for a trace, which knows no times. O(marks × types).
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
