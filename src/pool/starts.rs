//! Which node a live allocation has, by the granule where it begins.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

/// A hash table, at most a quarter full, so that probing is seldom a surprise. It is small where a
/// table over all granules would be large, and so stays in the caches: that is most of a look-up's time.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// Granule in the upper half, node in the lower; 0 is vacant, for no node is 0. A power of two of
    /// them, or none. An entry is at its home or after it, with no vacant one between.
    entries: Vec<u64>,
    /// 32 less the bits of a home.
    shift: u32,
    count: usize,
}

const FIRST: usize = 64;

impl Starts {
    /// Where an entry belongs: the upper bits of a product, which all bits of the granule decide.
    #[inline]
    fn home(&self, granule: u32) -> usize {
        (granule.wrapping_mul(0x9E37_79B9) >> self.shift) as usize
    }

    /// The node of a granule.
    #[inline]
    pub(super) fn get(&self, granule: u32) -> Option<u32> {
        let mask = self.entries.len().wrapping_sub(1);
        let mut place = self.home(granule);
        loop {
            let entry = *self.entries.get(place)?;
            if (entry >> 32) as u32 == granule && entry != 0 {
                return Some(entry as u32);
            }
            if entry == 0 {
                return None;
            }
            place = (place + 1) & mask;
        }
    }

    /// Makes room for one more; `false`, and nothing changed, if the host has no memory for it.
    #[inline]
    pub(super) fn reserve(&mut self) -> bool {
        4 * self.count < self.entries.len() || self.grow()
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> bool {
        let length = (2 * self.entries.len()).max(FIRST);
        let mut entries = Vec::new();
        if entries.try_reserve_exact(length).is_err() {
            return false;
        }
        entries.resize(length, 0);
        let old = core::mem::replace(&mut self.entries, entries);
        self.shift = 32 - length.trailing_zeros().min(31);
        self.count = 0;
        for entry in old.into_iter().filter(|&entry| entry != 0) {
            self.insert((entry >> 32) as u32, entry as u32);
        }
        true
    }

    /// Adds a granule that is not in it. [`reserve`](Self::reserve) has made room.
    #[inline]
    pub(super) fn insert(&mut self, granule: u32, node: u32) {
        let mask = self.entries.len() - 1;
        let mut place = self.home(granule);
        while self.entries[place] != 0 {
            place = (place + 1) & mask;
        }
        self.entries[place] = u64::from(granule) << 32 | u64::from(node);
        self.count += 1;
    }

    /// Takes out a granule that is in it. What lies behind moves up, so no marks of it are left.
    #[inline]
    pub(super) fn remove(&mut self, granule: u32) {
        let mask = self.entries.len() - 1;
        let mut hole = self.home(granule);
        while (self.entries[hole] >> 32) as u32 != granule || self.entries[hole] == 0 {
            hole = (hole + 1) & mask;
        }
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let entry = self.entries[place];
            if entry == 0 {
                break;
            }
            // An entry whose home is behind the hole stays.
            let home = self.home((entry >> 32) as u32);
            if (place.wrapping_sub(home) & mask) >= (place.wrapping_sub(hole) & mask) {
                self.entries[hole] = entry;
                hole = place;
            }
        }
        self.entries[hole] = 0;
        self.count -= 1;
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_is_a_map() {
        let mut state = 1_u64;
        for bound in [3, 200, 100_000] {
            let mut starts = Starts::default();
            let mut twin = BTreeMap::new();
            for step in 0..20_000_u32 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let granule = (state >> 33) as u32 % bound;
                // Grows, shrinks, grows.
                let wanted = if step / 5000 % 2 == 0 { 3 } else { 1 };
                let node = twin.get(&granule);
                if node.is_none() {
                    twin.insert(granule, step + 1);
                    assert!(starts.reserve());
                    starts.insert(granule, step + 1);
                } else if (state >> 60) % 4 >= wanted {
                    twin.remove(&granule);
                    starts.remove(granule);
                }
                let asked = (state >> 20) as u32 % bound;
                assert_eq!(starts.get(asked), twin.get(&asked).copied());
                assert_eq!(starts.count(), twin.len());
            }
            for granule in 0..bound {
                assert_eq!(starts.get(granule), twin.get(&granule).copied());
            }
        }
    }
}
