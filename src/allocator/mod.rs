//! The face: [`Allocator`], and everything a user holds. In three storeys, each on those above it in this file.

// Words: what is asked for and what is told, the user's and our own.
mod dependency;
mod desc;
mod error;
mod names;
mod place;
mod request;
mod resource_desc;
mod share;

// What is kept, behind locks or without: `Inner`, and what it consists of.
mod auditor;
mod choices;
#[cfg(feature = "descriptors")]
mod descriptor_driver;
#[cfg(feature = "descriptors")]
mod descriptor_pools;
mod fence_ring;
mod heaps;
mod inner;
mod lanes;
mod objects;
mod origins;
mod recorder;
mod register;
mod soonest;
mod sync;
mod turn;

// What is done with it: flows, and the handles and doors that lead to them.
mod aliasing;
mod allocate;
mod allocation;
mod arena;
mod arena_blocks;
mod ask;
mod budget;
mod collect;
mod create;
mod defragment;
#[cfg(feature = "descriptors")]
mod descriptor;
mod doors;
mod ends;
mod external;
#[cfg(unix)]
mod external_fd;
mod facade;
mod guards;
mod home;
mod init;
mod leaks;
mod mapping;
mod moves;
mod picture;
mod plain;
mod plan;
mod poll;
mod pressure;
mod recording;
mod resource;
mod retire;
mod reuse;
mod ring;
mod shared;
mod statistics;
mod telling;
mod timeline;
mod video;
mod view;
mod writing;

use core::fmt;
use std::sync::Arc;

use facade::Facade;
use inner::Inner;
use share::Extent;

use crate::memory::Broken;

pub use aliasing::{AliasingBuffer, AliasingImage, aliasing_requirements};
pub use allocation::{Allocation, RawAllocation};
pub use arena::{Arena, ArenaDesc};
pub use collect::Collected;
pub use defragment::{DefragmentDesc, Defragmentation, Move};
pub use dependency::Dependency;
pub use desc::{AllocationDesc, AllocationFlags, AllocatorDesc, EndPolicy};
#[cfg(feature = "descriptors")]
pub use descriptor::DescriptorSet;
#[cfg(feature = "descriptors")]
pub use descriptor_driver::DescriptorError;
#[cfg(feature = "descriptors")]
pub use descriptor_pools::DescriptorCounts;
pub use ends::CloseReport;
pub use error::{
    AliasError, AllocateError, ArenaError, BeginError, CopyError, CreateError, DescError,
    ExternalError, ForeignPoint, InitError, KeyError, NewError, Refused, ReportError, RingError,
    SubmitRefusal, TimelineError, Tried, WaitError,
};
#[cfg(unix)]
pub use external_fd::{FdKind, SharedFd};
pub use guards::{Corruption, Damage, GuardCoverage, Owner, Scrub, ScrubError, Scrubbed};
pub use heaps::HeapBudget;
pub use init::BufferInit;
pub use leaks::Leak;
pub use mapping::HostRange;
pub use moves::{Copies, MoveError};
pub use names::intern;
pub(crate) use names::named;
pub(crate) use picture::LanePicture;
pub use picture::{BlockPicture, RegionPicture, RegionState, TenantKind, Wait};
pub use plan::{BlockSizes, Placement, Plan};
pub use recording::{JoinError, Recording, Signal, SubmitError, Submitted, SubmittedError};
pub use resource::{Buffer, Image};
pub use resource_desc::{BufferDesc, ImageDesc, ImageViewDesc};
pub use reuse::Ordered;
pub use ring::{FrameRing, RingPiece};
pub use statistics::{Difference, MemoryStatistics, Statistics};
pub use timeline::Timeline;
pub use view::ImageView;

/// The allocator of one device's memory. `Clone` gives another handle to the same one; all calls
/// take `&self`, on any thread.
///
/// Each memory type has a lock of its own, and none is held across a driver call. See the crate's
/// page for the whole picture.
///
/// # The end
/// The last clone closes the allocator: allocations that still live are reported by name, pending
/// work is finished by the [`EndPolicy`]. Handles that outlive it stay valid. With
/// [`AllocatorDesc::keep_alive`] the device goes last by itself; without it, call
/// [`shutdown`](Self::shutdown) before `vkDestroyDevice`.
#[derive(Clone)]
pub struct Allocator {
    facade: Arc<Facade>,
}

impl fmt::Debug for Allocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocator").field("id", &self.facade.inner.id).finish_non_exhaustive()
    }
}

impl Allocator {
    /// An allocator for a device. Reads the device's properties; allocates no device memory yet.
    ///
    /// Cost: a few queries of the physical device.
    ///
    /// # Errors
    /// A physical device without memory types.
    ///
    /// # Safety
    /// * Instance, physical device and device belong together and are valid until `shutdown`, or
    ///   until everything of this allocator is gone ([`AllocatorDesc::keep_alive`] sees to that). So
    ///   is what their functions are loaded from: an `ash::Entry` unloads Vulkan with its last clone.
    /// * The features and the version named are enabled on the device.
    /// * Every queue whose work may touch memory of this allocator has a [`Timeline`], and all such
    ///   work is submitted through its recordings. (With no timeline at all nothing dropped is
    ///   handed out again, until [`assume_idle`](Self::assume_idle).)
    pub unsafe fn new(desc: &AllocatorDesc<'_>) -> Result<Self, NewError> {
        // SAFETY: the caller's promise.
        let inner = unsafe { Inner::new(desc) }?;
        Ok(Self { facade: Arc::new(Facade { inner }) })
    }

    /// Takes back what the GPU has passed: destroys what was retired, frees its ranges, gives
    /// blocks back that linger. Call it once a frame.
    ///
    /// Cost: one counter read a busy timeline (for a ring, one a submitted fence). With nothing
    /// reached, no memory type's lock is taken, but where a [priority](AllocationDesc::priority) has moved, or
    /// is below the usual.
    ///
    /// The work of one call is bounded: 4096 allocations of a memory type and as many as were retired
    /// there since the last call; the same for objects, and for descriptor sets. What was dropped after
    /// objects that are left waits with them. [`Collected::more`] tells whether some are left for the
    /// next.
    ///
    /// Threads may collect at the same time. While one has objects in hand, the others take back nothing
    /// that was dropped after those.
    pub fn collect(&self) -> Collected {
        let collected = self.inner().collect(Extent::Bounded);
        self.inner().tell_counters();
        self.inner().write_record();
        collected
    }

    /// [`collect`](Self::collect) without a bound: everything that the GPU has passed, at a loading
    /// screen or before a count.
    ///
    /// Cost: as `collect`, and O(what the GPU has passed), with a driver call for each resource.
    pub fn collect_all(&self) -> Collected {
        let collected = self.inner().collect(Extent::All);
        self.inner().tell_counters();
        self.inner().write_record();
        collected
    }

    /// How far the GPU is on every timeline: for books of your own, and for
    /// [`MemoryPool::collect`](crate::MemoryPool::collect). Takes nothing back.
    ///
    /// Cost: one counter read a busy timeline.
    pub fn reached(&self) -> crate::retire::Reached {
        self.inner().poll()
    }

    /// Gives every empty block back to the driver, and returns how many. Otherwise an empty block
    /// [lingers](AllocatorDesc::linger), because a driver's allocation is slow.
    ///
    /// Cost: one lock a memory type, and `vkFreeMemory` for each empty block.
    pub fn trim(&self) -> u64 {
        self.inner().trim()
    }

    /// Verifies every invariant of the bookkeeping: for tests and debugging. Call it at rest.
    /// O(regions).
    ///
    /// # Errors
    /// A description of the broken invariant: a bug in this crate.
    pub fn check(&self) -> Result<(), Broken> {
        self.inner().check()
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.facade.inner
    }

    fn place(&self) -> place::Place<'_> {
        place::Place::Types
    }
}
