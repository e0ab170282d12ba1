//! A TLSF suballocator for Vulkan device memory whose drops are safe.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

#[cfg(feature = "vulkan")]
mod allocator;
#[cfg(feature = "fake")]
pub mod fake;
mod ground;
#[cfg(feature = "vulkan")]
mod memory;
#[cfg(feature = "vulkan")]
mod policy;
pub mod retire;
pub mod tlsf;
#[cfg(feature = "vulkan")]
mod vulkan;

#[cfg(feature = "vulkan")]
pub use allocator::{
    AllocateError, Allocation, AllocationDesc, Allocator, AllocatorDesc, BeginError, BlockPicture,
    Buffer, BufferDesc, CloseReport, Collected, CopyError, CreateError, DescError, EndPolicy,
    Image, ImageDesc, ImageView, ImageViewDesc, KeyError, Leak, MemoryTypeStatistics, NewError,
    RawAllocation, Recording, Refused, RegionPicture, RegionState, ReportError, Signal, Statistics,
    SubmitError, SubmitRefusal, Submitted, SubmittedError, Timeline, TimelineError, WaitError,
};
#[cfg(feature = "descriptors")]
pub use allocator::{DescriptorCounts, DescriptorError, DescriptorSet};
#[cfg(feature = "vulkan")]
pub use ash::{self, vk};
#[cfg(feature = "vulkan")]
pub use memory::Broken;
#[cfg(feature = "vulkan")]
pub use policy::granularity::ResourceKind;
#[cfg(feature = "vulkan")]
pub use retire::Point;
#[cfg(feature = "vulkan")]
pub use vulkan::{DeviceFeatures, Object};
