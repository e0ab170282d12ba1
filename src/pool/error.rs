//! The errors of a pool, one type for each operation. Addresses are given as numbers.
#![forbid(unsafe_code)]

use thiserror::Error;

use crate::tlsf;

/// Why a pool cannot be created as described.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The granule, the cache line or the boundary is not a power of two, or one of the first two
    /// is above 1 MiB.
    #[error(
        "{bytes} bytes are no power of two that a granule, a cache line or a boundary may have"
    )]
    PowerOfTwo {
        /// The requested value.
        bytes: u64,
    },
    /// Nothing is left of the region after its ends were rounded to granules and cut at the largest
    /// address.
    #[error("no whole granule of the memory can be used")]
    TooSmall,
    /// The addresses or bus addresses of the region run past the end of the address space.
    #[error("the addresses run past the end of the address space")]
    Wraps,
    /// The memory does not begin at a granule, although offsets have to count from its beginning.
    #[error("the memory does not begin at a granule")]
    Misaligned,
    /// The cache line is longer than the alignment on which pointers and bus addresses agree. Lines
    /// of the one begin inside lines of the other, so two allocations would share one.
    #[error(
        "pointers and bus addresses agree on multiples of {agreed} bytes, less than a cache line"
    )]
    CacheLine {
        /// The longest line, in bytes, that both keep apart.
        agreed: u64,
    },
    /// The host has no memory for the pool or for its bookkeeping.
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
    /// The alignment is not a power of two, or above the largest one of this pool.
    #[error("the alignment is no power of two, or above {largest}")]
    Alignment {
        /// The largest alignment that this pool supports, in bytes.
        largest: u64,
    },
    /// The request is larger than the whole pool, so no deallocation can help.
    #[error("the request is larger than the pool")]
    TooLarge,
    /// The request is larger than the distance between two boundaries.
    #[error("{size} bytes cannot lie between two boundaries")]
    CrossesBoundary {
        /// The requested size in bytes.
        size: u64,
    },
    /// No free range was found for the request.
    #[error("no free range holds the request; one of {largest_class} bytes would be granted")]
    Full {
        /// A request of this many bytes would succeed now, at the alignment of the pool's granule
        /// and if no [boundary](super::PoolDesc::boundary) is in the way. May be 0.
        largest_class: u64,
        /// Bytes in quarantine or waiting for points; the request may succeed when they are free.
        pending: u64,
    },
    /// The host has no memory for the bookkeeping, or had none for the pool itself
    /// ([`MemoryPool::new`](super::MemoryPool::new)).
    #[error("out of host memory")]
    OutOfHostMemory,
    /// A write after free: the range that would have been handed out was written to after it was
    /// freed. It has been filled with the pattern again, so the next request can succeed.
    #[error("a write after free at {address:#x}, in free memory that begins at {start:#x}")]
    WriteAfterFree {
        /// The first byte that differs from what the pool wrote.
        address: usize,
        /// The start of the free range, or of the allocation that it was.
        start: usize,
    },
}

impl AllocateError {
    /// Why the core refused a request that is followed by a margin of so many bytes.
    #[cold]
    pub(super) fn of_core(error: tlsf::AllocateError, margin: u64) -> Self {
        match error {
            tlsf::AllocateError::ZeroSize => Self::ZeroSize,
            tlsf::AllocateError::TooLarge => Self::TooLarge,
            tlsf::AllocateError::Full { largest_class, pending } => {
                Self::Full { largest_class: largest_class.saturating_sub(margin), pending }
            }
            tlsf::AllocateError::Alignment => Self::Alignment { largest: 0 },
            tlsf::AllocateError::OutOfHostMemory => Self::OutOfHostMemory,
        }
    }
}

/// Why a pointer was not freed. Nothing has changed, except as described for
/// [`Corrupted`](Self::Corrupted).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DeallocateError {
    /// The pointer is not of this pool.
    #[error("{address:#x} is not of this pool")]
    Foreign {
        /// The pointer's address.
        address: usize,
    },
    /// The pointer is inside a live allocation, but not at its start.
    #[error("{address:#x} is not at the start of its allocation, {start:#x} with {size} bytes")]
    NotAtStart {
        /// The pointer's address.
        address: usize,
        /// Where the allocation begins.
        start: usize,
        /// The requested size in bytes.
        size: u64,
    },
    /// An allocation once started here, and there is none now: it was freed before.
    #[error("Double-free of {address:#x}")]
    DoubleFree {
        /// The pointer's address.
        address: usize,
    },
    /// No allocation ever started here.
    #[error("{address:#x} was never handed out")]
    Untracked {
        /// The pointer's address.
        address: usize,
    },
    /// The allocation belongs to a [`Pooled`](super::Pooled) handle; only this handle may free it.
    #[error("{address:#x} belongs to a handle")]
    OwnedByHandle {
        /// The pointer's address.
        address: usize,
    },
    /// The bytes after the allocation were written to. The allocation stays live, so that it can be
    /// examined. Its guard has been filled again, so the next call frees it.
    #[error(
        "the allocation at {start:#x} of {size} bytes was overrun: {address:#x} was written to"
    )]
    Corrupted {
        /// The first byte that differs from what the pool wrote.
        address: usize,
        /// Where the allocation begins.
        start: usize,
        /// The requested size in bytes.
        size: u64,
    },
    /// The host has no memory to store what the allocation waits for.
    #[error("out of host memory")]
    OutOfHostMemory,
}

/// What a check of the whole pool found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The bytes after a live allocation were written to.
    #[error(
        "the allocation at {start:#x} of {size} bytes was overrun: {address:#x} was written to"
    )]
    Overrun {
        /// The first byte that differs from what the pool wrote.
        address: usize,
        /// Where the allocation begins.
        start: usize,
        /// The requested size in bytes.
        size: u64,
    },
    /// Free memory was written to.
    #[error("a write after free at {address:#x}, in free memory that begins at {start:#x}")]
    WriteAfterFree {
        /// The first byte that differs from what the pool wrote.
        address: usize,
        /// Where the free range begins.
        start: usize,
    },
    /// A bug of this crate: the bookkeeping is inconsistent.
    #[error("the books are broken: {0}")]
    Broken(#[from] Broken),
}

/// An invariant that does not hold. This is a bug of this crate, never of its user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Broken {
    /// The offset allocator is inconsistent.
    #[error(transparent)]
    Tlsf(#[from] tlsf::Broken),
    /// The table of starts lacks a live allocation, or contains one that is not live.
    #[error("the starts at offset {offset} do not agree")]
    Start {
        /// The offset in bytes from the beginning of the pool.
        offset: u64,
    },
    /// A search for live starts would miss one.
    #[error("a live start is not written down")]
    Starts,
    /// The statistics do not match the allocations.
    #[error("the statistics are not those of the allocations")]
    Count,
}
