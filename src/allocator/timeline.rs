//! A timeline: the rising counter of one queue, which tells how far the GPU is.

use core::fmt;
use std::{sync::Arc, time::Duration};

use ash::vk;

use super::{
    Allocator,
    error::{BeginError, TimelineError, WaitError},
    fence_ring::FenceRing,
    inner::{Inner, Life},
    recording::Recording,
    shared::Shared,
    sync::Sync,
};
use crate::retire::{Point, TimelineId};

/// The rising counter of one queue. `Clone` gives another handle to the same one.
///
/// Every queue whose work may touch memory of the allocator has one, and all such work is
/// submitted through its [`Recording`]s. A point's signal covers all earlier work of that queue
/// (not of others, not sparse binds, not presents).
///
/// Dropping the last handle while work is out is fine: what waits for it goes on waiting.
#[derive(Clone)]
pub struct Timeline {
    shared: Arc<Shared>,
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline")
            .field("id", &self.shared.id)
            .field("queue", &self.shared.queue)
            .finish_non_exhaustive()
    }
}

impl Allocator {
    /// A timeline over a timeline semaphore of its own, for the work of one queue.
    ///
    /// Cost: one driver call; meant for the start.
    ///
    /// # Errors
    /// Timeline semaphores are not enabled, the queue has a timeline, or the driver refuses.
    pub fn timeline(&self, queue: vk::Queue) -> Result<Timeline, TimelineError> {
        let inner = self.inner();
        if !inner.vulkan.has_timeline_semaphores() {
            return Err(TimelineError::NoTimelineSemaphores);
        }
        self.check_queue(queue)?;
        // SAFETY: the device contract; the feature is on.
        let made = unsafe { inner.vulkan.create_timeline_semaphore() };
        let semaphore = made.map_err(TimelineError::Driver)?;
        self.add_timeline(queue, Sync::Semaphore(semaphore), 0)
    }

    /// A timeline over a ring of fences of its own, for Vulkan 1.0 and 1.1.
    ///
    /// `fences` bounds the recordings that are begun and not yet reached; one or two more than the
    /// frames in flight is right.
    ///
    /// Cost: a driver call a fence.
    ///
    /// # Errors
    /// No fences asked for, the queue has a timeline, or the driver refuses.
    pub fn fence_timeline(&self, queue: vk::Queue, fences: u32) -> Result<Timeline, TimelineError> {
        if fences == 0 {
            return Err(TimelineError::NoFences);
        }
        self.check_queue(queue)?;
        // SAFETY: the device contract.
        let made = unsafe { FenceRing::new(&self.inner().vulkan, fences) };
        self.add_timeline(queue, Sync::Ring(made.map_err(TimelineError::Driver)?), 0)
    }

    /// A timeline over a semaphore of yours, whose values you number: end each recording with
    /// [`Recording::submitted`]. `last_value` is the last value you have submitted so far.
    ///
    /// Cost: one lock.
    ///
    /// # Errors
    /// Timeline semaphores are not enabled, or the queue has a timeline.
    ///
    /// # Safety
    /// * `semaphore` is a timeline semaphore of this device and outlives this timeline, all work
    ///   submitted on it, and the calls of this allocator that were under way when both had ended: each
    ///   may read it.
    /// * Each value reported with `submitted` is signalled by the device alone, by the submission
    ///   that holds the recording's commands or a later one of this queue, with a scope that covers
    ///   all commands before it (`vkQueueSubmit`, or `vkQueueSubmit2` with `stageMask`
    ///   `ALL_COMMANDS`).
    pub unsafe fn external_timeline(
        &self,
        queue: vk::Queue,
        semaphore: vk::Semaphore,
        last_value: u64,
    ) -> Result<Timeline, TimelineError> {
        if !self.inner().vulkan.has_timeline_semaphores() {
            return Err(TimelineError::NoTimelineSemaphores);
        }
        self.check_queue(queue)?;
        self.add_timeline(queue, Sync::External(semaphore), last_value)
    }

    fn check_queue(&self, queue: vk::Queue) -> Result<(), TimelineError> {
        let inner = self.inner();
        match inner.life() {
            Life::ShutDown => return Err(TimelineError::ShutDown),
            _ if inner.is_lost() => return Err(TimelineError::DeviceLost),
            _ => {}
        }
        match inner.with_register(|register| register.has_queue(queue)) {
            true => Err(TimelineError::QueueTaken),
            false => Ok(()),
        }
    }

    fn add_timeline(
        &self,
        queue: vk::Queue,
        sync: Sync,
        value: u64,
    ) -> Result<Timeline, TimelineError> {
        let inner = self.inner();
        let sync = Arc::new(sync);
        // Two threads may both have found the queue free; only one gets it.
        let added = inner.with_register(|register| {
            (!register.has_queue(queue)).then(|| register.add(queue, Arc::clone(&sync), value))
        });
        let Some(id) = added else {
            // SAFETY: the device contract; the sync object was never submitted.
            unsafe { sync.destroy(&inner.vulkan) };
            return Err(TimelineError::QueueTaken);
        };
        let inner = Arc::clone(inner);
        Ok(Timeline {
            shared: Arc::new(Shared { inner, id, queue, sync, turn: Default::default() }),
        })
    }
}

impl Timeline {
    /// Opens a recording. Call it before the first command that names a resource of the allocator
    /// is recorded: from here on, whatever is dropped waits for this recording's end.
    ///
    /// Several recordings may be open, on any threads. O(1); takes the register's lock.
    ///
    /// # Errors
    /// A ring of fences whose fences are all in use; a lost device; a shut-down allocator.
    pub fn begin(&self) -> Result<Recording, BeginError> {
        let inner = &self.shared.inner;
        match inner.life() {
            Life::ShutDown => return Err(BeginError::ShutDown),
            _ if inner.is_lost() => return Err(BeginError::DeviceLost),
            _ => {}
        }
        if let Sync::Ring(ring) = &*self.shared.sync {
            // SAFETY: the device contract.
            let reserved = unsafe { ring.reserve(&inner.vulkan) };
            reserved.inspect_err(|&error| {
                if error == BeginError::DeviceLost {
                    inner.lose();
                }
            })?;
        }
        let begun = inner.with_register(|register| register.cuts_mut().begin(self.shared.id));
        match begun {
            Ok(id) => Ok(Recording::new(Arc::clone(&self.shared), id)),
            Err(error) => unreachable!("a held timeline is registered: {error}"),
        }
    }

    /// Whether the GPU has passed a point of any timeline of this allocator. One driver call at
    /// most for each busy timeline.
    ///
    /// # Errors
    /// A point of another allocator.
    pub fn is_reached(&self, point: Point) -> Result<bool, WaitError> {
        let reached = self.shared.inner.poll();
        if reached.knows(point) { Ok(reached.has(point)) } else { Err(WaitError::Foreign) }
    }

    /// Waits until the GPU has passed a point of any timeline of this allocator. A lost device counts as
    /// having passed everything.
    ///
    /// Cost: one driver call, none where the point is known to be reached. No lock is held meanwhile.
    ///
    /// # Errors
    /// [`WaitError::Timeout`] if the GPU has not passed it within `timeout`; a point of another
    /// allocator; a driver error.
    pub fn wait(&self, point: Point, timeout: Duration) -> Result<(), WaitError> {
        let (id, inner) = (point.timeline(), &self.shared.inner);
        if id == self.shared.id {
            return inner.wait(id, &self.shared.sync, point.value(), timeout);
        }
        if id.owner != inner.id {
            return Err(WaitError::Foreign);
        }
        match inner.with_register(|register| register.sync_of(id)) {
            Some(sync) => inner.wait(id, &sync, point.value(), timeout),
            // It has ended, and so has its work.
            None => Ok(()),
        }
    }

    /// The semaphore, for another queue's wait on `(semaphore, point.value())`. `None` for a ring
    /// of fences.
    pub fn semaphore(&self) -> Option<vk::Semaphore> {
        self.shared.sync.semaphore()
    }

    pub(super) fn id(&self) -> TimelineId {
        self.shared.id
    }

    /// The queue whose work this counts.
    pub fn queue(&self) -> vk::Queue {
        self.shared.queue
    }

    /// The last submitted point, if its work may still run.
    ///
    /// Cost: one lock.
    pub fn last_submitted(&self) -> Option<Point> {
        let id = self.shared.id;
        self.shared.inner.with_register(|register| {
            let (reached, submitted) = register.cuts().progress(id)?;
            (reached < submitted).then(|| Point::new(id, submitted))
        })
    }
}

impl Inner {
    /// Waits for one submitted value, and notes it. No lock is held meanwhile.
    pub(super) fn wait(
        &self,
        id: TimelineId,
        sync: &Sync,
        value: u64,
        timeout: Duration,
    ) -> Result<(), WaitError> {
        if self.life() == Life::ShutDown {
            return Err(WaitError::ShutDown);
        }
        let point = Point::new(id, value);
        let (known, resolved) =
            self.with_register(|r| (r.cuts().reached(), r.cuts().resolve(point)));
        if known.has(point) {
            return Ok(());
        }
        let value = resolved.value();
        // SAFETY: the device contract; the caller holds the sync object.
        match unsafe { sync.wait(&self.vulkan, value, timeout) } {
            Ok(true) => {
                self.with_register(|register| register.signalled(id, value));
                Ok(())
            }
            Ok(false) => Err(WaitError::Timeout),
            Err(vk::Result::ERROR_DEVICE_LOST) => {
                self.lose();
                Ok(())
            }
            Err(error) => Err(WaitError::Driver(error)),
        }
    }
}
