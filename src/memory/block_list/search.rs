//! Which blocks a request tries.

use super::BlockList;
use crate::{
    memory::fit_index::{DOUBLE, UNIT, class_at_least, class_of},
    tlsf::widened,
};

/// How many blocks are tried that may have room, before one that surely has.
pub(super) const TRIES: u32 = 3;

/// So many classes more room than it asks for a large request takes.
const TIGHT: u32 = DOUBLE * 5 / 8;

/// Which blocks a request tries, in the order of preference: the one with the least room that is
/// enough, so that the emptier ones become empty. A bounded number, however many blocks there are.
pub(super) struct BlockSearch {
    size: u64,
    alignment: u64,
    /// The next class of room to look for; `None` once the highest was seen.
    class: Option<u32>,
    /// The highest class of tailored blocks to look for, while those are looked into.
    tailored: Option<u32>,
    /// Shared blocks that may still be tried.
    left: u32,
}

impl BlockSearch {
    pub(super) fn new(list: &BlockList, size: u64, alignment: u64) -> Self {
        // Tailored blocks are for requests of two thirds of the room and more: smaller ones would keep them
        // from going.
        let class = class_of(size).max(1);
        let most = class + TIGHT;
        let tailored = (size >= list.large).then_some(most);
        let class =
            if tailored.is_some() { class } else { class_of(widened(size, alignment)).max(1) };
        Self { size, alignment, class: Some(class), tailored, left: TRIES + 2 }
    }

    /// The shared block with the least room of the class in hand or above.
    fn shared(&mut self, list: &BlockList) -> Option<u32> {
        let (slot, found) = list.shared.tightest(&list.counters.shared, self.class?)?;
        self.class = Some(found + 1);
        Some(slot)
    }

    /// The slot of the next block to try.
    pub(super) fn next(&mut self, list: &BlockList) -> Option<u32> {
        let wide = widened(self.size, self.alignment);
        if let Some(most) = self.tailored {
            let tightest =
                self.class.and_then(|class| list.tailored.tightest(&list.counters.tailored, class));
            if let Some((slot, found)) = tightest.filter(|&(_, found)| found <= most) {
                self.class = Some(found + 1);
                return Some(slot);
            }
            self.tailored = None;
            self.class = Some(class_of(wide).max(1));
        }
        while self.left > 0 {
            self.left -= 1;
            match self.left {
                // One that surely has room: no block has a finer granule, so more padding is never needed.
                1 => {
                    let padded = self.size.checked_add(self.alignment.saturating_sub(UNIT));
                    let sure = padded.and_then(class_at_least);
                    self.class = self.class.zip(sure).map(|(class, sure)| class.max(sure));
                }
                // At last one that has room for the size alone.
                0 if wide == self.size => break,
                0 => self.class = Some(class_of(self.size).max(1)),
                _ => {}
            }
            if let Some(slot) = self.shared(list) {
                return Some(slot);
            }
        }
        None
    }
}
