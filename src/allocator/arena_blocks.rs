//! The blocks of an arena, and how it allocates: a range in a block, *collect* and retry, a new
//! block, *release* and retry, then an error. It never uses another memory type or a dedicated
//! allocation.

use super::{
    allocate::Granted,
    ask::refused,
    error::{AllocateError, Tried},
    inner::{Inner, Lane, LaneState},
    place::ArenaBlocks,
    plan::Placement,
    request::{Request, Search},
    telling::tell_block,
};
use crate::{
    memory::{Block, Grant, Rank},
    policy::growth::{Held, NextBlock},
    tlsf,
    vulkan::{Dedicate, External, NewMemory, Resource},
};

impl ArenaBlocks {
    /// The largest request that can get a block.
    fn largest(&self, lane: &Lane, device_limit: u64) -> u64 {
        let most = lane.heap_size.min(device_limit);
        // A block is split into whole granules.
        self.block_size.map_or(most, |size| size - size % lane.granule).min(most)
    }

    fn next_block(&self, lane: &Lane, reserved: u64, size: u64) -> NextBlock {
        match self.block_size {
            Some(size) => NextBlock { size, tailored: false },
            None => lane.growth.next_block(Held { all: reserved, own: reserved, below: 0 }, size),
        }
    }
}

impl LaneState {
    /// Counts a block that is about to be allocated, if the arena may have one more.
    fn ask_for_one(&mut self, most: u32) -> bool {
        let may = self.blocks.count() + self.asked < most;
        self.asked += u32::from(may);
        may
    }
}

impl Inner {
    /// Finds memory in an arena. On failure nothing has changed, except that reached memory may
    /// have been collected and empty blocks released.
    pub(super) fn allocate_in_arena(
        &self,
        arena: &ArenaBlocks,
        request: &Request,
    ) -> Result<Granted<'_>, AllocateError> {
        let (lane, mut search) = self.search_arena(arena, request)?;
        if let Some(grant) = self.take_in_arena(lane, &search) {
            return Ok((lane, grant));
        }
        if self.collect_for(lane) {
            search.tried |= Tried::COLLECT;
            if let Some(grant) = self.take_in_arena(lane, &search) {
                return Ok((lane, grant));
            }
        }
        let failure = match self.allocate_in_arena_block(arena, lane, &mut search) {
            Ok(grant) => return Ok((lane, grant)),
            Err(error) if !error.is_out_of_memory() => return Err(error),
            Err(error) => error,
        };
        if request.may_ask() && self.release_for(lane, failure, &mut search) {
            let again = self
                .take_in_arena(lane, &search)
                .map_or_else(|| self.allocate_in_arena_block(arena, lane, &mut search), Ok);
            if let Ok(grant) = again {
                return Ok((lane, grant));
            }
        }
        match self.allocate_anywhere(lane, &search) {
            Some(grant) => Ok((lane, grant)),
            None => Err(match failure {
                AllocateError::OutOfDeviceMemory { .. } => {
                    self.out_of_memory(&search, core::iter::once(arena.lane))
                }
                other => other,
            }),
        }
    }

    /// The arena's lane, if it can hold the request at all.
    fn search_arena<'a, 'b>(
        &'a self,
        arena: &ArenaBlocks,
        request: &'b Request,
    ) -> Result<(&'a Lane, Search<'b>), AllocateError> {
        self.validate(request)?;
        let required = self.choice(&request.question, &mut None).required;
        let type_bits = request.question.type_bits;
        let fits =
            |lane: &&Lane| type_bits >> lane.memory_type & 1 == 1 && lane.flags.contains(required);
        let Some(lane) = self.lane(arena.lane).filter(fits) else {
            return Err(AllocateError::NoMemoryType { type_bits, required });
        };
        if request.dedicate == Dedicate::Require {
            return Err(AllocateError::NeedsDedicated);
        }
        let search = self.search(request)?;
        let limit = arena.largest(lane, self.vulkan.properties().max_allocation_size);
        match search.size > limit {
            true => Err(AllocateError::TooLarge { requested: search.size, limit }),
            false => Ok((lane, search)),
        }
    }

    /// Where a request would go in an arena, up to the first driver call.
    pub(super) fn plan_in_arena<'a, 'b>(
        &'a self,
        arena: &ArenaBlocks,
        request: &'b Request,
    ) -> Result<(&'a Lane, Search<'b>, Placement), AllocateError> {
        let (lane, search) = self.search_arena(arena, request)?;
        let (holds, may_grow, reserved) = {
            let state = lane.lock();
            let holds = state.blocks.holds(request.end(), search.size, search.alignment);
            let may_grow = state.blocks.count() + state.asked < arena.most;
            (holds, may_grow, state.blocks.reserved())
        };
        if holds {
            return Ok((lane, search, Placement::Block));
        }
        let NextBlock { size, .. } = arena.next_block(lane, reserved, search.size);
        match request.may_ask() && may_grow && size <= self.room(lane, request) {
            true => Ok((lane, search, Placement::NewBlock { size })),
            false if self.holds_anywhere(lane, &search) => Ok((lane, search, Placement::Block)),
            false if may_grow => {
                Err(self.planned_refusal(&search, || core::iter::once(arena.lane)))
            }
            false => Err(self.out_of_memory(&search, core::iter::once(arena.lane))),
        }
    }

    /// A range in a block of the arena, according to its policy.
    fn take_in_arena(&self, lane: &Lane, search: &Search<'_>) -> Option<Grant> {
        let mut state = lane.lock();
        let end = search.request.end();
        let grant = state.blocks.allocate_at(end, search.size, search.alignment)?;
        self.settle(&mut state, search.request, search.tenant(), grant)
    }

    fn allocate_in_arena_block(
        &self,
        arena: &ArenaBlocks,
        lane: &Lane,
        search: &mut Search<'_>,
    ) -> Result<Grant, AllocateError> {
        if !search.request.may_ask() {
            return Err(AllocateError::out_of_memory());
        }
        let settled = self.add_arena_block(arena, lane, search, |state, search, slot| {
            let (size, alignment, end) = (search.size, search.alignment, search.request.end());
            let grant = state.blocks.allocate_in(slot, end, size, alignment)?;
            self.settle(state, search.request, search.tenant(), grant)
        })?;
        // An empty block has room, so there is no host memory for the bookkeeping.
        settled.ok_or(AllocateError::OutOfHostMemory)
    }

    /// Allocates a block from the driver, and processes it in its slot before any other thread can
    /// use part of it or release it as empty.
    fn add_arena_block<T>(
        &self,
        arena: &ArenaBlocks,
        lane: &Lane,
        search: &mut Search<'_>,
        first: impl FnOnce(&mut LaneState, &Search<'_>, u32) -> T,
    ) -> Result<T, AllocateError> {
        let (reserved, rank) = {
            let mut state = lane.lock();
            if !state.ask_for_one(arena.most) {
                return Err(AllocateError::out_of_memory());
            }
            let told = search.request.rank.filter(|_| state.blocks.ranked);
            (state.blocks.reserved(), state.blocks.fixed_rank.or(told))
        };
        let NextBlock { size, tailored } = arena.next_block(lane, reserved, search.size);
        let new = NewMemory {
            memory_type: lane.memory_type,
            size,
            dedicated_to: Resource::None,
            priority: rank.map(Rank::priority),
            external: External::None,
        };
        let made = self.allocate_memory(lane, &new, search.request.limit(), &mut search.tried);
        let (memory, mapping) = match made {
            Ok(made) => made,
            Err(error) => {
                lane.lock().asked -= 1;
                return Err(error);
            }
        };
        let sight = self.guard_block(lane, arena.guards, memory, size, mapping);
        let mut state = lane.lock();
        // The block counts as requested until it is in the list; otherwise another thread could
        // take its place in the maximum.
        state.asked -= 1;
        let reserved = state.reserve_block(arena.policy);
        let reserved = reserved.map_err(|_| tlsf::ConfigError::OutOfHostMemory);
        let slot = reserved.and_then(|()| {
            let block = Block::shared(memory, size, mapping);
            let block = block.with_tailored(tailored).with_sight(sight).with_rank(rank);
            state.blocks.insert(block, arena.policy).map_err(|(_, error)| error)
        });
        match slot {
            Ok(slot) => {
                let done = first(&mut state, search, slot);
                drop(state);
                tell_block(lane, size, false);
                Ok(done)
            }
            Err(error) => {
                drop(state);
                // SAFETY: the memory was never used, and kept from a reservation of its size.
                unsafe {
                    self.close_sight(sight);
                    self.free_memory(lane.heap, memory, size);
                }
                Err(refused(error))
            }
        }
    }

    /// Allocates the initial blocks of an arena.
    pub(super) fn prepare_arena(
        &self,
        arena: &ArenaBlocks,
        least: u32,
    ) -> Result<(), AllocateError> {
        let Some(lane) = self.lane(arena.lane) else { return Ok(()) };
        let request = Request::for_a_block();
        let mut search = self.search(&request)?;
        for _ in 0..least {
            self.add_arena_block(arena, lane, &mut search, |_, _, _| ())?;
        }
        Ok(())
    }

    /// The arena's handle is dropped: its lane becomes free once nothing of the arena is left.
    pub(super) fn leave_arena(&self, arena: &ArenaBlocks) {
        let Some(lane) = self.lane(arena.lane) else { return };
        let blocks = {
            let mut state = lane.lock();
            state.claimed = false;
            state.blocks.stay = crate::memory::Stay::NONE;
            state.blocks.remove_empty()
        };
        self.free_blocks(lane, blocks);
    }
}
