//! What a scrub is asked, and what it tells.

use ash::vk;

use super::super::error::{AllocateError, BeginError, SubmitRefusal};

/// How much a scrub looks at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum Scrub {
    /// What was handed out, what has ended, and what is in quarantine since the last scrub: for each
    /// frame.
    #[default]
    Due,
    /// Also every margin, and all free memory that was filled. That memory is handed out to nobody until
    /// the GPU has passed the scrub. For a test's end, or a debug key.
    Everything,
}

/// What a scrub has the GPU do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Scrubbed {
    /// Bytes that it checks.
    pub checked: u64,
    /// Bytes that it fills, with the pattern or with zeros.
    pub filled: u64,
    /// `vkCmdDispatch` calls.
    pub dispatches: u64,
}

/// The host has no memory for what is to be done; nothing has changed.
pub(super) const NO_MEMORY: ScrubError = ScrubError::Memory(AllocateError::OutOfHostMemory);

/// Why nothing was scrubbed. What was due still is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScrubError {
    /// Guards are off, or the host's alone.
    #[error("the GPU keeps no guards: see `AllocatorDesc::guarded_by`")]
    Off,
    /// The recording or the timeline is of another allocator.
    #[error("the recording is of another allocator")]
    Foreign,
    /// A scrub of another timeline is under way, and nothing orders the two.
    #[error("a scrub of another timeline is under way")]
    Elsewhere,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// No memory type is host-visible and coherent: the driver is broken.
    #[error("no memory type is host-visible and coherent")]
    NoMemoryType,
    /// No memory for the tables and the report.
    #[error("no memory for the tables: {0}")]
    Memory(AllocateError),
    /// The timeline begins no recording.
    #[error("no recording: {0}")]
    Begin(BeginError),
    /// The timeline takes no submission.
    #[error("no submission: {0}")]
    Submit(SubmitRefusal),
    /// The driver refused.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}
