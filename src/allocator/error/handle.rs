//! Errors of operations on handles, keys and ranges.

use super::allocate::AllocateError;
use crate::{retire::Point, tlsf::KeyError as RegionKeyError};
use ash::vk;

/// The reason why a raw key or a handle was refused. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key belongs to another allocator.
    #[error("the key belongs to another allocator")]
    Foreign,
    /// The allocation was already retired or freed: a double free.
    #[error("the allocation was already retired: a double free")]
    AlreadyRetired,
    /// The allocation has ended, and its range may already belong to another.
    #[error("the allocation has ended")]
    Stale,
    /// The host has no memory to store the end, and collecting made no room. The allocation is
    /// still alive; end it again later.
    #[error("out of host memory")]
    OutOfHostMemory,
}

impl From<RegionKeyError> for KeyError {
    fn from(error: RegionKeyError) -> Self {
        match error {
            RegionKeyError::AlreadyRetired => Self::AlreadyRetired,
            _ => Self::Stale,
        }
    }
}

/// The reason why a copy into or out of mapped memory was refused. Nothing was copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The memory is not host-visible. Use [`upload`](crate::AllocationDesc::upload) or
    /// [`readback`](crate::AllocationDesc::readback) memory, or a staging buffer.
    #[error("the memory is not host-visible: use upload or readback memory, or a staging buffer")]
    NotMapped,
    /// The range does not lie within the allocation.
    #[error("offset {offset} and {length} bytes are outside an allocation of {size}")]
    OutOfRange {
        /// The first byte.
        offset: u64,
        /// The number of bytes.
        length: u64,
        /// The size of the allocation.
        size: u64,
    },
    /// The GPU has not passed the point.
    #[error("the GPU has not passed {point}")]
    NotReached {
        /// The point.
        point: Point,
    },
    /// The point belongs to another allocator.
    #[error("{point} belongs to another allocator")]
    Foreign {
        /// The point.
        point: Point,
    },
    /// A range belongs to another allocator.
    #[error("a range belongs to another allocator")]
    ForeignRange,
    /// The raw key was refused.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The allocator has been shut down, and its memory has been freed.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The driver failed to map, flush or invalidate the memory.
    #[error("the driver failed to map, flush or invalidate: {0}")]
    Driver(vk::Result),
}

/// The reason why nothing was allocated from a [`FrameRing`](crate::FrameRing).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// There is no room until the GPU has made progress: wait for the point of a frame, or create a
    /// larger ring.
    #[error(
        "{size} bytes do not fit: {taken} of {capacity} bytes are in use until the GPU has passed them"
    )]
    Full {
        /// The requested size, in bytes.
        size: u64,
        /// The size of the ring, in bytes.
        capacity: u64,
        /// The bytes in use by recordings and the GPU.
        taken: u64,
    },
    /// The requested size is zero or exceeds the ring, or the alignment is zero.
    #[error("a ring of {capacity} bytes cannot hold {size} bytes aligned to {alignment}")]
    Impossible {
        /// The requested size, in bytes.
        size: u64,
        /// The requested alignment, in bytes.
        alignment: u64,
        /// The size of the ring, in bytes.
        capacity: u64,
    },
    /// The recording belongs to another allocator.
    #[error("the recording belongs to another allocator")]
    Foreign,
    /// The allocator allocates nothing any more.
    #[error(transparent)]
    Allocate(#[from] AllocateError),
    /// The values could not be copied in. The range stays in use until the GPU has passed it.
    #[error(transparent)]
    Copy(#[from] CopyError),
}

/// The reason why a handle was not retired at explicit points. The error returns the handle, which
/// is still alive.
#[derive(Debug, thiserror::Error)]
#[error("{point} belongs to another allocator")]
pub struct Refused<T> {
    /// The unchanged handle.
    pub handle: T,
    /// The point that belongs to another allocator.
    pub point: Point,
}

/// The point belongs to another allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{point} belongs to another allocator")]
pub struct ForeignPoint {
    /// That point.
    pub point: Point,
}
