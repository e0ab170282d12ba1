//! A sheet: the driver's objects for one scrub. It contains the mapped tables and report, the
//! descriptor sets, and a command buffer if fencepost submits the scrub itself.

use core::ptr::NonNull;

use ash::vk;

use super::super::heaps::Heaps;
use crate::{
    guard::{SEEN, Seen},
    vulkan::{Compute, Dispatch, Mapping, Resource, Vulkan},
};

/// Reused from scrub to scrub, by one at a time.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) buffer: vk::Buffer,
    pub(super) memory: vk::DeviceMemory,
    pub(super) mapping: Mapping,
    pub(super) heap: u32,
    /// The size of the memory in bytes.
    pub(super) size: u64,
    /// The size of the buffer in words.
    pub(super) words: usize,
    pub(super) sets: vk::DescriptorPool,
    pub(super) sets_limit: u32,
    pub(super) commands: Option<(u32, vk::CommandPool, vk::CommandBuffer)>,
    /// The offset of the report, in words.
    pub(super) report: usize,
}

/// The first place of a report is set to this when all work has finished.
const DONE: u32 = 1;

impl Sheet {
    /// The address of a word.
    fn at(&self, word: usize) -> NonNull<u32> {
        debug_assert!(word <= self.words);
        // SAFETY: a sheet's words lie in its mapping.
        unsafe { self.mapping.add(word as u64 * 4) }.as_ptr().cast()
    }

    pub(super) fn write(&self, start: usize, words: &[u32]) {
        assert!(start + words.len() <= self.words, "a sheet is made as large as its tables");
        // SAFETY:
        // * the words lie in the sheet, just asserted, which is mapped and aligned to 64;
        // * no submitted work uses a sheet that is being written, and it has one owner.
        unsafe {
            self.at(start).copy_from_nonoverlapping(NonNull::from(words).cast(), words.len());
        };
    }

    fn read(&self, slot: usize) -> [u32; SEEN] {
        let start = self.report + slot * SEEN;
        assert!(start + SEEN <= self.words, "a report has a place for each piece");
        // SAFETY:
        // * the words lie in the sheet, as in `write`, and any bits are words;
        // * the GPU has passed the scrub, which ended with a barrier to the host; the memory is
        //   coherent.
        unsafe { self.at(start).cast::<[u32; SEEN]>().read() }
    }

    /// Whether the GPU has finished the whole scrub.
    pub(super) fn has_run(&self) -> bool {
        self.read(0)[0] == DONE
    }

    /// The GPU's report of a piece of the checks.
    pub(super) fn seen(&self, piece: usize) -> Option<Seen> {
        Seen::read(self.read(1 + piece))
    }

    pub(super) fn bytes_of(&self, heap: u32) -> u64 {
        if self.heap == heap { self.size } else { 0 }
    }

    /// Records the dispatches.
    ///
    /// # Safety
    /// As [`Vulkan::record_compute`](crate::vulkan::Vulkan::record_compute) of the command buffer;
    /// the dispatches are this sheet's.
    pub(super) unsafe fn record(
        &self,
        vulkan: &Vulkan,
        compute: &Compute,
        dispatches: &[Dispatch],
        commands: vk::CommandBuffer,
    ) {
        let start = self.report as u64 * 4;
        let done = (self.buffer, start..start + 4, DONE);
        // SAFETY: the caller's promise; the report's first word lies in the buffer.
        unsafe { vulkan.record_compute(commands, compute, dispatches, done) };
    }

    /// Records the dispatches into the sheet's own command buffer.
    ///
    /// # Safety
    /// As [`record`](Self::record); the device has queues of the family, which compute.
    pub(super) unsafe fn record_own(
        &mut self,
        vulkan: &Vulkan,
        compute: &Compute,
        dispatches: &[Dispatch],
        family: u32,
    ) -> Result<vk::CommandBuffer, vk::Result> {
        let (_, pool, commands) = match self.commands {
            Some(own) if own.0 == family => own,
            other => {
                // SAFETY: the device contract and the caller's promise.
                let (pool, commands) = unsafe { vulkan.create_commands(family) }?;
                if let Some((_, old, _)) = other {
                    // SAFETY: the device contract; no submitted work uses this sheet.
                    unsafe { vulkan.destroy_commands(old) };
                }
                *self.commands.insert((family, pool, commands))
            }
        };
        // SAFETY: the device contract; nothing of the pool is pending, and it is the sheet's alone.
        unsafe {
            vulkan.begin_commands(pool, commands)?;
            self.record(vulkan, compute, dispatches, commands);
            vulkan.end_commands(commands)?;
        }
        Ok(commands)
    }

    /// # Safety
    /// The device contract; no submitted work uses the sheet.
    pub(super) unsafe fn destroy(self, vulkan: &Vulkan, heaps: &Heaps) {
        // SAFETY: the caller's promise; all of it is the sheet's own, and its memory was kept from a
        // reservation of its size.
        unsafe {
            if let Some((_, pool, _)) = self.commands {
                vulkan.destroy_commands(pool);
            }
            vulkan.destroy_set_pool(self.sets);
            vulkan.destroy_resource(Resource::Buffer(self.buffer));
            heaps.give_back(self.heap, self.size, || vulkan.free_memory(self.memory));
        }
    }
}
