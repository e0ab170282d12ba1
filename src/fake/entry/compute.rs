//! Compute pipelines and dispatches.

use std::ffi::CStr;

use ash::vk;

use super::handle::driver;
use super::list;
use crate::fake::call::Call;

pub(super) unsafe extern "system" fn create_compute_pipelines(
    device: vk::Device,
    _cache: vk::PipelineCache,
    count: u32,
    infos: *const vk::ComputePipelineCreateInfo<'_>,
    _allocator: *const vk::AllocationCallbacks<'_>,
    out: *mut vk::Pipeline,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    let call = Call::CreateComputePipelines;
    if out.is_null() {
        return driver.null(call);
    }
    let injected = driver.enter(call);
    let mut result = vk::Result::SUCCESS;
    // SAFETY: C2.
    for (index, info) in unsafe { list(infos, count) }.iter().enumerate() {
        let made = injected.and_then(|()| {
            if info.stage.p_name.is_null() {
                return Err(driver.null(call));
            }
            // SAFETY: C2: a string with a zero at its end.
            let entry = unsafe { CStr::from_ptr(info.stage.p_name) };
            driver.lock().create_pipeline(info.stage.module, info.layout, entry)
        });
        let pipeline = made.unwrap_or_else(|error| {
            result = error;
            vk::Pipeline::null()
        });
        // SAFETY: C3: `out` has `count` elements.
        unsafe { out.add(index).write(pipeline) };
    }
    result
}

pub(super) unsafe extern "system" fn bind_pipeline(
    commands: vk::CommandBuffer,
    point: vk::PipelineBindPoint,
    pipeline: vk::Pipeline,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(commands) };
    driver.note(Call::CmdBindPipeline);
    if point == vk::PipelineBindPoint::COMPUTE {
        driver.lock().bind_pipeline(commands, pipeline);
    }
}

#[allow(clippy::too_many_arguments, reason = "Vulkan's signature")]
pub(super) unsafe extern "system" fn bind_sets(
    commands: vk::CommandBuffer,
    point: vk::PipelineBindPoint,
    _layout: vk::PipelineLayout,
    first: u32,
    count: u32,
    sets: *const vk::DescriptorSet,
    _offset_count: u32,
    _offsets: *const u32,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(commands) };
    driver.note(Call::CmdBindDescriptorSets);
    // SAFETY: C2.
    let sets = unsafe { list(sets, count) };
    // Only the first set matters to a shader that the fake can run.
    if let (vk::PipelineBindPoint::COMPUTE, 0, Some(&set)) = (point, first, sets.first()) {
        driver.lock().bind_set(commands, set);
    }
}

pub(super) unsafe extern "system" fn dispatch(commands: vk::CommandBuffer, x: u32, y: u32, z: u32) {
    // SAFETY: C1.
    let driver = unsafe { driver(commands) };
    driver.note(Call::CmdDispatch);
    driver.lock().record_dispatch(commands, x.saturating_mul(y).saturating_mul(z));
}
