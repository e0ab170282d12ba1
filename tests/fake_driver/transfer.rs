//! Transfer commands: what they touch, and that their bytes arrive when they complete.

use ash::vk;
use fencepost::fake::{Call, Use, Violation};

use crate::support::{Gpu, object, submission};

struct Transfer {
    gpu: Gpu,
    pool: vk::CommandPool,
    commands: vk::CommandBuffer,
    memory: vk::DeviceMemory,
    from: vk::Buffer,
    to: vk::Buffer,
}

const SIZE: u64 = 100_000;
/// Where `to` lies; `from` lies at 0.
const TO: u64 = 100_096;

/// Two buffers in one host-visible memory and a command buffer that is being recorded.
fn transfer() -> Transfer {
    let gpu = Gpu::new();
    let memory = gpu.try_memory(1, 300_000).unwrap();
    let (from, to) = (gpu.buffer_at(SIZE, memory, 0), gpu.buffer_at(SIZE, memory, TO));
    unsafe {
        let pool = gpu.device.create_command_pool(&Default::default(), None).unwrap();
        let info =
            vk::CommandBufferAllocateInfo::default().command_pool(pool).command_buffer_count(1);
        let commands = gpu.device.allocate_command_buffers(&info).unwrap()[0];
        gpu.device.begin_command_buffer(commands, &Default::default()).unwrap();
        Transfer { gpu, pool, commands, memory, from, to }
    }
}

impl Transfer {
    fn submit(&self) {
        let commands = [self.commands];
        let info = vk::SubmitInfo::default().command_buffers(&commands);
        let queue = self.gpu.fake.queue(0);
        unsafe {
            self.gpu.device.end_command_buffer(self.commands).unwrap();
            self.gpu.device.queue_submit(queue, &[info], vk::Fence::null()).unwrap();
        }
    }

    fn bytes(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        assert!(self.gpu.fake.gpu_read(self.memory, offset, &mut bytes));
        bytes
    }
}

fn copy(src_offset: u64, dst_offset: u64, size: u64) -> vk::BufferCopy {
    vk::BufferCopy { src_offset, dst_offset, size }
}

#[test]
fn a_copy_arrives_when_its_submission_completes() {
    let it = transfer();
    let data: Vec<u8> = (0..SIZE).map(|i| (i * 7 % 251) as u8).collect();
    it.gpu.fake.gpu_write(it.memory, 0, &data);
    unsafe {
        let regions = [copy(0, 0, SIZE), copy(50, 70, 5)];
        it.gpu.device.cmd_copy_buffer(it.commands, it.from, it.to, &regions);
        it.gpu.device.cmd_pipeline_barrier2(it.commands, &Default::default());
    }
    it.submit();
    assert_eq!(it.bytes(TO, 1000), vec![0; 1000]);
    it.gpu.fake.run();
    let mut wanted = data.clone();
    wanted[70..75].copy_from_slice(&data[50..55]);
    assert_eq!(it.bytes(TO, SIZE as usize), wanted);
    unsafe {
        it.gpu.device.destroy_buffer(it.from, None);
        it.gpu.device.destroy_buffer(it.to, None);
        it.gpu.device.free_memory(it.memory, None);
        it.gpu.device.destroy_command_pool(it.pool, None);
    }
    it.gpu.fake.finish().unwrap();
}

#[test]
fn fills_and_updates_come_in_order() {
    let it = transfer();
    let region = [vk::BufferCopy2::default().src_offset(0).dst_offset(4).size(8)];
    let info =
        vk::CopyBufferInfo2::default().src_buffer(it.to).dst_buffer(it.from).regions(&region);
    unsafe {
        let device = &it.gpu.device;
        device.cmd_fill_buffer(it.commands, it.to, 0, vk::WHOLE_SIZE, 0x0101_0101);
        device.cmd_update_buffer(it.commands, it.to, 4, &[9; 4]);
        device.cmd_copy_buffer2(it.commands, &info);
        device.cmd_fill_buffer(it.commands, it.to, 8, 4, 0);
    }
    it.submit();
    it.gpu.fake.run();
    assert_eq!(it.bytes(TO, 16), [1, 1, 1, 1, 9, 9, 9, 9, 0, 0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(it.bytes(TO + SIZE - 4, 8), [1, 1, 1, 1, 0, 0, 0, 0]);
    assert_eq!(it.bytes(0, 12), [0, 0, 0, 0, 1, 1, 1, 1, 9, 9, 9, 9]);
    it.gpu.kept();
}

#[test]
fn a_command_keeps_what_it_touches_in_use() {
    let it = transfer();
    let image = it.gpu.image(16, vk::ImageTiling::OPTIMAL);
    let memory = it.gpu.memory(1 << 16);
    let (layout, region) = (vk::ImageLayout::GENERAL, [Default::default()]);
    unsafe {
        let device = &it.gpu.device;
        device.bind_image_memory(image, memory, 0).unwrap();
        device.cmd_copy_buffer_to_image(it.commands, it.from, image, layout, &region);
        device.cmd_copy_image_to_buffer(it.commands, image, layout, it.from, &region);
        it.submit();
        it.gpu.kept();
        device.destroy_buffer(it.from, None);
        device.destroy_image(image, None);
    }
    let submission = submission(0, 1);
    it.gpu.broke(&[
        Violation::InUse { call: Call::DestroyBuffer, object: object(it.from), submission },
        Violation::InUse { call: Call::DestroyImage, object: object(image), submission },
    ]);
}

#[test]
fn a_command_stays_inside_its_buffers() {
    let it = transfer();
    unsafe {
        let device = &it.gpu.device;
        let regions = [copy(0, 1, SIZE), copy(u64::MAX, 0, 2)];
        device.cmd_copy_buffer(it.commands, it.from, it.to, &regions);
        device.cmd_fill_buffer(it.commands, it.to, SIZE, vk::WHOLE_SIZE, 0);
        device.cmd_update_buffer(it.commands, it.to, SIZE - 4, &[0; 4]);
        device.cmd_update_buffer(it.commands, it.to, SIZE, &[0; 4]);
    }
    let outside = |call, buffer, offset, size| Violation::CommandOutOfRange {
        call,
        buffer: object(buffer),
        offset,
        size,
    };
    it.gpu.broke(&[
        outside(Call::CmdCopyBuffer, it.to, 1, SIZE),
        outside(Call::CmdCopyBuffer, it.from, u64::MAX, 2),
        outside(Call::CmdFillBuffer, it.to, SIZE, vk::WHOLE_SIZE),
        outside(Call::CmdUpdateBuffer, it.to, SIZE, 4),
    ]);
}

#[test]
fn commands_are_recorded_between_begin_and_end() {
    let it = transfer();
    it.submit();
    unsafe { it.gpu.device.cmd_fill_buffer(it.commands, it.to, 0, 4, 0) };
    let (call, commands) = (Call::CmdFillBuffer, object(it.commands));
    it.gpu.broke(&[Violation::CommandState { call, commands }]);
}

#[test]
fn work_on_what_is_gone_does_nothing() {
    let it = transfer();
    unsafe {
        let regions = [copy(0, 0, SIZE)];
        it.gpu.device.cmd_copy_buffer(it.commands, it.from, it.to, &regions);
        it.gpu.device.cmd_fill_buffer(it.commands, it.to, 4, vk::WHOLE_SIZE, 1);
        it.submit();
        it.gpu.device.destroy_buffer(it.to, None);
        it.gpu.device.free_memory(it.memory, None);
    }
    it.gpu.fake.run();
    assert_eq!(it.gpu.fake.violations().len(), 2);
    // The rest of the state is as it was.
    let buffer = it.gpu.buffer_at(64, it.gpu.memory(64), 0);
    it.gpu.submit(0, &[Use::buffer(buffer)]);
    it.gpu.fake.run();
    assert_eq!(it.gpu.fake.violations().len(), 2);
}
