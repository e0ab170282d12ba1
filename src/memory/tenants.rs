//! The tenants of regions: the resource that is destroyed with a region, and its name. This is a
//! side table by index.

use std::collections::TryReserveError;

use super::rank::Rank;
use crate::{policy::granularity::ResourceKind, tlsf::Key, vulkan::Resource};

/// What is known of the owner of a region, besides its range.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tenant {
    /// The resource, which is destroyed when the region is reached.
    pub(crate) resource: Resource,
    pub(crate) kind: Option<ResourceKind>,
    /// The Vulkan usage flags of the resource, if the allocator created it.
    pub(crate) usage: u32,
    pub(crate) name: Option<&'static str>,
    /// Its rank, if it is explicit.
    pub(crate) rank: Option<Rank>,
    pub(crate) fence: Fence,
}

/// The extent of the margins of a region; all zero without margins.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Fence {
    /// The bytes of the margin in front.
    pub(crate) front: u64,
    /// The bytes of the allocation; 0 means the whole region.
    pub(crate) size: u64,
    /// Whether the margins contain the pattern.
    pub(crate) whole: bool,
}

impl Fence {
    /// The offset and size of the allocation in a region.
    pub(crate) fn inside(&self, offset: u64, size: u64) -> (u64, u64) {
        (offset + self.front, if self.size == 0 { size } else { self.size })
    }
}

/// The tenants of one block, or of all blocks that are split together, by the key of their region.
/// The table stays empty as long as no allocation has a resource or a name, and a region without
/// either is not stored.
///
/// A tenant is identified by the serial of its key. It becomes invalid with its key, so nothing has
/// to be cleared.
#[derive(Debug, Default)]
pub(crate) struct Tenants(Vec<(u32, Tenant)>);

impl Tenants {
    /// Stores a tenant. Changes nothing if the host has no memory for that. O(1) amortised.
    pub(crate) fn set(&mut self, key: Key, tenant: Tenant) -> Result<(), TryReserveError> {
        let index = key.index() as usize;
        if index >= self.0.len() {
            self.reserve(key.index() + 1)?;
            self.0.resize(index + 1, (0, Tenant::default()));
        }
        self.0[index] = (key.serial(), tenant);
        Ok(())
    }

    /// Ensures that keys with an index below `bound` need no more memory.
    pub(super) fn reserve(&mut self, bound: u32) -> Result<(), TryReserveError> {
        self.0.try_reserve((bound as usize).saturating_sub(self.0.len()))
    }

    /// The tenant of a key; an empty one if it has none, or is gone.
    #[inline]
    pub(crate) fn get(&self, key: Key) -> Tenant {
        match self.0.get(key.index() as usize) {
            Some(&(serial, tenant)) if serial == key.serial() => tenant,
            _ => Tenant::default(),
        }
    }

    fn get_mut(&mut self, key: Key) -> Option<&mut Tenant> {
        match self.0.get_mut(key.index() as usize) {
            Some((serial, tenant)) if *serial == key.serial() => Some(tenant),
            _ => None,
        }
    }

    /// Sets the rank of a region's owner. Changes nothing if the host has no memory for that.
    pub(crate) fn set_rank(&mut self, key: Key, rank: Rank) -> Result<(), TryReserveError> {
        let rank = Some(rank);
        match self.get_mut(key) {
            Some(tenant) => tenant.rank = rank,
            None => return self.set(key, Tenant { rank, ..Tenant::default() }),
        }
        Ok(())
    }

    /// Removes the rank of a region's owner, and returns it.
    pub(crate) fn take_rank(&mut self, key: Key) -> Option<Rank> {
        self.get_mut(key).and_then(|tenant| tenant.rank.take())
    }

    /// Notes that the margins of a region now contain the pattern.
    pub(crate) fn close_fence(&mut self, key: Key) {
        if let Some(tenant) = self.get_mut(key) {
            tenant.fence.whole = true;
        }
    }

    /// Whether a resource is destroyed with the region.
    #[inline]
    pub(crate) fn has_resource(&self, key: Key) -> bool {
        match self.0.get(key.index() as usize) {
            Some((serial, tenant)) => *serial == key.serial() && tenant.resource != Resource::None,
            None => false,
        }
    }

    /// Removes the resource, which the caller must destroy.
    #[inline]
    pub(crate) fn take_resource(&mut self, key: Key) -> Resource {
        self.get_mut(key).map_or(Resource::None, |tenant| core::mem::take(&mut tenant.resource))
    }

    /// The number of resources.
    pub(crate) fn resources(&self) -> usize {
        self.0.iter().filter(|(_, tenant)| tenant.resource != Resource::None).count()
    }
}
