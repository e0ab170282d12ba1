//! Video sessions and their memory.

use ash::vk;

use super::handle::driver;
use super::list;
use crate::fake::call::Call;
use crate::fake::object::Range;
use crate::fake::video::VideoBind;

pub(super) unsafe extern "system" fn requirements(
    device: vk::Device,
    session: vk::VideoSessionKHR,
    count: *mut u32,
    out: *mut vk::VideoSessionMemoryRequirementsKHR<'_>,
) -> vk::Result {
    let call = Call::GetVideoSessionMemoryRequirements;
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(call) {
        return result;
    }
    // SAFETY: C3.
    let Some(count) = (unsafe { count.as_mut() }) else { return driver.null(call) };
    let all = driver.lock().video_requirements(call, session);
    let room = if out.is_null() { 0 } else { *count as usize };
    for (index, needs) in all.iter().enumerate().take(room) {
        // SAFETY: C3: `out` has `count` elements, which are initialised.
        let out = unsafe { &mut *out.add(index) };
        out.memory_bind_index = index as u32;
        out.memory_requirements = vk::MemoryRequirements {
            size: needs.size,
            alignment: needs.alignment,
            memory_type_bits: needs.type_bits,
        };
    }
    let given = if out.is_null() { all.len() } else { all.len().min(room) };
    *count = given as u32;
    if given < all.len() { vk::Result::INCOMPLETE } else { vk::Result::SUCCESS }
}

pub(super) unsafe extern "system" fn bind(
    device: vk::Device,
    session: vk::VideoSessionKHR,
    count: u32,
    infos: *const vk::BindVideoSessionMemoryInfoKHR<'_>,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(Call::BindVideoSessionMemory) {
        return result;
    }
    // SAFETY: C2.
    let infos = unsafe { list(infos, count) };
    let bind = |info: &vk::BindVideoSessionMemoryInfoKHR<'_>| {
        let (memory, offset, size) = (info.memory, info.memory_offset, info.memory_size);
        (info.memory_bind_index, Range { memory, offset, size })
    };
    let binds: Vec<VideoBind> = infos.iter().map(bind).collect();
    driver.lock().bind_video(session, &binds);
    vk::Result::SUCCESS
}
