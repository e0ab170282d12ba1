//! Closed blocks: nobody new moves in, so that they become empty.

use ash::vk;

use super::{Block, BlockList};

impl BlockList {
    /// Keeps new tenants out of a block that has some, for as long as another will do. `false`, and
    /// nothing has changed, if that memory is no longer there, empty, closed already, or not split by
    /// TLSF. O(1).
    pub(crate) fn close(&mut self, slot: u32, memory: vk::DeviceMemory) -> bool {
        let Some(block) = self.block_mut(slot) else { return false };
        let may = block.memory == memory && block.is_split() && !block.is_empty();
        if !may || block.closed {
            return false;
        }
        block.closed = true;
        self.index_anew(slot);
        true
    }

    /// Lets tenants into a block again that was [closed](Self::close), if that memory is still there.
    /// O(1).
    pub(crate) fn open(&mut self, slot: u32, memory: vk::DeviceMemory) {
        let Some(block) = self.block_mut(slot) else { return };
        if block.memory == memory && block.closed {
            block.closed = false;
            self.index_anew(slot);
        }
    }

    /// The index forgets a block that was closed, and knows one that was opened.
    fn index_anew(&mut self, slot: u32) {
        let Some(&Block { room, closed, tailored, .. }) = self.block(slot) else { return };
        let (before, now) = if closed { (room, 0) } else { (0, room) };
        self.index(slot, tailored, before, now);
    }
}
