//! The blocks of one memory type or arena, in slots whose numbers do not change.

use std::{
    collections::{TryReserveError, VecDeque},
    sync::Arc,
};

use super::{
    areas::Areas,
    block::{Block, Space, View},
    counters::Counters,
    fit_index::FitIndex,
    grant::Entry,
    line::{ArenaPolicy, Line},
    plate::{Plates, Whose},
    rank::Rank,
    tenants::{Tenant, Tenants},
};
use crate::{
    tlsf::{ConfigError, Key, KeyError, Region, State},
    vulkan::Resource,
};

mod books;
mod check;
mod closed;
mod empty;
mod ends;
mod place;
mod ranks;
mod search;
mod take_over;
#[cfg(test)]
mod tests;

pub(crate) use empty::Stay;

/// The contents of a slot.
#[expect(clippy::large_enum_variant, reason = "few slots, and nearly all of them hold a block")]
#[derive(Debug)]
enum Slot {
    /// Nothing. The next block in it starts with this serial.
    Vacant(u32),
    Block(Block),
}

/// All blocks of one memory type or arena.
#[derive(Debug)]
pub(crate) struct BlockList {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    /// The slots of empty blocks, in the order in which they became so.
    empty: Vec<u32>,
    /// The blocks that TLSF splits, except tailored ones.
    shared: Areas,
    tailored: Areas,
    /// The lines, indexed by their room.
    lines: FitIndex,
    granule: u64,
    /// The size from which on requests also search tailored blocks.
    large: u64,
    pub(crate) stay: Stay,
    /// Whether a block has the highest rank of the allocations in it.
    pub(crate) ranked: bool,
    /// The rank of all blocks, whatever the ranks of their allocations.
    pub(crate) fixed_rank: Option<Rank>,
    /// The number of live allocations with an explicit rank.
    told: u32,
    /// The slots of blocks whose rank may differ from what the driver was told.
    restless: VecDeque<u32>,
    counters: Arc<Counters>,
    /// Whether there is or was an allocation with a resource.
    houses: bool,
    /// The owner of the blocks. Set before there are any.
    pub(crate) whose: Whose,
    /// The plates of the next block.
    plates: Plates,
}

impl BlockList {
    /// Creates a list without blocks, with this granule in bytes. Requests of at least `large`
    /// bytes search tailored blocks first.
    pub(crate) fn new(granule: u64, large: u64, stay: Stay) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            empty: Vec::new(),
            shared: Areas::new(granule),
            tailored: Areas::new(granule),
            lines: FitIndex::default(),
            granule,
            large,
            stay,
            ranked: false,
            fixed_rank: None,
            told: 0,
            restless: VecDeque::new(),
            counters: Arc::default(),
            houses: false,
            whose: Whose::default(),
            plates: Plates::default(),
        }
    }

    /// Notes the tenant of a granted region. If the host has no memory for that, the region is
    /// freed again. O(1) amortised.
    pub(crate) fn move_in(&mut self, entry: Entry, tenant: Tenant) -> Result<(), TryReserveError> {
        let known = self.tenants_mut(entry.slot).map(|tenants| tenants.set(entry.key, tenant));
        if let Some(Err(error)) = known {
            let freed = self.free(entry);
            debug_assert!(matches!(freed, Some(Ok(_))), "{freed:?}");
            self.counters.withdraw();
            return Err(error);
        }
        self.houses |= tenant.resource != Resource::None;
        if let Some(rank) = tenant.rank {
            self.enter(entry.slot, rank);
        }
        Ok(())
    }

    /// Ensures that the next [`insert`](Self::insert) under a policy, and all later changes of its
    /// block, need no more memory in the lists of blocks. What TLSF needs is reserved when the
    /// block is inserted. O(1) amortised.
    pub(crate) fn reserve(&mut self, policy: ArenaPolicy) -> Result<(), TryReserveError> {
        let slots = self.slots.len() + usize::from(self.vacant.is_empty());
        self.slots.try_reserve(slots - self.slots.len())?;
        for slots_of in [&mut self.vacant, &mut self.empty] {
            slots_of.try_reserve(slots - slots_of.len())?;
        }
        self.restless.try_reserve(slots - self.restless.len())?;
        self.plates.reserve()?;
        match policy {
            ArenaPolicy::Tlsf => Ok(()),
            ArenaPolicy::Ring | ArenaPolicy::DoubleStack => self.lines.reserve(slots),
        }
    }

    /// Adds an empty block. Unless it is dedicated, it is split according to the policy. O(1)
    /// amortised, except for the place of a block that TLSF splits, which is searched among all.
    /// The block is returned if there is no place for it, or no memory for the bookkeeping.
    #[expect(
        clippy::result_large_err,
        reason = "the block comes back, and there is no memory to box it"
    )]
    pub(crate) fn insert(
        &mut self,
        mut block: Block,
        policy: ArenaPolicy,
    ) -> Result<u32, (Block, ConfigError)> {
        let (slot, serial) = match self.vacant.last() {
            None => (self.slots.len() as u32, 1),
            Some(&slot) => match self.slots.get(slot as usize) {
                Some(Slot::Vacant(serial)) => (slot, *serial),
                _ => unreachable!("a vacant slot holds no block"),
            },
        };
        let line = |is_ring| Space::Line(Line::new(is_ring, block.size, self.granule, serial));
        let space = match policy {
            _ if block.is_dedicated() => Space::None,
            ArenaPolicy::Ring => line(true),
            ArenaPolicy::DoubleStack => line(false),
            ArenaPolicy::Tlsf => {
                let areas = if block.tailored { &mut self.tailored } else { &mut self.shared };
                match areas.add(slot, block.size, serial) {
                    Ok(plot) => Space::Plot(plot),
                    Err(error) => return Err((block, error)),
                }
            }
        };
        block.split(space, serial);
        let mut plates = core::mem::take(&mut self.plates);
        plates.fill(&self.whose, slot, (block.memory, block.size, block.mapping));
        block.plates = plates;
        self.counters.reserved.add(block.size);
        self.counters.blocks.add(1);
        self.empty.push(slot);
        let line = block.largest_of_line();
        self.tell_room(block.tailored);
        if self.vacant.pop().is_some() {
            self.slots[slot as usize] = Slot::Block(block);
        } else {
            self.slots.push(Slot::Block(block));
        }
        self.note_line(slot, 0, line);
        Ok(slot)
    }

    /// Takes all free regions of a block, so that nobody else gets them: Free → Pending. Returns
    /// the keys, and whether the block was empty before. Returns `None`, and changes nothing, if
    /// the host has no memory for them. O(regions).
    pub(crate) fn hold(&mut self, slot: u32) -> Option<(Vec<Key>, bool)> {
        let Self { slots, shared, tailored, counters, .. } = self;
        let Slot::Block(block) = slots.get_mut(slot as usize)? else { return None };
        let (was_empty, line) = (block.is_empty(), block.largest_of_line());
        let areas = if block.tailored { tailored } else { shared };
        let keys = match &mut block.space {
            Space::Plot(plot) => areas.hold(plot)?,
            Space::Line(line) => line.hold()?,
            Space::Dedicated(_) | Space::None => Vec::new(),
        };
        if block.is_split() {
            block.taken += keys.len() as u32;
            block.pending += keys.len() as u32;
        }
        let (is_tailored, now) = (block.tailored, block.largest_of_line());
        let view = View { block, areas };
        let bytes = keys.iter().map(|&key| view.size_of(key)).sum();
        counters.wait(bytes, keys.len() as u64);
        let first = was_empty && !keys.is_empty();
        if first {
            self.unlist(slot);
        }
        self.note_line(slot, line, now);
        self.tell_room(is_tailored);
        Some((keys, first))
    }

    /// Used → Pending. O(1).
    #[inline(always)]
    pub(crate) fn retire(&mut self, entry: Entry) -> Result<u64, KeyError> {
        let Self { slots, shared, tailored, .. } = self;
        let Some(Slot::Block(block)) = slots.get_mut(entry.slot as usize) else {
            return Err(KeyError::Stale);
        };
        let size = match &block.space {
            Space::Plot(plot) => {
                let areas = if block.tailored { tailored } else { shared };
                let size = areas.retire(entry.key, plot)?;
                block.pending += 1;
                size
            }
            _ => block.turn_unsplit(entry.key, State::Used, State::Pending)?,
        };
        self.counters.retire(size);
        if self.told > 0 {
            self.leave(entry);
        }
        Ok(size)
    }

    /// A used region, and its block. O(1).
    pub(crate) fn used(&self, entry: Entry) -> Result<(Region, View<'_>), KeyError> {
        let block = self.block(entry.slot).ok_or(KeyError::Stale)?;
        Ok((block.used(entry.key)?, block))
    }

    /// A region that is used or pending. O(1).
    pub(crate) fn region(&self, entry: Entry) -> Option<Region> {
        self.block(entry.slot)?.region(entry.key)
    }

    /// The bytes of a region, used or pending.
    pub(crate) fn pending_size(&self, entry: Entry) -> u64 {
        self.block(entry.slot).map_or(0, |block| block.size_of(entry.key))
    }

    pub(crate) fn tenant(&self, entry: Entry) -> Tenant {
        self.block(entry.slot).map_or_else(Tenant::default, |block| block.tenant(entry.key))
    }

    /// The tenants in the block of a slot, together with those of blocks that are split with it.
    #[inline]
    fn tenants_mut(&mut self, slot: u32) -> Option<&mut Tenants> {
        let Self { slots, shared, tailored, .. } = self;
        match slots.get_mut(slot as usize)? {
            Slot::Block(block) => Some(match (block.is_split(), block.tailored) {
                (false, _) => &mut block.tenants,
                (true, true) => &mut tailored.tenants,
                (true, false) => &mut shared.tenants,
            }),
            Slot::Vacant(_) => None,
        }
    }

    /// Notes that the margins of a region now contain the pattern.
    pub(crate) fn close_fence(&mut self, entry: Entry) {
        if let Some(tenants) = self.tenants_mut(entry.slot) {
            tenants.close_fence(entry.key);
        }
    }

    /// Removes the resource from a region. The caller destroys it.
    pub(crate) fn take_resource(&mut self, entry: Entry) -> Resource {
        self.tenants_mut(entry.slot)
            .map_or(Resource::None, |tenants| tenants.take_resource(entry.key))
    }

    /// As [`take_resource`](Self::take_resource) for many regions. Does nothing if there has never
    /// been a resource.
    pub(crate) fn take_resources(&mut self, entries: &[Entry], out: &mut Vec<Resource>) {
        if self.houses {
            let taken = entries.iter().map(|&entry| self.take_resource(entry));
            out.extend(taken.filter(|&resource| resource != Resource::None));
        }
    }

    /// The slots of empty blocks, in the order in which they became so.
    pub(crate) fn empty(&self) -> &[u32] {
        &self.empty
    }

    /// Whether there is or was an allocation with a resource.
    pub(crate) fn houses(&self) -> bool {
        self.houses
    }

    /// The block of a slot, together with what it shares with other blocks.
    #[inline]
    pub(crate) fn block(&self, slot: u32) -> Option<View<'_>> {
        match self.slots.get(slot as usize)? {
            Slot::Block(block) => Some(self.view(block)),
            Slot::Vacant(_) => None,
        }
    }

    #[inline]
    fn view<'a>(&'a self, block: &'a Block) -> View<'a> {
        View { block, areas: if block.tailored { &self.tailored } else { &self.shared } }
    }

    #[inline]
    pub(crate) fn block_mut(&mut self, slot: u32) -> Option<&mut Block> {
        match self.slots.get_mut(slot as usize)? {
            Slot::Block(block) => Some(block),
            Slot::Vacant(_) => None,
        }
    }

    /// The number of slots, including vacant ones.
    pub(crate) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// All blocks with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, View<'_>)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(slot, content)| match content {
            Slot::Block(block) => Some((slot as u32, self.view(block))),
            Slot::Vacant(_) => None,
        })
    }

    /// The device memory that is held, in bytes.
    pub(crate) fn reserved(&self) -> u64 {
        self.counters.reserved.get()
    }

    /// The number of regions that are used or pending.
    pub(crate) fn taken(&self) -> u64 {
        self.counters.live_count.get() + self.counters.pending_count.get()
    }

    /// The number of blocks.
    pub(crate) fn count(&self) -> u32 {
        self.counters.blocks.get() as u32
    }

    /// The counters, which can be read without the lock.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}
