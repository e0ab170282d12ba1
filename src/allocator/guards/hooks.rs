//! The hooks for the rest of the allocator: a block is created or freed, a range is handed out,
//! allocations end.

use std::sync::atomic::Ordering;

use ash::vk;

use super::{
    super::{
        error::AllocateError,
        inner::{Inner, Lane, LaneState},
        register::Register,
    },
    host::open_block,
    passed::RetirePoints,
    scrubs::reads_zero,
};
use crate::{
    ground::lock::Locked,
    guard::{GuardPolicy, GuardedBy},
    memory::{Entry, Fresh, Grave, Graves, Sight},
    vulkan::{Mapping, Resource},
};

impl Inner {
    /// Blocks will be watched under this policy.
    pub(in super::super) fn watch(&self, policy: GuardPolicy) {
        if policy.is_on() && !self.guards.on.swap(true, Ordering::Relaxed) {
            self.with_register(Register::remember_cuts);
        }
    }

    /// Decides who watches a new block that nobody uses yet. The host poisons it as a whole.
    pub(in super::super) fn guard_block(
        &self,
        lane: &Lane,
        policy: GuardPolicy,
        memory: vk::DeviceMemory,
        size: u64,
        mapping: Option<Mapping>,
    ) -> Sight {
        if !policy.is_on() {
            return Sight::None;
        }
        let by = self.guards.by;
        let mut refused = None;
        if let Some(mapping) = self.seen(lane, mapping) {
            open_block(policy, mapping, size);
            return Sight::Host(mapping);
        }
        if by != GuardedBy::Host {
            // SAFETY: the device contract; the memory is new, shared, and of this type and size.
            match unsafe { self.vulkan.create_overlay(memory, lane.memory_type, size) } {
                Ok(Some(buffer)) => return Sight::Gpu(buffer),
                Ok(None) => {}
                Err(error) => refused = Some(error),
            }
        }
        tracing::warn!(
            target: crate::events::GUARD, memory_type = lane.memory_type, bytes = size, ?by, ?refused,
            "a block is unguarded: the host cannot access it, and the GPU cannot scrub it"
        );
        Sight::None
    }

    /// A new dedicated allocation that was not imported: it has no guards. If it should be zero,
    /// the host zeroes it if possible, and it counts as one whole grave.
    pub(in super::super) fn open_dedicated(
        &self,
        lane: &Lane,
        size: u64,
        mapping: Option<Mapping>,
    ) -> Graves {
        let mut graves = Graves::default();
        let zeroed = self.guards.policy == GuardPolicy::Zero;
        if let Some(mapping) = self.seen(lane, mapping).filter(|_| zeroed) {
            open_block(GuardPolicy::Zero, mapping, size);
            graves.bury(0..size, Grave::of_nobody());
        } else {
            self.tell_unguarded(lane, size);
        }
        graves
    }

    /// The mapping of new memory, if the host watches it.
    fn seen(&self, lane: &Lane, mapping: Option<Mapping>) -> Option<Mapping> {
        mapping.filter(|_| lane.is_coherent() && self.guards.by != GuardedBy::Gpu)
    }

    /// Reports a dedicated allocation, which has no guards.
    pub(in super::super) fn tell_unguarded(&self, lane: &Lane, size: u64) {
        if self.guards.policy.is_on() {
            tracing::warn!(
                target: crate::events::GUARD, memory_type = lane.memory_type, bytes = size,
                "a dedicated allocation is unguarded: guards watch only shared blocks"
            );
        }
    }

    /// Destroys what a block is watched through, before the block is freed.
    ///
    /// # Safety
    /// The device contract; no submitted work uses the block.
    pub(in super::super) unsafe fn close_sight(&self, sight: Sight) {
        if let Sight::Gpu(buffer) = sight {
            let overlay = Resource::Buffer(buffer);
            // SAFETY: the caller's promise; the buffer is the block's alone.
            unsafe { self.vulkan.destroy_resource(overlay) };
        }
    }

    /// A range was granted in guarded memory, and its owner does not have it yet. The range is free
    /// again if the host has no memory to watch it.
    #[cold]
    #[inline(never)]
    pub(in super::super) fn guard_hand_out(
        &self,
        lane: &Lane,
        entry: Entry,
    ) -> Result<(), AllocateError> {
        let mut state = lane.lock();
        let sight = state.blocks.block(entry.slot).map(|block| block.sight);
        if let Some(Sight::Gpu(_)) = sight {
            if self.scrub_hand_out(&mut state, entry).is_err() {
                self.take_back(lane, state, entry);
                return Err(AllocateError::OutOfHostMemory);
            }
        }
        if state.guards == GuardPolicy::Zero && !reads_zero(&state, entry) {
            self.guards.unzeroed.fetch_add(1, Ordering::Relaxed);
            let block = state.blocks.block_mut(entry.slot);
            if let Some(block) = block.filter(|block| block.fresh == Fresh::Yes) {
                block.fresh = Fresh::Told;
                let bytes = block.size;
                drop(state);
                tracing::warn!(
                    target: crate::events::GUARD, memory_type = lane.memory_type, bytes,
                    "memory is handed out as the driver gave it: no scrub has zeroed it yet"
                );
                return Ok(());
            }
        }
        if let Some(Sight::Host(mapping)) = sight {
            self.host_hand_out(state, lane, entry, mapping);
        }
        Ok(())
    }

    /// Allocations end: their entries are pending and held only by the caller, and their resources
    /// are destroyed. Memory that the host watches is checked and poisoned, without the lock.
    /// Memory that the GPU watches is free only after a scrub. Moves the entries that are free now
    /// to the front, and returns how many they are.
    pub(in super::super) fn guard_ends<'a>(
        &self,
        lane: &'a Lane,
        mut state: Locked<'a, LaneState>,
        entries: &mut [Entry],
        points: &RetirePoints,
    ) -> (Locked<'a, LaneState>, usize) {
        let left = self.scrub_ends(&mut state, entries, points);
        let entries = &mut entries[..left];
        state = self.host_ends(lane, state, entries, points);
        let left = self.lay_to_rest(lane, &mut state, entries);
        (state, left)
    }
}
