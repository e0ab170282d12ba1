//! What can go wrong with a pool: one error per operation. Addresses are told as numbers.
#![forbid(unsafe_code)]

use thiserror::Error;

use crate::tlsf;

/// Why a pool cannot be made as described.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The granule, the cache line or the boundary is no power of two, or above 1 MiB for the first two.
    #[error(
        "{bytes} bytes are no power of two that a granule, a cache line or a boundary may have"
    )]
    PowerOfTwo {
        /// What was asked for.
        bytes: u64,
    },
    /// Nothing is left of the region after its ends were rounded to granules and cut at the largest
    /// address.
    #[error("no whole granule of the memory can be used")]
    TooSmall,
    /// The region's addresses, or its bus addresses, run past the end of the address space.
    #[error("the addresses run past the end of the address space")]
    Wraps,
    /// The memory does not begin at a granule, where offsets have to count from its beginning.
    #[error("the memory does not begin at a granule")]
    Misaligned,
    /// The cache line is longer than what pointers and bus addresses agree on: lines of the one begin inside
    /// those of the other, and two allocations would share one.
    #[error(
        "pointers and bus addresses agree on multiples of {agreed} bytes, less than a cache line"
    )]
    CacheLine {
        /// The longest line that both keep apart, in bytes.
        agreed: u64,
    },
    /// The host has no memory for the pool or for its books.
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
    /// The alignment is no power of two, or above the largest one of this pool.
    #[error("the alignment is no power of two, or above {largest}")]
    Alignment {
        /// The largest alignment that this pool can serve, in bytes.
        largest: u64,
    },
    /// The request is larger than the whole pool: no deallocation can help.
    #[error("the request is larger than the pool")]
    TooLarge,
    /// The request is larger than the distance of two boundaries.
    #[error("{size} bytes cannot lie between two boundaries")]
    CrossesBoundary {
        /// The size asked for, in bytes.
        size: u64,
    },
    /// No free range was found that holds the request.
    #[error("no free range holds the request; one of {largest_class} bytes would be granted")]
    Full {
        /// A request of this many bytes would be granted now, at the pool's granule and where no
        /// [boundary](super::PoolDesc::boundary) is in the way; may be 0.
        largest_class: u64,
        /// Bytes in quarantine or waiting for points, which may help then.
        pending: u64,
    },
    /// The host has no memory for the books, or had none for the pool itself
    /// ([`MemoryPool::new`](super::MemoryPool::new)).
    #[error("out of host memory")]
    OutOfHostMemory,
    /// A write after free: the range that would have been handed out was written to since it was
    /// freed. The poison has been laid again, so that the next request goes on.
    #[error("a write after free at {address:#x}, in free memory that begins at {start:#x}")]
    WriteAfterFree {
        /// The first byte that is not as the pool left it.
        address: usize,
        /// Where the free range begins, or began when it was an allocation.
        start: usize,
    },
}

impl AllocateError {
    /// Why the core refused a request that has a margin of so many bytes behind it.
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

/// Why a pointer was not freed. Nothing has changed, but for what [`Corrupted`](Self::Corrupted) says.
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
        /// Its size in bytes, as asked for.
        size: u64,
    },
    /// An allocation once began here, and none does now: it was freed before.
    #[error("Double-free of {address:#x}")]
    DoubleFree {
        /// The pointer's address.
        address: usize,
    },
    /// No allocation ever began here.
    #[error("{address:#x} was never handed out")]
    Untracked {
        /// The pointer's address.
        address: usize,
    },
    /// The allocation belongs to a [`Pooled`](super::Pooled) handle, which alone may free it.
    #[error("{address:#x} belongs to a handle")]
    OwnedByHandle {
        /// The pointer's address.
        address: usize,
    },
    /// The bytes after the allocation were written to. The allocation lives, so that it can be looked
    /// at; its guard has been laid again, so that the next call frees it.
    #[error(
        "the allocation at {start:#x} of {size} bytes was overrun: {address:#x} was written to"
    )]
    Corrupted {
        /// The first byte that is not as the pool left it.
        address: usize,
        /// Where the allocation begins.
        start: usize,
        /// Its size in bytes, as asked for.
        size: u64,
    },
    /// The host has no memory to note what the memory waits for.
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
        /// The first byte that is not as the pool left it.
        address: usize,
        /// Where the allocation begins.
        start: usize,
        /// Its size in bytes, as asked for.
        size: u64,
    },
    /// Free memory was written to.
    #[error("a write after free at {address:#x}, in free memory that begins at {start:#x}")]
    WriteAfterFree {
        /// The first byte that is not as the pool left it.
        address: usize,
        /// Where the free range begins.
        start: usize,
    },
    /// A bug of this crate: the books do not agree with themselves.
    #[error("the books are broken: {0}")]
    Broken(#[from] Broken),
}

/// An invariant that does not hold. It is a bug of this crate, never of its user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Broken {
    /// The allocator of offsets is broken.
    #[error(transparent)]
    Tlsf(#[from] tlsf::Broken),
    /// A live allocation is not where the starts say; or one is that is none.
    #[error("the starts at offset {offset} do not agree")]
    Start {
        /// In bytes from the beginning of the pool.
        offset: u64,
    },
    /// A search for live starts would miss one.
    #[error("a live start is not written down")]
    Starts,
    /// The statistics are not those of the allocations.
    #[error("the statistics are not those of the allocations")]
    Count,
}
