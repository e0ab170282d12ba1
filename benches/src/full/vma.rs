//! `vmaAllocateMemory` through `vk-mem`, with its own mutexes.

use ash::vk;
use fencepost::fake::FakeDriver;
use vk_mem::{Alloc, AllocationCreateInfo, AllocatorCreateInfo};

use super::{FullPath, Purpose, Request};

/// `vk_mem::Allocator`.
pub struct Vma(vk_mem::Allocator);

impl FullPath for Vma {
    const NAME: &'static str = "VMA";
    type Handle = vk_mem::Allocation;

    fn new(driver: &FakeDriver, _frames_in_flight: usize) -> Self {
        let mut info =
            AllocatorCreateInfo::new(driver.instance(), driver.device(), driver.physical_device());
        info.vulkan_api_version = vk::API_VERSION_1_2;
        // SAFETY: the driver outlives the allocator.
        Self(unsafe { vk_mem::Allocator::new(info) }.expect("VMA over the fake"))
    }

    #[inline]
    fn allocate(&self, request: &Request) -> Option<vk_mem::Allocation> {
        let info = AllocationCreateInfo {
            required_flags: request.purpose.properties(),
            // As its guide recommends: what the host writes stays out of the GPU's small window.
            preferred_flags: match request.purpose {
                Purpose::DeviceLocal | Purpose::Upload => vk::MemoryPropertyFlags::empty(),
                Purpose::Readback => vk::MemoryPropertyFlags::HOST_CACHED,
            },
            ..AllocationCreateInfo::default()
        };
        // SAFETY: the size is not 0 and the alignment is a power of two.
        unsafe { self.0.allocate_memory(&request.requirements(), &info) }.ok()
    }

    #[inline]
    fn free(&self, mut handle: vk_mem::Allocation) {
        // SAFETY: the handle is of this allocator and is moved in, so it is freed once.
        unsafe { self.0.free_memory(&mut handle) }
    }
}
