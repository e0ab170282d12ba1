//! Command buffers: those of the fake, and those of the code under test.

use ash::vk;
use fencepost::fake::{Call, Use, Violation};

use crate::support::{Gpu, object, submission};

struct Pool {
    gpu: Gpu,
    pool: vk::CommandPool,
    commands: vk::CommandBuffer,
}

fn pool() -> Pool {
    let gpu = Gpu::new();
    unsafe {
        let pool = gpu.device.create_command_pool(&Default::default(), None).unwrap();
        let info =
            vk::CommandBufferAllocateInfo::default().command_pool(pool).command_buffer_count(1);
        let commands = gpu.device.allocate_command_buffers(&info).unwrap()[0];
        Pool { gpu, pool, commands }
    }
}

impl Pool {
    fn begin(&self, flags: vk::CommandBufferUsageFlags) {
        let info = vk::CommandBufferBeginInfo::default().flags(flags);
        unsafe { self.gpu.device.begin_command_buffer(self.commands, &info) }.unwrap();
    }

    fn end(&self) {
        unsafe { self.gpu.device.end_command_buffer(self.commands) }.unwrap();
    }

    fn submit(&self, commands: vk::CommandBuffer) {
        let commands = [commands];
        let info = vk::SubmitInfo::default().command_buffers(&commands);
        let queue = self.gpu.fake.queue(0);
        unsafe { self.gpu.device.queue_submit(queue, &[info], vk::Fence::null()) }.unwrap();
    }
}

#[test]
fn a_pooled_command_buffer_is_recorded_submitted_and_recorded_again() {
    let it = pool();
    let (gpu, memory) = (&it.gpu, it.gpu.memory(64));
    for _ in 0..2 {
        it.begin(vk::CommandBufferUsageFlags::empty());
        gpu.fake.record_into(it.commands, &[Use::memory(memory, 0, 32)]);
        gpu.fake.record_into(it.commands, &[Use::memory(memory, 32, 32)]);
        it.end();
        for _ in 0..2 {
            it.submit(it.commands);
            gpu.fake.run();
        }
    }
    unsafe {
        gpu.device.reset_command_pool(it.pool, Default::default()).unwrap();
        gpu.device.destroy_command_pool(it.pool, None);
        gpu.device.free_memory(memory, None);
    }
    gpu.fake.finish().unwrap();
}

#[test]
fn a_pending_command_buffer_is_left_alone() {
    let it = pool();
    let gpu = &it.gpu;
    it.begin(vk::CommandBufferUsageFlags::SIMULTANEOUS_USE);
    it.end();
    it.submit(it.commands);
    it.submit(it.commands);
    gpu.kept();
    gpu.fake.run();
    it.begin(vk::CommandBufferUsageFlags::empty());
    it.end();
    it.submit(it.commands);
    it.submit(it.commands);
    unsafe {
        gpu.device.reset_command_buffer(it.commands, Default::default()).unwrap();
        gpu.device.free_command_buffers(it.pool, &[it.commands]);
    }
    let in_use = |call, number| Violation::InUse {
        call,
        object: object(it.commands),
        submission: submission(0, number),
    };
    gpu.broke(&[
        in_use(Call::QueueSubmit, 3),
        in_use(Call::ResetCommandBuffer, 4),
        in_use(Call::FreeCommandBuffers, 4),
    ]);
    assert_eq!(gpu.fake.run(), 2);
}

#[test]
fn only_recorded_command_buffers_are_submitted_and_one_time_ones_once() {
    let it = pool();
    let gpu = &it.gpu;
    it.submit(it.commands);
    it.begin(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
    it.submit(it.commands);
    it.end();
    it.submit(it.commands);
    gpu.fake.run();
    it.submit(it.commands);
    let commands = object(it.commands);
    let not_recorded = |number| {
        let submission = submission(0, number);
        Violation::SubmitNotRecorded { submission, commands }
    };
    gpu.broke(&[not_recorded(1), not_recorded(2), not_recorded(4)]);
}

#[test]
fn the_fakes_own_command_buffer_is_gone_after_its_submission() {
    let it = pool();
    let own = it.gpu.fake.record(&[]);
    it.submit(own);
    it.submit(own);
    it.gpu.fake.run();
    it.submit(own);
    it.gpu.broke(&[
        Violation::SubmitNotRecorded { submission: submission(0, 2), commands: object(own) },
        Violation::Unknown { call: Call::QueueSubmit, object: object(own) },
    ]);
}

#[test]
fn begin_and_end_come_in_turn() {
    let it = pool();
    it.end();
    it.begin(Default::default());
    it.begin(Default::default());
    let fresh = it.gpu.fake.record(&[]);
    it.gpu.fake.record_into(fresh, &[]);
    let commands = object(it.commands);
    let wrong = |call| Violation::CommandState { call, commands };
    it.gpu.broke(&[wrong(Call::EndCommandBuffer), wrong(Call::BeginCommandBuffer)]);
}

#[test]
fn a_command_buffer_is_freed_to_its_own_pool() {
    let it = pool();
    let gpu = &it.gpu;
    unsafe {
        let other = gpu.device.create_command_pool(&Default::default(), None).unwrap();
        gpu.device.free_command_buffers(other, &[it.commands, vk::CommandBuffer::null()]);
        gpu.broke(&[Violation::FreeFromPool { pool: object(other), object: object(it.commands) }]);
        gpu.device.free_command_buffers(it.pool, &[it.commands]);
        gpu.device.free_command_buffers(it.pool, &[it.commands]);
    }
    let unknown =
        Violation::Unknown { call: Call::FreeCommandBuffers, object: object(it.commands) };
    assert_eq!(gpu.fake.violations()[1..], [unknown]);
}
