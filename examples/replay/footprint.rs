//! How much memory a replay took, at most.

use std::collections::HashMap;

use ash::vk;
use fencepost::{Allocation, Allocator, Statistics};

/// Peaks over a replay, in bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Footprint {
    live: u64,
    /// How many resources live in each memory.
    tenants: HashMap<vk::DeviceMemory, u32>,
    /// What the trace had alive at a time: the sizes that the driver asked for.
    pub(crate) peak_live: u64,
    /// What was dropped and waited for the GPU, as seen at each submit.
    pub(crate) peak_pending: u64,
    /// Both together: what no allocator could have gone below.
    pub(crate) peak_held: u64,
    /// What was taken from the driver.
    pub(crate) peak_reserved: u64,
    /// What waited for the GPU when that was reached: memory that was there, and could not be had.
    pub(crate) pending_at_peak: u64,
    /// Blocks, as seen at each submit.
    pub(crate) peak_blocks: u32,
    /// `vkAllocateMemory` calls.
    pub(crate) driver_allocations: u64,
    /// Resources that took over what the GPU still used.
    pub(crate) taken_over: u64,
}

impl Footprint {
    pub(crate) fn allocated(&mut self, made: &Allocation, allocator: &Allocator) {
        self.live += made.size();
        self.peak_live = self.peak_live.max(self.live);
        let tenants = self.tenants.entry(made.memory()).or_default();
        *tenants += 1;
        if *tenants == 1 {
            // The memory may be new: only then can more be reserved than before.
            let Statistics { total, peak_reserved, .. } = allocator.statistics();
            if peak_reserved > self.peak_reserved {
                (self.peak_reserved, self.pending_at_peak) = (peak_reserved, total.pending);
            }
        }
    }

    pub(crate) fn freed(&mut self, ended: &Allocation) {
        self.live -= ended.size();
        if let Some(tenants) = self.tenants.get_mut(&ended.memory()) {
            *tenants -= 1;
        }
    }

    /// Looks at the allocator, before it collects.
    pub(crate) fn sample(&mut self, allocator: &Allocator) {
        let Statistics { total, peak_reserved, driver_allocations, .. } = allocator.statistics();
        self.peak_pending = self.peak_pending.max(total.pending);
        self.peak_held = self.peak_held.max(total.live + total.pending);
        self.peak_reserved = peak_reserved;
        self.peak_blocks = self.peak_blocks.max(total.blocks);
        self.driver_allocations = driver_allocations;
    }

    /// Bytes taken from the driver for each byte alive, at their peaks.
    pub(crate) fn ratio(&self) -> f64 {
        self.peak_reserved as f64 / self.peak_live.max(1) as f64
    }
}
