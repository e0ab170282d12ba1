//! The frames: three are in flight at any time, and each drops what it no longer needs.
use super::Result;
use super::camera::Camera;
use super::commands::CommandRing;
use super::draw::Pen;
use super::images::Targets;
use super::pipelines::Pipelines;
use super::support::Gpu;
use super::upload::Uploads;
use super::view::{View, picture_set};
use super::world::World;
use fencepost::{Allocator, Point, Scrub, Scrubbed, Timeline, vk};
use std::time::Duration;

/// How many frames make a second of the flight.
const FRAMES_PER_SECOND: f32 = 30.0;

/// The state of the flight.
pub(crate) struct Flight {
    allocator: Allocator,
    pipelines: Pipelines,
    /// The timeline of the queue that draws.
    timeline: Timeline,
    ring: CommandRing,
    uploads: Uploads,
    /// Whether each frame carries a scrub of the guards.
    scrubs: bool,
    /// The work of the scrubs.
    pub(crate) scrubbed: Scrubbed,
    /// The part of the world that is on the GPU now.
    pub(crate) world: World,
}

impl Flight {
    /// Prepares the flight: pipelines, queues, and a world without chunks.
    pub(crate) fn new(gpu: &Gpu, allocator: &Allocator, seed: u64, scrubs: bool) -> Result<Self> {
        let timeline = allocator.timeline(gpu.main.queue)?;
        // A timeline belongs to a queue. If there is a queue for transfers, the uploads run in
        // parallel with the frames, on a timeline of their own. Otherwise they use the queue of the
        // frames, and so its timeline. Nothing else in this program depends on the difference.
        let (upload_timeline, upload_family) = match gpu.transfer {
            Some(transfer) => (allocator.timeline(transfer.queue)?, transfer.family),
            None => (timeline.clone(), gpu.main.family),
        };
        let mut uploads =
            Uploads::new(allocator, &gpu.device, upload_timeline, upload_family, gpu.main.family)?;
        Ok(Self {
            allocator: allocator.clone(),
            pipelines: Pipelines::new(allocator, &gpu.device)?,
            timeline,
            ring: CommandRing::new(allocator, &gpu.device, gpu.main.family)?,
            world: World::new(allocator, &mut uploads, seed)?,
            uploads,
            scrubs,
            scrubbed: Scrubbed::default(),
        })
    }

    /// Streams and draws one frame. `finish` records what to do with its picture.
    ///
    /// Everything that is made here is dropped here: before the frame is submitted, and long before
    /// it is drawn. The open recording pins it, the submission determines what to wait for, and a
    /// later `collect` frees it.
    pub(crate) fn frame(
        &mut self,
        number: u32,
        size: vk::Extent2D,
        finish: impl FnOnce(&Pen<'_>, &Targets) -> Result<()>,
    ) -> Result<Point> {
        let seconds = number as f32 / FRAMES_PER_SECOND;
        let aspect = size.width as f32 / size.height as f32;
        let camera = Camera::in_flight(&self.world.land().terrain, number, aspect);
        self.world.approach(&camera, &self.pipelines, &mut self.uploads)?;

        let commands = self.ring.begin(&self.timeline)?;
        let recording = self.timeline.begin()?;
        if self.scrubs {
            // SAFETY: the command buffer is being recorded, nothing is in it yet, and it is submitted
            // once, with the recording.
            let done = unsafe { self.allocator.record_scrub(&recording, commands, Scrub::Due) }?;
            self.scrubbed.checked += done.checked;
            self.scrubbed.filled += done.filled;
            self.scrubbed.dispatches += done.dispatches;
        }
        {
            let targets = Targets::new(&self.allocator, size)?;
            let mirror = picture_set(&self.allocator, &self.pipelines, &targets.mirror.view)?;
            let look =
                |camera| View::new(&self.allocator, &self.pipelines, &self.world, camera, seconds);
            let (below, above) = (look(camera.mirrored())?, look(camera)?);
            let pen = Pen { commands, pipelines: &self.pipelines, shared: &self.world.shared };
            pen.frame(&targets, &below, &above, &mirror);
            finish(&pen, &targets)?;
        }
        // The commands that draw these chunks are recorded but not submitted.
        self.world.leave_behind(&camera);

        let infos = [vk::CommandBufferSubmitInfo::default().command_buffer(commands)];
        let waits: Vec<_> = self.uploads.done().into_iter().collect();
        let submit =
            vk::SubmitInfo2::default().wait_semaphore_infos(&waits).command_buffer_infos(&infos);
        // SAFETY: the command buffer is being recorded.
        unsafe { self.pipelines.device.end_command_buffer(commands) }?;
        // SAFETY: everything that the commands name was alive when `recording` began or was made
        // since, and they wait for the uploads.
        let point = recording.submit(|signal| unsafe { signal.queue_submit2(&[submit]) })?;
        self.ring.submitted(point);
        Ok(point)
    }

    /// Waits until a frame is drawn.
    pub(crate) fn wait(&self, point: Point) -> Result<()> {
        Ok(self.timeline.wait(point, Duration::from_secs(60))?)
    }
}
