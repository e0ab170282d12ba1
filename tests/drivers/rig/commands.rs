//! Command buffers for one thread, and the few commands that scenarios record.

use std::sync::Arc;

use ash::vk;

use crate::support::Gpu;

/// A command pool. Its buffers are used once. Unless they are returned earlier, they are freed with
/// the pool when the device is idle.
pub(crate) struct Commands {
    gpu: Arc<Gpu>,
    pool: vk::CommandPool,
}

impl Commands {
    pub(crate) fn new(gpu: &Arc<Gpu>) -> Self {
        let info = vk::CommandPoolCreateInfo::default().queue_family_index(gpu.main.family);
        // SAFETY: the device is alive.
        let pool = unsafe { gpu.device.create_command_pool(&info, None) }.expect("a command pool");
        Self { gpu: Arc::clone(gpu), pool }
    }

    /// A command buffer that does what `record` writes into it, after the writes of everything that
    /// was submitted before.
    pub(crate) fn record(&self, record: impl FnOnce(&Recorder<'_>)) -> vk::CommandBuffer {
        let device = &self.gpu.device;
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(self.pool)
            .command_buffer_count(1);
        let begin = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: the pool is this thread's alone; the buffer is begun before it is recorded and
        // ended after.
        unsafe {
            let commands = device.allocate_command_buffers(&info).expect("a command buffer")[0];
            device.begin_command_buffer(commands, &begin).expect("a recording");
            record(&Recorder { device, commands });
            device.end_command_buffer(commands).expect("a command buffer");
            commands
        }
    }

    /// Returns a command buffer to this pool. Its work must be done.
    pub(crate) fn give_back(&self, commands: vk::CommandBuffer) {
        // SAFETY: the pool is this thread's alone, and the scenario has waited for the work.
        unsafe { self.gpu.device.free_command_buffers(self.pool, &[commands]) };
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        // SAFETY: after the wait no command buffer of the pool is pending. A scenario that drops
        // its gate later would hang here: gates are declared after their commands.
        unsafe {
            let _ = self.gpu.device.device_wait_idle();
            self.gpu.device.destroy_command_pool(self.pool, None);
        }
    }
}

/// Records commands. Scenarios ensure that handles passed to it are alive and have a suitable
/// usage.
pub(crate) struct Recorder<'a> {
    device: &'a ash::Device,
    pub(crate) commands: vk::CommandBuffer,
}

impl Recorder<'_> {
    /// Everything before it happens before everything after it, for every kind of access.
    pub(crate) fn barrier(&self) {
        let all = vk::PipelineStageFlags::ALL_COMMANDS;
        let memory = vk::MemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::MEMORY_WRITE)
            .dst_access_mask(vk::AccessFlags::MEMORY_READ | vk::AccessFlags::MEMORY_WRITE);
        // SAFETY: the command buffer is being recorded.
        unsafe {
            self.device.cmd_pipeline_barrier(
                self.commands,
                all,
                all | vk::PipelineStageFlags::HOST,
                vk::DependencyFlags::empty(),
                &[memory],
                &[],
                &[],
            );
        }
    }

    /// Fills the whole buffer with a word.
    pub(crate) fn fill(&self, buffer: vk::Buffer, word: u32) {
        // SAFETY: the command buffer is being recorded; the buffer is as the type asks.
        unsafe {
            self.device.cmd_fill_buffer(self.commands, buffer, 0, vk::WHOLE_SIZE, word);
        }
    }

    /// A barrier that names a buffer.
    pub(crate) fn buffer_barrier(&self, buffer: vk::Buffer) {
        let all = vk::PipelineStageFlags::ALL_COMMANDS;
        let barrier = vk::BufferMemoryBarrier::default()
            .buffer(buffer)
            .size(vk::WHOLE_SIZE)
            .src_access_mask(vk::AccessFlags::MEMORY_WRITE)
            .dst_access_mask(vk::AccessFlags::MEMORY_READ)
            .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
            .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED);
        // SAFETY: as in `fill`.
        unsafe {
            self.device.cmd_pipeline_barrier(
                self.commands,
                all,
                all,
                vk::DependencyFlags::empty(),
                &[],
                &[barrier],
                &[],
            );
        }
    }

    /// Binds a descriptor set for compute.
    pub(crate) fn bind(&self, layout: vk::PipelineLayout, set: vk::DescriptorSet) {
        let compute = vk::PipelineBindPoint::COMPUTE;
        // SAFETY: as in `fill`.
        unsafe {
            self.device.cmd_bind_descriptor_sets(self.commands, compute, layout, 0, &[set], &[]);
        }
    }

    /// Copies the first `size` bytes.
    pub(crate) fn copy(&self, from: vk::Buffer, to: vk::Buffer, size: u64) {
        let region = vk::BufferCopy::default().size(size);
        // SAFETY: as in `fill`.
        unsafe { self.device.cmd_copy_buffer(self.commands, from, to, &[region]) };
    }

    /// Copies a plane of an image in layout GENERAL, into it or out of it.
    pub(crate) fn copy_plane(
        &self,
        buffer: vk::Buffer,
        image: vk::Image,
        region: vk::BufferImageCopy,
        into: bool,
    ) {
        let (device, commands, general) = (self.device, self.commands, vk::ImageLayout::GENERAL);
        // SAFETY: as in `fill`.
        unsafe {
            match into {
                true => {
                    device.cmd_copy_buffer_to_image(commands, buffer, image, general, &[region]);
                }
                false => {
                    device.cmd_copy_image_to_buffer(commands, image, general, buffer, &[region]);
                }
            }
        }
    }

    /// Transitions an image to a layout. If `from` is UNDEFINED, its contents may be lost.
    pub(crate) fn layout(&self, image: vk::Image, from: vk::ImageLayout, to: vk::ImageLayout) {
        let all = vk::PipelineStageFlags::ALL_COMMANDS;
        let change = vk::ImageMemoryBarrier::default()
            .image(image)
            .old_layout(from)
            .new_layout(to)
            .src_access_mask(vk::AccessFlags::MEMORY_WRITE)
            .dst_access_mask(vk::AccessFlags::MEMORY_READ | vk::AccessFlags::MEMORY_WRITE)
            .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
            .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
            .subresource_range(color_range());
        // SAFETY: as in `fill`.
        unsafe {
            self.device.cmd_pipeline_barrier(
                self.commands,
                all,
                all,
                vk::DependencyFlags::empty(),
                &[],
                &[],
                &[change],
            );
        }
    }

    /// Transitions a new image to a layout, without a dependency on anything that was submitted
    /// before.
    pub(crate) fn first_layout(&self, image: vk::Image, to: vk::ImageLayout) {
        let change = vk::ImageMemoryBarrier::default()
            .image(image)
            .new_layout(to)
            .dst_access_mask(vk::AccessFlags::TRANSFER_WRITE)
            .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
            .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
            .subresource_range(color_range());
        // SAFETY: as in `fill`.
        unsafe {
            self.device.cmd_pipeline_barrier(
                self.commands,
                vk::PipelineStageFlags::TOP_OF_PIPE,
                vk::PipelineStageFlags::TRANSFER,
                vk::DependencyFlags::empty(),
                &[],
                &[],
                &[change],
            );
        }
    }

    /// Clears an image in TRANSFER_DST_OPTIMAL or GENERAL layout.
    pub(crate) fn clear(&self, image: vk::Image, layout: vk::ImageLayout, color: [u8; 4]) {
        let color = vk::ClearColorValue { float32: color.map(|byte| f32::from(byte) / 255.0) };
        // SAFETY: as in `fill`.
        unsafe {
            self.device.cmd_clear_color_image(
                self.commands,
                image,
                layout,
                &color,
                &[color_range()],
            );
        }
    }

    /// Copies tightly packed texels into an image in TRANSFER_DST_OPTIMAL layout.
    pub(crate) fn copy_to_image(&self, from: vk::Buffer, to: vk::Image, extent: vk::Extent3D) {
        // SAFETY: as in `fill`.
        unsafe {
            self.device.cmd_copy_buffer_to_image(
                self.commands,
                from,
                to,
                vk::ImageLayout::TRANSFER_DST_OPTIMAL,
                &[whole_image(extent)],
            );
        }
    }

    /// Copies the texels of an image to another of the same extent, both in one layout.
    pub(crate) fn copy_image(
        &self,
        from: vk::Image,
        to: vk::Image,
        layout: vk::ImageLayout,
        [width, height]: [u32; 2],
    ) {
        let layers = vk::ImageSubresourceLayers::default()
            .aspect_mask(vk::ImageAspectFlags::COLOR)
            .layer_count(1);
        let region = vk::ImageCopy::default()
            .src_subresource(layers)
            .dst_subresource(layers)
            .extent(vk::Extent3D { width, height, depth: 1 });
        // SAFETY: as in `fill`.
        unsafe {
            self.device.cmd_copy_image(self.commands, from, layout, to, layout, &[region]);
        }
    }

    /// Copies an image in TRANSFER_SRC_OPTIMAL or GENERAL layout into tightly packed texels.
    pub(crate) fn copy_from_image(
        &self,
        from: vk::Image,
        layout: vk::ImageLayout,
        to: vk::Buffer,
        extent: vk::Extent3D,
    ) {
        // SAFETY: as in `fill`.
        unsafe {
            self.device.cmd_copy_image_to_buffer(
                self.commands,
                from,
                layout,
                to,
                &[whole_image(extent)],
            );
        }
    }
}

fn color_range() -> vk::ImageSubresourceRange {
    vk::ImageSubresourceRange::default()
        .aspect_mask(vk::ImageAspectFlags::COLOR)
        .level_count(vk::REMAINING_MIP_LEVELS)
        .layer_count(vk::REMAINING_ARRAY_LAYERS)
}

fn whole_image(extent: vk::Extent3D) -> vk::BufferImageCopy {
    let layers = vk::ImageSubresourceLayers::default()
        .aspect_mask(vk::ImageAspectFlags::COLOR)
        .layer_count(1);
    vk::BufferImageCopy::default().image_subresource(layers).image_extent(extent)
}
