//! Why a replay ended early, in one sentence.

use std::io;
use std::path::PathBuf;

use ash::vk;
use fencepost::record::DamagedLine;
use fencepost::{BeginError, CopyError, CreateError, NewError, TimelineError, WaitError};

use super::file::ReadError;
use super::fit::TooLarge;
use super::support::OpenError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("{} {error}", file.display())]
    Read { file: PathBuf, error: ReadError },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("no recorded GPU is called {0}")]
    UnknownTopology(String),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error("no allocator: {0}")]
    New(#[from] NewError),
    #[error("no timeline: {0}")]
    Timeline(#[from] TimelineError),
    #[error("no recording was begun: {0}")]
    Begin(#[from] BeginError),
    #[error("allocation {id} of the trace, {size} bytes, failed: {error}")]
    Create { id: u32, size: u64, error: CreateError },
    #[error("the replay's own buffers failed: {0}")]
    Words(CreateError),
    #[error("a copy to or from the host failed: {0}")]
    Copy(#[from] CopyError),
    #[error("a submit failed: {0}")]
    Submit(String),
    #[error("waiting for the GPU failed: {0}")]
    Wait(#[from] WaitError),
    #[error("the GPU did not finish a submit within {0} seconds")]
    Hangs(u64),
    #[error("{0} failed: {1}")]
    Vulkan(&'static str, vk::Result),
    #[error("corruption: of {verified} words or uses, {wrong} were wrong; the first: {first}")]
    Corruption { wrong: u64, verified: u64, first: String },
    #[error("{0} allocations leaked")]
    Leaks(usize),
    #[error("something of fencepost's holds the device after its end")]
    DeviceKept,
    #[error("the validation layer says: {0}")]
    Validation(String),
    #[error("the report cannot be printed: {0}")]
    Print(io::Error),
    #[error("{} cannot be written: {error}", file.display())]
    Write { file: PathBuf, error: io::Error },
    #[error("--record and --chrome are for one trace with one setting")]
    SeveralReplays,
    #[error("the replay's own record is damaged: {0}")]
    Record(#[from] DamagedLine),
}
