//! The full path: allocators of device memory over a driver that costs nothing, as a program with
//! threads must use them. One file per allocator; a new one implements [`FullPath`] and gets a line in
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

/// What the memory is for.
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
    /// The properties that a memory type must have for it.
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

/// An allocation as a program asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Bytes, not 0.
    pub size: u64,
    /// A power of two.
    pub alignment: u64,
    /// Whether an image with optimal tiling will lie there.
    pub is_image: bool,
    /// What it is for.
    pub purpose: Purpose,
}

impl Request {
    /// What the driver would say of the resource.
    pub fn requirements(&self) -> vk::MemoryRequirements {
        vk::MemoryRequirements { size: self.size, alignment: self.alignment, memory_type_bits: !0 }
    }
}

/// An allocator of device memory that threads share.
pub trait FullPath: Sync + Sized {
    /// What the tables call it.
    const NAME: &'static str;

    /// Whether it holds back itself what is freed in a frame, so that the replay must not.
    const DEFERS: bool = false;

    /// The live count up to which it is fast enough to be timed at all.
    const LARGEST_LIVE: usize = usize::MAX;

    /// What frees an allocation.
    type Handle: Send;

    /// An allocator over a driver, which outlives it; with so many frames in flight if it defers.
    fn new(driver: &FakeDriver, frames_in_flight: usize) -> Self;

    /// Allocates; `None` if that is refused.
    fn allocate(&self, request: &Request) -> Option<Self::Handle>;

    /// Takes an allocation back.
    fn free(&self, handle: Self::Handle);

    /// A frame was submitted, and the next begins.
    fn end_frame(&self, _driver: &FakeDriver) {}
}

/// Calls a macro with each allocator's type in turn, ours first.
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
