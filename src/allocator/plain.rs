//! Memory for the user's own resources. The common case is one straight function whose data stays
//! in registers; everything else is out of line.

use std::sync::Arc;

use ash::vk;

use super::{
    allocation::Allocation,
    desc::AllocationDesc,
    error::AllocateError,
    inner::{Inner, LaneState},
    place::Place,
    request::{Request, Target},
};
use crate::{
    ground::lock::Locked,
    memory::Entry,
    policy::granularity::ResourceKind,
    vulkan::{Dedicate, Requirements},
};

/// The request in internal terms. It is built again where it is needed, which costs less than
/// keeping it.
#[inline(always)]
fn request(
    requirements: &vk::MemoryRequirements,
    kind: ResourceKind,
    memory: &AllocationDesc,
) -> Request {
    Request::new(&needs(requirements), Target::unknown(kind), memory)
}

#[inline(always)]
fn needs(requirements: &vk::MemoryRequirements) -> Requirements {
    Requirements { memory: *requirements, dedicate: Dedicate::No }
}

impl Inner {
    /// Allocates memory for the user's own resource.
    #[inline(always)]
    #[track_caller]
    pub(super) fn allocate_plain(
        self: &Arc<Self>,
        requirements: &vk::MemoryRequirements,
        kind: ResourceKind,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Result<Allocation, AllocateError> {
        match place {
            Place::Types if self.plain && memory.is_usual() => {}
            Place::Types => return self.allocate_watched(requirements, kind, memory),
            _ => return self.allocate_at(requirements, kind, memory, place),
        }
        let request = request(requirements, kind, memory);
        let Some((lane, search)) = self.best(&request) else {
            return self.allocate_watched(requirements, kind, memory);
        };
        let mut state = lane.lock();
        let Some(grant) = state.blocks.allocate_at_once(search.size, search.alignment) else {
            return self.allocate_further(state, requirements, kind, memory);
        };
        if (grant.first || memory.is_told())
            && !self.move_in_plain(
                &mut state,
                requirements,
                kind,
                memory,
                (grant.entry, grant.first),
            )
        {
            drop(state);
            return self.allocate_watched(requirements, kind, memory);
        }
        drop(state);
        Ok(Allocation::new(&grant))
    }

    /// Stores the tenant of a range without margins, if there is anything to store and the host has
    /// memory for it.
    #[inline(never)]
    fn move_in_plain(
        &self,
        state: &mut LaneState,
        requirements: &vk::MemoryRequirements,
        kind: ResourceKind,
        memory: &AllocationDesc,
        (entry, first): (Entry, bool),
    ) -> bool {
        let tenant = request(requirements, kind, memory).tenant();
        let known = tenant.is_none_or(|tenant| state.blocks.move_in(entry, tenant).is_ok());
        if known && first {
            self.keep(state, entry.slot);
        }
        known
    }

    /// Continues [`allocate_plain`](Self::allocate_plain) after the first attempt in the locked
    /// lane found no room.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn allocate_further<'a>(
        self: &'a Arc<Self>,
        mut state: Locked<'a, LaneState>,
        requirements: &vk::MemoryRequirements,
        kind: ResourceKind,
        memory: &AllocationDesc,
    ) -> Result<Allocation, AllocateError> {
        let request = request(requirements, kind, memory);
        let search = self.search(&request)?;
        if let Some(grant) = state.blocks.allocate_further(search.size, search.alignment) {
            if let Some(grant) = self.move_in(&mut state, search.tenant(), grant) {
                return Ok(Allocation::new(&grant));
            }
        }
        drop(state);
        self.allocate_watched(requirements, kind, memory)
    }

    /// [`allocate_plain`](Self::allocate_plain) in any memory type, if there is a record or
    /// anything else is uncommon.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn allocate_watched(
        self: &Arc<Self>,
        requirements: &vk::MemoryRequirements,
        kind: ResourceKind,
        memory: &AllocationDesc,
    ) -> Result<Allocation, AllocateError> {
        if self.unwatched {
            let request = request(requirements, kind, memory);
            if let Some((_, grant)) = self.allocate_at_best(&request) {
                return Ok(Allocation::new(&grant));
            }
        }
        self.allocate_at(requirements, kind, memory, Place::Types)
    }

    /// Allocates memory for the user's own resource in any place, with observers or guards.
    #[inline(never)]
    #[track_caller]
    fn allocate_at(
        self: &Arc<Self>,
        requirements: &vk::MemoryRequirements,
        kind: ResourceKind,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Result<Allocation, AllocateError> {
        let target = Target::unknown(kind);
        let grant = self.grant(&needs(requirements), target, memory, place)?;
        Ok(Allocation::new(&grant))
    }
}
