//! The blocks of one memory type, in slots that keep their numbers.

use std::{collections::VecDeque, sync::Arc};

use ash::vk;

use super::{
    block::{Block, Broken},
    counters::Counters,
    fit_index::{FitIndex, class_of, class_of_room},
    line::End,
    rank::Rank,
    tenants::Tenant,
};
use crate::{
    tlsf::{Key, KeyError, Placed, Region, TakenOver},
    vulkan::{Mapping, Resource},
};

mod ranks;
mod search;
#[cfg(test)]
mod tests;

use search::Search;

/// A retired allocation on its way: which slot, which region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Entry {
    pub(crate) slot: u32,
    pub(crate) key: Key,
}

impl Entry {
    /// What stands in a bag for an entry that another owner took over: of no block.
    pub(crate) fn gone(self) -> Self {
        Self { slot: u32::MAX, ..self }
    }

    pub(crate) fn is_gone(self) -> bool {
        self.slot == u32::MAX
    }
}

/// A granted range: the whole region, until a tenant with margins moves in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) entry: Entry,
    pub(crate) memory: vk::DeviceMemory,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// Where the block is mapped, and how large it is.
    pub(crate) mapping: Option<Mapping>,
    /// 0 keeps the host out of the range.
    pub(crate) block_size: u64,
    /// The block was empty before: it holds the allocator alive from now on.
    pub(crate) first: bool,
}

/// A range that was found in a block.
#[derive(Clone, Copy)]
struct Found {
    placed: Placed,
    slot: u32,
    /// The block was empty before.
    first: bool,
}

/// What becomes of a pending range that another tenant takes over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heritage {
    pub(crate) grant: Grant,
    /// What is left of it, pending as it was.
    pub(crate) rest: Option<Entry>,
    /// The old tenant's, to be destroyed when the GPU is done with it.
    pub(crate) resource: Resource,
}

/// Which blocks stay though they are empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stay {
    /// No block goes while there are no more than this.
    pub(crate) least: u32,
    /// One empty shared block of at most so many bytes stays until memory is short, so that a
    /// program that empties itself and comes back does not call the driver.
    pub(crate) spare: u64,
    /// How many collects any other waits for a new use.
    pub(crate) linger: u64,
}

impl Stay {
    /// Every block goes when it is empty.
    pub(crate) const NONE: Self = Self { least: 0, spare: 0, linger: 0 };

    /// Empty blocks linger for some collects, one of at most `spare` bytes for good.
    pub(crate) const fn lingering(linger: u64, spare: u64) -> Self {
        Self { least: 0, spare, linger }
    }
}

/// What a slot holds.
#[expect(clippy::large_enum_variant, reason = "few slots, and nearly all of them hold a block")]
#[derive(Debug)]
enum Slot {
    /// Nothing; the next block continues at this serial.
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
            #[cfg(test)]
            tried: 0,
        }
    }

    /// A range in the block with the least room that is enough, so that the emptier ones become
    /// empty. O(1): the number of blocks tried is bounded, however many there are. Where an
    /// alignment asks for padding, a range may go unseen that
    /// [`allocate_anywhere`](Self::allocate_anywhere) finds.
    #[inline(always)]
    pub(crate) fn allocate(&mut self, size: u64, alignment: u64) -> Option<Grant> {
        let found = self.place(size, alignment)?;
        self.grant(found)
    }

    /// [`allocate`](Self::allocate), at an end of a block where there are two. O(1).
    pub(crate) fn allocate_at(&mut self, end: End, size: u64, alignment: u64) -> Option<Grant> {
        let found = self.place_further(end, Search::new(self, size, alignment))?;
        self.grant(found)
    }

    /// A range, and in which block. Nearly always the first shared
    /// block that may have room has some: that much is inlined.
    #[inline(always)]
    fn place(&mut self, size: u64, alignment: u64) -> Option<Found> {
        if size >= self.large {
            return self.place_further(End::Lower, Search::new(self, size, alignment));
        }
        let Self { slots, shared, tailored, empty, counters, .. } = self;
        let (slot, found) = shared.tightest(&counters.shared, class_of(size).max(1))?;
        #[cfg(test)]
        {
            self.tried += 1;
        }
        let Some(Slot::Block(block)) = slots.get_mut(slot as usize) else { return None };
        let first = block.is_empty();
        match block.allocate(size, alignment) {
            Some(placed) => {
                counters.grant(placed.size);
                if block.room != block.noted {
                    note_room(slot, block, [shared, tailored], counters);
                }
                if first {
                    empty.retain(|&empty| empty != slot);
                }
                Some(Found { placed, slot, first })
            }
            None => self.place_further(End::Lower, Search::after_one(size, alignment, found)),
        }
    }

    /// [`place`](Self::place), in the blocks that a search comes to.
    #[cold]
    #[inline(never)]
    fn place_further(&mut self, end: End, mut search: Search) -> Option<Found> {
        let (size, alignment) = (search.size, search.alignment);
        while let Some(slot) = search.next(self) {
            let found = self.place_in(slot, |block| block.allocate_at(end, size, alignment));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Whether [`allocate`](Self::allocate) would find a range. O(1).
    pub(crate) fn holds(&self, size: u64, alignment: u64) -> bool {
        let mut search = Search::new(self, size, alignment);
        let mut slots = core::iter::from_fn(|| search.next(self));
        slots.any(|slot| self.block(slot).is_some_and(|block| block.holds(size, alignment)))
    }

    /// A range in any shared block that has one, in whichever free region. O(blocks and free regions): for
    /// the way out of a failure.
    pub(crate) fn allocate_anywhere(&mut self, size: u64, alignment: u64) -> Option<Grant> {
        let place = |block: &mut Block| block.allocate_anywhere(size, alignment);
        let found = (0..self.slots()).find_map(|slot| self.place_in(slot, place))?;
        self.grant(found)
    }

    /// A range in the block of this slot. O(1).
    pub(crate) fn allocate_in(
        &mut self,
        slot: u32,
        end: End,
        size: u64,
        alignment: u64,
    ) -> Option<Grant> {
        let place = |block: &mut Block| block.allocate_at(end, size, alignment);
        let found = self.place_in(slot, place)?;
        self.grant(found)
    }

    /// What `place` finds in the block of this slot.
    fn place_in(
        &mut self,
        slot: u32,
        place: impl FnOnce(&mut Block) -> Option<Placed>,
    ) -> Option<Found> {
        #[cfg(test)]
        {
            self.tried += 1;
        }
        let block = self.block_mut(slot)?;
        let first = block.is_empty();
        let placed = place(block)?;
        self.counters.grant(placed.size);
        self.note_room(slot);
        if first {
            self.empty.retain(|&empty| empty != slot);
        }
        Some(Found { placed, slot, first })
    }

    /// All that is to be known of a range that was found.
    #[inline(always)]
    fn grant(&self, found: Found) -> Option<Grant> {
        let Found { placed, slot, first } = found;
        let block = self.block(slot)?;
        Some(Grant {
            entry: Entry { slot, key: placed.key },
            memory: block.memory,
            offset: placed.offset,
            size: placed.size,
            mapping: block.mapping,
            block_size: block.size,
            first,
        })
    }

    /// A tenant moves into a granted region. O(1) amortised.
    pub(crate) fn move_in(&mut self, entry: Entry, tenant: Tenant) {
        if let Some(block) = self.block_mut(entry.slot) {
            block.tenants.set(entry.key, tenant);
        }
        if let Some(rank) = tenant.rank {
            self.enter(entry.slot, rank);
        }
    }

    /// Adds the block that `make` builds, given the serial to continue at. O(1) amortised.
    pub(crate) fn insert<E>(
        &mut self,
        make: impl FnOnce(u32) -> Result<Block, E>,
    ) -> Result<u32, E> {
        let (slot, serial) = match self.vacant.last() {
            None => (self.slots.len() as u32, 1),
            Some(&slot) => match self.slots.get(slot as usize) {
                Some(Slot::Vacant(serial)) => (slot, *serial),
                _ => unreachable!("a vacant slot holds no block"),
            },
        };
        let block = make(serial)?;
        self.counters.reserved.add(block.size);
        self.counters.blocks.add(1);
        self.empty.push(slot);
        if self.vacant.pop().is_some() {
            self.slots[slot as usize] = Slot::Block(block);
        } else {
            self.slots.push(Slot::Block(block));
        }
        self.note_room(slot);
        Ok(slot)
    }

    /// Tells the index how much room a block has, if that has changed.
    fn note_room(&mut self, slot: u32) {
        let Self { slots, shared, tailored, counters, .. } = self;
        if let Some(Slot::Block(block)) = slots.get_mut(slot as usize) {
            if block.room == block.noted {
                return;
            }
            note_room(slot, block, [shared, tailored], counters);
        }
    }

    /// Takes an empty block out.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Block> {
        let place = self.slots.get_mut(slot as usize)?;
        let Slot::Block(block) = place else { return None };
        if !block.is_empty() || block.held {
            return None;
        }
        let serial = block.next_serial();
        let Slot::Block(block) = core::mem::replace(place, Slot::Vacant(serial)) else {
            return None;
        };
        self.vacant.push(slot);
        self.empty.retain(|&empty| empty != slot);
        if block.restless {
            self.restless.retain(|&restless| restless != slot);
        }
        let (index, present) = match block.tailored {
            false => (&mut self.shared, &self.counters.shared),
            true => (&mut self.tailored, &self.counters.tailored),
        };
        index.change(present, slot, class_of_room(block.noted), 0);
        self.counters.reserved.subtract(block.size);
        self.counters.blocks.subtract(1);
        Some(block)
    }

    /// Takes every empty block out, as far as none must stay.
    pub(crate) fn remove_empty(&mut self) -> Vec<Block> {
        self.remove_where(|_, _| true)
    }

    /// Takes out empty blocks that nobody will want soon: dedicated ones, and others that are not
    /// to [`Stay`].
    pub(crate) fn remove_expired(&mut self, now: u64) -> Vec<Block> {
        let (spare, linger) = (self.spare(), self.stay.linger);
        self.remove_where(|slot, block| {
            block.is_dedicated()
                || (spare != Some(slot) && block.empty_since.saturating_add(linger) <= now)
        })
    }

    /// The collect at which [`remove_expired`](Self::remove_expired) will find something next.
    pub(crate) fn next_expiry(&self) -> u64 {
        if self.count() <= self.stay.least {
            return u64::MAX;
        }
        let spare = self.spare();
        let going = self.empty.iter().filter(|&&slot| spare != Some(slot));
        let blocks = going.filter_map(|&slot| self.block(slot));
        let expiry = |block: &Block| block.empty_since.saturating_add(self.stay.linger);
        blocks.map(expiry).min().unwrap_or(u64::MAX)
    }

    /// The empty block that stays for good.
    fn spare(&self) -> Option<u32> {
        let small = |block: &Block| !block.is_dedicated() && block.size <= self.stay.spare;
        self.empty.iter().copied().find(|&slot| self.block(slot).is_some_and(small))
    }

    /// Takes out the empty blocks that `goes` says. O(empty blocks).
    fn remove_where(&mut self, goes: impl Fn(u32, &Block) -> bool) -> Vec<Block> {
        let empty = self.empty.iter().copied();
        let slots = empty.filter(|&slot| self.block(slot).is_some_and(|block| goes(slot, block)));
        // Dedicated blocks count too, but an arena, which alone has a least, has none.
        let mut slots: Vec<u32> = slots.collect();
        slots.truncate(self.count().saturating_sub(self.stay.least) as usize);
        slots.into_iter().filter_map(|slot| self.remove(slot)).collect()
    }

    /// Takes all that is free in a block, so that nobody gets it meanwhile: Free → Pending. Returns
    /// whether the block was empty before. O(free regions).
    pub(crate) fn hold(&mut self, slot: u32) -> (Vec<Entry>, bool) {
        let Some(block) = self.block_mut(slot) else { return (Vec::new(), false) };
        let was_empty = block.is_empty();
        let keys = block.hold();
        let bytes = keys.iter().map(|&key| block.size_of(key)).sum();
        self.counters.wait(bytes, keys.len() as u64);
        let first = was_empty && !keys.is_empty();
        if first {
            self.empty.retain(|&empty| empty != slot);
        }
        self.note_room(slot);
        (keys.into_iter().map(|key| Entry { slot, key }).collect(), first)
    }

    /// Used → Pending. O(1).
    pub(crate) fn retire(&mut self, entry: Entry) -> Result<u64, KeyError> {
        let size = self.block_mut(entry.slot).ok_or(KeyError::Stale)?.retire(entry.key)?;
        self.counters.retire(size);
        if self.told > 0 {
            self.leave(entry);
        }
        Ok(size)
    }

    /// Pending → Used by another tenant. The old one's resource comes out, for its own end; what is
    /// left of the range stays pending and keeps the name. O(1).
    pub(crate) fn take_over(
        &mut self,
        entry: Entry,
        size: u64,
        alignment: u64,
    ) -> Option<Heritage> {
        let Entry { slot, key } = entry;
        let block = self.block_mut(slot)?;
        let held = block.size_of(key);
        let TakenOver { taken, rest } = block.take_over(key, size, alignment)?;
        let old = block.tenants.get(key);
        let resource = block.tenants.take_resource(key);
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
        self.counters.reach(held, 1);
        self.counters.grant(taken.size);
        if let Some(rest) = rest {
            self.counters.wait(rest.size, 1);
        }
        let rest = rest.map(|rest| Entry { slot, key: rest.key });
        Some(Heritage { grant, rest, resource })
    }

    /// Pending → Free. Returns the bytes, and whether the block is empty now. O(1).
    pub(crate) fn reach(&mut self, entry: Entry) -> Result<(u64, bool), KeyError> {
        self.end(entry.slot, 1, |block| block.reach(entry.key))
    }

    /// Pending → Free for regions of one block. Returns the bytes, and whether the block is empty now.
    /// O(keys).
    pub(crate) fn reach_batch(&mut self, slot: u32, keys: &[Key]) -> Result<(u64, bool), KeyError> {
        self.end(slot, keys.len(), |block| block.reach_batch(keys))
    }

    /// Used → Free, for a region without a resource: `None`, and nothing has changed, where one lives
    /// there. Returns the bytes, and whether the block is empty now. O(1).
    #[inline(always)]
    pub(crate) fn free(&mut self, entry: Entry) -> Option<Result<(u64, bool), KeyError>> {
        let Self { slots, shared, tailored, empty, counters, .. } = self;
        let Some(Slot::Block(block)) = slots.get_mut(entry.slot as usize) else {
            return Some(Err(KeyError::Stale));
        };
        if block.tenants.has_resource(entry.key) {
            return None;
        }
        let size = match block.free(entry.key) {
            Ok(size) => size,
            Err(error) => return Some(Err(error)),
        };
        counters.end(size);
        if block.room != block.noted {
            note_room(entry.slot, block, [shared, tailored], counters);
        }
        let emptied = block.is_empty();
        if emptied {
            empty.push(entry.slot);
        }
        if self.told > 0 {
            self.leave(entry);
        }
        Some(Ok((size, emptied)))
    }

    /// Pending → Free in the block of a slot, by `end`. Returns the bytes, and whether the block is empty now.
    fn end(
        &mut self,
        slot: u32,
        count: usize,
        end: impl FnOnce(&mut Block) -> Result<u64, KeyError>,
    ) -> Result<(u64, bool), KeyError> {
        let block = self.block_mut(slot).ok_or(KeyError::Stale)?;
        let size = end(block)?;
        self.counters.reach(size, count as u64);
        let block = self.block(slot).ok_or(KeyError::Stale)?;
        let emptied = block.is_empty();
        self.note_room(slot);
        if emptied {
            self.empty.push(slot);
        }
        Ok((size, emptied))
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

    #[inline]
    pub(crate) fn block(&self, slot: u32) -> Option<&Block> {
        match self.slots.get(slot as usize)? {
            Slot::Block(block) => Some(block),
            Slot::Vacant(_) => None,
        }
    }

    #[inline]
    pub(crate) fn block_mut(&mut self, slot: u32) -> Option<&mut Block> {
        match self.slots.get_mut(slot as usize)? {
            Slot::Block(block) => Some(block),
            Slot::Vacant(_) => None,
        }
    }

    /// How many slots there are, vacant ones among them.
    pub(crate) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// All blocks with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Block)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(slot, content)| match content {
            Slot::Block(block) => Some((slot as u32, block)),
            Slot::Vacant(_) => None,
        })
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

    /// Whether the indices, of shared and of tailored blocks, know the slot by these classes.
    fn is_indexed(&self, slot: u32, [shared, tailored]: [u8; 2]) -> bool {
        let known = |index: &FitIndex, class: u8| {
            index.classes(slot).eq(Some(class).filter(|&class| class != 0))
        };
        known(&self.shared, shared) && known(&self.tailored, tailored)
    }

    /// Verifies every block, the sums and the indices. O(regions).
    pub(crate) fn check(&self) -> Result<(), Broken> {
        for (slot, block) in self.iter() {
            block.check()?;
            let listed = self.empty.iter().filter(|&&empty| empty == slot).count();
            let room = class_of(block.largest_class());
            let wanted = if block.tailored { [0, room] } else { [room, 0] };
            let known = [block.room, block.noted].map(class_of_room) == [room; 2];
            let indexed = self.is_indexed(slot, wanted) && known;
            if listed != usize::from(block.is_empty()) || !indexed {
                return Err(Broken::Index);
            }
        }
        let vacant = |&slot: &u32| self.is_indexed(slot, [0, 0]) && !self.empty.contains(&slot);
        if !self.vacant.iter().all(vacant) {
            return Err(Broken::Index);
        }
        let told: u32 = self.iter().map(|(_, block)| block.ranks.total()).sum();
        let restless = self.iter().filter(|(_, block)| block.restless).count();
        if told != self.told || restless != self.restless.len() {
            return Err(Broken::Count);
        }
        let counters = &self.counters;
        let [mut live, mut pending] = [(0, 0); 2];
        for (_, block) in self.iter() {
            let usage = block.usage();
            live = (live.0 + usage[0].0, live.1 + u64::from(usage[0].1));
            pending = (pending.0 + usage[1].0, pending.1 + u64::from(usage[1].1));
        }
        let reserved = self.iter().map(|(_, block)| block.size).sum::<u64>();
        let sums = reserved == counters.reserved.get()
            && live == (counters.live.get(), counters.live_count.get())
            && pending == (counters.pending.get(), counters.pending_count.get())
            && self.iter().count() as u64 == counters.blocks.get();
        let slots = self.vacant.len() as u64 + counters.blocks.get() == self.slots.len() as u64;
        if sums && slots { Ok(()) } else { Err(Broken::Count) }
    }
}

/// [`BlockList::note_room`], for a block in hand whose room has changed.
fn note_room(
    slot: u32,
    block: &mut Block,
    [shared, tailored]: [&mut FitIndex; 2],
    counters: &Counters,
) {
    let (index, present) = match block.tailored {
        false => (shared, &counters.shared),
        true => (tailored, &counters.tailored),
    };
    let old = core::mem::replace(&mut block.noted, block.room);
    index.change(present, slot, class_of_room(old), class_of_room(block.room));
}
