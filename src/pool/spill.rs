//! The entries of a table of starts that found no seat: a table of its own, where they take the next vacant one.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use crate::tlsf::Tlsf;

/// A hash table of nodes by where each begins, at most a quarter full. Where a node begins is not in it:
/// whoever asks for a node looks at it in any case, and so tells where each begins.
#[derive(Debug, Default)]
pub(super) struct Spill {
    /// A power of two of them, or none. An entry is at its home or after it, with no vacant one between.
    entries: Vec<Entry>,
    /// 32 less the bits of a home.
    shift: u32,
    count: usize,
}

/// A node's place in the core, and what is noted of it; or nobody's, as all zeros are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Entry {
    pub(super) node: u32,
    pub(super) note: u32,
}

/// Below this number are no places of nodes.
pub(super) const VACANT: u32 = 512;

const _: () = assert!(VACANT <= Tlsf::LEAST_PLACE);

impl Entry {
    /// Whether nobody has it.
    #[inline]
    pub(super) fn is_vacant(self) -> bool {
        self.node < VACANT
    }

    /// What stays where the entry of a granule was. From generation [`VACANT`] on it is like no entry that was
    /// [left](Self::leave): no bits are left to tell such generations apart.
    #[inline]
    pub(super) fn left(granule: u32, generation: u32) -> Self {
        // No granule has the topmost bit, so it is not all zeros.
        Self { node: generation, note: granule | 1 << 31 }
    }

    /// Leaves.
    #[inline]
    pub(super) fn leave(&mut self, granule: u32, generation: u32) {
        *self = Self::left(granule, generation % VACANT);
    }
}

/// Where a node begins, in granules.
pub(super) trait Granules {
    fn granule(&self, node: u32) -> u32;
}

const FIRST: usize = 16;

/// Entries for each that is in use, at least.
const ROOM: usize = 4;

impl Spill {
    /// Where an entry belongs: the upper bits of a product, which all bits of the granule decide.
    fn home(&self, granule: u32) -> usize {
        (granule.wrapping_mul(0x9E37_79B9) >> self.shift) as usize
    }

    /// The entry of the node that begins at a granule, and its place.
    pub(super) fn find(&self, granule: u32, granules: &impl Granules) -> Option<(usize, Entry)> {
        let mask = self.entries.len().wrapping_sub(1);
        let mut place = self.home(granule);
        loop {
            let entry = *self.entries.get(place)?;
            if entry.is_vacant() {
                return None;
            }
            if granules.granule(entry.node) == granule {
                return Some((place, entry));
            }
            place = (place + 1) & mask;
        }
    }

    /// Makes room for more; `false`, and nothing changed, if the host has no memory for it.
    fn grow(&mut self, granules: &impl Granules) -> bool {
        let length = (2 * self.entries.len()).max(FIRST);
        let mut entries = Vec::new();
        if entries.try_reserve_exact(length).is_err() {
            return false;
        }
        entries.resize(length, Entry::default());
        let old = core::mem::replace(&mut self.entries, entries);
        self.shift = 32 - length.trailing_zeros().min(31);
        self.count = 0;
        for entry in old.into_iter().filter(|entry| !entry.is_vacant()) {
            self.put(granules.granule(entry.node), entry);
        }
        true
    }

    /// Adds a node that is not in it; `false`, and nothing changed, if the host has no memory for it.
    pub(super) fn insert(&mut self, granule: u32, entry: Entry, granules: &impl Granules) -> bool {
        if ROOM * self.count >= self.entries.len() && !self.grow(granules) {
            return false;
        }
        self.put(granule, entry);
        true
    }

    /// There is room.
    fn put(&mut self, granule: u32, entry: Entry) {
        let mask = self.entries.len() - 1;
        let mut place = self.home(granule);
        while self.entries[place].node >= VACANT {
            place = (place + 1) & mask;
        }
        self.entries[place] = entry;
        self.count += 1;
    }

    /// Takes out the entry at a place. What lies behind moves up, so no marks of it are left.
    pub(super) fn remove(&mut self, place: usize, granules: &impl Granules) {
        let mask = self.entries.len() - 1;
        self.entries[place] = Entry::default();
        self.count -= 1;
        if self.entries[(place + 1) & mask].node >= VACANT {
            self.close(place, granules);
        }
    }

    /// Moves up what lies behind a hole and may.
    fn close(&mut self, mut hole: usize, granules: &impl Granules) {
        let mask = self.entries.len() - 1;
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let entry = self.entries[place];
            if entry.is_vacant() {
                return;
            }
            // An entry whose home is behind the hole stays.
            let home = self.home(granules.granule(entry.node));
            if (place.wrapping_sub(home) & mask) >= (place.wrapping_sub(hole) & mask) {
                self.entries[hole] = entry;
                self.entries[place] = Entry::default();
                hole = place;
            }
        }
    }

    /// All entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.entries.iter().copied().filter(|entry| !entry.is_vacant())
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;

    /// Where each node begins; node 0 nowhere.
    impl Granules for Vec<u32> {
        fn granule(&self, node: u32) -> u32 {
            self[node as usize]
        }
    }

    #[test]
    fn it_is_a_map() {
        let mut state = 1_u64;
        for bound in [3, 200, 100_000] {
            let mut spill = Spill::default();
            let mut twin = BTreeMap::new();
            let mut granules = alloc::vec![u32::MAX; VACANT as usize];
            for step in 0..20_000_u32 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let granule = (state >> 33) as u32 % bound;
                // Grows, shrinks, grows.
                let wanted = if step / 5000 % 2 == 0 { 3 } else { 1 };
                let known = twin.get(&granule).copied();
                if known.is_none() {
                    let node = granules.len() as u32;
                    granules.push(granule);
                    twin.insert(granule, node);
                    assert!(spill.insert(granule, Entry { node, note: step }, &granules));
                } else if (state >> 60) % 4 >= wanted {
                    twin.remove(&granule);
                    let (place, found) = spill.find(granule, &granules).unwrap();
                    assert_eq!(Some(found.node), known);
                    spill.remove(place, &granules);
                }
                let asked = (state >> 20) as u32 % bound;
                let found = spill.find(asked, &granules).map(|(_, entry)| entry.node);
                assert_eq!(found, twin.get(&asked).copied());
                assert_eq!(spill.count(), twin.len());
            }
            for granule in 0..bound {
                let found = spill.find(granule, &granules).map(|(_, entry)| entry.node);
                assert_eq!(found, twin.get(&granule).copied());
            }
        }
    }
}
