//! How much of the memory is watched.

use std::sync::atomic::Ordering;

use super::super::Allocator;
use crate::memory::Sight;

/// How much of an allocator's memory its guards watch, in blocks and bytes. Arenas without guards
/// are not counted, because their blocks are not supposed to be watched.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GuardCoverage {
    /// The number of watched blocks.
    pub guarded_blocks: u64,
    /// Their size in bytes.
    pub guarded_bytes: u64,
    /// The number of these blocks that the GPU watches, at each [scrub](Allocator::scrub).
    pub scrubbed_blocks: u64,
    /// Their size in bytes.
    pub scrubbed_bytes: u64,
    /// The number of dedicated allocations, which have no guards.
    pub dedicated_blocks: u64,
    /// Their size in bytes.
    pub dedicated_bytes: u64,
    /// The number of blocks that nothing watches: the host cannot, because they are not
    /// host-visible, not coherent or not mapped; and the GPU is not supposed to, or no storage
    /// buffer can be bound to them.
    pub unseen_blocks: u64,
    /// Their size in bytes.
    pub unseen_bytes: u64,
    /// Under [`GuardPolicy::Zero`](crate::GuardPolicy::Zero), the number of allocations so far
    /// whose memory was not zeroed, but as it came from the driver.
    pub unzeroed_allocations: u64,
    /// The number of freed allocations so far that were reused before the GPU had checked them,
    /// because a request would have failed otherwise. Writes into their margins, and late writes,
    /// are not reported.
    pub unlooked_allocations: u64,
}

impl Allocator {
    /// Returns how much of the memory is watched. All fields are zero if guards are off. O(blocks).
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
