//! A level ends, and its blocks are full of holes. What stayed is moved together, a portion in each
//! frame, and the emptied blocks return to the driver. Draws the memory before and after.
//!
//! ```text
//! cargo run --example defragment
//! ```
use std::{
    collections::HashSet,
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use fencepost::{
    AllocationDesc, Allocator, AllocatorDesc, Buffer, BufferDesc, DefragmentDesc, Timeline, vk,
};

mod support;
use support::{Gpu, GpuRequest};

/// The number of buffers that are moved in a frame.
const PORTION: usize = 8;
const LONG: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args_os().nth(1).map_or_else(|| "out".into(), PathBuf::from);
    let [before, after] = enter(&out)?;
    println!("{before} bytes were reserved, {after} are; drawn in {}", out.display());
    Ok(())
}

/// The program. Returns the reserved bytes before and after.
pub(crate) fn enter(out: &Path) -> Result<[u64; 2], Box<dyn Error>> {
    let gpu = Gpu::open(&GpuRequest::default())?;
    let desc = AllocatorDesc::new(&gpu.instance, gpu.physical_device, &gpu.device)
        .api_version(gpu.api_version)
        .features(gpu.features())
        .largest_block(4 << 20)
        .keep_alive(gpu.clone());
    // SAFETY: the device lives as long as the allocator, and the queue in use gets a timeline.
    let allocator = unsafe { Allocator::new(&desc)? };
    let timeline = allocator.timeline(gpu.main.queue)?;
    let info = vk::CommandPoolCreateInfo::default().queue_family_index(gpu.main.family);
    // SAFETY: the device is alive; `frame` records each command buffer once.
    let pool = unsafe { gpu.device.create_command_pool(&info, None)? };
    let done = play(&Program { gpu: &gpu, allocator: &allocator, timeline: &timeline, pool }, out);
    // SAFETY: each frame was waited for.
    unsafe { gpu.device.destroy_command_pool(pool, None) };
    done
}

struct Program<'a> {
    gpu: &'a Gpu,
    allocator: &'a Allocator,
    timeline: &'a Timeline,
    pool: vk::CommandPool,
}

/// A mesh that can be moved, which its usage allows.
fn mesh(size: u64) -> BufferDesc {
    use vk::BufferUsageFlags as Usage;
    BufferDesc::new(size, Usage::VERTEX_BUFFER | Usage::TRANSFER_SRC | Usage::TRANSFER_DST)
}

fn memory(number: u64) -> AllocationDesc {
    let name = ["terrain", "trees", "water", "rocks"][number as usize % 4];
    AllocationDesc::device_local().name(name)
}

fn play(program: &Program<'_>, out: &Path) -> Result<[u64; 2], Box<dyn Error>> {
    let allocator = program.allocator;
    let size = |number: u64| 4 * (1000 + 20_000 * (number * number % 13));
    let mut meshes = Vec::new();
    for number in 0..300 {
        let desc = mesh(size(number));
        meshes.push((number, allocator.create_buffer(&desc, &memory(number))?));
    }
    program.frame(|commands, _| {
        let device = &program.gpu.device;
        for (number, filled) in &meshes {
            // SAFETY: the command buffer is being recorded, and the buffer can be the target of a
            // transfer.
            unsafe {
                let (handle, word) = (filled.handle(), *number as u32);
                device.cmd_fill_buffer(commands, handle, 0, vk::WHOLE_SIZE, word);
            }
        }
        Ok(())
    })?;

    // The level ends. A fifth of it is also part of the next level.
    meshes.retain(|(number, _)| number % 5 == 0);
    allocator.collect();
    allocator.trim();
    let before = allocator.statistics();
    fs::create_dir_all(out)?;
    fs::write(out.join("defragment_before.svg"), allocator.snapshot().to_svg())?;

    let mine: HashSet<_> = meshes.iter().map(|(_, mesh)| mesh.allocation().key()).collect();
    let run =
        allocator.defragment(&DefragmentDesc::new(), |found| mine.contains(&found.allocation));
    println!(
        "{}: {} bytes are reserved for {}; {} go if {} of {} meshes move",
        program.gpu.driver(),
        before.total.reserved,
        before.total.live,
        run.bytes(),
        run.moves().len(),
        meshes.len()
    );
    let mut frames = 0;
    while run.remaining() > 0 {
        program.frame(|commands, recording| {
            // SAFETY: recorded under this recording, outside a render pass, and submitted with it.
            let mut copies = unsafe { run.copies(recording, commands)? };
            let to_move = |mesh: &Buffer| run.contains(mesh.allocation());
            for (number, moves) in meshes.iter_mut().filter(|(_, one)| to_move(one)).take(PORTION) {
                copies.move_buffer(moves, &mesh(size(*number)), &memory(*number))?;
            }
            Ok(())
        })?;
        frames += 1;
    }
    drop(run);
    let after = allocator.statistics();
    println!(
        "after {frames} frames {} bytes are reserved for {}",
        after.total.reserved, after.total.live
    );
    fs::write(out.join("defragment_after.svg"), allocator.snapshot().to_svg())?;
    Ok([before.total.reserved, after.total.reserved])
}

impl Program<'_> {
    /// Submits a frame with these commands and waits for the GPU, which a renderer would not do.
    fn frame(
        &self,
        record: impl FnOnce(vk::CommandBuffer, &fencepost::Recording) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let device = &self.gpu.device;
        let recording = self.timeline.begin()?;
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(self.pool)
            .command_buffer_count(1);
        // SAFETY: only this thread uses the pool. The buffer is begun, recorded and ended once.
        let commands = unsafe { device.allocate_command_buffers(&info)? };
        // SAFETY: as above.
        unsafe { device.begin_command_buffer(commands[0], &Default::default())? };
        record(commands[0], &recording)?;
        // SAFETY: as above.
        unsafe { device.end_command_buffer(commands[0])? };
        let batch = vk::SubmitInfo::default().command_buffers(&commands);
        // SAFETY: everything that the commands name lives until the GPU has passed them.
        let point = recording.submit(|signal| unsafe { signal.queue_submit(&[batch]) })?;
        self.timeline.wait(point, LONG)?;
        self.allocator.collect();
        Ok(())
    }
}
