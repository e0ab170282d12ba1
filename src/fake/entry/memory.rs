//! Mapping, flushing, requirements and binding.

use std::ffi::c_void;

use ash::vk;

use super::handle::driver;
use super::{chained, chained_mut, list};
use crate::fake::call::Call;
use crate::fake::driver::Driver;
use crate::fake::planes::PlaneBind;
use crate::fake::requirements::Requirements;
use crate::fake::resource::ResourceId;

pub(super) unsafe extern "system" fn map_memory(
    device: vk::Device,
    memory: vk::DeviceMemory,
    offset: u64,
    size: u64,
    _flags: vk::MemoryMapFlags,
    out: *mut *mut c_void,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(Call::MapMemory) {
        return result;
    }
    if out.is_null() {
        return driver.null(Call::MapMemory);
    }
    match driver.lock().map_memory(memory, offset, size) {
        Ok(address) => {
            // SAFETY: C3, and not null.
            unsafe { out.write(address.cast()) };
            vk::Result::SUCCESS
        }
        Err(result) => result,
    }
}

pub(super) unsafe extern "system" fn unmap_memory(device: vk::Device, memory: vk::DeviceMemory) {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if driver.enter(Call::UnmapMemory).is_ok() {
        driver.lock().unmap_memory(memory);
    }
}

pub(super) unsafe extern "system" fn set_priority(
    device: vk::Device,
    memory: vk::DeviceMemory,
    priority: f32,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if driver.enter(Call::SetDeviceMemoryPriority).is_ok() {
        driver.lock().set_priority(memory, priority);
    }
}

pub(super) unsafe extern "system" fn flush(
    device: vk::Device,
    count: u32,
    ranges: *const vk::MappedMemoryRange<'_>,
) -> vk::Result {
    // SAFETY: C1, C2.
    unsafe { transfer(device, Call::FlushMappedMemoryRanges, list(ranges, count)) }
}

pub(super) unsafe extern "system" fn invalidate(
    device: vk::Device,
    count: u32,
    ranges: *const vk::MappedMemoryRange<'_>,
) -> vk::Result {
    // SAFETY: C1, C2.
    unsafe { transfer(device, Call::InvalidateMappedMemoryRanges, list(ranges, count)) }
}

/// # Safety
/// C1.
unsafe fn transfer(
    device: vk::Device,
    call: Call,
    ranges: &[vk::MappedMemoryRange<'_>],
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(call) {
        return result;
    }
    let mut state = driver.lock();
    ranges.iter().fold(vk::Result::SUCCESS, |result, range| {
        match state.transfer(call, range.memory, range.offset, range.size) {
            vk::Result::SUCCESS => result,
            error => error,
        }
    })
}

pub(super) unsafe extern "system" fn memory_commitment(
    device: vk::Device,
    memory: vk::DeviceMemory,
    out: *mut u64,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if driver.enter(Call::GetDeviceMemoryCommitment).is_ok() {
        let found = driver.lock().find(Call::GetDeviceMemoryCommitment, memory).map(|m| m.size);
        // SAFETY: C3.
        if let Some(out) = unsafe { out.as_mut() } {
            *out = found.unwrap_or(0);
        }
    }
}

pub(super) unsafe extern "system" fn buffer_requirements(
    device: vk::Device,
    buffer: vk::Buffer,
    out: *mut vk::MemoryRequirements,
) {
    // SAFETY: C1, C3.
    unsafe {
        let id = ResourceId::Buffer(buffer);
        let found = of_resource(device, Call::GetBufferMemoryRequirements, id);
        write(driver(device), Call::GetBufferMemoryRequirements, &found, out);
    }
}

pub(super) unsafe extern "system" fn image_requirements(
    device: vk::Device,
    image: vk::Image,
    out: *mut vk::MemoryRequirements,
) {
    // SAFETY: C1, C3.
    unsafe {
        let id = ResourceId::Image(image);
        let found = of_resource(device, Call::GetImageMemoryRequirements, id);
        write(driver(device), Call::GetImageMemoryRequirements, &found, out);
    }
}

pub(super) unsafe extern "system" fn buffer_requirements2(
    device: vk::Device,
    info: *const vk::BufferMemoryRequirementsInfo2<'_>,
    out: *mut vk::MemoryRequirements2<'_>,
) {
    let call = Call::GetBufferMemoryRequirements;
    // SAFETY: C1, C2, C3.
    unsafe {
        let buffer = info.as_ref().map_or(vk::Buffer::null(), |info| info.buffer);
        let found = of_resource(device, call, ResourceId::Buffer(buffer));
        write2(driver(device), call, &found, out);
    }
}

pub(super) unsafe extern "system" fn image_requirements2(
    device: vk::Device,
    info: *const vk::ImageMemoryRequirementsInfo2<'_>,
    out: *mut vk::MemoryRequirements2<'_>,
) {
    let call = Call::GetImageMemoryRequirements;
    // SAFETY: C1, C2, C3.
    unsafe {
        let image = info.as_ref().map_or(vk::Image::null(), |info| info.image);
        let plane = info
            .as_ref()
            .and_then(|info| chained::<vk::ImagePlaneMemoryRequirementsInfo<'_>>(info.p_next));
        let found = match plane {
            Some(_) => {
                driver(device).note(call);
                driver(device).lock().plane_requirements(call, image)
            }
            None => of_resource(device, call, ResourceId::Image(image)),
        };
        write2(driver(device), call, &found, out);
    }
}

pub(super) unsafe extern "system" fn device_buffer_requirements(
    device: vk::Device,
    info: *const vk::DeviceBufferMemoryRequirements<'_>,
    out: *mut vk::MemoryRequirements2<'_>,
) {
    let call = Call::GetDeviceBufferMemoryRequirements;
    // SAFETY: C1, C2, C3.
    unsafe {
        let driver = driver(device);
        driver.note(call);
        let Some(info) = info.as_ref().and_then(|info| info.p_create_info.as_ref()) else {
            driver.note_null(call);
            return;
        };
        let found = driver.profile.buffer_requirements(info.size, info.flags);
        write2(driver, call, &found, out);
    }
}

pub(super) unsafe extern "system" fn device_image_requirements(
    device: vk::Device,
    info: *const vk::DeviceImageMemoryRequirements<'_>,
    out: *mut vk::MemoryRequirements2<'_>,
) {
    let call = Call::GetDeviceImageMemoryRequirements;
    // SAFETY: C1, C2, C3.
    unsafe {
        let driver = driver(device);
        driver.note(call);
        let Some(info) = info.as_ref().and_then(|info| info.p_create_info.as_ref()) else {
            driver.note_null(call);
            return;
        };
        write2(driver, call, &driver.profile.image_requirements(&info.into()), out);
    }
}

/// # Safety
/// C1.
unsafe fn of_resource(device: vk::Device, call: Call, id: ResourceId) -> Requirements {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    driver.note(call);
    driver.lock().requirements(call, id)
}

/// # Safety
/// C3 for `out`.
unsafe fn write(
    driver: &Driver,
    call: Call,
    found: &Requirements,
    out: *mut vk::MemoryRequirements,
) {
    // SAFETY: C3.
    match unsafe { out.as_mut() } {
        Some(out) => {
            out.size = found.size;
            out.alignment = found.alignment;
            out.memory_type_bits = found.type_bits;
        }
        None => {
            driver.note_null(call);
        }
    }
}

/// # Safety
/// C3 for `out` and its chain.
unsafe fn write2(
    driver: &Driver,
    call: Call,
    found: &Requirements,
    out: *mut vk::MemoryRequirements2<'_>,
) {
    // SAFETY: C3; the two references are to different structures.
    unsafe {
        let Some(out) = out.as_mut() else {
            driver.note_null(call);
            return;
        };
        write(driver, call, found, &raw mut out.memory_requirements);
        if let Some(dedicated) =
            chained_mut::<vk::MemoryDedicatedRequirements<'_>>(out.p_next.cast())
        {
            dedicated.prefers_dedicated_allocation = found.prefers_dedicated.into();
            dedicated.requires_dedicated_allocation = found.requires_dedicated.into();
        }
    }
}

pub(super) unsafe extern "system" fn bind_buffer(
    device: vk::Device,
    buffer: vk::Buffer,
    memory: vk::DeviceMemory,
    offset: u64,
) -> vk::Result {
    let binds = std::iter::once((ResourceId::Buffer(buffer), memory, offset));
    // SAFETY: C1.
    unsafe { bind(device, Call::BindBufferMemory, binds) }
}

pub(super) unsafe extern "system" fn bind_image(
    device: vk::Device,
    image: vk::Image,
    memory: vk::DeviceMemory,
    offset: u64,
) -> vk::Result {
    let binds = std::iter::once((ResourceId::Image(image), memory, offset));
    // SAFETY: C1.
    unsafe { bind(device, Call::BindImageMemory, binds) }
}

pub(super) unsafe extern "system" fn bind_buffers(
    device: vk::Device,
    count: u32,
    infos: *const vk::BindBufferMemoryInfo<'_>,
) -> vk::Result {
    // SAFETY: C1, C2.
    unsafe {
        let infos = list(infos, count).iter();
        let binds = infos.map(|i| (ResourceId::Buffer(i.buffer), i.memory, i.memory_offset));
        bind(device, Call::BindBufferMemory, binds)
    }
}

pub(super) unsafe extern "system" fn bind_images(
    device: vk::Device,
    count: u32,
    infos: *const vk::BindImageMemoryInfo<'_>,
) -> vk::Result {
    // SAFETY: C1, C2.
    unsafe {
        let infos = list(infos, count);
        let plane = |info: &vk::BindImageMemoryInfo<'_>| {
            chained::<vk::BindImagePlaneMemoryInfo<'_>>(info.p_next).map(|plane| plane.plane_aspect)
        };
        let whole = infos.iter().filter(|info| plane(info).is_none());
        let binds = whole.map(|i| (ResourceId::Image(i.image), i.memory, i.memory_offset));
        let planes =
            infos.iter().filter_map(|i| Some((i.image, (plane(i)?, i.memory, i.memory_offset))));
        let planes: Vec<(vk::Image, PlaneBind)> = planes.collect();
        let result = bind(device, Call::BindImageMemory, binds);
        planes.chunk_by(|a, b| a.0 == b.0).fold(result, |result, of_image| {
            let planes: Vec<PlaneBind> = of_image.iter().map(|plane| plane.1).collect();
            let mut state = driver(device).lock();
            match state.bind_planes(Call::BindImageMemory, of_image[0].0, &planes) {
                vk::Result::SUCCESS => result,
                error => error,
            }
        })
    }
}

/// # Safety
/// C1.
unsafe fn bind(
    device: vk::Device,
    call: Call,
    binds: impl Iterator<Item = (ResourceId, vk::DeviceMemory, u64)>,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(call) {
        return result;
    }
    let mut state = driver.lock();
    binds.fold(vk::Result::SUCCESS, |result, (id, memory, offset)| {
        match state.bind(call, id, memory, offset) {
            vk::Result::SUCCESS => result,
            error => error,
        }
    })
}

pub(super) unsafe extern "system" fn buffer_address(
    device: vk::Device,
    info: *const vk::BufferDeviceAddressInfo<'_>,
) -> vk::DeviceAddress {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    driver.note(Call::GetBufferDeviceAddress);
    // SAFETY: C2.
    match unsafe { info.as_ref() } {
        Some(info) => driver.lock().buffer_address(info.buffer),
        None => {
            driver.note_null(Call::GetBufferDeviceAddress);
            0
        }
    }
}
