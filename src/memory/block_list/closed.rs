//! Closed blocks: no new allocation is placed in them, so that they become empty.

use ash::vk;

use super::{BlockList, Slot};
use crate::memory::block::Space;

impl BlockList {
    /// Closes a block that has allocations, so that new ones are placed elsewhere as long as this
    /// is possible. Returns `false`, and changes nothing, if that memory is no longer there, is
    /// empty, is closed already, or is not split by TLSF. O(regions of the block).
    pub(crate) fn close(&mut self, slot: u32, memory: vk::DeviceMemory) -> bool {
        let Some(block) = self.block_mut(slot) else { return false };
        let may = block.memory == memory && block.is_split() && !block.is_empty();
        if !may || block.closed {
            return false;
        }
        block.closed = true;
        self.set_shut(slot, true);
        true
    }

    /// Opens a block that was [closed](Self::close), if that memory is still there. O(regions of
    /// the block).
    pub(crate) fn open(&mut self, slot: u32, memory: vk::DeviceMemory) {
        let Some(block) = self.block_mut(slot) else { return };
        if block.memory == memory && block.closed {
            block.closed = false;
            self.set_shut(slot, false);
        }
    }

    /// Shuts all closed blocks, or opens them temporarily. O(blocks), and the regions of closed
    /// ones.
    pub(super) fn shut_closed(&mut self, shut: bool) {
        for slot in 0..self.slots() {
            if self.block(slot).is_some_and(|block| block.closed) {
                self.set_shut(slot, shut);
            }
        }
    }

    /// Sets whether searches are kept from the free regions of a block.
    fn set_shut(&mut self, slot: u32, shut: bool) {
        let Self { slots, shared, tailored, .. } = self;
        let Some(Slot::Block(block)) = slots.get(slot as usize) else { return };
        let Space::Plot(plot) = &block.space else { return };
        let areas = if block.tailored { tailored } else { shared };
        areas.set_shut(plot, shut);
        let tailored = block.tailored;
        self.tell_room(tailored);
    }
}
