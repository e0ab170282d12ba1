//! Reports: statistics, pictures of blocks, leaks.

use super::{
    Allocator,
    inner::{Inner, LaneState},
};
use crate::{policy::granularity::ResourceKind, tlsf::State};

/// Sums over the whole allocator, and for each memory type. All sizes in bytes.
///
/// Each memory type is counted under its own lock, so its figures fit each other; the totals are
/// their sums.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Statistics {
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
    pub memory_types: Vec<MemoryTypeStatistics>,
}

/// The figures of one memory type, arenas counted in, or of one arena. All sizes in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MemoryTypeStatistics {
    /// Device memory held.
    pub reserved: u64,
    /// In live allocations.
    pub live: u64,
    /// Retired, and not yet free.
    pub pending: u64,
    /// Free inside blocks.
    pub free: u64,
    /// Live allocations.
    pub live_count: u64,
    /// Pending allocations.
    pub pending_count: u64,
    /// Allocations ever made.
    pub allocations: u64,
    /// Blocks.
    pub blocks: u32,
    /// The most that ever lived at a time; for a type with arenas, the sum of their peaks.
    pub peak_live: u64,
}

impl MemoryTypeStatistics {
    /// Counts an arena of the type in.
    fn add(&mut self, arena: &Self) {
        self.reserved += arena.reserved;
        self.live += arena.live;
        self.pending += arena.pending;
        self.free += arena.free;
        self.live_count += arena.live_count;
        self.pending_count += arena.pending_count;
        self.allocations += arena.allocations;
        self.blocks += arena.blocks;
        self.peak_live += arena.peak_live;
    }
}

/// One block, region by region, in address order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BlockPicture {
    /// The index of its memory type.
    pub memory_type: u32,
    /// The index of its heap.
    pub heap: u32,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it belongs to one allocation alone.
    pub dedicated: bool,
    /// What it is made of. The regions fill it without a gap.
    pub regions: Vec<RegionPicture>,
}

/// A piece of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RegionPicture {
    /// Free, used or pending.
    pub state: RegionState,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Linear or optimal, where a resource of ours sits on it or it has a name.
    pub kind: Option<ResourceKind>,
    /// Its allocation's name. A pending region keeps it.
    pub name: Option<&'static str>,
}

/// The state of a region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum RegionState {
    /// Nobody's.
    Free,
    /// A live allocation's.
    Used,
    /// Retired; the GPU may still touch it.
    Pending,
}

/// An allocation that outlived its allocator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Leak {
    /// Its size in bytes.
    pub size: u64,
    /// Its name.
    pub name: Option<&'static str>,
}

impl LaneState {
    /// Pending bytes and allocations.
    pub(super) fn pending(&self) -> (u64, u32) {
        self.blocks.iter().fold((0, 0), |(bytes, count), (_, block)| {
            let [_, pending] = block.usage();
            (bytes + pending.0, count + pending.1)
        })
    }

    pub(super) fn statistics(&self) -> MemoryTypeStatistics {
        let mut statistics = MemoryTypeStatistics {
            reserved: self.blocks.reserved(),
            blocks: self.blocks.count(),
            peak_live: self.peak_live,
            allocations: self.granted,
            ..Default::default()
        };
        for (_, block) in self.blocks.iter() {
            let [(live, live_count), (pending, pending_count)] = block.usage();
            statistics.live += live;
            statistics.live_count += u64::from(live_count);
            statistics.pending += pending;
            statistics.pending_count += u64::from(pending_count);
            statistics.free += block.size - live - pending;
        }
        statistics
    }
}

impl Allocator {
    /// Counts everything. O(blocks), one memory type's lock at a time.
    pub fn statistics(&self) -> Statistics {
        let inner = self.inner();
        let mut total = Statistics::default();
        for lane in inner.lanes() {
            let state = lane.lock();
            let of_type = state.statistics();
            total.untimed_count += state.bags.untimed_len() as u64;
            drop(state);
            total.reserved += of_type.reserved;
            total.live += of_type.live;
            total.pending += of_type.pending;
            total.free += of_type.free;
            total.live_count += of_type.live_count;
            total.pending_count += of_type.pending_count;
            total.allocations += of_type.allocations;
            total.blocks += of_type.blocks;
            match total.memory_types.get_mut(lane.memory_type as usize) {
                None => total.memory_types.push(of_type),
                Some(sum) => sum.add(&of_type),
            }
        }
        let (live, pending) = inner.objects.counts();
        (total.live_objects, total.pending_objects) = (live, pending);
        #[cfg(feature = "descriptors")]
        {
            let (live, pending) = inner.descriptors.counts();
            total.live_objects += live;
            total.pending_objects += pending;
        }
        let heaps = inner.heaps.totals();
        total.peak_reserved = heaps.peak_reserved;
        total.driver_allocations = heaps.allocations;
        total.driver_frees = heaps.frees;
        total.open_recordings =
            inner.with_register(|register| register.cuts().open_recordings()) as u64;
        total
    }

    /// A picture of every block, region by region. O(regions), one memory type's lock at a time.
    pub fn blocks(&self) -> Vec<BlockPicture> {
        let mut pictures = Vec::new();
        for lane in self.inner().lanes() {
            let state = lane.lock();
            for (_, block) in state.blocks.iter() {
                let regions = block.regions().into_iter().map(|region| {
                    let tenant = region.key.map(|key| block.tenants.get(key.index()));
                    let tenant = tenant.unwrap_or_default();
                    RegionPicture {
                        state: match region.state {
                            State::Free => RegionState::Free,
                            State::Used => RegionState::Used,
                            State::Pending => RegionState::Pending,
                        },
                        offset: region.offset,
                        size: region.size,
                        kind: tenant.kind,
                        name: tenant.name,
                    }
                });
                pictures.push(BlockPicture {
                    memory_type: lane.memory_type,
                    heap: lane.heap,
                    size: block.size,
                    dedicated: block.is_dedicated(),
                    regions: regions.collect(),
                });
            }
        }
        pictures
    }
}

impl Inner {
    /// What still lives, largest first.
    pub(super) fn leaks(&self) -> Vec<Leak> {
        let mut leaks = Vec::new();
        for lane in self.lanes() {
            let state = lane.lock();
            for (_, block) in state.blocks.iter() {
                let used = block.regions().into_iter().filter(|r| r.state == State::Used);
                leaks.extend(used.map(|region| Leak {
                    size: region.size,
                    name: region.key.and_then(|key| block.tenants.get(key.index()).name),
                }));
            }
        }
        leaks.sort_unstable_by(|a, b| b.cmp(a));
        leaks
    }
}
