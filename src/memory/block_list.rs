//! The blocks of one memory type, in slots that keep their numbers.

use std::{
    collections::{TryReserveError, VecDeque},
    sync::Arc,
};

use smallvec::SmallVec;

use super::{
    block::{Block, Change},
    counters::Counters,
    fit_index::{FitIndex, class_of_room, is_one_class},
    grant::{Entry, Grant, Heritage},
    rank::Rank,
    tenants::Tenant,
};
use crate::{
    tlsf::{KeyError, Region, TakenOver},
    vulkan::Resource,
};

mod check;
mod closed;
mod empty;
mod ends;
mod place;
mod ranks;
mod search;
#[cfg(test)]
mod tests;

pub(crate) use empty::Stay;

/// All blocks of one memory type or arena.
#[derive(Debug)]
pub(crate) struct BlockList {
    /// By slot; some are [vacant](Block::vacant). No flag of theirs is read on the way to a block: no key fits a
    /// vacant one, and the index never tells it.
    slots: Vec<Block>,
    vacant: Vec<u32>,
    /// The slots of empty blocks, in the order in which they became so.
    empty: Vec<u32>,
    shared: FitIndex,
    tailored: FitIndex,
    /// The size from which on requests look into tailored blocks.
    large: u64,
    pub(crate) stay: Stay,
    /// Blocks have the rank of the most important who lives there.
    pub(crate) ranked: bool,
    /// The rank of all blocks, whoever lives there.
    pub(crate) fixed_rank: Option<Rank>,
    /// The live allocations that a rank was told of.
    told: u32,
    /// The slots of blocks whose rank may not be what the driver was told.
    restless: VecDeque<u32>,
    counters: Arc<Counters>,
    /// A resource lives here, or did.
    houses: bool,
    /// Blocks tried so far.
    #[cfg(test)]
    tried: u32,
}

impl BlockList {
    /// No blocks. Requests of `large` bytes and more look into tailored blocks first.
    pub(crate) fn new(large: u64, stay: Stay) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            empty: Vec::new(),
            shared: FitIndex::default(),
            tailored: FitIndex::default(),
            large,
            stay,
            ranked: false,
            fixed_rank: None,
            told: 0,
            restless: VecDeque::new(),
            counters: Arc::default(),
            houses: false,
            #[cfg(test)]
            tried: 0,
        }
    }

    /// A tenant moves into a granted region. O(1) amortised.
    pub(crate) fn move_in(&mut self, entry: Entry, tenant: Tenant) {
        self.houses |= tenant.resource != Resource::None;
        if let Some(block) = self.block_mut(entry.slot) {
            block.tenants.set(entry.key, tenant);
        }
        if let Some(rank) = tenant.rank {
            self.enter(entry.slot, rank);
        }
    }

    /// Makes sure that the next [`insert`](Self::insert), and all that becomes of its block in these books, needs
    /// no more memory. O(1) amortised.
    pub(crate) fn reserve(&mut self) -> Result<(), TryReserveError> {
        let slots = self.slots.len() + usize::from(self.vacant.is_empty());
        self.slots.try_reserve(slots - self.slots.len())?;
        for slots_of in [&mut self.vacant, &mut self.empty] {
            slots_of.try_reserve(slots - slots_of.len())?;
        }
        self.restless.try_reserve(slots - self.restless.len())?;
        self.shared.reserve(slots)?;
        self.tailored.reserve(slots)
    }

    /// Adds the block that `make` builds, given the serial to continue at. O(1) amortised.
    pub(crate) fn insert<E>(
        &mut self,
        make: impl FnOnce(u32) -> Result<Block, E>,
    ) -> Result<u32, E> {
        let next = || (self.slots.len() as u32, 1);
        let (slot, serial) = self
            .vacant
            .last()
            .map_or_else(next, |&slot| (slot, self.slots[slot as usize].next_serial()));
        let block = make(serial)?;
        let (tailored, room) = (block.tailored, block.room);
        self.counters.reserved.add(block.size);
        self.counters.blocks.add(1);
        self.empty.push(slot);
        match self.vacant.pop() {
            Some(_) => self.slots[slot as usize] = block,
            None => self.slots.push(block),
        }
        self.index(slot, tailored, 0, room);
        Ok(slot)
    }

    /// Takes all that is free in a block, so that nobody gets it meanwhile: Free → Pending. Returns
    /// whether the block was empty before. O(free regions).
    pub(crate) fn hold(&mut self, slot: u32) -> (Vec<Entry>, bool) {
        let Some(block) = self.block_mut(slot) else { return (Vec::new(), false) };
        let (keys, change) = block.hold();
        let bytes = keys.iter().map(|&key| block.size_of(key)).sum();
        self.note(slot, change);
        self.counters.wait(bytes, keys.len() as u64);
        (keys.into_iter().map(|key| Entry { slot, key }).collect(), change.turned)
    }

    /// Used → Pending. O(1).
    #[inline(always)]
    pub(crate) fn retire(&mut self, entry: Entry) -> Result<u64, KeyError> {
        let size = self.block_mut(entry.slot).ok_or(KeyError::Stale)?.retire(entry.key)?;
        self.counters.retire(size);
        if self.told > 0 {
            self.leave(entry);
        }
        Ok(size)
    }

    /// Pending → Used by another tenant, for neighbours that together hold the request, in their order. The
    /// old ones' resources come out, for their own end; what is left of the last stays pending and keeps
    /// the name. O(entries).
    pub(crate) fn take_over(
        &mut self,
        entries: &[Entry],
        size: u64,
        alignment: u64,
    ) -> Option<Heritage> {
        let (&[Entry { slot, key }, ref behind @ ..], &[.., Entry { key: last, .. }]) =
            (entries, entries)
        else {
            return None;
        };
        let block = self.block_mut(slot)?;
        let old = block.tenants.get(last);
        let mut resources = SmallVec::new();
        for entry in behind {
            block.join(key, entry.key)?;
            resources.push(block.tenants.take_resource(entry.key));
        }
        let held = block.size_of(key);
        let TakenOver { taken, rest } = block.take_over(key, size, alignment)?;
        resources.push(block.tenants.take_resource(key));
        if let Some(rest) = rest.filter(|_| old != Tenant::default()) {
            block.tenants.set(rest.key, Tenant { resource: Resource::None, ..old });
        }
        let grant = Grant {
            entry: Entry { slot, key: taken.key },
            memory: block.memory,
            offset: taken.offset,
            size: taken.size,
            // The GPU may still be busy there, so the host is kept out.
            mapping: None,
            block_size: 0,
            first: false,
        };
        self.counters.reach(held, entries.len() as u64);
        self.counters.grant(taken.size);
        if let Some(rest) = rest {
            self.counters.wait(rest.size, 1);
        }
        let rest = rest.map(|rest| Entry { slot, key: rest.key });
        Some(Heritage { grant, rest, resources })
    }

    /// A used region and its block. O(1).
    pub(crate) fn used(&self, entry: Entry) -> Result<(Region, &Block), KeyError> {
        let block = self.block(entry.slot).ok_or(KeyError::Stale)?;
        Ok((block.used(entry.key)?, block))
    }

    /// The bytes of a region, retired or used.
    pub(crate) fn pending_size(&self, entry: Entry) -> u64 {
        self.block(entry.slot).map_or(0, |block| block.size_of(entry.key))
    }

    pub(crate) fn tenant(&self, entry: Entry) -> Tenant {
        self.block(entry.slot).map_or_else(Tenant::default, |block| block.tenants.get(entry.key))
    }

    /// Takes the resource off a region: the caller destroys it.
    pub(crate) fn take_resource(&mut self, entry: Entry) -> Resource {
        self.block_mut(entry.slot)
            .map_or(Resource::None, |block| block.tenants.take_resource(entry.key))
    }

    /// [`take_resource`](Self::take_resource) for many; nothing is looked at where none ever lived.
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

    /// Whether a resource lives here, or did.
    pub(crate) fn houses(&self) -> bool {
        self.houses
    }

    /// Writes down that the block of a slot has changed. Nearly always that is nothing.
    #[inline(always)]
    fn note(&mut self, slot: u32, Change { before, now, turned }: Change) {
        if !is_one_class(before, now) {
            self.note_room(slot, before, now);
        }
        if turned {
            self.note_turn(slot);
        }
    }

    /// Tells the index how much room a block had and has. A closed one is in no index.
    #[inline(never)]
    fn note_room(&mut self, slot: u32, before: u32, now: u32) {
        if let Some(&Block { tailored, closed: false, .. }) = self.slots.get(slot as usize) {
            self.index(slot, tailored, before, now);
        }
    }

    /// [`note_room`](Self::note_room), of the index of these blocks.
    #[inline(always)]
    fn index(&mut self, slot: u32, tailored: bool, before: u32, now: u32) {
        let (index, present) = match tailored {
            false => (&mut self.shared, &self.counters.shared),
            true => (&mut self.tailored, &self.counters.tailored),
        };
        index.change(present, slot, class_of_room(before), class_of_room(now));
    }

    /// A block became empty, or is so no more.
    #[cold]
    #[inline(never)]
    fn note_turn(&mut self, slot: u32) {
        match self.block(slot).is_some_and(Block::is_empty) {
            true => self.empty.push(slot),
            false => self.empty.retain(|&empty| empty != slot),
        }
    }

    #[inline]
    pub(crate) fn block(&self, slot: u32) -> Option<&Block> {
        self.slots.get(slot as usize).filter(|block| !block.vacant)
    }

    #[inline]
    pub(crate) fn block_mut(&mut self, slot: u32) -> Option<&mut Block> {
        self.slots.get_mut(slot as usize).filter(|block| !block.vacant)
    }

    /// How many slots there are, vacant ones among them.
    pub(crate) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// All blocks with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Block)> {
        (0..).zip(&self.slots).filter(|(_, block)| !block.vacant)
    }

    /// Bytes of device memory held.
    pub(crate) fn reserved(&self) -> u64 {
        self.counters.reserved.get()
    }

    /// How many blocks there are.
    pub(crate) fn count(&self) -> u32 {
        self.counters.blocks.get() as u32
    }

    /// What it counts: to be read without the lock.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}
