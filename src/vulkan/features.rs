//! The features that the caller enabled on the device.

bitflags::bitflags! {
    /// The features and extensions that you enabled when you created the device, as far as
    /// fencepost can use them.
    ///
    /// fencepost uses only what is passed here, because an extension that is present but not
    /// enabled must not be used.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct DeviceFeatures: u32 {
        /// The feature `timelineSemaphore`, from Vulkan 1.2 or `VK_KHR_timeline_semaphore`.
        const TIMELINE_SEMAPHORE = 1;
        /// The feature `bufferDeviceAddress`, from Vulkan 1.2 or `VK_KHR_buffer_device_address`.
        /// Every block is then allocated with `VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT`.
        const BUFFER_DEVICE_ADDRESS = 1 << 1;
        /// The feature `synchronization2`, from Vulkan 1.3 or `VK_KHR_synchronization2`.
        const SYNCHRONIZATION2 = 1 << 2;
        /// `VK_KHR_get_memory_requirements2` and `VK_KHR_dedicated_allocation`; part of Vulkan 1.1.
        const DEDICATED_ALLOCATION = 1 << 3;
        /// `VK_AMD_device_coherent_memory`: its memory types can be requested by property flag.
        const DEVICE_COHERENT_MEMORY = 1 << 4;
        /// The feature `protectedMemory`: its memory types can be requested by property flag.
        const PROTECTED_MEMORY = 1 << 5;
        /// `VK_EXT_memory_budget`: the driver reports how much of each heap the process may use.
        /// Requires Vulkan 1.1. Without it, the budget of a heap is four fifths of its size.
        const MEMORY_BUDGET = 1 << 6;
        /// The feature `memoryPriority`, from `VK_EXT_memory_priority`.
        const MEMORY_PRIORITY = 1 << 7;
        /// `VK_KHR_external_memory_fd`: memory can be exported and imported by file descriptor.
        /// Requires Vulkan 1.1, as do the following two.
        const EXTERNAL_MEMORY_FD = 1 << 8;
        /// `VK_EXT_external_memory_dma_buf`, in addition to
        /// [`EXTERNAL_MEMORY_FD`](Self::EXTERNAL_MEMORY_FD).
        const EXTERNAL_MEMORY_DMA_BUF = 1 << 9;
        /// `VK_EXT_external_memory_host`: host memory can be imported.
        const EXTERNAL_MEMORY_HOST = 1 << 10;
        /// The feature `pageableDeviceLocalMemory`, from `VK_EXT_pageable_device_local_memory`, in
        /// addition to [`MEMORY_PRIORITY`](Self::MEMORY_PRIORITY): the priority of a block changes
        /// with [its contents](crate::AllocationDesc::priority).
        const PAGEABLE_DEVICE_LOCAL_MEMORY = 1 << 11;
        /// The feature `accelerationStructure`, from `VK_KHR_acceleration_structure`. Descriptions
        /// may contain its buffer usages, and storage buffers with an address are aligned so that
        /// they can be scratch memory. The alignments require Vulkan 1.1, as do the following two.
        const ACCELERATION_STRUCTURE = 1 << 12;
        /// The feature `rayTracingPipeline`, from `VK_KHR_ray_tracing_pipeline`: shader binding
        /// tables are aligned as the device requires.
        const RAY_TRACING_PIPELINE = 1 << 13;
        /// The feature `descriptorBuffer`, from `VK_EXT_descriptor_buffer`: descriptor buffers are
        /// aligned as the device requires.
        const DESCRIPTOR_BUFFER = 1 << 14;
        /// The feature `hostImageCopy`, from `VK_EXT_host_image_copy`: descriptions may contain the
        /// usage for copies by the host, and the driver is queried for it.
        const HOST_IMAGE_COPY = 1 << 15;
        /// `VK_KHR_video_queue`: [video sessions](crate::Allocator::bind_video_session) can get
        /// memory.
        const VIDEO_QUEUE = 1 << 16;
    }
}
