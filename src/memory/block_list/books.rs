//! What a list of blocks knows without looking at them: written with each change of a block.

use crate::{
    memory::{
        block::Block,
        counters::Counters,
        fit_index::{FitIndex, class_of_room, is_one_class},
        grant::{Entry, Grant},
    },
    tlsf::Placed,
};

/// The books of a list, while one of its blocks is in hand.
pub(super) struct Books<'a> {
    /// As in the list.
    pub(super) empty: &'a mut Vec<u32>,
    pub(super) shared: &'a mut FitIndex,
    pub(super) tailored: &'a mut FitIndex,
    pub(super) counters: &'a Counters,
}

impl Books<'_> {
    /// A range was placed in the block of a slot, which was empty before, or not, and had so much room.
    #[inline(always)]
    pub(super) fn grant(
        &mut self,
        slot: u32,
        block: &Block,
        (first, room): (bool, u32),
        placed: Placed,
    ) -> Grant {
        let Placed { key, offset, size } = placed;
        self.note_room(slot, block, room);
        self.counters.grant(size);
        if first {
            self.fill(slot);
        }
        Grant {
            entry: Entry { slot, key },
            memory: block.memory,
            offset,
            size,
            mapping: block.mapping,
            block_size: block.size,
            first,
        }
    }

    /// Something has ended in the block of a slot, which had so much room before. Whether it is empty now.
    #[inline(always)]
    pub(super) fn end(&mut self, slot: u32, block: &Block, room: u32) -> bool {
        self.note_room(slot, block, room);
        let emptied = block.is_empty();
        if emptied {
            self.empty.push(slot);
        }
        emptied
    }

    /// Tells the index how much room a block has, which was so much before: nearly always as much. A closed one
    /// is in no index.
    #[inline(always)]
    pub(super) fn note_room(&mut self, slot: u32, block: &Block, before: u32) {
        if !is_one_class(block.room, before) && !block.closed {
            let (old, new) = (class_of_room(before), class_of_room(block.room));
            match block.tailored {
                false => self.shared.change(&self.counters.shared, slot, old, new),
                true => self.tailored.change(&self.counters.tailored, slot, old, new),
            }
        }
    }

    /// The block of a slot is not empty any more.
    #[cold]
    #[inline(never)]
    pub(super) fn fill(&mut self, slot: u32) {
        self.empty.retain(|&empty| empty != slot);
    }
}
