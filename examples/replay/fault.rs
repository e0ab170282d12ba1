//! FAULT INJECTION, for the self-test: what a program with a bug of its own would do. Nothing here
//! runs unless the command line asks for it by `--break`.

use std::collections::VecDeque;

use ash::vk;
use fencepost::Buffer;

/// Buffers up to this size share blocks with others that stay, so that their memory stays too.
const SMALL: u64 = 64 << 10;

/// Gives the ranges of small buffers up at once, while the GPU has yet to read them. The buffers
/// themselves go when it has, so that the one thing wrong is the early reuse of memory.
pub(crate) struct EarlyFree {
    device: ash::Device,
    /// Of the open batch.
    open: Vec<vk::Buffer>,
    /// Of the submitted ones, oldest first.
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
        // stays, so on a software driver nothing worse follows than wrong words.
        unsafe { allocation.free_now() };
    }

    /// The open batch was submitted.
    pub(crate) fn submitted(&mut self) {
        self.submitted.push_back(std::mem::take(&mut self.open));
    }

    /// The GPU has done the oldest batch.
    pub(crate) fn done(&mut self) {
        for buffer in self.submitted.pop_front().into_iter().flatten() {
            // SAFETY: the buffer is ours, and the GPU has done the last batch that names it.
            unsafe { self.device.destroy_buffer(buffer, None) };
        }
    }
}
