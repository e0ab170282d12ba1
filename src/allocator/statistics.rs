//! Counts: of the whole allocator, and of each memory type, heap and arena.

use super::{
    Allocator,
    inner::{Inner, Lane},
};
use crate::tlsf::least_of_room;

/// Sums over the whole allocator, and for each memory type. All sizes in bytes.
///
/// Read without a lock: while other threads allocate, figures need not fit each other.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Statistics {
    /// All memory types together.
    pub total: MemoryStatistics,
    /// Views and descriptor sets that live.
    pub live_objects: u64,
    /// Views and descriptor sets that are retired and not yet destroyed.
    pub pending_objects: u64,
    /// The most that was ever reserved.
    pub peak_reserved: u64,
    /// `vkAllocateMemory` calls that succeeded so far.
    pub driver_allocations: u64,
    /// `vkFreeMemory` calls so far.
    pub driver_frees: u64,
    /// Drops made before any timeline existed; they wait for `assume_idle`.
    pub untimed_count: u64,
    /// Recordings begun and not ended.
    pub open_recordings: u64,
    /// The figures of each memory type.
    pub memory_types: Vec<MemoryStatistics>,
    /// The figures of each heap: the sums of its memory types.
    pub heaps: Vec<MemoryStatistics>,
}

impl Statistics {
    /// What has come since an earlier count, however nested: "what did this level load cost?" Other
    /// threads' allocations count too.
    ///
    /// # Example
    /// ```
    /// # use fencepost::*;
    /// # let fake = fake::FakeDriver::new(&Default::default());
    /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
    /// # let allocator = unsafe { Allocator::new(&desc)? };
    /// let before = allocator.statistics();
    /// let desc = BufferDesc::new(1 << 16, vk::BufferUsageFlags::VERTEX_BUFFER);
    /// let level = allocator.create_buffer(&desc, &AllocationDesc::device_local())?;
    /// let cost = allocator.statistics().since(&before);
    /// assert_eq!((cost.allocations, cost.live_count, cost.live), (1, 1, 1 << 16));
    /// # unsafe { allocator.shutdown()? };
    /// # drop(level);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn since(&self, before: &Self) -> Difference {
        let signed = |now: u64, then: u64| now.wrapping_sub(then) as i64;
        let (now, then) = (&self.total, &before.total);
        Difference {
            allocations: now.allocations.saturating_sub(then.allocations),
            driver_allocations: self.driver_allocations.saturating_sub(before.driver_allocations),
            driver_frees: self.driver_frees.saturating_sub(before.driver_frees),
            live_count: signed(now.live_count, then.live_count),
            live: signed(now.live, then.live),
            pending: signed(now.pending, then.pending),
            reserved: signed(now.reserved, then.reserved),
        }
    }
}

/// What lies between two counts, made by [`Statistics::since`]. Bytes and counts; those with a sign
/// can have fallen.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Difference {
    /// Allocations made.
    pub allocations: u64,
    /// `vkAllocateMemory` calls that succeeded.
    pub driver_allocations: u64,
    /// `vkFreeMemory` calls.
    pub driver_frees: u64,
    /// Live allocations more, or fewer.
    pub live_count: i64,
    /// Bytes in live allocations.
    pub live: i64,
    /// Bytes in pending ones.
    pub pending: i64,
    /// Bytes of device memory held.
    pub reserved: i64,
}

/// The figures of a memory type, of a heap or of all, arenas counted in, or of one arena. All sizes in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MemoryStatistics {
    /// Device memory held: all blocks, dedicated ones among them.
    pub reserved: u64,
    /// In live allocations.
    pub live: u64,
    /// Retired, and not yet passed by the GPU or not yet collected.
    pub pending: u64,
    /// Free inside blocks.
    pub free: u64,
    /// Live allocations.
    pub live_count: u64,
    /// Pending allocations.
    pub pending_count: u64,
    /// Allocations ever made.
    pub allocations: u64,
    /// Blocks, dedicated ones among them.
    pub blocks: u32,
    /// The most that ever lived at a time; for a type with arenas, a heap and all, the sum of the
    /// parts' peaks.
    pub peak_live: u64,
    /// A request of this many bytes is granted without a new block. The largest free range is less
    /// than 1/8 larger; [`Allocator::snapshot`] tells it.
    pub largest_free: u64,
}

impl MemoryStatistics {
    /// How scattered the free bytes are: 1 - [`largest_free`](Self::largest_free) / free. 0 where all
    /// free bytes are one range, near 1 where they are crumbs, 0 where none are free.
    pub fn fragmentation(&self) -> f64 {
        match self.free {
            0 => 0.0,
            free => 1.0 - self.largest_free as f64 / free as f64,
        }
    }

    /// Counts an arena of the type in, or a type of the heap.
    pub(crate) fn add(&mut self, arena: &Self) {
        self.reserved += arena.reserved;
        self.live += arena.live;
        self.pending += arena.pending;
        self.free += arena.free;
        self.live_count += arena.live_count;
        self.pending_count += arena.pending_count;
        self.allocations += arena.allocations;
        self.blocks += arena.blocks;
        self.peak_live += arena.peak_live;
        self.largest_free = self.largest_free.max(arena.largest_free);
    }
}

impl Lane {
    /// What its blocks count, of all arenas that had the lane. No lock, O(1).
    pub(super) fn statistics(&self) -> MemoryStatistics {
        let counters = &*self.counters;
        let (reserved, live) = (counters.reserved.get(), counters.live.get());
        let pending = counters.pending.get();
        // Tailored blocks are for large requests alone.
        let tailored = least_of_room(counters.tailored.get() as u32);
        let tailored = if tailored < self.growth.large() { 0 } else { tailored };
        let shared = least_of_room(counters.shared.get() as u32).max(counters.lines.most());
        MemoryStatistics {
            reserved,
            live,
            pending,
            // A thread may be in the midst of a change.
            free: reserved.saturating_sub(live + pending),
            live_count: counters.live_count.get(),
            pending_count: counters.pending_count.get(),
            allocations: counters.granted.get(),
            blocks: counters.blocks.get() as u32,
            peak_live: counters.peak_live.get().max(counters.peak_before.get()),
            largest_free: shared.max(tailored),
        }
    }

    /// [`statistics`](Self::statistics) of the arena alone that has the lane now.
    pub(super) fn statistics_of_arena(&self) -> MemoryStatistics {
        let before = self.counters.granted_before.get();
        let statistics = self.statistics();
        MemoryStatistics {
            peak_live: self.counters.peak_live.get(),
            allocations: statistics.allocations.saturating_sub(before),
            ..statistics
        }
    }
}

impl Allocator {
    /// Tells what is counted, of everything. O(memory types + arenas), and no lock: cheap enough for each frame, and
    /// it waits for nobody. While other threads allocate, each figure is one that was true, but they need not
    /// fit each other.
    pub fn statistics(&self) -> Statistics {
        self.inner().statistics()
    }
}

impl Inner {
    pub(super) fn statistics(&self) -> Statistics {
        let heap_count = self.vulkan.properties().heaps.len();
        let mut statistics = Statistics {
            heaps: vec![MemoryStatistics::default(); heap_count],
            ..Default::default()
        };
        for lane in self.lanes() {
            let of_lane = lane.statistics();
            statistics.untimed_count += lane.untimed.get();
            statistics.total.add(&of_lane);
            if let Some(heap) = statistics.heaps.get_mut(lane.heap as usize) {
                heap.add(&of_lane);
            }
            match statistics.memory_types.get_mut(lane.memory_type as usize) {
                None => statistics.memory_types.push(of_lane),
                Some(of_type) => of_type.add(&of_lane),
            }
        }
        (statistics.live_objects, statistics.pending_objects) = self.objects.counts();
        #[cfg(feature = "descriptors")]
        {
            let (live, pending) = self.descriptors.counts();
            statistics.live_objects += live;
            statistics.pending_objects += pending;
        }
        let heaps = self.heaps.totals();
        Statistics {
            peak_reserved: heaps.peak_reserved,
            driver_allocations: heaps.allocations,
            driver_frees: heaps.frees,
            open_recordings: self.open_recordings.get(),
            ..statistics
        }
    }
}
