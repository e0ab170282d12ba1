//! The table of lanes: one for each memory type, and one for each arena. The latter come and go.

use std::sync::OnceLock;

/// The number of bits of a lane's index.
pub(super) const LANE_BITS: u32 = 10;

/// Lanes by index. Those of memory types exist from the start; others are added and stay, so that a
/// reference to one is valid as long as the table. Reads take no lock.
pub(super) struct Lanes<L> {
    types: Box<[L]>,
    /// Allocated with the first arena.
    arenas: OnceLock<Box<[OnceLock<Box<L>>]>>,
}

impl<L> Lanes<L> {
    /// The index of the first arena. Vulkan has no more memory types than this.
    const FIRST_ARENA: usize = ash::vk::MAX_MEMORY_TYPES;

    const ARENAS: usize = (1 << LANE_BITS) - Self::FIRST_ARENA;

    pub(super) fn new(types: Vec<L>) -> Self {
        debug_assert!(types.len() <= Self::FIRST_ARENA, "more memory types than Vulkan has");
        Self { types: types.into(), arenas: OnceLock::new() }
    }

    /// O(1).
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&L> {
        match (index as usize).checked_sub(Self::FIRST_ARENA) {
            None => self.types.get(index as usize),
            Some(arena) => self.arenas.get()?.get(arena)?.get().map(Box::as_ref),
        }
    }

    /// The lane of a memory type. O(1).
    #[inline(always)]
    pub(super) fn of_type(&self, memory_type: u32) -> Option<&L> {
        self.types.get(memory_type as usize)
    }

    /// The lanes of memory types, followed by those of arenas.
    pub(super) fn iter(&self) -> impl Iterator<Item = &L> {
        self.types.iter().chain(self.arenas())
    }

    /// The lanes of arenas that ever existed. They fill the table from its start.
    pub(super) fn arenas(&self) -> impl Iterator<Item = &L> {
        let slots = self.arenas.get().map_or(&[][..], |slots| slots);
        slots.iter().map_while(|slot| slot.get().map(Box::as_ref))
    }

    /// Adds a lane that `make` builds from its index; `None` if the table is full. O(lanes).
    pub(super) fn add(&self, mut make: impl FnMut(u32) -> L) -> Option<&L> {
        let slots =
            self.arenas.get_or_init(|| (0..Self::ARENAS).map(|_| OnceLock::new()).collect());
        slots.iter().enumerate().find_map(|(arena, slot)| {
            let mut mine = false;
            let lane = slot.get_or_init(|| {
                mine = true;
                Box::new(make((Self::FIRST_ARENA + arena) as u32))
            });
            mine.then_some(&**lane)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{LANE_BITS, Lanes};

    #[test]
    fn lanes_are_added_behind_those_of_types_until_the_table_is_full() {
        let lanes = Lanes::new(vec![100, 101]);
        assert_eq!((lanes.get(1), lanes.get(2), lanes.get(32)), (Some(&101), None, None));
        assert_eq!(lanes.add(|index| index), Some(&32));
        assert_eq!(lanes.iter().collect::<Vec<_>>(), [&100, &101, &32]);
        let added = (0..).map_while(|_| lanes.add(|index| index)).count();
        assert_eq!(added as u32, (1 << LANE_BITS) - 33);
        assert_eq!((lanes.get(1023), lanes.get(1024)), (Some(&1023), None));
    }
}
