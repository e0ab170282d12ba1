//! Ranges become free: one at once, one that was pending, or all that a collect has in hand.

use core::{hint::black_box, ops::BitXor};

use super::{BlockList, Books, Slot};
use crate::{
    memory::{batch::Batch, block::Block, grant::Entry},
    tlsf::KeyError,
};

/// So many ranges are looked at before the first of them is changed.
const FEW: usize = 16;

impl BlockList {
    /// Used → Free, for a region without a resource: `None`, and nothing has changed, where one lives
    /// there. Returns the bytes, and whether the block is empty now. O(1).
    #[inline(always)]
    pub(crate) fn free(&mut self, entry: Entry) -> Option<Result<(u64, bool), KeyError>> {
        let (block, mut books) = match self.apart(entry.slot) {
            Ok(apart) => apart,
            Err(error) => return Some(Err(error)),
        };
        if block.tenants.has_resource(entry.key) {
            return None;
        }
        let room = block.room;
        let size = match block.free(entry.key) {
            Ok(size) => size,
            Err(error) => return Some(Err(error)),
        };
        let emptied = books.end(entry.slot, block, room);
        books.counters.end(size);
        if self.told > 0 {
            self.leave(entry);
        }
        Some(Ok((size, emptied)))
    }

    /// Pending → Free. Returns the bytes, and whether the block is empty now. O(1).
    pub(crate) fn reach(&mut self, entry: Entry) -> Result<(u64, bool), KeyError> {
        let (block, mut books) = self.apart(entry.slot)?;
        let room = block.room;
        let size = block.reach(entry.key)?;
        books.counters.reach(size, 1);
        Ok((size, books.end(entry.slot, block, room)))
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
                let (block, mut books) = self.apart(slot)?;
                let room = block.room;
                bytes += block.reach_batch(keys)?;
                count += keys.len() as u64;
                books.end(slot, block, room);
            }
        } else {
            for entries in entries.chunks(FEW) {
                let glance = |entry: &Entry| Some(self.block(entry.slot)?.glance(entry.key));
                black_box(entries.iter().filter_map(glance).fold(0, BitXor::bitxor));
                for &Entry { slot, key } in entries.iter().filter(|entry| !entry.is_gone()) {
                    let (block, mut books) = self.apart(slot)?;
                    let room = block.room;
                    bytes += block.reach(key)?;
                    count += 1;
                    books.end(slot, block, room);
                }
            }
        }
        self.counters.reach(bytes, count);
        Ok((count, bytes))
    }

    /// A block, and the books on it.
    #[inline(always)]
    fn apart(&mut self, slot: u32) -> Result<(&mut Block, Books<'_>), KeyError> {
        let (slots, books) = self.split();
        match slots.get_mut(slot as usize) {
            Some(Slot::Block(block)) => Ok((block, books)),
            _ => Err(KeyError::Stale),
        }
    }
}
