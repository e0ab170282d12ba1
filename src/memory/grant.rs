//! Granted ranges, and their names.

use core::ptr::NonNull;

use ash::vk;
use smallvec::SmallVec;

use super::plate::Plate;
use crate::{tlsf::Key, vulkan::Resource};

/// Names a retired allocation: its slot and its region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Entry {
    pub(crate) slot: u32,
    pub(crate) key: Key,
}

impl Entry {
    /// The entry that replaces one in a bag whose region another owner took over. It belongs to no
    /// block.
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
    /// What the handle knows of the block.
    pub(crate) plate: NonNull<Plate>,
    /// Whether the block was empty before: it keeps the allocator alive from now on.
    pub(crate) first: bool,
}

/// The remains of pending neighbours that another tenant takes over.
#[derive(Clone, Debug)]
pub(crate) struct Heritage {
    pub(crate) grant: Grant,
    /// The remainder of the last of them, which is still pending.
    pub(crate) rest: Option<Entry>,
    /// The resources of the old tenants, to be destroyed when the GPU is done with them.
    pub(crate) resources: SmallVec<[Resource; 4]>,
}
