//! The three kinds of timeline behind one interface: an owned semaphore, the host's semaphore,
//! fences.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ash::vk;
use fencepost::{Allocator, BeginError, Point, Recording, Timeline};

use super::gate::Gate;
use super::yard::Yard;
use crate::support::Gpu;

/// What signals, and who assigns the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The timeline owns a semaphore and numbers the submissions.
    Owned,
    /// The host owns the semaphore and numbers the submissions.
    External,
    /// The timeline owns a ring of this many fences.
    Fences(u32),
}

/// Longer than any wait of a scenario.
const LONG: Duration = Duration::from_secs(20);

/// A timeline of the main queue.
pub(crate) struct Line {
    pub(crate) timeline: Timeline,
    gpu: Arc<Gpu>,
    external: Option<External>,
}

/// A semaphore for which the test assigns the values.
struct External {
    semaphore: vk::Semaphore,
    last: AtomicU64,
}

impl Line {
    pub(crate) fn new(yard: &Yard, allocator: &Allocator, kind: Kind) -> Self {
        let queue = yard.gpu.main.queue;
        let mut external = None;
        let timeline = match kind {
            Kind::Owned => allocator.timeline(queue),
            Kind::Fences(count) => allocator.fence_timeline(queue, count),
            Kind::External => {
                let semaphore = yard.timeline_semaphore();
                external = Some(External { semaphore, last: AtomicU64::new(0) });
                // SAFETY: the semaphore is signalled by submissions to this queue alone, with the
                // values that are reported, and the yard outlives the allocator.
                unsafe { allocator.external_timeline(queue, semaphore, 0) }
            }
        };
        Self { timeline: timeline.expect("a timeline"), gpu: Arc::clone(&yard.gpu), external }
    }

    /// Begins a recording. If the ring is full, the oldest work is released first.
    pub(crate) fn begin(&self, gate: &Gate) -> Recording {
        for _ in 0..5000 {
            match self.timeline.begin() {
                Ok(recording) => return recording,
                Err(BeginError::RingFull) => {
                    if gate.opened() < gate.issued() {
                        gate.open(gate.opened() + 1);
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the ring stays full although the gate is open");
    }

    /// Submits command buffers through the recording.
    pub(crate) fn submit(&self, recording: Recording, commands: &[vk::CommandBuffer]) -> Point {
        self.submit_after(recording, commands, None)
    }

    /// Submits command buffers through the recording; they wait for the gate's ticket.
    pub(crate) fn submit_behind(
        &self,
        recording: Recording,
        commands: &[vk::CommandBuffer],
        gate: &Gate,
        ticket: u64,
    ) -> Point {
        self.submit_after(recording, commands, gate.semaphore(ticket))
    }

    fn submit_after(
        &self,
        recording: Recording,
        commands: &[vk::CommandBuffer],
        wait: Option<(vk::Semaphore, u64)>,
    ) -> Point {
        let (semaphores, values): (Vec<_>, Vec<_>) = wait.into_iter().unzip();
        let stages = vec![vk::PipelineStageFlags::ALL_COMMANDS; semaphores.len()];
        let mut timeline =
            vk::TimelineSemaphoreSubmitInfo::default().wait_semaphore_values(&values);
        let mut batch = vk::SubmitInfo::default()
            .command_buffers(commands)
            .wait_semaphores(&semaphores)
            .wait_dst_stage_mask(&stages);
        let Some(external) = &self.external else {
            if !semaphores.is_empty() {
                batch = batch.push_next(&mut timeline);
            }
            // SAFETY: the batch is valid, and no other thread submits beside this line.
            let submitted = recording.submit(|signal| unsafe { signal.queue_submit(&[batch]) });
            return submitted.unwrap_or_else(|error| panic!("{error}"));
        };
        let value = external.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (signals, signal_values) = ([external.semaphore], [value]);
        timeline = timeline.signal_semaphore_values(&signal_values);
        batch = batch.signal_semaphores(&signals).push_next(&mut timeline);
        // SAFETY: the batch is valid, and no other thread submits beside this line.
        unsafe { self.gpu.device.queue_submit(self.gpu.main.queue, &[batch], vk::Fence::null()) }
            .expect("a submission");
        recording.submitted(value).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until the point is reached. Its gate must be open.
    pub(crate) fn wait(&self, point: Point) {
        self.timeline.wait(point, LONG).unwrap_or_else(|error| panic!("its gate is open: {error}"));
    }

    /// Submits without a gate and waits.
    pub(crate) fn run(&self, recording: Recording, commands: vk::CommandBuffer) {
        self.wait(self.submit(recording, &[commands]));
    }
}
