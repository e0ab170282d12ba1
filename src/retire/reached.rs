//! The GPU's progress, as a value that can be used without a lock.

use smallvec::SmallVec;

use super::point::{BagNumber, Point};

/// The GPU's progress at one moment. It is cheap to query and owns its data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reached {
    pub(super) owner: u32,
    pub(super) bag: BagNumber,
    pub(super) timelines: SmallVec<[(u32, u64); 4]>,
    pub(super) known: u32,
    pub(super) lost: bool,
}

impl Reached {
    /// Bags up to this one are reached.
    pub fn bag(&self) -> BagNumber {
        self.bag
    }

    /// Whether a point is reached. A timeline that has ended has reached all its points; a foreign
    /// point never is.
    pub fn has(&self, point: Point) -> bool {
        if point.timeline.owner != self.owner || point.timeline.number >= self.known {
            return false;
        }
        let number = point.timeline.number;
        self.lost
            || self
                .timelines
                .binary_search_by_key(&number, |&(number, _)| number)
                .map_or(true, |index| self.timelines[index].1 >= point.value)
    }

    /// The value that a timeline has reached, by its number; none if it has ended.
    #[cfg(feature = "vulkan")]
    pub(crate) fn value(&self, number: u32) -> Option<u64> {
        let found = self.timelines.binary_search_by_key(&number, |&(number, _)| number);
        found.ok().map(|index| self.timelines[index].1)
    }

    /// Whether a point belongs to this allocator.
    pub fn knows(&self, point: Point) -> bool {
        point.timeline.owner == self.owner && point.timeline.number < self.known
    }
}
