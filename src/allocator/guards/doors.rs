//! The public functions: scrubs, which let the GPU maintain guards, and the findings.

use ash::vk;

use super::{
    super::{
        Allocator,
        inner::{Inner, Life},
        recording::{Recording, SubmitError},
        timeline::Timeline,
    },
    corruption::Corruption,
    scrub::{Scrub, ScrubError, Scrubbed},
    state::Job,
};
use crate::{ground::sync::lock, retire::Point};

impl Allocator {
    /// Records the GPU's work for guards into your command buffer, for the memory that [the GPU
    /// watches](crate::AllocatorDesc::guarded_by). Call this once per frame, before the commands
    /// that use what was allocated since the last scrub: the margins of an allocation are watched
    /// from the first scrub after it.
    ///
    /// Freed memory can be reused only after the GPU has passed two scrubs and
    /// [`collect`](Self::collect) has noticed each: the first checks its margins and poisons it,
    /// the second checks whether anybody has written to it since, a *write after free*. With
    /// margins alone, one scrub suffices. [`check_guards`](Self::check_guards) returns the
    /// findings.
    ///
    /// A command buffer may contain several scrubs. If you record a [`Scrub::Everything`] after
    /// each pass, [`Corruption::scrub`] identifies the pass that wrote into a margin.
    ///
    /// Cost: for each 16 KiB or part of it, 16 bytes of table and a workgroup; a barrier over all
    /// commands before and after. It takes the locks of all memory types in turn;
    /// [`Scrub::Everything`] walks all their regions.
    ///
    /// # Errors
    /// [`ScrubError`]; nothing was recorded, and what was due is still due.
    ///
    /// # Safety
    /// * The command buffer is being recorded under this recording, outside a render pass, and only
    ///   by this thread. It is submitted at most once, with the recording.
    /// * Its queue supports compute, and all scrubs of an allocator are for queues of one family.
    ///   While scrubs of one timeline are in progress, those of others are
    ///   [refused](ScrubError::Elsewhere).
    pub unsafe fn record_scrub(
        &self,
        recording: &Recording,
        commands: vk::CommandBuffer,
        extent: Scrub,
    ) -> Result<Scrubbed, ScrubError> {
        let inner = self.inner();
        inner.check_scrub(recording.allocator())?;
        let work = inner.take_scrub_work(recording.timeline(), extent)?;
        if work.is_empty() {
            inner.end_work(&work, true);
            return Ok(Scrubbed::default());
        }
        let (sheet, compute, dispatches) = match inner.write_sheet(&work) {
            Ok(written) => written,
            Err(error) => {
                inner.end_work(&work, false);
                return Err(error);
            }
        };
        // SAFETY: the caller's promise.
        unsafe { sheet.record(&inner.vulkan, &compute, &dispatches, commands) };
        let scrubbed = work.scrubbed();
        // The recording is open, so this bag is reached only once the GPU has passed the recording's submission.
        inner.add_job(Job { bag: inner.current_bag(), work, sheet });
        Ok(scrubbed)
    }

    /// Like [`record_scrub`](Self::record_scrub), but in a submission of its own to the timeline's
    /// queue, which belongs to the given family. Returns `None` if nothing was due.
    ///
    /// Cost: as for `record_scrub`, plus a submission.
    ///
    /// # Errors
    /// [`ScrubError`]; nothing was submitted, and what was due is still due.
    ///
    /// # Safety
    /// The queue belongs to this family and supports compute, no other thread uses it at the same
    /// time (submissions through this timeline are serialised automatically), and all scrubs of an
    /// allocator are for queues of one family.
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
    /// Checks every margin and all poison that the host watches, and returns what was found since
    /// the last call: by this call, when memory was allocated or freed, or by a scrub that the GPU
    /// has passed. Damaged words are repaired, so each is reported once.
    ///
    /// Use this at the end of a test or for a debug key: it reads all free memory of the watched
    /// blocks, under the lock of its memory type. At most 1024 findings are kept; further ones are
    /// only reported to `tracing`. If the host has no memory, fewer findings are kept and less is
    /// checked, which is reported to `tracing`. To check the memory that the GPU watches, call
    /// [`scrub`](Self::scrub) with [`Scrub::Everything`].
    ///
    /// # Example
    /// ```
    /// # let fake = fencepost::fake::FakeDriver::new(&Default::default());
    /// use fencepost::{Allocator, AllocatorDesc, GuardPolicy};
    /// let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
    ///     .guards(GuardPolicy::Full);
    /// // SAFETY: the fake device outlives the allocator, and no feature is named.
    /// let allocator = unsafe { Allocator::new(&desc) }.expect("a device with memory");
    /// assert!(allocator.check_guards().is_empty());
    /// ```
    pub fn check_guards(&self) -> Vec<Corruption> {
        let inner = self.inner();
        if inner.guards.is_on() {
            if inner.guards.scrubs() {
                let reached = inner.poll();
                inner.finish_scrubs(reached.bag(), &mut Default::default());
            }
            inner.lanes().for_each(|lane| inner.host_check(lane));
        }
        core::mem::take(&mut lock(&inner.guards.found))
    }

    /// Returns the total work of all scrubs so far, including those whose recordings were
    /// abandoned. O(1).
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

    /// Submits a scrub. Otherwise returns the recording, without an error if nothing is due.
    ///
    /// # Safety
    /// As for [`Allocator::scrub`].
    unsafe fn scrub(
        &self,
        recording: Recording,
        family: u32,
        extent: Scrub,
    ) -> Result<Point, (Recording, Option<ScrubError>)> {
        if recording.allocator() != self.id {
            return Err((recording, Some(ScrubError::Foreign)));
        }
        let work = match self.take_scrub_work(recording.timeline(), extent) {
            Ok(work) => work,
            Err(error) => return Err((recording, Some(error))),
        };
        if work.is_empty() {
            self.end_work(&work, true);
            return Err((recording, None));
        }
        let (mut sheet, compute, dispatches) = match self.write_sheet(&work) {
            Ok(written) => written,
            Err(error) => {
                self.end_work(&work, false);
                return Err((recording, Some(error)));
            }
        };
        // SAFETY: the caller's promise; the dispatches are the sheet's.
        let recorded = unsafe { sheet.record_own(&self.vulkan, &compute, &dispatches, family) };
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
                self.end_work(&work, false);
                self.give_back_sheet(sheet);
                Err((recording, Some(error)))
            }
        }
    }
}
