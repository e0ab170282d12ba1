//! The errors, one type for each operation.

use thiserror::Error;

/// Why a block cannot be created as described.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The granule is not a power of two.
    #[error("the granule {granule} is no power of two")]
    Granule {
        /// The requested granule in bytes.
        granule: u64,
    },
    /// The block is smaller than one granule.
    #[error("a block of {size} bytes is smaller than its granule")]
    TooSmall {
        /// The requested size in bytes.
        size: u64,
    },
    /// The block has 2³¹ granules or more. [`Config::granule_for`](super::Config::granule_for)
    /// returns the granule it needs.
    #[error("a block of {size} bytes has too many granules; the granule must be {granule} or more")]
    TooManyGranules {
        /// The requested size in bytes.
        size: u64,
        /// The smallest granule for this size, in bytes.
        granule: u64,
    },
    /// The host has no memory for the bins (8 KiB).
    #[error("out of host memory")]
    OutOfHostMemory,
}

/// Why a request was refused. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// The size is 0.
    #[error("an allocation of 0 bytes")]
    ZeroSize,
    /// The alignment is not a power of two.
    #[error("the alignment is no power of two")]
    Alignment,
    /// The request is larger than the whole block, so no free can help.
    #[error("the request is larger than the block")]
    TooLarge,
    /// No free region was found for the request.
    #[error("no free region holds the request; one of {largest_class} bytes would be granted")]
    Full {
        /// A request of this many bytes with the granule's alignment would succeed now. May be 0.
        largest_class: u64,
        /// Bytes that are pending; the request may succeed when they are reached.
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
    /// The key does not name a pending region.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The request itself is not valid.
    #[error(transparent)]
    Request(#[from] AllocateError),
    /// The region is too small, or does not start at a multiple of the alignment.
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
    /// The allocation is gone: it was freed or reached before.
    #[error("the allocation is gone")]
    Stale,
    /// The allocation has been retired already and is still pending.
    #[error("the allocation has been retired already")]
    AlreadyRetired,
    /// The allocation is in use: it must be retired before it can be reached.
    #[error("the allocation has not been retired")]
    NotRetired,
    /// No allocation of this block has ever had the index of this key.
    #[error("the key is not of this block")]
    Unknown,
}
