//! The invariants of a list of blocks.

use super::BlockList;
use crate::memory::{
    block::{Space, View},
    broken::Broken,
    fit_index::class_of,
};

impl BlockList {
    /// Whether the index of lines has this class for the slot.
    fn is_indexed(&self, slot: u32, class: u32) -> bool {
        self.lines.classes(slot).eq(Some(class).filter(|&class| class != 0))
    }

    /// Verifies every block, the sums and the indices. O(regions).
    pub(crate) fn check(&self) -> Result<(), Broken> {
        let spaces = [
            (&self.shared, &self.counters.shared, false),
            (&self.tailored, &self.counters.tailored, true),
        ];
        for (areas, told, tailored) in spaces {
            let blocks = self.iter().filter(|(_, block)| block.tailored == tailored);
            areas.check(blocks.filter_map(|(slot, View { block, .. })| match &block.space {
                Space::Plot(plot) => Some((slot, plot, block.closed)),
                _ => None,
            }))?;
            if told.get() != u64::from(areas.room()) {
                return Err(Broken::Index);
            }
        }
        for (slot, block) in self.iter() {
            block.check()?;
            let known = (block.memory, block.size, block.mapping);
            if !block.plates.are_of(&self.whose, slot, known) {
                return Err(Broken::Index);
            }
            let listed = self.empty.iter().filter(|&&empty| empty == slot).count();
            let indexed = self.is_indexed(slot, class_of(block.largest_of_line()));
            if listed != usize::from(block.is_empty()) || !indexed {
                return Err(Broken::Index);
            }
        }
        let vacant = |&slot: &u32| self.is_indexed(slot, 0) && !self.empty.contains(&slot);
        if !self.vacant.iter().all(vacant) {
            return Err(Broken::Index);
        }
        // These are exactly the tenants of regions that are live.
        let known = self.iter().filter(|(_, block)| !block.is_split());
        let known = known.map(|(_, block)| block.tenants.resources()).sum::<usize>()
            + self.shared.tenants.resources()
            + self.tailored.tenants.resources();
        let housed = self.iter().map(|(_, block)| block.housed()).sum::<usize>();
        if housed != known || housed > 0 && !self.houses {
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
