//! Nothing was made: allocators, resources, arenas, and what their descriptions say.

use super::{allocate::AllocateError, handle::CopyError};
use ash::vk;

/// Why no allocator could be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NewError {
    /// The physical device reports no memory types: there is nothing to allocate from.
    #[error("the physical device reports no memory types")]
    NoMemoryTypes,
    /// A memory type names a heap that does not exist: the driver is broken.
    #[error("memory type {memory_type} names a heap that does not exist")]
    HeaplessType {
        /// The memory type.
        memory_type: u32,
    },
}

/// Why no arena was made. Nothing is left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaError {
    /// No memory type among those named has the required properties.
    #[error("no memory type fits the arena's description")]
    NoMemoryType,
    /// Blocks that hold nothing, as they have less than the 64 bytes or more that all is rounded up to
    /// ([`Allocation::size`](crate::Allocation::size)), with the margins of guards, or that are larger than the device can
    /// allocate.
    #[error("a block of {asked} bytes holds nothing, or is above the limit of {limit}")]
    BlockSize {
        /// What was asked for, in bytes.
        asked: u64,
        /// The largest allocation possible, in bytes.
        limit: u64,
    },
    /// The most blocks are none, or fewer than the least.
    #[error("between {min} and {max} blocks there is no arena")]
    BlockCount {
        /// The least number asked for.
        min: u32,
        /// The greatest number asked for.
        max: u32,
    },
    /// Blocks from the start need a block size.
    #[error("blocks from the start need a block size")]
    NoBlockSize,
    /// A priority is not between 0 and 1.
    #[error("the priority is not between 0 and 1")]
    Priority,
    /// The alignment is not a power of two.
    #[error("the alignment {alignment} is not a power of two")]
    Alignment {
        /// What was asked for, in bytes.
        alignment: u64,
    },
    /// As many arenas live as can.
    #[error("as many arenas live as can")]
    TooMany,
    /// There was no memory for the first blocks.
    #[error(transparent)]
    Allocate(#[from] AllocateError),
}

/// Why no resource was created. Nothing has changed and nothing is left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The description is not valid.
    #[error(transparent)]
    Desc(#[from] DescError),
    /// The driver did not create the object.
    #[error("the driver did not create the object: {0}")]
    Create(vk::Result),
    /// There was no memory for it.
    #[error(transparent)]
    Allocate(#[from] AllocateError),
    /// The driver did not bind the memory.
    #[error("the driver did not bind the memory: {0}")]
    Bind(vk::Result),
}

/// Why no buffer was created with its contents. Nothing is left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The buffer, or the one its contents are copied from, was not created.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The contents do not fit, or could not be written.
    #[error(transparent)]
    Copy(#[from] CopyError),
}

/// Why no resource was created on memory that it would share. Nothing is left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AliasError {
    /// The resource could not be created or bound.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The memory is of another allocator.
    #[error("the memory belongs to another allocator")]
    Foreign,
    /// The memory was made for one resource, and Vulkan allows no other there.
    #[error("the memory was made for one resource alone")]
    Exclusive,
    /// The driver requires a memory that is the resource's alone.
    #[error("the resource requires a memory of its own")]
    NeedsDedicated,
    /// The resource cannot live in this memory type.
    #[error("memory type {memory_type} is not among bits {type_bits:#x}")]
    MemoryType {
        /// The memory's type.
        memory_type: u32,
        /// Those the resource can have.
        type_bits: u32,
    },
    /// The offset within the block is not aligned as the resource needs it.
    #[error("offset {offset} of the allocation is not aligned to {alignment} bytes")]
    Misaligned {
        /// The offset within the allocation, in bytes.
        offset: u64,
        /// What the resource needs, in bytes.
        alignment: u64,
    },
    /// The resource does not lie within the allocation.
    #[error("offset {offset} and {needed} bytes are outside an allocation of {size}")]
    OutOfRange {
        /// The offset within the allocation, in bytes.
        offset: u64,
        /// What the resource needs, in bytes.
        needed: u64,
        /// The allocation's size, in bytes.
        size: u64,
    },
}

/// Why no memory was exported or imported. Nothing is left behind, and no descriptor is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalError {
    /// The resource could not be created, or there was no memory for it.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The extensions of this kind of handle are not on, or Vulkan 1.1 is not.
    #[error("the extensions of this kind of handle are not enabled")]
    NotEnabled,
    /// The driver cannot share such a resource in this way.
    #[error("the driver cannot share such a resource in this way")]
    Unsupported,
    /// The memory was not made to be exported as this.
    #[error("the memory was not made to be exported as this")]
    NotExportable,
    /// The imported memory is too small; where it must be for the resource alone, and is no dma-buf, it must have
    /// just its size.
    #[error("a memory of {size} bytes is imported for {needed}")]
    Size {
        /// The imported memory's size, in bytes.
        size: u64,
        /// What the resource needs, in bytes.
        needed: u64,
    },
    /// The host's memory is shorter than the buffer, or not aligned.
    #[error("the host's memory is too short, or not in multiples of {alignment} bytes")]
    HostRange {
        /// [`Allocator::host_pointer_alignment`](crate::Allocator::host_pointer_alignment).
        alignment: u64,
    },
    /// The driver refused.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}

/// What is wrong with a description.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescError {
    /// A size or an extent is zero.
    #[error("a size or an extent is zero")]
    ZeroSize,
    /// A buffer is larger than the device's are (`maxBufferSize`).
    #[error("no buffer of this device is larger than {limit} bytes")]
    BufferSize {
        /// The largest that can be made, in bytes.
        limit: u64,
    },
    /// No usage is named.
    #[error("no usage is named")]
    NoUsage,
    /// Usages that need a feature that is not named in
    /// [`AllocatorDesc::features`](crate::AllocatorDesc::features), or that the safe descriptions do
    /// not know.
    #[error(
        "the usage bits {unknown:#x} need a feature that AllocatorDesc::features does not name, or \
         are unknown here: create_buffer_from and create_image_from take any"
    )]
    Usage {
        /// Those usages, as bits of `VkBufferUsageFlags` or `VkImageUsageFlags`.
        unknown: u32,
    },
    /// The format is undefined.
    #[error("the format is undefined")]
    Format,
    /// The driver has no image of this format, usage, size, mip levels, layers or samples.
    #[error("the driver has no image of this format, usage, size, levels, layers and samples")]
    Unsupported,
    /// It needs a feature that is not named in [`AllocatorDesc::features`](crate::AllocatorDesc::features), or
    /// whose functions the device has not.
    #[error("it needs a feature that AllocatorDesc::features does not name")]
    NotEnabled,
    /// More mip levels than the extent has halvings.
    #[error("more mip levels than the extent has halvings")]
    MipLevels,
    /// A queue family is named twice, or one alone, or one that the device has not.
    #[error("queue families must be none, or two and more different ones of the device's")]
    QueueFamilies,
    /// A view reaches past the levels or layers of its image, does not fit its type, or names no aspect; or
    /// the image is of another allocator.
    #[error(
        "the view reaches past the levels or layers of its image, does not fit its type, names no \
         aspect, or the image is of another allocator"
    )]
    View,
}
