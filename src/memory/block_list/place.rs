//! Finding a range in the blocks of a list.

use super::{Block, BlockList, Change, search::BlockSearch};
use crate::{
    memory::{fit_index::class_of_room, grant::Grant, line::End},
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
        // The shared block of the lowest class that has so much room; the oldest of equals.
        let room = room_of(widened(size, alignment));
        let from = |class: u32| self.shared.tightest(&self.counters.shared, class);
        let (mut slot, class) = from(class_of_room(room).max(1))?;
        // Of the class of the room itself some have less.
        if self.slots.get(slot as usize)?.room < room {
            (slot, _) = from(class + 1)?;
        }
        let block = self.at(slot)?;
        let (placed, change) = block.allocate(size, alignment)?;
        let grant = block.grant(slot, placed, change.turned);
        Some(self.note_grant(grant, change))
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
        place: impl FnOnce(&mut Block) -> Option<(Placed, Change)>,
    ) -> Option<Grant> {
        let block = self.at(slot)?;
        let (placed, change) = place(block)?;
        let grant = block.grant(slot, placed, change.turned);
        Some(self.note_grant(grant, change))
    }

    /// The block of a slot, to look for a range there.
    #[inline(always)]
    fn at(&mut self, slot: u32) -> Option<&mut Block> {
        #[cfg(test)]
        {
            self.tried += 1;
        }
        self.slots.get_mut(slot as usize)
    }

    /// Writes down what was granted.
    #[inline(always)]
    fn note_grant(&mut self, grant: Grant, change: Change) -> Grant {
        self.note(grant.entry.slot, change);
        self.counters.grant(grant.size);
        grant
    }
}
