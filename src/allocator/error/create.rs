//! Errors of creating allocators, resources and arenas, and of their descriptions.

use super::{allocate::AllocateError, handle::CopyError};
use ash::vk;

/// The reason why no allocator was created.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NewError {
    /// The physical device reports no memory types, so there is nothing to allocate from.
    #[error("the physical device reports no memory types")]
    NoMemoryTypes,
    /// A memory type refers to a heap that does not exist, which is a driver bug.
    #[error("memory type {memory_type} refers to a heap that does not exist")]
    HeaplessType {
        /// The memory type.
        memory_type: u32,
    },
}

/// The reason why no arena was created. Nothing is left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaError {
    /// None of the allowed memory types has the required properties.
    #[error("no memory type fits the arena's description")]
    NoMemoryType,
    /// The block size is smaller than one rounded-up allocation
    /// ([`Allocation::size`](crate::Allocation::size)) with the margins of its guards, or larger
    /// than the device can allocate.
    #[error(
        "a block of {asked} bytes is too small for any allocation, or exceeds the limit of {limit} bytes"
    )]
    BlockSize {
        /// The requested block size, in bytes.
        asked: u64,
        /// The largest allocation possible, in bytes.
        limit: u64,
    },
    /// The maximum number of blocks is zero, or smaller than the minimum.
    #[error("the maximum of {max} blocks is zero, or smaller than the minimum of {min}")]
    BlockCount {
        /// The requested minimum.
        min: u32,
        /// The requested maximum.
        max: u32,
    },
    /// Initial blocks need a block size.
    #[error("initial blocks need a block size")]
    NoBlockSize,
    /// The priority is not between 0 and 1.
    #[error("the priority is not between 0 and 1")]
    Priority,
    /// The alignment is not a power of two.
    #[error("the alignment {alignment} is not a power of two")]
    Alignment {
        /// The requested alignment, in bytes.
        alignment: u64,
    },
    /// The maximum number of arenas exists already.
    #[error("the maximum number of arenas exists already")]
    TooMany,
    /// There was no memory for the initial blocks.
    #[error(transparent)]
    Allocate(#[from] AllocateError),
}

/// The reason why no resource was created. Nothing has changed and nothing is left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The description is invalid.
    #[error(transparent)]
    Desc(#[from] DescError),
    /// The driver did not create the object.
    #[error("the driver did not create the object: {0}")]
    Create(vk::Result),
    /// There was no memory for the resource.
    #[error(transparent)]
    Allocate(#[from] AllocateError),
    /// The driver did not bind the memory.
    #[error("the driver did not bind the memory: {0}")]
    Bind(vk::Result),
}

/// The reason why no buffer with contents was created. Nothing is left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The buffer or its staging buffer could not be created.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The contents do not fit, or could not be written.
    #[error(transparent)]
    Copy(#[from] CopyError),
}

/// The reason why no resource was created in shared memory. Nothing is left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AliasError {
    /// The resource could not be created or bound.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The memory belongs to another allocator.
    #[error("the memory belongs to another allocator")]
    Foreign,
    /// The memory is a dedicated allocation for one resource, and Vulkan allows no other resource
    /// in it.
    #[error("the memory is dedicated to one resource")]
    Exclusive,
    /// The driver requires a dedicated allocation for the resource.
    #[error("the resource requires a dedicated allocation")]
    NeedsDedicated,
    /// The resource cannot use this memory type.
    #[error("memory type {memory_type} is not among bits {type_bits:#x}")]
    MemoryType {
        /// The type of the memory.
        memory_type: u32,
        /// The types that the resource can use.
        type_bits: u32,
    },
    /// The offset in the block does not have the alignment that the resource needs.
    #[error("offset {offset} of the allocation is not aligned to {alignment} bytes")]
    Misaligned {
        /// The offset within the allocation, in bytes.
        offset: u64,
        /// The alignment that the resource needs, in bytes.
        alignment: u64,
    },
    /// The resource does not lie within the allocation.
    #[error("offset {offset} and {needed} bytes are outside an allocation of {size}")]
    OutOfRange {
        /// The offset within the allocation, in bytes.
        offset: u64,
        /// The size that the resource needs, in bytes.
        needed: u64,
        /// The size of the allocation, in bytes.
        size: u64,
    },
}

/// The reason why no memory was exported or imported. Nothing is left behind, and no descriptor is
/// lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalError {
    /// The resource could not be created, or there was no memory for it.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The extensions of this handle type are not enabled, or Vulkan 1.1 is not.
    #[error("the extensions of this handle type are not enabled")]
    NotEnabled,
    /// The driver cannot share such a resource with this handle type.
    #[error("the driver cannot share such a resource with this handle type")]
    Unsupported,
    /// The memory was not allocated for export with this handle type.
    #[error("the memory was not allocated for export with this handle type")]
    NotExportable,
    /// The imported memory is too small. If it must be dedicated and is not a dma-buf, it must have
    /// exactly the size of the resource.
    #[error("the imported memory has {size} bytes, the resource needs {needed}")]
    Size {
        /// The size of the imported memory, in bytes.
        size: u64,
        /// The size that the resource needs, in bytes.
        needed: u64,
    },
    /// The host memory is shorter than the buffer, or not aligned.
    #[error("the host memory is too short, or not a multiple of {alignment} bytes")]
    HostRange {
        /// [`Allocator::host_pointer_alignment`](crate::Allocator::host_pointer_alignment).
        alignment: u64,
    },
    /// The driver refused.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}

/// The reason why a description is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescError {
    /// A size or an extent is zero.
    #[error("a size or an extent is zero")]
    ZeroSize,
    /// The buffer is larger than the device supports (`maxBufferSize`).
    #[error("the buffer is larger than the device's limit of {limit} bytes")]
    BufferSize {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The usage is empty.
    #[error("the usage is empty")]
    NoUsage,
    /// The usage needs a feature that is missing in
    /// [`AllocatorDesc::features`](crate::AllocatorDesc::features), or that the safe descriptions
    /// do not support.
    #[error(
        "the usage bits {unknown:#x} need a feature that is missing in AllocatorDesc::features, or are \
         not supported here: create_buffer_from and create_image_from accept any usage"
    )]
    Usage {
        /// The unsupported bits, of `VkBufferUsageFlags` or `VkImageUsageFlags`.
        unknown: u32,
    },
    /// The format is undefined.
    #[error("the format is undefined")]
    Format,
    /// The driver does not support an image with this format, usage, size, mip levels, layers and
    /// samples.
    #[error(
        "the driver does not support an image with this format, usage, size, levels, layers and samples"
    )]
    Unsupported,
    /// The description needs a feature that is missing in
    /// [`AllocatorDesc::features`](crate::AllocatorDesc::features), or whose functions the device
    /// does not have.
    #[error("the description needs a feature that is missing in AllocatorDesc::features")]
    NotEnabled,
    /// The image has more mip levels than its extent allows.
    #[error("the image has more mip levels than its extent allows")]
    MipLevels,
    /// A queue family occurs twice, or is the only one, or does not exist.
    #[error("queue families must be empty, or at least two different families of the device")]
    QueueFamilies,
    /// The view exceeds the levels or layers of its image, does not match its type, or has no
    /// aspect; or the image belongs to another allocator.
    #[error(
        "the view reaches past the levels or layers of its image, does not fit its type, names no \
         aspect, or the image is of another allocator"
    )]
    View,
}
