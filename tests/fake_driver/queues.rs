//! Submissions: what they keep in use, their order, overlap between them, and the end.

use ash::vk;
use fencepost::fake::{Call, Use, Violation};

use crate::support::{Gpu, object, range, submission};

#[test]
fn what_a_submission_touches_is_in_use_until_it_completes() {
    let gpu = Gpu::new();
    let memory = gpu.memory(4096);
    let (buffer, other) = (gpu.buffer_at(256, memory, 0), gpu.buffer_at(256, memory, 256));
    gpu.submit(0, &[Use::buffer(buffer), Use::buffer(other)]);
    gpu.submit(0, &[Use::buffer(buffer)]);
    assert_eq!(gpu.fake.pending(gpu.fake.queue(0)), 2);
    assert!(gpu.fake.step(gpu.fake.queue(0)));
    unsafe { gpu.device.destroy_buffer(other, None) }; // its last use is over
    gpu.kept();
    unsafe { gpu.device.destroy_buffer(buffer, None) };
    let in_use = Violation::InUse {
        call: Call::DestroyBuffer,
        object: object(buffer),
        submission: submission(0, 2),
    };
    gpu.broke(&[in_use]);
    assert_eq!(gpu.fake.run(), 1);
    unsafe { gpu.device.free_memory(memory, None) };
    gpu.broke(&[in_use]);
}

#[test]
fn memory_in_use_is_not_freed() {
    let gpu = Gpu::new();
    let memory = gpu.memory(4096);
    gpu.submit(2, &[Use::memory(memory, 0, 1)]);
    unsafe { gpu.device.free_memory(memory, None) };
    gpu.broke(&[Violation::InUse {
        call: Call::FreeMemory,
        object: object(memory),
        submission: submission(2, 1),
    }]);
    gpu.fake.run();
}

#[test]
fn what_is_gone_cannot_be_submitted() {
    let gpu = Gpu::new();
    let memory = gpu.memory(4096);
    let buffer = gpu.buffer_at(256, memory, 0);
    unsafe { gpu.device.free_memory(memory, None) };
    gpu.kept(); // Vulkan allows it while nothing uses the buffer.
    gpu.submit(0, &[Use::buffer(buffer)]);
    unsafe { gpu.device.destroy_buffer(buffer, None) };
    gpu.submit(0, &[Use::buffer(buffer), Use::memory(memory, 0, 1)]);
    let dead = |number, gone, via| {
        let submission = submission(0, number);
        Violation::SubmitDead { submission, object: gone, via }
    };
    gpu.broke(&[
        dead(1, object(memory), object(buffer)),
        dead(2, object(buffer), object(buffer)),
        dead(2, object(memory), object(memory)),
    ]);
}

#[test]
fn a_range_lies_inside_its_memory() {
    let gpu = Gpu::new();
    let memory = gpu.memory(4096);
    gpu.submit(0, &[Use::memory(memory, 4000, 96)]);
    gpu.kept();
    gpu.submit(0, &[Use::memory(memory, 4000, 97)]);
    gpu.submit(0, &[Use::memory(memory, u64::MAX, 2)]);
    let outside = |number, offset, size| Violation::SubmitOutOfRange {
        submission: submission(0, number),
        range: range(memory, offset, size),
    };
    gpu.broke(&[outside(2, 4000, 97), outside(3, u64::MAX, 2)]);
}

#[test]
fn a_range_is_not_used_by_two_owners_at_once() {
    let gpu = Gpu::new();
    let memory = gpu.memory(4096);
    let mine = Use::memory(memory, 0, 256);
    gpu.submit(0, &[mine]);
    gpu.submit(0, &[mine]); // the same owner, frame after frame
    gpu.submit(1, &[mine, Use::memory(memory, 256, 256)]);
    gpu.kept();
    gpu.submit(1, &[Use::memory(memory, 128, 256)]);
    let overlap = |submitted, offset, size, earlier| Violation::SubmitOverlap {
        submission: submitted,
        range: range(memory, offset, size),
        other: object(memory),
        earlier,
    };
    let first = overlap(submission(1, 4), 128, 256, submission(0, 1));
    gpu.broke(&[first]);
    gpu.fake.run();
    // Names tell owners of one range apart, whatever it is.
    gpu.submit(0, &[mine.owner(1)]);
    gpu.submit(0, &[mine.owner(1), Use::memory(memory, 512, 64).owner(2)]);
    gpu.broke(&[first]);
    gpu.submit(0, &[mine.owner(2)]);
    gpu.broke(&[first, overlap(submission(0, 7), 0, 256, submission(0, 5))]);
    gpu.fake.run();
    gpu.submit(0, &[mine.owner(3)]);
    assert_eq!(gpu.fake.violations().len(), 2);
}

#[test]
fn an_ordered_use_may_overlap() {
    let gpu = Gpu::new();
    let memory = gpu.memory(4096);
    gpu.submit(0, &[Use::memory(memory, 0, 256).owner(1)]);
    gpu.submit(1, &[Use::memory(memory, 0, 256).owner(2).ordered()]);
    gpu.kept();
}

#[test]
fn with_aliasing_only_other_queues_are_in_the_way() {
    let gpu = Gpu::new();
    gpu.fake.set_aliasing(true);
    let memory = gpu.memory(4096);
    let (first, second) = (gpu.buffer_at(512, memory, 0), gpu.buffer_at(512, memory, 256));
    gpu.submit(0, &[Use::buffer(first)]);
    gpu.submit(0, &[Use::buffer(second)]);
    gpu.kept();
    gpu.submit(1, &[Use::buffer(second).ordered()]);
    gpu.kept();
    gpu.submit(1, &[Use::buffer(second)]);
    gpu.broke(&[Violation::SubmitOverlap {
        submission: submission(1, 4),
        range: range(memory, 256, 512),
        other: object(first),
        earlier: submission(0, 1),
    }]);
}

#[test]
fn queues_move_on_their_own_and_each_in_order() {
    let gpu = Gpu::new();
    let timeline = gpu.timeline(0);
    gpu.submit_with(0, &[], &[(timeline, 1)], &[], vk::Fence::null());
    gpu.submit(0, &[]);
    gpu.submit_with(3, &[], &[], &[(timeline, 1)], vk::Fence::null());
    let queue = |index| gpu.fake.queue(index);
    assert!(!gpu.fake.step(queue(0)), "its wait is not met, and the next one stays behind it");
    assert!(!gpu.fake.step(queue(1)), "empty");
    assert!(gpu.fake.step(queue(3)));
    assert_eq!((gpu.fake.pending(queue(0)), gpu.fake.pending(queue(3))), (2, 0));
    assert_eq!(gpu.fake.run(), 2);
    assert!(!gpu.fake.step(vk::Queue::null()));
    gpu.kept();
}

#[test]
fn a_stalled_queue_moves_by_step_only() {
    let gpu = Gpu::new();
    let queue = gpu.fake.queue(0);
    gpu.fake.set_stalled(queue, true);
    gpu.submit(0, &[]);
    gpu.submit(0, &[]);
    assert_eq!(gpu.fake.run(), 0);
    assert!(gpu.fake.step(queue));
    gpu.fake.set_stalled(queue, false);
    assert_eq!(gpu.fake.run(), 1);
    gpu.kept();
}

#[test]
fn an_automatic_gpu_completes_each_submission_at_once() {
    let gpu = Gpu::new();
    gpu.fake.set_automatic(true);
    let (timeline, fence) = (gpu.timeline(0), gpu.fence());
    gpu.submit_with(0, &[], &[(timeline, 5)], &[(timeline, 6)], fence);
    assert_eq!(gpu.fake.pending(gpu.fake.queue(0)), 1);
    let signal = vk::SemaphoreSignalInfo::default().semaphore(timeline).value(5);
    unsafe { gpu.device.signal_semaphore(&signal) }.unwrap();
    assert_eq!(gpu.counter(timeline), 6);
    assert_eq!(unsafe { gpu.device.get_fence_status(fence) }, Ok(true));
    gpu.kept();
}

#[test]
fn a_signal_that_does_not_cover_all_commands_comes_early() {
    let gpu = Gpu::new();
    let memory = gpu.memory(64);
    let (weak, strong) = (gpu.timeline(0), gpu.timeline(0));
    let commands = [gpu.fake.record(&[Use::memory(memory, 0, 64)])];
    let commands = commands.map(|c| vk::CommandBufferSubmitInfo::default().command_buffer(c));
    let signal = |semaphore, stage| {
        vk::SemaphoreSubmitInfo::default().semaphore(semaphore).value(1).stage_mask(stage)
    };
    let signals = [
        signal(weak, vk::PipelineStageFlags2::COMPUTE_SHADER),
        signal(strong, vk::PipelineStageFlags2::ALL_COMMANDS),
    ];
    let info =
        vk::SubmitInfo2::default().command_buffer_infos(&commands).signal_semaphore_infos(&signals);
    let queue = gpu.fake.queue(0);
    unsafe { gpu.device.queue_submit2(queue, &[info], vk::Fence::null()) }.unwrap();
    assert!(gpu.fake.step(queue));
    assert_eq!((gpu.counter(weak), gpu.counter(strong)), (1, 0));
    unsafe { gpu.device.free_memory(memory, None) };
    assert_eq!(gpu.fake.violations().len(), 1, "the early signal proves nothing");
    assert!(gpu.fake.step(queue));
    assert_eq!((gpu.counter(strong), gpu.fake.pending(queue)), (1, 0));
}

#[test]
fn the_end_finds_leaks_and_pending_work() {
    let gpu = Gpu::new();
    gpu.fake.finish().unwrap();
    let memory = gpu.memory(4096);
    let buffer = gpu.buffer_at(256, memory, 0);
    gpu.submit(1, &[Use::buffer(buffer)]);
    gpu.submit(1, &[]);
    let end = gpu.fake.finish().unwrap_err();
    assert_eq!(
        end.list(),
        [
            Violation::StillPending { queue: 1, count: 2 },
            Violation::Leak { object: object(buffer), size: 256 },
            Violation::Leak { object: object(memory), size: 4096 },
        ]
    );
    assert_eq!(end.count(), 3);
    let text = end.to_string();
    assert!(text.starts_with("3 violations\n"), "{text}");
    assert_eq!(format!("{end:?}"), text, "what unwrap shows");
    assert!(text.contains(&format!("leaked {} (256 bytes)", object(buffer))), "{text}");
    gpu.fake.run();
    unsafe {
        gpu.device.destroy_buffer(buffer, None);
        gpu.device.free_memory(memory, None);
    }
    gpu.fake.finish().unwrap();
}

#[test]
fn destroying_the_device_is_an_end_too() {
    let gpu = Gpu::new();
    let fence = gpu.fence();
    unsafe { gpu.device.destroy_device(None) };
    let leak = Violation::Leak { object: object(fence), size: 0 };
    gpu.broke(&[leak]);
    unsafe { gpu.device.destroy_fence(fence, None) };
    let late = Violation::AfterDestroy { call: Call::DestroyFence };
    assert_eq!(gpu.fake.finish().unwrap_err().list(), [leak, late]);
    unsafe { gpu.fake.instance().destroy_instance(None) };
    assert_eq!(gpu.fake.finish().unwrap_err().count(), 2);
}

#[test]
fn of_very_many_violations_the_first_are_kept() {
    let gpu = Gpu::new();
    for _ in 0..1010 {
        unsafe { gpu.device.unmap_memory(vk::DeviceMemory::null()) };
    }
    let end = gpu.fake.finish().unwrap_err();
    assert_eq!((end.list().len(), end.count()), (1000, 1010));
    assert!(end.to_string().ends_with("and 10 more"));
}
