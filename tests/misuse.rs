//! Misuse of timelines, recordings, points and sets: each case is a typed error that loses nothing.

mod support;

use std::time::Duration;

use fencepost::{
    AllocationDesc, CreateError, DescError, DescriptorCounts, DescriptorError, ImageDesc,
    ImageViewDesc, ReportError, SubmitError, SubmitRefusal, TimelineError, WaitError,
    fake::{Call, Use},
    vk,
};
use support::*;

#[test]
fn a_queue_has_one_timeline_at_a_time() {
    let fake = fake();
    let allocator = allocator(&fake);
    let first = allocator.timeline(fake.queue(0)).unwrap();
    let live = fake.live();
    assert_eq!(allocator.timeline(fake.queue(0)).unwrap_err(), TimelineError::QueueTaken);
    assert_eq!(allocator.fence_timeline(fake.queue(0), 2).unwrap_err(), TimelineError::QueueTaken);
    assert_eq!(allocator.fence_timeline(fake.queue(1), 0).unwrap_err(), TimelineError::NoFences);
    assert_eq!(fake.live(), live);
    drop(first);
    allocator.timeline(fake.queue(0)).unwrap();
}

#[test]
fn a_failed_closure_gives_the_recording_back_and_its_value_is_not_used_again() {
    let fake = fake();
    let allocator = allocator(&fake);
    for timeline in [
        allocator.timeline(fake.queue(0)).unwrap(),
        allocator.fence_timeline(fake.queue(1), 1).unwrap(),
    ] {
        let recording = timeline.begin().unwrap();
        let SubmitError::Failed { recording, error } =
            recording.submit(|_| Err("not today")).unwrap_err()
        else {
            panic!("it was not submitted");
        };
        assert_eq!(error, "not today");
        assert_eq!(allocator.statistics().open_recordings, 1);
        let point = submit_nothing(recording).unwrap();
        assert_eq!(point.value(), 2);
        fake.run();
        assert!(timeline.is_reached(point).unwrap());
    }
}

#[test]
fn an_error_after_the_submission_tells_the_point() {
    let fake = fake();
    let allocator = allocator(&fake);
    let timeline = allocator.timeline(fake.queue(0)).unwrap();
    let recording = timeline.begin().unwrap();
    let result = recording.submit(|signal| {
        // SAFETY: an empty submission.
        let _submitted = unsafe { signal.queue_submit(&[]) }.unwrap();
        Err("the present failed")
    });
    let SubmitError::AfterSubmission { point, .. } = result.unwrap_err() else { panic!() };
    assert_eq!(allocator.statistics().open_recordings, 0);
    fake.run();
    timeline.wait(point, Duration::ZERO).unwrap();
}

#[test]
fn a_panic_in_the_closure_leaves_the_recording_open_and_the_timeline_usable() {
    let fake = fake();
    let allocator = allocator(&fake);
    let timeline = allocator.timeline(fake.queue(0)).unwrap();
    let recording = timeline.begin().unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = recording.submit::<()>(|_| panic!("planted"));
    }));
    assert!(caught.is_err());
    assert_eq!(allocator.statistics().open_recordings, 1);
    drop(buffer(&allocator, 64));
    let next = timeline.begin().unwrap();
    submit_nothing(next).unwrap();
    fake.run();
    allocator.collect();
    assert_eq!(
        allocator.statistics().total.pending_count,
        1,
        "whether it was submitted is unknown"
    );
    allocator.check().unwrap();
}

#[test]
fn submitting_within_a_submit_is_refused_not_a_deadlock() {
    let fake = fake();
    let allocator = allocator(&fake);
    let timeline = allocator.timeline(fake.queue(0)).unwrap();
    let (outer, inner) = (timeline.begin().unwrap(), timeline.begin().unwrap());
    let point = outer.submit(|signal| {
        let nested = submit_nothing(inner).unwrap_err();
        let SubmitError::Refused { recording, reason } = nested else { panic!() };
        assert_eq!(reason, SubmitRefusal::Nested);
        // SAFETY: it was never recorded.
        unsafe { recording.abandon() };
        // SAFETY: an empty submission.
        unsafe { signal.queue_submit(&[]) }
    });
    assert_eq!(point.unwrap().value(), 1);
    fake.run();
}

#[test]
fn own_and_external_timelines_do_not_take_each_others_calls() {
    let fake = fake();
    let allocator = allocator(&fake);
    let own = allocator.timeline(fake.queue(0)).unwrap();
    let recording = own.begin().unwrap();
    let refused = recording.submitted(5).unwrap_err();
    assert_eq!(refused.error, ReportError::NotExternal);
    // SAFETY: nothing was recorded.
    unsafe { refused.recording.abandon() };
    let semaphore = own.semaphore().unwrap();
    // SAFETY: nothing is ever submitted on it.
    let external = unsafe { allocator.external_timeline(fake.queue(1), semaphore, 0) }.unwrap();
    let recording = external.begin().unwrap();
    let refused = submit_nothing(recording).unwrap_err();
    let SubmitError::Refused { recording, reason } = refused else { panic!() };
    assert_eq!(reason, SubmitRefusal::External);
    // SAFETY: nothing was recorded.
    unsafe { recording.abandon() };
    assert_eq!(fake.calls(Call::QueueSubmit), 0);
}

#[test]
fn points_of_another_allocator_are_refused_and_the_handle_comes_back() {
    let (fake, other) = (fake(), fake());
    let (allocator, stranger) = (allocator(&fake), allocator(&other));
    let foreign = {
        let timeline = stranger.timeline(other.queue(0)).unwrap();
        let recording = timeline.begin().unwrap();
        submit_nothing(recording).unwrap()
    };
    other.run();
    let timeline = allocator.timeline(fake.queue(0)).unwrap();
    let own = timeline.begin().unwrap();
    let own = submit_nothing(own).unwrap();
    let kept = buffer(&allocator, 64);
    let handle = kept.handle();
    // SAFETY: it was never recorded.
    let refused = unsafe { kept.retire_at(&[own, foreign]) }.unwrap_err();
    assert_eq!((refused.point, refused.handle.handle()), (foreign, handle));
    assert_eq!(timeline.is_reached(foreign), Err(WaitError::Foreign));
    assert_eq!(timeline.wait(foreign, Duration::ZERO), Err(WaitError::Foreign));
    // SAFETY: as above.
    unsafe { refused.handle.retire_at(&[own]) }.unwrap();
    assert_eq!(allocator.statistics().total.pending_count, 1);
    fake.run();
    assert_eq!(allocator.collect().allocations, 1);
}

#[test]
fn explicit_points_release_exactly_when_all_are_reached_in_any_order() {
    for first in [0, 1] {
        let fake = fake();
        let allocator = allocator(&fake);
        let timelines = [
            allocator.timeline(fake.queue(0)).unwrap(),
            allocator.timeline(fake.queue(1)).unwrap(),
        ];
        let points = [0, 1].map(|t: usize| {
            let recording = timelines[t].begin().unwrap();
            submit_nothing(recording).unwrap()
        });
        // A recording that stays open holds an explicit end back not at all.
        let open = timelines[0].begin().unwrap();
        // SAFETY: it was never recorded.
        unsafe { buffer(&allocator, 64).retire_at(&points) }.unwrap();
        while fake.step(fake.queue(first)) {}
        assert_eq!(allocator.collect().allocations, 0);
        fake.run();
        assert_eq!(allocator.collect().allocations, 1);
        // SAFETY: nothing was recorded.
        unsafe { open.abandon() };
        // SAFETY: all points are reached: the buffer goes at once.
        unsafe { buffer(&allocator, 64).retire_at(&points) }.unwrap();
        assert_eq!(allocator.statistics().total.pending_count, 0);
    }
}

#[test]
fn a_view_of_another_allocators_image_is_refused() {
    let (fake, other) = (fake(), fake());
    let (allocator, stranger) = (allocator(&fake), allocator(&other));
    let usage = vk::ImageUsageFlags::SAMPLED;
    let desc = ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 4, 4, usage);
    let image = stranger.create_image(&desc, &AllocationDesc::device_local()).unwrap();
    let view = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
    let refused = allocator.create_image_view(&image, &view).unwrap_err();
    assert_eq!(refused, CreateError::Desc(DescError::View));
}

#[test]
fn parts_live_and_end_on_their_own() {
    let fake = fake();
    let allocator = allocator(&fake);
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    let (handle, memory) = buffer(&allocator, 64).into_parts();
    drop(memory);
    assert_eq!((fake.calls(Call::DestroyBuffer), fake.live().buffers), (0, 1));
    // SAFETY: the handle is ours now, and unused.
    unsafe { fake.device().destroy_buffer(handle, None) };
    drop((_frames, allocator));
    fake.finish().unwrap();
}

const TEN: DescriptorCounts = {
    let mut counts = DescriptorCounts::EMPTY;
    counts.uniform_buffer = 10;
    counts
};

#[test]
fn descriptor_sets_wait_for_the_gpu_like_memory() {
    let fake = fake();
    let layout = set_layout(&fake, 10);
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        for _ in 0..300 {
            let frame = frames.begin().unwrap();
            // SAFETY: layout and counts match.
            let set = unsafe { allocator.create_descriptor_set(layout, &TEN) }.unwrap();
            let commands = [fake.record(&[Use::descriptor_set(set.handle())])];
            drop(set);
            submit(frame, &commands).unwrap();
            allocator.collect();
            assert_eq!(allocator.statistics().pending_objects, 1);
            fake.run();
            assert_eq!(allocator.collect().objects, 1);
        }
        assert!(fake.live().descriptor_pools <= 2);
    }
    // SAFETY: unused.
    unsafe { fake.device().destroy_descriptor_set_layout(layout, None) };
    fake.finish().unwrap();
}

/// Freed in one mixed call, gpu-descriptor 0.3.2 would charge sets to the wrong bucket: debug builds
/// panic, release builds report fragmentation without a set alive.
#[test]
fn ordinary_and_update_after_bind_sets_are_counted_apart() {
    let fake = fake();
    let layout = set_layout(&fake, 10);
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let after_bind = DescriptorCounts { update_after_bind: true, ..TEN };
        for round in 0..2_000 {
            let recording = frames.begin().unwrap();
            for counts in if round % 2 == 0 { [TEN, after_bind] } else { [after_bind, TEN] } {
                // SAFETY: layout and counts match.
                drop(unsafe { allocator.create_descriptor_set(layout, &counts) }.unwrap());
            }
            // SAFETY: nothing was recorded.
            unsafe { recording.abandon() };
            assert_eq!(allocator.collect().objects, 2);
        }
    }
    // SAFETY: unused.
    unsafe { fake.device().destroy_descriptor_set_layout(layout, None) };
    fake.finish().unwrap();
}

#[test]
fn descriptor_errors_are_typed_and_nothing_panics() {
    let fake = fake();
    let layout = set_layout(&fake, 10);
    {
        let allocator = allocator(&fake);
        // SAFETY: layout and counts match, or the counts are refused.
        let ask = |counts: &DescriptorCounts| unsafe {
            allocator.create_descriptor_set(layout, counts).map(drop)
        };
        let many = DescriptorCounts { uniform_buffer: u32::MAX, ..TEN };
        assert_eq!(ask(&DescriptorCounts::EMPTY), Err(DescriptorError::Counts));
        assert_eq!(ask(&many), Err(DescriptorError::Counts));
        use vk::Result as R;
        for (error, expected) in [
            (R::ERROR_OUT_OF_HOST_MEMORY, DescriptorError::OutOfHostMemory),
            (R::ERROR_OUT_OF_DEVICE_MEMORY, DescriptorError::OutOfDeviceMemory),
            (R::ERROR_FRAGMENTED_POOL, DescriptorError::Fragmented),
            (R::ERROR_OUT_OF_POOL_MEMORY, DescriptorError::OutOfPoolMemory),
            (R::ERROR_DEVICE_LOST, DescriptorError::DeviceLost),
            (R::ERROR_UNKNOWN, DescriptorError::Driver(R::ERROR_UNKNOWN)),
        ] {
            for call in [Call::CreateDescriptorPool, Call::AllocateDescriptorSets] {
                fake.fail(call, 0, error);
                assert_eq!(ask(&TEN), Err(expected), "{call:?} {error:?}");
                assert_eq!(fake.live().descriptor_pools, 0, "{call:?} {error:?}");
            }
        }
        ask(&TEN).unwrap();
        // SAFETY: nothing was submitted.
        unsafe { allocator.assume_idle() };
    }
    // SAFETY: unused.
    unsafe { fake.device().destroy_descriptor_set_layout(layout, None) };
    fake.finish().unwrap();
}
