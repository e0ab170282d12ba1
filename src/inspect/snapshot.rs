//! An owned picture of all memory: heaps, memory types, sets of blocks, blocks, regions.

use ash::vk;

use crate::allocator::{Allocator, BlockPicture, HeapBudget, LanePicture, MemoryStatistics};

/// An owned picture of all memory, made by [`Allocator::snapshot`]. `Display` prints it as a report
/// by name.
///
/// Each [`BlockSet`] is taken at one moment, so its figures match its regions. Two sets may be
/// taken at different moments, because no two locks are held at once.
///
/// # Example
/// ```
/// # use fencepost::*;
/// # let fake = fake::FakeDriver::new(&Default::default());
/// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
/// # let allocator = unsafe { Allocator::new(&desc)? };
/// let desc = BufferDesc::new(4096, vk::BufferUsageFlags::VERTEX_BUFFER);
/// let mesh = allocator.create_buffer(&desc, &AllocationDesc::device_local().name("mesh"))?;
/// let snapshot = allocator.snapshot();
/// let names: Vec<_> =
///     snapshot.blocks().flat_map(|block| &block.regions).filter_map(|region| region.name).collect();
/// assert_eq!(names, ["mesh"]);
/// # unsafe { allocator.shutdown()? };
/// # drop(mesh);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// The device.
    pub device: Device,
    /// Every heap.
    pub heaps: Vec<HeapSnapshot>,
}

/// The properties of the device.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its `VkPhysicalDeviceType`.
    pub device_type: u32,
    /// Its Vulkan version, as `VkPhysicalDeviceProperties::apiVersion` packs it.
    pub api_version: u32,
    /// The number of `VkDeviceMemory` objects that may exist at a time.
    pub max_allocation_count: u32,
    /// The limit in bytes.
    pub buffer_image_granularity: u64,
    /// The limit in bytes.
    pub non_coherent_atom_size: u64,
}

/// A heap, its budget and its memory types.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HeapSnapshot {
    /// Its size and budget.
    pub budget: HeapBudget,
    /// Its memory types.
    pub memory_types: Vec<MemoryTypeSnapshot>,
}

/// A memory type and its blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MemoryTypeSnapshot {
    /// Its index.
    pub index: u32,
    /// Its `VkMemoryPropertyFlags`.
    pub properties: u32,
    /// The blocks of the memory type itself first, and then those of arenas.
    pub sets: Vec<BlockSet>,
}

/// The blocks of a memory type itself, or of an arena.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BlockSet {
    /// Whether the blocks belong to an arena.
    pub is_arena: bool,
    /// The [name](crate::ArenaDesc::name) of the arena.
    pub name: Option<&'static str>,
    /// How often a region of the set has changed its state. It rises with every grant, retirement
    /// and end, so two pictures with the same number show the same allocations.
    pub sequence: u64,
    /// The figures of the set at the same moment.
    pub statistics: MemoryStatistics,
    /// The size of the next block in bytes.
    pub next_block: u64,
    /// Its blocks.
    pub blocks: Vec<BlockPicture>,
}

impl Allocator {
    /// Copies a picture of everything. O(regions). It takes one lock at a time, and holds none
    /// longer than it takes to copy one memory type or arena. 100,000 allocations take a few
    /// milliseconds.
    pub fn snapshot(&self) -> Snapshot {
        let properties = self.properties();
        let mut lanes = self.lane_pictures();
        let budgets = (0..).map_while(|heap| self.heap_budget(heap)).enumerate();
        let heaps = budgets.map(|(heap, budget)| {
            let types = properties.types.iter().enumerate();
            let types = types.filter(|(_, memory_type)| memory_type.heap as usize == heap);
            let memory_types = types.map(|(index, memory_type)| {
                let index = index as u32;
                let of_type = take_type(&mut lanes, index);
                MemoryTypeSnapshot {
                    index,
                    properties: memory_type.flags,
                    sets: of_type.into_iter().map(BlockSet::from).collect(),
                }
            });
            HeapSnapshot { budget, memory_types: memory_types.collect() }
        });
        Snapshot {
            heaps: heaps.collect(),
            device: Device {
                name: properties.device_name.clone(),
                device_type: properties.device_type,
                api_version: properties.device_api,
                max_allocation_count: properties.max_allocation_count,
                buffer_image_granularity: properties.buffer_image_granularity,
                non_coherent_atom_size: properties.non_coherent_atom_size,
            },
        }
    }
}

/// Removes the lanes of a memory type from the list.
fn take_type(lanes: &mut Vec<LanePicture>, memory_type: u32) -> Vec<LanePicture> {
    let (of_type, rest) =
        core::mem::take(lanes).into_iter().partition(|lane| lane.memory_type == memory_type);
    *lanes = rest;
    of_type
}

impl From<LanePicture> for BlockSet {
    fn from(lane: LanePicture) -> Self {
        let statistics = lane.statistics;
        // These have ended and are held by a scrub; the part that does not wait is free again.
        let waited = statistics.allocations - statistics.live_count + lane.held;
        Self {
            is_arena: lane.is_arena,
            name: lane.name,
            sequence: statistics.allocations + 2 * waited - statistics.pending_count,
            statistics,
            next_block: lane.next_block,
            blocks: lane.blocks,
        }
    }
}

impl Snapshot {
    /// All memory types, heap by heap.
    pub fn memory_types(&self) -> impl Iterator<Item = &MemoryTypeSnapshot> {
        self.heaps.iter().flat_map(|heap| &heap.memory_types)
    }

    /// All blocks, heap by heap.
    pub fn blocks(&self) -> impl Iterator<Item = &BlockPicture> {
        let sets = self.memory_types().flat_map(|memory_type| &memory_type.sets);
        sets.flat_map(|set| &set.blocks)
    }
}

impl MemoryTypeSnapshot {
    /// The property flags.
    pub fn flags(&self) -> vk::MemoryPropertyFlags {
        vk::MemoryPropertyFlags::from_raw(self.properties)
    }
}
