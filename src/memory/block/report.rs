//! What a block tells of itself.

use super::{Block, Space};
use crate::{
    memory::broken::Broken,
    tlsf::{Key, KeyError, Region, State},
    vulkan::Resource,
};

impl Block {
    /// The region of a key that is used. O(1).
    pub(crate) fn used(&self, key: Key) -> Result<Region, KeyError> {
        let region = match &self.space {
            Space::Shared(tlsf) => tlsf.get(key)?,
            Space::Line(line) => line.get(key)?,
            Space::Dedicated(dedicated) => dedicated.get(key)?,
        };
        match region.state {
            State::Used => Ok(region),
            State::Pending => Err(KeyError::AlreadyRetired),
            State::Free => Err(KeyError::Stale),
        }
    }

    /// The region of a key that is used or pending. O(1).
    pub(crate) fn region(&self, key: Key) -> Option<Region> {
        match &self.space {
            Space::Shared(tlsf) => tlsf.get(key).ok(),
            Space::Line(line) => line.get(key).ok(),
            Space::Dedicated(dedicated) => dedicated.get(key).ok(),
        }
    }

    /// The bytes of a key's region, retired or used; 0 for a stale key. O(1).
    pub(crate) fn size_of(&self, key: Key) -> u64 {
        self.region(key).map_or(0, |region| region.size)
    }

    /// Neither used nor pending ranges. O(1).
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        match &self.space {
            Space::Shared(tlsf) => tlsf.is_empty(),
            Space::Line(line) => line.is_empty(),
            Space::Dedicated(dedicated) => dedicated.state == State::Free,
        }
    }

    /// Bytes and counts: (used, pending) each. O(1).
    pub(crate) fn usage(&self) -> [(u64, u32); 2] {
        match &self.space {
            Space::Shared(tlsf) => [
                (tlsf.used_bytes(), tlsf.used_count()),
                (tlsf.pending_bytes(), tlsf.pending_count()),
            ],
            Space::Line(line) => line.usage(),
            Space::Dedicated(dedicated) => match dedicated.state {
                State::Free => [(0, 0), (0, 0)],
                State::Used => [(self.size, 1), (0, 0)],
                State::Pending => [(0, 0), (self.size, 1)],
            },
        }
    }

    /// The largest free range. Walks the top bin.
    pub(crate) fn largest_free(&self) -> u64 {
        match &self.space {
            Space::Shared(tlsf) => tlsf.largest_free(),
            Space::Line(line) => line.largest(),
            Space::Dedicated(_) => 0,
        }
    }

    /// A request of this many bytes is granted, at the granule's alignment; 0 for a dedicated block.
    /// O(1).
    #[inline]
    pub(crate) fn largest_class(&self) -> u64 {
        match &self.space {
            Space::Shared(tlsf) => tlsf.largest_class(),
            Space::Line(line) => line.largest(),
            Space::Dedicated(_) => 0,
        }
    }

    /// The number after the last key's serial, for the next block of the slot.
    pub(crate) fn next_serial(&self) -> u32 {
        match &self.space {
            Space::Shared(tlsf) => tlsf.next_serial(),
            Space::Line(line) => line.next_serial(),
            Space::Dedicated(dedicated) => dedicated.serial.wrapping_add(1),
        }
    }

    /// All regions in address order.
    pub(crate) fn regions(&self) -> Vec<Region> {
        match &self.space {
            Space::Shared(tlsf) => tlsf.regions().collect(),
            Space::Line(line) => line.regions(),
            Space::Dedicated(dedicated) => vec![dedicated.region()],
        }
    }

    /// Verifies the block. O(regions).
    pub(crate) fn check(&self) -> Result<(), Broken> {
        match &self.space {
            Space::Shared(tlsf) => tlsf.check()?,
            Space::Line(line) => line.check()?,
            Space::Dedicated(_) => {}
        }
        if self.room != self.measured() {
            return Err(Broken::Index);
        }
        let regions = self.regions();
        let total: u64 = regions.iter().map(|region| region.size).sum();
        let [(used, _), (pending, _)] = self.usage();
        if total > self.size || used + pending > total {
            return Err(Broken::Count);
        }
        // Those of regions that live are all there are.
        let keys = regions.iter().filter_map(|region| region.key);
        let housed = keys.filter(|&key| self.tenants.get(key).resource != Resource::None).count();
        if housed == self.tenants.resources() { Ok(()) } else { Err(Broken::Tenant) }
    }
}
