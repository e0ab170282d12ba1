//! Device memory: allocators over a driver that costs nothing, used as a program with threads must
//! use them. There is one file per allocator. A new one implements [`FullPath`] and gets a line in
//! [`for_each_full_path`](crate::for_each_full_path).

mod fencepost;
mod gpu_alloc;
mod gpu_allocator;
pub mod lane;
pub mod reserved;
pub mod retire;
pub mod threads;
mod vma;

pub use fencepost::{ByHandle, ByKey};
pub use gpu_alloc::GpuAlloc;
pub use gpu_allocator::GpuAllocator;
pub use vma::Vma;

use ::fencepost::fake::FakeDriver;
use ash::vk;

/// The purpose of the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The GPU alone.
    DeviceLocal,
    /// The host writes it.
    Upload,
    /// The host reads it.
    Readback,
}

impl Purpose {
    /// The properties that a memory type must have for this purpose.
    pub const fn properties(self) -> vk::MemoryPropertyFlags {
        use vk::MemoryPropertyFlags as Property;
        let host = Property::HOST_VISIBLE.as_raw() | Property::HOST_COHERENT.as_raw();
        match self {
            Self::DeviceLocal => Property::DEVICE_LOCAL,
            Self::Upload => Property::from_raw(host),
            Self::Readback => Property::from_raw(host | Property::HOST_CACHED.as_raw()),
        }
    }
}

/// An allocation as a program requests it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Bytes, not 0.
    pub size: u64,
    /// A power of two.
    pub alignment: u64,
    /// Whether it is for an image with optimal tiling.
    pub is_image: bool,
    /// The purpose.
    pub purpose: Purpose,
}

impl Request {
    /// The requirements that the driver would report for the resource.
    pub fn requirements(&self) -> vk::MemoryRequirements {
        vk::MemoryRequirements { size: self.size, alignment: self.alignment, memory_type_bits: !0 }
    }
}

/// An allocator of device memory that threads share.
pub trait FullPath: Sync + Sized {
    /// Its name in the tables.
    const NAME: &'static str;

    /// Whether it defers the frees of a frame itself, so that the replay must not.
    const DEFERS: bool = false;

    /// The maximum live count with which it is fast enough to be timed at all.
    const LARGEST_LIVE: usize = usize::MAX;

    /// The handle that frees an allocation.
    type Handle: Send;

    /// Creates an allocator over a driver, which outlives it; with this many frames in flight if it
    /// defers.
    fn new(driver: &FakeDriver, frames_in_flight: usize) -> Self;

    /// Allocates; `None` if the request is refused.
    fn allocate(&self, request: &Request) -> Option<Self::Handle>;

    /// Frees an allocation.
    fn free(&self, handle: Self::Handle);

    /// A frame was submitted, and the next begins.
    fn end_frame(&self, _driver: &FakeDriver) {}
}

/// Calls a macro with each allocator's type in turn, starting with this crate's.
#[macro_export]
macro_rules! for_each_full_path {
    ($call:ident) => {
        $call!($crate::full::ByHandle);
        $call!($crate::full::ByKey);
        $call!($crate::full::Vma);
        $call!($crate::full::GpuAllocator);
        $call!($crate::full::GpuAlloc);
    };
}
