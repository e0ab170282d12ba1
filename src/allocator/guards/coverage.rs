//! How much of the memory is watched.

use std::sync::atomic::Ordering;

use super::super::Allocator;
use crate::memory::Sight;

/// How much of an allocator's memory its guards watch: counts and bytes of blocks. An arena without
/// guards is left out, as its blocks are not meant to be watched.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GuardCoverage {
    /// Blocks that are watched.
    pub guarded_blocks: u64,
    /// Their bytes.
    pub guarded_bytes: u64,
    /// Of those, the blocks that the GPU watches, at each [scrub](Allocator::scrub).
    pub scrubbed_blocks: u64,
    /// Their bytes.
    pub scrubbed_bytes: u64,
    /// Dedicated memories: one resource fills them.
    pub dedicated_blocks: u64,
    /// Their bytes.
    pub dedicated_bytes: u64,
    /// Blocks that nobody watches: the host does not see them, or they are not coherent or not
    /// mapped; and the GPU shall not, or no storage buffer can lie in them.
    pub unseen_blocks: u64,
    /// Their bytes.
    pub unseen_bytes: u64,
    /// Under [`GuardPolicy::Zero`](crate::GuardPolicy::Zero): allocations so far whose memory was as the driver gave it.
    pub unzeroed_allocations: u64,
    /// What ended so far and came back before the GPU had looked at it, because a request would have failed: a
    /// write into its margins, or late, is not told.
    pub unlooked_allocations: u64,
}

impl Allocator {
    /// How much of the memory is watched. All zero where guards are off. O(blocks).
    pub fn guard_coverage(&self) -> GuardCoverage {
        let inner = self.inner();
        let mut coverage = GuardCoverage {
            unzeroed_allocations: inner.guards.unzeroed.load(Ordering::Relaxed),
            unlooked_allocations: inner.guards.unlooked.load(Ordering::Relaxed),
            ..GuardCoverage::default()
        };
        for lane in inner.lanes() {
            let state = lane.lock();
            if !state.guards.is_on() {
                continue;
            }
            for (_, block) in state.blocks.iter() {
                let c = &mut coverage;
                let (count, bytes) = match block.sight {
                    _ if block.is_dedicated() => (&mut c.dedicated_blocks, &mut c.dedicated_bytes),
                    Sight::None => (&mut c.unseen_blocks, &mut c.unseen_bytes),
                    Sight::Host(_) => (&mut c.guarded_blocks, &mut c.guarded_bytes),
                    Sight::Gpu(_) => {
                        c.scrubbed_blocks += 1;
                        c.scrubbed_bytes += block.size;
                        (&mut c.guarded_blocks, &mut c.guarded_bytes)
                    }
                };
                *count += 1;
                *bytes += block.size;
            }
        }
        coverage
    }
}
