//! Records: what a program did with its memory, as lines of text, for looking at and replaying.
//!
//! [`AllocatorDesc::record`](crate::AllocatorDesc::record) writes one. The form is that of the traces
//! that the `replay` example reads, and a record is such a trace with more in it:
//!
//! | line | meaning |
//! | --- | --- |
//! | `# …` | a comment; the first line of a record is `# fencepost record 1` |
//! | `h <heap> <bytes> <d\|h>` | a heap of the device, the device's own or the host's |
//! | `y <type> <heap>` | a memory type lies in a heap |
//! | `a <id> <size> <alignment> <b\|i> <d\|u\|r> [<type> [<name>]]` | an allocation: bytes; a buffer or linear image, or an image; memory of the device, written by the host, or read by it |
//! | `f <id>` | it was dropped or retired; its range is free later |
//! | `s [<timeline> <value>]` | a submission, and its point |
//! | `g <timeline> <value>` | the GPU was seen to have passed a point |
//! | `m <type> <blocks> <reserved> <live> <pending> <largest free>` | a memory type at that moment, in bytes, where it changed |
//! | `t <microseconds> <allocations> <bytes> <total>` | the time since the record's beginning, what the lines so far have alive, and the bytes of all they allocated |
//! | `p` | the end of a frame: a present, or a `collect` of the program's |
//! | `l <events>` | so many events were lost before here, because there were more between two collects than [fit](crate::AllocatorDesc::record_room) |
//! | `e` | the end; a record without it is torn |
//!
//! With feature `inspect` a `Record` reads it, refuses what is damaged by its line, and makes pictures
//! of it.
//!
//! Identifiers run from 0 and each is used once. What is not freed is alive at the end. Control
//! characters in a name become spaces.
//!
//! The order is that of the locks: each line comes after what its thread saw before it. Times are
//! known at `t` alone; what stands between two of them lies between.
#![forbid(unsafe_code)]

mod encoder;
#[cfg(feature = "inspect")]
mod parse;
#[cfg(feature = "inspect")]
mod picture;
mod tape;

pub(crate) use encoder::{Device, Encoder, Sample};
#[cfg(feature = "inspect")]
pub use parse::{DamagedLine, Fault};
#[cfg(feature = "inspect")]
pub use picture::{Mark, MemorySample, Operation, Peak, Record, RecordedHeap, Request};
pub(crate) use tape::{Asked, Event, Tape, What};

/// The first line of a record.
pub(crate) const HEADER: &str = "# fencepost record 1";

/// Which kind of memory an allocation asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Intent {
    /// Memory of the GPU.
    DeviceLocal,
    /// Memory that the host writes.
    Upload,
    /// Memory that the host reads.
    Readback,
}
