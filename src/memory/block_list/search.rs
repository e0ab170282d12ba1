//! The lines that a request tries.

use super::BlockList;
use crate::memory::fit_index::{UNIT, class_at_least, class_of};

/// The number of lines that are tried although they may have no room, before one that certainly
/// has.
pub(super) const TRIES: u32 = 3;

/// The lines that a request tries, in the order of preference: the one with the least sufficient
/// room comes first, so that emptier ones become empty. Their number is bounded, however many lines
/// there are.
pub(super) struct LineSearch {
    size: u64,
    alignment: u64,
    /// The next class of room to look for; `None` after the highest.
    class: Option<u32>,
    /// The number of lines that may still be tried.
    left: u32,
}

impl LineSearch {
    pub(super) fn new(size: u64, alignment: u64) -> Self {
        Self { size, alignment, class: Some(class_of(size).max(1)), left: TRIES + 1 }
    }

    /// The slot of the next line to try.
    pub(super) fn next(&mut self, list: &BlockList) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        if self.left == 0 {
            // A line that certainly has room.
            let padded = self.size.checked_add(self.alignment.saturating_sub(UNIT));
            let sure = padded.and_then(class_at_least);
            self.class = self.class.zip(sure).map(|(class, sure)| class.max(sure));
        }
        let (slot, found) = list.lines.tightest(&list.counters.lines, self.class?)?;
        self.class = found.checked_add(1);
        Some(slot)
    }
}
