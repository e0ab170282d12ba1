//! The functions that `gpu-descriptor` calls, and the meaning of its errors.

use core::cell::{Cell, RefCell};

use ash::vk;
use gpu_descriptor::{
    AllocationError, CreatePoolError, DescriptorDevice, DescriptorPoolCreateFlags,
    DescriptorTotalCount, DeviceAllocationError,
};
use smallvec::SmallVec;

use crate::vulkan::Vulkan;

/// The number of sets that are freed in one call. More would need memory for their list.
pub(super) const FEW: usize = 32;

/// The reason why no descriptor set was allocated. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The set has no descriptors, or more than a million.
    #[error("the set has no descriptors, or more than a million")]
    Counts,
    /// The device is out of memory.
    #[error("out of device memory")]
    OutOfDeviceMemory,
    /// The host is out of memory.
    #[error("out of host memory")]
    OutOfHostMemory,
    /// The pools are too fragmented, or hold all update-after-bind descriptors that the device
    /// allows.
    #[error("descriptor pools are fragmented or exhausted")]
    Fragmented,
    /// A new pool had no room for its first set: counts and layout do not match, or the driver's
    /// pools are smaller than it reports.
    #[error("a new pool has no room: do the counts match the layout?")]
    OutOfPoolMemory,
    /// The device is lost.
    #[error("the device is lost")]
    DeviceLost,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The driver refused for another reason.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
}

/// A pool, and whether a set was allocated from it: a pool that fails to allocate its first set
/// never will.
pub(super) struct Pool {
    handle: vk::DescriptorPool,
    used: bool,
}

/// The interface of the pool library: descriptor pools over ash. No `VkResult` makes it panic.
pub(super) struct Driver<'a> {
    vulkan: &'a Vulkan,
    pools: RefCell<&'a mut Vec<vk::DescriptorPool>>,
    /// The last result of the driver, which the library's errors do not contain.
    last: Cell<vk::Result>,
}

impl<'a> Driver<'a> {
    pub(super) fn new(vulkan: &'a Vulkan, pools: &'a mut Vec<vk::DescriptorPool>) -> Self {
        Self { vulkan, pools: RefCell::new(pools), last: Cell::new(vk::Result::SUCCESS) }
    }

    pub(super) fn explain(&self, error: AllocationError) -> DescriptorError {
        match (self.last.get(), error) {
            (vk::Result::ERROR_OUT_OF_DEVICE_MEMORY, _) => DescriptorError::OutOfDeviceMemory,
            (vk::Result::ERROR_OUT_OF_HOST_MEMORY, _) => DescriptorError::OutOfHostMemory,
            (vk::Result::ERROR_OUT_OF_POOL_MEMORY, _) => DescriptorError::OutOfPoolMemory,
            (vk::Result::ERROR_FRAGMENTED_POOL | vk::Result::ERROR_FRAGMENTATION, _) => {
                DescriptorError::Fragmented
            }
            (vk::Result::ERROR_DEVICE_LOST, _) => DescriptorError::DeviceLost,
            (vk::Result::SUCCESS, AllocationError::OutOfDeviceMemory) => {
                DescriptorError::OutOfDeviceMemory
            }
            (vk::Result::SUCCESS, AllocationError::OutOfHostMemory) => {
                DescriptorError::OutOfHostMemory
            }
            (vk::Result::SUCCESS, AllocationError::Fragmentation) => DescriptorError::Fragmented,
            (other, _) => DescriptorError::Driver(other),
        }
    }
}

pub(super) fn pool_sizes(count: &DescriptorTotalCount) -> SmallVec<[vk::DescriptorPoolSize; 12]> {
    use vk::DescriptorType as T;
    let sizes = [
        (T::SAMPLER, count.sampler),
        (T::COMBINED_IMAGE_SAMPLER, count.combined_image_sampler),
        (T::SAMPLED_IMAGE, count.sampled_image),
        (T::STORAGE_IMAGE, count.storage_image),
        (T::UNIFORM_TEXEL_BUFFER, count.uniform_texel_buffer),
        (T::STORAGE_TEXEL_BUFFER, count.storage_texel_buffer),
        (T::UNIFORM_BUFFER, count.uniform_buffer),
        (T::STORAGE_BUFFER, count.storage_buffer),
        (T::UNIFORM_BUFFER_DYNAMIC, count.uniform_buffer_dynamic),
        (T::STORAGE_BUFFER_DYNAMIC, count.storage_buffer_dynamic),
        (T::INPUT_ATTACHMENT, count.input_attachment),
        (T::ACCELERATION_STRUCTURE_KHR, count.acceleration_structure),
    ];
    let named = sizes.into_iter().filter(|&(_, count)| count > 0);
    named.map(|(ty, descriptor_count)| vk::DescriptorPoolSize { ty, descriptor_count }).collect()
}

impl DescriptorDevice<vk::DescriptorSetLayout, Pool, vk::DescriptorSet> for Driver<'_> {
    unsafe fn create_descriptor_pool(
        &self,
        count: &DescriptorTotalCount,
        max_sets: u32,
        flags: DescriptorPoolCreateFlags,
    ) -> Result<Pool, CreatePoolError> {
        let mut pool_flags = vk::DescriptorPoolCreateFlags::empty();
        if flags.contains(DescriptorPoolCreateFlags::FREE_DESCRIPTOR_SET) {
            pool_flags |= vk::DescriptorPoolCreateFlags::FREE_DESCRIPTOR_SET;
        }
        if flags.contains(DescriptorPoolCreateFlags::UPDATE_AFTER_BIND) {
            pool_flags |= vk::DescriptorPoolCreateFlags::UPDATE_AFTER_BIND;
        }
        let sizes = pool_sizes(count);
        let info = vk::DescriptorPoolCreateInfo::default()
            .flags(pool_flags)
            .max_sets(max_sets)
            .pool_sizes(&sizes);
        if self.pools.borrow_mut().try_reserve(1).is_err() {
            self.last.set(vk::Result::ERROR_OUT_OF_HOST_MEMORY);
            return Err(CreatePoolError::OutOfHostMemory);
        }
        // SAFETY: the device contract.
        match unsafe { self.vulkan.device().create_descriptor_pool(&info, None) } {
            Ok(handle) => {
                self.pools.borrow_mut().push(handle);
                Ok(Pool { handle, used: false })
            }
            Err(error) => {
                self.last.set(error);
                Err(match error {
                    vk::Result::ERROR_OUT_OF_DEVICE_MEMORY => CreatePoolError::OutOfDeviceMemory,
                    vk::Result::ERROR_FRAGMENTATION => CreatePoolError::Fragmentation,
                    _ => CreatePoolError::OutOfHostMemory,
                })
            }
        }
    }

    unsafe fn destroy_descriptor_pool(&self, pool: Pool) {
        self.pools.borrow_mut().retain(|&known| known != pool.handle);
        // SAFETY: the device contract; the library destroys empty pools only.
        unsafe { self.vulkan.device().destroy_descriptor_pool(pool.handle, None) };
    }

    unsafe fn alloc_descriptor_sets<'a>(
        &self,
        pool: &mut Pool,
        layouts: impl ExactSizeIterator<Item = &'a vk::DescriptorSetLayout>,
        sets: &mut impl Extend<vk::DescriptorSet>,
    ) -> Result<(), DeviceAllocationError> {
        let layouts: SmallVec<[_; 4]> = layouts.copied().collect();
        let info = vk::DescriptorSetAllocateInfo::default()
            .descriptor_pool(pool.handle)
            .set_layouts(&layouts);
        // SAFETY: the device contract; the lane's lock is held, so nobody else uses the pool.
        match unsafe { self.vulkan.device().allocate_descriptor_sets(&info) } {
            Ok(made) => {
                pool.used = true;
                sets.extend(made);
                Ok(())
            }
            Err(error) => {
                self.last.set(error);
                Err(match error {
                    vk::Result::ERROR_FRAGMENTED_POOL if pool.used => {
                        DeviceAllocationError::FragmentedPool
                    }
                    vk::Result::ERROR_OUT_OF_POOL_MEMORY if pool.used => {
                        DeviceAllocationError::OutOfPoolMemory
                    }
                    vk::Result::ERROR_OUT_OF_DEVICE_MEMORY => {
                        DeviceAllocationError::OutOfDeviceMemory
                    }
                    // This includes a new pool without room, which the library considers impossible.
                    _ => DeviceAllocationError::OutOfHostMemory,
                })
            }
        }
    }

    unsafe fn dealloc_descriptor_sets(
        &self,
        pool: &mut Pool,
        sets: impl Iterator<Item = vk::DescriptorSet>,
    ) {
        let sets: SmallVec<[_; FEW]> = sets.collect();
        // SAFETY: the device contract; the sets are of this pool and no work uses them. Vulkan
        // knows no failure of this call.
        let _ = unsafe { self.vulkan.device().free_descriptor_sets(pool.handle, &sets) };
    }
}
