//! Closed blocks: nobody new moves in, so that they become empty.

use ash::vk;

use super::{BlockList, Slot};
use crate::memory::block::Space;

impl BlockList {
    /// Keeps new tenants out of a block that has some, for as long as another will do. `false`, and
    /// nothing has changed, if that memory is no longer there, empty, closed already, or not split by
    /// TLSF. O(regions of the block).
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

    /// Lets tenants into a block again that was [closed](Self::close), if that memory is still there.
    /// O(regions of the block).
    pub(crate) fn open(&mut self, slot: u32, memory: vk::DeviceMemory) {
        let Some(block) = self.block_mut(slot) else { return };
        if block.memory == memory && block.closed {
            block.closed = false;
            self.set_shut(slot, false);
        }
    }

    /// Shuts all closed blocks, or opens them for the moment. O(blocks), and regions of those.
    pub(super) fn shut_closed(&mut self, shut: bool) {
        for slot in 0..self.slots() {
            if self.block(slot).is_some_and(|block| block.closed) {
                self.set_shut(slot, shut);
            }
        }
    }

    /// Whether searches find what is free in a block.
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
