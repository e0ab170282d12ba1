//! A gate holds submitted work back until the host opens it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ash::vk;

use crate::support::Gpu;

/// Issues tickets: 1, 2, 3 … A submission that waits for a ticket does not run before the ticket is
/// opened, so its work is pending as long as the test needs. A gate opens when it is dropped, also
/// during a panic, so that nothing waits for ever.
///
/// Each ticket has a timeline semaphore that only the host signals. (Vulkan would allow one for all
/// tickets, but version 1.3.239 of the validation layer reports the host's second signal of a
/// semaphore as an error if it does not know that the work behind the first is done.) If the device
/// has no timeline semaphores, the ticket is an event for which the command buffer waits.
pub(crate) struct Gate {
    gpu: Arc<Gpu>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bars: Vec<Bar>,
    opened: usize,
}

#[derive(Clone, Copy)]
enum Bar {
    Semaphore(vk::Semaphore),
    Event(vk::Event),
}

/// The value of a semaphore whose ticket is open.
const OPEN: u64 = 1;

impl Gate {
    pub(crate) fn new(gpu: &Arc<Gpu>) -> Self {
        Self { gpu: Arc::clone(gpu), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next ticket.
    pub(crate) fn ticket(&self) -> u64 {
        let bar = if self.gpu.timeline_semaphore {
            Bar::Semaphore(self.gpu.new_timeline_semaphore().expect("a timeline semaphore"))
        } else {
            let info = vk::EventCreateInfo::default();
            // SAFETY: the device is alive.
            Bar::Event(unsafe { self.gpu.device.create_event(&info, None) }.expect("an event"))
        };
        let mut state = self.state();
        state.bars.push(bar);
        state.bars.len() as u64
    }

    fn bar(&self, ticket: u64) -> Bar {
        self.state().bars[ticket as usize - 1]
    }

    /// The semaphore and the value that a batch behind this ticket waits for; `None` if the command
    /// buffer waits.
    pub(crate) fn semaphore(&self, ticket: u64) -> Option<(vk::Semaphore, u64)> {
        match self.bar(ticket) {
            Bar::Semaphore(semaphore) => Some((semaphore, OPEN)),
            Bar::Event(_) => None,
        }
    }

    /// Records the wait, if the command buffer has to wait.
    pub(crate) fn record_wait(&self, commands: vk::CommandBuffer, ticket: u64) {
        let Bar::Event(event) = self.bar(ticket) else { return };
        // SAFETY: the command buffer is being recorded; the event lives until the device is idle.
        unsafe {
            self.gpu.device.cmd_wait_events(
                commands,
                &[event],
                vk::PipelineStageFlags::HOST,
                vk::PipelineStageFlags::ALL_COMMANDS,
                &[],
                &[],
                &[],
            );
        }
    }

    /// Submits behind a ticket, without a timeline of the allocator. The ticket is a semaphore.
    pub(crate) fn submit_plainly(&self, commands: &[vk::CommandBuffer], ticket: u64) {
        let (semaphore, value) = self.semaphore(ticket).expect("the ticket is a semaphore");
        let (semaphores, values) = ([semaphore], [value]);
        let mut waits = vk::TimelineSemaphoreSubmitInfo::default().wait_semaphore_values(&values);
        let batch = vk::SubmitInfo::default()
            .command_buffers(commands)
            .wait_semaphores(&semaphores)
            .wait_dst_stage_mask(&[vk::PipelineStageFlags::ALL_COMMANDS])
            .push_next(&mut waits);
        let (device, queue) = (&self.gpu.device, self.gpu.main.queue);
        // SAFETY: the batch is valid, and no other thread uses the queue.
        unsafe { device.queue_submit(queue, &[batch], vk::Fence::null()) }.expect("a submission");
    }

    /// The number of tickets that were issued.
    pub(crate) fn issued(&self) -> u64 {
        self.state().bars.len() as u64
    }

    /// The newest open ticket; 0 if there is none.
    pub(crate) fn opened(&self) -> u64 {
        self.state().opened as u64
    }

    /// Opens all tickets up to this one.
    pub(crate) fn open(&self, ticket: u64) {
        let mut state = self.state();
        let device = &self.gpu.device;
        while state.opened < ticket as usize {
            // SAFETY: semaphore and event are alive, and signalled by nobody else.
            unsafe {
                match state.bars[state.opened] {
                    Bar::Semaphore(semaphore) => {
                        let info =
                            vk::SemaphoreSignalInfo::default().semaphore(semaphore).value(OPEN);
                        device.signal_semaphore(&info)
                    }
                    Bar::Event(event) => device.set_event(event),
                }
            }
            .expect("a host signal");
            state.opened += 1;
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open(self.issued());
        let device = &self.gpu.device;
        // SAFETY: the device is alive; after the wait nothing uses semaphores or events.
        unsafe {
            let _ = device.device_wait_idle();
            for bar in self.state().bars.drain(..) {
                match bar {
                    Bar::Semaphore(semaphore) => device.destroy_semaphore(semaphore, None),
                    Bar::Event(event) => device.destroy_event(event, None),
                }
            }
        }
    }
}
