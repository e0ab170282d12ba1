//! What is taken of each heap. Bytes are reserved here before the driver is asked, so that threads
//! together stay within a budget and within `maxMemoryAllocationCount`.
//!
//! One number per heap decides, `reserved`: what the driver gave, what it is being asked for, and
//! what it is being given back. A reservation adds to it only as far as the heap's limit goes, in
//! one atomic step. A report of the driver's moves the limit, not the number, so it needs no lock.
//!
//! What is imported counts as well: it is a memory of this process in the driver's eyes, which counts
//! it in the usage that it reports and in `maxMemoryAllocationCount`.

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

/// A report is renewed after so many memories came or went.
const STALE_CHANGES: u32 = 32;

/// And after so many collects: other processes change too.
const STALE_COLLECTS: u64 = 64;

/// No more memories than a raw key can name the slot of.
const MOST_MEMORIES: u32 = 1 << (u32::BITS - LANE_BITS);

/// All heaps, and the count of memories over them.
pub(super) struct Heaps {
    heaps: Box<[Heap]>,
    /// How many memories may live: `maxMemoryAllocationCount`, but no more than keys can name.
    pub(super) memory_limit: u32,
    memories: AtomicU32,
    allocations: AtomicU64,
    frees: AtomicU64,
    reserved: AtomicU64,
    peak_reserved: AtomicU64,
    /// Memories that came or went since the last report.
    changes: AtomicU32,
    /// The collect at which the last report was read.
    reported_at: AtomicU64,
    reporting: AtomicBool,
    reported: AtomicBool,
}

/// What the driver tells of each heap.
pub(super) type Reports = [Report; vk::MAX_MEMORY_HEAPS];

/// On cache lines of its own: two heaps are two threads' business.
#[repr(align(128))]
struct Heap {
    size: u64,
    device_local: bool,
    cap: u64,
    reserved: AtomicU64,
    /// Sums that only rise: what the driver gave, counted after the call, and what it is given
    /// back, counted before. Their difference is never more than what the driver counts.
    given: AtomicU64,
    taken_back: AtomicU64,
    /// What `reserved` may be within the budget.
    ceiling: AtomicU64,
    budget: AtomicU64,
    usage: AtomicU64,
}

/// Why nothing was reserved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// As many memories live as can.
    Count,
    /// The heap's budget or cap has no room.
    Budget,
}

/// Bytes of a heap that the driver is about to be asked for. Dropped, they are nobody's again.
#[must_use]
pub(super) struct Reservation<'a> {
    heaps: &'a Heaps,
    heap: &'a Heap,
    bytes: u64,
}

impl Reservation<'_> {
    /// The driver gave the memory.
    pub(super) fn keep(self) {
        let Self { heaps, heap, bytes } = self;
        core::mem::forget(self);
        // Release: who sees this has a driver that counts the memory.
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

/// Counts over all heaps.
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
            // The first to ask reads a report.
            changes: AtomicU32::new(STALE_CHANGES),
            reported_at: AtomicU64::new(0),
            reporting: AtomicBool::new(false),
            reported: AtomicBool::new(false),
        }
    }

    fn get(&self, heap: u32) -> Option<&Heap> {
        self.heaps.get(heap as usize)
    }

    /// Reserves bytes and one memory. O(1), no lock.
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

    /// How many bytes the limit still leaves.
    pub(super) fn left(&self, heap: u32, limit: Limit) -> u64 {
        self.get(heap)
            .map_or(0, |heap| heap.limit(limit).saturating_sub(heap.reserved.load(Relaxed)))
    }

    /// What is held of all heaps.
    pub(super) fn held(&self) -> u64 {
        self.reserved.load(Relaxed)
    }

    /// The most that was ever held of all heaps.
    pub(super) fn peak_reserved(&self) -> u64 {
        self.peak_reserved.load(Relaxed)
    }

    /// Whether more would be held with `bytes` more than ever was.
    pub(super) fn would_be_most(&self, bytes: u64) -> bool {
        self.held().saturating_add(bytes) > self.peak_reserved()
    }

    /// Whether a heap is beyond its budget or cap.
    pub(super) fn is_over_budget(&self, heap: u32) -> bool {
        self.get(heap).is_some_and(|heap| heap.reserved.load(Relaxed) > heap.limit(Limit::Budget))
    }

    /// What is reserved of a heap.
    pub(super) fn reserved(&self, heap: u32) -> u64 {
        self.get(heap).map_or(0, |heap| heap.reserved.load(Relaxed))
    }

    /// Whether more than three quarters of the memories that can live do.
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

    /// Gives a memory of a heap back, by `free`, and then its bytes to others.
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
    /// Takes in a report that `read` gets of the driver. Whether it did: one thread at a time, so that an older
    /// report does not come last.
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
            // No more than what was ours when the driver counted: it gave at least `given`, and
            // got back at most `taken_back`.
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

    /// What is known of a heap; `None` if there is no such heap.
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

/// A memory heap: its size, its budget, and what is taken of it. All in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HeapBudget {
    /// The heap's size.
    pub size: u64,
    /// Whether it is the device's own memory.
    pub device_local: bool,
    /// What this process may use of the heap: as the driver last reported, or else four fifths of
    /// its size.
    pub budget: u64,
    /// What this process uses of the heap, as the driver last reported; 0 where it reports nothing.
    pub usage: u64,
    /// What this allocator holds of it, live, pending and free, and what it is just asking for.
    pub reserved: u64,
    /// How many bytes more this allocator can take and stay within budget and cap.
    pub left: u64,
    /// The cap of [`AllocatorDesc::heap_cap`](crate::AllocatorDesc::heap_cap).
    pub cap: Option<u64>,
    /// Whether the driver reports budgets
    /// ([`DeviceFeatures::MEMORY_BUDGET`](crate::DeviceFeatures::MEMORY_BUDGET)).
    pub reported: bool,
}
