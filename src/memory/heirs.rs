//! The owners that took over a pending range, with the points for which the old owner had to wait.

use std::collections::{HashMap, TryReserveError};

use smallvec::SmallVec;

use super::grant::Entry;
use crate::retire::{Point, Reached};

/// The inherited points of each allocation. A drop need not look here, because the bag of a drop
/// waits for everything submitted, which includes these points. All other ends must.
#[derive(Debug, Default)]
pub(crate) struct Heirs {
    points: HashMap<Entry, SmallVec<[Point; 4]>>,
    /// The number of entries at which those that nobody needs are removed.
    most: usize,
}

impl Heirs {
    /// Ensures that the next [`insert`](Self::insert) needs no memory, for up to four points. O(1)
    /// amortised.
    pub(crate) fn reserve(&mut self) -> Result<(), TryReserveError> {
        self.points.try_reserve(1)
    }

    /// An allocation inherits points. O(1) amortised.
    pub(crate) fn insert(&mut self, heir: Entry, points: SmallVec<[Point; 4]>, reached: &Reached) {
        if self.points.len() >= self.most {
            self.points.retain(|_, points| points.iter().any(|&point| !reached.has(point)));
            self.most = 64.max(2 * self.points.len());
        }
        self.points.insert(heir, points);
    }

    /// Whether no allocation inherited anything recently. O(1).
    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Whether an allocation was taken over and its points may not be reached. O(1).
    pub(crate) fn contains(&self, heir: Entry) -> bool {
        self.points.contains_key(&heir)
    }

    /// Removes the points that an ending allocation has inherited, and returns them. O(1).
    pub(crate) fn take(&mut self, heir: Entry) -> SmallVec<[Point; 4]> {
        self.points.remove(&heir).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{retire::Cuts, tlsf::Key};

    /// Many heirs: those are forgotten whose points are all reached, and no other.
    #[test]
    fn an_heir_is_known_until_the_last_of_its_points_is_reached() {
        let mut cuts = Cuts::new(1);
        let timelines = [cuts.add_timeline(0), cuts.add_timeline(0)];
        let points = timelines.map(|timeline| {
            let recording = cuts.begin(timeline).unwrap();
            let value = cuts.assign(timeline).unwrap();
            cuts.submitted(recording, value).unwrap()
        });
        cuts.signalled(timelines[0], 1).unwrap();
        let entry = |at: u64| Entry { slot: 0, key: Key::from_bits(1 << 32 | (at + 1)).unwrap() };
        let mut heirs = Heirs::default();
        for at in 0..200 {
            // Of three, one waits for both, one for what is reached, and one for what is not.
            let waits = [&points[..], &points[..1], &points[1..]][at as usize % 3];
            heirs.insert(entry(at), SmallVec::from_slice(waits), &cuts.reached());
        }
        assert!(heirs.points.len() < 200, "some are forgotten");
        for at in (0..200).filter(|at| at % 3 != 1) {
            let waits = if at % 3 == 0 { &points[..] } else { &points[1..] };
            assert!(heirs.contains(entry(at)));
            assert_eq!(heirs.take(entry(at)).as_slice(), waits, "{at}");
            assert!(!heirs.contains(entry(at)) && heirs.take(entry(at)).is_empty());
        }
        // Who is taken is gone: the next end need not ask.
        (0..200).for_each(|at| _ = heirs.take(entry(at)));
        assert!(heirs.is_empty());
    }
}
