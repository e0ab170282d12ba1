//! Scrubs: how the user lets the GPU look after guards.

use ash::vk;

use super::{
    super::{
        Allocator,
        error::{AllocateError, BeginError, SubmitRefusal},
        inner::{Inner, Life},
        recording::{Recording, SubmitError},
        timeline::Timeline,
    },
    scrubs::Job,
};
use crate::{ground::sync::lock, retire::Point};

/// How much a scrub looks at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum Scrub {
    /// What was handed out, what has ended, and what is in quarantine since the last scrub: for each
    /// frame.
    #[default]
    Due,
    /// Also every margin, and all free memory that was filled. That memory is handed out to nobody until
    /// the GPU has passed the scrub. For a test's end, or a debug key.
    Everything,
}

/// What a scrub has the GPU do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Scrubbed {
    /// Bytes that it checks.
    pub checked: u64,
    /// Bytes that it fills, with the pattern or with zeros.
    pub filled: u64,
    /// `vkCmdDispatch` calls.
    pub dispatches: u64,
}

/// Why nothing was scrubbed. What was due still is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScrubError {
    /// Guards are off, or the host's alone.
    #[error("the GPU keeps no guards: see `AllocatorDesc::guarded_by`")]
    Off,
    /// The recording or the timeline is of another allocator.
    #[error("the recording is of another allocator")]
    Foreign,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// No memory type is host-visible and coherent: the driver is broken.
    #[error("no memory type is host-visible and coherent")]
    NoMemoryType,
    /// No memory for the tables and the report.
    #[error("no memory for the tables: {0}")]
    Memory(AllocateError),
    /// The timeline begins no recording.
    #[error("no recording: {0}")]
    Begin(BeginError),
    /// The timeline takes no submission.
    #[error("no submission: {0}")]
    Submit(SubmitRefusal),
    /// The driver refused.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}

impl Allocator {
    /// Records into your own command buffer what the GPU has to do for guards, in memory that
    /// [it watches](crate::AllocatorDesc::guarded_by). Do it once a frame, before the commands that
    /// use what was allocated since the last: margins are watched from the first scrub after the
    /// allocation.
    ///
    /// What has ended is free again only after two scrubs that the GPU has passed, each as
    /// [`collect`](Self::collect) notices: one checks its margins and poisons it, the other looks
    /// whether anybody wrote since, a *write after free*. With margins alone, after one.
    /// [`check_guards`](Self::check_guards) returns what was found.
    ///
    /// Cost: a table of 16 bytes and a workgroup for each 16 KiB or part of it; a barrier of all
    /// commands before and after. All locks of memory types in turn; [`Scrub::Everything`] walks all
    /// their regions.
    ///
    /// # Errors
    /// [`ScrubError`]; nothing was recorded, and what was due still is.
    ///
    /// # Safety
    /// * The command buffer is being recorded under this recording, outside a render pass, by this
    ///   thread alone, and is submitted at most once, with the recording.
    /// * Its queue computes, and all scrubs of an allocator are for queues of one family.
    pub unsafe fn record_scrub(
        &self,
        recording: &Recording,
        commands: vk::CommandBuffer,
        extent: Scrub,
    ) -> Result<Scrubbed, ScrubError> {
        let inner = self.inner();
        inner.check_scrub(recording.allocator())?;
        let work = inner.take_scrub_work(extent);
        if work.is_empty() {
            inner.end_work(work, true, &mut Default::default());
            return Ok(Scrubbed::default());
        }
        let (sheet, compute, dispatches) = match inner.write_sheet(&work) {
            Ok(written) => written,
            Err(error) => {
                inner.end_work(work, false, &mut Default::default());
                return Err(error);
            }
        };
        // SAFETY: the caller's promise.
        unsafe { sheet.record(inner, &compute, &dispatches, commands) };
        let scrubbed = work.scrubbed();
        // The recording is open, so this bag is reached once the GPU has passed its submission.
        inner.add_job(Job { bag: inner.current_bag(), work, sheet });
        Ok(scrubbed)
    }

    /// As [`record_scrub`](Self::record_scrub), in a submission of its own on the timeline's queue,
    /// which is of this family. `None` if nothing was due.
    ///
    /// # Errors
    /// [`ScrubError`]; nothing was submitted, and what was due still is.
    ///
    /// # Safety
    /// The queue is of this family and computes, no other thread uses it meanwhile (submissions
    /// through this timeline take turns by themselves), and all scrubs of an allocator are for queues
    /// of one family.
    ///
    /// # Example
    /// ```
    /// # use fencepost::{fake::FakeDriver, *};
    /// # use std::time::Duration;
    /// # let fake = FakeDriver::new(&Default::default());
    /// # fake.set_aliasing(true);
    /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
    /// #     .api_version(vk::API_VERSION_1_3).features(DeviceFeatures::TIMELINE_SEMAPHORE);
    /// let desc = desc.guards(GuardPolicy::Full).guarded_by(GuardedBy::HostOrGpu);
    /// # let allocator = unsafe { Allocator::new(&desc)? };
    /// let timeline = allocator.timeline(fake.queue(0))?;
    /// let vertices = BufferDesc::new(1 << 16, vk::BufferUsageFlags::VERTEX_BUFFER);
    /// let mesh = allocator.create_buffer(&vertices, &AllocationDesc::device_local().name("mesh"))?;
    /// let family = fake.queue_family(0);
    /// // SAFETY: the queue is of this family, which computes, and no other thread submits.
    /// if let Some(point) = unsafe { allocator.scrub(&timeline, family, Scrub::Due)? } {
    ///     timeline.wait(point, Duration::from_secs(1))?;
    /// }
    /// assert!(allocator.check_guards().is_empty());
    /// # drop(mesh);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn scrub(
        &self,
        timeline: &Timeline,
        queue_family: u32,
        extent: Scrub,
    ) -> Result<Option<Point>, ScrubError> {
        let inner = self.inner();
        inner.check_scrub(inner.id)?;
        let recording = timeline.begin().map_err(ScrubError::Begin)?;
        // SAFETY: the caller's promise.
        let (recording, error) = match unsafe { inner.scrub(recording, queue_family, extent) } {
            Ok(point) => return Ok(Some(point)),
            Err(unsubmitted) => unsubmitted,
        };
        // SAFETY: no command was recorded under it but the scrub's, which is not submitted.
        unsafe { recording.abandon() };
        error.map_or(Ok(None), Err)
    }
}

impl Allocator {
    /// What all scrubs so far had the GPU do, those of recordings that were abandoned included. O(1).
    pub fn scrubbed(&self) -> Scrubbed {
        lock(&self.inner().guards.scrubs).total
    }
}

impl Inner {
    fn check_scrub(&self, of: u32) -> Result<(), ScrubError> {
        match () {
            () if of != self.id => Err(ScrubError::Foreign),
            () if !self.guards.scrubs() => Err(ScrubError::Off),
            () if self.life() == Life::ShutDown => Err(ScrubError::ShutDown),
            () => Ok(()),
        }
    }

    /// Submits a scrub; or the recording comes back, without an error if nothing is due.
    ///
    /// # Safety
    /// As [`Allocator::scrub`].
    unsafe fn scrub(
        &self,
        recording: Recording,
        family: u32,
        extent: Scrub,
    ) -> Result<Point, (Recording, Option<ScrubError>)> {
        if recording.allocator() != self.id {
            return Err((recording, Some(ScrubError::Foreign)));
        }
        let work = self.take_scrub_work(extent);
        if work.is_empty() {
            self.end_work(work, true, &mut Default::default());
            return Err((recording, None));
        }
        let (mut sheet, compute, dispatches) = match self.write_sheet(&work) {
            Ok(written) => written,
            Err(error) => {
                self.end_work(work, false, &mut Default::default());
                return Err((recording, Some(error)));
            }
        };
        // SAFETY: the caller's promise; the dispatches are the sheet's.
        let recorded = unsafe { sheet.record_own(self, &compute, &dispatches, family) };
        let bag = self.current_bag();
        let submitted = match recorded {
            Err(error) => Err((recording, ScrubError::Driver(error))),
            Ok(commands) => {
                let commands = [commands];
                let batch = vk::SubmitInfo::default().command_buffers(&commands);
                // SAFETY: the caller's promise; the command buffer is recorded and submitted once.
                let done = recording.submit(|signal| unsafe { signal.queue_submit(&[batch]) });
                done.or_else(|error| match error {
                    SubmitError::Failed { recording, error } => {
                        Err((recording, ScrubError::Driver(error)))
                    }
                    SubmitError::Refused { recording, reason } => {
                        Err((recording, ScrubError::Submit(reason)))
                    }
                    SubmitError::AfterSubmission { point, .. } => Ok(point),
                })
            }
        };
        match submitted {
            Ok(point) => {
                self.add_job(Job { bag, work, sheet });
                Ok(point)
            }
            Err((recording, error)) => {
                self.end_work(work, false, &mut Default::default());
                self.give_back_sheet(sheet);
                Err((recording, Some(error)))
            }
        }
    }
}
