//! Inconsistencies in the bookkeeping of blocks.

use crate::tlsf;

/// A broken invariant of a block. This is a bug of this crate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// The regions of a block.
    #[error(transparent)]
    Tlsf(#[from] tlsf::Broken),
    /// A resource outlived its region.
    #[error("a resource outlived its region")]
    Tenant,
    /// The counts and sums of blocks.
    #[error("a block's counts do not add up")]
    Count,
    /// The indices of which blocks have room, and which are empty.
    #[error("an index of blocks does not fit them")]
    Index,
    /// The state of what waits for the GPU.
    #[error("a queue of pending entries is broken")]
    Pending,
}
