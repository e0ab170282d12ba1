//! What can go wrong in the face, an enum per operation. All `Copy`, none holds a string.

use ash::vk;

use crate::{
    retire::{BagNumber, EndError, Point},
    tlsf::KeyError as RegionKeyError,
};

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

/// Why no memory was allocated. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// A size of zero bytes was asked for.
    #[error("a size of zero bytes was asked for")]
    ZeroSize,
    /// The alignment is not a power of two.
    #[error("the alignment {alignment} is not a power of two")]
    Alignment {
        /// What was asked for, in bytes.
        alignment: u64,
    },
    /// No memory type is allowed by the resource and has the required properties.
    #[error("no memory type among bits {type_bits:#x} has the properties {required:?}")]
    NoMemoryType {
        /// `VkMemoryRequirements::memoryTypeBits`.
        type_bits: u32,
        /// The properties the description requires.
        required: vk::MemoryPropertyFlags,
    },
    /// More than the device can allocate at once, or more than any heap holds.
    #[error("{requested} bytes are more than the limit of {limit}")]
    TooLarge {
        /// What was asked for, in bytes.
        requested: u64,
        /// The largest allocation possible, in bytes.
        limit: u64,
    },
    /// The timeline that is to order the first use belongs to another allocator.
    #[error("the timeline belongs to another allocator")]
    ForeignTimeline,
    /// Every suitable memory type is out of memory, after all that was tried.
    #[error(
        "out of device memory: {requested} bytes asked, {largest_free} free in one piece, \
         {pending} bytes pending until the GPU is done with them; heap {heap} has {left} bytes \
         left of its budget; tried: {tried:?}"
    )]
    OutOfDeviceMemory {
        /// What was asked for, in bytes.
        requested: u64,
        /// The largest free range in the suitable memory types, in bytes.
        largest_free: u64,
        /// Bytes in the suitable types that wait for the GPU: if they would do, wait for the
        /// timelines, collect and try again.
        pending: u64,
        /// The earliest drop, counted in bags, by which one block has so many bytes pending as were
        /// asked for: what [`Allocator::wait_for`](crate::Allocator::wait_for) waits for. `None` if
        /// no wait will do.
        cut: Option<BagNumber>,
        /// The heap of the best suitable memory type.
        heap: u32,
        /// How many bytes that heap's budget and cap still leave.
        left: u64,
        /// What was tried.
        tried: Tried,
    },
    /// The resource needs a memory of its own, and an arena gives none.
    #[error("a memory of its own is needed, and an arena gives none")]
    NeedsDedicated,
    /// The host is out of memory.
    #[error("out of host memory")]
    OutOfHostMemory,
    /// The device holds as many memories as it can.
    #[error("the device holds {limit} memories, as many as it can")]
    TooManyAllocations {
        /// `maxMemoryAllocationCount`; 2²² where that is more, which is all that keys can name.
        limit: u32,
    },
    /// A host-visible memory could not be mapped.
    #[error("mapping failed: {0}")]
    Map(vk::Result),
    /// The device is lost; nothing is handed out any more.
    #[error("the device is lost")]
    DeviceLost,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The driver refused for another reason.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}

bitflags::bitflags! {
    /// What was tried before a request was refused for want of memory.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Tried: u32 {
        /// Memory that the GPU had passed was collected.
        const COLLECT = 1;
        /// Empty blocks were given back to the driver.
        const RELEASE = 1 << 1;
        /// The driver was asked for a smaller block than the policy wanted.
        const SMALLER = 1 << 2;
        /// A memory of the request's own was wanted.
        const DEDICATED = 1 << 3;
        /// More than one memory type.
        const OTHER_TYPES = 1 << 4;
        /// The driver was asked, and refused.
        const DRIVER = 1 << 5;
        /// A heap's cap or budget had no room, so the driver was not asked.
        const BUDGET = 1 << 6;
        /// The GPU was waited for, within the request's
        /// [patience](crate::AllocationDesc::patience).
        const WAIT = 1 << 7;
    }
}

impl AllocateError {
    /// Whether giving up other resources, or waiting for the GPU, may help.
    pub const fn is_out_of_memory(self) -> bool {
        matches!(
            self,
            Self::OutOfDeviceMemory { .. }
                | Self::OutOfHostMemory
                | Self::TooManyAllocations { .. }
        )
    }

    /// Out of device memory, said within the flow: `Inner::allocate` fills it in.
    pub(crate) const fn out_of_memory() -> Self {
        let tried = Tried::empty();
        Self::OutOfDeviceMemory {
            requested: 0,
            largest_free: 0,
            pending: 0,
            cut: None,
            heap: 0,
            left: 0,
            tried,
        }
    }

    pub(crate) fn from_driver(result: vk::Result, limit: u32) -> Self {
        match result {
            vk::Result::ERROR_OUT_OF_DEVICE_MEMORY => Self::out_of_memory(),
            vk::Result::ERROR_OUT_OF_HOST_MEMORY => Self::OutOfHostMemory,
            vk::Result::ERROR_TOO_MANY_OBJECTS => Self::TooManyAllocations { limit },
            vk::Result::ERROR_DEVICE_LOST => Self::DeviceLost,
            other => Self::Driver(other),
        }
    }
}

/// Why no arena was made. Nothing is left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaError {
    /// No memory type among those named has the required properties.
    #[error("no memory type fits the arena's description")]
    NoMemoryType,
    /// Blocks of no size, or larger than the device can allocate.
    #[error("a block size of {asked} bytes is not between 1 and {limit}")]
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
    /// The imported memory is too small; where it must be for the resource alone, it must have
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
    #[error("the driver has no such image")]
    Unsupported,
    /// More mip levels than the extent has halvings.
    #[error("more mip levels than the extent has halvings")]
    MipLevels,
    /// A queue family is named twice, or one alone.
    #[error("queue families must be none, or two and more different ones")]
    QueueFamilies,
    /// A view reaches past the levels or layers of its image, or does not fit its type.
    #[error("the view does not fit its image")]
    View,
}

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
    #[error("{size} bytes do not fit: {taken} of {capacity} bytes are taken")]
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

/// Why no timeline was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimelineError {
    /// [`DeviceFeatures::TIMELINE_SEMAPHORE`](crate::DeviceFeatures::TIMELINE_SEMAPHORE) is not
    /// named in the allocator's description. Enable it, or use a timeline of fences.
    #[error(
        "AllocatorDesc::features does not name TIMELINE_SEMAPHORE: name it if the device has it \
         enabled, or use a timeline of fences"
    )]
    NoTimelineSemaphores,
    /// The queue has a timeline already.
    #[error("the queue has a timeline already")]
    QueueTaken,
    /// A ring of fences needs at least one.
    #[error("a ring needs at least one fence")]
    NoFences,
    /// The device is lost.
    #[error("the device is lost")]
    DeviceLost,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The driver refused.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}

/// Why no recording was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// Every fence of the ring is in use: wait for the oldest point, or make a larger ring.
    #[error("every fence of the ring is in use: wait for the oldest point, or make a larger ring")]
    RingFull,
    /// The device is lost.
    #[error("the device is lost")]
    DeviceLost,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The driver refused.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}

/// Why a wait ended without the GPU having passed what it was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The point is of another allocator, or of another timeline than the one that was asked to wait.
    #[error("the point belongs to another allocator or timeline")]
    Foreign,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The GPU had not passed it when the time was over.
    #[error("the GPU has not passed it within the time given")]
    Timeout,
    /// A recording that was open at the drop still is: nothing to wait for is known yet.
    #[error("a recording that was open at the drop is still open")]
    OpenRecording,
    /// The driver refused. A lost device counts as reached, not as an error.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
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

/// What is wrong with a reported value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The timeline numbers its own submissions: use `Recording::submit`.
    #[error("the timeline numbers its own submissions")]
    NotExternal,
    /// The value does not rise.
    #[error(transparent)]
    End(#[from] EndError),
}

/// Why a timeline refused to begin a submission.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitRefusal {
    /// A closure of `submit` called `submit` on the same timeline.
    #[error("submit was called within a submit of the same timeline")]
    Nested,
    /// The timeline's host numbers its own submissions: report them with `Recording::submitted`.
    #[error("an external timeline's host submits by itself and reports the value")]
    External,
    /// The device is lost.
    #[error("the device is lost")]
    DeviceLost,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The driver failed to reset a fence.
    #[error("the driver failed to reset a fence: {0}")]
    Driver(vk::Result),
}
