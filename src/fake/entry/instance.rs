//! Lists of the physical device: extensions, memory, queues, formats. The ends of device and
//! instance.

use std::ffi::{CStr, c_char};

use ash::vk;

use super::handle::driver;
use super::{chained, chained_mut, give_list};
use crate::fake::call::Call;
use crate::fake::driver::Driver;
use crate::fake::profile::Profile;

pub(super) unsafe extern "system" fn enumerate_physical_devices(
    instance: vk::Instance,
    count: *mut u32,
    out: *mut vk::PhysicalDevice,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(instance) };
    if let Err(result) = driver.enter(Call::EnumeratePhysicalDevices) {
        return result;
    }
    // SAFETY: C3.
    unsafe { give_list([driver.root.physical_device()].into_iter(), count, out) }
}

pub(super) unsafe extern "system" fn enumerate_device_extensions(
    physical_device: vk::PhysicalDevice,
    _layer: *const c_char,
    count: *mut u32,
    out: *mut vk::ExtensionProperties,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(physical_device) };
    if let Err(result) = driver.enter(Call::EnumerateDeviceExtensionProperties) {
        return result;
    }
    let extensions: Vec<_> = extensions(&driver.profile).map(extension).collect();
    // SAFETY: C3.
    unsafe { give_list(extensions.into_iter(), count, out) }
}

fn extensions(profile: &Profile) -> impl Iterator<Item = &'static CStr> {
    [
        (true, ash::khr::get_memory_requirements2::NAME),
        (true, ash::khr::bind_memory2::NAME),
        (true, ash::khr::dedicated_allocation::NAME),
        (true, ash::khr::maintenance4::NAME),
        (true, ash::khr::synchronization2::NAME),
        (profile.timeline_semaphores, ash::khr::timeline_semaphore::NAME),
        (profile.device_address, ash::khr::buffer_device_address::NAME),
        (profile.memory_budget, ash::ext::memory_budget::NAME),
        (true, ash::ext::memory_priority::NAME),
        (profile.pageable_memory, ash::ext::pageable_device_local_memory::NAME),
        (profile.device_coherent_memory, ash::amd::device_coherent_memory::NAME),
    ]
    .into_iter()
    .filter_map(|(there, name)| there.then_some(name))
}

fn extension(name: &CStr) -> vk::ExtensionProperties {
    let mut properties = vk::ExtensionProperties { spec_version: 1, ..Default::default() };
    copy_name(&mut properties.extension_name, name.to_bytes());
    properties
}

/// Copies a name with a zero at its end, cut to what fits.
pub(super) fn copy_name(target: &mut [c_char], name: &[u8]) {
    let room = target.len().saturating_sub(1);
    for (to, from) in target.iter_mut().zip(name.iter().take(room)) {
        *to = *from as c_char;
    }
}

pub(super) unsafe extern "system" fn memory_properties(
    physical_device: vk::PhysicalDevice,
    out: *mut vk::PhysicalDeviceMemoryProperties,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(physical_device) };
    driver.note(Call::GetPhysicalDeviceMemoryProperties);
    // SAFETY: C3.
    let Some(out) = (unsafe { out.as_mut() }) else {
        driver.note_null(Call::GetPhysicalDeviceMemoryProperties);
        return;
    };
    *out = vk::PhysicalDeviceMemoryProperties {
        memory_type_count: driver.profile.types.len() as u32,
        memory_heap_count: driver.profile.heaps.len() as u32,
        ..Default::default()
    };
    for (to, &(heap_index, property_flags)) in
        out.memory_types.iter_mut().zip(&driver.profile.types)
    {
        *to = vk::MemoryType { property_flags, heap_index };
    }
    for (to, &(size, flags)) in out.memory_heaps.iter_mut().zip(&driver.profile.heaps) {
        *to = vk::MemoryHeap { size, flags };
    }
}

pub(super) unsafe extern "system" fn memory_properties2(
    physical_device: vk::PhysicalDevice,
    out: *mut vk::PhysicalDeviceMemoryProperties2<'_>,
) {
    // SAFETY: C1, C2, C3; the references are to different structures.
    unsafe {
        let Some(out) = out.as_mut() else {
            return memory_properties(physical_device, std::ptr::null_mut());
        };
        memory_properties(physical_device, &raw mut out.memory_properties);
        type Budgets<'a> = vk::PhysicalDeviceMemoryBudgetPropertiesEXT<'a>;
        if let Some(it) = chained_mut::<Budgets<'_>>(out.p_next.cast()) {
            fill_budget(driver(physical_device), it);
        }
    }
}

fn fill_budget(driver: &Driver, out: &mut vk::PhysicalDeviceMemoryBudgetPropertiesEXT<'_>) {
    if !driver.profile.memory_budget {
        return;
    }
    let state = driver.lock();
    for (to, heap) in out.heap_budget.iter_mut().zip(&state.budgets) {
        *to = heap.budget.saturating_sub(heap.used_by_others);
    }
    for (to, used) in out.heap_usage.iter_mut().zip(&state.heap_used) {
        *to = *used;
    }
}

pub(super) unsafe extern "system" fn queue_families(
    physical_device: vk::PhysicalDevice,
    count: *mut u32,
    out: *mut vk::QueueFamilyProperties,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(physical_device) };
    driver.note(Call::GetPhysicalDeviceQueueFamilyProperties);
    // SAFETY: C3.
    _ = unsafe { give_list(families(driver), count, out) };
}

fn families(driver: &Driver) -> impl ExactSizeIterator<Item = vk::QueueFamilyProperties> {
    driver.profile.queue_families.iter().map(|(queue_flags, queue_count)| {
        vk::QueueFamilyProperties {
            queue_flags: *queue_flags,
            queue_count: *queue_count,
            timestamp_valid_bits: 0,
            min_image_transfer_granularity: vk::Extent3D { width: 1, height: 1, depth: 1 },
        }
    })
}

pub(super) unsafe extern "system" fn queue_families2(
    physical_device: vk::PhysicalDevice,
    count: *mut u32,
    out: *mut vk::QueueFamilyProperties2<'_>,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(physical_device) };
    driver.note(Call::GetPhysicalDeviceQueueFamilyProperties);
    // SAFETY: C3; each structure keeps its chain, only the properties in it are written.
    unsafe {
        let Some(count) = count.as_mut() else { return };
        if !out.is_null() {
            for (index, family) in families(driver).take(*count as usize).enumerate() {
                (*out.add(index)).queue_family_properties = family;
            }
        }
        *count = families(driver).len() as u32;
    }
}

pub(super) unsafe extern "system" fn format_properties(
    physical_device: vk::PhysicalDevice,
    _format: vk::Format,
    out: *mut vk::FormatProperties,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(physical_device) };
    driver.note(Call::GetPhysicalDeviceFormatProperties);
    // SAFETY: C3.
    if let Some(out) = unsafe { out.as_mut() } {
        let all = vk::FormatFeatureFlags::from_raw(0xffff);
        *out = vk::FormatProperties {
            linear_tiling_features: all,
            optimal_tiling_features: all,
            buffer_features: all,
        };
    }
}

pub(super) unsafe extern "system" fn image_format_properties(
    physical_device: vk::PhysicalDevice,
    _format: vk::Format,
    kind: vk::ImageType,
    _tiling: vk::ImageTiling,
    _usage: vk::ImageUsageFlags,
    _flags: vk::ImageCreateFlags,
    out: *mut vk::ImageFormatProperties,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(physical_device) };
    let call = Call::GetPhysicalDeviceImageFormatProperties;
    if let Err(result) = driver.enter(call) {
        return result;
    }
    // SAFETY: C3.
    let Some(out) = (unsafe { out.as_mut() }) else { return driver.null(call) };
    let (width, height, depth) = match kind {
        vk::ImageType::TYPE_1D => (16384, 1, 1),
        vk::ImageType::TYPE_2D => (16384, 16384, 1),
        _ => (2048, 2048, 2048),
    };
    *out = vk::ImageFormatProperties {
        max_extent: vk::Extent3D { width, height, depth },
        max_mip_levels: 15,
        max_array_layers: 2048,
        sample_counts: vk::SampleCountFlags::from_raw(0xf),
        max_resource_size: driver.profile.max_allocation_size,
    };
    vk::Result::SUCCESS
}

pub(super) unsafe extern "system" fn image_format_properties2(
    physical_device: vk::PhysicalDevice,
    info: *const vk::PhysicalDeviceImageFormatInfo2<'_>,
    out: *mut vk::ImageFormatProperties2<'_>,
) -> vk::Result {
    // SAFETY: C1, C2, C3.
    unsafe {
        let (Some(info), Some(out)) = (info.as_ref(), out.as_mut()) else {
            return driver(physical_device).null(Call::GetPhysicalDeviceImageFormatProperties);
        };
        let external = chained::<vk::PhysicalDeviceExternalImageFormatInfo<'_>>(info.p_next);
        let shared = chained_mut::<vk::ExternalImageFormatProperties<'_>>(out.p_next.cast());
        if let (Some(external), Some(shared)) = (external, shared) {
            let found = driver(physical_device).profile.external(external.handle_type);
            if found.external_memory_features.is_empty() {
                return vk::Result::ERROR_FORMAT_NOT_SUPPORTED;
            }
            shared.external_memory_properties = found;
        }
        let properties = &raw mut out.image_format_properties;
        let (format, kind, tiling) = (info.format, info.ty, info.tiling);
        let (usage, flags) = (info.usage, info.flags);
        image_format_properties(physical_device, format, kind, tiling, usage, flags, properties)
    }
}

pub(super) unsafe extern "system" fn get_queue(
    device: vk::Device,
    family: u32,
    slot: u32,
    out: *mut vk::Queue,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    driver.note(Call::GetDeviceQueue);
    let state = driver.lock();
    let mut queues = state.queues.iter();
    let found = queues.find(|queue| queue.family == family && queue.slot == slot);
    // SAFETY: C3.
    if let Some(out) = unsafe { out.as_mut() } {
        *out = found.map_or(vk::Queue::null(), |queue| queue.handle);
    }
}

pub(super) unsafe extern "system" fn get_queue2(
    device: vk::Device,
    info: *const vk::DeviceQueueInfo2<'_>,
    out: *mut vk::Queue,
) {
    // SAFETY: C1, C2, C3.
    unsafe {
        match info.as_ref() {
            Some(info) => get_queue(device, info.queue_family_index, info.queue_index, out),
            None => driver(device).note_null(Call::GetDeviceQueue),
        }
    }
}

pub(super) unsafe extern "system" fn destroy_device(
    device: vk::Device,
    _allocator: *const vk::AllocationCallbacks<'_>,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    driver.note(Call::DestroyDevice);
    driver.destroy_device();
}

pub(super) unsafe extern "system" fn destroy_instance(
    instance: vk::Instance,
    _allocator: *const vk::AllocationCallbacks<'_>,
) {
    // SAFETY: C1.
    unsafe { driver(instance) }.note(Call::DestroyInstance);
}
