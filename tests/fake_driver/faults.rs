//! Injected faults: failing calls, a lost device, null pointers; and the counts of calls.

use ash::vk;
use fencepost::fake::{Call, Use, Violation};

use crate::support::{Gpu, object};

const OUT: vk::Result = vk::Result::ERROR_OUT_OF_DEVICE_MEMORY;
const HOST: vk::Result = vk::Result::ERROR_OUT_OF_HOST_MEMORY;

#[test]
fn the_nth_call_from_now_fails_once_and_without_effect() {
    let gpu = Gpu::new();
    gpu.memory(64);
    gpu.fake.fail(Call::AllocateMemory, 1, OUT);
    gpu.fake.fail(Call::AllocateMemory, 2, HOST);
    gpu.memory(64);
    assert_eq!(gpu.try_memory(0, 64), Err(OUT));
    assert_eq!(gpu.try_memory(0, 64), Err(HOST));
    assert_eq!(gpu.fake.heap_used(0), 128);
    gpu.memory(64);
    assert_eq!(gpu.fake.calls(Call::AllocateMemory), 5);
    gpu.kept();
}

#[test]
fn every_call_fails_until_the_faults_are_cleared() {
    let gpu = Gpu::new();
    gpu.fake.fail_all(Call::CreateBuffer, HOST);
    let info = vk::BufferCreateInfo::default().size(64);
    for _ in 0..3 {
        assert_eq!(unsafe { gpu.device.create_buffer(&info, None) }, Err(HOST));
    }
    gpu.memory(64); // other commands go on
    gpu.fake.clear_faults();
    gpu.buffer(64);
    gpu.kept();
}

#[test]
fn a_failed_submission_changes_nothing() {
    let gpu = Gpu::new();
    let (fence, timeline) = (gpu.fence(), gpu.timeline(0));
    gpu.fake.fail(Call::QueueSubmit, 0, HOST);
    let queue = gpu.fake.queue(0);
    assert_eq!(unsafe { gpu.device.queue_submit(queue, &[], fence) }, Err(HOST));
    assert_eq!(gpu.fake.pending(queue), 0);
    gpu.submit_with(0, &[], &[], &[(timeline, 1)], fence);
    gpu.kept();
}

#[test]
fn calls_that_cannot_fail_do_not() {
    let gpu = Gpu::new();
    let memory = gpu.memory(64);
    assert!(!Call::FreeMemory.can_fail());
    gpu.fake.fail(Call::FreeMemory, 0, OUT);
    unsafe { gpu.device.free_memory(memory, None) };
    gpu.fake.finish().unwrap();
}

#[test]
fn a_lost_device_uses_nothing_and_says_so() {
    let gpu = Gpu::new();
    let (memory, fence, timeline) = (gpu.memory(64), gpu.fence(), gpu.timeline(0));
    gpu.submit_with(0, &[Use::memory(memory, 0, 64)], &[], &[(timeline, 1)], fence);
    gpu.fake.lose_device();
    let lost = vk::Result::ERROR_DEVICE_LOST;
    let queue = gpu.fake.queue(0);
    let wait =
        vk::SemaphoreWaitInfo::default().semaphores(std::slice::from_ref(&timeline)).values(&[1]);
    unsafe {
        let device = &gpu.device;
        assert_eq!(device.queue_submit(queue, &[], vk::Fence::null()), Err(lost));
        assert_eq!(device.get_fence_status(fence), Err(lost));
        assert_eq!(device.wait_for_fences(&[fence], true, 1), Err(lost));
        assert_eq!(device.get_semaphore_counter_value(timeline), Err(lost));
        assert_eq!(device.wait_semaphores(&wait, u64::MAX), Err(lost));
        assert_eq!(device.queue_wait_idle(queue), Err(lost));
        assert_eq!(device.device_wait_idle(), Err(lost));
        assert_eq!(gpu.fake.pending(queue), 0);
        // Vulkan lists no such error for these.
        device.destroy_buffer(gpu.buffer(64), None);
        device.free_memory(gpu.memory(64), None);
        device.free_memory(memory, None);
        device.destroy_fence(fence, None);
        device.destroy_semaphore(timeline, None);
    }
    gpu.fake.finish().unwrap();
}

#[test]
fn null_pointers_are_violations_and_not_crashes() {
    let gpu = Gpu::new();
    let table = gpu.device.fp_v1_0();
    let device = gpu.device.handle();
    let mut buffer = vk::Buffer::null();
    unsafe {
        let result = (table.create_buffer)(device, std::ptr::null(), std::ptr::null(), &mut buffer);
        assert_eq!(result, vk::Result::ERROR_VALIDATION_FAILED_EXT);
        let info = vk::FenceCreateInfo::default();
        _ = (table.create_fence)(device, &info, std::ptr::null(), std::ptr::null_mut());
        (table.get_buffer_memory_requirements)(device, gpu.buffer(1), std::ptr::null_mut());
    }
    gpu.broke(
        &[Call::CreateBuffer, Call::CreateFence, Call::GetBufferMemoryRequirements]
            .map(|call| Violation::Null { call }),
    );
}

#[test]
fn calls_are_counted_under_one_name() {
    let gpu = Gpu::new();
    let before = gpu.fake.total_calls();
    let buffer = gpu.buffer(64);
    let info = vk::BufferMemoryRequirementsInfo2::default().buffer(buffer);
    let mut out = vk::MemoryRequirements2::default();
    unsafe {
        _ = gpu.device.get_buffer_memory_requirements(buffer);
        gpu.device.get_buffer_memory_requirements2(&info, &mut out);
    }
    assert_eq!(out.memory_requirements.size, 64);
    assert_eq!(gpu.fake.calls(Call::GetBufferMemoryRequirements), 2);
    assert_eq!(gpu.fake.total_calls() - before, 3);
    assert_eq!(gpu.fake.finish().unwrap_err().list()[0], {
        Violation::Leak { object: object(buffer), size: 64 }
    });
}
