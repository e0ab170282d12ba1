//! Descriptor sets that retire like memory.

use core::fmt;
use std::sync::{Arc, atomic::Ordering};

use ash::vk;

use super::{
    Allocator,
    descriptor_driver::DescriptorError,
    descriptor_pools::{Counted, DescriptorCounts},
    error::AllocateError,
    inner::{Inner, Life},
};

/// A descriptor set. Dropping it is always safe; it is freed once the GPU has passed it.
#[must_use = "dropping a descriptor set retires it at once"]
pub struct DescriptorSet {
    inner: Arc<Inner>,
    set: Option<Counted>,
    handle: vk::DescriptorSet,
}

impl fmt::Debug for DescriptorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescriptorSet").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl DescriptorSet {
    /// The Vulkan handle, for updating and binding.
    pub fn handle(&self) -> vk::DescriptorSet {
        self.handle
    }
}

impl Drop for DescriptorSet {
    fn drop(&mut self) {
        let inner = &self.inner;
        let Some(set) = self.set.take() else { return };
        if inner.life() == Life::ShutDown {
            // Its pool has been destroyed; the library's record of the set holds nothing.
            return;
        }
        let bags = || (inner.current_bag(), inner.reached_bag());
        let collects = inner.collects.load(Ordering::Relaxed);
        inner.descriptors.retire(&inner.vulkan, set, collects, bags);
        if inner.life() == Life::Closed {
            inner.finish_pending();
        }
    }
}

impl Allocator {
    /// Allocates a descriptor set with a layout. Pools are created as needed, and grow.
    ///
    /// Cost: one lock, one driver call, occasionally a new pool.
    ///
    /// # Errors
    /// [`DescriptorError`]; nothing has changed.
    ///
    /// # Safety
    /// `layout` is a descriptor set layout of this device, and `counts` are its descriptors. It is
    /// neither a push-descriptor layout nor of variable count.
    pub unsafe fn create_descriptor_set(
        &self,
        layout: vk::DescriptorSetLayout,
        counts: &DescriptorCounts,
    ) -> Result<DescriptorSet, DescriptorError> {
        let inner = self.inner();
        self.inner().check_open().map_err(|error| match error {
            AllocateError::DeviceLost => DescriptorError::DeviceLost,
            _ => DescriptorError::ShutDown,
        })?;
        if !counts.is_countable() {
            return Err(DescriptorError::Counts);
        }
        let set = inner.descriptors.allocate(&inner.vulkan, layout, counts)?;
        let handle = set.handle();
        Ok(DescriptorSet { inner: Arc::clone(inner), set: Some(set), handle })
    }
}
