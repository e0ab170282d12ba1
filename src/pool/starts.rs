//! Finds the node of a live allocation by the granule at which it begins.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::{
    marks::{Era, Marks},
    nodes::Nodes,
    seats::{Word, vacant},
    spill::Spill,
};
use crate::tlsf::Noted;

/// A hash table of nodes with two seats for each hash. If both seats are taken, the node goes to the
/// [`Spill`]; this happens to a few percent of the nodes at most. Therefore removing a node leaves no
/// gap to close.
///
/// The table does not contain where a node begins: a look-up reads the node in any case, which has
/// it. So the table is small and stays in the caches; waiting for it is most of the time of a
/// look-up. For the same reason its seats are narrow where these can hold all places and can remember
/// which start left them. A table of narrow seats is at most an eighth full, so that fewer nodes miss
/// their best seat, and one of wide seats is at most a quarter full.
#[derive(Debug)]
pub(super) struct Starts {
    /// A power of two of seats, or none.
    narrow: Vec<i16>,
    /// A power of two of seats, or none. Empty if `narrow` is not.
    wide: Vec<i32>,
    spill: Spill,
    marks: Marks,
    /// The number of entries for which there are enough seats.
    room: usize,
    /// 64 minus the number of bits of a seat's index.
    shift: u32,
    /// The factor by which an address is multiplied: [`FACTOR`], shifted so that the index of a
    /// granule affects the uppermost `granules` bits of the product and no others.
    factor: u64,
    /// The size of a granule in bytes, times the factor.
    step: u64,
    /// The address of granule 0 times the factor.
    first: u64,
    /// All indices of granules are below 2 to the power of this.
    granules: u32,
}

/// An odd factor that spreads the multiples of every power of two, for every number of bits that are
/// kept of the product. Of up to 12,000 starts at equal distances at most 1.6 % share their best seat
/// with another. The golden ratio does not have this property. This factor was found by trying 26
/// million random numbers.
const FACTOR: u64 = 0x3844_0B73;

/// The smallest number of seats.
const FIRST: usize = 64;

/// The minimum number of narrow seats per entry.
const NARROW_EACH: usize = 8;
/// The minimum number of wide seats per entry.
const WIDE_EACH: usize = 4;

/// Called in the less likely of two branches, so that the compiler moves it out of line.
#[cold]
fn seldom() {}

/// Whether a narrow seat can hold a place.
fn fits_narrow(place: u32) -> bool {
    <i16 as Word>::of(place).is_some()
}

/// Puts a node into one of its two seats, and returns whether the last start that left this seat was
/// the same. Returns `None`, and changes nothing, if both seats are taken or too narrow.
#[inline(always)]
fn seat<W: Word>(
    seats: &mut [W],
    home: usize,
    place: u32,
    granule: u32,
    marks: &Marks,
) -> Option<bool> {
    let is_taken = |word: &W| word.number() > 0;
    // No branch, because whether the best seat is taken is not predictable.
    let beside = seats.get(home).is_some_and(is_taken);
    match seats.get_mut(home ^ usize::from(beside)) {
        Some(word) if !is_taken(word) => {
            let left = core::mem::replace(word, W::of(place)?);
            Some(marks.tell(granule, left.number()))
        }
        _ => None,
    }
}

impl Starts {
    /// An empty table, for a number of granules of 2^`shift` bytes that begin at address `origin`.
    pub(super) fn new(shift: u32, origin: u64, granules: usize) -> Self {
        let granules = granules.next_power_of_two().ilog2().max(1);
        let factor = FACTOR << (64 - granules - shift);
        let (step, first) = (factor << shift, factor.wrapping_mul(origin));
        Self {
            narrow: Vec::new(),
            wide: Vec::new(),
            spill: Spill::default(),
            marks: Marks::new(<i16 as Word>::DIGITS, 0, granules),
            room: 0,
            shift: 0,
            factor,
            step,
            first,
            granules,
        }
    }

    /// The address of a granule times the factor, which determines its seats. Code that has the
    /// address need not wait for the granule's index.
    #[inline(always)]
    fn product(&self, granule: u32) -> u64 {
        u64::from(granule).wrapping_mul(self.step).wrapping_add(self.first)
    }

    /// The best seat of a product: its upper bits. The other seat is the one whose index differs in
    /// the lowest bit.
    #[inline(always)]
    fn home(&self, product: u64) -> usize {
        (product >> self.shift) as usize
    }

    /// The place of the node in a seat. In a vacant seat it is a place without a node.
    #[inline(always)]
    fn place_in(&self, seat: usize) -> Option<u32> {
        // Narrow seats first: then their bounds check also decides which kind of seats there is.
        match self.narrow.get(seat) {
            Some(word) => Some(word.place()),
            None => {
                seldom();
                self.wide.get(seat).map(|word| word.place())
            }
        }
    }

    /// The best seat of the granule at an address, and the place of the node in it. In a vacant seat
    /// it is a place without a node.
    #[inline(always)]
    pub(super) fn best(&self, address: u64) -> Option<(usize, u32)> {
        let home = self.home(address.wrapping_mul(self.factor));
        Some((home, self.place_in(home)?))
    }

    /// The used region that begins at a granule, and the index of its entry. Indices after those of
    /// the seats are in the spill.
    pub(super) fn find(&self, granule: u32, nodes: &impl Nodes) -> Option<(usize, Noted)> {
        let home = self.home(self.product(granule));
        for seat in [home, home ^ 1] {
            match nodes.used(self.place_in(seat)?) {
                Some(noted) if noted.start == granule => return Some((seat, noted)),
                _ => {}
            }
        }
        let (place, noted) = self.spill.find(granule, nodes)?;
        Some((self.length() + place, noted))
    }

    /// The number of seats.
    fn length(&self) -> usize {
        self.narrow.len() + self.wide.len()
    }

    /// Adds a node that is not in the table, and returns whether the last node that left its seat
    /// began at the same granule, in this era. Returns `None`, and changes nothing, if there is no
    /// vacant seat and the host has no memory for another one. O(1).
    #[inline(always)]
    pub(super) fn insert(
        &mut self,
        granule: u32,
        place: u32,
        era: Era,
        nodes: &impl Nodes,
    ) -> Option<bool> {
        let home = self.home(self.product(granule));
        self.marks.see(era);
        match seat(&mut self.narrow, home, place, granule, &self.marks) {
            Some(again) => Some(again),
            None => self.insert_further(granule, place, nodes),
        }
    }

    /// Continues [`insert`](Self::insert) if no narrow seat was found.
    #[inline(never)]
    fn insert_further(&mut self, granule: u32, place: u32, nodes: &impl Nodes) -> Option<bool> {
        let home = self.home(self.product(granule));
        if let Some(again) = seat(&mut self.wide, home, place, granule, &self.marks) {
            return Some(again);
        }
        if self.narrow.is_empty() || fits_narrow(place) {
            return self.spill.insert(granule, place, nodes).then_some(false);
        }
        self.rebuild(self.room, false, nodes)?;
        self.insert_again(granule, place, nodes)
    }

    /// [`insert`](Self::insert), not inlined.
    #[inline(never)]
    fn insert_again(&mut self, granule: u32, place: u32, nodes: &impl Nodes) -> Option<bool> {
        self.insert(granule, place, self.marks.era(), nodes)
    }

    /// Makes room for a number of entries. If the host has no memory for it, more entries go to the
    /// spill.
    #[cold]
    #[inline(never)]
    pub(super) fn make_room(&mut self, count: usize, nodes: &impl Nodes) {
        if count > self.room {
            let may_be_narrow = self.all(nodes).all(|noted| fits_narrow(noted.place));
            // If this fails, it is tried again soon.
            let _ = self.rebuild(count, may_be_narrow, nodes);
        }
    }

    /// Replaces the seats by those for a number of entries. Returns `None`, and changes nothing, if
    /// the host has no memory for them.
    fn rebuild(&mut self, count: usize, may_be_narrow: bool, nodes: &impl Nodes) -> Option<()> {
        let length = |each: usize| (count * each).next_power_of_two().max(FIRST);
        let (few, many) = (length(WIDE_EACH), length(NARROW_EACH));
        let narrow_bits = <i16 as Word>::DIGITS;
        let tail_bits = Marks::tail_bits(many.ilog2(), self.granules);
        let is_narrow = may_be_narrow && tail_bits <= narrow_bits;
        let (length, each, bits) = match is_narrow {
            true => (many, NARROW_EACH, narrow_bits),
            false => (few, WIDE_EACH, <i32 as Word>::DIGITS),
        };
        let mut other = Self {
            narrow: vacant(if is_narrow { length } else { 0 })?,
            wide: vacant(if is_narrow { 0 } else { length })?,
            spill: Spill::default(),
            marks: Marks::new(bits, length.ilog2(), self.granules),
            room: length / each,
            shift: 64 - length.ilog2(),
            ..*self
        };
        for noted in self.all(nodes) {
            other.insert_again(noted.start, noted.place, nodes)?;
        }
        *self = other;
        Some(())
    }

    /// The places in all seats, vacant ones included, and in the spill.
    fn places(&self) -> impl Iterator<Item = u32> {
        let narrow = self.narrow.iter().map(|word| word.place());
        narrow.chain(self.wide.iter().map(|word| word.place())).chain(self.spill.iter())
    }

    /// All nodes in the table.
    fn all(&self, nodes: &impl Nodes) -> impl Iterator<Item = Noted> {
        self.places().filter_map(|place| nodes.used(place))
    }

    /// Removes the entry of a granule that [`find`](Self::find) returned.
    pub(super) fn remove(&mut self, at: usize, granule: u32, nodes: &impl Nodes) {
        match at.checked_sub(self.length()) {
            None => self.leave(at, granule),
            Some(place) => self.spill.remove(place, nodes),
        }
    }

    /// Removes the node of a granule from its seat.
    #[inline(always)]
    pub(super) fn leave(&mut self, seat: usize, granule: u32) {
        let word = self.marks.word(granule);
        match self.narrow.get_mut(seat) {
            Some(narrow) => *narrow = Word::vacant(word),
            None => {
                seldom();
                self.wide[seat] = Word::vacant(word);
            }
        }
    }

    /// The number of entries. O(seats).
    pub(super) fn count(&self) -> usize {
        self.places().filter(|&place| place != 0 && place < 1 << 31).count()
    }

    /// The bytes held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.narrow) + size_of_val(&*self.wide) + self.spill.bytes()
    }
}

#[cfg(test)]
mod tests {
    use alloc::{
        collections::{BTreeMap, BTreeSet},
        vec::Vec,
    };

    use super::*;
    use crate::{ground::random::Random, tlsf::Tlsf};

    const ORIGIN: u64 = 1 << 20;

    /// A table for granules of 16 bytes below a bound, and where the node of each index begins: none is at 0.
    fn starts(granules: usize) -> (Starts, Vec<u32>) {
        (Starts::new(4, ORIGIN, granules), alloc::vec![u32::MAX])
    }

    /// A node that begins at a granule: its place.
    fn add(nodes: &mut Vec<u32>, granule: u32) -> u32 {
        nodes.push(granule);
        (nodes.len() as u32 - 1) * Tlsf::PLACES
    }

    /// With narrow seats and with wide ones, as the bound of the granules and the number of nodes have it.
    #[test]
    fn it_is_a_map_and_few_find_no_seat() {
        let mut random = Random::new(1);
        let mut widths = BTreeSet::new();
        for bound in [3, 200, 100_000, 1 << 31] {
            let (mut starts, mut nodes) = starts(bound as usize);
            let mut twin = BTreeMap::new();
            let (mut spilt, mut ended) = (0, BTreeSet::new());
            for step in 0..100_000_u32 {
                let granule = random.below(bound) as u32;
                // Grows, shrinks, grows.
                let wanted = if step / 25_000 % 2 == 0 { 3 } else { 1 };
                let known = twin.get(&granule).copied();
                if known.is_none() && random.below(4) < wanted {
                    let place = add(&mut nodes, granule);
                    twin.insert(granule, place);
                    starts.make_room(twin.len(), &nodes);
                    let again = starts.insert(granule, place, Era::FIRST, &nodes);
                    assert!(again.is_some_and(|again| !again || ended.contains(&granule)));
                }
                let gone = twin.range(granule..).next().map(|(&granule, &place)| (granule, place));
                if let Some((granule, place)) = gone.filter(|_| random.below(4) >= wanted) {
                    twin.remove(&granule);
                    let (at, found) = starts.find(granule, &nodes).unwrap();
                    assert_eq!((found.place, found.start), (place, granule));
                    starts.remove(at, granule, &nodes);
                    nodes[(place / Tlsf::PLACES) as usize] = u32::MAX;
                    ended.insert(granule);
                }
                let asked = random.below(bound) as u32;
                let found = starts.find(asked, &nodes).map(|(_, noted)| noted.place);
                assert_eq!(found, twin.get(&asked).copied());
                spilt = spilt.max(starts.spill.count());
                widths.insert((bound, starts.wide.is_empty()));
            }
            assert_eq!(starts.count(), twin.len());
            for (&granule, &place) in &twin {
                let found = starts.find(granule, &nodes).map(|(_, noted)| noted.place);
                assert_eq!(found, Some(place));
            }
            let most = nodes.len() / 20;
            assert!(spilt <= most && (spilt > 0 || bound < 100_000), "{spilt} of {bound}");
        }
        assert!(widths.contains(&(100_000, true)), "narrow at first");
        assert!(widths.contains(&(100_000, false)), "wide once there are many nodes");
        assert!(
            widths.contains(&(1 << 31, false)),
            "wide where a narrow seat has no room for a tail"
        );
        assert!(
            widths.contains(&(1 << 31, true)),
            "narrow once there are so many seats that it has"
        );
    }

    /// However the granules lie, and however few seats there are, what finds no seat is found.
    #[test]
    fn starts_that_share_a_hash_are_found() {
        for room in [0, 500] {
            let (mut starts, mut nodes) = starts(1 << 24);
            (0..=room).for_each(|count| starts.make_room(count, &nodes));
            let shared = |&granule: &u32| starts.product(granule) >> 52 == 0;
            let all: Vec<u32> = (0..1 << 24).filter(shared).take(500).collect();
            for &granule in &all {
                let place = add(&mut nodes, granule);
                assert_eq!(starts.insert(granule, place, Era::FIRST, &nodes), Some(false));
            }
            assert_eq!(starts.spill.count(), if room == 0 { 500 } else { 498 });
            starts.make_room(1001, &nodes);
            for (index, &granule) in all.iter().enumerate() {
                let (at, noted) = starts.find(granule, &nodes).unwrap();
                let place = (index as u32 + 1) * Tlsf::PLACES;
                assert_eq!((noted.place, starts.count()), (place, 500 - index));
                starts.remove(at, granule, &nodes);
                assert!(starts.find(granule, &nodes).is_none());
            }
        }
    }

    /// Who begins where the last one did that left the seat, is told so; another is not, nor one of another
    /// era. Who finds no seat is told nothing. Where a word has no room for it, nobody is told anything.
    #[test]
    fn a_seat_remembers_who_left_it() {
        for (bound, is_narrow) in
            [(1 << 8, true), (1 << 20, true), (1 << 21, false), (1 << 31, false)]
        {
            let (mut starts, mut nodes) = starts(bound);
            starts.make_room(1, &nodes);
            assert_eq!(starts.wide.is_empty(), is_narrow, "{bound}");
            let (next, last) = (Era(1), Era(u32::MAX));
            let first = [(0, Era::FIRST, false), (0, Era::FIRST, true), (7, Era::FIRST, false)];
            let more = match bound {
                // All 15 bits of a word are a tail's.
                0x10_0000 => [(7, Era::FIRST, true), (7, next, false), (7, next, false)],
                _ => [(7, next, false), (7, next, true), (7, last, false)],
            };
            for (granule, era, again) in first.into_iter().chain(more).chain([(7, last, false)]) {
                let place = add(&mut nodes, granule);
                let inserted = starts.insert(granule, place, era, &nodes);
                assert_eq!(inserted, Some(again), "{granule} of {bound} in {era:?}");
                let (at, _) = starts.find(granule, &nodes).unwrap();
                starts.remove(at, granule, &nodes);
            }
        }
    }

    /// Those at a regular distance, whichever power of two and however many granules there are, nearly all get the seat that
    /// they like best, and that is the seat that their address tells. The control are those above, which all like one.
    #[test]
    fn starts_at_regular_distances_do_not_meet() {
        for (distance, bits) in
            (0..20).flat_map(|distance| [(distance, distance + 12), (distance, 31)])
        {
            let (mut starts, mut nodes) = starts(1 << bits);
            let mut best = 0;
            for number in 0..3000_u32 {
                starts.make_room(number as usize + 1, &nodes);
                let granule = number << distance;
                let place = add(&mut nodes, granule);
                assert!(starts.insert(granule, place, Era::FIRST, &nodes).is_some());
            }
            for granule in (0..3000_u32).map(|number| number << distance) {
                let address = ORIGIN + (u64::from(granule) << 4);
                let (at, place) = starts.best(address).unwrap();
                assert_eq!(at, starts.home(starts.product(granule)));
                best += u32::from(nodes.used(place).is_some_and(|noted| noted.start == granule));
            }
            assert!(best > 2900, "{best} of 3000, 2^{distance} granules of 2^{bits} apart");
        }
    }
}
