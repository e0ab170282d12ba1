//! Errors of recordings and counters, and broken invariants.

/// Why a recording could not be ended in this way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EndError {
    /// The recording has ended already.
    #[error("the recording has ended before")]
    Ended,
    /// The timeline does not belong to this allocator, or has ended.
    #[error("the timeline is not one of this allocator's, or has ended")]
    UnknownTimeline,
    /// The values of a timeline must rise with every submission.
    #[error("the value does not rise above {last}, the last submitted one")]
    NotRising {
        /// The last submitted value.
        last: u64,
    },
}

/// The value of a counter proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignalError {
    /// The counter is above every assigned value, so it was signalled by something else. Nothing is
    /// released by it.
    #[error("the counter stands at {value}, above {assigned}, the last assigned value")]
    Jumped {
        /// The value that was read.
        value: u64,
        /// The last value that was assigned to a submission.
        assigned: u64,
    },
    /// The timeline does not belong to this allocator, or has ended.
    #[error("the timeline is not one of this allocator's, or has ended")]
    UnknownTimeline,
}

/// A broken invariant: a bug in this crate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Broken {
    /// The counts or the order of bags.
    #[error("bag counts or their order are broken")]
    Bags,
    /// The queue of recordings.
    #[error("the queue of open recordings is broken")]
    Recordings,
    /// The queue of cuts.
    #[error("the queue of cuts is broken")]
    Cuts,
    /// The values of a timeline.
    #[error("a timeline's values are broken")]
    Timeline,
}
