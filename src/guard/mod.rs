//! Guards as pure functions: what is watched, where margins lie, the pattern in them, and the tables
//! by which the GPU writes and checks it.
//!
//! Margins and poison are the same pattern, and it depends on the position alone. So a margin is
//! free memory left as it was, and a piece of poison copied somewhere else is not taken for whole.
#![forbid(unsafe_code)]

mod layout;
mod shader;
mod table;

pub(crate) use layout::{Layout, MARGIN, layout, pattern};
pub(crate) use shader::{CHECK, FILL, SEEN, SPIRV, Seen};
#[cfg(feature = "fake")]
pub(crate) use shader::{HEADER, PIECE};
pub(crate) use table::{Dispatch, Limits, Order, Placed, Table};

/// What fencepost watches for writes outside a resource's life and range: a tool to find bugs with.
/// Off unless told ([`AllocatorDesc::guards`](crate::AllocatorDesc::guards)); off costs nothing.
///
/// An arena may have a policy of its own ([`ArenaDesc::guards`](crate::ArenaDesc::guards)).
///
/// What is watched is memory that the host sees, and what the GPU alone sees if you let it
/// ([`GuardedBy`]). It does not matter who writes, the host or the GPU. A memory of one resource's own
/// is not watched. [`Allocator::guard_coverage`](crate::Allocator::guard_coverage) tells how much is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum GuardPolicy {
    /// Nothing is watched.
    #[default]
    Off,
    /// At least 64 bytes before and after each allocation, checked when it ends; filled by the host at once, by
    /// the GPU in the first scrub after the allocation, be its block ever so new. In memory that is not coherent they
    /// are whole atoms (`nonCoherentAtomSize`), which the host writes back as such. Costs memory, and
    /// time in proportion to the margins.
    Margins,
    /// Free memory holds a pattern: a word that changed is a write after free. Checked when the
    /// memory is handed out again, by the GPU before it is. A new block is filled too: by the host before
    /// anybody has it; by the GPU in the first scrub after it was made, which keeps what is free of it until
    /// it is passed, so what is asked for meanwhile may need one block more. What of it was handed out before
    /// that scrub is filled at its owner's end. Of an arena's [ring or stacks](crate::ArenaPolicy) the GPU
    /// does not reach what alignment skipped: it is part of no range. Costs two passes over every
    /// allocation, one over every block.
    Poison,
    /// Both.
    Full,
    /// Nothing is watched; memory that anybody had is filled with zeros before another gets it, for those
    /// who run other people's content. What the driver has just given is zeroed too: by the host at
    /// once; by the GPU in the first scrub after the block was made, which keeps what is free of it until
    /// it is passed. Not reached are what is handed out of a new block before that, and a memory of one resource's own that the host does not see: [`Allocation::is_zeroed`](crate::Allocation::is_zeroed) is `false` there, it is told
    /// once, and [`GuardCoverage`](crate::GuardCoverage) counts it. An arena with blocks from the start, scrubbed
    /// before its first use, has none of the former. Costs one pass over every allocation and block.
    Zero,
}

/// Who keeps the guards, and so which memory is watched
/// ([`AllocatorDesc::guarded_by`](crate::AllocatorDesc::guarded_by)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum GuardedBy {
    /// The host, at once: blocks that are host-visible, coherent and mapped.
    #[default]
    Host,
    /// The host where it sees the memory, the GPU where it does not. The GPU does it in scrubs, to be
    /// called once a frame: [`Allocator::record_scrub`](crate::Allocator::record_scrub), or
    /// [`scrub`](crate::Allocator::scrub). Without them nothing that ended is handed out again.
    HostOrGpu,
    /// The GPU alone, in the host's memory too.
    Gpu,
}

impl GuardPolicy {
    pub(crate) const fn is_on(self) -> bool {
        !matches!(self, Self::Off)
    }

    /// The least bytes of a margin; 0 without margins.
    pub(crate) const fn margin(self) -> u64 {
        if matches!(self, Self::Margins | Self::Full) { MARGIN } else { 0 }
    }

    /// Whether free memory holds the pattern.
    pub(crate) const fn poisons(self) -> bool {
        matches!(self, Self::Poison | Self::Full)
    }

    /// What is written to memory that ended, if anything.
    pub(crate) const fn at_end(self) -> Option<Order> {
        match self {
            Self::Off | Self::Margins => None,
            Self::Poison | Self::Full => Some(Order::Fill),
            Self::Zero => Some(Order::Zero),
        }
    }
}
