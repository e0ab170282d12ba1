//! Arenas: sets of blocks that a user makes for resources of one sort.

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

/// How to make an [`Arena`]: which memory type, how large its blocks, how many.
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
    /// An arena of the memory type that is best for an intent, with blocks that grow, as many as
    /// are needed. Of `memory` only what it says of properties counts.
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

    /// What it is called in snapshots, dumps and pages. See [`intern`](crate::intern) for names made
    /// at run time.
    #[must_use]
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// What its buffers are used for, where that makes a difference to the memory type.
    #[must_use]
    pub const fn buffer_usage(mut self, usage: vk::BufferUsageFlags) -> Self {
        self.usage = usage.as_raw();
        self
    }

    /// Memory types it may be of: `VkMemoryRequirements::memoryTypeBits` of what will live there.
    /// One bit names the type. [`Allocator::plan_buffer`] and [`Allocator::plan_image`] tell the
    /// type that a resource would get.
    #[must_use]
    pub const fn memory_types(mut self, bits: u32) -> Self {
        self.type_bits = bits;
        self
    }

    /// How it places what is made in it. Unless told, wherever it fits best.
    ///
    /// Rings and double stacks are for what ends in order; there an allocation costs an addition, and
    /// its end as little. Each block is one by itself, so give them a [`block_size`](Self::block_size)
    /// that holds all, and [one block](Self::max_blocks) unless you mean several.
    #[must_use]
    pub const fn policy(mut self, policy: ArenaPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The size of every block, in bytes, any that the device can allocate and that holds
    /// [what all is rounded up to](crate::Allocation::size). Larger requests are
    /// refused. Unless told, blocks grow from small ones, and a large request has a block to
    /// itself.
    #[must_use]
    pub const fn block_size(mut self, bytes: u64) -> Self {
        self.block_size = Some(bytes);
        self
    }

    /// Blocks that are there from the start to the end; with 0, the default, empty ones go as they
    /// do elsewhere. Needs a [`block_size`](Self::block_size).
    #[must_use]
    pub const fn min_blocks(mut self, blocks: u32) -> Self {
        self.min_blocks = blocks;
        self
    }

    /// The most blocks there may be. No limit unless told.
    #[must_use]
    pub const fn max_blocks(mut self, blocks: u32) -> Self {
        self.max_blocks = blocks;
        self
    }

    /// How important its memory is, from 0 to 1, when the system is short of it; in steps of a
    /// sixteenth. Of effect where
    /// [`DeviceFeatures::MEMORY_PRIORITY`](crate::DeviceFeatures::MEMORY_PRIORITY) is on; elsewhere
    /// drivers take 0.5. Unless told, its blocks go by what lives in them, as
    /// [others](AllocationDesc::priority) do.
    #[must_use]
    pub const fn priority(mut self, priority: f32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// An alignment in bytes that every offset in it has. A power of two.
    #[must_use]
    pub const fn min_alignment(mut self, bytes: u64) -> Self {
        self.min_alignment = bytes;
        self
    }

    /// How its blocks are watched, by whom the allocator says
    /// ([`AllocatorDesc::guarded_by`](crate::AllocatorDesc::guarded_by)). As the allocator's own are, unless told: so
    /// the one suspect is watched and the rest costs nothing, or the other way round.
    #[must_use]
    pub const fn guards(mut self, policy: GuardPolicy) -> Self {
        self.guards = Some(policy);
        self
    }

    /// A block holds `least` bytes, or nothing ever.
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

/// A set of blocks of one memory type, with a lock of its own: for what should live together, be
/// limited together, or leave nothing behind between others.
///
/// What is made in it is an [`Allocation`](crate::Allocation), [`Buffer`](crate::Buffer) or
/// [`Image`](crate::Image) like any other, and retires
/// like any other. Nothing in an arena ever has a memory of its own.
///
/// **Dropping** the arena is safe at any time: what was made in it lives on, and its blocks go as
/// they become empty.
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
/// A frame's own memory, of which the GPU moves the tail:
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
    /// Makes an arena. At most 992 live at a time.
    ///
    /// Cost: a driver call for each block it has from the start.
    ///
    /// # Errors
    /// A description that contradicts itself or the device, no memory for the first blocks. Nothing
    /// is left behind.
    pub fn create_arena(&self, desc: &ArenaDesc) -> Result<Arena, ArenaError> {
        let inner = self.inner();
        inner.check_open()?;
        let memory_type = inner.arena_type(desc)?;
        let lane = inner.lane(memory_type).ok_or(ArenaError::NoMemoryType)?;
        let largest = lane.heap_size.min(inner.vulkan.properties().max_allocation_size);
        let guards = desc.guards.unwrap_or(inner.guards.policy);
        // A byte, its margins, and the rest of the last granule.
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
        // From here on its drop gives the lane back.
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
    /// The index of its memory type.
    pub fn memory_type(&self) -> u32 {
        self.lane().map_or(0, |lane| lane.memory_type)
    }

    /// What it is [called](ArenaDesc::name). One lock.
    pub fn name(&self) -> Option<&'static str> {
        self.lane().and_then(|lane| lane.lock().name)
    }

    /// The properties of its memory type.
    pub fn memory_properties(&self) -> vk::MemoryPropertyFlags {
        self.lane().map_or_else(Default::default, |lane| lane.flags)
    }

    /// What it holds. O(1), no lock; as [`Allocator::statistics`].
    pub fn statistics(&self) -> MemoryStatistics {
        self.lane().map_or_else(Default::default, Lane::statistics_of_arena)
    }

    /// Gives all its memory, and what it will have, another priority, whatever lives there: less when
    /// its level is left, more when it is entered again. Between 0 and 1, in steps of a sixteenth,
    /// and clamped; what is no number changes nothing.
    ///
    /// Of memory that is there it is of effect where
    /// [`PAGEABLE_DEVICE_LOCAL_MEMORY`](crate::DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY) is on:
    /// [`collect`](Allocator::collect) tells the driver, 64 blocks at a time.
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
