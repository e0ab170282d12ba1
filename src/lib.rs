//! A TLSF suballocator for Vulkan device memory whose drops are safe.
//!
//! Large `vk::DeviceMemory` blocks are split by a two-level segregated fit allocator, and a freed
//! range is handed out again only when the GPU has passed its last use. You drop a buffer whenever
//! your program is done with it; there is no delete queue to write.
//!
//! # A renderer's loop
//!
//! ```
//! # use fencepost::fake::{self, FakeDriver, Profile};
//! # let fake = FakeDriver::new(&Profile::default());
//! # let (instance, physical_device, device) = (fake.instance(), fake.physical_device(), fake.device());
//! # let queue = fake.queue(0);
//! # fake.set_automatic(true);
//! # let record = |mesh: vk::Buffer| [fake.record(&[fake::Use::buffer(mesh)])];
//! use fencepost::*;
//! use std::time::Duration;
//!
//! let desc = AllocatorDesc::new(instance, physical_device, device)
//!     .api_version(vk::API_VERSION_1_3)
//!     .features(DeviceFeatures::TIMELINE_SEMAPHORE);
//! let allocator = unsafe { Allocator::new(&desc)? }; // Clone, Send, Sync
//! let frames = allocator.timeline(queue)?; // one for each queue
//!
//! let vertices = BufferDesc::new(12_000, vk::BufferUsageFlags::VERTEX_BUFFER);
//! let memory = AllocationDesc::upload().name("mesh");
//! let mut mesh = allocator.create_buffer(&vertices, &memory)?;
//! mesh.write(0, &[[0.0f32; 3]; 1000])?; // flushed where the memory needs it
//!
//! let mut in_flight = std::collections::VecDeque::new();
//! for _ in 0..100 {
//!     if in_flight.len() == 3 {
//!         frames.wait(in_flight.pop_front().unwrap(), Duration::from_secs(1))?;
//!     }
//!     let frame = frames.begin()?; // before the first command is recorded
//!     let commands = record(mesh.handle());
//!     // The old mesh is dropped here, between recording and submit. That is fine.
//!     mesh = allocator.create_buffer(&vertices, &memory)?;
//!     let batch = vk::SubmitInfo::default().command_buffers(&commands);
//!     let point = frame.submit(|signal| unsafe { signal.queue_submit(&[batch]) })?;
//!     in_flight.push_back(point);
//!     allocator.collect(); // takes back what the GPU has passed
//! }
//! drop(mesh);
//! unsafe { allocator.shutdown()? }; // before vkDestroyDevice; what still lives is reported
//! # drop((frames, allocator));
//! # fake.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a drop means
//!
//! **A recording pins, a submission stamps, a signal releases.** [`Timeline::begin`] opens a
//! [`Recording`] before commands are recorded; [`Recording::submit`] gives it a value of its
//! queue's timeline. Whatever is dropped is held until every recording that was open at the drop
//! has ended, and the GPU has passed the last value submitted by then on every timeline. Nothing
//! waits: [`Allocator::collect`] takes back what is reached, once a frame.
//!
//! ```text
//!            begin          drop(mesh)      submit → 7              GPU passes 7
//! recording  ├──────────────────┼───────────────┤                        │
//! mesh       used ──────────────┤ pending ──────┼────────────────────────┤ free
//!                               in the open bag │ stamped: "wait for 7"   collect
//! ```
//!
//! *Dropping ends the right to submit.* What no recording shows must be undone first: command
//! buffers recorded once and submitted many times, update-after-bind descriptors, device addresses
//! stored in other buffers, sparse bindings, images of a swapchain.
//!
//! # What you need
//!
//! The [guide] has a page for each of these: [a renderer in thirty lines](guide::renderer),
//! [why a drop is safe](guide::frames_in_flight), [choosing memory](guide::memory),
//! [budget](guide::budget), [threads and queues](guide::threads),
//! [your own semaphores](guide::adoption), coming from [VMA](guide::from_vma) or from
//! [gpu-allocator](guide::from_gpu_allocator), and (feature `fake`) tests without a GPU.
//!
//! * **Buffers and images**: [`Allocator::create_buffer`], [`Allocator::create_image`],
//!   [`Allocator::create_image_view`]; with create-infos of your own, the `unsafe`
//!   [`create_buffer_from`](Allocator::create_buffer_from) and
//!   [`create_image_from`](Allocator::create_image_from).
//! * **Memory for objects of yours**: [`Allocator::allocate`], and 16-byte keys
//!   ([`Allocation::into_raw`]) for tables of your own.
//! * **Sets of blocks of your own**: [`Allocator::create_arena`], for what ends in any order, as a ring or
//!   as a double stack ([`ArenaPolicy`]).
//! * **Ray tracing, descriptor buffers, video**: [`BufferDesc::scratch`] and those beside it,
//!   [`Allocator::bind_video_session`].
//! * **What is to stay when memory is short**: [`AllocationDesc::priority`], [`Allocation::set_priority`].
//! * **A frame's uploads**: [`Allocator::create_ring`], at the price of an addition.
//! * **Many resources on one allocation**: [`Allocator::create_aliasing_buffer`]; **many allocations or
//!   none**: [`Allocator::allocate_many`].
//! * **Memory shared with others**: [`Allocator::create_exportable_buffer`], [`Allocator::import_buffer`],
//!   [`Allocator::import_host_memory`].
//! * **Upload and read back**: [`Allocator::create_buffer_init`], [`AllocationDesc::upload`],
//!   [`AllocationDesc::readback`], [`Buffer::write`], [`Buffer::read`].
//! * **Your own semaphores**: [`Allocator::external_timeline`]. **Vulkan 1.0, fences**:
//!   [`Allocator::fence_timeline`]. **Many command buffers in one submission**: [`Recording::join`].
//! * **Exact points instead of "all by now"**: [`Allocation::retire_at`]. **At once**:
//!   [`Allocation::free_now`]. Both are `unsafe`: they are your word about the GPU.
//! * **Descriptor sets that retire**: feature `descriptors`,
//!   `Allocator::create_descriptor_set`. Other handles: [`Allocator::retire_object`].
//! * **Blocks full of holes**: [`Allocator::defragment`].
//! * **Figures and pictures**: [`Allocator::statistics`], [`Allocator::snapshot`], and [`inspect`].
//! * **Events by `tracing`**: the page [`events`].
//! * **What happened, over time**: [`AllocatorDesc::record`] and the page [`record`].
//! * **Host or DMA memory by bare pointers**: [`MemoryPool`], [`SharedPool`], `no_std` for the first.
//! * **Ranges of anything, without Vulkan**: [`tlsf`], `no_std`. The rule of drops alone:
//!   [`retire`], `no_std`.
//! * **Tests without a GPU**: feature `fake`, a driver that notices what was touched too late.
//!
//! # Features
//!
//! * `std`, `vulkan` (default): the allocator over `ash`. Without `vulkan` only [`tlsf`],
//!   [`retire`] and [`pool`] are left; without `std` they need `alloc` alone.
//! * `descriptors`: descriptor sets, with pools by `gpu-descriptor`.
//! * `fake`: the fake driver. It is small, but has no place in a shipped program.
//! * `serde`: `Serialize` for statistics and pictures of blocks.
//! * `inspect`: what is drawn of them.
//!
//! # What it does not do
//!
//! Nothing moves by itself: [`Allocator::defragment`] plans, and you copy. Sparse resources are not
//! suballocated. Guards do not watch
//! a memory of one resource's own. A block is never shared by two memory types. Host memory for its books is
//! allocated as blocks and queues grow, and not per allocation.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::unimplemented))]

extern crate alloc;

#[cfg(feature = "vulkan")]
mod allocator;
#[cfg(feature = "vulkan")]
mod dma;
#[cfg(feature = "vulkan")]
pub mod events;
#[cfg(feature = "fake")]
pub mod fake;
mod ground;
#[cfg(feature = "vulkan")]
mod guard;
#[cfg(all(doc, feature = "vulkan"))]
pub mod guide;
#[cfg(feature = "vulkan")]
pub mod inspect;
#[cfg(feature = "vulkan")]
mod memory;
#[cfg(feature = "vulkan")]
mod policy;
pub mod pool;
#[cfg(feature = "vulkan")]
pub mod record;
pub mod retire;
pub mod tlsf;
#[cfg(feature = "vulkan")]
mod vulkan;

#[cfg(feature = "vulkan")]
pub use allocator::{
    AliasError, AliasingBuffer, AliasingImage, AllocateError, Allocation, AllocationDesc,
    AllocationFlags, Allocator, AllocatorDesc, Arena, ArenaDesc, ArenaError, BeginError,
    BlockPicture, BlockSizes, Buffer, BufferDesc, BufferInit, CloseReport, Collected, Copies,
    CopyError, CreateError, DefragmentDesc, Defragmentation, Dependency, DescError, EndPolicy,
    ExternalError, ForeignPoint, FrameRing, HeapBudget, HostRange, Image, ImageDesc, ImageView,
    ImageViewDesc, InitError, JoinError, KeyError, Leak, MemoryStatistics, Move, MoveError,
    NewError, Ordered, Placement, Plan, RawAllocation, Recording, Refused, RegionPicture,
    RegionState, ReportError, RingError, RingPiece, Signal, Statistics, SubmitError, SubmitRefusal,
    Submitted, SubmittedError, Timeline, TimelineError, Tried, WaitError, aliasing_requirements,
    intern,
};
#[cfg(feature = "descriptors")]
pub use allocator::{DescriptorCounts, DescriptorError, DescriptorSet};
#[cfg(all(feature = "vulkan", unix))]
pub use allocator::{FdKind, SharedFd};
#[cfg(feature = "vulkan")]
pub use ash::{self, vk};
#[cfg(feature = "vulkan")]
pub use dma::{MappedPool, MappedPoolError};
#[cfg(feature = "vulkan")]
pub use inspect::{Difference, Snapshot, TenantKind, Wait};
#[cfg(feature = "vulkan")]
pub use memory::{ArenaPolicy, Broken, RetiredAt};
#[cfg(feature = "vulkan")]
pub use policy::{granularity::ResourceKind, intent::HostAccess};
pub use pool::{MemoryPool, PoolDesc};
#[cfg(feature = "std")]
pub use pool::{Pooled, SharedPool};
#[cfg(feature = "vulkan")]
pub use retire::Point;
#[cfg(feature = "vulkan")]
pub use vulkan::{DeviceFeatures, Object, UserObject};

#[cfg(feature = "vulkan")]
pub use allocator::{Corruption, Damage, GuardCoverage, Owner, Scrub, ScrubError, Scrubbed};
#[cfg(feature = "vulkan")]
pub use guard::{GuardPolicy, GuardedBy};

/// The README's snippets, compiled as doctests.
#[cfg(all(doctest, feature = "vulkan"))]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
