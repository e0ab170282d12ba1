//! The bookkeeping of a list of blocks, which is updated with each change of a block.

use super::{BlockList, Slot};
use crate::{
    memory::{
        fit_index::class_of,
        grant::{Entry, Grant},
        plate::Host,
    },
    tlsf::Placed,
};

impl BlockList {
    /// Notes that a range was placed in the block of a slot, at an offset in that block.
    #[inline(always)]
    pub(super) fn grant(&mut self, slot: u32, placed: Placed, first: bool) -> Option<Grant> {
        let Some(Slot::Block(block)) = self.slots.get(slot as usize) else { return None };
        let Placed { key, offset, size } = placed;
        let plate = block.plates.get(Host::Enters);
        self.counters.grant(size);
        let grant =
            Grant { entry: Entry { slot, key }, memory: block.memory, offset, size, plate, first };
        if first {
            self.unlist(slot);
        }
        Some(grant)
    }

    /// Removes the block of a slot from the list of empty ones, because it is used again or
    /// removed.
    #[cold]
    #[inline(never)]
    pub(super) fn unlist(&mut self, slot: u32) {
        // Usually it has become empty recently.
        if let Some(at) = self.empty.iter().rposition(|&empty| empty == slot) {
            self.empty.remove(at);
        }
    }

    /// Notes the old and the new room of a line.
    #[inline]
    pub(super) fn note_line(&mut self, slot: u32, before: u64, now: u64) {
        let (old, new) = (class_of(before), class_of(now));
        if old != new {
            self.lines.change(&self.counters.lines, slot, old, new);
        }
    }

    /// Publishes how much room there is in blocks that TLSF splits.
    #[cold]
    #[inline(never)]
    pub(super) fn tell_room(&mut self, tailored: bool) {
        match tailored {
            false => self.counters.shared.set(self.shared.room().into()),
            true => self.counters.tailored.set(self.tailored.room().into()),
        }
    }
}
