//! Transfer commands and barriers.

use std::ffi::c_void;

use ash::vk;

use super::handle::driver;
use super::list;
use crate::fake::call::Call;
use crate::fake::transfer::Work;
use crate::fake::uses::Use;

/// # Safety
/// C1.
unsafe fn record(commands: vk::CommandBuffer, call: Call, work: impl Iterator<Item = Work>) {
    // SAFETY: C1.
    let driver = unsafe { driver(commands) };
    driver.note(call);
    let mut state = driver.lock();
    work.for_each(|work| state.record_work(call, commands, work));
}

/// # Safety
/// C1.
unsafe fn touch(commands: vk::CommandBuffer, call: Call, uses: &[Use]) {
    // SAFETY: C1.
    let driver = unsafe { driver(commands) };
    driver.note(call);
    driver.lock().record_command(call, commands, uses, None);
}

pub(super) unsafe extern "system" fn copy_buffer(
    commands: vk::CommandBuffer,
    from: vk::Buffer,
    to: vk::Buffer,
    count: u32,
    regions: *const vk::BufferCopy,
) {
    // SAFETY: C1, C2.
    unsafe {
        let regions = list(regions, count).iter();
        let work = regions.map(|region| Work::Copy { from, to, region: *region });
        record(commands, Call::CmdCopyBuffer, work);
    }
}

pub(super) unsafe extern "system" fn copy_buffer2(
    commands: vk::CommandBuffer,
    info: *const vk::CopyBufferInfo2<'_>,
) {
    // SAFETY: C1, C2.
    unsafe {
        let Some(info) = info.as_ref() else {
            return driver(commands).note_null(Call::CmdCopyBuffer);
        };
        let work = list(info.p_regions, info.region_count).iter().map(|region| Work::Copy {
            from: info.src_buffer,
            to: info.dst_buffer,
            region: vk::BufferCopy {
                src_offset: region.src_offset,
                dst_offset: region.dst_offset,
                size: region.size,
            },
        });
        record(commands, Call::CmdCopyBuffer, work);
    }
}

pub(super) unsafe extern "system" fn fill_buffer(
    commands: vk::CommandBuffer,
    to: vk::Buffer,
    offset: u64,
    size: u64,
    word: u32,
) {
    let work = std::iter::once(Work::Fill { to, offset, size, word });
    // SAFETY: C1.
    unsafe { record(commands, Call::CmdFillBuffer, work) };
}

pub(super) unsafe extern "system" fn update_buffer(
    commands: vk::CommandBuffer,
    to: vk::Buffer,
    offset: u64,
    size: u64,
    data: *const c_void,
) {
    // SAFETY: C1, C2: `data` has `size` bytes, 65,536 at most.
    unsafe {
        let bytes = list(data.cast::<u8>(), u32::try_from(size).unwrap_or(0)).into();
        let work = std::iter::once(Work::Update { to, offset, bytes });
        record(commands, Call::CmdUpdateBuffer, work);
    }
}

pub(super) unsafe extern "system" fn copy_image(
    commands: vk::CommandBuffer,
    from: vk::Image,
    _from_layout: vk::ImageLayout,
    to: vk::Image,
    _to_layout: vk::ImageLayout,
    _count: u32,
    _regions: *const vk::ImageCopy,
) {
    // SAFETY: C1.
    unsafe { touch(commands, Call::CmdCopyImage, &[Use::image(from), Use::image(to)]) };
}

pub(super) unsafe extern "system" fn copy_buffer_to_image(
    commands: vk::CommandBuffer,
    from: vk::Buffer,
    to: vk::Image,
    _layout: vk::ImageLayout,
    _count: u32,
    _regions: *const vk::BufferImageCopy,
) {
    // SAFETY: C1.
    unsafe { touch(commands, Call::CmdCopyBufferToImage, &[Use::buffer(from), Use::image(to)]) };
}

pub(super) unsafe extern "system" fn copy_image_to_buffer(
    commands: vk::CommandBuffer,
    from: vk::Image,
    _layout: vk::ImageLayout,
    to: vk::Buffer,
    _count: u32,
    _regions: *const vk::BufferImageCopy,
) {
    // SAFETY: C1.
    unsafe { touch(commands, Call::CmdCopyImageToBuffer, &[Use::image(from), Use::buffer(to)]) };
}

#[allow(clippy::too_many_arguments, reason = "Vulkan's signature")]
pub(super) unsafe extern "system" fn barrier(
    commands: vk::CommandBuffer,
    from: vk::PipelineStageFlags,
    to: vk::PipelineStageFlags,
    _flags: vk::DependencyFlags,
    memory_count: u32,
    memory: *const vk::MemoryBarrier<'_>,
    _buffer_count: u32,
    _buffers: *const vk::BufferMemoryBarrier<'_>,
    _image_count: u32,
    _images: *const vk::ImageMemoryBarrier<'_>,
) {
    let all = vk::PipelineStageFlags::ALL_COMMANDS;
    // SAFETY: C1, C2.
    unsafe {
        let writes = |it: &vk::MemoryBarrier<'_>| {
            it.src_access_mask.contains(vk::AccessFlags::MEMORY_WRITE)
                && it
                    .dst_access_mask
                    .contains(vk::AccessFlags::MEMORY_READ | vk::AccessFlags::MEMORY_WRITE)
        };
        let full = from.contains(all) && to.contains(all);
        let full = full && list(memory, memory_count).iter().any(writes);
        let uses: &[Use] = if full { &[Use::barrier()] } else { &[] };
        touch(commands, Call::CmdPipelineBarrier, uses);
    }
}

pub(super) unsafe extern "system" fn barrier2(
    commands: vk::CommandBuffer,
    info: *const vk::DependencyInfo<'_>,
) {
    let all = vk::PipelineStageFlags2::ALL_COMMANDS;
    // SAFETY: C1, C2.
    unsafe {
        let full = |it: &vk::MemoryBarrier2<'_>| {
            it.src_stage_mask.contains(all)
                && it.dst_stage_mask.contains(all)
                && it.src_access_mask.contains(vk::AccessFlags2::MEMORY_WRITE)
                && it
                    .dst_access_mask
                    .contains(vk::AccessFlags2::MEMORY_READ | vk::AccessFlags2::MEMORY_WRITE)
        };
        let barriers = info
            .as_ref()
            .map_or(&[][..], |info| list(info.p_memory_barriers, info.memory_barrier_count));
        let uses: &[Use] = if barriers.iter().any(full) { &[Use::barrier()] } else { &[] };
        touch(commands, Call::CmdPipelineBarrier, uses);
    }
}
