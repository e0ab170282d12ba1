//! The counter behind a timeline: the allocator's own semaphore, the user's semaphore, or a ring of
//! fences.

use std::time::Duration;

use ash::vk;

use super::fence_ring::FenceRing;
use crate::vulkan::Vulkan;

/// The object that a timeline reads and waits for.
pub(crate) enum Sync {
    /// Created and destroyed here.
    Semaphore(vk::Semaphore),
    /// The user's, who promised that it outlives the timeline's work.
    External(vk::Semaphore),
    Ring(FenceRing),
}

impl Sync {
    pub(super) fn semaphore(&self) -> Option<vk::Semaphore> {
        match *self {
            Self::Semaphore(semaphore) | Self::External(semaphore) => Some(semaphore),
            Self::Ring(_) => None,
        }
    }

    /// The highest signalled value. One driver call or, for a ring, one per submitted fence.
    ///
    /// # Safety
    /// The device contract.
    pub(super) unsafe fn counter(&self, vulkan: &Vulkan) -> Result<u64, vk::Result> {
        match self {
            Self::Semaphore(semaphore) | Self::External(semaphore) => {
                // SAFETY: the device contract; the semaphore lives as long as its timeline.
                unsafe { vulkan.counter_value(*semaphore) }
            }
            // SAFETY: the device contract.
            Self::Ring(ring) => unsafe { ring.counter(vulkan) },
        }
    }

    /// Waits until a submitted value is signalled; `false` after the timeout.
    ///
    /// # Safety
    /// The device contract.
    pub(super) unsafe fn wait(
        &self,
        vulkan: &Vulkan,
        value: u64,
        timeout: Duration,
    ) -> Result<bool, vk::Result> {
        let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let waited = match self {
            Self::Semaphore(semaphore) | Self::External(semaphore) => {
                // SAFETY: as in `counter`.
                unsafe { vulkan.wait_semaphore(*semaphore, value, nanoseconds) }
            }
            // SAFETY: the device contract.
            Self::Ring(ring) => unsafe { ring.wait(vulkan, value, nanoseconds) },
        };
        match waited {
            Ok(()) => Ok(true),
            Err(vk::Result::TIMEOUT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Destroys the objects that belong to the allocator.
    ///
    /// # Safety
    /// The device contract; all submitted work is done, or the device is lost.
    pub(super) unsafe fn destroy(&self, vulkan: &Vulkan) {
        match self {
            // SAFETY: the caller's promise.
            Self::Semaphore(semaphore) => unsafe { vulkan.destroy_semaphore(*semaphore) },
            Self::External(_) => {}
            // SAFETY: the caller's promise.
            Self::Ring(ring) => unsafe { ring.destroy(vulkan) },
        }
    }
}
