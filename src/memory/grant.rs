//! What is granted of a block, and how it is named.

use core::ptr::NonNull;

use ash::vk;
use smallvec::SmallVec;

use super::plate::Plate;
use crate::{tlsf::Key, vulkan::Resource};

/// A retired allocation on its way: which slot, which region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Entry {
    pub(crate) slot: u32,
    pub(crate) key: Key,
}

impl Entry {
    /// What stands in a bag for an entry that another owner took over: of no block.
    pub(crate) fn gone(self) -> Self {
        Self { slot: u32::MAX, ..self }
    }

    pub(crate) fn is_gone(self) -> bool {
        self.slot == u32::MAX
    }
}

/// A granted range: the whole region, until a tenant with margins moves in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) entry: Entry,
    pub(crate) memory: vk::DeviceMemory,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// What its handle knows of the block.
    pub(crate) plate: NonNull<Plate>,
    /// The block was empty before: it holds the allocator alive from now on.
    pub(crate) first: bool,
}

/// What becomes of pending neighbours that another tenant takes over.
#[derive(Clone, Debug)]
pub(crate) struct Heritage {
    pub(crate) grant: Grant,
    /// What is left of the last of them, pending as it was.
    pub(crate) rest: Option<Entry>,
    /// The old tenants', to be destroyed when the GPU is done with them.
    pub(crate) resources: SmallVec<[Resource; 4]>,
}
