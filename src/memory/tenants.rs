//! Who lives on a region: the resource that ends with it, and its name. A side table by index.

use std::collections::TryReserveError;

use super::rank::Rank;
use crate::{policy::granularity::ResourceKind, tlsf::Key, vulkan::Resource};

/// What is known of the owner of a region, beyond its range.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tenant {
    /// Destroyed when the region is reached.
    pub(crate) resource: Resource,
    pub(crate) kind: Option<ResourceKind>,
    /// The resource's Vulkan usage flags, where the resource is ours.
    pub(crate) usage: u32,
    pub(crate) name: Option<&'static str>,
    /// How important it is, if that was told.
    pub(crate) rank: Option<Rank>,
    pub(crate) fence: Fence,
}

/// Where the margins of a region end; nothing without margins.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Fence {
    /// Bytes of the margin in front.
    pub(crate) front: u64,
    /// Bytes of the allocation; 0 stands for all that the region has.
    pub(crate) size: u64,
    /// The margins hold the pattern.
    pub(crate) whole: bool,
}

impl Fence {
    /// Offset and size of the allocation in a region.
    pub(crate) fn inside(&self, offset: u64, size: u64) -> (u64, u64) {
        (offset + self.front, if self.size == 0 { size } else { self.size })
    }
}

/// The tenants of one block, or of all that are split together, by the key of their region. It stays empty as long as nobody has a
/// resource or a name; a region without either is not written here.
///
/// A tenant is known by its key's serial, so it is gone with its key, and nothing is cleared.
#[derive(Debug, Default)]
pub(crate) struct Tenants(Vec<(u32, Tenant)>);

impl Tenants {
    /// Moves a tenant in; nothing has changed where the host has no memory for that. O(1) amortised.
    pub(crate) fn set(&mut self, key: Key, tenant: Tenant) -> Result<(), TryReserveError> {
        let index = key.index() as usize;
        if index >= self.0.len() {
            self.reserve(key.index() + 1)?;
            self.0.resize(index + 1, (0, Tenant::default()));
        }
        self.0[index] = (key.serial(), tenant);
        Ok(())
    }

    /// Makes sure that those of keys with an index below this one need no more memory.
    pub(super) fn reserve(&mut self, bound: u32) -> Result<(), TryReserveError> {
        self.0.try_reserve((bound as usize).saturating_sub(self.0.len()))
    }

    /// Who lives there; nobody for a key that has none, or is gone.
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

    /// Gives a region's owner a rank. Nothing has changed where the host has no memory for that.
    pub(crate) fn set_rank(&mut self, key: Key, rank: Rank) -> Result<(), TryReserveError> {
        let rank = Some(rank);
        match self.get_mut(key) {
            Some(tenant) => tenant.rank = rank,
            None => return self.set(key, Tenant { rank, ..Tenant::default() }),
        }
        Ok(())
    }

    /// Takes the rank of a region's owner away, and returns it.
    pub(crate) fn take_rank(&mut self, key: Key) -> Option<Rank> {
        self.get_mut(key).and_then(|tenant| tenant.rank.take())
    }

    /// The margins of a region hold the pattern from now on.
    pub(crate) fn close_fence(&mut self, key: Key) {
        if let Some(tenant) = self.get_mut(key) {
            tenant.fence.whole = true;
        }
    }

    /// Whether a resource ends with the region.
    #[inline]
    pub(crate) fn has_resource(&self, key: Key) -> bool {
        match self.0.get(key.index() as usize) {
            Some((serial, tenant)) => *serial == key.serial() && tenant.resource != Resource::None,
            None => false,
        }
    }

    /// Takes the resource away, so that whoever holds it now destroys it.
    #[inline]
    pub(crate) fn take_resource(&mut self, key: Key) -> Resource {
        self.get_mut(key).map_or(Resource::None, |tenant| core::mem::take(&mut tenant.resource))
    }

    /// How many resources are here.
    pub(crate) fn resources(&self) -> usize {
        self.0.iter().filter(|(_, tenant)| tenant.resource != Resource::None).count()
    }
}
