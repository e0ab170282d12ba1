//! One batch of copies: its command buffers, and the words that they copy.

use ash::vk;
use fencepost::{AllocationDesc, Allocator, Buffer, BufferDesc};

use super::stop::Stop;
use super::support::Gpu;
use super::touch::WORD;

/// The maximum number of words that a batch writes, and that it checks.
pub(crate) const WORDS: usize = 1 << 15;

/// A word to be checked: its allocation and its number there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) id: u32,
    pub(crate) index: u32,
}

/// Commands that are recorded while the trace is replayed. They go to `writes` and `checks`, which
/// are submitted in this order.
pub(crate) struct Batch {
    device: ash::Device,
    pool: vk::CommandPool,
    writes: vk::CommandBuffer,
    checks: vk::CommandBuffer,
    /// The words to write.
    source: Buffer,
    /// The words that were read back.
    log: Buffer,
    written: usize,
    /// Whether the writes begin with a barrier.
    ordered: bool,
    expected: Vec<Expected>,
}

impl Batch {
    /// Creates an empty, open batch.
    pub(crate) fn new(gpu: &Gpu, allocator: &Allocator) -> Result<Self, Stop> {
        let buffer = |usage, memory| {
            let desc = BufferDesc::new(WORDS as u64 * WORD, usage);
            allocator.create_buffer(&desc, &memory).map_err(Stop::Words)
        };
        let source = buffer(vk::BufferUsageFlags::TRANSFER_SRC, AllocationDesc::upload())?;
        let log = buffer(vk::BufferUsageFlags::TRANSFER_DST, AllocationDesc::readback())?;
        let device = gpu.device.clone();
        let info = vk::CommandPoolCreateInfo::default().queue_family_index(gpu.main.family);
        // SAFETY: the device is alive, and the family one of its own.
        let pool = unsafe { device.create_command_pool(&info, None) }
            .map_err(|error| Stop::Vulkan("vkCreateCommandPool", error))?;
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(pool)
            .level(vk::CommandBufferLevel::PRIMARY)
            .command_buffer_count(2);
        // SAFETY: the pool is new and this thread's alone.
        let [writes, checks] = match unsafe { device.allocate_command_buffers(&info) }.as_deref() {
            Ok(&[writes, checks]) => [writes, checks],
            other => {
                // SAFETY: nothing of the pool is in use.
                unsafe { device.destroy_command_pool(pool, None) };
                let error = other.err().copied().unwrap_or(vk::Result::ERROR_UNKNOWN);
                return Err(Stop::Vulkan("vkAllocateCommandBuffers", error));
            }
        };
        Ok(Self {
            device,
            pool,
            writes,
            checks,
            source,
            log,
            written: 0,
            ordered: false,
            expected: Vec::new(),
        })
    }

    /// The number of words that it writes or that it checks, whichever is greater.
    pub(crate) fn fullest(&self) -> usize {
        self.written.max(self.expected.len())
    }

    /// Orders the following writes after everything that was submitted before.
    pub(crate) fn order(&mut self, barrier: vk::MemoryBarrier<'_>) -> Result<(), Stop> {
        if self.written == 0 && !self.ordered {
            self.begin(self.writes)?;
        }
        self.ordered = true;
        let all = vk::PipelineStageFlags::ALL_COMMANDS;
        let none = vk::DependencyFlags::empty();
        // SAFETY: the command buffer is being recorded.
        unsafe {
            self.device.cmd_pipeline_barrier(self.writes, all, all, none, &[barrier], &[], &[]);
        }
        Ok(())
    }

    /// Writes words to a buffer at these offsets.
    pub(crate) fn write_buffer(
        &mut self,
        buffer: vk::Buffer,
        offsets: impl Iterator<Item = u64>,
        words: &[u32],
    ) -> Result<(), Stop> {
        let (commands, from) = self.write(words)?;
        let regions: Vec<_> = sources(from).zip(offsets).map(copy_region).collect();
        // SAFETY: the buffer is alive and stays so until the batch is done; all words are inside.
        unsafe {
            self.device.cmd_copy_buffer(commands, self.source.handle(), buffer, &regions);
        }
        Ok(())
    }

    /// Writes words to texels of a new image, and leaves it in the general layout.
    pub(crate) fn write_image(
        &mut self,
        image: vk::Image,
        texels: impl Iterator<Item = vk::Offset3D>,
        words: &[u32],
    ) -> Result<(), Stop> {
        let (commands, from) = self.write(words)?;
        let regions: Vec<_> = sources(from).zip(texels).map(image_region).collect();
        let general = vk::ImageMemoryBarrier::default()
            .dst_access_mask(vk::AccessFlags::TRANSFER_WRITE)
            .new_layout(vk::ImageLayout::GENERAL)
            .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
            .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
            .image(image)
            .subresource_range(vk::ImageSubresourceRange {
                aspect_mask: vk::ImageAspectFlags::COLOR,
                level_count: 1,
                layer_count: 1,
                ..Default::default()
            });
        // SAFETY: as in `write_buffer`.
        unsafe {
            self.device.cmd_pipeline_barrier(
                commands,
                // After the barrier for memory that was taken over.
                vk::PipelineStageFlags::ALL_COMMANDS,
                vk::PipelineStageFlags::TRANSFER,
                vk::DependencyFlags::empty(),
                &[],
                &[],
                &[general],
            );
            self.device.cmd_copy_buffer_to_image(
                commands,
                self.source.handle(),
                image,
                vk::ImageLayout::GENERAL,
                &regions,
            );
        }
        Ok(())
    }

    /// Reads the words of allocation `id` back from a buffer.
    pub(crate) fn check_buffer(
        &mut self,
        id: u32,
        buffer: vk::Buffer,
        offsets: impl Iterator<Item = u64>,
    ) -> Result<(), Stop> {
        let (commands, to) = self.check()?;
        let regions: Vec<_> = offsets.zip(sources(to)).map(copy_region).collect();
        self.expect(id, regions.len());
        // SAFETY: as in `write_buffer`.
        unsafe { self.device.cmd_copy_buffer(commands, buffer, self.log.handle(), &regions) };
        Ok(())
    }

    /// Reads the words of allocation `id` back from an image in the general layout.
    pub(crate) fn check_image(
        &mut self,
        id: u32,
        image: vk::Image,
        texels: impl Iterator<Item = vk::Offset3D>,
    ) -> Result<(), Stop> {
        let (commands, to) = self.check()?;
        let regions: Vec<_> = sources(to).zip(texels).map(image_region).collect();
        self.expect(id, regions.len());
        // SAFETY: as in `write_buffer`.
        unsafe {
            self.device.cmd_copy_image_to_buffer(
                commands,
                image,
                vk::ImageLayout::GENERAL,
                self.log.handle(),
                &regions,
            );
        }
        Ok(())
    }

    /// Ends the command buffers that hold commands.
    pub(crate) fn end(&mut self) -> Result<[Option<vk::CommandBuffer>; 2], Stop> {
        let writes = (self.written > 0 || self.ordered).then_some(self.writes);
        let checks = (!self.expected.is_empty()).then_some(self.checks);
        if let Some(checks) = checks {
            let host = (vk::PipelineStageFlags::HOST, vk::AccessFlags::HOST_READ);
            self.barrier(checks, host);
        }
        for commands in [writes, checks].into_iter().flatten() {
            // SAFETY: the command buffer was begun by its first command.
            unsafe { self.device.end_command_buffer(commands) }
                .map_err(|error| Stop::Vulkan("vkEndCommandBuffer", error))?;
        }
        Ok([writes, checks])
    }

    /// The words that were read back, once the GPU has completed the batch.
    pub(crate) fn found(&self) -> Result<Vec<u32>, Stop> {
        let mut found = vec![0; self.expected.len()];
        self.log.read(0, &mut found)?;
        Ok(found)
    }

    /// The words with which they are to be compared.
    pub(crate) fn expected(&self) -> &[Expected] {
        &self.expected
    }

    /// Empties the batch, which the GPU has completed.
    pub(crate) fn reset(&mut self) -> Result<(), Stop> {
        (self.written, self.ordered) = (0, false);
        self.expected.clear();
        // SAFETY: no command buffer of the pool is pending.
        unsafe { self.device.reset_command_pool(self.pool, vk::CommandPoolResetFlags::empty()) }
            .map_err(|error| Stop::Vulkan("vkResetCommandPool", error))
    }

    /// Destroys everything.
    ///
    /// # Safety
    /// The GPU has completed the batch, or it was never submitted and never will be.
    pub(crate) unsafe fn destroy(self) {
        // SAFETY: by this function's contract nothing uses the objects any more.
        unsafe {
            self.device.destroy_command_pool(self.pool, None);
            self.source.free_now();
            self.log.free_now();
        }
    }

    /// Adds words to be written. Returns the command buffer for this, and the number of the first
    /// word.
    fn write(&mut self, words: &[u32]) -> Result<(vk::CommandBuffer, usize), Stop> {
        let from = self.written;
        self.source.write(from as u64 * WORD, words)?;
        if from == 0 && !self.ordered {
            self.begin(self.writes)?;
        }
        self.written += words.len();
        Ok((self.writes, from))
    }

    /// The command buffer for checks, and the first free word of the log. The first check waits for
    /// all writes that were submitted before it, including those of this batch.
    fn check(&mut self) -> Result<(vk::CommandBuffer, usize), Stop> {
        if self.expected.is_empty() {
            self.begin(self.checks)?;
            let copies = (vk::PipelineStageFlags::TRANSFER, vk::AccessFlags::TRANSFER_READ);
            self.barrier(self.checks, copies);
        }
        Ok((self.checks, self.expected.len()))
    }

    fn expect(&mut self, id: u32, count: usize) {
        self.expected.extend((0..count as u32).map(|index| Expected { id, index }));
    }

    fn begin(&self, commands: vk::CommandBuffer) -> Result<(), Stop> {
        let once = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: the command buffer is in its initial state: new, or its pool was reset.
        unsafe { self.device.begin_command_buffer(commands, &once) }
            .map_err(|error| Stop::Vulkan("vkBeginCommandBuffer", error))
    }

    /// Orders everything that follows after all copies so far.
    fn barrier(
        &self,
        commands: vk::CommandBuffer,
        (stage, access): (vk::PipelineStageFlags, vk::AccessFlags),
    ) {
        let barrier = vk::MemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::TRANSFER_WRITE)
            .dst_access_mask(access);
        // SAFETY: the command buffer is being recorded.
        unsafe {
            self.device.cmd_pipeline_barrier(
                commands,
                vk::PipelineStageFlags::TRANSFER,
                stage,
                vk::DependencyFlags::empty(),
                &[barrier],
                &[],
                &[],
            );
        }
    }
}

/// The byte offsets of the words of `source` or `log`, from word `first` on.
fn sources(first: usize) -> impl Iterator<Item = u64> {
    (first as u64..).map(|word| word * WORD)
}

fn copy_region((from, to): (u64, u64)) -> vk::BufferCopy {
    vk::BufferCopy { src_offset: from, dst_offset: to, size: WORD }
}

/// One texel, and its word in a buffer.
fn image_region((word, texel): (u64, vk::Offset3D)) -> vk::BufferImageCopy {
    vk::BufferImageCopy::default()
        .buffer_offset(word)
        .image_subresource(vk::ImageSubresourceLayers {
            aspect_mask: vk::ImageAspectFlags::COLOR,
            layer_count: 1,
            ..Default::default()
        })
        .image_offset(texel)
        .image_extent(vk::Extent3D { width: 1, height: 1, depth: 1 })
}
