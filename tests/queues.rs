//! The cases of several queues and unusual orders for which the drop rule exists, one by one.
//! Random combinations are in `tests/simulation.rs`, and every order of a small model in
//! `tests/order_matrix.rs`.
//!
//! Each case also runs with an end that does not wait, which the fake driver must detect.

mod support;

use std::time::Duration;

use fencepost::{
    AllocationDesc, Allocator, BeginError, Buffer, Image, ImageDesc, ImageViewDesc, Point,
    SubmitError, WaitError,
    fake::{Call, FakeDriver, Use},
    vk,
};
use support::*;

/// How a buffer ends: by its drop, or in the control at once.
type End = fn(Buffer);

fn early(buffer: Buffer) {
    // SAFETY: not so, on purpose: the fake driver must notice.
    unsafe { buffer.free_now() };
}

/// A case over a fake of its own, with a drop, which must be clean, and with the control, which must
/// be caught. The case asserts what is collected only for the drop.
fn both(case: impl Fn(&FakeDriver, &Allocator, End, bool)) {
    for (end, is_drop) in [(drop as End, true), (early as End, false)] {
        let fake = fake();
        {
            let allocator = allocator(&fake);
            case(&fake, &allocator, end, is_drop);
            fake.run();
        }
        assert_eq!(fake.finish().is_ok(), is_drop, "a drop is clean, and only a drop");
    }
}

/// A ring that looks for a free fence sees that one has signalled; who waits for its point then must not
/// wait for the next.
#[test]
fn a_point_whose_fence_was_seen_is_not_waited_for_by_the_next() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.fence_timeline(fake.queue(0), 2).unwrap();
        let [first, second] = [(); 2].map(|()| submit_nothing(frames.begin().unwrap()).unwrap());
        assert_eq!(frames.begin().unwrap_err(), BeginError::RingFull);
        assert!(fake.step(fake.queue(0)), "the first is done");
        fake.set_stalled(fake.queue(0), true);
        let third = frames.begin().unwrap();
        let wait = |point| frames.wait(point, Duration::from_millis(1));
        wait(first).unwrap();
        assert!(wait(second).is_err(), "the control");
        fake.set_stalled(fake.queue(0), false);
        submit_nothing(third).unwrap();
        fake.run();
    }
    fake.finish().unwrap();
}

#[test]
fn a_drop_beside_three_queues_waits_for_all_three_in_any_order() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        both(|fake, allocator, end, is_drop| {
            let timelines = [
                allocator.timeline(fake.queue(0)).unwrap(),
                allocator.fence_timeline(fake.queue(1), 2).unwrap(),
                allocator.timeline(fake.queue(2)).unwrap(),
            ];
            let mesh = buffer(allocator, 1000);
            let recordings = timelines.each_ref().map(|timeline| {
                (timeline.begin().unwrap(), fake.record(&[Use::buffer(mesh.handle())]))
            });
            end(mesh);
            for (recording, commands) in recordings {
                assert_eq!(allocator.collect().allocations, 0);
                submit(recording, &[commands]).unwrap();
            }
            for (done, queue) in order.into_iter().enumerate() {
                assert_eq!(allocator.collect().allocations, 0, "{order:?}, {done} done");
                while fake.step(fake.queue(queue)) {}
            }
            assert_eq!(allocator.collect().allocations, u64::from(is_drop), "{order:?}");
        });
    }
}

#[test]
fn recordings_submitted_in_another_order_than_begun_hold_until_the_last() {
    both(|fake, allocator, end, is_drop| {
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let mesh = buffer(allocator, 1000);
        let first = frames.begin().unwrap();
        let commands = fake.record(&[Use::buffer(mesh.handle())]);
        end(mesh);
        // Begun after the drop, submitted before: its signal tells nothing of the first.
        let second = frames.begin().unwrap();
        submit_nothing(second).unwrap();
        fake.run();
        assert_eq!(allocator.collect().allocations, 0);
        submit(first, &[commands]).unwrap();
        assert_eq!(allocator.collect().allocations, 0);
        fake.run();
        assert_eq!(allocator.collect().allocations, u64::from(is_drop));
    });
}

/// A timeline given up while it records lives on until its last recording has ended and the GPU is done:
/// its queue is taken, its points are waited for, and its sync object is destroyed after them.
#[test]
fn a_timeline_dropped_while_it_records_is_waited_for() {
    for (ring, elsewhere) in [(false, false), (false, true), (true, false), (true, true)] {
        both(|fake, allocator, end, is_drop| {
            let open = || match ring {
                true => allocator.fence_timeline(fake.queue(0), 3),
                false => allocator.timeline(fake.queue(0)),
            };
            let frames = open().unwrap();
            let mesh = buffer(allocator, 1000);
            let (first, second) = (frames.begin().unwrap(), frames.begin().unwrap());
            let commands = fake.record(&[Use::buffer(mesh.handle())]);
            drop(frames);
            end(mesh);
            assert!(open().is_err(), "its recordings are for the queue");
            let other = allocator.timeline(fake.queue(1)).unwrap();
            let beside = elsewhere.then(|| other.begin().unwrap());
            submit_nothing(first).unwrap();
            fake.run();
            assert_eq!(allocator.collect().allocations, 0, "the second is open");
            submit(second, &[commands]).unwrap();
            assert_eq!(allocator.collect().allocations, 0, "the GPU is not done");
            assert!(open().is_ok(), "its recordings have ended");
            fake.run();
            // What was begun after the drop may not name the mesh.
            assert_eq!(allocator.collect().allocations, u64::from(is_drop));
            beside.map(submit_nothing);
        });
    }
}

/// The same, with an end that submits nothing, and with none.
#[test]
fn a_timeline_dropped_while_it_records_goes_with_the_last_recording() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let recording = frames.begin().unwrap();
    drop((frames, buffer(&allocator, 1000)));
    assert_eq!((allocator.collect().allocations, fake.live().semaphores), (0, 1));
    // SAFETY: nothing was recorded.
    unsafe { recording.abandon() };
    assert_eq!((allocator.collect().allocations, fake.live().semaphores), (1, 0));
    // One that is merely dropped stays open, and holds back what was dropped since it began.
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let recording = frames.begin().unwrap();
    drop((frames, recording, buffer(&allocator, 1000)));
    let counts = (allocator.statistics().open_recordings, allocator.collect().allocations);
    assert_eq!((counts, fake.live().semaphores), ((1, 0), 1));
    // SAFETY: nothing else uses the device.
    unsafe { allocator.shutdown() }.unwrap();
    fake.finish().unwrap();
}

#[test]
fn a_full_ring_refuses_and_what_waits_for_it_is_not_lost() {
    both(|fake, allocator, end, is_drop| {
        let frames = allocator.fence_timeline(fake.queue(0), 2).unwrap();
        for _ in 0..2 {
            let frame = frames.begin().unwrap();
            let mesh = buffer(allocator, 1000);
            let commands = fake.record(&[Use::buffer(mesh.handle())]);
            end(mesh);
            submit(frame, &[commands]).unwrap();
        }
        assert_eq!(frames.begin().unwrap_err(), BeginError::RingFull);
        assert_eq!(allocator.statistics().total.pending_count, 2 * u64::from(is_drop));
        fake.run();
        assert!(frames.begin().is_ok_and(|frame| submit_nothing(frame).is_ok()));
        assert_eq!(allocator.collect().allocations, 2 * u64::from(is_drop));
    });
}

/// Some drivers signal a submission's fence before its semaphore's counter shows the value.
#[test]
fn a_counter_that_lags_its_fence_is_believed_and_not_the_fence() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let semaphore = frames.semaphore().unwrap();
        let frame = frames.begin().unwrap();
        drop(buffer(&allocator, 1000));
        let point = submit_nothing(frame).unwrap();
        fake.run();
        fake.set_counter(semaphore, 0);
        assert_eq!(allocator.collect().allocations, 0);
        assert!(!frames.is_reached(point).unwrap());
        assert_eq!(frames.wait(point, Duration::from_millis(1)), Err(WaitError::Timeout));
        assert_eq!(allocator.statistics().total.pending_count, 1);
        fake.set_counter(semaphore, point.value());
        frames.wait(point, Duration::ZERO).unwrap();
        assert_eq!(allocator.collect().allocations, 1);
    }
    fake.finish().unwrap();
}

#[test]
fn a_counter_that_jumps_releases_nothing() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let semaphore = frames.semaphore().unwrap();
        let mesh = buffer(&allocator, 1000);
        let frame = frames.begin().unwrap();
        let commands = fake.record(&[Use::buffer(mesh.handle())]);
        drop(mesh);
        let point = submit(frame, &[commands]).unwrap();
        for value in [point.value() + 1, u64::MAX] {
            fake.set_counter(semaphore, value);
            assert_eq!(allocator.collect_all().allocations, 0, "{value} was never assigned");
            assert!(!frames.is_reached(point).unwrap());
        }
        // The control: the value itself is believed, whoever set it, and that is too early.
        fake.set_counter(semaphore, point.value());
        assert_eq!(allocator.collect_all().allocations, 1);
        fake.set_counter(semaphore, 0);
        fake.run();
    }
    assert!(fake.finish().is_err());
}

/// A point whose submission failed is as good as the greatest submitted one below it, as long as no
/// other comes; then it is late by one, and never early.
#[test]
fn an_abandoned_point_resolves_to_the_greatest_submitted_below_it() {
    for another_comes in [false, true] {
        let fake = fake();
        {
            let allocator = allocator(&fake);
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            let point = submit_nothing(frames.begin().unwrap()).unwrap();
            fake.fail(Call::QueueSubmit, 0, vk::Result::ERROR_OUT_OF_HOST_MEMORY);
            let Err(SubmitError::Failed { recording, .. }) =
                submit_nothing(frames.begin().unwrap())
            else {
                panic!("the driver was told to fail")
            };
            let burnt = Point::new(point.timeline(), point.value() + 1);
            // SAFETY: never used.
            unsafe { buffer(&allocator, 1000).retire_at(&[burnt]) }.unwrap();
            assert_eq!(allocator.collect().allocations, 0, "early never");
            let done = if another_comes {
                fake.step(fake.queue(0));
                let next = submit_nothing(recording).unwrap();
                assert_eq!(next.value(), point.value() + 2);
                assert_eq!(allocator.collect().allocations, 0);
                fake.run();
                next
            } else {
                fake.run();
                // SAFETY: it holds nothing.
                unsafe { recording.abandon() };
                burnt
            };
            frames.wait(done, Duration::ZERO).unwrap();
            assert_eq!(allocator.collect().allocations, 1);
        }
        fake.finish().unwrap();
    }
}

/// Points of an image's own let it overtake the bag that a view of it waits in: the view goes along.
#[test]
fn an_image_retired_at_points_takes_its_waiting_views_along_before_it() {
    for points_are_reached in [true, false] {
        let fake = fake();
        {
            let allocator = allocator(&fake);
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            let desc =
                ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 16, 16, vk::ImageUsageFlags::SAMPLED);
            let image = || allocator.create_image(&desc, &AllocationDesc::device_local()).unwrap();
            let color = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
            let view = |of: &Image| allocator.create_image_view(of, &color).unwrap();
            let (mine, other) = (image(), image());
            let frame = frames.begin().unwrap();
            let used = fake.record(&[Use::image(mine.handle())]);
            let point = submit(frame, &[used]).unwrap();
            if points_are_reached {
                fake.run();
            }
            // A recording that has nothing to do with the image holds its view back, not the image.
            let open = frames.begin().unwrap();
            drop((view(&mine), view(&mine), view(&other)));
            // SAFETY: its one use is at the point.
            unsafe { mine.retire_at(&[point]) }.unwrap();
            fake.run();
            allocator.collect();
            let live = fake.live();
            assert_eq!((live.images, live.image_views), (1, 1), "its own views, and no other's");
            // The slots of what went early are used again only once.
            let (first, second) = (view(&other), view(&other));
            submit_nothing(open).unwrap();
            fake.run();
            assert_eq!(allocator.collect().objects, 1);
            assert_eq!(fake.live().image_views, 2);
            drop((first, second));
            allocator.collect();
            assert_eq!(fake.live().image_views, 0);
        }
        fake.finish().unwrap();
    }
}

#[test]
fn any_timeline_waits_for_a_point_of_any_other() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let [draws, copies] = [0, 1].map(|n| allocator.timeline(fake.queue(n)).unwrap());
        let copied = submit_nothing(copies.begin().unwrap()).unwrap();
        assert_eq!(draws.wait(copied, Duration::ZERO), Err(WaitError::Timeout));
        fake.run();
        draws.wait(copied, Duration::ZERO).unwrap();
        let copied = submit_nothing(copies.begin().unwrap()).unwrap();
        drop(copies);
        assert_eq!(draws.wait(copied, Duration::ZERO), Err(WaitError::Timeout), "it has work");
        fake.run();
        allocator.collect();
        draws.wait(copied, Duration::ZERO).unwrap();
    }
    fake.finish().unwrap();
}
