//! Timelines: the rising counter of a queue, which shows the GPU's progress.

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

/// The rising counter of one queue. `Clone` creates another handle to the same timeline.
///
/// Every queue whose work may access memory of the allocator needs a timeline, and all such work
/// must be submitted through its [`Recording`]s. The signal of a point covers all earlier work of
/// that queue. It does not cover other queues, sparse binds or presents.
///
/// You may drop the last handle while work is outstanding. Allocations that wait for it keep
/// waiting.
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
    /// Creates a timeline for one queue, with its own timeline semaphore.
    ///
    /// Cost: one driver call. Call it at startup.
    ///
    /// # Errors
    /// Timeline semaphores are not enabled, the queue already has a timeline, or the driver
    /// refuses.
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

    /// Creates a timeline for one queue, with its own ring of fences, for Vulkan 1.0 and 1.1.
    ///
    /// `fences` limits the number of recordings that have begun and are not yet reached. Use one or
    /// two more than you have frames in flight.
    ///
    /// Cost: one driver call per fence.
    ///
    /// # Errors
    /// `fences` is 0, the queue already has a timeline, or the driver refuses.
    pub fn fence_timeline(&self, queue: vk::Queue, fences: u32) -> Result<Timeline, TimelineError> {
        if fences == 0 {
            return Err(TimelineError::NoFences);
        }
        self.check_queue(queue)?;
        // SAFETY: the device contract.
        let made = unsafe { FenceRing::new(&self.inner().vulkan, fences) };
        self.add_timeline(queue, Sync::Ring(made.map_err(TimelineError::Driver)?), 0)
    }

    /// Creates a timeline over your own semaphore, whose values you assign yourself. End each
    /// recording with [`Recording::submitted`]. `last_value` is the last value that you have
    /// submitted so far.
    ///
    /// Cost: one lock.
    ///
    /// # Errors
    /// Timeline semaphores are not enabled, or the queue already has a timeline.
    ///
    /// # Safety
    /// * `semaphore` is a timeline semaphore of this device. It outlives this timeline, all work
    ///   submitted on it, and all calls to this allocator that are in progress when both have
    ///   ended, because each of these calls may read it.
    /// * Each value reported with `submitted` is signalled only by the device. The signal is part
    ///   of the submission that contains the recording's commands, or of a later submission on this
    ///   queue, and its scope covers all commands before it (`vkQueueSubmit`, or `vkQueueSubmit2`
    ///   with `stageMask` `ALL_COMMANDS`).
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
        // Two threads may both have found the queue without a timeline; only one of them succeeds
        // here.
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
    /// Opens a recording. Call this before you record the first command that uses a resource of the
    /// allocator. From then on, everything that is dropped waits for this recording to end.
    ///
    /// Several recordings may be open at the same time, on any threads. O(1); takes the register's
    /// lock.
    ///
    /// # Errors
    /// All fences of the ring are in use, the device is lost, or the allocator is shut down.
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

    /// Returns whether the GPU has passed a point of any timeline of this allocator. At most one
    /// driver call per busy timeline.
    ///
    /// # Errors
    /// The point belongs to another allocator.
    pub fn is_reached(&self, point: Point) -> Result<bool, WaitError> {
        let reached = self.shared.inner.poll();
        if reached.knows(point) { Ok(reached.has(point)) } else { Err(WaitError::Foreign) }
    }

    /// Waits until the GPU has passed a point of any timeline of this allocator. A lost device
    /// counts as having passed everything.
    ///
    /// Cost: one driver call, or none if the point is already known to be reached. No lock is held
    /// during the wait.
    ///
    /// # Errors
    /// [`WaitError::Timeout`] if the GPU has not passed the point within `timeout`; the point
    /// belongs to another allocator; a driver error.
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
            // The timeline has ended, and so has its work.
            None => Ok(()),
        }
    }

    /// The semaphore, so that another queue can wait for `(semaphore, point.value())`. `None` for a
    /// ring of fences.
    pub fn semaphore(&self) -> Option<vk::Semaphore> {
        self.shared.sync.semaphore()
    }

    pub(super) fn id(&self) -> TimelineId {
        self.shared.id
    }

    /// The queue of this timeline.
    pub fn queue(&self) -> vk::Queue {
        self.shared.queue
    }

    /// The last submitted point, if its work may still be executing.
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
    /// Waits for one submitted value and stores that it is reached. No lock is held during the
    /// wait.
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
