//! Which node a live allocation has, and what is noted of it, by the granule where it begins.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::spill::{Entry, Granules, Spill, VACANT};

/// A hash table of nodes with two seats for each hash, at most a quarter full. Who finds both taken goes to
/// the [`Spill`], a few in a hundred at most; so whoever leaves a seat has nothing to close up.
///
/// It is small where a table over all granules would be large, and so stays in the caches: that is most of
/// a look-up's time.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// A power of two of them, or none.
    seats: Vec<Entry>,
    spill: Spill,
    /// 32 less the bits of a seat.
    shift: u32,
    /// How many more may come before it grows.
    room: usize,
}

const FIRST: usize = 64;

/// Seats for each entry, at least.
const SEATS: usize = 4;

impl Starts {
    /// The seat that an entry likes best: the upper bits of a product, which all bits of the granule decide.
    /// The other is the one beside it, of an odd one before and of an even one behind.
    #[inline]
    fn home(&self, granule: u32) -> usize {
        (granule.wrapping_mul(0x9E37_79B9) >> self.shift) as usize
    }

    /// The entry of the node that begins at a granule, and where it is: a seat, or behind all seats its
    /// place in the spill.
    #[inline]
    pub(super) fn find(&self, granule: u32, granules: &impl Granules) -> Option<(usize, Entry)> {
        let home = self.home(granule);
        let entry = *self.seats.get(home)?;
        if !entry.is_vacant() && granules.granule(entry.node) == granule {
            return Some((home, entry));
        }
        self.find_further(granule, granules)
    }

    #[cold]
    #[inline(never)]
    fn find_further(&self, granule: u32, granules: &impl Granules) -> Option<(usize, Entry)> {
        let beside = self.home(granule) ^ 1;
        let entry = *self.seats.get(beside)?;
        if !entry.is_vacant() && granules.granule(entry.node) == granule {
            return Some((beside, entry));
        }
        let (place, entry) = self.spill.find(granule, granules)?;
        Some((self.seats.len() + place, entry))
    }

    /// Adds a node that is not in it, and tells whether the last that left the seat began there too, in this
    /// generation. O(1) amortised; none, and nothing changed, if the host has no memory for it.
    #[inline]
    pub(super) fn insert(
        &mut self,
        granule: u32,
        entry: Entry,
        generation: u32,
        granules: &impl Granules,
    ) -> Option<bool> {
        if self.room == 0 && !self.grow(granules) {
            return None;
        }
        let home = self.home(granule);
        // Whether somebody sits there is a coin flip, and so no branch.
        let seat = home ^ usize::from(!self.seats[home].is_vacant());
        let left = self.seats[seat];
        if left.is_vacant() {
            self.seats[seat] = entry;
        } else if !self.spill.insert(granule, entry, granules) {
            return None;
        }
        self.room -= 1;
        Some(left == Entry::left(granule, generation))
    }

    /// Makes room for as many again.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, granules: &impl Granules) -> bool {
        let length = (2 * self.seats.len()).max(FIRST);
        let mut larger = Self {
            seats: Vec::new(),
            spill: Spill::default(),
            shift: 32 - length.trailing_zeros().min(31),
            room: length / SEATS,
        };
        if larger.seats.try_reserve_exact(length).is_err() {
            return false;
        }
        larger.seats.resize(length, Entry::default());
        let seated = self.seats.iter().copied().filter(|entry| !entry.is_vacant());
        for entry in seated.chain(self.spill.iter()) {
            if larger.insert(granules.granule(entry.node), entry, VACANT, granules).is_none() {
                return false;
            }
        }
        *self = larger;
        true
    }

    /// Takes out what [`find`](Self::find) found of a granule.
    #[inline]
    pub(super) fn remove(
        &mut self,
        place: usize,
        granule: u32,
        generation: u32,
        granules: &impl Granules,
    ) {
        let length = self.seats.len();
        match self.seats.get_mut(place) {
            Some(seat) => seat.leave(granule, generation),
            None => self.spill.remove(place - length, granules),
        }
        self.room += 1;
    }

    /// How many there are.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.seats.len() / SEATS - self.room
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.seats.capacity() * size_of::<Entry>() + self.spill.bytes()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn it_is_a_map_and_few_find_no_seat() {
        let mut state = 1_u64;
        for bound in [3, 200, 100_000] {
            let mut starts = Starts::default();
            let mut twin = BTreeMap::new();
            let mut granules = alloc::vec![u32::MAX; VACANT as usize];
            let (mut spilt, mut ended) = (0, BTreeSet::new());
            for step in 0..40_000_u32 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let granule = (state >> 33) as u32 % bound;
                // Grows, shrinks, grows.
                let wanted = if step / 10_000 % 2 == 0 { 3 } else { 1 };
                let known = twin.get(&granule).copied();
                if known.is_none() {
                    let node = granules.len() as u32;
                    granules.push(granule);
                    twin.insert(granule, node);
                    let again = starts.insert(granule, Entry { node, note: step }, 0, &granules);
                    assert!(again.is_some_and(|again| !again || ended.contains(&granule)));
                } else if (state >> 60) % 4 >= wanted {
                    twin.remove(&granule);
                    let (place, found) = starts.find(granule, &granules).unwrap();
                    assert_eq!(Some(found.node), known);
                    starts.remove(place, granule, 0, &granules);
                    ended.insert(granule);
                }
                let asked = (state >> 20) as u32 % bound;
                let found = starts.find(asked, &granules).map(|(_, entry)| entry.node);
                assert_eq!(found, twin.get(&asked).copied());
                assert_eq!(starts.count(), twin.len());
                spilt = spilt.max(starts.spill.count());
            }
            for granule in 0..bound {
                let found = starts.find(granule, &granules).map(|(_, entry)| entry.node);
                assert_eq!(found, twin.get(&granule).copied());
            }
            let most = granules.len() / 20;
            assert!(spilt <= most && (spilt > 0) == (bound == 100_000), "{spilt} of {bound}");
        }
    }

    /// However the granules lie, what finds no seat is found.
    #[test]
    fn starts_that_share_a_hash_are_found() {
        let mut starts = Starts::default();
        let mut granules = alloc::vec![u32::MAX; VACANT as usize];
        // Products that differ in their lowest bits alone.
        let inverse = 0x144C_BC89_u32;
        assert_eq!(inverse.wrapping_mul(0x9E37_79B9), 1);
        let all: Vec<u32> = (0..500_u32).map(|number| number.wrapping_mul(inverse)).collect();
        for &granule in &all {
            granules.push(granule);
            let entry = Entry { node: granules.len() as u32 - 1, note: granule };
            assert_eq!(starts.insert(granule, entry, 0, &granules), Some(false));
        }
        assert_eq!(starts.spill.count(), 498);
        for (index, &granule) in all.iter().enumerate() {
            let (place, entry) = starts.find(granule, &granules).unwrap();
            assert_eq!((entry.note, starts.count()), (granule, 500 - index));
            starts.remove(place, granule, 0, &granules);
            assert!(starts.find(granule, &granules).is_none());
        }
    }

    /// Who begins where the last one did that left the seat, is told so; another is not, nor one of another
    /// generation.
    #[test]
    fn a_seat_remembers_who_left_it() {
        let mut starts = Starts::default();
        let mut granules = alloc::vec![u32::MAX; VACANT as usize];
        granules.extend([0, 7]);
        let entry = |node| Entry { node: VACANT + node, note: 0 };
        let runs = [(0, 0, 0, false), (0, 0, 0, true), (1, 7, 0, false), (1, 7, 1, false)];
        // There are so many, and then none is told.
        let ends = [(1, 7, 1, true), (1, 7, VACANT, false), (1, 7, VACANT, false)];
        for (node, granule, generation, again) in runs.into_iter().chain(ends) {
            let inserted = starts.insert(granule, entry(node), generation, &granules);
            assert_eq!(inserted, Some(again), "{granule}");
            let (place, _) = starts.find(granule, &granules).unwrap();
            starts.remove(place, granule, generation, &granules);
        }
    }
}
