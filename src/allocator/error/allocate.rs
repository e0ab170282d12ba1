//! Errors of allocations: the reason, and what was tried.

use crate::retire::BagNumber;
use ash::vk;

/// The reason why no memory was allocated. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// The requested size is zero.
    #[error("the requested size is zero")]
    ZeroSize,
    /// The alignment is not a power of two.
    #[error("the alignment {alignment} is not a power of two")]
    Alignment {
        /// The requested alignment, in bytes.
        alignment: u64,
    },
    /// No memory type that the resource allows has the required properties.
    #[error("no memory type among bits {type_bits:#x} has the properties {required:?}")]
    NoMemoryType {
        /// `VkMemoryRequirements::memoryTypeBits`.
        type_bits: u32,
        /// The properties that the description requires.
        required: vk::MemoryPropertyFlags,
    },
    /// The request exceeds the largest possible allocation of the device, or every heap.
    #[error("{requested} bytes exceed the limit of {limit} bytes")]
    TooLarge {
        /// The requested size, in bytes.
        requested: u64,
        /// The largest allocation possible, in bytes.
        limit: u64,
    },
    /// The timeline that should order the first use belongs to another allocator.
    #[error("the timeline belongs to another allocator")]
    ForeignTimeline,
    /// Every suitable memory type is out of memory, after everything in `tried` was tried.
    #[error(
        "out of device memory: {requested} bytes requested, largest free range {largest_free} bytes, \
         {pending} bytes pending until the GPU has passed them{}; the budget of heap {heap} has {left} \
         bytes left; tried: {tried}",
        if cut.is_some() { ", which is enough (`Allocator::wait_for` waits for them)" } else { "" }
    )]
    OutOfDeviceMemory {
        /// The requested size, in bytes.
        requested: u64,
        /// The largest free range in the suitable memory types, in bytes.
        largest_free: u64,
        /// The bytes in the suitable types that wait for the GPU, or for a
        /// [scrub](crate::Allocator::scrub). If they are enough, wait for the timelines, collect,
        /// and try again.
        pending: u64,
        /// The earliest drop or running scrub, identified by its bag, by which one block has as
        /// many bytes pending as were requested. Pass it to
        /// [`Allocator::wait_for`](crate::Allocator::wait_for). `None` if waiting does not help.
        cut: Option<BagNumber>,
        /// The heap of the best suitable memory type.
        heap: u32,
        /// The number of bytes that the heap's budget and cap still allow.
        left: u64,
        /// What was tried.
        tried: Tried,
    },
    /// The resource needs a dedicated allocation, which an arena does not make.
    #[error("the resource needs a dedicated allocation, which an arena does not make")]
    NeedsDedicated,
    /// The host is out of memory.
    #[error("out of host memory")]
    OutOfHostMemory,
    /// The device has reached its maximum number of memory objects.
    #[error("the device has reached its maximum of {limit} memory objects")]
    TooManyAllocations {
        /// `maxMemoryAllocationCount`, but at most 2²², the number of blocks that keys can
        /// identify.
        limit: u32,
    },
    /// Host-visible memory could not be mapped.
    #[error("mapping failed: {0}")]
    Map(vk::Result),
    /// The device is lost. The allocator allocates nothing any more.
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
    /// What was tried before a request failed for lack of memory.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Tried: u32 {
        /// Memory that the GPU had passed was collected.
        const COLLECT = 1;
        /// Empty blocks were returned to the driver.
        const RELEASE = 1 << 1;
        /// The driver was asked for a smaller block than the block size policy prefers.
        const SMALLER = 1 << 2;
        /// A dedicated allocation.
        const DEDICATED = 1 << 3;
        /// More than one memory type.
        const OTHER_TYPES = 1 << 4;
        /// The driver was asked, and refused.
        const DRIVER = 1 << 5;
        /// The cap or budget of a heap had no room, so the driver was not asked.
        const BUDGET = 1 << 6;
        /// A wait for the GPU, within the [patience](crate::AllocationDesc::patience) of the
        /// request.
        const WAIT = 1 << 7;
    }
}

/// Prints as in an error: `collect, driver`.
impl core::fmt::Display for Tried {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let names = self.iter_names().map(|(name, _)| name.to_lowercase().replace('_', " "));
        f.write_str(&names.collect::<Vec<_>>().join(", "))
    }
}

impl AllocateError {
    /// Returns whether freeing other resources, or waiting for the GPU, may help.
    pub const fn is_out_of_memory(self) -> bool {
        matches!(
            self,
            Self::OutOfDeviceMemory { .. }
                | Self::OutOfHostMemory
                | Self::TooManyAllocations { .. }
        )
    }

    /// Out of device memory, used internally; `Inner::allocate` fills in the fields.
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
