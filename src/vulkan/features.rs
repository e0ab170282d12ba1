//! What the caller enabled on the device.

bitflags::bitflags! {
    /// What you enabled when you created the device, as far as fencepost can use it.
    ///
    /// Nothing is used that is not named here: an extension that is present but not enabled must
    /// not be touched.
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
        /// `VK_AMD_device_coherent_memory`: its memory types may be asked for by flag.
        const DEVICE_COHERENT_MEMORY = 1 << 4;
        /// The feature `protectedMemory`: its memory types may be asked for by flag.
        const PROTECTED_MEMORY = 1 << 5;
        /// `VK_EXT_memory_budget`: the driver tells how much of each heap the process may use. Of
        /// use from Vulkan 1.1 on; without it a budget is four fifths of its heap.
        const MEMORY_BUDGET = 1 << 6;
        /// The feature `memoryPriority`, from `VK_EXT_memory_priority`.
        const MEMORY_PRIORITY = 1 << 7;
        /// `VK_KHR_external_memory_fd`: memory can be exported and imported by file descriptor. Of
        /// use from Vulkan 1.1 on; likewise below.
        const EXTERNAL_MEMORY_FD = 1 << 8;
        /// `VK_EXT_external_memory_dma_buf`, beside [`EXTERNAL_MEMORY_FD`](Self::EXTERNAL_MEMORY_FD).
        const EXTERNAL_MEMORY_DMA_BUF = 1 << 9;
        /// `VK_EXT_external_memory_host`: the host's memory can be imported.
        const EXTERNAL_MEMORY_HOST = 1 << 10;
        /// The feature `pageableDeviceLocalMemory`, from `VK_EXT_pageable_device_local_memory`, beside
        /// [`MEMORY_PRIORITY`](Self::MEMORY_PRIORITY): the priority of a memory moves with
        /// [what lives there](crate::AllocationDesc::priority).
        const PAGEABLE_DEVICE_LOCAL_MEMORY = 1 << 11;
        /// The feature `accelerationStructure`, from `VK_KHR_acceleration_structure`. Buffers of its
        /// usages can be described, and storage buffers with an address are aligned so that they can
        /// be scratch. Alignments are of Vulkan 1.1; likewise below.
        const ACCELERATION_STRUCTURE = 1 << 12;
        /// The feature `rayTracingPipeline`, from `VK_KHR_ray_tracing_pipeline`: shader binding tables
        /// are aligned as the device wants.
        const RAY_TRACING_PIPELINE = 1 << 13;
        /// The feature `descriptorBuffer`, from `VK_EXT_descriptor_buffer`: likewise for descriptors.
        const DESCRIPTOR_BUFFER = 1 << 14;
        /// The feature `hostImageCopy`, from `VK_EXT_host_image_copy`: images that the host copies to
        /// and from can be described, and the driver is asked about that use.
        const HOST_IMAGE_COPY = 1 << 15;
        /// `VK_KHR_video_queue`: [video sessions](crate::Allocator::bind_video_session) get memory.
        const VIDEO_QUEUE = 1 << 16;
    }
}
