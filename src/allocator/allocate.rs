//! The flow of an allocation: rank the memory types, find a range, else ask the driver.
//!
//! For each type, best first: a memory of its own if that is required or worth it; a range in an
//! existing block; what the GPU has given back meanwhile; a new block, halved while the driver is
//! out of memory; at last a memory of its own. If every type fails, lingering blocks are given back
//! and all is tried once more. The driver is never called under a lock: two threads may both
//! make a block, and then both blocks stay.

use ash::vk;

use super::{
    error::AllocateError,
    inner::{Inner, Lane, LaneState, Life},
};
use crate::{
    memory::{Block, Grant, Tenant},
    policy::{
        granularity::{ResourceKind, placed},
        select::{Wish, rank},
    },
    vulkan::{Dedicate, Mapping, Resource, is_out_of_memory},
};

/// A request, in the allocator's own words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) size: u64,
    pub(super) alignment: u64,
    pub(super) type_bits: u32,
    pub(super) wish: Wish,
    pub(super) dedicate: Dedicate,
    pub(super) kind: ResourceKind,
    pub(super) resource: Resource,
    pub(super) name: Option<&'static str>,
}

impl Request {
    fn tenant(&self) -> Tenant {
        let named = self.name.is_some() || self.resource != Resource::None;
        Tenant { resource: self.resource, kind: named.then_some(self.kind), name: self.name }
    }
}

/// A grant and the type it came from.
pub(super) type Granted<'a> = (&'a Lane, Grant);

impl Inner {
    /// Finds memory for a request. On failure nothing has changed, but that reached memory was
    /// collected and empty blocks may have gone.
    ///
    /// O(1) where a block has room; else driver calls, outside all locks.
    pub(super) fn allocate(&self, request: &Request) -> Result<Granted<'_>, AllocateError> {
        self.validate(request)?;
        let ranking = rank(&self.vulkan.properties().types, request.type_bits, &request.wish);
        let mut failure = AllocateError::NoMemoryType {
            type_bits: request.type_bits,
            required: vk::MemoryPropertyFlags::from_raw(request.wish.required),
        };
        for attempt in 0..2 {
            for memory_type in ranking.iter() {
                let Some(lane) = self.lane(memory_type) else { continue };
                match self.allocate_from(lane, request) {
                    Ok(grant) => return Ok((lane, grant)),
                    Err(error) if is_worth_another_type(error) => failure = error,
                    Err(error) => return Err(error),
                }
            }
            if attempt == 0 && !(failure.is_out_of_memory() && self.release_what_can_be()) {
                break;
            }
        }
        if failure.is_out_of_memory() {
            if let Some(granted) = self.allocate_anywhere(ranking.iter(), request) {
                return Ok(granted);
            }
        }
        match failure {
            AllocateError::OutOfDeviceMemory { .. } => {
                Err(self.out_of_memory(request, ranking.iter()))
            }
            other => Err(other),
        }
    }

    /// The last way out: a range that the quick search does not see. O(blocks).
    fn allocate_anywhere(
        &self,
        mut types: impl Iterator<Item = u32>,
        request: &Request,
    ) -> Option<Granted<'_>> {
        if request.dedicate == Dedicate::Require {
            return None;
        }
        types.find_map(|memory_type| {
            let lane = self.lane(memory_type)?;
            let (size, alignment) = self.placed(request).ok()?;
            let mut state = lane.lock();
            let grant = state.blocks.allocate_anywhere(size, alignment, request.tenant())?;
            self.settle(&mut state, &grant);
            drop(state);
            Some((lane, grant))
        })
    }

    /// Size and alignment of the range.
    fn placed(&self, request: &Request) -> Result<(u64, u64), AllocateError> {
        let granularity = self.vulkan.properties().buffer_image_granularity;
        placed(request.kind, request.size, request.alignment, granularity).ok_or(
            AllocateError::TooLarge { requested: request.size, limit: u64::MAX - granularity },
        )
    }

    fn validate(&self, request: &Request) -> Result<(), AllocateError> {
        if self.life() == Life::ShutDown {
            return Err(AllocateError::ShutDown);
        }
        if self.is_lost() {
            return Err(AllocateError::DeviceLost);
        }
        if request.size == 0 {
            return Err(AllocateError::ZeroSize);
        }
        if !request.alignment.is_power_of_two() {
            return Err(AllocateError::Alignment { alignment: request.alignment });
        }
        let properties = self.vulkan.properties();
        let largest_heap = properties.heaps.iter().copied().max().unwrap_or(0);
        let limit = properties.max_allocation_size.min(largest_heap);
        if request.size > limit {
            return Err(AllocateError::TooLarge { requested: request.size, limit });
        }
        Ok(())
    }

    fn allocate_from(&self, lane: &Lane, request: &Request) -> Result<Grant, AllocateError> {
        let (size, alignment) = self.placed(request)?;
        let own = request.dedicate == Dedicate::Require || lane.growth.wants_dedicated(size);
        if own || (request.dedicate == Dedicate::Prefer && size >= lane.growth.first / 4) {
            match self.allocate_dedicated(lane, request) {
                Err(error) if !own && error.is_out_of_memory() => {}
                done => return done,
            }
        }
        if let Some(grant) = self.allocate_in_blocks(lane, size, alignment, request) {
            return Ok(grant);
        }
        // Before the driver is asked for more: what has the GPU given back meanwhile?
        if self.collect_for(lane) {
            if let Some(grant) = self.allocate_in_blocks(lane, size, alignment, request) {
                return Ok(grant);
            }
        }
        match self.allocate_in_new_block(lane, size, alignment, request) {
            Err(error) if error.is_out_of_memory() => self.allocate_dedicated(lane, request),
            done => done,
        }
    }

    fn allocate_in_blocks(
        &self,
        lane: &Lane,
        size: u64,
        alignment: u64,
        request: &Request,
    ) -> Option<Grant> {
        let mut state = lane.lock();
        let grant = state.blocks.allocate(size, alignment, request.tenant())?;
        self.settle(&mut state, &grant);
        Some(grant)
    }

    /// A granted range lives from here on.
    fn settle(&self, state: &mut LaneState, grant: &Grant) {
        state.count_live(grant.size);
        if grant.first {
            // The caller's own count keeps this alive, so the upgrade succeeds.
            if let Some(myself) = self.myself.upgrade() {
                state.keep(grant.entry.slot, myself);
            }
        }
    }

    fn allocate_in_new_block(
        &self,
        lane: &Lane,
        size: u64,
        alignment: u64,
        request: &Request,
    ) -> Result<Grant, AllocateError> {
        // Blocks that are empty and yet too small for this make room for one that is not.
        let (outgrown, reserved) = {
            let mut state = lane.lock();
            (state.blocks.remove_empty(), state.blocks.reserved())
        };
        self.free_blocks(outgrown);
        let mut block_size = lane.growth.next_block(reserved, size);
        let (memory, mapping) = loop {
            match self.allocate_memory(lane, block_size, Resource::None) {
                Ok(memory) => break memory,
                Err(error) if error.is_out_of_memory() && block_size / 2 >= size => {
                    block_size /= 2;
                }
                Err(error) => return Err(error),
            }
        };
        let mut state = lane.lock();
        let made = state
            .blocks
            .insert(|serial| Block::shared(memory, block_size, lane.granule, serial, mapping));
        let granted = made
            .ok()
            .and_then(|slot| state.blocks.allocate_in(slot, size, alignment, request.tenant()));
        let Some(grant) = granted else {
            // An empty block has room: only the host's memory for the books can have run out.
            let blocks = state.blocks.remove_empty();
            drop(state);
            if made.is_err() {
                // SAFETY: the memory was never used.
                unsafe { self.vulkan.free_memory(memory) };
                self.count_freed(block_size);
            }
            self.free_blocks(blocks);
            return Err(AllocateError::OutOfHostMemory);
        };
        self.settle(&mut state, &grant);
        tracing::debug!(
            target: "fencepost", memory_type = lane.memory_type, block_size,
            "allocated a block"
        );
        Ok(grant)
    }

    fn allocate_dedicated(&self, lane: &Lane, request: &Request) -> Result<Grant, AllocateError> {
        let size = request.size;
        let (memory, mapping) = self.allocate_memory(lane, size, request.resource)?;
        let mut state = lane.lock();
        let made = state.blocks.insert(|serial| {
            Ok::<_, core::convert::Infallible>(Block::dedicated(memory, size, serial, mapping))
        });
        let Ok(slot) = made;
        match state.blocks.allocate_in(slot, size, 1, request.tenant()) {
            Some(grant) => {
                self.settle(&mut state, &grant);
                tracing::debug!(
                    target: "fencepost", memory_type = lane.memory_type, size,
                    "allocated a dedicated memory"
                );
                Ok(grant)
            }
            None => unreachable!("a new dedicated block is free"),
        }
    }

    /// Asks the driver, and maps what is host-visible. Nothing is left behind on failure.
    fn allocate_memory(
        &self,
        lane: &Lane,
        size: u64,
        dedicated_to: Resource,
    ) -> Result<(vk::DeviceMemory, Option<Mapping>), AllocateError> {
        let limit = self.vulkan.properties().max_allocation_count;
        if size > lane.heap_size {
            // Vulkan forbids to ask for more than a heap holds.
            let result = vk::Result::ERROR_OUT_OF_DEVICE_MEMORY;
            return Err(AllocateError::from_driver(result, limit));
        }
        self.count_memory()?;
        // SAFETY: the device contract holds while the allocator is open or closed; `shutdown`'s
        // caller keeps other threads away.
        let made = unsafe { self.vulkan.allocate_memory(lane.memory_type, size, dedicated_to) };
        let memory = match made {
            Ok(memory) => memory,
            Err(error) => {
                self.driver.memories.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
                if error == vk::Result::ERROR_DEVICE_LOST {
                    self.lose();
                }
                return Err(AllocateError::from_driver(error, limit));
            }
        };
        self.count_allocated(size);
        if !lane.is_host_visible() {
            return Ok((memory, None));
        }
        // SAFETY: as above; the memory is new, host-visible and not mapped.
        match unsafe { self.vulkan.map_memory(memory) } {
            Ok(mapping) => Ok((memory, Some(mapping))),
            Err(error) => {
                // SAFETY: the memory was never used.
                unsafe { self.vulkan.free_memory(memory) };
                self.count_freed(size);
                if is_out_of_memory(error) {
                    Err(AllocateError::from_driver(error, limit))
                } else {
                    Err(AllocateError::Map(error))
                }
            }
        }
    }

    /// Collects, and gives empty blocks back. Whether that may have made room.
    fn release_what_can_be(&self) -> bool {
        let Some(myself) = self.myself.upgrade() else { return false };
        let collected = Inner::collect(&myself);
        let trimmed = Inner::trim(&myself);
        collected.allocations > 0 || trimmed > 0
    }

    /// Collects if anything of this type may be reached. Whether something was.
    fn collect_for(&self, lane: &Lane) -> bool {
        let waits = !lane.lock().bags.is_empty();
        let myself = self.myself.upgrade();
        waits && myself.is_some_and(|myself| Inner::collect(&myself).allocations > 0)
    }

    fn out_of_memory(&self, request: &Request, types: impl Iterator<Item = u32>) -> AllocateError {
        let (mut largest_free, mut pending) = (0, 0);
        for lane in types.filter_map(|memory_type| self.lane(memory_type)) {
            let state = lane.lock();
            for (_, block) in state.blocks.iter() {
                largest_free = largest_free.max(block.largest_free());
                let [_, (bytes, _)] = block.usage();
                pending += bytes;
            }
        }
        AllocateError::OutOfDeviceMemory { requested: request.size, largest_free, pending }
    }
}

fn is_worth_another_type(error: AllocateError) -> bool {
    error.is_out_of_memory()
        || matches!(error, AllocateError::Map(_) | AllocateError::TooLarge { .. })
}
