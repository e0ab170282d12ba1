//! The seam: the only module that calls Vulkan.
//!
//! Every method here is `unsafe` for the same reason, **the device contract**:
//! * the device and its instance have not been destroyed;
//! * every handle passed in belongs to this device and has not been destroyed;
//! * objects that Vulkan requires to be externally synchronised are not in use by another thread.
//!
//! The first condition holds from [`Allocator::new`](crate::Allocator::new) until `shutdown` or
//! until the last owner is dropped, because the caller of `new` promised so. The others are up to
//! the caller of each method. This module keeps no state, takes no lock and makes no decisions.

mod compute;
mod copy;
mod external;
mod features;
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
pub use features::DeviceFeatures;
pub(crate) use memory::{Mapping, NewMemory};
pub(crate) use modifier::is_linear;
pub(crate) use properties::Properties;
pub(crate) use resource::{Dedicate, Requirements, Resource};
pub use resource::{Object, UserObject};

/// The device's function table, with the extensions that the user enabled, and its constant
/// properties.
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
    /// Loads the tables and reads the properties.
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

    /// The property flags whose memory types must not be used, because their feature is off.
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

/// Whether the error means that this memory type cannot provide that much now; another size, type
/// or time may succeed.
pub(crate) fn is_out_of_memory(result: vk::Result) -> bool {
    matches!(
        result,
        vk::Result::ERROR_OUT_OF_DEVICE_MEMORY
            | vk::Result::ERROR_OUT_OF_HOST_MEMORY
            | vk::Result::ERROR_TOO_MANY_OBJECTS
    )
}
