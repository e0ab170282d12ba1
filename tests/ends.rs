//! Ends: handles that outlive the allocator, a device that is destroyed, leaks and their report.

mod support;

use std::{sync::Arc, time::Duration};

use fencepost::{
    AllocateError, AllocationDesc, Allocator, BeginError, CopyError, CreateError, EndPolicy,
    ImageDesc, ImageViewDesc, TimelineError,
    fake::{Call, FakeDriver, Profile, Use},
    vk,
};
use support::*;

#[test]
fn handles_dropped_after_the_last_allocator_free_their_blocks() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let (a, b) = (buffer(&allocator, 1000), buffer(&allocator, 70 << 20));
    let report = allocator.close().unwrap();
    assert_eq!(report.leaks.len(), 2);
    assert_eq!(report.leaks[0].size, 70 << 20, "the largest comes first");
    assert_eq!(report.leaks[0].name, Some("buffer"));
    assert_eq!(fake.live().memories, 2);
    drop(b);
    assert_eq!(fake.live().memories, 1);
    drop(frames);
    drop(a);
    fake.finish().unwrap();
}

#[test]
fn the_last_of_several_clones_closes() {
    let fake = fake();
    let allocator = allocator(&fake);
    let clone = allocator.clone();
    assert!(clone.close().is_none());
    let held = buffer(&allocator, 64);
    drop(held);
    assert!(allocator.close().is_some());
    // The drop before any timeline is kept for ever: nothing tells when the GPU is done with it.
    assert!(fake.finish().is_err());
}

#[test]
fn close_waits_for_the_gpu_and_then_leaves_nothing() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let mesh = buffer(&allocator, 1000);
    let frame = frames.begin().unwrap();
    let commands = [fake.record(&[Use::buffer(mesh.handle())])];
    drop(mesh);
    submit(frame, &commands).unwrap();
    drop(frames);
    let report = allocator.close().unwrap();
    assert_eq!((report.leaks.len(), report.still_pending), (0, 0));
    fake.finish().unwrap();
}

/// The close and the last drop meet in any order, with work out: somebody finishes it.
#[test]
fn a_drop_beside_the_close_leaves_no_block_behind() {
    for round in 0..500 {
        let fake = fake();
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let last = buffer(&allocator, 1000);
        submit_nothing(frames.begin().unwrap()).unwrap();
        drop(frames);
        let meet = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                meet.wait();
                drop(last);
            });
            meet.wait();
            if round % 2 == 0 {
                std::thread::yield_now();
            }
            drop(allocator);
        });
        assert_eq!(fake.live().memories, 0, "round {round}");
        fake.finish().unwrap();
    }
}

#[test]
fn what_the_gpu_never_passes_is_kept_and_reported_never_freed_in_flight() {
    let fake = fake();
    {
        // SAFETY: the fake is kept alive.
        let allocator = unsafe {
            Allocator::new(&desc(&fake).end_policy(EndPolicy::Wait(Duration::from_millis(1))))
        }
        .unwrap();
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let mesh = buffer(&allocator, 1000);
        let frame = frames.begin().unwrap();
        let commands = [fake.record(&[Use::buffer(mesh.handle())])];
        drop(mesh);
        fake.set_stalled(fake.queue(0), true);
        submit(frame, &commands).unwrap();
        drop(frames);
        let report = allocator.close().unwrap();
        assert!(report.still_pending >= 1000);
    }
    assert_eq!(fake.live().buffers, 1);
    // Leaked on purpose, but nothing was destroyed under the GPU's hands.
    let violations = fake.violations();
    assert!(violations.is_empty(), "{violations:?}");
}

#[test]
fn after_shutdown_handles_are_inert_and_the_device_may_go() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let ring = allocator.fence_timeline(fake.queue(1), 2).unwrap();
    let mut upload = allocator.create_buffer(&buffer_desc(100), &AllocationDesc::upload()).unwrap();
    let usage = vk::ImageUsageFlags::SAMPLED;
    let image_desc = ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 64, 64, usage);
    let image = allocator.create_image(&image_desc, &AllocationDesc::device_local()).unwrap();
    let view_desc = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
    let view = allocator.create_image_view(&image, &view_desc).unwrap();
    let raw = {
        let requirements = vk::MemoryRequirements { size: 64, alignment: 64, memory_type_bits: !0 };
        let memory = allocator.allocate(
            &requirements,
            fencepost::ResourceKind::Linear,
            &AllocationDesc::device_local(),
        );
        memory.unwrap().into_raw()
    };
    let recording = frames.begin().unwrap();
    // SAFETY: one thread, and nothing is submitted afterwards.
    unsafe { allocator.shutdown() }.unwrap();
    // Every Vulkan object is gone: the device could be destroyed here.
    fake.finish().unwrap();
    let calls = fake.total_calls();
    assert_eq!(upload.write(0, &[1u8]), Err(CopyError::ShutDown));
    let error = allocator.create_buffer(&buffer_desc(1), &AllocationDesc::upload()).unwrap_err();
    assert_eq!(error, CreateError::Allocate(AllocateError::ShutDown));
    assert!(matches!(frames.begin(), Err(BeginError::ShutDown)));
    assert_eq!(allocator.timeline(fake.queue(2)).unwrap_err(), TimelineError::ShutDown);
    allocator.collect();
    allocator.trim();
    drop((upload, view, image, recording, frames, ring));
    // SAFETY: turned back once.
    drop(unsafe { allocator.from_raw(raw) }.unwrap());
    allocator.check().unwrap();
    assert_eq!(allocator.statistics().total.live_count, 0);
    // SAFETY: as above.
    unsafe { allocator.shutdown() }.unwrap();
    drop(allocator);
    assert_eq!(fake.total_calls(), calls, "no call after the device may be gone");
    fake.finish().unwrap();
}

/// However long: no clock goes so far.
#[test]
fn an_end_may_wait_for_ever() {
    for patience in [Duration::MAX, Duration::from_secs(u64::MAX)] {
        let fake = fake();
        {
            let allocator = made(&desc(&fake).end_policy(EndPolicy::Wait(patience)));
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            let frame = frames.begin().unwrap();
            drop(buffer(&allocator, 1000));
            submit_nothing(frame).unwrap();
            fake.set_automatic(true);
            drop(frames);
            assert_eq!(allocator.close().unwrap().still_pending, 0);
        }
        fake.finish().unwrap();
    }
}

#[test]
fn a_lost_device_counts_as_reached_and_hands_nothing_out() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let (mesh, kept) = (buffer(&allocator, 1000), buffer(&allocator, 1000));
        let frame = frames.begin().unwrap();
        let commands = [fake.record(&[Use::buffer(mesh.handle())])];
        let point = submit(frame, &commands).unwrap();
        drop(mesh);
        fake.lose_device();
        assert_eq!(allocator.collect().allocations, 1);
        assert!(frames.is_reached(point).unwrap());
        assert!(matches!(frames.begin(), Err(BeginError::DeviceLost)));
        let error =
            allocator.create_buffer(&buffer_desc(1), &AllocationDesc::default()).unwrap_err();
        assert_eq!(error, CreateError::Allocate(AllocateError::DeviceLost));
        drop(kept);
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
}

/// However the loss is noticed: by a collect that reads counters, or by a submission.
#[test]
fn a_timeline_that_went_with_work_out_ends_when_the_device_is_lost() {
    for by_collect in [true, false] {
        let fake = fake();
        let allocator = allocator(&fake);
        let (gone, frames) = (
            allocator.timeline(fake.queue(0)).unwrap(),
            allocator.timeline(fake.queue(1)).unwrap(),
        );
        submit_nothing(gone.begin().unwrap()).unwrap();
        drop(gone);
        let frame = frames.begin().unwrap();
        fake.lose_device();
        if !by_collect {
            assert!(submit_nothing(frame).is_err());
        }
        allocator.check().unwrap();
        allocator.collect();
        allocator.check().expect("what is idle and nobody's is forgotten");
        assert_eq!(fake.live().semaphores, 1, "by_collect: {by_collect}");
    }
}

#[test]
fn a_jumped_counter_releases_nothing() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let mesh = buffer(&allocator, 1000);
    let frame = frames.begin().unwrap();
    let commands = [fake.record(&[Use::buffer(mesh.handle())])];
    drop(mesh);
    fake.set_stalled(fake.queue(0), true);
    submit(frame, &commands).unwrap();
    for jump in [2, u64::MAX] {
        fake.set_counter(frames.semaphore().unwrap(), jump);
        assert_eq!(allocator.collect().allocations, 0);
    }
    assert_eq!(allocator.statistics().total.pending_count, 1);
    assert_eq!(fake.live().buffers, 1);
    std::mem::forget(allocator);
}

#[test]
fn the_device_owner_goes_last() {
    struct Owner(FakeDriver, Arc<std::sync::atomic::AtomicBool>);
    impl Drop for Owner {
        fn drop(&mut self) {
            assert_eq!(self.0.live().memories, 0, "memory outlived the device");
            self.1.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let fake = fake();
    let gone = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let owner = Arc::new(Owner(fake.clone(), Arc::clone(&gone)));
    // SAFETY: the owner keeps the fake.
    let allocator = unsafe { Allocator::new(&desc(&fake).keep_alive(owner)) }.unwrap();
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let mesh = buffer(&allocator, 1000);
    drop(allocator);
    drop(frames);
    assert!(!gone.load(std::sync::atomic::Ordering::SeqCst));
    drop(mesh);
    assert!(gone.load(std::sync::atomic::Ordering::SeqCst));
}

#[test]
fn a_recording_that_is_merely_dropped_holds_everything_back() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    drop(frames.begin().unwrap());
    drop(buffer(&allocator, 64));
    allocator.collect();
    let statistics = allocator.statistics();
    assert_eq!((statistics.total.pending_count, statistics.open_recordings), (1, 1));
    // SAFETY: nothing was recorded, and nothing is submitted.
    unsafe { allocator.shutdown() }.unwrap();
    fake.finish().unwrap();
}

#[test]
fn every_recorded_gpu_serves_every_intent_from_a_few_megabytes() {
    let mut seen = 0;
    for profile in Profile::all() {
        let fake = FakeDriver::new(&profile);
        // SAFETY: the fake is kept alive.
        let allocator = unsafe { Allocator::new(&desc(&fake)) }.unwrap();
        for intent in [
            AllocationDesc::device_local(),
            AllocationDesc::upload(),
            AllocationDesc::readback(),
            AllocationDesc::transient(),
        ] {
            let made = allocator.create_buffer(&buffer_desc(1000), &intent).unwrap();
            // SAFETY: never used.
            unsafe { made.free_now() };
        }
        let statistics = allocator.statistics();
        assert!(statistics.total.reserved <= 4 << 20, "{statistics:?}");
        assert!(fake.calls(Call::AllocateMemory) <= 4);
        drop(allocator);
        fake.finish().unwrap();
        seen += 1;
    }
    assert_eq!(seen, 158);
}
