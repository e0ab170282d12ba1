//! FAULT INJECTION, for the self-test: what a program with a bug would do. Nothing here runs unless
//! the command line requests it with `--break`.

use std::collections::VecDeque;

use ash::vk;
use fencepost::Buffer;

/// Buffers up to this size share blocks with others that stay, so their memory stays too.
const SMALL: u64 = 64 << 10;

/// Frees the ranges of small buffers immediately, although the GPU still has to read them. The
/// buffers themselves are destroyed after that, so the only fault is the early reuse of memory.
pub(crate) struct EarlyFree {
    device: ash::Device,
    /// The buffers of the open batch.
    open: Vec<vk::Buffer>,
    /// The buffers of the submitted batches, oldest first.
    submitted: VecDeque<Vec<vk::Buffer>>,
}

impl EarlyFree {
    pub(crate) fn new(device: &ash::Device) -> Self {
        Self { device: device.clone(), open: Vec::new(), submitted: VecDeque::new() }
    }

    /// Frees the buffer's range, too early.
    pub(crate) fn free(&mut self, buffer: Buffer) {
        if buffer.size() > SMALL {
            return;
        }
        let (handle, allocation) = buffer.into_parts();
        self.open.push(handle);
        // SAFETY: none. This is the fault: the open batch reads the range. The memory behind it
        // stays, so on a software driver the only consequence is wrong words.
        unsafe { allocation.free_now() };
    }

    /// The open batch was submitted.
    pub(crate) fn submitted(&mut self) {
        self.submitted.push_back(std::mem::take(&mut self.open));
    }

    /// The GPU has completed the oldest batch.
    pub(crate) fn done(&mut self) {
        for buffer in self.submitted.pop_front().into_iter().flatten() {
            // SAFETY: the program owns the buffer, and the GPU has completed the last batch that
            // names it.
            unsafe { self.device.destroy_buffer(buffer, None) };
        }
    }
}
