//! Statistics of the whole allocator, and of each memory type, heap and arena.

use super::{
    Allocator,
    inner::{Inner, Lane},
};
use crate::tlsf::least_of_room;

/// Totals over the whole allocator, and for each memory type. All sizes are in bytes.
///
/// The figures are read without a lock. While other threads allocate, they may be inconsistent with
/// each other.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Statistics {
    /// The total of all memory types.
    pub total: MemoryStatistics,
    /// The number of live views and descriptor sets.
    pub live_objects: u64,
    /// The number of views and descriptor sets that are retired and not yet destroyed.
    pub pending_objects: u64,
    /// The maximum of reserved bytes so far.
    pub peak_reserved: u64,
    /// The number of successful `vkAllocateMemory` calls so far.
    pub driver_allocations: u64,
    /// The number of `vkFreeMemory` calls so far.
    pub driver_frees: u64,
    /// The number of drops made before any timeline existed; they wait for `assume_idle`.
    pub untimed_count: u64,
    /// The number of recordings that have begun and not ended.
    pub open_recordings: u64,
    /// The figures of each memory type.
    pub memory_types: Vec<MemoryStatistics>,
    /// The figures of each heap: the sums of its memory types.
    pub heaps: Vec<MemoryStatistics>,
}

impl Statistics {
    /// Returns the difference to an earlier count, for example the cost of loading a level.
    /// Includes allocations by other threads.
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

/// The difference between two counts, computed by [`Statistics::since`]. Signed figures can be
/// negative.
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
    /// The change in the number of live allocations.
    pub live_count: i64,
    /// The change in live bytes.
    pub live: i64,
    /// The change in pending bytes.
    pub pending: i64,
    /// The change in reserved device memory, in bytes.
    pub reserved: i64,
}

/// The figures of a memory type, a heap, or the whole allocator, including arenas; or of one arena.
/// All sizes are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MemoryStatistics {
    /// Reserved device memory: all blocks, including dedicated allocations.
    pub reserved: u64,
    /// Bytes in live allocations.
    pub live: u64,
    /// Bytes that are retired, and not yet passed by the GPU or not yet collected.
    pub pending: u64,
    /// Free bytes in blocks.
    pub free: u64,
    /// The number of live allocations.
    pub live_count: u64,
    /// The number of pending allocations.
    pub pending_count: u64,
    /// The number of allocations ever made.
    pub allocations: u64,
    /// The number of blocks, including dedicated allocations.
    pub blocks: u32,
    /// The maximum of live bytes so far. For a memory type with arenas, a heap, and the total, this
    /// is the sum of the maxima of the parts.
    pub peak_live: u64,
    /// A request of this size can be granted without a new block. The largest free range is less
    /// than 1/8 larger; [`Allocator::snapshot`] contains its exact size.
    pub largest_free: u64,
}

impl MemoryStatistics {
    /// How fragmented the free bytes are: 1 - [`largest_free`](Self::largest_free) / free. 0 if all
    /// free bytes form one range or there are none, near 1 if they are scattered in small pieces.
    pub fn fragmentation(&self) -> f64 {
        match self.free {
            0 => 0.0,
            free => 1.0 - self.largest_free as f64 / free as f64,
        }
    }

    /// Adds an arena to its type, or a type to its heap.
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
    /// The counts of its blocks, including those of all arenas that used the lane. No lock, O(1).
    pub(super) fn statistics(&self) -> MemoryStatistics {
        let counters = &*self.counters;
        let (reserved, live) = (counters.reserved.get(), counters.live.get());
        let pending = counters.pending.get();
        // Tailored blocks are only for large requests.
        let tailored = least_of_room(counters.tailored.get() as u32);
        let tailored = if tailored < self.growth.large() { 0 } else { tailored };
        let shared = least_of_room(counters.shared.get() as u32).max(counters.lines.most());
        MemoryStatistics {
            reserved,
            live,
            pending,
            // Another thread may be in the middle of a change.
            free: reserved.saturating_sub(live + pending),
            live_count: counters.live_count.get(),
            pending_count: counters.pending_count.get(),
            allocations: counters.granted.get(),
            blocks: counters.blocks.get() as u32,
            peak_live: counters.peak_live.get().max(counters.peak_before.get()),
            largest_free: shared.max(tailored),
        }
    }

    /// Like [`statistics`](Self::statistics), for the arena that uses the lane now.
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
    /// Returns the statistics. O(memory types + arenas), without a lock: cheap enough for every
    /// frame, and it never blocks. While other threads allocate, each figure is a value that was
    /// true, but the figures may be inconsistent with each other.
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
