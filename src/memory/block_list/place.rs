//! Finding a range in the blocks of a list.

use super::{BlockList, Slot, search::BlockSearch};
use crate::{
    memory::{block::Block, fit_index::class_of_room, grant::Grant, line::End},
    tlsf::{Placed, room_of, widened},
};

impl BlockList {
    /// A range in the block with the least room that is enough, so that the emptier ones become
    /// empty. O(1): the number of blocks tried is bounded, however many there are. Where an
    /// alignment asks for padding, a range may go unseen that
    /// [`allocate_anywhere`](Self::allocate_anywhere) finds.
    #[inline(always)]
    pub(crate) fn allocate(&mut self, size: u64, alignment: u64) -> Option<Grant> {
        match self.allocate_at_once(size, alignment) {
            None => self.allocate_further(size, alignment),
            grant => grant,
        }
    }

    /// [`allocate`](Self::allocate) in the tightest shared block for the size as it is [rounded](widened),
    /// which nearly always has room.
    #[inline(always)]
    pub(crate) fn allocate_at_once(&mut self, size: u64, alignment: u64) -> Option<Grant> {
        if size >= self.large {
            return None;
        }
        let slot = self.tightest(room_of(widened(size, alignment)))?;
        #[cfg(test)]
        {
            self.tried += 1;
        }
        let (slots, mut books) = self.split();
        let Some(Slot::Block(block)) = slots.get_mut(slot as usize) else { return None };
        let before = (block.is_empty(), block.room);
        let placed = block.allocate(size, alignment)?;
        Some(books.grant(slot, block, before, placed))
    }

    /// The slot of the shared block of the lowest class that has so much room; the oldest of equals.
    #[inline(always)]
    fn tightest(&self, room: u32) -> Option<u32> {
        let from = |class: u8| self.shared.tightest(&self.counters.shared, class);
        let (slot, class) = from(class_of_room(room).max(1))?;
        // Of the class of the room itself some have less.
        match self.block(slot)?.room < room {
            true => Some(from(class.checked_add(1)?)?.0),
            false => Some(slot),
        }
    }

    /// [`allocate`](Self::allocate), where the [first look](Self::allocate_at_once) found none.
    pub(crate) fn allocate_further(&mut self, size: u64, alignment: u64) -> Option<Grant> {
        self.allocate_at(End::Lower, size, alignment)
    }

    /// [`allocate`](Self::allocate), at an end of a block where there are two. O(1).
    #[cold]
    #[inline(never)]
    pub(crate) fn allocate_at(&mut self, end: End, size: u64, alignment: u64) -> Option<Grant> {
        let mut search = BlockSearch::new(self, size, alignment);
        while let Some(slot) = search.next(self) {
            let grant = self.place_in(slot, |block| block.allocate_at(end, size, alignment));
            if grant.is_some() {
                return grant;
            }
        }
        None
    }

    /// Whether [`allocate_at`](Self::allocate_at) would find a range. O(1).
    pub(crate) fn holds(&self, end: End, size: u64, alignment: u64) -> bool {
        let mut search = BlockSearch::new(self, size, alignment);
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
        (0..self.slots()).find_map(|slot| self.place_in(slot, place))
    }

    /// A range in the block of this slot. O(1).
    pub(crate) fn allocate_in(
        &mut self,
        slot: u32,
        end: End,
        size: u64,
        alignment: u64,
    ) -> Option<Grant> {
        self.place_in(slot, |block| block.allocate_at(end, size, alignment))
    }

    /// What `place` finds in the block of this slot.
    fn place_in(
        &mut self,
        slot: u32,
        place: impl FnOnce(&mut Block) -> Option<Placed>,
    ) -> Option<Grant> {
        #[cfg(test)]
        {
            self.tried += 1;
        }
        let (slots, mut books) = self.split();
        let Some(Slot::Block(block)) = slots.get_mut(slot as usize) else { return None };
        let before = (block.is_empty(), block.room);
        let placed = place(block)?;
        Some(books.grant(slot, block, before, placed))
    }
}
