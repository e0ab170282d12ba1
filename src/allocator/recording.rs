//! Recordings: work being recorded that may use resources of the allocator.

use core::{cell::Cell, fmt, marker::PhantomData};
use std::sync::Arc;

use ash::vk;

use super::{
    error::{ReportError, SubmitRefusal},
    inner::Life,
    shared::Shared,
    sync::Sync,
};
use crate::{
    retire::{EndError, Point, RecordingId, TimelineId},
    vulkan::Vulkan,
};

/// Work that is being recorded. While a recording is open, nothing that was dropped since it began
/// is reused.
///
/// End it with [`submit`](Self::submit). If you only drop it, it stays open, because its commands
/// might still be submitted: a warning is logged, and everything dropped since it began stays
/// pending. If it will never be submitted, call [`abandon`](Self::abandon). If an early return
/// drops it (a `?` between `begin` and `submit`, or on the error of `submit`),
/// [`Allocator::assume_idle`](crate::Allocator::assume_idle) ends it.
#[must_use = "a recording that is dropped stays open and holds everything back: submit it"]
pub struct Recording {
    timeline: Arc<Shared>,
    id: RecordingId,
    /// Recordings whose commands are submitted together with this one's.
    joined: Vec<RecordingId>,
    ended: bool,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The signal that a submission must make, passed to the closure of [`Recording::submit`].
///
/// Either let it submit for you ([`queue_submit`](Self::queue_submit),
/// [`queue_submit2`](Self::queue_submit2)), or put [`semaphore`](Self::semaphore) and
/// [`value`](Self::value), or [`fence`](Self::fence), into your own submission and then call
/// [`assume_submitted`](Self::assume_submitted).
pub struct Signal<'a> {
    vulkan: &'a Vulkan,
    queue: vk::Queue,
    target: Target,
    value: u64,
    outcome: &'a Cell<Outcome>,
}

impl fmt::Debug for Signal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("value", &self.value).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Target {
    Semaphore(vk::Semaphore),
    Fence(vk::Fence),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    NotSubmitted,
    Submitted,
    Lost,
}

/// Proof that a signal was submitted. The closure of [`Recording::submit`] returns it.
#[must_use = "return it from the closure"]
#[derive(Debug)]
pub struct Submitted<'a>(PhantomData<&'a ()>);

/// The error of [`Recording::submitted`]. It returns the recording, which is still open.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct SubmittedError {
    /// The recording, still open.
    pub recording: Recording,
    /// What is wrong.
    pub error: ReportError,
}

/// The error of [`Recording::join`]: the recordings belong to different timelines. It returns the
/// recording, which is still open.
#[derive(Debug, thiserror::Error)]
#[error("the recordings are of different timelines")]
pub struct JoinError {
    /// The recording, still open.
    pub recording: Recording,
}

/// The error of [`Recording::submit`].
#[derive(Debug, thiserror::Error)]
pub enum SubmitError<E> {
    /// The closure failed before it submitted anything. The recording is returned, still open.
    #[error("the submission failed: {error}")]
    Failed {
        /// The recording, still open.
        recording: Recording,
        /// The closure's error.
        error: E,
    },
    /// The work was submitted, but then the closure failed. The recording has ended.
    #[error("submitted as {point}, but then: {error}")]
    AfterSubmission {
        /// The point of the submitted work.
        point: Point,
        /// The closure's error.
        error: E,
    },
    /// The timeline cannot submit. The recording is returned, still open.
    #[error("{reason}")]
    Refused {
        /// The recording, still open.
        recording: Recording,
        /// The reason.
        reason: SubmitRefusal,
    },
}

impl Recording {
    /// Identifies the allocator.
    pub(super) fn allocator(&self) -> u32 {
        self.timeline.inner.id
    }

    pub(super) fn timeline(&self) -> TimelineId {
        self.timeline.id
    }
}

impl<'a> Signal<'a> {
    /// Calls `vkQueueSubmit` on the timeline's queue with these batches and the signal.
    ///
    /// Cost: one driver call.
    ///
    /// # Errors
    /// The error of the driver. Nothing was submitted.
    ///
    /// # Safety
    /// The requirements of `vkQueueSubmit` for the batches hold, and no other thread uses the queue
    /// at the same time (submissions through this timeline are serialised automatically).
    pub unsafe fn queue_submit(
        self,
        batches: &[vk::SubmitInfo<'_>],
    ) -> Result<Submitted<'a>, vk::Result> {
        // SAFETY: the caller's promise; semaphore and fence belong to this submission alone.
        let result = unsafe {
            match self.target {
                Target::Semaphore(semaphore) => {
                    self.vulkan.submit_signal(self.queue, batches, semaphore, self.value)
                }
                Target::Fence(fence) => self.vulkan.queue_submit(self.queue, batches, fence),
            }
        };
        self.end(result)
    }

    /// Calls `vkQueueSubmit2` on the timeline's queue with these batches and the signal.
    ///
    /// Cost: one driver call.
    ///
    /// # Errors
    /// The error of the driver, or `ERROR_FEATURE_NOT_PRESENT` if
    /// [`SYNCHRONIZATION2`](crate::DeviceFeatures::SYNCHRONIZATION2) was not passed to the
    /// allocator. Nothing was submitted.
    ///
    /// # Safety
    /// As for [`queue_submit`](Self::queue_submit).
    pub unsafe fn queue_submit2(
        self,
        batches: &[vk::SubmitInfo2<'_>],
    ) -> Result<Submitted<'a>, vk::Result> {
        if !self.vulkan.has_synchronization2() {
            return Err(vk::Result::ERROR_FEATURE_NOT_PRESENT);
        }
        // SAFETY: as in `queue_submit`, and the feature is on.
        let result = unsafe {
            match self.target {
                Target::Semaphore(semaphore) => {
                    self.vulkan.submit2_signal(self.queue, batches, semaphore, self.value)
                }
                Target::Fence(fence) => self.vulkan.queue_submit2(self.queue, batches, fence),
            }
        };
        self.end(result)
    }

    fn end(self, result: Result<(), vk::Result>) -> Result<Submitted<'a>, vk::Result> {
        match result {
            Ok(()) => {
                self.outcome.set(Outcome::Submitted);
                Ok(Submitted(PhantomData))
            }
            Err(error) => {
                if error == vk::Result::ERROR_DEVICE_LOST {
                    self.outcome.set(Outcome::Lost);
                }
                Err(error)
            }
        }
    }

    /// The timeline semaphore to signal with [`value`](Self::value); `None` for a ring of fences.
    pub fn semaphore(&self) -> Option<vk::Semaphore> {
        match self.target {
            Target::Semaphore(semaphore) => Some(semaphore),
            Target::Fence(_) => None,
        }
    }

    /// The value of this submission.
    pub fn value(&self) -> u64 {
        self.value
    }

    /// The fence to signal; null if the timeline uses a semaphore.
    pub fn fence(&self) -> vk::Fence {
        match self.target {
            Target::Semaphore(_) => vk::Fence::null(),
            Target::Fence(fence) => fence,
        }
    }

    /// Declares that you have submitted the work and the signal yourself.
    ///
    /// # Safety
    /// A submission to the timeline's queue has succeeded that signals the semaphore with the
    /// value, or the fence, with a scope that covers the recording's commands and all earlier work
    /// of the queue (`vkQueueSubmit`; `vkQueueSubmit2` with `stageMask` `ALL_COMMANDS`).
    pub unsafe fn assume_submitted(self) -> Submitted<'a> {
        self.outcome.set(Outcome::Submitted);
        Submitted(PhantomData)
    }
}

impl Recording {
    pub(super) fn new(timeline: Arc<Shared>, id: RecordingId) -> Self {
        Self { timeline, id, joined: Vec::new(), ended: false }
    }

    /// Joins another recording to this one: the commands recorded under both are submitted
    /// together, under this recording, and both end with it. Use it if you open a recording for
    /// each command buffer and submit many of them together.
    ///
    /// Cost: stores a number. In a ring of fences, the other recording's fence becomes free.
    ///
    /// # Errors
    /// The other recording belongs to another timeline. The error returns it, still open.
    ///
    /// # Example
    /// ```
    /// # use fencepost::{fake::FakeDriver, *};
    /// # let fake = FakeDriver::new(&Default::default());
    /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
    /// #     .api_version(vk::API_VERSION_1_2).features(DeviceFeatures::TIMELINE_SEMAPHORE);
    /// # let allocator = unsafe { Allocator::new(&desc)? };
    /// # let frames = allocator.timeline(fake.queue(0))?;
    /// let (mut shadows, colours) = (frames.begin()?, frames.begin()?); // on two threads, say
    /// let commands = [fake.record(&[]), fake.record(&[])];
    /// shadows.join(colours)?;
    /// let batch = vk::SubmitInfo::default().command_buffers(&commands);
    /// shadows.submit(|signal| unsafe { signal.queue_submit(&[batch]) })?;
    /// assert_eq!(allocator.statistics().open_recordings, 0);
    /// # fake.run();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[allow(clippy::result_large_err, reason = "the error is the recording, given back")]
    pub fn join(&mut self, mut other: Recording) -> Result<(), JoinError> {
        if !Arc::ptr_eq(&self.timeline, &other.timeline) {
            return Err(JoinError { recording: other });
        }
        self.joined.push(other.id);
        self.joined.append(&mut other.joined);
        if let Sync::Ring(ring) = &*self.timeline.sync {
            ring.unreserve();
        }
        other.forget();
        Ok(())
    }

    /// Submits the recording: assigns the next value of its timeline, calls the closure with the
    /// [`Signal`] to make, and ends the recording. Returns the point that the GPU passes when the
    /// work is done.
    ///
    /// Submissions of one timeline are serialised, so that values rise in submission order. The
    /// closure may use the allocator, but must not submit on the same timeline.
    ///
    /// Cost: the closure, and two short acquisitions of the register's lock.
    ///
    /// # Errors
    /// The closure's error together with the recording, which is still open. If the closure panics,
    /// the recording stays open, because it is unknown whether its work was submitted.
    ///
    /// # Example
    /// ```
    /// # use fencepost::{fake::FakeDriver, *};
    /// # let fake = FakeDriver::new(&Default::default());
    /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
    /// #     .api_version(vk::API_VERSION_1_2).features(DeviceFeatures::TIMELINE_SEMAPHORE);
    /// # let allocator = unsafe { Allocator::new(&desc)? };
    /// let frames = allocator.timeline(fake.queue(0))?;
    /// let frame = frames.begin()?;
    /// let commands = [fake.record(&[])]; // … record …
    /// let batch = vk::SubmitInfo::default().command_buffers(&commands);
    /// let point = frame.submit(|signal| unsafe { signal.queue_submit(&[batch]) })?;
    /// assert_eq!(point.value(), 1);
    /// # fake.run();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn submit<E>(
        self,
        submission: impl for<'a> FnOnce(Signal<'a>) -> Result<Submitted<'a>, E>,
    ) -> Result<Point, SubmitError<E>> {
        let timeline = Arc::clone(&self.timeline);
        let inner = &timeline.inner;
        let refused = |recording, reason| Err(SubmitError::Refused { recording, reason });
        if inner.life() == Life::ShutDown {
            return refused(self, SubmitRefusal::ShutDown);
        }
        if inner.is_lost() {
            return refused(self, SubmitRefusal::DeviceLost);
        }
        let Some(turn) = timeline.turn.take() else {
            return refused(self, SubmitRefusal::Nested);
        };
        let (target, slot) = match &*timeline.sync {
            Sync::Semaphore(semaphore) => (Target::Semaphore(*semaphore), None),
            Sync::External(_) => return refused(self, SubmitRefusal::External),
            // SAFETY: the device contract.
            Sync::Ring(ring) => match unsafe { ring.take(&inner.vulkan) } {
                Ok((slot, fence)) => (Target::Fence(fence), Some((ring, slot))),
                Err(error) => return refused(self, SubmitRefusal::Driver(error)),
            },
        };
        let assigned = inner.with_register(|register| register.cuts_mut().assign(timeline.id));
        let value = match assigned {
            Ok(value) => value,
            Err(error) => unreachable!("a held timeline has values left: {error}"),
        };
        let outcome = Cell::new(Outcome::NotSubmitted);
        let queue = timeline.queue;
        let signal = Signal { vulkan: &inner.vulkan, queue, target, value, outcome: &outcome };
        let error = submission(signal).err();
        if outcome.get() == Outcome::Submitted {
            if let Some((ring, slot)) = slot {
                ring.submitted(slot, value);
            }
            let point = self.end(value);
            drop(turn);
            return match error {
                None => Ok(point),
                Some(error) => Err(SubmitError::AfterSubmission { point, error }),
            };
        }
        if let Some((ring, slot)) = slot {
            ring.put_back(slot);
        }
        inner.with_register(|register| register.cuts_mut().burn(timeline.id, value));
        if outcome.get() == Outcome::Lost {
            inner.lose();
        }
        match error {
            Some(error) => Err(SubmitError::Failed { recording: self, error }),
            None => unreachable!("a `Submitted` is made by a submission only"),
        }
    }

    /// Reports that the recording was submitted and signals `value`, on a timeline created by
    /// [`Allocator::external_timeline`](crate::Allocator::external_timeline). Call it in submission
    /// order: values must rise.
    ///
    /// Cost: one short acquisition of the register's lock.
    ///
    /// # Errors
    /// The timeline assigns its values itself, or the value does not rise. The error returns the
    /// recording, still open.
    pub fn submitted(self, value: u64) -> Result<Point, SubmittedError> {
        let timeline = Arc::clone(&self.timeline);
        if !matches!(*timeline.sync, Sync::External(_)) {
            return Err(SubmittedError { recording: self, error: ReportError::NotExternal });
        }
        match self.ended_at(value) {
            Ok(point) => {
                self.forget();
                Ok(point)
            }
            Err(error) => Err(SubmittedError { recording: self, error: error.into() }),
        }
    }

    /// Ends the recording without a submission.
    ///
    /// Cost: one short acquisition of the register's lock.
    ///
    /// # Safety
    /// No command recorded under it, or under a recording that was [joined](Self::join) to it, will
    /// ever be submitted.
    pub unsafe fn abandon(self) {
        self.timeline.inner.with_register(|register| {
            for &id in self.joined.iter().chain([&self.id]) {
                // Only this handle can end the recording, so this cannot fail.
                let _ = register.cuts_mut().abandon(id);
            }
        });
        if let Sync::Ring(ring) = &*self.timeline.sync {
            ring.unreserve();
        }
        self.forget();
    }

    /// Ends the recording with a value that this crate assigned.
    fn end(self, value: u64) -> Point {
        match self.ended_at(value) {
            Ok(point) => {
                self.forget();
                point
            }
            Err(error) => unreachable!("an assigned value rises: {error}"),
        }
    }

    /// Ends this recording, and then those joined to it. Their bags wait for the same value, which
    /// must be known before they are stamped.
    fn ended_at(&self, value: u64) -> Result<Point, EndError> {
        self.timeline.inner.with_register(|register| {
            let point = register.submitted(self.id, value)?;
            for &id in &self.joined {
                // Only this handle could end the recording, and it was joined to this one.
                let _ = register.cuts_mut().abandon(id);
            }
            Ok(point)
        })
    }

    /// The recording has ended properly, so its drop must not warn.
    fn forget(mut self) {
        self.ended = true;
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.ended || self.timeline.inner.life() == Life::ShutDown {
            return;
        }
        tracing::warn!(
            target: crate::events::WAITING, recording = self.id.number(),
            "a recording was dropped without being submitted or abandoned: it stays open and holds \
             back everything dropped since it began, until `assume_idle`"
        );
        // Nobody can submit through this recording any more.
        if let Sync::Ring(ring) = &*self.timeline.sync {
            ring.unreserve();
        }
        self.timeline.inner.with_register(|register| {
            register.stray(&self.joined);
            register.stray(&[self.id]);
        });
    }
}
