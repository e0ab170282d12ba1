//! What an allocation would do, without doing it.

use ash::vk;

use super::{
    Allocator,
    allocate::{Request, Search, Target},
    choices::Choice,
    desc::AllocationDesc,
    error::{AllocateError, CreateError},
    inner::{Inner, Lane},
    resource_desc::{BufferDesc, ImageDesc},
};
use crate::{
    policy::granularity::ResourceKind,
    vulkan::{Dedicate, Requirements},
};

/// Where an allocation would go, as things stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// The index of the memory type.
    pub memory_type: u32,
    /// Its properties.
    pub properties: vk::MemoryPropertyFlags,
    /// The index of its heap.
    pub heap: u32,
    /// The bytes it would take there, rounded up as the device wants; a block rounds them up to
    /// its granule as well.
    pub size: u64,
    /// In which memory.
    pub placement: Placement,
}

/// In which memory an allocation would lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Placement {
    /// In a block that is there: no driver call for memory.
    Block,
    /// In a block that would be made for it.
    NewBlock {
        /// The block's size in bytes, if the driver has so much.
        size: u64,
    },
    /// In a memory of its own.
    Dedicated,
}

/// How large the blocks of a memory type are, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BlockSizes {
    /// The first block, if nothing else is held.
    pub first: u64,
    /// The largest block that small requests share.
    pub largest: u64,
    /// From this size on a request may get a block made to measure.
    pub large: u64,
}

impl Allocator {
    /// How large the blocks of a memory type are; `None` if there is no such type. Blocks of a small
    /// heap are smaller than the [description](crate::AllocatorDesc::largest_block) says.
    pub fn block_sizes(&self, memory_type: u32) -> Option<BlockSizes> {
        let lane = self.inner().lane(memory_type).filter(|lane| lane.index == memory_type)?;
        let growth = lane.growth;
        (memory_type < vk::MAX_MEMORY_TYPES as u32).then_some(BlockSizes {
            first: growth.first,
            largest: growth.largest,
            large: growth.large(),
        })
    }

    /// Tells what [`allocate`](Self::allocate) would do now: which memory type, and whether the
    /// driver would be asked for memory. Nothing changes and the GPU is not looked at: another
    /// thread, or a collect, may change the answer before you act on it; the driver may refuse.
    ///
    /// Cost: O(1), one lock a memory type that has no room.
    ///
    /// # Errors
    /// What `allocate` would say, as far as it can be known without asking the driver.
    ///
    /// # Example
    /// ```
    /// # use fencepost::{fake::FakeDriver, *};
    /// # let fake = FakeDriver::new(&Default::default());
    /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
    /// # let allocator = unsafe { Allocator::new(&desc)? };
    /// let requirements =
    ///     vk::MemoryRequirements { size: 1000, alignment: 256, memory_type_bits: !0 };
    /// let memory = AllocationDesc::device_local();
    /// let plan = allocator.plan(&requirements, ResourceKind::Linear, &memory)?;
    /// assert!(matches!(plan.placement, Placement::NewBlock { .. }));
    /// let first = allocator.allocate(&requirements, ResourceKind::Linear, &memory)?;
    /// assert_eq!(first.memory_type(), plan.memory_type);
    /// let plan = allocator.plan(&requirements, ResourceKind::Linear, &memory)?;
    /// assert_eq!(plan.placement, Placement::Block);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn plan(
        &self,
        requirements: &vk::MemoryRequirements,
        kind: ResourceKind,
        memory: &AllocationDesc,
    ) -> Result<Plan, AllocateError> {
        let requirements = Requirements { memory: *requirements, dedicate: Dedicate::No };
        let inner = self.inner();
        inner.plan(&Request::new(&requirements, Target::unknown(kind), memory))
    }

    /// Tells what [`create_buffer`](Self::create_buffer) would do now; see [`plan`](Self::plan).
    ///
    /// Cost: creates and destroys a buffer without memory, which is how Vulkan 1.0 tells what it
    /// needs.
    ///
    /// # Errors
    /// As `create_buffer`, as far as it can be known.
    pub fn plan_buffer(
        &self,
        desc: &BufferDesc,
        memory: &AllocationDesc,
    ) -> Result<Plan, CreateError> {
        desc.check(self.inner().vulkan.features())?;
        self.inner().check_open()?;
        let info = desc.info();
        let vulkan = &self.inner().vulkan;
        // SAFETY: the device contract; the description was checked.
        let handle = unsafe { vulkan.create_buffer(&info) }.map_err(CreateError::Create)?;
        self.plan_for(Target::buffer(handle, info.usage), memory)
    }

    /// Tells what [`create_image`](Self::create_image) would do now; see [`plan`](Self::plan).
    ///
    /// Cost: creates and destroys an image without memory.
    ///
    /// # Errors
    /// As `create_image`, as far as it can be known.
    pub fn plan_image(
        &self,
        desc: &ImageDesc,
        memory: &AllocationDesc,
    ) -> Result<Plan, CreateError> {
        self.inner().check_image(desc)?;
        let info = desc.info();
        let vulkan = &self.inner().vulkan;
        // SAFETY: the device contract; the description was checked, and the driver has such images.
        let handle = unsafe { vulkan.create_image(&info) }.map_err(CreateError::Create)?;
        self.plan_for(Target::image(handle, info.usage, info.tiling), memory)
    }

    /// Plans for a resource made to be asked, and destroys it.
    fn plan_for(&self, target: Target, memory: &AllocationDesc) -> Result<Plan, CreateError> {
        let inner = self.inner();
        let requirements = inner.ask_and_destroy(target);
        Ok(inner.plan(&Request::new(&requirements, target, memory))?)
    }
}

impl Inner {
    fn plan(&self, request: &Request) -> Result<Plan, AllocateError> {
        self.validate(request)?;
        let search = self.search(request)?;
        let mut spare = None;
        let Choice { ranking, required } = self.choice(&request.question, &mut spare);
        let mut lanes = ranking.iter().filter_map(|memory_type| self.lane(memory_type)).peekable();
        if lanes.peek().is_none() {
            return Err(AllocateError::NoMemoryType {
                type_bits: request.question.type_bits,
                required: *required,
            });
        }
        let found = lanes.find_map(|lane| Some((lane, self.placement(lane, &search)?)));
        let Some((lane, placement)) = found else {
            return Err(self.out_of_memory(&search, ranking.iter()));
        };
        Ok(Plan {
            memory_type: lane.memory_type,
            properties: lane.flags,
            heap: lane.heap,
            size: if placement == Placement::Dedicated { request.size } else { search.size },
            placement,
        })
    }

    /// As the ladder of `allocate_from` goes, up to the first driver call.
    fn placement(&self, lane: &Lane, search: &Search<'_>) -> Option<Placement> {
        let request = search.request;
        let room = if request.may_ask() { self.room(lane, request) } else { 0 };
        let required = request.dedicate == Dedicate::Require;
        if (required || self.prefers_dedicated(lane, search)) && request.size <= room {
            return Some(Placement::Dedicated);
        }
        if required {
            return None;
        }
        if lane.lock().blocks.holds(search.size, search.alignment) {
            return Some(Placement::Block);
        }
        let mut size = self.next_block(lane, search.size).size;
        let least = lane.growth.least_block(search.size);
        while size > room && size > least {
            size = (size / 2).max(least);
        }
        match size <= room {
            true => Some(Placement::NewBlock { size }),
            false => (request.size <= room && lane.growth.may_be_dedicated(request.size))
                .then_some(Placement::Dedicated),
        }
    }

    /// The most that may be asked of the driver at once.
    fn room(&self, lane: &Lane, request: &Request) -> u64 {
        let most = lane.heap_size.min(self.vulkan.properties().max_allocation_size);
        most.min(self.left(lane.heap, request.limit()))
    }
}
