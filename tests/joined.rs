//! Recordings that are submitted together: what was dropped under any of them waits for the common
//! submission. The fake driver detects what does not.

mod support;

use fencepost::{
    Allocator, BeginError, Recording, Timeline,
    fake::{FakeDriver, Use},
    vk,
};
use support::*;

/// A mesh that the older recording draws is dropped before the newer one begins; `combine` makes one
/// of the two; their commands are submitted at once.
fn case(
    fake: &FakeDriver,
    timeline: &Timeline,
    allocator: &Allocator,
    combine: fn(&mut Recording, Recording),
) {
    let mesh = buffer(allocator, 1000);
    let older = timeline.begin().unwrap();
    let first = fake.record(&[Use::buffer(mesh.handle())]);
    drop(mesh);
    let mut newer = timeline.begin().unwrap();
    let second = fake.record(&[]);
    combine(&mut newer, older);
    allocator.collect();
    let point = submit(newer, &[first, second]).unwrap();
    allocator.collect();
    assert!(!timeline.is_reached(point).unwrap());
    fake.run();
    allocator.collect_all();
    assert_eq!(allocator.statistics().total.pending, 0);
    assert_eq!(allocator.statistics().open_recordings, 0);
}

fn join(newer: &mut Recording, older: Recording) {
    newer.join(older).unwrap();
}

#[test]
fn what_was_dropped_under_a_joined_recording_waits_for_the_submission() {
    // The control ends the older recording as if it were never submitted.
    let forget = |_: &mut Recording, older: Recording| {
        // SAFETY: not so, on purpose: the fake must notice.
        unsafe { older.abandon() };
    };
    for (combine, clean) in [(join as fn(&mut Recording, Recording), true), (forget, false)] {
        for ring in [false, true] {
            let fake = fake();
            let allocator = allocator(&fake);
            let timeline = match ring {
                true => allocator.fence_timeline(fake.queue(0), 2),
                false => allocator.timeline(fake.queue(0)),
            };
            case(&fake, &timeline.unwrap(), &allocator, combine);
            drop(allocator);
            assert_eq!(fake.finish().is_ok(), clean, "ring: {ring}");
        }
    }
}

/// As an engine does that opens a recording for each encoder and numbers its submissions itself.
#[test]
fn encoders_of_a_host_with_its_own_semaphore_end_at_one_value() {
    let fake = fake();
    let allocator = allocator(&fake);
    let device = fake.device();
    let mut kind =
        vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE);
    let info = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
    // SAFETY: the fake's own objects; each value is signalled by the submission it is reported for.
    unsafe {
        let semaphore = device.create_semaphore(&info, None).unwrap();
        let timeline = allocator.external_timeline(fake.queue(0), semaphore, 0).unwrap();
        for value in 1..=3 {
            let mesh = buffer(&allocator, 1000);
            let mut encoders = [(); 3].map(|()| timeline.begin().unwrap()).into_iter();
            let commands = [(); 3].map(|()| fake.record(&[Use::buffer(mesh.handle()).ordered()]));
            drop(mesh);
            let (semaphores, values) = ([semaphore], [value]);
            let mut signal =
                vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&values);
            let batch = vk::SubmitInfo::default()
                .command_buffers(&commands)
                .signal_semaphores(&semaphores)
                .push_next(&mut signal);
            device.queue_submit(fake.queue(0), &[batch], vk::Fence::null()).unwrap();
            let mut all = encoders.next().unwrap();
            encoders.for_each(|encoder| all.join(encoder).unwrap());
            assert_eq!(allocator.statistics().open_recordings, 3);
            all.submitted(value).unwrap();
            assert_eq!(
                (allocator.collect().allocations, allocator.statistics().total.pending_count),
                (0, 1)
            );
            fake.run();
            assert_eq!(allocator.collect().allocations, 1);
        }
        drop(timeline);
        allocator.shutdown().unwrap();
        device.destroy_semaphore(semaphore, None);
    }
    fake.finish().unwrap();
}

#[test]
fn another_timelines_recording_comes_back_and_stays_open() {
    let fake = fake();
    let allocator = allocator(&fake);
    let [one, two] = [0, 1].map(|queue| allocator.timeline(fake.queue(queue)).unwrap());
    let (mut first, second) = (one.begin().unwrap(), two.begin().unwrap());
    let refused = first.join(second).unwrap_err();
    assert_eq!(allocator.statistics().open_recordings, 2);
    submit_nothing(refused.recording).unwrap();
    submit_nothing(first).unwrap();
    fake.run();
}

#[test]
fn a_ring_gets_the_joined_ones_fence_back_and_abandon_ends_all() {
    let fake = fake();
    let allocator = allocator(&fake);
    let timeline = allocator.fence_timeline(fake.queue(0), 2).unwrap();
    let (mut first, second) = (timeline.begin().unwrap(), timeline.begin().unwrap());
    assert!(matches!(timeline.begin(), Err(BeginError::RingFull)), "the control");
    first.join(second).unwrap();
    let third = timeline.begin().unwrap();
    first.join(third).unwrap();
    // SAFETY: nothing was recorded.
    unsafe { first.abandon() };
    assert_eq!(allocator.statistics().open_recordings, 0);
    let both = [timeline.begin().unwrap(), timeline.begin().unwrap()];
    assert!(matches!(timeline.begin(), Err(BeginError::RingFull)));
    for recording in both {
        submit_nothing(recording).unwrap();
    }
    fake.run();
}

/// A failed submission gives everything back; then it is made again.
#[test]
fn a_submission_that_fails_keeps_what_was_joined() {
    let fake = fake();
    let allocator = allocator(&fake);
    let timeline = allocator.timeline(fake.queue(0)).unwrap();
    let (mut first, second) = (timeline.begin().unwrap(), timeline.begin().unwrap());
    first.join(second).unwrap();
    let out_of_memory = vk::Result::ERROR_OUT_OF_HOST_MEMORY;
    fake.fail(fencepost::fake::Call::QueueSubmit, 0, out_of_memory);
    let Err(fencepost::SubmitError::Failed { recording, .. }) = submit_nothing(first) else {
        panic!("the fake was told to fail")
    };
    assert_eq!(allocator.statistics().open_recordings, 2);
    submit_nothing(recording).unwrap();
    assert_eq!(allocator.statistics().open_recordings, 0);
    fake.run();
}
