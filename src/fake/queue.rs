//! Queues and the GPU's clock: batches are submitted, complete in order, and signal.

use std::collections::VecDeque;
use std::sync::Arc;

use ash::vk;
use ash::vk::Handle;
use smallvec::SmallVec;

use super::call::Call;
use super::object::{Object, Submission};
use super::state::State;
use super::sync::MAX_DIFFERENCE;
use super::track::Tracked;
use super::transfer::Work;
use super::uses::Touched;
use super::violation::Violation;

pub(super) struct Queue {
    pub(super) handle: vk::Queue,
    pub(super) family: u32,
    /// The index within the family.
    pub(super) slot: u32,
    pub(super) pending: VecDeque<Batch>,
    /// Whether only `step` moves it.
    pub(super) stalled: bool,
    /// For each queue, the last submission that precedes what comes here next, because of a barrier
    /// or a wait.
    pub(super) after: Vec<u64>,
}

/// A semaphore and a value; a binary semaphore has none.
pub(super) type Wait = (vk::Semaphore, Option<u64>);

/// A signal at the end of a batch.
#[derive(Clone, Copy)]
pub(super) struct Signal {
    pub(super) semaphore: vk::Semaphore,
    pub(super) value: Option<u64>,
    /// Whether it waits for all commands before it. A signal with a smaller `stageMask` may occur
    /// as soon as the batch begins, and here it does.
    pub(super) covers_all: bool,
}

/// The contents of a `VkSubmitInfo` or a `VkSubmitInfo2`.
#[derive(Default)]
pub(super) struct SubmitArguments {
    pub(super) waits: SmallVec<[Wait; 2]>,
    pub(super) commands: SmallVec<[vk::CommandBuffer; 2]>,
    pub(super) signals: SmallVec<[Signal; 2]>,
}

/// A pending submission.
pub(super) struct Batch {
    id: Submission,
    waits: SmallVec<[Wait; 2]>,
    signals: SmallVec<[Signal; 2]>,
    fence: vk::Fence,
    touched: Vec<Touched>,
    work: SmallVec<[Arc<Vec<Work>>; 1]>,
    /// Whether the signals that do not cover all commands have been given.
    begun: bool,
}

impl State {
    pub(super) fn queue_index(&self, queue: vk::Queue) -> Option<usize> {
        self.queues.iter().position(|q| q.handle == queue)
    }

    /// Submits batches. The fence belongs to the last one.
    pub(super) fn submit(
        &mut self,
        queue: vk::Queue,
        mut batches: SmallVec<[SubmitArguments; 1]>,
        fence: vk::Fence,
    ) -> vk::Result {
        let Some(index) = self.queue_index(queue) else {
            self.report(Violation::Unknown { call: Call::QueueSubmit, object: Object::of(queue) });
            return vk::Result::ERROR_VALIDATION_FAILED_EXT;
        };
        let fence = self.checked_fence(fence);
        if batches.is_empty() && !fence.is_null() {
            batches.push(SubmitArguments::default());
        }
        let last = batches.len().saturating_sub(1);
        for (position, arguments) in batches.into_iter().enumerate() {
            self.last_submission += 1;
            let id = Submission { queue: index as u32, number: self.last_submission };
            let mut touched = Vec::new();
            for (semaphore, value) in &arguments.waits {
                if let Some(awaited) = value.and_then(|value| self.signaller(*semaphore, value)) {
                    self.order_after(id.queue, awaited.queue, awaited.number);
                }
            }
            let commands = arguments.commands.iter();
            let work =
                commands.filter_map(|it| self.touch_commands(id, *it, &mut touched)).collect();
            let waits = arguments.waits.into_iter().filter(|wait| self.submit_wait(*wait));
            let waits: SmallVec<_> = waits.collect();
            let signals = arguments.signals.into_iter().filter(|s| self.submit_signal(id, s));
            let signals: SmallVec<[Signal; 2]> = signals.collect();
            touched.extend(waits.iter().map(|(semaphore, _)| Touched::Semaphore(*semaphore)));
            touched.extend(signals.iter().map(|signal| Touched::Semaphore(signal.semaphore)));
            let fence = if position == last { fence } else { vk::Fence::null() };
            if !fence.is_null() {
                touched.push(Touched::Fence(fence));
            }
            for object in &touched {
                self.enter(id, object);
            }
            if let Some(queue) = self.queues.get_mut(index) {
                let batch = Batch { id, waits, signals, fence, touched, work, begun: false };
                queue.pending.push_back(batch);
            }
        }
        if self.automatic {
            self.run();
        }
        vk::Result::SUCCESS
    }

    /// The pending submission that will raise a timeline semaphore to a value.
    fn signaller(&self, semaphore: vk::Semaphore, value: u64) -> Option<Submission> {
        let brings = |signal: &Signal| {
            signal.semaphore == semaphore
                && signal.covers_all
                && signal.value.is_some_and(|to| to >= value)
        };
        let batches = self.queues.iter().flat_map(|queue| &queue.pending);
        let signallers = batches.filter(|batch| batch.signals.iter().any(brings));
        signallers.map(|batch| batch.id).min_by_key(|id| id.number)
    }

    /// Orders what comes next on one queue after a submission of this or another queue, and after
    /// everything before that submission.
    pub(super) fn order_after(&mut self, queue: u32, other: u32, number: u64) {
        let count = self.queues.len();
        if let Some(queue) = self.queues.get_mut(queue as usize) {
            queue.after.resize(count, 0);
            if let Some(last) = queue.after.get_mut(other as usize) {
                *last = number.max(*last);
            }
        }
    }

    /// The fence, or null if it must not be used.
    fn checked_fence(&mut self, handle: vk::Fence) -> vk::Fence {
        if handle.is_null() {
            return handle;
        }
        let Some(fence) = self.find(Call::QueueSubmit, handle) else { return vk::Fence::null() };
        if fence.signalled || fence.busy().any().is_some() {
            self.report(Violation::FenceNotReset { fence: Object::of(handle) });
        }
        handle
    }

    /// Checks a wait. Returns false if it is invalid.
    fn submit_wait(&mut self, (handle, value): Wait) -> bool {
        let call = Call::QueueSubmit;
        let Some(found) = self.find(call, handle) else { return false };
        let semaphore = Object::of(handle);
        let from = found.value;
        let violation = match value {
            None if found.timeline => Violation::WrongSemaphore { call, semaphore },
            None | Some(_) if !found.timeline => {
                if found.value + found.signals > found.waits {
                    found.waits += 1;
                    return true;
                }
                Violation::BinaryUnpaired { semaphore }
            }
            Some(to) if to > from && to - from > MAX_DIFFERENCE => {
                Violation::TimelineTooFar { call, semaphore, from, to }
            }
            _ => return true,
        };
        self.report(violation);
        false
    }

    /// Checks a signal. Returns false if it is invalid.
    fn submit_signal(&mut self, id: Submission, signal: &Signal) -> bool {
        let call = Call::QueueSubmit;
        let Some(found) = self.find(call, signal.semaphore) else { return false };
        let semaphore = Object::of(signal.semaphore);
        if !found.timeline {
            let paired = found.value + found.signals <= found.waits;
            found.signals += 1;
            if !paired {
                self.report(Violation::BinaryUnpaired { semaphore });
            }
            return true;
        }
        let Some(to) = signal.value else {
            self.report(Violation::WrongSemaphore { call, semaphore });
            return false;
        };
        // On one queue signals occur in order, so the value must be above the last one submitted.
        // Across queues the order is known only at their completion.
        let from = match found.pending_value() {
            Some((value, earlier)) if earlier.queue == id.queue => value,
            _ => found.value,
        };
        let base = found.value;
        found.submitted = Some((to, id));
        if to <= from {
            self.report(Violation::TimelineNotRising { call, semaphore, from, to });
        }
        if to.abs_diff(base) > MAX_DIFFERENCE {
            self.report(Violation::TimelineTooFar { call, semaphore, from: base, to });
        }
        true
    }

    /// Executes the next thing that can happen on a queue: its oldest batch completes, or begins if
    /// it has signals that do not wait for its end. Returns false if nothing can happen.
    pub(super) fn step(&mut self, index: usize) -> bool {
        let State { queues, semaphores, .. } = self;
        let Some(queue) = queues.get_mut(index) else { return false };
        let Some(batch) = queue.pending.front_mut() else { return false };
        let reached = |(semaphore, value): &Wait| {
            semaphores.get(*semaphore).is_none_or(|found| found.reached(value.unwrap_or(0)))
        };
        if !batch.begun {
            if !batch.waits.iter().all(reached) {
                return false;
            }
            batch.begun = true;
            let early: SmallVec<[Signal; 2]> =
                batch.signals.iter().filter(|signal| !signal.covers_all).copied().collect();
            let waits = std::mem::take(&mut batch.waits);
            self.consume(&waits);
            if !early.is_empty() {
                early.iter().for_each(|signal| self.give(signal));
                return true;
            }
        }
        if let Some(batch) = self.queues.get_mut(index).and_then(|q| q.pending.pop_front()) {
            batch.work.iter().flat_map(|work| work.iter()).for_each(|work| self.carry_out(work));
            self.release(&batch);
            batch.signals.iter().filter(|s| s.covers_all).for_each(|s| self.give(s));
            if let Some(fence) = self.fences.get_mut(batch.fence) {
                fence.signalled = true;
            }
        }
        true
    }

    /// Consumes the signals of binary semaphores.
    fn consume(&mut self, waits: &[Wait]) {
        for (semaphore, _) in waits {
            if let Some(found) = self.semaphores.get_mut(*semaphore).filter(|s| !s.timeline) {
                found.value = 0;
                found.waits = found.waits.saturating_sub(1);
            }
        }
    }

    /// Gives a signal.
    fn give(&mut self, signal: &Signal) {
        let Some(found) = self.semaphores.get_mut(signal.semaphore) else { return };
        let from = found.value;
        match signal.value {
            Some(to) if found.timeline && to <= from => {
                let (call, semaphore) = (Call::QueueSubmit, Object::of(signal.semaphore));
                self.report(Violation::TimelineNotRising { call, semaphore, from, to });
            }
            Some(to) if found.timeline => found.value = to,
            _ => {
                found.signals = found.signals.saturating_sub(1);
                found.value = 1;
            }
        }
    }

    /// Ends the uses of a batch.
    fn release(&mut self, batch: &Batch) {
        for object in &batch.touched {
            self.leave(batch.id, object);
        }
    }

    /// Moves the clock by one step on the next queue where this is possible. Returns false if there
    /// is none.
    pub(super) fn advance(&mut self) -> bool {
        let count = self.queues.len();
        for turn in 0..count {
            let index = (self.next_queue + turn) % count;
            let stalled = self.queues.get(index).is_none_or(|queue| queue.stalled);
            if !stalled && self.step(index) {
                self.next_queue = (index + 1) % count;
                return true;
            }
        }
        false
    }

    /// Completes everything that can complete. Returns the number of batches that completed.
    pub(super) fn run(&mut self) -> u32 {
        let before = self.pending();
        while self.advance() {}
        u32::try_from(before.saturating_sub(self.pending())).unwrap_or(u32::MAX)
    }

    /// The number of pending batches on all queues.
    pub(super) fn pending(&self) -> usize {
        self.queues.iter().map(|queue| queue.pending.len()).sum()
    }

    /// Drops all pending work without a signal: a lost device does not use anything any more.
    pub(super) fn abandon_all(&mut self) {
        for index in 0..self.queues.len() {
            while let Some(batch) = self.queues.get_mut(index).and_then(|q| q.pending.pop_front()) {
                self.release(&batch);
            }
        }
    }
}
