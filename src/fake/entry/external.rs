//! Queries and descriptors of memory that is shared with others.

use std::ffi::c_void;

use ash::vk;

use super::handle::driver;
use crate::fake::call::Call;
use crate::fake::external::payload;

pub(super) unsafe extern "system" fn buffer_properties(
    physical_device: vk::PhysicalDevice,
    info: *const vk::PhysicalDeviceExternalBufferInfo<'_>,
    out: *mut vk::ExternalBufferProperties<'_>,
) {
    let call = Call::GetPhysicalDeviceExternalBufferProperties;
    // SAFETY: C1.
    let driver = unsafe { driver(physical_device) };
    driver.note(call);
    // SAFETY: C2, C3.
    match unsafe { (info.as_ref(), out.as_mut()) } {
        (Some(info), Some(out)) => {
            out.external_memory_properties = driver.profile.external(info.handle_type);
        }
        _ => driver.note_null(call),
    }
}

pub(super) unsafe extern "system" fn get_memory_fd(
    device: vk::Device,
    info: *const vk::MemoryGetFdInfoKHR<'_>,
    out: *mut i32,
) -> vk::Result {
    let call = Call::GetMemoryFd;
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(call) {
        return result;
    }
    // SAFETY: C2, C3.
    let (Some(info), Some(out)) = (unsafe { (info.as_ref(), out.as_mut()) }) else {
        return driver.null(call);
    };
    match driver.lock().export(info.memory, info.handle_type) {
        Ok(fd) => {
            *out = fd;
            vk::Result::SUCCESS
        }
        Err(result) => result,
    }
}

pub(super) unsafe extern "system" fn memory_fd_properties(
    device: vk::Device,
    _kind: vk::ExternalMemoryHandleTypeFlags,
    fd: i32,
    out: *mut vk::MemoryFdPropertiesKHR<'_>,
) -> vk::Result {
    let call = Call::GetMemoryFdProperties;
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(call) {
        return result;
    }
    // SAFETY: C3.
    let Some(out) = (unsafe { out.as_mut() }) else { return driver.null(call) };
    match payload(fd) {
        Some(found) => {
            out.memory_type_bits = 1 << found.memory_type;
            vk::Result::SUCCESS
        }
        None => vk::Result::ERROR_INVALID_EXTERNAL_HANDLE,
    }
}

pub(super) unsafe extern "system" fn host_pointer_properties(
    device: vk::Device,
    _kind: vk::ExternalMemoryHandleTypeFlags,
    _address: *const c_void,
    out: *mut vk::MemoryHostPointerPropertiesEXT<'_>,
) -> vk::Result {
    let call = Call::GetMemoryHostPointerProperties;
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(call) {
        return result;
    }
    // SAFETY: C3.
    let Some(out) = (unsafe { out.as_mut() }) else { return driver.null(call) };
    // The host's own memory, which its caches keep coherent.
    let types = driver.profile.types.iter().enumerate();
    let host = types.filter(|(_, (_, flags))| {
        flags.contains(vk::MemoryPropertyFlags::HOST_COHERENT)
            && !flags.contains(vk::MemoryPropertyFlags::DEVICE_LOCAL)
    });
    out.memory_type_bits = host.fold(0, |bits, (index, _)| bits | 1 << index);
    vk::Result::SUCCESS
}
