//! Command pools and command buffers.

use ash::vk;

use super::handle::driver;
use super::list;
use crate::fake::call::Call;

pub(super) unsafe extern "system" fn reset_command_pool(
    device: vk::Device,
    pool: vk::CommandPool,
    _flags: vk::CommandPoolResetFlags,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(Call::ResetCommandPool) {
        return result;
    }
    driver.lock().reset_command_pool(pool);
    vk::Result::SUCCESS
}

pub(super) unsafe extern "system" fn allocate_commands(
    device: vk::Device,
    info: *const vk::CommandBufferAllocateInfo<'_>,
    out: *mut vk::CommandBuffer,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    let call = Call::AllocateCommandBuffers;
    if let Err(result) = driver.enter(call) {
        return result;
    }
    // SAFETY: C2.
    let Some(info) = (unsafe { info.as_ref() }) else { return driver.null(call) };
    if out.is_null() {
        return driver.null(call);
    }
    let mut state = driver.lock();
    for index in 0..info.command_buffer_count as usize {
        match state.allocate_commands(info.command_pool) {
            // SAFETY: C3: `out` has `command_buffer_count` elements.
            Ok(commands) => unsafe { out.add(index).write(commands) },
            Err(result) => return result,
        }
    }
    vk::Result::SUCCESS
}

pub(super) unsafe extern "system" fn free_commands(
    device: vk::Device,
    pool: vk::CommandPool,
    count: u32,
    commands: *const vk::CommandBuffer,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    driver.note(Call::FreeCommandBuffers);
    let mut state = driver.lock();
    // SAFETY: C2.
    unsafe { list(commands, count) }.iter().for_each(|it| state.free_commands(pool, *it));
}

pub(super) unsafe extern "system" fn begin_commands(
    commands: vk::CommandBuffer,
    info: *const vk::CommandBufferBeginInfo<'_>,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(commands) };
    if let Err(result) = driver.enter(Call::BeginCommandBuffer) {
        return result;
    }
    // SAFETY: C2.
    let Some(info) = (unsafe { info.as_ref() }) else {
        return driver.null(Call::BeginCommandBuffer);
    };
    driver.lock().begin_commands(commands, info.flags);
    vk::Result::SUCCESS
}

pub(super) unsafe extern "system" fn end_commands(commands: vk::CommandBuffer) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(commands) };
    if let Err(result) = driver.enter(Call::EndCommandBuffer) {
        return result;
    }
    driver.lock().end_commands(commands);
    vk::Result::SUCCESS
}

pub(super) unsafe extern "system" fn reset_commands(
    commands: vk::CommandBuffer,
    _flags: vk::CommandBufferResetFlags,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(commands) };
    if let Err(result) = driver.enter(Call::ResetCommandBuffer) {
        return result;
    }
    driver.lock().reset_commands(Call::ResetCommandBuffer, commands);
    vk::Result::SUCCESS
}
