//! Errors of timelines, recordings and waits.

use crate::retire::EndError;
use ash::vk;

/// The reason why no timeline was created.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimelineError {
    /// [`DeviceFeatures::TIMELINE_SEMAPHORE`](crate::DeviceFeatures::TIMELINE_SEMAPHORE) is missing
    /// in the allocator's description. Enable it, or use a timeline of fences.
    #[error(
        "TIMELINE_SEMAPHORE is missing in AllocatorDesc::features: add it if the device has it enabled, \
         or use a timeline of fences"
    )]
    NoTimelineSemaphores,
    /// The queue already has a timeline.
    #[error("the queue already has a timeline: clone it")]
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

/// The reason why no recording was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// Every fence of the ring is in use: wait for the oldest point, or create a larger ring.
    #[error(
        "every fence of the ring is in use: wait for the oldest point, or create a larger ring"
    )]
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

/// The reason why a wait ended before the GPU had passed its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The point belongs to another allocator.
    #[error("the point belongs to another allocator")]
    Foreign,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The GPU has not passed the target within the timeout.
    #[error("the GPU has not passed it within the timeout")]
    Timeout,
    /// A recording that was open at the drop is still open, so it is not yet known what to wait
    /// for.
    #[error("a recording that was open at the drop is still open: submit or abandon it")]
    OpenRecording,
    /// The driver refused. A lost device counts as having passed everything; it is not an error
    /// here.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}

/// The reason why a reported value was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The timeline assigns its own values: use `Recording::submit`.
    #[error("the timeline assigns its own values")]
    NotExternal,
    /// The value does not rise.
    #[error(transparent)]
    End(#[from] EndError),
}

/// The reason why a timeline refused to begin a submission.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitRefusal {
    /// The closure of a `submit` called `submit` on the same timeline.
    #[error("submit was called within a submit of the same timeline")]
    Nested,
    /// The host assigns the values of this timeline: report submissions with
    /// `Recording::submitted`.
    #[error("an external timeline cannot submit: submit yourself, and report the value")]
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
