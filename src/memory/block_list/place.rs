//! Finding a range in the blocks of a list.

use super::{BlockList, Slot, note_room, search::Search};
use crate::{
    memory::{
        block::Block,
        fit_index::class_of,
        grant::{Entry, Grant},
        line::End,
    },
    tlsf::Placed,
};

/// A range that was found in a block.
#[derive(Clone, Copy)]
struct Found {
    placed: Placed,
    slot: u32,
    /// The block was empty before.
    first: bool,
}

impl BlockList {
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

    /// Whether [`allocate_at`](Self::allocate_at) would find a range. O(1).
    pub(crate) fn holds(&self, end: End, size: u64, alignment: u64) -> bool {
        let mut search = Search::new(self, size, alignment);
        let mut slots = core::iter::from_fn(|| search.next(self));
        slots.any(|slot| self.block(slot).is_some_and(|block| block.holds(end, size, alignment)))
    }

    /// Whether [`allocate_anywhere`](Self::allocate_anywhere) would find a range. O(blocks and free regions).
    pub(crate) fn holds_anywhere(&self, size: u64, alignment: u64) -> bool {
        self.iter().any(|(_, block)| block.holds_anywhere(size, alignment))
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
}
