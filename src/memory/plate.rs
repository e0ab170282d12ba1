//! What the handles in a block know of it without its lane's lock.

use core::{
    ptr::NonNull,
    sync::atomic::{AtomicPtr, Ordering},
};
use std::collections::TryReserveError;

use ash::vk;

use crate::vulkan::Mapping;

/// The owner of blocks.
#[derive(Default, Debug)]
pub(crate) struct Whose {
    /// The allocator. This is only an address here; the floor above dereferences it.
    pub(crate) allocator: AtomicPtr<()>,
    /// The index of the lane.
    pub(crate) lane: u32,
}

impl Whose {
    #[inline(always)]
    pub(crate) fn address(&self) -> *mut () {
        self.allocator.load(Ordering::Relaxed)
    }
}

/// The part of a block that does not change while it has allocations. Every handle has its address.
#[derive(Debug)]
pub(crate) struct Plate {
    pub(crate) whose: Whose,
    /// The block's slot in its list.
    pub(crate) slot: u32,
    pub(crate) memory: vk::DeviceMemory,
    /// The mapping of the whole block, if it is mapped and the host may access it.
    pub(crate) mapping: Option<Mapping>,
    /// The size of the block in bytes; 0 keeps the host out.
    pub(crate) size: u64,
}

/// The plate of a block, and a second one, which keeps the host out, for owners that took over a
/// range that the GPU may still use. Their addresses do not change when the block moves.
#[derive(Default, Debug)]
pub(crate) struct Plates(Vec<(Plate, Plate)>);

impl Plates {
    /// Reserves the memory for the plates.
    pub(super) fn reserve(&mut self) -> Result<(), TryReserveError> {
        self.0.try_reserve_exact(1)
    }

    /// Fills the plates of a block that is inserted into a slot: its memory, its size, and its
    /// mapping.
    pub(super) fn fill(
        &mut self,
        whose: &Whose,
        slot: u32,
        (memory, size, mapping): (vk::DeviceMemory, u64, Option<Mapping>),
    ) {
        let plate = |mapping, size| Plate {
            whose: Whose { allocator: AtomicPtr::new(whose.address()), lane: whose.lane },
            slot,
            memory,
            mapping,
            size,
        };
        self.0.push((plate(mapping, size), plate(None, 0)));
    }

    /// Whether the plates match a block in a slot. For a block that `shutdown` has freed, only what
    /// remains valid is compared.
    pub(super) fn are_of(
        &self,
        whose: &Whose,
        slot: u32,
        (memory, size, mapping): (vk::DeviceMemory, u64, Option<Mapping>),
    ) -> bool {
        let [(open, shut)] = &self.0[..] else { return false };
        let said = |plate: &Plate| {
            (plate.whose.address(), plate.whose.lane, plate.slot)
                == (whose.address(), whose.lane, slot)
                && (plate.memory == memory || memory == vk::DeviceMemory::null())
        };
        let maps = open.mapping == mapping || mapping.is_none();
        said(open) && said(shut) && maps && open.size == size && shut.mapping.is_none()
    }

    /// The plate for a new handle.
    #[inline(always)]
    pub(crate) fn get(&self, host: Host) -> NonNull<Plate> {
        let [(open, shut)] = &self.0[..] else { unreachable!("a block in a list has its plates") };
        NonNull::from(match host {
            Host::Enters => open,
            Host::StaysOut => shut,
        })
    }
}

/// Whether the host may access a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Host {
    Enters,
    StaysOut,
}
