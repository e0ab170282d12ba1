//! Copies from the CPU into device-local memory, through staging buffers on a queue of their own.
//!
//! A staging buffer is dropped as soon as the copy out of it is *recorded*, before it is submitted
//! and long before it happens. Its memory is reused when the copy is done.
use super::Result;
use super::commands::CommandRing;
use super::images::{self, COLOUR, Use, turn};
use super::texels::MipChain;
use bytemuck::Pod;
use fencepost::{
    AllocationDesc, Allocator, Buffer, BufferDesc, Image, ImageDesc, Point, Recording, Timeline,
    ash, vk,
};

/// Uploads to device-local memory.
pub(crate) struct Uploads {
    allocator: Allocator,
    device: ash::Device,
    timeline: Timeline,
    ring: CommandRing,
    /// The two queue families that access what is uploaded; empty if they are the same.
    families: Vec<u32>,
    last: Option<Point>,
}

impl Uploads {
    /// Uploads on `timeline`, whose queue is of the family `own`, for use on the family `reader`.
    pub(crate) fn new(
        allocator: &Allocator,
        device: &ash::Device,
        timeline: Timeline,
        own: u32,
        reader: u32,
    ) -> Result<Self> {
        Ok(Self {
            allocator: allocator.clone(),
            device: device.clone(),
            timeline,
            ring: CommandRing::new(allocator, device, own)?,
            families: if own == reader { Vec::new() } else { vec![own, reader] },
            last: None,
        })
    }

    /// Begins to record uploads that one submission will execute together.
    pub(crate) fn begin(&mut self) -> Result<Batch<'_>> {
        let commands = self.ring.begin(&self.timeline)?;
        let recording = self.timeline.begin()?;
        Ok(Batch { recording, commands, uploads: self })
    }

    /// What work must wait for if it uses anything that was uploaded so far.
    pub(crate) fn done(&self) -> Option<vk::SemaphoreSubmitInfo<'static>> {
        let all = vk::PipelineStageFlags2::ALL_COMMANDS;
        let info = vk::SemaphoreSubmitInfo::default().stage_mask(all);
        Some(info.semaphore(self.timeline.semaphore()?).value(self.last?.value()))
    }
}

/// Uploads that are being recorded.
pub(crate) struct Batch<'a> {
    uploads: &'a mut Uploads,
    recording: Recording,
    commands: vk::CommandBuffer,
}

impl Batch<'_> {
    /// A device-local buffer that will hold `contents`.
    pub(crate) fn buffer<T: Pod>(
        &mut self,
        name: &'static str,
        usage: vk::BufferUsageFlags,
        contents: &[T],
    ) -> Result<Buffer> {
        let staging = self.staging(contents)?;
        let usage = usage | vk::BufferUsageFlags::TRANSFER_DST;
        let buffer = self.uploads.allocator.create_buffer(
            &BufferDesc::new(staging.size(), usage).queue_families(&self.uploads.families),
            &AllocationDesc::device_local().name(name),
        )?;
        let all = [vk::BufferCopy { src_offset: 0, dst_offset: 0, size: staging.size() }];
        // SAFETY: both buffers hold `size` bytes, and the recording keeps their memory until the
        // copy is done.
        unsafe {
            let (from, to) = (staging.handle(), buffer.handle());
            self.uploads.device.cmd_copy_buffer(self.commands, from, to, &all);
        }
        Ok(buffer)
    }

    /// A texture that will hold all levels of `chain` and be ready to be sampled.
    pub(crate) fn texture(&mut self, name: &'static str, chain: &MipChain) -> Result<Image> {
        let staging = self.staging(&chain.bytes)?;
        let usage = vk::ImageUsageFlags::SAMPLED | vk::ImageUsageFlags::TRANSFER_DST;
        let image = self.uploads.allocator.create_image(
            &ImageDesc::new_2d(COLOUR, chain.side, chain.side, usage)
                .mip_levels(chain.levels())
                .queue_families(&self.uploads.families),
            &AllocationDesc::device_local().name(name),
        )?;
        let levels: Vec<_> = (0..)
            .zip(chain.layout())
            .map(|(index, (offset, side))| {
                vk::BufferImageCopy::default()
                    .buffer_offset(offset)
                    .image_subresource(images::level(index))
                    .image_extent(vk::Extent3D { width: side, height: side, depth: 1 })
            })
            .collect();
        self.barrier(turn(&image, Use::Nothing, Use::CopyTarget));
        // SAFETY: each level lies within the staging buffer, and the recording keeps the memory of
        // buffer and image until the copy is done.
        unsafe {
            self.uploads.device.cmd_copy_buffer_to_image(
                self.commands,
                staging.handle(),
                image.handle(),
                vk::ImageLayout::TRANSFER_DST_OPTIMAL,
                &levels,
            );
        }
        self.barrier(turn(&image, Use::CopyTarget, Use::HandedOver));
        Ok(image)
    }

    /// Sends the uploads to their queue.
    pub(crate) fn submit(self) -> Result<()> {
        let Batch { uploads, recording, commands } = self;
        let infos = [vk::CommandBufferSubmitInfo::default().command_buffer(commands)];
        let submit = vk::SubmitInfo2::default().command_buffer_infos(&infos);
        // SAFETY: the command buffer is being recorded.
        unsafe { uploads.device.end_command_buffer(commands) }?;
        // SAFETY: the commands name only what was made since `recording` began.
        let point = recording.submit(|signal| unsafe { signal.queue_submit2(&[submit]) })?;
        uploads.ring.submitted(point);
        uploads.last = Some(point);
        Ok(())
    }

    fn staging<T: Pod>(&self, contents: &[T]) -> Result<Buffer> {
        let size = size_of_val(contents) as u64;
        let mut staging = self.uploads.allocator.create_buffer(
            &BufferDesc::new(size, vk::BufferUsageFlags::TRANSFER_SRC),
            &AllocationDesc::upload().name("staging"),
        )?;
        staging.write(0, contents)?;
        Ok(staging)
    }

    fn barrier(&self, barrier: vk::ImageMemoryBarrier2<'_>) {
        let barriers = [barrier];
        let dependency = vk::DependencyInfo::default().image_memory_barriers(&barriers);
        // SAFETY: the command buffer is being recorded, and the image lives as long as it.
        unsafe { self.uploads.device.cmd_pipeline_barrier2(self.commands, &dependency) };
    }
}
