//! The memory reserved in each heap. Bytes are reserved here before the driver is asked, so that
//! all threads together stay within a budget and within `maxMemoryAllocationCount`.
//!
//! One number per heap, `reserved`, is decisive: it includes the memory that the driver gave, that
//! it is being asked for, and that is being returned to it. A reservation adds to this number in
//! one atomic step, only up to the heap's limit. A report of the driver changes the limit and not
//! the number, so it needs no lock.
//!
//! Imported memory counts as well, because the driver counts it as memory of this process, in the
//! usage that it reports and in `maxMemoryAllocationCount`.

use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use ash::vk;

use super::{lanes::LANE_BITS, request::Limit};
use crate::{
    policy::{
        budget::{Report, budget_of, ceiling, share},
        select::MemoryHeap,
    },
    vulkan::Properties,
};

/// A new report is read after this many memory objects were allocated or freed.
const STALE_CHANGES: u32 = 32;

/// It is also read after this many collects, because other processes change too.
const STALE_COLLECTS: u64 = 64;

/// The maximum number of memory objects, limited by the slots that a raw key can identify.
const MOST_MEMORIES: u32 = 1 << (u32::BITS - LANE_BITS);

/// All heaps, and the number of memory objects in all of them.
pub(super) struct Heaps {
    heaps: Box<[Heap]>,
    /// The maximum number of memory objects: `maxMemoryAllocationCount`, limited to what keys can
    /// identify.
    pub(super) memory_limit: u32,
    memories: AtomicU32,
    allocations: AtomicU64,
    frees: AtomicU64,
    reserved: AtomicU64,
    peak_reserved: AtomicU64,
    /// Memory objects allocated or freed since the last report.
    changes: AtomicU32,
    /// The collect at which the last report was read.
    reported_at: AtomicU64,
    reporting: AtomicBool,
    reported: AtomicBool,
}

/// The driver's report for each heap.
pub(super) type Reports = [Report; vk::MAX_MEMORY_HEAPS];

/// On its own cache lines, because different threads may use different heaps.
#[repr(align(128))]
struct Heap {
    size: u64,
    device_local: bool,
    cap: u64,
    reserved: AtomicU64,
    /// Sums that only rise: the bytes the driver gave, counted after the call, and the bytes
    /// returned to it, counted before the call. Their difference is never more than what the driver
    /// counts.
    given: AtomicU64,
    taken_back: AtomicU64,
    /// The maximum of `reserved` within the budget.
    ceiling: AtomicU64,
    budget: AtomicU64,
    usage: AtomicU64,
}

/// The reason why nothing was reserved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// The maximum number of memory objects exists already.
    Count,
    /// The heap's budget or cap has no room.
    Budget,
}

/// Bytes of a heap that the driver is about to be asked for. Dropping it releases them.
#[must_use]
pub(super) struct Reservation<'a> {
    heaps: &'a Heaps,
    heap: &'a Heap,
    bytes: u64,
}

impl Reservation<'_> {
    /// The driver has given the memory.
    pub(super) fn keep(self) {
        let Self { heaps, heap, bytes } = self;
        core::mem::forget(self);
        // Release: a thread that sees this also sees that the driver counts the memory.
        heap.given.fetch_add(bytes, Release);
        heaps.allocations.fetch_add(1, Relaxed);
        heaps.changes.fetch_add(1, Relaxed);
        let reserved = heaps.reserved.fetch_add(bytes, Relaxed) + bytes;
        heaps.peak_reserved.fetch_max(reserved, Relaxed);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.heap.reserved.fetch_sub(self.bytes, Relaxed);
        self.heaps.memories.fetch_sub(1, Relaxed);
    }
}

/// Totals over all heaps.
pub(super) struct Totals {
    pub(super) peak_reserved: u64,
    pub(super) allocations: u64,
    pub(super) frees: u64,
}

impl Heaps {
    pub(super) fn new(properties: &Properties, caps: &[u64; vk::MAX_MEMORY_HEAPS]) -> Self {
        let heap = |(&MemoryHeap { size, device_local }, &cap): (&MemoryHeap, &u64)| Heap {
            size,
            device_local,
            cap,
            reserved: AtomicU64::new(0),
            given: AtomicU64::new(0),
            taken_back: AtomicU64::new(0),
            ceiling: AtomicU64::new(share(size)),
            budget: AtomicU64::new(share(size)),
            usage: AtomicU64::new(0),
        };
        Self {
            heaps: properties.heaps.iter().zip(caps).map(heap).collect(),
            memory_limit: properties.max_allocation_count.min(MOST_MEMORIES),
            memories: AtomicU32::new(0),
            allocations: AtomicU64::new(0),
            frees: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            peak_reserved: AtomicU64::new(0),
            // The first request reads a report.
            changes: AtomicU32::new(STALE_CHANGES),
            reported_at: AtomicU64::new(0),
            reporting: AtomicBool::new(false),
            reported: AtomicBool::new(false),
        }
    }

    fn get(&self, heap: u32) -> Option<&Heap> {
        self.heaps.get(heap as usize)
    }

    /// Reserves bytes and one memory object. O(1), no lock.
    pub(super) fn reserve(
        &self,
        heap: u32,
        bytes: u64,
        limit: Limit,
    ) -> Result<Reservation<'_>, Refusal> {
        let heap = self.get(heap).ok_or(Refusal::Budget)?;
        let one_more = |count: u32| (count < self.memory_limit).then_some(count + 1);
        self.memories.fetch_update(Relaxed, Relaxed, one_more).map_err(|_| Refusal::Count)?;
        let limit = heap.limit(limit);
        let more = |reserved: u64| reserved.checked_add(bytes).filter(|&sum| sum <= limit);
        match heap.reserved.fetch_update(Relaxed, Relaxed, more) {
            Ok(_) => Ok(Reservation { heaps: self, heap, bytes }),
            Err(_) => {
                self.memories.fetch_sub(1, Relaxed);
                Err(Refusal::Budget)
            }
        }
    }

    /// The number of bytes that the limit still allows.
    pub(super) fn left(&self, heap: u32, limit: Limit) -> u64 {
        self.get(heap)
            .map_or(0, |heap| heap.limit(limit).saturating_sub(heap.reserved.load(Relaxed)))
    }

    /// The bytes reserved in all heaps.
    pub(super) fn held(&self) -> u64 {
        self.reserved.load(Relaxed)
    }

    /// The most bytes that were ever reserved in all heaps.
    pub(super) fn peak_reserved(&self) -> u64 {
        self.peak_reserved.load(Relaxed)
    }

    /// Whether `bytes` more would exceed the most that was ever reserved.
    pub(super) fn would_be_most(&self, bytes: u64) -> bool {
        self.held().saturating_add(bytes) > self.peak_reserved()
    }

    /// Whether a heap exceeds its budget or cap.
    pub(super) fn is_over_budget(&self, heap: u32) -> bool {
        self.get(heap).is_some_and(|heap| heap.reserved.load(Relaxed) > heap.limit(Limit::Budget))
    }

    /// The bytes reserved in a heap.
    pub(super) fn reserved(&self, heap: u32) -> u64 {
        self.get(heap).map_or(0, |heap| heap.reserved.load(Relaxed))
    }

    /// Whether more than three quarters of the possible memory objects exist.
    pub(super) fn memories_are_scarce(&self) -> bool {
        self.memories.load(Relaxed) > self.memory_limit - self.memory_limit / 4
    }

    /// Whether no more memories can be allocated.
    pub(super) fn memories_are_spent(&self) -> bool {
        self.memories.load(Relaxed) >= self.memory_limit
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            peak_reserved: self.peak_reserved(),
            allocations: self.allocations.load(Relaxed),
            frees: self.frees.load(Relaxed),
        }
    }

    /// Calls `free` to free memory of a heap, and then releases its bytes for others.
    pub(super) fn give_back(&self, heap: u32, bytes: u64, free: impl FnOnce()) {
        let heap = self.get(heap);
        if let Some(heap) = heap {
            heap.taken_back.fetch_add(bytes, Release);
        }
        free();
        if let Some(heap) = heap {
            heap.reserved.fetch_sub(bytes, Relaxed);
        }
        self.reserved.fetch_sub(bytes, Relaxed);
        self.memories.fetch_sub(1, Relaxed);
        self.frees.fetch_add(1, Relaxed);
        self.changes.fetch_add(1, Relaxed);
    }

    /// Whether the last report is old, `now` collects after the start.
    pub(super) fn is_stale(&self, now: u64) -> bool {
        self.changes.load(Relaxed) >= STALE_CHANGES
            || now.saturating_sub(self.reported_at.load(Relaxed)) >= STALE_COLLECTS
    }
}

impl Heaps {
    /// Applies a report that `read` gets from the driver. Returns whether it did. Only one thread
    /// does this at a time, so that an older report cannot overwrite a newer one.
    pub(super) fn renew(&self, now: u64, read: impl FnOnce() -> Reports) -> bool {
        if self.reporting.swap(true, Acquire) {
            return false;
        }
        self.changes.store(0, Relaxed);
        self.reported_at.store(now, Relaxed);
        let given = self.each(|heap| heap.given.load(Acquire));
        let reports = read();
        let taken_back = self.each(|heap| heap.taken_back.load(Acquire));
        for (index, heap) in self.heaps.iter().enumerate() {
            let report = reports.get(index).copied().unwrap_or_default();
            // At most what was reserved when the driver counted: it had given at least `given`, and had received
            // back at most `taken_back`.
            let ours = given[index].saturating_sub(taken_back[index]);
            heap.budget.store(budget_of(heap.size, report), Relaxed);
            heap.usage.store(report.usage, Relaxed);
            heap.ceiling.store(ceiling(heap.size, report, ours), Relaxed);
        }
        self.reported.store(true, Relaxed);
        self.reporting.store(false, Release);
        true
    }

    fn each(&self, value: impl Fn(&Heap) -> u64) -> [u64; vk::MAX_MEMORY_HEAPS] {
        let mut values = [0; vk::MAX_MEMORY_HEAPS];
        for (slot, heap) in values.iter_mut().zip(&self.heaps) {
            *slot = value(heap);
        }
        values
    }

    /// The state of a heap; `None` if there is no such heap.
    pub(super) fn budget(&self, heap: u32) -> Option<HeapBudget> {
        let found = self.get(heap)?;
        Some(HeapBudget {
            size: found.size,
            device_local: found.device_local,
            budget: found.budget.load(Relaxed),
            usage: found.usage.load(Relaxed),
            reserved: found.reserved.load(Relaxed),
            left: self.left(heap, Limit::Budget),
            cap: (found.cap != u64::MAX).then_some(found.cap),
            reported: self.reported.load(Relaxed),
        })
    }
}

impl Heap {
    fn limit(&self, limit: Limit) -> u64 {
        match limit {
            Limit::Driver => self.cap,
            Limit::Budget => self.cap.min(self.ceiling.load(Relaxed)),
        }
    }
}

/// A memory heap: its size, its budget, and what is reserved in it, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HeapBudget {
    /// The size of the heap.
    pub size: u64,
    /// Whether it is device-local memory.
    pub device_local: bool,
    /// How much of the heap this process may use, as the driver last reported, or four fifths of
    /// the size without reports.
    pub budget: u64,
    /// How much of the heap this process uses, as the driver last reported; 0 without reports.
    pub usage: u64,
    /// How much of the heap this allocator has reserved: live, pending, free, and being requested.
    pub reserved: u64,
    /// How many more bytes this allocator can reserve within the budget and the cap.
    pub left: u64,
    /// The cap of [`AllocatorDesc::heap_cap`](crate::AllocatorDesc::heap_cap).
    pub cap: Option<u64>,
    /// Whether the driver reports budgets
    /// ([`DeviceFeatures::MEMORY_BUDGET`](crate::DeviceFeatures::MEMORY_BUDGET)).
    pub reported: bool,
}
