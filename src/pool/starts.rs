//! The nodes of live allocations, by the granules at which they start.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::{
    seat::{Era, Nodes, Seat},
    spill::Spill,
};
use crate::tlsf::Noted;

/// A hash table of nodes with two seats for each hash. At most a quarter of the seats is taken. A
/// node for which both seats are taken goes to the [`Spill`]; these are at most a few in a hundred.
/// So nothing has to be moved when a node leaves its seat.
///
/// The table does not contain the start of a node. A look-up reads the node in any case, which
/// contains its start. A table with one entry per granule would be large; this one is small, and so
/// stays in the caches, which matters most for the time of a look-up.
#[derive(Debug)]
pub(super) struct Starts {
    /// Their number is a power of two, or 0.
    seats: Vec<Seat>,
    spill: Spill,
    /// 64 minus the number of bits of a seat's index.
    shift: u32,
    /// The bytes of a granule times [`FACTOR`].
    step: u64,
    /// The address of granule 0 times [`FACTOR`].
    first: u64,
}

/// Distributes multiples of any power of two well, which the golden ratio does not.
const FACTOR: u64 = 0x22BD_588F_7174_836F;

const FIRST: usize = 64;

/// The minimum number of seats for each entry.
const SEATS: usize = 4;

impl Starts {
    /// Creates an empty table for granules of 2^`shift` bytes, where granule 0 is at the address
    /// `origin`.
    pub(super) fn new(shift: u32, origin: u64) -> Self {
        let (step, first) = (FACTOR << shift, FACTOR.wrapping_mul(origin));
        Self { seats: Vec::new(), spill: Spill::default(), shift: 0, step, first }
    }

    /// The preferred seat of an entry: the upper bits of [`FACTOR`] times the granule's address. It
    /// is computed from the address, so a look-up by address need not compute the granule first.
    /// The other seat is adjacent: the one before an odd seat, and the one after an even seat.
    #[inline]
    fn home(&self, granule: u32) -> usize {
        let product = u64::from(granule).wrapping_mul(self.step).wrapping_add(self.first);
        (product >> self.shift) as usize
    }

    /// The preferred seat for an address, and its contents.
    #[inline(always)]
    pub(super) fn best(&self, address: u64) -> Option<(usize, Seat)> {
        let home = (address.wrapping_mul(FACTOR) >> self.shift) as usize;
        Some((home, *self.seats.get(home)?))
    }

    /// The used region that starts at a granule, and the position of its entry: a seat or, after
    /// all seats, its position in the spill.
    #[inline]
    pub(super) fn find(&self, granule: u32, nodes: &impl Nodes) -> Option<(usize, Noted)> {
        let home = self.home(granule);
        match self.seats.get(home)?.used(nodes) {
            Some(noted) if noted.start == granule => Some((home, noted)),
            _ => self.find_further(granule, nodes),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_further(&self, granule: u32, nodes: &impl Nodes) -> Option<(usize, Noted)> {
        let beside = self.home(granule) ^ 1;
        match self.seats.get(beside)?.used(nodes) {
            Some(noted) if noted.start == granule => Some((beside, noted)),
            _ => {
                let (place, noted) = self.spill.find(granule, nodes)?;
                Some((self.seats.len() + place, noted))
            }
        }
    }

    /// Adds a node that is not in the table. Returns whether the last node that left the seat also
    /// started there, in this era. O(1). Returns `None`, and changes nothing, if both seats are
    /// taken and the host has no memory for the spill.
    #[inline]
    pub(super) fn insert(
        &mut self,
        granule: u32,
        place: u32,
        era: Era,
        nodes: &impl Nodes,
    ) -> Option<bool> {
        let home = self.home(granule);
        // Whether a seat is taken is unpredictable, so there is no branch on it.
        let beside = self.seats.get(home).is_some_and(|seat| seat.is_taken());
        match self.seats.get_mut(home ^ usize::from(beside)) {
            Some(seat) if !seat.is_taken() => {
                let left = core::mem::replace(seat, Seat::of(place));
                Some(left.remembers(granule, era))
            }
            _ => self.spill.insert(granule, place, nodes).then_some(false),
        }
    }

    /// Makes room for `count` entries. If there is no memory for that, more of them go to the
    /// spill, which is the only consequence.
    #[cold]
    #[inline(never)]
    pub(super) fn make_room(&mut self, count: usize, nodes: &impl Nodes) {
        if count * SEATS > self.seats.len() {
            // If this fails, it is tried again soon.
            let _ = self.grow(nodes);
        }
    }

    /// Doubles the number of seats. Returns `None`, and changes nothing, if the host has no memory
    /// for it.
    fn grow(&mut self, nodes: &impl Nodes) -> Option<()> {
        let length = (2 * self.seats.len()).max(FIRST);
        let mut seats = Vec::new();
        seats.try_reserve_exact(length).ok()?;
        seats.resize(length, Seat::default());
        let (shift, spill) = (64 - length.trailing_zeros(), Spill::default());
        let mut larger = Self { seats, spill, shift, ..*self };
        for noted in self.all(nodes) {
            larger.insert(noted.start, noted.place, Era::FIRST, nodes)?;
        }
        *self = larger;
        Some(())
    }

    /// All entries.
    pub(super) fn all(&self, nodes: &impl Nodes) -> impl Iterator<Item = Noted> {
        self.seats.iter().chain(self.spill.iter()).filter_map(|seat| seat.used(nodes))
    }

    /// Removes what [`find`](Self::find) found for a granule.
    pub(super) fn remove(&mut self, at: usize, granule: u32, era: Era, nodes: &impl Nodes) {
        match at.checked_sub(self.seats.len()) {
            None => self.leave(at, granule, era),
            Some(place) => self.spill.remove(place, nodes),
        }
    }

    /// Removes the node in a seat, which starts at a granule.
    #[inline(always)]
    pub(super) fn leave(&mut self, seat: usize, granule: u32, era: Era) {
        self.seats[seat] = Seat::left(granule, era);
    }

    /// The number of entries, whatever they are. O(seats).
    pub(super) fn count(&self) -> usize {
        self.seats.iter().chain(self.spill.iter()).filter(|seat| seat.is_taken()).count()
    }

    /// The bytes of memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.seats.capacity() * size_of::<Seat>() + self.spill.bytes()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::ground::random::Random;

    #[test]
    fn it_is_a_map_and_few_find_no_seat() {
        let mut random = Random::new(1);
        for bound in [3, 200, 100_000] {
            let mut starts = Starts::new(4, 1 << 20);
            let mut twin = BTreeMap::new();
            // Where each node begins; nobody is at place 0.
            let mut nodes = alloc::vec![u32::MAX];
            let (mut spilt, mut ended) = (0, BTreeSet::new());
            for step in 0..40_000_u32 {
                let granule = random.below(u64::from(bound)) as u32;
                // Grows, shrinks, grows.
                let wanted = if step / 10_000 % 2 == 0 { 3 } else { 1 };
                let known = twin.get(&granule).copied();
                if known.is_none() {
                    let place = nodes.len() as u32;
                    nodes.push(granule);
                    twin.insert(granule, place);
                    starts.make_room(twin.len(), &nodes);
                    let again = starts.insert(granule, place, Era::FIRST, &nodes);
                    assert!(again.is_some_and(|again| !again || ended.contains(&granule)));
                } else if random.below(4) >= wanted {
                    twin.remove(&granule);
                    let (at, found) = starts.find(granule, &nodes).unwrap();
                    assert_eq!(Some(found.place), known);
                    starts.remove(at, granule, Era::FIRST, &nodes);
                    ended.insert(granule);
                }
                let asked = random.below(u64::from(bound)) as u32;
                let found = starts.find(asked, &nodes).map(|(_, noted)| noted.place);
                assert_eq!(found, twin.get(&asked).copied());
                spilt = spilt.max(starts.spill.count());
            }
            assert_eq!(starts.count(), twin.len());
            for granule in 0..bound {
                let found = starts.find(granule, &nodes).map(|(_, noted)| noted.place);
                assert_eq!(found, twin.get(&granule).copied());
            }
            let most = nodes.len() / 20;
            assert!(spilt <= most && (spilt > 0 || bound < 100_000), "{spilt} of {bound}");
        }
    }

    /// However the granules lie, and however few seats there are, what finds no seat is found.
    #[test]
    fn starts_that_share_a_hash_are_found() {
        let shared = |granule: &u32| {
            let address = (1 << 20) + (u64::from(*granule) << 4);
            address.wrapping_mul(FACTOR) >> 52 == 0
        };
        let all: Vec<u32> = (0..).filter(shared).take(500).collect();
        for room in [0, 500] {
            let (mut starts, mut nodes) = (Starts::new(4, 1 << 20), alloc::vec![u32::MAX]);
            (0..=room).for_each(|count| starts.make_room(count, &nodes));
            for &granule in &all {
                nodes.push(granule);
                let place = nodes.len() as u32 - 1;
                assert_eq!(starts.insert(granule, place, Era::FIRST, &nodes), Some(false));
            }
            assert_eq!(starts.spill.count(), if room == 0 { 500 } else { 498 });
            starts.make_room(501, &nodes);
            for (index, &granule) in all.iter().enumerate() {
                let (at, noted) = starts.find(granule, &nodes).unwrap();
                assert_eq!((noted.place as usize, starts.count()), (index + 1, 500 - index));
                starts.remove(at, granule, Era::FIRST, &nodes);
                assert!(starts.find(granule, &nodes).is_none());
            }
        }
    }

    /// Who begins where the last one did that left the seat, is told so; another is not, nor one of another
    /// era. Who finds no seat is told nothing.
    #[test]
    fn a_seat_remembers_who_left_it() {
        let mut starts = Starts::new(4, 1 << 20);
        let nodes = alloc::vec![u32::MAX, 0, 7];
        starts.make_room(1, &nodes);
        let next = Era::FIRST.next(8);
        let last = (0..28).fold(next, |era, bit| era.next(1 << bit.min(27) << 3));
        let runs = [(1, 0, Era::FIRST, false), (1, 0, Era::FIRST, true), (2, 7, Era::FIRST, false)];
        let ends =
            [(2, 7, next, false), (2, 7, next, true), (2, 7, last, false), (2, 7, last, false)];
        for (place, granule, era, again) in runs.into_iter().chain(ends) {
            let inserted = starts.insert(granule, place, era, &nodes);
            assert_eq!(inserted, Some(again), "{granule}");
            let (at, _) = starts.find(granule, &nodes).unwrap();
            starts.remove(at, granule, era, &nodes);
        }
    }

    /// Those at a regular distance, whichever power of two, nearly all get the seat that they like best, and that is
    /// the seat that their address tells. The control are those above, which all like one.
    #[test]
    fn starts_at_regular_distances_do_not_meet() {
        for distance in 0..20 {
            let (mut starts, mut nodes) = (Starts::new(4, 1 << 20), alloc::vec![u32::MAX]);
            let mut best = 0;
            for number in 0..3000_u32 {
                let granule = number << distance;
                starts.make_room(number as usize + 1, &nodes);
                nodes.push(granule);
                let place = nodes.len() as u32 - 1;
                assert!(starts.insert(granule, place, Era::FIRST, &nodes).is_some());
            }
            for (granule, place) in (0..3000_u32).map(|number| number << distance).zip(1..) {
                let address = (1 << 20) + (u64::from(granule) << 4);
                let (at, seat) = starts.best(address).unwrap();
                assert_eq!(at, starts.home(granule));
                best += u32::from(seat == Seat::of(place));
            }
            assert!(best > 2250, "{best} of 3000, 2^{distance} granules apart");
        }
    }
}
