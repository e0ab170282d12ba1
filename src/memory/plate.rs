//! What the handles of a block know of it without its lane's lock.

use core::{
    ptr::NonNull,
    sync::atomic::{AtomicPtr, Ordering},
};
use std::collections::TryReserveError;

use ash::vk;

use crate::vulkan::Mapping;

/// Whose blocks they are.
#[derive(Default, Debug)]
pub(crate) struct Whose {
    /// The allocator. It is but an address here: the floor above follows it.
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

/// What of a block does not change while anybody lives there: every handle has its address.
#[derive(Debug)]
pub(crate) struct Plate {
    pub(crate) whose: Whose,
    /// The block's slot in its list.
    pub(crate) slot: u32,
    pub(crate) memory: vk::DeviceMemory,
    /// Where the whole block is mapped, if it is, and not closed to the host.
    pub(crate) mapping: Option<Mapping>,
    /// The bytes of the block; 0 keeps the host out.
    pub(crate) size: u64,
}

/// A block's plate, and the same for who took over a range that the GPU may still use: the host stays out.
/// They stay where they are when the block moves.
#[derive(Default, Debug)]
pub(crate) struct Plates(Vec<(Plate, Plate)>);

impl Plates {
    /// No plates yet, and the memory for them.
    pub(super) fn reserve(&mut self) -> Result<(), TryReserveError> {
        self.0.try_reserve_exact(1)
    }

    /// The plates of a block that comes to a slot: its memory, its bytes, and where it is mapped.
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

    /// Whether they say of a block in a slot what is so; of one that `shutdown` has freed, as far as that lasts.
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

/// Whether the host may reach a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Host {
    Enters,
    StaysOut,
}
