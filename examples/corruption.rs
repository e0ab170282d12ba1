//! A bug hunt: a program waits for the wrong fence, and fencepost reports whose memory was written.
//!
//! Each frame computes results, and a pass that smooths them runs one frame later. The program
//! frees the results by hand when the fence of *their* frame is signalled, but their last use is
//! covered by the fence of the next frame. With `--fixed` it waits for that one.
//!
//! ```text
//! cargo run --example corruption
//! cargo run --example corruption -- --fixed
//! ```
use std::{error::Error, time::Duration};

use fencepost::{
    Allocation, AllocationDesc, Allocator, AllocatorDesc, GuardPolicy, GuardedBy, Point,
    ResourceKind, Scrub, Timeline, vk,
};

mod support;
use support::{Gpu, GpuRequest};

const SIZE: u64 = 4096;
const NAMES: [&str; 4] = ["results 0", "results 1", "results 2", "results 3"];
const LONG: Duration = Duration::from_secs(10);

/// What a frame computes. The program created the buffer itself.
struct Results {
    buffer: vk::Buffer,
    memory: Allocation,
}

struct Program<'a> {
    gpu: &'a Gpu,
    allocator: &'a Allocator,
    timeline: &'a Timeline,
    pool: vk::CommandPool,
    buffers: Vec<vk::Buffer>,
}

impl Program<'_> {
    fn new_results(&mut self, name: &'static str) -> Result<Results, Box<dyn Error>> {
        let device = &self.gpu.device;
        let usage = vk::BufferUsageFlags::TRANSFER_DST;
        let info = vk::BufferCreateInfo::default().size(SIZE).usage(usage);
        let desc = AllocationDesc::device_local().name(name);
        // SAFETY: the device is alive, and the range was allocated for this buffer.
        unsafe {
            let buffer = device.create_buffer(&info, None)?;
            self.buffers.push(buffer);
            let needs = device.get_buffer_memory_requirements(buffer);
            let memory = self.allocator.allocate(&needs, ResourceKind::Linear, &desc)?;
            device.bind_buffer_memory(buffer, memory.memory(), memory.offset())?;
            Ok(Results { buffer, memory })
        }
    }

    /// Records and submits a frame: it computes `new` and smooths `last`.
    fn frame(&self, new: vk::Buffer, last: Option<vk::Buffer>) -> Result<Point, Box<dyn Error>> {
        let device = &self.gpu.device;
        let recording = self.timeline.begin()?;
        let info = vk::CommandBufferAllocateInfo::default().command_pool(self.pool);
        // SAFETY: the handles belong to the device and live until it is idle. The command buffer is
        // submitted once, with its recording.
        unsafe {
            let commands = device.allocate_command_buffers(&info.command_buffer_count(1))?[0];
            device.begin_command_buffer(commands, &vk::CommandBufferBeginInfo::default())?;
            // The work of the guards: one call, before the frame's own work.
            self.allocator.record_scrub(&recording, commands, Scrub::Due)?;
            device.cmd_fill_buffer(commands, new, 0, SIZE, 1);
            if let Some(last) = last {
                device.cmd_fill_buffer(commands, last, 0, SIZE, 42);
            }
            device.end_command_buffer(commands)?;
            let commands = [commands];
            let batch = vk::SubmitInfo::default().command_buffers(&commands);
            Ok(recording.submit(|signal| signal.queue_submit(&[batch]))?)
        }
    }

    /// Frees results by hand when the GPU has passed a fence.
    fn free(&self, results: Results, fence: Point) -> Result<(), Box<dyn Error>> {
        self.timeline.wait(fence, LONG)?;
        // SAFETY: the program believes that the fence covers the last use.
        unsafe { results.memory.free_now() };
        Ok(())
    }

    fn run(&mut self, fixed: bool) -> Result<(), Box<dyn Error>> {
        // The results of the last frame, and its fence.
        let mut last: Option<(Results, Point)> = None;
        for name in NAMES {
            let new = self.new_results(name)?;
            let smoothed = last.as_ref().map(|(results, _)| results.buffer);
            if let Some((results, computed)) = last.take_if(|_| !fixed) {
                // The wrong fence: this frame still has to smooth them.
                self.free(results, computed)?;
            }
            let point = self.frame(new.buffer, smoothed)?;
            if let Some((results, _)) = last.replace((new, point)) {
                // The right fence.
                self.free(results, point)?;
            }
            self.allocator.collect();
        }
        last.map_or(Ok(()), |(results, point)| self.free(results, point))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let fixed = std::env::args().any(|argument| argument == "--fixed");
    hunt(fixed)
}

/// Runs the program, with or without the bug, and reports what the guards found.
pub(crate) fn hunt(fixed: bool) -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::open(&GpuRequest::default())?;
    let desc = AllocatorDesc::new(&gpu.instance, gpu.physical_device, &gpu.device)
        .api_version(gpu.api_version)
        .features(gpu.features())
        .guards(GuardPolicy::Full)
        .guarded_by(GuardedBy::Gpu)
        .keep_alive(gpu.clone());
    // SAFETY: the device lives as long as the allocator, and the queue in use gets a timeline.
    let allocator = unsafe { Allocator::new(&desc)? };
    let timeline = allocator.timeline(gpu.main.queue)?;
    let info = vk::CommandPoolCreateInfo::default().queue_family_index(gpu.main.family);
    // SAFETY: the device is alive.
    let pool = unsafe { gpu.device.create_command_pool(&info, None)? };
    let (gpu, allocator, timeline) = (&*gpu, &allocator, &timeline);
    let mut program = Program { gpu, allocator, timeline, pool, buffers: Vec::new() };
    program.run(fixed)?;
    // Scrubs everything once more, and reports what was found in all frames. SAFETY: the queue is
    // of this family, and no other thread submits.
    if let Some(point) = unsafe { allocator.scrub(timeline, gpu.main.family, Scrub::Everything)? } {
        timeline.wait(point, LONG)?;
    }
    let found = allocator.check_guards();
    found.iter().for_each(|corruption| println!("{corruption}"));
    println!("{}: {} findings", gpu.driver(), found.len());
    // SAFETY: every frame was waited for.
    unsafe {
        program.buffers.iter().for_each(|&buffer| gpu.device.destroy_buffer(buffer, None));
        gpu.device.destroy_command_pool(pool, None);
    }
    Ok(())
}
