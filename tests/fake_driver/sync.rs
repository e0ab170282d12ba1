//! Fences and semaphores: states, values, waits.

use ash::vk;
use fencepost::fake::{Call, Profile, Violation};

use crate::support::{Gpu, object, submission};

const NONE: vk::Fence = vk::Fence::null();

#[test]
fn a_fence_is_signalled_by_the_last_batch_and_reset_by_the_host() {
    let gpu = Gpu::new();
    let (fence, queue) = (gpu.fence(), gpu.fake.queue(0));
    let batches = [vk::SubmitInfo::default(), vk::SubmitInfo::default()];
    unsafe { gpu.device.queue_submit(queue, &batches, fence) }.unwrap();
    let status = || unsafe { gpu.device.get_fence_status(fence) }.unwrap();
    assert!(gpu.fake.step(queue));
    assert!(!status());
    assert!(gpu.fake.step(queue));
    assert!(status());
    unsafe { gpu.device.reset_fences(&[fence]) }.unwrap();
    assert!(!status());
    // A submission of nothing signals the fence too.
    unsafe { gpu.device.queue_submit(queue, &[], fence) }.unwrap();
    assert!(gpu.fake.step(queue) && status());
    gpu.kept();
}

#[test]
fn a_fence_is_submitted_only_when_reset() {
    let gpu = Gpu::new();
    let info = vk::FenceCreateInfo::default().flags(vk::FenceCreateFlags::SIGNALED);
    let (fresh, signalled) =
        (gpu.fence(), unsafe { gpu.device.create_fence(&info, None) }.unwrap());
    gpu.submit_with(0, &[], &[], &[], fresh);
    gpu.kept();
    gpu.submit_with(1, &[], &[], &[], fresh);
    gpu.submit_with(1, &[], &[], &[], signalled);
    gpu.broke(&[fresh, signalled].map(|fence| Violation::FenceNotReset { fence: object(fence) }));
}

#[test]
fn a_pending_fence_or_semaphore_is_left_alone() {
    let gpu = Gpu::new();
    let (fence, semaphore) = (gpu.fence(), gpu.timeline(0));
    gpu.submit_with(0, &[], &[], &[(semaphore, 1)], fence);
    unsafe {
        gpu.device.reset_fences(&[fence]).unwrap();
        gpu.device.destroy_fence(fence, None);
        gpu.device.destroy_semaphore(semaphore, None);
    }
    let submission = submission(0, 1);
    let in_use = |call, object| Violation::InUse { call, object, submission };
    let broken = [
        in_use(Call::ResetFences, object(fence)),
        in_use(Call::DestroyFence, object(fence)),
        in_use(Call::DestroySemaphore, object(semaphore)),
    ];
    gpu.broke(&broken);
    gpu.fake.run();
    gpu.broke(&broken);
}

#[test]
fn waiting_moves_the_clock_no_further_than_needed() {
    let gpu = Gpu::new();
    let (first, second) = (gpu.fence(), gpu.fence());
    gpu.submit_with(0, &[], &[], &[], first);
    gpu.submit_with(0, &[], &[], &[], second);
    let wait = |fences: &[vk::Fence], all, timeout| unsafe {
        gpu.device.wait_for_fences(fences, all, timeout)
    };
    assert_eq!(wait(&[first], true, 0), Err(vk::Result::TIMEOUT), "a poll moves nothing");
    assert_eq!(wait(&[first, second], false, 1), Ok(()));
    assert_eq!(gpu.fake.pending(gpu.fake.queue(0)), 1);
    assert_eq!(wait(&[first, second], true, u64::MAX), Ok(()));
    assert_eq!(gpu.fake.pending(gpu.fake.queue(0)), 0);
    gpu.kept();
}

#[test]
fn a_wait_that_can_never_end_is_found_and_does_not_hang() {
    let gpu = Gpu::new();
    let (fence, timeline) = (gpu.fence(), gpu.timeline(0));
    let info =
        vk::SemaphoreWaitInfo::default().semaphores(std::slice::from_ref(&timeline)).values(&[1]);
    unsafe {
        assert_eq!(gpu.device.wait_for_fences(&[fence], true, 5), Err(vk::Result::TIMEOUT));
        gpu.kept(); // a wait with a timeout may be in vain
        assert_eq!(gpu.device.wait_for_fences(&[fence], true, u64::MAX), Err(vk::Result::TIMEOUT));
        assert_eq!(gpu.device.wait_semaphores(&info, u64::MAX), Err(vk::Result::TIMEOUT));
        gpu.submit_with(0, &[], &[(timeline, 1)], &[], NONE);
        assert!(gpu.device.queue_wait_idle(gpu.fake.queue(0)).is_err());
        assert!(gpu.device.device_wait_idle().is_err());
        gpu.device.queue_wait_idle(gpu.fake.queue(1)).unwrap();
    }
    use Call::{DeviceWaitIdle, QueueWaitIdle, WaitForFences, WaitSemaphores};
    gpu.broke(
        &[WaitForFences, WaitSemaphores, QueueWaitIdle, DeviceWaitIdle]
            .map(|call| Violation::NeverCompletes { call }),
    );
}

#[test]
fn a_timeline_rises_by_device_and_host() {
    let gpu = Gpu::new();
    let timeline = gpu.timeline(10);
    gpu.submit_with(0, &[], &[(timeline, 11)], &[(timeline, 20)], NONE);
    let signal = |value| {
        let info = vk::SemaphoreSignalInfo::default().semaphore(timeline).value(value);
        unsafe { gpu.device.signal_semaphore(&info) }.unwrap();
    };
    assert_eq!(gpu.fake.run(), 0);
    signal(11);
    assert_eq!(gpu.counter(timeline), 11);
    let info =
        vk::SemaphoreWaitInfo::default().semaphores(std::slice::from_ref(&timeline)).values(&[20]);
    unsafe { gpu.device.wait_semaphores(&info, u64::MAX) }.unwrap();
    assert_eq!(gpu.counter(timeline), 20);
    gpu.kept();
    signal(20);
    let semaphore = object(timeline);
    let call = Call::SignalSemaphore;
    gpu.broke(&[Violation::TimelineNotRising { call, semaphore, from: 20, to: 20 }]);
}

#[test]
fn submitted_values_rise_on_a_queue() {
    let gpu = Gpu::new();
    let timeline = gpu.timeline(0);
    let semaphore = object(timeline);
    gpu.submit_with(0, &[], &[], &[(timeline, 5)], NONE);
    gpu.submit_with(0, &[], &[], &[(timeline, 6)], NONE);
    gpu.kept();
    gpu.submit_with(0, &[], &[], &[(timeline, 6)], NONE);
    let call = Call::QueueSubmit;
    let broken = Violation::TimelineNotRising { call, semaphore, from: 6, to: 6 };
    gpu.broke(&[broken]);
    // The host overtakes what is pending.
    let info = vk::SemaphoreSignalInfo::default().semaphore(timeline).value(7);
    unsafe { gpu.device.signal_semaphore(&info) }.unwrap();
    let call = Call::SignalSemaphore;
    let host = Violation::TimelineNotRising { call, semaphore, from: 0, to: 7 };
    gpu.broke(&[broken, host]);
}

#[test]
fn values_of_two_queues_are_compared_when_they_come() {
    let gpu = Gpu::new();
    let timeline = gpu.timeline(0);
    let semaphore = object(timeline);
    gpu.submit_with(0, &[], &[], &[(timeline, 5)], NONE);
    gpu.submit_with(1, &[], &[], &[(timeline, 4)], NONE);
    gpu.kept(); // right if queue 1 is first
    gpu.fake.step(gpu.fake.queue(0));
    gpu.fake.step(gpu.fake.queue(1));
    let call = Call::QueueSubmit;
    gpu.broke(&[Violation::TimelineNotRising { call, semaphore, from: 5, to: 4 }]);
    assert_eq!(gpu.counter(timeline), 5);
}

#[test]
fn a_value_is_not_too_far_from_the_counter() {
    let gpu = Gpu::new();
    let timeline = gpu.timeline(1);
    let semaphore = object(timeline);
    let far = 1 << 31;
    gpu.submit_with(0, &[], &[(timeline, far)], &[(timeline, far)], NONE);
    gpu.kept();
    gpu.submit_with(1, &[], &[(timeline, far + 1)], &[], NONE);
    let call = Call::QueueSubmit;
    gpu.broke(&[Violation::TimelineTooFar { call, semaphore, from: 1, to: far + 1 }]);
}

#[test]
fn binary_semaphores_pair_one_signal_with_one_wait() {
    let gpu = Gpu::new();
    let semaphore = gpu.binary();
    let (pair, value) = (&[(semaphore, 0)], object(semaphore));
    gpu.submit_with(0, &[], &[], pair, NONE);
    gpu.submit_with(1, &[], pair, &[], NONE);
    gpu.submit_with(1, &[], &[], pair, NONE);
    assert_eq!(gpu.fake.run(), 3);
    gpu.kept();
    gpu.submit_with(0, &[], &[], pair, NONE);
    gpu.broke(&[Violation::BinaryUnpaired { semaphore: value }]);
    let lonely = gpu.binary();
    gpu.submit_with(2, &[], &[(lonely, 0)], &[], NONE);
    assert_eq!(gpu.fake.violations()[1], Violation::BinaryUnpaired { semaphore: object(lonely) });
}

#[test]
fn types_of_semaphores_are_not_mixed_up() {
    let gpu = Gpu::new();
    let (binary, timeline) = (gpu.binary(), gpu.timeline(0));
    assert!(unsafe { gpu.device.get_semaphore_counter_value(binary) }.is_err());
    let semaphores = [timeline];
    let info = vk::SubmitInfo::default().signal_semaphores(&semaphores);
    unsafe { gpu.device.queue_submit(gpu.fake.queue(0), &[info], NONE) }.unwrap();
    let wrong = |call, semaphore| Violation::WrongSemaphore { call, semaphore };
    gpu.broke(&[
        wrong(Call::GetSemaphoreCounterValue, object(binary)),
        wrong(Call::QueueSubmit, object(timeline)),
    ]);
}

#[test]
fn a_timeline_needs_the_feature() {
    let gpu = Gpu::with(Profile::default().timeline_semaphores(false));
    gpu.timeline(0);
    let feature = "timelineSemaphore";
    gpu.broke(&[Violation::NotEnabled { call: Call::CreateSemaphore, feature }]);
}

#[test]
fn a_counter_can_be_made_to_jump() {
    let gpu = Gpu::new();
    let timeline = gpu.timeline(3);
    gpu.fake.set_counter(timeline, u64::MAX);
    assert_eq!(gpu.counter(timeline), u64::MAX);
    gpu.fake.set_counter(vk::Semaphore::null(), 1);
    gpu.kept();
}
