//! Properties, limits and features of the physical device.

use ash::vk;

use super::chained_mut;
use super::handle::driver;
use super::instance::copy_name;
use crate::fake::bytes::MAP_ALIGNMENT;
use crate::fake::call::Call;
use crate::fake::external::HOST_ALIGNMENT;
use crate::fake::profile::Profile;
use crate::fake::sync::MAX_DIFFERENCE;

pub(super) unsafe extern "system" fn properties(
    physical_device: vk::PhysicalDevice,
    out: *mut vk::PhysicalDeviceProperties,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(physical_device) };
    driver.note(Call::GetPhysicalDeviceProperties);
    // SAFETY: C3.
    match unsafe { out.as_mut() } {
        Some(out) => fill(&driver.profile, out),
        None => driver.note_null(Call::GetPhysicalDeviceProperties),
    }
}

fn fill(profile: &Profile, out: &mut vk::PhysicalDeviceProperties) {
    *out = vk::PhysicalDeviceProperties {
        api_version: profile.api_version,
        driver_version: 1,
        vendor_id: profile.vendor_id,
        device_id: 1,
        device_type: profile.device_type,
        ..Default::default()
    };
    copy_name(&mut out.device_name, profile.name.as_bytes());
    let limits = &mut out.limits;
    limits.max_image_dimension1_d = 16384;
    limits.max_image_dimension2_d = 16384;
    limits.max_image_dimension3_d = 2048;
    limits.max_image_dimension_cube = 16384;
    limits.max_image_array_layers = 2048;
    limits.max_uniform_buffer_range = 65536;
    limits.max_storage_buffer_range = u32::MAX;
    limits.max_compute_work_group_count = [65535; 3];
    limits.max_memory_allocation_count = profile.max_allocation_count;
    limits.max_sampler_allocation_count = 4000;
    limits.buffer_image_granularity = profile.granularity;
    limits.max_bound_descriptor_sets = 8;
    limits.min_memory_map_alignment = MAP_ALIGNMENT;
    limits.min_texel_buffer_offset_alignment = 16;
    limits.min_uniform_buffer_offset_alignment = 64;
    limits.min_storage_buffer_offset_alignment = 16;
    limits.optimal_buffer_copy_offset_alignment = 1;
    limits.optimal_buffer_copy_row_pitch_alignment = 1;
    limits.non_coherent_atom_size = profile.atom;
}

pub(super) unsafe extern "system" fn properties2(
    physical_device: vk::PhysicalDevice,
    out: *mut vk::PhysicalDeviceProperties2<'_>,
) {
    // SAFETY: C1, C2, C3; the references are to different structures.
    unsafe {
        let Some(out) = out.as_mut() else {
            return properties(physical_device, std::ptr::null_mut());
        };
        properties(physical_device, &raw mut out.properties);
        let profile = &driver(physical_device).profile;
        let next = out.p_next.cast();
        if let Some(it) = chained_mut::<vk::PhysicalDeviceMaintenance3Properties<'_>>(next) {
            it.max_per_set_descriptors = 1 << 20;
            it.max_memory_allocation_size = profile.max_allocation_size;
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceExternalMemoryHostPropertiesEXT<'_>>(next)
        {
            it.min_imported_host_pointer_alignment = HOST_ALIGNMENT;
        }
        type Structures<'a> = vk::PhysicalDeviceAccelerationStructurePropertiesKHR<'a>;
        if let Some(it) = chained_mut::<Structures<'_>>(next) {
            it.min_acceleration_structure_scratch_offset_alignment = profile.scratch_alignment;
        }
        type Tables<'a> = vk::PhysicalDeviceRayTracingPipelinePropertiesKHR<'a>;
        if let Some(it) = chained_mut::<Tables<'_>>(next) {
            it.shader_group_base_alignment = profile.shader_group_alignment;
        }
        type Descriptors<'a> = vk::PhysicalDeviceDescriptorBufferPropertiesEXT<'a>;
        if let Some(it) = chained_mut::<Descriptors<'_>>(next) {
            it.descriptor_buffer_offset_alignment = profile.descriptor_alignment;
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceVulkan11Properties<'_>>(next) {
            it.max_per_set_descriptors = 1 << 20;
            it.max_memory_allocation_size = profile.max_allocation_size;
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceTimelineSemaphoreProperties<'_>>(next) {
            it.max_timeline_semaphore_value_difference = MAX_DIFFERENCE;
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceVulkan12Properties<'_>>(next) {
            it.max_timeline_semaphore_value_difference = MAX_DIFFERENCE;
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceMaintenance4Properties<'_>>(next) {
            it.max_buffer_size = profile.max_buffer_size;
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceVulkan13Properties<'_>>(next) {
            it.max_buffer_size = profile.max_buffer_size;
        }
    }
}

pub(super) unsafe extern "system" fn features(
    physical_device: vk::PhysicalDevice,
    out: *mut vk::PhysicalDeviceFeatures,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(physical_device) };
    driver.note(Call::GetPhysicalDeviceFeatures);
    // SAFETY: C3.
    match unsafe { out.as_mut() } {
        Some(out) => *out = vk::PhysicalDeviceFeatures::default(),
        None => driver.note_null(Call::GetPhysicalDeviceFeatures),
    }
}

pub(super) unsafe extern "system" fn features2(
    physical_device: vk::PhysicalDevice,
    out: *mut vk::PhysicalDeviceFeatures2<'_>,
) {
    // SAFETY: C1, C2, C3; the references are to different structures.
    unsafe {
        let Some(out) = out.as_mut() else {
            return features(physical_device, std::ptr::null_mut());
        };
        features(physical_device, &raw mut out.features);
        let profile = &driver(physical_device).profile;
        let next = out.p_next.cast();
        let (timeline, address) =
            (profile.timeline_semaphores.into(), profile.device_address.into());
        if let Some(it) = chained_mut::<vk::PhysicalDeviceTimelineSemaphoreFeatures<'_>>(next) {
            it.timeline_semaphore = timeline;
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceBufferDeviceAddressFeatures<'_>>(next) {
            it.buffer_device_address = address;
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceVulkan12Features<'_>>(next) {
            it.timeline_semaphore = timeline;
            it.buffer_device_address = address;
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceSynchronization2Features<'_>>(next) {
            it.synchronization2 = vk::TRUE;
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceMaintenance4Features<'_>>(next) {
            it.maintenance4 = vk::TRUE;
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceVulkan13Features<'_>>(next) {
            it.synchronization2 = vk::TRUE;
            it.maintenance4 = vk::TRUE;
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceMemoryPriorityFeaturesEXT<'_>>(next) {
            it.memory_priority = vk::TRUE;
        }
        type Pageable<'a> = vk::PhysicalDevicePageableDeviceLocalMemoryFeaturesEXT<'a>;
        if let Some(it) = chained_mut::<Pageable<'_>>(next) {
            it.pageable_device_local_memory = profile.pageable_memory.into();
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceProtectedMemoryFeatures<'_>>(next) {
            it.protected_memory = profile.protected_memory.into();
        }
        if let Some(it) = chained_mut::<vk::PhysicalDeviceCoherentMemoryFeaturesAMD<'_>>(next) {
            it.device_coherent_memory = profile.device_coherent_memory.into();
        }
    }
}
