//! Guards as pure functions: what is watched, where margins lie, their pattern, and the tables by
//! which the GPU writes and checks it.
//!
//! Margins and poison have the same pattern, which depends only on the position. Therefore free
//! memory can become a margin unchanged, and poison that was copied elsewhere is recognised as
//! damage.
#![forbid(unsafe_code)]

mod layout;
mod shader;
mod table;

pub(crate) use layout::{Layout, MARGIN, layout, pattern};
pub(crate) use shader::{CHECK, FILL, SEEN, SPIRV, Seen};
#[cfg(feature = "fake")]
pub(crate) use shader::{HEADER, PIECE};
pub(crate) use table::{Dispatch, Limits, Order, Placed, Table};

/// Selects which writes outside the range and lifetime of resources fencepost detects. Guards are a
/// tool for finding bugs. They are off by default
/// ([`AllocatorDesc::guards`](crate::AllocatorDesc::guards)), and cost nothing when off.
///
/// An arena may have its own policy ([`ArenaDesc::guards`](crate::ArenaDesc::guards)).
///
/// Memory that the host can access is watched, and on request also memory that only the GPU can
/// access ([`GuardedBy`]). Writes by the host and by the GPU are both detected. Dedicated
/// allocations are not watched. [`Allocator::guard_coverage`](crate::Allocator::guard_coverage)
/// returns how much memory is watched.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum GuardPolicy {
    /// Nothing is watched.
    #[default]
    Off,
    /// Puts a margin of at least 64 bytes before and after each allocation, and checks it when the
    /// allocation ends. The host fills margins immediately; the GPU fills them in the first scrub
    /// after the allocation, also in a new block. In non-coherent memory, margins consist of whole
    /// atoms (`nonCoherentAtomSize`), because the host writes back whole atoms. Costs memory, and
    /// time proportional to the size of the margins.
    Margins,
    /// Fills free memory with a pattern. A changed word is a write after free. The memory is
    /// checked when it is allocated again, or by the GPU before that. New blocks are filled too.
    /// The host fills a block before anything is allocated from it. The GPU fills it in the first
    /// scrub after its allocation. Until the GPU has passed that scrub, the free part of the block
    /// is not available, so requests in the meantime may need one more block. What was allocated
    /// from it before that scrub is filled when its owner ends. In an arena's [ring or
    /// stacks](crate::ArenaPolicy), the GPU does not fill bytes that were skipped for alignment,
    /// because they belong to no region. Costs two passes over every allocation, and one over every
    /// block.
    Poison,
    /// Margins and poison.
    Full,
    /// Watches nothing, but fills memory with zeros after its owner ends, before it is allocated
    /// again. Use this if you run untrusted content. New blocks are zeroed too: by the host
    /// immediately, by the GPU in the first scrub after the allocation. Until the GPU has passed
    /// that scrub, the free part of the block is not available. Two kinds of memory are not zeroed:
    /// what is allocated from a new block before its first scrub, and dedicated allocations that
    /// the host cannot access. For these, [`Allocation::is_zeroed`](crate::Allocation::is_zeroed)
    /// returns `false`, a `tracing` event is sent once, and [`GuardCoverage`](crate::GuardCoverage)
    /// counts them. The former cannot occur in an arena with initial blocks that is scrubbed before
    /// its first use. Costs one pass over every allocation and block.
    Zero,
}

/// Selects who maintains the guards, and therefore which memory is watched
/// ([`AllocatorDesc::guarded_by`](crate::AllocatorDesc::guarded_by)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum GuardedBy {
    /// The host, immediately. Watches blocks that are host-visible, coherent and mapped.
    #[default]
    Host,
    /// The host for memory that it can access, and the GPU for other memory. The GPU works in
    /// scrubs, which you have to record once per frame with
    /// [`Allocator::record_scrub`](crate::Allocator::record_scrub) or
    /// [`scrub`](crate::Allocator::scrub). Without scrubs, freed memory is not reused.
    HostOrGpu,
    /// The GPU, for host memory too.
    Gpu,
}

impl GuardPolicy {
    pub(crate) const fn is_on(self) -> bool {
        !matches!(self, Self::Off)
    }

    /// The minimum size of a margin in bytes; 0 without margins.
    pub(crate) const fn margin(self) -> u64 {
        if matches!(self, Self::Margins | Self::Full) { MARGIN } else { 0 }
    }

    /// Whether free memory holds the pattern.
    pub(crate) const fn poisons(self) -> bool {
        matches!(self, Self::Poison | Self::Full)
    }

    /// What is written to memory whose owner has ended, if anything.
    pub(crate) const fn at_end(self) -> Option<Order> {
        match self {
            Self::Off | Self::Margins => None,
            Self::Poison | Self::Full => Some(Order::Fill),
            Self::Zero => Some(Order::Zero),
        }
    }
}
