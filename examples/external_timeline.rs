//! A renderer that owns its semaphore and its submission code adopts fencepost without changing
//! either. It adds two calls around its `submit`: `begin` before it records, and `submitted` with
//! the value that it signals anyway. See `examples/adoption.md`.
//!
//! ```text
//! cargo run --example external_timeline
//! ```
use std::sync::Arc;

use fencepost::{AllocationDesc, Allocator, AllocatorDesc, BufferDesc, vk};

mod support;
use support::{Gpu, GpuRequest};

const FRAMES: u32 = 60;
const IN_FLIGHT: usize = 3;

/// The existing code: a semaphore, a counter, and a function that submits.
struct Renderer {
    gpu: Arc<Gpu>,
    semaphore: vk::Semaphore,
    last_value: u64,
    pool: vk::CommandPool,
    commands: Vec<vk::CommandBuffer>,
    values: [u64; IN_FLIGHT],
}

impl Renderer {
    fn new(gpu: &Arc<Gpu>) -> Result<Self, vk::Result> {
        let info = vk::CommandPoolCreateInfo::default()
            .flags(vk::CommandPoolCreateFlags::RESET_COMMAND_BUFFER)
            .queue_family_index(gpu.main.family);
        // SAFETY: the device lives as long as the renderer.
        let pool = unsafe { gpu.device.create_command_pool(&info, None) }?;
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(pool)
            .command_buffer_count(IN_FLIGHT as u32);
        // SAFETY: the pool is the renderer's.
        let commands = unsafe { gpu.device.allocate_command_buffers(&info) }?;
        let semaphore = gpu.new_timeline_semaphore()?;
        let gpu = Arc::clone(gpu);
        Ok(Self { gpu, semaphore, last_value: 0, pool, commands, values: [0; IN_FLIGHT] })
    }

    fn wait_for(&self, value: u64) -> Result<(), vk::Result> {
        let (semaphores, values) = ([self.semaphore], [value]);
        let info = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
        // SAFETY: the semaphore is the renderer's.
        unsafe { self.gpu.device.wait_semaphores(&info, 10_000_000_000) }
    }

    /// The command buffer of a frame, once the GPU is done with its last use.
    fn frame(&self, frame: u32) -> Result<vk::CommandBuffer, vk::Result> {
        let slot = frame as usize % IN_FLIGHT;
        self.wait_for(self.values[slot])?;
        let info = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: the GPU has passed the buffer's last submission.
        unsafe { self.gpu.device.begin_command_buffer(self.commands[slot], &info) }?;
        Ok(self.commands[slot])
    }

    /// Submits the commands of a frame. Returns the value that the GPU signals after them.
    fn submit(&mut self, frame: u32, commands: vk::CommandBuffer) -> Result<u64, vk::Result> {
        let value = self.last_value + 1;
        let (commands, semaphores, values) = ([commands], [self.semaphore], [value]);
        let mut timeline =
            vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&values);
        let batch = vk::SubmitInfo::default()
            .command_buffers(&commands)
            .signal_semaphores(&semaphores)
            .push_next(&mut timeline);
        // SAFETY: the commands are recorded, and only this thread submits.
        unsafe {
            self.gpu.device.end_command_buffer(commands[0])?;
            self.gpu.device.queue_submit(self.gpu.main.queue, &[batch], vk::Fence::null())?;
        }
        self.last_value = value;
        self.values[frame as usize % IN_FLIGHT] = value;
        Ok(value)
    }
}

impl Drop for Renderer {
    fn drop(&mut self) {
        // SAFETY: waits until nothing of the renderer is in use. The timeline over the semaphore
        // was dropped before.
        unsafe {
            let _ = self.gpu.device.device_wait_idle();
            self.gpu.device.destroy_command_pool(self.pool, None);
            self.gpu.device.destroy_semaphore(self.semaphore, None);
        }
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gpu = Gpu::open(&GpuRequest::default())?;
    let mut renderer = Renderer::new(&gpu)?;

    let desc = AllocatorDesc::new(&gpu.instance, gpu.physical_device, &gpu.device)
        .api_version(gpu.api_version)
        .features(gpu.features())
        .keep_alive(gpu.clone());
    // SAFETY: the device lives as long as the allocator, and the queue in use gets a timeline.
    let allocator = unsafe { Allocator::new(&desc)? };
    // SAFETY: the semaphore outlives the timeline. Only `Renderer::submit` signals it, on this
    // queue, with values that are reported in order.
    let timeline = unsafe {
        allocator.external_timeline(gpu.main.queue, renderer.semaphore, renderer.last_value)?
    };

    let words = BufferDesc::new(
        1 << 16,
        vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST,
    );
    let result = allocator.create_buffer(&words, &AllocationDesc::readback().name("result"))?;
    for frame in 0..FRAMES {
        let recording = timeline.begin()?; // new
        let commands = renderer.frame(frame)?;
        let scratch =
            allocator.create_buffer(&words, &AllocationDesc::device_local().name("scratch"))?;
        let copy = [vk::BufferCopy { src_offset: 0, dst_offset: 0, size: 1 << 16 }];
        let barrier = [vk::MemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::MEMORY_WRITE)
            .dst_access_mask(vk::AccessFlags::MEMORY_READ | vk::AccessFlags::MEMORY_WRITE)];
        let all = vk::PipelineStageFlags::ALL_COMMANDS;
        let none = vk::DependencyFlags::empty();
        let device = &gpu.device;
        // SAFETY: both buffers are alive, large enough and of the usage that the commands need.
        unsafe {
            device.cmd_pipeline_barrier(commands, all, all, none, &barrier, &[], &[]);
            device.cmd_fill_buffer(commands, scratch.handle(), 0, vk::WHOLE_SIZE, frame);
            device.cmd_pipeline_barrier(commands, all, all, none, &barrier, &[], &[]);
            device.cmd_copy_buffer(commands, scratch.handle(), result.handle(), &copy);
        }
        drop(scratch); // no delete queue: the GPU has not even begun
        let value = renderer.submit(frame, commands)?;
        recording.submitted(value)?; // new
        allocator.collect(); // new
    }
    renderer.wait_for(renderer.last_value)?;

    let mut words = vec![0u32; 1 << 14];
    result.read(0, &mut words)?;
    let right = words.iter().all(|&word| word == FRAMES - 1);
    let collected = allocator.collect();
    let statistics = allocator.statistics();
    println!(
        "{}: {FRAMES} frames, contents {}, {} bytes free again at the end, {} bytes held at most",
        gpu.driver(),
        if right { "right" } else { "WRONG" },
        collected.bytes,
        statistics.total.reserved,
    );
    assert!(right && statistics.total.pending_count == 0, "{statistics:?}");
    Ok(())
}
