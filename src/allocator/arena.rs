//! Arenas: user-created sets of blocks for one group of resources.

use core::fmt;
use std::sync::Arc;

use ash::vk;

use super::{
    Allocator,
    desc::AllocationDesc,
    error::ArenaError,
    inner::{Inner, Lane, Life},
    place::{ArenaBlocks, Place},
    request::Question,
    statistics::MemoryStatistics,
};
use crate::{
    guard::{GuardPolicy, layout},
    memory::{ArenaPolicy, Rank, Stay},
    policy::intent::GpuUse,
};

/// Describes how to create an [`Arena`]: its memory type, block size, and number of blocks.
///
/// # Example
/// ```
/// use fencepost::{AllocationDesc, ArenaDesc};
/// let levels = ArenaDesc::new(AllocationDesc::device_local()).block_size(64 << 20).max_blocks(4);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ArenaDesc {
    memory: AllocationDesc,
    name: Option<&'static str>,
    usage: u32,
    type_bits: u32,
    policy: ArenaPolicy,
    block_size: Option<u64>,
    min_blocks: u32,
    max_blocks: u32,
    priority: Option<f32>,
    min_alignment: u64,
    guards: Option<GuardPolicy>,
}

impl ArenaDesc {
    /// An arena in the best memory type for an intent, with growing blocks and no limit on their
    /// number. Of `memory`, only the intent and the memory properties count.
    pub const fn new(memory: AllocationDesc) -> Self {
        Self {
            memory,
            name: None,
            usage: 0,
            type_bits: u32::MAX,
            policy: ArenaPolicy::Tlsf,
            block_size: None,
            min_blocks: 0,
            max_blocks: u32::MAX,
            priority: None,
            min_alignment: 1,
            guards: None,
        }
    }

    /// Sets the name shown in snapshots, dumps and pages. For names made at run time, see
    /// [`intern`](crate::intern).
    #[must_use]
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets the usage of its buffers, which may affect the choice of the memory type.
    #[must_use]
    pub const fn buffer_usage(mut self, usage: vk::BufferUsageFlags) -> Self {
        self.usage = usage.as_raw();
        self
    }

    /// Restricts the memory types of the arena: `VkMemoryRequirements::memoryTypeBits` of the
    /// resources you will place in it. A single bit selects the type. [`Allocator::plan_buffer`]
    /// and [`Allocator::plan_image`] return the type that a resource would get.
    #[must_use]
    pub const fn memory_types(mut self, bits: u32) -> Self {
        self.type_bits = bits;
        self
    }

    /// Sets how the arena places allocations. By default, wherever they fit best.
    ///
    /// Use rings and double stacks for resources that end in order. There, an allocation costs an
    /// addition, and freeing it costs as little. Each block is a ring or double stack by itself.
    /// Set a [`block_size`](Self::block_size) that holds everything, and [one
    /// block](Self::max_blocks) unless you want several.
    #[must_use]
    pub const fn policy(mut self, policy: ArenaPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the size of every block, in bytes. The device must be able to allocate it, and it must
    /// hold at least one [rounded-up allocation](crate::Allocation::size). Larger requests are
    /// refused. By default, blocks start small and grow, and a large request has its own block.
    #[must_use]
    pub const fn block_size(mut self, bytes: u64) -> Self {
        self.block_size = Some(bytes);
        self
    }

    /// Sets the number of blocks that are allocated at creation and kept until the end. With 0, the
    /// default, empty blocks are released as elsewhere. Needs a [`block_size`](Self::block_size).
    #[must_use]
    pub const fn min_blocks(mut self, blocks: u32) -> Self {
        self.min_blocks = blocks;
        self
    }

    /// Sets the maximum number of blocks. Unlimited by default.
    #[must_use]
    pub const fn max_blocks(mut self, blocks: u32) -> Self {
        self.max_blocks = blocks;
        self
    }

    /// Sets the priority of the arena's memory when the system is short of memory, from 0 to 1,
    /// rounded to a sixteenth. Has an effect only if
    /// [`DeviceFeatures::MEMORY_PRIORITY`](crate::DeviceFeatures::MEMORY_PRIORITY) is enabled;
    /// otherwise drivers use 0.5. By default, the priority of its blocks depends on their contents,
    /// as for [other blocks](AllocationDesc::priority).
    #[must_use]
    pub const fn priority(mut self, priority: f32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets a minimum alignment in bytes for every offset in the arena. It must be a power of two.
    #[must_use]
    pub const fn min_alignment(mut self, bytes: u64) -> Self {
        self.min_alignment = bytes;
        self
    }

    /// Sets the guard policy of the arena's blocks. By default it is that of the allocator. With
    /// this you can watch only one suspect, or everything except one arena.
    /// [`AllocatorDesc::guarded_by`](crate::AllocatorDesc::guarded_by) still sets who maintains the
    /// guards.
    #[must_use]
    pub const fn guards(mut self, policy: GuardPolicy) -> Self {
        self.guards = Some(policy);
        self
    }

    /// Validates the description. A block must hold `least` bytes, or it could never hold anything.
    fn check(&self, largest: u64, least: u64) -> Result<(), ArenaError> {
        match self {
            Self { block_size: Some(asked), .. } if *asked < least || *asked > largest => {
                Err(ArenaError::BlockSize { asked: *asked, limit: largest })
            }
            Self { min_blocks, max_blocks, .. } if *max_blocks == 0 || min_blocks > max_blocks => {
                Err(ArenaError::BlockCount { min: *min_blocks, max: *max_blocks })
            }
            Self { min_blocks: 1.., block_size: None, .. } => Err(ArenaError::NoBlockSize),
            Self { priority: Some(p), .. } if !(0.0..=1.0).contains(p) => Err(ArenaError::Priority),
            Self { min_alignment, .. } if !min_alignment.is_power_of_two() => {
                Err(ArenaError::Alignment { alignment: *min_alignment })
            }
            _ => Ok(()),
        }
    }
}

/// A set of blocks of one memory type, with its own lock. Use it for resources that should be
/// placed together, limited together, or freed together without leaving gaps between others.
///
/// Allocations made in an arena are ordinary [`Allocation`](crate::Allocation)s,
/// [`Buffer`](crate::Buffer)s or [`Image`](crate::Image)s, and retire like any other. An arena
/// never makes dedicated allocations.
///
/// **Dropping** the arena is always safe: its allocations stay valid, and its blocks are released
/// as they become empty.
///
/// # Example
/// ```
/// # use fencepost::{fake::FakeDriver, *};
/// # let fake = FakeDriver::new(&Default::default());
/// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
/// # let allocator = unsafe { Allocator::new(&desc)? };
/// let desc = ArenaDesc::new(AllocationDesc::device_local()).block_size(1 << 20).max_blocks(1);
/// let level = allocator.create_arena(&desc)?;
/// let vertices = BufferDesc::new(1 << 19, vk::BufferUsageFlags::VERTEX_BUFFER);
/// let terrain = level.create_buffer(&vertices, &AllocationDesc::default().name("terrain"))?;
/// let second = level.create_buffer(&vertices, &AllocationDesc::default())?;
/// let third = level.create_buffer(&vertices, &AllocationDesc::default());
/// assert!(matches!(third, Err(CreateError::Allocate(error)) if error.is_out_of_memory()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Memory for one frame at a time, whose tail advances as the GPU makes progress:
/// ```
/// # use fencepost::{fake::{FakeDriver, Profile}, *};
/// # let fake = FakeDriver::new(&Profile::default());
/// # fake.set_automatic(true);
/// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
/// #     .api_version(vk::API_VERSION_1_2).features(DeviceFeatures::TIMELINE_SEMAPHORE);
/// # let allocator = unsafe { Allocator::new(&desc)? };
/// # let frames = allocator.timeline(fake.queue(0))?;
/// let desc = ArenaDesc::new(AllocationDesc::device_local()).block_size(64 << 20).max_blocks(1);
/// let transient = allocator.create_arena(&desc.policy(ArenaPolicy::Ring))?;
/// for _ in 0..1000 {
///     let frame = frames.begin()?;
///     let particles = BufferDesc::new(1 << 20, vk::BufferUsageFlags::STORAGE_BUFFER);
///     let particles = transient.create_buffer(&particles, &AllocationDesc::default())?;
///     drop(particles); // with the frame that uses it
///     frame.submit(|signal| unsafe { signal.queue_submit(&[]) })?;
///     allocator.collect();
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping an arena lets its empty blocks go"]
pub struct Arena {
    inner: Arc<Inner>,
    blocks: ArenaBlocks,
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

impl Allocator {
    /// Creates an arena. At most 992 arenas can exist at the same time.
    ///
    /// Cost: one driver call for each initial block.
    ///
    /// # Errors
    /// The description contradicts itself or the device, or there is no memory for the initial
    /// blocks. Nothing is left behind.
    pub fn create_arena(&self, desc: &ArenaDesc) -> Result<Arena, ArenaError> {
        let inner = self.inner();
        inner.check_open()?;
        let memory_type = inner.arena_type(desc)?;
        let lane = inner.lane(memory_type).ok_or(ArenaError::NoMemoryType)?;
        let largest = lane.heap_size.min(inner.vulkan.properties().max_allocation_size);
        let guards = desc.guards.unwrap_or(inner.guards.policy);
        // One byte, its margins, and the rest of the last granule.
        let least = layout(1, 1, inner.guards.margin(guards)).map_or(u64::MAX, |it| it.total);
        desc.check(largest, least.next_multiple_of(lane.granule))?;
        let stay = Stay { least: desc.min_blocks, ..lane.lock().blocks.stay };
        inner.watch(guards);
        let lane = inner.claim_lane(memory_type, stay, guards).ok_or(ArenaError::TooMany)?;
        {
            let mut state = lane.lock();
            state.name = desc.name;
            state.blocks.fixed_rank = desc.priority.and_then(Rank::of);
            state.blocks.ranked = inner.vulkan.moves_priorities() && desc.priority.is_none();
        }
        // From here on, dropping the arena returns the lane.
        let arena = Arena {
            inner: Arc::clone(inner),
            blocks: ArenaBlocks {
                lane: lane.index,
                policy: desc.policy,
                block_size: desc.block_size,
                most: desc.max_blocks,
                min_alignment: desc.min_alignment,
                guards,
            },
        };
        inner.prepare_arena(&arena.blocks, desc.min_blocks)?;
        Ok(arena)
    }
}

impl Inner {
    /// The best memory type for a description.
    fn arena_type(&self, desc: &ArenaDesc) -> Result<u32, ArenaError> {
        let gpu = match desc.usage {
            0 => GpuUse::Unknown,
            usage => GpuUse::of_usage(usage),
        };
        let question = Question { type_bits: desc.type_bits, gpu, taste: desc.memory.taste };
        self.answer(&question).ranking.iter().next().ok_or(ArenaError::NoMemoryType)
    }
}

impl Arena {
    /// The index of the memory type.
    pub fn memory_type(&self) -> u32 {
        self.lane().map_or(0, |lane| lane.memory_type)
    }

    /// The [name](ArenaDesc::name). One lock.
    pub fn name(&self) -> Option<&'static str> {
        self.lane().and_then(|lane| lane.lock().name)
    }

    /// The properties of the memory type.
    pub fn memory_properties(&self) -> vk::MemoryPropertyFlags {
        self.lane().map_or_else(Default::default, |lane| lane.flags)
    }

    /// The statistics of the arena, like [`Allocator::statistics`]. O(1), no lock.
    pub fn statistics(&self) -> MemoryStatistics {
        self.lane().map_or_else(Default::default, Lane::statistics_of_arena)
    }

    /// Changes the priority of all present and future memory of the arena, whatever it contains.
    /// For example, lower it when the player leaves a level, and raise it on return. The value is
    /// clamped to 0 to 1 and rounded to a sixteenth; NaN has no effect.
    ///
    /// For existing memory this has an effect only if
    /// [`PAGEABLE_DEVICE_LOCAL_MEMORY`](crate::DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY) is
    /// enabled: [`collect`](Allocator::collect) informs the driver, for 64 blocks per call.
    ///
    /// Cost: one lock, O(blocks).
    pub fn set_priority(&self, priority: f32) {
        if let (Some(rank), Some(lane)) = (Rank::of(priority), self.lane()) {
            lane.lock().blocks.fix_rank(rank);
        }
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place::Arena(&self.blocks)
    }

    fn lane(&self) -> Option<&Lane> {
        self.inner.lane(self.blocks.lane)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.inner.leave_arena(&self.blocks);
        if self.inner.life() == Life::Closed {
            self.inner.finish_pending();
        }
    }
}
