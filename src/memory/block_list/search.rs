//! Which blocks a request tries.

use super::BlockList;
use crate::memory::fit_index::{STEPS, UNIT, class_at_least, class_of};

/// How many blocks are tried that may have room, before one that surely has.
pub(super) const TRIES: u32 = 3;

/// Which blocks a request tries, in the order of preference: the one with the least room that is
/// enough, so that the emptier ones become empty. A bounded number, however many blocks there are.
pub(super) struct Search {
    pub(super) size: u64,
    pub(super) alignment: u64,
    /// The next class of room to look for; `None` once the highest was seen.
    class: Option<u8>,
    /// The highest class of tailored blocks to look for, while those are looked into.
    tailored: Option<u8>,
    /// Shared blocks that may still be tried.
    tries: u32,
}

impl Search {
    pub(super) fn new(list: &BlockList, size: u64, alignment: u64) -> Self {
        let class = class_of(size).max(1);
        // Tailored blocks are for requests of at least half the room: smaller ones would keep them from
        // going.
        let most = class.saturating_add(STEPS - 1);
        let tailored = (size >= list.large).then_some(most);
        Self { size, alignment, class: Some(class), tailored, tries: TRIES }
    }

    /// What is left of a search among shared blocks, when one of the class `found` had no room.
    pub(super) fn after_one(size: u64, alignment: u64, found: u8) -> Self {
        Self { size, alignment, class: found.checked_add(1), tailored: None, tries: TRIES - 1 }
    }

    /// The shared block with the least room of the class in hand or above.
    fn shared(&mut self, list: &BlockList) -> Option<u32> {
        let (slot, found) = list.shared.tightest(&list.counters.shared, self.class?)?;
        self.class = found.checked_add(1);
        Some(slot)
    }

    /// The slot of the next block to try.
    pub(super) fn next(&mut self, list: &BlockList) -> Option<u32> {
        if let Some(most) = self.tailored {
            let tightest =
                self.class.and_then(|class| list.tailored.tightest(&list.counters.tailored, class));
            if let Some((slot, found)) = tightest.filter(|&(_, found)| found <= most) {
                self.class = found.checked_add(1);
                return Some(slot);
            }
            self.tailored = None;
            self.class = Some(class_of(self.size).max(1));
        }
        if self.tries > 0 {
            self.tries -= 1;
            return self.shared(list);
        }
        // No block has a finer granule, so more padding is never needed.
        let padded = self.size.checked_add(self.alignment.saturating_sub(UNIT))?;
        self.class = Some(class_at_least(padded)?.max(self.class.take()?));
        let slot = self.shared(list);
        // That was the last.
        self.class = None;
        slot
    }
}
