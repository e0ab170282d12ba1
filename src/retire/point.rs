//! Names of timelines, of points on them, of recordings and of bags.

/// Names a timeline by its allocator and its running number there.
///
/// Numbers are never reused, so the name of a timeline that has ended remains meaningful: all its
/// work is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimelineId {
    pub(crate) owner: u32,
    pub(crate) number: u32,
}

impl TimelineId {
    /// The next one in order.
    pub(super) fn next(self) -> Option<Self> {
        let number = self.number.checked_add(1)?;
        Some(Self { number, ..self })
    }
}

/// A submitted value of a timeline. The GPU has passed it when all work submitted up to it is done.
///
/// Returned by `Recording::submit`. It can be copied freely and keeps nothing alive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Point {
    pub(crate) timeline: TimelineId,
    pub(crate) value: u64,
}

impl Point {
    /// Ordered before all others.
    pub(super) const FIRST: Self = Self { timeline: TimelineId { owner: 0, number: 0 }, value: 0 };

    /// Creates a point, for using this module without Vulkan.
    pub const fn new(timeline: TimelineId, value: u64) -> Self {
        Self { timeline, value }
    }

    /// The timeline of this point.
    pub const fn timeline(self) -> TimelineId {
        self.timeline
    }

    /// The value that the timeline's counter reaches, for a wait on `(semaphore, value)`.
    pub const fn value(self) -> u64 {
        self.value
    }
}

impl core::fmt::Display for Point {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "value {} of timeline {}", self.value, self.timeline.number)
    }
}

/// Names an open recording.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RecordingId {
    pub(super) number: u64,
    pub(super) timeline: TimelineId,
}

impl RecordingId {
    /// The recording's running number among all recordings of its allocator.
    pub const fn number(self) -> u64 {
        self.number
    }
}

/// The running number of a bag. Bags are reached in the order of their numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BagNumber(pub(super) u64);

impl BagNumber {
    /// The bag of a drop before any timeline existed. No signal ever reaches it.
    pub const UNTIMED: Self = Self(0);
    /// The first bag after the first timeline was added.
    pub const FIRST: Self = Self(1);
    /// Ordered after every bag.
    pub const NEVER: Self = Self(u64::MAX);

    /// Whether a drop into this bag is free immediately, given the newest reached bag. O(1).
    ///
    /// The untimed bag is reached only when everything is: [`NEVER`](Self::NEVER), after a device
    /// loss.
    pub const fn is_reached(self, newest_reached: Self) -> bool {
        (self.0 != Self::UNTIMED.0 && self.0 <= newest_reached.0)
            || newest_reached.0 == Self::NEVER.0
    }

    /// The previous bag.
    #[cfg(feature = "vulkan")]
    pub(crate) const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The number itself, to be stored in an atomic.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The bag of a number that [`get`](Self::get) returned.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}
