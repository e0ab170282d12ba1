//! The points at which an allocation was retired, as far as a report contains them.

use crate::retire::Point;

/// The number of timelines whose points are listed.
const MOST: usize = 4;

/// What the GPU had to pass before the memory of an allocation was free: one point of each timeline
/// for which it waited. Four points are listed, and the number of others is given.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RetiredAt {
    told: [Option<Point>; MOST],
    others: u32,
}

impl RetiredAt {
    /// It did not wait for anything.
    pub(crate) const NOTHING: Self = Self { told: [None; MOST], others: 0 };

    /// It waited for all of these points. If a timeline has several, the last one counts.
    /// O(points).
    pub(crate) fn of(points: impl IntoIterator<Item = Point>) -> Self {
        let mut at = Self::NOTHING;
        for point in points {
            let same = |told: &&mut Option<Point>| {
                told.is_none_or(|told| told.timeline() == point.timeline())
            };
            match at.told.iter_mut().find(same) {
                Some(told) => *told = (*told).max(Some(point)),
                None => at.others += 1,
            }
        }
        at.told.sort_unstable_by_key(|told| told.map_or(u32::MAX, |told| told.timeline().number));
        at
    }

    /// The points, in the order of their timelines.
    ///
    /// ```
    /// # use fencepost::Corruption;
    /// fn last_use(found: &Corruption) -> Vec<String> {
    ///     let owner = found.owner.iter();
    ///     owner.flat_map(|owner| owner.retired.points()).map(|point| point.to_string()).collect()
    /// }
    /// ```
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        self.told.iter().copied().flatten()
    }

    /// The number of other points.
    pub fn others(&self) -> u32 {
        self.others
    }
}

impl core::fmt::Display for RetiredAt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, point) in self.points().enumerate() {
            let between = if index == 0 { "" } else { ", " };
            write!(f, "{between}{point}")?;
        }
        match self.others {
            0 => Ok(()),
            others => write!(f, ", and {others} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retire::Cuts;

    #[test]
    fn four_are_told_and_the_rest_is_counted() {
        let mut cuts = Cuts::new(1);
        let timelines: Vec<_> = (0..6).map(|_| cuts.add_timeline(0)).collect();
        let point = |index: usize, value| Point::new(timelines[index], value);
        assert_eq!(RetiredAt::of([]), RetiredAt::NOTHING);
        let two = RetiredAt::of([point(1, 7), point(0, 3), point(1, 5), point(0, 4)]);
        assert!(two.points().eq([point(0, 4), point(1, 7)]));
        assert_eq!(two.to_string(), "value 4 of timeline 0, value 7 of timeline 1");
        let six = RetiredAt::of((0..6).map(|index| point(index, 1)));
        assert!(six.points().eq((0..4).map(|index| point(index, 1))));
        assert_eq!(six.others(), 2);
        assert!(six.to_string().ends_with("timeline 3, and 2 more"));
    }
}
