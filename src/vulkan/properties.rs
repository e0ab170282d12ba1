//! The properties of the physical device: memory types, heaps and limits. Read once.

use ash::vk;

use super::DeviceFeatures;
use crate::{
    guard::Limits,
    policy::{
        addresses::Addresses,
        select::{MemoryHeap, MemoryType},
    },
};

/// The constant properties of a physical device that an allocator needs. Sizes are in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Properties {
    pub(crate) types: Vec<MemoryType>,
    pub(crate) heaps: Vec<MemoryHeap>,
    /// A power of two; a driver's 0 counts as 1.
    pub(crate) buffer_image_granularity: u64,
    /// A power of two; a driver's 0 counts as 1.
    pub(crate) non_coherent_atom_size: u64,
    /// The maximum number of `VkDeviceMemory` objects; a driver's 0 counts as 4096, the minimum
    /// that the specification allows.
    pub(crate) max_allocation_count: u32,
    /// The largest single allocation, if the driver reports it (Vulkan 1.1).
    pub(crate) max_allocation_size: u64,
    /// The largest buffer, if the driver reports it (Vulkan 1.3).
    pub(crate) max_buffer_size: u64,
    /// The number of queue families.
    pub(crate) queue_families: u32,
    /// For reports.
    pub(crate) device_name: String,
    pub(crate) device_type: u32,
    pub(crate) device_api: u32,
    /// `minImportedHostPointerAlignment`, if host memory can be imported.
    pub(crate) host_pointer_alignment: u64,
    /// The required alignments of device addresses.
    pub(crate) addresses: Addresses,
    /// The limits of the GPU's work for guards.
    pub(crate) tables: Limits,
}

impl Properties {
    /// Four or five queries; allocates nothing on the device.
    ///
    /// # Safety
    /// The device contract, for the instance.
    pub(super) unsafe fn read(
        instance: &ash::Instance,
        physical_device: vk::PhysicalDevice,
        api: u32,
        features: DeviceFeatures,
    ) -> Self {
        // SAFETY: the instance contract.
        let memory = unsafe { instance.get_physical_device_memory_properties(physical_device) };
        // SAFETY: the instance contract.
        let families =
            unsafe { instance.get_physical_device_queue_family_properties(physical_device) };
        let mut host = vk::PhysicalDeviceExternalMemoryHostPropertiesEXT::default();
        let mut addresses = Addresses::ANY;
        let mut maintenance4 = vk::PhysicalDeviceMaintenance4Properties::default();
        let (device, max_allocation_size) = if api >= vk::API_VERSION_1_1 {
            let mut maintenance3 = vk::PhysicalDeviceMaintenance3Properties::default();
            let mut properties =
                vk::PhysicalDeviceProperties2::default().push_next(&mut maintenance3);
            let has = |feature: DeviceFeatures| features.contains(feature);
            if api >= vk::API_VERSION_1_3 {
                properties = properties.push_next(&mut maintenance4);
            }
            if has(DeviceFeatures::EXTERNAL_MEMORY_HOST) {
                properties = properties.push_next(&mut host);
            }
            let mut structures = vk::PhysicalDeviceAccelerationStructurePropertiesKHR::default();
            if has(DeviceFeatures::ACCELERATION_STRUCTURE) {
                properties = properties.push_next(&mut structures);
            }
            let mut tables = vk::PhysicalDeviceRayTracingPipelinePropertiesKHR::default();
            if has(DeviceFeatures::RAY_TRACING_PIPELINE) {
                properties = properties.push_next(&mut tables);
            }
            let mut descriptors = vk::PhysicalDeviceDescriptorBufferPropertiesEXT::default();
            if has(DeviceFeatures::DESCRIPTOR_BUFFER) {
                properties = properties.push_next(&mut descriptors);
            }
            // SAFETY: the instance contract; Vulkan 1.1 has the call and the first chained struct, 1.3 the
            // second, extensions that are on the others.
            unsafe { instance.get_physical_device_properties2(physical_device, &mut properties) };
            let device = properties.properties;
            if has(DeviceFeatures::ACCELERATION_STRUCTURE) {
                let scratch = structures.min_acceleration_structure_scratch_offset_alignment;
                addresses.scratch = power_of_two(scratch.into());
                addresses.acceleration_structures = Addresses::ACCELERATION_STRUCTURES;
            }
            addresses.shader_groups = power_of_two(tables.shader_group_base_alignment.into());
            addresses.descriptors = power_of_two(descriptors.descriptor_buffer_offset_alignment);
            (device, maintenance3.max_memory_allocation_size)
        } else {
            // SAFETY: the instance contract.
            let properties = unsafe { instance.get_physical_device_properties(physical_device) };
            (properties, 0)
        };
        let limits = device.limits;
        let name = device.device_name_as_c_str().map(|name| name.to_string_lossy().into_owned());
        let types = memory.memory_types_as_slice().iter().map(|memory_type| MemoryType {
            flags: memory_type.property_flags.as_raw(),
            heap: memory_type.heap_index,
        });
        let heaps = memory.memory_heaps_as_slice().iter().map(|heap| MemoryHeap {
            size: heap.size,
            device_local: heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL),
        });
        Self {
            types: types.collect(),
            heaps: heaps.collect(),
            buffer_image_granularity: power_of_two(limits.buffer_image_granularity),
            non_coherent_atom_size: power_of_two(limits.non_coherent_atom_size),
            max_allocation_count: match limits.max_memory_allocation_count {
                0 => 4096,
                count => count,
            },
            max_allocation_size: limit(max_allocation_size),
            max_buffer_size: limit(maintenance4.max_buffer_size),
            queue_families: families.len() as u32,
            device_name: name.unwrap_or_default(),
            device_type: device.device_type.as_raw() as u32,
            device_api: device.api_version,
            host_pointer_alignment: host.min_imported_host_pointer_alignment.max(1),
            addresses,
            tables: Limits::new(
                limits.max_storage_buffer_range,
                power_of_two(limits.min_storage_buffer_offset_alignment),
                limits.max_compute_work_group_count[0],
            ),
        }
    }
}

/// A limit that a driver does not report, or reports as 0, does not apply.
fn limit(size: u64) -> u64 {
    if size == 0 { u64::MAX } else { size }
}

/// A limit that the specification requires to be a power of two, for drivers that report 0 or
/// another value.
fn power_of_two(limit: u64) -> u64 {
    limit.max(1).checked_next_power_of_two().unwrap_or(1)
}
