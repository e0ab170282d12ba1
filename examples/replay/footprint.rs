//! The maximum of memory that a replay took.

use std::collections::HashMap;

use ash::vk;
use fencepost::{Allocation, Allocator, Statistics};

/// Peaks over a replay, in bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Footprint {
    live: u64,
    /// The number of resources in each memory.
    tenants: HashMap<vk::DeviceMemory, u32>,
    /// The peak of live bytes: the sizes that the driver required.
    pub(crate) peak_live: u64,
    /// The peak of bytes that were dropped and waited for the GPU, as observed at each submission.
    pub(crate) peak_pending: u64,
    /// The peak of both together, which is a lower bound for every allocator.
    pub(crate) peak_held: u64,
    /// The peak of bytes taken from the driver.
    pub(crate) peak_reserved: u64,
    /// The bytes that waited for the GPU at that moment, and so could not be used.
    pub(crate) pending_at_peak: u64,
    /// The peak of blocks, as observed at each submission.
    pub(crate) peak_blocks: u32,
    /// `vkAllocateMemory` calls.
    pub(crate) driver_allocations: u64,
    /// The number of resources that took over memory which the GPU still used.
    pub(crate) taken_over: u64,
}

impl Footprint {
    pub(crate) fn allocated(&mut self, made: &Allocation, allocator: &Allocator) {
        self.live += made.size();
        self.peak_live = self.peak_live.max(self.live);
        let tenants = self.tenants.entry(made.memory()).or_default();
        *tenants += 1;
        if *tenants == 1 {
            // More can be reserved than before only if the memory is new.
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

    /// Records the state of the allocator before it collects.
    pub(crate) fn sample(&mut self, allocator: &Allocator) {
        let Statistics { total, peak_reserved, driver_allocations, .. } = allocator.statistics();
        self.peak_pending = self.peak_pending.max(total.pending);
        self.peak_held = self.peak_held.max(total.live + total.pending);
        self.peak_reserved = peak_reserved;
        self.peak_blocks = self.peak_blocks.max(total.blocks);
        self.driver_allocations = driver_allocations;
    }

    /// The peak of bytes taken from the driver over the peak of live bytes.
    pub(crate) fn ratio(&self) -> f64 {
        self.peak_reserved as f64 / self.peak_live.max(1) as f64
    }
}
