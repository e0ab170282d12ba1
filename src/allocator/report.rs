//! Reports: statistics, pictures of blocks, leaks.

use super::{
    Allocator,
    inner::{Inner, Lane, LaneState},
};
use crate::{
    memory::Entry,
    policy::granularity::ResourceKind,
    retire::{BagNumber, Cuts, Point},
    tlsf::State,
    vulkan::{Properties, Resource},
};

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
    /// The figures of each heap: the sums of its memory types.
    pub heaps: Vec<MemoryTypeStatistics>,
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
        Difference {
            allocations: self.allocations.saturating_sub(before.allocations),
            driver_allocations: self.driver_allocations.saturating_sub(before.driver_allocations),
            driver_frees: self.driver_frees.saturating_sub(before.driver_frees),
            live_count: signed(self.live_count, before.live_count),
            live: signed(self.live, before.live),
            pending: signed(self.pending, before.pending),
            reserved: signed(self.reserved, before.reserved),
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
    /// The most that ever lived at a time; for a type with arenas, and for a heap, the sum of the
    /// parts' peaks.
    pub peak_live: u64,
    /// A request of this many bytes is granted without a new block. The largest free range is less
    /// than 1/32 larger.
    pub largest_free: u64,
}

impl MemoryTypeStatistics {
    /// How scattered the free bytes are: 1 - [`largest_free`](Self::largest_free) / free. 0 where all
    /// free bytes are one range, near 1 where they are crumbs, 0 where none are free.
    pub fn fragmentation(&self) -> f64 {
        match self.free {
            0 => 0.0,
            free => 1.0 - self.largest_free as f64 / free as f64,
        }
    }

    /// Counts an arena of the type in, or a type of the heap.
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
        self.largest_free = self.largest_free.max(arena.largest_free);
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
    /// What lives on it, where that is a resource of ours. A pending region keeps it.
    pub tenant: TenantKind,
    /// The Vulkan usage flags of that resource.
    pub usage: u32,
    /// How many allocations its block has made since, itself among them; 0 for a free region.
    pub age: u32,
    /// What a pending region waits for; known in a [`Snapshot`](crate::Snapshot).
    pub waits: Option<Wait>,
}

/// What lives on a region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum TenantKind {
    /// Nothing, or nothing of ours.
    #[default]
    Unknown,
    /// A [`Buffer`](crate::Buffer).
    Buffer,
    /// An [`Image`](crate::Image).
    Image,
}

/// What a pending region waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Wait {
    /// A recording that was open when it was dropped, and still is.
    Recording,
    /// A value of a timeline, and of so many other timelines.
    Timeline {
        /// The timeline's number, counted from 0 in the order in which they were made.
        timeline: u32,
        /// The value.
        value: u64,
        /// How many other points it waits for.
        others: u32,
    },
    /// The next collect: everything is reached.
    Collect,
    /// [`assume_idle`](crate::Allocator::assume_idle): it was dropped before any timeline existed.
    Assumption,
}

impl core::fmt::Display for Wait {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Recording => f.write_str("an open recording"),
            Self::Timeline { timeline, value, others: 0 } => {
                write!(f, "timeline {timeline} >= {value}")
            }
            Self::Timeline { timeline, value, others } => {
                write!(f, "timeline {timeline} >= {value}, and {others} more")
            }
            Self::Collect => f.write_str("a collect"),
            Self::Assumption => f.write_str("assume_idle"),
        }
    }
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
            statistics.largest_free = statistics.largest_free.max(block.largest_class());
        }
        statistics
    }
}

impl Allocator {
    /// Counts everything. O(blocks), one memory type's lock at a time: its counts fit each other, as
    /// counters without a lock would not, and those would be one more line that every allocation
    /// writes. [`heap_budget`](Self::heap_budget) takes no lock.
    pub fn statistics(&self) -> Statistics {
        let inner = self.inner();
        let heap_count = inner.vulkan.properties().heaps.len();
        let mut total = Statistics {
            heaps: vec![MemoryTypeStatistics::default(); heap_count],
            ..Default::default()
        };
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
            if let Some(heap) = total.heaps.get_mut(lane.heap as usize) {
                heap.add(&of_type);
            }
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
    /// [`snapshot`](Self::snapshot) tells more.
    pub fn blocks(&self) -> Vec<BlockPicture> {
        self.lane_pictures().into_iter().flat_map(|picture| picture.blocks).collect()
    }

    /// Each lane, copied under its lock; what pending regions wait for is looked up afterwards.
    pub(crate) fn lane_pictures(&self) -> Vec<LanePicture> {
        let inner = self.inner();
        let held = inner.heaps.held();
        let mut pictures: Vec<LanePicture> =
            inner.lanes().map(|lane| picture(lane, held)).collect();
        inner.with_register(|register| {
            for lane in &mut pictures {
                lane.resolve(register.cuts());
            }
        });
        pictures
    }

    /// What reports say of the device.
    pub(crate) fn properties(&self) -> &Properties {
        self.inner().vulkan.properties()
    }
}

/// One lane as it was at one moment.
pub(crate) struct LanePicture {
    pub(crate) memory_type: u32,
    pub(crate) is_arena: bool,
    pub(crate) statistics: MemoryTypeStatistics,
    /// The size of the next block.
    pub(crate) next_block: u64,
    pub(crate) blocks: Vec<BlockPicture>,
    /// The pending regions: block, region, and what it waits for.
    waiting: Vec<(usize, usize, Filed)>,
}

/// How a pending region was filed.
#[derive(Clone, Copy)]
enum Filed {
    Bag(BagNumber),
    At(Point, u32),
}

impl LanePicture {
    fn resolve(&mut self, cuts: &Cuts) {
        // Bags come in runs.
        let mut known = (BagNumber::NEVER, Wait::Collect);
        for &(block, region, filed) in &self.waiting {
            let wait = match filed {
                Filed::At(point, others) => dated(point, others as usize),
                Filed::Bag(BagNumber::UNTIMED) => Wait::Assumption,
                Filed::Bag(bag) if bag == known.0 => known.1,
                Filed::Bag(bag) => {
                    let wait = match cuts.points_of(bag) {
                        None => Wait::Recording,
                        Some(points) => match points.split_first() {
                            None => Wait::Collect,
                            Some((&first, others)) => dated(first, others.len()),
                        },
                    };
                    known = (bag, wait);
                    wait
                }
            };
            let block = self.blocks.get_mut(block);
            if let Some(region) = block.and_then(|block| block.regions.get_mut(region)) {
                region.waits = Some(wait);
            }
        }
    }
}

fn dated(point: Point, others: usize) -> Wait {
    let timeline = point.timeline().number;
    Wait::Timeline { timeline, value: point.value(), others: others as u32 }
}

/// Copies a lane under its lock.
fn picture(lane: &Lane, held: u64) -> LanePicture {
    let state = lane.lock();
    let bags = state.bags.filed().map(|(bag, entry)| (entry, Filed::Bag(bag)));
    let points = state.bags.filed_at();
    let points = points.map(|(point, rest, entry)| (entry, Filed::At(point, rest as u32)));
    let place = |entry: &Entry| (entry.slot, entry.key.index());
    let mut filed: Vec<_> = bags.chain(points).map(|(entry, how)| (place(entry), how)).collect();
    filed.sort_unstable_by_key(|&(place, _)| place);

    let mut waiting = Vec::with_capacity(filed.len());
    let mut blocks = Vec::with_capacity(state.blocks.count() as usize);
    for (slot, block) in state.blocks.iter() {
        let regions = block.regions();
        let mut pictures = Vec::with_capacity(regions.len());
        for region in regions {
            let tenant = region.key.map(|key| block.tenants.get(key)).unwrap_or_default();
            let age = region.key.map_or(0, |key| block.next_serial().wrapping_sub(key.serial()));
            if let (State::Pending, Some(key)) = (region.state, region.key) {
                let found = filed.binary_search_by_key(&(slot, key.index()), |&(place, _)| place);
                if let Some(&(_, how)) = found.ok().and_then(|found| filed.get(found)) {
                    waiting.push((blocks.len(), pictures.len(), how));
                }
            }
            pictures.push(RegionPicture {
                state: match region.state {
                    State::Free => RegionState::Free,
                    State::Used => RegionState::Used,
                    State::Pending => RegionState::Pending,
                },
                offset: region.offset,
                size: region.size,
                kind: tenant.kind,
                name: tenant.name,
                tenant: match tenant.resource {
                    Resource::None => TenantKind::Unknown,
                    Resource::Buffer(_) => TenantKind::Buffer,
                    Resource::Image(_) => TenantKind::Image,
                },
                usage: tenant.usage,
                age,
                waits: None,
            });
        }
        blocks.push(BlockPicture {
            memory_type: lane.memory_type,
            heap: lane.heap,
            size: block.size,
            dedicated: block.is_dedicated(),
            regions: pictures,
        });
    }
    LanePicture {
        memory_type: lane.memory_type,
        is_arena: lane.index != lane.memory_type,
        statistics: state.statistics(),
        next_block: lane.growth.next_block(held, 1).size,
        blocks,
        waiting,
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
                    name: region.key.and_then(|key| block.tenants.get(key).name),
                }));
            }
        }
        leaks.sort_unstable_by(|a, b| b.cmp(a));
        leaks
    }
}
