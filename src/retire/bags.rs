//! Bags: what was dropped, in the order in which it will be reached.

use alloc::{
    collections::{TryReserveError, VecDeque},
    vec::Vec,
};

use super::{
    dated::DatedEntries,
    error::Broken,
    point::{BagNumber, Point},
    reached::Reached,
};

/// Retired entries that wait for their bag, or for explicit points.
///
/// Entries are added in three ways and removed in one:
/// * [`file`](Self::file): into the current bag. O(1), one flat queue for all bags.
/// * [`file_at`](Self::file_at): with explicit points. O(log n).
/// * [`file`](Self::file) with [`BagNumber::UNTIMED`]: there is no timeline, so only an assumption
///   can release the entry.
///
/// [`take_reached`](Self::take_reached) removes what is reached.
#[derive(Debug)]
pub struct Bags<T> {
    /// The entries of all bags, oldest first.
    entries: VecDeque<T>,
    /// The bags of `entries`: number and count, with strictly rising numbers.
    bags: VecDeque<(BagNumber, usize)>,
    dated: DatedEntries<T>,
    untimed: Vec<T>,
}

impl<T> Default for Bags<T> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            bags: VecDeque::new(),
            dated: DatedEntries::default(),
            untimed: Vec::new(),
        }
    }
}

impl<T> Bags<T> {
    /// Creates an empty collection. Allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry to the bag that is current at its drop ([`Cuts::current`]). O(1).
    ///
    /// Numbers must not decrease from call to call. An older number is treated as the newest one
    /// here, which can only release the entry later. Returns whether the entry is the first of its
    /// bag. If the host may be out of memory, call [`reserve`](Self::reserve) first.
    ///
    /// [`Cuts::current`]: super::Cuts::current
    #[inline(always)]
    pub fn file(&mut self, bag: BagNumber, entry: T) -> bool {
        if bag == BagNumber::UNTIMED {
            self.untimed.push(entry);
            return false;
        }
        self.entries.push_back(entry);
        match self.bags.back_mut() {
            Some((number, count)) if *number >= bag => {
                *count += 1;
                false
            }
            _ => {
                self.bags.push_back((bag, 1));
                true
            }
        }
    }

    /// Ensures that the next [`file`](Self::file) needs no memory, whether its bag is timed or not.
    /// O(1) amortised.
    ///
    /// # Errors
    /// The host has no memory. Nothing has changed.
    #[inline(always)]
    pub fn reserve(&mut self, bag: BagNumber) -> Result<(), TryReserveError> {
        let full = self.entries.len() == self.entries.capacity()
            || self.bags.len() == self.bags.capacity();
        match full || bag == BagNumber::UNTIMED {
            true => self.grow(bag),
            false => Ok(()),
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, bag: BagNumber) -> Result<(), TryReserveError> {
        if bag == BagNumber::UNTIMED {
            return self.untimed.try_reserve(1);
        }
        self.entries.try_reserve(1)?;
        self.bags.try_reserve(1)
    }

    /// Adds an entry with points: it is reached when all of them are. O(points + timelines + log
    /// n).
    ///
    /// Without points, the entry is reached at the next [`take_reached`](Self::take_reached) that
    /// sees any bag reached. Pass exactly the points that are not reached yet, or any superset of
    /// them.
    ///
    /// # Errors
    /// The host has no memory. Nothing has changed, and the entry is returned.
    pub fn file_at(&mut self, points: &[Point], entry: T) -> Result<(), T> {
        match points.split_first() {
            Some((&first, rest)) => self.dated.file(first, rest, entry),
            None if self.reserve(BagNumber::FIRST).is_err() => Err(entry),
            None => {
                self.file(BagNumber::FIRST, entry);
                Ok(())
            }
        }
    }

    /// Moves every reached entry to `out`, oldest bag first. O(moved + log dated).
    pub fn take_reached(&mut self, reached: &Reached, out: &mut impl Extend<T>) {
        self.take_reached_at_most(usize::MAX, reached, out);
    }

    /// Moves at most `most` reached entries to `out`: those of the oldest bag first, which may be
    /// split, and then those with points. Returns whether reached entries are left. O(moved +
    /// timelines log points). An entry with k points is visited up to k times.
    pub fn take_reached_at_most(
        &mut self,
        most: usize,
        reached: &Reached,
        out: &mut impl Extend<T>,
    ) -> bool {
        let taken = self.take_bags(most, reached.bag(), out);
        self.take_more(most - taken, reached, out)
    }

    /// After the bags, takes the entries with points. Returns whether reached ones are left.
    fn take_more(&mut self, room: usize, reached: &Reached, out: &mut impl Extend<T>) -> bool {
        let dated_left = !self.dated.is_empty() && self.dated.take(room, reached, out);
        dated_left || self.has_reached(reached.bag())
    }

    /// Whether a bag up to this one has any entry. O(1).
    fn has_reached(&self, reached: BagNumber) -> bool {
        let oldest = self.bags.front();
        oldest.is_some_and(|&(number, _)| number <= reached)
            || (reached == BagNumber::NEVER && !self.untimed.is_empty())
    }

    /// Moves at most `most` entries of the bags up to `reached`; for [`NEVER`](BagNumber::NEVER)
    /// also those without a timeline. Entries with points stay. Returns how many were moved.
    pub(crate) fn take_bags(
        &mut self,
        most: usize,
        reached: BagNumber,
        out: &mut impl Extend<T>,
    ) -> usize {
        let taken = self.uncount(most, reached);
        out.extend(self.entries.drain(..taken));
        taken + self.take_untimed(most - taken, reached, out)
    }

    /// Subtracts at most `most` entries from the counts of the bags up to `reached`. Returns how
    /// many; that many of the oldest entries are to be removed.
    fn uncount(&mut self, most: usize, reached: BagNumber) -> usize {
        let mut room = most;
        while let Some((number, count)) = self.bags.front_mut() {
            if *number > reached || room == 0 {
                break;
            }
            let taken = room.min(*count);
            room -= taken;
            *count -= taken;
            if *count == 0 {
                self.bags.pop_front();
            }
        }
        most - room
    }

    fn take_untimed(&mut self, most: usize, reached: BagNumber, out: &mut impl Extend<T>) -> usize {
        if reached != BagNumber::NEVER {
            return 0;
        }
        let taken = most.min(self.untimed.len());
        out.extend(self.untimed.drain(..taken));
        taken
    }

    /// Moves every entry to `out`, reached or not. Use it after a wait for the whole device, an
    /// assumption, or a device loss. O(n).
    pub fn take_all(&mut self, out: &mut impl Extend<T>) {
        self.bags.clear();
        out.extend(self.entries.drain(..));
        self.dated.take_all(out);
        out.extend(self.untimed.drain(..));
    }

    /// The oldest bag up to which `enough` has returned true for an entry. `enough` is called for
    /// each entry in the order of their bags. O(entries).
    pub fn oldest_with(&self, mut enough: impl FnMut(&T) -> bool) -> Option<BagNumber> {
        let mut entries = self.entries.iter();
        let mut bags = self.bags.iter();
        bags.find(|&&(_, count)| entries.by_ref().take(count).any(&mut enough))
            .map(|&(number, _)| number)
    }

    /// An entry of the oldest bag, or else one that waits for something else. O(1).
    pub fn first(&self) -> Option<&T> {
        let dated = || self.dated.iter().map(|(.., entry)| entry).next();
        self.entries.front().or_else(dated).or_else(|| self.untimed.first())
    }

    /// The oldest bag that has any entry, or [`BagNumber::NEVER`]. O(1).
    pub fn oldest(&self) -> BagNumber {
        self.bags.front().map_or(BagNumber::NEVER, |&(number, _)| number)
    }

    /// Whether an entry waits for explicit points. O(1).
    pub fn has_dated(&self) -> bool {
        !self.dated.is_empty()
    }

    /// For each timeline, the first point that an entry waits for, in the order of timeline
    /// numbers. O(timelines).
    #[cfg(feature = "vulkan")]
    pub(crate) fn first_points(&self) -> impl Iterator<Item = Point> + '_ {
        self.dated.first_points()
    }

    /// The number of entries that wait for [`take_all`](Self::take_all), because no timeline
    /// existed at their drop. O(1).
    pub fn untimed_len(&self) -> usize {
        self.untimed.len()
    }

    /// Whether there are no entries at all. O(1).
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.dated.is_empty() && self.untimed.is_empty()
    }

    /// The entries of bags with their bag, oldest first. Those without a timeline have
    /// [`BagNumber::UNTIMED`]. For reports. O(1) per entry.
    pub fn filed(&self) -> impl Iterator<Item = (BagNumber, &T)> {
        let numbers = self.bags.iter().flat_map(|&(bag, count)| core::iter::repeat_n(bag, count));
        let untimed = self.untimed.iter().map(|entry| (BagNumber::UNTIMED, entry));
        numbers.zip(&self.entries).chain(untimed)
    }

    /// As [`filed`](Self::filed), but only for the entries of bags, which can be modified in place.
    /// O(1) per entry.
    pub fn filed_mut(&mut self) -> impl Iterator<Item = (BagNumber, &mut T)> {
        let numbers = self.bags.iter().flat_map(|&(bag, count)| core::iter::repeat_n(bag, count));
        numbers.zip(&mut self.entries)
    }

    /// The entries that wait for explicit points: the next point, the number of points after it,
    /// and the entry. For reports. O(1) per entry.
    pub fn filed_at(&self) -> impl Iterator<Item = (Point, usize, &T)> {
        self.dated.iter()
    }

    /// The entries whose explicit points are all reached: those points, and the entry. O(points).
    #[cfg(feature = "vulkan")]
    pub(crate) fn filed_at_all<'a>(
        &'a self,
        reached: &'a Reached,
    ) -> impl Iterator<Item = (impl Iterator<Item = Point> + 'a, &'a T)> {
        self.dated.due(reached)
    }

    /// The number of entries. O(timelines).
    pub fn len(&self) -> usize {
        self.entries.len() + self.dated.len() + self.untimed.len()
    }

    /// Verifies that the counts of bags add up and that their numbers rise. O(bags).
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn check(&self) -> Result<(), Broken> {
        let counted: usize = self.bags.iter().map(|&(_, count)| count).sum();
        let rising = self.bags.iter().zip(self.bags.iter().skip(1)).all(|(a, b)| a.0 < b.0);
        let filled = self.bags.iter().all(|&(_, count)| count > 0);
        if counted == self.entries.len() && rising && filled && self.dated.check() {
            Ok(())
        } else {
            Err(Broken::Bags)
        }
    }
}

/// Entries that can be copied leave the queue as two runs of memory, which costs a fifth of a
/// [`drain`](VecDeque::drain).
#[cfg(feature = "vulkan")]
impl<T: Copy> Bags<T> {
    /// As [`take_reached_at_most`](Self::take_reached_at_most).
    pub(crate) fn copy_reached_at_most(
        &mut self,
        most: usize,
        reached: &Reached,
        out: &mut Vec<T>,
    ) -> bool {
        let taken = self.copy_bags(most, reached.bag(), out);
        self.take_more(most - taken, reached, out)
    }

    /// As [`take_all`](Self::take_all), but for at most `most` entries. Those with points go last.
    pub(crate) fn copy_some(&mut self, most: usize, out: &mut Vec<T>) {
        let taken = self.copy_bags(most, BagNumber::NEVER, out);
        self.dated.take_some(most - taken, out);
    }

    /// As [`take_bags`](Self::take_bags).
    pub(crate) fn copy_bags(&mut self, most: usize, reached: BagNumber, out: &mut Vec<T>) -> usize {
        let taken = self.uncount(most, reached);
        let (front, back) = self.entries.as_slices();
        let before = taken.min(front.len());
        out.extend_from_slice(&front[..before]);
        out.extend_from_slice(&back[..taken - before]);
        self.entries.drain(..taken);
        taken + self.take_untimed(most - taken, reached, out)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Cuts, *};

    #[test]
    fn entries_leave_in_the_order_of_their_bags() {
        let mut cuts = Cuts::new(1);
        let timeline = cuts.add_timeline(0);
        let mut bags = Bags::new();
        let mut recordings = Vec::new();
        for name in ["a", "b", "c"] {
            recordings.push(cuts.begin(timeline).unwrap());
            bags.file(cuts.current(), name);
        }
        for recording in recordings {
            let value = cuts.assign(timeline).unwrap();
            cuts.submitted(recording, value).unwrap();
        }
        let mut out = Vec::new();
        for (value, expected) in
            [(0, &[][..]), (1, &["a"]), (2, &["a", "b"]), (3, &["a", "b", "c"])]
        {
            cuts.signalled(timeline, value).unwrap();
            bags.take_reached(&cuts.reached(), &mut out);
            assert_eq!(out, expected);
            bags.check().unwrap();
        }
        assert!(bags.is_empty());
    }

    #[test]
    fn dated_entries_wait_for_all_their_points_in_any_order() {
        let mut cuts = Cuts::new(1);
        let (a, b) = (cuts.add_timeline(0), cuts.add_timeline(0));
        for timeline in [a, b] {
            let recording = cuts.begin(timeline).unwrap();
            let value = cuts.assign(timeline).unwrap();
            cuts.submitted(recording, value).unwrap();
        }
        for (first, second) in [(a, b), (b, a)] {
            let mut cuts = cuts.clone();
            let mut bags = Bags::new();
            bags.file_at(&[Point::new(a, 1), Point::new(b, 1)], "both").unwrap();
            let mut out = Vec::new();
            cuts.signalled(first, 1).unwrap();
            bags.take_reached(&cuts.reached(), &mut out);
            assert!(out.is_empty());
            cuts.signalled(second, 1).unwrap();
            bags.take_reached(&cuts.reached(), &mut out);
            assert_eq!(out, ["both"]);
            assert!(bags.is_empty());
        }
    }

    #[test]
    fn a_bounded_take_splits_a_bag_and_goes_on_where_it_stopped() {
        let mut cuts = Cuts::new(1);
        cuts.add_timeline(0);
        let mut bags = Bags::new();
        assert!(
            (0..5)
                .map(|entry| bags.file(cuts.current(), entry))
                .eq([true, false, false, false, false])
        );
        let mut out = Vec::new();
        for (expected, more) in [(2, true), (4, true), (5, false), (5, false)] {
            assert_eq!(bags.take_reached_at_most(2, &cuts.reached(), &mut out), more);
            assert_eq!(out, (0..expected).collect::<Vec<_>>());
            bags.check().unwrap();
        }
    }

    #[test]
    fn untimed_entries_leave_only_with_all() {
        let mut bags = Bags::new();
        let mut cuts = Cuts::new(1);
        bags.file(cuts.current(), 7);
        cuts.add_timeline(0);
        let mut out = Vec::new();
        bags.take_reached(&cuts.reached(), &mut out);
        assert!(out.is_empty());
        assert_eq!(bags.untimed_len(), 1);
        bags.take_all(&mut out);
        assert_eq!(out, [7]);
    }

    #[test]
    fn an_older_bag_counts_as_the_newest_there_is() {
        let mut cuts = Cuts::new(1);
        let timeline = cuts.add_timeline(0);
        let mut bags = Bags::new();
        let (one, old) = (cuts.begin(timeline).unwrap(), cuts.current());
        let two = cuts.begin(timeline).unwrap();
        assert!(bags.file(cuts.current(), "new"));
        assert!(!bags.file(old, "late"));
        let mut out = Vec::new();
        for (recording, expected) in [(one, &[][..]), (two, &["new", "late"])] {
            cuts.abandon(recording).unwrap();
            bags.check().unwrap();
            bags.take_reached(&cuts.reached(), &mut out);
            assert_eq!(out, expected);
        }
    }
}
