//! The allocation algorithm: rank the memory types, find a range in a block, otherwise ask the
//! driver (`ask.rs`).
//!
//! For each memory type, best first, it tries these steps (the *ladder*):
//! 1. a dedicated allocation, if required or preferred by the driver;
//! 2. a range in an existing block;
//! 3. *collect*: free what the GPU has passed meanwhile, then look into the blocks again;
//! 4. a new block;
//! 5. if the driver is out of memory: *release* the heap's empty blocks, look into the blocks and
//!    ask again;
//! 6. *halve* the block size, down to what the request needs, at least 64 KiB;
//! 7. *dedicated*: a dedicated allocation. Not for small requests, because the number of memory
//!    objects of a device is limited.
//!
//! Then it tries the next type, then a walk over all blocks and their free regions. If all fail, it
//! returns an error that lists what was tried. The driver is never called under a lock. Therefore
//! two threads may both allocate a block, and then both blocks stay.

use ash::vk;

use super::{
    choices::Choice,
    error::{AllocateError, Tried},
    inner::{Inner, Lane, LaneState},
    request::{Limit, Question, Request, Search},
    share::Extent,
};
use crate::{
    memory::{Grant, Tenant},
    policy::{intent::wish, select::rank},
    vulkan::Dedicate,
};

/// A grant and the lane it came from.
pub(super) type Granted<'a> = (&'a Lane, Grant);

impl Inner {
    /// The best memory type for a valid request, and what a range in a block of this type needs.
    /// `None` if the request is invalid or not in the cache of choices, which is rare. O(1).
    #[inline(always)]
    pub(super) fn best<'a>(&self, request: &'a Request) -> Option<(&Lane, Search<'a>)> {
        if !self.is_valid(request) {
            return None;
        }
        let choice = self.choices.known(&request.question)?;
        Some((self.lane_of_type(choice.ranking.best())?, self.search(request).ok()?))
    }

    /// The memory types for a question, best first; `spare` is as for
    /// [`Choices::get`](super::choices::Choices::get).
    pub(super) fn choice<'a>(
        &'a self,
        question: &Question,
        spare: &'a mut Option<Choice>,
    ) -> &'a Choice {
        self.choices.get(question, spare, || self.answer(question))
    }

    #[cold]
    pub(super) fn answer(&self, question: &Question) -> Choice {
        let wish = wish(&question.taste, question.gpu, self.shape);
        let types = &self.vulkan.properties().types;
        Choice {
            ranking: rank(types, question.type_bits, &wish, &self.rules),
            required: vk::MemoryPropertyFlags::from_raw(wish.required),
        }
    }

    /// A range in a block of the best memory type, if there is room and the request does not need a
    /// dedicated allocation. This is the common case. O(1), one lock.
    pub(super) fn allocate_at_best(&self, request: &Request) -> Option<Granted<'_>> {
        if request.dedicate != Dedicate::No {
            return None;
        }
        let (lane, search) = self.best(request)?;
        let mut state = lane.lock();
        let grant = state.blocks.allocate(search.size, search.alignment)?;
        Some((lane, self.settle(&mut state, request, search.tenant(), grant)?))
    }

    /// Finds memory for a request. On failure nothing has changed, except that reached memory may
    /// have been collected and empty blocks released.
    ///
    /// O(1) if a block has room; otherwise it makes driver calls, outside all locks.
    pub(super) fn allocate(&self, request: &Request) -> Result<Granted<'_>, AllocateError> {
        if let Some(granted) = self.allocate_at_best(request) {
            return Ok(granted);
        }
        self.validate(request)?;
        let mut spare = None;
        let choice = self.choice(&request.question, &mut spare);
        self.climb(choice, &mut self.search(request)?)
    }

    /// Goes through the ladder, type by type.
    #[cold]
    #[inline(never)]
    fn climb(
        &self,
        choice: &Choice,
        search: &mut Search<'_>,
    ) -> Result<Granted<'_>, AllocateError> {
        let Choice { ranking, required } = choice;
        let request = search.request;
        let mut failure = AllocateError::NoMemoryType {
            type_bits: request.question.type_bits,
            required: *required,
        };
        for (place, memory_type) in ranking.iter().enumerate() {
            let Some(lane) = self.lane(memory_type) else { continue };
            if place > 0 {
                search.tried |= Tried::OTHER_TYPES;
                self.tell_fallback(lane, request.size, search.tried);
            }
            match self.allocate_from(lane, search) {
                Ok(grant) => return Ok((lane, grant)),
                Err(error) if !is_worth_another_type(error) => return Err(error),
                // Keep the out-of-memory error, which says most; otherwise the last error.
                Err(_) if matches!(failure, AllocateError::OutOfDeviceMemory { .. }) => {}
                Err(error) => failure = error,
            }
        }
        if failure.is_out_of_memory() && request.dedicate != Dedicate::Require {
            let anywhere = ranking.iter().find_map(|memory_type| {
                let lane = self.lane(memory_type)?;
                Some((lane, self.allocate_anywhere(lane, search)?))
            });
            if let Some(granted) = anywhere {
                return Ok(granted);
            }
        }
        match failure {
            AllocateError::OutOfDeviceMemory { .. } => {
                Err(self.out_of_memory(search, ranking.iter()))
            }
            other => Err(other),
        }
    }

    #[inline(always)]
    pub(super) fn search<'a>(&self, request: &'a Request) -> Result<Search<'a>, AllocateError> {
        let granularity = self.vulkan.properties().buffer_image_granularity;
        Search::new(request, granularity).ok_or(AllocateError::TooLarge {
            requested: request.size,
            limit: u64::MAX - granularity,
        })
    }

    /// Whether a request can be granted at all. If not, `validate` returns why.
    #[inline(always)]
    fn is_valid(&self, request: &Request) -> bool {
        let fits = request.size.wrapping_sub(1) < self.largest_request;
        fits && request.alignment.is_power_of_two() && self.is_granting()
    }

    pub(super) fn validate(&self, request: &Request) -> Result<(), AllocateError> {
        if self.is_valid(request) {
            return Ok(());
        }
        self.check_open()?;
        if request.size == 0 {
            return Err(AllocateError::ZeroSize);
        }
        if !request.alignment.is_power_of_two() {
            return Err(AllocateError::Alignment { alignment: request.alignment });
        }
        Err(AllocateError::TooLarge { requested: request.size, limit: self.largest_request })
    }

    /// The ladder for one type.
    fn allocate_from(&self, lane: &Lane, search: &mut Search<'_>) -> Result<Grant, AllocateError> {
        let request = search.request;
        let required = request.dedicate == Dedicate::Require;
        if request.may_ask() && (required || self.prefers_dedicated(lane, search)) {
            let done = self.allocate_dedicated_or_release(lane, search);
            match done {
                Err(error) if !required && error.is_out_of_memory() => {}
                done => return done,
            }
        }
        if required {
            return Err(AllocateError::out_of_memory());
        }
        if let Some(grant) = self.allocate_in_blocks(lane, search) {
            return Ok(grant);
        }
        // Before asking the driver for more: free what the GPU has passed meanwhile.
        if self.collect_for(lane) {
            search.tried |= Tried::COLLECT;
            if let Some(grant) = self.allocate_in_blocks(lane, search) {
                return Ok(grant);
            }
        }
        if !request.may_ask() {
            return Err(AllocateError::out_of_memory());
        }
        match self.allocate_in_new_block(lane, search) {
            Err(error)
                if error.is_out_of_memory() && lane.growth.may_be_dedicated(request.size) =>
            {
                search.tried |= Tried::DEDICATED;
                self.allocate_dedicated(lane, search)
            }
            done => done,
        }
    }

    /// Whether a dedicated allocation comes before a range in a block.
    pub(super) fn prefers_dedicated(&self, lane: &Lane, search: &Search<'_>) -> bool {
        search.request.dedicate == Dedicate::Prefer
            && search.size >= lane.growth.first / 4
            && !self.heaps.memories_are_scarce()
    }

    pub(super) fn allocate_in_blocks(&self, lane: &Lane, search: &Search<'_>) -> Option<Grant> {
        let mut state = lane.lock();
        let grant = state.blocks.allocate(search.size, search.alignment)?;
        self.settle(&mut state, search.request, search.tenant(), grant)
    }

    /// Finds a range that the constant-time search cannot find. O(blocks and free regions).
    pub(super) fn allocate_anywhere(&self, lane: &Lane, search: &Search<'_>) -> Option<Grant> {
        let mut state = lane.lock();
        let grant = state.blocks.allocate_anywhere(search.size, search.alignment)?;
        self.settle(&mut state, search.request, search.tenant(), grant)
    }

    /// Puts a granted range into use and stores its tenant. If the host has no memory to store it,
    /// the range is free again.
    #[inline(always)]
    pub(super) fn settle(
        &self,
        state: &mut LaneState,
        request: &Request,
        tenant: Option<Tenant>,
        grant: Grant,
    ) -> Option<Grant> {
        let grant = self.move_in(state, tenant, grant)?;
        state.record_grant(grant.entry, request);
        Some(grant)
    }

    /// Like [`settle`](Self::settle), without recording it.
    #[inline(always)]
    pub(super) fn move_in(
        &self,
        state: &mut LaneState,
        tenant: Option<Tenant>,
        mut grant: Grant,
    ) -> Option<Grant> {
        if let Some(tenant) = tenant {
            (grant.offset, grant.size) = tenant.fence.inside(grant.offset, grant.size);
            state.blocks.move_in(grant.entry, tenant).ok()?;
        }
        if grant.first {
            self.keep(state, grant.entry.slot);
        }
        Some(grant)
    }

    /// The block is no longer empty, so it now holds a reference to the allocator.
    #[cold]
    pub(super) fn keep(&self, state: &mut LaneState, slot: u32) {
        // The caller holds a reference to the allocator, so the upgrade succeeds.
        if let Some(myself) = self.myself.upgrade() {
            state.keep(slot, myself);
        }
    }

    /// Collects if anything of this memory type may have been reached. Returns whether something
    /// was.
    pub(super) fn collect_for(&self, lane: &Lane) -> bool {
        let waits = !lane.lock().bags.is_empty();
        let myself = self.myself.upgrade();
        waits && myself.is_some_and(|myself| Inner::collect(&myself, Extent::All).allocations > 0)
    }

    pub(super) fn out_of_memory(
        &self,
        search: &Search<'_>,
        types: impl Iterator<Item = u32>,
    ) -> AllocateError {
        let (mut largest_free, mut pending) = (0, 0);
        let (mut best, mut cut) = (None, None);
        for lane in types.filter_map(|memory_type| self.lane(memory_type)) {
            best = best.or(Some(lane.heap));
            let cuts =
                [Self::earliest_cut(lane, search.size), self.earliest_scrub(lane, search.size)];
            cut = cut.into_iter().chain(cuts.into_iter().flatten()).min();
            let state = lane.lock();
            for (_, block) in state.blocks.iter() {
                largest_free = largest_free.max(block.largest_free());
                let [_, (bytes, _)] = block.usage();
                pending += bytes;
            }
        }
        let heap = best.unwrap_or(0);
        AllocateError::OutOfDeviceMemory {
            requested: search.request.size,
            largest_free,
            pending,
            cut,
            heap,
            left: self.left(heap, Limit::Budget),
            tried: search.tried,
        }
    }
}

fn is_worth_another_type(error: AllocateError) -> bool {
    error.is_out_of_memory()
        || matches!(error, AllocateError::Map(_) | AllocateError::TooLarge { .. })
}
