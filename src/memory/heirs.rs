//! Who took over a range that was pending: the points that its old owner had to wait for.

use std::collections::{HashMap, TryReserveError};

use smallvec::SmallVec;

use super::grant::Entry;
use crate::retire::{Point, Reached};

/// The inherited points by allocation. A drop need not look here: the bag of a drop waits for all
/// that was submitted, so for these too. Other ends must.
#[derive(Debug, Default)]
pub(crate) struct Heirs {
    points: HashMap<Entry, SmallVec<[Point; 4]>>,
    /// So many before those are forgotten that nobody needs.
    most: usize,
}

impl Heirs {
    /// Makes sure that the next [`insert`](Self::insert) needs no memory, for up to four points. O(1) amortised.
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

    /// Nobody inherited anything lately. O(1).
    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Whether an allocation was taken over, and its points may not be reached. O(1).
    pub(crate) fn contains(&self, heir: Entry) -> bool {
        self.points.contains_key(&heir)
    }

    /// The points that an allocation which ends has inherited. O(1).
    pub(crate) fn take(&mut self, heir: Entry) -> SmallVec<[Point; 4]> {
        self.points.remove(&heir).unwrap_or_default()
    }
}
