//! Buffers that are moved, over the fake driver: a stage with a command buffer, and blocks full of
//! holes.
#![allow(dead_code, reason = "each test target uses its own part")]

use fencepost::{
    AllocationDesc, Allocator, Buffer, BufferDesc, Defragmentation, Move, MoveError, Recording,
    Timeline,
    fake::{FakeDriver, Profile},
    vk,
};

use super::support::*;

/// The fake, an allocator, a timeline, and a command buffer that is begun again for each
/// submission.
pub struct Stage {
    pub fake: FakeDriver,
    pub allocator: Allocator,
    pub frames: Timeline,
    pool: vk::CommandPool,
    pub commands: vk::CommandBuffer,
    _judge: Judge,
}

/// Checks the fake when everything else is gone.
struct Judge(FakeDriver);

impl Drop for Judge {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.finish().unwrap();
        }
    }
}

impl Stage {
    pub fn new() -> Self {
        Self::over(FakeDriver::new(&Profile::default()))
    }

    pub fn over(fake: FakeDriver) -> Self {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let info = vk::CommandPoolCreateInfo::default()
            .flags(vk::CommandPoolCreateFlags::RESET_COMMAND_BUFFER);
        // SAFETY: the fake's own objects, used as Vulkan asks; it judges.
        let pool = unsafe { fake.device().create_command_pool(&info, None) }.unwrap();
        let info =
            vk::CommandBufferAllocateInfo::default().command_pool(pool).command_buffer_count(1);
        // SAFETY: as above.
        let commands = unsafe { fake.device().allocate_command_buffers(&info) }.unwrap()[0];
        let _judge = Judge(fake.clone());
        Self { fake, allocator, frames, pool, commands, _judge }
    }

    pub fn begin(&self) -> Recording {
        // SAFETY: as above; the GPU is idle between frames.
        unsafe {
            self.fake.device().begin_command_buffer(self.commands, &Default::default()).unwrap();
        }
        self.frames.begin().unwrap()
    }

    pub fn submit(&self, frame: Recording) {
        // SAFETY: as above.
        unsafe { self.fake.device().end_command_buffer(self.commands) }.unwrap();
        submit(frame, &[self.commands]).unwrap();
    }

    /// Moves those of `buffers` that are to be moved, in one frame that the GPU then executes.
    /// Returns how many were moved, and how many found no room.
    pub fn move_all(&self, run: &Defragmentation, buffers: &mut [Buffer]) -> (u64, u64) {
        let frame = self.begin();
        let mut refused = 0;
        // SAFETY: the command buffer is recorded under this recording, and submitted with it.
        let mut copies = unsafe { run.copies(&frame, self.commands) }.unwrap();
        for buffer in buffers.iter_mut().filter(|buffer| run.contains(buffer.allocation())) {
            match copies.move_buffer(buffer, &movable(buffer.size()), &memory()) {
                Ok(()) => {}
                Err(MoveError::NoRoom) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        let moved = copies.moved();
        drop(copies);
        self.submit(frame);
        self.fake.run();
        self.allocator.collect();
        (moved, refused)
    }

    pub fn reserved(&self) -> u64 {
        self.allocator.statistics().total.reserved
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { self.fake.device().destroy_command_pool(self.pool, None) };
    }
}

pub fn movable(size: u64) -> BufferDesc {
    use vk::BufferUsageFlags as Usage;
    BufferDesc::new(size, Usage::STORAGE_BUFFER | Usage::TRANSFER_SRC | Usage::TRANSFER_DST)
}

pub fn memory() -> AllocationDesc {
    AllocationDesc::device_local().name("moves")
}

pub fn buffers(allocator: &Allocator, sizes: impl IntoIterator<Item = u64>) -> Vec<Buffer> {
    let make = |size| allocator.create_buffer(&movable(size), &memory()).unwrap();
    sizes.into_iter().map(make).collect()
}

pub fn write(fake: &FakeDriver, buffer: &Buffer, value: u64) {
    let (memory, offset) = (buffer.allocation().memory(), buffer.allocation().offset());
    assert!(fake.gpu_write(memory, offset, &value.to_le_bytes()));
}

pub fn read(fake: &FakeDriver, buffer: &Buffer) -> u64 {
    let mut bytes = [0; 8];
    assert!(fake.gpu_read(buffer.allocation().memory(), buffer.allocation().offset(), &mut bytes));
    u64::from_le_bytes(bytes)
}

/// Keeps every fourth one.
pub fn thin_out(buffers: &mut Vec<Buffer>) {
    let mut nth = 0;
    buffers.retain(|_| {
        nth += 1;
        nth % 4 == 0
    });
}

/// Buffers of one size, of which every fourth is kept, so that their blocks are full of holes.
pub fn scattered(allocator: &Allocator, size: u64, count: usize) -> Vec<Buffer> {
    let mut buffers = buffers(allocator, vec![size; count]);
    thin_out(&mut buffers);
    allocator.collect();
    buffers
}

pub fn everything(_: &Move) -> bool {
    true
}
