//! Budgets: how much of a heap may be reserved, according to the driver's last report.

use std::sync::atomic::Ordering;

use ash::vk;

use super::{
    Allocator,
    heaps::{HeapBudget, Refusal, Reservation},
    inner::Inner,
    request::Limit,
};

impl Inner {
    /// Reserves bytes of a heap before the driver is asked for them.
    pub(super) fn reserve(
        &self,
        heap: u32,
        bytes: u64,
        limit: Limit,
    ) -> Result<Reservation<'_>, Refusal> {
        self.renew_report(false);
        match self.heaps.reserve(heap, bytes, limit) {
            // Memory that has become free meanwhile may suffice.
            Err(Refusal::Budget) if limit == Limit::Budget && self.renew_report(true) => {
                self.heaps.reserve(heap, bytes, limit)
            }
            done => done,
        }
    }

    /// The number of bytes of a heap that the limit still allows.
    pub(super) fn left(&self, heap: u32, limit: Limit) -> u64 {
        self.renew_report(false);
        self.heaps.left(heap, limit)
    }

    /// Frees device memory, and then releases its bytes for others.
    ///
    /// # Safety
    /// As for [`Vulkan::free_memory`](crate::vulkan::Vulkan::free_memory); the memory was kept from
    /// a reservation of `bytes` in `heap`.
    pub(super) unsafe fn free_memory(&self, heap: u32, memory: vk::DeviceMemory, bytes: u64) {
        // SAFETY: the caller's promise.
        self.heaps.give_back(heap, bytes, || unsafe { self.vulkan.free_memory(memory) });
    }

    /// Reads the driver's report if it is old, or in any case. Returns whether it did.
    fn renew_report(&self, in_any_case: bool) -> bool {
        let now = self.collects.load(Ordering::Relaxed);
        let wanted = self.vulkan.reports_budget() && (in_any_case || self.heaps.is_stale(now));
        // SAFETY: the device contract holds while the allocator is open.
        wanted && self.heaps.renew(now, || unsafe { self.vulkan.memory_budget() })
    }
}

impl Allocator {
    /// Returns the budget of a heap, or `None` if there is no such heap.
    ///
    /// Takes no lock. Queries the driver only if the last report is old: after 32 memory objects
    /// were allocated or freed, or 64 collects.
    pub fn heap_budget(&self, heap: u32) -> Option<HeapBudget> {
        let inner = self.inner();
        if inner.check_open().is_ok() {
            inner.renew_report(false);
        }
        inner.heaps.budget(heap)
    }
}
