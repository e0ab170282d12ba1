//! Predicting an allocation without making it.

use ash::vk;

use super::{
    Allocator,
    choices::Choice,
    desc::AllocationDesc,
    error::{AllocateError, CreateError},
    inner::{Inner, Lane},
    place::Place,
    request::{Request, Search, Target},
    resource_desc::{BufferDesc, ImageDesc},
};
use crate::vulkan::{Dedicate, Requirements};

/// Where an allocation would go in the present state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// The index of the memory type.
    pub memory_type: u32,
    /// The properties of the memory type.
    pub properties: vk::MemoryPropertyFlags,
    /// The index of the heap.
    pub heap: u32,
    /// The size in bytes, rounded up as the device requires. A block also rounds it up to its
    /// granule.
    pub size: u64,
    /// The memory it would be placed in.
    pub placement: Placement,
}

/// The memory that an allocation would be placed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Placement {
    /// An existing block, without a driver call for memory.
    Block,
    /// A new block.
    NewBlock {
        /// The size of the block in bytes, unless the driver has less memory or empty blocks are freed
        /// first: they are freed before the allocator holds more memory than ever, and the size of a
        /// block depends on the memory held.
        size: u64,
    },
    /// A dedicated allocation.
    Dedicated,
}

/// The block sizes of a memory type, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BlockSizes {
    /// The first block, if nothing else is reserved.
    pub first: u64,
    /// The largest block that small requests share.
    pub largest: u64,
    /// The size from which on a request may get a block of its own size.
    pub large: u64,
}

impl Allocator {
    /// Returns the block sizes of a memory type, or `None` if there is no such type. In a small
    /// heap they are smaller than the [description](crate::AllocatorDesc::largest_block) says.
    pub fn block_sizes(&self, memory_type: u32) -> Option<BlockSizes> {
        let lane = self.inner().lane(memory_type).filter(|lane| lane.index == memory_type)?;
        let growth = lane.growth;
        (memory_type < vk::MAX_MEMORY_TYPES as u32).then_some(BlockSizes {
            first: growth.first,
            largest: growth.largest,
            large: growth.large(),
        })
    }
}

impl Inner {
    /// [`Allocator::plan`].
    pub(super) fn plan(
        &self,
        requirements: &Requirements,
        target: Target,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Result<Plan, AllocateError> {
        let request = self.request(requirements, target, memory, place);
        let (lane, search, placement) = match place {
            Place::Arena(arena) => self.plan_in_arena(arena, &request)?,
            Place::Types | Place::Ordered(_) | Place::Others(..) => self.plan_in_types(&request)?,
        };
        Ok(Plan {
            memory_type: lane.memory_type,
            properties: lane.flags,
            heap: lane.heap,
            size: if placement == Placement::Dedicated { request.size } else { search.size },
            placement,
        })
    }

    /// [`Allocator::plan_buffer`].
    pub(super) fn plan_buffer(
        &self,
        desc: &BufferDesc,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Result<Plan, CreateError> {
        desc.check(&self.vulkan)?;
        self.check_open()?;
        let info = desc.info();
        // SAFETY: the device contract; the description was checked.
        let handle = unsafe { self.vulkan.create_buffer(&info) }.map_err(CreateError::Create)?;
        let target = Target::buffer(handle, info.usage);
        Ok(self.plan(&self.ask_and_destroy(target), target, memory, place)?)
    }

    /// [`Allocator::plan_image`].
    pub(super) fn plan_image(
        &self,
        desc: &ImageDesc,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Result<Plan, CreateError> {
        self.check_image(desc)?;
        let info = desc.info();
        // SAFETY: the device contract; the description was checked, and the driver has such images.
        let handle = unsafe { self.vulkan.create_image(&info) }.map_err(CreateError::Create)?;
        let target = Target::image(handle, info.usage, info.tiling);
        Ok(self.plan(&self.ask_and_destroy(target), target, memory, place)?)
    }

    fn plan_in_types<'a, 'b>(
        &'a self,
        request: &'b Request,
    ) -> Result<(&'a Lane, Search<'b>, Placement), AllocateError> {
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
        if let Some(found) = lanes.find_map(|lane| Some((lane, self.placement(lane, &search)?))) {
            return Ok((found.0, search, found.1));
        }
        let mut lanes = ranking.iter().filter_map(|memory_type| self.lane(memory_type));
        let shares = request.dedicate != Dedicate::Require;
        match lanes.find(|lane| shares && self.holds_anywhere(lane, &search)) {
            Some(lane) => Ok((lane, search, Placement::Block)),
            None => Err(self.planned_refusal(&search, || ranking.iter())),
        }
    }

    /// Whether a walk over all free regions of a lane finds a range: the last step of the ladder.
    pub(super) fn holds_anywhere(&self, lane: &Lane, search: &Search<'_>) -> bool {
        lane.lock().blocks.holds_anywhere(search.size, search.alignment)
    }

    /// Follows the ladder of `allocate_from` up to the first driver call.
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
        if lane.lock().blocks.holds(request.end(), search.size, search.alignment) {
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

    /// The most that can be requested from the driver at once.
    pub(super) fn room(&self, lane: &Lane, request: &Request) -> u64 {
        match self.heaps.memories_are_spent() {
            true => 0,
            false => self.largest_memory(lane).min(self.left(lane.heap, request.limit())),
        }
    }

    fn largest_memory(&self, lane: &Lane) -> u64 {
        lane.heap_size.min(self.vulkan.properties().max_allocation_size)
    }

    /// The error if nothing of these types has room: too many memories, unless the heap of a type is too small in any
    /// case.
    pub(super) fn planned_refusal<T: Iterator<Item = u32>>(
        &self,
        search: &Search<'_>,
        types: impl Fn() -> T,
    ) -> AllocateError {
        let request = search.request;
        let fits = |lane: &Lane| {
            let least = match lane.growth.may_be_dedicated(request.size) {
                true => request.size,
                false => lane.growth.least_block(search.size),
            };
            least <= self.largest_memory(lane)
        };
        let mut lanes = types().filter_map(|memory_type| self.lane(memory_type));
        match request.may_ask() && self.heaps.memories_are_spent() && lanes.all(fits) {
            true => AllocateError::TooManyAllocations { limit: self.heaps.memory_limit },
            false => self.out_of_memory(search, types()),
        }
    }
}
