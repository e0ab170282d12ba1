//! A ring of fences that counts like a timeline semaphore, for Vulkan 1.0 and 1.1.
//!
//! Each fence goes through `Reset → Submitting → Submitted → Reached →` (it is reset on reuse). The
//! state lock is held while fences are polled or reset, because Vulkan forbids polling a fence that
//! is being reset. It is not held while user code submits: only the submitter may use a
//! `Submitting` fence.

use std::sync::Mutex;

use ash::vk;

use super::error::BeginError;
use crate::{ground::sync::lock, vulkan::Vulkan};

pub(crate) struct FenceRing {
    state: Mutex<State>,
}

struct State {
    slots: Vec<Slot>,
    /// The number of recordings that have begun and not ended. Each will need a fence.
    reserved: usize,
    /// The highest value whose fence was seen signalled.
    reached: u64,
}

struct Slot {
    fence: vk::Fence,
    phase: Phase,
    /// The number of threads in `vkWaitForFences`. The fence must not be reset while they wait.
    waiters: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Reset,
    Submitting,
    Submitted(u64),
    Reached,
}

impl Slot {
    fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Reset | Phase::Reached) && self.waiters == 0
    }
}

impl State {
    /// # Safety
    /// The device contract.
    unsafe fn poll(&mut self, vulkan: &Vulkan) -> Result<(), vk::Result> {
        for slot in &mut self.slots {
            if let Phase::Submitted(value) = slot.phase {
                // SAFETY: the device contract; resets happen under the lock that is held here.
                if unsafe { vulkan.fence_is_signalled(slot.fence) }? {
                    slot.phase = Phase::Reached;
                    // A fence covers all earlier work of its queue, so the greatest value counts.
                    self.reached = self.reached.max(value);
                }
            }
        }
        Ok(())
    }
}

impl FenceRing {
    /// # Safety
    /// The device contract.
    pub(super) unsafe fn new(vulkan: &Vulkan, count: u32) -> Result<Self, vk::Result> {
        let mut slots: Vec<Slot> = Vec::with_capacity(count as usize);
        for _ in 0..count {
            // SAFETY: the device contract.
            match unsafe { vulkan.create_fence() } {
                Ok(fence) => slots.push(Slot { fence, phase: Phase::Reset, waiters: 0 }),
                Err(error) => {
                    for slot in slots {
                        // SAFETY: the fence was never submitted.
                        unsafe { vulkan.destroy_fence(slot.fence) };
                    }
                    return Err(error);
                }
            }
        }
        Ok(Self { state: Mutex::new(State { slots, reserved: 0, reached: 0 }) })
    }

    /// Reserves a fence for a recording that begins.
    ///
    /// # Safety
    /// The device contract.
    pub(super) unsafe fn reserve(&self, vulkan: &Vulkan) -> Result<(), BeginError> {
        let mut state = lock(&self.state);
        let ready = |state: &State| state.slots.iter().filter(|slot| slot.is_ready()).count();
        if ready(&state) <= state.reserved {
            // SAFETY: the device contract.
            unsafe { state.poll(vulkan) }.map_err(|error| match error {
                vk::Result::ERROR_DEVICE_LOST => BeginError::DeviceLost,
                other => BeginError::Driver(other),
            })?;
        }
        if ready(&state) <= state.reserved {
            return Err(BeginError::RingFull);
        }
        state.reserved += 1;
        Ok(())
    }

    /// A recording was abandoned, so its fence is free for another.
    pub(super) fn unreserve(&self) {
        let mut state = lock(&self.state);
        state.reserved = state.reserved.saturating_sub(1);
    }

    /// Returns a reset fence for a submission, and its slot.
    ///
    /// # Safety
    /// The device contract.
    pub(super) unsafe fn take(&self, vulkan: &Vulkan) -> Result<(usize, vk::Fence), vk::Result> {
        let mut state = lock(&self.state);
        let found = state.slots.iter_mut().enumerate().find(|(_, slot)| slot.is_ready());
        // A reserved recording finds one, unless a waiter is using it at the moment.
        let (index, slot) = found.ok_or(vk::Result::NOT_READY)?;
        if slot.phase == Phase::Reached {
            // SAFETY: the fence is signalled, so no submission is pending on it; nobody waits on
            // it, and polls take the lock that is held here.
            unsafe { vulkan.reset_fence(slot.fence) }?;
        }
        slot.phase = Phase::Submitting;
        Ok((index, slot.fence))
    }

    /// The fence of a slot was submitted, and will signal `value`.
    pub(super) fn submitted(&self, index: usize, value: u64) {
        let mut state = lock(&self.state);
        state.reserved = state.reserved.saturating_sub(1);
        if let Some(slot) = state.slots.get_mut(index) {
            slot.phase = Phase::Submitted(value);
        }
    }

    /// The fence of a slot was not submitted.
    pub(super) fn put_back(&self, index: usize) {
        if let Some(slot) = lock(&self.state).slots.get_mut(index) {
            slot.phase = Phase::Reset;
        }
    }

    /// # Safety
    /// The device contract.
    pub(super) unsafe fn counter(&self, vulkan: &Vulkan) -> Result<u64, vk::Result> {
        let mut state = lock(&self.state);
        // SAFETY: the device contract.
        unsafe { state.poll(vulkan) }?;
        Ok(state.reached)
    }

    /// # Safety
    /// The device contract.
    pub(super) unsafe fn wait(
        &self,
        vulkan: &Vulkan,
        value: u64,
        nanoseconds: u64,
    ) -> Result<(), vk::Result> {
        let (index, fence) = {
            let mut state = lock(&self.state);
            if state.reached >= value {
                // The value's own fence may be in use again, and waiting for the next one would take too long.
                return Ok(());
            }
            // The earliest submitted fence at or above the value covers it.
            let covers = |slot: &Slot| match slot.phase {
                Phase::Submitted(submitted) if submitted >= value => Some(submitted),
                _ => None,
            };
            let slots = state.slots.iter_mut().enumerate();
            let found = slots
                .filter_map(|(index, slot)| covers(slot).map(|submitted| (submitted, index, slot)))
                .min_by_key(|&(submitted, ..)| submitted);
            match found {
                // Its fence was seen signalled, or was reused after that.
                None => return Ok(()),
                Some((_, index, slot)) => {
                    slot.waiters += 1;
                    (index, slot.fence)
                }
            }
        };
        // SAFETY: the device contract; a fence with waiters is not reset.
        let waited = unsafe { vulkan.wait_fence(fence, nanoseconds) };
        if let Some(slot) = lock(&self.state).slots.get_mut(index) {
            slot.waiters -= 1;
        }
        waited
    }

    /// # Safety
    /// The device contract; all submitted work is done, or the device is lost.
    pub(super) unsafe fn destroy(&self, vulkan: &Vulkan) {
        for slot in lock(&self.state).slots.drain(..) {
            if let Phase::Submitted(_) = slot.phase {
                // A fence may become visible as signalled slightly later than a later fence of its queue.
                // SAFETY: the device contract.
                let _ = unsafe { vulkan.wait_fence(slot.fence, 1_000_000_000) };
            }
            // SAFETY: the caller's promise.
            unsafe { vulkan.destroy_fence(slot.fence) };
        }
    }
}

#[cfg(all(test, feature = "fake"))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        Allocator, AllocatorDesc,
        fake::{FakeDriver, Profile},
    };

    fn stage() -> (FakeDriver, Allocator) {
        let fake = FakeDriver::new(&Profile::default());
        let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
            .keep_alive(Arc::new(fake.clone()));
        // SAFETY: the fake lives as long as the allocator.
        let allocator = unsafe { Allocator::new(&desc) }.unwrap();
        (fake, allocator)
    }

    /// Submits nothing but a fence of a ring.
    fn submit(fake: &FakeDriver, vulkan: &Vulkan, ring: &FenceRing, value: u64) {
        // SAFETY: the queue is this thread's, and the fence was just taken.
        unsafe {
            ring.reserve(vulkan).unwrap();
            let (slot, fence) = ring.take(vulkan).unwrap();
            vulkan.queue_submit(fake.queue(0), &[], fence).unwrap();
            ring.submitted(slot, value);
        }
    }

    #[test]
    fn a_fence_that_is_waited_for_is_nobody_elses() {
        let (fake, allocator) = stage();
        let vulkan = &allocator.inner().vulkan;
        // SAFETY: the fake lives, and one thread uses the ring.
        unsafe {
            let ring = FenceRing::new(vulkan, 1).unwrap();
            submit(&fake, vulkan, &ring, 1);
            fake.run();
            assert_eq!(ring.counter(vulkan), Ok(1));
            // A thread that was told just now, and has not come back from its wait.
            lock(&ring.state).slots[0].waiters = 1;
            assert_eq!(ring.reserve(vulkan), Err(BeginError::RingFull));
            assert_eq!(ring.take(vulkan), Err(vk::Result::NOT_READY));
            lock(&ring.state).slots[0].waiters = 0;
            submit(&fake, vulkan, &ring, 2);
            fake.run();
            ring.destroy(vulkan);
        }
    }

    #[test]
    fn a_wait_is_for_the_first_fence_that_covers_it() {
        let (fake, allocator) = stage();
        let vulkan = &allocator.inner().vulkan;
        // SAFETY: as above.
        unsafe {
            let ring = FenceRing::new(vulkan, 3).unwrap();
            (1..=3).for_each(|value| submit(&fake, vulkan, &ring, value));
            assert!(fake.step(fake.queue(0)));
            assert_eq!(ring.wait(vulkan, 1, 0), Ok(()));
            assert_eq!(ring.wait(vulkan, 2, 0), Err(vk::Result::TIMEOUT));
            fake.run();
            assert_eq!(ring.wait(vulkan, 3, 0), Ok(()));
            ring.destroy(vulkan);
        }
    }
}
