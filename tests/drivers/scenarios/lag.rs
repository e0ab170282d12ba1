//! Several objects report the same work, and one may be late: each is evaluated independently.
//!
//! lavapipe may show the fence of a submission before the timeline semaphore that the same
//! submission signals. So an allocator that has seen the fence must not conclude anything about the
//! semaphore.

use std::time::Duration;

use ash::vk;

use crate::harness::{Room, Scenario};
use crate::rig::{Commands, Gate, Kind, Line, Thing, Yard, allocator, assert_clean};
use crate::support::{Gpu, Validation};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("a_fence_that_comes_first_frees_nothing_of_a_semaphore", fence_first),
        Scenario::new("a_semaphore_that_comes_first_frees_nothing_of_a_fence", semaphore_first),
        Scenario::new("an_external_value_seen_before_it_is_reported_is_not_lost", late_report)
            .validation(Validation::Core),
    ]
}

const ROUNDS: u32 = 30;
const SECONDS_20: u64 = 20_000_000_000;

/// One submission signals the timeline's semaphore and the test's own fence.
fn fence_first(room: &Room<'_>) {
    let gpu = room.open();
    let (allocator, yard) = allocator(&gpu);
    let line = Line::new(&yard, &allocator, Kind::Owned);
    let (commands, gate) = (Commands::new(&gpu), Gate::new(&gpu));
    let fence = OwnFence::new(&gpu);
    let mut late = 0;
    for _ in 0..ROUNDS {
        let thing = Thing::buffer(&allocator, 4096);
        let recording = line.begin(&gate);
        let fill = [commands.record(|recorder| recorder.fill(thing.handle(), 1))];
        let submitted = recording.submit(|signal| {
            let semaphores = [signal.semaphore().expect("the timeline owns a semaphore")];
            let values = [signal.value()];
            let mut timeline =
                vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&values);
            let batch = vk::SubmitInfo::default()
                .command_buffers(&fill)
                .signal_semaphores(&semaphores)
                .push_next(&mut timeline);
            // SAFETY: the batch is valid and signals the semaphore to the value.
            unsafe {
                gpu.device.queue_submit(gpu.main.queue, &[batch], fence.fence)?;
                Ok::<_, vk::Result>(signal.assume_submitted())
            }
        });
        let point = submitted.unwrap_or_else(|error| panic!("{error}"));
        drop(thing);
        fence.wait();
        // Whatever the semaphore shows by now determines what is collected.
        let collected = allocator.collect();
        late += u32::from(collected.allocations == 0);
        assert_eq!(
            allocator.statistics().total.pending_count,
            1 - collected.allocations,
            "the buffer is pending, or it was collected"
        );
        line.wait(point);
        allocator.collect();
        assert_eq!(allocator.statistics().total.pending_count, 0, "the semaphore has come");
    }
    room.note(format_args!("the semaphore was late in {late} of {ROUNDS} rounds"));
}

/// One submission signals the ring's fence and the test's own semaphore.
fn semaphore_first(room: &Room<'_>) {
    let gpu = room.open();
    let (allocator, yard): (_, std::sync::Arc<Yard>) = allocator(&gpu);
    let line = Line::new(&yard, &allocator, Kind::Fences(2));
    let (commands, gate) = (Commands::new(&gpu), Gate::new(&gpu));
    let semaphores = [yard.timeline_semaphore()];
    let mut late = 0;
    for value in 1..=u64::from(ROUNDS) {
        let thing = Thing::buffer(&allocator, 4096);
        let recording = line.begin(&gate);
        let fill = [commands.record(|recorder| recorder.fill(thing.handle(), 1))];
        let values = [value];
        let submitted = recording.submit(|signal| {
            let mut timeline =
                vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&values);
            let batch = vk::SubmitInfo::default()
                .command_buffers(&fill)
                .signal_semaphores(&semaphores)
                .push_next(&mut timeline);
            // SAFETY: the batch is valid.
            unsafe { signal.queue_submit(&[batch]) }
        });
        let point = submitted.unwrap_or_else(|error| panic!("{error}"));
        drop(thing);
        wait_semaphore(&gpu, semaphores[0], value);
        let collected = allocator.collect();
        late += u32::from(collected.allocations == 0);
        line.wait(point);
        allocator.collect();
        assert_eq!(allocator.statistics().total.pending_count, 0, "the fence has come");
    }
    room.note(format_args!("the fence was late in {late} of {ROUNDS} rounds"));
}

/// The host submits, the device completes the work, and there is a collect; only then does the host
/// report the value.
fn late_report(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    let (allocator, yard) = allocator(&gpu);
    let semaphores = [yard.timeline_semaphore()];
    let queue = gpu.main.queue;
    // SAFETY: the semaphore is signalled by submissions to this queue alone, with the values that
    // are reported, and the yard outlives the allocator.
    let timeline = unsafe { allocator.external_timeline(queue, semaphores[0], 0) }.expect("one");
    let commands = Commands::new(&gpu);
    for value in 1..=10 {
        let thing = Thing::buffer(&allocator, 4096);
        let recording = timeline.begin().expect("a recording");
        let fill = [commands.record(|recorder| recorder.fill(thing.handle(), 1))];
        let values = [value];
        let mut signal =
            vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&values);
        let batch = vk::SubmitInfo::default()
            .command_buffers(&fill)
            .signal_semaphores(&semaphores)
            .push_next(&mut signal);
        // SAFETY: the batch is valid.
        unsafe { gpu.device.queue_submit(queue, &[batch], vk::Fence::null()) }.expect("a submit");
        drop(thing);
        wait_semaphore(&gpu, semaphores[0], value);
        allocator.collect();
        assert_eq!(allocator.statistics().total.pending_count, 1, "its recording is open");
        let point = recording.submitted(value).unwrap_or_else(|error| panic!("{error}"));
        timeline.wait(point, Duration::from_secs(20)).expect("it ended before");
        allocator.collect();
        assert_eq!(
            allocator.statistics().total.pending_count,
            0,
            "the value is reported and reached"
        );
    }
    drop((commands, timeline));
    assert!(allocator.close().expect("the last clone").leaks.is_empty());
    drop((yard, gpu));
    assert_clean(&messages.take());
}

fn wait_semaphore(gpu: &Gpu, semaphore: vk::Semaphore, value: u64) {
    let (semaphores, values) = ([semaphore], [value]);
    let info = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
    // SAFETY: the semaphore is a timeline of this device.
    unsafe { gpu.device.wait_semaphores(&info, SECONDS_20) }.expect("the work ends");
}

/// A fence of the test.
struct OwnFence<'a> {
    gpu: &'a Gpu,
    fence: vk::Fence,
}

impl<'a> OwnFence<'a> {
    fn new(gpu: &'a Gpu) -> Self {
        // SAFETY: the device is alive.
        let fence = unsafe { gpu.device.create_fence(&vk::FenceCreateInfo::default(), None) };
        Self { gpu, fence: fence.expect("a fence") }
    }

    /// Waits for the submission that signals it, and resets it.
    fn wait(&self) {
        let device = &self.gpu.device;
        // SAFETY: the fence is alive, was submitted, and is used by this thread alone.
        unsafe {
            device.wait_for_fences(&[self.fence], true, SECONDS_20).expect("the work ends");
            device.reset_fences(&[self.fence]).expect("a reset");
        }
    }
}

impl Drop for OwnFence<'_> {
    fn drop(&mut self) {
        // SAFETY: after the wait nothing submitted signals it.
        unsafe {
            let _ = self.gpu.device.device_wait_idle();
            self.gpu.device.destroy_fence(self.fence, None);
        }
    }
}
