//! What must hold of a list of blocks.

use super::BlockList;
use crate::memory::{
    broken::Broken,
    fit_index::{FitIndex, class_of, class_of_room},
};

impl BlockList {
    /// Whether the indices, of shared and of tailored blocks, know the slot by these classes.
    fn is_indexed(&self, slot: u32, [shared, tailored]: [u32; 2]) -> bool {
        let known = |index: &FitIndex, class: u32| {
            index.classes(slot).eq(Some(class).filter(|&class| class != 0))
        };
        known(&self.shared, shared) && known(&self.tailored, tailored)
    }

    /// Verifies every block, the sums and the indices. O(regions).
    pub(crate) fn check(&self) -> Result<(), Broken> {
        for (slot, block) in self.iter() {
            block.check()?;
            let listed = self.empty.iter().filter(|&&empty| empty == slot).count();
            let room = class_of(block.largest_class());
            let wanted = match (block.closed, block.tailored) {
                (true, _) => [0, 0],
                (false, true) => [0, room],
                (false, false) => [room, 0],
            };
            let indexed = self.is_indexed(slot, wanted) && class_of_room(block.room) == room;
            if listed != usize::from(block.is_empty()) || !indexed {
                return Err(Broken::Index);
            }
        }
        let vacant = |&slot: &u32| self.is_indexed(slot, [0, 0]) && !self.empty.contains(&slot);
        if !self.vacant.iter().all(vacant) {
            return Err(Broken::Index);
        }
        let housed = self.iter().any(|(_, block)| block.tenants.resources() > 0);
        if housed && !self.houses {
            return Err(Broken::Tenant);
        }
        let told: u32 = self.iter().map(|(_, block)| block.ranks.total()).sum();
        let restless = self.iter().filter(|(_, block)| block.restless).count();
        if told != self.told || restless != self.restless.len() {
            return Err(Broken::Count);
        }
        let counters = &self.counters;
        let [mut live, mut pending] = [(0, 0); 2];
        for (_, block) in self.iter() {
            let usage = block.usage();
            live = (live.0 + usage[0].0, live.1 + u64::from(usage[0].1));
            pending = (pending.0 + usage[1].0, pending.1 + u64::from(usage[1].1));
        }
        let reserved = self.iter().map(|(_, block)| block.size).sum::<u64>();
        let sums = reserved == counters.reserved.get()
            && live == (counters.live.get(), counters.live_count.get())
            && pending == (counters.pending.get(), counters.pending_count.get())
            && self.iter().count() as u64 == counters.blocks.get();
        let slots = self.vacant.len() as u64 + counters.blocks.get() == self.slots.len() as u64;
        if sums && slots { Ok(()) } else { Err(Broken::Count) }
    }
}
