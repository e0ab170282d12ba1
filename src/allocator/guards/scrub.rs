//! The extent and the result of a scrub.

use ash::vk;

use super::super::error::{AllocateError, BeginError, SubmitRefusal};

/// How much a scrub checks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum Scrub {
    /// What was allocated, what has ended, and what is in quarantine since the last scrub. Use this
    /// in each frame.
    #[default]
    Due,
    /// In addition every margin, and all free memory that was filled. That memory is not handed out
    /// until the GPU has passed the scrub. Use this at the end of a test, or for a debug key.
    Everything,
}

/// The work of a scrub on the GPU.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Scrubbed {
    /// The number of the scrub, counted from 1, which [findings](crate::Corruption::scrub) contain;
    /// 0 if there was nothing to do. In the sum of all scrubs, the number of the last one.
    pub number: u64,
    /// The bytes it checks.
    pub checked: u64,
    /// The bytes it fills, with the pattern or with zeros.
    pub filled: u64,
    /// `vkCmdDispatch` calls.
    pub dispatches: u64,
}

/// The host has no memory to store the work; nothing has changed.
pub(super) const NO_MEMORY: ScrubError = ScrubError::Memory(AllocateError::OutOfHostMemory);

/// The reason why nothing was scrubbed. What was due is still due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScrubError {
    /// Guards are off, or only the host maintains them.
    #[error("the GPU maintains no guards: see `AllocatorDesc::guarded_by`")]
    Off,
    /// The recording or the timeline belongs to another allocator.
    #[error("the recording belongs to another allocator")]
    Foreign,
    /// A scrub on another timeline is in progress, and nothing orders the two.
    #[error("a scrub on another timeline is in progress")]
    Elsewhere,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// No memory type is host-visible and coherent, which is a driver bug.
    #[error("no memory type is host-visible and coherent")]
    NoMemoryType,
    /// There is no memory for the tables and the report.
    #[error("no memory for the tables: {0}")]
    Memory(AllocateError),
    /// The timeline could not begin a recording.
    #[error("no recording: {0}")]
    Begin(BeginError),
    /// The timeline could not submit.
    #[error("no submission: {0}")]
    Submit(SubmitRefusal),
    /// The driver refused.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}
