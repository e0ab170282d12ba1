//! The seam: the only place that calls Vulkan.
//!
//! Every method here is `unsafe` for the same reason, **the device contract**:
//! * the device and its instance have not been destroyed;
//! * every handle passed in belongs to this device and has not been destroyed;
//! * what Vulkan wants synchronised from outside is not in use by another thread.
//!
//! The first holds from [`Allocator::new`](crate::Allocator::new) until `shutdown` or the last
//! owner's drop, because its caller promised so; the others are the caller's of each method.
//! Nothing here keeps state, takes a lock or decides anything.

mod compute;
mod copy;
mod external;
mod memory;
mod modifier;
mod planes;
mod properties;
mod resource;
mod signal;
mod video;

use ash::{ext, khr, vk};

pub(crate) use compute::{Bound, Compute, Dispatch};
pub(crate) use copy::Side;
pub(crate) use external::{External, HOST};
pub(crate) use memory::{Mapping, NewMemory};
pub(crate) use modifier::is_linear;
pub(crate) use properties::Properties;
pub(crate) use resource::{Dedicate, Requirements, Resource};
pub use resource::{Object, UserObject};

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

/// The device's function table with the extensions the user enabled, and its constant properties.
pub(crate) struct Vulkan {
    instance: ash::Instance,
    physical_device: vk::PhysicalDevice,
    device: ash::Device,
    api: u32,
    features: DeviceFeatures,
    requirements2: Option<khr::get_memory_requirements2::Device>,
    timeline: Option<khr::timeline_semaphore::Device>,
    address: Option<khr::buffer_device_address::Device>,
    synchronization2: Option<khr::synchronization2::Device>,
    external_fd: Option<khr::external_memory_fd::Device>,
    external_host: Option<ext::external_memory_host::Device>,
    pageable: Option<ext::pageable_device_local_memory::Device>,
    video: Option<khr::video_queue::Device>,
    properties: Properties,
}

impl Vulkan {
    /// Takes the tables and reads the properties.
    ///
    /// # Safety
    /// The device contract; `api` is at most what the device was created for, and `features` are
    /// enabled.
    pub(crate) unsafe fn new(
        instance: &ash::Instance,
        physical_device: vk::PhysicalDevice,
        device: &ash::Device,
        api: u32,
        features: DeviceFeatures,
    ) -> Self {
        let has = |feature: DeviceFeatures, core: u32| features.contains(feature) && api < core;
        let requirements2 = has(DeviceFeatures::DEDICATED_ALLOCATION, vk::API_VERSION_1_1)
            .then(|| khr::get_memory_requirements2::Device::new(instance, device));
        let timeline = has(DeviceFeatures::TIMELINE_SEMAPHORE, vk::API_VERSION_1_2)
            .then(|| khr::timeline_semaphore::Device::new(instance, device));
        let address = has(DeviceFeatures::BUFFER_DEVICE_ADDRESS, vk::API_VERSION_1_2)
            .then(|| khr::buffer_device_address::Device::new(instance, device));
        let synchronization2 = has(DeviceFeatures::SYNCHRONIZATION2, vk::API_VERSION_1_3)
            .then(|| khr::synchronization2::Device::new(instance, device));
        let external_fd = features
            .contains(DeviceFeatures::EXTERNAL_MEMORY_FD)
            .then(|| khr::external_memory_fd::Device::new(instance, device));
        let external_host = features
            .contains(DeviceFeatures::EXTERNAL_MEMORY_HOST)
            .then(|| ext::external_memory_host::Device::new(instance, device));
        let pageable = features
            .contains(
                DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY | DeviceFeatures::MEMORY_PRIORITY,
            )
            .then(|| ext::pageable_device_local_memory::Device::new(instance, device));
        let video = features
            .contains(DeviceFeatures::VIDEO_QUEUE)
            .then(|| khr::video_queue::Device::new(instance, device));
        // SAFETY: the device contract.
        let properties = unsafe { Properties::read(instance, physical_device, api, features) };
        Self {
            instance: instance.clone(),
            physical_device,
            device: device.clone(),
            api,
            features,
            requirements2,
            timeline,
            address,
            synchronization2,
            external_fd,
            external_host,
            pageable,
            video,
            properties,
        }
    }

    pub(crate) fn properties(&self) -> &Properties {
        &self.properties
    }

    pub(crate) fn features(&self) -> DeviceFeatures {
        self.features
    }

    /// Property flags whose types no memory may be of, because their feature is off.
    pub(crate) fn forbidden_types(&self) -> vk::MemoryPropertyFlags {
        use vk::MemoryPropertyFlags as Type;
        let coherent = Type::DEVICE_COHERENT_AMD | Type::DEVICE_UNCACHED_AMD;
        let owners = [
            (DeviceFeatures::DEVICE_COHERENT_MEMORY, coherent),
            (DeviceFeatures::PROTECTED_MEMORY, Type::PROTECTED),
        ];
        let off = owners.into_iter().filter(|&(feature, _)| !self.features.contains(feature));
        off.fold(Type::empty(), |forbidden, (_, flags)| forbidden | flags)
    }

    #[cfg(feature = "descriptors")]
    pub(crate) fn device(&self) -> &ash::Device {
        &self.device
    }

    /// Waits until every queue of the device is idle.
    ///
    /// # Safety
    /// The device contract; no queue of the device is in use by another thread.
    pub(crate) unsafe fn wait_idle(&self) -> Result<(), vk::Result> {
        // SAFETY: the device contract.
        unsafe { self.device.device_wait_idle() }
    }
}

/// Errors that mean "this memory type cannot give so much now": another size, type or moment may.
pub(crate) fn is_out_of_memory(result: vk::Result) -> bool {
    matches!(
        result,
        vk::Result::ERROR_OUT_OF_DEVICE_MEMORY
            | vk::Result::ERROR_OUT_OF_HOST_MEMORY
            | vk::Result::ERROR_TOO_MANY_OBJECTS
    )
}
