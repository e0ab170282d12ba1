//! Allocating from the driver: a new block, or a dedicated allocation. The bytes are reserved
//! first, outside all locks.

use ash::vk;

use super::{
    error::{AllocateError, Tried},
    heaps::Refusal,
    inner::{Inner, Lane},
    request::{Limit, Request, Search},
    share::Extent,
    telling::tell_block,
};
use crate::{
    memory::{ArenaPolicy, Block, End, Grant, Graves, Rank},
    policy::growth::{Held, NextBlock},
    tlsf,
    vulkan::{External, Mapping, NewMemory, Resource, is_out_of_memory},
};

/// The reason why a new block was not added: there is no place for it beside the others, so no
/// block of its size can be added; or the host has no memory for its bookkeeping.
pub(super) fn refused(error: tlsf::ConfigError) -> AllocateError {
    match error {
        tlsf::ConfigError::TooManyGranules { .. } => AllocateError::out_of_memory(),
        _ => AllocateError::OutOfHostMemory,
    }
}

impl Inner {
    /// Finds a range in a new block, of the size that the growth policy and the budget give. If
    /// there is no memory for it, releases the heap's empty blocks, and then tries smaller blocks.
    pub(super) fn allocate_in_new_block(
        &self,
        lane: &Lane,
        search: &mut Search<'_>,
    ) -> Result<Grant, AllocateError> {
        let limit = search.request.limit();
        let least = lane.growth.least_block(search.size);
        self.make_way(self.next_block(lane, search.size).size);
        let wanted = lane.growth.next_block(self.held(lane), search.size);
        let NextBlock { size: mut block_size, tailored } = self.next_block(lane, search.size);
        if block_size < wanted.size {
            search.tried |= Tried::SMALLER;
            self.tell_fallback(lane, search.request.size, search.tried);
        }
        let mut released = false;
        // If priorities can change, it starts with the rank of the allocation it is created for.
        let rank = search.request.rank.filter(|_| self.vulkan.moves_priorities());
        let (memory, mapping) = loop {
            let new = NewMemory {
                memory_type: lane.memory_type,
                size: block_size,
                dedicated_to: Resource::None,
                priority: rank.map(Rank::priority),
                external: External::None,
            };
            match self.allocate_memory(lane, &new, limit, &mut search.tried) {
                Ok(memory) => break memory,
                Err(error) if !error.is_out_of_memory() => return Err(error),
                Err(error) if !released => {
                    released = true;
                    if self.release_for(lane, error, search) {
                        if let Some(grant) = self.allocate_in_blocks(lane, search) {
                            return Ok(grant);
                        }
                    }
                }
                Err(error) if block_size <= least => return Err(error),
                Err(_) => {
                    search.tried |= Tried::SMALLER;
                    self.tell_fallback(lane, search.request.size, search.tried);
                    block_size = (block_size / 2).max(least);
                }
            }
        };
        let sight = self.guard_block(lane, self.guards.policy, memory, block_size, mapping);
        let mut state = lane.lock();
        let reserved = state.reserve_block(ArenaPolicy::Tlsf);
        let reserved = reserved.map_err(|_| tlsf::ConfigError::OutOfHostMemory);
        let made = reserved.and_then(|()| {
            let block = Block::shared(memory, block_size, mapping);
            let block = block.with_tailored(tailored).with_sight(sight).with_rank(rank);
            state.blocks.insert(block, ArenaPolicy::Tlsf).map_err(|(_, error)| error)
        });
        let granted = made.ok().and_then(|slot| {
            let grant =
                state.blocks.allocate_in(slot, End::Lower, search.size, search.alignment)?;
            self.settle(&mut state, search.request, search.tenant(), grant)
        });
        let Some(grant) = granted else {
            // An empty block has room, so there is no host memory for the bookkeeping, or no place
            // beside the others.
            let blocks = state.blocks.remove_empty();
            drop(state);
            if made.is_err() {
                // SAFETY: the memory was never used, and kept from a reservation of its size.
                unsafe {
                    self.close_sight(sight);
                    self.free_memory(lane.heap, memory, block_size);
                }
            }
            self.free_blocks(lane, blocks);
            return Err(made.err().map_or(AllocateError::OutOfHostMemory, refused));
        };
        drop(state);
        tell_block(lane, block_size, false);
        Ok(grant)
    }

    /// The input for the size of the lane's next block.
    pub(super) fn held(&self, lane: &Lane) -> Held {
        let (all, own) = (self.heaps.held(), lane.counters.reserved.get());
        Held { all, own, below: self.heaps.peak_reserved().saturating_sub(all) }
    }

    /// The next block: that of the policy, or a smaller one if only the smaller one stays within
    /// the budget.
    pub(super) fn next_block(&self, lane: &Lane, size: u64) -> NextBlock {
        let least = lane.growth.least_block(size);
        let left = self.left(lane.heap, Limit::Budget);
        let mut next = lane.growth.next_block(self.held(lane), size);
        if least > left {
            // Even the smaller one exceeds the budget; then take little more than needed.
            next.size = next.size.min(lane.growth.first.max(least));
        }
        while next.size > left && left >= least {
            next.size = (next.size / 2).max(least);
        }
        next
    }

    /// Before more memory is reserved than ever before, releases empty blocks, oldest first, so
    /// that the footprint grows only with what is used.
    fn make_way(&self, bytes: u64) {
        while self.heaps.would_be_most(bytes) {
            let since = |lane: &&Lane| lane.lock().blocks.oldest_empty().map(|(since, _)| since);
            let oldest = self.lanes().filter_map(|lane| Some((since(&lane)?, lane)));
            let Some((_, lane)) = oldest.min_by_key(|&(since, _)| since) else { return };
            let block = lane.lock().blocks.remove_oldest();
            self.free_blocks(lane, block.into_iter().collect());
        }
    }

    /// A dedicated allocation. If there is no memory, releases the heap's empty blocks and tries
    /// once more.
    pub(super) fn allocate_dedicated_or_release(
        &self,
        lane: &Lane,
        search: &mut Search<'_>,
    ) -> Result<Grant, AllocateError> {
        search.tried |= Tried::DEDICATED;
        match self.allocate_dedicated(lane, search) {
            Err(error) if error.is_out_of_memory() && self.release_for(lane, error, search) => {
                self.allocate_dedicated(lane, search)
            }
            done => done,
        }
    }

    pub(super) fn allocate_dedicated(
        &self,
        lane: &Lane,
        search: &mut Search<'_>,
    ) -> Result<Grant, AllocateError> {
        let request = search.request;
        self.make_way(request.size);
        let new = NewMemory {
            memory_type: lane.memory_type,
            size: request.size,
            dedicated_to: request.dedicated_to(),
            priority: request.rank.map(Rank::priority),
            external: External::None,
        };
        let (memory, mapping) =
            self.allocate_memory(lane, &new, request.limit(), &mut search.tried)?;
        self.settle_dedicated(lane, &new, memory, mapping, request)
    }

    /// Puts a request into a dedicated allocation.
    pub(super) fn settle_dedicated(
        &self,
        lane: &Lane,
        new: &NewMemory<'_>,
        memory: vk::DeviceMemory,
        mapping: Option<Mapping>,
        request: &Request,
    ) -> Result<Grant, AllocateError> {
        let size = new.size;
        let graves = match new.external {
            External::None | External::Export(_) => self.open_dedicated(lane, size, mapping),
            // Somebody else may have written there already.
            External::Fd { .. } | External::Host(_) => {
                self.tell_unguarded(lane, size);
                Graves::default()
            }
        };
        let mut state = lane.lock();
        if state.reserve_block(ArenaPolicy::Tlsf).is_err() {
            drop(state);
            // SAFETY: the memory was never used, and kept from a reservation of its size.
            unsafe { self.free_memory(lane.heap, memory, size) };
            return Err(AllocateError::OutOfHostMemory);
        }
        let mut block = Block::dedicated(memory, size, mapping).with_rank(request.rank);
        block.exclusive =
            new.dedicated_to != Resource::None || !matches!(new.external, External::None);
        block.graves = graves;
        if let External::Export(kinds) = new.external {
            block.exported_as = kinds.as_raw();
        }
        let made = state.blocks.insert(block, ArenaPolicy::Tlsf);
        let Ok(slot) = made else { unreachable!("a dedicated block needs no place among others") };
        let Some(grant) = state.blocks.allocate_in(slot, End::Lower, size, 1) else {
            unreachable!("a new dedicated block is free")
        };
        let Some(grant) = self.settle(&mut state, request, request.tenant(), grant) else {
            let blocks = state.blocks.remove_empty();
            drop(state);
            self.free_blocks(lane, blocks);
            return Err(AllocateError::OutOfHostMemory);
        };
        drop(state);
        tell_block(lane, size, true);
        Ok(grant)
    }

    /// Allocates from the driver, and maps host-visible memory. On failure nothing is left behind.
    pub(super) fn allocate_memory(
        &self,
        lane: &Lane,
        new: &NewMemory<'_>,
        limit: Limit,
        tried: &mut Tried,
    ) -> Result<(vk::DeviceMemory, Option<Mapping>), AllocateError> {
        let size = new.size;
        let properties = self.vulkan.properties();
        if size > lane.heap_size.min(properties.max_allocation_size) {
            // Vulkan forbids requests that exceed the heap.
            return Err(AllocateError::out_of_memory());
        }
        let reservation =
            self.reserve(lane.heap, size, limit).map_err(|refusal| match refusal {
                Refusal::Budget => {
                    *tried |= Tried::BUDGET;
                    AllocateError::out_of_memory()
                }
                Refusal::Count => {
                    AllocateError::TooManyAllocations { limit: self.heaps.memory_limit }
                }
            })?;
        *tried |= Tried::DRIVER;
        let count = self.heaps.memory_limit;
        // SAFETY: the device contract holds while the allocator is open or closed; `shutdown`'s
        // caller keeps other threads away.
        let memory = match unsafe { self.vulkan.allocate_memory(new) } {
            Ok(memory) => memory,
            Err(error) => {
                if error == vk::Result::ERROR_DEVICE_LOST {
                    self.lose();
                }
                return Err(AllocateError::from_driver(error, count));
            }
        };
        reservation.keep();
        if !lane.is_host_visible() || self.map_on_access {
            return Ok((memory, None));
        }
        // SAFETY: as above; the memory is new, host-visible and not mapped.
        match unsafe { self.vulkan.map_memory(memory) } {
            Ok(mapping) => Ok((memory, Some(mapping))),
            Err(error) => {
                // SAFETY: the memory was never used, and kept from a reservation of its size.
                unsafe { self.free_memory(lane.heap, memory, size) };
                if is_out_of_memory(error) {
                    Err(AllocateError::from_driver(error, count))
                } else {
                    Err(AllocateError::Map(error))
                }
            }
        }
    }

    /// Makes room in the heap: collects, ends the host's quarantine, and releases its empty blocks.
    /// If there are too many memory objects, releases those of all heaps. Returns whether this may
    /// have helped.
    pub(super) fn release_for(
        &self,
        lane: &Lane,
        error: AllocateError,
        search: &mut Search<'_>,
    ) -> bool {
        let Some(myself) = self.myself.upgrade() else { return false };
        let mut collected = Inner::collect(&myself, Extent::All);
        // A quarantine ends rather than let a request fail.
        if self.guards.is_on() {
            self.end_rests(true, &mut collected);
        }
        let collected = collected.allocations > 0;
        let any_heap = matches!(error, AllocateError::TooManyAllocations { .. });
        let lanes = self.lanes().filter(|other| any_heap || other.heap == lane.heap);
        let released: u64 = lanes
            .map(|lane| {
                let blocks = lane.lock().blocks.remove_empty();
                self.free_blocks(lane, blocks)
            })
            .sum();
        search.tried.set(Tried::COLLECT, collected || search.tried.contains(Tried::COLLECT));
        search.tried.set(Tried::RELEASE, released > 0 || search.tried.contains(Tried::RELEASE));
        if released > 0 {
            self.tell_fallback(lane, search.request.size, search.tried);
        }
        collected || released > 0
    }
}
