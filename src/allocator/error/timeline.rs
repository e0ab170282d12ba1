//! Timelines, recordings and waits.

use crate::retire::EndError;
use ash::vk;

/// Why no timeline was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimelineError {
    /// [`DeviceFeatures::TIMELINE_SEMAPHORE`](crate::DeviceFeatures::TIMELINE_SEMAPHORE) is not
    /// named in the allocator's description. Enable it, or use a timeline of fences.
    #[error(
        "AllocatorDesc::features does not name TIMELINE_SEMAPHORE: name it if the device has it \
         enabled, or use a timeline of fences"
    )]
    NoTimelineSemaphores,
    /// The queue has a timeline already.
    #[error("the queue has a timeline already: clone that one")]
    QueueTaken,
    /// A ring of fences needs at least one.
    #[error("a ring needs at least one fence")]
    NoFences,
    /// The device is lost.
    #[error("the device is lost")]
    DeviceLost,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The driver refused.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}

/// Why no recording was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// Every fence of the ring is in use: wait for the oldest point, or make a larger ring.
    #[error("every fence of the ring is in use: wait for the oldest point, or make a larger ring")]
    RingFull,
    /// The device is lost.
    #[error("the device is lost")]
    DeviceLost,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The driver refused.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}

/// Why a wait ended without the GPU having passed what it was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The point is of another allocator.
    #[error("the point belongs to another allocator")]
    Foreign,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The GPU had not passed it when the time was over.
    #[error("the GPU has not passed it within the time given")]
    Timeout,
    /// A recording that was open at the drop still is: nothing to wait for is known yet.
    #[error("a recording that was open at the drop is still open: submit or abandon it")]
    OpenRecording,
    /// The driver refused. A lost device counts as reached, not as an error.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}

/// What is wrong with a reported value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The timeline numbers its own submissions: use `Recording::submit`.
    #[error("the timeline numbers its own submissions")]
    NotExternal,
    /// The value does not rise.
    #[error(transparent)]
    End(#[from] EndError),
}

/// Why a timeline refused to begin a submission.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitRefusal {
    /// A closure of `submit` called `submit` on the same timeline.
    #[error("submit was called within a submit of the same timeline")]
    Nested,
    /// The timeline's host numbers its own submissions: report them with `Recording::submitted`.
    #[error("an external timeline's host submits by itself and reports the value")]
    External,
    /// The device is lost.
    #[error("the device is lost")]
    DeviceLost,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The driver failed to reset a fence.
    #[error("the driver failed to reset a fence: {0}")]
    Driver(vk::Result),
}
