//! Copies between buffers, in the order of a queue.

use ash::vk;

use super::Vulkan;

/// On which side of the copies a barrier is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// The copies read what was written before.
    Before,
    /// Everything after sees what the copies write.
    After,
}

impl Vulkan {
    /// Records a barrier that orders the copies after everything submitted before, or before
    /// everything that comes after.
    ///
    /// # Safety
    /// The device contract; the command buffer is being recorded, outside a render pass, by this
    /// thread alone.
    pub(crate) unsafe fn record_copy_barrier(&self, commands: vk::CommandBuffer, side: Side) {
        use vk::{AccessFlags as Access, PipelineStageFlags as Stage};
        let all = (Stage::ALL_COMMANDS, Access::MEMORY_READ | Access::MEMORY_WRITE);
        let copies = (Stage::TRANSFER, Access::TRANSFER_READ | Access::TRANSFER_WRITE);
        let (from, to) = match side {
            Side::Before => (all, copies),
            Side::After => (copies, all),
        };
        let memory = [vk::MemoryBarrier::default().src_access_mask(from.1).dst_access_mask(to.1)];
        let flags = vk::DependencyFlags::empty();
        // SAFETY: the caller's promise; a memory barrier names no object.
        unsafe {
            self.device.cmd_pipeline_barrier(commands, from.0, to.0, flags, &memory, &[], &[]);
        };
    }

    /// Records a copy of the first `size` bytes of a buffer.
    ///
    /// # Safety
    /// As [`record_copy_barrier`](Self::record_copy_barrier); both buffers are bound, have the usages
    /// of a transfer's source and destination, and `size` bytes, at least one.
    pub(crate) unsafe fn record_copy(
        &self,
        commands: vk::CommandBuffer,
        from: vk::Buffer,
        to: vk::Buffer,
        size: u64,
    ) {
        let copy = [vk::BufferCopy::default().size(size)];
        // SAFETY: the caller's promise.
        unsafe { self.device.cmd_copy_buffer(commands, from, to, &copy) };
    }
}
