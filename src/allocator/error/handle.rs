//! What was asked of a handle, a key or a range that it is not for.

use super::allocate::AllocateError;
use crate::{retire::Point, tlsf::KeyError as RegionKeyError};
use ash::vk;

/// Why a raw key or a handle was refused. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key is of another allocator.
    #[error("the key belongs to another allocator")]
    Foreign,
    /// The allocation was retired or freed before: a double free.
    #[error("the allocation was retired before: a double free")]
    AlreadyRetired,
    /// The allocation ended, and its place may belong to another by now.
    #[error("the allocation has ended")]
    Stale,
    /// The host has no memory to note the end by, and nothing that was reached made way. The allocation lives:
    /// end it again later.
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

/// Why a copy in or out of mapped memory was refused. Nothing was copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The memory is not host-visible: ask for [`upload`](crate::AllocationDesc::upload) or
    /// [`readback`](crate::AllocationDesc::readback) memory, or stage the copy.
    #[error("the memory is not host-visible: ask for upload or readback memory, or stage the copy")]
    NotMapped,
    /// The range does not lie within the allocation.
    #[error("offset {offset} and {length} bytes are outside an allocation of {size}")]
    OutOfRange {
        /// The first byte.
        offset: u64,
        /// How many bytes.
        length: u64,
        /// The allocation's size.
        size: u64,
    },
    /// The GPU has not passed the point.
    #[error("the GPU has not passed {point}")]
    NotReached {
        /// The point that was named.
        point: Point,
    },
    /// The point is of another allocator.
    #[error("{point} belongs to another allocator")]
    Foreign {
        /// The point that was named.
        point: Point,
    },
    /// A range is of another allocator.
    #[error("a range belongs to another allocator")]
    ForeignRange,
    /// The raw key is refused.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The allocator has been shut down and its memory is gone.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The driver failed to flush or invalidate, or to map for one access.
    #[error("the driver failed to map, flush or invalidate: {0}")]
    Driver(vk::Result),
}

/// Why nothing was taken of a [`FrameRing`](crate::FrameRing).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// No room until the GPU is further on: wait for a frame's point, or make a larger ring.
    #[error(
        "{size} bytes do not fit: {taken} of {capacity} bytes are taken until the GPU is further on"
    )]
    Full {
        /// What was asked for, in bytes.
        size: u64,
        /// The ring's size, in bytes.
        capacity: u64,
        /// What recordings hold of it, in bytes.
        taken: u64,
    },
    /// No bytes, an alignment of zero, or more than the ring has.
    #[error("a ring of {capacity} bytes has no {size} bytes aligned to {alignment}")]
    Impossible {
        /// What was asked for, in bytes.
        size: u64,
        /// What was asked for, in bytes.
        alignment: u64,
        /// The ring's size, in bytes.
        capacity: u64,
    },
    /// The recording is of another allocator.
    #[error("the recording belongs to another allocator")]
    Foreign,
    /// The allocator gives nothing any more.
    #[error(transparent)]
    Allocate(#[from] AllocateError),
    /// The values could not be copied in. The room stays taken until the GPU is past it.
    #[error(transparent)]
    Copy(#[from] CopyError),
}

/// Why a handle was not ended at explicit points. The handle comes back, alive.
#[derive(Debug, thiserror::Error)]
#[error("{point} belongs to another allocator")]
pub struct Refused<T> {
    /// The handle, as it was.
    pub handle: T,
    /// The point that is foreign.
    pub point: Point,
}

/// A point that is of another allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{point} belongs to another allocator")]
pub struct ForeignPoint {
    /// That point.
    pub point: Point,
}
