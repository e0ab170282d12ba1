//! What bags waited for, remembered until their contents are checked: the retire points in reports.

use std::collections::VecDeque;

use crate::{
    memory::{Entry, RetiredAt},
    retire::{BagNumber, Bags, Cuts, Reached},
};

/// Older cuts are removed: their bags were collected long ago.
const KEPT: usize = 256;

/// The bags above `below` up to `bag` waited for these points.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Passed {
    below: BagNumber,
    bag: BagNumber,
    at: RetiredAt,
}

/// The last cuts, by rising bag.
#[derive(Default, Debug)]
pub(in super::super) struct PassedCuts(VecDeque<Passed>);

impl PassedCuts {
    /// Stores the cuts that are still being waited for, before any of them is passed; not all of
    /// them, if the host has no memory. O(cuts).
    pub(in super::super) fn note(&mut self, cuts: &Cuts) {
        let mut below = cuts.reached_bag();
        for (bag, points) in cuts.stamped() {
            let last = self.0.back().map_or(below, |passed| passed.bag.max(below));
            if bag > last && !points.is_empty() {
                if self.0.len() == KEPT {
                    self.0.pop_front();
                }
                // A report without its points is better than none.
                if self.0.try_reserve(1).is_err() {
                    return;
                }
                self.0.push_back(Passed { below: last, bag, at: RetiredAt::of(points) });
            }
            below = bag;
        }
    }

    /// A copy; an empty one, if the host has no memory for it. O(cuts).
    pub(in super::super) fn copied(&self) -> Self {
        let mut copy = VecDeque::new();
        if copy.try_reserve(self.0.len()).is_ok() {
            copy.extend(&self.0);
        }
        Self(copy)
    }

    /// What a bag waited for. O(log cuts).
    fn of(&self, bag: BagNumber) -> Option<RetiredAt> {
        let passed = self.0.get(self.0.partition_point(|passed| passed.bag < bag))?;
        (passed.below < bag).then_some(passed.at)
    }
}

/// The points of entries that are about to leave their bags.
#[derive(Default, Debug)]
pub(in super::super) struct RetirePoints(Vec<(Entry, RetiredAt)>);

impl RetirePoints {
    /// Those of all reached entries; only of the first, if the host has no memory for more.
    /// O(entries).
    pub(in super::super) fn new(
        bags: &Bags<Entry>,
        reached: &Reached,
        passed: &PassedCuts,
    ) -> Self {
        let filed = bags.filed().take_while(|(bag, _)| bag.is_reached(reached.bag()));
        let filed = filed.filter_map(|(bag, &entry)| Some((entry, passed.of(bag)?)));
        let dated = bags.filed_at_all(reached);
        let dated = dated.map(|(all, &entry)| (entry, RetiredAt::of(all)));
        let mut points = Vec::new();
        for point in filed.chain(dated) {
            if points.try_reserve(1).is_err() {
                break;
            }
            points.push(point);
        }
        points.sort_unstable_by_key(|&(entry, _)| place(entry));
        Self(points)
    }

    /// O(log entries).
    pub(super) fn of(&self, entry: Entry) -> RetiredAt {
        let found = self.0.binary_search_by_key(&place(entry), |&(entry, _)| place(entry));
        let found = found.ok().and_then(|index| self.0.get(index));
        found.map_or(RetiredAt::NOTHING, |&(_, at)| at)
    }
}

/// The sort key of entries.
pub(super) fn place(entry: Entry) -> (u32, u32) {
    (entry.slot, entry.key.index())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The point of every bag is that of the first cut from it on. A bag that had nothing to wait
    /// for has none.
    #[test]
    fn a_bag_is_told_with_the_point_it_waited_for() {
        let mut cuts = Cuts::new(1);
        let timeline = cuts.add_timeline(0);
        let mut passed = PassedCuts::default();
        let frame = |cuts: &mut Cuts| {
            let recording = cuts.begin(timeline).unwrap();
            let bag = cuts.current();
            let value = cuts.assign(timeline).unwrap();
            (bag, cuts.submitted(recording, value).unwrap())
        };
        let first = frame(&mut cuts);
        let second = frame(&mut cuts);
        passed.note(&cuts);
        cuts.signalled(timeline, 2).unwrap();
        // Nothing is outstanding: an allocation dropped under a recording that is abandoned waits
        // for nothing.
        let recording = cuts.begin(timeline).unwrap();
        let idle = cuts.current();
        cuts.abandon(recording).unwrap();
        let third = frame(&mut cuts);
        passed.note(&cuts);
        passed.note(&cuts);
        assert_eq!(passed.0.len(), 3, "each is noted once");
        cuts.signalled(timeline, 3).unwrap();
        for (bag, point) in [first, second, third] {
            assert_eq!(passed.of(bag), Some(RetiredAt::of([point])));
        }
        assert_eq!(passed.of(idle), None);
        assert_eq!(
            passed.of(cuts.current()),
            third.0.eq(&cuts.current()).then(|| RetiredAt::of([third.1]))
        );
        for _ in 0..2 * KEPT {
            frame(&mut cuts);
            passed.note(&cuts);
        }
        assert_eq!(passed.0.len(), KEPT);
        assert_eq!(passed.of(first.0), None, "long ago");
    }
}
