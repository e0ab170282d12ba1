//! Finding a range in the blocks of a list.

use super::{BlockList, Slot, search::LineSearch};
use crate::{
    memory::{areas::Areas, block::Space, grant::Grant, line::End},
    tlsf::{Placed, ROOM_STEPS, room_of},
};

/// The room that a large request accepts in excess of its own, in steps.
const TIGHT: u32 = ROOM_STEPS * 5 / 8;

impl BlockList {
    /// Allocates from the tightest room of any block. O(1), however many blocks there are. If an
    /// alignment requires padding, this may miss a range that
    /// [`allocate_anywhere`](Self::allocate_anywhere) finds.
    #[inline(always)]
    pub(crate) fn allocate(&mut self, size: u64, alignment: u64) -> Option<Grant> {
        match self.allocate_at_once(size, alignment) {
            None => self.allocate_further(size, alignment),
            grant => grant,
        }
    }

    /// [`allocate`](Self::allocate) in the blocks that requests of all sizes share, unless the
    /// request is large. There is nearly always room.
    #[inline(always)]
    pub(crate) fn allocate_at_once(&mut self, size: u64, alignment: u64) -> Option<Grant> {
        if size < self.large { self.allocate_shared(size, alignment) } else { None }
    }

    #[inline(always)]
    fn allocate_shared(&mut self, size: u64, alignment: u64) -> Option<Grant> {
        let (slot, placed, cut) = self.shared.allocate(size, alignment, u32::MAX)?;
        if u64::from(cut) >= self.counters.shared.get() {
            self.tell_room(false);
        }
        self.grant_split(slot, placed)
    }

    /// Allocates in tailored blocks, from at most this much room.
    #[cold]
    fn allocate_tailored(&mut self, size: u64, alignment: u64, most: u32) -> Option<Grant> {
        let (slot, placed, _) = self.tailored.allocate(size, alignment, most)?;
        self.tell_room(true);
        self.grant_split(slot, placed)
    }

    /// Notes that a range of the block of a slot was taken, at an offset in the common space.
    #[inline(always)]
    fn grant_split(&mut self, slot: u32, placed: Placed) -> Option<Grant> {
        let Some(Slot::Block(block)) = self.slots.get_mut(slot as usize) else { return None };
        let Space::Plot(plot) = &block.space else { return None };
        let (first, offset) = (block.taken == 0, placed.offset - plot.start);
        block.taken += 1;
        self.grant(slot, Placed { offset, ..placed }, first)
    }

    /// [`allocate`](Self::allocate) after [`allocate_at_once`](Self::allocate_at_once) has found
    /// nothing.
    pub(crate) fn allocate_further(&mut self, size: u64, alignment: u64) -> Option<Grant> {
        self.allocate_at(End::Lower, size, alignment)
    }

    /// [`allocate`](Self::allocate) at an end of a block, if it has two. O(1).
    #[cold]
    #[inline(never)]
    pub(crate) fn allocate_at(&mut self, end: End, size: u64, alignment: u64) -> Option<Grant> {
        if size >= self.large {
            let grant = self.allocate_tailored(size, alignment, tight(size));
            if grant.is_some() {
                return grant;
            }
        }
        self.allocate_shared(size, alignment).or_else(|| {
            let mut search = LineSearch::new(size, alignment);
            while let Some(slot) = search.next(self) {
                let grant = self.allocate_unsplit(slot, end, size, alignment);
                if grant.is_some() {
                    return grant;
                }
            }
            None
        })
    }

    /// Whether [`allocate_at`](Self::allocate_at) would find a range. O(1).
    pub(crate) fn holds(&self, end: End, size: u64, alignment: u64) -> bool {
        let fits = |areas: &Areas, most: u32| {
            areas.room_for(size, alignment).is_some_and(|room| room <= most)
        };
        if size >= self.large && fits(&self.tailored, tight(size)) {
            return true;
        }
        let mut search = LineSearch::new(size, alignment);
        let mut slots = core::iter::from_fn(|| search.next(self));
        fits(&self.shared, u32::MAX)
            || slots.any(|slot| {
                self.block(slot).is_some_and(|block| block.holds_unsplit(size, alignment, end))
            })
    }

    /// Whether [`allocate_anywhere`](Self::allocate_anywhere) would find a range. O(blocks and regions).
    pub(crate) fn holds_anywhere(&self, size: u64, alignment: u64) -> bool {
        self.iter().any(|(_, block)| block.holds_in_any_region(size, alignment))
    }

    /// Allocates from any free region of any block that TLSF splits, including closed ones.
    /// O(blocks and regions). This is the last resort before a failure.
    pub(crate) fn allocate_anywhere(&mut self, size: u64, alignment: u64) -> Option<Grant> {
        self.shut_closed(false);
        let grant = (0..self.slots()).find_map(|slot| self.allocate_within(slot, size, alignment));
        self.shut_closed(true);
        grant
    }

    /// Allocates in the new block of this slot, or in another one with tighter room. O(1).
    pub(crate) fn allocate_in(
        &mut self,
        slot: u32,
        end: End,
        size: u64,
        alignment: u64,
    ) -> Option<Grant> {
        let grant = match self.block(slot)? {
            block if !block.is_split() => {
                return self.allocate_unsplit(slot, end, size, alignment);
            }
            block if block.tailored => self.allocate_tailored(size, alignment, u32::MAX),
            _ => self.allocate_shared(size, alignment),
        };
        // The tightest rooms may all start at unsuitable offsets, and searches do not support
        // alignments above those of blocks.
        grant.or_else(|| self.allocate_within(slot, size, alignment))
    }

    /// Allocates from any free region of a block that TLSF splits. O(regions of the block).
    fn allocate_within(&mut self, slot: u32, size: u64, alignment: u64) -> Option<Grant> {
        let Self { slots, shared, tailored, .. } = self;
        let Slot::Block(block) = slots.get(slot as usize)? else { return None };
        let Space::Plot(plot) = &block.space else { return None };
        let areas = if block.tailored { tailored } else { shared };
        let placed = areas.allocate_in(plot, size, alignment)?;
        let tailored = block.tailored;
        self.tell_room(tailored);
        self.grant_split(slot, placed)
    }

    /// Allocates a range of a line, or all of a dedicated block.
    fn allocate_unsplit(
        &mut self,
        slot: u32,
        end: End,
        size: u64,
        alignment: u64,
    ) -> Option<Grant> {
        let block = self.block_mut(slot)?;
        let (first, before) = (block.is_empty(), block.largest_of_line());
        let placed = block.allocate_unsplit(size, alignment, end)?;
        let now = block.largest_of_line();
        self.note_line(slot, before, now);
        self.grant(slot, placed, first)
    }
}

/// The most room that a large request accepts in a tailored block. Requests smaller than two thirds
/// of it would keep the block from becoming empty.
fn tight(size: u64) -> u32 {
    room_of(size) + TIGHT
}
