//! Ranges become free: one at once, one that was pending, or all that a collect has in hand.

use core::{hint::black_box, ops::BitXor};

use super::{Block, BlockList};
use crate::{
    memory::{batch::Batch, grant::Entry},
    tlsf::KeyError,
};

/// So many ranges are looked at before the first of them is changed.
const FEW: usize = 16;

impl BlockList {
    /// Used → Free, for a region without a resource: `None`, and nothing has changed, where one lives
    /// there. Returns the bytes, and whether the block is empty now. O(1).
    #[inline(always)]
    pub(crate) fn free(&mut self, entry: Entry) -> Option<Result<(u64, bool), KeyError>> {
        let block = match self.named(entry.slot) {
            Ok(block) => block,
            Err(error) => return Some(Err(error)),
        };
        if block.tenants.has_resource(entry.key) {
            return None;
        }
        let (size, change) = match block.free(entry.key) {
            Ok(freed) => freed,
            Err(error) => return Some(Err(error)),
        };
        self.note(entry.slot, change);
        self.counters.end(size);
        if self.told > 0 {
            self.leave(entry);
        }
        Some(Ok((size, change.turned)))
    }

    /// Pending → Free. Returns the bytes, and whether the block is empty now. O(1).
    pub(crate) fn reach(&mut self, entry: Entry) -> Result<(u64, bool), KeyError> {
        let (size, emptied) = self.reach_uncounted(entry)?;
        self.counters.reach(size, 1);
        Ok((size, emptied))
    }

    /// Pending → Free for many; those that are [gone](Entry::gone) are left out. Returns how many became
    /// free, and their bytes; the blocks that are empty now are the last of [`empty`](Self::empty).
    /// O(entries + slots).
    #[inline(never)]
    pub(crate) fn reach_all(
        &mut self,
        entries: &[Entry],
        batch: &mut Batch,
    ) -> Result<(u64, u64), KeyError> {
        let (mut count, mut bytes) = (0, 0);
        if Batch::pays(entries.len(), self.slots()) && batch.fill(entries, self.slots()) {
            for (slot, keys) in batch.groups() {
                let (freed, change) = self.named(slot)?.reach_batch(keys)?;
                self.note(slot, change);
                bytes += freed;
                count += keys.len() as u64;
            }
        } else {
            for entries in entries.chunks(FEW) {
                let glance = |entry: &Entry| Some(self.block(entry.slot)?.glance(entry.key));
                black_box(entries.iter().filter_map(glance).fold(0, BitXor::bitxor));
                for &entry in entries.iter().filter(|entry| !entry.is_gone()) {
                    bytes += self.reach_uncounted(entry)?.0;
                    count += 1;
                }
            }
        }
        self.counters.reach(bytes, count);
        Ok((count, bytes))
    }

    /// [`reach`](Self::reach), but for the sums.
    #[inline(always)]
    fn reach_uncounted(&mut self, entry: Entry) -> Result<(u64, bool), KeyError> {
        let (size, change) = self.named(entry.slot)?.reach(entry.key)?;
        self.note(entry.slot, change);
        Ok((size, change.turned))
    }

    /// What stands in a slot, if only a [vacant](Block::vacant) block, which knows no key.
    #[inline(always)]
    fn named(&mut self, slot: u32) -> Result<&mut Block, KeyError> {
        self.slots.get_mut(slot as usize).ok_or(KeyError::Stale)
    }
}
