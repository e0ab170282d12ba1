//! The entries of a table of starts for which both seats were taken. They are in a table of their
//! own, in which an entry takes the next vacant seat.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::seat::{Nodes, Seat};
use crate::tlsf::Noted;

/// A hash table of nodes by their start. At most a quarter of the seats is taken.
#[derive(Debug, Default)]
pub(super) struct Spill {
    /// Their number is a power of two, or 0. A node is at its home or after it, with no vacant seat
    /// between.
    seats: Vec<Seat>,
    /// 32 minus the number of bits of a home.
    shift: u32,
    count: usize,
}

const FIRST: usize = 16;

/// The minimum number of seats for each node.
const ROOM: usize = 4;

impl Spill {
    /// The home of an entry: the upper bits of a product, which depend on all bits of the granule.
    fn home(&self, granule: u32) -> usize {
        (granule.wrapping_mul(0x9E37_79B9) >> self.shift) as usize
    }

    /// The used region that starts at a granule, and the index of its seat.
    pub(super) fn find(&self, granule: u32, nodes: &impl Nodes) -> Option<(usize, Noted)> {
        let mask = self.seats.len().wrapping_sub(1);
        let mut at = self.home(granule);
        loop {
            let noted = self.seats.get(at)?.used(nodes)?;
            if noted.start == granule {
                return Some((at, noted));
            }
            at = (at + 1) & mask;
        }
    }

    /// Makes room for more entries. Returns `false`, and changes nothing, if the host has no memory
    /// for it.
    fn grow(&mut self, nodes: &impl Nodes) -> bool {
        let length = (2 * self.seats.len()).max(FIRST);
        let mut seats = Vec::new();
        if seats.try_reserve_exact(length).is_err() {
            return false;
        }
        seats.resize(length, Seat::default());
        let old = core::mem::replace(&mut self.seats, seats);
        self.shift = 32 - length.trailing_zeros().min(31);
        self.count = 0;
        for noted in old.into_iter().filter_map(|seat| seat.used(nodes)) {
            self.put(noted.start, Seat::of(noted.place));
        }
        true
    }

    /// Adds a node that is not in the table. Returns `false`, and changes nothing, if the host has
    /// no memory for it.
    #[cold]
    #[inline(never)]
    pub(super) fn insert(&mut self, granule: u32, place: u32, nodes: &impl Nodes) -> bool {
        if ROOM * self.count >= self.seats.len() && !self.grow(nodes) {
            return false;
        }
        self.put(granule, Seat::of(place));
        true
    }

    /// Adds an entry for which there is room.
    fn put(&mut self, granule: u32, seat: Seat) {
        let mask = self.seats.len() - 1;
        let mut at = self.home(granule);
        while self.seats[at].is_taken() {
            at = (at + 1) & mask;
        }
        self.seats[at] = seat;
        self.count += 1;
    }

    /// Removes the entry at an index. Entries after it move up, so no marks are left.
    #[cold]
    #[inline(never)]
    pub(super) fn remove(&mut self, mut hole: usize, nodes: &impl Nodes) {
        let mask = self.seats.len() - 1;
        self.seats[hole] = Seat::default();
        self.count -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let seat = self.seats[at];
            let Some(noted) = seat.used(nodes) else { return };
            // An entry whose home is after the hole stays.
            let home = self.home(noted.start);
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.seats[hole] = seat;
                self.seats[at] = Seat::default();
                hole = at;
            }
        }
    }

    /// All seats.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter()
    }

    /// The number of entries.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The bytes of memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.seats.capacity() * size_of::<Seat>()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;
    use crate::ground::random::Random;

    #[test]
    fn it_is_a_map() {
        let mut random = Random::new(1);
        for bound in [3, 200, 100_000] {
            let mut spill = Spill::default();
            let mut twin = BTreeMap::new();
            // Where each node begins; nobody is at place 0.
            let mut nodes = alloc::vec![u32::MAX];
            for step in 0..20_000 {
                let granule = random.below(u64::from(bound)) as u32;
                // Grows, shrinks, grows.
                let wanted = if step / 5000 % 2 == 0 { 3 } else { 1 };
                let known = twin.get(&granule).copied();
                if known.is_none() {
                    let place = nodes.len() as u32;
                    nodes.push(granule);
                    twin.insert(granule, place);
                    assert!(spill.insert(granule, place, &nodes));
                } else if random.below(4) >= wanted {
                    twin.remove(&granule);
                    let (at, found) = spill.find(granule, &nodes).unwrap();
                    assert_eq!(Some(found.place), known);
                    spill.remove(at, &nodes);
                }
                let asked = random.below(u64::from(bound)) as u32;
                let found = spill.find(asked, &nodes).map(|(_, noted)| noted.place);
                assert_eq!(found, twin.get(&asked).copied());
                assert_eq!(spill.count(), twin.len());
            }
            for granule in 0..bound {
                let found = spill.find(granule, &nodes).map(|(_, noted)| noted.place);
                assert_eq!(found, twin.get(&granule).copied());
            }
        }
    }
}
