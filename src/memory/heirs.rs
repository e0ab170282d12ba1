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
