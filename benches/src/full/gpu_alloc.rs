//! `gpu-alloc` over `gpu-alloc-ash`, in a mutex, as its methods require: its buddy allocator, and
//! dedicated memory from 32 MiB on.

use std::sync::Mutex;

use ash::vk;
use fencepost::fake::FakeDriver;
use gpu_alloc::{Config, MemoryBlock, UsageFlags};
use gpu_alloc_ash::{AshMemoryDevice, device_properties};

use super::{FullPath, Purpose, Request};

/// `gpu_alloc::GpuAllocator`.
pub struct GpuAlloc {
    allocator: Mutex<gpu_alloc::GpuAllocator<vk::DeviceMemory>>,
    device: ash::Device,
}

impl FullPath for GpuAlloc {
    const NAME: &'static str = "gpu-alloc";
    type Handle = MemoryBlock<vk::DeviceMemory>;

    fn new(driver: &FakeDriver, _frames_in_flight: usize) -> Self {
        // SAFETY: the physical device is the instance's. Version 1.0 leaves device addresses off.
        let properties = unsafe {
            device_properties(driver.instance(), vk::API_VERSION_1_0, driver.physical_device())
        };
        let properties = properties.expect("the fake tells its properties");
        let allocator = gpu_alloc::GpuAllocator::new(Config::i_am_prototyping(), properties);
        Self { allocator: Mutex::new(allocator), device: driver.device().clone() }
    }

    #[inline]
    fn allocate(&self, request: &Request) -> Option<Self::Handle> {
        let usage = match request.purpose {
            Purpose::DeviceLocal => UsageFlags::FAST_DEVICE_ACCESS,
            Purpose::Upload => UsageFlags::HOST_ACCESS | UsageFlags::UPLOAD,
            Purpose::Readback => UsageFlags::HOST_ACCESS | UsageFlags::DOWNLOAD,
        };
        let request = gpu_alloc::Request {
            size: request.size,
            align_mask: request.alignment - 1,
            usage,
            memory_types: !0,
        };
        let mut allocator = self.allocator.lock().expect("no thread panics");
        // SAFETY: always the same device.
        unsafe { allocator.alloc(AshMemoryDevice::wrap(&self.device), request) }.ok()
    }

    #[inline]
    fn free(&self, block: Self::Handle) {
        let mut allocator = self.allocator.lock().expect("no thread panics");
        // SAFETY: the device and allocator that made the block.
        unsafe { allocator.dealloc(AshMemoryDevice::wrap(&self.device), block) }
    }
}
