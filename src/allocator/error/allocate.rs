//! No memory: why, and what was tried.

use crate::retire::BagNumber;
use ash::vk;

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
         {pending} bytes pending until the GPU is done with them{}; heap {heap} has {left} bytes \
         left of its budget; tried: {tried}",
        if cut.is_some() { ", enough to wait for (`Allocator::wait_for`)" } else { "" }
    )]
    OutOfDeviceMemory {
        /// What was asked for, in bytes.
        requested: u64,
        /// The largest free range in the suitable memory types, in bytes.
        largest_free: u64,
        /// Bytes in the suitable types that wait for the GPU, or for a [scrub](crate::Allocator::scrub): if they
        /// would do, wait for the timelines, collect and try again.
        pending: u64,
        /// The earliest drop or scrub under way, counted in bags, by which one block has so many bytes pending
        /// as were asked for: what [`Allocator::wait_for`](crate::Allocator::wait_for) waits for. `None` if
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

/// As it is told in an error: `collect, driver`.
impl core::fmt::Display for Tried {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let names = self.iter_names().map(|(name, _)| name.to_lowercase().replace('_', " "));
        f.write_str(&names.collect::<Vec<_>>().join(", "))
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
