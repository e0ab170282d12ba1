//! What can go wrong with recordings and counters, and what must never.

/// Why a recording could not end so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EndError {
    /// The recording has ended before.
    #[error("the recording has ended before")]
    Ended,
    /// The timeline is not one of this allocator's, or has ended.
    #[error("the timeline is not one of this allocator's, or has ended")]
    UnknownTimeline,
    /// Values of a timeline must rise with every submission.
    #[error("the value does not rise above {last}, the last submitted one")]
    NotRising {
        /// The last submitted value.
        last: u64,
    },
}

/// A counter read that proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignalError {
    /// The counter stands above every value that was assigned: a signal from elsewhere. Nothing is
    /// released by it.
    #[error("the counter stands at {value}, above {assigned}, the last assigned value")]
    Jumped {
        /// What was read.
        value: u64,
        /// The last value that was assigned to a submission.
        assigned: u64,
    },
    /// The timeline is not one of this allocator's, or has ended.
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
