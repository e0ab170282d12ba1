//! Descriptions of blocks, region by region.

use ash::vk;

use super::{Allocator, inner::Lane, statistics::MemoryStatistics};
use crate::{
    memory::{Entry, Sight},
    policy::granularity::ResourceKind,
    policy::growth::Held,
    retire::{BagNumber, Cuts, Point},
    tlsf::State,
    vulkan::{Properties, Resource},
};

/// A block, region by region, in address order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BlockPicture {
    /// The index of the memory type.
    pub memory_type: u32,
    /// The index of the heap.
    pub heap: u32,
    /// The handle of the block, for comparison with
    /// [`Allocation::memory`](crate::Allocation::memory) and
    /// [`Corruption::memory`](crate::Corruption::memory).
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_number"))]
    pub memory: vk::DeviceMemory,
    /// The size in bytes.
    pub size: u64,
    /// Whether it is a dedicated allocation.
    pub dedicated: bool,
    /// The regions, which cover the block without gaps.
    pub regions: Vec<RegionPicture>,
}

#[cfg(feature = "serde")]
fn as_number<S: serde::Serializer>(memory: &vk::DeviceMemory, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(vk::Handle::as_raw(*memory))
}

/// A piece of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RegionPicture {
    /// Free, used or pending.
    pub state: RegionState,
    /// The offset in bytes.
    pub offset: u64,
    /// The size in bytes.
    pub size: u64,
    /// Linear or optimal, if a resource of the allocator is bound to the region or the region has a
    /// name.
    pub kind: Option<ResourceKind>,
    /// The name of the allocation. A pending region keeps it.
    pub name: Option<&'static str>,
    /// The kind of resource bound to it, if the resource belongs to the allocator. A pending region
    /// keeps it.
    pub tenant: TenantKind,
    /// The Vulkan usage flags of that resource.
    pub usage: u32,
    /// The number of allocations made in the block since this one, including this one; 0 for a free
    /// region.
    pub age: u32,
    /// What a pending region waits for.
    pub waits: Option<Wait>,
}

/// The kind of resource in a region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum TenantKind {
    /// None, or none that belongs to the allocator.
    #[default]
    Unknown,
    /// A [`Buffer`](crate::Buffer).
    Buffer,
    /// An [`Image`](crate::Image).
    Image,
}

impl TenantKind {
    pub(super) fn of(resource: Resource) -> Self {
        match resource {
            Resource::None => Self::Unknown,
            Resource::Buffer(_) => Self::Buffer,
            Resource::Image(_) => Self::Image,
        }
    }
}

/// What a pending region waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Wait {
    /// A recording that was open when the region was dropped, and is still open.
    Recording,
    /// A value of a timeline, and possibly points of other timelines.
    Timeline {
        /// The number of the timeline, counted from 0 in order of creation.
        timeline: u32,
        /// The value.
        value: u64,
        /// The number of other points it waits for.
        others: u32,
    },
    /// The next collect: the GPU has passed everything.
    Collect,
    /// A [scrub](crate::Allocator::record_scrub): the GPU has not checked its guards yet.
    Scrub,
    /// The end of its [quarantine](crate::AllocatorDesc::quarantine), when the host checks it once
    /// more.
    Quarantine,
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
            Self::Scrub => f.write_str("a scrub"),
            Self::Quarantine => f.write_str("the end of its quarantine"),
            Self::Assumption => f.write_str("assume_idle"),
        }
    }
}

/// The state of a region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum RegionState {
    /// Belongs to nobody.
    Free,
    /// Belongs to a live allocation.
    Used,
    /// Retired. The GPU may still access it.
    Pending,
}

impl Allocator {
    /// Copies each lane under its lock, and determines afterwards what pending regions wait for.
    pub(crate) fn lane_pictures(&self) -> Vec<LanePicture> {
        let inner = self.inner();
        let mut pictures: Vec<LanePicture> =
            inner.lanes().map(|lane| picture(lane, inner.held(lane))).collect();
        inner.with_register(|register| {
            for lane in &mut pictures {
                lane.resolve(register.cuts());
            }
        });
        pictures
    }

    /// The device properties that reports contain.
    pub(crate) fn properties(&self) -> &Properties {
        self.inner().vulkan.properties()
    }
}

/// One lane at one moment.
pub(crate) struct LanePicture {
    pub(crate) memory_type: u32,
    pub(crate) is_arena: bool,
    pub(crate) name: Option<&'static str>,
    pub(crate) statistics: MemoryStatistics,
    /// How often a free range became pending because a scrub held it.
    pub(crate) held: u64,
    /// The size of the next block.
    pub(crate) next_block: u64,
    pub(crate) blocks: Vec<BlockPicture>,
    /// The pending regions: block, region, and what they wait for.
    waiting: Vec<(usize, usize, Filed)>,
}

/// How a pending region is filed.
#[derive(Clone, Copy)]
enum Filed {
    Bag(BagNumber),
    At(Point, u32),
    /// In no bag, and watched by the GPU.
    Scrub,
    /// In no bag: the host will check it once more.
    Quarantine,
}

impl LanePicture {
    fn resolve(&mut self, cuts: &Cuts) {
        // Regions of the same bag often follow each other.
        let mut known = (BagNumber::NEVER, Wait::Collect);
        for &(block, region, filed) in &self.waiting {
            let wait = match filed {
                Filed::At(point, others) => dated(point, others as usize),
                Filed::Scrub => Wait::Scrub,
                Filed::Quarantine => Wait::Quarantine,
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
fn picture(lane: &Lane, held: Held) -> LanePicture {
    let state = lane.lock();
    let bags = state.bags.filed().map(|(bag, entry)| (entry, Filed::Bag(bag)));
    let points = state.bags.filed_at();
    let points = points.map(|(point, rest, entry)| (entry, Filed::At(point, rest as u32)));
    let resting = state.resting.entries().map(|entry| (entry, Filed::Quarantine));
    let place = |entry: &Entry| (entry.slot, entry.key.index());
    let mut filed: Vec<_> =
        bags.chain(points).chain(resting).map(|(entry, how)| (place(entry), how)).collect();
    filed.sort_unstable_by_key(|&(place, _)| place);

    let mut waiting = Vec::with_capacity(filed.len());
    let mut blocks = Vec::with_capacity(state.blocks.count() as usize);
    for (slot, block) in state.blocks.iter() {
        let regions = block.regions();
        let mut pictures = Vec::with_capacity(regions.len());
        for region in regions {
            let tenant = region.key.map(|key| block.tenant(key)).unwrap_or_default();
            let age = region.key.map_or(0, |key| block.next_serial().wrapping_sub(key.serial()));
            if let (State::Pending, Some(key)) = (region.state, region.key) {
                let found = filed.binary_search_by_key(&(slot, key.index()), |&(place, _)| place);
                let scrubbed = matches!(block.sight, Sight::Gpu(_)).then_some(Filed::Scrub);
                let how = found.ok().and_then(|found| filed.get(found)).map(|&(_, how)| how);
                if let Some(how) = how.or(scrubbed) {
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
                tenant: TenantKind::of(tenant.resource),
                usage: tenant.usage,
                age,
                waits: None,
            });
        }
        blocks.push(BlockPicture {
            memory_type: lane.memory_type,
            heap: lane.heap,
            memory: block.memory,
            size: block.size,
            dedicated: block.is_dedicated(),
            regions: pictures,
        });
    }
    LanePicture {
        memory_type: lane.memory_type,
        is_arena: lane.index != lane.memory_type,
        name: state.name,
        statistics: lane.statistics(),
        held: lane.counters.held.get(),
        next_block: lane.growth.next_block(held, 1).size,
        blocks,
        waiting,
    }
}
