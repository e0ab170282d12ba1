//! Ranges become free: one immediately, a pending one, or all those that a collect processes.

use smallvec::SmallVec;

use super::{BlockList, Slot};
use crate::{
    memory::{block::Space, grant::Entry},
    tlsf::{Key, KeyError, State},
};

/// The number of ranges that end together, so that adjacent ones are merged before they are put
/// into bins.
const TOGETHER: usize = 64;

impl BlockList {
    /// Used → Free for the common case: a region without a resource, in a block that is shared and
    /// stays shared, while ranks do not matter. Returns whether this was the case. If not, nothing
    /// has changed. O(1).
    #[inline(always)]
    pub(crate) fn free_plain(&mut self, entry: Entry) -> bool {
        let Self { slots, shared, counters, told, .. } = self;
        let Some(Slot::Block(block)) = slots.get_mut(entry.slot as usize) else { return false };
        let Space::Plot(plot) = &block.space else { return false };
        let is_seldom = block.tailored | block.closed | (block.taken < 2);
        if is_seldom || *told > 0 || shared.tenants.has_resource(entry.key) {
            return false;
        }
        let Ok((size, room)) = shared.free(entry.key, plot) else { return false };
        block.taken -= 1;
        if u64::from(room) > counters.shared.get() {
            counters.shared.set(room.into());
        }
        counters.end(size);
        true
    }

    /// Used → Free for a region without a resource. Returns `None`, and changes nothing, if it has
    /// one. Otherwise returns the bytes, and whether the block is empty now. O(1).
    #[inline(never)]
    pub(crate) fn free(&mut self, entry: Entry) -> Option<Result<(u64, bool), KeyError>> {
        if self.tenants_mut(entry.slot)?.has_resource(entry.key) {
            return None;
        }
        Some(self.end(entry, State::Used).inspect(|&(size, _)| {
            self.counters.end(size);
            if self.told > 0 {
                self.leave(entry);
            }
        }))
    }

    /// Pending → Free. Returns the bytes, and whether the block is empty now. O(1).
    pub(crate) fn reach(&mut self, entry: Entry) -> Result<(u64, bool), KeyError> {
        let (size, emptied) = self.end(entry, State::Pending)?;
        self.counters.reach(size, 1);
        Ok((size, emptied))
    }

    /// Frees a region in any kind of block. Returns the bytes, and whether the block is empty now.
    /// O(1).
    fn end(&mut self, Entry { slot, key }: Entry, from: State) -> Result<(u64, bool), KeyError> {
        let Self { slots, shared, tailored, empty, .. } = self;
        let Some(Slot::Block(block)) = slots.get_mut(slot as usize) else {
            return Err(KeyError::Stale);
        };
        let (was, is_pending) = (block.largest_of_line(), from == State::Pending);
        let size = match &block.space {
            Space::Plot(plot) => {
                let areas = if block.tailored { tailored } else { shared };
                let size = match (block.closed, is_pending) {
                    (true, _) => areas.free_shut(key, plot, is_pending)?,
                    (false, true) => areas.reach(key, plot)?.0,
                    (false, false) => areas.free(key, plot)?.0,
                };
                block.taken -= 1;
                block.pending -= u32::from(is_pending);
                size
            }
            _ => block.turn_unsplit(key, from, State::Free)?,
        };
        let (emptied, is) = (block.is_empty(), block.largest_of_line());
        if emptied {
            empty.push(slot);
        }
        let tailored = block.tailored;
        self.note_line(slot, was, is);
        self.tell_room(tailored);
        Ok((size, emptied))
    }

    /// Pending → Free for many entries, each of which occurs once. Those that are
    /// [gone](Entry::gone) are skipped. Returns how many became free, and their bytes. The blocks
    /// that are empty now are the last ones of [`empty`](Self::empty). O(entries).
    ///
    /// Debug builds assert before any change that all are pending. In release builds, the first
    /// entry that is not stops this halfway; but neither a bag nor a list contains such entries.
    #[inline(never)]
    pub(crate) fn reach_all(&mut self, entries: &[Entry]) -> (u64, u64) {
        debug_assert!(self.are_pending(entries), "what is in hand is pending: {entries:?}");
        match self.reach_pending(entries) {
            Ok(freed) => freed,
            Err(error) => unreachable!("what is in hand is pending, each once: {error}"),
        }
    }

    /// Whether all entries that are not gone are pending. O(entries).
    fn are_pending(&self, entries: &[Entry]) -> bool {
        let mut left = entries.iter().filter(|entry| !entry.is_gone());
        left.all(|&entry| self.region(entry).is_some_and(|it| it.state == State::Pending))
    }

    #[inline(always)]
    fn reach_pending(&mut self, entries: &[Entry]) -> Result<(u64, u64), KeyError> {
        let (mut count, mut bytes) = (0, 0);
        for entries in entries.chunks(TOGETHER) {
            let mut keys: SmallVec<[Key; TOGETHER]> = SmallVec::new();
            for &entry in entries.iter().filter(|entry| !entry.is_gone()) {
                count += 1;
                let Some(Slot::Block(block)) = self.slots.get_mut(entry.slot as usize) else {
                    return Err(KeyError::Stale);
                };
                if !block.is_split() || block.tailored || block.closed {
                    bytes += self.end(entry, State::Pending)?.0;
                    continue;
                }
                block.taken -= 1;
                block.pending -= 1;
                if block.taken == 0 {
                    self.empty.push(entry.slot);
                }
                keys.push(entry.key);
            }
            bytes += self.shared.reach_batch(&keys)?;
        }
        self.tell_room(false);
        self.counters.reach(bytes, count);
        Ok((count, bytes))
    }
}
