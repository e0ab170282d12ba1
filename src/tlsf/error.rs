//! What can go wrong: one error per operation.

use thiserror::Error;

/// Why a block cannot be described as asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The granule is no power of two.
    #[error("the granule {granule} is no power of two")]
    Granule {
        /// The granule asked for, in bytes.
        granule: u64,
    },
    /// The block is smaller than one granule.
    #[error("a block of {size} bytes is smaller than its granule")]
    TooSmall {
        /// The size asked for, in bytes.
        size: u64,
    },
    /// The block has 2³¹ granules or more; [`Config::granule_for`](super::Config::granule_for) tells
    /// the granule it needs.
    #[error("a block of {size} bytes has too many granules; the granule must be {granule} or more")]
    TooManyGranules {
        /// The size asked for, in bytes.
        size: u64,
        /// The smallest granule for this size, in bytes.
        granule: u64,
    },
    /// The host has no memory for the bins (8 KiB).
    #[error("out of host memory")]
    OutOfHostMemory,
}

/// Why a request was not granted. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// The size is 0.
    #[error("an allocation of 0 bytes")]
    ZeroSize,
    /// The alignment is no power of two.
    #[error("the alignment is no power of two")]
    Alignment,
    /// The request is larger than the whole block: no free can help.
    #[error("the request is larger than the block")]
    TooLarge,
    /// No free region was found that holds the request.
    #[error("no free region holds the request; one of {largest_class} bytes would be granted")]
    Full {
        /// A request of this many bytes at the granule's alignment would be granted now; may be 0.
        largest_class: u64,
        /// Bytes that wait to be reached, and may help then.
        pending: u64,
    },
    /// The host has no memory for more nodes.
    #[error("out of host memory")]
    OutOfHostMemory,
}

/// Why a pending region was not taken over. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum TakeOverError {
    /// The key is of no pending region.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The request is not valid in itself.
    #[error(transparent)]
    Request(#[from] AllocateError),
    /// The region is too small, or does not begin at a multiple of the alignment.
    #[error("the pending region does not hold the request")]
    DoesNotFit,
    /// The host has no memory for more nodes.
    #[error("out of host memory")]
    OutOfHostMemory,
}

/// Why a key was refused. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key's allocation is gone: it was freed or reached before.
    #[error("the allocation is gone")]
    Stale,
    /// The key's allocation has been retired already and is still pending.
    #[error("the allocation has been retired already")]
    AlreadyRetired,
    /// The key's allocation is in use: it has to be retired before it can be reached.
    #[error("the allocation has not been retired")]
    NotRetired,
    /// No allocation of this block ever had the key's index.
    #[error("the key is not of this block")]
    Unknown,
}
