//! Which node a live allocation has, and what is noted of it, by the granule where it begins.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

/// A hash table of nodes, at most a quarter full, so that probing is seldom a surprise. Where a node
/// begins is not in it: whoever asks for a node looks at it in any case, and so tells where each begins.
/// It is small where a table over all granules would be large, and so stays in the caches: that is most
/// of a look-up's time.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// A power of two of them, or none. An entry is at its home or after it, with no vacant one between.
    entries: Vec<Entry>,
    /// 32 less the bits of a home.
    shift: u32,
    count: usize,
}

/// A node, 0 where the entry is vacant, for no node is 0; and what is noted of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Entry {
    pub(super) node: u32,
    pub(super) note: u32,
}

/// Where a node begins, in granules.
pub(super) trait Granules {
    fn granule(&self, node: u32) -> u32;
}

const FIRST: usize = 64;

/// Entries for each that is in use, at least.
const ROOM: usize = 4;

impl Starts {
    /// Where an entry belongs: the upper bits of a product, which all bits of the granule decide.
    #[inline]
    fn home(&self, granule: u32) -> usize {
        (granule.wrapping_mul(0x9E37_79B9) >> self.shift) as usize
    }

    /// The entry of the node that begins at a granule, and its place.
    #[inline]
    pub(super) fn find(&self, granule: u32, granules: &impl Granules) -> Option<(usize, Entry)> {
        let mask = self.entries.len().wrapping_sub(1);
        let mut place = self.home(granule);
        loop {
            let entry = *self.entries.get(place)?;
            if entry.node == 0 {
                return None;
            }
            if granules.granule(entry.node) == granule {
                return Some((place, entry));
            }
            place = (place + 1) & mask;
        }
    }

    /// Whether there is room for one more.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        ROOM * self.count < self.entries.len()
    }

    /// Makes room for more; `false`, and nothing changed, if the host has no memory for it.
    #[cold]
    #[inline(never)]
    pub(super) fn grow(&mut self, granules: &impl Granules) -> bool {
        let length = (2 * self.entries.len()).max(FIRST);
        let mut entries = Vec::new();
        if entries.try_reserve_exact(length).is_err() {
            return false;
        }
        entries.resize(length, Entry::default());
        let old = core::mem::replace(&mut self.entries, entries);
        self.shift = 32 - length.trailing_zeros().min(31);
        self.count = 0;
        for entry in old.into_iter().filter(|entry| entry.node != 0) {
            self.insert(granules.granule(entry.node), entry);
        }
        true
    }

    /// Adds a node that is not in it. There [is room](Self::has_room).
    #[inline]
    pub(super) fn insert(&mut self, granule: u32, entry: Entry) {
        let mask = self.entries.len() - 1;
        let mut place = self.home(granule);
        while self.entries[place].node != 0 {
            place = (place + 1) & mask;
        }
        self.entries[place] = entry;
        self.count += 1;
    }

    /// Takes out the entry at a place. What lies behind moves up, so no marks of it are left.
    #[inline]
    pub(super) fn remove(&mut self, place: usize, granules: &impl Granules) {
        let mask = self.entries.len() - 1;
        self.entries[place] = Entry::default();
        self.count -= 1;
        if self.entries[(place + 1) & mask].node != 0 {
            self.close(place, granules);
        }
    }

    /// Moves up what lies behind a hole and may.
    #[cold]
    #[inline(never)]
    fn close(&mut self, mut hole: usize, granules: &impl Granules) {
        let mask = self.entries.len() - 1;
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let entry = self.entries[place];
            if entry.node == 0 {
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

    /// How many there are.
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
            let mut starts = Starts::default();
            let mut twin = BTreeMap::new();
            let mut granules = alloc::vec![u32::MAX];
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
                    assert!(starts.has_room() || starts.grow(&granules));
                    starts.insert(granule, Entry { node, note: step });
                } else if (state >> 60) % 4 >= wanted {
                    twin.remove(&granule);
                    let (place, found) = starts.find(granule, &granules).unwrap();
                    assert_eq!(Some(found.node), known);
                    starts.remove(place, &granules);
                }
                let asked = (state >> 20) as u32 % bound;
                let found = starts.find(asked, &granules).map(|(_, entry)| entry.node);
                assert_eq!(found, twin.get(&asked).copied());
                assert_eq!(starts.count(), twin.len());
            }
            for granule in 0..bound {
                let found = starts.find(granule, &granules).map(|(_, entry)| entry.node);
                assert_eq!(found, twin.get(&granule).copied());
            }
        }
    }
}
