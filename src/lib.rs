//! A TLSF suballocator for Vulkan device memory, in which dropping a resource is always safe.
//!
//! The allocator splits large `vk::DeviceMemory` blocks with a two-level segregated fit (TLSF)
//! algorithm. It reuses a freed range only after the GPU has finished the last work that may access
//! it. You drop a buffer as soon as your program no longer needs it; you do not need a deletion
//! queue.
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
//! let frames = allocator.timeline(queue)?; // one per queue
//!
//! let vertices = BufferDesc::new(12_000, vk::BufferUsageFlags::VERTEX_BUFFER);
//! let memory = AllocationDesc::upload().name("mesh");
//! let mut mesh = allocator.create_buffer(&vertices, &memory)?;
//! mesh.write(0, &[[0.0f32; 3]; 1000])?; // flushes if the memory is not coherent
//!
//! let mut in_flight = std::collections::VecDeque::new();
//! for _ in 0..100 {
//!     if in_flight.len() == 3 {
//!         frames.wait(in_flight.pop_front().unwrap(), Duration::from_secs(1))?;
//!     }
//!     let frame = frames.begin()?; // before the first command is recorded
//!     let commands = record(mesh.handle());
//!     // This drops the old mesh between recording and submission, which is safe.
//!     mesh = allocator.create_buffer(&vertices, &memory)?;
//!     let batch = vk::SubmitInfo::default().command_buffers(&commands);
//!     let point = frame.submit(|signal| unsafe { signal.queue_submit(&[batch]) })?;
//!     in_flight.push_back(point);
//!     allocator.collect(); // frees what the GPU has passed
//! }
//! drop(mesh);
//! unsafe { allocator.shutdown()? }; // before vkDestroyDevice; reports leaks
//! # drop((frames, allocator));
//! # fake.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What happens on drop
//!
//! **A recording pins, a submission stamps, a signal releases.** [`Timeline::begin`] opens a
//! [`Recording`] before commands are recorded. [`Recording::submit`] assigns it a value of its
//! queue's timeline. A dropped resource is kept until every recording that was open at the time of
//! the drop has ended and, on every timeline, the GPU has passed the last value submitted by then.
//! Dropping does not block: [`Allocator::collect`], called once per frame, frees whatever the GPU
//! has passed.
//!
//! ```text
//!            begin          drop(mesh)      submit → 7              GPU passes 7
//! recording  ├──────────────────┼───────────────┤                        │
//! mesh       used ──────────────┤ pending ──────┼────────────────────────┤ free
//!                               in the open bag │ stamped: "wait for 7"   collect
//! ```
//!
//! *Dropping a resource ends the right to submit work that uses it.* Recordings do not cover
//! command buffers that are recorded once and submitted many times, update-after-bind descriptors,
//! device addresses stored in other buffers, sparse bindings, or swapchain images. Remove such uses
//! before you drop the resource.
//!
//! # Where to find things
//!
//! The [guide] has a page on each of these topics: [a renderer in thirty lines](guide::renderer),
//! [why a drop is safe](guide::frames_in_flight), [choosing memory](guide::memory),
//! [budgets](guide::budget), [threads and queues](guide::threads), [using your own
//! semaphores](guide::adoption), migrating from [VMA](guide::from_vma) or
//! [gpu-allocator](guide::from_gpu_allocator), and (feature `fake`) testing without a GPU.
//!
//! * **Buffers and images**: [`Allocator::create_buffer`], [`Allocator::create_image`] and
//!   [`Allocator::create_image_view`]. The `unsafe` functions
//!   [`create_buffer_from`](Allocator::create_buffer_from) and
//!   [`create_image_from`](Allocator::create_image_from) take your own create-infos.
//! * **Memory for objects you create yourself**: [`Allocator::allocate`]. [`Allocation::into_raw`]
//!   converts an allocation into a 16-byte key that you can keep in your own tables.
//! * **Separate sets of blocks**: [`Allocator::create_arena`]. An arena can free in any order, or
//!   work as a ring or a double stack ([`ArenaPolicy`]).
//! * **Ray tracing, descriptor buffers, video**: [`BufferDesc::scratch`] and related methods,
//!   [`Allocator::bind_video_session`].
//! * **Priority when memory is short**: [`AllocationDesc::priority`], [`Allocation::set_priority`].
//! * **Per-frame uploads**: [`Allocator::create_ring`]; each allocation costs one addition.
//! * **Several resources in one allocation**: [`Allocator::create_aliasing_buffer`]. **Several
//!   allocations, all or none**: [`Allocator::allocate_many`].
//! * **Shared memory**: [`Allocator::create_exportable_buffer`], [`Allocator::import_buffer`],
//!   [`Allocator::import_host_memory`].
//! * **Upload and readback**: [`Allocator::create_buffer_init`], [`AllocationDesc::upload`],
//!   [`AllocationDesc::readback`], [`Buffer::write`], [`Buffer::read`].
//! * **Your own semaphores**: [`Allocator::external_timeline`]. **Fences (Vulkan 1.0)**:
//!   [`Allocator::fence_timeline`]. **Many command buffers in one submission**:
//!   [`Recording::join`].
//! * **Explicit retirement points**: [`Allocation::retire_at`]. **Immediate free**:
//!   [`Allocation::free_now`]. Both are `unsafe`, because you guarantee what the GPU does.
//! * **Deferred destruction of descriptor sets**: feature `descriptors`,
//!   `Allocator::create_descriptor_set`. **Of other handles**: [`Allocator::retire_object`].
//! * **Defragmentation**: [`Allocator::defragment`].
//! * **Statistics and visualisation**: [`Allocator::statistics`], [`Allocator::snapshot`], and
//!   [`inspect`].
//! * **`tracing` events**: the module [`events`].
//! * **A record of events over time**: [`AllocatorDesc::record`] and the module [`record`].
//! * **Pools of host or DMA memory, addressed by raw pointers**: [`MemoryPool`] (`no_std`) and
//!   [`SharedPool`].
//! * **An offset allocator without Vulkan**: [`tlsf`], `no_std`. The deferred-reuse rule by itself:
//!   [`retire`], `no_std`.
//! * **Tests without a GPU**: feature `fake`, a Vulkan driver that detects use after free.
//!
//! # Features
//!
//! * `std`, `vulkan` (default): the allocator over `ash`. Without `vulkan`, only [`tlsf`],
//!   [`retire`] and [`pool`] are available. Without `std`, these need only `alloc`.
//! * `descriptors`: descriptor sets, allocated from pools managed by `gpu-descriptor`.
//! * `fake`: the fake driver. It is small, but does not belong in a shipped program.
//! * `serde`: `Serialize` for statistics and snapshots.
//! * `inspect`: SVG, HTML and VMA JSON output of snapshots.
//!
//! # Limitations
//!
//! * The allocator never moves a resource by itself: [`Allocator::defragment`] makes a plan, and
//!   you copy.
//! * Sparse resources are not suballocated.
//! * Guards do not cover dedicated allocations.
//! * A block belongs to exactly one memory type.
//! * The allocator's bookkeeping allocates host memory when blocks and queues grow, but not on
//!   every allocation.
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
