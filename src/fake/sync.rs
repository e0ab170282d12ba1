//! Fences and semaphores, and the host's operations on them.

use ash::vk;

use super::call::Call;
use super::object::{Object, Submission};
use super::state::State;
use super::track::{Busy, tracked};
use super::violation::Violation;

/// `maxTimelineSemaphoreValueDifference`: the minimum that the specification requires.
pub(super) const MAX_DIFFERENCE: u64 = (1 << 31) - 1;

pub(super) struct Fence {
    pub(super) signalled: bool,
    pub(super) busy: Busy,
}

pub(super) struct Semaphore {
    pub(super) timeline: bool,
    /// The counter. A binary semaphore has 0 or 1.
    pub(super) value: u64,
    /// The last submitted value, and its submission.
    pub(super) submitted: Option<(u64, Submission)>,
    /// The pending signals and waits of a binary semaphore.
    pub(super) signals: u64,
    pub(super) waits: u64,
    pub(super) busy: Busy,
}

tracked!(Fence, Semaphore);

impl State {
    pub(super) fn create_fence(&mut self, signalled: bool) -> Result<vk::Fence, vk::Result> {
        self.create(Fence { signalled, busy: Busy::default() })
    }

    /// Creates a timeline semaphore that starts at `initial`, or a binary semaphore.
    pub(super) fn create_semaphore(
        &mut self,
        initial: Option<u64>,
    ) -> Result<vk::Semaphore, vk::Result> {
        if initial.is_some() && !self.profile.timeline_semaphores {
            let call = Call::CreateSemaphore;
            self.report(Violation::NotEnabled { call, feature: "timelineSemaphore" });
        }
        self.create(Semaphore {
            timeline: initial.is_some(),
            value: initial.unwrap_or(0),
            submitted: None,
            signals: 0,
            waits: 0,
            busy: Busy::default(),
        })
    }

    pub(super) fn reset_fence(&mut self, fence: vk::Fence) {
        self.check_idle(Call::ResetFences, fence);
        if let Some(found) = self.find(Call::ResetFences, fence) {
            found.signalled = false;
        }
    }

    /// Whether the fence is signalled; `None` if there is no such fence.
    pub(super) fn fence_status(&mut self, call: Call, fence: vk::Fence) -> Option<bool> {
        self.find(call, fence).map(|found| found.signalled)
    }

    /// The counter; `None` if there is no such timeline.
    pub(super) fn counter(&mut self, call: Call, semaphore: vk::Semaphore) -> Option<u64> {
        let found = self.find(call, semaphore)?;
        let value = found.timeline.then_some(found.value);
        if value.is_none() {
            let semaphore = Object::of(semaphore);
            self.report(Violation::WrongSemaphore { call, semaphore });
        }
        value
    }

    /// A signal by the host.
    pub(super) fn signal_semaphore(&mut self, handle: vk::Semaphore, to: u64) -> vk::Result {
        let call = Call::SignalSemaphore;
        let Some(from) = self.counter(call, handle) else {
            return vk::Result::ERROR_VALIDATION_FAILED_EXT;
        };
        let semaphore = Object::of(handle);
        let pending = self.semaphores.get(handle).and_then(Semaphore::pending_value);
        if to <= from || pending.is_some_and(|(value, _)| to >= value) {
            self.report(Violation::TimelineNotRising { call, semaphore, from, to });
        }
        if to.abs_diff(from) > MAX_DIFFERENCE {
            self.report(Violation::TimelineTooFar { call, semaphore, from, to });
        }
        self.set_counter(handle, to.max(from));
        vk::Result::SUCCESS
    }

    /// Sets the counter of a timeline to any value.
    pub(super) fn set_counter(&mut self, semaphore: vk::Semaphore, value: u64) {
        if let Some(found) = self.semaphores.get_mut(semaphore).filter(|found| found.timeline) {
            found.value = value;
        }
    }
}

impl Semaphore {
    /// The last value that a submission has not signalled yet.
    pub(super) fn pending_value(&self) -> Option<(u64, Submission)> {
        self.submitted.filter(|(value, _)| *value > self.value)
    }

    /// Whether a wait for the value is over.
    pub(super) fn reached(&self, value: u64) -> bool {
        if self.timeline { self.value >= value } else { self.value == 1 }
    }
}
