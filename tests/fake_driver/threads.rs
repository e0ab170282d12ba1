//! Many fakes on many threads, many threads on one fake.

use std::thread;
use std::time::Duration;

use ash::vk;
use fencepost::fake::{Call, FakeDriver, Profile, Use, Violation};

use crate::support::{Gpu, object};

#[test]
fn a_fake_can_be_shared_and_sent() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<FakeDriver>();
}

#[test]
fn fakes_do_not_see_each_other() {
    thread::scope(|scope| {
        for count in 1..9 {
            scope.spawn(move || {
                let gpu = Gpu::with(Profile::default().max_allocation_count(count));
                let memories: Vec<_> = (0..count).map(|_| gpu.memory(64)).collect();
                assert_eq!(gpu.try_memory(0, 64), Err(vk::Result::ERROR_TOO_MANY_OBJECTS));
                for (index, memory) in memories.iter().enumerate() {
                    let buffer = gpu.buffer_at(64, *memory, 0);
                    gpu.submit(0, &[Use::buffer(buffer)]);
                    assert_eq!(gpu.fake.run(), 1);
                    unsafe { gpu.device.destroy_buffer(buffer, None) };
                    assert_eq!(gpu.fake.calls(Call::CreateBuffer), index as u64 + 1);
                }
                memories.iter().for_each(|memory| unsafe { gpu.device.free_memory(*memory, None) });
                gpu.fake.finish().unwrap();
            });
        }
    });
}

#[test]
fn many_threads_share_one_device() {
    let gpu = Gpu::with(Profile::default().queues(4));
    let gpu = &gpu;
    thread::scope(|scope| {
        for queue in 0..4 {
            scope.spawn(move || {
                for _ in 0..200 {
                    let memory = gpu.memory(4096);
                    let (buffer, fence) = (gpu.buffer_at(4096, memory, 0), gpu.fence());
                    gpu.submit_with(queue, &[Use::buffer(buffer)], &[], &[], fence);
                    unsafe {
                        gpu.device.wait_for_fences(&[fence], true, u64::MAX).unwrap();
                        gpu.device.destroy_fence(fence, None);
                        gpu.device.destroy_buffer(buffer, None);
                        gpu.device.free_memory(memory, None);
                    }
                }
            });
        }
    });
    assert_eq!(gpu.fake.calls(Call::QueueSubmit), 800);
    gpu.fake.finish().unwrap();
}

#[test]
fn a_patient_wait_ends_when_another_thread_helps() {
    let gpu = Gpu::new();
    gpu.fake.set_patience(Duration::from_secs(60));
    let timeline = gpu.timeline(0);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let info = vk::SemaphoreWaitInfo::default()
                .semaphores(std::slice::from_ref(&timeline))
                .values(&[1]);
            unsafe { gpu.device.wait_semaphores(&info, u64::MAX) }
        });
        gpu.submit_with(0, &[], &[], &[(timeline, 1)], vk::Fence::null());
        waiter.join().unwrap().unwrap();
    });
    gpu.kept();
}

#[test]
fn two_threads_on_one_queue_are_found() {
    let gpu = Gpu::new();
    let queue = gpu.fake.queue(0);
    let timeline = gpu.timeline(0);
    // A wait for work that nobody lets end holds the queue; a submission beside it is the fault.
    gpu.fake.set_patience(Duration::from_secs(60));
    gpu.submit_with(0, &[], &[(timeline, 1)], &[], vk::Fence::null());
    gpu.kept();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| unsafe { gpu.device.queue_wait_idle(queue) });
        while gpu.fake.calls(Call::QueueWaitIdle) == 0 {
            thread::yield_now();
        }
        gpu.submit(0, &[]);
        let signal = vk::SemaphoreSignalInfo::default().semaphore(timeline).value(1);
        unsafe { gpu.device.signal_semaphore(&signal) }.unwrap();
        waiter.join().unwrap().unwrap();
    });
    gpu.broke(&[Violation::Threads { call: Call::QueueSubmit, object: object(queue) }]);
}
