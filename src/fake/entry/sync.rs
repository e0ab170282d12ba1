//! Queues, fences and semaphores.

use ash::vk;
use smallvec::SmallVec;

use super::handle::{driver, inside};
use super::{chained, list};
use crate::fake::call::Call;
use crate::fake::object::Object;
use crate::fake::queue::{Signal, SubmitArguments};
use crate::fake::violation::Violation;

pub(super) unsafe extern "system" fn submit(
    queue: vk::Queue,
    count: u32,
    infos: *const vk::SubmitInfo<'_>,
    fence: vk::Fence,
) -> vk::Result {
    // SAFETY: C1, C2.
    unsafe { submit_all(queue, list(infos, count).iter().map(|info| arguments(info)), fence) }
}

pub(super) unsafe extern "system" fn submit2(
    queue: vk::Queue,
    count: u32,
    infos: *const vk::SubmitInfo2<'_>,
    fence: vk::Fence,
) -> vk::Result {
    // SAFETY: C1, C2.
    unsafe { submit_all(queue, list(infos, count).iter().map(|info| arguments2(info)), fence) }
}

/// # Safety
/// C1.
unsafe fn submit_all(
    queue: vk::Queue,
    batches: impl Iterator<Item = SubmitArguments>,
    fence: vk::Fence,
) -> vk::Result {
    // SAFETY: C1.
    let (driver, (_inside, taken)) = unsafe { (driver(queue), inside(queue)) };
    if let Err(result) = driver.enter(Call::QueueSubmit) {
        return result;
    }
    let mut state = driver.lock();
    let batches: SmallVec<[SubmitArguments; 1]> = batches.collect();
    if taken {
        state.report(Violation::Threads { call: Call::QueueSubmit, object: Object::of(queue) });
    }
    if driver.calls.is_lost() {
        return vk::Result::ERROR_DEVICE_LOST;
    }
    let result = state.submit(queue, batches, fence);
    drop(state);
    driver.notify();
    result
}

/// # Safety
/// C2 for what `info` points to.
unsafe fn arguments(info: &vk::SubmitInfo<'_>) -> SubmitArguments {
    // SAFETY: C2.
    let (waits, signals, commands, values) = unsafe {
        (
            list(info.p_wait_semaphores, info.wait_semaphore_count),
            list(info.p_signal_semaphores, info.signal_semaphore_count),
            list(info.p_command_buffers, info.command_buffer_count),
            chained::<vk::TimelineSemaphoreSubmitInfo<'_>>(info.p_next),
        )
    };
    // SAFETY: C2.
    let (wait_values, signal_values) = unsafe {
        values.map_or((&[][..], &[][..]), |values| {
            (
                list(values.p_wait_semaphore_values, values.wait_semaphore_value_count),
                list(values.p_signal_semaphore_values, values.signal_semaphore_value_count),
            )
        })
    };
    let value = |values: &[u64], index: usize| values.get(index).copied();
    SubmitArguments {
        waits: (0..).zip(waits).map(|(i, s)| (*s, value(wait_values, i))).collect(),
        commands: commands.iter().copied().collect(),
        signals: (0..)
            .zip(signals)
            .map(|(i, s)| Signal {
                semaphore: *s,
                value: value(signal_values, i),
                covers_all: true,
            })
            .collect(),
    }
}

/// # Safety
/// C2 for what `info` points to.
unsafe fn arguments2(info: &vk::SubmitInfo2<'_>) -> SubmitArguments {
    // SAFETY: C2.
    let (waits, signals, commands) = unsafe {
        (
            list(info.p_wait_semaphore_infos, info.wait_semaphore_info_count),
            list(info.p_signal_semaphore_infos, info.signal_semaphore_info_count),
            list(info.p_command_buffer_infos, info.command_buffer_info_count),
        )
    };
    let all = vk::PipelineStageFlags2::ALL_COMMANDS | vk::PipelineStageFlags2::BOTTOM_OF_PIPE;
    SubmitArguments {
        waits: waits.iter().map(|wait| (wait.semaphore, Some(wait.value))).collect(),
        commands: commands.iter().map(|info| info.command_buffer).collect(),
        signals: signals
            .iter()
            .map(|signal| Signal {
                semaphore: signal.semaphore,
                value: Some(signal.value),
                covers_all: signal.stage_mask.intersects(all),
            })
            .collect(),
    }
}

pub(super) unsafe extern "system" fn queue_wait_idle(queue: vk::Queue) -> vk::Result {
    // SAFETY: C1.
    let (driver, (_inside, taken)) = unsafe { (driver(queue), inside(queue)) };
    let call = Call::QueueWaitIdle;
    if let Err(result) = driver.enter(call) {
        return result;
    }
    if taken {
        driver.lock().report(Violation::Threads { call, object: Object::of(queue) });
    }
    driver.wait(call, u64::MAX, |state| {
        let index = state.queue_index(queue);
        index.and_then(|i| state.queues.get(i)).is_none_or(|queue| queue.pending.is_empty())
    })
}

pub(super) unsafe extern "system" fn device_wait_idle(device: vk::Device) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    match driver.enter(Call::DeviceWaitIdle) {
        Ok(()) => driver.wait(Call::DeviceWaitIdle, u64::MAX, |state| state.pending() == 0),
        Err(result) => result,
    }
}

pub(super) unsafe extern "system" fn reset_fences(
    device: vk::Device,
    count: u32,
    fences: *const vk::Fence,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(Call::ResetFences) {
        return result;
    }
    let mut state = driver.lock();
    // SAFETY: C2.
    unsafe { list(fences, count) }.iter().for_each(|fence| state.reset_fence(*fence));
    vk::Result::SUCCESS
}

pub(super) unsafe extern "system" fn fence_status(
    device: vk::Device,
    fence: vk::Fence,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(Call::GetFenceStatus) {
        return result;
    }
    match driver.lock().fence_status(Call::GetFenceStatus, fence) {
        Some(true) => vk::Result::SUCCESS,
        Some(false) => vk::Result::NOT_READY,
        None => vk::Result::ERROR_VALIDATION_FAILED_EXT,
    }
}

pub(super) unsafe extern "system" fn wait_fences(
    device: vk::Device,
    count: u32,
    fences: *const vk::Fence,
    all: vk::Bool32,
    timeout: u64,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    let call = Call::WaitForFences;
    if let Err(result) = driver.enter(call) {
        return result;
    }
    // SAFETY: C2.
    let mut fences = SmallVec::<[vk::Fence; 4]>::from_slice(unsafe { list(fences, count) });
    {
        let mut state = driver.lock();
        fences.retain(|fence| state.fence_status(call, *fence).is_some());
    }
    driver.wait(call, timeout, |state| {
        let done = |fence: &vk::Fence| state.fences.get(*fence).is_none_or(|f| f.signalled);
        if all == vk::FALSE && !fences.is_empty() {
            fences.iter().any(done)
        } else {
            fences.iter().all(done)
        }
    })
}

pub(super) unsafe extern "system" fn semaphore_counter(
    device: vk::Device,
    semaphore: vk::Semaphore,
    out: *mut u64,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    let call = Call::GetSemaphoreCounterValue;
    if let Err(result) = driver.enter(call) {
        return result;
    }
    let found = driver.lock().counter(call, semaphore);
    // SAFETY: C3.
    match (unsafe { out.as_mut() }, found) {
        (None, _) => driver.null(call),
        (_, None) => vk::Result::ERROR_VALIDATION_FAILED_EXT,
        (Some(out), Some(value)) => {
            *out = value;
            vk::Result::SUCCESS
        }
    }
}

pub(super) unsafe extern "system" fn signal_semaphore(
    device: vk::Device,
    info: *const vk::SemaphoreSignalInfo<'_>,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(Call::SignalSemaphore) {
        return result;
    }
    // SAFETY: C2.
    let Some(info) = (unsafe { info.as_ref() }) else {
        return driver.null(Call::SignalSemaphore);
    };
    let mut state = driver.lock();
    let result = state.signal_semaphore(info.semaphore, info.value);
    if state.automatic {
        state.run();
    }
    drop(state);
    driver.notify();
    result
}

pub(super) unsafe extern "system" fn wait_semaphores(
    device: vk::Device,
    info: *const vk::SemaphoreWaitInfo<'_>,
    timeout: u64,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    let call = Call::WaitSemaphores;
    if let Err(result) = driver.enter(call) {
        return result;
    }
    // SAFETY: C2.
    let Some(info) = (unsafe { info.as_ref() }) else { return driver.null(call) };
    // SAFETY: C2.
    let (semaphores, values) = unsafe {
        (list(info.p_semaphores, info.semaphore_count), list(info.p_values, info.semaphore_count))
    };
    let mut waits: SmallVec<[(vk::Semaphore, u64); 4]> =
        semaphores.iter().copied().zip(values.iter().copied()).collect();
    {
        let mut state = driver.lock();
        waits.retain(|(semaphore, _)| state.counter(call, *semaphore).is_some());
    }
    let any = info.flags.contains(vk::SemaphoreWaitFlags::ANY);
    driver.wait(call, timeout, |state| {
        let done = |(semaphore, value): &(vk::Semaphore, u64)| {
            state.semaphores.get(*semaphore).is_none_or(|found| found.reached(*value))
        };
        if any && !waits.is_empty() { waits.iter().any(done) } else { waits.iter().all(done) }
    })
}
