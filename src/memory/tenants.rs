//! Who lives on a region: the resource that ends with it, and its name. A side table by index.

use crate::{policy::granularity::ResourceKind, vulkan::Resource};

/// What is known of the owner of a region, beyond its range.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tenant {
    /// Destroyed when the region is reached.
    pub(crate) resource: Resource,
    pub(crate) kind: Option<ResourceKind>,
    pub(crate) name: Option<&'static str>,
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

impl Tenant {
    fn is_nobody(&self) -> bool {
        *self == Self::default()
    }
}

/// The tenants of one block, by the index of the region's key. It stays empty as long as nobody
/// has a resource or a name.
#[derive(Debug, Default)]
pub(crate) struct Tenants(Vec<Tenant>);

impl Tenants {
    /// Moves a tenant in. O(1) amortised.
    pub(crate) fn set(&mut self, index: u32, tenant: Tenant) {
        let index = index as usize;
        if index >= self.0.len() {
            if tenant.is_nobody() {
                return;
            }
            self.0.resize(index + 1, Tenant::default());
        }
        if let Some(slot) = self.0.get_mut(index) {
            *slot = tenant;
        }
    }

    pub(crate) fn get(&self, index: u32) -> Tenant {
        self.0.get(index as usize).copied().unwrap_or_default()
    }

    /// The margins of a region hold the pattern from now on.
    pub(crate) fn close_fence(&mut self, index: u32) {
        if let Some(tenant) = self.0.get_mut(index as usize) {
            tenant.fence.whole = true;
        }
    }

    /// Takes the resource away, so that whoever holds it now destroys it.
    pub(crate) fn take_resource(&mut self, index: u32) -> Resource {
        self.0
            .get_mut(index as usize)
            .map_or(Resource::None, |tenant| core::mem::take(&mut tenant.resource))
    }
}
