//! Records: what a program did with its memory, as lines of text that can be viewed and replayed.
//!
//! [`AllocatorDesc::record`](crate::AllocatorDesc::record) writes a record. Its format is that of
//! the traces that the `replay` example reads, with additional lines:
//!
//! | line | meaning |
//! | --- | --- |
//! | `# …` | a comment; the first line of a record is `# fencepost record 1` |
//! | `h <heap> <bytes> <d\|h>` | a heap of the device, which is device-local or of the host |
//! | `y <type> <heap>` | a memory type and its heap |
//! | `a <id> <size> <alignment> <b\|i> <d\|u\|r> [<type> [<name>]]` | an allocation in bytes; `b` is a buffer or linear image, `i` another image; `d` is device memory, `u` memory written by the host, `r` memory read by the host |
//! | `f <id>` | the allocation was dropped or retired; its range becomes free later |
//! | `s [<timeline> <value>]` | a submission, and its point |
//! | `g <timeline> <value>` | the GPU was observed to have passed a point |
//! | `m <type> <blocks> <reserved> <live> <pending> <largest free>` | the state of a memory type at that moment, in bytes, if it has changed |
//! | `t <microseconds> <allocations> <bytes> <total>` | the time since the record began, the live allocations and bytes according to the lines so far, and the bytes of all allocations |
//! | `p` | the end of a frame: a present, or a `collect` by the program |
//! | `l <events>` | this many events were lost at this place, because there were more between two collects than [fit](crate::AllocatorDesc::record_room) |
//! | `e` | the end; a record without it is incomplete |
//!
//! With feature `inspect`, `Record` parses it, reports damage with the line number, and draws
//! pictures of it.
//!
//! Identifiers start at 0, and each is used once. Allocations that are not freed are live at the
//! end. Control characters in a name are replaced by spaces.
//!
//! The order of lines is that of the locks: each line comes after what its thread observed before
//! it. The time is known only at `t` lines; other lines lie between the two nearest ones.
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

/// The kind of memory that an allocation asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Intent {
    /// Memory of the GPU.
    DeviceLocal,
    /// Memory that the host writes.
    Upload,
    /// Memory that the host reads.
    Readback,
}
