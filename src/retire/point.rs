//! A point: one submitted value of one timeline.

/// Names a timeline: the allocator it belongs to and its running number there.
///
/// Numbers are never reused, so the name of a timeline that has ended stays meaningful: all its
/// work is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimelineId {
    pub(crate) owner: u32,
    pub(crate) number: u32,
}

/// A submitted value of a timeline: the GPU passes it when all work submitted up to it is done.
///
/// Yielded by `Recording::submit`. Copy it freely; it keeps nothing alive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Point {
    pub(crate) timeline: TimelineId,
    pub(crate) value: u64,
}

impl Point {
    /// A point made by hand, for the pure use of this module.
    pub const fn new(timeline: TimelineId, value: u64) -> Self {
        Self { timeline, value }
    }

    /// The timeline this point lies on.
    pub const fn timeline(self) -> TimelineId {
        self.timeline
    }

    /// The value that the timeline's counter reaches, for a wait on `(semaphore, value)`.
    pub const fn value(self) -> u64 {
        self.value
    }
}
