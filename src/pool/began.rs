//! Where allocations ever started. Starts are logged, and written to the bitmap several at a time.
#![forbid(unsafe_code)]

use alloc::boxed::Box;

use bytemuck::allocation::try_zeroed_box;

use super::{bitmap::Bitmap, seat::Era};

/// The number of starts that are written to the bitmap at a time. Their words are far apart, so
/// each write alone would wait for memory; together they wait once.
const LOGGED: usize = 1024;

/// The granules at which allocations started, and those at which live ones may start.
#[derive(Debug)]
pub(super) struct Began {
    bitmap: Bitmap,
    /// The last starts, which are not in the bitmap yet.
    log: Box<[u32; LOGGED]>,
    logged: usize,
}

impl Began {
    /// Creates the state without starts, for granules below a bound; `None` if the host is out of
    /// memory.
    pub(super) fn new(granules: usize) -> Option<Self> {
        Some(Self { bitmap: Bitmap::new(granules)?, log: try_zeroed_box().ok()?, logged: 0 })
    }

    /// Notes that an allocation starts there. `again` says that one has started there before, in
    /// this [era](Self::era). O(1), with more work every 1024th time.
    #[inline]
    pub(super) fn insert(&mut self, granule: u32, again: bool) {
        match self.log.get_mut(self.logged) {
            Some(entry) => *entry = granule,
            None => self.write_down(granule),
        }
        // Whether it is written already is unpredictable, so there is no branch on it.
        self.logged += usize::from(!again);
    }

    /// While the era stays the same, no start that was inserted needs to be inserted again.
    #[inline]
    pub(super) fn era(&mut self) -> Era {
        self.bitmap.era()
    }

    #[cold]
    #[inline(never)]
    fn write_down(&mut self, first: u32) {
        self.bitmap.extend(&self.log[..self.logged]);
        self.logged = 0;
        self.log[0] = first;
    }

    fn log(&self) -> &[u32] {
        &self.log[..self.logged]
    }

    /// Whether an allocation ever started there.
    pub(super) fn was_in(&self, granule: usize) -> bool {
        self.bitmap.was_in(granule) || self.log().iter().any(|&logged| logged as usize == granule)
    }

    /// The last granule up to `granule` at which a live allocation starts, as `is_live` tells.
    /// Amortised O(1).
    pub(super) fn last_up_to(
        &self,
        granule: usize,
        is_live: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut last = self.bitmap.last_up_to(granule, &is_live);
        for logged in self.log().iter().map(|&logged| logged as usize) {
            if logged <= granule && last.is_none_or(|last| last < logged) && is_live(logged) {
                last = Some(logged);
            }
        }
        last
    }

    /// Whether a search finds a live start there.
    pub(super) fn shows(&self, granule: usize) -> bool {
        self.bitmap.shows(granule) || self.log().iter().any(|&logged| logged as usize == granule)
    }

    /// The bytes of address space that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bitmap.bytes() + size_of_val(&*self.log)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeMap, BTreeSet};

    use super::{super::bitmap::GROUP, *};
    use crate::ground::random::Random;

    /// It makes no difference whether a start is in the log or in the bitmap.
    #[test]
    fn it_knows_the_last_starts_as_all_others() {
        let mut began = Began::new(100_000).unwrap();
        let (mut live, mut ever) = (BTreeSet::new(), BTreeSet::new());
        let mut random = Random::new(1);
        let (mut written, mut written_in) = (0, BTreeMap::new());
        for step in 0..5000 {
            let granule = random.below(100_000) as u32;
            let era = began.era();
            if live.insert(granule as usize) {
                ever.insert(granule as usize);
                let known = written_in.insert(granule, era) == Some(era);
                let logged = began.log().len();
                began.insert(granule, known);
                written += usize::from(began.log().len() < logged);
            }
            let ended = live.range(random.below(100_000) as usize..).next().copied();
            if let Some(ended) = ended.filter(|_| step % 2 == 0) {
                live.remove(&ended);
            }
            let asked = ended.unwrap_or(0) + random.below(2) as usize;
            assert_eq!(began.was_in(asked), ever.contains(&asked));
            let last = began.last_up_to(asked, |granule| live.contains(&granule));
            assert_eq!(last, live.range(..=asked).next_back().copied());
            assert!(live.iter().take(3).all(|&granule| began.shows(granule)));
        }
        assert_eq!(written, 4, "times that the log was written down");
        assert!(!began.log().is_empty());
        assert!(!began.shows(ever.iter().next_back().unwrap() + 1));
    }

    /// A pointer that is refused asks about each start in the log at most once, and about those of
    /// two groups of granules, however many have started and ended: this is a constant. Starts that
    /// have ended unnoticed are passed once.
    #[test]
    fn a_search_asks_a_bounded_number_of_starts() {
        const BOUND: usize = LOGGED + 2 * GROUP;
        let asked = core::cell::Cell::new(0);
        let is_live = |granule: usize| {
            asked.set(asked.get() + 1);
            granule == 3
        };
        for began_so_far in [10_000, 100_000, 1_000_000_u32] {
            let mut began = Began::new(2_000_000).unwrap();
            began.insert(3, false);
            // The log has one free entry, and its entries rise, so each of them is asked about.
            let last = began_so_far / LOGGED as u32 * LOGGED as u32 + LOGGED as u32 - 2;
            (4..4 + last).for_each(|granule| began.insert(granule, false));
            assert_eq!(began.log().len(), LOGGED - 1);
            let above = 1_999_999;
            assert_eq!(began.last_up_to(above, is_live), Some(3));
            let first = asked.replace(0);
            assert!(first > began_so_far as usize, "{first}: each that ended is passed once");
            assert_eq!(began.last_up_to(above, is_live), Some(3));
            let again = asked.replace(0);
            assert!((LOGGED - 1..=BOUND).contains(&again), "{again} after {began_so_far}");
            assert!(!began.was_in(above));
        }
    }
}
